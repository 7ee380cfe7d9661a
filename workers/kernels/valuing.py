"""What positions are worth and have cost, and how that goes up the tree of portfolios.

A position in another currency is valued in its own first, rounded, and then in the base currency,
rounded again. Its cost is converted once, at the rate that stands when it is first valued: from
then on it gains and loses by the rate. A future costs nothing to hold, so it gains and loses only
by its price, in its currency: its cost is converted anew each time, at the rate of its value.

When a rate moves, all positions in its currency are valued anew. Their profits are added up row by
row, and each portfolio is measured once, behind the last.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import currencies, scenarios
from workers.kernels.currencies import CURRENCY, FOREIGN, OWN
from workers.kernels.position_block import (
    COST_LIMIT,
    EXPOSURE,
    EXPOSURE_SIZE,
    GROSS_LIMIT,
    HELD,
    PORTFOLIO,
    POSITION,
    PRODUCT_LIMIT,
    STATE,
    abroad_of,
    distribution_of,
    exposures_of,
    held_of,
    portfolio_of,
    position_of,
    returns_of,
)
from workers.kernels.scenarios import DISTRIBUTION, EXPOSURE_UNIT, nearest


@kernel
def is_priced(state, row):
    """Whether a row's positions can be valued: it has a mark, and its currency a rate."""
    if at(held_of(state, row), HELD).mark == 0:
        return False
    return currencies.has_rate(abroad_of(state), row)


