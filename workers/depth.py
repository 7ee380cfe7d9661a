"""The depth board: the best levels of every instrument, for whoever wants the latest only."""

from ringbuf.atomics import at
from ringbuf.board import begin, finish
from ringbuf.jit import kernel
from ringbuf.record import slot_record
from workers.kernels import bookview
from workers.records import Side

LEVELS = 10

DEPTH = slot_record(
    [
        ("cause", "i8"),  # sequence of the last event that changed anything here
        ("time_ns", "i8"),
        ("bid_price", "i8", (LEVELS,)),  # best first; 0 where there is no such level
        ("bid_quantity", "i8", (LEVELS,)),
        ("ask_price", "i8", (LEVELS,)),
        ("ask_quantity", "i8", (LEVELS,)),
        ("traded_price", "i8"),  # of the last trade, 0 before the first
        ("traded_quantity", "i8"),
        ("volume", "i8"),  # lots traded so far
        ("state", "i8"),
    ]
)
SIZE = DEPTH.itemsize


@kernel
def show(board, book, instrument, note):
    """Write an instrument's best levels to its row, with the stage's note on it."""
    address = board + instrument * SIZE
    begin(address, SIZE)
    row = at(address, DEPTH)
    row.cause, row.time_ns = note.cause, note.time_ns
    row.traded_price, row.traded_quantity = note.traded_price, note.traded_quantity
    row.volume, row.state = note.volume, note.state
    bid = ask = 0
    for depth in range(LEVELS):
        bid = bookview.level_number(book, instrument, Side.BID, bid, depth)
        price, quantity, _ = bookview.level_numbered(book, bid)
        row.bid_price[depth] = price
        row.bid_quantity[depth] = quantity
        ask = bookview.level_number(book, instrument, Side.ASK, ask, depth)
        price, quantity, _ = bookview.level_numbered(book, ask)
        row.ask_price[depth] = price
        row.ask_quantity[depth] = quantity
    finish(address, SIZE)
