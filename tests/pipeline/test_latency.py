"""`corelane latency`: percentiles, .hgrm files, and JSON from which every bucket comes back."""

import json
import signal

import pytest

from pipeline import latency
from pipeline.latency import LatencyRefused
from ringbuf.histogram import Summary, empty, note
from ringbuf.panel import Panel
from tests.pipeline.running import DAY, TOGETHER, corelane, lines, portfolios

HISTOGRAMS = {
    "book.hop", "book.age", "risk.hop", "risk.age", "publisher.book_hop", "publisher.book_age",
    "publisher.risk_hop", "publisher.risk_age",
}  # fmt: skip


def summary(*values: int) -> Summary:
    histogram = empty()
    for value in values:
        note(histogram.ctypes.data, value)
    return Summary(histogram[0])


def same(one: Summary, other: Summary) -> bool:
    return one.sparse() == other.sparse()


def test_what_several_stages_measure_of_one_thing_is_added_up():
    found = {"book.hop": summary(5, 7), "publisher.risk_hop": summary(9), "book.age": summary(11)}
    assert {name: one.sparse() for name, one in latency.together(found).items()} == {
        "all.hop": summary(5, 7, 9).sparse()
    }
    everything = {name: summary(number) for number, name in enumerate(sorted(HISTOGRAMS))}
    assert set(latency.together(everything)) == {"all.hop", "all.age"}
    assert latency.together({}) == {}


def test_names_are_explained():
    assert latency.what("book.hop") == "ingest → book"
    assert latency.what("all.hop") == "one hand-over, any ring"
    assert latency.what("risk.age") == "risk.age"


def test_a_running_pipeline_from_outside(place):
    """Everything is shown, kept and read back; a run keeps its last state by itself."""
    config = place.write(
        ingest={"rate": 4_000.0},
        feeds=[DAY | {"messages": 1_000_000}],
        risk=portfolios(),
        publisher=place.history(),
        processes=TOGETHER,
    )
    at_end, ended = place.folder / "end.json", place.folder / "ended"
    running = place.start(config, "--latency", str(at_end), "--hgrm", str(ended))
    running.until_received("publisher", 100)
    file, folder = place.folder / "now.json", place.folder / "deep" / "er"
    out = corelane("latency", place.name, "--json", file, "--hgrm", folder).out
    found = latency.read(file)
    assert set(found) == HISTOGRAMS | {"all.hop", "all.age"}
    for name in found:
        assert name in out
    whole = found["publisher.book_age"] + found["publisher.risk_age"]
    assert same(found["all.age"], whole)
    kept = json.loads(file.read_text())
    assert (kept["pipeline"], kept["kind"]) == (place.name, latency.KIND)
    assert kept["host"]["cores"] >= 1
    for name, one in found.items():
        described = kept["histograms"][name]
        assert one.count == described["count"] > 0
        assert one.percentile(99.9) == described["p99.9"] <= described["max"] == one.highest
        assert described["unit"] == "ns"
        text = (folder / f"{name}.hgrm").read_text()
        assert f"TotalCount={one.count}.000]" in text.replace(" ", "")

    only = corelane("latency", place.name, "--stage", "risk").out
    assert "risk.hop" in only
    assert "book.hop" not in only
    wrong = corelane("latency", place.name, "--stage", "nobody", code=2).err
    assert lines(wrong) == [
        f"corelane: {place.name} has no stage 'nobody'; it has ingest, book, risk, publisher"
    ]
    ran = running.end(signal.SIGTERM)
    assert ran.code == 0, ran.err
    last = latency.read(at_end)
    for name in HISTOGRAMS:
        stage, histogram = name.split(".")
        assert last[name].as_dict() == ran.stage(stage).latency_ns[histogram]
        assert last[name].count >= found[name].count
    assert {path.stem for path in ended.iterdir()} == set(last)


def test_where_nothing_can_be_kept_nothing_is_started(place):
    (place.folder / "file").write_text("")
    config = place.write()
    for option in ("--latency", "--hgrm"):
        ran = place.run(config, option, str(place.folder / "file" / "below"), code=2)
        assert len(lines(ran.err)) == 1
        assert "latencies cannot be kept in" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"kind": "other"}',
        json.dumps({"kind": "other", "pipeline": "p", "run_id": "", "taken": "", "host": {},
                    "histograms": {}}),
        json.dumps({"kind": latency.KIND, "pipeline": "p", "run_id": "", "taken": "", "host": {},
                    "histograms": {"a": {"buckets": [[1, 1]]}}}),
        json.dumps({"kind": latency.KIND, "pipeline": "p", "run_id": "", "taken": "", "host": {},
                    "histograms": {"a": {"buckets": [[10**9, 1]], "total": 1, "highest": 1,
                                         "clipped": 0}}}),
        json.dumps({"kind": latency.KIND, "pipeline": "p", "run_id": "", "taken": "", "host": {},
                    "histograms": {"a": {"buckets": None, "total": 1, "highest": 1,
                                         "clipped": 0}}}),
        "\xff",
    ],
)  # fmt: skip
def test_another_file_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text, "latin-1")
    with pytest.raises(LatencyRefused, match=r"holds no latencies of `corelane latency --json`"):
        latency.read(path)
    with pytest.raises(LatencyRefused, match="No such file"):
        latency.read(tmp_path / "none.json")


def test_a_pipeline_without_a_publisher_has_no_ages_of_its_own(place):
    running = place.start(place.write(ingest={"rate": 100.0}))
    running.until(lambda: Panel(place.name, "book").summary("hop").count > 3, "hops")
    assert set(latency.collect(place.name)) == {"book.hop", "book.age", "all.hop"}
    running.end(signal.SIGTERM)
