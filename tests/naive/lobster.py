"""LOBSTER the obvious way: a decoder, an exchange that writes the files, a book to read them."""

import random
from decimal import Decimal, InvalidOperation

import numpy as np

from workers.records import LEVEL, TOP, Book, Event, Side, State, empty

KINDS = {
    "1": Event.ADD,
    "2": Event.CANCEL,
    "3": Event.DELETE,
    "4": Event.EXECUTE,
    "5": Event.TRADE,
    "6": Event.CROSS,
    "7": Event.STATUS,
}
STATES = {-1: State.HALTED, 0: State.QUOTING, 1: State.TRADING}


def decode(text: str) -> list[tuple]:
    """(line, nanoseconds, kind, order, size, price, side, flags) of every good line."""
    events: list[tuple] = []
    lines = [line for line in text.replace("\r", "").split("\n") if line]
    for number, line in enumerate(lines, 1):
        fields = line.split(",")
        if len(fields) != 6 or fields[1] not in KINDS:
            continue
        try:
            time = int(Decimal(fields[0]) * 10**9)
            order, size, price, direction = (int(field) for field in fields[2:])
        except (InvalidOperation, ValueError):
            continue
        kind = KINDS[fields[1]]
        side = {1: Side.BID, -1: Side.ASK}.get(direction)
        if side is None:
            continue
        if kind == Event.STATUS:
            events.append((number, time, kind, 0, 0, 0, Side.NONE, STATES[price]))
        elif size > 0 and 0 < price < 9999999999 and (order > 0 or kind >= Event.TRADE):
            order = 0 if kind >= Event.TRADE else order
            side = Side.NONE if kind == Event.CROSS else side
            events.append((number, time, kind, order, size, price, side, 0))
    return events


class Exchange:
    """A whole book, of which the files show the best `levels` prices."""

    def __init__(self, seed: int, levels: int) -> None:
        self.random, self.levels = random.Random(seed), levels
        self.orders: dict[int, list[int]] = {}  # id: direction, price, size; in order of time
        self.messages: list[str] = []
        self.rows: list[list[int]] = []
        self.emptied: list[
            int
        ] = []  # per row: the direction of a full side that lost a level, or 0
        self.number, self.clock, self.centre = 1_000, 34_200_000_000_000, 1_000

    def side(self, direction: int) -> list[tuple[int, int]]:
        """(price, size) of all levels of a side, best first."""
        totals: dict[int, int] = {}
        for other, price, size in self.orders.values():
            if other == direction:
                totals[price] = totals.get(price, 0) + size
        return sorted(totals.items(), reverse=direction == 1)

    def window(self, direction: int) -> list[tuple[int, int]]:
        return self.side(direction)[: self.levels]

    def row(self) -> list[int]:
        """The order book file's row for the book as it is."""
        row: list[int] = []
        asks, bids = self.window(-1), self.window(1)
        for level in range(self.levels):
            row += asks[level] if level < len(asks) else (9999999999, 0)
            row += bids[level] if level < len(bids) else (-9999999999, 0)
        return row

    def show(self, kind: int, order: int, size: int, price: int, direction: int) -> None:
        """Write a message and the book after it."""
        self.clock += self.random.choice((0, 1, 1_000, 10**8))
        seconds = f"{self.clock // 10**9}.{self.clock % 10**9:09d}".rstrip("0").rstrip(".")
        self.messages.append(f"{seconds},{kind},{order},{size},{price},{direction}")
        self.rows.append(self.row())

    def change(self, kind: int, order: int, size: int) -> None:
        """Take from an order, or let a new one in (kind 1); the files show it if in sight."""
        direction, price, _ = self.orders[order]
        if kind == 1:
            self.orders[order][2] = 0
        before = self.window(direction) if kind != 1 else self.others(direction, order)
        self.orders[order][2] += size if kind == 1 else -size
        if self.orders[order][2] == 0:
            del self.orders[order]
        after = self.window(direction)
        if price in dict(before) or price in dict(after):
            self.show(kind, order, size, price, direction)
            emptied = len(before) == self.levels and price not in dict(self.side(direction))
            self.emptied.append(direction if emptied else 0)

    def others(self, direction: int, order: int) -> list[tuple[int, int]]:
        """The window without an order."""
        held = self.orders.pop(order)
        window = self.window(direction)
        self.orders[order] = held
        return window

    def submit(self, direction: int, price: int, size: int) -> None:
        """A limit order trades with what it meets, the rest of it comes to rest."""
        while size and (best := self.window(-direction)) and (price - best[0][0]) * direction >= 0:
            maker = next(
                order
                for order, (other, at, _) in self.orders.items()
                if other == -direction and at == best[0][0]
            )
            traded = min(size, self.orders[maker][2])
            self.change(4, maker, traded)
            size -= traded
        if size:
            self.number += self.random.randint(1, 5)
            self.orders[self.number] = [direction, price, size]
            self.change(1, self.number, size)

    def step(self) -> None:
        """Something happens."""
        dice = self.random.random()
        order = self.random.choice(list(self.orders)) if self.orders else 0
        if dice < 0.5 or not order:
            self.arrive()
        elif dice < 0.8:
            self.change(3, order, self.orders[order][2])
        elif dice < 0.92 and self.orders[order][2] > 1:
            self.change(2, order, self.random.randint(1, self.orders[order][2] - 1))
        elif dice < 0.97:
            self.quiet(5, 0, 7, self.centre, self.random.choice((1, -1)))
        elif dice < 0.98:
            self.quiet(6, -1, 50, self.centre, -1)
        else:
            self.quiet(7, 0, 0, self.random.choice((-1, 0, 1)), -1)

    def arrive(self, passive: bool = False) -> None:
        """Somebody wants to trade around the price where the market is."""
        direction = self.random.choice((1, -1))
        self.centre += self.random.choice((-1, 0, 1))
        distance = self.random.randint(1 if passive else -2, 2 * self.levels + 2)
        price = max(self.centre - direction * distance, 1)
        self.submit(direction, price, self.random.choice((1, 5, 5, 10, 100)))

    def quiet(self, *message: int) -> None:
        """A message that leaves the book as it is."""
        self.show(*message)
        self.emptied.append(0)


