"""What an order book file with one row per message shows and the messages cannot.

A message file of N levels tells of every change within the N best levels of a side, its window,
and of none outside. So all inside follows from the messages, but for what was there before the
first of them; a level that comes into the window because a better one went is new knowledge.

    asks   5 levels of file row i-1     message i takes the level away     file row i
           101 102 103 104 105    ->    102 103 104 105 and one more  ->   107: known only here

Only these two are taken from the file: the first row, and the last level of a side in a row
whose message emptied a level of a full window. They become INFERRED events before the event of
that message: the liquidity was there before. Everything else the book must get right alone.
"""

from bisect import bisect_right, insort

import numpy as np

from workers.feeds.lobster_book import COLUMNS, levels_of
from workers.feeds.lobster_inferred import (
    BOOK_SIDES,
    Inferred,
    anonymous_order,
    price_key,
)
from workers.kernels.lobster import UNREADABLE
from workers.records import Event

TAKERS = (Event.EXECUTE, Event.CANCEL, Event.DELETE)
NO_EDGE = 1 << 62  # the key of the window's edge where the whole side is known


class Level:
    """What rests at a price: quantities by order id, in the order they came."""

    def __init__(self) -> None:
        self.orders: dict[int, int] = {}
        self.total = 0
        self.doubtful = False  # it was out of sight: the total is right, the ids may not be

    def put(self, order: int, quantity: int) -> None:
        """Set what an order has left; 0 takes it out."""
        self.total += quantity - self.orders.get(order, 0)
        if quantity > 0:
            self.orders[order] = quantity
        else:
            self.orders.pop(order, None)


class WindowSide:
    """One side of the book as the messages tell it, and the edge of what they tell of."""

    def __init__(self, side: int, depth: int, inferred: Inferred) -> None:
        self.side, self.depth, self._inferred = side, depth, inferred
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []  # of all levels, best first
        self.edge = NO_EDGE  # the key of the last level in sight

    def seed(self, pairs: list[tuple[int, int]], last: int | None) -> None:
        """Start with levels (price, quantity) of unknown orders; `last`: the price of the edge."""
        for price, quantity in sorted(pairs, key=lambda pair: price_key(self.side, pair[0])):
            self._raise(0, price, quantity)
        self.edge = NO_EDGE if last is None else price_key(self.side, last)

    def add(self, order: int, price: int, quantity: int) -> None:
        """A submission; a level that it pushes out of the window is out of sight from now on."""
        key = price_key(self.side, price)
        level = self._level(price)
        level.doubtful = level.doubtful or key > self.edge
        level.put(order, level.orders.get(order, 0) or quantity)
        seen = bisect_right(self.keys, self.edge)
        for lost in self.keys[self.depth : seen]:
            self.levels[abs(lost)].doubtful = True
        if seen >= self.depth:
            self.edge = self.keys[self.depth - 1]

    def take(self, before: int, kind: int, order: int, price: int, quantity: int):
        """An execution, cancel or deletion: the kind and the order id by which our book can."""
        level = self.levels.get(price)
        if level is None:
            return kind, order
        own = level.orders.get(order, 0)
        if own == quantity or (own > quantity and kind != Event.DELETE):
            level.put(order, own - quantity)
        elif own and not level.doubtful:
            level.put(order, 0)  # the message contradicts an earlier one: as the book will do
        else:
            victim = self._victim(before, level, order, price, quantity)
            if victim is not None:
                left = level.orders[victim] - quantity
                level.put(victim, left)
                order, kind = victim, Event.CANCEL if left and kind == Event.DELETE else kind
        if level.total == 0:
            self._drop(price)
        return int(kind), order

    def adopt(self, before: int, shown: list[tuple[int, int]]) -> None:
        """Learn the levels that came into the window from the file's row, as (price, quantity)."""
        for price, quantity in shown[bisect_right(self.keys, self.edge) :]:
            key = price_key(self.side, price)
            if key <= self.edge:
                return  # the file contradicts the messages: the comparison will say so
            self._forget(before, key)
            self._set(before, price, quantity)
            self.edge = key
        if len(shown) < self.depth:
            self._forget(before, NO_EDGE)
            self.edge = NO_EDGE

    @property
    def lacking(self) -> bool:
        """True where the window has room for a level that no message told of."""
        return self.edge != NO_EDGE and bisect_right(self.keys, self.edge) < self.depth

    def _level(self, price: int) -> Level:
        if price not in self.levels:
            self.levels[price] = Level()
            insort(self.keys, price_key(self.side, price))
        return self.levels[price]

    def _drop(self, price: int) -> None:
        del self.levels[price]
        self.keys.remove(price_key(self.side, price))

    def _note(self, before: int, kind: int, order: int, price: int, quantity: int) -> None:
        self._inferred.note(before, kind, order, self.side, price, quantity)

    def _victim(self, before: int, level: Level, order: int, price: int, quantity: int):
        """The order that stands for one we do not know, or know wrongly; None: none can."""
        candidates = [order, anonymous_order(self.side, price)]
        if level.doubtful:
            candidates += sorted(level.orders, key=lambda other: level.orders[other] != quantity)
        for candidate in candidates:
            if level.orders.get(candidate, 0) >= quantity:
                return candidate
        if level.doubtful and level.total >= quantity:
            return self._merge(before, level, price)
        return None

    def _merge(self, before: int, level: Level, price: int) -> int:
        """Make one order of all at a doubtful level."""
        first, *others = list(level.orders)
        total = level.total
        for other in others:
            self._note(before, Event.DELETE, other, price, level.orders[other])
            level.put(other, 0)
        self._note(before, Event.REPLACE, first, price, total)
        level.put(first, total)
        return first

    def _forget(self, before: int, key: int) -> None:
        """Take out what we held between the edge and a key: the file shows that it is gone."""
        start = bisect_right(self.keys, self.edge)
        for gone in [other for other in self.keys[start:] if other < key]:
            price = abs(gone)
            for order, quantity in self.levels[price].orders.items():
                self._note(before, Event.DELETE, order, price, quantity)
            self._drop(price)

    def _set(self, before: int, price: int, quantity: int) -> None:
        """Bring a level that was out of sight to the quantity the file shows."""
        level = self._level(price)
        level.doubtful = bool(level.orders)
        if quantity > level.total:
            self._raise(before, price, quantity - level.total)
        else:
            self._lower(before, price, quantity)

    def _raise(self, before: int, price: int, quantity: int) -> None:
        """Add quantity of unknown orders to a level."""
        level, order = self._level(price), anonymous_order(self.side, price)
        held = level.orders.get(order, 0)
        kind = Event.REPLACE if held else Event.ADD
        self._note(before, kind, order, price, held + quantity)
        level.put(order, held + quantity)

    def _lower(self, before: int, price: int, quantity: int) -> None:
        """Take the newest orders out of a level until only `quantity` is left."""
        level = self.levels[price]
        for order, held in reversed(list(level.orders.items())):
            surplus = level.total - quantity
            if surplus <= 0:
                return
            kind = Event.DELETE if held <= surplus else Event.CANCEL
            self._note(before, kind, order, price, min(held, surplus))
            level.put(order, max(held - surplus, 0))


