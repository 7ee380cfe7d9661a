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
from workers import merge
from workers.merge import COUNTERS, MERGE, SOURCE, Pace, Reason
from workers.records import EVENT, Event, empty

CAPACITY = 1 << 8
LIMIT = 1_000  # of quantities and prices


class Heard(NamedTuple):
    """One event of a source."""

    time_ns: int
    code: int
    kind: int
    quantity: int = 1
    price: int = 1


class Merge:
    """The kernel over sources that have staged all they have."""

    def __init__(self, sources: list[list[Heard]], pace: Pace = Pace.FULL, interval: float = 0.0):
        self.memory = empty(np.dtype("i8"), merge.BYTES // 8 + 8)
        self.state = self.memory.ctypes.data
        self.ring = empty(np.dtype("i8"), ring.bytes_needed(CAPACITY, EVENT.itemsize) // 8)
        self.writer = ring.writer_of(self.ring.ctypes.data, CAPACITY, EVENT.itemsize)
        self.tally = np.zeros(1, COUNTERS)
        self.clock = np.zeros(1, CLOCK)
        clock.calibrate(self.clock[0])
        self.header = at(self.state, MERGE)
        self.header.sources = len(sources)
        self.header.quantity_limit = self.header.price_limit = LIMIT
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


def naive(sources: list[list[Heard]]):
    """The log as (time, kind, instrument, source), and what was counted."""
    queues = [list(events) for events in sources]
    codes: dict[tuple[int, int], int] = {}
    log, counts, newest = [], dict.fromkeys(COUNTERS.names, 0), 0
    while any(queues):
        heads = [(queue[0].time_ns, n) for n, queue in enumerate(queues) if queue]
        _, number = min(heads)
        event = queues[number].pop(0)
        key = (number, event.code)
        if event.kind == Event.DIRECTORY:
            codes.setdefault(key, len(codes))
        counts["received"] += 1
        fault = refusal(event, key in codes)
        if fault:
            counts[fault] += 1
            continue
        counts["published"] += 1
        counts["late"] += event.time_ns < newest
        newest = max(newest, event.time_ns)
        instrument = -1 if event.kind == Event.SYSTEM else codes[key]
        log.append((event.time_ns, event.kind, instrument, number))
    return log, counts


def refusal(event: Heard, known: bool) -> str:
    """Which counter an event goes to that does not go into the log."""
    kind, empty_or_more = event.kind, event.quantity < 1
    if kind == Event.SYSTEM:
        return ""
    if not known:
        return "unknown_instrument"
    if event.code == 3:
        return "unwanted"
    if kind == Event.DIRECTORY:
        return ""
    sized = (Event.ADD, Event.EXECUTE, Event.EXECUTE_AT, Event.CANCEL, Event.REPLACE, Event.TRADE)
    if (kind in sized and empty_or_more) or event.quantity > LIMIT:
        return "bad_quantity"
    priced = (Event.ADD, Event.EXECUTE_AT, Event.REPLACE, Event.TRADE)
    if kind in priced and not 1 <= event.price <= LIMIT:
        return "bad_price"
    return ""


EVENTS = st.builds(
    Heard,
    time_ns=st.integers(0, 40),
    code=st.integers(1, 4),
    kind=st.sampled_from([*Event, Event.DIRECTORY, Event.DIRECTORY]).map(int),
    quantity=st.sampled_from([1, 1, 1, 5, LIMIT, LIMIT + 1, 0, -1]),
    price=st.sampled_from([1, 1, 1, 7, LIMIT, LIMIT + 1, 0, -1]),
)


SOURCES = st.lists(st.lists(EVENTS, max_size=25), min_size=1, max_size=4)


@settings(deadline=None, max_examples=100 if compiled() else 30)
@given(sources=SOURCES, limit=st.integers(1, 9))
def test_the_log_is_that_of_the_obvious_merge(sources, limit):
    merged = Merge(sources)
    log, counts = naive(sources)
    assert merged.run(limit) == sum(map(len, sources))
    rows = merged.log()
    columns = (rows[name].tolist() for name in ("time_ns", "kind", "instrument", "source"))
    assert list(zip(*columns, strict=True)) == log
    assert merged.counts() == counts
    assert rows["sequence"].tolist() == list(range(1, len(log) + 1))


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
