"""A ring of fixed-layout records in shared memory: one writer, many readers, no locks.

    +----------+----------+----------+--  --+------------------+-------------------
    | writer's | reader 0 | reader 1 | ...  | stamps[capacity] | slots[capacity]
    | line     | line     | line     |      | 16 bytes each    | 64 bytes or more
    +----------+----------+----------+--  --+------------------+-------------------
      0          128        256               READERS_END

Sequences count from 1; record s lies in slot s & (capacity - 1). The last 8 bytes of a slot are
its sequence, written last with a release store: the record publishes itself, in the one cache line
it takes anyway. Zeroed memory is sequence 0, before everything.

*Gating readers* own a line each with the sequence they have released; the writer never writes
further than a ring beyond the slowest. A reader that comes *after* another one reads only what
that one has released (a barrier). Those that the writer does not wait for are in `lossy`; for
their sake it marks a slot with a negative sequence before it touches it. A reader may sleep
(`park`); the writer, and whoever it comes after, look for sleepers once a batch.

A *stamp* beside each slot carries two cycle counts, so that latency is measured on every record
while the records themselves stay a pure function of the input: `born` when the input that caused
the record came in (or was due), `sent` when the writer published it.

A writer that is done *closes* the ring; a reader that has everything sees that it has ended.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ringbuf.atomics import (
    at,
    copy_words,
    cycles,
    fence_full,
    fence_release,
    futex_wake,
    load_acquire,
    load_relaxed,
    prefetch_read,
    prefetch_write,
    store_relaxed,
    store_release,
)
from ringbuf.jit import kernel
from ringbuf.record import offset, record

SPACING = 128  # bytes between lines: two, since cores fetch lines in pairs
READERS_MAX = 16
AHEAD = 32  # slots: how far ahead lines are asked for
RELEASE_EVERY = 64  # records between two updates of a position that others watch

WRITER = record(
    [
        ("written", "i8"),  # the last sequence published, as of the last advance
        ("closed", "i8"),  # 0: open; else 1 + the final sequence
        ("gate", "i8"),  # the writer's own note of the slowest reader's position
        ("gated", "i8"),  # how many times the writer found the ring full
        ("high_water", "i8"),  # the most records that ever waited for the slowest reader
        ("full_since", "i8"),  # cycle count; 0: the ring is not full
        ("full", "i8"),  # cycles that it was full, before that
        ("wakes", "i8"),  # sleeping readers woken
        ("parkers", "i8"),  # how many lines may be those of sleepers; 0: no reader sleeps
        ("heartbeat_ns", "i8"),  # CLOCK_MONOTONIC
        ("pid", "i8"),
        ("start_time", "i8"),  # of that process, clock ticks since boot
        ("ns_per_cycle", "f8"),
    ]
)
READER = record(
    [
        ("position", "i8"),  # everything up to here is done with and may be overwritten
        ("missed", "i8"),  # records that a dropping reader lost
        ("empty_since", "i8"),  # cycle count; 0: there is something to read
        ("empty", "i8"),  # cycles that there was nothing, before that
        ("heartbeat_ns", "i8"),  # CLOCK_MONOTONIC
        ("pid", "i4"),
        ("after", "i4"),  # 0, or 1 + the number of the reader that this one comes after
        ("start_time", "i8"),  # of that process, clock ticks since boot
        ("watched", "i8"),  # 1: others come after this one, and may sleep
        # A line of its own: the writer looks at it in every batch, and it hardly ever changes.
        ("policy", "i8"),  # Policy
        ("parked", "i8"),  # 1: asleep; its lower half is the futex
        ("skip_to", "i8"),  # a dropping reader is about to go on here; 0: it is not
        ("skip_missed", "i8"),  # and will have missed so many then
        ("replayed", "i8"),  # records that a replaying reader took from the journal
        ("name", "S24"),
    ]
)
STAMP = record([("born", "i8"), ("sent", "i8")])
NO_TIME = -1  # in a stamp: nobody knows any more

WRITTEN, CLOSED = offset(WRITER, "written"), offset(WRITER, "closed")
PARKERS = offset(WRITER, "parkers")
POSITION, WATCHED = offset(READER, "position"), offset(READER, "watched")
POLICY, PARKED = offset(READER, "policy"), offset(READER, "parked")
READERS = SPACING
READERS_END = SPACING * (1 + READERS_MAX)
assert WRITER.itemsize <= SPACING >= READER.itemsize


class Policy(IntEnum):
    """What a reader that lags behind means to the writer."""

    NONE = 0  # nothing: there is no reader, or it has been retired
    GATE = 1  # the writer waits for it
    DROP = 2  # nothing: the reader loses records, and counts them
    REPLAY = 3  # nothing: the reader takes what it did not get from the ring's journal


GATE = Policy.GATE.value


class Writer(NamedTuple):
    """What a kernel needs to write: raw addresses and plain numbers."""

    line: int
    slots: int
    stamps: int
    mask: int
    size: int


class Reader(NamedTuple):
    """What a kernel needs to read; `line` is the reader's own, `writer` the writer's.

    after: address of the position that bounds this reader, or 0.
    """

    line: int
    slots: int
    stamps: int
    mask: int
    size: int
    writer: int
    after: int


@kernel
def slot(ring, sequence):
    """Where a record lies."""
    return ring.slots + (sequence & ring.mask) * ring.size


@kernel
def stamp(ring, sequence):
    """Where a record's stamp lies."""
    return ring.stamps + (sequence & ring.mask) * 16


