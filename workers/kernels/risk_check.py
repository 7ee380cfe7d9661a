"""Are a portfolio's figures those of its positions? A recomputation beside the marks.

From positions and options alone, each of which is valued anew at its mark: the sums, the exposures,
the profit of every scenario, and the measures of a tail that is gathered from nothing. All of it is
integers, so whatever differs is a fault. Work: positions below the portfolio, rows x scenarios.
"""

from enum import IntFlag

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import currencies, option_check, option_values, scenarios
from workers.kernels.contributions import UNITS
from workers.kernels.currencies import OWN
from workers.kernels.position_block import (
    PORTFOLIO,
    POSITION,
    STATE,
    abroad_of,
    distribution_of,
    exposures_of,
    is_above,
    portfolio_of,
    position_of,
    returns_of,
)
from workers.kernels.scenarios import DISTRIBUTION, EXPOSURE_UNIT, RETURNS, VECTOR, nearest
from workers.kernels.valuing import value_of


class RiskFault(IntFlag):
    """What differs: any of these together."""

    NONE = 0
    # A position's value, exposure or cost is not that of its mark and rate; anything of an option.
    VALUE = 1
    SUMS = 2  # value, cost, gross value, a Greek or a count of the portfolio
    EXPOSURE = 4  # an instrument's, with all that is below
    PROFITS = 8  # of a scenario
    MEASURES = 16  # VaR, ES or the worst scenario


VALUE, SUMS, EXPOSURE = int(RiskFault.VALUE), int(RiskFault.SUMS), int(RiskFault.EXPOSURE)
PROFITS, MEASURES = int(RiskFault.PROFITS), int(RiskFault.MEASURES)


def bytes_aside(scenarios_: int) -> int:
    """The size of the memory in which a portfolio is made anew."""
    return scenarios.bytes_needed(scenarios_) + option_values.work_bytes(scenarios_)


@kernel
def check(state, portfolio, aside):
    """RiskFaults of a portfolio as int.

    aside: `bytes_aside` with a distribution of as many scenarios at its head, overwritten.
    """
    clear(aside)
    faults = check_sums(state, portfolio)
    exposure = at(exposures_of(state, portfolio), UNITS).unit
    for row in range(at(state, STATE).rows):
        units, faults_here = exposure_of(state, row, portfolio)
        faults |= faults_here
        if units != exposure[row]:
            faults |= EXPOSURE
        add(
            scenarios.vector_of(aside),
            returns_of(state, row),
            at(aside, DISTRIBUTION).scenarios,
            units,
        )
    work = aside + int(at(state, STATE).distribution_size)
    if option_check.check_values(state, portfolio, scenarios.vector_of(aside), work) > 0:
        faults |= VALUE
    return faults | check_profits(distribution_of(state, portfolio), aside)


@kernel
def check_sums(state, portfolio):
    """Hold the sums of a portfolio against its positions and options and those below."""
    header, book = at(state, STATE), at(portfolio_of(state, portfolio), PORTFOLIO)
    value, cost, notional, unvalued, stuck = option_check.sums_below(state, portfolio)
    for each in range(header.portfolios):
        if is_above(state, portfolio, each):
            for row in range(header.rows):
                position = at(position_of(state, row, each), POSITION)
                value += position.value
                notional += abs(position.value)
                cost += position.cost * position.valued
                unvalued += int(position.highest_mark > 0) - int(position.valued)
                stuck += position.stuck
    same = value == book.value and cost == book.cost and notional == book.notional
    same = same and not option_check.greeks_differ(state, portfolio)
    return 0 if same and unvalued == book.unvalued and stuck == book.stuck else SUMS


@kernel
def exposure_of(state, row, portfolio):
    """(what a portfolio and all below it have of a row, units; faults of these positions)."""
    units, faults = 0, 0
    for each in range(at(state, STATE).portfolios):
        if is_above(state, portfolio, each):
            position = at(position_of(state, row, each), POSITION)
            units += position.exposure
            value = position.value
            if position.valued and not position.stuck:
                value, _ = value_of(state, row, position.quantity)
                faults |= check_cost(state, row, each)
            if value != position.value or position.exposure != nearest(value, EXPOSURE_UNIT):
                faults |= VALUE
    return units, faults


@kernel
def check_cost(state, row, portfolio):
    """Hold a cost that is kept in another currency against what is told of it."""
    abroad = abroad_of(state)
    if currencies.is_kept(abroad, row, portfolio):
        return 0
    own = at(currencies.own_of(abroad, row, portfolio), OWN)
    cost, _ = currencies.in_base(abroad, row, own.cost)
    return 0 if cost == at(position_of(state, row, portfolio), POSITION).cost else VALUE


@kernel
def clear(distribution):
    """Have no profit anywhere."""
    profit = at(scenarios.vector_of(distribution), VECTOR).profit
    for scenario in range(at(distribution, DISTRIBUTION).scenarios):
        profit[scenario] = 0


@kernel
def add(vector, returns, count, units):
    """Add units x return to every profit."""
    profit, change = at(vector, VECTOR).profit, at(returns, RETURNS).change
    for scenario in range(count):
        profit[scenario] += units * int(change[scenario])


@kernel
def check_profits(distribution, aside):
    """Hold profits and measures against those made aside."""
    mine, other = at(distribution, DISTRIBUTION), at(aside, DISTRIBUTION)
    profit = at(scenarios.vector_of(distribution), VECTOR).profit
    wanted = at(scenarios.vector_of(aside), VECTOR).profit
    differing = 0
    for scenario in range(mine.scenarios):
        differing += profit[scenario] != wanted[scenario]
    scenarios.rebuild(aside)
    scenarios.measure(aside)
    same = mine.value_at_risk == other.value_at_risk and mine.shortfall == other.shortfall
    faults = 0 if differing == 0 else PROFITS
    return faults if same and mine.worst == other.worst else faults | MEASURES
