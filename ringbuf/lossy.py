"""Reading a ring that nobody waits for us on: copies, looked at twice, and exact counts of losses.

A writer that rewrites a slot first makes its sequence negative, then writes the record, then the
new sequence. So a record that is copied, and whose sequence is the same before and after, is
whole. Whoever was lapped goes on half a ring behind the newest record: at the very edge it would
be lapped again.

*Observers* own nothing, not even a line. *Dropping readers* have a line with their position and
what they missed, and work on a *mirror*: private memory of the ring's shape that is filled with
records that are whole. A stage reads its mirror as it would read the ring. *Replaying readers*
do the same, but what they were too slow for they read in the ring's journal: nothing is lost.
"""

from ringbuf.atomics import (
    at,
    copy_words,
    fence_acquire,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
)
from ringbuf.jit import kernel
from ringbuf.record import offset
from ringbuf.ring import NO_TIME, READER, STAMP, WRITTEN, arrived, next_unread, release, slot, stamp

SKIP_TO = offset(READER, "skip_to")
STAMP_WORDS = STAMP.itemsize // 8
TRIES = 8  # how often a mirror rejoins in one go


@kernel
def observe(reader, sequence, target, limit):
    """Copy up to `limit` records from `sequence` on; how many, or -1 when lapped at the first.

    A record is copied, then its sequence is read again: a copy that was overwritten meanwhile
    does not count.
    """
    words = reader.size // 8
    for count in range(limit):
        address = slot(reader, sequence + count)
        seen = load_acquire(address + reader.size - 8)
        if seen == sequence + count:
            copy_words(target + count * reader.size, address, words)
            fence_acquire()
            seen = load_relaxed(address + reader.size - 8)
        if seen != sequence + count:
            lapped = abs(seen) > sequence + count
            return -1 if lapped and count == 0 else count
    return limit


@kernel
def rejoin_at(reader, sequence):
    """Where one who was lapped at `sequence` goes on: half a ring behind the newest record."""
    newest = load_acquire(reader.writer + WRITTEN)
    return max(newest - (reader.mask + 1) // 2, sequence + 1)


@kernel
def mirror(reader, private, limit):
    """Fill an empty mirror with the next records, up to `limit`; how many there are.

    reader: the view of the ring; private: the same with slots and stamps of our own. Nothing is
    done while the mirror holds a record that has not been read.
    """
    first = next_unread(reader)
    if arrived(private, first):
        return 0
    for _ in range(TRIES):
        count = 0
        while count < limit:
            outcome = take_over(reader, private, first + count)
            if outcome < 1:
                break
            count += 1
        if count or outcome == 0:
            return count
        first = skip(reader, first, rejoin_at(reader, first))
    return 0


@kernel
def follow(reader, private, limit):
    """Like mirror(), for one who has the ring's journal: -1 where it was lapped, with no skip."""
    first = next_unread(reader)
    if arrived(private, first):
        return 0
    count = 0
    while count < limit:
        outcome = take_over(reader, private, first + count)
        if outcome < 1:
            return outcome if count == 0 else count
        count += 1
    return count


@kernel
def read_back(reader, private, source, count):
    """Fill an empty mirror with records from the journal; nobody knows any more when they came."""
    first = next_unread(reader)
    for number in range(count):
        target, times = slot(private, first + number), at(stamp(private, first + number), STAMP)
        copy_words(target, source + number * reader.size, reader.size // 8 - 1)
        times.born = times.sent = NO_TIME
        store_relaxed(target + reader.size - 8, first + number)
    at(reader.line, READER).replayed += count


@kernel
def skip(reader, first, to):
    """Go on at another record; returns it. What is missed counts once, whenever we die."""
    line = at(reader.line, READER)
    line.skip_missed = line.missed + to - first
    store_release(reader.line + SKIP_TO, to)
    settle(reader)
    return to


@kernel
def settle(reader):
    """Finish a skip: our own, or that of one who died in the middle of it."""
    line = at(reader.line, READER)
    if line.skip_to:
        line.missed = line.skip_missed
        release(reader, line.skip_to - 1)
        store_release(reader.line + SKIP_TO, 0)


@kernel
def take_over(reader, private, sequence):
    """Copy one record with its stamp: 1 when it is whole, 0 when it is not there yet, -1 lapped."""
    address, target = slot(reader, sequence), slot(private, sequence)
    seen = load_acquire(address + reader.size - 8)
    if seen == sequence:
        copy_words(target, address, reader.size // 8 - 1)
        copy_words(stamp(private, sequence), stamp(reader, sequence), STAMP_WORDS)
        fence_acquire()
        seen = load_relaxed(address + reader.size - 8)
        if seen == sequence:
            store_relaxed(target + reader.size - 8, sequence)
            return 1
    return -1 if abs(seen) > sequence else 0
