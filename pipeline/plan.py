"""Configuration and host into a plan: which stages in which processes, on which cores, joined by
which rings. Pure: it opens nothing, and the same arguments give the same plan.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np

from pipeline.config import BEHIND, STAGES, Config, ConfigError, Journal, Memory, Placement
from pipeline.seats import CLASSES, seats_of
from ringbuf.board import KIND as BOARD
from ringbuf.panel import KIND as PANEL
from ringbuf.panel import Equation, panel_text
from ringbuf.record import layout_text
from ringbuf.ring import bytes_needed
from ringbuf.share import KIND as RING
from ringbuf.share import Layouts, Seat
from tuning.topology import Topology
from workers import depth, instruments
from workers.enriched import CONSOLIDATED_DEPTH
from workers.portfolio_board import PORTFOLIO_ROW
from workers.position_board import POSITION_ROW, rows_of
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING

LAYOUTS: dict[str, Layouts] = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
ORDER = (*STAGES, *BEHIND)
TAP = "tap"  # the name of an extra gating reader that the supervisor itself is


@dataclass(frozen=True)
class StagePlan:
    """One stage: where it runs and what it is joined to."""

    name: str
    process: int  # index of its process
    core: int | None
    node: int | None
    alone: bool  # nobody else has its core
    wait: str
    restart: bool
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class SegmentPlan:
    """One shared-memory segment: a ring, a board or a panel."""

    kind: str
    name: str
    size: int  # bytes of payload
    capacity: int
    record_size: int
    text: str
    readers: tuple[Seat, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A whole pipeline, ready to be launched."""

    pipeline: str
    stages: tuple[StagePlan, ...]
    segments: tuple[SegmentPlan, ...]
    notes: tuple[str, ...] = field(default=())  # what was chosen, and why
    memory: Memory = field(default_factory=Memory)
    journal: Journal | None = None

    @property
    def processes(self) -> list[list[StagePlan]]:
        """The stages of each process."""
        count = max(stage.process for stage in self.stages) + 1
        return [[stage for stage in self.stages if stage.process == n] for n in range(count)]

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.name == name)

    def node_of(self, part: SegmentPlan) -> int | None:
        """The memory node of the stage that writes a segment; None where it may run anywhere."""
        for stage in self.stages:
            kept = {RING: stage.writes, BOARD: CLASSES[stage.name].KEEPS, PANEL: (stage.name,)}
            if part.name in kept[part.kind]:
                return stage.node
        return None

    def segments_of(self, kind: str) -> list[SegmentPlan]:
        return [segment for segment in self.segments if segment.kind == kind]


def make(config: Config, topology: Topology, taps: tuple[str, ...] = ()) -> Plan:
    """The plan of a configuration on a host; ConfigError where they do not fit.

    taps: rings that get an extra gating reader named TAP.
    """
    names = _present(config)
    _check_after(config, names)
    groups = _processes(config, names)
    cores, notes = _cores(config, groups, topology)
    shared = {core for core in cores if core is not None and cores.count(core) > 1}
    stages = []
    for number, group in enumerate(groups):
        core = cores[number]
        alone = core is not None and core not in shared
        wait = _wait(config, group, alone)
        stages += [
            StagePlan(
                name=name,
                process=number,
                core=core,
                node=next((item.node for item in topology.cores if item.id == core), None),
                alone=alone,
                wait=wait,
                restart=config.placement(name).restart != "never"
                and (name == "publisher" or config.journal is not None),
                reads=tuple(CLASSES[name].READS),
                writes=tuple(CLASSES[name].WRITES),
            )
            for name in group
        ]
    stages.sort(key=lambda stage: ORDER.index(stage.name))
    segments = _segments(config, stages, taps)
    asked = ["huge pages"] * config.memory.huge_pages + ["locked"] * config.memory.lock
    if asked:
        notes.append(f"memory: {' and '.join(asked)}, where the host grants it")
    notes += _told_by_ingest(config)
    return Plan(config.name, tuple(stages), segments, tuple(notes), config.memory, config.journal)


