"""What the compiled code must know of this machine: which clock can be trusted."""

import os
import platform
from functools import cache
from pathlib import Path


@cache
def steady_counter(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """True where the cycle counter ticks evenly on all cores, in all power states.

    x86-64 says so with the flags constant_tsc and nonstop_tsc; aarch64's virtual counter always
    does. CORELANE_CLOCK=system overrules it.
    """
    if os.environ.get("CORELANE_CLOCK") == "system":
        return False
    if platform.machine() == "aarch64":
        return True
    try:
        flags = Path(cpuinfo).read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return False
    return {"constant_tsc", "nonstop_tsc"} <= set(flags)


def boot_id() -> str:
    """The kernel's name for this boot; shared memory and process ids mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where there is none.

    Process id and start time together name a process: ids alone are used again.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])
