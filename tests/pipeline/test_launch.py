"""Stages of one memory: made whole, cleared when dead, and the same however they are started."""

import json
import os
import signal
import sys
import time

import pytest

from pipeline import launch, plan
from pipeline.config import load
from pipeline.report import collect
from ringbuf import memory
from ringbuf.memory import SegmentError
from ringbuf.panel import Life, Panel
from tests.pipeline.running import (
    COMMAND,
    LIMIT_S,
    corelane,
    portfolios,
    spawn,
    tables,
)
from tuning import topology

FOUR = ("ingest", "book", "risk", "publisher")


@pytest.fixture
def made(place):
    """The plan of a whole pipeline whose memory has been made."""
    config = load(place.write(risk=portfolios(), publisher=place.history()))
    planned = plan.make(config, topology.read())
    launch.create(planned).close()
    yield planned
    launch.remove(place.name)


def test_memory_is_what_the_plan_says(place, made):
    parts = {name.removeprefix(f"corelane.{place.name}.") for name in memory.names(place.name)}
    panels = {f"panel.{stage.name}" for stage in made.stages}
    others = {part.name for part in made.segments if part.kind != "panel"}
    assert parts == panels | others | {"run"}
    for name in memory.names(place.name):
        status = (memory.FOLDER / name).stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_blocks * 512 >= status.st_size  # backed before anybody needs it
    assert launch.run_id(place.name).endswith(f"-{os.getpid()}")


def test_all_stages_convert_cycles_alike(place, made):
    clocks = [bytes(Panel(place.name, stage.name).status["clock"]) for stage in made.stages]
    assert len(set(clocks)) == 1
    assert any(clocks[0])


def test_what_is_made_twice_is_refused_and_leaves_the_first(place, made):
    before = memory.names(place.name)
    with pytest.raises(SegmentError, match="exists already"):
        launch.create(made)
    assert memory.names(place.name) == before


def test_half_a_pipeline_is_removed_where_the_rest_cannot_be_made(place):
    planned = plan.make(load(place.write()), topology.read())
    blocker = memory.create(place.name, "depth", "test", 64, "{}")
    with pytest.raises(SegmentError, match="exists already"):
        launch.create(planned)
    assert memory.names(place.name) == [blocker.name]
    memory.unlink(blocker.name)


def test_only_dead_memory_is_cleared(place, made):
    panel = Panel(place.name, "book", own=True)
    with pytest.raises(SegmentError, match=rf"is running already \(process {os.getpid()}"):
        launch.clear_dead(place.name)
    panel.close()
    assert launch.clear_dead(place.name) == 12
    assert launch.clear_dead(place.name) == 0


def test_one_at_a_time_makes_or_clears_memory(place, monkeypatch):
    monkeypatch.setattr(launch, "LOCK_S", 0.1)
    with launch.only_one(place.name):
        with launch.only_one(f"{place.name}-other"):
            pass
        with (
            pytest.raises(SegmentError, match=r"another process has been making or clearing"),
            launch.only_one(place.name),
        ):
            pass
    with launch.only_one(place.name):
        pass


def test_who_waits_gets_its_turn(place):
    order = place.folder / "order"
    script = (
        "from pathlib import Path; from pipeline import launch\n"
        f"with launch.only_one({place.name!r}): Path({str(order)!r}).open('a').write('child')"
    )
    with launch.only_one(place.name):
        child = spawn([sys.executable, "-c", script])
        time.sleep(0.5)
        order.write_text("parent, ")
    assert ended([child]) == [(0, "")]
    assert order.read_text() == "parent, child"


def by_hand(config, *groups: tuple[str, ...]):
    """Processes of stages, started as a person would."""
    return [spawn([*COMMAND, "stage", *group, "--config", str(config)]) for group in groups]


def ended(processes) -> list[tuple[int, str]]:
    return [
        (process.returncode, err)
        for process in processes
        for _, err in [process.communicate(timeout=LIMIT_S)]
    ]


def test_stages_started_by_hand_do_what_a_run_does(place):
    config = place.write(risk=portfolios(), publisher=place.history("{run}"))
    ran = place.run(config)
    expected = tables(place.folder / ran.report.run_id)
    for groups in ([(name,) for name in FOUR], [("publisher", "book"), ("risk", "ingest")]):
        processes = by_hand(config, *groups)
        assert ended(processes) == [(0, "")] * len(processes)
        status = json.loads(corelane("status", place.name, "--json").out)
        assert {stage["life"] for stage in status["stages"]} == {"finished"}
        report = collect(place.name)
        assert report.balanced
        assert tables(place.folder / report.run_id) == expected
        assert report.run_id != ran.report.run_id
    listed = corelane("segments", "ls").out
    mine = [line for line in listed.splitlines() if place.name in line]
    assert len(mine) == 12
    assert all(line.split()[-1] == "dead" for line in mine)
    assert corelane("segments", "rm", place.name).out == f"removed 12 segments of {place.name}\n"


def test_stages_started_by_hand_can_be_stopped(place):
    config = place.write(ingest={"rate": 500.0}, publisher=place.history())
    processes = by_hand(config, ("ingest",), ("book",), ("publisher",))
    limit = time.monotonic() + LIMIT_S
    while not (memory.names(place.name) and is_running(place.name)):
        assert time.monotonic() < limit
        time.sleep(0.05)
    refused = corelane("segments", "rm", place.name, code=2)
    assert "is running already" in refused.err
    twice = corelane("stage", "book", "--config", config, code=2)
    assert "another living process is its owner already" in twice.err
    assert f"{place.name} has stopped" in corelane("stop", place.name).err
    assert ended(processes) == [(0, "")] * 3
    assert collect(place.name).balanced
    launch.remove(place.name)


def is_running(name: str) -> bool:
    try:
        return all(
            Panel(name, stage).life is Life.RUNNING for stage in ("ingest", "book", "publisher")
        )
    except SegmentError:
        return False


def test_a_stage_that_died_cannot_come_back_among_the_living(place):
    config = place.write(ingest={"rate": 500.0}, publisher=place.history())
    processes = by_hand(config, ("ingest",), ("book",), ("publisher",))
    limit = time.monotonic() + LIMIT_S
    while not (memory.names(place.name) and is_running(place.name)):
        assert time.monotonic() < limit
        time.sleep(0.05)
    processes[1].kill()
    processes[1].communicate()
    again = corelane("stage", "book", "--config", config, code=2)
    assert "stage 'book'" in again.err
    assert "has run already, and what it knew is gone" in again.err
    for process in (processes[0], processes[2]):
        process.send_signal(signal.SIGKILL)
        process.communicate()
    launch.remove(place.name)


def test_a_stage_that_the_pipeline_does_not_have(place):
    ran = corelane("stage", "risk", "--config", place.write(), code=2)
    told = f"{place.name}: no stage 'risk' in this pipeline; it has ingest, book"
    assert ran.err == f"corelane: {told}\n"
