"""Executions change positions: a quantity and its cost in place of those before, while marks come.

What `positions.hold` does between records, without raising: an execution has happened, nobody can
refuse it any more. So where the new position cannot be valued within the bounds (see positions.py)
it has its new quantity and cost all the same, keeps its last value, and is stuck until a mark is
taken: what is measured is then known not to be whole. Only what cannot even be counted is refused.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import positions
from workers.kernels.position_block import (
    COST_LIMIT,
    HELD,
    PORTFOLIO,
    POSITION,
    PRODUCT_LIMIT,
    STATE,
    held_of,
    portfolio_of,
    position_of,
)
from workers.kernels.scenarios import nearest

REFUSED, TAKEN, STUCK = 0, 1, 2


@kernel
def amount_of(state, row, quantity, price):
    """What so many lots, below 0: sold, cost at a price, money units, halves to even; and whether
    that can be told: 0 and False where a product does not fit.

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

    REFUSED: a quantity or a cost beyond every bound; nothing changes. STUCK: see above. TAKEN.
    """
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    if abs(quantity) > PRODUCT_LIMIT or abs(cost) > COST_LIMIT:
        return REFUSED
    highest = positions.highest_mark(quantity, held.multiplier, held.reach)
    if highest == 0 or not bears(state, portfolio, abs(cost) - abs(position.cost)):
        return REFUSED
    charge(state, row, portfolio, cost)
    position.quantity, position.cost, position.highest_mark = quantity, cost, highest
    if held.mark == 0:
        return TAKEN
    if not positions.revalue(state, row, portfolio):
        at(state, STATE).saturated += 1
        positions.stick(state, row, portfolio)
        return STUCK
    positions.settle(state, row)
    return TAKEN


@kernel
def bears(state, portfolio, more):
    """Whether costs larger by so much can be summed up the tree."""
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        if book.committed + more > COST_LIMIT:
            return False
        each = book.parent
    return True


@kernel
def charge(state, row, portfolio, cost):
    """Have a portfolio and all above it count a position's new cost in place of the old."""
    position = at(position_of(state, row, portfolio), POSITION)
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.committed += abs(cost) - abs(position.cost)
        if position.valued:
            book.cost += cost - position.cost
        each = book.parent
