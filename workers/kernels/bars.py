"""Bars of trades: by time, by number of trades, by volume; several series of each instrument.

    address -> | BARS header | BAR x CLOSED_MAX: those just closed
               | DUE x instruments | BAR x instruments x series |

- A time bar starts at a multiple of its length since 1970. It is closed by its instrument's first
  event at or beyond its end, of any kind. So that a quiet instrument's bars close too, every event
  of any instrument looks at one more instrument in turn: which bars close where is a function of
  the events alone. Bars without a trade do not exist.
- A bar of n trades is closed by its nth; a bar of volume by the trade that fills it, which belongs
  to it as a whole (Lopez de Prado 2018, 2.3.1): bars overshoot, and no trade is ever divided.
- Every trade is in exactly one bar of each series. One that is up to a bar's length late counts
  into the open bar. Where the clock goes back further, the bar is closed and an earlier one
  begins: a wrong time of the venue's spoils one bar, not all that follow. Starts may repeat then.
- A bar whose volume can take no more (notional.LIMIT) is closed before its time.
"""

from collections.abc import Sequence
from enum import IntEnum

from ringbuf.atomics import at, copy_words
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.kernels.notional import LIMIT, add_product

SERIES_MAX = 4
CLOSED_MAX = 2 * SERIES_MAX  # by one call: of two instruments, or twice of one
NEVER = (1 << 63) - 1
TIME_MAX = 1 << 62  # the year 2116: what a venue says is later is as late as this


class Cut(IntEnum):
    """What ends a bar, and what its length is counted in."""

    TIME = 1  # nanoseconds
    TRADES = 2
    VOLUME = 3  # lots


