"""Matching beside exchange-core's book, over the same flow of limit orders of one symbol.

Both are called directly on one core: ours is the matching kernel that the book stage runs,
writing a report for every order, fill and cancel; theirs is OrderBookDirectImpl, its best, in a
JVM that has seen the flow before, making an event for every trade. Neither has a ring, a journal
or a check of risk around it. Both must come to the same trades and the same resting volume. Time is
the processor's, but for single messages.
"""

import contextlib
import json
import select
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import peer_java
from bench.book import SAMPLE_EVERY
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
    cores,
    percentiles,
    run_rounds,
)
from ringbuf.atomics import at, cycles, store_relaxed
from ringbuf.clock import CLOCK, calibrate
from ringbuf.jit import kernel
from ringbuf.record import LINE
from workers.kernels import bookview, engine, matching, orderbook
from workers.kernels.engine_settings import Settings
from workers.orders import Tif
from workers.records import EVENT, MATCHED, REPORT, Book, Event, Side, empty

SOURCES = Path(__file__).with_name("java_books")
MAIN = "ExchangeCorePeer"
MESSAGES, MESSAGES_SHORT = 400_000, 4_000
ROUNDS, BUDGET_S = 5, 60.0
OURS, THEIRS = "ours", "exchange-core"
LIMIT, AT_ONCE, CANCEL = range(3)
SHARES = (0.50, 0.06, 0.44)  # of these
FLOW = np.dtype([(name, "i8") for name in ("kind", "side", "order", "price", "quantity")])
MIDDLE, DEEP, CROSSING = 100_000, 12.0, 2  # ticks
SHOWN = ("p50", "p99", "max")
AGREED = ("trades", "traded", "bids", "asks")
SIZE, REPORT_SIZE, FILL = EVENT.itemsize, REPORT.itemsize, int(Book.FILL)
ROOM_FOR = 1 << 16, 1 << 15  # orders and levels that rest at once
ROOM = 4096  # reports that are kept, one over the other


def flow_of(count: int) -> np.ndarray:
    """Limit orders around a price that wanders, some of them crossing it, and cancels."""
    draw = np.random.default_rng(23)
    flow = np.zeros(count, FLOW)
    flow["kind"] = draw.choice(3, count, p=SHARES)
    flow["side"] = draw.integers(0, 2, count)
    flow["quantity"] = draw.integers(1, 100, count)
    flow["order"] = np.arange(1, count + 1)
    middle = MIDDLE + np.cumsum(draw.integers(-1, 2, count) * (draw.random(count) < 0.02))
    away = draw.geometric(1 / DEEP, count) - CROSSING
    away[flow["kind"] == AT_ONCE] = -CROSSING
    flow["price"] = middle + np.where(flow["side"] == Side.BID, -away, away)
    live: list[int] = []
    picks = draw.random(count)
    for number, kind in enumerate(flow["kind"].tolist()):
        if kind == CANCEL and live:
            place = int(picks[number] * len(live))
            live[place], live[-1] = live[-1], live[place]
            flow["order"][number] = live.pop()
        elif kind != AT_ONCE:
            flow["kind"][number] = LIMIT
            live.append(number + 1)
    return flow


def events_of(flow: np.ndarray) -> np.ndarray:
    """The same as EVENTs of instrument 0, which is announced first."""
    events = empty(EVENT, len(flow) + 1)
    events["kind"][0], events["flags"][0] = Event.DIRECTORY, MATCHED
    rows = events[1:]
    rows["kind"] = np.where(flow["kind"] == CANCEL, Event.CANCEL_ORDER, Event.ORDER)
    rows["flags"] = np.where(flow["kind"] == AT_ONCE, Tif.IOC, Tif.GTC)
    for name in ("order", "side", "price", "quantity"):
        rows[name] = flow[name]
    events["sequence"] = events["time_ns"] = np.arange(1, len(events) + 1)
    return events


@kernel
def match_all(state, books, events, count, target, samples):
    """Match events, write their reports; (fills, quantity filled). samples: 0, or cycles of some.

    A trade is two fills.
    """
    fills = filled = written = noted = 0
    for number in range(count):
        begun = cycles() if samples else 0
        matching.begin(state, books, at(events + SIZE * number, EVENT))
        while matching.busy(state):
            given = matching.step(state, books)
            for output in range(given):
                report = at(engine.output_at(state, output), REPORT)
                copy(target + REPORT_SIZE * (written & (ROOM - 1)), report)
                written += 1
                if report.kind == FILL:
                    fills += 1
                    filled += report.quantity
        if samples and number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
    return fills, filled


@kernel
def copy(target, report):
    """Write a report as the stage would write it to its ring."""
    written = at(target, REPORT)
    written.kind, written.side, written.instrument = report.kind, report.side, report.instrument
    written.order, written.price = report.order, report.price
    written.quantity, written.left = report.quantity, report.left


