"""ITCH 5.0 bytes to order books, nanoseconds a message, beside a C program over the same bytes.

A made-up day lies in memory. It is decoded into events, as many at a time as ingest stages, and
the books take them in: as they come, or with what the next ones need asked for ahead, as the book
stage does. The C program keeps totals per price only: no queue of orders at a price, no record of
what changed; the prices and totals of all books at the end must be the same. Beside that, each kind
of price-level index over the same events (book_indexes.py). Time is the processor's: what the host
takes away meanwhile is nobody's fault.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import c_program
from bench.book_indexes import Indexes
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
from ringbuf.atomics import at, cycles, store_relaxed
from ringbuf.clock import CLOCK, calibrate
from ringbuf.jit import compiled, kernel
from ringbuf.record import LINE
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.ingest import STAGED
from workers.kernels import bookview, orderbook
from workers.kernels.bookprefetch import (
    FAR,
    MIDDLE,
    NEAR,
    prefetch_index,
    prefetch_level,
    prefetch_order,
)
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch import decode
from workers.kernels.itch_frames import ITCH_STATE, prepare
from workers.kernels.levels import Index
from workers.records import EVENT, empty

SIZE = EVENT.itemsize
SAMPLE_EVERY = 16  # messages; the clock is read around one of so many, in a pass of its own
SAMPLED = ("p50", "p90", "p99", "p99.9", "max")
ROUNDS = 5
DECODED, APPLIED, AHEAD = 0, 1, 2  # what a pass does with the events


class Size(NamedTuple):
    """How much a day is."""

    messages: int
    symbols: int
    orders: int  # the books' room

    @property
    def name(self) -> str:
        return f"{self.symbols:,} symbols"


SMALL = Size(1_000_000, 500, 1 << 17)
LARGE = Size(2_000_000, 8_000, 1 << 18)
SHORT = Size(50_000, 50, 1 << 14)
TINY = Size(1_000, 10, 1 << 10)  # short, and uncompiled
PLAIN, ASKED, C_TOTALS = "decode + book", "decode + book, asked ahead", "C totals"
OURS = {"decode": DECODED, PLAIN: APPLIED, ASKED: AHEAD}


@kernel
def apply_all(book, events, count, ahead):
    """Fold staged events in; ahead: ask for what those behind need meanwhile."""
    for number in range(count):
        if ahead:
            ask_ahead(book, events, number, count)
        orderbook.apply(book, at(events + number * SIZE, EVENT))


@kernel
def apply_timed(book, events, count, ahead, samples):
    """The same, with the cycles of every SAMPLE_EVERY-th event noted; return how many were."""
    noted = 0
    for number in range(count):
        begun = cycles()
        if ahead:
            ask_ahead(book, events, number, count)
        orderbook.apply(book, at(events + number * SIZE, EVENT))
        if number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
    return noted


@kernel
def ask_ahead(book, events, number, count):
    """Ask for what the events behind one will need."""
    if number + FAR < count:
        prefetch_index(book, at(events + (number + FAR) * SIZE, EVENT))
    if number + MIDDLE < count:
        prefetch_order(book, at(events + (number + MIDDLE) * SIZE, EVENT))
    if number + NEAR < count:
        prefetch_level(book, at(events + (number + NEAR) * SIZE, EVENT))


@kernel
def decode_timed(state, data, length, target, samples):
    """Decode STAGED events one by one, cycles of every SAMPLE_EVERY-th noted; return how many."""
    noted = position = 0
    for number in range(STAGED):
        begun = cycles()
        if decode(state, data + position, length - position, target, 1) == 0:
            break
        if number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
        position += int(at(state, ITCH_STATE).consumed)
    at(state, ITCH_STATE).consumed = position
    return noted


@kernel
def digest(book, instruments):
    """What rests at every price, as 63 bits: prices and totals of all books, best to worst."""
    value = bookview.DIGEST_SEED
    for instrument in range(instruments):
        for side in range(2):
            for depth in range(bookview.level_count(book, instrument, side)):
                price, quantity, _ = bookview.depth_level(book, instrument, side, depth)
                value = bookview.stir(value, 2 * instrument + side)
                value = bookview.stir(bookview.stir(value, price), quantity)
    return value


class Day:
    """A day's bytes in memory, and what decodes them and keeps the books."""

    def __init__(self, path: str, size: Size) -> None:
        self.data = np.fromfile(path, np.uint8)
        self.size = size
        self.use(Index.SORTED)
        self.events = empty(EVENT, STAGED)
        self.state, self.counters = empty(ITCH_STATE, 1), np.zeros(1, FEED_COUNTERS)
        self.samples = np.zeros(len(self.data) // 16, np.int64)

    def use(self, kind: int) -> None:
        """Room for books whose levels lie under a kind of index."""
        size = self.size
        self.limits = orderbook.Limits(size.orders, size.orders // 2, size.symbols + 1, int(kind))
        self.memory = np.zeros(orderbook.bytes_needed(self.limits) + LINE, np.uint8)
        self.book = self.memory.ctypes.data + -self.memory.ctypes.data % LINE

    def start_over(self) -> None:
        """Empty books, at the first byte; all memory touched before the clock starts."""
        self.memory.fill(0)
        self.state.view(np.uint8).fill(0)
        orderbook.create(self.book, self.limits)
        prepare(self.state[0], self.counters.ctypes.data, 0, by_type=False)
        self.state["final"] = 1
        self.position = 0

    def stage(self) -> int:
        """Decode the next events; how many."""
        left = len(self.data) - self.position
        begin = self.data.ctypes.data + self.position
        found = decode(self.state.ctypes.data, begin, left, self.events.ctypes.data, STAGED)
        self.position += int(self.state["consumed"][0])
        return int(found)

    def run(self, what: int) -> float:
        """One pass over the day; the processor's ns a message."""
        self.start_over()
        events = self.events.ctypes.data
        begun = time.process_time_ns()
        while count := self.stage():
            if what != DECODED:
                apply_all(self.book, events, count, what == AHEAD)
        return (time.process_time_ns() - begun) / self.size.messages

    def run_sampled(self, what: int) -> Metrics:
        """One pass with single messages timed; percentiles in ns."""
        self.start_over()
        clock, noted = np.zeros(1, CLOCK), 0
        calibrate(clock[0])
        while self.position < len(self.data):
            noted += self._sample(what, self.samples[noted:].ctypes.data)
        found = percentiles(self.samples[:noted] * float(clock["ns_per_cycle"][0]))
        return {f"one {name}": found[name] for name in SAMPLED}

    def _sample(self, what: int, target: int) -> int:
        events = self.events.ctypes.data
        if what != DECODED:
            return int(apply_timed(self.book, events, self.stage(), what == AHEAD, target))
        begin, left = self.data.ctypes.data + self.position, len(self.data) - self.position
        noted = decode_timed(self.state.ctypes.data, begin, left, events, target)
        self.position += int(self.state["consumed"][0])
        return int(noted)

    def digest(self) -> int:
        """What the books came to; BenchError where they are empty, as nothing is proved then."""
        if not at(self.book, orderbook.BOOK).live_levels:
            raise BenchError("no level is left at the end of the day: nothing to compare")
        return int(digest(self.book, self.limits.instruments))


DAYS: dict[str, Day] = {}  # of the process that measures


def load(path: str, size: Size) -> None:
    """Have a day ready in this process, with the kernels compiled."""
    day = DAYS[path] = Day(path, size)
    day.start_over()
    events, samples = day.events.ctypes.data, day.samples.ctypes.data
    apply_all(day.book, events, 0, True)
    apply_timed(day.book, events, 0, True, samples)
    decode_timed(day.state.ctypes.data, day.data.ctypes.data, 0, events, samples)
    digest(day.book, 0)


def measure(path: str, what: int, kind: int = Index.SORTED) -> tuple[Metrics, int]:
    """One pass for the mean, one for percentiles; metrics and the digest of the books."""
    day = DAYS[path]
    if kind != day.limits.kind:
        day.use(kind)
    each = day.run(what)
    found = day.digest() if what != DECODED else 0
    sampled = day.run_sampled(what)
    if what != DECODED and day.digest() != found:
        raise BenchError("two passes over the same day came to different books")
    return {"ns": each, **sampled}, found


class Contest:
    """The variants over one day; each must come to the same books as those before."""

    def __init__(self, size: Size, folder: str) -> None:
        self.size, self.path = size, Path(folder) / f"{size.symbols}.itch"
        write_file(SyntheticOptions(messages=size.messages, symbols=size.symbols), self.path)
        self.digest: int | None = None

    def agree(self, found: int, who: str) -> None:
        """Refuse a digest that differs from those before."""
        if self.digest is None:
            self.digest = found
        if found != self.digest:
            raise BenchError(f"{who}: the books differ from those of the variants before")

    def ours(self, actor: Actor, what: int, kind: int = Index.SORTED) -> Metrics:
        """A pass of the kernels."""
        actor.start(measure, str(self.path), what, kind)
        metrics, found = actor.result()
        if what != DECODED:
            self.agree(found, "kernels")
        return metrics

    def theirs(self, core: int) -> Metrics:
        """A pass of the C program."""
        slots = 1 << (2 * self.size.orders - 1).bit_length()
        found = c_program.books(self.path, slots, SAMPLE_EVERY, core)
        self.agree(found["digest"], "C")
        return {"ns": found["ns"], **{f"one {name}": found[f"one {name}"] for name in SAMPLED}}

    def variants(self, actor: Actor, core: int) -> dict[str, Variant]:
        """All of them by name, the C program last, where there is one."""
        actor.start(load, str(self.path), self.size)
        actor.result()
        found: dict[str, Variant] = {
            f"{name}, {self.size.name}": partial(self.ours, actor, what)
            for name, what in OURS.items()
        }
        if c_program.available():
            found[f"{C_TOTALS}, {self.size.name}"] = partial(self.theirs, core)
        return found


def run(options: Options) -> Result:
    """All variants over each day in turns: ours in one pinned process, C on the same core."""
    result = Result("book", BENCH.what, "ns a message", "ns", better="less")
    sizes = [SHORT if compiled() else TINY] if options.short else [SMALL, LARGE]
    (place,) = cores(1)
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder, actors([place]) as (actor,):
        variants: dict[str, Variant] = {}
        for size in sizes:
            variants |= Contest(size, folder).variants(actor, place.number)
        size = sizes[0]
        indexes = Indexes(actor, size.symbols, size.messages, size.orders, folder)
        variants |= indexes.variants()
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    compare(result, sizes)
    indexes.compare(result)
    return result


def compare(result: Result, sizes: list[Size]) -> None:
    """Say what is held against what."""
    for size in sizes:
        plain, ahead = (f"{name}, {size.name}" for name in (PLAIN, ASKED))
        if c_program.available():
            result.pairs |= dict.fromkeys((plain, ahead), f"{C_TOTALS}, {size.name}")
        gain = result.ratio(ahead, plain)
        result.notes.append(f"{size.name}: asking ahead takes {gain:.2f} of the time")
    result.notes.append(
        f"one: a single message of every {SAMPLE_EVERY}, timed by itself, its decoding left out "
        "but for `decode` and C; C keeps totals per price only, ours every order in its queue"
    )
    if not c_program.available():
        result.notes.append(c_program.NO_COMPILER)


BENCH = Bench("book", "ITCH bytes to order books, beside C over the same bytes", run)
