"""On which memory node pages land, and where they have landed.

The policy belongs to the calling thread and holds for pages it touches first from then on, in
shared memory too: so set it, then fill. On a host with one node all is granted and means nothing.
"""

import ctypes
import errno
import os
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tuning.outcome import LIBC, Outcome, call, reason

# The C library has no functions for these: (set_mempolicy, get_mempolicy, move_pages).
_CALLS = {"x86_64": (238, 239, 279), "aarch64": (237, 236, 239), "riscv64": (237, 236, 239)}
_SET, _GET, _MOVE = _CALLS.get(platform.machine(), (-1, -1, -1))

_DEFAULT, _PREFERRED, _BIND = 0, 1, 2
_NAMES = {_DEFAULT: "default", _PREFERRED: "prefer", _BIND: "bind", 3: "interleave", 4: "local"}
_NODES_MAX = 1024  # bits of the kernel's longest node mask
_WORD_BITS = 64
_Mask = ctypes.c_ulong * (_NODES_MAX // _WORD_BITS)

_MENDS = {
    errno.EINVAL: "there is no such node with memory, or the cpuset withholds it",
    errno.EPERM: "a container forbids it (docker: --cap-add SYS_NICE)",
    errno.ENOSYS: "this kernel knows no NUMA: all memory is one node",
}


@dataclass(frozen=True)
class Placement:
    """Where pages lie: node -> pages; `absent` were never touched; why, where unknown."""

    pages: dict[int, int]
    absent: int
    why: str = ""


def bind(node: int) -> Outcome:
    """Take memory from this node only; when it is used up, allocations fail."""
    return _set(_BIND, node)


def prefer(node: int) -> Outcome:
    """Take memory from this node first, from others when it is used up."""
    return _set(_PREFERRED, node)


@contextmanager
def placed(wish: str, node: int | None) -> Iterator[Outcome | None]:
    """Have what is touched meanwhile lie on a node: "prefer" it, "bind" to it, or "off".

    Afterwards the policy is the kernel's own again. None where nothing was asked.
    """
    if wish == "off" or node is None:
        yield None
        return
    try:
        yield {"prefer": prefer, "bind": bind}[wish](node)
    finally:
        release()


def release() -> Outcome:
    """Back to the kernel's own choice: the node of the core that touches a page."""
    return _set(_DEFAULT, None)


def policy() -> str:
    """The policy in force, such as "bind 0" or "default"."""
    mode, mask = ctypes.c_int(), _Mask()
    if _call(_GET, ctypes.byref(mode), mask, _NODES_MAX, None, 0):
        return "unknown"
    nodes = [str(bit) for bit in range(_NODES_MAX) if mask[bit // _WORD_BITS] >> bit % 64 & 1]
    return " ".join([_NAMES.get(mode.value & 0xFF, str(mode.value)), *nodes])


def node_of_pages(address: int, length: int) -> Placement:
    """The nodes of the pages that hold these bytes of our memory."""
    page = os.sysconf("SC_PAGESIZE")
    starts = range(address // page * page, address + length, page)
    addresses = (ctypes.c_void_p * len(starts))(*starts)
    nodes = (ctypes.c_int * len(starts))()
    failed = _call(_MOVE, 0, ctypes.c_ulong(len(starts)), addresses, None, nodes, 0)
    if failed:
        return Placement({}, 0, _why(failed))
    counts = Counter(nodes)
    absent = sum(pages for node, pages in counts.items() if node < 0)
    return Placement({node: counts[node] for node in sorted(counts) if node >= 0}, absent)


def _set(mode: int, node: int | None) -> Outcome:
    asked = _NAMES[mode] if node is None else f"{_NAMES[mode]} {node}"
    if node is not None and not 0 <= node < _NODES_MAX:
        return Outcome(asked, policy(), f"nodes are numbered 0 to {_NODES_MAX - 1}")
    mask = _Mask()
    if node is not None:
        mask[node // _WORD_BITS] = 1 << node % _WORD_BITS
    # The kernel reads one bit less than it is told.
    failed = _call(_SET, mode, mask if node is not None else None, _NODES_MAX + 1)
    got = policy()
    differs = "" if got in (asked, "unknown") else "the kernel changed it"
    return Outcome(asked, got, _why(failed) if failed else differs)


def _call(number: int, *arguments) -> int:
    """A system call by its number: 0 or the errno."""
    if number < 0:
        return errno.ENOSYS
    return call(LIBC.syscall, ctypes.c_long(number), *arguments)[1]


def _why(failed: int) -> str:
    mend = _MENDS.get(failed)
    return f"{reason(failed)}; {mend}" if mend else reason(failed)
