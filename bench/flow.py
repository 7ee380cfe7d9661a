"""Messages a second through the whole pipeline, by how its stages share processes and cores.

Made-up ITCH bytes are decoded, put in order, folded into books, marked and handed to the
publisher, which keeps them on disk. The clock stops when the publisher has everything; that the
part files are finished afterwards is left out.
"""

from functools import partial
from typing import Literal

from bench import pipelines
from bench.harness import Bench, Metrics, Options, Result, Variant, run_rounds
from bench.pipelines import Groups, Wait
from pipeline.config import Journal
from workers.feeds.synthetic import SyntheticOptions

DAY = SyntheticOptions(messages=1_000_000, symbols=500)
SHORT = SyntheticOptions(messages=5_000, symbols=20)
ROUNDS = 3
STAGES = ("ingest", "book", "risk", "publisher")
FOUR = "four processes"
JOURNALED: tuple[Literal["none", "async", "sync"], ...] = ("none", "async", "sync")
LAYOUTS: dict[str, Groups] = {
    FOUR: [[stage] for stage in STAGES],
    "ingest+book | risk+publisher": [STAGES[:2], STAGES[2:]],
    "ingest+book+risk | publisher": [STAGES[:3], STAGES[3:]],
    "one process": [STAGES],
}


def measure(
    day: SyntheticOptions, processes: Groups, wait: Wait = "auto", journal: Journal | None = None
) -> Metrics:
    """One run at full speed: M messages/s, seconds until ready, MB of memory in all."""
    ran = pipelines.run(day, processes=processes, wait=wait, journal=journal)
    resident = {stage.pid: stage.rss_bytes for stage in ran.report.stages}
    return {
        "rate": ran.published / ran.seconds / 1e6,
        "ready s": ran.report.ready_s or 0.0,
        "MB": sum(resident.values()) / 1e6,
    }


def run(options: Options) -> Result:
    """Interleave the ways to share processes."""
    result = Result("flow", BENCH.what, "M messages/s", "rate")
    day = SHORT if options.short else DAY
    layouts = dict(list(LAYOUTS.items())[:2]) if options.short else LAYOUTS
    variants: dict[str, Variant] = {
        name: partial(measure, day, processes) for name, processes in layouts.items()
    }
    for durability in JOURNALED[: 1 if options.short else None]:
        journal = Journal(path="-", durability=durability)
        variants[f"{FOUR}, journal {durability}"] = partial(
            measure, day, layouts[FOUR], journal=journal
        )
    result.pairs = {name: FOUR for name in variants if name != FOUR}
    return run_rounds(result, variants, pipelines.rounds_of(options, ROUNDS))


BENCH = Bench("flow", "messages a second through the whole pipeline, by shared processes", run)