@kernel
def value_of(state, row, quantity):
    """What so many lots are worth at the mark that stands, money units, and whether that is within
    the bounds; the mark is none above `highest_mark`.
    """
    held, abroad = at(held_of(state, row), HELD), abroad_of(state)
    value = nearest(quantity * held.mark * held.multiplier, held.divisor)
    if currencies.currency_of(abroad, row) == 0:
        return value, True
    value, is_told = currencies.in_base(abroad, row, value)
    most = (PRODUCT_LIMIT // held.weight - 1) * EXPOSURE_UNIT
    return value, is_told and abs(value) <= most


@kernel
def take_mark(state, row):
    """Value all positions at a row's new mark where everything is in the base currency."""
    header = at(state, STATE)
    for portfolio in range(header.portfolios):
        held = at(position_of(state, row, portfolio), POSITION).highest_mark > 0
        if held and not revalue_here(state, row, portfolio):
            header.saturated += 1
            stick(state, row, portfolio)
    settle(state, row)


@kernel
def revalue(state, row, portfolio):
    """Value a position at its instrument's mark; False where a bound keeps its last value.

    What the distributions are to get for it waits for `settle`.
    """
    if currencies.currency_of(abroad_of(state), row) == 0:
        return revalue_here(state, row, portfolio)
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    if held.mark > position.highest_mark:
        return False
    value, fits = value_of(state, row, position.quantity)
    if not fits:
        return False
    exposure = nearest(value, EXPOSURE_UNIT)
    gross = (abs(exposure) - abs(position.exposure)) * held.weight
    if not has_room(state, portfolio, gross):
        return False
    if not currencies.is_kept(abroad_of(state), row, portfolio):
        if not recost(state, row, portfolio):
            return False
    enter(state, row, portfolio, value, exposure)
    return True


@kernel
def revalue_here(state, row, portfolio):
    """The same of what is in the base currency."""
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    if held.mark > position.highest_mark:
        return False
    value = nearest(position.quantity * held.mark * held.multiplier, held.divisor)
    exposure = nearest(value, EXPOSURE_UNIT)
    gross = (abs(exposure) - abs(position.exposure)) * held.weight
    if not has_room(state, portfolio, gross):
        return False
    enter(state, row, portfolio, value, exposure)
    return True


@kernel
def enter(state, row, portfolio, value, exposure):
    """A position has another value from here on."""
    position = at(position_of(state, row, portfolio), POSITION)
    carry(state, row, portfolio, value, exposure)
    position.value, position.exposure = value, exposure
    position.valued, position.stuck = 1, 0


@kernel
def recost(state, row, portfolio):
    """Tell what a position cost in its own currency in the base currency; False: beyond a bound."""
    abroad = abroad_of(state)
    own = at(currencies.own_of(abroad, row, portfolio), OWN)
    position = at(position_of(state, row, portfolio), POSITION)
    cost, is_told = currencies.in_base(abroad, row, own.cost)
    if not is_told or not bears(state, portfolio, abs(cost) - abs(position.cost)):
        return False
    charge(state, row, portfolio, cost)
    position.cost = cost
    own.kept = 1 - at(currencies.foreign_of(abroad, row), FOREIGN).future
    return True


@kernel
def has_room(state, portfolio, gross):
    """Whether a portfolio and all above it can take so much more."""
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        if book.gross + gross > GROSS_LIMIT:
            return False
        each = book.parent
    return True


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


@kernel
def carry(state, row, portfolio, value, exposure):
    """Have a portfolio and all above it count a position's new value in place of the old."""
    position = at(position_of(state, row, portfolio), POSITION)
    gross = (abs(exposure) - abs(position.exposure)) * at(held_of(state, row), HELD).weight
    notional = abs(value) - abs(position.value)
    fresh = 1 - position.valued
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.value += value - position.value
        book.cost += fresh * position.cost
        book.gross += gross
        book.notional += notional
        book.unvalued -= fresh
        book.stuck -= position.stuck
        book.pending += exposure - position.exposure
        whole = at(exposures_of(state, each) + row * EXPOSURE_SIZE, EXPOSURE)
        whole.unit += exposure - position.exposure
        each = book.parent


@kernel
def stick(state, row, portfolio):
    """Have a portfolio and all above it know that a position's value is an old one."""
    position = at(position_of(state, row, portfolio), POSITION)
    each = int(portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.stuck += 1 - position.stuck
        each = book.parent
    position.stuck = 1


@kernel
def settle(state, row):
    """Move the distributions of all portfolios whose exposure to an instrument changed."""
    for portfolio in range(at(state, STATE).portfolios):
        book = at(portfolio_of(state, portfolio), PORTFOLIO)
        if book.pending != 0:
            scenarios.move(distribution_of(state, portfolio), returns_of(state, row), book.pending)
            book.pending = 0


@kernel
def take_abroad(state, row):
    """As `take_mark` where there are other currencies: the mark may be the rate of one."""
    if is_priced(state, row):
        revalue_all(state, row)
        settle(state, row)
    take_rate(state, row)


@kernel
def revalue_all(state, row):
    """Value all positions in a row's instrument at its mark; what a bound forbids is stuck."""
    header = at(state, STATE)
    for portfolio in range(header.portfolios):
        held = at(position_of(state, row, portfolio), POSITION).highest_mark > 0
        if held and not revalue(state, row, portfolio):
            header.saturated += 1
            stick(state, row, portfolio)


@kernel
def take_rate(state, row):
    """Where a row's mark is a currency's rate: value all positions in that currency anew."""
    header, abroad = at(state, STATE), abroad_of(state)
    number = at(currencies.foreign_of(abroad, row), FOREIGN).rates
    if number == 0:
        return
    currency = at(currencies.currency_at(abroad, number), CURRENCY)
    currency.rate = at(held_of(state, row), HELD).mark
    for each in range(header.rows):
        if at(currencies.foreign_of(abroad, each), FOREIGN).currency == number:
            if at(held_of(state, each), HELD).mark > 0:
                revalue_all(state, each)
                shift_all(state, each)
    for portfolio in range(header.portfolios):
        if currencies.is_concerned(abroad, row, portfolio):
            scenarios.move(distribution_of(state, portfolio), returns_of(state, row), 0)


@kernel
def shift_all(state, row):
    """As `settle`, but without measuring what comes of it."""
    for portfolio in range(at(state, STATE).portfolios):
        book = at(portfolio_of(state, portfolio), PORTFOLIO)
        if book.pending != 0:
            distribution = distribution_of(state, portfolio)
            vector, returns = scenarios.vector_of(distribution), returns_of(state, row)
            count = at(distribution, DISTRIBUTION).scenarios
            scenarios.shift(vector, returns, count, book.pending, 0)
            book.pending = 0