@kernel
def next_free(writer):
    """The sequence that the writer publishes next."""
    return load_relaxed(writer.line + WRITTEN) + 1


@kernel
def room(writer, sequence, want):
    """How many slots from `sequence` on may be written now, at most `want`."""
    line = at(writer.line, WRITER)
    free = line.gate + writer.mask + 2 - sequence
    if free < want:
        line.gate = slowest(writer, sequence - 1)
        free = line.gate + writer.mask + 2 - sequence
        line.high_water = max(line.high_water, sequence - 1 - line.gate)
        time_full(line, free < 1)
    return min(free, want)


@kernel
def time_full(line, full):
    """Keep the time that the ring is full; line is the WRITER record."""
    if full:
        line.gated += 1
        if line.full_since == 0:
            line.full_since = cycles()
    elif line.full_since:
        line.full += cycles() - line.full_since
        line.full_since = 0


@kernel
def slowest(writer, written):
    """The position of the slowest gating reader; the writer's own where there is none."""
    lowest = written
    for number in range(READERS_MAX):
        line = writer.line + READERS + number * SPACING
        if load_relaxed(line + POLICY) == GATE:
            lowest = min(lowest, load_acquire(line + POSITION))
    return lowest


@kernel
def claim(writer, sequence):
    """The slot to write a record into, in place; observers see that it is being rewritten."""
    address = slot(writer, sequence)
    prefetch_write(slot(writer, sequence + AHEAD))
    store_relaxed(address + writer.size - 8, -sequence)
    fence_release()
    return address


@kernel
def publish(writer, sequence, born, sent):
    """Show a claimed record to everybody."""
    times = at(stamp(writer, sequence), STAMP)
    times.born = born
    times.sent = sent
    store_release(slot(writer, sequence) + writer.size - 8, sequence)


@kernel
def advance(writer, written):
    """Note the last sequence published, for those who join or look on, and wake who sleeps.

    Nobody is woken for nothing: a stage whose input has no output comes here as well.
    """
    if written != load_relaxed(writer.line + WRITTEN):
        store_release(writer.line + WRITTEN, written)
        wake(writer.line)


@kernel
def wake(ring):
    """Wake the readers that sleep; free of system calls, and of fences, where none does.

    ring: its address. What they are to see has been stored before. Either we see that a reader
    lies down, or it sees our stores in its last look: the full fences on both sides see to that.
    """
    parkers = load_relaxed(ring + PARKERS)
    if parkers:
        fence_full()
        for number in range(parkers):
            parked = ring + READERS + number * SPACING + PARKED
            if load_relaxed(parked):
                store_relaxed(parked, 0)  # before the call: one who is about to sleep sees it
                futex_wake(parked)
                at(ring, WRITER).wakes += 1


@kernel
def rouse(ring):
    """Wake all who may sleep, after a death: who died may have taken the mark and not called."""
    for number in range(load_relaxed(ring + PARKERS)):
        parked = ring + READERS + number * SPACING + PARKED
        store_relaxed(parked, 0)
        futex_wake(parked)


@kernel
def close(writer):
    """Say that nothing will follow."""
    store_release(writer.line + CLOSED, load_relaxed(writer.line + WRITTEN) + 1)
    wake(writer.line)


