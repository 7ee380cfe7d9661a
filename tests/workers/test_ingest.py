"""Ingest over real feeds: one numbered log, instruments on the board, every refusal counted."""

import numpy as np
import pytest

from tests.workers.joined import joint, turn_until_finished
from workers.feeds.feed import FEED_COUNTERS, FeedError
from workers.feeds.itch import ItchOptions
from workers.feeds.lobster import LobsterOptions
from workers.feeds.registry import build
from workers.feeds.synthetic import SyntheticOptions, symbols, write_file
from workers.ingest import Ingest, IngestOptions
from workers.records import EVENT, Event, empty

DAY = SyntheticOptions(messages=600, symbols=5, seed=5)
OTHER = SyntheticOptions(messages=400, symbols=3, seed=6)
OWN = ["time_ns", "order", "other", "price", "quantity", "kind", "side", "flags"]


def alone(options) -> np.ndarray:
    """What a feed says, with nothing around it."""
    counters = empty(FEED_COUNTERS, 1)
    feed, parts = build(options, counters.ctypes.data), []
    feed.open()
    while not feed.finished:
        block = empty(EVENT, 256)
        parts.append(block[: feed.fill(block.ctypes.data, 256)].copy())
    feed.close()
    return np.concatenate(parts)


def log_of(sources, at, **options):
    """The log of some sources; the stage is closed."""
    stage = Ingest(IngestOptions(**options), sources, at.links)
    stage.open()
    log = turn_until_finished(stage, at, "events")["events"]
    stage.close()
    assert at.balanced()
    return log


def test_one_feed_comes_out_as_it_is():
    said = alone(DAY)
    with joint(Ingest, parts=1) as at:
        log = log_of([DAY], at)
        assert log["sequence"].tolist() == list(range(1, len(said) + 1))
        for name in OWN:
            assert (log[name] == said[name]).all(), name
        assert not log["source"].any()
        assert (np.diff(log["arrived_ns"]) >= 0).all()
        named = log["instrument"][log["kind"] != Event.SYSTEM]
        codes = said["instrument"][said["kind"] != Event.SYSTEM]
        assert (named == codes - 1).all()  # announced in order of their codes
        assert (log["instrument"][log["kind"] == Event.SYSTEM] == -1).all()
        rows = at.links.boards["instruments"].all()
        assert [row.decode() for row in rows["symbol"] if row] == symbols(DAY)
        assert set(rows["price_scale"][:5]) == {10_000}
        assert at.targets["events"].ended


def test_two_feeds_are_merged_by_time_and_keep_their_own_order():
    with joint(Ingest, parts=2) as at:
        log = log_of([DAY, OTHER], at)
        for number, options in enumerate((DAY, OTHER)):
            mine, said = log[log["source"] == number], alone(options)
            for name in OWN:
                assert (mine[name] == said[name]).all(), name
        assert (np.diff(log["time_ns"]) >= 0).all()
        rows = at.links.boards["instruments"].all()
        where = {(int(row["source"]), row["symbol"].decode()) for row in rows[:8]}
        assert where == {(0, name) for name in symbols(DAY)} | {(1, n) for n in symbols(OTHER)}
        late = at.counters("ingest")["late"]
        assert late == 0


def test_a_file_and_its_bytes_are_the_same_feed(tmp_path):
    write_file(DAY, tmp_path / "day.itch")
    with joint(Ingest, parts=1) as at:
        first = log_of([DAY], at)
    with joint(Ingest, parts=1) as at:
        second = log_of([ItchOptions(path=str(tmp_path / "day.itch"))], at)
    first["arrived_ns"] = second["arrived_ns"] = 0
    assert first.tobytes() == second.tobytes()


def test_only_the_named_symbols():
    wanted = symbols(DAY)[1:3]
    with joint(Ingest, parts=1) as at:
        log = log_of([DAY], at, symbols=[*wanted, "NOSUCH"])
        counters = at.counters("ingest")
        assert counters["unwanted"] > 100
        assert counters["received"] == counters["published"] + counters["unwanted"]
        rows = at.links.boards["instruments"].all()
        assert [row.decode() for row in rows["symbol"] if row] == wanted
        assert set(log["instrument"]) == {-1, 0, 1}
        message = bytes(at.links.panel.status["message"]).decode()
        assert message == "ingest.symbols: no source announced NOSUCH"


def test_no_more_instruments_than_there_is_room_for():
    with joint(Ingest, parts=1, rows=2) as at:
        log = log_of([DAY], at, instruments=2)
        counters = at.counters("ingest")
        assert counters["instruments_full"] == 3
        assert counters["unknown_instrument"] > 100
        assert set(log["instrument"]) == {-1, 0, 1}


def test_limits_of_price_and_quantity():
    with joint(Ingest, parts=1) as at:
        log = log_of([DAY], at, quantity_limit=100, price_limit=500_000)
        counters = at.counters("ingest")
        assert counters["bad_quantity"] > 10 < counters["bad_price"]
        orders = log[log["kind"] == Event.ADD]
        assert orders["quantity"].max() <= 100
        assert orders["price"].max() <= 500_000


def test_a_small_ring_holds_the_source_back():
    with joint(Ingest, parts=1, capacity=128) as at:
        stage = Ingest(IngestOptions(), [DAY], at.links)
        stage.open()
        assert stage.turn(0) == 128
        assert stage.turn(0) == 0
        assert at.counters("ingest")["full"] >= 1
        assert len(at.took("events")) == 128
        assert stage.turn(0) == 128
        rest = turn_until_finished(stage, at, "events")["events"]
        assert rest["sequence"][0] == 129
        assert at.balanced()


def test_a_drain_takes_in_nothing_new_and_loses_nothing():
    slow = SyntheticOptions(messages=2_600, symbols=5, seed=5)
    with joint(Ingest, parts=1, capacity=128) as at:
        stage = Ingest(IngestOptions(rate=0.001), [slow], at.links)
        stage.open()
        assert stage.turn(0) == 1  # the second is due in a quarter of an hour
        stage.drain()
        log = turn_until_finished(stage, at, "events")["events"]
        feed = at.counters("feed0")
        assert 0 < feed["messages"] < 2_600
        assert len(log) == feed["events"] == at.counters("ingest")["published"]
        assert at.balanced()


def test_what_broke_a_source_off_is_told(tmp_path):
    write_file(DAY, tmp_path / "day.itch")
    (tmp_path / "day.itch").write_bytes(b"no market data" * 50)
    with joint(Ingest, parts=1) as at:
        log = log_of([ItchOptions(path=str(tmp_path / "day.itch"))], at)
        assert len(log) == 0
        assert b"no message was recognised" in bytes(at.links.panel.status["message"])


def test_a_source_that_cannot_be_opened(tmp_path):
    with joint(Ingest, parts=1) as at:
        options = LobsterOptions(path=str(tmp_path / "none.csv"), symbol="AAPL")
        stage = Ingest(IngestOptions(), [options], at.links)
        with pytest.raises(FeedError, match="cannot be opened"):
            stage.open()


def test_how_far_the_sources_are():
    with joint(Ingest, parts=1, capacity=128) as at:
        stage = Ingest(IngestOptions(), [SyntheticOptions(messages=2_600, symbols=5)], at.links)
        stage.open()
        assert 0 < stage.progress() < 1
        turn_until_finished(stage, at, "events")
        assert stage.progress() == 1.0
