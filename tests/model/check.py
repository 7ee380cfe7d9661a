"""Search every order of small rings: as the protocol is, and with flaws that must be found.

python -m tests.model.check [--quick]

Spin's models are ring.pml (records, gates, crashes), park.pml (sleep, barrier) and lossy.pml (those
who drop records), over memory.pml; and recovery.pml (snapshots, journal, crashes). `cycles` are
searches for runs without end. Relacy's tests, weak_*.cpp, are of the orders of loads and stores on
the weak memory of C++. Of a flawed model a run that breaks an assertion is asked for; one that has
none fails the check, as does a sound model with one.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
JOBS = 2
MEMORY_MB = 2000  # of each job
DEPTH_MAX = 100_000
FOUND = "assertion violated|invalid end state|USER ASSERT FAILED|DATA RACE"
SMALL = "RECORDS=2 KILLS=1 BATCH=1 DEPTH=1"
STAGE = "RECORDS=4 KILLS=1 SINKS=1"


class Case(NamedTuple):
    """One search. sizes: what the model is compiled with, and with a flaw where there is one."""

    model: str
    sizes: str
    flaw: str = ""
    cycles: bool = False


class Result(NamedTuple):
    """What spin or relacy says: it searches states or executions, the other is 0.

    error: the first assertion that a run broke, or why there is no answer.
    """

    states: int
    transitions: int
    depth: int
    seconds: float
    error: str
    executions: int = 0


SOUND = (
    Case("recovery", "RECORDS=3 KILLS=3 SINKS=2"),
    Case("recovery", "RECORDS=5 KILLS=3 SINKS=1"),
    Case("recovery", "RECORDS=4 KILLS=2 SINKS=2 SYNC"),
    Case("recovery", "RECORDS=4 KILLS=3 SINKS=1 KEEP"),
    Case("recovery", "RECORDS=5 KILLS=1 SINKS=1 CAPACITY=4 ROOM=3"),
    Case("recovery", "RECORDS=4 KILLS=2 SINKS=1 SCAN"),
    Case("ring", "RECORDS=4 KILLS=1"),
    Case("ring", "RECORDS=3 KILLS=2"),
    Case("ring", "RECORDS=6 KILLS=0 CAPACITY=4"),
    Case("ring", "RECORDS=3 KILLS=1 WEAK"),
    Case("park", "RECORDS=3 KILLS=0 RISES=1"),
    Case("park", "RECORDS=3 KILLS=1 BATCH=1 DEPTH=1"),
    Case("park", "RECORDS=3 KILLS=0 BARRIER"),
    Case("park", f"{SMALL} BARRIER"),
    Case("lossy", "RECORDS=5 KILLS=2"),
    Case("lossy", "RECORDS=7 KILLS=1 CAPACITY=4"),
    Case("lossy", "RECORDS=5 KILLS=1 WEAK"),
    Case("weak_ring", "RECORDS=3 CAPACITY=1 SWITCHES=2"),
    Case("weak_ring", "RECORDS=3 CAPACITY=2 SWITCHES=2"),
    Case("weak_ring", "RECORDS=6 CAPACITY=2 RANDOM=1000000"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=6"),
    Case("weak_lossy", "RECORDS=5 CAPACITY=2 SWITCHES=5"),
    Case("weak_lossy", "RECORDS=8 CAPACITY=2 RANDOM=1000000"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=4"),
    Case("weak_barrier", "RECORDS=5 RANDOM=1000000"),
    Case("weak_park", "RECORDS=2 SWITCHES=4"),
    Case("weak_park", "RECORDS=4 RANDOM=1000000"),
    Case("recovery", "RECORDS=3 KILLS=1 SINKS=1", cycles=True),
    Case("recovery", "RECORDS=4 KILLS=1 SINKS=1 KEEP", cycles=True),
    Case("ring", "RECORDS=3 KILLS=1", cycles=True),
    Case("park", "RECORDS=3 KILLS=0", cycles=True),
    Case("park", f"{SMALL} BARRIER", cycles=True),
    Case("lossy", "RECORDS=4 KILLS=1", cycles=True),
)
FLAWED = (
    Case("ring", "RECORDS=4 KILLS=0", "NO_GATE"),
    Case("ring", "RECORDS=4 KILLS=0", "GATE_OFF_BY_ONE"),
    Case("ring", "RECORDS=4 KILLS=0", "ONE_READER_GATES"),
    Case("ring", "RECORDS=4 KILLS=0", "RELEASE_BEFORE_READ"),
    Case("ring", "RECORDS=4 KILLS=0", "PUBLISH_BEFORE_PAYLOAD"),
    Case("ring", "RECORDS=3 KILLS=0 WEAK", "PUBLISH_RELAXED"),
    Case("ring", "RECORDS=3 KILLS=1", "NO_RECOVER_SCAN"),
    Case("ring", "RECORDS=3 KILLS=1", "RECOVER_TAKES_CLAIMED"),
    Case("ring", "RECORDS=3 KILLS=0", "CLOSED_TOO_EARLY"),
    Case("park", "RECORDS=2 KILLS=0", "NO_WAKER_FENCE"),
    Case("park", "RECORDS=2 KILLS=0", "NO_READER_FENCE"),
    Case("park", "RECORDS=2 KILLS=0", "NO_RECHECK"),
    Case("park", "RECORDS=2 KILLS=0", "NO_CLEAR"),
    Case("park", "RECORDS=2 KILLS=0", "WAKE_BEFORE_CLEAR"),
    Case("park", "RECORDS=2 KILLS=0", "WAKE_BEFORE_STORE"),
    Case("park", "RECORDS=2 KILLS=0", "ONE_IS_WOKEN"),
    Case("park", "RECORDS=2 KILLS=0", "CLOSE_WAKES_NOBODY"),
    Case("park", SMALL, "NO_ROUSE"),
    Case("park", "RECORDS=2 KILLS=0 BARRIER", "NO_BARRIER"),
    Case("park", "RECORDS=2 KILLS=0 BARRIER", "RELEASE_WAKES_NOBODY"),
    Case("park", f"{SMALL} BARRIER", "RETIRE_WAKES_NOBODY"),
    Case("park", f"{SMALL} BARRIER", "POSITION_BEFORE_POLICY"),
    Case("lossy", "RECORDS=4 KILLS=0", "NO_MARK"),
    Case("lossy", "RECORDS=4 KILLS=0 WEAK", "MARK_WITHOUT_FENCE"),
    Case("lossy", "RECORDS=4 KILLS=0", "NO_SECOND_LOOK"),
    Case("lossy", "RECORDS=4 KILLS=0", "SECOND_LOOK_TOO_EARLY"),
    Case("lossy", "RECORDS=5 KILLS=0", "GAP_NOT_COUNTED"),
    Case("lossy", "RECORDS=5 KILLS=1", "SKIP_WITHOUT_NOTE"),
    Case("lossy", "RECORDS=5 KILLS=1", "SKIP_LEFT_HALF_DONE"),
    Case("recovery", STAGE, "RESUME_FROM_SNAPSHOT"),
    Case("recovery", STAGE, "NO_REPLAY"),
    Case("recovery", STAGE, "REPLAY_FROM_SNAPSHOT"),
    Case("recovery", STAGE, "REPLAY_ENDS_AT_POSITION"),
    Case("recovery", STAGE, "REPLAY_ENDS_AT_SHOWN"),
    Case("recovery", STAGE, "NO_WAIT_FOR_JOURNAL"),
    Case("recovery", STAGE, "REPLAY_IGNORES_ROOM"),
    Case("recovery", STAGE, "NOT_RELEASED_AGAIN"),
    Case("recovery", STAGE, "SHOWN_TOO_LOW"),
    Case("recovery", STAGE, "SHOWN_TOO_HIGH"),
    Case("recovery", STAGE, "NO_RECOVER_SCAN"),
    Case("recovery", STAGE, "ADVANCE_TOO_LATE"),
    Case("recovery", STAGE, "SNAPSHOT_AHEAD"),
    Case("recovery", STAGE, "SNAPSHOT_IN_PLACE"),
    Case("recovery", STAGE, "TORN_SNAPSHOT_TAKEN"),
    Case("recovery", STAGE, "JOURNAL_RELEASES_FIRST"),
    Case("recovery", STAGE, "APPEND_FROM_POSITION"),
    Case("recovery", STAGE, "TORN_TAIL_LEFT"),
    Case("recovery", STAGE, "TORN_RECORD_TAKEN"),
    Case("recovery", STAGE, "PUBLISH_BEFORE_PAYLOAD"),
    Case("recovery", f"{STAGE} SYNC", "NO_BARRIER"),
    Case("recovery", f"{STAGE} KEEP", "RELEASE_BEFORE_PUBLISHED"),
    Case("recovery", f"{STAGE} KEEP", "REPLICA_AHEAD"),
    Case("recovery", f"{STAGE} KEEP", "KEPT_FOR_NEWEST_ONLY"),
    Case("recovery", f"{STAGE} KEEP", "NOT_BEGUN_AGAIN"),
    Case("weak_ring", "RECORDS=3 SWITCHES=2", "PUBLISH_RELAXED"),
    Case("weak_ring", "RECORDS=3 SWITCHES=2", "LOOK_RELAXED"),
    Case("weak_ring", "RECORDS=3 SWITCHES=2", "RELEASE_RELAXED"),
    Case("weak_ring", "RECORDS=3 SWITCHES=2", "GATE_RELAXED"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "MARK_WITHOUT_FENCE"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "PUBLISH_RELAXED"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "LOOK_RELAXED"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "SECOND_LOOK_WITHOUT_FENCE"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "NO_MARK"),
    Case("weak_lossy", "RECORDS=4 CAPACITY=1 SWITCHES=2", "NO_SECOND_LOOK"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "PUBLISH_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "LOOK_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "RELEASE_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "AFTER_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "RETIRE_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "POLICY_RELAXED"),
    Case("weak_barrier", "RECORDS=3 SWITCHES=2", "POSITION_BEFORE_POLICY"),
    Case("weak_park", "RECORDS=2 SWITCHES=2", "NO_WAKER_FENCE"),
    Case("weak_park", "RECORDS=2 SWITCHES=2", "NO_READER_FENCE"),
    Case("weak_park", "RECORDS=2 SWITCHES=2", "NO_RECHECK"),
    Case("weak_park", "RECORDS=2 SWITCHES=2", "WAKE_BEFORE_CLEAR"),
    Case("weak_park", "RECORDS=2 SWITCHES=2", "WAKE_BEFORE_STORE"),
)


def search(case: Case) -> Result:
    """Search one model through; what it costs and what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        prepare, command = with_relacy(case) if is_weak(case.model) else with_spin(case)
        for step in prepare:
            done = run(step, folder)
            if done.returncode:
                return Result(0, 0, 0, 0.0, (done.stdout + done.stderr).strip()[-500:])
        begun = time.monotonic()
        text = run(command, folder).stdout
        read = executions_of if is_weak(case.model) else result_of
        return read(text, time.monotonic() - begun)


