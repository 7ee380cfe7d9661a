"""Lines of LOBSTER message files as EVENT records, and of order book files as numbers.

    seconds , type , order id , size , price * 10000 , direction
    34200.004241176,1,16113575,18,5853300,1

One line of six readable fields gives one event. Its `other` is the number of its line, from 1:
LOBSTER numbers no matches, and the line is what leads from an event back to the order book file.
"""

from ringbuf.atomics import at, store_relaxed
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Event, Side, State

FIELDS = 6
TIME, TYPE, ORDER, SIZE, PRICE, DIRECTION = range(FIELDS)

SUBMISSION, CANCELLATION, DELETION, EXECUTION, HIDDEN, CROSS, HALT = range(1, 8)

PRICE_DUMMY = 9_999_999_999  # of an empty level; a price lies below it
SIZE_MAX = 1 << 40
SECONDS_MAX = 2 * 86_400  # a session may run past midnight, not past another day
NANOSECONDS = 1_000_000_000

COMMA, RETURN, NEWLINE, DOT, MINUS, ZERO = (ord(mark) for mark in ",\r\n.-0")
UNREADABLE = -(1 << 63)  # stands for a field that is no number
EVENT_BYTES = EVENT.itemsize
LINE_MAX = 4_096  # bytes without a newline that are waited on; more are no line of this format
DIGITS_MAX = 18  # so that no number overflows

# Where a reader is in its file, what the last call did, and the fields of the line at hand.
READER = record(
    [
        ("base_ns", "i8"),  # the time of 00:00 of the file's date
        ("row", "i8"),  # lines met so far, the unreadable ones too, blank ones not
        ("final", "i8"),  # 1: nothing follows, so that a line without a newline is whole
        ("consumed", "i8"),  # bytes taken by the last call
        ("produced", "i8"),  # records written by the last call
        ("fields", "i8", (FIELDS,)),
    ]
)


@kernel
def decode(reader, address, size, target, limit, counters):
    """Turn whole lines into at most `limit` events; the reader says how far it came."""
    state = at(reader, READER)
    consumed, produced = 0, 0
    while consumed < size and produced < limit:
        start, rest = address + consumed, size - consumed
        length = line_length(start, rest)
        if length == 0 and state.final == 0 and rest <= LINE_MAX:
            break
        whole = length if length > 0 else rest
        text, slot = text_length(start, whole), target + produced * EVENT_BYTES
        produced += decode_line(reader, start, text, slot, counters)
        consumed += whole
    state.consumed, state.produced = consumed, produced
    at(counters, FEED_COUNTERS).bytes += consumed
    return produced


@kernel
def line_length(address, size):
    """Bytes up to and with the first newline, 0 where there is none."""
    for place in range(size):
        if load_u8(address + place) == NEWLINE:
            return place + 1
    return 0


@kernel
def text_length(address, size):
    """Bytes of a line without what ends it."""
    while size > 0 and load_u8(address + size - 1) in (RETURN, NEWLINE):
        size -= 1
    return size


@kernel
def decode_line(reader, address, size, target, counters):
    """Turn a line into the event at `target`: 1, or 0 where it was blank or refused, counted."""
    if size == 0:
        return 0
    state, count = at(reader, READER), at(counters, FEED_COUNTERS)
    state.row += 1
    if split(reader, address, size) != FIELDS or state.fields[TYPE] == UNREADABLE:
        count.bad_frames += 1
        count.skipped_bytes += size
        return 0
    kind = int(state.fields[TYPE])
    if not SUBMISSION <= kind <= HALT:
        count.unknown += 1
        count.skipped_bytes += size
        return 0
    count.messages += 1
    count.types[ZERO + kind] += 1
    if not plausible(reader):
        count.bad_values += 1
        return 0
    count.events += 1
    write_event(reader, target)
    return 1


@kernel
def split(reader, address, size):
    """Read the fields of a line; how many it has."""
    state, start, field = at(reader, READER), 0, 0
    for place in range(size + 1):
        if place < size and load_u8(address + place) != COMMA:
            continue
        if field == TIME:
            state.fields[field] = nanoseconds(address + start, place - start)
        elif field < FIELDS:
            state.fields[field] = integer(address + start, place - start)
        start, field = place + 1, field + 1
    return field


