"""Rings by name: made once, joined by their one writer, their readers and any observer.

from ringbuf.share import observe
tops = observe("demo", "book").latest(1000, "top")   # a structured numpy array
"""

from collections.abc import Sequence

import numpy as np

from ringbuf import memory, ring
from ringbuf.memory import READER as READER_ROLE
from ringbuf.memory import WRITER as WRITER_ROLE
from ringbuf.memory import Segment, SegmentError
from ringbuf.record import from_description, layout_text

KIND = "ring"
Layouts = dict[str, tuple[int, np.dtype]]


def create_ring(
    pipeline: str, part: str, layouts: Layouts, capacity: int, readers: Sequence[str]
) -> Segment:
    """Make a ring with its gating readers' lines, so that the writer waits for them from the start.

    layouts: name -> (kind that marks such a record, or -1 for all; dtype), all of one size.
    """
    (size,) = {dtype.itemsize for _, dtype in layouts.values()}
    smallest = 2 * ring.RELEASE_EVERY
    if capacity < smallest or capacity & (capacity - 1):
        raise SegmentError(
            f"ring {part}: capacity {capacity} is not a power of two from {smallest} up"
        )
    if len(readers) > ring.READERS_MAX:
        raise SegmentError(f"ring {part}: {len(readers)} readers, at most {ring.READERS_MAX}")
    if len(set(readers)) < len(readers) or not all(0 < len(n.encode()) <= 32 for n in readers):
        raise SegmentError(f"ring {part}: readers need different names of 1 to 32 bytes")

    def gate(segment: Segment) -> None:
        for line, name in zip(ring.lines(segment.payload)[1], readers, strict=False):
            line["name"], line["gating"] = name.encode(), 1

    length = ring.bytes_needed(capacity, size)
    text = layout_text(layouts)
    return memory.create(pipeline, part, KIND, length, text, capacity, size, gate)


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
        self.written = int(ring.recover(self.view))

    def push(self, records: np.ndarray, born: int = 0) -> int:
        """Copy records in, as many as there is room for; return how many."""
        assert records.flags.c_contiguous
        assert records.dtype.itemsize == self.view.size
        return int(ring.push(self.view, records.ctypes.data, len(records), born))

    def close(self) -> None:
        """Say that nothing will follow, and give the role up."""
        ring.close(self.view)
        self.segment.close()


class RingReader:
    """A gating reader: the writer waits for it. `view` is what kernels take."""

    def __init__(self, pipeline: str, part: str, layouts: Layouts, name: str) -> None:
        text = layout_text(layouts)
        self.segment = memory.attach(pipeline, part, KIND, text, writable=True)
        base, capacity, size = _geometry(self.segment)
        names = [bytes(line["name"]).decode() for line in ring.lines(self.segment.payload)[1]]
        if not name or name not in names:
            raise SegmentError(f"ring {part}: has no reader {name!r}; it has {_listed(names)}")
        number = names.index(name)
        self.segment.hold(READER_ROLE + number, f"reader {name!r}")
        self.view = ring.reader_of(base, capacity, size, number)
        slots = self.view.slots - base
        self.slots = self.segment.payload[slots : slots + capacity * size]

    def take(self, dtype: np.dtype, limit: int) -> np.ndarray:
        """A view of the records that wait, in place, up to the ring's end; release them after."""
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

    def close(self) -> None:
        self.segment.close()


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
            count = int(ring.observe(self.view, self.next, records.ctypes.data, limit))
            if count >= 0:
                self.next += count
                return records[:count]
            # Rejoin half a ring behind the writer: at the very edge we would be lapped again.
            newest = int(self.writer["written"])
            rejoin = max(newest - self.capacity // 2, self.next + 1)
            self.missed += rejoin - self.next
            self.next = rejoin

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

    @property
    def closed(self) -> bool:
        """True when the writer has said that nothing will follow."""
        return bool(self.writer["closed"])

    def close(self) -> None:
        self.segment.close()


def observe(pipeline: str, part: str) -> Observer:
    """Attach to a ring of a running pipeline, read-only."""
    return Observer(pipeline, part)


def _listed(names) -> str:
    return ", ".join(sorted(name for name in names if name)) or "none"
