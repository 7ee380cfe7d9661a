"""What the compiled code must know of this machine: which clock can be trusted."""

import os
import platform
from functools import cache
from pathlib import Path

CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
PROMISES = ("constant_tsc", "nonstop_tsc")  # even in all frequencies; even in all sleeps


@cache
def counter_fault(cpuinfo: str = "/proc/cpuinfo", clocks: str = CLOCKS) -> str:
    """Why the cycle counter cannot be trusted; empty where it ticks evenly, always, on all cores.

    x86-64 promises it with two flags, and the kernel strikes the counter from its clocks when it
    catches it drifting; aarch64's virtual counter is always even. CORELANE_CLOCK=system overrules.
    """
    if os.environ.get("CORELANE_CLOCK") == "system":
        return "CORELANE_CLOCK=system is set"
    if platform.machine() == "aarch64":
        return ""
    try:
        flags = Path(cpuinfo).read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return f"{cpuinfo} shows no flags of the processor"
    missing = [flag for flag in PROMISES if flag not in flags]
    if missing:
        return f"the processor's flags lack {' and '.join(missing)}"
    try:
        known = Path(clocks).read_text().split()
    except OSError:  # a container without /sys: the flags must do
        return ""
    return "" if "tsc" in known else "the kernel has struck tsc from its clocks as unsteady"


def steady_counter(cpuinfo: str = "/proc/cpuinfo", clocks: str = CLOCKS) -> bool:
    """True where the cycle counter ticks evenly on all cores, in all power states."""
    return not counter_fault(cpuinfo, clocks)


@cache
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