def is_weak(model: str) -> bool:
    """Whether a model is one of those for relacy."""
    return model.startswith("weak_")


def with_spin(case: Case) -> tuple[list[list[str]], list[str]]:
    """How a model is made into a program, and what searches it through."""
    defines = [f"-D{word}" for word in (*case.sizes.split(), *case.flaw.split())]
    kind = "-DNP" if case.cycles else "-DSAFETY"
    flags = f"-O1 -w {kind} -DNOREDUCE -DCOLLAPSE -DMEMLIM={MEMORY_MB}".split()
    slots = 22 if case.flaw else 24  # of spin's hash table, as a power of two
    return [
        ["spin", "-a", *defines, str(HERE / f"{case.model}.pml")],
        ["gcc", *flags, "-o", "pan", "pan.c"],
    ], ["./pan", f"-m{DEPTH_MAX}", f"-w{slots}", *["-l"] * case.cycles]


def with_relacy(case: Case) -> tuple[list[list[str]], list[str]]:
    """The same for a test of weak memory; what is over in no time is not optimised."""
    words = [*case.sizes.split(), *[f"FLAW={case.flaw}"] * bool(case.flaw)]
    flags = ["-O0" if case.flaw else "-O1", "-w", *(f"-D{word}" for word in words)]
    return [["g++", *flags, "-o", "test", str(HERE / f"{case.model}.cpp")]], ["./test"]


