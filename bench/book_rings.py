"""ITCH bytes through the rings into top-of-book records: ingest on one core, the book on another.

The real stages in two pinned processes: ingest decodes, checks, orders and numbers, the events
ring carries, the book keeps every order in its queue and writes TOP and TRADE records and the
depth board. Nobody reads those here: whoever does sits on a core of its own. Under a pace a
message's age counts from when it was due until the book takes it, whatever held it up.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import peers
from bench.book import Size, digest
from bench.harness import (
    ANSWER_S,
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    run_rounds,
    together,
)
from ringbuf import clock, memory
from ringbuf.atomics import at
from ringbuf.board import Board, create_board
from ringbuf.histogram import Summary
from ringbuf.jit import compiled
from ringbuf.panel import Panel, create_panel, panel_text
from ringbuf.share import RingReader, RingWriter, Seat, create_ring
from workers.book import Book, BookOptions
from workers.depth import DEPTH
from workers.feeds.itch import ItchOptions
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.ingest import Ingest, IngestOptions
from workers.instruments import INSTRUMENT
from workers.kernels.orderbook import BOOK
from workers.records import BOOK_RING, EVENTS_RING
from workers.stage import PATIENCE, Links, Stage

DAY, SHORT, TINY = (
    Size(8_000_000, 8_500, 1 << 20),
    Size(20_000, 50, 1 << 14),
    Size(1_000, 10, 1 << 10),
)
CAPACITIES = (8_192, 65_536)  # slots of both rings
RATES, RATES_SHORT = (1_000_000, 4_000_000), (20_000,)  # messages a second
SECONDS = 2.0
ROUNDS = 5
BUDGET_S = 180.0
# Of all messages, those that are not counted: every instrument is announced, which takes Python
# 50 us each, and under a pace ingest has to catch up.
WARM, WARM_PACED = 0.1, 0.5
SEAT = "book"
RINGS = {"events": EVENTS_RING, "book": BOOK_RING}
ROWS = {"instruments": INSTRUMENT, "depth": DEPTH}
NUMBERS = itertools.count()
PERCENTS = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


@contextmanager
def joined(capacity: int, symbols: int) -> Iterator[str]:
    """The rings, boards and panels of a fresh pair of stages; their name."""
    name = f"bench-{os.getpid()}-{next(NUMBERS)}"
    for kind, parts in ((Ingest, 1), (Book, 0)):
        text = panel_text(kind.counters_of(parts), kind.HISTOGRAMS, kind.equations_of(parts))
        create_panel(name, kind.__name__, text).close()
    create_ring(name, "events", EVENTS_RING, capacity, [Seat(SEAT)]).close()
    create_ring(name, "book", BOOK_RING, capacity, []).close()
    for board, row in ROWS.items():
        create_board(name, board, "row", row, symbols).close()
    try:
        yield name
    finally:
        for segment in memory.names(name):
            memory.unlink(segment)


@dataclass
class Work:
    """A stage that is open in this process, and how far it has come when the clock starts."""

    stage: Stage
    warm: int  # events


WORK: list[Work] = []  # of a process that measures


def open_stage(name: str, kind: type[Stage], size: Size, path: str, rate: float | None) -> None:
    """Join a stage to its rings and have it ready."""
    links = Links(Panel(name, kind.__name__, own=True))
    clock.calibrate(links.panel.status["clock"])
    links.readers |= {ring: RingReader(name, ring, RINGS[ring], SEAT) for ring in kind.READS}
    links.writers |= {ring: RingWriter(name, ring, RINGS[ring]) for ring in kind.WRITES}
    links.boards |= {board: Board(name, board) for board in kind.LOOKS_AT}
    boards = [board for board in kind.KEEPS if board in ROWS]
    links.boards |= {board: Board(name, board, writable=True) for board in boards}
    stage: Stage
    if kind is Ingest:
        options = IngestOptions(instruments=size.symbols, rate=rate)
        stage = Ingest(options, [ItchOptions(path=path)], links)
    else:
        room = BookOptions(orders=size.orders, levels=size.orders // 2)
        stage = Book(room, size.symbols, links)
    stage.open()
    links.warm()
    WORK.append(Work(stage, int(size.messages * (WARM_PACED if rate else WARM))))


def run_stage() -> dict[str, float]:
    """Turn the stage to its end; what it took, how fast, and what the books came to."""
    work = WORK.pop()
    stage, taken, warm = work.stage, 0, False
    begun, used, first, ages = time.perf_counter_ns(), time.process_time_ns(), 0, Summary()
    give_up = time.monotonic() + ANSWER_S / 2
    while not stage.finished:
        taken += stage.turn(PATIENCE["spin"])
        if not warm and taken >= work.warm and not stage.finished:
            warm, first, ages = True, taken, ages_of(stage)
            begun, used = time.perf_counter_ns(), time.process_time_ns()
        if time.monotonic() > give_up:
            raise BenchError(f"stuck at event {taken}: the other side is gone")
    seconds = (time.perf_counter_ns() - begun) / 1e9
    counted = max(taken - first, 1)
    found = {
        "taken": taken,
        "rate": counted / seconds / 1e6,
        "cpu": (time.process_time_ns() - used) / counted,
    }
    if isinstance(stage, Book):
        ages = ages_of(stage) - ages
        found |= {name: ages.percentile(percent) for name, percent in PERCENTS.items()}
        found |= outcome_of(stage)
    stage.close()
    leave(stage.links)
    return found


def leave(links: Links) -> None:
    """Let go of the rings, the boards and the panel."""
    for reader in links.readers.values():
        reader.segment.close()
    for writer in links.writers.values():
        writer.segment.close()
    for board in links.boards.values():
        board.close()
    links.panel.close()


def ages_of(stage: Stage) -> Summary:
    """How long after they were due a book stage took events."""
    return stage.links.panel.summary("age") if isinstance(stage, Book) else Summary()


def outcome_of(stage: Book) -> dict[str, float]:
    """What a book stage counted and keeps."""
    counters = stage.links.panel.counters["book"]
    book = stage.books.ctypes.data
    return {
        "received": int(counters["received"]),
        "published": int(counters["published"]),
        "unknown": int(counters["unknown_order"]),
        "levels": int(at(book, BOOK).live_levels),
        "digest": int(digest(book, stage.limits.instruments)),
    }


class Contest:
    """Runs over the same file; each must come to the same books as those before."""

    def __init__(self, crew: list[Actor], size: Size, folder: str) -> None:
        self.crew, self.size, self.path = crew, size, Path(folder) / f"{size.messages}.itch"
        write_file(SyntheticOptions(messages=size.messages, symbols=size.symbols), self.path)
        self.digest = 0.0

    def run(self, capacity: int, rate: float | None = None) -> dict[str, float]:
        """One run; what the book stage says."""
        with joined(capacity, self.size.symbols) as name:
            for actor, kind in zip(self.crew, (Ingest, Book), strict=True):
                actor.start(open_stage, name, kind, self.size, str(self.path), rate)
                actor.result()
            source, found = together(*((actor, run_stage, ()) for actor in self.crew))
        if found["received"] != source["taken"] or found["unknown"] or not found["levels"]:
            raise BenchError(f"ingest gave {source['taken']} events, the book: {found}")
        found["source cpu"] = source["cpu"]
        self.digest = self.digest or found["digest"]
        if found["digest"] != self.digest:
            raise BenchError("two runs over the same day came to different books")
        return found

    def full(self, capacity: int) -> Metrics:
        """At full speed: M messages/s, records out and processor time for each message."""
        found = self.run(capacity)
        return {
            "rate": found["rate"],
            "out": found["published"] / found["received"],
            "ingest ns": found["source cpu"],
            "book ns": found["cpu"],
        }

    def paced(self, capacity: int, rate: float) -> Metrics:
        """Due at a rate: percentiles of the age in us, and how much of the rate was held."""
        found = self.run(capacity, rate)
        ages = {name: found[name] / 1e3 for name in PERCENTS}
        return {**ages, "of rate": found["rate"] * 1e6 / rate}


def run(options: Options) -> list[Result]:
    """At full speed and at fixed rates, with small and with large rings."""
    places = peers.two_cores()
    size = DAY
    if options.short:
        size = SHORT if compiled() else TINY
    rounds = options.rounds_of(ROUNDS)
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder, actors(places) as crew:
        return [full_table(crew, size, folder, rounds)] + [
            paced_table(crew, size, folder, rounds, rate)
            for rate in (RATES_SHORT if options.short else RATES)
        ]


def full_table(crew: list[Actor], size: Size, folder: str, rounds: int) -> Result:
    """As fast as it goes."""
    result = Result("book_rings", BENCH.what, "M messages/s", "rate")
    contest = Contest(crew, size, folder)
    variants: dict[str, Variant] = {
        f"{capacity:,} slots": partial(contest.full, capacity) for capacity in CAPACITIES
    }
    result.notes.append(
        f"{size.messages:,} messages, {size.symbols:,} symbols; out: records for each message; ns: "
        "processor time a message, looking for more included: the stage that never waits sets the "
        "rate, where nobody else wants the cores"
    )
    return run_rounds(result, variants, rounds, budget_s=BUDGET_S)


def paced_table(crew: list[Actor], size: Size, folder: str, rounds: int, rate: int) -> Result:
    """What is due at a rate."""
    name, what = f"book_rings {rate:,}/s", f"age when the book takes it, {rate:,} due a second"
    result = Result(name, what, "us", "p50", better="less")
    few = size._replace(messages=max(min(int(rate * SECONDS), size.messages), 8 * size.symbols))
    contest = Contest(crew, few, folder)
    variants: dict[str, Variant] = {
        f"{capacity:,} slots": partial(contest.paced, capacity, rate) for capacity in CAPACITIES
    }
    result.notes.append("of rate: 1 where the stages kept up with what was due")
    return run_rounds(result, variants, rounds, budget_s=BUDGET_S)


BENCH = Bench("book_rings", "ITCH bytes through rings to top of book, two cores", run)