@kernel
def integer(address, size):
    """The decimal number of `size` bytes, UNREADABLE where it is none."""
    first = 1 if size > 0 and load_u8(address) == MINUS else 0
    if size <= first or size - first > DIGITS_MAX:
        return UNREADABLE
    value = 0
    for place in range(first, size):
        digit = load_u8(address + place) - ZERO
        if not 0 <= digit <= 9:
            return UNREADABLE
        value = value * 10 + digit
    return -value if first else value


@kernel
def nanoseconds(address, size):
    """Decimal seconds as whole nanoseconds; digits beyond the ninth are dropped."""
    point = size
    for place in range(size):
        if load_u8(address + place) == DOT:
            point = place
            break
    whole = integer(address, point)
    if not 0 <= whole < SECONDS_MAX or point == size - 1:
        return UNREADABLE
    part = 0
    for place in range(point + 1, size):
        digit = load_u8(address + place) - ZERO
        if not 0 <= digit <= 9:
            return UNREADABLE
        if place <= point + 9:
            part = part * 10 + digit
    for _ in range(9 - min(9, max(0, size - point - 1))):
        part *= 10
    return whole * NANOSECONDS + part


@kernel
def plausible(reader):
    """True where every field is possible for the type of the line."""
    fields = at(reader, READER).fields
    size, price, direction = int(fields[SIZE]), int(fields[PRICE]), int(fields[DIRECTION])
    if fields[TIME] == UNREADABLE or fields[ORDER] == UNREADABLE or abs(direction) != 1:
        return False
    if fields[TYPE] == HALT:
        return -1 <= price <= 1 and size >= 0
    if not (0 < size <= SIZE_MAX and 0 < price < PRICE_DUMMY):
        return False
    return int(fields[TYPE]) >= HIDDEN or fields[ORDER] > 0


@kernel
def write_event(reader, target):
    """Write the line at hand as an event."""
    state, event = at(reader, READER), at(target, EVENT)
    fields = state.fields
    kind = int(fields[TYPE])
    event.time_ns = state.base_ns + fields[TIME]
    event.arrived_ns, event.sequence = 0, 0
    event.instrument, event.source, event.flags = 0, 0, 0
    event.other = state.row
    event.kind = event_kind(kind)
    if kind == HALT:
        event.order, event.price, event.quantity, event.side = 0, 0, 0, Side.NONE
        event.flags = halt_state(int(fields[PRICE]))
        return
    event.order = fields[ORDER] if kind < HIDDEN else 0
    event.price, event.quantity = fields[PRICE], fields[SIZE]
    event.side = Side.BID if fields[DIRECTION] == 1 else Side.ASK
    if kind == CROSS:
        event.side = Side.NONE


@kernel
def event_kind(kind):
    """The kind of event that a LOBSTER type is."""
    if kind == SUBMISSION:
        return Event.ADD
    if kind == CANCELLATION:
        return Event.CANCEL
    if kind == DELETION:
        return Event.DELETE
    if kind == EXECUTION:
        return Event.EXECUTE
    if kind == HIDDEN:
        return Event.TRADE
    if kind == CROSS:
        return Event.CROSS
    return Event.STATUS


@kernel
def halt_state(price):
    """The trading state that the price of a halt line stands for."""
    if price < 0:
        return State.HALTED
    return State.QUOTING if price == 0 else State.TRADING


@kernel
def read_numbers(address, size, target, columns, limit):
    """Read lines of `columns` integers into rows of int64; how many rows, at most `limit`.

    A line with another number of fields, or one that is no number, is a row of UNREADABLE.
    """
    row, start = 0, 0
    while start < size and row < limit:
        length = line_length(address + start, size - start)
        whole = length if length > 0 else size - start
        text = text_length(address + start, whole)
        if text > 0:
            read_row(address + start, text, target + 8 * row * columns, columns)
            row += 1
        start += whole
    return row


@kernel
def read_row(address, size, target, columns):
    """Read one line of integers into int64 words."""
    start, field, good = 0, 0, True
    for place in range(size + 1):
        if place < size and load_u8(address + place) != COMMA:
            continue
        if field < columns:
            value = integer(address + start, place - start)
            store_relaxed(target + 8 * field, value)
            good = good and value != UNREADABLE
        start, field = place + 1, field + 1
    if field != columns or not good:
        for column in range(columns):
            store_relaxed(target + 8 * column, UNREADABLE)
