"""Databento DBN records to EVENT records, with nothing that a damaged stream can break.

Orders give ADD, CANCEL, MODIFY and CLEAR; levels give SET where they changed; trades give TRADE,
on the side of who was hit. A record without F_LAST has more of the venue's event behind it (PART).
Events carry the venue's time, those of a snapshot the time of the snapshot. Quotes in intervals,
consolidated ones, bars, statistics and imbalances carry nothing for the log. An instrument's
events come from one type of records, the most telling that came.

The decoder is handed stretches of bytes that grow at their end. It stops where it would have to
look beyond them, so where stretches are cut changes nothing.
"""

from ringbuf.atomics import at, copy_words
from ringbuf.jit import kernel
from ringbuf.wire import load_u8
from workers.kernels.dbn_frames import MORE, lose, next_record
from workers.kernels.dbn_instruments import code_of, look_at, rename
from workers.kernels.dbn_levels import quote, trade
from workers.kernels.dbn_orders import order, plain_order
from workers.kernels.dbn_records import (
    DEFINITION,
    ERROR,
    ERROR_CODE_AT,
    HEADER,
    INCREMENT,
    MAPPING,
    MBO,
    MBP_0,
    MBP_1,
    MBP_10,
    SKIPPED_RECORDS,
    STATE_CHANGE,
    STATUS,
    WORD,
)
from workers.kernels.dbn_state import (
    DBN_STATE,
    EVENT_SIZE,
    IGNORED,
    MOST,
    NO_SIDE,
    REFUSED,
    WRITTEN,
    announce,
    finish,
    instrument_at,
    put,
    spread_doubt,
    timed,
    units,
    whole,
)
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import Event, State

HEAD = HEADER.itemsize
STATED, TERMS = int(Event.STATUS), int(Event.TERMS)
UNKNOWN, TRADING, HALTED = int(State.UNKNOWN), int(State.TRADING), int(State.HALTED)
PAUSED, QUOTING = int(State.PAUSED), int(State.QUOTING)
YES, NO, DELETED = (ord(letter) for letter in "YND")
# DBN's actions: none, pre-open, pre-cross, quoting, cross, rotation, new price indication, trading,
# halt, pause, suspend, pre-close, close, post-close, short selling restricted, not available.
STATES = (
    UNKNOWN, QUOTING, QUOTING, QUOTING, QUOTING, QUOTING, QUOTING, TRADING,
    HALTED, PAUSED, HALTED, UNKNOWN, HALTED, HALTED, UNKNOWN, HALTED,
)  # fmt: skip


@kernel
def decode(state, data, length, target, limit):
    """Turn the records in `length` bytes into at most `limit` events; return how many.

    `consumed` of the state says how many bytes are done with; the rest is to be handed over
    again, with what follows it. A record's events that find no room wait for the next call.
    """
    header = at(state, DBN_STATE)
    position, plain, written = 0, 0, hand_out(state, target, limit)
    while written < limit:
        place = target + written * EVENT_SIZE
        if header.doubtful > 0 and spread_doubt(state, place):
            count_made(state, 1)
            written += 1
            continue
        room = limit - written
        if room < MOST and written > 0:
            break
        size = next_record(state, data + position, length - position)
        if size == MORE:
            break
        if size < 0:
            position -= size
            continue
        if load_u8(data + position + 1) == MBO and plain_order(state, data + position, place):
            position += size
            plain += 1
            written += 1
            continue
        read(state, data + position, place if room >= MOST else int(header.desk))
        position += size
        if room >= MOST:
            written += int(header.made)
        else:
            header.waiting, header.handed = header.made, 0
            written += hand_out(state, place, room)
            break
    header.consumed = position
    counts = at(int(header.counters), FEED_COUNTERS)
    counts.bytes += position
    counts.messages += plain
    counts.types[MBO] += plain
    counts.events += plain
    return written


@kernel
def hand_out(state, target, limit):
    """Write events that wait, at most so many; return how many."""
    header, count = at(state, DBN_STATE), 0
    while count < limit and header.handed < header.waiting:
        copy_words(
            target + count * EVENT_SIZE,
            int(header.desk) + int(header.handed) * EVENT_SIZE,
            EVENT_SIZE // 8,
        )
        header.handed += 1
        count += 1
    return count