def _told_by_ingest(config: Config) -> list[str]:
    """What ingest puts into the log besides what its feeds say."""
    notes = []
    if config.reference:
        notes.append(f"reference: terms and phases of instruments as in {config.reference.path}")
    if config.day:
        end = ", orders die when the venue ends its day" * (config.day.end == "venue")
        notes.append(f"day: a new one begins at {config.day.roll} {config.day.zone}{end}")
    return notes


def check_stages(plan: Plan, names: tuple[str, ...]) -> list[str]:
    """The named stages of a plan; ConfigError for one that it does not have."""
    there = [stage.name for stage in plan.stages]
    missing = [name for name in names if name not in there]
    if missing:
        known = ", ".join(there)
        raise ConfigError(
            plan.pipeline,
            [f"no stage {name!r} in this pipeline; it has {known}" for name in missing],
        )
    return list(names)


def _present(config: Config) -> list[str]:
    """The stages that this configuration needs: no risk without portfolios, and so on."""
    present = {"ingest", "book"}
    if config.risk.portfolios:
        present.add("risk")
    if config.publisher.sinks:
        present.add("publisher")
    if config.journal:
        present.update(BEHIND)
    return [stage for stage in ORDER if stage in present]


def _wait(config: Config, group: list[str], alone: bool) -> str:
    """How the process of some stages waits: on a core of its own it may spin, elsewhere not."""
    asked = {name: config.placement(name).wait for name in group}
    chosen = {wait for wait in asked.values() if wait != "auto"}
    sources = [name for name in group if not CLASSES[name].READS]
    if len(chosen) > 1:
        told = ", ".join(f"{name} {wait}" for name, wait in asked.items() if wait != "auto")
        raise ConfigError(
            config.name, [f"stages: one process cannot wait in two ways ({told}); give it one"]
        )
    if "park" in chosen and sources:
        why = "a process that takes in from outside has no ring to sleep on; use 'backoff'"
        raise ConfigError(config.name, [f"stages.{sources[0]}.wait: {why}"])
    if chosen:
        return chosen.pop()
    return "spin" if alone else "backoff" if sources else "park"


def _check_after(config: Config, names: list[str]) -> None:
    """ConfigError where a stage comes after one that this configuration does not have."""
    problems = [
        f"stages.{stage}.after.{ring}: there is no {first} in this pipeline; it has "
        f"{', '.join(names)}"
        for stage in names
        for ring, first in config.placement(stage).after.items()
        if first not in names
    ]
    if problems:
        raise ConfigError(config.name, problems)


def _processes(config: Config, names: list[str]) -> list[list[str]]:
    groups = [[name for name in group if name in names] for group in config.processes]
    named = {name for group in groups for name in group}
    groups += [[name] for name in names if name not in named]
    return sorted((group for group in groups if group), key=lambda group: ORDER.index(group[0]))


def _cores(
    config: Config, groups: list[list[str]], topology: Topology
) -> tuple[list[int | None], list[str]]:
    """A core for each process, and why."""
    problems: list[str] = []
    wanted: list[int | None] = []
    for group in groups:
        cores = (config.placement(name).core for name in group)
        asked = {core for core in cores if core is not None}
        if len(asked) > 1:
            problems.append(
                f"stages: {', '.join(group)} share a process but ask for cores "
                f"{sorted(asked)}; give them one"
            )
        for name in group:
            core = config.placement(name).core
            if core is not None and core not in topology.allowed:
                problems.append(
                    f"stages.{name}.core: there is no core {core} for this process; "
                    f"it may use {_ranges(topology.allowed)}"
                )
        wanted.append(next(iter(asked), None))
    if problems:
        raise ConfigError(config.name, problems)
    free = [core for core in _preferred(topology) if core not in wanted]
    # Those behind the flow run wherever there is room: nobody waits for them.
    unplaced = [
        number
        for number, core in enumerate(wanted)
        if core is None and not set(groups[number]) <= set(BEHIND)
    ]
    notes = _placed(unplaced, free, wanted, groups)
    return wanted, notes


