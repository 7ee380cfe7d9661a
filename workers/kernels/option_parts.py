"""What options on an instrument are to a portfolio: their value, and their part in VaR and ES.

A row of the board of positions is an instrument with all that is on it, so the parts of all rows
add up to the portfolio's figures as they do without options (contributions.py): in units of profit
to the last bit. In the k-th worst scenario an option loses what is kept of it, in the tail a mean.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.contributions import UNITS
from workers.kernels.option_block import NONE, OPTION, OPTIONS, first_on, option_of, profits_of
from workers.kernels.position_block import STATE, distribution_of, is_above, options_of
from workers.kernels.scenarios import (
    DISTRIBUTION,
    MONEY_BITS,
    MONEY_MASK,
    RANK,
    THOUSAND,
    VECTOR,
    rank_of,
)


@kernel
def add_var_parts(state, portfolio, target):
    """Add what options lose in the k-th worst scenario to i8 [rows] at an address."""
    options, distribution = options_of(state), distribution_of(state, portfolio)
    last = at(rank_of(distribution, at(distribution, DISTRIBUTION).var_rank - 1), RANK)
    part = at(target, UNITS).unit
    for number in range(at(options, OPTIONS).used):
        option = at(option_of(options, number), OPTION)
        if is_above(state, portfolio, option.portfolio):
            made = at(profits_of(options, number), VECTOR).profit
            part[option.row] -= made[last.scenario]


@kernel
def tail_profits(state, portfolio, high, low):
    """What options make over a portfolio's tail, by weight: i8 [rows] at two addresses.

    The sum is high x 2^22 + low; the weights are thousandths of a scenario.
    """
    options = options_of(state)
    upper, lower = at(high, UNITS).unit, at(low, UNITS).unit
    for row in range(at(state, STATE).rows):
        upper[row] = lower[row] = 0
    for number in range(at(options, OPTIONS).used):
        option = at(option_of(options, number), OPTION)
        if is_above(state, portfolio, option.portfolio):
            above, below = tail_of(state, portfolio, profits_of(options, number))
            upper[option.row] += above
            lower[option.row] += below


@kernel
def tail_of(state, portfolio, profits):
    """(high, low) of one option: see `tail_profits`."""
    distribution = distribution_of(state, portfolio)
    weight = at(distribution, DISTRIBUTION).tail_weight
    made, high, low = at(profits, VECTOR).profit, 0, 0
    for index in range(-(-weight // THOUSAND)):
        share = min(weight - index * THOUSAND, THOUSAND)
        profit = made[at(rank_of(distribution, index), RANK).scenario]
        high += share * (profit >> MONEY_BITS)
        low += share * (profit & MONEY_MASK)
    return high, low


@kernel
def held_on(state, row, portfolio):
    """(value, cost, how many are stuck) of the valued options of a portfolio itself on a row."""
    options = options_of(state)
    number = first_on(options, row)
    value, cost, stuck = 0, 0, 0
    while number != NONE:
        option = at(option_of(options, number), OPTION)
        if option.portfolio == portfolio:
            value += option.value
            cost += option.cost * option.valued
            stuck += option.stuck
        number = int(option.next)
    return value, cost, stuck