@kernel
def recover(writer):
    """Where a writer that died had got to: the last record that is whole. Advances to it.

    All slots are looked at: what was noted may lie more than a ring back, since quick readers let
    a writer go round the ring between two notes.
    """
    written = load_acquire(writer.line + WRITTEN)
    for number in range(writer.mask + 1):
        written = max(written, load_acquire(slot(writer, number) + writer.size - 8))
    advance(writer, written)
    rouse(writer.line)
    return written


@kernel
def next_unread(reader):
    """The sequence that the reader takes next."""
    return load_relaxed(reader.line + POSITION) + 1


@kernel
def arrived(reader, sequence):
    """True when a record can be read: it is there, and the reader before us is done with it."""
    if load_acquire(slot(reader, sequence) + reader.size - 8) != sequence:
        return False
    return reader.after == 0 or load_acquire(reader.after) >= sequence


@kernel
def awaited(reader, sequence):
    """Like arrived(), and keeps the time that there is nothing to read."""
    line = at(reader.line, READER)
    there = arrived(reader, sequence)
    if there:
        if line.empty_since:
            line.empty += cycles() - line.empty_since
            line.empty_since = 0
    elif line.empty_since == 0:
        line.empty_since = cycles()
    return there


@kernel
def look_ahead(reader, sequence):
    """Ask for the line of a record to come."""
    prefetch_read(slot(reader, sequence + AHEAD))


@kernel
def release(reader, sequence):
    """Give the writer back every slot up to `sequence`, and let those after us have them."""
    if sequence != load_relaxed(reader.line + POSITION):
        store_release(reader.line + POSITION, sequence)
        if load_relaxed(reader.line + WATCHED):
            wake(reader.writer)


@kernel
def ended(reader, sequence):
    """True when `sequence` will never come: the writer is done, or the reader before us is gone."""
    closed = load_acquire(reader.writer + CLOSED)
    if 0 < closed <= sequence:
        return True
    if reader.after == 0 or load_acquire(reader.after - POSITION + POLICY):
        return False
    return load_acquire(reader.after) < sequence


@kernel
def retire(ring, number):
    """Have nobody wait for a reader any more: it has read everything, or has died for good."""
    store_release(ring + READERS + number * SPACING + POLICY, 0)
    rouse(ring)


@kernel
def push(writer, source, count, born):
    """Copy records into the ring, as many as there is room for; return how many."""
    first = next_free(writer)
    count = room(writer, first, count)
    for number in range(count):
        address = claim(writer, first + number)
        copy_words(address, source + number * writer.size, writer.size // 8 - 1)
        publish(writer, first + number, born, born)
    if count > 0:
        advance(writer, first + count - 1)
    return count


@kernel
def ready(reader, limit):
    """How many records, up to `limit`, wait for the reader."""
    first = next_unread(reader)
    if limit < 1 or not awaited(reader, first):
        return 0
    count = 1
    while count < limit and arrived(reader, first + count):
        count += 1
    return count


def bytes_needed(capacity: int, record_size: int) -> int:
    """Bytes of a ring's payload. Capacity is a power of two, from 2 * RELEASE_EVERY up."""
    return READERS_END + capacity * (STAMP.itemsize + record_size)


def reader_line(base: int, number: int) -> int:
    """Where a reader's line lies."""
    return base + READERS + number * SPACING


def writer_of(base: int, capacity: int, size: int) -> Writer:
    """The writer's view of a ring that starts at an address."""
    stamps = base + READERS_END
    return Writer(base, stamps + capacity * STAMP.itemsize, stamps, capacity - 1, size)


def reader_of(base: int, capacity: int, size: int, number: int, after: int = 0) -> Reader:
    """A reader's view of a ring that starts at an address; after: as in its line."""
    writer = writer_of(base, capacity, size)
    bound = reader_line(base, after - 1) + POSITION if after else 0
    return Reader(reader_line(base, number), *writer[1:], writer.line, bound)


def lines(payload: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The writer's line and the readers' lines of a ring as records, for monitors."""
    writer = payload[: WRITER.itemsize].view(WRITER)[0]
    starts = (SPACING * (1 + number) for number in range(READERS_MAX))
    return writer, [payload[at_ : at_ + READER.itemsize].view(READER)[0] for at_ in starts]
