"""Many sources into one log: what anybody would sort out by hand comes out of the kernel."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import clock, ring
from ringbuf.atomics import at
from ringbuf.clock import CLOCK
from ringbuf.jit import compiled
from ringbuf.ring import READER, STAMP
from workers import merge, rules
from workers.merge import COUNTERS, MERGE, SOURCE, Pace, Reason
from workers.records import EVENT, Doubt, Event, Flag, Mark, State, empty
from workers.rules import Rules

CAPACITY = 1 << 8
LIMIT = 1_000  # of quantities and prices
INSTRUMENTS = 20
LAX = Rules(out_of_order="pass")


class Heard(NamedTuple):
    """One event of a source."""

    time_ns: int
    code: int
    kind: int
    quantity: int = 1
    price: int = 1


class Merge:
    """The kernel over sources that have staged all they have."""

    def __init__(self, sources, pace: Pace = Pace.FULL, interval: float = 0.0, law: Rules = LAX):
        self.memory = empty(np.dtype("i8"), merge.bytes_needed(INSTRUMENTS) // 8 + 8)
        self.state = self.memory.ctypes.data
        self.ring = empty(np.dtype("i8"), ring.bytes_needed(CAPACITY, EVENT.itemsize) // 8)
        self.writer = ring.writer_of(self.ring.ctypes.data, CAPACITY, EVENT.itemsize)
        self.tally = np.zeros(1, COUNTERS)
        self.clock = np.zeros(1, CLOCK)
        clock.calibrate(self.clock[0])
        self.header = at(self.state, MERGE)
        self.header.sources = len(sources)
        rules.lay_down(self.header.law, law, LIMIT, LIMIT)
        self.header.pace, self.header.interval = pace, interval
        self.staged = [staged(events) for events in sources]
        self.codes: dict[tuple[int, int], int] = {}
        for number, events in enumerate(self.staged):
            source = at(self.state + merge.SOURCES_AT + number * SOURCE.itemsize, SOURCE)
            source.events, source.count, source.finished = events.ctypes.data, len(events), 1

    def turn(self, limit: int = 64, patience: int = 0) -> tuple[int, int]:
        reason, taken = merge.turn(
            self.state, self.writer, self.clock.ctypes.data, self.tally.ctypes.data, limit, patience
        )
        return int(reason), int(taken)

    def run(self, limit: int = 64) -> int:
        """Turn to the end, numbering instruments as they are announced; how many were taken."""
        total = 0
        while True:
            reason, taken = self.turn(limit)
            total += taken
            if reason == Reason.ANNOUNCED:
                self.announce()
            elif reason != Reason.BUDGET:
                assert reason == Reason.EXHAUSTED
                return total

    def announce(self) -> None:
        number = int(self.header.asks)
        source = at(self.state + merge.SOURCES_AT + number * SOURCE.itemsize, SOURCE)
        code = int(self.staged[number][source.head]["instrument"])
        self.codes[number, code] = len(self.codes)
        entry = at(merge.code_place(self.state, number, code), merge.CODE)
        entry.instrument = merge.UNWANTED if code == 3 else len(self.codes)

    def log(self) -> np.ndarray:
        slots = self.writer.slots - self.ring.ctypes.data
        written = int(ring.next_free(self.writer)) - 1
        return self.ring.view(np.uint8)[slots:].view(EVENT)[1 : written + 1]

    def counts(self) -> dict[str, int]:
        return {name: int(self.tally[0][name]) for name in COUNTERS.names}


def staged(events: list[Heard]) -> np.ndarray:
    rows = empty(EVENT, len(events))
    for row, event in zip(rows, events, strict=True):
        row["time_ns"], row["instrument"], row["kind"] = event.time_ns, event.code, event.kind
        row["quantity"], row["price"] = event.quantity, event.price
    return rows


class Naive:
    """The log as (time, kind, instrument, source, flags), and what was counted."""

    def __init__(self, sources: list[list[Heard]], law: Rules) -> None:
        self.law, self.log = law, []
        self.counts = dict.fromkeys(COUNTERS.names, 0)
        self.codes: dict[tuple[int, int], int] = {}
        self.doubtful, self.halted, self.traded = set(), set(), {}
        self.newest, self.newest_of = 0, dict.fromkeys(range(len(sources)), 0)
        queues = [list(events) for events in sources]
        while any(queues):
            heads = [(queue[0].time_ns, n) for n, queue in enumerate(queues) if queue]
            _, number = min(heads)
            self.take(number, queues[number].pop(0))

    def take(self, number: int, event: Heard) -> None:
        key, kind = (number, event.code), event.kind
        if kind == Event.DIRECTORY:
            self.codes.setdefault(key, len(self.codes))
        self.counts["received"] += 1
        if kind in (Event.SYSTEM, Event.POSITION, Event.SWITCH):
            self.newest_of[number] = max(self.newest_of[number], event.time_ns)
            return self.put(number, event, -1, kind, 0)
        if key not in self.codes or event.code == 3:
            self.counts["unwanted" if key in self.codes else "unknown_instrument"] += 1
            return None
        instrument = self.codes[key]
        broken = list(self.broken(event, instrument, number)) if kind in MARKET else []
        for name in broken:
            self.counts[name] += 1
        effects = {getattr(self.law, name) for name in broken}
        unfit = {"bad_quantity", "bad_price"} & {*broken}
        dropped = bool(unfit) or "drop" in effects
        halting = "halt" in effects and instrument not in self.halted
        if halting:
            self.halted.add(instrument)
        self.remember(kind, instrument)
        refused = "price_band" in broken and self.law.price_band == "drop"
        if kind in (Event.TRADE, Event.EXECUTE_AT) and not unfit and not refused:
            self.traded[instrument] = event.price
        if not dropped:
            self.put(number, event, instrument, kind, Flag.SUSPECT if broken else 0)
        else:
            self.counts["dropped"] += 1
            if instrument not in self.doubtful and kind in CHANGING:
                self.doubtful.add(instrument)
                self.counts["added"] += 1
                self.put(number, event, instrument, Event.STALE, Doubt.VALUE)
        self.newest_of[number] = max(self.newest_of[number], event.time_ns)
        if halting:
            self.counts["added"] += 1
            self.counts["published"] += 1
            halted = State.HALTED | Mark.BARRED
            self.log.append((event.time_ns, Event.STATUS, instrument, number, halted))
        return None

    def remember(self, kind: int, instrument: int) -> None:
        if kind == Event.STALE:
            self.doubtful.add(instrument)
        if kind == Event.FRESH:
            self.doubtful.discard(instrument)
        if kind in (Event.FRESH, Event.STATUS):
            self.halted.discard(instrument)

    def broken(self, event: Heard, instrument: int, number: int):
        """The rules that an event breaks; nothing else matters for one that no book could take."""
        kind, price, law = event.kind, event.price, self.law
        least = {Event.SET: 0, Event.CROSS: 0, Event.BREAK: 0, Event.DELETE: -LIMIT}.get(kind, 1)
        if not least <= event.quantity <= LIMIT:
            yield "bad_quantity"
        elif kind in PRICED and not 1 <= price <= LIMIT:
            yield "bad_price"
        else:
            last = self.traded.get(instrument, 0)
            gone = kind == Event.SET and event.quantity == 0
            if kind in PRICED and law.band_percent and last and not gone:
                far = abs(price - last) * 100 > last * law.band_percent
                if far and law.price_band != "pass":
                    yield "price_band"
            if event.time_ns < self.newest_of[number] and law.out_of_order != "pass":
                yield "out_of_order"

    def put(self, number: int, event: Heard, instrument: int, kind: int, flags: int) -> None:
        self.counts["published"] += 1
        self.counts["late"] += event.time_ns < self.newest
        self.newest = max(self.newest, event.time_ns)
        self.log.append((event.time_ns, kind, instrument, number, flags))


MARKET = (*range(Event.ADD, Event.STATUS), Event.SET, Event.MODIFY)
CHANGING = (*range(Event.ADD, Event.TRADE), Event.SET, Event.MODIFY)
PRICED = (Event.ADD, Event.EXECUTE_AT, Event.REPLACE, Event.TRADE, Event.SET, Event.MODIFY)


EVENTS = st.builds(
    Heard,
    time_ns=st.integers(0, 40),
    code=st.integers(1, 4),
    kind=st.sampled_from([*Event, Event.DIRECTORY, Event.DIRECTORY]).map(int),
    quantity=st.sampled_from([1, 1, 1, 5, LIMIT, LIMIT + 1, 0, -1]),
    price=st.sampled_from([1, 1, 1, 7, LIMIT, LIMIT + 1, 0, -1, 100, 105]),
)


EFFECTS = st.sampled_from(["pass", "flag", "drop", "halt"])
LAWS = st.builds(
    Rules,
    bad_quantity=st.sampled_from(["drop", "halt"]),
    bad_price=st.sampled_from(["drop", "halt"]),
    price_band=EFFECTS,
    out_of_order=EFFECTS,
    band_percent=st.sampled_from([None, 10.0]),
)
SOURCES = st.lists(st.lists(EVENTS, max_size=25), min_size=1, max_size=4)


@settings(deadline=None, max_examples=100 if compiled() else 30)
@given(sources=SOURCES, limit=st.integers(1, 9), law=LAWS)
def test_the_log_is_that_of_the_obvious_merge(sources, limit, law):
    merged, naive = Merge(sources, law=law), Naive(sources, law)
    assert merged.run(limit) == sum(map(len, sources))
    rows = merged.log()
    columns = (rows[name].tolist() for name in ("time_ns", "kind", "instrument", "source", "flags"))
    assert list(zip(*columns, strict=True)) == naive.log
    assert merged.counts() == naive.counts
    assert rows["sequence"].tolist() == list(range(1, len(naive.log) + 1))


def test_of_equal_times_the_lower_source_goes_first_and_each_keeps_its_order():
    system = int(Event.SYSTEM)
    sources = [
        [Heard(5, 1, system), Heard(5, 2, system)],
        [Heard(5, 3, system), Heard(4, 4, system)],
    ]
    merged = Merge(sources)
    merged.run()
    assert merged.log()["source"].tolist() == [0, 0, 1, 1]
    assert merged.counts()["late"] == 1


def test_a_source_with_nothing_staged_is_asked_for_before_anything_leaves():
    merged = Merge([[Heard(1, 1, int(Event.SYSTEM))], []])
    source = at(merged.state + merge.SOURCES_AT + SOURCE.itemsize, SOURCE)
    source.finished = 0
    assert merged.turn() == (Reason.REFILL, 0)
    assert int(merged.header.asks) == 1
    source.finished = 1
    assert merged.turn() == (Reason.EXHAUSTED, 1)


def test_a_full_ring_takes_nothing_and_is_counted():
    count = CAPACITY + 10
    merged = Merge([[Heard(n, 1, int(Event.SYSTEM)) for n in range(count)]])
    line = at(ring.reader_line(merged.ring.ctypes.data, 0), READER)
    line.policy = 1
    assert merged.turn(limit=count) == (Reason.BUDGET, CAPACITY)
    assert merged.turn() == (Reason.FULL, 0)
    assert merged.counts()["full"] == 1
    line.position = 3
    assert merged.turn() == (Reason.BUDGET, 3)
    line.position = CAPACITY
    assert merged.run() == 7


def test_codes_beyond_the_map_fall_on_its_edges():
    first = int(merge.code_place(0, 0, -5))
    assert first == int(merge.code_place(0, 0, 0)) == merge.CODES_AT
    last = int(merge.code_place(0, 0, merge.CODES - 1))
    assert int(merge.code_place(0, 0, 1 << 30)) == last == merge.CODES_AT + 4 * (merge.CODES - 1)
    assert int(merge.code_place(0, 1, 0)) == last + 4


@pytest.mark.parametrize("pace", [Pace.RATE, Pace.RECORDED])
def test_a_pace_holds_events_back_until_they_are_due(pace):
    second = 1e9 / float(Merge([]).clock[0]["ns_per_cycle"])
    times = [10**9 * n for n in range(3)]  # a second apart by the venue's clock
    interval = second if pace == Pace.RATE else second / 1e9
    merged = Merge([[Heard(time, 1, int(Event.SYSTEM)) for time in times]], pace, interval)
    assert merged.turn() == (Reason.WAITING, 1)
    assert merged.turn(patience=3) == (Reason.WAITING, 0)
    merged.header.started -= int(2.1 * second)  # as if two seconds had gone by
    assert merged.run() == 2
    born = [at(ring.stamp(merged.writer, n), STAMP).born for n in (1, 2, 3)]
    gaps = np.diff([int(each) for each in born])
    assert gaps[1] == pytest.approx(second, rel=1e-6)  # when they were due, not when they left
    assert gaps[0] == pytest.approx(second - 2.1 * second, rel=1e-3)
