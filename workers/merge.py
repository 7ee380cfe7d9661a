"""Many staged sources into one ordered log: the compiled part of ingest.

    address -> | MERGE | SOURCE x sources | i4 x sources x CODES: instrument of (source, code) |
               | KNOWN x instruments |

Each source stages EVENT records of its own; the merge takes the earliest by event time (the
lower source number on a tie), so the log is a pure function of what the sources say; only live
ones are not waited for. Where it needs Python's help (a source to refill, an instrument to name)
it returns and says so. What ingest itself has to say (workers/almanac.py) goes into the log before
anything else; its `source` is OURS.
"""

from enum import IntEnum

from ringbuf.atomics import at, copy_words, cycles, pause
from ringbuf.clock import CLOCK, wall_ns
from ringbuf.jit import kernel
from ringbuf.record import LINE, offset, record
from ringbuf.ring import advance, claim, next_free, publish, room
from workers import rules
from workers.records import EVENT, Doubt, Event, Flag, Mark, State
from workers.rules import DROP, FLAG, HALT, LAW, QUALITY

CODES = 1 << 16  # a source's own instrument codes: 0 .. CODES - 1
SOURCES_MAX = 16
UNKNOWN, UNWANTED = 0, -1  # entries of the map; n > 0: instrument n - 1
NOBODY = -2  # in the place of an instrument's number: the event is refused
NEVER = (1 << 63) - 1
OURS = 255  # the source of what no feed has said
DAY_OVER = ord("C")  # the venue's SYSTEM code for that
SIZE = EVENT.itemsize


