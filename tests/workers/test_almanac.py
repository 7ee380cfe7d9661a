"""What ingest itself says in the log: days, phases and terms, beside the obvious way to tell."""

import ctypes
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at as at_
from ringbuf.jit import compiled
from tests.workers.joined import joint, turn_until_finished
from workers import ingest as ingest_module
from workers.almanac import NEW_DAY, Setting
from workers.feeds.feed import FEED_COUNTERS
from workers.feeds.synthetic import SyntheticOptions
from workers.ingest import Ingest, IngestOptions
from workers.instruments import announced
from workers.merge import OURS
from workers.records import EVENT, LOT_DECIMALS, MATCHED, Doubt, Event, Flag, State, empty
from workers.reference import ReferenceOptions
from workers.rules import Rules
from workers.sessions import NS, DayOptions

HOUR = 3600 * NS
DAY = 24 * HOUR
SCALE, LOT = 100, 1000  # price units in 1, lots in 1
LAX = Rules(off_tick="pass", out_of_order="pass")
# AAA of feed 0 has terms and phases, of any other feed a lot only; BBB has phases only.
TABLE = """
[[instruments]]
symbol = "AAA"
venue = 0
tick = "0.05"
lot = 0.010
price = "12"
phases = [{from = "09:00", to = "15:00", state = "continuous"}]
[[instruments]]
symbol = "AAA"
lot = 2
[[instruments]]
symbol = "BBB"
phases = [
    {from = "21:00", to = "03:00", state = "pre-open"},
    {from = "03:00", to = "12:00", state = "pause"},
]
"""
TAGS = ("time_ns", "kind", "instrument", "source", "flags")
WORDS = ("order", "other", "price", "quantity")
SYMBOLS = {1: "AAA", 2: "BBB", 3: "CCC"}


class Heard(NamedTuple):
    """One event of a source, at an hour since the epoch."""

    hour: int
    code: int
    kind: Event
    price: int = 500
    flags: int = 0


def record_of(heard: Heard) -> np.ndarray:
    event = empty(EVENT, 1)[0]
    event["time_ns"], event["instrument"], event["kind"] = heard.hour * HOUR, heard.code, heard.kind
    event["flags"], event["price"], event["quantity"] = heard.flags, heard.price, 1
    if heard.kind == Event.TERMS:
        event["order"], event["other"] = 7, 3
    if heard.kind == Event.DIRECTORY:
        words = np.frombuffer(SYMBOLS[heard.code].ljust(24).encode(), np.int64)
        event["order"], event["other"], event["price"] = words
        event["quantity"], event["flags"] = SCALE, 3 << LOT_DECIMALS | MATCHED | Flag.INFERRED
    return event


class Scripted:
    """A file of given events."""

    live = False

    def __init__(self, events: list[Heard], counters: int) -> None:
        self.events = [record_of(heard) for heard in events]
        self.counters = at_(counters, FEED_COUNTERS)
        self.finished, self.trouble = False, ""

    def open(self) -> None: ...

    def fill(self, target: int, limit: int) -> int:
        now, self.events = self.events[:3], self.events[3:]
        for place, event in enumerate(now):
            ctypes.memmove(target + place * EVENT.itemsize, event.tobytes(), EVENT.itemsize)
        self.counters.messages += len(now)
        self.counters.events += len(now)
        self.finished = not self.events
        return len(now)

    def progress(self) -> float:
        return 1.0

    def resync(self, code: int) -> None: ...

    def close(self) -> None: ...


