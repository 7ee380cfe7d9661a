"""The journal stage: whatever a ring lets go of is in its file first, whatever happens."""

import os
import time

import numpy as np
import pytest

from pipeline.config import Journal as Options
from ringbuf import ring, snapshot
from ringbuf.journal import JournalReader
from ringbuf.journal_files import RECORDS, path_of
from ringbuf.share import RingReader, Seat
from tests.workers.joined import RINGS, Joint, joint
from tests.workers.limits import files_end_at
from workers.journal import LIMIT, RETRY_S, Journal
from workers.records import EVENT, RISK, TOP, empty
from workers.recovery import layouts_of
from workers.snapshots import FOLDER

DTYPES = {"events": EVENT, "book": TOP, "risk": RISK}
IN_MB = ((1 << 20) - RECORDS) // 64  # records in a segment of a megabyte
LATE = Seat("late", ring.Policy.REPLAY)


def records(name: str, first: int, count: int) -> np.ndarray:
    """Records that tell which they are."""
    made = empty(DTYPES[name], count)
    made["time_ns"] = np.arange(first, first + count)
    return made


def stage_of(at: Joint, folder, **more) -> Journal:
    options = Options(path=str(folder), **({"segment_mb": 1} | more))
    stage = Journal(options, "test", at.links)
    stage.open()
    return stage


def feed(at: Joint, **counts: int) -> None:
    for name, count in counts.items():
        source = at.sources[name]
        source.written += source.push(records(name, source.written + 1, count))


def end(at: Joint, stage: Journal) -> None:
    for source in at.sources.values():
        ring.close(source.view)
    while not stage.finished:
        stage.turn(0)
    stage.close()


def kept(folder, name: str) -> list[int]:
    """What a journal holds, by the records' own word for it."""
    reader = JournalReader(folder / name)
    found = reader.read(reader.first, 1 << 20)
    assert found["sequence"].tolist() == list(range(reader.first, reader.first + len(found)))
    reader.close()
    return found["time_ns"].tolist()


def position(at: Joint, name: str) -> int:
    """How far the writer of a ring may go, for all that the journal minds."""
    return int(ring.lines(at.sources[name].segment.payload)[1][0]["position"])


def message(at: Joint) -> str:
    return bytes(at.links.panel.status["message"]).decode()


@pytest.mark.parametrize("durability", ["none", "async", "sync"])
def test_every_ring_is_in_its_file(tmp_path, durability):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, durability=durability)
        assert stage.turn(0) == 0
        feed(at, events=300, book=200, risk=100)
        assert stage.turn(0) == 600
        feed(at, events=10)
        assert stage.turn(0) == 10
        assert not stage.finished
        end(at, stage)
        counts = {"events": 310, "book": 200, "risk": 100}
        for name, count in counts.items():
            assert kept(tmp_path, name) == list(range(1, count + 1))
            assert position(at, name) == count
            tally = at.counters(name)
            assert (tally["written"], tally["records"], tally["segments"]) == (count, count, 1)
            assert tally["durable"] == (0 if durability == "none" else count)
            assert tally["held"] == 0
            assert not ring.lines(at.sources[name].segment.payload)[1][0]["policy"]  # it has left
        reader = JournalReader(tmp_path / "book", layouts_of(at.sources["book"].segment))
        reader.close()


def test_only_sync_has_every_event_on_disk_before_it_lets_go(tmp_path):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, durability="sync")
        for number in range(1, 6):
            feed(at, events=20, book=20)
            stage.turn(0)
            events, book = at.counters("events"), at.counters("book")
            assert events["durable"] == events["written"] == position(at, "events") == 20 * number
            assert events["commits"] == number
            assert (book["written"], book["commits"]) == (20 * number, 0)  # it follows from events
        # One by opening, five by events.
        assert at.links.panel.summary("commit").as_dict()["count"] == 6


def test_async_syncs_when_it_is_time(tmp_path):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, durability="async", sync_ms=1e9)
        feed(at, events=20, book=20)
        stage.turn(0)
        assert (at.counters("events")["durable"], at.counters("book")["durable"]) == (0, 0)
        stage.synced = -1e9  # long ago
        feed(at, risk=20)
        stage.turn(0)
        for name in DTYPES:
            tally = at.counters(name)
            assert tally["durable"] == 20
            assert tally["commits"] == 1
        stage.synced = -1e9
        stage.turn(0)  # there is nothing new
        assert at.counters("risk")["commits"] == 1


def test_with_none_nothing_is_waited_for(tmp_path):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, durability="none")
        stage.synced = -1e9
        feed(at, events=20)
        stage.turn(0)
        assert (at.counters("events")["durable"], at.counters("events")["commits"]) == (0, 0)
        end(at, stage)
        assert at.counters("events")["commits"] == 0


def test_a_full_disk_holds_it_and_nothing_is_lost(tmp_path):
    with joint(Journal, capacity=256) as at:
        stage = stage_of(at, tmp_path)
        feed(at, events=10)
        stage.turn(0)
        for log in stage.logs.values():
            log.spare.wait()
        with files_end_at(RECORDS + 64 * 100):
            feed(at, events=150, book=5)
            assert stage.turn(0) == 0
            assert position(at, "events") == 10  # whoever wrote them keeps them
            assert "raise the limit on file sizes" in message(at)
            assert at.counters("events")["held"] == 1
            before = at.sources["events"].written
            feed(at, events=256)
            assert at.sources["events"].written == 10 + 256 > before  # and waits now
            stage.turn(0)  # no try yet
            assert at.counters("events")["held"] == 1
            time.sleep(RETRY_S)
            stage.turn(0)
            assert at.counters("events")["held"] == 2
            assert position(at, "events") == 10
        time.sleep(RETRY_S)
        assert stage.turn(0) == 256 + 5
        assert message(at) == ""
        assert position(at, "events") == 266
        end(at, stage)
        assert kept(tmp_path, "events") == list(range(1, 267))
        assert kept(tmp_path, "book") == list(range(1, 6))


