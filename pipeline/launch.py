"""From a plan to running stages: a pipeline's shared memory, and becoming one of its stages."""

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import msgspec

from pipeline import past
from pipeline.config import Config
from pipeline.plan import CLASSES, LAYOUTS, Plan, SegmentPlan, StagePlan
from ringbuf import clock, memory, pages
from ringbuf.board import KIND as BOARD
from ringbuf.board import Board
from ringbuf.host import counter_fault
from ringbuf.jit import compiled
from ringbuf.journal import JournalReader
from ringbuf.memory import Segment, SegmentError
from ringbuf.panel import KIND as PANEL
from ringbuf.panel import Panel, create_panel
from ringbuf.share import KIND as RING
from ringbuf.share import Observer, RingReader, RingWriter, create_ring
from tuning import affinity, numa
from tuning.memory import lock_all
from tuning.outcome import Outcome
from tuning.topology import show
from workers import recovery, rejoin
from workers.book import Book
from workers.ingest import Ingest
from workers.journal import Journal
from workers.publish import Publisher
from workers.risk import Risk
from workers.snapshots import SnapshotOptions, Snapshots
from workers.stage import Links, Stage, Waiter, run

RUN = "run"  # the segment that exists once all others do; its text names them
LOCK_S = 60.0  # to wait for another that makes or clears the same memory
READY_ORDER = ("journal", "publisher", "risk", "book", "ingest", "snapshot")
FIRST_S = 0.1  # for which a stage that comes back goes before others on its core
BACKGROUND = 10  # how much nicer to others than the rest is who is in no hurry
PARENT = "CORELANE_PARENT"  # process id of the supervisor, for its stages


@contextmanager
def only_one(pipeline: str) -> Iterator[None]:
    """Let one process at a time make or clear a pipeline's memory: half of it looks dead."""
    address = f"\0{memory.full_name(pipeline, 'lock')}"  # no file: gone with whoever has it
    until = time.monotonic() + LOCK_S
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind(address)
                break
            except OSError as failure:
                if failure.errno != errno.EADDRINUSE:
                    raise
            if time.monotonic() > until:
                raise SegmentError(
                    f"pipeline {pipeline!r}: another process has been making or clearing its "
                    f"memory for {LOCK_S:g} s; look for it (ps), or wait"
                )
            time.sleep(0.02)
        yield


def clear_dead(pipeline: str) -> int:
    """Remove the segments of a run that has died; SegmentError where one of it still lives."""
    check_free(pipeline)
    names = memory.names(pipeline)
    for name in names:
        memory.unlink(name)
    return len(names)


def check_free(pipeline: str) -> None:
    """SegmentError where a pipeline of this name lives."""
    if any(memory.alive(name) for name in memory.names(pipeline)):
        raise SegmentError(
            f"pipeline {pipeline!r} is running already ({_owner(pipeline)}); stop it "
            f"(corelane stop {pipeline}), or give this one another name"
        )


def _owner(pipeline: str) -> str:
    """Who runs a pipeline, for a message."""
    try:
        segment = memory.attach(pipeline, RUN, RUN)
    except SegmentError:
        return "its memory is in use"
    pid, since = int(segment.header["pid"]), int(segment.header["created_ns"]) / 1e9
    segment.close()
    return f"process {pid}, since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(since))}"


def prepare(config: Config, plan: Plan) -> tuple[Segment, int]:
    """Clear away what a dead run left and make every segment anew; how many were cleared away.

    Where there is a journal, what the dead run had not written down yet is written down first,
    and the rings go on where their journals end.
    """
    check_free(plan.pipeline)
    if plan.journal is None:
        cleared = clear_dead(plan.pipeline)
        return create(plan), cleared
    run_id = past.claim(config, plan).run_id
    with past.journals(plan) as logs:
        ends = past.rebuild(config, plan, logs)
    cleared = clear_dead(plan.pipeline)
    return create(plan, run_id, lambda: past.populate(config, plan, ends)), cleared


def create(plan: Plan, run_id: str = "", fill: Callable[[], None] = lambda: None) -> Segment:
    """Make every segment of a plan; the run segment comes last and says that all are there.

    fill: puts into them what is there from the start.
    """
    memory.remove_dead_drafts()
    made = []
    nodes = {}
    try:
        for part in plan.segments:
            node = plan.node_of(part)
            with pages.huge_pages(plan.memory.huge_pages), numa.placed(plan.memory.numa, node):
                made.append(_create(plan, part))
            nodes[made[-1].name] = node
        _set_clocks(plan)
        fill()
        text = json.dumps(
            {
                "stages": [[s.name, s.process, s.restart] for s in plan.stages],
                "rings": [part.name for part in plan.segments_of(RING)],
                "boards": [part.name for part in plan.segments_of(BOARD)],
                "run_id": run_id or past.new_run_id(),
                "numa": plan.memory.numa,
                "nodes": nodes,
            }
        )
        made.append(memory.create(plan.pipeline, RUN, RUN, 4096, text))
    except BaseException:
        for segment in made:
            memory.unlink(segment.name)
        raise
    for segment in made[:-1]:
        segment.close()
    return made[-1]


