"""INFERRED events, collected while a message file is read and then woven into its events."""

import numpy as np

from workers.records import EVENT, Flag, Side, empty

BOOK_SIDES = (int(Side.BID), int(Side.ASK))


def price_key(side: int, price: int) -> int:
    """A number that rises from the best price of a side to the worst."""
    return -price if side == Side.BID else price


def anonymous_order(side: int, price: int) -> int:
    """The id of the order that stands for all unknown ones at a price; below 0, as no venue's."""
    return -(2 * price + side) - 1


class Inferred:
    """Events that no message showed, each to go before a message's own."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []

    def note(self, before: int, kind: int, order: int, side: int, price: int, quantity: int):
        """Put an event before the event of index `before`."""
        self.rows.append((before, int(kind), order, side, price, quantity))

    def __len__(self) -> int:
        return len(self.rows)

    def woven(self, events: np.ndarray) -> np.ndarray:
        """The events with the inferred ones among them, these timed as what they precede."""
        if not self.rows:
            return events
        columns = np.array(sorted(self.rows, key=lambda row: row[0]), np.int64).T
        before, count = columns[0], len(self.rows)
        merged = empty(EVENT, len(events) + count)
        inferred = np.arange(count) + before
        own = np.arange(len(events))
        merged[own + np.searchsorted(before, own, side="right")] = events
        for name, values in zip(
            ("kind", "order", "side", "price", "quantity"), columns[1:], strict=True
        ):
            merged[name][inferred] = values
        # The id of a REPLACE stays; the file's line is told by the message's own event.
        merged["other"][inferred] = columns[2]
        merged["flags"][inferred] = Flag.INFERRED
        merged["time_ns"][inferred] = events["time_ns"][np.minimum(before, len(events) - 1)]
        return merged
