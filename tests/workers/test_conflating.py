"""Conflation before a sink: the newest of each interval, once, however it is cut and killed."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.publisher import deliver, stored
from tests.naive.stored_rows import KINDS, RUN, book_records, naive_rows, risk_records
from tests.workers.joined import joint
from tests.workers.test_publish import book_records as tops_and_trades
from tests.workers.test_publish import risk_records as few_risks
from workers.publish import Publisher, PublisherOptions
from workers.records import TOP, Book, empty
from workers.sinks import conflating
from workers.sinks.json_lines import JsonLinesOptions
from workers.sinks.parquet_file import ParquetOptions
from workers.sinks.registry import build

INTERVAL_MS = 1500.0
MS = 1_000_000
STATES = (Book.TOP, Book.QUOTE, Book.CONSOLIDATED)


def sink_of(name: str, folder: Path):
    if name == "jsonl":
        path = str(folder / "records.jsonl")
        return build(JsonLinesOptions(path=path, kinds=KINDS, conflate_ms=INTERVAL_MS))
    path, rows = str(folder / "history"), 150
    return build(
        ParquetOptions(path=path, kinds=KINDS, rows_per_file=rows, conflate_ms=INTERVAL_MS)
    )


def naive(records: np.ndarray, interval_ns: int) -> np.ndarray:
    """What is to reach the sink, record by record."""
    kept, last, latest = [True] * len(records), {}, None
    for place, record in enumerate(records):
        interval = int(record["time_ns"]) // interval_ns
        if latest is None or interval > latest:
            last, latest = {}, interval
        if record["kind"] in STATES:
            key = int(record["kind"]), int(record["instrument"])
            if key in last:
                kept[last[key]] = False
            last[key] = place
    return records[kept]


def rings() -> dict[str, np.ndarray]:
    return {"book": book_records(500, 1), "risk": risk_records(60, 2)}


def expected(given_: dict[str, np.ndarray]) -> dict:
    plain = {**given_, "book": naive(given_["book"], round(INTERVAL_MS * MS))}
    assert 100 < len(plain["book"]) < len(given_["book"])
    return naive_rows(plain, KINDS)


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([*STATES, Book.TRADE, Book.LEVEL]),
        st.integers(-1, 2),
        st.sampled_from([0, 0, 1, 3, 10, 50, -4, -30]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(drawn=RECORDS, cuts=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=6))
def test_what_is_stored_is_what_the_twin_says_whatever_the_slices_and_restarts(drawn, cuts):
    records = empty(TOP, len(drawn))
    for number, (kind, instrument, _) in enumerate(drawn):
        records["kind"][number], records["instrument"][number] = kind, instrument
    records["time_ns"] = np.cumsum([pause for *_, pause in drawn]) * MS
    records["sequence"] = np.arange(1, len(drawn) + 1)
    with tempfile.TemporaryDirectory() as name:
        options = JsonLinesOptions(path=f"{name}/lines", kinds=KINDS, conflate_ms=10.0)
        sink, done = build(options), 0
        sink.open(RUN)
        for end, dies in sorted(cuts):
            sink.put("book", records[max(done - 3, 0) : end])
            done = max(done, min(end, len(records)))
            assert sink.resume("book") == done
            if dies:
                abandon(sink)
                sink = build(options)
                sink.open(RUN)
                assert sink.resume("book") == done
        sink.put("book", records[done:])
        sink.close()
        lines = Path(f"{name}/lines").read_text().splitlines()
        kept = naive(records, 10 * MS)["sequence"].tolist()
        assert [json.loads(line)["sequence"] for line in lines] == kept
        assert [*Path(name).glob("*.pending")] == []
        assert sink.pending == 0


def abandon(sink) -> None:
    """What the kernel does when the process dies."""
    for held in ("_descriptor", "_lock"):
        with suppress(AttributeError, OSError):
            os.close(getattr(sink.sink, held))


class Killed(BaseException):
    """Stands for a kill: nothing that comes after it in the program is done."""


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_killed_between_any_two_steps(name, tmp_path, monkeypatch):
    monkeypatch.setattr(conflating, "DROP_FROM", 64)
    wanted, finished, step = expected(rings()), False, 0
    while not finished:
        step += 3
        folder = tmp_path / str(step)
        folder.mkdir()
        sink, left = sink_of(name, folder), [step]
        with monkeypatch.context() as patched, suppress(Killed):
            for call in ("write", "fsync", "fdatasync", "replace", "ftruncate", "unlink"):
                patched.setattr(os, call, _deadly(getattr(os, call), call, left))
            deliver(sink, rings(), folder / "released")
            finished = True
        if not finished:
            abandon(sink)
            deliver(sink_of(name, folder), rings(), folder / "released", seed=step)
        assert stored(name, folder) == wanted, step
    assert step > 40


def _deadly(call, name: str, left: list[int]):
    def wrapped(*args, **options):
        left[0] -= 1
        if left[0] == 0:
            if name == "write":  # the torn write: half of it arrives
                call(args[0], memoryview(args[1])[: len(args[1]) // 2])
            raise Killed
        if left[0] < 0:
            raise Killed
        return call(*args, **options)

    return wrapped


def test_the_publisher_counts_what_a_newer_one_stands_for(tmp_path):
    options = JsonLinesOptions(path=str(tmp_path / "lines"), kinds=["top"], conflate_ms=10.0)
    with joint(Publisher, parts=1) as at:
        at.name_instruments(["ABC"])
        stage = Publisher(PublisherOptions(sinks=[options]), "run-1", at.links)
        stage.open()
        at.sources["book"].push(tops_and_trades(100))
        at.sources["risk"].push(few_risks(30))
        stage.turn(0)
        counters = at.counters("sink0")
        assert (counters["pending"], counters["written"]) == (100, 0)
        assert at.balanced()
        for source in at.sources.values():
            source.close()
        while not stage.finished:
            stage.turn(0)
        stage.close()
        counters = at.counters("sink0")
        assert (counters["pending"], counters["written"], counters["conflated"]) == (0, 1, 49)
        assert at.balanced()
    assert len((tmp_path / "lines").read_text().splitlines()) == 1


def test_a_publisher_that_was_killed_goes_on_with_what_was_pending(tmp_path):
    options = JsonLinesOptions(path=str(tmp_path / "lines"), kinds=["top"], conflate_ms=10.0)
    with joint(Publisher, parts=1) as at:
        at.name_instruments(["ABC"])
        stage = Publisher(PublisherOptions(sinks=[options]), "run-1", at.links)
        stage.open()
        records = tops_and_trades(100)
        records["time_ns"][60:] += 20 * MS
        at.sources["book"].push(records[:80])
        stage.turn(0)
        abandon(stage.sinks[0])
        at.leave()
        at.links = at.join()
        again = Publisher(PublisherOptions(sinks=[options]), "run-1", at.links)
        again.open()
        assert at.balanced()
        at.sources["book"].push(records[80:])
        for source in at.sources.values():
            source.close()
        while not again.finished:
            again.turn(0)
        again.close()
        assert at.balanced()
        assert at.counters("sink0")["conflated"] == 48
    assert len((tmp_path / "lines").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "-", "conflate_ms": 5.0}, "beside standard output"),
        ({"path": "lines", "conflate_ms": 0.0}, "give 0.001 to"),
    ],
)
def test_what_cannot_be_conflated_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        JsonLinesOptions(**options)
