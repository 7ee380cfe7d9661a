"""What matching tells of a step: records for the book ring, and the levels that changed.

The caller fills in which event they answer. A record of kind STATUS says that matching itself
changed an instrument's state; of TOP's fields it fills in `state` alone.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.engine import (
    ACCOUNT,
    CHANGE,
    ENGINE,
    REPORT_WORD,
    WORD,
    account_at,
    change_at,
    output_at,
    word,
)
from workers.kernels.resting import BOOK
from workers.records import AUCTION, REPORT, TOP, TRADE, Book, Side

EXECUTED = int(Book.EXECUTION)
FILL, CANCELED, STATUS = int(Book.FILL), int(Book.CANCELED), int(Book.STATUS)
TRADED, CALLED = int(Book.TRADE), int(Book.AUCTION)
NO_SIDE = int(Side.NONE)


@kernel
def next_output(engine):
    """The address of the step's next record."""
    header = at(engine, ENGINE)
    address = output_at(engine, header.step_outputs)
    header.step_outputs += 1
    return address


@kernel
def report(engine, kind, instrument, side, order, price, quantity, left, state):
    """Tell what became of an order."""
    address = next_output(engine)
    record = at(address, REPORT)
    at(address + REPORT_WORD, WORD).tags = word(instrument, kind, side, 0, state)
    record.order, record.price, record.quantity, record.left = order, price, quantity, left


@kernel
def report_hand(engine, kind, quantity, left, state):
    """Tell what became of the order in hand."""
    header = at(engine, ENGINE)
    instrument, side, order = header.instrument, header.side, header.order
    report(engine, kind, instrument, side, order, header.price, quantity, left, state)


@kernel
def report_execution(engine, account, instrument, side, order, price, quantity, liquidity):
    """Tell whose a fill was, where the account has it told."""
    if at(engine, ENGINE).accounts == 0:
        return
    if at(account_at(engine, account), ACCOUNT).executions:
        report(engine, EXECUTED, instrument, side, order, price, quantity, account, liquidity)


@kernel
def report_trade(engine, side, price, quantity, order):
    """Tell a trade; order and side: of who was there first."""
    header = at(engine, ENGINE)
    header.matches += 1
    record = at(next_output(engine), TRADE)
    record.kind, record.instrument, record.side = TRADED, header.instrument, side
    record.state = 0
    record.price, record.quantity = price, quantity
    record.order, record.match = order, header.matches


@kernel
def report_status(engine, instrument, state):
    """Tell that an instrument's state is another one now."""
    record = at(next_output(engine), TOP)
    record.kind, record.instrument = STATUS, instrument
    record.side, record.state = NO_SIDE, state
    record.bid = record.ask = record.bid_quantity = record.ask_quantity = 0


@kernel
def report_auction(engine):
    """Tell what a call auction trades, or would trade."""
    header = at(engine, ENGINE)
    record = at(next_output(engine), AUCTION)
    record.kind, record.instrument = CALLED, header.instrument
    record.side, record.state = NO_SIDE, header.auction_traded
    record.price, record.quantity = header.auction_price, header.auction_quantity
    record.surplus, record.reference = header.auction_imbalance, header.auction_reference


@kernel
def note(engine, books, instrument):
    """Put what the books' header says of an instrument's levels into the step's changes."""
    header, book = at(engine, ENGINE), at(books, BOOK)
    for number in range(book.changes):
        owner, price = 2 * int(instrument) + int(book.side[number]), book.price[number]
        place = max(int(header.step_changes) - 1, 0)
        change = at(change_at(engine, place), CHANGE)
        if header.step_changes == 0 or change.owner != owner or change.price != price:
            place = int(header.step_changes)
            header.step_changes += 1
            change = at(change_at(engine, place), CHANGE)
            change.owner, change.price, change.best = owner, price, 0
        change.quantity, change.orders = book.quantity[number], book.orders[number]
        change.best |= book.top_moved
    book.changes, book.top_moved = 0, 0


@kernel
def hush(books):
    """Forget what the books' header says of changes: nobody is shown those sides."""
    book = at(books, BOOK)
    book.changes, book.top_moved = 0, 0
