"""Which pipelines there are, and how one is stopped."""

import signal

import pytest

from pipeline import launch, plan, runs
from pipeline.config import load
from pipeline.supervisor import PipelineFailed
from ringbuf import memory
from ringbuf.memory import SegmentError
from tests.pipeline.running import corelane
from tuning import topology


@pytest.fixture
def made(place):
    planned = plan.make(load(place.write()), topology.read())
    segment = launch.create(planned)
    yield planned
    segment.close()
    launch.remove(place.name)


def test_the_one_that_is_meant(place, made):
    assert place.name in runs.running()
    assert runs.the_one(place.name) == place.name
    with pytest.raises(SegmentError, match=r"no pipeline named 'nobody'; there is .*test-"):
        runs.the_one("nobody")


def test_none_or_many(monkeypatch):
    monkeypatch.setattr(runs, "running", list)
    with pytest.raises(SegmentError, match="start one: corelane run CONFIG"):
        runs.the_one(None)
    with pytest.raises(SegmentError, match="none is running"):
        runs.the_one("demo")
    monkeypatch.setattr(runs, "running", lambda: ["one"])
    assert runs.the_one(None) == "one"
    monkeypatch.setattr(runs, "running", lambda: ["one", "two"])
    with pytest.raises(SegmentError, match="name one of the running pipelines: one, two"):
        runs.the_one(None)


def test_a_pipeline_is_stopped_by_name(place):
    running = place.start(place.write(ingest={"rate": 500.0}))
    running.until_received("book", 5)
    assert corelane("stop", place.name).err == f"{place.name} has stopped\n"
    ran = running.end()
    assert ran.code == 0
    assert ran.report.balanced


def test_a_pipeline_is_stopped_at_once(place):
    running = place.start(place.write(ingest={"rate": 500.0}))
    running.until_received("book", 5)
    running.kill("book", signal.SIGSTOP)
    corelane("stop", place.name, "--now")
    assert running.end().code == 1


def test_functions_are_called_on_the_way_and_at_the_end(place):
    path = place.write()
    config = load(path)
    looks, ends = [], []
    result = runs.supervise(
        config,
        plan.make(config, topology.read()),
        path,
        quiet=True,
        every=lambda panels: looks.append(sorted(panels)),
        at_end=lambda name: ends.append((name, bool(memory.names(name)))),
    )
    assert looks
    assert set(map(tuple, looks)) == {("book", "ingest")}
    assert ends == [(place.name, True)]
    assert result.seconds > 0
    assert result.report.balanced


def test_a_failure_shows_what_could_still_be_read(place, capsys):
    path = place.write(feeds=[{"kind": "itch", "path": str(place.folder / "none")}])
    config = load(path)
    with pytest.raises(PipelineFailed, match=r"ingest: FeedError: .*cannot be opened") as failed:
        runs.supervise(config, plan.make(config, topology.read()), path)
    shown = capsys.readouterr()
    assert "failed: ingest: FeedError" in shown.err
    assert "failed" in shown.out
    assert failed.value.report.stage("ingest").life == "failed"
