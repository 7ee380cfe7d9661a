"""Positions of several portfolios in one block: marked to market, with P&L and historical risk.

    address -> | STATE | i4 x instruments: the instrument's row, -1 where nobody holds it
               | HELD x rows | PORTFOLIO x portfolios | POSITION x rows x portfolios
               | i4 x rows x scenarios: returns | distribution x portfolios (see scenarios.py) |

Everything on the way of a mark is an integer, rounded to the nearest with halves to even, so that
a short position is worth exactly the negative of the long one:
- mark = bid + ask: the mid in half price units, exact;
- value of a position = quantity x mark x MONEY_SCALE / (2 price_scale), in money units;
- exposure = value / EXPOSURE_UNIT, in cents; profit in scenario s = sum of exposure x return[s];
- value and P&L (value less cost) cover the positions that have a mark; `unvalued` counts others.

Bounds, so that no sum can overflow: where a mark would take a position past its `highest_mark`, or
its portfolio past GROSS_LIMIT (sum of |exposure| x the instrument's largest |return|), the
position keeps its last value and `saturated` counts it.
"""

import ctypes
import math
from typing import NamedTuple

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import scenarios
from workers.kernels.scenarios import EXPOSURE_UNIT, nearest, whole_lines
from workers.records import MONEY_SCALE

GROSS_LIMIT = scenarios.PROFIT_LIMIT - 1  # no profit in any scenario is larger than this
PRODUCT_LIMIT = 1 << 60  # for |quantity| x mark x multiplier
PRICE_LIMIT = 1 << 60  # for a bid, an ask, a price scale: a sum of two still fits
COST_LIMIT = 1 << 61  # for the costs of one portfolio together, money units
SMALLEST_WEIGHT = 1 << 10  # bounds sums of values where an instrument's returns are all near zero
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
        ("distributions_at", "i8"),
        ("distribution_size", "i8"),
        ("marks", "i8"),  # accepted
        ("unheld", "i8"),  # nobody holds the instrument
        ("one_sided", "i8"),  # bid or ask empty: the previous mark stays
        ("refused", "i8"),  # a price beyond PRICE_LIMIT: the previous mark stays
        ("saturated", "i8"),  # positions that kept their value because of a bound
    ]
)
ROW = record([("row", "i4")])
HELD = record(
    [
        ("mark", "i8"),  # bid + ask, 0 before the first
        ("multiplier", "i8"),  # money units = quantity x mark x multiplier / divisor
        ("divisor", "i8"),
        ("weight", "i8"),  # the largest |return|, at least SMALLEST_WEIGHT
        ("instrument", "i8"),
    ]
)
PORTFOLIO = record(
    [
        ("value", "i8"),
        ("cost", "i8"),
        ("gross", "i8"),  # sum of |exposure| x weight
        ("unvalued", "i8"),  # positions without a mark yet
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
    ]
)
ROW_SIZE, HELD_SIZE = ROW.itemsize, HELD.itemsize
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


class Terms(NamedTuple):
    """What all portfolios share of an instrument they hold."""

    multiplier: int
    divisor: int
    weight: int
    returns: np.ndarray


def layout(limits: Limits) -> dict[str, int]:
    """Offsets of the pools, sizes of their entries, and the size of the whole."""
    highest = (1 << 31, MAX_PORTFOLIOS, 1 << 31, scenarios.MAX_SCENARIOS)
    for name, limit, most in zip(limits._fields, limits, highest, strict=True):
        check_range(name, limit, 1, most)
    returns_size = whole_lines(4 * limits.scenarios)
    distribution_size = scenarios.bytes_needed(limits.scenarios)
    sizes = {
        "rows_at": ROW_SIZE * limits.instruments,
        "held_at": HELD_SIZE * limits.held,
        "portfolios_at": PORTFOLIO_SIZE * limits.portfolios,
        "positions_at": POSITION_SIZE * limits.held * limits.portfolios,
        "returns_at": returns_size * limits.held,
        "distributions_at": distribution_size * limits.portfolios,
    }
    offsets, end = {}, whole_lines(STATE.itemsize)
    for name, size in sizes.items():
        offsets[name] = end
        end += whole_lines(size)
    entries = {"returns_size": returns_size, "distribution_size": distribution_size}
    return {"bytes": end, **offsets, **entries}


def check_range(name: str, number: int, low: int, high: int) -> None:
    """Refuse a number outside its range, with PositionRefused."""
    if not low <= number <= high:
        raise PositionRefused(f"{name} = {number}: give a number from {low} to {high}")


