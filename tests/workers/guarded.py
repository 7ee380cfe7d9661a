"""Bytes that end where a page ends that nobody may read beyond."""

import ctypes
import mmap

import numpy as np

LIBC = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """Places bytes right before a page without any rights."""

    def __init__(self, room: int = 1 << 17) -> None:
        size = -(-room // mmap.PAGESIZE) * mmap.PAGESIZE
        self._area = mmap.mmap(-1, size + mmap.PAGESIZE)
        self._raw = np.frombuffer(self._area, np.uint8)
        self._end = size
        self._guard = ctypes.c_void_p(self._raw.ctypes.data + size)
        assert LIBC.mprotect(self._guard, mmap.PAGESIZE, 0) == 0

    def place(self, data: bytes) -> int:
        """Their address."""
        begin = self._end - len(data)
        self._raw[begin : self._end] = np.frombuffer(data, np.uint8)
        return self._raw.ctypes.data + begin

    def close(self) -> None:
        """Give the rights back, so that the memory can go."""
        assert LIBC.mprotect(self._guard, mmap.PAGESIZE, 3) == 0
