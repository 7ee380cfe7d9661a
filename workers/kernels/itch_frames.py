"""Where ITCH 5.0 messages begin and end, in files that may be damaged anywhere.

A frame is a 2-byte big-endian length and a message of that many bytes, its type first. Where
that breaks, frames of unknown types are stepped over, and beyond them the next place is searched
from which good frames follow one another. Nothing is decided on bytes that are not there yet.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8, load_u16
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import Event, Side

# Bytes of a message by its type (ITCH 5.0, with `O` of 2023).
SIZES = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21,
    "A": 36, "F": 40, "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19,
    "I": 50, "N": 20, "O": 48,
}  # fmt: skip
# Where the symbol stands in messages that announce an instrument nobody announced.
SYMBOLS = {"A": 24, "F": 24, "P": 24, "H": 11, "Q": 19}
# What messages about resting orders say, and where: kind of event; side, other, quantity, price.
FORM_OF = {
    "A": (Event.ADD, 19, 0, 20, 32),
    "F": (Event.ADD, 19, 0, 20, 32),
    "E": (Event.EXECUTE, 0, 23, 19, 0),
    "X": (Event.CANCEL, 0, 0, 19, 0),
    "D": (Event.DELETE, 0, 0, 0, 0),
    "U": (Event.REPLACE, 0, 19, 27, 31),
}
FORM = 8  # numbers of a form: offsets in the message (ORDER_AT for what it has not), and masks
KIND, SIDE_AT, OTHER_AT, QUANTITY_AT, PRICE_AT, OTHER_MASK, QUANTITY_MASK, PRICE_MASK = range(FORM)
ORDER_AT = 11
SYSTEM_CODES = "OSQMECARB"  # the day's six, and halt, resume, best bid and offer only

PREFIX = 2  # bytes of a frame's length
HEAD = PREFIX + 1  # bytes of a frame that tell whether it is well formed: length and type
LENGTH_MAX = 64  # a longer message of an unknown type is not believed
UNKNOWN_RUN = 8  # unknown frames in a row that are believed when a known one follows
SOUND_FRAMES = 2  # frames in a row that end a search for the next good frame
SOUND_FRAMES_BY_TYPE = 8  # the same where lengths say nothing

ITCH_STATE = record(
    [
        ("counters", "i8"),  # address of a FEED_COUNTERS record
        ("consumed", "i8"),  # bytes that the last call is done with
        ("midnight_ns", "i8"),  # what times of the day count from
        ("final", "i8"),  # 1: nothing follows the bytes handed over
        ("by_type", "i8"),  # 1: a frame's length is its type's, whatever its prefix says
        ("lost", "i8"),  # 1: searching for the next good frame
        ("exact", "i8"),  # 1: where frames end is certain; what is not understood is stepped over
        ("doubt", "i8"),  # not 0: a Doubt that holds for every instrument announced from now on
        ("untold", "i8"),  # one past the code of the instrument whose doubt is to be told next
        ("last_ns", "i8"),  # the event time of that announcement
        ("sizes", "i8", (256,)),
        ("symbols", "i8", (256,)),
        ("system_codes", "u1", (256,)),
        ("forms", "i8", (256 * FORM,)),  # by type
        ("sides", "i8", (256,)),  # by letter
        ("announced", "u1", (65_536,)),  # by locate code
    ]
)

MORE = 0  # nothing can be said before more bytes come
SOUND, BROKEN = 1, -1


def prepare(state, counters: int, midnight_ns: int, by_type: bool) -> None:
    """Set a zeroed ITCH_STATE record up for the start of a file."""
    state["counters"], state["midnight_ns"], state["by_type"] = counters, midnight_ns, by_type
    for letter, size in SIZES.items():
        state["sizes"][ord(letter)] = size
    for letter, offset in SYMBOLS.items():
        state["symbols"][ord(letter)] = offset
    for letter, (kind, side, *places) in FORM_OF.items():
        form = [kind, side, *(place or ORDER_AT for place in places)]
        masks = [-1 if place else 0 for place in places]
        state["forms"][ord(letter) * FORM : (ord(letter) + 1) * FORM] = form + masks
    state["sides"] = Side.NONE
    state["sides"][[ord("B"), ord("S")]] = Side.BID, Side.ASK
    for letter in SYSTEM_CODES:
        state["system_codes"][ord(letter)] = 1


@kernel
def next_frame(state, address, length):
    """Bytes of the whole frame here; minus the bytes to skip, already counted; or MORE."""
    header = at(state, ITCH_STATE)
    if header.exact:
        return exact_frame(state, address, length)
    if header.lost:
        skipped = search(state, address, length)
        if skipped > 0 or header.lost:
            return -skipped
    if length < HEAD:
        return cut_off(state, length)
    size = int(header.sizes[load_u8(address + PREFIX)])
    declared = load_u16(address)
    if size == 0 or (declared != size and not header.by_type):
        return misframed(state, address, length, declared, size)
    if length < PREFIX + size:
        return cut_off(state, length)
    return PREFIX + size


@kernel
def exact_frame(state, address, length):
    """The same where a transport vouches for the lengths: a packet is never searched."""
    if length < PREFIX:
        return MORE
    declared = load_u16(address)
    if length < PREFIX + declared:
        return MORE
    header = at(state, ITCH_STATE)
    size = int(header.sizes[load_u8(address + PREFIX)]) if declared > 0 else 0
    if size == declared and size > 0:
        return PREFIX + size
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.unknown += size == 0
    counters.bad_frames += size > 0
    counters.skipped_bytes += PREFIX + declared
    return -(PREFIX + declared)


@kernel
def cut_off(state, length):
    """A frame that its bytes do not fill: wait, or at the end of the input drop what is left."""
    header = at(state, ITCH_STATE)
    if not header.final or length == 0:
        return MORE
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.truncated = 1
    counters.skipped_bytes += length
    return -length


@kernel
def misframed(state, address, length, declared, size):
    """A length that no message of this type has: skip the frame, or start to search."""
    header = at(state, ITCH_STATE)
    counters = at(int(header.counters), FEED_COUNTERS)
    skipped = 1
    if size > 0 and declared == 0:  # files exist whose prefixes are all zero
        if length < PREFIX + size:
            return cut_off(state, length)
        skipped = PREFIX + size
        counters.bad_frames += 1
    else:
        verdict = believable(state, address, length)
        if verdict == MORE:
            return MORE
        if verdict == SOUND:
            skipped = PREFIX + declared
            counters.unknown += 1
        else:
            header.lost = 1
            counters.bad_frames += 1
    counters.skipped_bytes += skipped
    return -skipped


@kernel
def believable(state, address, length):
    """Whether a frame of an unknown type is one: a short run of such leads to a known one."""
    header = at(state, ITCH_STATE)
    position = 0
    for run in range(UNKNOWN_RUN + 1):
        if position == length and header.final and run > 0:
            return SOUND
        if length - position < HEAD:
            return BROKEN if header.final else MORE
        declared = load_u16(address + position)
        size = int(header.sizes[load_u8(address + position + PREFIX)])
        if size > 0:
            return SOUND if run > 0 and (declared == size or header.by_type) else BROKEN
        if declared < 1 or declared > LENGTH_MAX:
            return BROKEN
        position += PREFIX + declared
    return BROKEN


@kernel
def search(state, address, length):
    """Count and return the bytes before the next good frame; still lost where there is none."""
    header = at(state, ITCH_STATE)
    counters = at(int(header.counters), FEED_COUNTERS)
    skipped = 0
    while skipped < length:
        verdict = sound(state, address + skipped, length - skipped)
        if verdict != BROKEN:
            header.lost = verdict == MORE
            break
        skipped += 1
    if skipped == length and header.final:
        counters.truncated = 1
    counters.skipped_bytes += skipped
    return skipped


@kernel
def sound(state, address, length):
    """Whether well-formed frames start here, enough of them in a row or up to the very end."""
    header = at(state, ITCH_STATE)
    position = 0
    for number in range(SOUND_FRAMES_BY_TYPE if header.by_type else SOUND_FRAMES):
        if position == length and header.final and number > 0:
            return SOUND
        if length - position < HEAD:
            return BROKEN if header.final else MORE
        size = int(header.sizes[load_u8(address + position + PREFIX)])
        if size == 0 or (load_u16(address + position) != size and not header.by_type):
            return BROKEN
        position += PREFIX + size
    return SOUND
