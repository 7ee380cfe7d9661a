"""Stored days: found in a log, and each of them played alone, from the journal or the archive."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf.journal import Journal, JournalError
from ringbuf.journal_files import RECORDS, path_of
from tests.workers.joined import RINGS, joint, turn_until_finished
from workers import archive
from workers.almanac import NEW_DAY, Setting
from workers.feeds.feed import FeedError
from workers.feeds.history import HistoryOptions
from workers.feeds.journal import JournalOptions
from workers.feeds.kept import DAY_NS, KeptLog, days_of
from workers.ingest import Ingest, IngestOptions
from workers.records import EVENT, Event, empty
from workers.sessions import DayOptions

IN_SEGMENT = 40
NIGHT = np.datetime64("2026-11-20", "D").astype(int) * DAY_NS


def directory(number: int) -> np.ndarray:
    event = empty(EVENT, 1)[0]
    words = np.frombuffer(f"I{number}".ljust(24).encode(), np.int64)
    event["order"], event["other"], event["price"] = words
    event["kind"], event["instrument"], event["quantity"] = Event.DIRECTORY, number, 100
    return event


def plain_log(days: int, each: int = 50) -> np.ndarray:
    """Two instruments are announced, then so many orders a day: a log as ingest makes it."""
    events = empty(EVENT, 2 + days * each)
    events["kind"], events["quantity"], events["price"] = Event.ADD, 1, 100
    events["order"] = np.arange(1, len(events) + 1)
    for number in range(2):
        events[number] = directory(number)
    events["instrument"][2:] = np.arange(days * each) % 2
    times = (np.arange(days * each) // each) * DAY_NS + np.arange(days * each) * 1_000
    events["time_ns"] = NIGHT + 9 * 3600 * 10**9
    events["time_ns"][2:] += times
    return events


def keep(folder: Path, log: np.ndarray) -> Path:
    """A log in a journal of a pipeline."""
    made = Journal(folder / "events", "events", RINGS["events"], RECORDS + 64 * IN_SEGMENT)
    made.append_records(log)
    made.close()
    (folder / "run.json").write_text(json.dumps({"run_id": "r1"}))
    return folder


def played(feed, setting: Setting = Setting()) -> np.ndarray:  # noqa: B008 (it has no state)
    with joint(Ingest, parts=1) as at:
        stage = Ingest(IngestOptions(), [feed], at.links, setting)
        stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        assert stage.progress() == 1.0
        assert at.balanced()
        return log


def plain(events: np.ndarray) -> list[tuple]:
    names = [name for name in EVENT.names if name not in ("arrived_ns", "sequence", "source")]
    return list(zip(*(events[name].tolist() for name in names), strict=True))


@pytest.fixture
def rolled(tmp_path) -> tuple[Path, np.ndarray]:
    """A journal of three days that ingest has marked, and its events."""
    first = keep(tmp_path / "first", plain_log(3))
    log = played(JournalOptions(path=str(first)), Setting(DayOptions()))
    return keep(tmp_path / "rolled", log), log


def test_the_days_of_a_log_are_what_its_marks_say(rolled):
    folder, log = rolled
    (begins,) = np.nonzero((log["kind"] == Event.SYSTEM) & (log["flags"] == NEW_DAY))
    days = days_of(KeptLog(folder))
    assert [day.date for day in days] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert [day.first for day in days] == (begins + 1).tolist()
    assert [day.last for day in days] == [*begins[1:].tolist(), len(log)]
    assert all(day.whole for day in days)


def test_a_day_is_played_alone_and_is_whole(rolled):
    folder, log = rolled
    for day in days_of(KeptLog(folder)):
        alone = played(HistoryOptions(path=str(folder), day=day.date))
        assert plain(alone) == plain(log[day.first - 1 : day.last])
        assert alone["kind"][0] == Event.SYSTEM
        assert alone["instrument"].max() == 1


def test_a_log_that_has_days_keeps_them(rolled):
    """It may be played with another roll, or the same: none is told twice."""
    folder, log = rolled
    for roll in ("00:00", "09:00"):
        again = played(JournalOptions(path=str(folder)), Setting(DayOptions(roll=roll)))
        assert plain(again) == plain(log)
        day = HistoryOptions(path=str(folder), day="2026-11-21")
        assert plain(played(day, Setting(DayOptions(roll=roll)))) == plain(played(day))


def test_a_day_that_is_not_there(rolled):
    folder, _ = rolled
    with pytest.raises(FeedError) as refused:
        played(HistoryOptions(path=str(folder), day="2026-11-23"))
    assert "there is no day 2026-11-23; there are 2026-11-20, 2026-11-21, 2026-11-22" in str(
        refused.value
    )
    with pytest.raises(FeedError, match="is a journal kept there"):
        played(HistoryOptions(path=str(folder / "none"), day="2026-11-23"))
    with pytest.raises(ValueError, match=r"'20\.11\.2026' is no date; give one as"):
        HistoryOptions(path=str(folder), day="20.11.2026")


def test_of_a_log_without_days_only_the_first_date_can_be_played(tmp_path):
    log = plain_log(3)
    folder = keep(tmp_path, log)
    assert [(day.date, day.whole) for day in days_of(KeptLog(folder))] == [
        ("2026-11-20", True),
        ("2026-11-21", False),
        ("2026-11-22", False),
    ]
    alone = played(HistoryOptions(path=str(folder), day="2026-11-20"))
    assert plain(alone) == plain(log[:52])
    with pytest.raises(FeedError, match="2026-11-21 cannot be played alone"):
        played(HistoryOptions(path=str(folder), day="2026-11-21"))


def test_what_left_the_journal_is_read_from_the_archive(rolled, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SLICE", 17)
    folder, log = rolled
    dates = [day.date for day in days_of(KeptLog(folder))]
    whole = [played(HistoryOptions(path=str(folder), day=date)) for date in dates]
    target = tmp_path / "archive" / "r1"
    for first in (1, 41, 81):
        segment = archive.segment_of(folder / "events", first, first + IN_SEGMENT)
        archive.write(segment, archive.file_of(target, segment))
    for first in (1, 41):  # the third is in both
        path_of(folder / "events", first).unlink()
    assert [day.date for day in days_of(KeptLog(folder))] == ["2026-11-21", "2026-11-22"]
    there = KeptLog(folder, tmp_path / "archive")
    assert (there.first, there.last) == (1, len(log))
    assert [day.date for day in days_of(there)] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    for day, expected in zip(days_of(there), whole, strict=True):
        options = HistoryOptions(path=str(folder), day=day.date, archive=str(tmp_path / "archive"))
        assert plain(played(options)) == plain(expected)
    archive.file_of(target, archive.segment_of(folder / "events", 81, 121)).unlink()
    (gap,) = [path for path in target.glob("*/*") if int(path.name[:20]) == 41]
    gap.unlink()  # what is before it is of no use
    assert KeptLog(folder, tmp_path / "archive").first == 81


def test_damage_of_the_archive_is_told(rolled, tmp_path):
    folder, _ = rolled
    segment = archive.segment_of(folder / "events", 1, 1 + IN_SEGMENT)
    path = archive.file_of(tmp_path / "archive" / "r1", segment)
    archive.write(segment, path)
    path_of(folder / "events", 1).unlink()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(JournalError, match=path.name):
        KeptLog(folder, tmp_path / "archive").read(1, 10)


@given(
    hours=st.lists(st.integers(0, 80), min_size=1, max_size=40),
    marks=st.sets(st.integers(0, 39)),
    slice_=st.integers(1, 7),
)
def test_days_are_found_in_any_log_as_anybody_would(hours, marks, slice_):
    """Slices of any size, times that go back, marks anywhere, events without a time."""
    log = empty(EVENT, len(hours))
    log["sequence"], log["kind"] = np.arange(1, len(log) + 1), Event.ADD
    log["time_ns"] = np.array(hours) * 3600 * 10**9
    for place in marks & {*range(len(hours))}:
        log[place]["kind"], log[place]["flags"] = Event.SYSTEM, NEW_DAY
        log[place]["order"] = 20261100 + place // 4 + 1

    class Log:
        first, last = 1, len(log)

        def read(self, sequence: int, limit: int) -> np.ndarray:
            return log[sequence - 1 :][: min(limit, slice_)]

    assert [tuple(day) for day in days_of(Log())] == obvious(log)


def obvious(log: np.ndarray) -> list[tuple]:
    begins: list[tuple[str, int, bool]] = []
    newest, marked = 0, False
    for event in log:
        newest = max(newest, int(event["time_ns"]))
        mark = event["kind"] == Event.SYSTEM
        marked |= bool(mark)
        if mark:
            digits = str(event["order"])
            date = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
        elif marked or newest == 0:
            continue
        else:
            date = str(np.datetime64(newest // DAY_NS, "D"))
        if not begins or begins[-1][0] != date:
            begins.append((date, int(event["sequence"]) if begins else 1, bool(mark)))
    ends = [first - 1 for _, first, _ in begins[1:]] + [len(log)] * bool(begins)
    return [
        (date, first, end, mark or first == 1)
        for (date, first, mark), end in zip(begins, ends, strict=True)
    ]
