"""Made-up exchanges: valid messages of every venue, numbered and with checksums, and their truth.

An exchange has a book of a few levels. Each step changes it and says so in its venue's words; the
naive `Books` holds what a reader must come to.
"""

import json
import random
from typing import NamedTuple

from tests.naive.levels import Books
from workers.feeds.binance import BinanceOptions
from workers.feeds.bitstamp import BitstampOptions
from workers.feeds.coinbase import CoinbaseOptions
from workers.feeds.kraken import KrakenOptions
from workers.feeds.okx import OkxOptions
from workers.feeds.venue_options import VenueOptions
from workers.records import Checksum, Side

PRICES, LOTS = 2, 8  # decimals
PRINTED = 5  # decimals that Kraken prints of a price
MIDDLE = 10_000
MS = 1_700_000_000_000
DEPTH = 10  # levels of a side that Kraken shows
CENTS = 10**6  # lots are whole hundredths


class Flow(NamedTuple):
    """Messages of one venue, the book behind the last, and whether each is the book's."""

    options: VenueOptions
    messages: list[bytes]
    sides: tuple[dict, dict]


def packed(value) -> bytes:
    """JSON as exchanges write it."""
    return json.dumps(value, separators=(",", ":")).encode()


def decimal(number: int, decimals: int, printed: int | None = None) -> str:
    """A number of units as text."""
    printed = decimals if printed is None else printed
    whole, part = divmod(number, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".ljust(len(str(whole)) + 1 + printed, "0")


class Exchange:
    """One instrument; a subclass knows the words."""

    options: VenueOptions

    def __init__(self, seed: int) -> None:
        self.draw, self.books = random.Random(seed), Books()
        self.books.scales[0], self.books.sides[0] = (PRICES, LOTS), ({}, {})
        self.number = 100
        for side in (Side.BID, Side.ASK):
            for _ in range(8):
                self.move(side)

    @property
    def sides(self) -> tuple[dict, dict]:
        """Price to quantity, bids and asks."""
        return self.books.sides[0]

    def move(self, side: int) -> tuple[int, int, int]:
        """Change a level: side, price, quantity."""
        away = self.draw.randrange(1, 40)
        price = MIDDLE + away if side == Side.ASK else MIDDLE - away
        quantity = self.draw.choice([0, 1, 1, 1]) * self.draw.randrange(1, 10**6) * CENTS
        if quantity:
            self.sides[side][price] = quantity
        else:
            self.sides[side].pop(price, None)
        return side, price, quantity

    def moves(self) -> tuple[list, list]:
        """Some changes: (price, quantity) of bids and asks."""
        found: tuple[list, list] = ([], [])
        for _ in range(self.draw.randrange(1, 6)):
            side, price, quantity = self.move(self.draw.randrange(2))
            if price not in dict(found[side]):
                found[side].append((price, quantity))
            else:
                found[side][[p for p, _ in found[side]].index(price)] = (price, quantity)
        return found

    def show(self) -> tuple[list, list]:
        """Both sides, the best first."""
        return self.books.levels(0, Side.BID), self.books.levels(0, Side.ASK)

    def start(self) -> bytes:
        """The snapshot."""
        raise NotImplementedError

    def step(self) -> bytes:
        """A change, a trade, or something of no importance."""
        raise NotImplementedError

    def flow(self, count: int) -> Flow:
        """So many messages."""
        messages = [self.start(), *(self.step() for _ in range(count - 1))]
        return Flow(self.options, messages, self.sides)

    def trade_numbers(self) -> tuple[str, str]:
        """Price and quantity of a trade."""
        price = decimal(self.draw.randrange(9_900, 10_100), PRICES)
        return price, decimal(self.draw.randrange(1, 10**9), LOTS)


def pairs(levels: list) -> list[list[str]]:
    """Levels as most venues write them."""
    return [[decimal(price, PRICES), decimal(lots, LOTS)] for price, lots in levels]


class Binance(Exchange):
    """Spot or futures."""

    options = BinanceOptions(path="-", price_decimals=PRICES)

    def start(self) -> bytes:
        bids, asks = map(pairs, self.show())
        data = {"lastUpdateId": self.number, "bids": bids, "asks": asks}
        return packed({"stream": "btcusdt@snapshot", "data": data})

    def step(self) -> bytes:
        kind = self.draw.random()
        now = MS + self.number
        if kind < 0.2:
            price, lots = self.trade_numbers()
            data = {"e": "trade", "E": now, "s": "BTCUSDT", "t": self.number, "p": price}
            return packed(data | {"q": lots, "m": kind < 0.1})
        if kind < 0.23:
            return packed({"e": "24hrTicker", "E": now, "s": "BTCUSDT", "c": "1"})
        bids, asks = map(pairs, self.moves())
        first, last = self.number + 1, self.number + self.draw.randrange(1, 4)
        data = {"e": "depthUpdate", "E": now, "s": "BTCUSDT", "U": first, "u": last}
        self.number = last
        return packed({"stream": "btcusdt@depth", "data": data | {"b": bids, "a": asks}})


class Futures(Binance):
    """Numbers its updates by the one before."""

    def step(self) -> bytes:
        before = self.number
        text = super().step()
        if b"depthUpdate" not in text:
            return text
        message = json.loads(text)
        message["data"]["pu"] = before
        return packed(message)


class Kraken(Exchange):
    """Ten levels a side, with a checksum in each update."""

    options = KrakenOptions(path="-", price_decimals=PRICES)

    def timed(self, levels: list) -> list[list[str]]:
        """Levels with their time."""
        second = f"{1_700_000_000 + self.number}.{self.draw.randrange(10**6):06d}"
        shown = [(decimal(price, PRICES, PRINTED), decimal(lots, LOTS)) for price, lots in levels]
        return [[*pair, second, *["r"] * (self.draw.random() < 0.1)] for pair in shown]

    def cut(self) -> None:
        """What is not among the best is gone."""
        for side, levels in zip(self.sides, self.show(), strict=True):
            for price, _ in levels[DEPTH:]:
                del side[price]

    def start(self) -> bytes:
        self.cut()
        bids, asks = map(self.timed, self.show())
        return packed([7, {"as": asks, "bs": bids}, "book-10", "XBT/USD"])

    def step(self) -> bytes:
        kind = self.draw.random()
        self.number += 1
        if kind < 0.2:
            price, lots = self.trade_numbers()
            item = [price, lots, f"{1_700_000_000 + self.number}.25", "b", "l", ""]
            return packed([7, [item], "trade", "XBT/USD"])
        if kind < 0.25:
            return b'{"event":"heartbeat"}'
        bids, asks = map(self.timed, self.moves())
        self.cut()
        crc = str(self.books.checksum(0, Checksum.KRAKEN, (PRINTED, LOTS)))
        parts = [{name: side} for name, side in (("a", asks), ("b", bids)) if side]
        parts[-1]["c"] = crc
        return packed([7, *parts, "book-10", "XBT/USD"])


class Okx(Exchange):
    """Checksums and numbers."""

    options = OkxOptions(path="-", price_decimals=PRICES)

    def book(self, action: str, bids: list, asks: list) -> bytes:
        """A message of the book."""
        before, self.number = self.number, self.number + self.draw.randrange(1, 4)
        crc = self.books.checksum(0, Checksum.OKX, (0, 0))
        item = {"asks": self.counted(asks), "bids": self.counted(bids), "ts": str(MS)}
        item["checksum"] = crc - (crc >> 31 << 32)
        item |= {"seqId": self.number, "prevSeqId": -1 if action == "snapshot" else before}
        arg = {"channel": "books", "instId": "BTC-USDT"}
        return packed({"arg": arg, "action": action, "data": [item]})

    @staticmethod
    def counted(levels: list) -> list[list[str]]:
        """Levels with the number of their orders."""
        return [[*pair, "0", "3"] for pair in pairs(levels)]

    def start(self) -> bytes:
        return self.book("snapshot", *self.show())

    def step(self) -> bytes:
        kind = self.draw.random()
        if kind < 0.2:
            price, lots = self.trade_numbers()
            item = {"instId": "BTC-USDT", "tradeId": "7", "px": price, "sz": lots, "side": "buy"}
            arg = {"channel": "trades", "instId": "BTC-USDT"}
            return packed({"arg": arg, "data": [item | {"ts": str(MS + self.number)}]})
        return b"pong" if kind < 0.25 else self.book("update", *self.moves())


class Coinbase(Exchange):
    """Neither numbers nor checksums."""

    options = CoinbaseOptions(path="-", price_decimals=PRICES)

    def start(self) -> bytes:
        bids, asks = map(pairs, self.show())
        return packed({"type": "snapshot", "product_id": "BTC-USD", "bids": bids, "asks": asks})

    def step(self) -> bytes:
        kind = self.draw.random()
        self.number += 1
        now = f"2023-11-14T22:{self.number // 60 % 60:02d}:{self.number % 60:02d}.123456Z"
        head = {"product_id": "BTC-USD", "time": now}
        if kind < 0.2:
            price, lots = self.trade_numbers()
            more = {"type": "match", "trade_id": self.number, "side": "buy", "price": price}
            return packed(head | more | {"size": lots})
        if kind < 0.25:
            return packed(head | {"type": "heartbeat"})
        bids, asks = map(pairs, self.moves())
        changes = [["buy", *pair] for pair in bids] + [["sell", *pair] for pair in asks]
        return packed(head | {"type": "l2update", "changes": changes})


class Bitstamp(Exchange):
    """Orders one by one: the book of levels stays empty."""

    options = BitstampOptions(path="-", price_decimals=PRICES)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.orders: dict[int, tuple] = {}
        self.books.sides[0] = ({}, {})

    def start(self) -> bytes:
        return self.step()

    def step(self) -> bytes:
        kind = self.draw.random()
        price, lots = self.trade_numbers()
        stamp = str((MS + self.number) * 1000)
        if kind < 0.1:
            data = {"id": self.number, "price_str": price, "amount_str": lots, "type": 1}
            message = {"event": "trade", "channel": "live_trades_btcusd"}
            return packed(message | {"data": data | {"microtimestamp": stamp}})
        if kind < 0.5 or not self.orders:
            self.number += 1
            number, event, side = self.number, "order_created", self.draw.randrange(2)
            self.orders[number] = (price, side)
        else:
            number = self.draw.choice(list(self.orders))
            price, side = self.orders[number]
            event = "order_changed" if kind < 0.7 else "order_deleted"
            if event == "order_deleted":
                del self.orders[number]
        body = {"id": number, "price": price, "amount": lots, "order_type": side}
        if self.draw.random() < 0.5:
            return event.encode() + b" " + packed(body)
        message = {"event": event, "channel": "live_orders_btcusd"}
        return packed(message | {"data": body | {"microtimestamp": stamp}})


VENUES = {
    "binance": Binance, "futures": Futures, "kraken": Kraken, "okx": Okx, "coinbase": Coinbase,
    "bitstamp": Bitstamp,
}  # fmt: skip
