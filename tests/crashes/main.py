"""Kill the stages of small worlds a great many times, and see that nobody outside noticed.

python -m tests.crashes.main [crashes, 300,000,000 unless told]

Prints a table; fails at the first story that goes wrong, with the seed that shows it again.
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import NamedTuple

from ringbuf.jit import TICKS
from tests.crashes.simulator import play
from tests.crashes.worlds import World, pattern_of

CRASHES = 300_000_000
SEEDS = 100_000  # that a job may use
JOBS = 8  # that a row is made of, at least


class Row(NamedTuple):
    """A stage, the records of the rings before and behind it, its inputs, its share of deaths."""

    stage: str
    capacities: tuple[int, int]
    inputs: int
    share: int  # per thousand


ROWS = (
    Row("toy", (4, 4), 200, 250),
    Row("toy", (16, 4), 200, 250),
    Row("toy", (4, 16), 200, 190),
    Row("toy", (32, 32), 300, 184),
    Row("toy", (256, 64), 1000, 60),
    Row("toy", (1024, 1024), 3000, 15),
    Row("toy", (4096, 4096), 10_000, 5),
    Row("book", (4, 4), 200, 8),
    Row("book", (32, 16), 400, 10),
    Row("book", (256, 256), 1000, 8),
    Row("risk", (4, 4), 200, 6),
    Row("risk", (32, 16), 400, 8),
    Row("marks", (4, 4), 200, 6),
)  # fmt: skip
assert sum(row.share for row in ROWS) == 1000
WRONG = ("lost", "doubled", "reordered", "torn", "stuck")
TITLES = ("stage", "rings", "stories", "deaths", "deaths/s", *WRONG, "other", "truces")


@cache
def world_of(stage: str, capacities: tuple[int, int], inputs: int) -> World:
    """A world that this process plays in again and again."""
    return World(pattern_of(stage, inputs), capacities)


def work(row: Row, job: int, crashes: int) -> Counter:
    """Play stories until there were so many crashes; what came about."""
    world = world_of(*row[:3])
    world.record.crashes = world.record.truces = 0
    began = time.perf_counter()
    stories = play(world.address, job * SEEDS, SEEDS, crashes)
    seconds = time.perf_counter() - began
    figures = Counter(stories=stories, deaths=int(world.record.crashes), ns=int(seconds * 1e9))
    figures["truces"] = int(world.record.truces)
    if world.verdict:
        figures[world.verdict if world.verdict in WRONG else "other"] = 1
        print(
            f"{row.stage} {row.capacities}: {world.verdict} at {world.record.failed_at}, seed "
            f"{job * SEEDS + stories - 1}, {crashes} deaths at most",
            file=sys.stderr,
        )
    return figures


def show(row: Row, figures: Counter) -> None:
    """Print a line of the table."""
    rate = figures["deaths"] * 1e9 / max(figures["ns"], 1)
    cells = [row.stage, "{} -> {}".format(*row.capacities)]
    numbers = [figures["stories"], figures["deaths"], rate]
    numbers += [figures[title] for title in TITLES[5:]]
    print(f"| {' | '.join([*cells, *(f'{number:,.0f}' for number in numbers)])} |", flush=True)


def main(arguments: list[str]) -> int:
    """Play all rows, on all cores; 1 where a story went wrong."""
    total, began, sound = int(arguments[0]) if arguments else CRASHES, time.monotonic(), True
    deaths = 0
    print(f"| {' | '.join(TITLES)} |\n|---|---|{'---:|' * (len(TITLES) - 2)}")
    for stage in ("toy", "book", "risk"):  # compiled once, before all cores want it
        play(World(pattern_of(stage, 20), (4, 4)).address, 0, 0, 0)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for row in ROWS:
            each = max(total * row.share // 1000 // JOBS, 1)
            jobs = [pool.submit(work, row, job, each) for job in range(JOBS)]
            figures: Counter = sum((job.result() for job in jobs), Counter())
            show(row, figures)
            deaths += figures["deaths"]
            sound &= not any(figures[title] for title in (*WRONG, "other"))
    print(f"\n{deaths:,} deaths in {time.monotonic() - began:.0f} s: {'all held' * sound}")
    return 0 if sound else 1


if __name__ == "__main__":
    if not TICKS:  # ask for stores that count, and start anew
        os.environ["CORELANE_TICKS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.crashes.main", *sys.argv[1:]])
    sys.exit(main(sys.argv[1:]))
