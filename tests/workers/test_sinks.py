"""Sinks keep each record once, show it as its bytes say, and tell what keeps them from it."""

import json
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.publisher import SINKS, deliver, json_lines, parquet, stored
from tests.naive.stored_rows import (
    KINDS,
    RUN,
    book_records,
    naive_rows,
    parquet_rows,
    risk_records,
)
from workers.records import TOP, Book, Kept, empty
from workers.sinks.json_lines import JsonLines, JsonLinesOptions
from workers.sinks.parquet_file import ParquetOptions
from workers.sinks.sink import Run, SinkError
from workers.sinks.sql import select
from workers.sinks.tables import TABLES, Column, Shown
from workers.sinks.values import Scales, values_of

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.workers.test_sinks"])


@pytest.mark.parametrize("name", SINKS)
@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 700),
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    restarts=st.integers(1, 3),
)
def test_rows_read_back_as_the_twin_says(name, tmp_path_factory, count, seed, kinds, restarts):
    folder = tmp_path_factory.mktemp("sink")
    rings = {"book": book_records(count, seed), "risk": risk_records(count // 3, seed)}
    counters = np.zeros(3, int)
    for part in range(1, restarts + 1):  # each restart delivers some again, and some more
        sink = SINKS[name](folder)
        sink.options.kinds = kinds
        end = count * part // restarts
        some = {ring: records[:end] for ring, records in rings.items()}
        deliver(sink, some, folder / "released", seed + part)
        counters += sink.written, sink.filtered, sink.skipped
    expected = naive_rows(rings, kinds)
    assert stored(name, folder, kinds) == expected
    assert counters[0] == sum(map(len, expected.values()))
    assert counters[0] + counters[1] == sum(map(len, rings.values()))


def test_parquet_types_and_names(tmp_path):
    sink = parquet(tmp_path, rows_per_file=400)
    sink.open(RUN)
    records = book_records(1000, 5)
    for start in range(0, 1000, 100):
        sink.put("book", records[start : start + 100])
    sink.put("risk", risk_records(10, 5))
    sink.close()
    history = tmp_path / "history"
    names = [path.name for path in sorted((history / "tops").iterdir())]
    spans = ["1-400", "401-800", "801-1000"]
    assert names == [
        f"book-{int(first):016d}-{int(last):016d}.parquet"
        for first, last in (span.split("-") for span in spans)
    ]
    described = duckdb.execute(f"DESCRIBE SELECT * FROM '{history}/tops/*.parquet'").fetchall()
    assert [row[:2] for row in described] == [
        ("sequence", "BIGINT"),
        ("cause", "BIGINT"),
        ("index", "UTINYINT"),
        ("time", "TIMESTAMP_NS"),
        ("symbol", "VARCHAR"),
        ("bid", "DOUBLE"),
        ("bid_quantity", "DOUBLE"),
        ("ask", "DOUBLE"),
        ("ask_quantity", "DOUBLE"),
        ("state", "VARCHAR"),
    ]
    assert sorted(path.name for path in history.iterdir() if path.is_file()) == [
        "book.cursor",
        "risk.cursor",
        "run.json",
    ]


def test_groups_have_scales_of_their_own():
    assert "LEFT JOIN groups USING" in select(TABLES["consolidated"])
    assert "LEFT JOIN instruments USING" in select(TABLES["bar"])


def test_a_price_is_found_by_its_decimal_and_gives_its_units_back(tmp_path):
    records = empty(TOP, 50_000)
    records["kind"] = Book.TOP
    records["sequence"] = np.arange(1, len(records) + 1)
    records["bid"] = np.arange(1, len(records) + 1) * 37
    sink = parquet(tmp_path)
    sink.open(RUN)
    sink.put("book", records)
    sink.close()
    tops = f"'{tmp_path}/history/tops/*.parquet'"
    differ = "round(bid * 10000)::BIGINT <> sequence * 37"
    assert duckdb.execute(f"SELECT count(*) FROM {tops} WHERE {differ}").fetchone() == (0,)
    found = duckdb.execute(f"SELECT sequence FROM {tops} WHERE bid = 1.5836").fetchall()
    assert found == [(428,)]


def test_time_makes_part_files_too(tmp_path):
    sink = parquet(tmp_path, seconds_per_file=0.01)
    sink.open(RUN)
    sink.put("book", book_records(20, 1))
    time.sleep(0.02)
    assert sink.flush() == {"book": 20}
    assert parquet_rows(tmp_path / "history", KINDS)["top"]
    sink.close()


def test_a_slice_may_come_as_plain_bytes(tmp_path):
    records = book_records(30, 2)
    sink = json_lines(tmp_path)
    sink.open(RUN)
    sink.put("book", records.view(np.uint8).reshape(-1, 64))
    sink.close()
    assert stored("jsonl", tmp_path) == naive_rows({"book": records}, KINDS)


# Refusals


@pytest.mark.parametrize("options", [ParquetOptions, JsonLinesOptions])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kinds": ["top", "tops"]}, "no such kind of record: tops; choose from top, level"),
        ({"kinds": []}, "no kinds given"),
        ({"path": ""}, "path is empty"),
        ({"pathh": "x"}, "unknown field `pathh`"),
    ],
)
def test_wrong_options_are_refused(options, wrong, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"kind": options.__struct_config__.tag, "path": "x", **wrong}, options)


