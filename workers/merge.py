"""Many staged sources into one ordered log: the compiled part of ingest.

    address -> | MERGE | SOURCE x sources | i4 x sources x CODES: instrument of (source, code) |

Each source stages EVENT records of its own; the merge takes the earliest by event time (the
lower source number on a tie), so the log is a pure function of what the sources say. Where it
needs Python's help (a source to refill, an instrument to name) it returns and says so.
"""

from enum import IntEnum

from ringbuf.atomics import at, copy_words, cycles, pause
from ringbuf.clock import CLOCK, wall_ns
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from ringbuf.ring import advance, claim, next_free, publish, room
from workers.records import EVENT, Event

CODES = 1 << 16  # a source's own instrument codes: 0 .. CODES - 1
SOURCES_MAX = 16
UNKNOWN, UNWANTED = 0, -1  # entries of the map; n > 0: instrument n - 1
NEVER = (1 << 63) - 1
SIZE = EVENT.itemsize


class Reason(IntEnum):
    """Why a turn of the merge returned."""

    BUDGET = 0  # it has done enough for now
    REFILL = 1  # source `asks` has nothing staged
    ANNOUNCED = 2  # the next event of source `asks` names an instrument
    FULL = 3  # the ring has no room
    WAITING = 4  # the next event is not due yet
    EXHAUSTED = 5  # no source has anything any more


class Pace(IntEnum):
    """When an event may leave."""

    FULL = 0  # at once
    RATE = 1  # one every `interval` cycles
    RECORDED = 2  # as far apart as the venue's clock says, times `interval` cycles a nanosecond


