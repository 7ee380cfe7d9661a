"""Binance, spot and USD-M futures: diff depth streams with a snapshot of the REST service, trades.

The rules (developers.binance.com, "How to manage a local order book correctly"): updates wait until
a snapshot is there, older ones are left out, and the first one used has to bracket its
`lastUpdateId`; from then on `pu` (futures) is the `u` before, or `U` (spot) the one behind it.
The best prices of the bookTicker stream are left out: a book has one source.
"""

from urllib.parse import parse_qs, urlsplit

import msgspec

from workers.feeds.listing import Listing
from workers.feeds.venue import IGNORED, PENDING_MAX, READ, UNKNOWN, Id, Millis, Venue
from workers.feeds.venue_options import VenueOptions, check_address
from workers.kernels.levels_json import PLAIN
from workers.records import Doubt, Side

MS = 1_000_000
EMPTY = msgspec.Raw(b"")
NO_ID = -1
# Kinds of messages that say nothing of the book and the trades.
LEFT_OUT = {
    "bookTicker", "kline", "24hrTicker", "24hrMiniTicker", "1hTicker", "4hTicker", "1dTicker",
    "avgPrice", "markPriceUpdate", "forceOrder", "continuous_kline", "compositeIndex",
    "indexPriceUpdate", "contractInfo", "assetIndexUpdate",
}  # fmt: skip
BID, ASK = int(Side.BID), int(Side.ASK)


class BinanceOptions(VenueOptions, tag="binance", tag_field="kind"):
    """A capture, or the streams and the REST service of spot or futures."""

    rest_url: str | None = None  # such as https://api.binance.com/api/v3/depth
    streams: tuple[str, ...] = ("depth@100ms", "trade")
    levels: int = 1000  # of a snapshot

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rest_url is not None:
            check_address(self.rest_url, "rest_url", ("http", "https"))
        elif self.url is not None:
            raise ValueError(
                "`url` needs `rest_url` for the snapshots: https://api.binance.com/api/v3/depth "
                "(spot) or https://fapi.binance.com/fapi/v1/depth (USD-M futures)"
            )
        if self.levels < 1:
            raise ValueError(f"levels = {self.levels}: give 1 or more")


class Body(msgspec.Struct, gc=False):
    """What streams and the REST service say; letters as Binance has them."""

    e: str = ""
    E: Millis = 0
    s: str = ""
    U: Id = NO_ID
    u: Id = NO_ID
    pu: Id = NO_ID
    b: msgspec.Raw = EMPTY
    a: msgspec.Raw = EMPTY
    t: Id = 0
    p: msgspec.Raw = EMPTY
    q: msgspec.Raw = EMPTY
    m: bool = False
    X: str = "MARKET"
    lastUpdateId: Id = NO_ID  # noqa: N815
    bids: msgspec.Raw = EMPTY
    asks: msgspec.Raw = EMPTY


class Message(Body, gc=False):
    """A body as it is, or in the wrapper of combined streams."""

    stream: str = ""
    data: Body | None = None
    id: int | str | None = None  # of an answer to a request


