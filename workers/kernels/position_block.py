"""The block in which positions lie: its layout, its bounds, and where in it everything is.

    address -> | STATE | i4 x instruments: the instrument's row, -1 where nobody holds it
               | HELD x rows | PORTFOLIO x portfolios | POSITION x rows x portfolios
               | i4 x rows x scenarios: returns | i4 x scenarios x rows: the same, by scenario
               | i8 x portfolios x rows: exposures, with all that is below
               | distribution x portfolios (see scenarios.py) | options (see option_block.py)
               | where there are other currencies: theirs (see currencies.py) |

Portfolios form trees: a parent counts what its children do (book, desk, firm), and may have
positions of its own. Everything is an integer, so a parent is the exact sum of its children.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import currencies, option_block, scenarios
from workers.kernels.option_block import OptionLimits
from workers.kernels.scenarios import whole_lines
from workers.records import Measure

GROSS_LIMIT = scenarios.PROFIT_LIMIT - 1  # no profit in any scenario is larger than this
PRODUCT_LIMIT = 1 << 60  # for |quantity| x mark x multiplier
PRICE_LIMIT = 1 << 60  # for a bid, an ask, a price scale: a sum of two still fits
COST_LIMIT = 1 << 61  # for the costs of one portfolio together, money units
SMALLEST_WEIGHT = 1 << 10  # bounds sums of values where an instrument's returns are all near zero
MEASURES = len(Measure)
MAX_PORTFOLIOS = 1 << 16  # a portfolio travels as u2

STATE = record(
    [
        ("bytes", "i8"),  # of the whole block
        ("instruments", "i8"),
        ("portfolios", "i8"),
        ("held", "i8"),  # room for rows
        ("scenarios", "i8"),
        ("rows", "i8"),  # in use
        ("rows_at", "i8"),  # bytes from here to each pool
        ("held_at", "i8"),
        ("portfolios_at", "i8"),
        ("positions_at", "i8"),
        ("returns_at", "i8"),
        ("returns_size", "i8"),  # bytes of one row of returns
        ("by_scenario_at", "i8"),
        ("by_scenario_size", "i8"),  # bytes of the returns of one scenario
        ("exposures_at", "i8"),
        ("exposures_size", "i8"),  # bytes of the exposures of one portfolio
        ("distributions_at", "i8"),
        ("distribution_size", "i8"),
        ("options_at", "i8"),
        ("marks", "i8"),  # accepted
        ("unheld", "i8"),  # nobody holds the instrument
        ("one_sided", "i8"),  # bid or ask empty: the previous mark stays
        ("refused", "i8"),  # a price beyond PRICE_LIMIT: the previous mark stays
        ("saturated", "i8"),  # positions that kept their value because of a bound
        ("abroad_at", "i8"),  # bytes from here to what other currencies need, 0: there are none
    ]
)
ROW = record([("row", "i4")])
EXPOSURE = record([("unit", "i8")])
HELD = record(
    [
        ("mark", "i8"),  # bid + ask, 0 before the first
        ("multiplier", "i8"),  # money units = quantity x mark x multiplier / divisor
        ("divisor", "i8"),
        ("weight", "i8"),  # the largest |return|, at least SMALLEST_WEIGHT
        ("instrument", "i8"),
        ("reach", "i8"),  # the most that |quantity| x mark x multiplier may be
    ]
)
# Each counts what lies below it, too.
PORTFOLIO = record(
    [
        ("value", "i8"),
        ("cost", "i8"),
        ("gross", "i8"),  # sum of |exposure| x weight
        ("notional", "i8"),  # sum of |value|
        ("unvalued", "i8"),  # positions without a mark yet
        ("stuck", "i8"),  # positions that kept their value because a bound was reached
        ("committed", "i8"),  # sum of |cost|, marked or not
        ("realised", "i8"),  # by executions, money units
        ("parent", "i8"),  # -1: none
        # By Measure: see risk_limits.py. 0: no limit.
        ("limit", "i8", (MEASURES,)),
        ("warn_at", "i8", (MEASURES,)),
        ("standing", "i8", (MEASURES,)),
        ("pending", "i8"),  # exposure of the present mark that the distribution has not got yet
    ]
)
POSITION = record(
    [
        ("quantity", "i8"),
        ("cost", "i8"),  # money units paid for all of it, negative for a short position
        ("value", "i8"),
        ("exposure", "i8"),
        ("highest_mark", "i8"),  # 0 where the portfolio does not hold the instrument
        ("valued", "i8"),
        ("stuck", "i8"),
        ("below", "i8"),  # how many portfolios below this one hold the instrument
    ]
)
ROW_SIZE, HELD_SIZE, EXPOSURE_SIZE = ROW.itemsize, HELD.itemsize, EXPOSURE.itemsize
PORTFOLIO_SIZE, POSITION_SIZE = PORTFOLIO.itemsize, POSITION.itemsize
COUNTERS = ("marks", "unheld", "one_sided", "refused", "saturated")


class PositionRefused(ValueError):
    """A position that the state cannot take: the message says why and how to mend it."""


class Limits(NamedTuple):
    """What the block has room for; `scenarios` is how many each row of returns has, exactly."""

    instruments: int  # instruments are numbered from 0 to this
    portfolios: int
    held: int  # distinct instruments that any portfolio holds
    scenarios: int
    currencies: int = 0  # beside the base currency
    options: int = 0


def options_of_limits(limits: Limits) -> OptionLimits:
    """What the part with options has room for."""
    return OptionLimits(limits.options, limits.held, limits.portfolios, limits.scenarios)


def layout(limits: Limits) -> dict[str, int]:
    """Offsets of the pools, sizes of their entries, and the size of the whole."""
    highest = (1 << 31, MAX_PORTFOLIOS, 1 << 31, scenarios.MAX_SCENARIOS)
    for name, limit, most in zip(limits._fields, limits, highest, strict=False):
        check_range(name, limit, 1, most)
    check_range("currencies", limits.currencies, 0, currencies.CURRENCIES_MAX)
    check_range("options", limits.options, 0, option_block.OPTIONS_MAX)
    returns_size = whole_lines(4 * limits.scenarios)
    by_scenario_size, exposures_size = whole_lines(4 * limits.held), whole_lines(8 * limits.held)
    distribution_size = scenarios.bytes_needed(limits.scenarios)
    sizes = {
        "rows_at": ROW_SIZE * limits.instruments,
        "held_at": HELD_SIZE * limits.held,
        "portfolios_at": PORTFOLIO_SIZE * limits.portfolios,
        "positions_at": POSITION_SIZE * limits.held * limits.portfolios,
        "returns_at": returns_size * limits.held,
        "by_scenario_at": by_scenario_size * limits.scenarios,
        "exposures_at": exposures_size * limits.portfolios,
        "distributions_at": distribution_size * limits.portfolios,
        "options_at": option_block.bytes_needed(options_of_limits(limits)),
    }
    offsets, end = {}, whole_lines(STATE.itemsize)
    for name, size in sizes.items():
        offsets[name] = end
        end += whole_lines(size)
    entries = {
        "returns_size": returns_size,
        "by_scenario_size": by_scenario_size,
        "exposures_size": exposures_size,
        "distribution_size": distribution_size,
    }
    abroad = currencies.layout(limits.currencies, limits.held, limits.portfolios)["bytes"]
    return {"bytes": end + abroad, **offsets, **entries, "abroad_at": end if abroad else 0}


def check_range(name: str, number: int, low: int, high: int) -> None:
    """Refuse a number outside its range, with PositionRefused."""
    if not low <= number <= high:
        raise PositionRefused(f"{name} = {number}: give a number from {low} to {high}")


def bytes_needed(limits: Limits) -> int:
    """The size of the block."""
    return layout(limits)["bytes"]


def create(address: int, limits: Limits, parents: Sequence[int] = ()) -> None:
    """Lay out an empty state in `bytes_needed(limits)` bytes that start on a cache line.

    parents: of each portfolio the number of the one above it, -1 where there is none; empty: no
    portfolio has one. PositionRefused for a number that is no portfolio, and for a circle.
    """
    above = parents or [-1] * limits.portfolios
    check_parents(above, limits.portfolios)
    fields = {**limits._asdict(), **layout(limits)}
    del fields["currencies"], fields["options"]
    ctypes.memset(address, 0, fields["bytes"])
    ctypes.memset(address + fields["rows_at"], 0xFF, ROW_SIZE * limits.instruments)
    for name, number in fields.items():
        setattr(at(address, STATE), name, number)
    option_block.create(options_of(address), options_of_limits(limits))
    for portfolio in range(limits.portfolios):
        at(portfolio_of(address, portfolio), PORTFOLIO).parent = above[portfolio]
        scenarios.create(distribution_of(address, portfolio), limits.scenarios)
    if limits.currencies:
        abroad = int(abroad_of(address))
        currencies.create(abroad, limits.currencies, limits.held, limits.portfolios)


def check_parents(parents: Sequence[int], portfolios: int) -> None:
    """Refuse parents that form no trees."""
    check_range("parents", len(parents), portfolios, portfolios)
    for number, parent in enumerate(parents):
        check_range(f"the parent of portfolio {number}", parent, -1, portfolios - 1)
    for number in range(portfolios):
        if number in (above := ancestors(parents, number)):
            raise PositionRefused(
                f"portfolio {number} is above itself ({above}): give one of them no parent"
            )


def ancestors(parents: Sequence[int], number: int) -> list[int]:
    """Those above a portfolio, the nearest first; of a circle each once."""
    above: list[int] = []
    while (number := parents[number]) >= 0 and number not in above:
        above.append(number)
    return above


@kernel
def row_of(state, instrument):
    """The row of an instrument, -1 where nobody holds it or the number is unknown."""
    header = at(state, STATE)
    if instrument < 0 or instrument >= header.instruments:
        return -1
    return int(at(state + int(header.rows_at) + int(instrument) * ROW_SIZE, ROW).row)


@kernel
def held_of(state, row):
    """Address of the record of a held instrument."""
    return state + int(at(state, STATE).held_at) + row * HELD_SIZE


@kernel
def abroad_of(state):
    """Address of what other currencies need; 0: there are none."""
    offset = at(state, STATE).abroad_at
    return state + int(offset) if offset > 0 else 0


@kernel
def portfolio_of(state, portfolio):
    """Address of a portfolio's record."""
    return state + int(at(state, STATE).portfolios_at) + int(portfolio) * PORTFOLIO_SIZE