@pytest.mark.parametrize("name", SINKS)
def test_two_writers_and_another_run_are_refused(name, tmp_path):
    first = SINKS[name](tmp_path)
    first.open(RUN)
    with pytest.raises(SinkError, match="another process is writing here"):
        SINKS[name](tmp_path).open(RUN)
    first.put("book", book_records(10, 1))
    first.close()
    tuesday = Run("tuesday", RUN.unit_of)
    with pytest.raises(SinkError, match=r"run 'monday', this is 'tuesday'; put \{run\} into"):
        SINKS[name](tmp_path).open(tuesday)


@pytest.mark.parametrize("name", SINKS)
def test_the_run_is_part_of_the_path(name, tmp_path):
    sink = SINKS[name](tmp_path / "{run}")
    sink.open(RUN)
    sink.put("book", book_records(10, 1))
    sink.close()
    assert stored(name, tmp_path / "monday")["top"]
    with pytest.raises(SinkError, match="cannot be part of a path"):
        SINKS[name](tmp_path).open(Run("a/b", RUN.unit_of))


@pytest.mark.parametrize("name", SINKS)
def test_a_file_in_the_way(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"file.*choose another path"):
        SINKS[name](tmp_path / "file").open(RUN)


def _open_as_nobody(name: str, folder: Path, answer) -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        SINKS[name](folder).open(RUN)
    except SinkError as error:
        answer.put(str(error))


