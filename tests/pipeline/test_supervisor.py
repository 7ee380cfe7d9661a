"""Whatever happens to a pipeline, it ends in order, says why, and leaves nothing behind."""

import os
import signal
import time

import pytest

from ringbuf import memory
from tests.pipeline.running import portfolios, tables

SLOW = {"rate": 4_000.0}  # the day of the tests takes five seconds


@pytest.fixture
def whole(place):
    """Tables of a configuration with all four stages."""
    return {"risk": portfolios(), "publisher": place.history()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_drains_from_the_source(place, whole, number):
    running = place.start(place.write(ingest=SLOW, **whole))
    running.until_received("publisher", 200)
    ran = running.end(number)
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    assert {stage.life for stage in ran.report.stages} == {"finished"}
    ingest = ran.stage("ingest").counters
    assert 200 < ingest["feed0"]["messages"] < 20_000
    assert ingest["feed0"]["events"] == ingest["ingest"]["published"]
    kept = tables(place.folder / "history")
    publisher = ran.stage("publisher").counters["sink0"]
    assert sum(map(len, kept.values())) == publisher["written"] > 0


def test_the_second_signal_ends_at_once(place, whole):
    running = place.start(place.write(ingest={"rate": 100.0}, **whole))
    running.until_received("book", 20)
    os.kill(running.pid("book"), signal.SIGSTOP)  # nobody can drain now
    ran = running.end(signal.SIGTERM, signal.SIGTERM)
    assert ran.code == 1
    assert "stopped at once, at the second signal" in ran.err


def test_a_killed_publisher_goes_on_and_doubles_nothing(place, whole):
    calm = place.run(place.write("calm.toml", **whole | {"publisher": place.history("calm")}))
    limits = {"rows_per_file": 500}
    config = place.write(
        ingest=SLOW, risk=portfolios(), publisher=place.history(**limits) | {"flush_s": 0.05}
    )
    running = place.start(config)
    for received in (200, 1500):
        running.until_received("publisher", received)
        running.kill("publisher")
    ran = running.end()
    assert ran.code == 0, ran.err
    assert "publisher: killed by SIGKILL; started again in 0.1 s" in ran.err
    assert ran.stage("publisher").starts == 3
    assert ran.report.balanced
    assert tables(place.folder / "history") == tables(place.folder / "calm")
    assert calm.report.balanced
    assert ran.stage("risk").counters == calm.stage("risk").counters


@pytest.mark.parametrize("stage", ["ingest", "book", "risk"])
def test_a_killed_stage_with_a_state_ends_the_pipeline(place, whole, stage):
    running = place.start(place.write(ingest=SLOW, **whole))
    running.until_received("publisher", 100)
    running.kill(stage)
    end = running.end()
    assert end.code == 1
    assert end.err.splitlines()[-1] == f"corelane: {stage}: killed by SIGKILL"
    lives = {each.name: each.life for each in end.report.stages}
    assert lives == dict.fromkeys(lives, "finished") | {stage: "failed"}
    assert end.stage(stage).message == "killed by SIGKILL"
    lags = {
        f"{ring.name} -> {reader.name}": reader.lag
        for ring in end.report.rings
        for reader in ring.readers
    }
    assert end.report.lost == {way: lag for way, lag in lags.items() if lag}
    reads = {"ingest": [], "book": ["events -> book"], "risk": ["book -> risk"]}[stage]
    assert [*end.report.lost] == reads  # the drained source had more for it, always
    assert all(way in end.out for way in reads)
    assert not end.report.balanced  # what ingest had staged shows there too
    kept = tables(place.folder / "history")
    assert sum(map(len, kept.values())) == end.stage("publisher").counters["sink0"]["written"]


def test_a_publisher_that_dies_again_and_again_ends_the_pipeline(place, whole):
    limits = {"restarts": 1, "backoff_s": 0.01}
    running = place.start(place.write(ingest=SLOW, supervision=limits, **whole))
    for start in (1, 2):
        running.until(lambda start=start: running.starts("publisher") == start, f"start {start}")
        running.until_received("publisher", 50)
        running.kill("publisher")
    end = running.end()
    assert end.code == 1
    assert end.err.count("started again") == 1
    assert "publisher: killed by SIGKILL" in end.err.splitlines()[-1]


def test_a_stage_that_hangs_is_noticed(place):
    running = place.start(place.write(ingest={"rate": 2_000.0}, supervision={"hang_s": 1.5}))
    running.until_received("book", 10)
    running.kill("book", signal.SIGSTOP)
    end = running.end()
    assert end.code == 1
    assert "book: hung: no heartbeat for" in end.err


def test_a_stage_that_never_gets_ready_is_noticed(place):
    end = place.run(place.write(supervision={"ready_s": 0.01}), code=1)
    assert "not ready in time; raise the limit if this machine is slow" in end.err
    assert "supervision.ready_s = 0.01" in end.err


def test_a_drain_that_takes_too_long_is_cut_off(place):
    running = place.start(place.write(ingest={"rate": 1_000.0}, supervision={"drain_s": 1.0}))
    running.until_received("book", 10)
    running.kill("book", signal.SIGSTOP)
    end = running.end(signal.SIGTERM)
    assert end.code == 1
    assert "book did not drain within 1 s (supervision.drain_s)" in end.err


def test_nobody_survives_a_killed_supervisor_and_the_next_run_clears_up(place, whole):
    config = place.write(ingest=SLOW, **whole)
    running = place.start(config)
    running.until_received("publisher", 20)
    running.process.kill()
    running.process.wait()
    limit = time.monotonic() + 20
    while place.processes() and time.monotonic() < limit:
        time.sleep(0.01)
    assert place.processes() == []
    left = len(memory.names(place.name))
    assert left == 12  # three rings, four boards, four panels and the run itself
    again = place.write("again.toml", risk=portfolios(), publisher=place.history("again"))
    ran = place.run(again)
    told = [line for line in ran.err.splitlines() if "removed" in line]
    assert told == [f"removed {left} segments that a run of this name left when it died"]
    assert ran.report.balanced


def test_a_second_pipeline_of_the_same_name_is_refused_and_the_first_undisturbed(place):
    running = place.start(place.write(ingest={"rate": 400.0}))
    running.until_received("book", 10)
    second = place.start(place.write("second.toml")).end()
    assert second.code == 2
    assert (
        f"pipeline {place.name!r} is running already (process {running.process.pid}" in second.err
    )
    assert f"corelane stop {place.name}" in second.err
    assert len(second.err.strip().splitlines()) == 1
    first = running.end(signal.SIGINT)
    assert first.code == 0
    assert first.report.balanced


@pytest.mark.parametrize("ring", ["events", "risk"])
def test_shared_memory_that_does_not_suffice_is_one_error_and_leaves_nothing(place, whole, ring):
    end = place.run(place.write(rings={ring: 1 << 32}, **whole), code=2)
    (line,) = end.err.strip().splitlines()
    assert f"segment corelane.{place.name}.{ring}: " in line
    assert "bytes do not fit, /dev/shm has" in line
    assert "make rings or books smaller" in line
    assert not [path.name for path in memory.FOLDER.glob(f"{memory.PREFIX}-draft.*")]
