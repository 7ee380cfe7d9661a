"""Having a stage that died be where its published output ends, so that nobody sees it was gone.

What a stage publishes is a pure function of what it reads, the sequence of every record included.
So a stage that starts again is built *aside*: on rings, counters and boards of its own. It takes
the state that a snapshot has of it, and the records since then from the journal of the ring that
it reads. Of what it gives, the records that its predecessor has published already are dropped and
those beyond are published. Then it is bound to the real rings, where its reader's line stands.

The order is what makes a death in here harmless too: nothing is decided by anything but the last
whole record of the outgoing ring, and that is looked at anew each time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ringbuf import files, pages, ring
from ringbuf.atomics import copy_words, cycles, load_relaxed
from ringbuf.board import Board, create_board, renew
from ringbuf.chain import ROOT, seal
from ringbuf.histogram import note
from ringbuf.jit import kernel
from ringbuf.journal import JournalReader
from ringbuf.memory import Segment
from ringbuf.panel import Panel, create_panel
from ringbuf.park import Bed
from ringbuf.record import fields_of, from_description, offset
from ringbuf.ring import advance, arrived, claim, next_unread, publish, release, room, slot
from ringbuf.share import Layouts, RingReader, RingWriter, begin_after, create_ring
from ringbuf.snapshot import Snapshot, SnapshotError
from workers.records import EVENT
from workers.stage import Links, Stage

ASIDE = "aside"  # the pipeline that rings of one's own belong to; nobody else sees its name
TAP = "tap"  # the reader that takes what a stage gives aside
IN, OUT = 4096, 16_384  # records of the rings aside
CHUNK = 2048  # records between two looks at what was given
NEAR = 64  # and where the published output is nearly reached
WAIT_S = 0.0005  # for the journal to come so far
ARRIVED_WORD = offset(EVENT, "arrived_ns") // 8  # differs each time that a feed is read
LOCAL = ("full", "checked", "faulty")  # counters of what became of one process, not of the records


@dataclass
class Aside:
    """A stage's surroundings that are seen by this process only.

    feeds: the writing ends of the rings it reads; takes: the reading ends of those it writes.
    """

    links: Links
    feeds: dict[str, RingWriter]
    takes: dict[str, RingReader]


class Pattern(NamedTuple):
    """What surroundings are made like."""

    panel: str  # the panel's text
    rings: Mapping[str, Layouts]
    boards: Mapping[str, tuple[str, np.dtype, int]]  # what a row is called, its layout, rows


def pattern_of(kind: type[Stage], links: Links) -> Pattern:
    """Surroundings like those that a stage has."""
    segments = {name: reader.segment for name, reader in links.readers.items()}
    segments |= {name: writer.segment for name, writer in links.writers.items()}
    return Pattern(
        links.panel.segment.raw_text,
        {name: layouts_of(segment) for name, segment in segments.items()},
        {name: _rows_of(links.boards[name]) for name in kind.KEEPS if name in links.boards},
    )


def layouts_of(segment: Segment) -> Layouts:
    """What lies on a ring."""
    return {
        name: (description["kind"], from_description(description))
        for name, description in segment.text.items()
    }


def _rows_of(board: Board) -> tuple[str, np.dtype, int]:
    (name,) = board.segment.text
    return name, board.dtype, board.rows


def set_aside(
    kind: type[Stage], name: str, pattern: Pattern, after: Mapping[str, int], shared: Mapping
) -> Aside:
    """Make surroundings for a stage; its rings go on behind the sequences in `after`.

    shared: boards that the stage looks at, as they are.
    """
    with files.aside():
        create_panel(ASIDE, name, pattern.panel).close()
        links = Links(Panel(ASIDE, name, own=True), boards=dict(shared))
        links.panel.status["clock"]["ns_per_cycle"] = 1.0
        made = Aside(links, {}, {})
        for ring_name, layouts in pattern.rings.items():
            reads = ring_name in kind.READS
            seat, capacity = (name, IN) if reads else (TAP, OUT)
            segment = create_ring(ASIDE, ring_name, layouts, capacity, [seat])
            begin_after(segment, after.get(ring_name, 0))
            segment.close()
            writer = RingWriter(ASIDE, ring_name, layouts)
            reader = RingReader(ASIDE, ring_name, layouts, seat)
            (made.feeds if reads else links.writers)[ring_name] = writer
            (links.readers if reads else made.takes)[ring_name] = reader
        for board, (row, dtype, rows) in pattern.boards.items():
            create_board(ASIDE, board, row, dtype, rows).close()
            links.boards[board] = Board(ASIDE, board, writable=True)
    return made


def kept_by(stage: Stage) -> list[str]:
    """The boards that a stage writes, as far as there are any."""
    return [board for board in stage.KEEPS if board in stage.links.boards]


def blocks_of(stage: Stage, name: str) -> dict[str, np.ndarray]:
    """All that a snapshot keeps of a stage, as live bytes: its state, its counters, its boards."""
    blocks = {f"{name}.{part}": block for part, block in stage.state().items()}
    for part, counters in stage.links.panel.counters.items():
        blocks[f"{name}.counters.{part}"] = counters.reshape(1).view(np.uint8)
    for board in kept_by(stage):
        blocks[f"{name}.board.{board}"] = stage.links.boards[board].segment.payload
    return blocks


def load(stage: Stage, name: str, snapshot: Snapshot) -> None:
    """Put back what a snapshot has of a stage."""
    own = {f"{name}.{part}" for part in stage.state()}
    for part, block in blocks_of(stage, name).items():
        if part in own:
            pages.clear(block)
        else:
            block[:] = 0
        snapshot.load(part, block)
    stage.bind(stage.links)


@dataclass
class Past:
    """Where a stage's past is to be had.

    log: the journal of the ring it reads; newest: the newest snapshot, if any, of when it had given
    no more than so many records, and of at most so many events (None: of any). Its blocks need
    not have been looked at: a damaged one is passed over.
    """

    log: JournalReader
    newest: Callable[[int, int | None], Snapshot | None]


class RecoveryError(Exception):
    """A stage cannot be brought back to where it left off: why, and how to mend it."""


def resume(
    stage: Stage, name: str, past: Past, beat: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """Bring a stage that is joined to its rings, and not open yet, to where it left off.

    beat: called now and then. Returns how many records it read again, and how many of those that
    they gave had not been published.
    """
    (source,), (target,) = stage.READS, stage.WRITES
    real = stage.links
    reader, writer = real.readers[source], real.writers[target]
    position, shown = int(ring.next_unread(reader.shared)) - 1, writer.written
    stage.hurried = shown > 0
    aside, after = _rebuild(stage, name, past, shown)
    taken, given = after.get(source, 0), after.get(target, 0)
    begun = taken
    while taken < position or given < shown:
        limit = min(CHUNK, position - taken) if taken < position else NEAR
        records = past.log.read(taken + 1, limit)
        taken += len(records)
        given += turn_over(stage, aside, records, writer, shown, beat)
        if not len(records):
            time.sleep(WAIT_S)
    go_live(stage, real)
    ring.release(reader.shared, max(taken, position))
    return taken - begun, max(given - shown, 0)


def _rebuild(stage: Stage, name: str, past: Past, shown: int) -> tuple[Aside, Mapping[str, int]]:
    """Have a stage aside be where the newest good snapshot is; its surroundings and positions."""
    real, most = stage.links, None
    pattern = pattern_of(type(stage), real)
    looks = {board: real.boards[board] for board in stage.LOOKS_AT if board in real.boards}
    while True:
        snapshot = past.newest(shown, most)
        after = dict(snapshot.positions) if snapshot else {}
        aside = set_aside(type(stage), name, pattern, after, looks)
        stage.links = aside.links
        stage.open()
        if snapshot is None:
            return aside, after
        try:
            load(stage, name, snapshot)
        except SnapshotError:  # it is damaged; the one before will do
            most = next(iter(after.values())) - 1
        else:
            return aside, after


def turn_over(
    stage: Stage,
    aside: Aside,
    records: np.ndarray,
    writer: RingWriter,
    shown: int,
    beat: Callable[[], None],
) -> int:
    """Have a stage take records aside, and publish what it gives beyond `shown`; how many."""
    (source,), (target,) = aside.feeds.values(), aside.takes.values()
    inner = aside.links.readers[next(iter(aside.feeds))]
    assert source.push(records) == len(records)
    given = 0
    while True:
        work = stage.turn(0)
        passed = int(republish(target.view, writer.view, shown))
        given += passed
        beat()
        if not work and not passed:
            if not ring.ready(inner.view, 1) and not ring.ready(target.view, 1):
                return given
            time.sleep(WAIT_S)  # the outgoing ring is full


def rerun(stage: Stage, name: str, beat: Callable[[], None] = lambda: None) -> int:
    """Bring a source to where it left off: it reads its feeds again up to there.

    Returns how many records it read again. RecoveryError where the feeds do not give them.
    """
    (target,) = stage.WRITES
    real = stage.links
    writer, shown = real.writers[target], real.writers[target].written
    for counters in real.panel.counters.values():
        counters.reshape(1).view(np.uint8)[:] = 0
    aside = set_aside(type(stage), name, pattern_of(type(stage), real), {}, {})
    stage.links = Links(real.panel, {}, aside.links.writers, real.boards)
    stage.open()
    take, given = aside.takes[target], 0
    while given < shown:
        stage.hasten(shown - given)
        work = stage.turn(0)
        given += int(republish(take.view, writer.view, shown))
        beat()
        if not work and stage.finished and not ring.ready(take.view, 1):
            raise RecoveryError(
                f"the feeds give {given:,} events, the log has {shown:,} already; give the files "
                "back as they were, or begin anew with another journal.path"
            )
    while ring.ready(take.view, 1):
        given += int(republish(take.view, writer.view, shown))
        beat()
    _compare(take, writer, shown)
    stage.bind(real)
    return shown


def _compare(take: RingReader, writer: RingWriter, shown: int) -> None:
    """RecoveryError where the last record that had been published came out another this time."""
    words = writer.view.size // 8 - 1
    for word in range(words):
        if word != ARRIVED_WORD:
            mine = load_relaxed(int(slot(take.view, shown)) + 8 * word)
            theirs = load_relaxed(int(slot(writer.view, shown)) + 8 * word)
            if mine != theirs:
                raise RecoveryError(
                    f"the feeds do not give event {shown:,} as the log has it: they have changed; "
                    "give the files back as they were, or begin anew with another journal.path"
                )


def go_live(stage: Stage, real: Links) -> None:
    """Have a stage that has caught up aside go on where everybody sees it."""
    for block, counted in stage.links.panel.counters.items():
        shown = real.panel.counters[block]
        for name in fields_of(counted.dtype):
            if name not in LOCAL:
                shown[name] = counted[name]
    for name in kept_by(stage):
        mine, theirs = stage.links.boards[name], real.boards[name]
        renew(mine.address, theirs.address, mine.rows, mine.size)
    stage.bind(real)


def rehearse(parts: Mapping[str, tuple[Stage, Aside]]) -> None:
    """Have what a stage that starts calls loaded, on stages that are there for nothing else."""
    for name, (stage, aside) in parts.items():
        (take,), (writer,) = aside.takes.values(), aside.links.writers.values()
        (feed,), (reader,) = aside.feeds.values(), aside.links.readers.values()
        aside.links.warm()
        feed.push(np.zeros(0, next(iter(layouts_of(feed.segment).values()))[1]))
        Bed([reader.view]).warm()
        seal(take.view, 1, 0, 0, ROOT)
        for histogram in aside.links.panel.histogram_addresses.values():
            note(histogram, 0)
        republish(take.view, writer.view, 0)
        blocks_of(stage, name)
        go_live(stage, aside.links)


@kernel
def republish(private, writer, shown):
    """Publish what lies on a ring aside beyond sequence `shown`; how many records are done with.

    Up to `shown` they have been published before. Stops where the outgoing ring is full.
    """
    first = sequence = next_unread(private)
    now = cycles()
    while arrived(private, sequence):
        if sequence > shown:
            if room(writer, sequence, 1) < 1:
                break
            copy_words(claim(writer, sequence), slot(private, sequence), writer.size // 8 - 1)
            publish(writer, sequence, now, now)
        sequence += 1
    if sequence - 1 > shown:
        advance(writer, sequence - 1)
    release(private, sequence - 1)
    return sequence - first
