"""Exchanges' JSON as it comes: a live service through the parser of its captures."""

import time

from workers.feeds.lines import Message
from workers.feeds.listing import Listing
from workers.feeds.outbox import Outbox
from workers.feeds.venue_options import VenueOptions
from workers.feeds.venues import MESSAGES_PER_FILL, VENUES
from workers.feeds.websocket import WebSocketSource, pause

SUBSCRIBED_S = 10.0  # a subscription brings its snapshot within this, or is made anew
FETCH_S = 2.0  # a snapshot is fetched when an update has come, or this late
CALM_S = 120.0  # a book that was whole for so long has not failed before


class LiveFeed:
    """The messages of a live service; see `Feed` for what its events hold."""

    live = True

    def __init__(self, options: VenueOptions, counters: int) -> None:
        self.finished = False
        self._options = options
        self._box = Outbox(counters)
        self._venue = VENUES[type(options)](options, self._box)
        self._source: WebSocketSource | None = None
        self._batch: list[Message] = []
        self._next = 0  # message of the batch
        self._joins = 0

    @property
    def trouble(self) -> str:
        """Why there is no connection now; empty while all is well."""
        return self._source.trouble if self._source else ""

    def open(self) -> None:
        """Begin to connect; FeedError where the recording cannot be written."""
        options, venue = self._options, self._venue
        assert options.url is not None
        greeting = venue.greeting(options.symbols)
        self._source = WebSocketSource(
            options.url, greeting, options.silence, options.record, venue.ALIVE
        )
        before, announced = self._box.count, self._box.announced
        venue.arrived_ns = time.time_ns()
        for symbol in options.symbols:
            venue.listing(symbol)
        self._box.further += self._box.count - before - self._box.announced + announced
        self._source.start()

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events of what has come; 0 where that is nothing."""
        assert self._source is not None, "open() comes first"
        box, venue, left = self._box, self._venue, MESSAGES_PER_FILL
        while box.count < limit and left > 0:
            if self._next == len(self._batch):
                self._batch, self._next = self._source.batch(), 0
                if not self._batch:
                    break
            message = self._batch[self._next]
            self._next += 1
            left -= 1
            box.tally["bytes"] += len(message[1] or b"")
            venue.take(message)
        if venue.wanting and venue.joins and not venue.away:
            self._ask()
        return box.hand_out(target, limit)

    def _ask(self) -> None:
        """Ask for the snapshots that books wait for, each again after a growing pause."""
        venue, now = self._venue, time.monotonic()
        if venue.joins != self._joins:
            self._joins = venue.joins
            for listing in venue.wanting.values():
                listing.ask_at = now + (FETCH_S if venue.REST else SUBSCRIBED_S)
        for listing in venue.wanting.values():
            due = now >= listing.ask_at or (venue.REST and listing.pending)
            if due and now >= listing.again_at:
                self._ask_for(listing, now)

    def _ask_for(self, listing: Listing, now: float) -> None:
        assert self._source is not None
        venue = self._venue
        if now - listing.again_at > CALM_S:
            listing.asked = 0
        if venue.REST:
            self._source.fetch(
                venue.rest_url(listing), lambda answer: venue.wrapped(listing, answer)
            )
            listing.again_at = now + pause(listing.asked + 1)
        else:
            self._source.send(venue.renewal(listing))
            listing.again_at = now + SUBSCRIBED_S + pause(listing.asked)
        listing.asked += 1

    def resync(self, code: int) -> None:
        """Have the book of an instrument begun anew."""
        self._venue.arrived_ns = time.time_ns()
        self._venue.resync(code)

    def progress(self) -> float:
        """A live service has no end."""
        return float("nan")

    def close(self) -> None:
        """End the connection."""
        if self._source:
            self._source.close()
        self.finished = True
