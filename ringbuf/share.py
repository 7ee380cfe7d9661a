"""Rings by name: made once, joined by their one writer, their readers and any observer.

from ringbuf.share import observe
tops = observe("demo", "book").latest(1000, "top")   # a structured numpy array
"""

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ringbuf import lossy, memory, ring
from ringbuf.clock import rate
from ringbuf.host import start_time
from ringbuf.journal import JournalReader
from ringbuf.memory import READER as READER_ROLE
from ringbuf.memory import WRITER as WRITER_ROLE
from ringbuf.memory import Segment, SegmentError
from ringbuf.park import rise
from ringbuf.record import from_description, layout_text
from ringbuf.ring import Policy
from ringbuf.views import PARCEL, push_kept

KIND = "ring"
NAME_BYTES = ring.READER["name"].itemsize
MIRROR_SHARE = 4  # a mirror takes over at most this part of a ring at a time
Layouts = dict[str, tuple[int, np.dtype]]


class Seat(NamedTuple):
    """One reader of a ring, as the ring is made for it."""

    name: str
    policy: Policy = Policy.GATE
    after: str = ""  # the reader whose releases bound this one
    parks: bool = False  # whether it may sleep


def create_ring(
    pipeline: str, part: str, layouts: Layouts, capacity: int, readers: Sequence[str | Seat]
) -> Segment:
    """Make a ring with its readers' lines, so that the writer waits for them from the start.

    layouts: name -> (kind that marks such a record, or -1 for all; dtype), all of one size.
    readers: a name alone is a gating reader that comes after no other and never sleeps.
    """
    seats = [Seat(seat) if isinstance(seat, str) else seat for seat in readers]
    (size,) = {dtype.itemsize for _, dtype in layouts.values()}
    smallest = 2 * ring.RELEASE_EVERY
    if capacity < smallest or capacity & (capacity - 1):
        raise SegmentError(
            f"ring {part}: capacity {capacity} is not a power of two from {smallest} up"
        )
    _check_seats(part, seats)

    def fill(segment: Segment) -> None:
        writer, lines = ring.lines(segment.payload)
        writer["ns_per_cycle"] = rate()
        seat_readers(writer, lines, seats)

    length = ring.bytes_needed(capacity, size)
    text = layout_text(layouts)
    return memory.create(pipeline, part, KIND, length, text, capacity, size, fill)


def _check_seats(part: str, seats: Sequence[Seat]) -> None:
    names = [seat.name for seat in seats]
    if len(seats) > ring.READERS_MAX:
        raise SegmentError(f"ring {part}: {len(seats)} readers, at most {ring.READERS_MAX}")
    if len(set(names)) < len(names) or not all(0 < len(n.encode()) <= NAME_BYTES for n in names):
        raise SegmentError(f"ring {part}: readers need different names of 1 to {NAME_BYTES} bytes")
    gating = [seat.name for seat in seats if seat.policy is Policy.GATE]
    for place, seat in enumerate(seats):
        if seat.after and seat.after not in names[:place]:
            raise SegmentError(
                f"ring {part}: reader {seat.name!r} comes after {seat.after!r}, which must be "
                f"named before it; there are {_listed(names[:place])}"
            )
        if seat.after and not {seat.name, seat.after} <= {*gating}:
            raise SegmentError(
                f"ring {part}: {seat.name!r} after {seat.after!r}: one that drops records can "
                "neither come after another nor before; let both gate"
            )


def seat_readers(writer: np.ndarray, lines: Sequence[np.ndarray], seats: Sequence[Seat]) -> None:
    """Fill the lines of a ring's readers in, and what the writer has to know of them."""
    names = [seat.name for seat in seats]
    for number, seat in enumerate(seats):
        line = lines[number]
        line["name"], line["policy"] = seat.name.encode(), seat.policy
        if seat.after:
            line["after"] = 1 + names.index(seat.after)
            lines[names.index(seat.after)]["watched"] |= seat.parks
        if seat.parks:
            writer["parkers"] = number + 1


def begin_after(segment: Segment, sequence: int) -> None:
    """Have a ring that nobody has worked on yet go on behind a sequence, all of it read so far."""
    writer, lines = ring.lines(segment.payload)
    writer["written"] = writer["gate"] = sequence
    for line in lines:
        line["position"] = sequence


def _geometry(segment: Segment) -> tuple[int, int, int]:
    """Address, capacity and record size, after checking them: kernels trust them blindly."""
    capacity, size = int(segment.header["capacity"]), int(segment.header["record_size"])
    sizes = {description["size"] for description in segment.text.values()}
    whole = capacity >= 2 * ring.RELEASE_EVERY and capacity & (capacity - 1) == 0
    if not whole or sizes != {size} or ring.bytes_needed(capacity, size) > len(segment.payload):
        raise SegmentError(f"segment {segment.name}: has a damaged header; remove it")
    return segment.address, capacity, size


