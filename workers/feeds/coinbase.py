"""Coinbase Exchange: the channels level2 (snapshot and changes) and matches.

Changes of level2 are not numbered: whatever cannot be read puts all books in doubt. The ticker
channel is left out: a book has one source.
"""

from contextlib import suppress
from datetime import datetime

import msgspec

from workers.feeds.listing import Listing
from workers.feeds.venue import IGNORED, UNKNOWN, Id, Venue
from workers.feeds.venue_options import VenueOptions
from workers.kernels.levels_json import PLAIN, SIDED
from workers.records import Flag, Side

EMPTY = msgspec.Raw(b"")
LEFT_OUT = {"ticker", "ticker_batch", "heartbeat", "subscriptions", "status", "received", "error",
            "activate", "auction"}  # fmt: skip
SECOND_CHARACTERS = 19  # of 2021-04-17T16:43:37
SECONDS_KEPT = 1000
MAX_NS = 4_102_444_800 * 10**9  # the year 2100
UNPRINTED = int(Flag.UNPRINTED)


class CoinbaseOptions(VenueOptions, tag="coinbase", tag_field="kind"):
    """A capture, or the exchange's feed."""

    channel: str = "level2_batch"  # or level2, for those who may have it


class Message(msgspec.Struct, gc=False):
    """Any message of the feed."""

    type: str = ""
    product_id: str = ""
    bids: msgspec.Raw = EMPTY
    asks: msgspec.Raw = EMPTY
    changes: msgspec.Raw = EMPTY
    time: str = ""
    trade_id: Id = 0
    side: str = ""
    size: msgspec.Raw = EMPTY
    price: msgspec.Raw = EMPTY


class Coinbase(Venue):
    """Reads Coinbase's messages."""

    options: CoinbaseOptions

    def __init__(self, options, box) -> None:
        super().__init__(options, box)
        self._decode = msgspec.json.Decoder(Message).decode
        self._clock = Clock()

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it."""
        whole = self._decode(message)
        if whole.type == "l2update":
            listing = self.listing(whole.product_id)
            if listing is None:
                return IGNORED
            time_ns = self.when(self._clock.ns(whole.time))
            return self.levels(listing, SIDED, bytes(whole.changes), b"", time_ns)
        if whole.type == "snapshot":
            listing = self.listing(whole.product_id)
            if listing is None:
                return IGNORED
            time_ns = self.when(self._clock.ns(whole.time) if whole.time else 0)
            return self.snapshot(listing, PLAIN, bytes(whole.bids), bytes(whole.asks), time_ns)
        if whole.type in ("match", "last_match"):
            return self._match(whole)
        return IGNORED if whole.type in LEFT_OUT else UNKNOWN

    def _match(self, whole: Message) -> int:
        """Write a trade; `side` is that of the order that rested."""
        listing = self.listing(whole.product_id)
        if listing is None:
            return IGNORED
        time_ns, last = self._clock.ns(whole.time), whole.type == "last_match"
        if not last:  # the last trade before the subscription is old
            self.when(time_ns)
        side = Side.BID if whole.side == "buy" else Side.ASK
        return self.trade(
            listing, bytes(whole.price), bytes(whole.size), time_ns, whole.trade_id, int(side),
            UNPRINTED if last else 0,
        )  # fmt: skip

    def _request(self, what: str, channels: list[str], symbols: list[str]) -> bytes:
        return msgspec.json.encode({"type": what, "product_ids": symbols, "channels": channels})

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """Subscribe to books and trades."""
        return [self._request("subscribe", [self.options.channel, "matches"], symbols)]

    def renewal(self, listing: Listing) -> list[bytes]:
        """Subscribe to a book anew."""
        channels = [self.options.channel]
        return [
            self._request("unsubscribe", channels, [listing.symbol]),
            self._request("subscribe", channels, [listing.symbol]),
        ]


class Clock:
    """Times such as 2021-04-17T16:43:37.077621Z, in UTC, as ns since 1970."""

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}  # the last ones that were asked for

    def ns(self, text: str) -> int:
        """msgspec.ValidationError for what is no such time."""
        second, rest = text[:SECOND_CHARACTERS], text[SECOND_CHARACTERS:]
        begun = self._seconds.get(second)
        if begun is None:
            begun = self._learn(second)
        if rest == "Z":
            return begun
        digits = rest[1:-1]
        if rest[:1] != "." or rest[-1:] != "Z" or not (digits.isascii() and digits.isdigit()):
            raise msgspec.ValidationError(f"{text!r} is no time")
        return begun + int(digits.ljust(9, "0")[:9])

    def _learn(self, second: str) -> int:
        if len(self._seconds) >= SECONDS_KEPT:
            self._seconds.clear()
        begun = -1
        if len(second) == SECOND_CHARACTERS:
            with suppress(ValueError):
                begun = int(datetime.fromisoformat(f"{second}+00:00").timestamp()) * 10**9
        if not 0 <= begun < MAX_NS:
            raise msgspec.ValidationError(f"{second!r} is no time")
        self._seconds[second] = begun
        return begun
