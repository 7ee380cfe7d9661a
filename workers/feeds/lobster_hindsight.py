"""What a message file says, read to its end, of orders it never submits and of those it loses.

For files whose order book file does not go with them row by row. Nothing is taken from the
exchange's book here but the best prices of its first row:

- An order that is executed, cancelled or deleted, but never submitted, rested before the file
  starts or was submitted outside the window of the file's levels. A venue numbers its orders as
  they come: it was there when the first higher number was submitted, with all that it lost later.
- An order that left the window may be deleted unseen. If its price comes back into the window,
  and no later message names it, it is presumed gone: an INFERRED DELETE where it comes back. What
  then rests on this is undecidable, and `pipeline.truth` sets it apart.
"""

from bisect import bisect_left, bisect_right, insort

import numpy as np

from workers.feeds.lobster_book import levels_of
from workers.feeds.lobster_inferred import (
    BOOK_SIDES,
    Inferred,
    anonymous_order,
    price_key,
)
from workers.records import Event

TAKERS = (Event.EXECUTE, Event.CANCEL, Event.DELETE)
OUT_OF_SIGHT = 1 << 62  # the key of the window's edge while it is not full
COLUMNS = ("kind", "order", "side", "price", "quantity")


class Fate:
    """What becomes of an order in the file."""

    __slots__ = ("last", "left", "price", "side")

    def __init__(self, side: int, price: int) -> None:
        self.side, self.price, self.left, self.last = side, price, 0, 0


def complete_hindsight(
    events: np.ndarray, levels: int | None, first_row: np.ndarray | None
) -> Inferred:
    """The events to add to a whole file's; `levels` is the window's depth, None: not known."""
    inferred = Inferred()
    rows = list(zip(*(events[name].tolist() for name in COLUMNS), strict=True))
    unseen = resting_orders(rows, inferred)
    if first_row is not None and rows:
        seed_best(rows[0], first_row, unseen, inferred)
    if levels is not None:
        presume_gone(rows, levels, inferred)
    return inferred


def resting_orders(rows: list, inferred: Inferred) -> dict[tuple[int, int], int]:
    """Note the orders that are never submitted; what rests at the start per (side, price)."""
    submitted: set[int] = set()
    highest: list[int] = []  # per submission, the highest number until then
    places: list[int] = []
    missing: dict[int, list[int]] = {}
    for index, (kind, order, side, price, quantity) in enumerate(rows):
        if kind == Event.ADD:
            submitted.add(order)
            highest.append(max(order, highest[-1] if highest else 0))
            places.append(index)
        elif kind in TAKERS and order not in submitted:
            missing.setdefault(order, [index, side, price, 0])[3] += quantity
    at_start: dict[tuple[int, int], int] = {}
    for order, (first, side, price, quantity) in missing.items():
        later = bisect_right(highest, order)
        before = 0 if later == 0 else places[later] if later < len(places) else first
        before = min(before, first)
        inferred.note(before, Event.ADD, order, side, price, quantity)
        if before == 0:
            at_start[side, price] = at_start.get((side, price), 0) + quantity
    return at_start


def seed_best(first: tuple, row: np.ndarray, at_start: dict, inferred: Inferred) -> None:
    """Note what the first row of the book shows and neither its message nor the orders explain."""
    kind, _, moved, moved_price, moved_quantity = first
    change = {Event.ADD: 1}.get(kind, -1 if kind in TAKERS else 0) * moved_quantity
    for side in BOOK_SIDES:
        for price, shown in levels_of(row, side):
            known = at_start.get((side, price), 0)
            known += change if (side, price) == (moved, moved_price) else 0
            if shown > known:
                order = anonymous_order(side, price)
                inferred.note(0, Event.ADD, order, side, price, shown - known)


def presume_gone(rows: list, levels: int, inferred: Inferred) -> None:
    """Note a DELETE for every order that left the window, came back and is never named again."""
    fates = follow(rows, inferred)
    edges = window_edges(rows, levels, inferred)
    for order, fate in fates.items():
        if fate.left <= 0 or order < 0:
            continue
        key, edge = price_key(fate.side, fate.price), edges[fate.side]
        left_at = next_true(edge < key, fate.last)
        back_at = next_true(edge >= key, left_at)
        if back_at < len(rows):
            inferred.note(back_at, Event.DELETE, order, fate.side, fate.price, fate.left)


def next_true(flags: np.ndarray, start: int) -> int:
    """The first place from `start` on that is true, the length where none is."""
    rest = flags[start:]
    place = int(rest.argmax()) if len(rest) else 0
    return start + place if len(rest) and rest[place] else len(flags)


def follow(rows: list, inferred: Inferred) -> dict[int, Fate]:
    """What is left of every order at the end, and the last message that named it."""
    fates: dict[int, Fate] = {}
    for _, _, order, side, price, quantity in inferred.rows:
        fates.setdefault(order, Fate(side, price)).left += quantity
    for index, (kind, order, side, price, quantity) in enumerate(rows):
        if kind == Event.ADD or kind in TAKERS:
            fate = fates.setdefault(order, Fate(side, price))
            fate.left += quantity if kind == Event.ADD else -quantity
            fate.last = index
    return fates


def window_edges(rows: list, levels: int, inferred: Inferred) -> dict[int, np.ndarray]:
    """Per side and message: the key of the last level in the window after it, as far as known."""
    edges = {side: np.empty(len(rows), np.int64) for side in BOOK_SIDES}
    totals: dict[int, dict[int, int]] = {side: {} for side in BOOK_SIDES}
    keys: dict[int, list[int]] = {side: [] for side in BOOK_SIDES}

    def change(side: int, price: int, quantity: int) -> None:
        key, total = price_key(side, price), totals[side].get(price, 0) + quantity
        if price not in totals[side]:
            insort(keys[side], key)
        totals[side][price] = total
        if total <= 0:
            del totals[side][price]
            del keys[side][bisect_left(keys[side], key)]

    early = sorted(inferred.rows)
    place = 0
    for index, (kind, _, side, price, quantity) in enumerate(rows):
        while place < len(early) and early[place][0] <= index:
            change(*early[place][3:])
            place += 1
        if kind == Event.ADD or kind in TAKERS:
            change(side, price, quantity if kind == Event.ADD else -quantity)
        for each in BOOK_SIDES:
            full = len(keys[each]) >= levels
            edges[each][index] = keys[each][levels - 1] if full else OUT_OF_SIGHT
    return edges
