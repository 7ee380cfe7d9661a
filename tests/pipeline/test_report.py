"""A report holds what the counters of a run say, and they balance."""

from contextlib import closing

import msgspec
import numpy as np
import pytest

from pipeline import launch, plan
from pipeline.config import load
from pipeline.report import (
    Balance,
    Report,
    best_of,
    best_over_venues,
    best_prices,
    collect,
    parts,
    rss_of,
    save,
)
from pipeline.rings import RingReport
from ringbuf.board import Board
from ringbuf.panel import Panel
from ringbuf.share import RingReader, RingWriter
from tests.pipeline.desks import open_desk
from tests.pipeline.running import portfolios, read_report, rows
from tuning import topology
from workers.depth import DEPTH
from workers.instruments import Unit
from workers.keeper import GIVEN
from workers.records import BOOK_RING, EVENT, EVENTS_RING, TOP, Book, empty


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run with Parquet and JSON lines."""
    from tests.pipeline.running import Place

    place = Place(tmp_path_factory.mktemp("ran"))
    sinks = place.history(kinds=["top", "trade", "level", "status", "risk", "limit"])["sinks"]
    sinks.append({"kind": "jsonl", "path": str(place.folder / "lines"), "kinds": ["trade"]})
    config = place.write(
        risk=portfolios(), publisher={"sinks": sinks}, book={"publish_levels": True}
    )
    try:
        return place.folder, place.run(config)
    finally:
        place.close()


def test_every_equation_holds(ran):
    _, end = ran
    assert end.report.balanced
    between = {(item.left, item.right) for item in end.report.balance}
    assert between == {
        ("ingest.published", "ring events"),
        ("ring events", "book.received"),
        ("book.published", "ring book"),
        ("ring book", "risk.received"),
        ("ring book", "publisher.book"),
        ("risk.published", "ring risk"),
        ("ring risk", "publisher.risk"),
    }
    assert all(len(stage.balance) >= 2 or stage.name == "risk" for stage in end.report.stages)
    assert all(item.left_sum > 0 for stage in end.report.stages for item in stage.balance)


def test_the_files_hold_what_the_counters_say(ran):
    folder, end = ran
    book, publisher = end.stage("book").counters["book"], end.stage("publisher").counters
    history = folder / "history"
    assert len(rows(history, "tops")) == book["tops"]
    assert len(rows(history, "trades")) == book["trades"]
    assert len(rows(history, "levels")) == book["levels"]
    assert len(rows(history, "statuses")) == book["statuses"]
    limits = rows(history, "limits")
    told = end.stage("risk").counters["risk"]
    assert len(rows(history, "risk")) + len(limits) == told["published"]
    assert [row[-4] for row in limits].count("breach") == told["breaches"]
    assert [row[-4] for row in limits].count("warn") == told["warnings"]
    assert {row[-5] for row in limits} <= {"unknown", "ok", "warn", "breach"}
    assert publisher["sink0"]["written"] == publisher["publisher"]["received"]
    lines = (folder / "lines").read_text().splitlines()
    assert len(lines) == publisher["sink1"]["written"] == book["trades"]
    assert publisher["sink1"]["filtered"] + len(lines) == publisher["publisher"]["received"]


def test_what_a_run_says_of_its_stages(ran):
    _, end = ran
    for stage in end.report.stages:
        assert stage.life == "finished"
        assert stage.starts == 1
        assert stage.rss_bytes > 10_000_000
        assert stage.turns > 0
        assert stage.message == ""
    hops = end.stage("publisher").latency_ns
    assert hops["book_age"]["count"] == end.stage("publisher").counters["publisher"]["book"]
    assert 0 < hops["book_age"]["p50"] <= hops["book_age"]["p99"] <= hops["book_age"]["max"]
    assert end.report.lost == {}
    assert 0 < end.report.ready_s < 400
    for ring in end.report.rings:
        assert ring.closed
        assert ring.pid == end.stage(ring.writer).pid
        for reader in ring.readers:
            assert (reader.lag, reader.missed, reader.policy) == (0, 0, "left")
            assert reader.read == reader.position == ring.written
            assert reader.pid == end.stage(reader.name).pid
            assert 0 < reader.empty_s < 400
    assert "→" in end.out
    assert "high water" in end.out


def test_what_a_run_says_of_its_portfolios(ran):
    folder, end = ran
    last = {}
    for row in rows(folder / "history", "risk"):
        last[row[0]] = row
    long, short = end.report.portfolios
    assert (long.name, short.name) == ("long", "short")
    assert (long.scenarios, long.unvalued) == (120, 0)
    assert long.value > 0 > short.value
    assert long.var_99 > 0
    assert long.es_975 > 0


def test_a_report_reads_back_equal(ran, tmp_path):
    _, end = ran
    save(end.report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == end.report


def test_what_is_lost_or_unequal_is_not_balanced():
    empty_report = Report("x", "r", None, [], [], [], [], {})
    assert empty_report.balanced
    for change in (
        {"lost": {"events -> book": 1}},
        {"balance": [Balance("a", "b", 1, 2)]},
    ):
        assert not msgspec.structs.replace(empty_report, **change).balanced
    assert msgspec.structs.replace(empty_report, lost={"events -> book": 0}).balanced


def test_resident_memory_of_a_process():
    import os

    assert rss_of(os.getpid()) > 10_000_000
    assert rss_of(0) == 0
    assert rss_of(2**22 + 5) == 0


def test_a_pipeline_at_rest_in_mid_flow(place):
    """What lies on a ring is neither lost nor received: the report says where it is."""
    planned = plan.make(load(place.write(risk=portfolios())), topology.read())
    launch.create(planned).close()
    try:
        writer = RingWriter(place.name, "events", EVENTS_RING)
        assert writer.push(empty(EVENT, 10)) == 10
        reader = RingReader(place.name, "events", EVENTS_RING, "book")
        reader.release(4)
        RingWriter(place.name, "book", BOOK_RING).close()
        report = collect(place.name)
        events, book, risk = report.rings
        assert (events.written, events.closed, events.readers[0].lag) == (10, False, 6)
        assert (book.written, book.closed, risk.closed) == (0, True, False)
        assert not report.balanced
        assert parts(place.name)["rings"] == ["events", "book", "risk"]
        assert [stage.life for stage in report.stages] == ["absent"] * 3
        assert best_prices(place.name) == []
        panel = Panel(place.name, "book", own=True)
        panel.counters["book"]["applied"] = 3
        panel.counters["book"]["received"] = 4
        (wrong,) = [item for item in collect(place.name).stages[1].balance if not item.holds]
        assert (wrong.left, wrong.left_sum, wrong.right_sum) == ("book.received", 4, 3)
    finally:
        launch.remove(place.name)


def test_the_best_over_venues_says_whose_it_is():
    with open_desk() as desk, closing(Board(desk.name, "consolidated")) as board:
        best = best_over_venues(board.row(0)[0], desk.reading().names)
        assert best == {
            "name": "BTC", "bid": 60_123.45, "bid_quantity": 1.5, "ask": 0.0, "ask_quantity": 0.0,
            "bid_venue": "feed2:BTCUSD", "ask_venue": "", "counting": ["feed2:BTCUSD"],
            "left_out": ["feed0:E\x1b[2J"], "state": "crossed",
        }  # fmt: skip


def test_the_best_prices_are_in_currency_and_units():
    row = np.zeros(1, DEPTH)
    row["bid_price"][0, 0], row["bid_quantity"][0, 0], row["volume"] = 250, 3, 12
    unit = Unit("A", 100, 10)
    assert best_of(row[0], unit) == {
        "bid": 2.5, "bid_quantity": 0.3, "ask": 0.0, "ask_quantity": 0.0, "traded": 0.0,
        "volume": 1.2,
    }  # fmt: skip
    whole = best_of(row[0], unit._replace(lot_scale=1))
    assert (whole["bid_quantity"], whole["volume"]) == (3, 12)


def test_kinds_of_book_records_are_those_of_the_counters(ran):
    _, end = ran
    book = end.stage("book").counters["book"]
    assert len(GIVEN) == len(Book)
    assert book["published"] == sum(book[name] for name in GIVEN)


def test_what_a_dropping_reader_missed_is_neither_lost_nor_unbalanced(place):
    """Half a ring is skipped by one that was lapped, and by nobody else."""
    config = load(place.write(risk=portfolios(), stages={"risk": {"lag": {"book": "drop"}}}))
    launch.create(plan.make(config, topology.read())).close()
    try:
        writer = RingWriter(place.name, "book", BOOK_RING)
        reader = RingReader(place.name, "book", BOOK_RING, "risk")
        for _ in range(3):
            assert writer.push(empty(TOP, 8192)) == 8192
        while len(taken := reader.take(TOP, 8192)):
            reader.release(int(taken["sequence"][-1]))
            received = int(ring_of(place.name, "book").readers[0].read)
        panel = Panel(place.name, "risk", own=True)
        panel.counters["risk"]["received"] = received
        seen = ring_of(place.name, "book")
        (risk,) = seen.readers
        assert (risk.policy, risk.position, risk.lag) == ("drop", 3 * 8192, 0)
        assert risk.read + risk.missed == risk.position
        assert (risk.missed, received) == (3 * 8192 - 4097, 4097)
        (item,) = [one for one in collect(place.name).balance if one.left == "ring book"]
        assert item.holds
        assert (item.right, item.right_sum) == ("risk.received + missed", 3 * 8192)
    finally:
        launch.remove(place.name)


def ring_of(pipeline: str, name: str) -> RingReport:
    """A ring as the pipeline's report has it."""
    return next(ring for ring in collect(pipeline).rings if ring.name == name)
