"""`corelane stop`, `drain` and `restart` of one stage, while the rest of its pipeline runs."""

import psutil
import pytest

from pipeline import orders, runs
from pipeline.launch import BACKGROUND
from pipeline.orders import Command, OrderRefused, give
from ringbuf.panel import Life
from tests.pipeline.running import TOGETHER, Place, Running, corelane, lines, portfolios, tables

DAY = {"kind": "synthetic", "messages": 60_000, "symbols": 8, "seed": 3}
FLOW = ("ingest", "book", "risk", "publisher")
SLOW = {"rate": 400.0}  # events a second: it is stopped long before the day ends


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, list[tuple]]:
    """What the same day gives when nobody disturbs it."""
    place = Place(tmp_path_factory.mktemp("alone"))
    try:
        place.run(
            place.write(
                feeds=[DAY], risk=portfolios(), publisher=place.history(), processes=TOGETHER
            )
        )
    finally:
        place.close()
    return tables(place.folder / "history")


@pytest.fixture
def running(place) -> Running:
    """A pipeline with a journal in the midst of its day."""
    running = place.start(
        place.write(
            feeds=[DAY],
            risk=portfolios(),
            ingest=SLOW,
            rings={"events": 1024, "book": 1024, "risk": 1024},
            publisher=place.history(),
            journal={"path": str(place.folder / "journal"), "snapshot_s": 0.5},
        )
    )
    running.until_received("publisher", 100)
    return running


def end(running: Running) -> None:
    """Stop it, and see it end well."""
    runs.stop(running.name, False)
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced


def check_history(place: Place, alone: dict[str, list[tuple]]) -> None:
    """Everything that was published is what is published when nobody disturbs."""
    there = tables(place.folder / "history")
    for name, rows in there.items():
        assert rows == alone[name][: len(rows)], name
    assert len(there["tops"]) > 100
    assert there["risk"]


def life(running: Running, stage: str) -> Life:
    panel = running.panel(stage)
    found = panel.life
    panel.close()
    return found


@pytest.mark.parametrize("order", [Command.PAUSE, Command.EMPTY])
def test_each_stage_ends_and_goes_on_and_nothing_shows_it(place, running, alone, capfd, order):
    for stage in FLOW:
        give(stage, place.name, order)
        assert life(running, stage) is Life.HELD
        others = [name for name in FLOW if name != stage]
        assert {life(running, name) for name in others} == {Life.RUNNING}
        starts = {name: running.starts(name) for name in FLOW}
        give(stage, place.name, Command.RESTART)
        assert {name: running.starts(name) for name in FLOW} == {
            **starts,
            stage: starts[stage] + 1,
        }
        told = capfd.readouterr().err.splitlines()
        assert told[0].startswith(f"{place.name}: {stage} has ended, its neighbours wait")
        assert told[1] == f"{place.name}: {stage} runs again"
    end(running)
    check_history(place, alone)


def test_living_stages_are_restarted(place, running, alone):
    for stage in ("book", "journal", "snapshot"):
        before = running.pid(stage)
        give(stage, place.name, Command.RESTART)
        assert running.pid(stage) != before
        assert running.starts(stage) == 2
    usual = psutil.Process(running.process.pid).nice()
    for stage in (*FLOW, "journal"):  # they went first for a moment only
        assert psutil.Process(running.pid(stage)).nice() == usual, stage
    assert psutil.Process(running.pid("snapshot")).nice() == usual + BACKGROUND
    end(running)
    check_history(place, alone)


def test_the_end_of_a_pipeline_takes_who_was_held_along(place, running, alone):
    give("risk", place.name, Command.PAUSE)
    end(running)
    check_history(place, alone)


def test_they_are_commands(place, running, monkeypatch):
    for order, said in (("stop", "has ended"), ("drain", "has ended"), ("restart", "runs again")):
        assert f"{place.name}: risk {said}" in corelane(order, "risk", place.name).err
    monkeypatch.setattr(runs, "running", lambda: [place.name])
    assert orders.is_stage("risk")
    assert not orders.is_stage("rsk")
    give("risk", None, Command.RESTART)  # the only pipeline need not be named
    ran = corelane("restart", "bok", place.name, code=2)
    known = "known: book, ingest, journal, publisher, risk, snapshot"
    (told,) = lines(ran.err)
    assert told == f"corelane: {place.name} has no stage 'bok'; did you mean 'book'? {known}"
    assert "a stage and a pipeline" in corelane("stop", "a", "b", "c", code=2).err
    assert "no pipeline named 'none'" in corelane("drain", "book", "none", code=2).err
    monkeypatch.setattr(orders.memory, "roles_held", lambda name: [])
    with pytest.raises(OrderRefused, match="runs without a supervisor; tell systemd"):
        give("book", place.name, Command.RESTART)
    end(running)


def test_without_a_journal_no_stage_can_go_on(place):
    running = place.start(place.write(ingest=SLOW))
    running.until_received("book", 10)
    for order in (Command.PAUSE, Command.EMPTY, Command.RESTART):
        with pytest.raises(OrderRefused, match=r"book: cannot go on .* give the pipeline a"):
            give("book", place.name, order)
    assert life(running, "book") is Life.RUNNING
    end(running)
