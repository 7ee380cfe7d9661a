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
further than a ring beyond the slowest. *Observers* own nothing and slow nobody: the writer
marks a slot with a negative sequence before it touches it, so an observer that copies a record
and looks again knows whether the copy is whole; it counts what it missed.

A *stamp* beside each slot carries two cycle counts, so that latency is measured on every record
while the records themselves stay a pure function of the input: `born` when the input that caused
the record came in (or was due), `sent` when the writer published it.

A writer that is done *closes* the ring; a reader that has everything sees that it has ended.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import (
    at,
    copy_words,
    fence_acquire,
    fence_release,
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
    ]
)
READER = record(
    [
        ("position", "i8"),  # everything up to here has been read and may be overwritten
        ("gating", "i8"),  # 1: the writer waits for this reader
        ("name", "S32"),
    ]
)
STAMP = record([("born", "i8"), ("sent", "i8")])

WRITTEN, CLOSED = offset(WRITER, "written"), offset(WRITER, "closed")
POSITION, GATING = offset(READER, "position"), offset(READER, "gating")
READERS = SPACING
READERS_END = SPACING * (1 + READERS_MAX)
assert WRITER.itemsize <= SPACING >= READER.itemsize


class Writer(NamedTuple):
    """What a kernel needs to write: raw addresses and plain numbers."""

    line: int
    slots: int
    stamps: int
    mask: int
    size: int


class Reader(NamedTuple):
    """What a kernel needs to read; `line` is the reader's own, `writer` the writer's."""

    line: int
    slots: int
    stamps: int
    mask: int
    size: int
    writer: int


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
        line.gated += free < 1
    return min(free, want)


@kernel
def slowest(writer, written):
    """The position of the slowest gating reader; the writer's own where there is none."""
    lowest = written
    for number in range(READERS_MAX):
        line = writer.line + READERS + number * SPACING
        if load_relaxed(line + GATING):
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
    """Note the last sequence published, for those who join or look on."""
    store_release(writer.line + WRITTEN, written)


@kernel
def close(writer):
    """Say that nothing will follow."""
    store_release(writer.line + CLOSED, load_relaxed(writer.line + WRITTEN) + 1)


@kernel
def recover(writer):
    """Where a writer that died had got to: the last record that is whole. Advances to it."""
    written = load_acquire(writer.line + WRITTEN)
    while load_acquire(slot(writer, written + 1) + writer.size - 8) == written + 1:
        written += 1
    advance(writer, written)
    return written


@kernel
def next_unread(reader):
    """The sequence that the reader takes next."""
    return load_relaxed(reader.line + POSITION) + 1


@kernel
def arrived(reader, sequence):
    """True when a record can be read."""
    return load_acquire(slot(reader, sequence) + reader.size - 8) == sequence


@kernel
def look_ahead(reader, sequence):
    """Ask for the line of a record to come."""
    prefetch_read(slot(reader, sequence + AHEAD))


@kernel
def release(reader, sequence):
    """Give the writer back every slot up to `sequence`."""
    store_release(reader.line + POSITION, sequence)


@kernel
def ended(reader, sequence):
    """True when the writer is done and `sequence` will never come."""
    closed = load_acquire(reader.writer + CLOSED)
    return 0 < closed <= sequence


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
    count = 0
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


def reader_of(base: int, capacity: int, size: int, number: int) -> Reader:
    """A reader's view of a ring that starts at an address."""
    writer = writer_of(base, capacity, size)
    return Reader(reader_line(base, number), *writer[1:], writer.line)


def lines(payload: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The writer's line and the readers' lines of a ring as records, for monitors."""
    writer = payload[: WRITER.itemsize].view(WRITER)[0]
    starts = (SPACING * (1 + number) for number in range(READERS_MAX))
    return writer, [payload[at_ : at_ + READER.itemsize].view(READER)[0] for at_ in starts]