class Naive:
    """The log as (time, kind, instrument, source, flags, order, other, price, quantity)."""

    def __init__(self, sources: list[list[Heard]], setting: Setting) -> None:
        self.setting, self.log = setting, []
        self.numbers: dict[tuple[int, int], int] = {}
        self.terms: dict[int, list[int]] = {}
        self.doubtful, self.shown = set(), set()
        self.states: dict[int, State] = {}
        self.newest, self.day = 0, None
        self.now = 0  # of the last turn, which a refused event may have brought about, too
        self.as_of: dict[bool, int] = {}  # the time that the states of a schedule are of
        queues = [list(events) for events in sources]
        while any(queues):
            _, number = min((queue[0].hour, n) for n, queue in enumerate(queues) if queue)
            following = queues[number][1] if len(queues[number]) > 1 else None
            self.take(number, queues[number].pop(0), following)

    def take(self, number: int, heard: Heard, following: Heard | None) -> None:
        time = heard.hour * HOUR
        if time > 0 and self.is_due(time):
            self.now = max(self.now, self.newest, time)
            self.as_of = dict.fromkeys(self.as_of, self.now)
            self.turn(self.now)
        key = number, heard.code
        if heard.kind == Event.DIRECTORY and key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.put(number, heard)
            given = following and following[1:3] == (heard.code, Event.TERMS)
            self.introduce(number, self.numbers[key], heard.code, not given)
        elif heard.kind == Event.SYSTEM or key in self.numbers:
            self.put(number, heard)

    def put(self, number: int, heard: Heard) -> None:
        event = record_of(heard)
        one = -1 if heard.kind == Event.SYSTEM else self.numbers[number, heard.code]
        self.remember(one, event)
        if heard.kind == Event.CLEAR and heard.flags & Flag.SNAPSHOT:
            self.shown.add(one)
        self.add(event, one, number)
        if heard.kind == Event.SYSTEM and heard.flags == ord("C") and self.ends:
            mine = [one for (source, _), one in self.numbers.items() if source == number]
            self.night(sorted(mine), heard.hour * HOUR)

    @property
    def ends(self) -> bool:
        return self.setting.day is not None and self.setting.day.end == "venue"

    def add(self, event: np.ndarray, one: int, source: int) -> None:
        self.newest = max(self.newest, int(event["time_ns"]))
        words = (int(event[name]) for name in WORDS)
        tags = int(event["time_ns"]), int(event["kind"]), one, source, int(event["flags"])
        self.log.append((*tags, *words))

    def remember(self, one: int, event: np.ndarray) -> None:
        kind = event["kind"]
        if kind == Event.TERMS:
            last = self.terms.get(one, [0, 0, 0])[2]
            self.terms[one] = [
                int(event["order"]),
                int(event["other"]),
                int(event["price"]) or last,
            ]
        elif kind == Event.TRADE:
            self.terms.setdefault(one, [0, 0, 0])[2] = int(event["price"])
        elif kind == Event.STALE:
            self.doubtful.add(one)
        elif kind == Event.FRESH:
            self.doubtful.discard(one)

    def say(self, kind: Event, one: int, time: int, source: int = OURS, **fields: int) -> None:
        event = empty(EVENT, 1)[0]
        event["kind"], event["time_ns"] = kind, time
        for name, value in fields.items():
            event[name] = value
        self.remember(one, event)
        self.add(event, one, source)

    def phase(self, one: int, time: int) -> State | None:
        """The state of an instrument by the reference data."""
        (key,) = (key for key, number in self.numbers.items() if number == one)
        hour = time // HOUR % 24
        if self.setting.reference and key == (0, 1):
            return State.TRADING if 9 <= hour < 15 else State.HALTED
        if self.setting.reference and key[1] == 2:
            early = State.QUOTING if hour >= 21 or hour < 3 else State.HALTED
            return State.PAUSED if 3 <= hour < 12 else early
        return None

    def introduce(self, number: int, one: int, code: int, with_terms: bool) -> None:
        if code == 1 and with_terms and self.setting.reference:
            order, other, price = (5, 10, 1200) if number == 0 else (0, 2 * LOT, 0)
            self.say(Event.TERMS, one, self.newest, order=order, other=other, price=price)
        clock = max(self.newest, self.now)
        state = self.phase(one, clock)
        if state is not None:
            self.as_of.setdefault(code == 2, clock)
            self.states[one] = state
            self.say(Event.STATUS, one, self.newest, flags=state)

    def is_due(self, time: int) -> bool:
        """Whether an event of this time is behind the end of a day, or of a phase of anybody's."""
        if self.setting.day and (self.day is None or time // DAY > self.day):
            return True
        codes = {one: code for (_, code), one in self.numbers.items()}
        return any(self.begin(one, time) > self.as_of[codes[one] == 2] for one in self.states)

    def turn(self, time: int) -> None:
        day = time // DAY
        if self.setting.day and day != self.day:
            self.day = day
            self.night(sorted(self.numbers.values()), day * DAY)
            date = int(str(np.datetime64(day, "D")).replace("-", ""))
            self.say(Event.SYSTEM, -1, time, flags=NEW_DAY, order=date)
            for (source, code), one in sorted(self.numbers.items(), key=lambda item: item[1]):
                self.anew(source, code, one, time)
        begun: dict[int, list[int]] = {}
        for one, before in self.states.items():
            if self.phase(one, time) != before:
                begun.setdefault(self.begin(one, time), []).append(one)
        for begin in sorted(begun):
            for one in sorted(begun[begin], key=lambda one: (self.order_of(one), one)):
                self.states[one] = self.phase(one, time)
                self.say(Event.STATUS, one, begin, flags=self.states[one])

    def order_of(self, one: int) -> int:
        """Which of the schedules came first."""
        first = next(iter(self.states))
        return int((self.phase(first, 4 * HOUR)) != self.phase(one, 4 * HOUR))

    def begin(self, one: int, time: int) -> int:
        time = time // HOUR * HOUR
        while self.phase(one, time - HOUR) == self.phase(one, time):
            time -= HOUR
        return time

    def night(self, numbers: list[int], time: int) -> None:
        for one in numbers:
            self.say(Event.CLEAR, one, time)
            if one in self.doubtful and one not in self.shown:
                self.say(Event.FRESH, one, time)

    def anew(self, source: int, code: int, one: int, time: int) -> None:
        event = record_of(Heard(0, code, Event.DIRECTORY))
        words = {name: int(event[name]) for name in WORDS}
        flags = 3 << LOT_DECIMALS | MATCHED | Flag.SNAPSHOT
        self.say(Event.DIRECTORY, one, time, source, flags=flags, **words)
        terms = self.terms.get(one, [0, 0, 0])
        if any(terms):
            order, other, price = terms
            self.say(Event.TERMS, one, time, order=order, other=other, price=price)
        state = self.phase(one, time)
        if state is not None:
            self.states[one] = state
        self.say(Event.STATUS, one, time, flags=state or 0)
        if one in self.shown:
            self.say(Event.STALE, one, time, flags=Doubt.NO_SNAPSHOT)


SCRIPTS: dict[int, list[Heard]] = {}


@pytest.fixture(autouse=True)
def _feeds(monkeypatch):
    monkeypatch.setattr(
        ingest_module, "build", lambda source, counters: Scripted(SCRIPTS[source.seed], counters)
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> ReferenceOptions:
    path = tmp_path_factory.mktemp("reference") / "instruments.toml"
    path.write_text(TABLE)
    return ReferenceOptions(path=str(path))


def log_of(sources: list[list[Heard]], setting: Setting, capacity: int = 128):
    """The log, and the instrument table."""
    SCRIPTS.update(enumerate(sources))
    options = [SyntheticOptions(seed=number) for number in range(len(sources))]
    with joint(Ingest, parts=len(sources), capacity=capacity) as at:
        stage = Ingest(IngestOptions(rules=LAX), options, at.links, setting)
        stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        assert at.balanced()
        return log, at.content("instruments"), bytes(at.links.panel.status["message"]).decode()


def told(log: np.ndarray) -> list[tuple]:
    names = [*TAGS, *WORDS]
    return list(zip(*(log[name].tolist() for name in names), strict=True))


KINDS = [Event.DIRECTORY] * 4 + [Event.TRADE, Event.TERMS, Event.STALE, Event.FRESH, Event.STATUS]
HOURS, CODES, PRICE = st.integers(0, 100), st.sampled_from([1, 2, 3]), st.just(500)
CLEARS = st.sampled_from([0, Flag.SNAPSHOT])
SAID = st.sampled_from([ord("C"), ord("O")])
HEARD = st.one_of(
    st.builds(Heard, HOURS, CODES, st.sampled_from(KINDS), PRICE, st.just(0)),
    st.builds(Heard, HOURS, CODES, st.just(Event.CLEAR), PRICE, CLEARS),
    st.builds(Heard, HOURS, st.just(1), st.just(Event.SYSTEM), PRICE, SAID),
)
SOURCES = st.lists(st.lists(HEARD, max_size=20), min_size=1, max_size=3)
DAYS = st.sampled_from([None, DayOptions(), DayOptions(end="venue")])


@settings(deadline=None, max_examples=80 if compiled() else 15)
@given(sources=SOURCES, in_order=st.booleans(), day=DAYS, named=st.booleans())
def test_ingest_says_what_anybody_would(table, sources, in_order, day, named):
    if in_order:
        sources = [sorted(events) for events in sources]
    setting = Setting(day, table if named else None)
    log, _, _ = log_of(sources, setting)
    assert told(log) == Naive(sources, setting).log
    assert log["sequence"].tolist() == list(range(1, len(log) + 1))


def test_terms_are_in_the_log_and_the_tick_in_the_table(table):
    heard = [Heard(1, code, Event.DIRECTORY) for code in (1, 2, 3)]
    log, rows, message = log_of([heard], Setting(None, table))
    kinds = [Event.DIRECTORY, Event.TERMS, Event.STATUS, Event.DIRECTORY, Event.STATUS]
    assert log["kind"].tolist() == [*kinds, Event.DIRECTORY]
    assert [int(log[1][name]) for name in ("order", "other", "price")] == [5, 10, 1200]
    assert log["flags"].tolist()[2::2] == [State.HALTED, State.QUOTING]
    assert rows["tick"][:3].tolist() == [5, 0, 0]
    assert message == ""


def test_terms_of_the_feed_itself_are_not_told_twice(table):
    heard = [Heard(1, 1, Event.DIRECTORY), Heard(1, 1, Event.TERMS)]
    log, rows, _ = log_of([heard], Setting(None, table))
    assert [event["other"] for event in log if event["kind"] == Event.TERMS] == [3]
    assert rows["tick"][0] == 7


def test_a_tick_that_is_no_number_of_price_units_is_told(tmp_path):
    path = tmp_path / "fine.csv"
    path.write_text("symbol,tick\nAAA,0.005\n")
    log, rows, message = log_of(
        [[Heard(1, 1, Event.DIRECTORY)]], Setting(None, ReferenceOptions(path=str(path)))
    )
    assert log["kind"].tolist() == [Event.DIRECTORY]
    assert rows["tick"][0] == 0
    assert "AAA: tick = 0.005 is no whole number of 1/100" in message


def test_a_roll_of_many_instruments_passes_a_small_ring_in_turns(monkeypatch):
    names = {code: f"X{code}" for code in range(1, 301)}
    monkeypatch.setitem(globals(), "SYMBOLS", names)
    heard = [Heard(1, code, Event.DIRECTORY) for code in names]
    SCRIPTS[0] = [*heard, Heard(30, 300, Event.TRADE), Heard(60, 1, Event.TRADE)]
    with joint(Ingest, parts=1, capacity=128, rows=512) as at:
        options = IngestOptions(instruments=512)
        stage = Ingest(options, [SyntheticOptions(seed=0)], at.links, Setting(DayOptions()))
        stage.open()
        most, parts = 0, []
        while not stage.finished:
            most = max(most, stage.turn(0))
            parts.append(at.took("events"))
        assert most == 128
        assert at.balanced()
    log = np.concatenate(parts)
    (begins,) = np.nonzero(log["kind"] == Event.SYSTEM)
    assert log["order"][begins].tolist() == [19700101, 19700102, 19700103]
    second = log[begins[1] : begins[2]]
    again = second[second["kind"] == Event.DIRECTORY]
    assert [announced(event) for event in again] == [*names.values()]
    assert again["instrument"].tolist() == list(range(300))
    assert second["kind"].tolist()[-300:] == [Event.CLEAR] * 300
    assert (second["time_ns"][-300:] == 2 * DAY).all()
    assert not (second["flags"][-300:]).any()
    priced = second[(second["kind"] == Event.TERMS)]
    assert len(priced) == 0
    later = log[begins[2] :]
    assert later["price"][later["kind"] == Event.TERMS].tolist() == [500]


def test_a_day_ends_when_its_next_event_is_due_and_not_before():
    SCRIPTS[0] = [Heard(1, 1, Event.DIRECTORY), Heard(30, 1, Event.TRADE)]
    with joint(Ingest, parts=1) as at:
        options = IngestOptions(speed=1.0)
        stage = Ingest(options, [SyntheticOptions(seed=0)], at.links, Setting(DayOptions()))
        stage.open()
        assert stage.turn(0) == 2
        assert stage.turn(0) == 0
        assert at.took("events")["kind"].tolist() == [Event.SYSTEM, Event.DIRECTORY]
        stage.drain()
        rest = turn_until_finished(stage, at, "events")["events"]
        assert rest["kind"][0] == Event.CLEAR
        assert rest["kind"][-1] == Event.TRADE
