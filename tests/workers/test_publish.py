"""The publisher: every record to every sink once, also when it dies at the worst moment."""

import json
import os

import duckdb
import numpy as np
import pytest

from tests.workers.joined import joint
from workers.publish import Publisher, PublisherOptions
from workers.records import RISK, TOP, TRADE, Book, Kept, empty
from workers.sinks.json_lines import JsonLinesOptions
from workers.sinks.parquet_file import ParquetOptions
from workers.sinks.sink import SinkError


def options_of(folder, **more) -> PublisherOptions:
    """All kinds as Parquet, trades as JSON lines."""
    kinds = ["top", "level", "trade", "status", "risk"]
    return PublisherOptions(
        sinks=[
            ParquetOptions(path=str(folder / "history"), kinds=kinds),
            JsonLinesOptions(path=str(folder / "lines"), kinds=["trade"]),
        ],
        **more,
    )


def book_records(count: int) -> np.ndarray:
    """Tops and trades in turn."""
    records = empty(TOP, count)
    records["kind"][::2], records["kind"][1::2] = Book.TOP, Book.TRADE
    records["cause"], records["time_ns"] = np.arange(count) + 1, 10**9
    records["bid"], records["ask"] = 10_000, 20_000
    records.view(TRADE)["quantity"][1::2] = 5
    return records


def risk_records(count: int) -> np.ndarray:
    records = empty(RISK, count)
    records["cause"], records["value"] = np.arange(count) + 1, 10_000
    records["kind"] = Kept.RISK
    return records


def publisher_of(at, folder, **more) -> Publisher:
    stage = Publisher(options_of(folder, **more), "run-1", at.links)
    stage.open()
    return stage


def stored(folder) -> dict[str, list[int]]:
    """The sequences in each table, in order, and in the lines."""
    found = {}
    with duckdb.connect(":memory:") as database:
        for table in ("tops", "trades", "risk"):
            files = f"{folder}/history/{table}/*.parquet"
            rows = database.execute(f"SELECT sequence FROM '{files}' ORDER BY sequence").fetchall()
            found[table] = [row[0] for row in rows]
    lines = (folder / "lines").read_text().splitlines()
    return found | {"lines": [json.loads(line)["sequence"] for line in lines]}


WHOLE = {
    "tops": list(range(1, 101, 2)),
    "trades": list(range(2, 101, 2)),
    "risk": list(range(1, 31)),
    "lines": list(range(2, 101, 2)),
}

NOTHING_HELD = {"conflated": 0, "pending": 0}


def feed(at) -> None:
    at.name_instruments(["ABC"])
    assert at.sources["book"].push(book_records(100)) == 100
    assert at.sources["risk"].push(risk_records(30)) == 30
    for source in at.sources.values():
        source.close()


def finish(stage: Publisher) -> None:
    while not stage.finished:
        stage.turn(0)
    stage.close()


def check_whole(at, folder, skipped: int = 0) -> None:
    assert stored(folder) == WHOLE
    assert at.counters("publisher") == {"received": 130, "book": 100, "risk": 30}
    parquet, lines = at.counters("sink0"), at.counters("sink1")
    counted = {"written": 130 - skipped, "filtered": 0, "skipped": skipped}
    assert parquet == {**counted, **NOTHING_HELD}
    assert sum(lines.values()) == 130
    assert at.balanced()


def test_every_record_to_every_sink(tmp_path):
    with joint(Publisher, parts=2) as at:
        feed(at)
        stage = publisher_of(at, tmp_path)
        finish(stage)
        check_whole(at, tmp_path)
        counted = {"written": 50, "filtered": 80, "skipped": 0}
        assert at.counters("sink1") == {**counted, **NOTHING_HELD}
        assert at.links.panel.summary("book_hop").as_dict()["count"] == 100
        assert at.links.panel.summary("risk_age").as_dict()["count"] == 30


class Killed(BaseException):
    """Stands for a kill at the instruction where it is raised."""


def dies(*_args, **_more):
    raise Killed


# Where the first publisher dies: while it takes its first slice, or at rest after it.
MOMENTS = {
    "before a sink has the slice": "put0",
    "between two sinks": "put1",
    "before it is counted": "count",
    "before the slot is given back": "release",
    "before the second ring": "second",
    "at rest": "",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_publisher_that_dies_is_followed_by_one_that_doubles_nothing(
    tmp_path, monkeypatch, moment
):
    with joint(Publisher, parts=2) as at:
        feed(at)
        first = publisher_of(at, tmp_path)
        with monkeypatch.context() as patch:
            if moment.startswith("put"):
                patch.setattr(first.sinks[int(moment[3])], "put", dies)
            elif moment == "count":
                patch.setattr(first, "_count", dies)
            elif moment == "release":
                patch.setattr(first.readers["book"], "release", dies)
            elif moment == "second":
                patch.setattr(first.readers["risk"], "take", dies)
            if moment:
                with pytest.raises(Killed):
                    first.turn(0)
            else:
                first.turn(0)
        forget(first, at)
        finish(publisher_of(at, tmp_path))
        assert stored(tmp_path) == WHOLE
        assert at.counters("publisher") == {"received": 130, "book": 100, "risk": 30}
        for number in range(2):
            assert all(value >= 0 for value in at.counters(f"sink{number}").values())
        assert at.balanced()


def forget(stage: Publisher, at) -> None:
    """The first process is gone: its descriptors and locks with it, its memory stays."""
    parquet, lines = stage.sinks
    for state in parquet._rings.values():
        state.spool.close()
    os.close(parquet._lock)
    os.close(lines._descriptor)
    at.leave()
    at.links = at.join()


def test_slots_are_given_back_as_they_are_stored(tmp_path):
    with joint(Publisher, parts=2, capacity=128) as at:
        at.name_instruments(["ABC"])
        stage = publisher_of(at, tmp_path)
        for _ in range(5):
            assert at.sources["book"].push(book_records(200)) == 128
            assert at.sources["book"].push(book_records(1)) == 0
            while stage.turn(0):
                pass
        assert at.counters("publisher")["book"] == 5 * 128
        stage.close()


def test_flush_is_due_after_its_time(tmp_path, monkeypatch):
    with joint(Publisher, parts=2) as at:
        stage = publisher_of(at, tmp_path, flush_s=100.0)
        flushed = []
        monkeypatch.setattr(stage.sinks[0], "flush", lambda: flushed.append(1))
        stage.turn(0)
        assert not flushed
        stage.flushed -= 101
        stage.turn(0)
        assert flushed == [1]
        stage.turn(0)
        assert flushed == [1]
        stage.close()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "history").write_text("in the way")
    with joint(Publisher, parts=2) as at, pytest.raises(SinkError, match=r"in the way|is a file"):
        publisher_of(at, tmp_path)


def test_only_the_book_where_there_is_no_risk(tmp_path):
    with joint(Publisher, parts=2) as at:
        feed(at)
        del at.links.readers["risk"]
        finish(publisher_of(at, tmp_path))
        assert at.counters("publisher") == {"received": 100, "book": 100, "risk": 0}
        assert at.balanced()