def simulate(seed: int, levels: int, messages: int, resting: int = 60) -> Exchange:
    """An exchange that has written about so many messages, orders resting before the first."""
    exchange = Exchange(seed, levels)
    for _ in range(resting):
        exchange.arrive(passive=True)
    exchange.messages, exchange.rows, exchange.emptied = [], [], []
    while len(exchange.messages) < messages:
        exchange.step()
    return exchange


class NaiveBook:
    """Order-by-order book that answers every event with LEVEL and TOP records."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}
        self.records: list[np.ndarray] = []
        self.refused = 0

    def levels(self, side: int) -> dict[int, int]:
        totals: dict[int, int] = {}
        for other, price, size in self.orders.values():
            if other == side:
                totals[price] = totals.get(price, 0) + size
        return totals

    def best(self, side: int) -> tuple[int, int]:
        levels = self.levels(side)
        if not levels:
            return 0, 0
        price = max(levels) if side == Side.BID else min(levels)
        return price, levels[price]

    def apply(self, event) -> None:
        before = {side: self.levels(side) for side in (0, 1)}
        tops = self.best(0), self.best(1)
        self.fold(event)
        for side in (0, 1):
            after = self.levels(side)
            for price in sorted(before[side].keys() | after.keys()):
                if before[side].get(price, 0) != after.get(price, 0):
                    self.answer(
                        event,
                        LEVEL,
                        Book.LEVEL,
                        side=side,
                        price=price,
                        quantity=after.get(price, 0),
                    )
        if (self.best(0), self.best(1)) != tops:
            (bid, bid_quantity), (ask, ask_quantity) = self.best(0), self.best(1)
            self.answer(
                event,
                TOP,
                Book.TOP,
                bid=bid,
                bid_quantity=bid_quantity,
                ask=ask,
                ask_quantity=ask_quantity,
            )

    def fold(self, event) -> None:
        kind, order, quantity = int(event["kind"]), int(event["order"]), int(event["quantity"])
        if kind == Event.ADD and order not in self.orders:
            self.orders[order] = int(event["side"]), int(event["price"]), quantity
        elif order not in self.orders or kind == Event.ADD:
            self.refused += kind in (Event.ADD, Event.CANCEL, Event.EXECUTE, Event.DELETE)
        elif kind == Event.REPLACE:
            side = self.orders.pop(order)[0]
            self.orders[int(event["other"])] = side, int(event["price"]), quantity
        elif kind in (Event.CANCEL, Event.EXECUTE, Event.DELETE):
            side, price, left = self.orders.pop(order)
            if kind != Event.DELETE and quantity < left:
                self.orders[order] = side, price, left - quantity

    def answer(self, event, layout, kind, **fields) -> None:
        record = empty(layout, 1)
        record["cause"], record["kind"] = event["sequence"], kind
        for name, value in fields.items():
            record[name] = value
        self.records.append(record.view(TOP))


def through_book(events: np.ndarray) -> tuple[np.ndarray, np.ndarray, NaiveBook]:
    """Events with sequences, the records that a book answers with, and that book."""
    events, book = events.copy(), NaiveBook()
    events["sequence"] = np.arange(len(events))
    for event in events:
        book.apply(event)
    return events, np.concatenate([np.empty(0, TOP), *book.records]), book
