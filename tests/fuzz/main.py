"""Every parser against bytes of all kinds, a great many of them.

python -m tests.fuzz.main [frames, 100,000,000 unless told] [JSON messages, 5,000,000]
python -m tests.fuzz.main replay TARGET WORLD SEED

Each target plays streams of ever other seeds in a process of its own: a process that dies, or that
shows no new seed for a long time, is a finding like any other. Then a tenth of it all again with
the compiler's bounds checks. Prints a table and, for each finding, the command that shows it
again; fails if there is any.
"""

import mmap
import os
import sys
import time
from multiprocessing import get_context
from typing import NamedTuple

FRAMES, MESSAGES = 100_000_000, 5_000_000
SILENCE_S = 120  # without a new seed, that end a process
COMPILING_S = 600  # before the first
CHECKED = 10  # a tenth is played again with bounds checks
# Thousandths of all frames, or messages.
SHARES = {"itch": 440, "mold": 170, "dbn": 150, "lobster": 140, "capture": 60, "arrays": 40}
VENUES = ("binance", "futures", "kraken", "okx", "coinbase", "bitstamp")
AGAIN, COMPARED = 20, 600  # of so many streams, six are cut otherwise; held against a twin
MODES = 6
FOUND_MAX = 5  # findings of one target that are shown
SEED = 1_000_000  # by which runs of other numbers begin apart
assert sum(SHARES.values()) == 1000
Findings = list[tuple[int, int, str]]


class Result(NamedTuple):
    """What became of a target: frames, seconds, and (world, seed, what was wrong)."""

    frames: int
    seconds: float
    findings: Findings


def worlds_of(target: str) -> list:
    """The worlds of a target."""
    from tests.fuzz.arrays import SHAPES, ArrayWorld
    from tests.fuzz.exchanges import VenueWorld
    from tests.fuzz.packets import PacketWorld
    from tests.fuzz.worlds import TARGETS

    if target in TARGETS:
        return [make() for make in TARGETS[target]]
    if target == "mold":
        return [PacketWorld()]
    if target == "arrays":
        return [ArrayWorld(shape) for shape in SHAPES]
    return [VenueWorld(target)]


def one(world, seed: int, compared: int = COMPARED) -> str:
    """What is wrong with a stream: by itself, cut otherwise, beside a twin."""
    verdict = world.play(seed)
    if not verdict and seed % AGAIN < MODES:
        verdict = world.again()
    if not verdict and seed % compared < MODES:
        verdict = world.differs(seed)
    return verdict


def play(target: str, wanted: int, first: int, progress=None, compared: int = COMPARED) -> Result:
    """Play streams until there were so many frames."""
    worlds, findings, total = worlds_of(target), [], 0
    began = time.perf_counter()
    for number, world in enumerate(worlds):
        frames, seed = 0, first
        while frames < wanted // len(worlds) and len(findings) < FOUND_MAX:
            if progress is not None:
                progress[:] = number, seed, total + frames
            verdict = one(world, seed, compared)
            if verdict:
                findings.append((number, seed, verdict))
            frames += world.made
            seed += 1
        total += frames
    return Result(total, time.perf_counter() - began, findings)


def child(target: str, wanted: int, first: int, shared, pipe) -> None:
    """What a target's process does."""
    view = memoryview(shared).cast("q")

    class Progress:
        def __setitem__(self, _, values) -> None:
            view[0], view[1], view[2] = values

    pipe.send(play(target, wanted, first, Progress()))
    pipe.close()


def watched(target: str, wanted: int, first: int, silence: float = SILENCE_S) -> Result:
    """Play a target in a process of its own; its death or silence is a finding."""
    context = get_context("fork")
    shared = mmap.mmap(-1, 4096)
    view = memoryview(shared).cast("q")
    view[1] = -1
    near, far = context.Pipe(duplex=False)
    began = time.perf_counter()
    process = context.Process(target=child, args=(target, wanted, first, shared, far))
    process.start()
    far.close()
    last, since = (0, -1, 0), time.monotonic()
    while not near.poll(0.2):
        now = tuple(view[:3])
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > (silence if last[1] >= 0 else COMPILING_S):
            process.kill()
            process.join()
            return Result(last[2], time.perf_counter() - began, [(last[0], last[1], "a hang")])
    try:
        result = near.recv()
    except EOFError:
        process.join()
        last = tuple(view[:3])
        told = f"a crash: exit code {process.exitcode}"
        return Result(last[2], time.perf_counter() - began, [(last[0], last[1], told)])
    process.join()
    return result


def campaign(frames: int, messages: int, checked: bool) -> int:
    """All targets one after another, a line each; how many findings."""
    total = found = 0
    plan = [(name, frames * share // 1000) for name, share in SHARES.items()]
    plan += [(name, messages // len(VENUES) + 1) for name in VENUES]
    for target, wanted in plan:
        result = watched(target, wanted, SEED * checked)
        rate = result.frames / max(result.seconds, 1e-9)
        name = f"{target}, bounds checked" if checked else target
        cells = name, f"{result.frames:,}", f"{rate:,.0f}", str(len(result.findings))
        print(f"| {' | '.join(cells)} |", flush=True)
        for world, seed, verdict in result.findings:
            flags = "NUMBA_BOUNDSCHECK=1 " * checked
            print(f"{target}: {verdict}", file=sys.stderr)
            print(f"  {flags}python -m tests.fuzz.main replay {target} {world} {seed}",
                  file=sys.stderr, flush=True)  # fmt: skip
        total, found = total + result.frames, found + len(result.findings)
    print(f"\n{total:,} in all, {found} findings\n", flush=True)
    return found


def replay(target: str, world: str, seed: str) -> int:
    """Play one stream again."""
    verdict = one(worlds_of(target)[int(world)], int(seed), MODES)
    print(verdict or "nothing is wrong")
    return 1 if verdict else 0


def main(arguments: list[str]) -> int:
    """The campaign, or one stream; 1 where something is wrong."""
    if arguments[:1] == ["replay"]:
        return replay(*arguments[1:])
    numbers = [int(argument.replace("_", "").replace(",", "")) for argument in arguments]
    frames, messages = (*numbers, *(FRAMES, MESSAGES)[len(numbers) :])
    checked = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    print("| target | frames | per second | findings |\n|---|---:|---:|---:|", flush=True)
    found = campaign(frames, messages, checked)
    if not checked:
        shares = [str(frames // CHECKED), str(messages // CHECKED)]
        environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
        command = [sys.executable, "-m", "tests.fuzz.main", *shares]
        found += os.spawnve(os.P_WAIT, sys.executable, command, environment)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