def bytes_needed(limits: Limits) -> int:
    """The size of the block."""
    return layout(limits)["bytes"]


def create(address: int, limits: Limits) -> None:
    """Lay out an empty state in `bytes_needed(limits)` bytes that start on a cache line."""
    fields = {**limits._asdict(), **layout(limits)}
    ctypes.memset(address, 0, fields["bytes"])
    ctypes.memset(address + fields["rows_at"], 0xFF, ROW_SIZE * limits.instruments)
    for name, number in fields.items():
        setattr(at(address, STATE), name, number)
    for portfolio in range(limits.portfolios):
        scenarios.create(distribution_of(address, portfolio), limits.scenarios)


def hold(
    address: int,
    portfolio: int,
    instrument: int,
    quantity: int,
    cost_money: int,
    price_scale: int,
    returns_row: np.ndarray,
) -> None:
    """Set a portfolio's position in an instrument, in place of what it held of it before.

    quantity: lots, negative for a short position. cost_money: paid for all of it, money units,
    of the quantity's sign. price_scale: price units per unit of currency. returns_row: int32
    [scenarios], fixed point as `workers.scenarios.to_fixed` makes it. All portfolios share an
    instrument's scale and returns. Raises PositionRefused, and changes nothing then.
    """
    header = at(address, STATE)
    check_range("portfolio", portfolio, 0, int(header.portfolios) - 1)
    check_range("instrument", instrument, 0, int(header.instruments) - 1)
    check_range("price_scale", price_scale, 1, PRICE_LIMIT)
    terms = terms_of(header, price_scale, returns_row)
    row = row_of(address, instrument)
    if row >= 0:
        check_same(address, row, terms)
    elif header.rows == header.held:
        raise PositionRefused(f"{header.held} instruments are held already: raise `held`")
    highest = highest_mark(quantity, terms)
    if not highest or abs(cost_money) > COST_LIMIT // int(header.held):
        raise PositionRefused(f"quantity {quantity} at a cost of {cost_money} is too large")
    row = row if row >= 0 else open_row(address, instrument, terms)
    place(address, row, portfolio, (quantity, cost_money, highest))