def _placed(unplaced, free, wanted, groups) -> list[str]:
    """Give cores to the processes that ask for none; neighbours in the flow share where needed."""
    if not unplaced:
        return ["every process runs on the core that the configuration names"]
    if not free:
        free = sorted({core for core in wanted if core is not None})
    notes = []
    if len(free) >= len(unplaced):
        for number, core in zip(unplaced, free, strict=False):
            wanted[number] = core
        notes.append(f"{len(unplaced)} processes, {len(free)} free cores: a core for each")
    else:
        for place, number in enumerate(unplaced):
            wanted[number] = free[place * len(free) // len(unplaced)]
        notes.append(
            f"{len(unplaced)} processes, {len(free)} free cores: neighbours in the flow share "
            "a core, and sleep while they wait instead of spinning"
        )
    notes += [f"core {wanted[number]}: {' + '.join(groups[number])}" for number in unplaced]
    return notes


def _preferred(topology: Topology) -> list[int]:
    """Cores to use, best first: isolated ones, then whole ones, then second threads of a core.

    With more than four to choose from, core 0 comes last: the kernel's own work lands there.
    """
    physical = topology.physical_cores()
    order = [core for core in topology.isolated if core in topology.allowed]
    order += [core for core in physical if core not in order]
    order += [core for core in topology.allowed if core not in order]
    if len(order) > len(STAGES) and 0 in order:
        order.remove(0)
        order.append(0)
    return order


def _ranges(cores) -> str:
    return ", ".join(map(str, sorted(cores)))


def panel_parts(
    config: Config, stage: str
) -> tuple[dict[str, np.dtype], tuple[str, ...], list[Equation]]:
    """The counter blocks, histograms and equations of a stage's panel."""
    kind = CLASSES[stage]
    parts = {"ingest": len(config.feeds), "publisher": len(config.publisher.sinks)}.get(stage, 0)
    return kind.counters_of(parts), kind.HISTOGRAMS, kind.equations_of(parts)


def _manners(config: Config) -> dict[str, Placement]:
    """How stages read; a journal that is to be on disk before the answer comes before the book."""
    if config.journal is None or config.journal.durability != "sync":
        return config.stages
    book = config.placement("book")
    after = {"events": "journal", **book.after}
    return {**config.stages, "book": msgspec.structs.replace(book, after=after)}


def _segments(
    config: Config, stages: list[StagePlan], taps: tuple[str, ...]
) -> tuple[SegmentPlan, ...]:
    segments = []
    names = [stage.name for stage in stages]
    parking = {stage.name: stage.wait == "park" for stage in stages}
    for ring, layouts in LAYOUTS.items():
        if not any(ring in CLASSES[name].WRITES for name in names):
            continue
        readers = seats_of(ring, names, _manners(config), parking)
        readers += [Seat(TAP)] * (ring in taps)
        capacity = getattr(config.rings, ring)
        (size,) = {dtype.itemsize for _, dtype in layouts.values()}
        segments.append(
            SegmentPlan(
                kind=RING,
                name=ring,
                size=bytes_needed(capacity, size),
                capacity=capacity,
                record_size=size,
                text=layout_text(layouts),
                readers=tuple(readers),
            )
        )
    rows = {
        "instruments": ("instrument", instruments.INSTRUMENT, config.ingest.instruments),
        "depth": ("depth", depth.DEPTH, config.ingest.instruments),
        "consolidated": ("group", CONSOLIDATED_DEPTH, len(config.consolidated)),
        "portfolios": ("portfolio", PORTFOLIO_ROW, max(len(config.risk.portfolios), 1)),
        "positions": ("position", POSITION_ROW, max(len(rows_of(config.risk)), 1)),
    }
    for board, (row, dtype, count) in rows.items():
        if count and any(board in CLASSES[name].KEEPS for name in names):
            text = layout_text({row: (-1, dtype)})
            size = dtype.itemsize
            segments.append(SegmentPlan(BOARD, board, count * size, count, size, text))
    for name in names:
        text = panel_text(*panel_parts(config, name))
        segments.append(SegmentPlan(PANEL, name, 0, 0, 0, text))
    return tuple(segments)
