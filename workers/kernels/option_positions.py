"""Options that portfolios hold, valued on each mark of what they are on, at that mark's time.

Each is priced anew in every scenario (option_values.py). What it makes is kept, so that a new
valuation takes the old one's place exactly: differences of integers go up the tree of portfolios,
into value, cost, gross value, Greeks and the profit of every scenario, and what has been summed
equals a full recomputation bit for bit. The first mark at or after expiry settles an option: it is
worth what it pays then, for good, and moves no more.

Bounds as in positions.py: where a valuation is no number, is beyond the bounds of option_values.py,
or would take a portfolio above it past GROSS_LIMIT, the option keeps its last value, Greeks and
profits; it is `stuck` and counted until one is taken again.

A portfolio's delta covers its other positions, too: 1 % up makes a hundredth of their value.
"""

from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import option_values, positions, scenarios, valuing
from workers.kernels.contributions import UNITS
from workers.kernels.option_block import (
    HEAD,
    HEAD_SIZE,
    NONE,
    OPTION,
    OPTIONS,
    SUMS,
    first_on,
    option_of,
    pending_of,
    profits_of,
    sums_of,
    work_of,
)
from workers.kernels.option_values import DELTA, FRESH, GREEKS, PROFITS_AT, TERMS, years_left
from workers.kernels.position_block import (
    HELD,
    PORTFOLIO,
    POSITION,
    SMALLEST_WEIGHT,
    STATE,
    PositionRefused,
    distribution_of,
    exposures_of,
    held_of,
    options_of,
    portfolio_of,
    position_of,
    returns_of,
    row_of,
)
from workers.kernels.scenarios import EXPOSURE_UNIT, VECTOR


class Held(NamedTuple):
    """What a portfolio holds of an option; volatility and rates a year, as fractions."""

    kind: float  # CALL or PUT
    strike: float
    rate: float
    dividend: float
    volatility: float
    expires_ns: int
    units: float  # quantity x multiplier, below 0: sold
    cost: int  # money units paid for all of it, below 0: received


def hold(
    address, portfolio, instrument, held: Held, price_scale, returns_row, contract=positions.SHARE
) -> None:
    """Have a portfolio hold an option on an instrument; it has a value from the next mark on.

    price_scale, returns_row, contract: the instrument's, as `positions.hold` takes them.
    PositionRefused where there is no room, the portfolio cannot bear the cost, or the instrument
    is in another currency.
    """
    options = options_of(address)
    header = at(options, OPTIONS)
    if header.used == header.options:
        raise PositionRefused(f"{header.options} options are held already: raise `options`")
    if contract.currency:
        raise PositionRefused("the instrument is in another currency: hold options on others")
    terms = positions.checked(address, instrument, price_scale, returns_row, contract)
    if not positions.bears_cost(address, -1, portfolio, held.cost, True):
        raise PositionRefused(f"an option at a cost of {held.cost} is too large")
    row = int(row_of(address, instrument))
    row = row if row >= 0 else positions.open_row(address, instrument, terms)
    number = int(header.used)
    option, kept = at(option_of(options, number), OPTION), at(option_of(options, number), TERMS)
    for name in TERMS.names or ():
        setattr(kept, name, getattr(held, name))
    option.portfolio, option.row, option.next = portfolio, row, NONE
    option.per_unit, option.cost = 2 * price_scale, held.cost
    link(options, row, number)
    header.used = number + 1
    for each in positions.lineage(address, portfolio):
        book = at(portfolio_of(address, each), PORTFOLIO)
        book.committed += abs(held.cost)
        book.unvalued += 1
        at(sums_of(options, each), SUMS).options += 1
        at(position_of(address, row, each), POSITION).below += 1  # so that marks concern it


def link(options: int, row: int, number: int) -> None:
    """Put an option behind the others on its row."""
    last = int(first_on(options, row))
    if last == NONE:
        at(options + int(at(options, OPTIONS).heads_at) + row * HEAD_SIZE, HEAD).option = number
        return
    while (after := int(at(option_of(options, last), OPTION).next)) != NONE:
        last = after
    at(option_of(options, last), OPTION).next = number


@kernel
def mark(state, instrument, time_ns):
    """Value all options on an instrument at its mark, as of a time."""
    row = row_of(state, instrument)
    options = options_of(state)
    number = first_on(options, row) if row >= 0 else NONE
    is_spread = False
    while number != NONE:
        option = at(option_of(options, number), OPTION)
        if option.settled == 0:
            spot = float(at(held_of(state, row), HELD).mark) / float(option.per_unit)
            if not is_spread:
                count = at(options, OPTIONS).scenarios
                option_values.spread(work_of(options), returns_of(state, row), count, spot)
                is_spread = True
            revalue(state, number, spot, time_ns)
        number = int(option.next)
    if is_spread:
        settle(state)


@kernel
def revalue(state, number, spot, time_ns):
    """Value an option whose scenarios are spread; where that fails it keeps its last value."""
    options = options_of(state)
    header, terms = at(options, OPTIONS), option_of(options, number)
    option, work = at(terms, OPTION), work_of(options)
    years = years_left(terms, time_ns)
    good = option_values.value(work, terms, header.scenarios, spot, years)
    if not good or not valuing.has_room(
        state, option.portfolio, gross_of(work) - int(option.gross)
    ):
        header.unpriced += 1
        stick(state, option)
        return
    header.priced += 1
    carry(state, number)
    accept(options, number)
    option.mark, option.time_ns = at(held_of(state, option.row), HELD).mark, time_ns
    if years == 0.0:
        expire(state, option)


