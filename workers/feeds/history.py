"""A stored day: the part of a log that was kept from the beginning of a day to the next."""

from pathlib import Path

import msgspec

from ringbuf.journal import JournalError
from workers.feeds.feed import FeedError
from workers.feeds.journal import JournalFeed
from workers.feeds.kept import KeptLog, begins_a_day, check_date, day_of


class HistoryOptions(
    msgspec.Struct, tag="history", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which day of which log."""

    path: str  # the folder that a pipeline's journal.path named
    day: str  # as 2026-11-20
    archive: str | None = None  # the folder that its journal.archive named

    def __post_init__(self) -> None:
        check_date(self.day)


class HistoryFeed(JournalFeed):
    """Reads the events of a day; it is whole by itself, whatever came before."""

    def __init__(self, options: HistoryOptions, counters: int) -> None:
        super().__init__(options, counters)

    def open(self) -> None:
        """Find the day; FeedError, with the days there are, where it is not there."""
        options = self._options
        archive = Path(options.archive).expanduser() if options.archive else None
        try:
            self._log = KeptLog(Path(options.path).expanduser(), archive)
            day = day_of(self._log, check_date(options.day))
            self.dated = begins_a_day(self._log.read(day.first, 1))
        except JournalError as error:
            raise FeedError(f"feeds: history of {options.path}: {error}") from None
        self._begin(day.first, day.last)
