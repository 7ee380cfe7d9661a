"""NASDAQ TotalView-ITCH 5.0 bytes to EVENT records, with nothing that a damaged file can break.

A frame is a 2-byte big-endian length and a message of that many bytes; a message starts with

    0      1            3               5                        11
    | type | locate u16 | tracking u16  | ns since midnight u48  | fields of the type ...

The decoder is handed stretches of bytes that grow at their end. It stops where it would have to
look beyond them, so where stretches are cut changes nothing.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.wire import load_i64, load_u8, load_u16, load_u32, load_u48, load_word
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch_frames import (
    FORM,
    ITCH_STATE,
    KIND,
    MORE,
    ORDER_AT,
    OTHER_AT,
    OTHER_MASK,
    PREFIX,
    PRICE_AT,
    PRICE_MASK,
    QUANTITY_AT,
    QUANTITY_MASK,
    SIDE_AT,
    next_frame,
)
from workers.records import EVENT, Event, Flag, Side, State

PRICE_UNITS = 10_000  # in one unit of currency
DAY_NS = 86_400 * 10**9
CODES = 1 << 16  # locate codes there can be
SPACES = int.from_bytes(b" " * 8, "little")
EVENT_SIZE = EVENT.itemsize
WRITTEN, IGNORED, REFUSED = 1, 0, -1

A, B, C, D, E, F = (ord(letter) for letter in "ABCDEF")
H, N, P, Q, R, S = (ord(letter) for letter in "HNPQRS")
T, U, X, Y = (ord(letter) for letter in "TUXY")
BID, ASK, NO_SIDE = (int(side) for side in (Side.BID, Side.ASK, Side.NONE))
ADD, EXECUTE, EXECUTE_AT = (int(k) for k in (Event.ADD, Event.EXECUTE, Event.EXECUTE_AT))
CANCEL, DELETE, REPLACE = (int(k) for k in (Event.CANCEL, Event.DELETE, Event.REPLACE))
TRADE, CROSS, BREAK = (int(k) for k in (Event.TRADE, Event.CROSS, Event.BREAK))
STATUS, DIRECTORY, SYSTEM = (int(k) for k in (Event.STATUS, Event.DIRECTORY, Event.SYSTEM))
STALE = int(Event.STALE)
UNPRINTED, INFERRED = int(Flag.UNPRINTED), int(Flag.INFERRED)
UNKNOWN, TRADING, HALTED = (int(s) for s in (State.UNKNOWN, State.TRADING, State.HALTED))
PAUSED, QUOTING = int(State.PAUSED), int(State.QUOTING)


@kernel
def decode(state, data, length, target, limit):
    """Turn the frames in `length` bytes into at most `limit` events; return how many.

    `consumed` of the state says how many bytes are done with; the rest is to be handed over
    again, with what follows it. At most one call's bytes and events are looked at: no call runs
    longer than its input.
    """
    header = at(state, ITCH_STATE)
    position = written = messages = events = 0
    while written < limit:
        if header.untold > 0:
            written += tell_doubt(state, target + written * EVENT_SIZE)
            continue
        size = next_frame(state, data + position, length - position)
        if size == MORE:
            break
        if size < 0:
            position -= size
            continue
        message = data + position + PREFIX
        verdict = translate(state, message, target + written * EVENT_SIZE)
        if verdict == WRITTEN and must_announce(state, message):
            verdict = announce(state, message, target + written * EVENT_SIZE)
            if verdict == WRITTEN:  # the message itself is read again, after its instrument
                written += 1
                continue
        count(int(header.counters), message, verdict)
        messages += 1
        if verdict == WRITTEN:
            events += 1
            written += 1
        position += size
    header.consumed = position
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.bytes += position
    counters.messages += messages
    counters.events += events
    return written


@kernel
def count(counters, message, verdict):
    """Note the type of one whole message, and whether it was left out."""
    counts = at(counters, FEED_COUNTERS)
    counts.types[load_u8(message)] += 1
    if verdict == IGNORED:
        counts.ignored += 1
    elif verdict == REFUSED:
        counts.bad_values += 1


@kernel
def must_announce(state, message):
    """Whether a message names an instrument that was not announced yet."""
    header = at(state, ITCH_STATE)
    new = header.announced[load_u16(message + 1)] == 0
    return (header.symbols[load_u8(message)] > 0) & new


@kernel
def announce(state, message, target):
    """Write a DIRECTORY event from the symbol in another message."""
    header = at(state, ITCH_STATE)
    verdict = directory(state, message, int(header.symbols[load_u8(message)]), INFERRED, target)
    if verdict == WRITTEN:
        counters = at(int(header.counters), FEED_COUNTERS)
        counters.announced += 1
        counters.events += 1
    return verdict


@kernel
def directory(state, message, offset, flags, target):
    """Write a DIRECTORY event from the symbol at an offset of a message, and remember it."""
    if not is_symbol(message + offset):
        return REFUSED
    header, locate = at(state, ITCH_STATE), load_u16(message + 1)
    if header.doubt > 0 and not header.announced[locate]:
        header.untold, header.last_ns = locate + 1, header.midnight_ns + load_u48(message + 5)
    header.announced[locate] = 1
    symbol = load_word(message + offset)
    numbers(target, symbol, SPACES, SPACES, PRICE_UNITS)
    return tags(state, message, target, DIRECTORY, NO_SIDE, flags)


@kernel
def tell_doubt(state, target):
    """Write that the book of an instrument announced too late is not to be trusted."""
    header = at(state, ITCH_STATE)
    made_up(state, header.untold - 1, STALE, header.doubt, header.last_ns, target)
    header.untold = 0
    return 1


@kernel
def made_up(state, code, kind, flags, time_ns, target):
    """Write an event of an instrument that no message gave."""
    numbers(target, 0, 0, 0, 0)
    event = at(target, EVENT)
    event.time_ns = time_ns
    event.instrument = code
    event.kind = kind
    event.side = NO_SIDE
    event.flags = flags
    counters = at(int(at(state, ITCH_STATE).counters), FEED_COUNTERS)
    counters.further += 1
    counters.events += 1


@kernel
def sweep(state, code, kind, flags, time_ns, target, limit):
    """Write an event for each instrument announced, from a code on; (next code, how many)."""
    header = at(state, ITCH_STATE)
    written = 0
    while code < CODES and written < limit:
        if header.announced[code]:
            made_up(state, code, kind, flags, time_ns, target + written * EVENT_SIZE)
            written += 1
        code += 1
    return code, written


@kernel
def is_symbol(address):
    """Whether eight bytes are printable ASCII that does not start with a space."""
    for place in range(8):
        byte = load_u8(address + place)
        if byte < 32 or byte > 126 or (byte == 32 and place == 0):
            return False
    return True


@kernel
def translate(state, message, target):
    """Write what a whole message says as an event: WRITTEN, IGNORED or REFUSED."""
    if load_u48(message + 5) >= DAY_NS:
        return REFUSED
    letter = load_u8(message)
    form = letter * FORM
    if at(state, ITCH_STATE).forms[form + KIND] > 0:
        return resting(state, message, form, target)
    if letter == C:
        return execute_at(state, message, target)
    if letter in (P, Q, B):
        return trade(state, message, letter, target)
    return administer(state, message, letter, target)


@kernel
def resting(state, message, form, target):
    """A, F, E, X, D and U: a resting order comes, or something befalls it.

    A table says where the fields are, and a mask whether there are any: without branches, as
    no processor can guess which type comes next.
    """
    forms = at(state, ITCH_STATE).forms
    order = load_i64(message + ORDER_AT)
    other = load_i64(message + int(forms[form + OTHER_AT])) & forms[form + OTHER_MASK]
    price = load_u32(message + int(forms[form + PRICE_AT])) & forms[form + PRICE_MASK]
    quantity = load_u32(message + int(forms[form + QUANTITY_AT])) & forms[form + QUANTITY_MASK]
    side = at(state, ITCH_STATE).sides[load_u8(message + int(forms[form + SIDE_AT]))]
    if (order < 0) | (other < 0) | ((side == NO_SIDE) & (forms[form + SIDE_AT] > 0)):
        return REFUSED
    numbers(target, order, other, price, quantity)
    return tags(state, message, target, forms[form + KIND], side, 0)


@kernel
def execute_at(state, message, target):
    """C: order, shares, match, printable, price."""
    order, match, printable = load_i64(message + 11), load_i64(message + 23), load_u8(message + 31)
    if order < 0 or match < 0 or printable not in (Y, N):
        return REFUSED
    numbers(target, order, match, load_u32(message + 32), load_u32(message + 19))
    flags = UNPRINTED if printable == N else 0
    return tags(state, message, target, EXECUTE_AT, NO_SIDE, flags)


@kernel
def trade(state, message, letter, target):
    """P: a hidden order traded; Q: an auction traded; B: a trade was broken."""
    if letter == P:
        order, side = load_i64(message + 11), side_of(load_u8(message + 19))
        match = load_i64(message + 36)
        if order < 0 or match < 0 or side == NO_SIDE:
            return REFUSED
        numbers(target, order, match, load_u32(message + 32), load_u32(message + 20))
        return tags(state, message, target, TRADE, side, 0)
    if letter == Q:
        quantity, match = load_i64(message + 11), load_i64(message + 31)
        if quantity < 0 or match < 0:
            return REFUSED
        numbers(target, 0, match, load_u32(message + 27), quantity)
        return tags(state, message, target, CROSS, NO_SIDE, 0)
    match = load_i64(message + 11)
    if match < 0:
        return REFUSED
    numbers(target, 0, match, 0, 0)
    return tags(state, message, target, BREAK, NO_SIDE, 0)


@kernel
def administer(state, message, letter, target):
    """S, R and H speak of the session and of instruments; nothing else concerns the log."""
    if letter == R:
        return directory(state, message, 11, 0, target)
    if letter == H:
        trading = state_of(load_u8(message + 19))
        if trading == UNKNOWN:
            return REFUSED
        numbers(target, 0, 0, 0, 0)
        return tags(state, message, target, STATUS, NO_SIDE, trading)
    if letter == S:
        code = load_u8(message + 11)
        if not at(state, ITCH_STATE).system_codes[code]:
            return REFUSED
        numbers(target, 0, 0, 0, 0)
        return tags(state, message, target, SYSTEM, NO_SIDE, code)
    return IGNORED


@kernel
def side_of(letter):
    """The side that B or S stands for; NONE for any other letter."""
    if letter == B:
        return BID
    return ASK if letter == S else NO_SIDE


@kernel
def state_of(letter):
    """The trading state that a letter stands for; UNKNOWN for one that stands for none."""
    if letter == T:
        return TRADING
    if letter == H:
        return HALTED
    if letter == P:
        return PAUSED
    return QUOTING if letter == Q else UNKNOWN


@kernel
def numbers(target, order, other, price, quantity):
    """Write an event's numbers, and zeros where ingest will write."""
    event = at(target, EVENT)
    event.arrived_ns = 0
    event.order = order
    event.other = other
    event.price = price
    event.quantity = quantity
    event.source = 0
    event.sequence = 0


@kernel
def tags(state, message, target, kind, side, flags):
    """Write an event's time, instrument and tags; the event is whole then."""
    event = at(target, EVENT)
    event.time_ns = at(state, ITCH_STATE).midnight_ns + load_u48(message + 5)
    event.instrument = load_u16(message + 1)
    event.kind = kind
    event.side = side
    event.flags = flags
    return WRITTEN
