"""The snapshot stage: the state of all stages in files, as of one event; nobody is held up."""

from pathlib import Path

import numpy as np
import pytest

from ringbuf import snapshot
from ringbuf.journal import Journal
from tests.workers.joined import RINGS, joint
from tests.workers.limits import files_end_at
from tests.workers.test_replica import LIVE, LOG, replica, together
from workers.replica import Replica
from workers.snapshots import FOLDER, SnapshotOptions, Snapshots

SHAPE = "as here"


@pytest.fixture
def log(tmp_path):
    """The journal of a day, of which nothing is written yet."""
    made = Journal(tmp_path / "events", "events", RINGS["events"], 1 << 16)
    yield made
    made.close()


def stage_of(at, folder: Path, every_s: float = 1e9, keep: int = 3, shown=dict) -> Snapshots:
    def again() -> Replica:
        return replica(found=snapshot.newest(folder / FOLDER, SHAPE)[0])

    options = SnapshotOptions(folder, every_s, keep, SHAPE, again, shown)
    stage = Snapshots(options, at.links)
    stage.open()
    return stage


def to_the_end(stage: Snapshots) -> None:
    stage.drain()
    while not stage.finished:
        stage.turn(0)
    stage.close()


def positions(folder: Path) -> list[int]:
    listed = snapshot.listed(folder / FOLDER)
    assert not [item.fault for item in listed if item.fault]
    return [item.positions["events"] for item in listed]


def message(at) -> str:
    return bytes(at.links.panel.status["message"]).decode()


def test_a_snapshot_is_what_a_replica_is_then(tmp_path, log):
    with joint(Snapshots) as at:
        stage = stage_of(at, tmp_path)
        log.append_records(LOG[:200])
        assert stage.turn(0) == 200
        assert stage.turn(0) == 0
        assert positions(tmp_path) == []  # it is not time
        to_the_end(stage)
        assert positions(tmp_path) == [200]
        tally = at.counters("snapshot")
        assert (tally["received"], tally["position"], tally["newest"]) == (200, 200, 200)
        assert (tally["saved"], tally["failed"]) == (1, 0)
        (path,) = (tmp_path / FOLDER).glob("*.snapshot")
        assert tally["bytes"] == path.stat().st_size
        assert tally["save_ns"] > 0
    found, _ = snapshot.newest(tmp_path / FOLDER, SHAPE)
    before = replica()
    given = together(before.take(LOG[:200]))
    after = together(replica(found=found).take(LOG[200:]))
    assert {name: given[name] + after[name] for name in LIVE} == LIVE


def test_the_next_process_goes_on_from_the_newest(tmp_path, log):
    with joint(Snapshots) as at:
        log.append_records(LOG[:100])
        first = stage_of(at, tmp_path)
        to_the_end(first)
        log.append_records(LOG[100:150])
        second = stage_of(at, tmp_path)
        assert second.turn(0) == 50
        to_the_end(second)
        assert positions(tmp_path) == [100, 150]
        assert at.counters("snapshot")["received"] == 150


def test_snapshots_are_taken_when_it_is_time_and_old_ones_go(tmp_path, log):
    with joint(Snapshots) as at:
        stage = stage_of(at, tmp_path, every_s=0, keep=2)
        for place in range(0, 200, 40):
            log.append_records(LOG[place : place + 40])
            assert stage.turn(0) == 40
        assert positions(tmp_path) == [160, 200]
        for _ in range(5):  # nothing has happened since
            stage.turn(0)
        to_the_end(stage)
        assert positions(tmp_path) == [160, 200]
        assert at.counters("snapshot")["saved"] == 5


def test_a_full_disk_is_told_and_the_next_try_may_do(tmp_path, log):
    with joint(Snapshots) as at:
        stage = stage_of(at, tmp_path, every_s=0)
        log.append_records(LOG[:100])
        with files_end_at(8192):
            stage.turn(0)
            assert "raise the limit on file sizes" in message(at)
            assert str(tmp_path / FOLDER) in message(at)
            stage.turn(0)
        assert at.counters("snapshot")["failed"] == 2
        assert positions(tmp_path) == []
        assert not [path for path in (tmp_path / FOLDER).iterdir() if path.is_file()]
        stage.turn(0)
        assert message(at) == ""
        assert positions(tmp_path) == [100]
        assert at.counters("snapshot")["failed"] == 2


def test_a_file_in_the_way_is_told(tmp_path, log):
    (tmp_path / FOLDER).write_text("mine")
    with joint(Snapshots) as at:
        stage = Snapshots(SnapshotOptions(tmp_path, 1e9, 2, SHAPE, replica, dict), at.links)
        stage.open()
        log.append_records(LOG[:100])
        to_the_end(stage)  # a pipeline that ends does not wait for it
        assert at.counters("snapshot")["failed"] == 1
        assert str(tmp_path / FOLDER) in message(at)
        assert (tmp_path / FOLDER).read_text() == "mine"


def test_a_snapshot_is_of_bytes_that_stay(tmp_path, log):
    """While one is written the heart goes on beating, and nothing else happens."""
    with joint(Snapshots) as at:
        stage = stage_of(at, tmp_path)
        log.append_records(LOG)
        while stage.turn(0):
            pass
        before = {name: block.copy() for name, block in stage.replica.blocks().items()}
        at.links.panel.status["heartbeat_ns"] = 0
        to_the_end(stage)
        assert at.links.panel.status["heartbeat_ns"] > 0
        found, _ = snapshot.newest(tmp_path / FOLDER, SHAPE)
        for name, block in before.items():
            content = np.zeros_like(block)
            found.load(name, content)
            assert content.tobytes() == block.tobytes(), name


def test_a_snapshot_waits_for_stages_that_are_behind(tmp_path, log):
    """One that was ahead of what is published would be of no use to who starts from it."""
    shown = {"events": 100, "book": 0, "risk": 0}
    with joint(Snapshots) as at:
        stage = stage_of(at, tmp_path, every_s=0, shown=lambda: shown)
        log.append_records(LOG[:100])
        assert stage.turn(0) == 100
        assert positions(tmp_path) == []
        shown |= {"book": stage.replica.positions["book"]}
        stage.due = 0
        stage.turn(0)
        assert positions(tmp_path) == []
        shown |= {"risk": stage.replica.positions["risk"]}
        assert stage.due > 0  # soon
        stage.due = 0
        stage.turn(0)
        assert positions(tmp_path) == [100]
        assert at.counters("snapshot")["failed"] == 0
