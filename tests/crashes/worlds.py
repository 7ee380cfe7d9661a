"""Worlds to be played in: what the source writes, what must come of it, and all the memory."""

from typing import NamedTuple

import numpy as np

from ringbuf import ring
from ringbuf.atomics import at
from ringbuf.record import LINE
from ringbuf.views import keep
from tests.crashes import stages, toy
from tests.crashes.actors import FAILURES, HEAD, SINK_CONTENT
from tests.crashes.layout import (
    ACTOR_SIZE,
    ACTORS,
    FILE,
    LOG,
    MIND,
    REPLICA_FEED,
    SIZE,
    STAGE_FEED,
    VIEWS,
    WORDS,
    WORLD,
)
from workers import keeper as kept
from workers import position_board, risk
from workers.kernels import orderbook, position_block, positions, risk_limits, waiting
from workers.records import EVENT, TOP, Event, Measure, Side, lined
from workers.records import Book as Kind

NAMES = {
    "toy": stages.TOY, "book": stages.BOOK, "risk": stages.RISK,
    "marks": stages.RISK,  # those of an interval wait until it is over
}  # fmt: skip
WRONG = (
    "", "lost", "doubled", "reordered", "torn", "stuck", "journal", "ring", "snapshot", "replica",
    "broken",
)  # fmt: skip
assert len(WRONG) == len(FAILURES)
LIKELY = {
    Event.ADD: 0.4, Event.CANCEL: 0.08, Event.EXECUTE: 0.1, Event.DELETE: 0.2, Event.REPLACE: 0.14,
    Event.TRADE: 0.04, Event.STATUS: 0.04,
}  # fmt: skip
PRIVATE = 16  # records of a private ring
SEGMENT_MAX = 64  # records
LIMITS = orderbook.Limits(orders=32, levels=16, instruments=2)
HOLDINGS = position_block.Limits(instruments=2, portfolios=3, held=2, scenarios=16)
PARENTS = (2, 2, -1)
RISK_MOST = HOLDINGS.portfolios + 1  # one of them has a limit
INTERVAL_NS = 4


class Pattern(NamedTuple):
    """A stage, its state at first, what it reads, and what it must give.

    inputs, outputs: bytes of records, one behind the other; given_after: of the first n inputs.
    """

    kind: int
    outputs_max: int
    varies: bool
    template: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    given_after: np.ndarray


def toy_inputs(count: int) -> np.ndarray:
    """Random words."""
    words = np.random.default_rng(1).integers(-(2**62), 2**62, (count, WORDS))
    words[:, -1] = np.arange(1, count + 1)
    return words.reshape(-1).view(np.uint8)