def terms_of(header: np.record, price_scale: int, returns_row: np.ndarray) -> Terms:
    """The terms as they are stored; refuses returns of another kind."""
    returns = np.asarray(returns_row)
    if returns.dtype != np.int32 or returns.shape != (header.scenarios,):
        found, wanted = f"{returns.dtype}{returns.shape}", f"int32({header.scenarios},)"
        raise PositionRefused(f"returns_row is {found}: give {wanted}")
    common = math.gcd(MONEY_SCALE, 2 * price_scale)
    weight = max(SMALLEST_WEIGHT, int(np.abs(returns.astype(np.int64)).max()))
    return Terms(MONEY_SCALE // common, 2 * price_scale // common, weight, returns)


def check_same(address: int, row: int, terms: Terms) -> None:
    """Refuse other terms than those with which the instrument is held already."""
    held = at(held_of(address, row), HELD)
    same = (held.multiplier, held.divisor) == terms[:2]
    if not same or (returns_at(address, row) != terms.returns).any():
        raise PositionRefused(
            f"instrument {held.instrument} is held with other returns or price_scale: share them"
        )


def returns_at(address: int, row: int) -> np.ndarray:
    """A view of a row of returns."""
    return at(returns_of(address, row), scenarios.RETURNS).change[
        : int(at(address, STATE).scenarios)
    ]


def highest_mark(quantity: int, terms: Terms) -> int:
    """The highest mark whose value and exposure fit; 0 where not even the lowest does."""
    if not quantity:
        return 2 * PRICE_LIMIT
    most_value = (PRODUCT_LIMIT // terms.weight - 1) * EXPOSURE_UNIT
    product = min(PRODUCT_LIMIT, most_value * terms.divisor)
    return min(product // (abs(int(quantity)) * terms.multiplier), 2 * PRICE_LIMIT)


def open_row(address: int, instrument: int, terms: Terms) -> int:
    """Give an instrument the next row."""
    header = at(address, STATE)
    row = int(header.rows)
    held = at(held_of(address, row), HELD)
    held.instrument = instrument
    held.multiplier, held.divisor, held.weight = terms.multiplier, terms.divisor, terms.weight
    returns_at(address, row)[:] = terms.returns
    at(address + int(header.rows_at) + instrument * ROW_SIZE, ROW).row = row
    header.rows = row + 1
    return row


def place(address: int, row: int, portfolio: int, wanted: tuple[int, int, int]) -> None:
    """Write quantity, cost and highest mark; undo it where the portfolio cannot bear it."""
    position = at(position_of(address, row, portfolio), POSITION)
    book = at(portfolio_of(address, portfolio), PORTFOLIO)
    before = int(position.quantity), int(position.cost), int(position.highest_mark)
    valued = bool(position.valued)
    position.quantity, position.cost, position.highest_mark = wanted
    if at(held_of(address, row), HELD).mark and not revalue(address, row, portfolio):
        position.quantity, position.cost, position.highest_mark = before
        raise PositionRefused(f"portfolio {portfolio} would grow too large: see GROSS_LIMIT")
    if valued:
        book.cost += wanted[1] - before[1]
    elif not before[2]:
        book.unvalued += 1


def counters(address: int) -> dict[str, int]:
    """How many marks were taken, and how many were not, and why."""
    header = at(address, STATE)
    return {name: int(header[name]) for name in COUNTERS}


@kernel
def mark(state, instrument, bid, ask):
    """Take an instrument's best prices as its mark; False where the previous mark stays."""
    header = at(state, STATE)
    row = row_of(state, instrument)
    if row < 0:
        header.unheld += 1
        return False
    if bid <= 0 or ask <= 0:
        header.one_sided += 1
        return False
    if bid > PRICE_LIMIT or ask > PRICE_LIMIT:
        header.refused += 1
        return False
    header.marks += 1
    at(held_of(state, row), HELD).mark = bid + ask
    for portfolio in range(header.portfolios):
        held = at(position_of(state, row, portfolio), POSITION).highest_mark > 0
        if held and not revalue(state, row, portfolio):
            header.saturated += 1
    return True


@kernel
def revalue(state, row, portfolio):
    """Value a position at its instrument's mark; False where a bound keeps its last value."""
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    book = at(portfolio_of(state, portfolio), PORTFOLIO)
    if held.mark > position.highest_mark:
        return False
    value = nearest(position.quantity * held.mark * held.multiplier, held.divisor)
    exposure = nearest(value, EXPOSURE_UNIT)
    gross = book.gross + (abs(exposure) - abs(position.exposure)) * held.weight
    if gross > GROSS_LIMIT:
        return False
    if not position.valued:
        position.valued = 1
        book.unvalued -= 1
        book.cost += position.cost
    delta = exposure - position.exposure
    book.gross = gross
    book.value += value - position.value
    position.value, position.exposure = value, exposure
    if delta != 0:
        scenarios.move(distribution_of(state, portfolio), returns_of(state, row), delta)
    return True


@kernel
def holds(state, portfolio, instrument):
    """Whether a portfolio holds an instrument, be it with quantity 0."""
    row = row_of(state, instrument)
    return row >= 0 and at(position_of(state, row, portfolio), POSITION).highest_mark > 0


@kernel
def value(state, portfolio):
    """Market value of the valued positions, money units."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).value


@kernel
def pnl(state, portfolio):
    """Value less cost of the valued positions, money units."""
    book = at(portfolio_of(state, portfolio), PORTFOLIO)
    return book.value - book.cost


@kernel
def unvalued(state, portfolio):
    """How many positions have no mark yet."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).unvalued


@kernel
def var_99(state, portfolio):
    """Historical value at risk at 99 %, money units, a loss is positive."""
    return at(distribution_of(state, portfolio), scenarios.DISTRIBUTION).value_at_risk


@kernel
def es_975(state, portfolio):
    """Expected shortfall at 97.5 %, money units, a loss is positive."""
    return at(distribution_of(state, portfolio), scenarios.DISTRIBUTION).shortfall


@kernel
def worst_scenario(state, portfolio):
    """The scenario with the lowest profit, the first of equals."""
    return at(distribution_of(state, portfolio), scenarios.DISTRIBUTION).worst


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
def portfolio_of(state, portfolio):
    """Address of a portfolio's record."""
    return state + int(at(state, STATE).portfolios_at) + int(portfolio) * PORTFOLIO_SIZE


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
def distribution_of(state, portfolio):
    """Address of a portfolio's distribution of profits."""
    header = at(state, STATE)
    return state + int(header.distributions_at + int(portfolio) * header.distribution_size)
