"""Executions of accounts become positions of the portfolios that these accounts are of.

An execution is booked when it comes, whether marks wait or not. What cannot be (there are no
scenarios for its instrument, or it is beyond every bound) is counted, and from then on counts as a
position that the portfolio's figures do not cover: its limits are never ok again.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.ring import claim, publish
from workers import portfolio_board, position_board
from workers.desk import ABSENT, ABSENT_SIZE, DESK, KNOWN, KNOWN_AT, NO_SCENARIOS, judge, tell
from workers.kernels import currencies, ledger, position_changes
from workers.kernels.currencies import FOREIGN, OWN
from workers.kernels.ledger import LEDGER
from workers.kernels.position_block import (
    PORTFOLIO,
    POSITION,
    STATE,
    abroad_of,
    is_above,
    portfolio_of,
    position_of,
    row_of,
)
from workers.kernels.valuing import recost
from workers.records import EXECUTION, POSITION_RECORD, TOP, Kept, Side
from workers.risk_counters import COUNTERS

OWNER = record([("portfolio", "i8")])  # of an account, -1: none
OWNER_SIZE = OWNER.itemsize
ROUNDING = 2  # money units
BID, POSITION_KIND = int(Side.BID), int(Kept.POSITION)


@kernel
def owner_of(state, account):
    """The portfolio that takes an account's executions, -1: none does."""
    desk = at(state, DESK)
    if account < 0 or account >= desk.accounts_count:
        return -1
    return int(at(desk.accounts + int(account) * OWNER_SIZE, OWNER).portfolio)


@kernel
def ledger_of(state, row, portfolio):
    """The address of a position's ledger."""
    desk = at(state, DESK)
    place = row * desk.portfolios + int(portfolio)
    return int(desk.ledgers + place * desk.ledger_size)


@kernel
def wants(state, execution):
    """True (and asked for) where a portfolio does not hold yet what an account of it traded."""
    desk = at(state, DESK)
    portfolio, instrument = owner_of(state, execution.account), int(execution.instrument)
    if portfolio < 0 or at(state + KNOWN_AT + instrument, KNOWN).what == NO_SCENARIOS:
        return False
    row = row_of(desk.positions, instrument)
    if row >= 0 and at(position_of(desk.positions, row, portfolio), POSITION).highest_mark > 0:
        return False
    desk.asks, desk.asks_for = instrument, portfolio
    return True


@kernel
def execute(state, writer, address, index):
    """Have the EXECUTION at an address be in its portfolio's position; return the next index."""
    desk, execution = at(state, DESK), at(address, EXECUTION)
    tally = at(desk.counters, COUNTERS)
    portfolio, instrument = owner_of(state, execution.account), int(execution.instrument)
    if portfolio < 0:
        tally.not_ours += 1
        return index
    if at(state + KNOWN_AT + instrument, KNOWN).what == NO_SCENARIOS:
        tally.astray += 1
        desk.astray = instrument + 1
        miss(state, portfolio)
    elif book(state, portfolio, execution):
        tally.executions += 1
        index = tell_position(state, writer, execution, portfolio, index)
    else:
        tally.unbooked += 1
        miss(state, portfolio)
    return tell_above(state, writer, at(address, TOP), portfolio, index)


@kernel
def miss(state, portfolio):
    """Have a portfolio and all above it know of something that their figures do not cover."""
    desk = at(state, DESK)
    each = int(portfolio)
    while each >= 0:
        at(desk.absent + each * ABSENT_SIZE, ABSENT).count += 1
        each = at(portfolio_of(desk.positions, each), PORTFOLIO).parent


@kernel
def book(state, portfolio, execution):
    """Enter an execution in its ledger and the position; False where it is too large."""
    desk = at(state, DESK)
    row, quantity = row_of(desk.positions, execution.instrument), signed(execution)
    own, is_told = position_changes.amount_of(desk.positions, row, quantity, int(execution.price))
    return is_told and enter(state, portfolio, row, quantity, own)


@kernel
def signed(execution):
    """Lots, below 0: sold, or short."""
    if execution.side == BID:
        return int(execution.quantity)
    return -int(execution.quantity)


