"""Ingest with live sources goes on behind its log: nothing twice, nothing missing."""

import ctypes
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import ring
from ringbuf.atomics import at as at_
from ringbuf.jit import compiled
from ringbuf.journal import Journal, JournalReader
from tests.workers.deaths import SEGMENT, unwrite
from tests.workers.joined import RINGS, joint, turn_until_finished
from workers import ingest as ingest_module
from workers.almanac import Setting
from workers.feeds.feed import FEED_COUNTERS
from workers.feeds.synthetic import SyntheticFeed, SyntheticOptions, symbols
from workers.ingest import NOTHING_SET, Ingest, IngestOptions
from workers.records import EVENT, Doubt, Event, empty
from workers.reference import ReferenceOptions
from workers.rejoin import rejoin
from workers.relearned import is_ours
from workers.sessions import DayOptions

EXAMPLES = 30 if compiled() else 8
DAY = SyntheticOptions(messages=400, symbols=4, seed=5)
FILE = SyntheticOptions(messages=300, symbols=3, seed=6)
SPOKEN = SyntheticOptions(messages=200, symbols=2, seed=7)
SESSION = 77


class Numbered(SyntheticFeed):
    """A live source whose messages can be asked for by number: one event each."""

    live = True
    CHUNK = 37

    def __init__(self, options, counters) -> None:
        super().__init__(options, counters)
        self.counters = at_(counters, FEED_COUNTERS)
        self.passed, self.rejoined = 0, []

    def rejoin(self, sequence, session, skip, announced, doubt) -> None:
        assert skip == 0
        self.rejoined.append((sequence, session, sorted(announced), doubt))

    def open(self) -> None:
        super().open()
        aside = empty(EVENT, 1)
        start = self.rejoined[-1][0] if self.rejoined else 1
        before = self.counters.copy()
        while self.passed < start - 1:
            self.passed += super().fill(aside.ctypes.data, 1)
        for name in before.dtype.names:
            self.counters[name] = before[name]  # nobody has sent those again

    def fill(self, target, limit) -> int:
        count = super().fill(target, min(limit - 1, self.CHUNK))
        self.passed += count
        if not count:
            return 0
        position = np.frombuffer(bytes(64), EVENT).copy()
        position["kind"], position["other"] = Event.POSITION, SESSION
        position["order"] = self.passed + 1
        self.counters.events += 1
        self.counters.further += 1
        ctypes.memmove(target + count * EVENT.itemsize, position.ctypes.data, EVENT.itemsize)
        return count + 1


class Spoken(SyntheticFeed):
    """A live source that shows its books anew when it is joined, and knows no numbers."""

    live = True


KINDS = {id(DAY): Numbered, id(FILE): SyntheticFeed, id(SPOKEN): Spoken}


@pytest.fixture(autouse=True)
def _feeds(monkeypatch):
    monkeypatch.setattr(ingest_module, "build", lambda o, counters: KINDS[id(o)](o, counters))


def stage_of(at, *feeds, setting: Setting = NOTHING_SET, **options) -> Ingest:
    return Ingest(IngestOptions(**options), list(feeds), at.links, setting)


def told(events: np.ndarray) -> list[bytes]:
    """Events without their numbers and when they came, by themselves."""
    plain = events[events["kind"] != Event.POSITION].copy()
    plain["sequence"] = plain["arrived_ns"] = 0
    return [event.tobytes() for event in plain]


def whole(*feeds, **options) -> list[list[bytes]]:
    """What each source says when nothing happens to it."""
    with joint(Ingest, parts=len(feeds)) as at:
        stage = stage_of(at, *feeds, **options)
        stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        return [told(log[log["source"] == number]) for number in range(len(feeds))]


def journal_of(at, folder: Path) -> JournalReader:
    """What is on the ring, on disk."""
    log = Journal(folder, "events", RINGS["events"], SEGMENT)
    log.append(at.targets["events"].view, 1 << 20)
    log.close()
    return JournalReader(folder, RINGS["events"])


def die(at, visible: int, *feeds, **options) -> int:
    """Have a source publish up to so many whole events, and one that is half written."""
    stage = stage_of(at, *feeds, **options)
    stage.open()
    for _ in range(200):
        stage.turn(0)
    visible = min(visible, int(ring.next_free(at.links.writers["events"].view)) - 1)
    at.leave()
    unwrite(at.targets["events"].segment, "events", visible)
    ring.lines(at.targets["events"].segment.payload)[0]["written"] = visible
    at.links = at.join()
    return visible


@settings(max_examples=EXAMPLES, deadline=None)
@given(deaths=st.lists(st.integers(0, 800), min_size=1, max_size=3), some=st.booleans())
def test_what_can_be_asked_for_again_comes_once(deaths, some):
    options = {"symbols": ["XZAA"]} if some else {}
    expected = whole(DAY, FILE, **options)
    with joint(Ingest, parts=2) as at, tempfile.TemporaryDirectory() as folder:
        for number, death in enumerate(deaths):
            visible = die(at, death, DAY, FILE, **options) if number == 0 else death
            stage = stage_of(at, DAY, FILE, **options)
            visible = at.links.writers["events"].written
            log = journal_of(at, Path(folder) / str(number))
            assert rejoin(stage, log) == visible
            if number + 1 < len(deaths):
                for _ in range(deaths[number + 1] % 7):
                    stage.turn(0)
                at.leave()
                at.links = at.join()
        got = turn_until_finished(stage, at, "events")["events"]
        assert at.balanced()
        for number in range(2):
            assert told(got[got["source"] == number]) == expected[number]
        assert got["sequence"].tolist() == list(range(1, len(got) + 1))


