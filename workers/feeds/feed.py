"""What every feed is to ingest: something that fills event records and counts what it met."""

from typing import Protocol

from workers.kernels.feed_counters import FEED_COUNTERS

__all__ = ["EQUATIONS", "FEED_COUNTERS", "Feed", "FeedError"]

# What must balance at any moment between two calls: sum of the left = sum of the right.
EQUATIONS = [
    (("messages", "announced", "further"), ("events", "ignored", "bad_values")),
]


class FeedError(Exception):
    """A feed cannot be read: the message says what is wrong, where, and how to mend it."""


class Feed(Protocol):
    """A source of EVENT records, pulled by ingest.

    Constructed with its options and the raw address of its FEED_COUNTERS record. In the events
    `instrument` is the feed's own code of the instrument; `source`, `sequence` and `arrived_ns`
    stay 0 for ingest to fill. An instrument is announced by a DIRECTORY event before its first
    use: 24 bytes of symbol, ASCII, padded with spaces, lie in `order`, `other` and `price` as in
    memory, `quantity` is the number of price units in one unit of currency, and `flags` tell the
    decimals of a lot (LOT_DECIMALS). Between a STALE and a FRESH event its book is not trusted.
    """

    live: bool  # nothing now does not mean that the others have to wait
    finished: bool  # nothing will come any more
    trouble: str  # why the source broke off or gave nothing; empty while all is well

    def open(self) -> None:
        """Get ready to fill; FeedError where the source cannot be read."""

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` records from a raw address on; 0: nothing now."""

    def progress(self) -> float:
        """How much of the source is read, 0 to 1; nan where it has no known end."""

    def resync(self, code: int) -> None:
        """The book of an instrument came out wrong: show all of it anew, where that can be."""

    def close(self) -> None:
        """Let go of the source; a second call does nothing."""
