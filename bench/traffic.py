"""The records and the loops of the ring benchmarks: what is sent, how it is sent and checked.

Every record's seven payload words are its sequence + 0 … 6; whoever reads one adds up all eight
words, so that a sum over a run shows every record read once, whole. The loops call the ring as
the stages do.
"""

import os
import time
from collections.abc import Callable

import numpy as np

from bench.harness import ANSWER_S, BenchError
from ringbuf import memory, pages, ring, share
from ringbuf.atomics import at, cycles, pause, store_relaxed, store_release
from ringbuf.jit import kernel
from ringbuf.record import record, slot_record
from ringbuf.views import reader_at

WORDS = 7
TRAFFIC = slot_record([("words", "i8", (WORDS,))])
LAYOUTS = {"traffic": (-1, TRAFFIC)}
BATCH = ring.RELEASE_EVERY
SPIN_LOOKS = 10_000  # empty looks of a turn on a core of one's own
SHARED_LOOKS = 50  # on a core that others need
WARM = 4096  # records before the clock starts

TALLY = record(
    [
        ("next", "i8"),  # the sequence that is next to be sent or read
        ("total", "i8"),  # the sum of all words read
        ("late", "i8"),  # records whose stamp was not there
    ]
)


@kernel
def produce(tally, writer, last, stamped, looks, batch):
    """Send records up to `last`, as many as `batch` at once; ends early, after `looks` in vain."""
    mine = at(tally, TALLY)
    sequence, empty = mine.next, 0
    while sequence <= last and empty < looks:
        end = sequence + ring.room(writer, sequence, min(batch, last + 1 - sequence))
        if end == sequence:
            pause()
            empty += 1
            continue
        now = cycles()
        while sequence < end:
            fill(ring.claim(writer, sequence), sequence)
            if stamped:
                ring.publish(writer, sequence, now, now)
            else:
                unstamped(writer, sequence)
            sequence += 1
        ring.advance(writer, sequence - 1)
    mine.next = sequence
    return sequence


@kernel
def unstamped(writer, sequence):
    """Publish a record with no stamp: what the stamp costs is measured against this."""
    store_release(ring.slot(writer, sequence) + writer.size - 8, sequence)


@kernel
def fill(address, sequence):
    """Write all seven words of a record."""
    claimed = at(address, TRAFFIC)
    for word in range(WORDS):
        claimed.words[word] = sequence + word


@kernel
def consume(tally, reader, last, stamped, looks):
    """Read records up to `last`; returns early after `looks` empty looks in all."""
    mine = at(tally, TALLY)
    sequence, total, late, empty = mine.next, mine.total, mine.late, 0
    while sequence <= last and empty < looks:
        if not ring.arrived(reader, sequence):
            pause()
            empty += 1
            continue
        ring.look_ahead(reader, sequence)
        total += added_up(ring.slot(reader, sequence))
        if stamped:
            late += at(ring.stamp(reader, sequence), ring.STAMP).sent == 0
        if sequence & (ring.RELEASE_EVERY - 1) == 0:
            ring.release(reader, sequence)
        sequence += 1
    ring.release(reader, sequence - 1)
    mine.next, mine.total, mine.late = sequence, total, late
    return sequence


@kernel
def consume_kept(tally, view, last, stamped, looks):
    """consume() through a view that is kept at an address: cheaper to call from Python."""
    return consume(tally, reader_at(view), last, stamped, looks)


@kernel
def added_up(address):
    """The sum of a record's eight words."""
    arrived = at(address, TRAFFIC)
    total = arrived.sequence
    for word in range(WORDS):
        total += arrived.words[word]
    return total


@kernel
def call(tally, writer, reader, last, stamped, pauses, looks, trips):
    """Send a record, wait for its echo, note the cycles that took; up to `last` times.

    Ends early, for good, when an echo has not come after `looks` looks.
    """
    mine = at(tally, TALLY)
    sequence, total = mine.next, mine.total
    while sequence <= last:
        begun = cycles()
        send_one(writer, sequence, stamped)
        if not await_one(reader, sequence, pauses, looks):
            break
        total += take_one(reader, sequence, stamped)
        store_relaxed(trips + 8 * (sequence - 1), cycles() - begun)
        sequence += 1
    mine.next, mine.total = sequence, total