@kernel
def enter(state, portfolio, row, quantity, own):
    """Enter what was bought, below 0: sold, for an amount in the instrument's currency."""
    desk, tally = at(state, DESK), at(at(state, DESK).counters, COUNTERS)
    if quantity == 0:
        return False
    mine = ledger_of(state, row, portfolio)
    amount, base, is_told = amounts_of(state, row, portfolio, own)
    if not is_told or not ledger.bears(mine, quantity, amount):
        return False
    lines = at(mine, LEDGER)
    held, more = int(lines.quantity) + quantity, abs(amount) + abs(int(lines.cost))
    most, is_told = at_most(desk.positions, row, portfolio, more)
    if not is_told or not position_changes.can_take(desk.positions, row, portfolio, held, most):
        return False
    realised, merged = int(lines.realised), int(lines.merged)
    ledger.fill(mine, quantity, amount)
    bring(desk.positions, row, portfolio, int(lines.realised) - realised)
    position_changes.change(desk.positions, row, portfolio, int(lines.quantity), int(lines.cost))
    tally.merged += lines.merged - merged
    tally.saturated = at(desk.positions, STATE).saturated
    desk.amount = base
    return True


@kernel
def amounts_of(state, row, portfolio, amount):
    """What an execution cost as its ledger keeps it, and in the base currency, money units; whether
    both can be told: what is in another currency cannot before that has a rate.
    """
    book_at = at(state, DESK).positions
    abroad = abroad_of(book_at)
    if currencies.currency_of(abroad, row) == 0:
        return int(amount), int(amount), True
    base, is_told = currencies.in_base(abroad, row, amount)
    if not is_told or at(currencies.foreign_of(abroad, row), FOREIGN).future:
        return int(amount), base, is_told
    if not currencies.is_kept(abroad, row, portfolio) and not recost(book_at, row, portfolio):
        return 0, 0, False
    mine = ledger_of(state, row, portfolio)
    if at(mine, LEDGER).fills == 0:  # what was held at the start is in the base currency by now
        ledger.restate(mine, int(at(position_of(book_at, row, portfolio), POSITION).cost))
    return base, base, True


@kernel
def told(book_at, row, portfolio, amount):
    """An amount of a ledger in the base currency, and whether it can be told."""
    abroad = abroad_of(book_at)
    if currencies.is_kept(abroad, row, portfolio):
        return int(amount), True
    return currencies.in_base(abroad, row, amount)


@kernel
def at_most(book_at, row, portfolio, amount):
    """The same, where it is a sum, whose parts may be rounded otherwise."""
    base, is_told = told(book_at, row, portfolio, amount)
    if not currencies.is_kept(abroad_of(book_at), row, portfolio):
        base += ROUNDING
    return base, is_told


@kernel
def bring(book_at, row, portfolio, amount):
    """Have a portfolio have realised so much more, as its ledger has it."""
    base, _ = told(book_at, row, portfolio, amount)
    position_changes.realise(book_at, portfolio, base)
    abroad = abroad_of(book_at)
    if not currencies.is_kept(abroad, row, portfolio):
        at(currencies.own_of(abroad, row, portfolio), OWN).realised += base


@kernel
def figures_of(book_at, row, portfolio, mine):
    """(cost, realised) of a position with a ledger, in the base currency."""
    abroad, lines = abroad_of(book_at), at(mine, LEDGER)
    if currencies.is_kept(abroad, row, portfolio):
        return int(lines.cost), int(lines.realised)
    own = at(currencies.own_of(abroad, row, portfolio), OWN)
    return int(at(position_of(book_at, row, portfolio), POSITION).cost), int(own.realised)


@kernel
def tell_position(state, writer, execution, portfolio, index):
    """Publish what a position is now; return the next index."""
    desk = at(state, DESK)
    row = row_of(desk.positions, execution.instrument)
    mine = ledger_of(state, row, portfolio)
    cost, realised = figures_of(desk.positions, row, portfolio, mine)
    record_ = at(claim(writer, desk.target), POSITION_RECORD)
    record_.cause, record_.time_ns = execution.sequence, execution.time_ns
    record_.quantity, record_.cost = at(mine, LEDGER).quantity, cost
    record_.realised, record_.amount = realised, desk.amount
    record_.instrument, record_.portfolio = execution.instrument, portfolio
    record_.index, record_.kind = index, POSITION_KIND
    publish(writer, desk.target, desk.timing.born, desk.timing.now)
    desk.target += 1
    at(desk.counters, COUNTERS).published += 1
    return index + 1


@kernel
def tell_above(state, writer, top, portfolio, index):
    """Publish a portfolio and those above it, by number; return the next index.

    top: the record that is the cause, as if it were a TOP.
    """
    desk = at(state, DESK)
    first = index
    for each in range(desk.portfolios):
        if is_above(desk.positions, each, portfolio):
            instrument = int(top.instrument)
            index = tell(state, writer, top, instrument, each, index)
            absent = at(desk.absent + each * ABSENT_SIZE, ABSENT).count
            index = judge(state, writer, top, instrument, each, absent, index)
            portfolio_board.show(desk.board, desk.positions, top, each, absent)
            position_board.note(desk.shown, each, top)
    at(desk.counters, COUNTERS).published += index - first
    return index