def run(command: list[str], folder: str) -> subprocess.CompletedProcess:
    """Run a program to its end, whatever that is."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def result_of(text: str, seconds: float) -> Result:
    """Read what a search prints."""

    def number(pattern: str) -> int:
        found = re.search(pattern, text)
        return int(float(found[1])) if found else 0

    broken = re.search(r"^pan:\d+: (.*)", text, re.MULTILINE)
    error = broken[1] if broken else ""
    if not re.search(r"errors: \d+", text) or "max search depth too small" in text:
        error = "not searched through: " + text.strip()[-300:]
    elif "Search not completed" in text and not broken:
        error = "not searched through: out of memory"
    states = number(r"(\d\S*) states, stored")
    return Result(states, number(r"(\d\S*) transitions"), number(r"reached (\d+)"), seconds, error)


def executions_of(text: str, seconds: float) -> Result:
    """Read what a test of weak memory prints."""
    said = re.search(r"^(\d+) executions: (.*)", text)
    if not said:
        return Result(0, 0, 0, seconds, f"not searched through: {text.strip()[-300:]}")
    error = "" if said[2] == "holds" else said[2]
    return Result(0, 0, 0, seconds, error, int(said[1]))


def verdict(case: Case, result: Result) -> tuple[bool, str]:
    """Whether a result is what it must be, and that in words."""
    found = bool(re.search(FOUND, result.error))
    if case.flaw:
        return found, "found" if found else f"NOT FOUND {result.error}"
    return not result.error, f"WRONG: {result.error}" if result.error else "holds"


def missing(weak: bool = False) -> list[str]:
    """The packages that spin's models need, or those for weak memory, and that are not there."""
    programs = {"g++": "g++ relacy-dev"} if weak else {"spin": "spin", "gcc": "gcc libc6-dev"}
    lacking = [package for program, package in programs.items() if not shutil.which(program)]
    if weak and not lacking:
        header = ["g++", "-E", "-x", "c++", "-include", "relacy/relacy.hpp", "/dev/null"]
        return ["relacy-dev"] * bool(run(header, "/").returncode)
    return lacking


