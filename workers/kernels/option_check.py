"""Are a portfolio's sums over options those of its options? A recomputation beside the marks.

Each option is valued anew as of the mark and time that its figures rest on; all of what comes out
is integers, so whatever differs is a fault. Work: options below the portfolio x scenarios.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import option_values
from workers.kernels.option_block import OPTION, OPTIONS, SUMS, option_of, profits_of, sums_of
from workers.kernels.option_positions import gross_of
from workers.kernels.option_values import FRESH, GREEKS, PROFITS_AT, years_left
from workers.kernels.position_block import STATE, is_above, options_of, returns_of
from workers.kernels.scenarios import VECTOR


@kernel
def sums_below(state, portfolio):
    """(value, cost, notional, unvalued, stuck) of the options of a portfolio and those below it."""
    options = options_of(state)
    value, cost, notional, unvalued, stuck = 0, 0, 0, 0, 0
    for number in range(at(options, OPTIONS).used):
        option = at(option_of(options, number), OPTION)
        if is_above(state, portfolio, option.portfolio):
            value += option.value
            cost += option.cost * option.valued
            notional += abs(option.value)
            unvalued += 1 - option.valued
            stuck += option.stuck
    return value, cost, notional, unvalued, stuck


@kernel
def greeks_differ(state, portfolio):
    """Whether a portfolio's Greeks, or how many options it has, are not those of its options."""
    options, wrong = options_of(state), 0
    if at(options, OPTIONS).options == 0:
        return False
    sums = at(sums_of(options, portfolio), SUMS)
    count, settled = 0, 0
    for number in range(at(options, OPTIONS).used):
        option = at(option_of(options, number), OPTION)
        if is_above(state, portfolio, option.portfolio):
            count += 1
            settled += option.settled
    for greek in range(GREEKS):
        total = 0
        for number in range(at(options, OPTIONS).used):
            option = at(option_of(options, number), OPTION)
            if is_above(state, portfolio, option.portfolio):
                total += option.greek[greek]
        wrong += total != sums.greek[greek]
    return wrong > 0 or count != sums.options or settled != sums.settled


@kernel
def check_values(state, portfolio, target, work):
    """How many options of a portfolio and those below it are not what they should be worth.

    target: i8 [scenarios], to which what they are kept to make is added; work: memory to value
    options in.
    """
    options, wrong = options_of(state), 0
    count = at(state, STATE).scenarios
    total = at(target, VECTOR).profit
    for number in range(at(options, OPTIONS).used):
        option = at(option_of(options, number), OPTION)
        if is_above(state, portfolio, option.portfolio) and option.valued:
            wrong += differs(state, number, work)
            made = at(profits_of(options, number), VECTOR).profit
            for scenario in range(count):
                total[scenario] += made[scenario]
    return wrong


@kernel
def differs(state, number, work):
    """Whether an option's figures are not those of its mark and time."""
    options = options_of(state)
    address, count = option_of(options, number), at(state, STATE).scenarios
    option, fresh = at(address, OPTION), at(work, FRESH)
    spot = float(option.mark) / float(option.per_unit)
    option_values.spread(work, returns_of(state, option.row), count, spot)
    if not option_values.value(work, address, count, spot, years_left(address, option.time_ns)):
        return True
    wrong = int(fresh.value != option.value) + int(gross_of(work) != option.gross)
    for greek in range(GREEKS):
        wrong += fresh.greek[greek] != option.greek[greek]
    made = at(work + PROFITS_AT, VECTOR).profit
    kept = at(profits_of(options, number), VECTOR).profit
    for scenario in range(count):
        wrong += made[scenario] != kept[scenario]
    return wrong > 0