def _create(plan: Plan, part: SegmentPlan) -> Segment:
    name = plan.pipeline
    if part.kind == RING:
        return create_ring(name, part.name, LAYOUTS[part.name], part.capacity, part.readers)
    if part.kind == PANEL:
        return create_panel(name, part.name, part.text)
    rows, size = part.capacity, part.record_size
    return memory.create(name, part.name, BOARD, part.size, part.text, rows, size)


def _set_clocks(plan: Plan) -> None:
    """Calibrate once and tell every stage, so that all convert cycles alike."""
    first = None
    for stage in plan.stages:
        panel = Panel(plan.pipeline, stage.name, own=True)
        if first is None:
            clock.calibrate(panel.status["clock"])
            first = panel.status["clock"].copy()
        panel.status["clock"] = first
        panel.status["core"] = -1 if stage.core is None else stage.core
        panel.status["node"] = -1 if stage.node is None else stage.node
        panel.status["wait"] = stage.wait.encode()
        panel.close()


def remove(pipeline: str) -> None:
    """Remove all segments of a pipeline."""
    for name in memory.names(pipeline):
        memory.unlink(name)


def run_id(pipeline: str) -> str:
    """What tells this run of a pipeline from every other."""
    segment = memory.attach(pipeline, RUN, RUN)
    try:
        return segment.text["run_id"]
    finally:
        segment.close()


def _ensure(config: Config, plan: Plan) -> None:
    """Make the memory of a plan unless it is there: systemd and people start stages too."""
    there = memory.full_name(plan.pipeline, RUN) in memory.names(plan.pipeline)
    if there and any(memory.alive(name) for name in memory.names(plan.pipeline)):
        return
    prepare(config, plan)[0].close()


def become(config: Config, plan: Plan, names: list[str]) -> None:
    """Run stages in this process until they are finished."""
    chosen = [plan.stage(name) for name in names]
    affinity.name_process("+".join(names))
    set_parent_death()
    if os.environ.get(PARENT):
        panels = [_enter(plan, part) for part in chosen]
    else:
        with only_one(plan.pipeline):
            _ensure(config, plan)
            panels = [_enter(plan, part) for part in chosen]
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _frame: stopping.append(signum))
    outcomes = [astuple(outcome) for outcome in _settle(plan, chosen[0])]
    stages = []
    for part, panel in zip(chosen, panels, strict=True):
        try:
            panel.note(outcomes)
            stages.append((build(config, plan, part, panel), panel))
        except BaseException as error:
            panel.fail(error)
            raise
    begin = _beginnings(config, plan, stages)
    run(stages, Waiter(chosen[0].wait, chosen[0].alone), lambda: bool(stopping), begin)


def _beginnings(
    config: Config, plan: Plan, stages: list[tuple[Stage, Panel]]
) -> Callable[[Stage], None]:
    """How stages get ready: from nothing, or back to where they left off.

    What one waits for on its way back may be for another of this process to do: those that are
    ready turn meanwhile, and those at the end of the flow get ready first.
    """
    begun: list[Stage] = []
    names = {id(stage): panel.stage for stage, panel in stages}
    nicer = BACKGROUND if [*names.values()] == ["snapshot"] else 0
    first_until = time.monotonic() + FIRST_S
    if nicer:
        _go_along(nicer)

    def beat() -> None:
        if time.monotonic() > first_until:
            _go_along(nicer)  # who is long on its way back must not keep others off
        for stage, panel in stages:
            panel.beat()
            if stage in begun:
                stage.turn(0)

    def begin(stage: Stage) -> None:
        name, stage.breathe = names[id(stage)], beat
        if plan.journal and isinstance(stage, Ingest):
            if any(feed.live for feed in stage.feeds):
                rejoin.rejoin(stage, JournalReader(past.folder_of(plan) / "events"), beat)
            else:
                recovery.rerun(stage, name, beat)
        elif plan.journal and isinstance(stage, Book | Risk) and plan.stage(name).restart:
            recovery.resume(stage, name, past.past_of(config, plan, name), beat)
        else:
            stage.open()
        begun.append(stage)
        if len(begun) == len(stages):
            _go_along(nicer)

    if plan.journal:
        stages.sort(key=lambda item: READY_ORDER.index(item[1].stage))
    return begin