@kernel
def echo(tally, reader, writer, last, stamped, pauses, looks):
    """Answer every record with one; ends early when none has come after `looks` looks."""
    mine = at(tally, TALLY)
    sequence, total = mine.next, mine.total
    while sequence <= last and await_one(reader, sequence, pauses, looks):
        total += take_one(reader, sequence, stamped)
        send_one(writer, sequence, stamped)
        sequence += 1
    mine.next, mine.total = sequence, total


@kernel
def send_one(writer, sequence, stamped):
    """Send a single record. There is room: the other side answers before the next."""
    ring.room(writer, sequence, 1)
    fill(ring.claim(writer, sequence), sequence)
    if stamped:
        now = cycles()
        ring.publish(writer, sequence, now, now)
    else:
        unstamped(writer, sequence)


@kernel
def await_one(reader, sequence, pauses, looks):
    """Look until a record is there, `pauses` between looks; False after `looks` in vain."""
    for _ in range(looks):
        if ring.arrived(reader, sequence):
            return True
        for _ in range(pauses):
            pause()
    return False


@kernel
def take_one(reader, sequence, stamped):
    """Read a record; the sum of its words."""
    total = added_up(ring.slot(reader, sequence))
    if stamped:
        total += at(ring.stamp(reader, sequence), ring.STAMP).sent == 0
    if sequence & (ring.RELEASE_EVERY - 1) == 0:
        ring.release(reader, sequence)
    return total


def expected(last: int) -> int:
    """The sum of all words of the records 1 … last."""
    return 8 * last * (last + 1) // 2 + 21 * last


def new_tally() -> tuple[np.ndarray, int]:
    """A TALLY that starts at the first record, and its address."""
    tally = np.zeros(1, TALLY)
    tally["next"] = 1
    return tally, tally.ctypes.data


def until_done(last: int, turn: Callable[[], int], shared: bool) -> None:
    """Repeat a turn until it has got to `last`; on a shared core give way in between.

    turn: returns the record that is next.
    """
    give_up = time.monotonic() + ANSWER_S / 2
    before = 0
    while (following := turn()) <= last:
        if shared:
            os.sched_yield()
        if following == before and time.monotonic() > give_up:
            raise BenchError(f"stuck at record {before} of {last}: the other side is gone")
        before = following


def looks_of(shared: bool) -> int:
    """How many empty looks a turn may take on a core."""
    return SHARED_LOOKS if shared else SPIN_LOOKS


class Rings:
    """Fresh rings for one round, each with so many gating readers; their names end with it.

    parks: whether those readers may sleep; huge: whether to ask for huge pages.
    """

    def __init__(
        self, capacity: int, parks: bool = False, huge: bool = False, **readers: int
    ) -> None:
        self.pipeline = f"bench-{os.getpid()}"
        self.segments = []
        for name, count in readers.items():
            seats = [share.Seat(reader_name(number), parks=parks) for number in range(count)]
            with pages.huge_pages(huge):
                made = share.create_ring(self.pipeline, name, LAYOUTS, capacity, seats)
            self.segments.append(made)

    @property
    def huge(self) -> bool:
        """Whether all of it lies in huge pages, as the kernel shows it."""
        return all(set(segment.page_sizes) == {pages.HUGE} for segment in self.segments)

    def __enter__(self) -> "Rings":
        return self

    def __exit__(self, *_) -> None:
        for segment in self.segments:
            memory.unlink(segment.name)
            segment.close()


def reader_name(number: int) -> str:
    """The name of a ring's reader."""
    return f"reader-{number}"


def check(total: int, last: int, who: str) -> None:
    """Refuse a run whose payload came out wrong."""
    if total != expected(last):
        raise BenchError(f"{who}: the payload adds up to {total}, not {expected(last)}")
