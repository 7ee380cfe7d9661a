"""A whole pipeline as a benchmark runs it: a made-up day, real processes, real files at the end."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal

import msgspec

from bench.harness import BenchError, Options, cores
from pipeline import plan
from pipeline.config import Config, Journal, Placement, load
from pipeline.report import Report
from pipeline.supervisor import PipelineFailed, Supervisor
from pipeline.toml import write_config
from ringbuf.panel import Panel
from tuning import topology
from workers.feeds.synthetic import SyntheticOptions, opening_prices, symbols
from workers.kernels.itch import PRICE_UNITS
from workers.publish import PublisherOptions
from workers.risk_options import Portfolio, Position, RiskOptions
from workers.sinks.parquet_file import ParquetOptions

HELD, LOTS = 12, 100  # instruments in the portfolio, and how much of each
NUMBERS = itertools.count()

Wait = Literal["auto", "spin", "yield", "backoff"]
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Ran:
    """A run that has ended, with every record accounted for."""

    report: Report
    seconds: float  # from the release of the source until the last stage has taken the last record

    def latency(self, stage: str, histogram: str) -> dict[str, float]:
        """Percentiles of a stage's histogram, in ns."""
        found = self.report.stage(stage)
        assert found is not None, stage
        return found.latency_ns[histogram]

    @property
    def published(self) -> int:
        """How many events went into the log."""
        found = self.report.stage("ingest")
        assert found is not None
        return found.counters["ingest"]["published"]


def rounds_of(options: Options, usual: int) -> int:
    """How many rounds: in short mode one, as a pipeline takes seconds to start."""
    return options.rounds or (1 if options.short else usual)


def configured(
    day: SyntheticOptions, folder: Path, rate: float | None, processes: Groups, wait: Wait
) -> Config:
    """A portfolio over the most active instruments, Parquet files; a core for each process."""
    prices = zip(symbols(day), opening_prices(day), strict=True)
    held = {
        symbol: Position(quantity=LOTS, price=price / PRICE_UNITS)
        for symbol, price in itertools.islice(prices, HELD)
    }
    config = Config(
        name=f"bench-{os.getpid()}-{next(NUMBERS)}",
        feeds=[day],
        risk=RiskOptions(portfolios=[Portfolio(name="bench", positions=held)]),
        publisher=PublisherOptions(sinks=[ParquetOptions(path=str(folder / "history"))]),
        processes=[list(group) for group in processes],
    )
    config.ingest.rate = rate
    for group, place in zip(processes, cores(len(processes)), strict=False):
        for stage in group:
            config.stages[stage] = Placement(core=place.number, wait=wait)
    return config


def run(
    day: SyntheticOptions,
    *,
    rate: float | None = None,
    processes: Groups = (),
    wait: Wait = "auto",
    journal: Journal | None = None,
    start: Literal["fork", "exec"] = "fork",
    beside: Callable[[str], Thread] | None = None,
) -> Ran:
    """Run a day to its end; BenchError where a stage fails or a record is missing.

    rate: events a second that are due, whatever becomes of them; None: as fast as possible.
    processes: stages that share a process, in the order of the flow; none: as the plan has it.
    journal: its path is filled in here. start: how stages that died are started again.
    beside: makes a thread that runs as long as the pipeline of that name does.
    """
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
        path = Path(folder) / "bench.toml"
        config = configured(day, Path(folder), rate, processes, wait)
        if journal is not None:
            config.journal = msgspec.structs.replace(journal, path=f"{folder}/journal")
            config.supervision.restarts, config.supervision.start = 1_000_000, start
            config.supervision.restart_window_s = 0.01  # each death is the first
        write_config(config, path)
        config = load(path)
        made = plan.make(config, topology.read())
        times = _Times()
        boss = Supervisor(config, made, path, say=times.note, at_end=times.end(made))
        thread = beside(config.name) if beside else None
        if thread:
            thread.start()
        try:
            report = boss.run()
        except PipelineFailed as failed:
            raise BenchError(f"the pipeline failed: {failed}") from None
        finally:
            if thread:
                thread.join()
    if not report.balanced:
        raise BenchError("the pipeline lost or doubled records: its counters do not balance")
    return Ran(report, times.seconds)


class _Times:
    """When the source was released, and when the last record was taken."""

    def __init__(self) -> None:
        self.released_ns = self.ended_ns = 0

    def note(self, line: str) -> None:
        """The supervisor says so when it releases the source."""
        if line.startswith("ready"):
            self.released_ns = time.monotonic_ns()

    def end(self, made: plan.Plan):
        """What reads the last sign of life of every stage: given before files are finished."""

        def read(pipeline: str) -> None:
            for stage in made.stages:
                panel = Panel(pipeline, stage.name)
                self.ended_ns = max(self.ended_ns, int(panel.status["heartbeat_ns"]))
                panel.close()

        return read

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.released_ns) / 1e9