def main(arguments: list[str]) -> int:
    """Run all searches (or with --quick the flawed ones only) and print a table."""
    if lacking := [*missing(), *missing(weak=True)]:
        print(f"missing; first: apt-get install {' '.join(lacking)}")
        return 1
    cases = FLAWED if "--quick" in arguments else SOUND + FLAWED
    begun, wrong, results = time.monotonic(), 0, []
    print("| model | sizes | states | transitions | depth | s | verdict |")
    print("|---|---|---:|---:|---:|---:|---|")
    with ThreadPoolExecutor(JOBS) as jobs:
        for case, result in zip(cases, jobs.map(search, cases), strict=True):
            right, words = verdict(case, result)
            wrong += not right
            results.append(result)
            print(row(case, result, words), flush=True)
    states, transitions, executions = (
        f"{sum(getattr(result, field) for result in results):,} {field}"
        for field in ("states", "transitions", "executions")
    )
    print(
        f"\n{len(cases)} searches, {states}, {transitions}, {executions}, "
        f"{time.monotonic() - begun:.0f} s: {f'{wrong} WRONG' if wrong else 'all as they must be'}"
    )
    return 1 if wrong else 0


def row(case: Case, result: Result, words: str) -> str:
    """A search's line of the table."""
    name = f"{case.model}{' (cycles)' * case.cycles}"
    sizes = f"{case.sizes} **{case.flaw}**" if case.flaw else case.sizes
    cost = f"{result.states:,} | {result.transitions:,} | {result.depth}"
    if is_weak(case.model):
        cost = f"{result.executions:,} executions | |"
    return f"| {name} | {sizes} | {cost} | {result.seconds:.1f} | {words} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
