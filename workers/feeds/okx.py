"""OKX: the channels of whole books with their updates (`books`, `books-l2-tbt`), and trades.

Each message names its own number and the one before (`seqId`, `prevSeqId`; captures of 2022 have
neither) and carries a checksum, signed; 0 where OKX no longer computes it.
"""

from typing import Annotated

import msgspec

from workers.feeds.listing import Listing
from workers.feeds.venue import IGNORED, READ, UNKNOWN, Id, Millis, Venue
from workers.feeds.venue_options import VenueOptions
from workers.kernels.levels_json import COUNTED, NO_CHECKSUM
from workers.records import Checksum, Doubt, Flag, Side

MS = 1_000_000
EMPTY = msgspec.Raw(b"")
NO_ID = -2  # -1 is the number before a snapshot's
BOOKS = {"books", "books-l2-tbt", "books50-l2-tbt"}
PART = int(Flag.PART)


class OkxOptions(VenueOptions, tag="okx", tag_field="kind"):
    """A capture, or the public service."""

    channel: str = "books"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channel not in BOOKS:
            choice = ", ".join(sorted(BOOKS))
            raise ValueError(f"channel = {self.channel!r}: choose one of {choice}")


class Subject(msgspec.Struct, gc=False):
    """What a message is about."""

    channel: str = ""
    instId: str = ""  # noqa: N815


class Item(msgspec.Struct, gc=False):
    """A book's levels, or one trade."""

    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY
    ts: Millis = 0
    checksum: Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 32)] = 0
    seqId: Id = NO_ID  # noqa: N815
    prevSeqId: Id = NO_ID  # noqa: N815
    px: msgspec.Raw = EMPTY
    sz: msgspec.Raw = EMPTY
    side: str = ""
    tradeId: Id = 0  # noqa: N815


class Message(msgspec.Struct, gc=False):
    """A push of a channel, or an answer."""

    arg: Subject | None = None
    action: str = ""
    data: list[Item] = []
    event: str = ""


class Okx(Venue):
    """Reads OKX's messages."""

    ALIVE = b"ping"
    options: OkxOptions

    def __init__(self, options, box) -> None:
        super().__init__(options, box)
        self._decode = msgspec.json.Decoder(Message, strict=False).decode  # numbers in quotes

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it."""
        if message == b"pong":
            return IGNORED
        whole = self._decode(message)
        if whole.event:
            return IGNORED
        subject = whole.arg
        if subject is None:
            return UNKNOWN
        if subject.channel in BOOKS:
            listing = self.listing(subject.instId)
            if listing is None:
                return IGNORED
            verdict = IGNORED
            for item in whole.data:
                verdict = self._book(listing, whole.action, item)
            return verdict
        if subject.channel in ("trades", "trades-all"):
            return self._trades(subject.instId, whole.data)
        return IGNORED

    def _book(self, listing: Listing, action: str, item: Item) -> int:
        """Write a snapshot, or an update that follows the last message."""
        listing.checked_as = Checksum.OKX
        time_ns, bids, asks = self.when(item.ts * MS), bytes(item.bids), bytes(item.asks)
        unchecked = item.checksum == 0 and item.seqId != NO_ID
        crc = NO_CHECKSUM if unchecked else item.checksum & 0xFFFFFFFF
        if action == "snapshot":
            verdict = self.snapshot(listing, COUNTED, bids, asks, time_ns, max(item.seqId, 0))
            if verdict == READ and crc != NO_CHECKSUM:
                self.check(listing, crc, time_ns)
        elif action == "update":
            if item.prevSeqId not in (NO_ID, listing.last) and listing.snapshots:
                if not listing.doubt:
                    self.box.tally["gaps"] += 1
                self.doubt(listing, Doubt.GAP)
            verdict = self.levels(listing, COUNTED, bids, asks, time_ns, max(item.seqId, 0), crc)
        else:
            return UNKNOWN
        listing.last = item.seqId
        return verdict

    def _trades(self, symbol: str, items: list[Item]) -> int:
        """Write trades; `side` is that of the order that came."""
        listing = self.listing(symbol)
        if listing is None:
            return IGNORED
        verdict = IGNORED
        for left, item in zip(reversed(range(len(items))), items, strict=True):
            side = Side.ASK if item.side == "buy" else Side.BID
            verdict = self.trade(
                listing, bytes(item.px), bytes(item.sz), self.when(item.ts * MS),
                item.tradeId, int(side), PART if left else 0,
            )  # fmt: skip
        return verdict

    def _request(self, what: str, channels: tuple[str, ...], symbols: list[str]) -> bytes:
        arguments = [
            {"channel": channel, "instId": symbol} for symbol in symbols for channel in channels
        ]
        return msgspec.json.encode({"op": what, "args": arguments})

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """Subscribe to books and trades."""
        return [self._request("subscribe", (self.options.channel, "trades"), symbols)]

    def renewal(self, listing: Listing) -> list[bytes]:
        """Subscribe to a book anew."""
        channels = (self.options.channel,)
        return [
            self._request("unsubscribe", channels, [listing.symbol]),
            self._request("subscribe", channels, [listing.symbol]),
        ]
