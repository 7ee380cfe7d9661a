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
    for part in (console.stages, console.rings, console.latencies):
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
    while pipeline in running() and _any_alive(pipeline):
        time.sleep(0.1)
    print(f"{pipeline} has stopped", file=sys.stderr)


def _any_alive(pipeline: str) -> bool:
    return any(memory.alive(name) for name in memory.names(pipeline))


def list_segments() -> None:
    """Print every segment, its size, its maker and whether somebody lives on it."""
    made = console.table("segments", "pipeline", "part", ">bytes", ">made by", "since", "state")
    for name in memory.names():
        path = memory.FOLDER / name
        pipeline, _, part = name.removeprefix(f"{memory.PREFIX}.").partition(".")
        try:
            segment = memory.Segment(name, os.open(path, os.O_RDONLY | os.O_CLOEXEC), False)
        except (OSError, SegmentError) as error:
            made.add_row(pipeline, part, "?", "?", "?", str(error))
            continue
        kind = segment.header["kind"].decode()
        reason = memory.fault(segment, kind, None)
        made_s = int(segment.header["created_ns"]) / 1e9
        since = time.strftime("%m-%d %H:%M:%S", time.localtime(made_s))
        state = reason or ("in use" if _any_alive(pipeline) else "dead")
        made.add_row(
            pipeline,
            part,
            f"{len(segment.bytes):,}",
            str(segment.header["pid"]),
            since,
            state,
        )
        segment.close()
    console.out.print(made)


__all__ = ["Result", "list_segments", "parts", "running", "show_status", "stop", "supervise"]
