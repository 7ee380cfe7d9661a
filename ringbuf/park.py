"""Sleeping until a ring has something: a futex in each reader's line, no call while all are awake.

A reader that is about to sleep says so in its line, then looks at the ring once more; a writer
stores its records, then looks for sleepers. With a full fence between the two on either side at
least one sees the other, so no wake-up is lost; that the kernel compares the word again before
it lets a thread sleep closes the rest of the gap.
"""

import ctypes
import errno
import platform
import time
from collections.abc import Sequence

import numpy as np

from ringbuf.atomics import at, fence_full, load_acquire, store_relaxed
from ringbuf.jit import kernel
from ringbuf.ring import PARKED, READER, WRITTEN, Policy, Reader, arrived, ended, next_unread

_LIBC = ctypes.CDLL(None, use_errno=True)
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}.get(platform.machine(), -1)
_FUTEX_WAITV = 449  # the same number everywhere; Linux 5.16
_WAIT = 0
_SIZE_U32 = 2  # futexes of 32 bits, shared between processes
POLL_S = 0.001  # between two looks where the kernel cannot wait for several at once
DROP = Policy.DROP.value

WAIT_FOR = np.dtype([("value", "u8"), ("address", "u8"), ("flags", "u4"), ("reserved", "u4")])


@kernel
def lie_down(reader):
    """Declare a reader asleep; False, and awake, where there is something for it after all."""
    store_relaxed(reader.line + PARKED, 1)
    fence_full()
    if not stirs(reader):
        return True
    store_relaxed(reader.line + PARKED, 0)
    return False


@kernel
def stirs(reader):
    """True where a reader need not wait: a record, the end, or a lap behind which there are some.

    A dropping reader that was lapped does not find its own record any more, only newer ones.
    """
    sequence = next_unread(reader)
    if arrived(reader, sequence) or ended(reader, sequence):
        return True
    lossy = at(reader.line, READER).policy == DROP
    return lossy and load_acquire(reader.writer + WRITTEN) >= sequence


@kernel
def rise(reader):
    """Declare a reader awake."""
    store_relaxed(reader.line + PARKED, 0)


class Bed:
    """Where one thread sleeps until any of its readers has something to read."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = tuple(readers)
        self.waits = np.zeros(len(self.readers), WAIT_FOR)
        self.waits["value"], self.waits["flags"] = 1, _SIZE_U32
        self.waits["address"] = [reader.line + PARKED for reader in self.readers]
        self.several = len(self.readers) > 1

    def warm(self) -> None:
        """Have the kernels compiled."""
        for reader in self.readers:
            stirs(reader)
            if lie_down(reader):
                rise(reader)

    def sleep(self, seconds: float) -> bool:
        """Sleep until a writer wakes us, a signal comes or time is up; False: no need to."""
        for number, reader in enumerate(self.readers):
            if not lie_down(reader):
                self._rise(number)
                return False
        try:
            self._wait(seconds)
        finally:
            self._rise(len(self.readers))
        return True

    def _rise(self, count: int) -> None:
        for reader in self.readers[:count]:
            rise(reader)

    def _wait(self, seconds: float) -> None:
        if self.several:
            failed = self._wait_for_any(time.monotonic_ns() + int(seconds * 1e9))
            if failed in (errno.ENOSYS, errno.EPERM):  # an old kernel, or a strict container
                self.several, seconds = False, POLL_S
        if not self.several:
            seconds = seconds if len(self.readers) == 1 else POLL_S
            self._wait_for_one(int(seconds * 1e9))

    def _wait_for_any(self, until_ns: int) -> int:
        until = (ctypes.c_long * 2)(*divmod(until_ns, 10**9))
        ctypes.set_errno(0)
        _LIBC.syscall(
            ctypes.c_long(_FUTEX_WAITV),
            ctypes.c_void_p(self.waits.ctypes.data),
            ctypes.c_long(len(self.waits)),
            ctypes.c_long(0),
            until,
            ctypes.c_long(time.CLOCK_MONOTONIC),
        )
        return ctypes.get_errno()

    def _wait_for_one(self, duration_ns: int) -> None:
        duration = (ctypes.c_long * 2)(*divmod(duration_ns, 10**9))
        _LIBC.syscall(
            ctypes.c_long(_FUTEX),
            ctypes.c_void_p(int(self.waits["address"][0])),
            ctypes.c_long(_WAIT),
            ctypes.c_long(1),
            duration,
        )
