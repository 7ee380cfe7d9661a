"""Order books of others beside ours: the same orders of one symbol, added, executed, replaced.

Ours is measured in its compiled loop, asking ahead, as the book stage runs it; and called from
Python once for each event, as the others are. All must end with the levels that an obvious
reading of the events leaves. Each is timed over the whole stream, by the processor's clock, and
single steps (of the compiled loop: single events) beside it, by the wall's.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from bench import peer_books
from bench.book import SAMPLE_EVERY, apply_all, apply_timed
from bench.book_indexes import day_of
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    percentiles,
    run_rounds,
)
from bench.peer_books import Levels, Peer, Step
from ringbuf.clock import CLOCK, calibrate
from ringbuf.record import LINE
from workers.kernels import bookview, orderbook
from workers.records import EVENT, Event

EVENTS, EVENTS_SHORT = 200_000, 4_000
ROUNDS, BUDGET_S = 5, 90.0
OURS, CALLED = "ours", "ours, from Python"
SHOWN = ("p50", "p99", "max")
NAUTILUS = "nautilus_trader, L3"
REPLAY = "hftbacktest, L3 replay"  # takes all steps in one call


class Stream:
    """Events of one symbol, what they do, and what rests in the end."""

    def __init__(self, count: int) -> None:
        with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
            whole = day_of(1, count, Path(folder))
        kept = whole[(whole["kind"] >= Event.ADD) & (whole["kind"] <= Event.REPLACE)]
        self.events = np.concatenate([kept, np.zeros(1, EVENT)])[:-1]
        self.steps: list[Step] = peer_books.steps_of(self.events)
        self.left = [peer_books.expected(self.steps, side) for side in range(2)]
        if not all(self.left):
            raise BenchError("no level is left on a side: nothing to compare")

    def check(self, who: str, side: int, levels: Levels | None, best: tuple[int, int]) -> None:
        """Refuse a book that is not what the events leave."""
        wanted = self.left[side]
        if best != wanted[0] or (levels is not None and levels != wanted):
            raise BenchError(f"{who}: the book differs from what the events leave")


STREAMS: dict[int, Stream] = {}  # of the process that measures


def load(count: int) -> None:
    """Have the stream ready in this process."""
    STREAMS[count] = Stream(count)


def ours(count: int, called: bool) -> Metrics:
    """Our book: in its compiled loop, or called once for each event."""
    stream = STREAMS[count]
    limits = orderbook.Limits(count, count, 2)
    memory = np.zeros(orderbook.bytes_needed(limits) + LINE, np.uint8)
    book = memory.ctypes.data + -memory.ctypes.data % LINE
    events, address = stream.events, stream.events.ctypes.data
    apply_all(book, address, 0, True)

    def empty() -> None:
        memory.fill(0)
        orderbook.create(book, limits)

    def one(number: int) -> None:
        apply_all(book, address + number * EVENT.itemsize, 1, False)

    empty()
    begun = time.process_time_ns()
    if called:
        for number in range(len(events)):
            one(number)
    else:
        apply_all(book, address, len(events), True)
    spent = time.process_time_ns() - begun
    instrument = int(events["instrument"][0])
    for side in range(2):
        found = bookview.level_count(book, instrument, side)
        rows = (bookview.depth_level(book, instrument, side, depth) for depth in range(found))
        levels = [(int(price), int(total)) for price, total, _ in rows]
        stream.check(OURS, side, levels, levels[0])
    empty()
    if called:
        samples = timed(one, len(events))
    else:
        noted = np.zeros(len(events), np.int64)
        number = apply_timed(book, address, len(events), True, noted.ctypes.data)
        clock = np.zeros(1, CLOCK)
        calibrate(clock[0])
        samples = noted[:number] * float(clock["ns_per_cycle"][0])
    return row(spent / len(events), samples)


def theirs(count: int, name: str) -> Metrics:
    """A peer's book; ns for each event, of which a replaced order is two steps."""
    stream = STREAMS[count]
    _, kind = peer_books.PEERS[name]
    peer: Peer = kind()
    peer.prepare(stream.steps)
    begun = time.process_time_ns()
    peer.apply(0, len(stream.steps))
    spent = time.process_time_ns() - begun
    for side in range(2):
        stream.check(name, side, peer.levels(side), peer.best(side))
    if name == REPLAY:
        return {"ns": spent / len(stream.events)}
    peer.prepare(stream.steps)
    samples = timed(lambda number: peer.apply(number, number + 1), len(stream.steps))
    return row(spent / len(stream.events), samples)


def timed(one, count: int) -> np.ndarray:
    """ns of every SAMPLE_EVERY-th call, the clock's own reading among them."""
    samples = []
    for number in range(count):
        if number % SAMPLE_EVERY:
            one(number)
            continue
        begun = time.perf_counter_ns()
        one(number)
        samples.append(time.perf_counter_ns() - begun)
    return np.array(samples)


def row(each: float, samples: np.ndarray) -> Metrics:
    """A line of the table."""
    found = percentiles(samples)
    return {"ns": each, **{f"one {name}": found[name] for name in SHOWN}}


def run(options: Options) -> Result:
    """All in turns in one pinned process."""
    result = Result("book_peers", BENCH.what, "ns an event", "ns", better="less")
    count = options.scaled(EVENTS, EVENTS_SHORT)
    (place,) = cores(1)
    with actors([place]) as (actor,):
        actor.start(load, count)
        actor.result()
        variants: dict[str, Variant] = {
            OURS: partial(asked, actor, ours, count, False),
            CALLED: partial(asked, actor, ours, count, True),
        }
        for name in peer_books.installed():
            variants[name] = partial(asked, actor, theirs, count, name)
        run_rounds(result, variants, options.rounds_of(ROUNDS), budget_s=BUDGET_S)
    result.base = OURS
    if NAUTILUS in result.variants:
        result.pairs[CALLED] = NAUTILUS
    result.notes += peer_books.notes()
    result.notes.append(
        f"one: every {SAMPLE_EVERY}th step by itself, from Python with the call and the clock in "
        "it; what a peer is given is made beforehand"
    )
    return result


def asked(actor: Actor, work, *words) -> Metrics:
    """Have the pinned process do it."""
    actor.start(work, *words)
    return actor.result()


BENCH = Bench("book_peers", "order books of others beside ours, the same orders of a symbol", run)
