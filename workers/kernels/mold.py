"""MoldUDP64 packets and sessions: what is one, whose it is, and what to ask for.

    0            10              18          20
    | session    | sequence u64  | count u16 | count times: length u16, message ...   (big-endian)

Count 0 is a heartbeat, 0xFFFF the end of the session: both name the number that comes next. A
request is a header without messages, `count` as wanted; its answer is a packet like any other.
(NASDAQ, MoldUDP64 Protocol Specification 1.00.)
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import offset, record
from ringbuf.wire import load_i64, load_u8, load_u16, load_word, store_i64, store_u16, store_word
from workers.kernels.arbiter import (
    ARBITER,
    ASK,
    GIVEN_UP,
    begin,
    give_up,
    heard,
    line_at,
    measure_lag,
    tend,
)
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch import CODES, DAY_NS
from workers.kernels.itch_frames import ITCH_STATE, PREFIX
from workers.records import Doubt, Event

HEADER = 20  # bytes before the messages
SESSION, SEQUENCE, COUNT = 0, 10, 18  # offsets
HEARTBEAT, END = 0, 0xFFFF  # counts
ASKED_MAX = 0xFFFE  # messages that one request can ask for
LEAP = 1 << 32  # so many messages are never missed at once: a number that far ahead is no number
FIRST = 1  # the number of a session's first message
STALE, CLEAR = int(Event.STALE), int(Event.CLEAR)
GAP, NO_SNAPSHOT = int(Doubt.GAP), int(Doubt.NO_SNAPSHOT)
SWEPT = CODES  # no sweep is under way

PACKET = record([("address", "i8"), ("length", "i8"), ("line", "i8"), ("arrived_ns", "i8")])
PACKET_SIZE = PACKET.itemsize
MOLD = record(
    [
        ("counters", "i8"),  # address of a FEED_COUNTERS record
        ("itch", "i8"),  # address of an ITCH_STATE
        ("arbiter", "i8"),
        ("batch", "i8"),  # address of the PACKET records
        ("packets", "i8"),  # how many there are
        ("packet", "i8"),  # how many of them are done with
        ("now_ns", "i8"),
        ("timed", "i8"),  # 1: the packets' own times are the clock, as in a capture
        ("dated", "i8"),  # 1: the day was given; else it is the one on which a session is joined
        ("message", "i8"),  # the packet in hand: address of its next message
        ("sequence", "i8"),  # that message's number
        ("messages", "i8"),  # how many are left
        ("bytes", "i8"),  # and their bytes
        ("line", "i8"),
        ("stretch", "i8"),  # address of the frames that are being decoded
        ("stretch_bytes", "i8"),
        ("sweep", "i8"),  # the next code that a STALE, FRESH or CLEAR is written for
        ("sweep_kind", "i8"),
        ("last_ns", "i8"),  # event time of the last event
        ("session", "i8"),  # the first eight bytes
        ("session_end", "i8"),  # the last two
        ("before", "i8"),  # the session before this one
        ("before_end", "i8"),
        ("joined", "i8"),  # 1: the session is known
        ("fixed", "i8"),  # 1: it was given; nothing else is believed
        ("renew", "i8"),  # 1: another session may follow
        ("from_start", "i8"),  # 1: a session is wanted from its first message on
        ("ended", "i8"),  # 1: the session is over
        ("resume", "i8"),  # where to go on in a session that was read before; 0: nowhere
        ("resume_session", "i8"),  # its number; 0: whichever session it is
        ("resume_doubt", "i8"),  # what was doubted there
        ("skip", "i8"),  # events to leave out, as they are kept already
        ("asking", "i8"),  # 1: `request` is to be sent
        ("foreign", "i8"),  # packets of another session, refused
        ("malformed", "i8"),  # packets refused for what they are
        ("request", "u1", (24,)),
    ]
)
REQUEST_AT = offset(MOLD, "request")


@kernel
def start_sweep(state, kind):
    """Tell of something that concerns every instrument."""
    header = at(state, MOLD)
    header.sweep, header.sweep_kind = 0, kind


@kernel
def lose(state):
    """Give a gap up, and say that no book is to be trusted from here on."""
    header = at(state, MOLD)
    give_up(int(header.arbiter))
    doubt_all(state)


@kernel
def doubt_all(state):
    """Messages are lost: they may have concerned any instrument."""
    at(int(at(state, MOLD).itch), ITCH_STATE).doubt = GAP
    start_sweep(state, STALE)


@kernel
def settle(state):
    """Do what the time demands; whether there is anything to write for it."""
    header = at(state, MOLD)
    verdict = tend(int(header.arbiter), header.now_ns)
    if verdict == ASK:
        ask(state)
    elif verdict == GIVEN_UP:
        doubt_all(state)
    return verdict == GIVEN_UP


@kernel
def ask(state):
    """Make out a request for the gap, or its beginning where it is too long for one."""
    header = at(state, MOLD)
    arbiter = at(int(header.arbiter), ARBITER)
    request = state + REQUEST_AT
    store_word(request, header.session)
    store_u16(request + 8, header.session_end)
    store_i64(request + SEQUENCE, arbiter.next)
    store_u16(request + COUNT, min(arbiter.gap_end - arbiter.next, ASKED_MAX))
    header.asking = 1


@kernel
def take_up(state):
    """Look at the next packet; whether it is done with, or in hand: else it is to come again."""
    header = at(state, MOLD)
    packet = at(header.batch + header.packet * PACKET_SIZE, PACKET)
    if header.timed and packet.arrived_ns > header.now_ns:
        header.now_ns = packet.arrived_ns
    if header.timed and settle(state):
        return False
    address, length = int(packet.address), int(packet.length)
    header.line = packet.line
    if not well_formed(address, length):
        refuse(state, length)
        header.malformed += 1
        return True
    sequence, count = load_i64(address + SEQUENCE), load_u16(address + COUNT)
    if not of_session(state, address):
        if not header.renew or was_before(state, address):
            refuse(state, length)
            header.foreign += 1
            return True
        if not renewed(state):
            return False
    arbiter = int(header.arbiter)
    if sequence - max(FIRST, at(arbiter, ARBITER).known) > LEAP:
        refuse(state, length)
        header.malformed += 1
        return True
    if not header.joined:
        join(state, address, sequence)
    if count == END:
        header.ended, count = 1, 0
    measure_lag(arbiter, header.line, sequence, count, packet.arrived_ns)
    heard(arbiter, header.line, sequence, count, header.now_ns)
    header.message, header.sequence = address + HEADER, sequence
    header.messages, header.bytes = count, length - HEADER
    return True


@kernel
def well_formed(address, length):
    """Whether bytes are one packet: a header, and as many messages as it says fill the rest."""
    if length < HEADER or load_i64(address + SEQUENCE) < FIRST:
        return False
    for place in range(SESSION, SEQUENCE):
        byte = load_u8(address + place)
        if byte < 32 or byte > 126:
            return False
    count = load_u16(address + COUNT)
    if count in (HEARTBEAT, END):
        return length == HEADER
    position = HEADER
    for _ in range(count):
        if length - position < PREFIX:
            return False
        position += PREFIX + load_u16(address + position)
    return position == length


@kernel
def refuse(state, length):
    """Count a packet that is not believed."""
    header = at(state, MOLD)
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.bad_frames += 1
    counters.bytes += length
    counters.skipped_bytes += length
    line_at(int(header.arbiter), header.line).refused += 1


@kernel
def of_session(state, address):
    """Whether a packet is of the session that is read; any is, where none is yet."""
    header = at(state, MOLD)
    if not header.joined and not header.fixed:
        return not was_before(state, address)
    return load_word(address) == header.session and load_u16(address + 8) == header.session_end


@kernel
def was_before(state, address):
    """Whether a packet is of the session before: a slow line's."""
    header = at(state, MOLD)
    return load_word(address) == header.before and load_u16(address + 8) == header.before_end