@kernel
def count_made(state, count):
    """Note events that no record tells."""
    counters = at(int(at(state, DBN_STATE).counters), FEED_COUNTERS)
    counters.events += count
    counters.further += count


@kernel
def read(state, message, place):
    """Write the events of a whole record at a place, and count it and what became of it."""
    header = at(state, DBN_STATE)
    header.pen, header.made, header.announced = place, 0, 0
    verdict = translate(state, message)
    if header.made > 0:
        header.last_ns = header.time_ns
    counts = at(int(header.counters), FEED_COUNTERS)
    counts.messages += 1
    counts.types[load_u8(message + 1)] += 1
    counts.events += header.made
    if header.made > 1 or verdict != WRITTEN:
        counts.announced += header.announced
        counts.further += header.made - header.announced - (verdict == WRITTEN)
        counts.ignored += verdict == IGNORED
        counts.bad_values += verdict == REFUSED


@kernel
def translate(state, message):
    """Write what a whole record says: WRITTEN, IGNORED or REFUSED."""
    kind = load_u8(message + 1)
    if kind == MBO:
        return order(state, message)
    if kind in (MBP_1, MBP_10):
        return quote(state, message)
    if kind == MBP_0:
        return trade(state, message)
    if kind == STATUS:
        return status(state, message)
    if kind == DEFINITION:
        return definition(state, message)
    return administer(state, message, kind)


@kernel
def status(state, message):
    """The trading state of an instrument."""
    header, record = at(state, DBN_STATE), at(message, STATE_CHANGE)
    action, trading = whole(record.action), state_of(message)
    if action >= len(STATES) or not timed(state, int(record.ts_event), int(record.ts_recv)):
        return REFUSED
    if trading == UNKNOWN:
        return IGNORED
    first = int(header.pen)
    code = code_of(state, message)
    if code < 0:
        return REFUSED
    put(state, code, STATED, NO_SIDE, trading, 0, 0, 0, 0)
    finish(state, code, first, False)
    return WRITTEN


@kernel
def state_of(message):
    """The state that an action stands for, or the record's own word; UNKNOWN: it tells none."""
    record = at(message, STATE_CHANGE)
    action = whole(record.action)
    known = STATES[action] if action < len(STATES) else UNKNOWN
    if known == UNKNOWN and record.trading == YES:
        return TRADING
    if known == UNKNOWN and record.trading == NO and record.quoting == YES:
        return QUOTING
    return known


@kernel
def definition(state, message):
    """What an instrument is."""
    header, record = at(state, DBN_STATE), at(message, INCREMENT)
    if load_u8(message + int(header.update_action)) == DELETED:
        return IGNORED
    if not timed(state, int(record.ts_event), int(record.ts_recv)):
        return REFUSED
    first = int(header.pen)
    header.given = message + int(header.raw_symbol)
    code = code_of(state, message)
    header.given = 0
    if code < 0:
        return REFUSED
    if header.announced:
        header.announced = 0  # by its own record
    else:
        announce(state, code)
    tick = units(state, code, int(record.min_price_increment))
    instrument_at(state, code).tick = tick
    if tick > 0:
        put(state, code, TERMS, NO_SIDE, 0, tick, 0, 0, 0)
    finish(state, code, first, False)
    return WRITTEN


@kernel
def administer(state, message, kind):
    """Mappings name ids; an error may say that records were left out; nothing else matters."""
    header = at(state, DBN_STATE)
    if kind == MAPPING:
        identity = whole(at(message, HEADER).instrument)
        rename(state, identity, message + int(header.out_symbol))
    elif kind == ERROR and header.version > 1:
        if load_u8(message + ERROR_CODE_AT) == SKIPPED_RECORDS:
            lose(state)
    return IGNORED


@kernel
def look_ahead(state, data, length):
    """Learn from the well-formed records of the first bytes which decimals prices need."""
    header, position = at(state, DBN_STATE), 0
    while length - position >= HEAD:
        size = int(header.sizes[load_u8(data + position + 1)])
        if size == 0 or load_u8(data + position) * WORD != size or size > length - position:
            break
        look_at(state, data + position)
        position += size