def events(count: int) -> np.ndarray:
    """A busy little market, unknown orders and more than the book can hold among it."""
    chance = np.random.default_rng(2)
    records = lined(count * SIZE).view(EVENT)
    kinds = list(LIKELY)
    live: list[tuple[int, int]] = []  # order, instrument
    for number, event in enumerate(records):
        kind = kinds[chance.choice(len(kinds), p=list(LIKELY.values()))]
        place = int(chance.integers(max(len(live), 1)))
        order, instrument = live[place] if live else (1, 0)
        event["side"], event["quantity"] = side, quantity = chance.integers(2), chance.integers(40)
        event["price"] = 1000 + (chance.integers(0, 6) if side == Side.ASK else -quantity // 8)
        if kind == Event.ADD:
            order, instrument = number + 2, int(chance.integers(2))
            live.append((order, instrument))
        if kind == Event.REPLACE:
            event["other"] = number + 2
            live.append((number + 2, instrument))
        if kind in (Event.DELETE, Event.REPLACE) and live:
            live.pop(place)
        if kind == Event.STATUS:
            event["flags"] = chance.integers(1, 4)
        event["kind"], event["order"], event["instrument"] = kind, order, instrument
        event["time_ns"], event["sequence"] = 1000 + number, number + 1
    return records.view(np.uint8)


def book_template() -> np.ndarray:
    """An empty book, with level records going out."""
    state = lined(stages.BOOKS_AT + -(-orderbook.bytes_needed(LIMITS) // LINE) * LINE)
    assert kept.NOTES_AT + LIMITS.instruments * kept.NOTE_SIZE <= stages.BOOKS_AT
    orderbook.create(state.ctypes.data + stages.BOOKS_AT, LIMITS)
    keeper = at(state.ctypes.data, kept.KEEPER)
    keeper.timing.ns_per_cycle = 1.0
    keeper.levels, keeper.instruments = 1, LIMITS.instruments
    keeper.room = kept.PLAIN_MAX
    return state


def risk_template(interval_ns: int) -> np.ndarray:
    """A portfolio of both instruments, another of one of them, and one above both portfolios.

    interval_ns: of which only the newest marks are taken; 0: every mark is.
    """
    state = lined(stages.POSITIONS_AT + -(-position_block.bytes_needed(HOLDINGS) // LINE) * LINE)
    assert risk.KNOWN_AT + HOLDINGS.instruments <= stages.ABSENT_AT
    assert waiting.bytes_needed(HOLDINGS.held) <= stages.SHOWN_AT - stages.WAITS_AT
    groups = HOLDINGS.portfolios * position_board.GROUP_SIZE
    assert position_board.GROUPS_AT + groups <= stages.POSITIONS_AT - stages.SHOWN_AT
    table = at(state.ctypes.data + stages.SHOWN_AT, position_board.TABLE)
    table.portfolios, table.showing = HOLDINGS.portfolios, -1
    address = state.ctypes.data + stages.POSITIONS_AT
    position_block.create(address, HOLDINGS, PARENTS)
    chance = np.random.default_rng(3)
    for instrument in range(HOLDINGS.instruments):
        returns = chance.integers(-(2**20), 2**20, HOLDINGS.scenarios).astype(np.int32)
        for portfolio in range(HOLDINGS.portfolios):
            if portfolio <= instrument and portfolio < 2:
                quantity = 10 - 17 * portfolio
                positions.hold(address, portfolio, instrument, quantity, 0, 100, returns)
    risk_limits.limit(address, 2, Measure.VAR_99, 100_000, 80_000)
    state[risk.KNOWN_AT : risk.KNOWN_AT + HOLDINGS.instruments] = risk.HELD_HERE
    desk = at(state.ctypes.data, risk.DESK)
    desk.timing.ns_per_cycle = 1.0
    desk.most = RISK_MOST
    desk.interval_ns, desk.interval = interval_ns, waiting.NEVER
    desk.portfolios, desk.instruments = HOLDINGS.portfolios, HOLDINGS.instruments
    return state


def pattern_of(name: str, count: int) -> Pattern:
    """A stage and `count` inputs of it; what must come of them is what comes of it undisturbed."""
    kind = NAMES[name]
    if kind == stages.TOY:
        inputs, template, most = toy_inputs(count), lined(8 * toy.STATE_WORDS), toy.OUTPUTS_MAX
    elif kind == stages.BOOK:
        inputs, template, most = events(count), book_template(), kept.PLAIN_MAX
    else:
        template = risk_template(INTERVAL_NS if name == "marks" else 0)
        inputs, most = tops(count), RISK_MOST
    outputs, given_after = undisturbed(kind, template, inputs)
    return Pattern(kind, most, kind != stages.RISK, template, inputs, outputs, given_after)


def tops(count: int) -> np.ndarray:
    """Best prices that move, sides that are empty now and then, trades in between."""
    chance = np.random.default_rng(4)
    records = lined(count * SIZE).view(TOP)
    records["kind"] = chance.choice([Kind.TOP, Kind.TRADE], count, p=[0.8, 0.2])
    records["instrument"] = chance.integers(0, 2, count)
    records["bid"] = (1000 - chance.integers(0, 5, count)) * (chance.random(count) < 0.9)
    records["ask"] = 1001 + chance.integers(0, 5, count)
    records["time_ns"] = 1000 + np.arange(count)
    records["sequence"] = np.arange(1, count + 1)
    return records.view(np.uint8)


def undisturbed(kind: int, template: np.ndarray, inputs: np.ndarray):
    """Have a stage take its inputs one by one; what it gives, and how many after each."""
    count, state = len(inputs) // SIZE, lined(len(template))
    state[:] = template
    scratch = lined(stages.SCRATCH)
    stages.bind(kind, state.ctypes.data, scratch.ctypes.data)
    most = 1 << (4 * count).bit_length()
    memory = lined(ring.bytes_needed(8, SIZE)), lined(ring.bytes_needed(most, SIZE))
    feed = ring.writer_of(memory[0].ctypes.data, 8, SIZE)
    inner = ring.reader_of(memory[0].ctypes.data, 8, SIZE, 0)
    out = ring.writer_of(memory[1].ctypes.data, most, SIZE)
    given = np.zeros(count + 1, np.int64)
    for number in range(count):
        assert ring.push(feed, inputs.ctypes.data + number * SIZE, 1, 0) == 1
        assert stages.turn(kind, state.ctypes.data, inner, out, 8) == 1
        given[number + 1] = ring.next_free(out) - 1
    slots = memory[1][-most * SIZE :].reshape(most, SIZE)
    return slots[1 : given[-1] + 1].reshape(-1).copy(), given


class World:
    """A small world in memory of its own; `address` is what the kernels take."""

    def __init__(self, pattern: Pattern, capacities: tuple[int, int]) -> None:
        """capacities: records of the ring that the stage reads, and of the one that it writes."""
        self.held: list[np.ndarray] = []
        self.pattern, self.capacities = pattern, capacities
        count, outputs = len(pattern.inputs) // SIZE, len(pattern.outputs) // SIZE
        self.address = self._room(WORLD.itemsize)
        self.record = mine = at(self.address, WORLD)
        mine.kind, mine.outputs_max = pattern.kind, pattern.outputs_max
        mine.varies, mine.longest = pattern.varies, count
        mine.inputs, mine.reference = self._hold(pattern.inputs), self._hold(pattern.outputs)
        mine.given_after = self._hold(pattern.given_after.view(np.uint8))
        mine.arrived = self._room(8 * (max(count, outputs) + 2))
        mine.template, mine.state_words = self._hold(pattern.template), len(pattern.template) // 8
        mine.scratch = self._room(stages.SCRATCH)
        mine.snapshot_words = HEAD + mine.state_words + 1
        mine.snapshots = self._room(16 * mine.snapshot_words)
        mine.sink = self._room(SINK_CONTENT + max(count, outputs) * SIZE)
        mine.actors = self._room(len(ACTORS) * ACTOR_SIZE)
        self._lay_rings()
        self._lay_logs((count, outputs))
        self._lay_minds()

    def _room(self, size: int) -> int:
        self.held.append(lined(int(size)))
        return self.held[-1].ctypes.data

    def _hold(self, content: np.ndarray) -> int:
        address = self._room(len(content))
        self.held[-1][:] = content
        return address

    def _lay_rings(self) -> None:
        mine, own = self.record, ring.bytes_needed(PRIVATE, SIZE)
        sizes = [ring.bytes_needed(capacity, SIZE) for capacity in self.capacities]
        mine.rings = self._room(sum(sizes))
        mine.rings_words, mine.private_words = sum(sizes) // 8, 2 * own // 8
        mine.private_mask = PRIVATE - 1
        views = []
        for base, capacity in zip(
            (mine.rings, mine.rings + sizes[0]), self.capacities, strict=True
        ):
            views.append(self._writer_view(base, capacity))
            views += [ring.reader_of(base, capacity, SIZE, number) for number in range(2)]
        for _ in (STAGE_FEED, REPLICA_FEED):
            base = self._room(2 * own)
            for start in (base, base + own):
                views.append(self._writer_view(start, PRIVATE))
                views.append(ring.reader_of(start, PRIVATE, SIZE, 0))
        assert len(views) == len(VIEWS)
        mine.views = self._hold(keep(*views).view(np.uint8))

    def _writer_view(self, base: int, capacity: int) -> ring.Reader:
        return ring.Reader(*ring.writer_of(base, capacity, SIZE), base, 0)

    def _lay_logs(self, counts: tuple[int, ...]) -> None:
        logs, self.files = np.zeros(len(counts), LOG), np.zeros(len(counts), FILE)
        for number, count in enumerate(counts):
            self.files[number]["room"] = (count + 2 * SEGMENT_MAX) * SIZE
            self.files[number]["content"] = self._room(self.files[number]["room"])
            logs[number]["buffer"] = self._room(SEGMENT_MAX * SIZE)
            logs[number]["file"] = self.files.ctypes.data + number * FILE.itemsize
        self.record.logs = self._hold(logs.view(np.uint8))

    def _lay_minds(self) -> None:
        minds = np.zeros(2, MIND)
        for number, first in enumerate((STAGE_FEED, REPLICA_FEED)):
            minds[number]["state"] = self._room(8 * self.record.state_words)
            room = max(PRIVATE * SIZE, 8 * self.record.snapshot_words)
            minds[number]["buffer"] = self._room(room)
            minds[number]["views"] = first
        self.record.minds = self._hold(minds.view(np.uint8))

    @property
    def verdict(self) -> str:
        """What went wrong in the last story; empty where nothing did."""
        return WRONG[int(self.record.failure)]