@kernel
def renewed(state):
    """Make an end of the session read so far; whether all of it is out."""
    header = at(state, MOLD)
    arbiter = at(int(header.arbiter), ARBITER)
    if arbiter.next < arbiter.known:
        lose(state)
        return False
    header.before, header.before_end = header.session, header.session_end
    header.joined = header.fixed = header.ended = header.asking = 0
    return True


@kernel
def join(state, address, sequence):
    """Begin a session: with its first message, with this packet, or where it was left."""
    header = at(state, MOLD)
    itch = at(int(header.itch), ITCH_STATE)
    header.session, header.session_end = load_word(address), load_u16(address + 8)
    header.joined = 1
    itch.doubt = itch.untold = 0
    if not header.dated:
        itch.midnight_ns = header.now_ns // DAY_NS * DAY_NS
    header.last_ns = max(header.last_ns, itch.midnight_ns)
    first, known = sequence, header.resume_session in (0, session_number(state))
    another = header.before != 0 or (header.resume > 0 and not known)
    if header.resume > 0 and known:
        first, itch.doubt = header.resume, header.resume_doubt
    elif header.from_start:
        first, header.skip = FIRST, 0
    else:
        itch.doubt, header.skip = (NO_SNAPSHOT if sequence > FIRST else 0), 0
    header.resume = 0
    begin(int(header.arbiter), first)
    at(int(header.counters), FEED_COUNTERS).connects += 1
    if another:
        header.resume = -1
        start_sweep(state, CLEAR)


@kernel
def session_number(state):
    """The ten bytes of the session as one positive number (FNV-1a by 32 bits)."""
    header = at(state, MOLD)
    low, high = header.session & 0xFFFFFFFF, (header.session >> 32) & 0xFFFFFFFF
    value = 0x1465C5F3
    for part in (low, high, header.session_end):
        value = ((value ^ int(part)) * 0x100000001B3) & 0x7FFFFFFFFFFFFFFF
    return value