class Market:
    """Books and an engine over them, and the flow."""

    def __init__(self, flow: np.ndarray) -> None:
        self.events = events_of(flow)
        limits = orderbook.Limits(*ROOM_FOR, 1)
        self.settings = Settings(limits, 1)
        self.limits = engine.books_limits(self.settings)
        self.books, self.books_at = _room(orderbook.bytes_needed(self.limits))
        self.engine, self.engine_at = _room(engine.bytes_needed(self.settings))
        self.reports = empty(REPORT, ROOM)
        self.samples = np.zeros(len(self.events) // SAMPLE_EVERY + 1, np.int64)

    def run(self, samples: int = 0) -> tuple[float, dict[str, int]]:
        """One pass over an empty market; ns a message, and what came of it."""
        self.books.fill(0)
        self.engine.fill(0)
        orderbook.create(self.books_at, self.limits)
        engine.create(self.engine_at, self.books_at, self.settings)
        words = self.engine_at, self.books_at, self.events.ctypes.data
        target = self.reports.ctypes.data
        match_all(*words, 0, target, samples)
        begun = time.process_time_ns()
        fills, filled = match_all(*words, len(self.events), target, samples)
        spent = time.process_time_ns() - begun
        bids, asks = (self._volume(side) for side in range(2))
        found = {"trades": fills // 2, "traded": filled // 2, "bids": bids, "asks": asks}
        return spent / len(self.events), {name: int(value) for name, value in found.items()}

    def _volume(self, side: int) -> int:
        levels = range(bookview.level_count(self.books_at, 0, side))
        return sum(int(bookview.depth_level(self.books_at, 0, side, n)[1]) for n in levels)


def _room(size: int) -> tuple[np.ndarray, int]:
    memory = np.zeros(size + LINE, np.uint8)
    return memory, memory.ctypes.data + -memory.ctypes.data % LINE


MARKETS: dict[int, Market] = {}  # of the process that measures


def load(count: int) -> None:
    """Have a market ready in this process, compiled."""
    MARKETS[count] = Market(flow_of(count))
    MARKETS[count].run()


def ours(count: int) -> tuple[Metrics, dict[str, int]]:
    """A pass for the mean, one for percentiles."""
    market, clock = MARKETS[count], np.zeros(1, CLOCK)
    each, found = market.run()
    market.run(market.samples.ctypes.data)
    calibrate(clock[0])
    shown = percentiles(market.samples * float(clock["ns_per_cycle"][0]))
    return {"ns": each, **{f"one {name}": shown[name] for name in SHOWN}}, found


class Machine:
    """The JVM with exchange-core, on one core; closed by close()."""

    def __init__(self, core: int) -> None:
        built = peer_java.built(SOURCES)
        paths = f"{built}/classes:{built}/lib/*"
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), "java", *peer_java.FLAGS, "-cp", paths, MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def run(self, path: Path) -> dict[str, Any]:
        """A pass over a flow."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # no answer comes then
            self.process.stdin.write(f"{path}\n")
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            raise BenchError(f"{THEIRS}: no answer within {ANSWER_S:.0f} s")
        while line := self.process.stdout.readline():
            if line.startswith("{"):  # its libraries greet on standard output
                return json.loads(line)
        raise BenchError(f"{THEIRS}: its JVM ended with exit code {self.process.wait()}")

    def close(self) -> None:
        """End the JVM."""
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout):
            if end:
                with contextlib.suppress(BrokenPipeError):
                    end.close()


def absent() -> str:
    """What is missing to run the peer, for a note; the empty string where it can run."""
    missing = [tool for tool in peer_java.TOOLS if not shutil.which(tool)]
    if missing:
        return f"no {', no '.join(missing)} on this machine: {THEIRS} is left out"
    try:
        peer_java.built(SOURCES)
    except BenchError as failure:
        return f"{THEIRS} is left out: {failure}"
    return ""


class Contest:
    """Both over the same flow; every pass must come to the same."""

    def __init__(self, actor: Actor, count: int, folder: str) -> None:
        self.actor, self.count, self.path = actor, count, Path(folder) / "flow"
        flow_of(count).tofile(self.path)
        self.found: dict[str, int] | None = None
        actor.start(load, count)
        actor.result()

    def agree(self, found: dict[str, int], who: str) -> None:
        """Refuse what differs from what came before, or is nothing."""
        self.found = self.found or found
        if found != self.found or not all(found.values()):
            raise BenchError(f"{who}: {found}, not {self.found}")

    def ours(self) -> Metrics:
        """A round of the kernel."""
        self.actor.start(ours, self.count)
        metrics, found = self.actor.result()
        self.agree(found, OURS)
        return metrics

    def theirs(self, machine: Machine) -> Metrics:
        """A round of exchange-core."""
        found = machine.run(self.path)
        self.agree({name: int(found[name]) for name in AGREED}, THEIRS)
        return {name: float(found[name]) for name in ("ns", *(f"one {name}" for name in SHOWN))}


def run(options: Options) -> Result:
    """Both in turns on one core."""
    result = Result("match_peers", BENCH.what, "ns a message", "ns", better="less")
    count = options.scaled(MESSAGES, MESSAGES_SHORT)
    (place,) = cores(1)
    missing = absent()
    Market(flow_of(16)).run()  # compiled here: that can take longer than an Actor may
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="corelane-"))
        (actor,) = stack.enter_context(actors([place]))
        contest = Contest(actor, count, folder)
        variants: dict[str, Variant] = {OURS: contest.ours}
        if not missing:
            machine = Machine(place.number)
            stack.callback(machine.close)
            variants[THEIRS] = partial(contest.theirs, machine)
            result.pairs[OURS] = THEIRS
        run_rounds(result, variants, options.rounds_of(ROUNDS), budget_s=BUDGET_S)
    if missing:
        result.notes.append(missing)
    else:
        result.base = OURS
    result.notes.append(f"{count:,} messages: {contest.found}")
    result.notes.append(f"one: every {SAMPLE_EVERY}th message by itself")
    return result


BENCH = Bench("match_peers", "matching beside exchange-core, the same limit orders", run)
