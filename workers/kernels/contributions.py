"""What each position adds to its portfolio's value at risk and expected shortfall.

The contributions of a portfolio add up to its figure, in units of profit to the last bit (Euler's
theorem: both measures are homogeneous of degree one; Tasche 1999, "Risk contributions and
performance measurement"): a position's part in VaR is what it loses in the scenario that is the
k-th worst, its part in ES is its mean loss over the tail, with the atom at the edge split.

One multiplication a position: the returns of one scenario lie side by side (`by_scenario`), like
a portfolio's exposures with all that is below it. Each part is rounded to money by itself, so the
sum of n rounded parts may differ from the rounded sum by n / 2 money units.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import scenarios
from workers.kernels.position_block import (
    STATE,
    by_scenario_of,
    distribution_of,
    exposures_of,
)
from workers.kernels.scenarios import (
    DISTRIBUTION,
    MONEY_BITS,
    MONEY_MASK,
    RANK,
    RETURNS,
    THOUSAND,
    money,
    rank_of,
)

ROWS_MAX = 1 << 20  # of a view; only as many as there are rows are looked at
UNITS = record([("unit", "i8", (ROWS_MAX,))])


@kernel
def var_parts(state, portfolio, target):
    """Each row's part in a portfolio's value at risk: i8[rows] at an address, units of profit."""
    header = at(state, STATE)
    distribution = distribution_of(state, portfolio)
    last = at(rank_of(distribution, at(distribution, DISTRIBUTION).var_rank - 1), RANK)
    change = at(by_scenario_of(state, last.scenario), RETURNS).change
    exposure = at(exposures_of(state, portfolio), UNITS).unit
    part = at(target, UNITS).unit
    for row in range(header.rows):
        part[row] = -exposure[row] * int(change[row])


@kernel
def tail_returns(state, portfolio, target):
    """Each row's returns summed over a portfolio's tail, by weight: i8[rows] at an address.

    The weights are thousandths of a scenario: 1000 of each that is whole in the tail.
    """
    header = at(state, STATE)
    distribution = distribution_of(state, portfolio)
    weight = at(distribution, DISTRIBUTION).tail_weight
    total = at(target, UNITS).unit
    for row in range(header.rows):
        total[row] = 0
    for index in range(-(-weight // THOUSAND)):
        share = min(weight - index * THOUSAND, THOUSAND)
        scenario = at(rank_of(distribution, index), RANK).scenario
        add_weighted(by_scenario_of(state, scenario), share, header.rows, target)


@kernel
def add_weighted(returns, share, rows, target):
    """Add share x return to each row's sum."""
    change, total = at(returns, RETURNS).change, at(target, UNITS).unit
    for row in range(rows):
        total[row] += share * int(change[row])


@kernel
def var_part(parts, row):
    """One of `var_parts` in money units, a loss is positive: nearest, halves to even."""
    part = at(parts, UNITS).unit[row]
    return money(part >> MONEY_BITS, part & MONEY_MASK, 1)


@kernel
def es_part(state, portfolio, sums, row, high=0, low=0):
    """A row's part in a portfolio's expected shortfall, money units; sums: of `tail_returns`.

    high, low: what options on it make over the tail, as option_parts.py sums it. |exposure| x
    |return| is below 2^61 and the sum below weight x |return|, so with both cut at 22 bits no
    product overflows.
    """
    exposure = at(exposures_of(state, portfolio), UNITS).unit[row]
    total = at(sums, UNITS).unit[row]
    exposure_high, exposure_low = exposure >> MONEY_BITS, exposure & MONEY_MASK
    total_high, total_low = total >> MONEY_BITS, total & MONEY_MASK
    upper = ((exposure_high * total_high) << MONEY_BITS) + exposure_high * total_low
    upper += exposure_low * total_high + high
    weight = at(distribution_of(state, portfolio), DISTRIBUTION).tail_weight
    return -money(upper, exposure_low * total_low + low, weight)


assert scenarios.TAIL_LIMIT <= 1 << MONEY_BITS, "the sums of es_part could overflow"
