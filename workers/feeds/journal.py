"""A log that was kept: its events once more, in the same order and with the same numbers."""

import ctypes
from pathlib import Path
from typing import Any

import msgspec

from ringbuf.atomics import at
from ringbuf.journal import JournalError
from workers.feeds.feed import FeedError
from workers.feeds.kept import KeptLog, begins_a_day
from workers.kernels.feed_counters import FEED_COUNTERS


class JournalOptions(
    msgspec.Struct, tag="journal", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which log, and which part of it."""

    path: str  # the folder that a pipeline's journal.path named
    first: int = 1
    last: int | None = None  # None: to its end


class JournalFeed:
    """Reads the events of a journal; what comes out of them is what came out of the run."""

    live = False
    dated = False  # whether it tells by itself where days begin

    def __init__(self, options: Any, counters: int) -> None:
        self.finished = False
        self.trouble = ""
        self._options, self._counters = options, counters

    def open(self) -> None:
        """Find the journal; FeedError where there is none."""
        folder = Path(self._options.path).expanduser()
        try:
            self._log = KeptLog(folder)
            end = self._log.last
            if self._options.first >= self._log.first:
                self.dated = begins_a_day(self._log.read(self._options.first, 1))
        except JournalError as error:
            raise FeedError(str(error)) from None
        if self._options.first < self._log.first:
            raise FeedError(
                f"feeds: {folder}/events begins with event {self._log.first:,}; those before it "
                "are gone, so no book can be built from there"
            )
        last = self._options.last
        self._begin(self._options.first, end if last is None else min(last, end))

    def _begin(self, first: int, last: int) -> None:
        self._first = self._next = first
        self._last = last

    def fill(self, target: int, limit: int) -> int:
        """Write the next events; what numbers them and times them is for ingest to fill."""
        count = min(limit, self._last - self._next + 1)
        if count < 1:
            self.finished = True
            return 0
        try:
            events = self._log.read(self._next, count)
        except JournalError as error:
            self.finished, self.trouble = True, str(error)
            return 0
        self._next += len(events)
        ctypes.memmove(target, events.ctypes.data, events.nbytes)
        counters = at(self._counters, FEED_COUNTERS)
        counters.messages += len(events)
        counters.events += len(events)
        counters.bytes += events.nbytes
        self.finished = self._next > self._last
        return len(events)

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much is read, 0 to 1."""
        whole = self._last - self._first + 1
        return 1.0 if whole < 1 else (self._next - self._first) / whole

    def close(self) -> None:
        """Nothing to let go of: files are read by name."""