@pytest.mark.parametrize("durability", ["none", "sync"])
def test_one_that_died_between_its_file_and_its_line_goes_on(tmp_path, durability):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, durability=durability)
        feed(at, events=100, book=50)
        stage.turn(0)
        at.leave()
        for log in stage.logs.values():
            log._let_go()  # as the kernel does
        for name in ("events", "book"):  # it had written, and died before it let go
            ring.lines(at.sources[name].segment.payload)[1][0]["position"] = 30
        feed(at, events=20)
        at.links = at.join()
        again = stage_of(at, tmp_path, durability=durability)
        assert (position(at, "events"), position(at, "book")) == (100, 50)
        assert again.turn(0) == 20
        feed(at, risk=5)
        end(at, again)
        assert kept(tmp_path, "events") == list(range(1, 121))
        assert kept(tmp_path, "book") == list(range(1, 51))
        assert at.counters("events")["records"] == 120


def test_a_second_journal_of_the_same_folder_is_refused(tmp_path):
    with joint(Journal) as at, joint(Journal) as other:
        stage_of(at, tmp_path)
        with pytest.raises(RuntimeError, match="another process is writing it"):
            stage_of(other, tmp_path)


def pour(at: Joint, stage: Journal, count: int) -> None:
    """Have so many events pass through."""
    until = at.sources["events"].written + count
    while at.sources["events"].written < until:
        feed(at, events=min(LIMIT, until - at.sources["events"].written))
        stage.turn(0)


def first_of(folder) -> int:
    reader = JournalReader(folder / "events")
    first = reader.first
    reader.close()
    return first


def save(folder, events: int) -> None:
    """A snapshot of then, as far as the journal looks at it."""
    block = {"block": np.zeros(64, np.uint8)}
    snapshot.save(folder / FOLDER, {"events": events, "book": 0, "risk": 0}, "any", block)


@pytest.mark.compiled
def test_segments_stay_as_long_as_anybody_may_need_them(tmp_path):
    """The oldest snapshot's events, and what a slow reader that replays has not read yet."""
    with joint(Journal, capacity=LIMIT, seats=[LATE]) as at:
        stage = stage_of(at, tmp_path, durability="none", keep_mb=1)
        late = RingReader(at.name, "events", RINGS["events"], "late", reader_of(tmp_path))
        pour(at, stage, 4 * IN_MB)
        assert first_of(tmp_path) == 1  # there is no snapshot: all would be read again
        save(tmp_path, 2 * IN_MB + 5)
        save(tmp_path, 3 * IN_MB + 5)
        pour(at, stage, IN_MB)
        assert first_of(tmp_path) == 1  # the slow reader has read nothing
        late.release(IN_MB + 1)
        pour(at, stage, IN_MB)
        assert first_of(tmp_path) == 1 + IN_MB
        late.release(6 * IN_MB)
        pour(at, stage, IN_MB)
        assert first_of(tmp_path) == 1 + 2 * IN_MB  # the older of the two snapshots
        (tmp_path / FOLDER / f"{2 * IN_MB + 5:020}.snapshot").unlink()
        pour(at, stage, IN_MB)
        assert first_of(tmp_path) == 1 + 3 * IN_MB
        end(at, stage)
        assert kept(tmp_path, "events") == list(range(1 + 3 * IN_MB, 8 * IN_MB + 1))
        assert at.counters("events")["segments"] <= 6


def reader_of(folder) -> JournalReader:
    return JournalReader(folder / "events")


@pytest.mark.compiled
def test_without_a_bound_everything_stays(tmp_path):
    with joint(Journal, capacity=LIMIT) as at:
        stage = stage_of(at, tmp_path, durability="none")
        save(tmp_path, 3 * IN_MB)
        pour(at, stage, 3 * IN_MB)
        assert first_of(tmp_path) == 1
        end(at, stage)
        assert kept(tmp_path, "events") == list(range(1, 3 * IN_MB + 1))


@pytest.mark.compiled
def test_files_that_are_too_old_go_where_nobody_needs_them(tmp_path):
    with joint(Journal, capacity=LIMIT) as at:
        stage = stage_of(at, tmp_path, durability="none", keep_days=2.0)
        pour(at, stage, 3 * IN_MB)

        def look() -> int:
            stage.look = 0.0
            stage.turn(0)
            return first_of(tmp_path)

        save(tmp_path, IN_MB + 5)
        assert look() == 1
        for first in (1, 1 + IN_MB):
            os.utime(path_of(tmp_path / "events", first), (time.time() - 3 * 86_400,) * 2)
        stage.archive = tmp_path / "archive"
        assert look() == 1  # it is not in the archive yet
        stage.archive = None
        assert look() == 1 + IN_MB  # what follows is needed by the snapshot
        end(at, stage)
        assert kept(tmp_path, "events") == list(range(1 + IN_MB, 3 * IN_MB + 1))


def test_a_ring_that_stays_empty_is_closed_like_the_others(tmp_path):
    with joint(Journal) as at:
        stage = stage_of(at, tmp_path, keep_mb=0)
        feed(at, events=3)
        end(at, stage)
        assert kept(tmp_path, "events") == [1, 2, 3]
        assert kept(tmp_path, "risk") == []