@kernel
def gross_of(work):
    """What a valuation takes of GROSS_LIMIT: no profit of it is larger, nor its value too large."""
    fresh = at(work, FRESH)
    cents = scenarios.nearest(abs(fresh.value), EXPOSURE_UNIT)
    return max(int(fresh.largest), cents * SMALLEST_WEIGHT)


@kernel
def carry(state, number):
    """Have a portfolio and all above it count the fresh valuation in place of the old one."""
    options = options_of(state)
    option, fresh = at(option_of(options, number), OPTION), at(work_of(options), FRESH)
    gross, count = gross_of(work_of(options)), at(options, OPTIONS).scenarios
    each = int(option.portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.value += fresh.value - option.value
        book.cost += (1 - option.valued) * option.cost
        book.gross += gross - option.gross
        book.notional += abs(fresh.value) - abs(option.value)
        book.unvalued -= 1 - option.valued
        book.stuck -= option.stuck
        sums = at(sums_of(options, each), SUMS)
        for greek in range(GREEKS):
            sums.greek[greek] += fresh.greek[greek] - option.greek[greek]
        sums.pending = 1
        replace(
            pending_of(options, each),
            work_of(options) + PROFITS_AT,
            profits_of(options, number),
            count,
        )
        each = int(book.parent)


@kernel
def replace(target, fresh, old, count):
    """Add what new profits are more than old ones."""
    pending, made = at(target, VECTOR).profit, at(fresh, VECTOR).profit
    before = at(old, VECTOR).profit
    for scenario in range(count):
        pending[scenario] += made[scenario] - before[scenario]


@kernel
def accept(options, number):
    """Keep the fresh valuation as the option's."""
    work = work_of(options)
    option, fresh = at(option_of(options, number), OPTION), at(work, FRESH)
    option.value, option.gross = fresh.value, gross_of(work)
    for greek in range(GREEKS):
        option.greek[greek] = fresh.greek[greek]
    option.valued, option.stuck = 1, 0
    made = at(work + PROFITS_AT, VECTOR).profit
    kept = at(profits_of(options, number), VECTOR).profit
    for scenario in range(at(options, OPTIONS).scenarios):
        kept[scenario] = made[scenario]


@kernel
def expire(state, option):
    """Have a portfolio and all above it know that an option has been settled."""
    options = options_of(state)
    option.settled = 1
    each = int(option.portfolio)
    while each >= 0:
        at(sums_of(options, each), SUMS).settled += 1
        each = int(at(portfolio_of(state, each), PORTFOLIO).parent)


@kernel
def stick(state, option):
    """Have a portfolio and all above it know that an option's value is an old one."""
    each = int(option.portfolio)
    while each >= 0:
        book = at(portfolio_of(state, each), PORTFOLIO)
        book.stuck += 1 - option.stuck
        each = int(book.parent)
    option.stuck = 1


@kernel
def settle(state):
    """Move the distributions of all portfolios whose options were valued."""
    options = options_of(state)
    for portfolio in range(at(state, STATE).portfolios):
        sums = at(sums_of(options, portfolio), SUMS)
        if sums.pending:
            pending = pending_of(options, portfolio)
            scenarios.move_by(distribution_of(state, portfolio), pending)
            change = at(pending, VECTOR).profit
            for scenario in range(at(options, OPTIONS).scenarios):
                change[scenario] = 0
            sums.pending = 0


@kernel
def is_due(state, instrument, time_ns):
    """Whether an option on an instrument is to be settled, so that even an old mark is news."""
    row = row_of(state, instrument)
    options = options_of(state)
    number = first_on(options, row) if row >= 0 else NONE
    while number != NONE:
        option = at(option_of(options, number), OPTION)
        if option.settled == 0 and option.terms.expires_ns <= time_ns:
            return True
        number = int(option.next)
    return False


@kernel
def first_stuck(state):
    """The number of the first option that keeps an old value, NONE: there is none."""
    options = options_of(state)
    for number in range(at(options, OPTIONS).used):
        if at(option_of(options, number), OPTION).stuck:
            return number
    return NONE


@kernel
def count_of(state, portfolio):
    """How many options a portfolio and those below it hold, expired ones too."""
    options = options_of(state)
    if at(options, OPTIONS).options == 0:
        return 0
    return int(at(sums_of(options, portfolio), SUMS).options)


@kernel
def greek_of(state, portfolio, greek):
    """A Greek of a portfolio with all below it, money units; of other positions the delta."""
    options, total = options_of(state), 0
    if at(options, OPTIONS).options > 0:
        total += at(sums_of(options, portfolio), SUMS).greek[greek]
    if greek == DELTA:  # in cents a value is what 1 % up makes, in money units
        exposure = at(exposures_of(state, portfolio), UNITS).unit
        for row in range(at(state, STATE).rows):
            total += exposure[row]
    return total
