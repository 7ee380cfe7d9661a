"""What is told of positions from outside: how much is held, or was traded elsewhere.

Such a line of a feed of orders is an event of the log, and a HOLDING record of the book ring. It
may be in an instrument that nobody has a book of yet, so it is held by its symbol: in the
instrument of that symbol which somebody holds, else in the lowest of those that were met, else in a
row of its own, which goes over to the first instrument that has a price. What it cost is exact, by
the price scale of who told it. Then it goes the way of an execution: ledger, position, and records
of the portfolio and all above it.
"""

from fractions import Fraction

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.contracts import contract_of
from workers.desk import DESK, HELD_HERE, KNOWN, KNOWN_AT, NO_SCENARIOS, TOLD, TRADED, UNSEEN
from workers.executions import (
    amounts_of,
    at_most,
    enter,
    ledger_of,
    miss,
    signed,
    tell_above,
    tell_position,
)
from workers.kernels import adoption, currencies, ledger, position_changes
from workers.kernels.ledger import LEDGER, MONEY_LIMIT, QUANTITY_LIMIT
from workers.kernels.position_block import (
    COST_LIMIT,
    HELD,
    POSITION,
    STATE,
    abroad_of,
    held_of,
    position_of,
    row_of,
)
from workers.records import HOLDING, MONEY_SCALE, NAMED, TOP, Side, Telling
from workers.risk_counters import COUNTERS

POSITION_TOLD = int(Telling.POSITION)


def is_named(stage, instrument: int) -> bool:
    """Whether nobody has a book of an instrument, but lines tell of it."""
    return bool(int(stage.names.board.row(instrument)[0]["matched"]) & NAMED)


def known_of(stage, instrument: int):
    """What the desk knows of an instrument."""
    return at(stage.desk_at + KNOWN_AT + instrument, KNOWN)


def row_by_symbol(stage, symbol: str) -> int:
    """The row of the block that a symbol is held in, of several the first; -1: none."""
    book = stage.book.ctypes.data
    for row in range(int(at(book, STATE).rows)):
        if stage.names.symbol(int(at(held_of(book, row), HELD).instrument)) == symbol:
            return row
    return -1


def prepare(stage) -> None:
    """Have a portfolio hold what the record that the desk asks about is in; say what it cost."""
    desk = at(stage.desk_at, DESK)
    holding = at(int(desk.asks_at), HOLDING)
    told, number = int(holding.instrument), int(holding.portfolio)
    desk.asks_at, desk.ready = 0, int(holding.sequence)
    symbol, scale = stage.names[told]
    known = known_of(stage, told)
    if known.what == UNSEEN:
        meet(stage, told, symbol)
    if known.what == NO_SCENARIOS or not have_held(stage, told, number, symbol):
        known.what = NO_SCENARIOS
        return
    contract = contract_of(symbol, stage.options.instruments, stage.options.currencies)
    lots = int(holding.quantity) * (1 if holding.side == Side.BID else -1)
    lot = Fraction(int(holding.price) * MONEY_SCALE * contract.multiplier, scale * contract.over)
    own = round(lots * lot)
    desk.is_told = int(abs(own) <= COST_LIMIT and abs(lots) <= QUANTITY_LIMIT)
    desk.own = own if desk.is_told else 0


def meet(stage, told: int, symbol: str) -> None:
    """Learn an instrument that a line is the first to tell of."""
    named = is_named(stage, told)
    if not named or symbol not in stage.met:
        stage.look_up(told)
    if named:
        known_of(stage, told).what = TOLD
        row = row_by_symbol(stage, symbol)
        if row >= 0:
            adoption.share(stage.book.ctypes.data, row, told)


def have_held(stage, told: int, number: int, symbol: str) -> bool:
    """Have a portfolio hold what a line tells of; False where that cannot be."""
    book = stage.book.ctypes.data
    row, target = int(row_of(book, told)), told
    if row >= 0:
        target = int(at(held_of(book, row), HELD).instrument)
        if at(position_of(book, row, number), POSITION).highest_mark:
            return True
    elif is_named(stage, told):
        target = first_of(stage, symbol, told)
    if not stage.take_up(number, target):
        return False
    if row < 0 and target != told:
        adoption.share(book, int(row_of(book, target)), told)
    known = known_of(stage, target)
    if known.what not in (HELD_HERE, TOLD):
        known.what = TRADED
    return True


