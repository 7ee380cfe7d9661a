"""Feeds of exchanges' JSON for tests: messages in, events out, with the counters looked at."""

import numpy as np

from tests.naive.levels import Books
from workers.feeds.capture_feed import CaptureFeed
from workers.feeds.feed import EQUATIONS
from workers.feeds.outbox import Outbox
from workers.feeds.venue import Venue
from workers.feeds.venues import VENUES
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, empty

FILL = 2048


def balanced(counters) -> bool:
    """Whether what must balance in a FEED_COUNTERS record does."""
    return all(
        sum(int(counters[name]) for name in left) == sum(int(counters[name]) for name in right)
        for left, right in EQUATIONS
    )


def read_capture(options, limit: int = FILL):
    """All events of a capture and what was counted, after looking at the balance at each call."""
    counters, buffer = empty(FEED_COUNTERS, 1), empty(EVENT, limit)
    feed, parts = CaptureFeed(options, counters.ctypes.data), []
    feed.open()
    while not feed.finished:
        count = feed.fill(buffer.ctypes.data, limit)
        parts.append(buffer[:count].copy())
        assert balanced(counters[0])
        assert counters["events"][0] == sum(map(len, parts))
    assert 0.99 < feed.progress() <= 1
    feed.close()
    return np.concatenate(parts), counters[0], feed.trouble


def books_of(events) -> Books:
    """The books that events come to."""
    books = Books()
    for event in events.tolist():
        books.fold(event)
    return books


class Desk:
    """A venue's parser, spoken to message by message."""

    def __init__(self, options) -> None:
        self.counters = empty(FEED_COUNTERS, 1)
        self.box = Outbox(self.counters.ctypes.data)
        self.venue: Venue = VENUES[type(options)](options, self.box)
        self.books = Books()
        self.arrived = 1_700_000_000 * 10**9

    def hear(self, *texts: bytes | None, origin: str | None = None) -> np.ndarray:
        """The events that messages give; None: a connection begins."""
        for text in texts:
            self.arrived += 1_000_000
            self.venue.take((self.arrived, text, origin))
        return self.collect()

    def collect(self) -> np.ndarray:
        """The events that wait."""
        events = empty(EVENT, self.box.count)
        assert self.box.hand_out(events.ctypes.data, len(events)) == len(events)
        assert balanced(self.counters[0])
        for event in events:
            self.books.fold(event)
        return events

    def count(self, name: str) -> int:
        """One of the counters."""
        return int(self.counters[name][0])
