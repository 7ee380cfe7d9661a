"""Stages that died at a point of the test's choice: what they leave, and what is to follow."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ringbuf import ring, snapshot
from ringbuf.journal import Journal, JournalReader
from ringbuf.journal_files import RECORDS
from ringbuf.share import RingWriter
from ringbuf.snapshot import Snapshot
from tests.workers.joined import RINGS, Joint, turn_until_finished
from workers import recovery
from workers.ingest import Ingest, IngestOptions
from workers.recovery import LOCAL, Past
from workers.stage import Links, Stage

SHAPE = "of these tests"
NAME = "stage"  # as the panel of a joint is called
SEGMENT = RECORDS + 64 * 512  # a journal of a few files


@dataclass
class Case:
    """A stage and what it reads; the symbols are on the board from the start."""

    kind: type[Stage]
    make: Callable[[Links], Stage]
    inputs: np.ndarray
    rows: int
    symbols: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        return self.kind.READS[0]

    @property
    def target(self) -> str:
        return self.kind.WRITES[0]

    @contextlib.contextmanager
    def joint(self, capacity: int = 4096, parts: int = 0) -> Iterator[Joint]:
        made = Joint(self.kind, parts, capacity, self.rows)
        try:
            if self.symbols:
                made.name_instruments(self.symbols)
            yield made
        finally:
            made.unlink()


@dataclass
class Story:
    """What a stage does that nothing happens to: given[n] outputs after n inputs."""

    given: list[int]
    outputs: np.ndarray
    counters: dict[str, int]
    boards: dict[str, np.ndarray]


def numbered(inputs: np.ndarray) -> np.ndarray:
    """Inputs as they lie on the ring."""
    inputs["sequence"] = np.arange(1, len(inputs) + 1)
    return inputs


def counters_of(at: Joint) -> dict[str, int]:
    """All counters that are the same however often a stage began."""
    counters: dict[str, int] = {}
    for block in at.links.panel.counters:
        counters |= {f"{block}.{n}": value for n, value in at.counters(block).items()}
    return {name: n for name, n in counters.items() if name.split(".")[1] not in LOCAL}


def boards_of(at: Joint) -> dict[str, np.ndarray]:
    return {board: at.content(board) for board in at.kind.KEEPS}


def undisturbed(case: Case, folder: Path, saved_at: set[int]) -> Story:
    """Have a stage take everything, one input at a time, to the end; snapshots at some inputs."""
    with case.joint() as at:
        stage = case.make(at.links)
        stage.open()
        given, parts = [0], []
        for number in range(len(case.inputs)):
            push_all(at.sources[case.source], case.inputs[number : number + 1])
            assert stage.turn(0) == 1
            parts.append(at.took(case.target))
            given.append(given[-1] + len(parts[-1]))
        outputs = np.concatenate(parts) if parts else at.took(case.target)
        keep_snapshots(case, at, folder, {number: given[number] for number in saved_at})
        at.sources[case.source].close()
        assert not len(turn_until_finished(stage, at, case.target)[case.target])
        return Story(given, outputs, counters_of(at), boards_of(at))


def keep_snapshots(case: Case, at: Joint, folder: Path, given: dict[int, int]) -> None:
    """Take snapshots at some inputs of a stage that nobody sees; given: its outputs until then."""
    pattern = recovery.pattern_of(case.kind, at.links)
    looks = {board: at.links.boards[board] for board in case.kind.LOOKS_AT}
    aside = recovery.set_aside(case.kind, NAME, pattern, {}, looks)
    stage, taken = case.make(aside.links), 0
    stage.open()
    for number in sorted(given):
        push_all(aside.feeds[case.source], case.inputs[taken:number])
        taken += stage.turn(0)
        positions = {case.source: number, case.target: given[number]}
        snapshot.save(folder, positions, SHAPE, recovery.blocks_of(stage, NAME))


def push_all(writer: RingWriter, records: np.ndarray) -> None:
    assert writer.push(np.ascontiguousarray(records)) == len(records)


def newest_of(folder: Path, target: str) -> Callable[[int, int | None], Snapshot | None]:
    """The newest snapshot in a folder of when no more than so many outputs were given."""

    def newest(shown: int, most: int | None) -> Snapshot | None:
        good = [
            item.path
            for item in snapshot.listed(folder)
            if item.positions[target] <= shown and (most is None or int(item.path.stem) <= most)
        ]
        return Snapshot(good[-1], SHAPE, check=False) if good else None

    return newest


@dataclass
class Death:
    """Where a stage was when it died.

    took: inputs that it had folded in; released: how many of them it had let go of; visible: how
    many of its outputs are whole; noted: how many of those its line tells of; waiting: inputs on
    the ring that it had not come to; logged: inputs in the journal already.
    """

    took: int
    released: int
    visible: int
    noted: int
    waiting: int = 0
    logged: int = 0


def die(case: Case, at: Joint, death: Death) -> None:
    """Have a stage live up to its death."""
    stage = case.make(at.links)
    stage.open()
    push_all(at.sources[case.source], case.inputs[: death.took])
    assert stage.turn(0) == death.took
    push_all(at.sources[case.source], case.inputs[death.took :][: death.waiting])
    kill(case, at, death)


def kill(case: Case, at: Joint, death: Death) -> None:
    """Have a stage be gone, and the rings be as they were before its last stores."""
    at.leave()
    reader, writer = at.sources[case.source].segment, at.targets[case.target].segment
    ring.lines(reader.payload)[1][0]["position"] = death.released
    unwrite(writer, case.target, death.visible)
    ring.lines(writer.payload)[0]["written"] = death.noted


def unwrite(segment, name: str, visible: int) -> None:
    """Take back the records of a ring behind the first few; the next is half written."""
    slots = slots_of(segment, name)
    behind = slots["sequence"] > visible
    slots["sequence"][behind] = np.maximum(slots["sequence"][behind] - len(slots), 0)
    slots["sequence"][(visible + 1) % len(slots)] = -(visible + 1)


def slots_of(segment, name: str) -> np.ndarray:
    """The slots of a ring as records."""
    capacity, size = int(segment.header["capacity"]), int(segment.header["record_size"])
    start = ring.writer_of(segment.address, capacity, size).slots - segment.address
    dtype = next(iter(RINGS[name].values()))[1]
    return segment.payload[start : start + capacity * size].view(dtype)


@contextlib.contextmanager
def past_of(case: Case, snapshots: Path, logged: int) -> Iterator[tuple[Past, Journal]]:
    """A stage's past, with so many records in its journal, which is open for more."""
    with tempfile.TemporaryDirectory() as folder:
        log = Journal(Path(folder) / case.source, case.source, RINGS[case.source], SEGMENT)
        log.append_records(case.inputs[:logged])
        reader = JournalReader(Path(folder) / case.source)
        yield Past(reader, newest_of(snapshots, case.target)), log
        reader.close()
        log.close()


def log_of(*feeds, rows: int = 16, **options) -> np.ndarray:
    """The events of some feeds, as ingest numbers them."""
    options_ = IngestOptions(**options)
    case = Case(Ingest, lambda links: Ingest(options_, [*feeds], links), np.zeros(0), rows)
    with case.joint(parts=len(feeds)) as at:
        stage, parts = case.make(at.links), []
        stage.open()
        while not stage.finished:
            stage.turn(0)
            parts.append(at.took("events"))
        return np.concatenate(parts)
