"""Where DBN records begin and end, in streams that may be damaged anywhere.

A record tells its own length and type, and has one length for its type. Where that breaks, a
record of an unknown type is stepped over, and beyond it the next place is searched from which
good records follow one another. Nothing is decided on bytes that are not there yet. Wherever
records may have been lost, the books are in doubt from there on.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.wire import load_u8
from workers.kernels.dbn_records import HEADER, WORD
from workers.kernels.dbn_state import DBN_STATE, EARLIEST, LATEST
from workers.kernels.feed_counters import FEED_COUNTERS

HEAD = HEADER.itemsize
SOUND_RECORDS = 3  # in a row, that end a search for the next good record
UNKNOWN_RUN = 8  # records of unknown types in a row that are believed when a known one follows
MORE = 0  # nothing can be said before more bytes come
SOUND, BROKEN = 1, -1


@kernel
def next_record(state, address, length):
    """Bytes of the whole record here; minus the bytes to skip, already counted; or MORE."""
    header = at(state, DBN_STATE)
    if length >= HEAD and not header.lost:
        size = int(header.sizes[load_u8(address + 1)])
        if 0 < size <= length and load_u8(address) * WORD == size:
            return size
    return irregular(state, address, length)


@kernel
def irregular(state, address, length):
    """The same, where the next bytes are not simply a whole record."""
    header = at(state, DBN_STATE)
    if header.lost:
        skipped = search(state, address, length)
        if skipped > 0 or header.lost:
            return -skipped
    if length < HEAD:
        return cut_off(state, length)
    size = int(header.sizes[load_u8(address + 1)])
    if size == 0 or load_u8(address) * WORD != size:
        return misframed(state, address, length, size)
    if length < size:
        return cut_off(state, length)
    return size


@kernel
def cut_off(state, length):
    """A record that its bytes do not fill: wait, or at the end of the input drop what is left."""
    header = at(state, DBN_STATE)
    if not header.final or length == 0:
        return MORE
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.truncated = 1
    counters.skipped_bytes += length
    return -length


@kernel
def misframed(state, address, length, size):
    """A length that no record of this type has: skip the record, or start to search."""
    header = at(state, DBN_STATE)
    counters = at(int(header.counters), FEED_COUNTERS)
    verdict = BROKEN if size else believable(state, address, length)
    if verdict == MORE:
        return MORE
    if verdict == SOUND:
        counters.unknown += 1
        skipped = load_u8(address) * WORD
        if header.sole:  # nothing else is meant to be here: one of the others was damaged
            lose(state)
    else:
        counters.bad_frames += 1
        skipped = 1
        header.lost = 1
        lose(state)
    counters.skipped_bytes += skipped
    return -skipped


@kernel
def lose(state):
    """Records were lost: every book is in doubt."""
    header = at(state, DBN_STATE)
    header.gaps += 1
    header.doubtful = header.codes
    at(int(header.counters), FEED_COUNTERS).gaps += 1


@kernel
def believable(state, address, length):
    """Whether a record of an unknown type is one: a short run of such leads to a known one."""
    header = at(state, DBN_STATE)
    position = 0
    for run in range(UNKNOWN_RUN + 1):
        if position == length and header.final and run > 0:
            return SOUND
        if length - position < HEAD:
            return BROKEN if header.final else MORE
        declared = load_u8(address + position) * WORD
        size = int(header.sizes[load_u8(address + position + 1)])
        if size > 0:
            return SOUND if run > 0 and declared == size else BROKEN
        if declared < HEAD:
            return BROKEN
        position += declared
        if position > length:
            return BROKEN if header.final else MORE
    return BROKEN


@kernel
def search(state, address, length):
    """Count and return the bytes before the next good record; still lost where there is none."""
    header = at(state, DBN_STATE)
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
    """Whether good records start here, enough of them in a row or up to the very end."""
    header = at(state, DBN_STATE)
    position = 0
    for number in range(SOUND_RECORDS):
        if length - position < HEAD:
            return MORE if not header.final else SOUND if number > 0 else BROKEN
        size = int(header.sizes[load_u8(address + position + 1)])
        if size == 0 or load_u8(address + position) * WORD != size:
            return BROKEN
        time_ns = at(address + position, HEADER).ts_event
        if not (EARLIEST <= time_ns < LATEST or time_ns == -1):
            return BROKEN
        position += size
        if position > length:
            return MORE if not header.final else SOUND if number > 0 else BROKEN
    return SOUND
