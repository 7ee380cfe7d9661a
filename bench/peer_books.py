"""Order books of others, called from Python: each takes the same steps and shows its levels.

A step is what happened to one order, and what rests at its price after it. What a peer wants to
be given (objects, rows) is made before the clock starts. Those that keep totals only are given
the totals, and say so in their names.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from workers.records import Event, Side

ABSENT = 'not installed: pip install "corelane[peers]"'
ADD, UPDATE, DELETE = range(3)
PRICE_SCALE = 10_000  # price units in one of currency
Levels = list[tuple[int, int]]  # price, quantity; the best first


class Step(NamedTuple):
    """What happened to one order, and what it left."""

    action: int
    side: int
    order: int
    price: int
    left: int  # of the order
    total: int  # at its price


def steps_of(events: np.ndarray) -> list[Step]:
    """What EVENTs of one instrument do, order by order; a replaced order goes and another comes."""
    orders: dict[int, tuple[int, int, int]] = {}
    totals: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found: list[Step] = []

    def put(action: int, order: int, side: int, price: int, left: int, change: int) -> None:
        total = totals[side][price] = totals[side].get(price, 0) + change
        if left:
            orders[order] = side, price, left
        else:
            del orders[order]
        found.append(Step(action, side, order, price, left, total))

    for event in events:
        kind, order, quantity = int(event["kind"]), int(event["order"]), int(event["quantity"])
        if kind == Event.ADD:
            put(ADD, order, int(event["side"]), int(event["price"]), quantity, quantity)
            continue
        if kind not in (Event.EXECUTE, Event.EXECUTE_AT, *range(Event.CANCEL, Event.REPLACE + 1)):
            continue
        side, price, left = orders[order]
        if kind in (Event.DELETE, Event.REPLACE):
            put(DELETE, order, side, price, 0, -left)
        else:
            rest = left - quantity
            put(UPDATE if rest else DELETE, order, side, price, rest, -quantity)
        if kind == Event.REPLACE:
            put(ADD, int(event["other"]), side, int(event["price"]), quantity, quantity)
    return found


class Peer(Protocol):
    """A book of somebody else's."""

    def prepare(self, steps: Sequence[Step]) -> None:
        """Make what it wants to be given, and an empty book."""

    def apply(self, first: int, end: int) -> None:
        """Take steps first … end - 1, which are the next."""

    def levels(self, side: int) -> Levels | None:
        """What rests on a side; None where it does not tell more than the best."""

    def best(self, side: int) -> tuple[int, int]:
        """Price and quantity of the best level."""


class Nautilus:
    """nautilus_trader's OrderBook of single orders (L3), in Rust behind Cython."""

    def prepare(self, steps: Sequence[Step]) -> None:
        from nautilus_trader.model.book import OrderBook
        from nautilus_trader.model.data import BookOrder, OrderBookDelta
        from nautilus_trader.model.enums import BookAction, BookType, OrderSide
        from nautilus_trader.model.identifiers import InstrumentId
        from nautilus_trader.model.objects import Price, Quantity

        name = InstrumentId.from_str("BENCH.XNAS")
        sides = OrderSide.BUY, OrderSide.SELL
        actions = BookAction.ADD, BookAction.UPDATE, BookAction.DELETE
        self.given = [
            OrderBookDelta(
                name,
                actions[step.action],
                BookOrder(
                    sides[step.side],
                    Price(step.price / PRICE_SCALE, 4),
                    Quantity(step.left, 0),
                    step.order,
                ),
                0,
                number,
                number,
                number,
            )
            for number, step in enumerate(steps)
        ]
        self.book: Any = OrderBook(name, BookType.L3_MBO)

    def apply(self, first: int, end: int) -> None:
        apply_delta = self.book.apply_delta
        for delta in self.given[first:end]:
            apply_delta(delta)

    def levels(self, side: int) -> Levels:
        found = self.book.asks() if side else self.book.bids()
        return [(units(float(level.price)), round(level.size())) for level in found]

    def best(self, side: int) -> tuple[int, int]:
        return self.levels(side)[0]  # its own best size is that of the order in front


class SortedTotals:
    """order-book (bmoscon): two sorted dictionaries in C; totals per price only."""

    def prepare(self, steps: Sequence[Step]) -> None:
        from order_book import OrderBook

        self.given = [(step.side, step.price, step.total) for step in steps]
        self.book: Any = OrderBook()

    def apply(self, first: int, end: int) -> None:
        sides = self.book.bids, self.book.asks
        for side, price, total in self.given[first:end]:
            if total:
                sides[side][price] = total
            else:
                del sides[side][price]

    def levels(self, side: int) -> Levels | None:
        found = (self.book.asks if side else self.book.bids).to_dict()
        return [(int(price), int(total)) for price, total in found.items()]

    def best(self, side: int) -> tuple[int, int]:
        price, total = (self.book.asks if side else self.book.bids).index(0)
        return int(price), int(total)


class Replayed:
    """hftbacktest's replay of single orders: a venue's book and a trader's, both in Rust."""

    TICK = 0.0001

    def prepare(self, steps: Sequence[Step]) -> None:
        import hftbacktest as peer

        rows = np.zeros(len(steps), peer.event_dtype)
        actions = peer.ADD_ORDER_EVENT, peer.MODIFY_ORDER_EVENT, peer.CANCEL_ORDER_EVENT
        sides = peer.BUY_EVENT, peer.SELL_EVENT
        common = peer.EXCH_EVENT | peer.LOCAL_EVENT
        rows["ev"] = [common | actions[step.action] | sides[step.side] for step in steps]
        rows["exch_ts"] = rows["local_ts"] = np.arange(1, len(steps) + 1)
        rows["px"] = [step.price / PRICE_SCALE for step in steps]
        rows["qty"] = [step.left for step in steps]
        rows["order_id"] = [step.order for step in steps]
        asset = (
            peer.BacktestAsset()
            .data([rows])
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .l3_fifo_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0, 0)
            .tick_size(self.TICK)
            .lot_size(1)
        )
        self.rows = rows  # read where they are
        self.book: Any = peer.HashMapMarketDepthBacktest([asset])
        self.book.elapse(0)  # compiled before it is measured

    def apply(self, first: int, end: int) -> None:
        self.book.elapse(end - first)

    def levels(self, side: int) -> Levels | None:
        return None

    def best(self, side: int) -> tuple[int, int]:
        depth = self.book.depth(0)
        if side:
            return units(depth.best_ask), round(depth.best_ask_qty)
        return units(depth.best_bid), round(depth.best_bid_qty)


def units(price: float) -> int:
    """A price of currency in price units."""
    return round(price * PRICE_SCALE)


# Name in the table -> the module that must be there, and who calls it.
PEERS: dict[str, tuple[str, type[Peer]]] = {
    "nautilus_trader, L3": ("nautilus_trader", Nautilus),
    "order-book, totals": ("order_book", SortedTotals),
    "hftbacktest, L3 replay": ("hftbacktest", Replayed),
}


def installed() -> list[str]:
    """Who is there."""
    return [name for name, (module, _) in PEERS.items() if importlib.util.find_spec(module)]


def notes() -> list[str]:
    """What to say of those who are not."""
    return [f"{name}: {ABSENT}" for name in PEERS if name not in installed()]


def expected(steps: Sequence[Step], side: int) -> Levels:
    """What rests on a side after all steps."""
    totals: dict[int, int] = {}
    for step in steps:
        if step.side == side:
            totals[step.price] = step.total
    left = [(price, total) for price, total in totals.items() if total]
    return sorted(left, reverse=side == Side.BID)