BARS = record(
    [
        ("instruments", "i8"),
        ("series", "i8"),
        ("closed", "i8"),  # bars that the last call closed
        ("used", "i8"),  # one more than the highest instrument that ever had a bar
        ("turn", "i8"),  # the instrument looked at last
        ("late", "i8"),  # trades counted into a time bar that began after them
        ("set_back", "i8"),  # time bars closed because the clock went back
        ("refused", "i8"),  # trades with a number that is not from 1 to LIMIT
        ("cut", "i8", (SERIES_MAX,)),
        ("length", "i8", (SERIES_MAX,)),
    ]
)
BAR = record(
    [
        ("start_ns", "i8"),  # of its time; of other bars the first trade's
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),  # 0: no bar is open
        ("trades", "i8"),
        ("notional_high", "i8"),
        ("notional_low", "i8"),
        ("instrument", "i4"),
        ("series", "i4"),
    ]
)
DUE = record([("due_ns", "i8")])  # when its first time bar ends; NEVER without one
SIZE, DUE_SIZE = BAR.itemsize, DUE.itemsize
CLOSED_AT = -(-BARS.itemsize // LINE) * LINE
DUES_AT = CLOSED_AT + CLOSED_MAX * SIZE


def bytes_needed(instruments: int, series: int) -> int:
    """Bytes of the block."""
    return DUES_AT + instruments * (DUE_SIZE + series * SIZE)


def create(address: int, instruments: int, series: Sequence[tuple[Cut, int]]) -> None:
    """Lay series of (what cuts, length) over `bytes_needed` zero bytes on a cache line."""
    if not len(series) <= SERIES_MAX:
        raise ValueError(f"{len(series)} series of bars: at most {SERIES_MAX}")
    header = at(address, BARS)
    header.instruments, header.series = instruments, len(series)
    for number, (cut, length) in enumerate(series):
        if not 0 < length <= LIMIT:
            raise ValueError(f"bars of {length}: must be above 0 and at most {LIMIT}")
        header.cut[number], header.length[number] = Cut(cut), length
    for instrument in range(instruments):
        at(due_address(address, instrument), DUE).due_ns = NEVER


@kernel
def due_address(state, instrument):
    """Where an instrument's DUE lies."""
    return state + DUES_AT + int(instrument) * DUE_SIZE


@kernel
def bar_of(state, instrument, series):
    """The bar of a series that is open, or has no volume."""
    header = at(state, BARS)
    number = int(instrument) * int(header.series) + series
    return at(due_address(state, header.instruments) + number * SIZE, BAR)


@kernel
def closed_bar(state, number):
    """One of the `closed` bars that the last call left."""
    return at(state + CLOSED_AT + number * SIZE, BAR)


@kernel
def on_time(state, instrument, time_ns):
    """Close time bars that are over at an event of an instrument (-1: of none); how many."""
    header = at(state, BARS)
    header.closed = 0
    time_ns = sane(time_ns)
    if 0 <= instrument < header.instruments:
        expire(state, instrument, time_ns)
    if header.used > 0:
        header.turn += 1
        if header.turn >= header.used:
            header.turn = 0
        expire(state, header.turn, time_ns)
    return int(header.closed)


@kernel
def sane(time_ns):
    """A time that no sum overflows with."""
    return min(max(int(time_ns), 0), TIME_MAX)


@kernel
def expire(state, instrument, time_ns):
    """Close an instrument's time bars that end at or before a time."""
    if time_ns < at(due_address(state, instrument), DUE).due_ns:
        return
    header = at(state, BARS)
    for series in range(header.series):
        bar = bar_of(state, instrument, series)
        if header.cut[series] == Cut.TIME and bar.volume > 0:
            if time_ns - int(header.length[series]) >= bar.start_ns:
                shut(state, instrument, series)
    note_due(state, instrument)


@kernel
def note_due(state, instrument):
    """Find when an instrument's first time bar ends."""
    header, due = at(state, BARS), NEVER
    for series in range(header.series):
        bar = bar_of(state, instrument, series)
        if header.cut[series] == Cut.TIME and bar.volume > 0:
            due = min(due, int(bar.start_ns) + int(header.length[series]))
    at(due_address(state, instrument), DUE).due_ns = due


@kernel
def on_trade(state, instrument, time_ns, price, quantity):
    """Count a trade that was printed into every series; how many bars that closed."""
    header = at(state, BARS)
    header.closed = 0
    if not 0 <= instrument < header.instruments:
        return 0
    if not (0 < price <= LIMIT and 0 < quantity <= LIMIT):
        header.refused += 1
        return 0
    header.used = max(int(header.used), int(instrument) + 1)
    time_ns = sane(time_ns)
    for series in range(header.series):
        make_room(state, instrument, series, time_ns, int(quantity))
        enter(state, instrument, series, time_ns, int(price), int(quantity))
    note_due(state, instrument)
    return int(header.closed)


@kernel
def make_room(state, instrument, series, time_ns, quantity):
    """Close the bar that a trade does not belong to."""
    header, bar = at(state, BARS), bar_of(state, instrument, series)
    if bar.volume == 0:
        return
    if bar.volume > LIMIT - quantity:
        shut(state, instrument, series)
    elif header.cut[series] == Cut.TIME:
        length, since = int(header.length[series]), time_ns - int(bar.start_ns)
        if since >= length:
            shut(state, instrument, series)
        elif since < -length:
            header.set_back += 1
            shut(state, instrument, series)
        elif since < 0:
            header.late += 1


@kernel
def enter(state, instrument, series, time_ns, price, quantity):
    """Count a trade into a bar, a new one where none is open; close it where it is full then."""
    header, bar = at(state, BARS), bar_of(state, instrument, series)
    cut, length = int(header.cut[series]), int(header.length[series])
    if bar.volume == 0:
        bar.start_ns = time_ns // length * length if cut == Cut.TIME else time_ns
        bar.open = bar.high = bar.low = price
        bar.trades = bar.notional_high = bar.notional_low = 0
        bar.instrument, bar.series = instrument, series
    bar.high, bar.low, bar.close = max(int(bar.high), price), min(int(bar.low), price), price
    bar.volume += quantity
    bar.trades += 1
    high, low = add_product(int(bar.notional_high), int(bar.notional_low), price, quantity)
    bar.notional_high, bar.notional_low = high, low
    if (cut == Cut.TRADES and bar.trades >= length) or (cut == Cut.VOLUME and bar.volume >= length):
        shut(state, instrument, series)


@kernel
def shut(state, instrument, series):
    """Move a bar to those that are closed."""
    header = at(state, BARS)
    bar_address = due_address(state, header.instruments)
    bar_address += (int(instrument) * int(header.series) + series) * SIZE
    copy_words(state + CLOSED_AT + int(header.closed) * SIZE, bar_address, SIZE // 8)
    header.closed += 1
    at(bar_address, BAR).volume = 0
