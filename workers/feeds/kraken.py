"""Kraken, WebSocket API version 1: the channels book-N and trade.

    [channel, {"as": [...], "bs": [...]}, "book-1000", "XBT/USD"]                       snapshot
    [channel, {"a": [...]}, {"b": [...], "c": "974947235"}, "book-1000", "XBT/USD"]     update
    [channel, [["5541.2", "0.158", "1534614057.3", "s", "l", ""]], "trade", "XBT/USD"]

Updates are not numbered; each carries a checksum. Levels that fall out of the N best of a side are
gone without a message: a SET to nothing is made for them.
"""

import msgspec

from workers.feeds.lines import time_ns
from workers.feeds.listing import TIME, Listing
from workers.feeds.venue import IGNORED, READ, REFUSED, UNKNOWN, Venue
from workers.feeds.venue_options import VenueOptions
from workers.kernels.levels_json import NO_CHECKSUM, TIMED
from workers.records import Checksum, Flag, Side

EMPTY = msgspec.Raw(b"")
DEPTHS = (10, 25, 100, 500, 1000)
CHANNELS = {f"book-{depth}": depth for depth in DEPTHS}
CRC_DIGITS = 10
LEFT_OUT = ("ticker", "spread", "ohlc")
PART = int(Flag.PART)


class KrakenOptions(VenueOptions, tag="kraken", tag_field="kind"):
    """A capture, or the public service."""

    depth: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth not in DEPTHS:
            raise ValueError(f"depth = {self.depth}: choose one of {', '.join(map(str, DEPTHS))}")


class Sides(msgspec.Struct, gc=False):
    """Levels of one side or both; the checksum stands in the last of a message."""

    a: msgspec.Raw = EMPTY
    b: msgspec.Raw = EMPTY
    asks: msgspec.Raw = msgspec.field(default=EMPTY, name="as")
    bids: msgspec.Raw = msgspec.field(default=EMPTY, name="bs")
    c: str = ""


class Notice(msgspec.Struct, gc=False):
    """Anything that is no data."""

    event: str = ""
    status: str = ""


Trades = list[list[msgspec.Raw]]


class Kraken(Venue):
    """Reads Kraken's messages."""

    options: KrakenOptions

    def __init__(self, options, box) -> None:
        super().__init__(options, box)
        self._decode = msgspec.json.Decoder(list[int | str | Sides | Trades] | Notice).decode

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it."""
        if origin is not None:
            return IGNORED  # an answer of the REST service, such as the table of pairs
        whole = self._decode(message)
        if type(whole) is not list:
            return IGNORED if whole.event else UNKNOWN
        if len(whole) < 4 or type(whole[-1]) is not str or type(whole[-2]) is not str:
            return UNKNOWN
        channel = whole[-2]
        depth = CHANNELS.get(channel)
        if depth:
            listing = self.listing(whole[-1])
            return self._book(listing, whole[1:-2], depth) if listing else IGNORED
        if channel == "trade":
            return self._trades(whole[-1], whole[1])
        return IGNORED if channel.startswith(LEFT_OUT) else UNKNOWN

    def _book(self, listing: Listing, parts: list, depth: int) -> int:
        """Write a snapshot or an update, whose two sides may come in parts of their own."""
        sides = parts[0] if len(parts) == 1 else together(parts)
        if not isinstance(sides, Sides):
            return self.refuse(listing)
        if sides.asks is not EMPTY or sides.bids is not EMPTY:
            listing.checked_as = Checksum.KRAKEN
            listing.show_best(depth)
            bids, asks = bytes(sides.bids), bytes(sides.asks)
            return self.snapshot(listing, TIMED, bids, asks, self.when(0))
        crc, text = NO_CHECKSUM, sides.c
        if text:
            if not (text.isdigit() and len(text) <= CRC_DIGITS):
                return self.refuse(listing)
            crc = int(text)
        asks, bids = sides.a, sides.b
        verdict = self.levels(
            listing, TIMED, bytes(bids) if bids else b"", bytes(asks) if asks else b"", 0, 0, crc
        )
        if verdict == READ:
            self.when(listing.numbers[TIME])
        return verdict

    def _trades(self, symbol: str, items) -> int:
        """Write trades; the letter is that of the order that came: b or s."""
        listing = self.listing(symbol)
        if listing is None:
            return IGNORED
        if not isinstance(items, list):
            return REFUSED
        verdict = IGNORED
        for left, item in zip(reversed(range(len(items))), items, strict=True):
            when = time_ns(bytes(item[2]).strip(b'"')) if len(item) > 3 else None
            if when is None:
                return REFUSED
            side = Side.ASK if bytes(item[3]) == b'"b"' else Side.BID
            verdict = self.trade(
                listing, bytes(item[0]), bytes(item[1]), self.when(when), 0, int(side),
                PART if left else 0,
            )  # fmt: skip
        return verdict

    def _request(self, what: str, subscription: dict, symbols: list[str]) -> bytes:
        request = {"event": what, "pair": symbols, "subscription": subscription}
        return msgspec.json.encode(request)

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """Subscribe to books and trades."""
        book = {"name": "book", "depth": self.options.depth}
        return [
            self._request("subscribe", book, symbols),
            self._request("subscribe", {"name": "trade"}, symbols),
        ]

    def renewal(self, listing: Listing) -> list[bytes]:
        """Subscribe to a book anew."""
        book = {"name": "book", "depth": self.options.depth}
        return [
            self._request("unsubscribe", book, [listing.symbol]),
            self._request("subscribe", book, [listing.symbol]),
        ]


def together(parts: list) -> Sides | None:
    """The parts of one message as one; None where they are not of one, or say something twice."""
    whole = Sides()
    for part in parts:
        if not isinstance(part, Sides):
            return None
        for name in Sides.__struct_fields__:
            given = getattr(part, name)
            if given:
                if getattr(whole, name):
                    return None
                setattr(whole, name, given)
    return whole