class RingWriter:
    """The one writer of a ring. `view` is what kernels take."""

    def __init__(self, pipeline: str, part: str, layouts: Layouts) -> None:
        text = layout_text(layouts)
        self.segment = memory.attach(pipeline, part, KIND, text, writable=True)
        self.view = ring.writer_of(*_geometry(self.segment))
        self.segment.hold(WRITER_ROLE, "writer")
        self.line = ring.lines(self.segment.payload)[0]
        _sign_in(self.line)
        self.written = int(ring.recover(self.view))
        self.parcel = np.array((*self.view, 0, 0), PARCEL)  # what was pushed last
        self.parcel_at = self.parcel.ctypes.data
        self.source: np.ndarray | None = None

    def push(self, records: np.ndarray, born: int = 0) -> int:
        """Copy records in, as many as there is room for; return how many.

        Pushing the same array again, with other contents, saves the look at where it lies.
        """
        if records is not self.source:
            self._take_from(records)
        return push_kept(self.parcel_at, born)

    def _take_from(self, records: np.ndarray) -> None:
        if records.dtype.itemsize != self.view.size or not records.flags.c_contiguous:
            raise SegmentError(
                f"{self.segment.name}: {records.dtype.itemsize} bytes a record, strides "
                f"{records.strides}; give records of {self.view.size} bytes that lie side by side"
            )
        self.source = records
        self.parcel["source"], self.parcel["count"] = records.ctypes.data, len(records)

    def beat(self, now_ns: int) -> None:
        """Show that the writer lives; now_ns: CLOCK_MONOTONIC."""
        self.line["heartbeat_ns"] = now_ns

    def close(self) -> None:
        """Say that nothing will follow, and give the role up."""
        ring.close(self.view)
        self.segment.close()


class RingReader:
    """A reader with a line of its own. `view` is what kernels take.

    One that the writer does not wait for reads a mirror, in private memory: call refresh() before
    reading. log: the ring's journal, for one that replays.
    """

    def __init__(
        self,
        pipeline: str,
        part: str,
        layouts: Layouts,
        name: str,
        log: JournalReader | None = None,
    ) -> None:
        text = layout_text(layouts)
        self.segment = memory.attach(pipeline, part, KIND, text, writable=True)
        base, capacity, size = _geometry(self.segment)
        lines = ring.lines(self.segment.payload)[1]
        names = [bytes(line["name"]).decode() for line in lines]
        if not name or name not in names:
            raise SegmentError(f"ring {part}: has no reader {name!r}; it has {_listed(names)}")
        self.number = names.index(name)
        self.line = lines[self.number]
        self.segment.hold(READER_ROLE + self.number, f"reader {name!r}")
        _sign_in(self.line)
        after = int(self.line["after"])
        self.shared = ring.reader_of(base, capacity, size, self.number, after)
        policy = int(self.line["policy"])
        self.drops = policy in (Policy.DROP, Policy.REPLAY)
        self.log = log if policy == Policy.REPLAY else None
        if policy == Policy.REPLAY and log is None:
            raise SegmentError(f"ring {part}: reader {name!r} replays; give it the journal")
        self._take_over()
        slots = self.shared.slots - base
        self.slots = self.segment.payload[slots : slots + capacity * size]
        self.view = self._mirrored(capacity, size) if self.drops else self.shared

    def _take_over(self) -> None:
        """Put right what one that died here may have left half done."""
        rise(self.shared)
        if self.drops and not self.log:
            lossy.settle(self.shared)
        if self.line["watched"]:
            ring.rouse(self.shared.writer)

    def _mirrored(self, capacity: int, size: int) -> ring.Reader:
        """The view of private memory of the ring's shape."""
        self.slots = np.zeros(capacity * size, np.uint8)
        self.stamps = np.zeros(capacity, ring.STAMP)
        slots, stamps = self.slots.ctypes.data, self.stamps.ctypes.data
        return self.shared._replace(slots=slots, stamps=stamps)

    def refresh(self) -> int:
        """Fill the mirror of one that has one, if it has read it out; how many came."""
        if not self.drops:
            return 0
        limit = (self.view.mask + 1) // MIRROR_SHARE
        if self.log is None:
            return int(lossy.mirror(self.shared, self.view, limit))
        count = int(lossy.follow(self.shared, self.view, limit))
        return count if count >= 0 else self._read_back(self.log, limit)

    def _read_back(self, log: JournalReader, limit: int) -> int:
        """Fill the mirror with what the ring has overwritten: that is in the journal."""
        records = log.read(int(ring.next_unread(self.shared)), limit)
        lossy.read_back(self.shared, self.view, records.ctypes.data, len(records))
        return len(records)

    @property
    def missed(self) -> int:
        """How many records were lost on one that drops records."""
        return int(self.line["missed"])

    def take(self, dtype: np.dtype, limit: int) -> np.ndarray:
        """A view of the records that wait, in place, up to the ring's end; release them after."""
        self.refresh()
        first = int(ring.next_unread(self.view))
        start = first & self.view.mask
        count = int(ring.ready(self.view, min(limit, self.view.mask + 1 - start)))
        return self.slots.view(dtype)[start : start + count]

    def release(self, sequence: int) -> None:
        """Give the writer back every slot up to `sequence`."""
        ring.release(self.view, sequence)

    @property
    def ended(self) -> bool:
        """True when the writer is done and everything has been read."""
        return bool(ring.ended(self.view, ring.next_unread(self.view)))

    def beat(self, now_ns: int) -> None:
        """Show that the reader lives; now_ns: CLOCK_MONOTONIC."""
        self.line["heartbeat_ns"] = now_ns

    def close(self) -> None:
        """Leave. Nobody waits any more for one that has read to the end; for another, they do."""
        if self.segment.file >= 0 and self.ended:
            ring.retire(self.shared.writer, self.number)
        self.segment.close()


