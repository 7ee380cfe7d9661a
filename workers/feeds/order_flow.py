"""Order flows of the public matching-engine benchmark, plain or packed: orders of one instrument.

The layout of a file stands in workers/kernels/flow_orders.py. The instrument is announced with 1
price unit to the unit of currency, as the flow counts in ticks.
"""

import ctypes

import msgspec
import numpy as np

from ringbuf.atomics import at
from workers.feeds.bytes_in import ByteSource, open_bytes
from workers.feeds.feed import FeedError
from workers.feeds.lobster import symbol_bytes
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.flow_orders import FLOW_HEADER, FLOW_MAGIC, FLOW_ORDER, decode
from workers.records import EVENT, MATCHED, Event, Side

FLOW_VERSION = 1
HEADER_BYTES, ORDER_BYTES = FLOW_HEADER.itemsize, FLOW_ORDER.itemsize


class FlowOptions(
    msgspec.Struct, tag="flow", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which file, and what its instrument is called."""

    path: str
    symbol: str = "FLOW"

    def __post_init__(self) -> None:
        symbol_bytes(self.symbol)


class FlowFeed:
    """Reads a flow; see `Feed` for what its events hold."""

    live = False

    def __init__(self, options: FlowOptions, counters: int) -> None:
        self.finished = False
        self._options, self._counters = options, counters
        self._source: ByteSource | None = None
        self._left = 0  # messages that the header promises
        self._announced = False
        self._bad = ""

    @property
    def trouble(self) -> str:
        """What is wrong with the file as a whole; empty while all is well."""
        if self._source is not None and self._source.trouble:
            return self._source.trouble
        return self._bad

    def open(self) -> None:
        """Open the file; FeedError where it is none of this kind."""
        source = open_bytes(self._options.path)
        address, length, _ = source.window()
        header = np.zeros(1, FLOW_HEADER)
        if length >= HEADER_BYTES:
            ctypes.memmove(header.ctypes.data, address, HEADER_BYTES)
        wrong = ""
        if header["magic"][0] != FLOW_MAGIC:
            wrong = "is no order flow of the matching-engine benchmark: its first bytes are others"
        elif header["version"][0] != FLOW_VERSION:
            wrong = f"is a flow of version {header['version'][0]}, only {FLOW_VERSION} can be read"
        if wrong:
            source.close()
            raise FeedError(f"feeds: flow of {self._options.path}: {wrong}; name another file")
        self._source = source
        self._left = int(header["count"].view(np.uint32)[0])
        source.consume(HEADER_BYTES)

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events."""
        assert self._source is not None, "open() comes first"
        if limit == 0 or self.finished:
            return 0
        counters = at(self._counters, FEED_COUNTERS)
        if not self._announced:
            self._announced = True
            self._announce(target)
            counters.announced += 1
            counters.events += 1
            return 1
        address, length, _ = self._source.window()
        whole = min(length // ORDER_BYTES, limit, self._left)
        written = decode(address, whole, target)
        self._source.consume(written * ORDER_BYTES)
        self._left -= written
        counters.messages += written
        counters.events += written
        counters.bytes += written * ORDER_BYTES
        _, rest, final = self._source.window()
        if written < whole:
            self._end(f"message {counters.messages + 1} is of an unknown kind", rest)
        elif self._left == 0:
            self.finished = True
            if rest:
                self._end("goes on behind the last message that its header tells of", rest)
        elif final and rest < ORDER_BYTES:
            self._end(f"ends {self._left} messages before its header says", rest)
            counters.truncated = 1
        return int(written)

    def _end(self, why: str, rest: int) -> None:
        """Read no further, and say why; rest: bytes at hand that nobody reads."""
        self._bad = f"{self._options.path}: {why}; what follows is left out"
        counters = at(self._counters, FEED_COUNTERS)
        counters.bad_frames += 1
        counters.skipped_bytes += rest
        self.finished = True

    def _announce(self, target: int) -> None:
        event = at(target, EVENT)
        words = np.frombuffer(symbol_bytes(self._options.symbol), np.int64).tolist()
        event.order, event.other, event.price = words
        event.quantity, event.time_ns, event.instrument = 1, 0, 0
        event.kind, event.side, event["flags"] = int(Event.DIRECTORY), int(Side.NONE), MATCHED

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
