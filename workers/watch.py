"""Looking after live sources between turns: who fell silent, and whose books came out wrong.

What is found is said in the log, as events that are staged like those of the source itself.
"""

import time

import numpy as np

from ringbuf.atomics import at
from workers.feeds.feed import FEED_COUNTERS, Feed
from workers.records import EVENT, Doubt, Event, Mark, empty

LOOK_S = 0.1  # between two looks
RESYNC_S = 5.0  # between two tries to get the same book right


class Watch:
    """Watches one live source.

    silence_s: without a byte for so long, its books are stale until it speaks again (None: never).
    depth: the depth board's rows as an array that the book stage writes; None where there is none.
    """

    def __init__(self, feed: Feed, counters: int, silence_s: float | None, depth) -> None:
        self.feed, self.silence_s, self.depth = feed, silence_s, depth
        self.counters = at(counters, FEED_COUNTERS)
        self.codes: dict[int, int] = {}  # instrument -> the source's code of it
        self.heard, self.heard_at = -1, time.monotonic()
        self.next_look = 0.0
        self.waiting = empty(EVENT, 0)
        self.silent: list[int] = []  # codes whose books are stale because nothing came
        self.tried: dict[int, float] = {}  # instrument -> when its book was last asked for anew

    def look(self, limit: int) -> np.ndarray | None:
        """At most so many EVENTs that are to be told now; the source must have nothing staged."""
        if len(self.waiting):
            said, self.waiting = self.waiting[:limit], self.waiting[limit:]
            return said
        now = time.monotonic()
        if now < self.next_look:
            return None
        self.next_look = now + LOOK_S
        self._right_wrong_books(now)
        heard = int(self.counters.bytes)
        if heard != self.heard:
            self.heard, self.heard_at = heard, now
            back, self.silent = self.silent, []
            self._say(Event.FRESH, 0, back)
        elif self.silence_s is not None and not self.silent:
            if now - self.heard_at > self.silence_s:
                self.silent = [self.codes[number] for number in self._instruments(stale=False)]
                self._say(Event.STALE, Doubt.SILENCE, self.silent)
        return self.look(limit) if len(self.waiting) else None

    def _instruments(self, stale: bool) -> list[int]:
        """The source's instruments whose books are marked stale, or are not."""
        numbers = list(self.codes)
        if self.depth is None:
            return [] if stale else numbers
        marks = self.depth["state"][numbers] & Mark.STALE
        return [numbers[place] for place in np.flatnonzero((marks != 0) == stale)]

    def _right_wrong_books(self, now: float) -> None:
        """Have books shown anew that are stale and stay so."""
        for instrument in self._instruments(stale=True):
            if now - self.tried.get(instrument, 0.0) > RESYNC_S:
                self.tried[instrument] = now
                self.feed.resync(self.codes[instrument])

    def _say(self, kind: Event, doubt: int, codes: list[int]) -> None:
        events = empty(EVENT, len(codes))
        events["instrument"], events["kind"], events["flags"] = codes, kind, doubt
        events["time_ns"] = time.time_ns()
        self.waiting = events
        self.counters.events += len(codes)
        self.counters.further += len(codes)
