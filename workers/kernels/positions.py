"""Positions of several portfolios in one block: marked to market, with P&L and historical risk.

Everything on the way of a mark is an integer, rounded to the nearest with halves to even, so that
a short position is worth exactly the negative of the long one:
- mark = bid + ask: the mid in half price units, exact;
- value of a position = quantity x mark x multiplier x MONEY_SCALE / (2 price_scale), in money
  units; in another currency that is converted then, and rounded once more (see valuing.py);
- exposure = value / EXPOSURE_UNIT, in cents; profit in scenario s = sum of exposure x return[s];
- value and P&L (value less cost) cover the positions that have a mark; `unvalued` counts others.

A portfolio's figures cover the portfolios below it: a mark goes up the tree, and each portfolio
that it concerns moves its distribution once, by what all positions below it moved together.

Bounds, so that no sum can overflow: where a mark would take a position past its `highest_mark`, or
its portfolio or one above it past GROSS_LIMIT (sum of |exposure| x the instrument's largest
|return|), the position keeps its last value, and is `stuck` and counted until one is taken again.
"""

import ctypes
import math
from typing import NamedTuple

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import currencies, scenarios, valuing
from workers.kernels.currencies import FOREIGN
from workers.kernels.position_block import (
    COST_LIMIT,
    COUNTERS,
    HELD,
    PORTFOLIO,
    POSITION,
    PRICE_LIMIT,
    PRODUCT_LIMIT,
    ROW,
    ROW_SIZE,
    SMALLEST_WEIGHT,
    STATE,
    PositionRefused,
    abroad_of,
    check_range,
    distribution_of,
    held_of,
    portfolio_of,
    position_of,
    returns_of,
    row_of,
)
from workers.kernels.scenarios import EXPOSURE_UNIT
from workers.records import MONEY_SCALE


class Contract(NamedTuple):
    """What a lot is: `multiplier` / `over` times the price, in a currency; 0: the base currency."""

    multiplier: int = 1
    over: int = 1
    currency: int = 0
    future: bool = False


SHARE = Contract()


class Terms(NamedTuple):
    """What all portfolios share of an instrument they hold."""

    multiplier: int
    divisor: int
    weight: int
    returns: np.ndarray
    contract: Contract


def hold(
    address: int,
    portfolio: int,
    instrument: int,
    quantity: int,
    cost_money: int,
    price_scale: int,
    returns_row: np.ndarray,
    contract: Contract = SHARE,
    kept: bool = False,
) -> None:
    """Set a portfolio's position in an instrument, in place of what it held of it before.

    quantity: lots, negative for a short position. cost_money: paid for all of it, money units,
    of the quantity's sign, in the instrument's currency, or, with `kept`, in the base currency
    (of a future never). price_scale: price units per unit of currency. returns_row: int32
    [scenarios], fixed point as `workers.scenarios.to_fixed` makes it, in the base currency. All
    portfolios share an instrument's scale, returns and contract. Raises PositionRefused, and
    changes nothing then.
    """
    header = at(address, STATE)
    check_range("portfolio", portfolio, 0, int(header.portfolios) - 1)
    terms = checked(address, instrument, price_scale, returns_row, contract)
    row = row_of(address, instrument)
    highest = 0
    if abs(quantity) <= PRODUCT_LIMIT:  # and so a word
        highest = int(highest_mark(int(quantity), terms.multiplier, reach_of(terms)))
    in_base = not contract.currency or (kept and not contract.future)
    if not highest or not bears_cost(address, row, portfolio, cost_money, in_base):
        raise PositionRefused(f"quantity {quantity} at a cost of {cost_money} is too large")
    row = row if row >= 0 else open_row(address, instrument, terms)
    place(address, row, portfolio, (quantity, cost_money, highest), in_base)