def complete_window(events: np.ndarray, book: np.ndarray) -> Inferred:
    """The events that an order book file adds to those of its messages, told apart by `other`.

    Events on orders that no message submitted are changed in place: to the same quantity of the
    order that stands for the unknown ones at their price.
    """
    inferred, depth = Inferred(), book.shape[1] // COLUMNS
    sides = {side: WindowSide(side, depth, inferred) for side in BOOK_SIDES}
    columns = ("kind", "side", "order", "price", "quantity", "other")
    for index, (kind, side, order, price, quantity, line) in enumerate(
        zip(*(events[name].tolist() for name in columns), strict=True)
    ):
        row = book[line - 1] if line <= len(book) and book[line - 1, 0] != UNREADABLE else None
        if index == 0 and row is not None:
            seed(sides, row, (kind, side, price, quantity))
        if kind == Event.ADD:
            sides[side].add(order, price, quantity)
        elif kind in TAKERS:
            mapped = sides[side].take(index, kind, order, price, quantity)
            if mapped != (kind, order):
                events["kind"][index], events["order"][index] = mapped
            if sides[side].lacking and row is not None:
                sides[side].adopt(index, levels_of(row, side))
    return inferred


def seed(sides: dict[int, WindowSide], row: np.ndarray, first: tuple[int, int, int, int]) -> None:
    """Start the book with the first row of the file, less what its own message did."""
    kind, moved, price, quantity = first
    for side, window in sides.items():
        shown = levels_of(row, side)
        levels = dict(shown)
        if side == moved and (kind == Event.ADD or kind in TAKERS):
            before = levels.get(price, 0) + (-quantity if kind == Event.ADD else quantity)
            levels[price] = max(before, 0)
        pairs = [(level, left) for level, left in levels.items() if left > 0]
        window.seed(pairs, shown[-1][0] if len(shown) == window.depth else None)