COUNTERS = record(
    [
        ("received", "i8"),  # events staged by feeds and looked at
        ("published", "i8"),
        ("unknown_instrument", "i8"),  # refused: the source never announced its code
        ("unwanted", "i8"),  # left out: an instrument that the configuration does not name
        ("bad_quantity", "i8"),  # refused
        ("bad_price", "i8"),  # refused
        ("late", "i8"),  # passed on, but earlier than the event before by its own clock
        ("full", "i8"),  # turns that found the ring full
        ("instruments_full", "i8"),  # announcements refused: the limit of instruments is reached
    ]
)
MERGE = record(
    [
        ("sources", "i8"),
        ("asks", "i8"),
        ("last_ns", "i8"),
        ("pace", "i8"),
        ("interval", "f8"),
        ("started", "i8"),  # cycles when the first event left
        ("first_ns", "i8"),  # its event time
        ("sent", "i8"),  # events paced so far
        ("quantity_limit", "i8"),
        ("price_limit", "i8"),
    ]
)
SOURCE = record(
    [
        ("events", "i8"),  # address of the staged records
        ("head", "i8"),
        ("count", "i8"),
        ("finished", "i8"),
    ]
)
SOURCE_SIZE = SOURCE.itemsize
SOURCES_AT = -(-MERGE.itemsize // LINE) * LINE
CODES_AT = SOURCES_AT + SOURCES_MAX * SOURCE.itemsize
BYTES = CODES_AT + SOURCES_MAX * CODES * 4
CODE = record([("instrument", "i4")])


@kernel
def turn(state, writer, clock, counters, limit, patience):
    """Move up to `limit` events into the log; (Reason, how many were taken)."""
    first = next_free(writer)
    free = room(writer, first, limit)
    if limit > 0 and free < 1:
        at(counters, COUNTERS).full += 1
        return Reason.FULL, 0
    taken = sent = looks = 0
    reason = Reason.BUDGET
    while sent < free and taken < limit:
        reason = choose(state)
        if reason != Reason.BUDGET:
            break
        due = due_time(state)
        if due > 0 and due > cycles():
            looks += 1
            pause()
            if looks > patience:
                reason = Reason.WAITING
                break
            continue
        taken += 1
        sent += pass_on(state, writer, clock, counters, first + sent, due)
    if sent > 0:
        advance(writer, first + sent - 1)
    return reason, taken


@kernel
def choose(state):
    """Find the source whose next event is the earliest; BUDGET where there is one to take."""
    header = at(state, MERGE)
    earliest, best = NEVER, -1
    for number in range(header.sources):
        source = source_at(state, number)
        if source.head < source.count:
            time_ns = at(source.events + source.head * SIZE, EVENT).time_ns
            if best < 0 or time_ns < earliest:
                earliest, best = time_ns, number
        elif not source.finished:
            header.asks = number
            return Reason.REFILL
    if best < 0:
        return Reason.EXHAUSTED
    header.asks = best
    source = source_at(state, best)
    event = at(source.events + source.head * SIZE, EVENT)
    if event.kind == Event.DIRECTORY and code_at(state, best, event).instrument == UNKNOWN:
        return Reason.ANNOUNCED
    return Reason.BUDGET


@kernel
def source_at(state, number):
    """The SOURCE record of a source."""
    return at(state + SOURCES_AT + number * SOURCE_SIZE, SOURCE)


@kernel
def code_at(state, source, event):
    """The map's entry for an event's own instrument code."""
    return at(code_place(state, source, event.instrument), CODE)


@kernel
def code_place(state, source, code):
    """Where the map's entry for a source's own instrument code lies."""
    code = max(0, min(int(code), CODES - 1))
    return state + CODES_AT + (source * CODES + code) * 4


@kernel
def due_time(state):
    """The cycle count at which the chosen event is meant to leave; 0: at once."""
    header = at(state, MERGE)
    if header.pace == Pace.FULL:
        return 0
    source = source_at(state, header.asks)
    event = at(source.events + source.head * SIZE, EVENT)
    if header.started == 0:
        header.started = cycles()
        header.first_ns = event.time_ns
    if header.pace == Pace.RATE:
        return header.started + int(header.sent * header.interval)
    return header.started + int((event.time_ns - header.first_ns) * header.interval)


@kernel
def pass_on(state, writer, clock, counters, sequence, due):
    """Take the chosen event; 1 when it went into the log, 0 when it was refused (and counted)."""
    header, tally = at(state, MERGE), at(counters, COUNTERS)
    source = source_at(state, header.asks)
    event = at(source.events + source.head * SIZE, EVENT)
    source.head += 1
    header.sent += 1
    tally.received += 1
    if not acceptable(state, event, tally):
        return 0
    tally.late += event.time_ns < header.last_ns
    header.last_ns = max(header.last_ns, event.time_ns)
    now = cycles()
    slot = claim(writer, sequence)
    copy_words(slot, source.events + (source.head - 1) * SIZE, SIZE // 8 - 1)
    logged = at(slot, EVENT)
    logged.arrived_ns = wall_ns(at(clock, CLOCK), now)
    logged.source = header.asks
    logged.instrument = -1
    if event.kind != Event.SYSTEM:
        logged.instrument = code_at(state, header.asks, event).instrument - 1
    publish(writer, sequence, due if due else now, now)
    tally.published += 1
    return 1


@kernel
def acceptable(state, event, tally):
    """True for an event that may go into the log; what is refused is counted by its rule."""
    header = at(state, MERGE)
    if event.kind == Event.SYSTEM:
        return True
    instrument = code_at(state, header.asks, event).instrument
    if instrument == UNKNOWN:
        tally.unknown_instrument += 1
        return False
    if instrument == UNWANTED:
        tally.unwanted += 1
        return False
    if event.kind == Event.DIRECTORY:
        return True
    return priced(header, event, tally)


@kernel
def priced(header, event, tally):
    """True where price and quantity are what an event of its kind may have."""
    kind = event.kind
    sized = Event.ADD <= kind <= Event.CANCEL or Event.REPLACE <= kind <= Event.TRADE
    if (sized and event.quantity < 1) or event.quantity > header.quantity_limit:
        tally.bad_quantity += 1
        return False
    if kind == Event.ADD or kind == Event.EXECUTE_AT or Event.REPLACE <= kind <= Event.TRADE:
        if event.price < 1 or event.price > header.price_limit:
            tally.bad_price += 1
            return False
    return True
