"""Memory that stays in memory, and the limits that the host sets to this process."""

import resource
from dataclasses import dataclass
from pathlib import Path

from tuning.outcome import LIBC, Outcome, call, reason

PROCESSES = Path("/proc")

_MCL_CURRENT = 1
_MCL_FUTURE = 2
_CAP_IPC_LOCK = 1 << 14

LIMITS = {
    "locked memory": resource.RLIMIT_MEMLOCK,
    "real-time priority": resource.RLIMIT_RTPRIO,
    "nice": resource.RLIMIT_NICE,
    "open files": resource.RLIMIT_NOFILE,
    "file size": resource.RLIMIT_FSIZE,
    "address space": resource.RLIMIT_AS,
    "core file": resource.RLIMIT_CORE,
}


@dataclass(frozen=True)
class Limit:
    """A limit of this process; None is no limit. It may raise soft up to hard by itself."""

    soft: int | None
    hard: int | None


def limits() -> dict[str, Limit]:
    """The limits in force, by name; bytes, counts or priorities as in setrlimit(2)."""
    return {name: Limit(*map(_plain, resource.getrlimit(key))) for name, key in LIMITS.items()}


def lock_all() -> Outcome:
    """Keep all our memory from being paged out: what there is now, and what will come.

    Under a limit of locked memory only what there is now is locked: with more, every later
    allocation beyond the limit would fail.
    """
    limit = limits()["locked memory"].soft
    unlimited = limit is None or bool(_capabilities() & _CAP_IPC_LOCK)
    flags = _MCL_CURRENT | _MCL_FUTURE if unlimited else _MCL_CURRENT
    _, failed = call(LIBC.mlockall, flags)
    mend = f"the limit is {limit} bytes: set LimitMEMLOCK=infinity or grant CAP_IPC_LOCK"
    got = f"{locked_bytes()} bytes now"
    if failed:
        return Outcome("all memory, now and later", got, f"{reason(failed)}; {mend}")
    if not unlimited:
        return Outcome("all memory, now and later", got, mend)
    return Outcome("all memory, now and later", f"{got} and all that comes")


def unlock_all() -> None:
    """Let the kernel page our memory out again."""
    call(LIBC.munlockall)


def locked_bytes(pid: int | None = None) -> int:
    """How much memory of a process (this one by default) is locked, in bytes; 0 if it is gone."""
    return int(_status("VmLck", pid).split()[0]) * 1024


def _capabilities() -> int:
    return int(_status("CapEff"), 16)


def _status(name: str, pid: int | None = None) -> str:
    try:
        text = (PROCESSES / (str(pid) if pid else "self") / "status").read_text()
    except OSError:
        return "0"
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return "0"


def _plain(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value
