"""NASDAQ TotalView-ITCH 5.0 files, plain or gzip, as event records."""

import datetime as dt
import re
from pathlib import Path
from typing import Literal

import msgspec

from ringbuf.atomics import at
from workers.feeds.bytes_in import ByteSource, open_bytes
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch import decode
from workers.kernels.itch_frames import ITCH_STATE, prepare
from workers.records import empty

WINDOWS_PER_FILL = 16  # looked through for a first event before `fill` gives the turn back
YEARS = range(1990, 2100)  # believed in a file name


class ItchOptions(
    msgspec.Struct, tag="itch", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which file, and how to read it."""

    path: str
    date: str | None = None  # 2012-06-21; None: by the file's name, or 1970-01-01
    lengths: Literal["strict", "by-type"] = "strict"  # by-type: do not look at length prefixes

    def __post_init__(self) -> None:
        if self.date is not None:
            midnight_ns(self.date)


class ItchFeed:
    """A file of length-prefixed ITCH 5.0 messages; see `Feed` for what its events hold."""

    live = False

    def __init__(self, options: ItchOptions, counters: int) -> None:
        self.finished = False
        self._options, self._counters = options, counters
        self._source: ByteSource | None = None
        self._block = empty(ITCH_STATE, 1)
        self._state, self._address = self._block[0], self._block.ctypes.data

    @property
    def trouble(self) -> str:
        """What is wrong with the file as a whole; empty while all is well."""
        if self._source is None or self._source.trouble:
            return self._source.trouble if self._source else ""
        if self.finished and at(self._counters, FEED_COUNTERS).messages == 0:
            mend = "is it ITCH 5.0 with 2-byte lengths? if the lengths are wrong: lengths = by-type"
            return f"{self._options.path}: no message was recognised; {mend}"
        return ""

    def open(self) -> None:
        """Open the file; FeedError where that cannot be."""
        self._source = open_bytes(self._options.path)
        date = self._options.date or date_in_name(Path(self._options.path).name)
        midnight = midnight_ns(date) if date else 0
        prepare(self._state, self._counters, midnight, self._options.lengths == "by-type")

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events; 0 now and then, where long stretches carry none."""
        assert self._source is not None, "open() comes first"
        for _ in range(WINDOWS_PER_FILL):
            if self.finished or limit == 0:
                return 0
            address, length, final = self._source.window()
            self._state["final"] = final
            written = decode(self._address, address, length, target, limit)
            consumed = int(self._state["consumed"])
            self._source.consume(consumed)
            self.finished = final and consumed == length
            if self.finished and self._source.trouble:
                at(self._counters, FEED_COUNTERS).truncated = 1
            if written:
                return written
        return 0

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return self._source.progress() if self._source else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._source:
            self._source.close()
        self.finished = True


def midnight_ns(date: str) -> int:
    """Nanoseconds from 1970-01-01 to the start of an ISO date, UTC; ValueError for no date."""
    try:
        day = dt.date.fromisoformat(date)
    except ValueError:
        raise ValueError(f"{date!r} is no date; write it as 2012-06-21") from None
    return (day - dt.date(1970, 1, 1)).days * 86_400 * 10**9


def date_in_name(name: str) -> str | None:
    """The ISO date that eight digits in a file name spell, year first or (as NASDAQ's) last."""
    for digits in re.findall(r"(?<!\d)\d{8}(?!\d)", name):
        for spelled in (digits, digits[4:] + digits[:4]):
            date = f"{spelled[:4]}-{spelled[4:6]}-{spelled[6:]}"
            try:
                if dt.date.fromisoformat(date).year in YEARS:
                    return date
            except ValueError:
                continue
    return None