def _sign_in(line: np.ndarray) -> None:
    """Say in a line whose it is now."""
    line["pid"], line["start_time"] = os.getpid(), start_time(os.getpid())
    line["heartbeat_ns"] = time.monotonic_ns()


class Observer:
    """A look at a ring that slows nobody: read-only memory, private position, losses counted."""

    def __init__(self, pipeline: str, part: str) -> None:
        self.segment = memory.attach(pipeline, part, KIND)
        base, self.capacity, self.size = _geometry(self.segment)
        self.view = ring.reader_of(base, self.capacity, self.size, 0)
        self.layouts = {
            name: (description["kind"], from_description(description))
            for name, description in self.segment.text.items()
        }
        self.writer, self.readers = ring.lines(self.segment.payload)
        self.missed = 0
        self.next = 1
        self.rewind(self.capacity)

    @property
    def dtype(self) -> np.dtype:
        """The layout of the ring's first kind; its tags stand where those of the others do."""
        return next(iter(self.layouts.values()))[1]

    def rewind(self, records: int) -> None:
        """Go on from `records` before the newest, or the oldest that the ring still holds."""
        oldest = int(self.writer["written"]) - min(records, self.capacity) + 1
        self.next = max(1, oldest)

    def poll(self, limit: int = 4096) -> np.ndarray:
        """Copies of the next records, shape (up to limit,); `missed` grows by what was lost."""
        records = np.zeros(limit, self.dtype)
        while True:
            count = int(lossy.observe(self.view, self.next, records.ctypes.data, limit))
            if count >= 0:
                self.next += count
                return records[:count]
            rejoined = int(lossy.rejoin_at(self.view, self.next))
            self.missed += rejoined - self.next
            self.next = rejoined

    def select(self, records: np.ndarray, layout: str) -> np.ndarray:
        """Those of some polled records that are of one layout, as that layout."""
        if layout not in self.layouts:
            raise SegmentError(
                f"{self.segment.name} has no records {layout!r}; it has {_listed(self.layouts)}"
            )
        kind, dtype = self.layouts[layout]
        return (records if kind < 0 else records[records["kind"] == kind]).view(dtype)

    def latest(self, count: int, layout: str | None = None) -> np.ndarray:
        """The newest records, at most `count` (and at most a ring), of one layout if given.

        What a busy writer adds after the call is not waited for.
        """
        newest = int(self.writer["written"])
        none = np.zeros(0, self.dtype)
        dtype = (none if layout is None else self.select(none, layout)).dtype
        self.rewind(self.capacity if layout else count)
        parts = []
        while len(part := self.poll()):
            parts.append(part if layout is None else self.select(part, layout))
            if self.next > newest:
                break
        length = sum(map(len, parts))
        whole = np.zeros(length, dtype)
        for part in reversed(parts):  # concatenate() would pack the fields
            whole[length - len(part) : length] = part
            length -= len(part)
        return whole[max(len(whole) - count, 0) :]

    def newest(self, layout: str, by: str = "instrument") -> np.ndarray:
        """The newest record of one layout for each value of a field, of those that came since the
        last look, in order of sequence. Records of other layouts are passed over, too.
        """
        written = int(self.writer["written"])
        found = self.select(np.zeros(0, self.dtype), layout)
        while len(part := self.poll()):
            found = last_of_each(found, self.select(part, layout), by)
            if self.next > written:
                break
        return found

    @property
    def closed(self) -> bool:
        """True when the writer has said that nothing will follow."""
        return bool(self.writer["closed"])

    def close(self) -> None:
        self.segment.close()


def last_of_each(older: np.ndarray, newer: np.ndarray, by: str) -> np.ndarray:
    """The last record for each value of a field, in the order of the records."""
    whole = np.zeros(len(older) + len(newer), older.dtype)  # concatenate() would pack the fields
    whole[: len(older)], whole[len(older) :] = older, newer
    _, places = np.unique(whole[by][::-1], return_index=True)
    return whole[np.sort(len(whole) - 1 - places)]


def observe(pipeline: str, part: str) -> Observer:
    """Attach to a ring of a running pipeline, read-only."""
    return Observer(pipeline, part)


def _listed(names) -> str:
    return ", ".join(sorted(name for name in names if name)) or "none"
