"""A board: the latest value of each of many rows, in shared memory, read without slowing anybody.

Rows are slot records; the last 8 bytes are the row's version. The writer makes it odd, writes,
and makes it even (a seqlock). A reader copies, looks again, and tries once more where the version
moved; it never makes the writer wait.
"""

import time

import numpy as np

from ringbuf import memory
from ringbuf.atomics import (
    copy_words,
    fence_acquire,
    fence_release,
    load_acquire,
    load_relaxed,
    pause,
    store_relaxed,
    store_release,
)
from ringbuf.jit import kernel
from ringbuf.memory import WRITER as WRITER_ROLE
from ringbuf.memory import Segment
from ringbuf.record import from_description, layout_text

KIND = "board"
TRIES = 1000
PATIENCE_S = 0.25  # a living writer may lose its core in mid-row for this long


@kernel
def begin(row, size):
    """Open a row for writing; readers wait or try again. A row left open stays open."""
    store_relaxed(row + size - 8, load_relaxed(row + size - 8) | 1)
    fence_release()


@kernel
def finish(row, size):
    """Show what was written."""
    store_release(row + size - 8, load_relaxed(row + size - 8) + 1)


@kernel
def read(row, size, target):
    """Copy a row that is whole; False where the writer kept it busy all the time.

    The copy's version is the row's, even: twice the number of times it was written.
    """
    for _ in range(TRIES):
        version = load_acquire(row + size - 8)
        if version & 1 == 0:
            copy_words(target, row, size // 8)
            fence_acquire()
            if load_relaxed(row + size - 8) == version:
                return True
        pause()
    return False


@kernel
def renew(source, target, rows, size):
    """Show the rows of a board that nobody else sees on one of the same shape."""
    for number in range(rows):
        row = number * size
        if load_relaxed(source + row + size - 8):
            begin(target + row, size)
            copy_words(target + row, source + row, size // 8 - 1)
            finish(target + row, size)


def create_board(pipeline: str, part: str, name: str, dtype: np.dtype, rows: int) -> Segment:
    """Make a board of zeroed rows; `name` is what one row is called."""
    text = layout_text({name: (-1, dtype)})
    size = rows * dtype.itemsize
    return memory.create(pipeline, part, KIND, size, text, rows, dtype.itemsize)


class Board:
    """A board of a running pipeline; `address` and `size` are what kernels take."""

    def __init__(self, pipeline: str, part: str, writable: bool = False) -> None:
        self.segment = memory.attach(pipeline, part, KIND, writable=writable)
        if writable:
            self.segment.hold(WRITER_ROLE, "writer")
        (description,) = self.segment.text.values()
        self.dtype = from_description(description)
        self.rows = int(self.segment.header["capacity"])
        self.address, self.size = self.segment.address, self.dtype.itemsize

    def row(self, number: int) -> np.ndarray:
        """A whole copy of one row, shape (1,)."""
        copy = np.zeros(1, self.dtype)
        assert 0 <= number < self.rows
        until = time.monotonic() + PATIENCE_S
        while not read(self.address + number * self.size, self.size, copy.ctypes.data):
            if time.monotonic() > until:
                raise memory.SegmentError(
                    f"{self.segment.name}: row {number} stayed half written; its writer has died"
                )
            time.sleep(0.001)
        return copy

    def put(self, number: int, value: np.ndarray) -> None:
        """Write one row from an array of shape (1,) of the board's layout, version left out."""
        assert self.segment.writable
        assert 0 <= number < self.rows
        assert value.dtype.itemsize == self.size
        row = self.address + number * self.size
        begin(row, self.size)
        copy_words(row, value.ctypes.data, self.size // 8 - 1)
        finish(row, self.size)

    def all(self) -> np.ndarray:
        """Whole copies of all rows, shape (rows,)."""
        rows = np.zeros(self.rows, self.dtype)
        for number in range(self.rows):
            rows[number] = self.row(number)[0]
        return rows

    def close(self) -> None:
        self.segment.close()
