"""What the disk knows of a pipeline, and what becomes of it when the pipeline starts.

    journal.path/  run.json     whose it is: the run, and the configuration it was made with
                   events/ book/ risk/    a journal for each ring (ringbuf/journal.py)
                   snapshots/   the state of book and risk, as of one event (ringbuf/snapshot.py)

Whether processes died or the host did makes no difference here: the shared memory of a dead run is
looked through once for what had not reached the disk, and thrown away. Then the rings are made
anew, each going on where its journal ends, and every stage finds its own way back from there.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from pipeline.config import Config, ConfigError
from pipeline.plan import LAYOUTS, Plan, panel_parts
from ringbuf import chain, memory, ring, snapshot
from ringbuf.board import Board
from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.memory import Segment, SegmentError
from ringbuf.panel import panel_text
from ringbuf.record import from_description
from ringbuf.share import KIND as RING
from ringbuf.share import Observer, begin_after
from ringbuf.snapshot import Snapshot
from workers import instruments
from workers.book import Book
from workers.recovery import Past, Pattern
from workers.replica import Replica, shape_of
from workers.risk import Risk
from workers.snapshots import FOLDER as SNAPSHOTS
from workers.stage import Links, Stage

RUN_FILE = "run.json"
SLICE = 65_536  # records looked at in one go
FORMAT = 1


class Run(msgspec.Struct):
    """What run.json says."""

    format: int
    pipeline: str
    run_id: str
    created: str
    config: dict  # as the configuration file had it, the journal left out


def folder_of(plan: Plan) -> Path:
    """Where the journals are."""
    assert plan.journal is not None
    return Path(plan.journal.path).expanduser()


def archive_of(plan: Plan) -> Path | None:
    """Where what leaves the journals is kept, apart for each run; None where it is not."""
    if plan.journal is None or plan.journal.archive is None:
        return None
    return Path(plan.journal.archive).expanduser() / read_run(folder_of(plan)).run_id


def new_run_id() -> str:
    """A name that no other run has."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{os.getpid()}"


def claim(config: Config, plan: Plan) -> Run:
    """Whose journal it is: ours from an earlier life, or a new one; ConfigError where another's."""
    folder = folder_of(plan)
    path = folder / RUN_FILE
    if path.exists():
        run = read_run(folder)
        if run.pipeline != plan.pipeline:
            why = (
                f"journal.path: {folder} is the journal of pipeline {run.pipeline!r}, this is "
                f"{plan.pipeline!r}; choose another folder"
            )
            raise ConfigError(plan.pipeline, [why])
        return run
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(FORMAT, plan.pipeline, new_run_id(), _now(), kept_config(config))
        _write(path, msgspec.json.format(msgspec.json.encode(run)))
    except OSError as failure:
        why = f"journal.path: {folder}: {failure.strerror}; choose another folder"
        raise ConfigError(plan.pipeline, [why]) from None
    return run


def kept_config(config: Config) -> dict:
    """The part of a configuration that decides what the stages make of the log."""
    data = msgspec.to_builtins(config)
    kept = ("name", "ingest", "book", "consolidated", "risk", "rings")
    return {name: data[name] for name in kept}


def read_run(folder: Path) -> Run:
    """What run.json says; JournalError where it cannot be read."""
    path = folder / RUN_FILE
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as failure:
        raise JournalError(
            f"{folder} is no journal of a pipeline ({RUN_FILE}: {failure.strerror}); "
            "name the folder that journal.path names"
        ) from None
    except msgspec.DecodeError as failure:
        raise JournalError(f"{path} is damaged ({failure}); put it back from a copy") from None
    if run.format != FORMAT:
        raise JournalError(f"{path} has format {run.format}, this program reads {FORMAT}")
    return run


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


