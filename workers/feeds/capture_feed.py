"""Exchanges' JSON from a recorded capture."""

from workers.feeds.lines import Capture, Message
from workers.feeds.outbox import Outbox
from workers.feeds.venue_options import VenueOptions
from workers.feeds.venues import MESSAGES_PER_FILL, VENUES


class CaptureFeed:
    """The messages of a recorded capture; see `Feed` for what its events hold."""

    live = False

    def __init__(self, options: VenueOptions, counters: int) -> None:
        self.finished = False
        self._options = options
        self._box = Outbox(counters)
        self._venue = VENUES[type(options)](options, self._box)
        self._capture: Capture | None = None
        self._batch: list[Message] = []
        self._next = 0  # message of the batch
        self._ended = False
        self._understood = False  # whether any message was

    @property
    def trouble(self) -> str:
        """What is wrong with the file as a whole; empty while all is well."""
        if self._capture is None or self._capture.trouble:
            return self._capture.trouble if self._capture else ""
        if self.finished and not self._understood:
            return f"{self._options.path}: no message was understood; is it of another venue?"
        return ""

    def open(self) -> None:
        """Open the file; FeedError where that cannot be."""
        assert self._options.path is not None
        self._capture = Capture(self._options.path)

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events; 0 where a stretch of messages gave none."""
        assert self._capture is not None, "open() comes first"
        box, take, left = self._box, self._venue.take, MESSAGES_PER_FILL
        while box.count < limit and left > 0 and (self._next < len(self._batch) or self._refill()):
            last = min(self._next + left, len(self._batch))
            number = self._next
            while number < last and box.count < limit:
                take(self._batch[number])
                number += 1
            left -= number - self._next
            self._next = number
        written = box.hand_out(target, limit)
        self._understood |= written > 0
        self.finished = self._ended and not box.count
        return written

    def _refill(self) -> bool:
        """Have the next messages at hand; False where there are none now, or no more."""
        capture = self._capture
        assert capture is not None
        if self._ended:
            return False
        if capture.finished:
            self._venue.end()
            self._ended = True
            return False
        self._batch, self._next = capture.batch(), 0
        tally = self._box.tally
        tally["bytes"] += capture.bytes
        tally["bad_frames"] += capture.bad
        tally["skipped_bytes"] += capture.skipped
        capture.bytes = capture.bad = capture.skipped = 0
        tally["truncated"] = int(capture.finished and bool(capture.trouble))
        return bool(self._batch)

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return self._capture.progress() if self._capture else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._capture:
            self._capture.close()
        self.finished = True