def test_it_is_asked_from_the_last_position_in_the_log():
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        visible = die(at, 150, DAY)
        stage = stage_of(at, DAY)
        log = journal_of(at, Path(folder))
        assert rejoin(stage, log) == visible
        events = log.read(1, visible)
        positions = events[events["kind"] == Event.POSITION]
        asked = int(positions[-1]["order"])
        assert stage.feeds[0].rejoined == [(asked, SESSION, [1, 2, 3, 4], 0)]
        assert at.counters("ingest")["published"] == visible
        turn_until_finished(stage, at, "events")
        assert at.counters("ingest")["repeated"] == visible - int(positions[-1]["sequence"])


def test_where_no_shared_memory_told_the_codes_it_is_asked_from_the_start():
    expected = whole(DAY)
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        die(at, 150, DAY)
        board = at.links.boards["instruments"]
        for number in range(4):
            row = board.row(number)
            row["code"] = 0
            board.put(number, row)
        for counters in at.links.panel.counters.values():
            counters.reshape(1).view(np.uint8)[:] = 0
        stage = stage_of(at, DAY)
        rejoin(stage, journal_of(at, Path(folder)))
        assert stage.feeds[0].rejoined == [(1, SESSION, [], 0)]
        got = turn_until_finished(stage, at, "events")["events"]
        assert told(got) == expected[0]
        assert at.balanced()


def test_books_of_a_source_that_knows_no_numbers_are_stale_until_shown_anew():
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        visible = die(at, 60, SPOKEN)
        stage = stage_of(at, SPOKEN)
        assert rejoin(stage, journal_of(at, Path(folder))) == visible
        got = at.took("events")[visible:]
        assert set(got["kind"]) == {Event.STALE}
        assert set(got["flags"]) == {Doubt.RESTART}
        assert sorted(got["instrument"]) == [0, 1]
        turn_until_finished(stage, at, "events")
        assert at.balanced()
        names = [row["symbol"] for row in at.content("instruments") if row["symbol"]]
        assert len(names) == 2  # announced again, not numbered again


def test_with_nothing_in_the_log_it_just_begins():
    expected = whole(DAY)
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        stage = stage_of(at, DAY)
        assert rejoin(stage, journal_of(at, Path(folder))) == 0
        assert not stage.feeds[0].rejoined
        assert told(turn_until_finished(stage, at, "events")["events"]) == expected[0]


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> Setting:
    """Rolls in the middle of the made-up day, with phases and terms."""
    path = tmp_path_factory.mktemp("reference") / "instruments.csv"
    first, second, third, _ = symbols(DAY)
    rows = [f"{first},0.01,,09:45-15:00 continuous", f"{second},0.05,100,"]
    rows.append(f"{third},,,00:00-12:00 pre-open")
    path.write_text("\n".join(["symbol,tick,lot,phases", *rows]))
    return Setting(DayOptions(roll="12:00"), ReferenceOptions(path=str(path)))


def told_whole(setting: Setting, *deaths: int) -> np.ndarray:
    """The log of a day in which ingest dies after so many events, each time goes on."""
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        stage = stage_of(at, DAY, setting=setting)
        if deaths:
            die(at, deaths[0], DAY, setting=setting)
            stage = stage_of(at, DAY, setting=setting)
            rejoin(stage, journal_of(at, Path(folder)))
        else:
            stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        assert at.balanced()
        return log


def said(events: np.ndarray) -> Counter:
    """What is said, but when: a roll that was begun is told again as of the roll itself."""
    plain = events.copy()
    plain["time_ns"] = 0
    return Counter(told(plain))


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_what_ingest_itself_says_is_whole_after_any_death(setting, data):
    whole = told_whole(setting)
    (ours,) = np.nonzero(is_ours(whole))
    near = st.sampled_from(ours).flatmap(lambda place: st.integers(place - 1, place + 2))
    death = data.draw(st.one_of(near, st.integers(0, len(whole))), "death")
    log = told_whole(setting, int(death))
    assert told(log[~is_ours(log)]) == told(whole[~is_ours(whole)])
    expected, got = (said(each[is_ours(each)]) for each in (whole, log))
    assert expected <= got
    days = log[log["source"] == 255]
    assert days["order"][days["kind"] == Event.SYSTEM].tolist() == [19700101, 19700102]
    if not is_ours(whole[max(death - 1, 0) : death + 1]).any():
        assert expected == got


def test_ticks_and_doubts_are_known_again(setting):
    with joint(Ingest, parts=1) as at, tempfile.TemporaryDirectory() as folder:
        die(at, 300, DAY, setting=setting)
        stage = stage_of(at, DAY, setting=setting)
        rejoin(stage, journal_of(at, Path(folder)))
        known = stage.known()["quality"]
        assert known["tick"][:4].tolist() == [100, 500, 0, 0]
        assert known["lot"][1] == 100
        assert known["reference"][:2].all()
        assert stage.almanac.date == 19700102  # its afternoon
        assert at.content("instruments")["tick"][:4].tolist() == [100, 500, 0, 0]
