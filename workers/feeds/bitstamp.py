"""Bitstamp: orders one by one, from its log or the channels live_orders and live_trades.

    1430438404518 order_created {"price": "236.47", "amount": "2.0", "id": 65595247, ...}
    {"event": "order_created", "channel": "live_orders_btcusd", "data": {...}}

The amount of a changed order is what is left of it; a deleted one left, filled or not. Both orders
of a trade are told of, and the trade besides: volume is counted there alone. Orders from before
the recording are only seen when they change: then they are taken in, as inferred. No snapshot
shows the whole book, so it stays in doubt. Trades of the log are printed as binary fractions: they
are taken for the decimals that these stand for.
"""

import msgspec

from workers.feeds.listing import PRICE_PRINTED, Listing
from workers.feeds.venue import IGNORED, READ, REFUSED, UNKNOWN, Id, Venue
from workers.feeds.venue_options import DECIMALS_MAX, VenueOptions
from workers.records import Doubt, Event, Flag, Side

US = 1_000
EMPTY = msgspec.Raw(b"")
LOG_SYMBOL = "btcusd"  # the log names none
LEAST_DECIMALS = 2  # of a price unit
INEXACT = 1e-9  # how far a binary fraction may lie from its decimal
ORDERS = ("order_created", "order_changed", "order_deleted")
LEFT_OUT = {"order_book", "data", "bts:subscription_succeeded", "bts:heartbeat", "bts:error",
            "bts:unsubscription_succeeded", "bts:request_reconnect"}  # fmt: skip
ADD, MODIFY = int(Event.ADD), int(Event.MODIFY)
DELETE, CLEAR = int(Event.DELETE), int(Event.CLEAR)
INFERRED = int(Flag.INFERRED)
SIDES = (int(Side.BID), int(Side.ASK))  # by order_type


class BitstampOptions(VenueOptions, tag="bitstamp", tag_field="kind"):
    """A log or capture, or the public service; a log's symbol is the first of `symbols`."""


class Body(msgspec.Struct, gc=False):
    """An order or a trade."""

    id: Id = 0
    price: msgspec.Raw = EMPTY
    amount: msgspec.Raw = EMPTY
    price_str: msgspec.Raw = EMPTY
    amount_str: msgspec.Raw = EMPTY
    order_type: int = 0
    type: int = 0
    microtimestamp: str = ""


class Message(msgspec.Struct, gc=False):
    """A push of a channel."""

    event: str = ""
    channel: str = ""
    data: msgspec.Raw = EMPTY


class Bitstamp(Venue):
    """Reads Bitstamp's messages; knows the ids of the orders that it has told of."""

    def __init__(self, options, box) -> None:
        super().__init__(options, box)
        self._whole = msgspec.json.Decoder(Message).decode
        self._body = msgspec.json.Decoder(Body).decode
        self._alone = options.symbols[0] if options.symbols else LOG_SYMBOL
        self._orders: dict[str, set[int]] = {}

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it."""
        if message[:1] == b"{":
            whole = self._whole(message)
            event, symbol = whole.event, whole.channel.rpartition("_")[2]
            data: bytes | msgspec.Raw = whole.data
        else:
            word, _, data = message.partition(b" ")
            event, symbol = word.decode("ascii"), self._alone
        if event in ORDERS:
            listing = self.listing(symbol)
            return self._order(listing, event, self._body(data)) if listing else IGNORED
        if event == "trade":
            return self._trade(symbol, self._body(data))
        return IGNORED if event in LEFT_OUT else UNKNOWN

    def _order(self, listing: Listing, event: str, body: Body) -> int:
        """Write what became of an order."""
        price, amount = texts(body)
        if body.order_type not in (0, 1):
            return self.refuse(listing)
        if not listing.ready:
            if not self.look(listing, price, amount):
                return REFUSED
            self.learn(listing)
        orders = self._orders.setdefault(listing.symbol, set())
        time_ns, side = self._when(body), SIDES[body.order_type]
        known = body.id in orders
        if event == "order_deleted" or (known and not amount.strip(b'"0.')):
            if not known:
                return IGNORED
            orders.discard(body.id)
            self.box.put(DELETE, listing.code, time_ns, body.id)
            return READ
        created = event == "order_created"
        if created and known:
            self.box.tally["duplicates"] += 1
            return IGNORED
        kind, flags = (MODIFY, 0) if known else (ADD, 0 if created else INFERRED)
        verdict = self.put_single(listing, kind, price, amount, time_ns, body.id, 0, side, flags)
        if verdict == REFUSED:
            return self.refuse(listing)
        orders.add(body.id)
        return READ

    def learn(self, listing: Listing) -> None:
        """Prices of orders are all printed with as many decimals as they may have."""
        printed = listing.numbers[PRICE_PRINTED]
        self.announce(listing, min(max(printed, LEAST_DECIMALS), DECIMALS_MAX))

    def _when(self, body: Body) -> int:
        stamp = body.microtimestamp
        return self.when(int(stamp) * US if stamp.isdigit() and len(stamp) == 16 else 0)

    def _trade(self, symbol: str, body: Body) -> int:
        """Write a trade; `type` is that of the order that came."""
        listing = self.listing(symbol)
        if listing is None:
            return IGNORED
        price, amount = texts(body)
        side = int(Side.NONE) if not body.microtimestamp else SIDES[body.type == 0]
        return self.trade(listing, price, amount, self._when(body), body.id, side)

    def trade(self, listing, price, quantity, time_ns, match, side, flags=0) -> int:
        """Write a trade whose numbers may be binary fractions."""
        if listing.ready:
            price = exact(price, listing.price_decimals)
            quantity = exact(quantity, listing.quantity_decimals)
        return super().trade(listing, price, quantity, time_ns, match, side, flags)

    def join(self) -> None:
        """A connection begins: what became of the orders meanwhile is not known."""
        super().join()
        for listing in self.by_code if self.joins > 1 else ():
            if listing.ready:
                self.box.put(CLEAR, listing.code, self.when(0))
                self.doubt(listing, Doubt.GAP)
        self._orders.clear()

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """Subscribe to orders and trades."""
        return [
            msgspec.json.encode({"event": "bts:subscribe", "data": {"channel": f"{kind}_{symbol}"}})
            for symbol in symbols
            for kind in ("live_orders", "live_trades")
        ]

    def renewal(self, listing: Listing) -> list[bytes]:
        """Nothing brings the orders from before."""
        return []


def texts(body: Body) -> tuple[bytes, bytes]:
    """Price and amount, as exact as the message has them."""
    return bytes(body.price_str or body.price), bytes(body.amount_str or body.amount)


def exact(text: bytes, decimals: int) -> bytes:
    """The decimal that a binary fraction stands for; the text itself where it stands for none."""
    try:
        number = float(text.strip(b'"'))
    except ValueError:
        return text
    rounded = f"{number:.{decimals}f}"
    return rounded.encode() if abs(float(rounded) - number) < INEXACT else text