def quote(
    address: int,
    currency: int,
    instrument: int,
    price_scale: int,
    returns_row: np.ndarray,
    contract: Contract = SHARE,
) -> None:
    """Have an instrument's mark be a currency's rate, whether it is held or not; see `hold`."""
    abroad = int(abroad_of(address))
    check_range("currency", currency, 1, currencies.number_of(abroad))
    check_range("price_scale of a rate", price_scale, 1, currencies.DIVISOR_MAX // 2)
    terms = checked(address, instrument, price_scale, returns_row, contract)
    row = row_of(address, instrument)
    row = row if row >= 0 else open_row(address, instrument, terms)
    at(currencies.foreign_of(abroad, row), FOREIGN).rates = currency
    currencies.fix(abroad, currency, 0, 2 * price_scale)
    valuing.take_rate(address, row)


def checked(
    address: int, instrument: int, price_scale: int, returns_row: np.ndarray, contract: Contract
) -> Terms:
    """The terms of an instrument; PositionRefused where it has others, or there is no room."""
    header = at(address, STATE)
    check_range("instrument", instrument, 0, int(header.instruments) - 1)
    check_range("price_scale", price_scale, 1, PRICE_LIMIT)
    terms = terms_of(header, price_scale, returns_row, contract)
    row = row_of(address, instrument)
    if row >= 0:
        check_same(address, row, terms)
    elif header.rows == header.held:
        raise PositionRefused(f"{header.held} instruments are held already: raise `held`")
    return terms


def lineage(address: int, portfolio: int) -> list[int]:
    """A portfolio and those above it, the nearest first."""
    line = [portfolio]
    while (parent := int(at(portfolio_of(address, line[-1]), PORTFOLIO).parent)) >= 0:
        line.append(parent)
    return line


def bears_cost(address: int, row: int, portfolio: int, cost_money: int, in_base: bool) -> bool:
    """Whether a position at this cost, in place of the one before, can be summed up the tree."""
    more = abs(int(cost_money))
    if not in_base:  # it is held against the sums when it is converted
        return more <= COST_LIMIT
    if row >= 0:
        more -= abs(int(at(position_of(address, row, portfolio), POSITION).cost))
    books = (at(portfolio_of(address, each), PORTFOLIO) for each in lineage(address, portfolio))
    return all(int(book.committed) + more <= COST_LIMIT for book in books)


def terms_of(
    header: np.record, price_scale: int, returns_row: np.ndarray, contract: Contract
) -> Terms:
    """The terms as they are stored; refuses returns of another kind, and multipliers too large."""
    returns = np.asarray(returns_row)
    if returns.dtype != np.int32 or returns.shape != (header.scenarios,):
        found, wanted = f"{returns.dtype}{returns.shape}", f"int32({header.scenarios},)"
        raise PositionRefused(f"returns_row is {found}: give {wanted}")
    above, below = MONEY_SCALE * contract.multiplier, 2 * price_scale * contract.over
    common = math.gcd(above, below)
    check_range("multiplier", above // common, 1, PRODUCT_LIMIT)
    check_range("price_scale by what the multiplier is over", below // common, 1, 2 * PRICE_LIMIT)
    weight = max(SMALLEST_WEIGHT, int(np.abs(returns.astype(np.int64)).max()))
    return Terms(above // common, below // common, weight, returns, contract)


def check_same(address: int, row: int, terms: Terms) -> None:
    """Refuse other terms than those with which the instrument is held already."""
    held = at(held_of(address, row), HELD)
    same = (held.multiplier, held.divisor) == terms[:2]
    same &= currencies.described(abroad_of(address), row) == terms.contract[2:]
    if not same or (returns_at(address, row) != terms.returns).any():
        raise PositionRefused(
            f"instrument {held.instrument} is held with other returns or price_scale: share them"
        )


def returns_at(address: int, row: int) -> np.ndarray:
    """A view of a row of returns."""
    return at(returns_of(address, row), scenarios.RETURNS).change[
        : int(at(address, STATE).scenarios)
    ]


def by_scenario(address: int) -> np.ndarray:
    """A view of the returns by scenario: int32 [scenarios, room for rows and padding]."""
    header = at(address, STATE)
    shape = int(header.scenarios), int(header.by_scenario_size) // np.dtype(np.int32).itemsize
    size = shape[0] * shape[1]
    whole = (ctypes.c_int32 * size).from_address(address + int(header.by_scenario_at))
    return np.ctypeslib.as_array(whole).reshape(shape)


def reach_of(terms: Terms) -> int:
    """The most that |quantity| x mark x multiplier may be, so that value and exposure fit."""
    if terms.contract.currency:  # what counts is the value in the base currency: see value_of
        return PRODUCT_LIMIT
    most_value = (PRODUCT_LIMIT // terms.weight - 1) * EXPOSURE_UNIT
    return min(PRODUCT_LIMIT, most_value * terms.divisor)


@kernel
def highest_mark(quantity, multiplier, reach):
    """The highest mark whose value and exposure fit; 0 where not even the lowest does."""
    size = abs(quantity)
    if size == 0:
        return 2 * PRICE_LIMIT
    if size > reach // multiplier:
        return 0
    return min(reach // (size * multiplier), 2 * PRICE_LIMIT)


def open_row(address: int, instrument: int, terms: Terms) -> int:
    """Give an instrument the next row."""
    header, abroad = at(address, STATE), int(abroad_of(address))
    check_range("currency", terms.contract.currency, 0, currencies.number_of(abroad))
    row = int(header.rows)
    held = at(held_of(address, row), HELD)
    held.instrument = instrument
    held.multiplier, held.divisor, held.weight = terms.multiplier, terms.divisor, terms.weight
    held.reach = reach_of(terms)
    returns_at(address, row)[:] = terms.returns
    by_scenario(address)[:, row] = terms.returns
    at(address + int(header.rows_at) + instrument * ROW_SIZE, ROW).row = row
    currencies.describe(abroad, row, terms.contract.currency, terms.contract.future)
    header.rows = row + 1
    return row


def place(
    address: int, row: int, portfolio: int, wanted: tuple[int, int, int], in_base: bool
) -> None:
    """Write quantity, cost and highest mark; undo it where the portfolio cannot bear it."""
    position = at(position_of(address, row, portfolio), POSITION)
    before = int(position.quantity), int(position.cost), int(position.highest_mark)
    valued, is_new = bool(position.valued), not position.highest_mark
    abroad = int(abroad_of(address))
    own = currencies.owned(abroad, row, portfolio)
    owned = int(own.cost), int(own.kept)
    if not in_base:  # what it cost so far stands until it is valued
        own.cost, own.kept = wanted[1], 0
        wanted = wanted[0], before[1] if valued else 0, wanted[2]
    else:
        own.cost, own.kept = 0, 1
    position.quantity, position.cost, position.highest_mark = wanted
    if valuing.is_priced(address, row) and not valuing.revalue(address, row, portfolio):
        position.quantity, position.cost, position.highest_mark = before
        own.cost, own.kept = owned
        raise PositionRefused(f"portfolio {portfolio} would grow too large: see GROSS_LIMIT")
    valuing.settle(address, row)
    for each in lineage(address, portfolio):
        book = at(portfolio_of(address, each), PORTFOLIO)
        book.committed += abs(wanted[1]) - abs(before[1])
        if valued:
            book.cost += wanted[1] - before[1]
        elif is_new:
            book.unvalued += 1
        if is_new:
            currencies.join(abroad, row, each)
        if is_new and each != portfolio:
            at(position_of(address, row, each), POSITION).below += 1


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
    if header.abroad_at > 0:
        valuing.take_abroad(state, row)
    else:
        valuing.take_mark(state, row)
    return True


@kernel
def is_concerned(state, portfolio, instrument):
    """Whether a portfolio, or one below it, holds an instrument, or what it is the rate of."""
    row = row_of(state, instrument)
    if row < 0:
        return False
    position = at(position_of(state, row, portfolio), POSITION)
    if position.highest_mark > 0 or position.below > 0:
        return True
    return currencies.is_concerned(abroad_of(state), row, portfolio)


@kernel
def mark_of(state, instrument):
    """The mark of a held instrument that stands: bid plus ask, 0 before the first."""
    return at(held_of(state, row_of(state, instrument)), HELD).mark


@kernel
def value(state, portfolio):
    """Market value of the valued positions, money units."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).value


@kernel
def pnl(state, portfolio):
    """Value less cost of the valued positions, and what was realised, money units."""
    book = at(portfolio_of(state, portfolio), PORTFOLIO)
    return book.value - book.cost + book.realised


@kernel
def realised(state, portfolio):
    """What executions have realised, money units."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).realised


@kernel
def unvalued(state, portfolio):
    """How many positions have no mark yet."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).unvalued


@kernel
def notional(state, portfolio):
    """Sum of the absolute values of the valued positions, money units."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).notional


@kernel
def stuck(state, portfolio):
    """How many positions keep an old value because a bound was reached."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).stuck


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