def first_of(stage, symbol: str, told: int) -> int:
    """The lowest instrument of a symbol that was met and has a book; else the one told of."""
    met = np.flatnonzero(stage.desk[KNOWN_AT:][: stage.instruments]).tolist()
    mine = (each for each in met if stage.names.symbol(each) == symbol)
    return next((each for each in mine if not is_named(stage, each)), told)


def go_over(stage, instrument: int, symbol: str) -> bool:
    """Have an instrument take over the row of one that was only told of; False: there is none."""
    book, row = stage.book.ctypes.data, row_by_symbol(stage, symbol)
    if row < 0 or not is_named(stage, int(at(held_of(book, row), HELD).instrument)):
        return False
    contract = contract_of(symbol, stage.options.instruments, stage.options.currencies)
    adoption.adopt(book, row, instrument, stage.names.scale(instrument), contract)
    return True


@kernel
def asks_about(state, address):
    """True (and asked for) where Python has not looked at a HOLDING record yet."""
    desk, holding = at(state, DESK), at(address, HOLDING)
    if desk.ready == holding.sequence or not is_ours(state, holding):
        return False
    desk.asks, desk.asks_for, desk.asks_at = holding.instrument, -1, address
    return True


@kernel
def is_ours(state, holding):
    """Whether there is such a portfolio: a log may be of a configuration that had more."""
    return 0 <= holding.portfolio < at(state, DESK).portfolios


@kernel
def take_holding(state, writer, address, index):
    """Have what the HOLDING record at an address tells be in a position; return the next index."""
    desk, holding = at(state, DESK), at(address, HOLDING)
    tally = at(desk.counters, COUNTERS)
    portfolio, instrument = int(holding.portfolio), int(holding.instrument)
    if not is_ours(state, holding):
        tally.not_ours += 1
        return index
    if at(state + KNOWN_AT + instrument, KNOWN).what == NO_SCENARIOS:
        tally.astray += 1
        desk.astray = instrument + 1
        miss(state, portfolio)
    elif put(state, portfolio, holding):
        tally.holdings += 1
        index = tell_position(state, writer, holding, portfolio, index)
    else:
        tally.unbooked += 1
        miss(state, portfolio)
    return tell_above(state, writer, at(address, TOP), portfolio, index)


@kernel
def put(state, portfolio, holding):
    """Enter what is told; False where it is too large."""
    desk = at(state, DESK)
    if not desk.is_told:
        return False
    row, quantity = row_of(desk.positions, holding.instrument), signed(holding)
    if holding.state != POSITION_TOLD:
        return enter(state, portfolio, row, quantity, int(desk.own))
    return replace(state, portfolio, row, quantity, int(desk.own))


@kernel
def replace(state, portfolio, row, quantity, own):
    """Have a position be so much, whatever it was; what is realised stays.

    In another currency without a rate its cost waits for one, as that of the configuration does.
    """
    desk = at(state, DESK)
    abroad, mine = abroad_of(desk.positions), ledger_of(state, row, portfolio)
    amount, most = own, 0
    if currencies.has_rate(abroad, row):
        amount, _, is_told = amounts_of(state, row, portfolio, own)
        if not is_told:
            return False
        most, is_told = at_most(desk.positions, row, portfolio, abs(amount))
        if not is_told:
            return False
    if abs(amount) > MONEY_LIMIT - abs(int(at(mine, LEDGER).realised)):
        return False
    if not position_changes.can_take(desk.positions, row, portfolio, quantity, most):
        return False
    ledger.reset(mine, quantity, amount)
    position_changes.change(desk.positions, row, portfolio, quantity, amount)
    at(desk.counters, COUNTERS).saturated = at(desk.positions, STATE).saturated
    desk.amount = 0
    return True
