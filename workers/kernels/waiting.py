"""Marks that wait until an interval of event time is over: of each held instrument the newest.

    address -> | TOP x rows |    of each row of the block of positions the record with its newest
                                 mark; kind 0: none waits

Intervals count from the epoch. A record that lies in a later one closes the one before; a clock
that is set back opens none. So what is taken when follows from the records alone.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import option_positions, positions
from workers.kernels.position_block import HELD, PRICE_LIMIT, STATE, held_of, row_of
from workers.records import TOP, Book

TOP_SIZE = TOP.itemsize
WAITS, NONE = int(Book.TOP), 0  # the kind of a row
NEVER = -(1 << 63)  # before any interval
# What becomes of a mark.
UNCHANGED = 0  # the newest is the same
FIRST = 1  # it waits
NEWER = 2  # it waits in place of an older one
BACK = 3  # it is the mark that stands: none waits any more
REFUSED = 4  # a price beyond PRICE_LIMIT


def bytes_needed(rows: int) -> int:
    """The size of the memory for so many rows."""
    return TOP_SIZE * rows


@kernel
def keep(waits, book, top):
    """Have a top record of a held instrument, with both prices, be its newest mark; its fate.

    waits, book: addresses of the marks that wait and of the block of positions.
    """
    row = row_of(book, top.instrument)
    waiting = at(waits + row * TOP_SIZE, TOP)
    mark, stands = top.bid + top.ask, at(held_of(book, row), HELD).mark
    if option_positions.is_due(book, top.instrument, top.time_ns):
        stands = 0  # the same mark settles it
    is_first = waiting.kind != WAITS
    if mark == (stands if is_first else waiting.bid + waiting.ask):
        return UNCHANGED
    if top.bid > PRICE_LIMIT or top.ask > PRICE_LIMIT:
        return REFUSED
    if mark == stands:
        waiting.kind = NONE
        return BACK
    waiting.kind, waiting.instrument = WAITS, top.instrument
    waiting.bid, waiting.ask = top.bid, top.ask
    waiting.sequence, waiting.time_ns = top.sequence, top.time_ns
    return FIRST if is_first else NEWER


@kernel
def take(waits, book):
    """Take all marks that wait, row by row; how many. They stay there until `clear`."""
    taken = 0
    for row in range(at(book, STATE).rows):
        waiting = at(waits + row * TOP_SIZE, TOP)
        if waiting.kind == WAITS:
            taken += int(positions.mark(book, waiting.instrument, waiting.bid, waiting.ask))
            option_positions.mark(book, waiting.instrument, waiting.time_ns)
    return taken


@kernel
def newest(waits, book, portfolio):
    """The address of the newest of them that concerns a portfolio; 0: none does."""
    found, last = 0, 0
    for row in range(at(book, STATE).rows):
        address = waits + row * TOP_SIZE
        waiting = at(address, TOP)
        if waiting.kind == WAITS and waiting.sequence > last:
            if positions.is_concerned(book, portfolio, waiting.instrument):
                found, last = address, waiting.sequence
    return found


@kernel
def clear(waits, book):
    """Have none wait."""
    for row in range(at(book, STATE).rows):
        at(waits + row * TOP_SIZE, TOP).kind = NONE