@pytest.mark.parametrize("name", SINKS)
def test_no_right_to_write(name, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    answer = _context.SimpleQueue()
    process = _context.Process(target=_open_as_nobody, args=(name, folder, answer))
    process.start()
    process.join()
    assert "Permission denied; give the publisher's user the right to write" in answer.get()


def _fill_the_disk(name: str, folder: Path, limit: int, answer) -> None:
    """Files may not grow beyond a limit; then the limit goes away and the same put is repeated."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sink = SINKS[name](folder)
    sink.open(RUN)
    records = book_records(1000, 6)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    start = 0
    while start < len(records):
        try:
            sink.put("book", records[start : start + 70])
            start += 70
        except SinkError as error:
            answer.put(str(error))
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    sink.close()


@pytest.mark.parametrize(
    ("name", "limit"), [("jsonl", 20_000), ("parquet", 6000), ("parquet", 900)]
)
def test_a_full_disk_is_told_and_spoils_nothing(name, limit, tmp_path):
    answer = _context.SimpleQueue()
    process = _context.Process(target=_fill_the_disk, args=(name, tmp_path, limit, answer))
    process.start()
    process.join()
    assert process.exitcode == 0
    message = answer.get()
    assert message.startswith(str(tmp_path))
    assert "File too large; raise the limit" in message
    assert stored(name, tmp_path) == naive_rows({"book": book_records(1000, 6)}, KINDS)


def test_a_full_disk_while_part_files_are_written(tmp_path, monkeypatch):
    sink = parquet(tmp_path, rows_per_file=100)
    sink.open(RUN)
    records = book_records(300, 6)
    sink.put("book", records[:90])
    before = os.fsync

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match="No space left on device; free some space"):
        sink.put("book", records[90:180])
    monkeypatch.setattr(os, "fsync", before)
    assert not list((tmp_path / "history").glob("*/*"))
    sink.put("book", records[90:])  # the spool had taken the slice: nothing is doubled
    sink.close()
    assert stored("parquet", tmp_path) == naive_rows({"book": records}, KINDS)


def test_damaged_cursors_are_told(tmp_path):
    for name, cursor in (("parquet", "history/book.cursor"), ("jsonl", "records.jsonl.cursor")):
        sink = SINKS[name](tmp_path)
        sink.open(RUN)
        sink.put("book", book_records(10, 1))
        sink.close()
        (tmp_path / cursor).write_text("{")
        again = SINKS[name](tmp_path)
        with pytest.raises(SinkError, match="is damaged"):
            again.open(RUN) or again.resume("book")


# JSON lines


def test_lines_that_are_not_ours_are_left_alone(tmp_path):
    (tmp_path / "records.jsonl").write_text("my diary\n")
    with pytest.raises(SinkError, match="holds other lines"):
        json_lines(tmp_path).open(RUN)
    assert (tmp_path / "records.jsonl").read_text() == "my diary\n"


def test_lines_moved_away_are_not_written_again(tmp_path):
    records = book_records(300, 7)
    path = tmp_path / "records.jsonl"
    for end in (100, 150, 300):  # the middle part is smaller than the first
        sink = json_lines(tmp_path)
        sink.open(RUN)
        sink.put("book", records[:end])
        if end == 150:
            os.close(sink._descriptor)  # gone without a word
        else:
            sink.close()
        if end == 100:
            path.rename(tmp_path / "older.jsonl")
    path.write_text((tmp_path / "older.jsonl").read_text() + path.read_text())
    assert stored("jsonl", tmp_path) == naive_rows({"book": records}, KINDS)


def plain_risk(count):
    """Records of a risk ring, none of which tells of a limit."""
    records = risk_records(count, 1)
    records["kind"] = Kept.RISK
    return records


def test_standard_output(capfd):
    sink = JsonLines(JsonLinesOptions(path="-", kinds=["risk"]))
    sink.open(RUN)
    assert (sink.resumable, sink.resume("risk")) == (False, 0)
    sink.put("risk", plain_risk(3))
    assert sink.flush() == {"risk": 3}
    sink.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3]
    assert lines[0]["symbol"].startswith("stock-")


def test_the_reader_of_standard_output_went_away():
    reading, writing = os.pipe()
    kept = os.dup(1)
    os.dup2(writing, 1)
    try:
        sink = JsonLines(JsonLinesOptions(path="-"))
        sink.open(RUN)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    os.close(writing)
    os.close(reading)
    with pytest.raises(SinkError, match="standard output: Broken pipe; the reader"):
        sink.put("risk", plain_risk(3))
    sink.close()


def test_money_of_few_digits_is_shown_like_any_other():
    """Theta and rho are float32; both ways to read them divide in float64."""
    records = empty(TABLES["greeks"].layout, 2)
    records["theta"], records["vega"] = (-123_456_789, 1), (2, -30_001)
    theta, vega = (Column(name, name, Shown.MONEY) for name in ("theta", "vega"))
    nothing = Scales(*np.zeros((3, 2)))
    assert values_of(theta, records, nothing) == [-123_456_792 / 10_000, 0.0001]
    assert values_of(vega, records, nothing) == [0.0002, -3.0001]
