"""Engines whose orders are judged and nothing else, for the benchmark of the gate."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.harness import Metrics, percentiles
from ringbuf.atomics import at, cycles, store_relaxed
from ringbuf.clock import CLOCK, calibrate
from ringbuf.jit import kernel
from workers.feeds.lobster import symbol_bytes
from workers.kernels import engine as block
from workers.kernels import matching, orderbook
from workers.kernels.engine import ACCOUNT, ENGINE, STANDING, books_limits
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.gate import judge, judge_room
from workers.kernels.phases import IDLE
from workers.kernels.requests import load_order, set_worth
from workers.kernels.resting import Limits
from workers.orders import OrderFlag, Tif
from workers.records import EVENT, MATCHED, Event, Side, State, empty, lined

SIZE = EVENT.itemsize
SAMPLE_EVERY = 16  # orders; the clock is read around one of so many, in a pass of its own
SAMPLED = ("p50", "p90", "p99", "p99.9", "max")
TICK, LOT, PRICE, PRICE_SCALE = 5, 10, 10_000, 100
HALTED_ONE = 0  # an instrument
OFF_ONE = 0  # an account, which may still reduce
PASS_NS, ROOM = 1_000, 1 << 12  # between orders; orders at rest
LIMITS = AccountLimits(
    quantity_max=1_000,
    notional_max=8_000_000,
    collar_bps=400,
    position_max=20_000,
    credit_max=3_000_000_000,
    messages_max=6,
    window_ns=1_000_000,
    reduce_when_off=True,
)


class Size(NamedTuple):
    """How much there is to judge, and how often."""

    accounts: int
    instruments: int
    orders: int
    passes: int


LARGE, SHORT, TINY = Size(256, 64, 8_192, 100), Size(16, 8, 2_048, 5), Size(4, 4, 512, 1)


@kernel
def verdict(engine, books, event):
    """Take an order into the engine's hand; all reasons against it."""
    matching.begin(engine, books, event)
    at(engine, ENGINE).phase = IDLE
    load_order(engine)
    set_worth(engine)
    return judge(engine, books, 0, 0) | judge_room(engine, books)


@kernel
def judge_all(engine, books, events, count, verdicts):
    """The verdicts on some orders, an int64 each."""
    for number in range(count):
        event = at(events + SIZE * number, EVENT)
        store_relaxed(verdicts + 8 * number, verdict(engine, books, event))


@kernel
def judge_timed(engine, books, events, count, verdicts, samples):
    """The same, with the cycles of every SAMPLE_EVERY-th order noted; return how many were."""
    noted = 0
    for number in range(count):
        event, begun = at(events + SIZE * number, EVENT), cycles()
        store_relaxed(verdicts + 8 * number, verdict(engine, books, event))
        if number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
    return noted


@kernel
def fold(engine, books, events, count):
    """Have matching do all that some events ask for."""
    for number in range(count):
        matching.begin(engine, books, at(events + SIZE * number, EVENT))
        while matching.busy(engine):
            matching.step(engine, books)


def events_of(**columns: ArrayLike) -> np.ndarray:
    """Events in memory from columns by name."""
    count = max(np.size(column) for column in columns.values())
    events = empty(EVENT, count)
    for name, column in columns.items():
        events[name] = column
    events["sequence"] = np.arange(count)
    return events


def symbols(size: Size) -> list[str]:
    """What the instruments are called."""
    return [f"S{number}" for number in range(size.instruments)]


def opening(size: Size) -> list[np.ndarray]:
    """What comes first: instruments, their terms, and an order on each side of each."""
    every = np.arange(size.instruments)
    sides = np.repeat([int(Side.BID), int(Side.ASK)], size.instruments)
    words = np.array([np.frombuffer(symbol_bytes(name), np.int64) for name in symbols(size)]).T
    return [
        events_of(
            kind=int(Event.DIRECTORY), instrument=every, flags=MATCHED, quantity=PRICE_SCALE,
            order=words[0], other=words[1], price=words[2],
        ),
        events_of(kind=int(Event.TERMS), instrument=every, order=TICK, other=LOT, price=PRICE),
        events_of(
            kind=int(Event.ORDER), instrument=np.tile(every, 2), side=sides,
            order=np.arange(1, 2 * size.instruments + 1), other=size.accounts, quantity=100,
            price=np.where(sides == Side.BID, PRICE - TICK, PRICE + TICK),
        ),
        events_of(kind=int(Event.STATUS), instrument=[HALTED_ONE], flags=int(State.HALTED)),
    ]  # fmt: skip


def drawn(size: Size) -> np.ndarray:
    """Orders of all accounts, most of them sound, always the same."""
    draw, count = np.random.default_rng(1), size.orders

    def now_and_then(share: float, there: ArrayLike, else_: ArrayLike) -> np.ndarray:
        return np.where(draw.random(count) < share, there, else_)

    price = PRICE + TICK * draw.integers(-60, 61, count)
    price += now_and_then(0.03, 1, 0)
    price = now_and_then(0.03, PRICE + 120 * TICK, price)
    quantity = LOT * draw.integers(1, 80, count)
    quantity = now_and_then(0.03, 1_500, quantity + now_and_then(0.03, 1, 0))
    flags = draw.choice([int(Tif.GTC), int(Tif.IOC), int(Tif.DAY)], count)
    flags = now_and_then(0.2, int(OrderFlag.POST_ONLY), flags)
    market = draw.random(count) < 0.05
    return events_of(
        kind=int(Event.ORDER),
        order=1_000_000 + np.arange(count),
        other=now_and_then(0.01, size.accounts + 1, draw.integers(0, size.accounts, count)),
        instrument=draw.integers(0, size.instruments, count),
        side=draw.integers(0, 2, count),
        price=np.where(market, 0, price),
        quantity=now_and_then(0.02, 0, quantity),
        flags=np.where(market, int(OrderFlag.MARKET), flags),
        time_ns=PASS_NS * np.arange(1, count + 1),
    )


