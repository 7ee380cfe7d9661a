"""Which folder a segment's file is in, and what pages it is made of: huge ones where asked.

There are two ways to huge pages, tried in this order. A *hugetlbfs* is a file system whose pages
come from a pool that the administrator has set aside; *transparent* huge pages are put together by
the kernel, where /dev/shm is mounted for it (its `huge=` option; shmem_enabled is about memory
without a name and rules here only as `force` or `deny`). Neither is there on most hosts, so what
was got is measured, never concluded.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

SHARED = Path("/dev/shm")  # noqa: S108 (where POSIX shared memory lives on Linux)
MOUNTS = Path("/proc/mounts")
SMAPS = Path("/proc/self/smaps")
POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
SMALL = mmap.PAGESIZE
HUGE = 2 << 20
COLLAPSE = 25  # madvise: make huge pages of what is there, now (Linux 6.1)

_LIBC = ctypes.CDLL(None, use_errno=True)

_asked: ContextVar[bool] = ContextVar("huge pages", default=False)


@contextmanager
def huge_pages(asked: bool) -> Iterator[None]:
    """Ask for huge pages, or for none, for the segments that this thread makes meanwhile."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def asked() -> bool:
    """Whether huge pages are asked for now."""
    return _asked.get()


def folders() -> list[Path]:
    """Where segments can be, in the order in which a name is looked for."""
    return [SHARED, *huge_folders()]


def huge_folders() -> list[Path]:
    """The hugetlbfs mounts with pages of 2 MiB, in the order of mounting."""
    found: dict[Path, None] = {}
    for line in MOUNTS.read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "hugetlbfs":
            folder = Path(where.encode().decode("unicode_escape"))
            try:
                if os.statvfs(folder).f_bsize == HUGE and os.access(folder, os.R_OK | os.X_OK):
                    found[folder] = None
            except OSError:  # unmounted just now, or hidden from us
                continue
    return list(found)


def round_up(size: int, page: int) -> int:
    """A size as whole pages."""
    return -(-size // page) * page


def pool() -> tuple[int, int]:
    """How many huge pages the kernel's pool has, and how many of them can still be taken."""
    try:
        total, free, promised = (
            int((POOL / f"{name}_hugepages").read_text()) for name in ("nr", "free", "resv")
        )
    except OSError:
        return 0, 0
    return total, free - promised


def no_mount() -> str:
    """Why a hugetlbfs is out of the question, and how to mend it; empty where one is mounted."""
    return "" if huge_folders() else "no hugetlbfs (mount -t hugetlbfs none /dev/hugepages)"


def refusal(folder: Path, size: int, failure: OSError) -> str:
    """Why a hugetlbfs could not take a segment, and how to mend it."""
    if failure.errno in (errno.ENOSPC, errno.ENOMEM):
        total, free = pool()
        need = round_up(size, HUGE) // HUGE
        if need <= free:
            return f"{folder} is full (mount -o remount,size=… or a larger limit)"
        return f"{free} of {total} huge pages free (sysctl vm.nr_hugepages={total + need - free})"
    return f"{folder}: {failure.strerror} (mount with mode= or uid=)"


def make_transparent(memory: mmap.mmap) -> str:
    """Have a mapping's pages put together into huge ones; why not, where the kernel will not."""
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory.madvise(COLLAPSE)
    except OSError as failure:
        if failure.errno in (errno.ENOMEM, errno.EAGAIN, errno.EBUSY):
            return "no 2 MiB of memory in one piece (sysctl vm.compact_memory=1)"
        return f"{SHARED} without huge= (mount -o remount,huge=advise {SHARED})"
    return ""


def may_be_transparent() -> bool:
    """Whether the shared memory's mount has huge pages at all: else none need room for them."""
    for line in reversed(MOUNTS.read_text().splitlines()):
        _, where, _, options, *_ = line.split()
        if where == str(SHARED):
            wanted = [part for part in options.split(",") if part.startswith("huge=")]
            return bool(wanted) and wanted != ["huge=never"]
    return False


def sizes(address: int) -> dict[int, int]:
    """What pages a mapping of ours is made of, as the kernel shows it: page size -> bytes."""
    found: dict[str, int] = {}
    inside = False
    for line in SMAPS.read_text().splitlines():
        head, _, rest = line.partition(" ")
        if not head.endswith(":"):
            start, _, end = head.partition("-")
            if found:
                break
            inside = int(start, 16) <= address < int(end, 16)
        elif inside and rest.endswith(" kB"):
            found[head[:-1]] = int(rest.split()[0]) * 1024
    if not found:
        return {}
    transparent = found.get("ShmemPmdMapped", 0)
    page, plain = found["KernelPageSize"], found["Size"] - transparent
    return {size: count for size, count in ((page, plain), (HUGE, transparent)) if count}


def clear(block: np.ndarray) -> None:
    """Zero bytes of memory that no other process shares, shape (size,), as if it were new.

    Pages that were never touched stay so: a large block that is mostly empty costs next to nothing.
    """
    start = round_up(block.ctypes.data, SMALL)
    head = min(start - block.ctypes.data, len(block))
    body = (len(block) - head) // SMALL * SMALL
    advice = (ctypes.c_void_p(start), ctypes.c_size_t(body), ctypes.c_int(mmap.MADV_DONTNEED))
    if body and _LIBC.madvise(*advice):  # locked memory, for one
        block[head : head + body] = 0
    block[:head] = 0
    block[head + body :] = 0
