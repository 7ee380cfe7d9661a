"""A log that was kept, as a feed: the same events with the same numbers."""

import numpy as np
import pytest

from ringbuf.journal import Journal
from ringbuf.journal_files import RECORDS, path_of
from tests.workers.joined import RINGS, joint, turn_until_finished
from workers.feeds.feed import FEED_COUNTERS, FeedError
from workers.feeds.journal import JournalFeed, JournalOptions
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.ingest import Ingest, IngestOptions
from workers.records import EVENT, empty

DAY = SyntheticOptions(messages=300, symbols=5, seed=5)
OTHER = SyntheticOptions(messages=200, symbols=3, seed=6)


def log_of(*feeds, **options) -> tuple[np.ndarray, np.ndarray, dict]:
    """Events, instruments and counters of a source."""
    with joint(Ingest, parts=len(feeds)) as at:
        stage = Ingest(IngestOptions(**options), list(feeds), at.links)
        stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        assert stage.progress() == 1.0
        stage.close()
        assert at.balanced()
        counters = {"ingest": at.counters("ingest"), "feed": at.counters("feed0")}
        return log, at.content("instruments"), counters


def keep(folder, log: np.ndarray, segment: int = 100) -> str:
    """A log in a journal; its folder as a configuration names it."""
    made = Journal(folder / "events", "events", RINGS["events"], RECORDS + 64 * segment)
    made.append_records(log)
    made.close()
    return str(folder)


def feed_of(path: str, **options) -> JournalFeed:
    counters = empty(FEED_COUNTERS, 1)
    feed = JournalFeed(JournalOptions(path=path, **options), counters.ctypes.data)
    feed.counters_ = counters  # keeps the memory
    feed.open()
    return feed


def taken(feed: JournalFeed, limit: int = 64) -> np.ndarray:
    parts = [empty(EVENT, 0)]
    while not feed.finished:
        block = empty(EVENT, limit)
        parts.append(block[: feed.fill(block.ctypes.data, limit)])
    return np.concatenate(parts)


def test_two_feeds_come_out_of_their_journal_as_they_went_in(tmp_path):
    """Names that both have and the order between them included; there is one source now."""
    first, rows, _ = log_of(DAY, OTHER)
    path = keep(tmp_path, first)
    again, rows_again, counters = log_of(JournalOptions(path=path))
    first["arrived_ns"] = again["arrived_ns"] = 0
    assert set(first["source"]) == {0, 1}
    first["source"] = 0
    assert again.tobytes() == first.tobytes()
    for name in ("symbol", "price_scale"):
        assert (rows_again[name] == rows[name]).all()
    count = len(first)
    assert counters["ingest"]["published"] == count
    assert counters["feed"]["events"] == counters["feed"]["messages"] == count
    assert counters["feed"]["bytes"] == 64 * count


def test_a_part_of_it(tmp_path):
    log, _, _ = log_of(DAY)
    path = keep(tmp_path, log)
    assert taken(feed_of(path)).tobytes() == log.tobytes()
    assert taken(feed_of(path, first=51, last=200)).tobytes() == log[50:200].tobytes()
    assert taken(feed_of(path, last=10**9), 7).tobytes() == log.tobytes()
    assert len(taken(feed_of(path, first=len(log) + 1))) == 0
    feed = feed_of(path, first=101, last=200)
    assert feed.progress() == 0
    block = empty(EVENT, 50)
    assert feed.fill(block.ctypes.data, 50) == 50
    assert feed.progress() == 0.5


def test_only_some_symbols_of_it(tmp_path):
    log, _, _ = log_of(DAY)
    wanted = symbols(DAY)[1:2]
    some, rows, _ = log_of(JournalOptions(path=keep(tmp_path, log)), symbols=wanted)
    assert [row.decode() for row in rows["symbol"] if row] == wanted
    assert set(some["instrument"]) == {-1, 0}


def test_what_is_no_journal_is_refused(tmp_path):
    with pytest.raises(FeedError, match=f"{tmp_path}/events.*look at the path"):
        feed_of(str(tmp_path))


def test_a_journal_whose_beginning_is_gone_is_refused(tmp_path):
    log, _, _ = log_of(DAY)
    path = keep(tmp_path, log)
    path_of(tmp_path / "events", 1).unlink()
    with pytest.raises(FeedError) as refused:
        feed_of(path)
    assert str(refused.value) == (
        f"feeds: {tmp_path}/events begins with event 101; those before it are gone, so no book can "
        "be built from there"
    )
    assert taken(feed_of(path, first=101)).tobytes() == log[100:].tobytes()


def test_damage_ends_the_feed_and_is_told(tmp_path):
    log, _, _ = log_of(DAY)
    path = keep(tmp_path, log)
    with path_of(tmp_path / "events", 101).open("r+b") as file:
        file.seek(RECORDS + 64 * 20)
        file.write(b"damage")
    feed = feed_of(path)
    got = taken(feed)
    assert got.tobytes() == log[: len(got)].tobytes()
    assert len(got) <= 120
    assert "121" in feed.trouble
    with joint(Ingest, parts=1) as at:
        stage = Ingest(IngestOptions(), [JournalOptions(path=path)], at.links)
        stage.open()
        turn_until_finished(stage, at, "events")
        assert "121" in bytes(at.links.panel.status["message"]).decode()