class Gate:
    """An engine before its orders, with or without accounts, in the process that measures.

    returns: scenarios by symbol; accounts are then held to a value at risk, too.
    """

    def __init__(
        self, size: Size, limited: bool, returns: Mapping[str, np.ndarray] | None = None
    ) -> None:
        mine = LIMITS._replace(var_max=1) if returns else LIMITS
        accounts = [*[mine] * size.accounts, AccountLimits()] if limited else []
        room = Limits(ROOM, ROOM, size.instruments)
        settings = Settings(room, size.instruments, accounts, returns=returns or {})
        self.settings = settings
        self.size, limits = size, books_limits(settings)
        self.books_memory = lined(orderbook.bytes_needed(limits))
        self.memory = lined(block.bytes_needed(settings))
        self.engine, self.books = self.memory.ctypes.data, self.books_memory.ctypes.data
        orderbook.create(self.books, limits)
        block.create(self.engine, self.books, settings)
        for events in opening(size):
            fold(self.engine, self.books, events.ctypes.data, len(events))
        if limited:
            self.stake()
        self.orders = drawn(size)
        self.before = self.accounts().copy() if limited else None
        self.verdicts = np.zeros(size.orders, np.int64)
        self.samples = np.zeros(size.orders, np.int64)

    def rows(self, place: str, dtype: np.dtype, count: int) -> np.ndarray:
        """The records of a part of the engine."""
        start = int(at(self.engine, ENGINE)[place])
        return self.memory[start : start + count * dtype.itemsize].view(dtype)

    def accounts(self) -> np.ndarray:
        """All accounts: shape (accounts + 1,); the last is without limits."""
        return self.rows("accounts_at", ACCOUNT, self.size.accounts + 1)

    def standings(self) -> np.ndarray:
        """What accounts have in instruments: shape (accounts + 1, instruments + 1), by rule."""
        shape = self.size.accounts + 1, self.size.instruments + 1
        return self.rows("standings_at", STANDING, shape[0] * shape[1]).reshape(shape)

    def stake(self) -> None:
        """Give accounts positions and open orders, some beyond what they are held to."""
        draw, rows = np.random.default_rng(2), self.standings()[:-1, 1:]
        rows["position"] = LOT * draw.integers(-2_000, 2_001, rows.shape)
        rows["open"] = LOT * draw.integers(0, 50, (*rows.shape, 2))
        rows["held"] = np.abs(rows["position"]) * PRICE
        accounts = self.accounts()[:-1]
        accounts["held"] = rows["held"].sum(1)
        accounts["open"] = rows["open"].sum((1, 2)) * PRICE
        total = accounts["held"] + accounts["open"]
        accounts["credit_max"] = total + draw.integers(-4, 12, len(accounts)) * 1_000_000
        accounts["switched"][OFF_ONE] = 1

    def start_over(self) -> None:
        """Forget the messages that were counted; nothing else changes as orders are judged."""
        if self.before is not None:
            self.accounts()[:] = self.before

    def run(self) -> float:
        """One pass over all orders; ns an order."""
        self.start_over()
        arguments = self.engine, self.books, self.orders.ctypes.data, self.size.orders
        begun = time.perf_counter_ns()
        judge_all(*arguments, self.verdicts.ctypes.data)
        return (time.perf_counter_ns() - begun) / self.size.orders

    def run_sampled(self) -> Metrics:
        """A pass with single orders timed; percentiles in ns."""
        arguments = self.engine, self.books, self.orders.ctypes.data, self.size.orders
        clock = np.zeros(1, CLOCK)
        calibrate(clock[0])
        self.run()  # what lay idle meanwhile is in the caches again
        self.start_over()
        noted = judge_timed(*arguments, self.verdicts.ctypes.data, self.samples.ctypes.data)
        found = percentiles(self.samples[:noted] * float(clock["ns_per_cycle"][0]))
        return {f"one {name}": found[name] for name in SAMPLED}

    def write(self, path: Path) -> None:
        """All that the C program needs, int64 each, with the verdicts that it must come to."""
        header = at(self.engine, ENGINE)
        size = self.size
        self.start_over()
        orders = [
            self.orders[name]
            for name in ("other", "instrument", "side", "flags", "price", "quantity", "time_ns")
        ]
        accounts = [self.accounts()[name] for name in ACCOUNT_COLUMNS]
        rows = self.standings()[:, 1:]
        standings = [rows["position"], rows["open"][..., 0], rows["open"][..., 1]]
        states = np.where(np.arange(size.instruments) == HALTED_ONE, State.HALTED, State.TRADING)
        words = (size.accounts + 1, size.instruments, size.orders, int(header.quantity_max))
        with path.open("wb") as file:
            for part in (
                words, (TICK, LOT, PRICE, PRICE - TICK, PRICE + TICK), states,
                np.stack(accounts, 1), np.stack(standings, 2), np.stack(orders, 1), self.verdicts,
            ):  # fmt: skip
                file.write(np.ascontiguousarray(part, np.int64).tobytes())


ACCOUNT_COLUMNS = (
    "quantity_max", "notional_max", "collar_bps", "position_max", "credit_max", "messages_max",
    "window_ns", "switched", "reduce_when_off", "open", "held",
)  # fmt: skip