class Reason(IntEnum):
    """Why a turn of the merge returned."""

    BUDGET = 0  # it has done enough for now
    REFILL = 1  # source `asks` has nothing staged
    ANNOUNCED = 2  # the next event of source `asks` names an instrument
    FULL = 3  # the ring has no room
    WAITING = 4  # the next event is not due yet
    EXHAUSTED = 5  # no source has anything any more
    IDLE = 6  # the live ones have nothing now
    BOUNDARY = 7  # the next event, of source `asks`, is behind the end of a day or a phase
    INFORM = 8  # source `asks` has announced an instrument, or said that its day is over


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
        ("dropped", "i8"),  # left out by a rule
        ("repeated", "i8"),  # left out: in the log already, since before a restart
        ("abandoned", "i8"),  # staged by a process that died before they were in the log
        ("added", "i8"),  # events that ingest put in: by its rules, reference data, ends of days
        *((name, "i8") for name in rules.NAMES),  # events that broke a rule
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
        ("halting", "i8"),  # 1 + instrument that is to be halted before anything else leaves
        ("halting_ns", "i8"),  # by an event of this time
        ("halting_source", "i8"),
        ("boundary_ns", "i8"),  # an event of then or later waits for Reason.BOUNDARY; 0: none
        ("informs", "i8"),  # 1: announcements are told, and ends of days of venues
        ("inform", "i8"),  # 1: one of them has just gone into the log
        ("said", "i8"),  # address of what is to go into the log before anything else
        ("saying", "i8"),  # how many records that are
        ("told", "i8"),  # and how many of them are in it
        ("law", LAW),
    ]
)
SOURCE = record(
    [
        ("events", "i8"),  # address of the staged records
        ("head", "i8"),
        ("count", "i8"),
        ("finished", "i8"),
        ("live", "i8"),  # 1: the others do not wait for it
        ("newest_ns", "i8"),  # the latest event time it has told
        ("exempt", "i8"),  # 1: a log that was judged when it was made
        ("repeats", "i8"),  # so many events that would go into the log are there already
    ]
)
SOURCE_SIZE = SOURCE.itemsize
SOURCES_AT = -(-MERGE.itemsize // LINE) * LINE
CODES_AT = SOURCES_AT + SOURCES_MAX * SOURCE.itemsize
CODE = record([("instrument", "i4")])
KNOWN_AT = CODES_AT + SOURCES_MAX * CODES * CODE.itemsize
KNOWN = record(
    [
        ("quality", QUALITY),
        ("shown", "i8"),  # 1: its source has shown a whole book of it, and can do so again
    ]
)
LAW_AT = offset(MERGE, "law")
BROKEN_AT = offset(COUNTERS, rules.NAMES[0])
KNOWN_SIZE = KNOWN.itemsize
HALTED = int(State.HALTED | Mark.BARRED)


def bytes_needed(instruments: int) -> int:
    """Bytes of the state for so many instruments."""
    return KNOWN_AT + instruments * KNOWN_SIZE


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
        if at(state, MERGE).halting:
            sent += halt(state, writer, clock, counters, first + sent)
            continue
        if at(state, MERGE).told < at(state, MERGE).saying:
            sent += tell(state, writer, clock, counters, first + sent)
            taken += 1
            continue
        reason = choose(state)
        if reason != Reason.BUDGET and reason != Reason.ANNOUNCED:
            break
        due = due_time(state)
        if due > 0 and due > cycles():
            looks += 1
            pause()
            if looks > patience:
                reason = Reason.WAITING
                break
            continue
        if 0 < at(state, MERGE).boundary_ns <= chosen(state).time_ns:
            reason = Reason.BOUNDARY
        if reason != Reason.BUDGET:
            break
        taken += 1
        sent += pass_on(state, writer, clock, counters, first + sent, due)
        if at(state, MERGE).inform:
            at(state, MERGE).inform = 0
            reason = Reason.INFORM
            break
    if sent > 0:
        advance(writer, first + sent - 1)
    return reason, taken


@kernel
def choose(state):
    """Find the earliest next event; BUDGET: there is one to take, or ANNOUNCED, to name first."""
    header = at(state, MERGE)
    earliest, best, live = NEVER, -1, 0
    for number in range(header.sources):
        source = source_at(state, number)
        if source.head < source.count:
            time_ns = at(source.events + source.head * SIZE, EVENT).time_ns
            if best < 0 or time_ns < earliest:
                earliest, best = time_ns, number
        elif not source.finished:
            if not source.live:
                header.asks = number
                return Reason.REFILL
            live += 1
    if best < 0:
        return Reason.IDLE if live else Reason.EXHAUSTED
    header.asks = best
    event = chosen(state)
    if event.kind == Event.DIRECTORY and code_at(state, best, event).instrument == UNKNOWN:
        return Reason.ANNOUNCED
    return Reason.BUDGET


@kernel
def chosen(state):
    """The next event of the chosen source."""
    source = source_at(state, at(state, MERGE).asks)
    return at(source.events + source.head * SIZE, EVENT)


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
    time_ns = chosen(state).time_ns
    if header.started == 0:
        header.started = cycles()
        header.first_ns = time_ns
    if header.pace == Pace.RATE:
        return header.started + int(header.sent * header.interval)
    return header.started + int((time_ns - header.first_ns) * header.interval)


@kernel
def pass_on(state, writer, clock, counters, sequence, due):
    """Take the chosen event; how many events went into the log: refused ones are counted."""
    header, tally = at(state, MERGE), at(counters, COUNTERS)
    source = source_at(state, header.asks)
    place = source.events + source.head * SIZE
    event = at(place, EVENT)
    source.head += 1
    header.sent += 1
    tally.received += 1
    instrument = instrument_of(state, event, tally)
    if instrument < -1:
        return 0
    now = cycles()
    now_ns = wall_ns(at(clock, CLOCK), now)
    effect = weigh(state, counters, event, instrument, now_ns)
    if effect & DROP:
        tally.dropped += 1
        if not leaves_doubt(state, event, instrument):
            return 0
    elif source.repeats > 0 and rules.is_given(event):
        source.repeats -= 1
        tally.repeated += 1
        return 0
    tally.late += event.time_ns < header.last_ns
    header.last_ns = max(header.last_ns, event.time_ns)
    slot = claim(writer, sequence)
    copy_words(slot, place, SIZE // 8 - 1)
    logged = at(slot, EVENT)
    logged.arrived_ns = now_ns
    logged.source = header.asks
    logged.instrument = instrument
    if effect & DROP:
        say(slot, Event.STALE.value, Doubt.VALUE.value)
        tally.added += 1
    elif effect & FLAG:
        logged["flags"] |= Flag.SUSPECT
    publish(writer, sequence, due if due else now, now)
    tally.published += 1
    header.inform = header.informs and concerns_us(event)
    return 1


@kernel
def concerns_us(event):
    """Whether there may be something for ingest to say behind an event."""
    kind = event.kind
    return kind == Event.DIRECTORY or (kind == Event.SYSTEM and event["flags"] == DAY_OVER)


@kernel
def instrument_of(state, event, tally):
    """The number of an event's instrument, -1 for one of the session; less: refused, counted."""
    if event.kind == Event.SYSTEM or event.kind == Event.POSITION or rules.concerns_all(event):
        return -1
    entry = int(code_at(state, at(state, MERGE).asks, event).instrument)
    if entry > 0:
        return entry - 1
    tally.unknown_instrument += entry == UNKNOWN
    tally.unwanted += entry == UNWANTED
    return NOBODY


@kernel
def weigh(state, counters, event, instrument, now_ns):
    """What the rules make of an event: bits of effects; a halt is noted, to be told next."""
    header = at(state, MERGE)
    source = source_at(state, header.asks)
    effect = 0
    if instrument >= 0:
        place = quality_of(state, instrument)
        if not source.exempt:
            effect = rule(state, counters, event, instrument, now_ns)
        rules.remember(place, event)
        if event.kind == Event.CLEAR and event["flags"] & Flag.SNAPSHOT:
            at(place, KNOWN).shown = 1
    source.newest_ns = max(source.newest_ns, event.time_ns)
    return effect


@kernel
def rule(state, counters, event, instrument, now_ns):
    """The bits of all effects that an event of an instrument deserves."""
    header, place = at(state, MERGE), quality_of(state, instrument)
    source = source_at(state, header.asks)
    live_ns = now_ns if source.live else 0
    law, broken = state + LAW_AT, counters + BROKEN_AT
    effect = rules.judge(law, place, broken, event, source.newest_ns, live_ns)
    if effect & HALT and not at(place, QUALITY).halted:
        at(place, QUALITY).halted = 1
        header.halting, header.halting_source = instrument + 1, header.asks
        header.halting_ns = event.time_ns
    return effect


@kernel
def leaves_doubt(state, event, instrument):
    """Whether leaving an event out makes a book wrong that was not known to be: noted then."""
    quality = at(quality_of(state, instrument), QUALITY)
    if quality.doubtful or not rules.changes_book(event):
        return False
    quality.doubtful = 1
    return True


@kernel
def quality_of(state, instrument):
    """The address of what is known of an instrument."""
    return state + KNOWN_AT + int(instrument) * KNOWN_SIZE


@kernel
def say(slot, kind, flags):
    """Have an event say something else of its instrument."""
    event = at(slot, EVENT)
    event.order = event.other = event.price = event.quantity = 0
    event.kind, event.side, event["flags"] = kind, 0, flags


@kernel
def halt(state, writer, clock, counters, sequence):
    """Halt the instrument that a rule wants halted."""
    header, tally = at(state, MERGE), at(counters, COUNTERS)
    now = cycles()
    slot = claim(writer, sequence)
    event = at(slot, EVENT)
    event.time_ns, event.arrived_ns = header.halting_ns, wall_ns(at(clock, CLOCK), now)
    event.instrument, event.source = header.halting - 1, header.halting_source
    say(slot, Event.STATUS.value, HALTED)
    publish(writer, sequence, now, now)
    header.halting = 0
    tally.added += 1
    tally.published += 1
    return 1


@kernel
def tell(state, writer, clock, counters, sequence):
    """Put the next event that ingest itself has to say into the log."""
    header, tally = at(state, MERGE), at(counters, COUNTERS)
    place = header.said + header.told * SIZE
    event = at(place, EVENT)
    now = cycles()
    slot = claim(writer, sequence)
    copy_words(slot, place, SIZE // 8 - 1)
    at(slot, EVENT).arrived_ns = wall_ns(at(clock, CLOCK), now)
    if event.instrument >= 0:
        rules.remember(quality_of(state, event.instrument), event)
    header.last_ns = max(header.last_ns, event.time_ns)
    header.told += 1
    tally.added += 1
    tally.published += 1
    publish(writer, sequence, now, now)
    return 1
