"""Where and how a thread runs: its cores, its timers' precision, its end with its parent."""

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tuning.outcome import LIBC, Outcome, call, reason
from tuning.topology import parse, show

ONLINE = Path("/sys/devices/system/cpu/online")

FIRST, NICEST = -20, 19  # nice values: of who goes before all others, and after them
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_TIMERSLACK = 29
_PR_GET_TIMERSLACK = 30


class AffinityRefused(Exception):
    """The kernel does not let this thread run on just these cores."""

    def __init__(self, what: str, where: str, mend: str):
        super().__init__(f"{what} ({where}); {mend}")
        self.what = what
        self.where = where
        self.mend = mend


def pin(cores: Iterable[int]) -> None:
    """Let the calling thread, and those it will start, run on these cores only.

    AffinityRefused where one of them does not exist or is not granted; the thread then stays
    where it was. (The kernel itself says nothing: of {0, 7} on two cores it makes {0}.)
    """
    wanted = frozenset(cores)
    before = current()
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, ValueError, OverflowError) as error:
        raise _refusal(wanted, frozenset(), str(error)) from None
    got = current()
    if got != wanted:
        os.sched_setaffinity(0, before)
        raise _refusal(wanted, got, f"the kernel granted {show(got)}")


def current() -> frozenset[int]:
    """The cores that the calling thread may run on now; a cpuset may change them any time."""
    return frozenset(os.sched_getaffinity(0))


def _refusal(wanted: frozenset[int], got: frozenset[int], said: str) -> AffinityRefused:
    if not wanted:
        return AffinityRefused("no cores to pin to", said, "name at least one core")
    online = parse(ONLINE.read_text()) if ONLINE.exists() else current()
    missing = wanted - online
    if missing:
        return AffinityRefused(
            f"{_cores(missing)} not here", f"online: {show(online)}", "choose from those"
        )
    return AffinityRefused(
        f"{_cores(wanted - got)} not granted to this process",
        f"{said}; allowed now: {show(current())}",
        "choose from those, or widen the cpuset (AllowedCPUs=, docker --cpuset-cpus)",
    )


def _cores(numbers: frozenset[int]) -> str:
    listed = ", ".join(map(str, sorted(numbers)))
    return f"core {listed} is" if len(numbers) == 1 else f"cores {listed} are"


def set_timer_slack(slack_ns: int) -> Outcome:
    """How late the kernel may wake the calling thread to save power; its default is 50,000 ns."""
    assert slack_ns > 0, slack_ns
    _, failed = call(LIBC.prctl, _PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0)
    slack, unknown = call(LIBC.prctl, _PR_GET_TIMERSLACK, 0, 0, 0, 0)
    asked = f"timer slack {slack_ns} ns"
    got = "timer slack unknown" if unknown else f"timer slack {slack} ns"
    why = "real-time threads have no slack" if got != asked else ""
    return Outcome(asked, got, reason(failed) if failed else why)


def set_parent_death_signal(number: signal.Signals, parent: int) -> Outcome:
    """Have the kernel send this process a signal when the parent dies, however it dies.

    parent: the process id of the parent, as it knew it before the fork; where it has died
    already, the signal is sent at once. Beware: the kernel means the *thread* that forked.
    """
    _, failed = call(LIBC.prctl, _PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
    asked = f"{signal.Signals(number).name} when process {parent} dies"
    return Outcome(asked, "nothing" if failed else asked, reason(failed) if failed else "")


def name_process(name: str) -> None:
    """What ps and top call this process; the kernel keeps 15 bytes of it."""
    call(LIBC.prctl, _PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def adopt_orphans() -> Outcome:
    """Become the parent of those whose parent dies, among this process's descendants."""
    _, failed = call(LIBC.prctl, _PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
    asked = "parent of orphaned descendants"
    return Outcome(asked, "nothing" if failed else asked, reason(failed) if failed else "")


def go_first(pid: int = 0) -> None:
    """Have a process, this one by default, go before others on its core, where that may be
    (CAP_SYS_NICE). For who is waited for, and has milliseconds of work.
    """
    with suppress(ProcessLookupError):
        _weigh(FIRST, pid or os.getpid())


def go_along(nicer: int = 0) -> None:
    """Have this process be as its parent is to others, or nicer to them."""
    nice = os.getpriority(os.PRIO_PROCESS, os.getppid()) + nicer
    _weigh(min(nice, NICEST), os.getpid())


def _weigh(nice: int, pid: int) -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    # Most kernels share a core among sessions first, and nice values count within one only.
    if os.getsid(pid) == pid:
        with suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))
