"""What can be checked of a feed's log and of the books that came of it, whatever the venue.

Pure comparison: events and book records go in as arrays, in any chunks; tallies come out.
"""

import ctypes
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from workers.feeds.bytes_in import open_bytes
from workers.records import Book, Event, Flag, Mark

COLUMNS = ("sequence", "instrument", "other")
TOP_COLUMNS = ("cause", "instrument", "bid", "ask", "bid_quantity", "ask_quantity")


class Tally(NamedTuple):
    """One kind of check: how many were made, how they ended, how many could not be decided."""

    name: str
    passed: int
    failed: int
    undecidable: int = 0
    first_fault: str = ""


class Scale(NamedTuple):
    """What an instrument's integers mean."""

    symbol: str
    price: int  # price units in one unit of currency
    lots: int  # lots in one unit


class Quote(NamedTuple):
    """A venue's own best bid and ask, as it printed them, after one of its updates."""

    symbol: str
    update: int
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class BestPrices:
    """Our best prices after each of the venue's updates, against its own.

    A venue says its best prices whenever they change, with the number of the update that did it.
    So after our update n they are those of its last quote up to n, if it said one after n too.
    """

    def __init__(self, quotes: Iterable[Quote]) -> None:
        self.quotes: dict[str, list[Quote]] = {}
        for quote in sorted(quotes, key=lambda quote: quote.update):
            self.quotes.setdefault(quote.symbol, []).append(quote)
        self._events: list[np.ndarray] = []
        self._tops: list[np.ndarray] = []

    def events(self, events: np.ndarray) -> None:
        """Take the next events of the log."""
        whole = (events["kind"] == Event.SET) & (events["flags"] & (Flag.PART | Flag.SNAPSHOT) == 0)
        self._events.append(np.stack([events[name][whole] for name in COLUMNS]).astype(np.int64))

    def records(self, records: np.ndarray) -> None:
        """Take the next records of the book ring, of any kind, viewed as TOP."""
        tops = records[records["kind"] == Book.TOP]
        self._tops.append(np.stack([tops[name] for name in TOP_COLUMNS]).astype(np.int64))

    def result(self, scales: dict[int, Scale]) -> Tally:
        """Compare."""
        events, tops = _joined(self._events, COLUMNS), _joined(self._tops, TOP_COLUMNS)
        passed = failed = undecided = 0
        fault = ""
        for instrument, scale in scales.items():
            mine = tops[:, tops[1] == instrument]
            ends = events[:, events[1] == instrument]
            quotes = self.quotes.get(scale.symbol, [])
            updates = np.array([quote.update for quote in quotes], np.int64)
            tops_at = np.searchsorted(mine[0], ends[0], "right") - 1
            quotes_at = np.searchsorted(updates, ends[2], "right") - 1
            for update, top, place in zip(ends[2], tops_at, quotes_at, strict=True):
                if not 0 <= place < len(quotes) - 1 or top < 0:
                    undecided += 1
                    continue
                ours, theirs = mine[2:, top].tolist(), _integers(quotes[place], scale)
                passed += ours == theirs
                failed += ours != theirs
                if ours != theirs and not fault:
                    fault = f"{scale.symbol} after update {update}: {ours}, not {quotes[place]}"
        return Tally("best prices as the venue's", passed, failed, undecided, fault)


def _joined(parts: list[np.ndarray], names: tuple) -> np.ndarray:
    return np.concatenate(parts, axis=1) if parts else np.empty((len(names), 0), np.int64)


def _integers(quote: Quote, scale: Scale) -> list[Decimal]:
    prices = (Decimal(quote.bid) * scale.price, Decimal(quote.ask) * scale.price)
    return [
        *prices,
        Decimal(quote.bid_quantity) * scale.lots,
        Decimal(quote.ask_quantity) * scale.lots,
    ]


class Crossing:
    """Whether the best bid is below the best ask, in every top that is to be believed."""

    def __init__(self) -> None:
        self.tops = self.crossed = self.early = self.stale = 0
        self.fault = ""

    def records(self, records: np.ndarray) -> None:
        """Take the next records of the book ring, of any kind, viewed as TOP."""
        tops = records[records["kind"] == Book.TOP]
        both = (tops["bid"] > 0) & (tops["ask"] > 0)
        wrong = both & (tops["bid"] > tops["ask"])
        stale = tops["state"] & (Mark.STALE | Mark.PARTIAL) != 0
        told = wrong & (tops["state"] & Mark.CROSSED != 0) & ~stale
        self.tops += len(tops)
        self.stale += int(np.count_nonzero(stale))
        self.crossed += int(np.count_nonzero(told))
        self.early += int(np.count_nonzero(wrong & ~told & ~stale))
        if told.any() and not self.fault:
            top = tops[told][0]
            where = f"instrument {top['instrument']} after event {top['cause']}"
            self.fault = f"{where}: bid {top['bid']} above ask {top['ask']}"

    def result(self) -> Tally:
        """Nothing is decided before trading is continuous, nor by books stale or partial."""
        undecided = self.early + self.stale
        passed = self.tops - self.crossed - undecided
        return Tally("books uncrossed", passed, self.crossed, undecided, self.fault)


def of_counters(feed: dict[str, int], book: dict[str, int]) -> list[Tally]:
    """What the counters of feed and book stage tell."""
    heard = feed["messages"] - feed["ignored"]
    bad = feed["bad_frames"] + feed["bad_values"] + feed["truncated"]
    strange = book["unknown_order"] - book["partial"]
    unfit = ("duplicate_order", "over_execution", "bad_quantity", "bad_price")
    refused = sum(book[name] for name in (*unfit, "bad_side", "bad_kind", "bad_instrument"))
    undecided = book["orders_full"] + book["levels_full"] + book["partial"]
    faults = {"unknown_order": strange, **{name: book[name] for name in unfit}}
    fault = ", ".join(f"{name} {count:,}" for name, count in faults.items() if count)
    applied = book["applied"]
    return [
        Tally("messages read", feed["messages"], bad, feed["unknown"]),
        Tally("events that the books can take", applied, refused + strange, undecided, fault),
        Tally("checksums of the venue", book["checks_passed"], book["checks_failed"]),
        Tally("messages without a gap before", heard - feed["gaps"], 0, feed["gaps"]),
    ]


class _Ticker(msgspec.Struct):
    s: str
    u: int
    b: str
    B: str
    a: str
    A: str


class _Wrapped(msgspec.Struct):
    data: _Ticker


def binance_quotes(path: Path) -> list[Quote]:
    """The book tickers of a Binance capture: lines of `<time> <JSON>`."""
    quotes = []
    for line in whole_text(path).splitlines():
        if b'"B":' in line:  # nothing else that it sends has such a key
            text = line[line.index(b"{") :]
            try:
                ticker = msgspec.json.decode(text, type=_Wrapped).data
            except msgspec.ValidationError:
                ticker = msgspec.json.decode(text, type=_Ticker)
            quotes.append(Quote(ticker.s, ticker.u, ticker.b, ticker.B, ticker.a, ticker.A))
    return quotes


def whole_text(path: Path) -> bytes:
    """All bytes of a file, unpacked."""
    source, parts, ended = open_bytes(path), [], False
    while not ended:
        address, length, ended = source.window()
        parts.append(ctypes.string_at(address, length))
        source.consume(length)
    source.close()
    return b"".join(parts)
