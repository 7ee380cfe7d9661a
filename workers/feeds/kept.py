"""A log that was kept, whole: what its journal still has, and before that what its archive has."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ringbuf.journal import JournalError, JournalReader
from workers.almanac import NEW_DAY
from workers.records import EVENT, EVENTS_RING, Event

RING = "events"
RUN_FILE = "run.json"
SLICE = 65_536  # events looked at in one go
DAY_NS = 86_400 * 10**9


class _Run(msgspec.Struct):
    run_id: str


class KeptLog:
    """Reads the events of a journal of a pipeline, and older ones from its archive.

    folder: what journal.path names; archive: what journal.archive names, None: there is none.
    JournalError where they cannot be read.
    """

    def __init__(self, folder: Path, archive: Path | None = None) -> None:
        self._log = JournalReader(folder / RING, EVENTS_RING)
        self._archive = archive / _run_of(folder) / RING if archive else None
        self._slices: Iterator[np.ndarray] = iter(())
        self._slice, self._file = np.zeros(0, EVENT), Path()

    @property
    def first(self) -> int:
        """The oldest event that is there."""
        files = self._files()
        return min(files, default=self._log.first)

    @property
    def last(self) -> int:
        """The newest event now."""
        return self._log.last

    def read(self, sequence: int, limit: int) -> np.ndarray:
        """The events from a sequence on, at most so many; none: there are no more yet."""
        if self._archive is None or sequence >= self._log.first:
            return self._log.read(sequence, limit)
        files = self._files()
        first = max((first for first in files if first <= sequence), default=0)
        if not first:
            return self._log.read(sequence, limit)  # which says that it is not kept
        return self._restored(files[first], sequence)[:limit]

    def _files(self) -> dict[int, Path]:
        """Files of the archive that lead up to the journal without a gap, by first sequence."""
        if self._archive is None:
            return {}
        spans = []
        for path in sorted(self._archive.glob("*.parquet"), reverse=True):
            first, last, _ = path.stem.split("-")
            spans.append((int(first), int(last), path))
        found: dict[int, Path] = {}
        wanted = self._log.first - 1
        for begin, end, path in spans:
            if end == wanted:
                found[begin], wanted = path, begin - 1
        return found

    def _restored(self, path: Path, sequence: int) -> np.ndarray:
        """Events of a file from a sequence on, some of them."""
        from workers import archive  # brings duckdb, which takes its time
        from workers.sinks.sink import SinkError

        try:
            if path != self._file or len(self._slice) == 0 or sequence < self._slice["sequence"][0]:
                self._file, self._slices = path, archive.restored(path)
                self._slice = next(self._slices)
            while sequence > self._slice["sequence"][-1]:
                self._slice = next(self._slices)
        except (SinkError, StopIteration) as error:
            raise JournalError(f"{path}: {error or 'ends too early'}") from None
        return self._slice[sequence - int(self._slice["sequence"][0]) :]


def _run_of(folder: Path) -> str:
    """The run that a journal is of: its part of the archive."""
    try:
        return msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=_Run).run_id
    except (OSError, msgspec.DecodeError) as failure:
        raise JournalError(f"{folder}/{RUN_FILE} cannot be read: {failure}") from None


class StoredDay(NamedTuple):
    """One day of a log: whole, where its books can be built from its events alone."""

    date: str
    first: int  # sequences
    last: int
    whole: bool


class _Stretch(NamedTuple):
    date: str
    first: int
    marked: bool  # it begins with the event that begins a day


def days_of(log: KeptLog) -> list[StoredDay]:
    """The days of a log, in order.

    They are what its SYSTEM events say; what comes before the first of them, and a log without
    any, is told apart by the date in UTC.
    """
    first = log.first
    found = list(_stretches(log, first))
    ends = [stretch.first - 1 for stretch in found[1:]] + [log.last] * bool(found)
    return [
        StoredDay(stretch.date, stretch.first, end, stretch.marked or stretch.first == 1)
        for stretch, end in zip(found, ends, strict=True)
    ]


def _stretches(log: KeptLog, first: int) -> Iterator[_Stretch]:
    newest, date, marked = 0, "", False
    begun = first  # where events without a time lead on to the day that follows
    for events in _slices(log, first):
        dates = np.maximum.accumulate(np.maximum(events["time_ns"], newest)) // DAY_NS
        new = (events["kind"] == Event.SYSTEM) & (events["flags"] == NEW_DAY)
        turned = np.diff(dates, prepend=newest // DAY_NS) != 0
        if not date:
            turned[np.flatnonzero(events["time_ns"] > 0)[:1]] = True
        for place in np.flatnonzero(new | turned):
            event = events[place]
            if not new[place] and marked:
                continue
            named = _dated(event) if new[place] else str(np.datetime64(int(dates[place]), "D"))
            if named != date:
                yield _Stretch(named, begun or int(event["sequence"]), bool(new[place]))
            date, marked, begun = named, marked or bool(new[place]), 0
        newest = int(dates[-1]) * DAY_NS


def _dated(event: np.ndarray) -> str:
    digits = f"{int(event['order']):08d}"
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _slices(log: KeptLog, first: int) -> Iterator[np.ndarray]:
    while len(events := log.read(first, SLICE)):
        first += len(events)
        yield events


def day_of(log: KeptLog, date: dt.date) -> StoredDay:
    """A day of a log that can be played alone; JournalError, with those there are, for others."""
    days = days_of(log)
    for day in days:
        if day.date == date.isoformat():
            if day.whole:
                return day
            raise JournalError(
                f"{date} cannot be played alone: it does not begin with the event that begins a "
                "day, so its books are not known. Give the pipeline that keeps the log a [day], "
                "or play the log from its start (kind = 'journal')"
            )
    there = [day.date for day in days]
    shown = ", ".join(there if len(there) <= 20 else [*there[:10], "...", *there[-10:]])
    raise JournalError(f"there is no day {date}; there are {shown or 'none'}")


def check_date(text: str) -> dt.date:
    """A date as yyyy-mm-dd; ValueError for anything else."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.isoformat() != text:
        raise ValueError(f"{text!r} is no date; give one as '2026-11-20'")
    return date


def begins_a_day(events: np.ndarray) -> bool:
    """Whether the first of some events is the one that begins a day."""
    first = events[:1]
    return bool(((first["kind"] == Event.SYSTEM) & (first["flags"] == NEW_DAY)).any())
