"""Memory between two pages that nobody may touch, and blocks of memory for kernels."""

import ctypes
import mmap

import numpy as np

from tests.workers.guarded import LIBC

PAGE = mmap.PAGESIZE


class Area:
    """So many bytes, whole pages, from `begin` to `end`; before and behind them lies no man's land.

    Reading or writing a byte outside ends the process.
    """

    def __init__(self, room: int) -> None:
        self.size = -(-room // PAGE) * PAGE
        self._map = mmap.mmap(-1, self.size + 2 * PAGE)
        self._raw = np.frombuffer(self._map, np.uint8)
        self.begin = self._raw.ctypes.data + PAGE
        self.end = self.begin + self.size
        self.bytes = self._raw[PAGE : PAGE + self.size]
        for page in (self.begin - PAGE, self.end):
            assert LIBC.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0

    def put(self, data: bytes) -> int:
        """Place bytes right before the end; their address."""
        self.bytes[self.size - len(data) :] = np.frombuffer(data, np.uint8)
        return self.end - len(data)


def block(data: bytes) -> np.ndarray:
    """A copy of bytes, at least one, that kernels may be told the address of."""
    return np.frombuffer(bytearray(data or b"\0"), np.uint8)
