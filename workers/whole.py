"""Whole books on the book ring: all levels of an instrument, from time to time and after doubt.

    | WHOLE header | CLOCK of each instrument |

A book may have thousands of levels. They come in steps: `show` publishes as many as there is room
for, and the turn comes back with the same event for as long as `at_work`. Where the walk stands
lies here, so a snapshot between two steps goes on where it was. An event shows the book of its own
instrument, and only as it is after all of the venue's event.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.keeper import COUNTERS, KEEPER, answer, goes_on, note_of, send
from workers.kernels.bookview import level_count, level_number, level_numbered
from workers.records import WHOLE as SHOWN
from workers.records import Book as Kind
from workers.records import Side

PERIOD_MIN_S, PERIOD_MAX_S = 0.001, 86_400.0
TIME_MAX = 1 << 61  # what is later, or as much earlier, is as late as this: differences fit

WHOLE = record(
    [
        ("period_ns", "i8"),
        ("side", "i8"),  # whose levels go out
        ("number", "i8"),  # the level of it that went out last
        ("depth", "i8"),  # how many of its levels have
        ("left", "i8"),  # how many records are still to go out; 0: no book is being shown
        ("spare", "i8", 3),
    ]
)
CLOCK = record(
    [
        ("last_ns", "i8"),  # time of the event that showed the book last, or of the first
        ("begun", "i4"),  # 1: there was an event
        ("wanted", "i4"),  # 1: to be shown whatever the time is
    ]
)
CLOCK_SIZE, CLOCKS_AT = CLOCK.itemsize, WHOLE.itemsize
assert CLOCKS_AT % LINE == 0


def bytes_needed(instruments: int) -> int:
    """Bytes of a block for so many instruments."""
    return CLOCKS_AT + instruments * CLOCK_SIZE


def create(address: int, period_s: float) -> None:
    """Lay the header over zeroed memory."""
    at(address, WHOLE).period_ns = round(period_s * 1e9)


@kernel
def clock_of(whole, instrument):
    """When an instrument's book was shown."""
    return at(whole + CLOCKS_AT + int(instrument) * CLOCK_SIZE, CLOCK)


@kernel
def want(whole, instrument):
    """Have a book shown after the event in hand."""
    clock_of(whole, instrument).wanted = 1


@kernel
def at_work(state):
    """Whether more of a book is to be shown for the event that was taken last."""
    keeper = at(state, KEEPER)
    return keeper.whole != 0 and at(keeper.whole, WHOLE).left > 0


@kernel
def begin_if_due(state, event):
    """After all that an event sets off: have its book shown where it is time."""
    keeper = at(state, KEEPER)
    if keeper.whole == 0 or not 0 <= event.instrument < keeper.instruments or goes_on(event):
        return
    if is_due(keeper.whole, event.instrument, event.time_ns):
        header, instrument = at(keeper.whole, WHOLE), int(event.instrument)
        header.side, header.number, header.depth = Side.BID, 0, 0
        bids = level_count(keeper.book, instrument, Side.BID)
        header.left = max(bids + level_count(keeper.book, instrument, Side.ASK), 1)


@kernel
def is_due(whole, instrument, time_ns):
    """Whether a book is to be shown at a time, which is noted then: a period apart, or wanted."""
    clock = clock_of(whole, instrument)
    now = min(max(int(time_ns), -TIME_MAX), TIME_MAX)
    if clock.begun == 0:
        clock.begun, clock.last_ns = 1, now
    apart = abs(now - int(clock.last_ns))  # a clock that was set back does not stop it for ever
    if clock.wanted == 0 and apart < at(whole, WHOLE).period_ns:
        return False
    clock.wanted, clock.last_ns = 0, now
    return True


@kernel
def show(state, writer, event, most):
    """Publish the next levels of the book that is being shown, at most so many; how many."""
    keeper = at(state, KEEPER)
    header, tally = at(keeper.whole, WHOLE), at(keeper.counters, COUNTERS)
    steps = min(int(header.left), int(most))
    for _ in range(steps):
        header.left -= 1
        show_next(state, writer, event)
    tally.depths += steps
    tally.published += steps
    tally.snapshots += header.left == 0
    return steps


@kernel
def show_next(state, writer, event):
    """Publish one level, or that there is none."""
    keeper = at(state, KEEPER)
    header, book, instrument = at(keeper.whole, WHOLE), keeper.book, int(event.instrument)
    if header.side == Side.BID and header.depth == level_count(book, instrument, Side.BID):
        header.side, header.number, header.depth = Side.ASK, 0, 0
    number = level_number(book, instrument, header.side, header.number, header.depth)
    header.number = number
    header.depth += 1
    record_ = at(answer(state, writer, event), SHOWN)
    record_.price, record_.quantity, record_.orders = level_numbered(book, number)
    record_.following = header.left
    record_.kind, record_.side = Kind.DEPTH, header.side if number else Side.NONE
    record_.state = note_of(state, event.instrument).state
    send(state, writer)