@contextmanager
def journals(plan: Plan) -> Iterator[dict[str, Journal]]:
    """The writing ends of all journals of a plan, opened and closed."""
    assert plan.journal is not None
    opened: dict[str, Journal] = {}
    try:
        for part in plan.segments_of(RING):
            opened[part.name] = Journal(
                folder_of(plan) / part.name,
                part.name,
                LAYOUTS[part.name],
                plan.journal.segment_mb << 20,
                plan.pipeline,
            )
        yield opened
    finally:
        for log in opened.values():
            log.close()


def salvage(plan: Plan, logs: dict[str, Journal]) -> int:
    """Write down what the rings of a dead run hold beyond their journals; how many records."""
    saved = 0
    there = memory.names(plan.pipeline)
    for name, log in logs.items():
        if memory.full_name(plan.pipeline, name) not in there:
            continue
        try:
            observer = Observer(plan.pipeline, name)
        except SegmentError:  # of an earlier boot, or damaged: not to be believed
            continue
        if list(observer.layouts) == list(LAYOUTS[name]):
            saved += _save_rest(observer, log)
        observer.close()
    return saved


def _save_rest(observer: Observer, log: Journal) -> int:
    """Append the records of one ring that its journal does not have."""
    observer.next, saved = log.written + 1, 0
    while len(records := observer.poll(SLICE)) and not observer.missed:
        log.append_records(records)
        saved += len(records)
    return saved


def trim(logs: dict[str, Journal], folder: Path) -> dict[str, int]:
    """Cut what answers records that no journal has any more; where each journal ends then.

    After a power cut an answer may be on disk whose question is not: it will be given again.
    """
    end = logs["events"].written
    for name in ("book", "risk"):
        if name in logs:
            end = _cut(logs[name], folder / name, name, end)
    return {name: log.written for name, log in logs.items()}


def _cut(log: Journal, folder: Path, name: str, end: int) -> int:
    """Cut a journal's answers to what lies beyond `end`; where it ends then."""
    last = log.written
    reader = JournalReader(folder, LAYOUTS[name])
    while last >= max(reader.first, 1):
        first = max(last - SLICE + 1, reader.first, 1)
        records = reader.read(first, last - first + 1)
        good = np.flatnonzero(records["cause"] <= end)
        if len(good):
            last = int(records["sequence"][good[-1]])
            break
        last = first - 1
    if last < log.written:
        log.cut(last)
    return last


def seat(plan: Plan, segment: Segment, name: str, end: int) -> None:
    """Have a new ring go on behind the last record of its journal, holding what came before."""
    begin_after(segment, end)
    if end == 0:
        return
    capacity, size = int(segment.header["capacity"]), int(segment.header["record_size"])
    log = JournalReader(folder_of(plan) / name, LAYOUTS[name])
    first = max(end - capacity + 1, log.first, 1)
    view = ring.writer_of(segment.address, capacity, size)
    slots = segment.payload[view.slots - segment.address :]
    while first <= end:
        records = log.read(first, min(end - first + 1, SLICE, capacity - (first & capacity - 1)))
        start = (first & (capacity - 1)) * size
        slots[start : start + records.nbytes] = records.view(np.uint8).reshape(-1)
        first += len(records)


def show_instruments(plan: Plan, found: Snapshot | None) -> None:
    """Put all instruments that the log has announced on their board."""
    board = Board(plan.pipeline, "instruments", writable=True)
    log, first = JournalReader(folder_of(plan) / "events", LAYOUTS["events"]), 1
    if found:
        rows = board.segment.payload[: board.rows * board.size]  # it may have whole huge pages
        found.load("instruments", rows)
        first = found.positions["events"] + 1
    while len(events := log.read(first, SLICE)):
        instruments.show(board, events)
        first += len(events)
    board.close()


def shape(config: Config) -> str:
    """What the state of the stages is made for."""
    rows = config.ingest.instruments
    return shape_of(config.book, config.risk, rows, config.consolidated)


