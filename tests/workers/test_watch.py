"""Live sources: who is silent is doubted until it speaks, and wrong books are asked for anew."""

import time

import numpy as np

from ringbuf.atomics import at
from tests.workers.joined import joint, turn_until_finished
from workers import ingest as ingest_module
from workers import watch as watch_module
from workers.depth import DEPTH
from workers.feeds.feed import FEED_COUNTERS
from workers.feeds.synthetic import SyntheticFeed, SyntheticOptions
from workers.ingest import Ingest, IngestOptions
from workers.records import EVENT, Doubt, Event, Mark, empty
from workers.watch import Watch


class Caller:
    """A feed of which only what a watch asks for is there."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def resync(self, code: int) -> None:
        self.asked.append(code)


def watch_of(silence_s=None, rows=4):
    counters, depth = empty(FEED_COUNTERS, 1), np.zeros(rows, DEPTH)
    watch = Watch(Caller(), counters.ctypes.data, silence_s, depth)
    watch.memory = counters
    watch.codes = {0: 7, 2: 8}
    return watch, counters[0], depth


def looked(watch, limit=64):
    watch.next_look = 0.0
    return watch.look(limit)


def test_silence_is_told_once_and_taken_back_when_it_ends():
    watch, counters, depth = watch_of(silence_s=1e-9)
    depth["state"][2] = Mark.STALE  # known to be wrong: nothing that silence could take back
    assert looked(watch) is None
    told = looked(watch)
    assert told["instrument"].tolist() == [7]
    assert told["kind"].tolist() == [Event.STALE]
    assert told["flags"].tolist() == [Doubt.SILENCE]
    assert looked(watch) is None
    counters["bytes"] += 1
    back = looked(watch)
    assert back["instrument"].tolist() == [7]
    assert back["kind"].tolist() == [Event.FRESH]
    assert counters["events"] == counters["further"] == 2


def test_what_is_told_comes_in_parts_where_there_is_little_room():
    watch, counters, _ = watch_of(silence_s=1e-9, rows=10)
    watch.codes = {number: number for number in range(10)}
    looked(watch)
    parts = [looked(watch, 4).tolist() for _ in range(3)]
    assert [len(part) for part in parts] == [4, 4, 2]
    assert looked(watch, 4) is None
    assert counters["events"] == 10


def test_without_a_limit_silence_is_no_matter():
    watch, *_ = watch_of(silence_s=None)
    assert looked(watch) is None
    assert looked(watch) is None


def test_a_stale_book_is_asked_for_anew_but_not_over_and_over(monkeypatch):
    watch, _, depth = watch_of()
    depth["state"][2] = Mark.STALE
    for _ in range(3):
        looked(watch)
    assert watch.feed.asked == [8]
    monkeypatch.setattr(watch_module, "RESYNC_S", 0.0)
    time.sleep(0.001)
    looked(watch)
    assert watch.feed.asked == [8, 8]
    depth["state"][2] = 0
    looked(watch)
    assert watch.feed.asked == [8, 8]


class Halting(SyntheticFeed):
    """A live source: a made-up day that comes in spurts, with nothing in between."""

    live = True

    def __init__(self, options, counters) -> None:
        super().__init__(options, counters)
        self.asked, self.trouble = 0, "slow today"

    def fill(self, target: int, limit: int) -> int:
        self.asked += 1
        return super().fill(target, min(limit, 50)) if self.asked % 3 == 0 else 0


def test_a_live_source_with_nothing_now_does_not_hold_up_the_others(monkeypatch):
    day = SyntheticOptions(messages=900, symbols=3, seed=5)
    other = SyntheticOptions(messages=700, symbols=2, seed=6)
    kinds = {id(day): Halting, id(other): SyntheticFeed}
    monkeypatch.setattr(ingest_module, "build", lambda o, counters: kinds[id(o)](o, counters))
    with joint(Ingest, parts=2) as joined:
        stage = Ingest(IngestOptions(), [day, other], joined.links)
        stage.open()
        assert joined.links.boards["depth"].rows
        log = turn_until_finished(stage, joined, "events")["events"]
        assert bytes(joined.links.panel.status["message"]).decode() == "slow today"
        stage.close()
        assert joined.balanced()
    for number, messages in enumerate((900, 700)):
        mine = log[log["source"] == number]
        assert len(mine) <= messages
        times = mine["time_ns"][mine["kind"] != Event.DIRECTORY]
        assert (np.diff(times) >= 0).all()  # the order of each is kept, whenever it came
    assert at(log.ctypes.data, EVENT).sequence == 1
    assert log["sequence"].tolist() == list(range(1, len(log) + 1))
