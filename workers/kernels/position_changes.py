"""Executions change positions: a quantity and its cost in place of those before, while marks come.

What `positions.hold` does between records, without raising: an execution has happened, nobody can
refuse it any more. So where the new position cannot be valued within the bounds (see positions.py)
it has its new quantity and cost all the same, keeps its last value, and is stuck until a mark is
taken: what is measured is then known not to be whole. Only what cannot even be counted is refused.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import currencies, positions
from workers.kernels.currencies import OWN
from workers.kernels.position_block import (
    COST_LIMIT,
    HELD,
    PORTFOLIO,
    POSITION,
    PRODUCT_LIMIT,
    STATE,
    abroad_of,
    held_of,
    portfolio_of,
    position_of,
)
from workers.kernels.scenarios import nearest
from workers.kernels.valuing import bears, charge, is_priced, revalue, settle, stick

REFUSED, TAKEN, STUCK = 0, 1, 2


@kernel
def amount_of(state, row, quantity, price):
    """What so many lots, below 0: sold, cost at a price, money units of the instrument's currency,
    halves to even; and whether that can be told: 0 and False where a product does not fit.

    price: price units, as a bid or an ask.
    """
    held = at(held_of(state, row), HELD)
    if abs(quantity) > PRODUCT_LIMIT:
        return 0, False
    if 2 * abs(price) > positions.highest_mark(quantity, held.multiplier, PRODUCT_LIMIT):
        return 0, False
    return nearest(quantity * 2 * price * held.multiplier, held.divisor), True


@kernel
def can_take(state, row, portfolio, quantity, more):
    """Whether a portfolio and all above it can take a position of so much, however it is valued.

    more: by so much may its cost grow, and what is realised, at most, money units.
    """
    held = at(held_of(state, row), HELD)
    if abs(quantity) > PRODUCT_LIMIT:
        return False
    if positions.highest_mark(quantity, held.multiplier, held.reach) == 0:
        return False
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        if max(book.committed, abs(book.realised)) + more > COST_LIMIT:
            return False
        each = book.parent
    return True


@kernel
def realise(state, portfolio, amount):
    """Have a portfolio and all above it have realised so much more."""
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.realised += amount
        each = book.parent


@kernel
def change(state, row, portfolio, quantity, cost):
    """Have a portfolio hold so much of a row's instrument, which it holds already, at a cost.

    cost: in the base currency, or in the position's own as long as that is what it is kept in
    (`currencies.is_kept`).
    REFUSED: a quantity or a cost beyond every bound; nothing changes. STUCK: see above. TAKEN.
    """
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    if abs(quantity) > PRODUCT_LIMIT or abs(cost) > COST_LIMIT:
        return REFUSED
    highest = positions.highest_mark(quantity, held.multiplier, held.reach)
    base, is_told = base_cost(state, row, portfolio, cost)
    if highest == 0 or not is_told or not bears(state, portfolio, abs(base) - abs(position.cost)):
        return REFUSED
    charge(state, row, portfolio, base)
    position.quantity, position.cost, position.highest_mark = quantity, base, highest
    if not currencies.is_kept(abroad_of(state), row, portfolio):
        at(currencies.own_of(abroad_of(state), row, portfolio), OWN).cost = cost
    if not is_priced(state, row):
        return TAKEN
    if not revalue(state, row, portfolio):
        at(state, STATE).saturated += 1
        stick(state, row, portfolio)
        return STUCK
    settle(state, row)
    return TAKEN


@kernel
def base_cost(state, row, portfolio, cost):
    """A position's cost in the base currency, 0 without a rate; and whether it can be told."""
    abroad = abroad_of(state)
    if currencies.is_kept(abroad, row, portfolio):
        return int(cost), True
    if not currencies.has_rate(abroad, row):
        return 0, True
    return currencies.in_base(abroad, row, cost)
