"""The DBN benchmark: both decoders come to the same records; what differs is refused."""

from collections import Counter

import pytest

from bench import dbn
from bench.harness import BenchError, Options
from tests.naive import dbn as naive

COUNT = 300


def test_the_made_up_day_is_what_the_twin_reads():
    data = dbn.made_up(COUNT)
    messages = [naive.decode(message) for message in naive.records(data)]
    assert len(messages) == COUNT
    actions = Counter(m["action"] for m in messages)
    assert actions.keys() == {b"A", b"C", b"M", b"T", b"F", b"R"}
    added = sum(m["size"] for m in messages if m["action"] == b"A")
    dbn.DAYS[COUNT] = data
    metrics, found = dbn.ours(COUNT)
    assert found == (COUNT, added)
    assert metrics["ns"] > 0


def test_databento_comes_to_the_same():
    pytest.importorskip("databento_dbn")
    dbn.DAYS[COUNT] = dbn.made_up(COUNT)
    assert dbn.theirs(COUNT)[1] == dbn.ours(COUNT)[1]


def test_the_users_own_file_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "day.dbn"
    path.write_bytes(dbn.made_up(COUNT))
    monkeypatch.setenv("CORELANE_DBN", str(path))
    assert dbn.day(7) == path.read_bytes()


def test_the_benchmark_runs_and_holds_us_against_databento():
    result = dbn.run(Options(short=True))
    assert result.median(dbn.OURS, "ns") > 0
    assert bool(result.pairs) == dbn.available()
    assert result.notes


def test_passes_that_disagree_are_refused():
    class Silent:
        def start(self, *_):
            pass

        def result(self):
            return {"ns": 1.0}, (3, 4)

    contest = dbn.Contest(Silent(), 5)
    contest.measure(dbn.OURS)
    with pytest.raises(BenchError, match="other: "):
        contest.agree((3, 5), "other")
    with pytest.raises(BenchError):
        dbn.Contest(Silent(), 5).agree((0, 0), "nobody")
