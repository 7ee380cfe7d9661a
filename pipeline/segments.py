"""Segments of pipelines, running and dead: `corelane segments ls` and `rm`.

What lives is known by its locks alone. Process ids and start times are shown for people: they
say who took a role last, and nothing of whether that process still has it.
"""

import os
import time

from rich.table import Table
from rich.text import Text

from pipeline import console, launch
from pipeline.footing import page_text
from ringbuf import memory
from ringbuf.memory import OWNER, READER, WRITER, Segment, SegmentError
from ringbuf.ring import lines
from ringbuf.share import KIND as RING

ROLES = {OWNER: "supervisor", WRITER: "writer"}


def pipelines() -> list[str]:
    """The pipelines that have segments, living or dead."""
    return sorted({_split(name)[0] for name in memory.names()})


def is_alive(pipeline: str) -> bool:
    """Whether a living process has a role on any segment of a pipeline."""
    return any(memory.alive(name) for name in memory.names(pipeline))


def list_segments() -> None:
    """Print every segment: its size and pages, who made it, who holds it, and its state."""
    made = console.table(
        "segments",
        "pipeline", "part", ">bytes", "pages", ">made by", "since", "held by", "state",
    )  # fmt: skip
    living = {pipeline for pipeline in pipelines() if is_alive(pipeline)}
    for name in memory.names():
        _add(made, name, living)
    console.out.print(made)


def _add(made: Table, name: str, living: set[str]) -> None:
    pipeline, part = _split(name)
    try:
        segment = memory.look(name)
    except SegmentError as error:
        made.add_row(pipeline, part, "?", "?", "?", "?", "?", Text(str(error)))
        return
    header = segment.header
    fault = memory.fault(segment, header["kind"].decode(errors="replace"), None)
    made.add_row(
        pipeline,
        part,
        f"{len(segment.bytes):,}",
        page_text(segment.page_sizes),
        "?" if fault else str(header["pid"]),
        "?" if fault else _moment(int(header["created_ns"]) / 1e9),
        Text("?" if fault else ", ".join(holders(segment)) or "-"),
        Text(fault or ("in use" if pipeline in living else "dead")),
    )
    segment.close()


def holders(segment: Segment) -> list[str]:
    """Who took each role on a segment last, and whether it still has it."""
    held = set(memory.roles_held(segment.name))
    names = dict(ROLES)
    if segment.header["kind"] == RING.encode():
        for number, line in enumerate(lines(segment.payload)[1]):
            names[READER + number] = bytes(line["name"]).decode(errors="replace")
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    told = []
    for role, holder in enumerate(segment.header["holders"]):
        if holder["pid"] or role in held:
            since = _moment(booted + int(holder["start_time"]) / os.sysconf("SC_CLK_TCK"))
            state = "alive" if role in held else "dead"
            who = names.get(role) or f"role {role}"
            told.append(f"{who} {holder['pid']} ({since}) {state}")
    return told


def remove(pipeline: str) -> str:
    """Remove what a dead run has left, and say so; SegmentError while any process of it lives."""
    with launch.only_one(pipeline):
        count = launch.clear_dead(pipeline)
    drafts = memory.remove_dead_drafts()
    return f"removed {count} segments of {pipeline}" + f", and {drafts} half-made" * bool(drafts)


def remove_all() -> list[str]:
    """Remove what all dead runs have left; a line for each pipeline."""
    told = []
    for pipeline in pipelines():
        try:
            told.append(remove(pipeline))
        except SegmentError as refusal:
            told.append(f"left alone: {refusal}")
    drafts = memory.remove_dead_drafts()
    told += [f"removed {drafts} half-made segments"] * bool(drafts)
    return told or ["nothing to remove"]


def _split(name: str) -> tuple[str, str]:
    pipeline, _, part = name.removeprefix(f"{memory.PREFIX}.").partition(".")
    return pipeline, part


def _moment(seconds: float) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(seconds))