@kernel
def is_above(state, above, portfolio):
    """Whether a portfolio is another one, or above it."""
    each = int(portfolio)
    while each >= 0:
        if each == above:
            return True
        each = int(at(portfolio_of(state, each), PORTFOLIO).parent)
    return False


@kernel
def position_of(state, row, portfolio):
    """Address of what a portfolio holds of a row's instrument."""
    header = at(state, STATE)
    index = row * header.portfolios + int(portfolio)
    return state + int(header.positions_at + index * POSITION_SIZE)


@kernel
def returns_of(state, row):
    """Address of a row of returns."""
    header = at(state, STATE)
    return state + int(header.returns_at + row * header.returns_size)


@kernel
def by_scenario_of(state, scenario):
    """Address of the returns of all rows in one scenario."""
    header = at(state, STATE)
    return state + int(header.by_scenario_at + scenario * header.by_scenario_size)


@kernel
def exposures_of(state, portfolio):
    """Address of a portfolio's exposures by row, with all that is below it."""
    header = at(state, STATE)
    return state + int(header.exposures_at + int(portfolio) * header.exposures_size)


@kernel
def distribution_of(state, portfolio):
    """Address of a portfolio's distribution of profits."""
    header = at(state, STATE)
    return state + int(header.distributions_at + int(portfolio) * header.distribution_size)


@kernel
def options_of(state):
    """Address of the part with options."""
    return state + int(at(state, STATE).options_at)