def newest(
    config: Config,
    plan: Plan,
    ring_name: str = "",
    shown: int = 0,
    passed: list[str] | None = None,
    most: int | None = None,
    check: bool = True,
) -> Snapshot | None:
    """The newest snapshot that is good for a configuration.

    ring_name: one that gave no more on this ring than `shown`. What a stage gave beyond could not
    be published by one that starts from there. passed: gets why newer ones were passed over. most:
    the last event that it may stand for; check: have all of it looked at for damage.
    """
    while True:
        found, reasons = snapshot.newest(folder_of(plan) / SNAPSHOTS, shape(config), most, check)
        if passed is not None:
            passed += reasons
        if found is None or not ring_name or found.positions[ring_name] <= shown:
            return found
        most = found.positions["events"] - 1


def past_of(config: Config, plan: Plan, stage: str) -> Past:
    """What a stage that starts needs to find its way back."""
    (source,), (target,) = plan.stage(stage).reads, plan.stage(stage).writes
    return Past(
        JournalReader(folder_of(plan) / source, LAYOUTS[source]),
        lambda shown, most: newest(config, plan, target, shown, most=most, check=False),
    )


def rehearse(plan: Plan) -> None:
    """Have the code loaded that reads journals and snapshots."""
    for part in plan.segments_of(RING):
        log = JournalReader(folder_of(plan) / part.name, LAYOUTS[part.name])
        log.read(log.first, 1)
    chain.verify(0, 64, 1, 0, chain.ROOT)  # a journal may have nothing to read yet
    chain.unseal(0, 64, 1, 0, 0)
    snapshot.digest_of(np.zeros(64, np.uint8), 0)


def forget_beyond(plan: Plan, end: int) -> int:
    """Remove snapshots of events that no journal has any more; how many there were."""
    gone = 0
    for item in snapshot.listed(folder_of(plan) / SNAPSHOTS):
        if not item.fault and item.positions["events"] > end:
            item.path.unlink()
            gone += 1
    return gone


def replica(
    config: Config,
    plan: Plan,
    found: Snapshot | None = None,
    only: Sequence[str] = ("book", "risk"),
) -> Replica:
    """The stages of a plan between the log and the outside, or only some, in this process."""
    rows, groups = config.ingest.instruments, config.consolidated
    makers: dict[str, tuple[type[Stage], Callable[[Links], Book | Risk]]] = {
        "book": (
            Book,
            lambda links: Book(config.book, rows, links, groups, config.risk),
        ),
        "risk": (Risk, lambda links: Risk(config.risk, rows, links)),
    }
    boards = {part.name: part for part in plan.segments_of("board")}
    stages = {}
    for name, (kind, make) in makers.items():
        if name in only and name in [stage.name for stage in plan.stages]:
            rings = {ring: LAYOUTS[ring] for ring in (*kind.READS, *kind.WRITES)}
            pattern = Pattern(
                panel_text(*panel_parts(config, name)),
                rings,
                {board: _rows(boards[board]) for board in kind.KEEPS if board in boards},
            )
            stages[name] = (kind, make, pattern)
    return Replica(stages, rows, found)


def _rows(part) -> tuple[str, np.dtype, int]:
    """What a row of a board is called, its layout, and how many there are."""
    ((name, description),) = json.loads(part.text).items()
    return name, from_description(description), part.capacity


def rebuild(config: Config, plan: Plan, logs: dict[str, Journal]) -> dict[str, int]:
    """Bring the files of a dead run in order, before anything is made from them.

    Returns where each journal ends.
    """
    salvage(plan, logs)
    ends = trim(logs, folder_of(plan))
    forget_beyond(plan, ends["events"])
    return ends


def populate(config: Config, plan: Plan, ends: dict[str, int]) -> None:
    """Have the new, empty memory of a pipeline go on where its journals end."""
    for name, end in ends.items():
        segment = memory.attach(plan.pipeline, name, RING, writable=True)
        seat(plan, segment, name, end)
        segment.close()
    if ends["events"]:
        show_instruments(plan, newest(config, plan))
