"""LOBSTER message files, with or without their order book file, as event records."""

import ctypes

import msgspec
import numpy as np

from ringbuf.atomics import at
from workers.feeds.bytes_in import ByteSource, open_bytes
from workers.feeds.feed import FeedError
from workers.feeds.itch import midnight_ns
from workers.feeds.lobster_book import parse_name, read_book, rows_belong
from workers.feeds.lobster_hindsight import complete_hindsight
from workers.feeds.lobster_window import complete_window
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.lobster import READER, decode
from workers.records import EVENT, Event, empty

PRICE_SCALE = 10_000  # price units in one unit of currency, fixed by the format
SYMBOL_BYTES = 24
CHUNK = 1 << 16  # events decoded at once where the whole file is read first


class LobsterOptions(
    msgspec.Struct, tag="lobster", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which file, and how to read it.

    With `orderbook`, what the messages cannot show is learned from it (lobster_window.py) or, if
    it does not go with them row by row, from the messages themselves (lobster_hindsight.py); then
    the whole file is held in memory. Without, the messages pass as they are.
    """

    path: str
    orderbook: str | None = None
    symbol: str | None = None  # None: by the file's name
    date: str | None = None  # 2012-06-21; None: by the file's name, or 1970-01-01

    def __post_init__(self) -> None:
        if self.date is not None:
            midnight_ns(self.date)
        if self.symbol is not None:
            symbol_bytes(self.symbol)


class LobsterFeed:
    """A file of LOBSTER messages; see `Feed` for what its events hold.

    Every good line gives exactly one event that is not INFERRED; its `other` is the number of
    the line. `time_ns` counts from midnight of the file's date as if that were UTC: LOBSTER tells
    the exchange's own time of day.
    """

    live = False

    def __init__(self, options: LobsterOptions, counters: int) -> None:
        self.finished = False
        self._options, self._counters = options, counters
        self._source: ByteSource | None = None
        self._reader = empty(READER, 1)
        self._directory: np.ndarray | None = None  # until it is put out
        self._whole: np.ndarray | None = None  # all events, where they were completed first
        self._taken = 0

    @property
    def trouble(self) -> str:
        """Why the file broke off before its end; empty while all is well."""
        return self._source.trouble if self._source else ""

    def open(self) -> None:
        """Open the file; FeedError where that cannot be."""
        name = parse_name(self._options.path)
        symbol = self._options.symbol or name.symbol
        if symbol is None:
            raise FeedError(
                f"{self._options.path}: the name tells no symbol; set `symbol` of this feed"
            )
        date = self._options.date or name.date
        self._reader["base_ns"] = midnight_ns(date) if date else 0
        self._source = open_bytes(self._options.path)
        self._directory = directory(symbol, int(self._reader["base_ns"][0]))
        if self._options.orderbook:
            self._whole = self._completed(self._options.orderbook)

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events; 0 where a stretch of lines gave none."""
        assert self._source is not None, "open() comes first"
        if self._directory is not None and limit > 0:
            self._announce(self._directory, target)
            self._directory = None
            return 1
        if self.finished or limit == 0:
            return 0
        if self._whole is not None:
            return self._hand_out(self._whole, target, limit)
        return self._decode(target, limit)

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        if self._whole is not None:
            return self._taken / max(len(self._whole), 1)
        return self._source.progress() if self._source else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._source:
            self._source.close()
        self.finished = True

    def _announce(self, event: np.ndarray, target: int) -> None:
        ctypes.memmove(target, event.ctypes.data, EVENT.itemsize)
        self._count_made(1)

    def _count_made(self, count: int) -> None:
        """Count events that no message gave."""
        counters = at(self._counters, FEED_COUNTERS)
        counters.announced += count
        counters.events += count

    def _hand_out(self, events: np.ndarray, target: int, limit: int) -> int:
        """Copy the next of the completed events."""
        count = min(limit, len(events) - self._taken)
        source = events.ctypes.data + self._taken * EVENT.itemsize
        ctypes.memmove(target, source, count * EVENT.itemsize)
        self._taken += count
        self.finished = self._taken == len(events)
        return count

    def _decode(self, target: int, limit: int) -> int:
        """Decode events out of the file's next bytes."""
        assert self._source is not None
        address, length, final = self._source.window()
        state, broken = self._reader[0], bool(self._source.trouble)
        state["final"] = final and not broken  # the last line of a broken file is not whole
        count = decode(self._reader.ctypes.data, address, length, target, limit, self._counters)
        consumed = int(state["consumed"])
        self._source.consume(consumed)
        if final and (consumed == length or (broken and count < limit)):
            self.finished = True
            self._end(length - consumed, broken)
        return int(count)

    def _end(self, left: int, broken: bool) -> None:
        """Count what a broken file leaves behind."""
        counters = at(self._counters, FEED_COUNTERS)
        counters.truncated = int(broken)
        counters.skipped_bytes += left
        counters.bytes += left

    def _completed(self, orderbook: str) -> np.ndarray:
        """All events of the file, with what can be inferred."""
        events = self._decode_all()
        book = read_book(orderbook)
        if rows_belong(self._options.path, orderbook, book):
            inferred = complete_window(events, book)
        else:
            levels = parse_name(self._options.path).levels
            inferred = complete_hindsight(events, levels, book[0])
        self._count_made(len(inferred))
        self.finished = len(events) == 0
        return inferred.woven(events)

    def _decode_all(self) -> np.ndarray:
        """Decode the file to its end."""
        parts = []
        while not self.finished:
            part = empty(EVENT, CHUNK)
            parts.append(part[: self._decode(part.ctypes.data, CHUNK)].copy())
        return aligned(np.concatenate(parts))


def aligned(events: np.ndarray) -> np.ndarray:
    """The same events, starting on a cache line."""
    copy = empty(EVENT, len(events))
    copy[:] = events
    return copy


def symbol_bytes(symbol: str) -> bytes:
    """A symbol as a DIRECTORY event holds it; ValueError where it does not fit."""
    printable = symbol.isascii() and symbol.isprintable() and symbol == symbol.strip()
    if not printable or not 0 < len(symbol) <= SYMBOL_BYTES:
        raise ValueError(
            f"{symbol!r} is no symbol: 1 to {SYMBOL_BYTES} ASCII characters, none at an end blank"
        )
    return symbol.encode().ljust(SYMBOL_BYTES)


def directory(symbol: str, time_ns: int) -> np.ndarray:
    """The event that announces the file's one instrument."""
    event = empty(EVENT, 1)
    words = np.frombuffer(symbol_bytes(symbol), np.int64)
    for field, word in zip(("order", "other", "price"), words, strict=True):
        event[field] = word
    event["time_ns"], event["quantity"], event["kind"] = time_ns, PRICE_SCALE, Event.DIRECTORY
    return event
