"""Have spin search every order of small rings: as the protocol is, and with flaws it must find.

python -m tests.model.check [--quick]

The models are ring.pml (records, gates, crashes), park.pml (sleep, barrier) and lossy.pml (those
who drop records), over memory.pml. Of a flawed model a run that breaks an assertion is asked for;
one that has none fails the check, as does a sound model with one. `cycles` are searches for runs
without end.
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
SMALL = "RECORDS=2 KILLS=1 BATCH=1 DEPTH=1"


class Case(NamedTuple):
    """One search. sizes: what the model is compiled with; a flaw is one word more."""

    model: str
    sizes: str
    flaw: str = ""
    cycles: bool = False


class Result(NamedTuple):
    """What spin says. error: the first assertion that a run broke, or why there is no answer."""

    states: int
    transitions: int
    depth: int
    seconds: float
    error: str


SOUND = (
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
)


def search(case: Case) -> Result:
    """Search one model through; what it costs and what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        defines = [f"-D{word}" for word in (*case.sizes.split(), *case.flaw.split())]
        kind = "-DNP" if case.cycles else "-DSAFETY"
        flags = f"-O1 -w {kind} -DNOREDUCE -DCOLLAPSE -DMEMLIM={MEMORY_MB}".split()
        for command in (
            ["spin", "-a", *defines, str(HERE / f"{case.model}.pml")],
            ["gcc", *flags, "-o", "pan", "pan.c"],
        ):
            done = run(command, folder)
            if done.returncode:
                return Result(0, 0, 0, 0.0, (done.stdout + done.stderr).strip()[-500:])
        slots = 22 if case.flaw else 24  # of spin's hash table, as a power of two
        command = ["./pan", f"-m{DEPTH_MAX}", f"-w{slots}", *["-l"] * case.cycles]
        begun = time.monotonic()
        text = run(command, folder).stdout
        return result_of(text, time.monotonic() - begun)


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


def verdict(case: Case, result: Result) -> tuple[bool, str]:
    """Whether a result is what it must be, and that in words."""
    found = bool(re.search(r"assertion violated|invalid end state", result.error))
    if case.flaw:
        return found, "found" if found else f"NOT FOUND {result.error}"
    return not result.error, f"WRONG: {result.error}" if result.error else "holds"


def missing() -> list[str]:
    """The programs that are needed and not there."""
    return [program for program in ("spin", "gcc") if not shutil.which(program)]


def main(arguments: list[str]) -> int:
    """Run all searches (or with --quick the flawed ones only) and print a table."""
    if missing():
        print(f"missing: {' '.join(missing())}; apt-get install spin gcc libc6-dev")
        return 1
    cases = FLAWED if "--quick" in arguments else SOUND + FLAWED
    begun, wrong = time.monotonic(), 0
    states = transitions = 0
    print("| model | sizes | states | transitions | depth | s | verdict |")
    print("|---|---|---:|---:|---:|---:|---|")
    with ThreadPoolExecutor(JOBS) as jobs:
        for case, result in zip(cases, jobs.map(search, cases), strict=True):
            right, words = verdict(case, result)
            wrong += not right
            states, transitions = states + result.states, transitions + result.transitions
            name = f"{case.model}{' (cycles)' * case.cycles}"
            sizes = f"{case.sizes} **{case.flaw}**" if case.flaw else case.sizes
            cost = f"{result.states:,} | {result.transitions:,} | {result.depth}"
            print(f"| {name} | {sizes} | {cost} | {result.seconds:.1f} | {words} |", flush=True)
    print(
        f"\n{len(cases)} searches, {states:,} states, {transitions:,} transitions, "
        f"{time.monotonic() - begun:.0f} s: {f'{wrong} WRONG' if wrong else 'all as they must be'}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
