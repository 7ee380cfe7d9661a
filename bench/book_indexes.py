"""Books with each kind of price-level index over the same events, each in turn, on one core.

Events lie decoded in memory and are applied as the book stage does, asking ahead. Three flows: a
day of many symbols; one busy symbol; and one deep book whose orders come and go at any of its
levels, which is what sorted arrays are not made for. All must end in the same books. Time is the
processor's: what the host takes away meanwhile is no kind's fault.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness import Actor, BenchError, Metrics, Result, Variant
from ringbuf.atomics import at
from ringbuf.jit import kernel
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
from workers.kernels.orderbook import BOOK, Limits
from workers.records import EVENT, Event, empty

SIZE = EVENT.itemsize
KINDS = ("sorted", "tree", "ladder", "auto")
DEEP_LEVELS = 4096  # a side, of the deep book
TICK = 100


@kernel
def apply_ahead(book, events, count):
    """Fold events in, asking for what those behind need meanwhile; return how many failed."""
    failed = 0
    for number in range(count):
        if number + FAR < count:
            prefetch_index(book, at(events + (number + FAR) * SIZE, EVENT))
        if number + MIDDLE < count:
            prefetch_order(book, at(events + (number + MIDDLE) * SIZE, EVENT))
        if number + NEAR < count:
            prefetch_level(book, at(events + (number + NEAR) * SIZE, EVENT))
        failed += int(orderbook.apply(book, at(events + number * SIZE, EVENT)) > 1)
    return failed


def day_of(symbols: int, messages: int, folder: Path) -> np.ndarray:
    """The events of a synthetic day."""
    path = folder / f"events-{symbols}.itch"
    write_file(SyntheticOptions(messages=messages, symbols=symbols), path)
    data, staged = np.fromfile(path, np.uint8), empty(EVENT, STAGED)
    state, counters = empty(ITCH_STATE, 1), np.zeros(1, FEED_COUNTERS)
    prepare(state[0], counters.ctypes.data, 0, by_type=False)
    state["final"] = 1
    found, position = [], 0
    while True:
        place, left = data.ctypes.data + position, len(data) - position
        count = int(decode(state.ctypes.data, place, left, staged.ctypes.data, STAGED))
        position += int(state["consumed"][0])
        if count == 0:
            return joined(found)
        found.append(staged[:count].copy())


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """Events one behind the other, from a cache line on."""
    whole = empty(EVENT, sum(map(len, parts)))
    np.concatenate(parts, out=whole)
    return whole


def deep_of(messages: int) -> np.ndarray:
    """One book with orders at all of many levels, which come and go wherever they are."""
    chance, levels = np.random.default_rng(7), min(DEEP_LEVELS, max(messages // 16, 16))
    messages -= messages & 1  # those behind the filling are pairs
    events = empty(EVENT, messages)
    events["order"] = np.arange(1, messages + 1)
    events["kind"], events["quantity"] = Event.ADD, 100
    filling = min(2 * levels, messages // 4 * 2)
    events["side"][:filling] = np.arange(filling) & 1
    events["price"][:filling] = price_of(events["side"][:filling], np.arange(filling) >> 1)
    live = np.arange(1, filling + 1)  # by place: the order there; places keep their levels
    changes = np.arange(filling, messages - 1, 2)
    places = chance.integers(filling, size=len(changes))
    for number, place in zip(changes.tolist(), places.tolist(), strict=True):
        events[number]["kind"], events[number]["order"] = Event.DELETE, live[place]
        live[place] = number + 2
    events["side"][changes + 1] = places & 1
    events["price"][changes + 1] = price_of(places & 1, places >> 1)
    return events


def price_of(side: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The price so many ticks from the best of a side."""
    return 1_000_000 + np.where(side == 1, TICK * (depth + 1), -TICK * depth)


class Flow:
    """Events, and books of each kind that they are applied to."""

    def __init__(self, events: np.ndarray, symbols: int, orders: int) -> None:
        self.events, self.digest = events, 0
        self.limits = Limits(orders, orders // 2, symbols + 1)
        self.memory = {kind: self._room(kind) for kind in KINDS}

    def _room(self, kind: str) -> np.ndarray:
        return np.zeros(orderbook.bytes_needed(self._limits(kind)) + LINE, np.uint8)

    def _limits(self, kind: str) -> Limits:
        return self.limits._replace(kind=int(Index[kind.upper()]))

    def run(self, kind: str) -> Metrics:
        """One pass; ns an event. BenchError where the books are not those of the others."""
        memory = self.memory[kind]
        memory.fill(0)
        book = memory.ctypes.data + -memory.ctypes.data % LINE
        orderbook.create(book, self._limits(kind))
        count = len(self.events)
        begun = time.process_time_ns()
        failed = int(apply_ahead(book, self.events.ctypes.data, count))
        spent = time.process_time_ns() - begun
        found, header = int(bookview.digest(book)), at(book, BOOK)
        if not header.live_levels or failed:
            raise BenchError(f"{kind}: {header.live_levels} levels, {failed} events refused")
        self.digest = self.digest or found
        if found != self.digest:
            raise BenchError(f"{kind}: the books differ from those of the others")
        peak = Limits(int(header.peak_orders), int(header.peak_levels), self.limits.instruments)
        size = orderbook.bytes_needed(peak._replace(kind=self._limits(kind).kind))
        return {"ns": spent / count, "bytes an order": size / peak.orders}


FLOWS: dict[str, Flow] = {}  # of the process that measures


def load(name: str, symbols: int, messages: int, orders: int, folder: str) -> None:
    """Have a flow ready in this process; symbols 0: the deep book."""
    events = day_of(symbols, messages, Path(folder)) if symbols else deep_of(messages)
    FLOWS[name] = Flow(events, symbols, orders)
    FLOWS[name].run(KINDS[0])  # compiled before it is measured


def measure(name: str, kind: str) -> Metrics:
    """One pass over a flow."""
    return FLOWS[name].run(kind)


class Indexes:
    """The variants of all flows, run by an actor."""

    def __init__(self, actor: Actor, symbols: int, messages: int, orders: int, folder: str) -> None:
        self.actor = actor
        self.flows = {f"{symbols:,} symbols": symbols, "one symbol": 1, "one deep book": 0}
        for name, count in self.flows.items():
            actor.start(load, name, count, messages, orders, folder)
            actor.result()

    def _one(self, name: str, kind: str) -> Metrics:
        self.actor.start(measure, name, kind)
        return self.actor.result()

    def variants(self) -> dict[str, Variant]:
        """Each kind over each flow."""
        return {
            f"{kind}, {name}": partial(self._one, name, kind)
            for name in self.flows
            for kind in KINDS
        }

    def compare(self, result: Result) -> None:
        """Hold all against the sorted arrays; say what memory each order takes."""
        for name in self.flows:
            base = f"{KINDS[0]}, {name}"
            result.pairs |= {f"{kind}, {name}": base for kind in KINDS[1:]}
            sizes = (
                f"{kind} {result.median(f'{kind}, {name}', 'bytes an order'):.0f}" for kind in KINDS
            )
            result.notes.append(f"{name}: bytes an order at the peak: {', '.join(sizes)}")
