"""Two files of results side by side: figures by hand, hosts that differ, files that are others."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.compare import compare, hosts, ratio, read
from bench.harness import BenchError, Result, host
from bench.registry import run_benches
from pipeline import latency
from pipeline.cli import main
from ringbuf.histogram import Summary, empty, note

ABOUT = {**host(), "load": 0.1}


def result(*rates: float, name: str = "throughput", against: float = 50.0, **more: float) -> Result:
    rounds = [{"ring": {"rate": rate, **more}, "C": {"rate": against}} for rate in rates]
    return Result(name, "what", "M records/s", "rate", rounds=rounds, pairs={"ring": "C"})


def write(path, *results: Result, **about):
    benches = [one.as_dict() for one in results]
    path.write_text(json.dumps({"host": {**ABOUT, **about}, "benches": benches}))
    return path


def shown(first, second) -> str:
    out = Console(file=io.StringIO(), width=160, no_color=True)
    compare(first, second, out)
    return out.file.getvalue()


def row(text: str, *start: str) -> list[str]:
    """The cells of the first row that begins so."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines()]
    return next(cells for cells in rows if tuple(cells[: len(start)]) == start)


def test_a_ratio_is_that_of_the_medians_and_its_range_that_of_the_rounds():
    found = ratio([100.0, 100.0, 100.0], [150.0, 150.0, 150.0])
    assert found == (1.5, 1.5, 1.5)
    scattered = ratio([90.0, 100.0, 110.0] * 5, [180.0, 200.0, 220.0] * 5)
    assert scattered.middle == 2.0
    assert 1.6 < scattered.low < 2.0 < scattered.high < 2.5
    assert ratio([90.0, 100.0, 110.0] * 5, [180.0, 200.0, 220.0] * 5) == scattered
    assert np.isnan(ratio([0.0, 0.0], [1.0, 1.0])).all()


def test_the_range_of_a_ratio_covers_the_truth_as_often_as_it_says():
    random, covered = np.random.default_rng(2), 0
    for _ in range(200):
        one, other = random.normal(100, 5, 25), random.normal(120, 5, 25)
        found = ratio(one.tolist(), other.tolist())
        covered += found.low <= 1.2 <= found.high
    assert 0.8 < covered / 200 <= 1.0


def test_benches_are_set_side_by_side(tmp_path):
    one = write(tmp_path / "a.json", result(100, 110, 120, p99=300.0), result(1, name="only A"))
    other = write(tmp_path / "b.json", result(220, 210, 230, p99=150.0, against=100.0))
    text = shown(one, other)
    *cells, inside = row(text, "ring", "rate")
    assert cells == ["ring", "rate", "110", "220", "2.000"]
    low, high = map(float, inside.split(" - "))
    assert 210 / 120 <= low < 2.0 < high <= 230 / 100
    assert row(text, "", "p99") == ["", "p99", "300", "150", "0.500", "0.500 - 0.500"]
    assert row(text, "C", "rate")[2:5] == ["50.0", "100", "2.000"]
    assert row(text, "ring / C") == ["ring / C", "2.2", "2.2", "1.000"]
    assert "only A" not in text
    assert "not the same host" not in text


def test_hosts_that_differ_are_described_and_warned_of(tmp_path):
    one = write(tmp_path / "a.json", result(1.0), cpu="Old", load=0.1)
    other = write(tmp_path / "b.json", result(2.0), cpu="New", load=3.5)
    text = shown(one, other)
    assert "cpu: A Old, B New" in text
    assert "not the same host: compare ratios within each run, not values" in text
    assert "a busy machine (load A 0.1, B 3.5)" in text
    assert hosts(ABOUT, {**ABOUT, "load": 0.5, "taken": "later"}) == ""


def summary(*values: int) -> Summary:
    histogram = empty()
    for value in values:
        note(histogram.ctypes.data, value)
    return Summary(histogram[0])


def keep(path, monkeypatch, **found: Summary):
    monkeypatch.setattr(latency, "parts", lambda pipeline: {"run_id": "1"})
    latency.keep("day", found, None, path, ABOUT)
    return path


def test_latencies_are_set_side_by_side(tmp_path, monkeypatch):
    one = keep(tmp_path / "a.json", monkeypatch, hop=summary(*[100] * 99, 1_000), gone=summary(1))
    other = keep(tmp_path / "b.json", monkeypatch, hop=summary(*[50] * 99, 2_000), none=summary())
    text = shown(one, other)
    assert row(text, "hop", "count") == ["hop", "count", "100", "100", "1.000"]
    assert row(text, "", "p50") == ["", "p50", "100", "50", "0.500"]
    assert row(text, "", "max") == ["", "max", "1,000", "2,000", "2.000"]
    assert "gone" not in text
    both = read(one).latencies["hop"] + read(other).latencies["hop"]
    assert both.sparse() == summary(*[100] * 99, 1_000, *[50] * 99, 2_000).sparse()


def test_an_empty_histogram_has_no_ratio(tmp_path, monkeypatch):
    one = keep(tmp_path / "a.json", monkeypatch, hop=summary())
    other = keep(tmp_path / "b.json", monkeypatch, hop=summary(5))
    assert row(shown(one, other), "", "p50") == ["", "p50", "0", "5", "-"]


def test_real_results_compare_with_themselves(tmp_path):
    from bench.harness import Options

    path = tmp_path / "real.json"
    run_benches(["histograms"], path, None, Options(short=True), Console(file=io.StringIO()))
    text = shown(path, path)
    assert row(text, "note", "ns")[4] == "1.000"
    ran = CliRunner().invoke(main, ["bench", "compare", str(path), str(path)])
    assert ran.exit_code == 0, ran.output
    assert "note / hdrhistogram (pip)" in ran.output


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "3",
        '{"host": {}, "benches": [{"name": "x"}]}',
        '{"host": {}, "benches": 3}',
        '{"host": 3, "benches": []}',
        json.dumps({"host": {}, "benches": [{**result(1.0).as_dict(), "rounds": [{"ring": {}}]}]}),
        '{"kind": "corelane latency"}',
    ],
)
def test_another_file_is_refused_in_one_line(text, tmp_path):
    good, bad = write(tmp_path / "good.json", result(1.0)), tmp_path / "bad.json"
    bad.write_text(text)
    ran = CliRunner().invoke(main, ["bench", "compare", str(good), str(bad)])
    assert ran.exit_code == 1
    assert ran.output.count("\n") == 1
    assert "bad.json: holds " in ran.output
    assert "--json`" in ran.output


def test_no_json_no_file_and_nothing_in_common_are_refused(tmp_path):
    one = write(tmp_path / "a.json", result(1.0))
    (tmp_path / "text").write_text("rate: 3")
    with pytest.raises(BenchError, match="is not JSON"):
        read(tmp_path / "text")
    with pytest.raises(BenchError, match="No such file"):
        read(tmp_path / "none")
    other = write(tmp_path / "b.json", result(1.0, name="flow"))
    with pytest.raises(BenchError, match=r"nothing in common: a.json has throughput, and b.json"):
        shown(one, other)
