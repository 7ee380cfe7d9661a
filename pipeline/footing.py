"""What a pipeline stands on: what memory and cores were asked for, and what was got.

Pages and nodes are measured in a mapping of our own; what a process has locked is asked of the
kernel; what it asked for at its start stands on its panel.
"""

import msgspec

from pipeline.launch import RUN
from ringbuf import memory, pages
from ringbuf.host import start_time
from ringbuf.memory import Segment
from ringbuf.panel import Panel
from tuning.memory import locked_bytes
from tuning.numa import Placement, node_of_pages

UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))


class SegmentFooting(msgspec.Struct):
    """The memory of one segment. Keys of `pages` are bytes a page, of `nodes` node numbers."""

    name: str
    bytes: int
    huge_asked: bool
    pages: dict[int, int]  # bytes of the segment that lie in pages of this size
    why: str  # its pages are not all huge though asked
    node_asked: int | None
    nodes: dict[int, int]  # pages (of 4 KiB) that lie on this node
    nodes_why: str = ""  # they could not be told

    @property
    def astray(self) -> bool:
        """Whether pages lie on another node than was asked for."""
        return self.node_asked is not None and bool(self.nodes.keys() - {self.node_asked})

    @property
    def lies_on(self) -> str:
        """The nodes of its pages, for people."""
        return ", ".join(map(str, self.nodes)) or f"unknown: {self.nodes_why}"


class Wish(msgspec.Struct):
    """Something asked of the host: granted where `why` is empty."""

    asked: str
    got: str
    why: str


class StageFooting(msgspec.Struct):
    """What the process of one stage stands on."""

    name: str
    locked_bytes: int
    clock: str  # "tsc" or "system"
    wishes: list[Wish]


class Footing(msgspec.Struct):
    """A whole pipeline's."""

    segments: list[SegmentFooting] = []
    stages: list[StageFooting] = []
    warnings: list[str] = []


def footing(pipeline: str) -> Footing:
    """Look at all of a pipeline's segments and stages; SegmentError where it has gone."""
    with_run = memory.attach(pipeline, RUN, RUN)
    text = with_run.text
    with_run.close()
    nodes = text.get("nodes", {})
    wanted = nodes if text.get("numa") != "off" else {}
    segments = [_segment(name, wanted.get(name)) for name in nodes]
    stages = [_stage(pipeline, name) for name, *_ in text["stages"]]
    return Footing(segments, stages, warnings(segments, stages))


def _segment(name: str, node: int | None) -> SegmentFooting:
    segment = memory.look(name)
    placed = _placement(segment)
    found = SegmentFooting(
        name=name.split(".", 2)[2],
        bytes=len(segment.bytes),
        huge_asked=bool(segment.header["huge"]),
        pages=segment.page_sizes,
        why=segment.header["why"].decode(),
        node_asked=node,
        nodes=placed.pages,
        nodes_why=placed.why,
    )
    segment.close()
    return found


def _placement(segment: Segment) -> Placement:
    return node_of_pages(segment.bytes.ctypes.data, len(segment.bytes))


def _stage(pipeline: str, name: str) -> StageFooting:
    panel = Panel(pipeline, name)
    status = panel.status
    pid = int(status["pid"])
    alive = bool(pid) and start_time(pid) == int(status["start_time"])
    found = StageFooting(
        name=name,
        locked_bytes=locked_bytes(pid) if alive else 0,
        clock="tsc" if status["clock"]["steady"] else "system",
        wishes=[Wish(*outcome) for outcome in panel.outcomes],
    )
    panel.close()
    return found


def warnings(segments: list[SegmentFooting], stages: list[StageFooting]) -> list[str]:
    """What was asked and not got, each once, with the mend."""
    told = []
    small = [part for part in segments if part.why]
    if small:
        total, free = pages.pool()
        need = sum(pages.round_up(part.bytes, pages.HUGE) // pages.HUGE for part in small)
        told.append(
            f"huge pages: {len(small)} of {len(segments)} segments have none: {small[0].why}; "
            f"all would have them with vm.nr_hugepages={max(total + need - free, total)}"
        )
    told += [
        f"numa: {part.name} was to lie on node {part.node_asked}, and lies on {part.lies_on}"
        for part in segments
        if part.astray
    ]
    by_wish: dict[tuple[str, str, str], list[str]] = {}
    for stage in stages:
        for wish in stage.wishes:
            if wish.why:
                by_wish.setdefault((wish.asked, wish.got, wish.why), []).append(stage.name)
    told += [
        f"{', '.join(names)}: {asked} was asked, {got} was got: {why}"
        for (asked, got, why), names in by_wish.items()
    ]
    return told


def page_text(sizes: dict[int, int]) -> str:
    """Page sizes for people: "4 KiB", or "2 MiB + 4 KiB" where a segment has both."""
    return " + ".join(map(_size, sorted(sizes, reverse=True))) or "?"


def _size(size: int) -> str:
    """A size in the largest unit that divides it."""
    unit, scale = next(unit for unit in UNITS if size % unit[1] == 0)
    return f"{size // scale} {unit}"
