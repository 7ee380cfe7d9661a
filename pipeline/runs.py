"""Running, finding and stopping pipelines, for the command line."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import console, launch
from pipeline.config import Config
from pipeline.plan import Plan
from pipeline.report import Report, parts
from pipeline.segments import is_alive
from pipeline.supervisor import PipelineFailed, Supervisor
from ringbuf import memory
from ringbuf.host import start_time
from ringbuf.memory import SegmentError
from ringbuf.panel import Command, Panel


@dataclass
class Result:
    """A run that has ended."""

    report: Report
    seconds: float  # from ready to the end


def supervise(
    config: Config,
    plan: Plan,
    config_path: Path,
    *,
    quiet: bool = False,
    taps: dict[str, Callable] | None = None,
    every: Callable | None = None,
    at_end: Callable[[str], None] | None = None,
) -> Result:
    """Run a pipeline to its end. `at_end` is called with its name before its memory goes."""
    say = (lambda line: None) if quiet else _say
    boss = Supervisor(config, plan, config_path, taps=taps, every=every, say=say, at_end=at_end)
    try:
        report = boss.run()
    except PipelineFailed as failed:
        if not quiet:
            show_status(failed.report)
        raise
    return Result(report, boss.seconds)


def _say(line: str) -> None:
    console.err.print(line, markup=False, style="dim")


def show_status(report: Report, with_counters: bool = False) -> None:
    """Print a report."""
    for stage in report.stages:
        if stage.message:
            console.out.print(f"{stage.name}: {stage.message}", markup=False, style="red")
    for warning in report.footing.warnings:
        console.out.print(f"warning: {warning}", markup=False, style="yellow", soft_wrap=True)
    for part in (
        console.stages,
        console.processes,
        console.rings,
        console.readers,
        console.memory,
        console.latencies,
    ):
        console.out.print(part(report))
        console.out.print()
    if report.portfolios:
        console.out.print(console.portfolios(report))
        console.out.print()
    if with_counters:
        console.out.print(console.counters(report))
        console.out.print()
    console.out.print(console.balances(report))


def running() -> list[str]:
    """The names of pipelines whose memory exists."""
    names = (name.removeprefix(f"{memory.PREFIX}.").split(".") for name in memory.names())
    return sorted({pipeline for pipeline, *part in names if part == [launch.RUN]})


def the_one(name: str | None) -> str:
    """The pipeline that is meant: the named one, or the only one there is."""
    found = running()
    if name is not None:
        if name not in found:
            there = f"there is {', '.join(found)}" if found else "none is running"
            raise SegmentError(f"no pipeline named {name!r}; {there}")
        return name
    if not found:
        raise SegmentError("no pipeline is running; start one: corelane run CONFIG")
    if len(found) > 1:
        raise SegmentError(f"name one of the running pipelines: {', '.join(found)}")
    return found[0]


def stop(pipeline: str, now: bool) -> None:
    """Ask a pipeline to end, and wait until it has."""
    segment = memory.attach(pipeline, launch.RUN, launch.RUN)
    pid, began = int(segment.header["pid"]), int(segment.header["start_time"])
    segment.close()
    if start_time(pid) == began and memory.alive(memory.full_name(pipeline, launch.RUN)):
        for _ in range(2 if now else 1):
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.2)
    else:  # started by systemd or by hand: no supervisor, the source is told itself
        panel = Panel(pipeline, "ingest", command=True)
        panel.tell(Command.STOP)
        panel.close()
    while pipeline in running() and is_alive(pipeline):
        time.sleep(0.1)
    print(f"{pipeline} has stopped", file=sys.stderr)


__all__ = ["Result", "parts", "running", "show_status", "stop", "supervise"]