def _go_along(nicer: int) -> None:
    """Have this process be as its supervisor is to others, or nicer."""
    if os.environ.get(PARENT):  # else systemd or a person has chosen how nice it is
        affinity.go_along(nicer)


def warm(config: Config, plan: Plan) -> None:
    """Load all code that a stage which starts again will run, by having small ones do it."""
    set_parent_death()
    small = msgspec.structs.replace(
        config,
        book=msgspec.structs.replace(config.book, orders=64, levels=64),
        ingest=msgspec.structs.replace(config.ingest, instruments=16),
    )
    recovery.rehearse(past.replica(small, plan).parts)
    past.rehearse(plan)


def set_parent_death() -> None:
    """Die with the supervisor."""
    parent = os.environ.get(PARENT)
    if parent:
        affinity.set_parent_death_signal(signal.SIGKILL, int(parent))


def _settle(plan: Plan, part: StagePlan) -> list[Outcome]:
    """Go where a stage's process belongs, before it touches any memory; what came of it."""
    outcomes = []
    if part.core is not None:
        affinity.pin([part.core])
    cores = f"core {show(affinity.current())}"
    outcomes.append(Outcome("any core" if part.core is None else cores, cores))
    if part.node is not None and plan.memory.numa != "off":
        outcomes.append({"prefer": numa.prefer, "bind": numa.bind}[plan.memory.numa](part.node))
    outcomes.append(affinity.set_timer_slack(1))
    why = counter_fault() or ("" if compiled() else "the kernels run uncompiled")
    outcomes.append(Outcome("cycle counter", "clock_gettime" if why else "cycle counter", why))
    return outcomes


@dataclass
class Locking(Links):
    """Links of a stage whose memory stays in memory, once all of it is compiled and touched."""

    def warm(self) -> None:
        """Warm up, then lock what there is, and what will come."""
        super().warm()
        self.panel.note([*self.panel.outcomes, astuple(lock_all())])


def _enter(plan: Plan, part: StagePlan) -> Panel:
    """Take a stage's panel; refused for a stage that has died and cannot go on."""
    panel = Panel(plan.pipeline, part.name, own=True)
    if panel.status["starts"] and not part.restart:
        raise SegmentError(
            f"stage {part.name!r} of {plan.pipeline!r} has run already, and what it knew is gone; "
            "stop the other stages and start the pipeline anew"
        )
    panel.enter()
    return panel


def build(config: Config, plan: Plan, part: StagePlan, panel: Panel) -> Stage:
    """A stage, joined to its rings and boards."""
    name, kind = plan.pipeline, CLASSES[part.name]
    boards = {board.name for board in plan.segments_of(BOARD)}
    rings = {ring.name: ring for ring in plan.segments_of(RING)}
    links = (Locking if plan.memory.lock else Links)(panel)
    for ring in kind.READS:
        if ring in rings:
            replays = config.placement(part.name).lag.get(ring) == "replay"
            log = JournalReader(past.folder_of(plan) / ring) if replays else None
            links.readers[ring] = RingReader(name, ring, LAYOUTS[ring], part.name, log)
    for ring in kind.WRITES:
        links.writers[ring] = RingWriter(name, ring, LAYOUTS[ring])
    for board in (*kind.LOOKS_AT, *kind.KEEPS):
        if board in boards:
            links.boards[board] = Board(name, board, writable=board in kind.KEEPS)
    if kind is Ingest:
        return Ingest(config.ingest, config.feeds, links, config.setting)
    if kind is Book:
        return Book(config.book, config.ingest.instruments, links, config.consolidated, config.risk)
    if kind is Risk:
        return Risk(config.risk, config.ingest.instruments, links)
    if plan.journal and kind is Journal:
        return Journal(plan.journal, name, links, past.archive_of(plan))
    if plan.journal and kind is Snapshots:
        return Snapshots(_snapshot_options(config, plan), links)
    logs = {
        ring: JournalReader(past.folder_of(plan) / ring) for ring in links.readers if plan.journal
    }
    return Publisher(config.publisher, run_id(name), links, logs, config.consolidated)


def _snapshot_options(config: Config, plan: Plan) -> SnapshotOptions:
    assert plan.journal is not None
    ends = {part.name: Observer(plan.pipeline, part.name) for part in plan.segments_of(RING)}
    return SnapshotOptions(
        past.folder_of(plan),
        plan.journal.snapshot_s,
        plan.journal.snapshots,
        past.shape(config),
        lambda: past.replica(config, plan, past.newest(config, plan)),
        lambda: {ring: int(end.writer["written"]) for ring, end in ends.items()},
        past.archive_of(plan),
        plan.journal.keep_bytes,
        plan.journal.keep_s,
    )