class Binance(Venue):
    """Reads Binance's messages; what waits for a snapshot of a book is kept in `pending`."""

    SEQUENCED = True
    REST = True
    options: BinanceOptions

    def __init__(self, options, box) -> None:
        super().__init__(options, box)
        self._decode = msgspec.json.Decoder(Message).decode
        self._number = msgspec.json.Decoder(Id).decode
        self._printed: dict[str, str] = {}  # which stream an instrument's trades are taken from

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it."""
        whole = self._decode(message)
        body = whole.data or whole
        kind = body.e
        if not kind and body.u != NO_ID:  # the best prices of spot have no kind
            return IGNORED
        if kind == "depthUpdate":
            listing = self.listing(body.s)
            return self._update(listing, body) if listing else IGNORED
        if kind == "trade" or kind == "aggTrade":
            return self._trade(body)
        if body.lastUpdateId != NO_ID:
            return self._take_snapshot(body, whole.stream, origin)
        known = kind in LEFT_OUT or whole.id is not None
        return IGNORED if known else UNKNOWN

    def _update(self, listing: Listing, update: Body) -> int:
        """Take an update in, or keep it until there is a snapshot."""
        if not listing.doubt:
            return self._follow(listing, update)
        pending = listing.pending
        pending.append(update)
        if len(pending) > PENDING_MAX:
            del pending[: PENDING_MAX // 2]  # the snapshot to come will be newer
        return IGNORED

    def _follow(self, listing: Listing, update: Body) -> int:
        """Write an update that follows the last one; anything else puts the book in doubt."""
        last, futures = listing.last, update.pu != NO_ID
        if update.u < last or (update.u == last and not (listing.first and futures)):
            self.box.tally["duplicates"] += not listing.first
            return IGNORED
        fits = update.pu == last if futures else last + 1 == update.U
        if listing.first:
            fits = fits or update.U - last <= (not futures)
        if not fits:
            self.box.tally["gaps"] += 1
            self.doubt(listing, Doubt.GAP)
            return self._update(listing, update)
        verdict = self.levels(
            listing, PLAIN, bytes(update.b), bytes(update.a), self.when(update.E * MS), update.u
        )
        if verdict == READ:
            listing.last, listing.first = update.u, False
        return verdict

    def _take_snapshot(self, body: Body, stream: str, origin: str | None) -> int:
        """Begin a book anew where one waits for it, and let follow what came meanwhile."""
        listing = self._meant(body, stream, origin)
        if listing is None or not listing.doubt or self.away:
            return IGNORED
        last = body.lastUpdateId
        newer = next((update for update in listing.pending if update.u > last), None)
        if newer is not None:
            futures = newer.pu != NO_ID
            behind = newer.U - last
            if behind > (not futures) and not (futures and newer.pu == last):
                return IGNORED  # it is older than all updates at hand
        time_ns = self.when(body.E * MS)
        verdict = self.snapshot(listing, PLAIN, bytes(body.bids), bytes(body.asks), time_ns, last)
        if verdict == READ:
            listing.last, listing.first = last, True
            pending, listing.pending = listing.pending, []
            for update in pending:
                self._update(listing, update)
        return verdict

    def _meant(self, body: Body, stream: str, origin: str | None) -> Listing | None:
        """Whose snapshot it is: it does not say so itself."""
        symbol = stream.partition("@")[0].upper() or body.s
        if not symbol and origin:
            symbol = parse_qs(urlsplit(origin).query).get("symbol", [""])[0].upper()
        if symbol:
            return self.listing(symbol)
        if not self.by_code and len(self.options.symbols) == 1:
            return self.listing(self.options.symbols[0])
        last = body.lastUpdateId
        waiting = [listing for listing in self.by_code if listing.doubt]
        around = [
            listing
            for listing in waiting
            if listing.pending and listing.pending[0].U <= last <= listing.pending[-1].u
        ]
        found = around if len(waiting) > 1 else waiting
        return found[0] if len(found) == 1 else None

    def _trade(self, body: Body) -> int:
        """Write a trade, of one of the two streams that tell of them."""
        listing = self.listing(body.s)
        if listing is None or self._printed.setdefault(body.s, body.e) != body.e:
            return IGNORED
        if body.X != "MARKET":  # futures: moved by the insurance fund and such, at no price
            return IGNORED
        match = body.t if body.e == "trade" else self._number(body.a)
        side = BID if body.m else ASK  # of the order that rested
        return self.trade(
            listing, bytes(body.p), bytes(body.q), self.when(body.E * MS), match, side
        )

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """Subscribe to the streams of some instruments."""
        streams = self.options.streams
        names = [f"{symbol.lower()}@{stream}" for symbol in symbols for stream in streams]
        return [msgspec.json.encode({"method": "SUBSCRIBE", "params": names, "id": 1})]

    def rest_url(self, listing: Listing) -> str:
        """Where a snapshot is."""
        return f"{self.options.rest_url}?symbol={listing.symbol}&limit={self.options.levels}"

    def wrapped(self, listing: Listing, answer: bytes) -> bytes:
        """A snapshot that says whose it is, as no stream sends it."""
        return b'{"stream":"%s@snapshot","data":%s}' % (listing.symbol.lower().encode(), answer)
