"""Order-by-order books as anybody would write them: dicts of prices, lists of orders."""

from typing import NamedTuple

from workers.kernels.orderbook import QUANTITY_MAX, Limits, Outcome
from workers.records import Event


class Message(NamedTuple):
    """The fields of an EVENT that a book reads."""

    kind: int
    instrument: int = 0
    order: int = 0
    other: int = 0
    side: int = 0
    price: int = 0
    quantity: int = 0


class Books:
    """The books of all instruments, and what the last message did to them."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.sides = {(i, s): {} for i in range(limits.instruments) for s in (0, 1)}
        self.places = {}  # (instrument, order id) -> (side, price)
        self.peak_orders = self.peak_levels = self.lost_replaces = 0
        self.changes, self.traded, self.top_moved = [], (0, 0, 0), False

    def apply(self, message: Message) -> Outcome:
        """Fold one message in."""
        self.changes, self.traded = [], (0, 0, 0)
        before = self.tops(message.instrument)
        outcome = self.fold(message)
        self.top_moved = self.tops(message.instrument) != before
        self.peak_orders = max(self.peak_orders, len(self.places))
        self.peak_levels = max(self.peak_levels, self.level_total())
        return outcome

    def fold(self, message: Message) -> Outcome:
        kind = message.kind
        if kind == Event.HOLDING:
            return Outcome.IGNORED
        if not Event.ADD <= kind <= Event.TERMS:  # what is for matching is no book's
            return Outcome.BAD_KIND
        if kind >= Event.TRADE and kind not in (Event.SET, Event.CLEAR, Event.MODIFY):
            return Outcome.IGNORED
        refusal = self.refusal(message)
        if refusal is not None:
            return refusal
        if kind == Event.ADD:
            return self.enter(message.instrument, message.order, message)
        if kind == Event.SET:
            return self.set_level(message)
        if kind == Event.CLEAR:
            return self.clear(message.instrument)
        side, price = self.places[message.instrument, message.order]
        if kind == Event.MODIFY:
            return self.modify(message, side, price)
        if kind == Event.DELETE:
            self.remove(message.instrument, message.order)
            return Outcome.APPLIED
        if kind == Event.REPLACE:
            self.remove(message.instrument, message.order)
            new = message._replace(side=side)
            outcome = self.enter(message.instrument, message.other, new)
            self.lost_replaces += outcome != Outcome.APPLIED
            return outcome
        return self.reduce(message, side, price)

    def refusal(self, message: Message) -> Outcome | None:
        kind, instrument = message.kind, message.instrument
        if not 0 <= instrument < self.limits.instruments:
            return Outcome.BAD_INSTRUMENT
        if kind == Event.CLEAR:
            return None
        if kind in (Event.ADD, Event.SET) and message.side not in (0, 1):
            return Outcome.BAD_SIDE
        least = {Event.DELETE: message.quantity, Event.SET: 0}.get(kind, 1)
        if message.quantity < least:
            return Outcome.BAD_QUANTITY
        entering = kind in (Event.ADD, Event.REPLACE, Event.SET, Event.MODIFY)
        if entering and message.quantity > QUANTITY_MAX:
            return Outcome.BAD_QUANTITY
        if (entering or kind == Event.EXECUTE_AT) and message.price <= 0:
            return Outcome.BAD_PRICE
        if kind == Event.SET:
            return Outcome.BAD_PRICE if 2 * message.price > QUANTITY_MAX else None
        if kind != Event.ADD and (instrument, message.order) not in self.places:
            return Outcome.UNKNOWN_ORDER
        renamed = kind == Event.REPLACE and message.other != message.order
        if renamed and (instrument, message.other) in self.places:
            return Outcome.DUPLICATE_ORDER
        return None

    def enter(self, instrument: int, order: int, message: Message) -> Outcome:
        levels = self.sides[instrument, message.side]
        queue = levels.get(message.price, [])
        if (instrument, order) in self.places:
            return Outcome.DUPLICATE_ORDER
        if len(self.places) == self.limits.orders:
            return Outcome.ORDERS_FULL
        if not queue and self.level_total() == self.limits.levels:
            return Outcome.LEVELS_FULL
        if sum(quantity for _, quantity in queue) + message.quantity > QUANTITY_MAX:
            return Outcome.BAD_QUANTITY
        levels[message.price] = [*queue, (order, message.quantity)]
        self.places[instrument, order] = message.side, message.price
        self.note(instrument, message.side, message.price)
        return Outcome.APPLIED

    def reduce(self, message: Message, side: int, price: int) -> Outcome:
        queue = self.sides[message.instrument, side][price]
        left = dict(queue)[message.order]
        if message.kind != Event.CANCEL:
            traded = message.price if message.kind == Event.EXECUTE_AT else price
            self.traded = (traded, min(left, message.quantity), message.order)
        if message.quantity >= left:
            self.remove(message.instrument, message.order)
            return Outcome.APPLIED if message.quantity == left else Outcome.OVER_EXECUTION
        self.sides[message.instrument, side][price] = [
            (order, quantity - message.quantity * (order == message.order))
            for order, quantity in queue
        ]
        self.note(message.instrument, side, price)
        return Outcome.APPLIED

    def modify(self, message: Message, side: int, price: int) -> Outcome:
        queue = self.sides[message.instrument, side][price]
        left = dict(queue)[message.order]
        if message.price == price and message.quantity <= left:
            self.resize(message.instrument, side, price, message.order, message.quantity)
            return Outcome.APPLIED
        self.remove(message.instrument, message.order)
        outcome = self.enter(message.instrument, message.order, message._replace(side=side))
        self.lost_replaces += outcome != Outcome.APPLIED
        return outcome

    def set_level(self, message: Message) -> Outcome:
        """A level is one order, whose id is made of its price and side."""
        instrument, order = message.instrument, 2 * message.price + message.side
        if (instrument, order) not in self.places:
            if not message.quantity:
                return Outcome.APPLIED
            return self.enter(instrument, order, message)
        side, price = self.places[instrument, order]
        if not message.quantity:
            self.remove(instrument, order)
            return Outcome.APPLIED
        queue = self.sides[instrument, side][price]
        total = sum(quantity for _, quantity in queue) - dict(queue)[order] + message.quantity
        if message.quantity > dict(queue)[order] and total > QUANTITY_MAX:
            return Outcome.BAD_QUANTITY
        self.resize(instrument, side, price, order, message.quantity)
        return Outcome.APPLIED

    def resize(self, instrument: int, side: int, price: int, order: int, quantity: int) -> None:
        queue = self.sides[instrument, side][price]
        new = [(other, quantity if other == order else rest) for other, rest in queue]
        if new != queue:
            self.sides[instrument, side][price] = new
            self.note(instrument, side, price)

    def clear(self, instrument: int) -> Outcome:
        for side in (0, 1):
            self.sides[instrument, side] = {}
        self.places = {key: place for key, place in self.places.items() if key[0] != instrument}
        return Outcome.APPLIED

    def remove(self, instrument: int, order: int) -> None:
        side, price = self.places.pop((instrument, order))
        levels = self.sides[instrument, side]
        levels[price] = [entry for entry in levels[price] if entry[0] != order]
        if not levels[price]:
            del levels[price]
        self.note(instrument, side, price)

    def note(self, instrument: int, side: int, price: int) -> None:
        queue = self.sides[instrument, side].get(price, [])
        change = (side, price, sum(quantity for _, quantity in queue), len(queue))
        self.changes = [kept for kept in self.changes if kept[1] != price] + [change]

    def level_total(self) -> int:
        return sum(len(levels) for levels in self.sides.values())

    def depth(self, instrument: int, side: int) -> list:
        """Levels of a side from the best: price, and its queue of (order id, quantity)."""
        return sorted(self.sides[instrument, side].items(), reverse=side == 0)

    def tops(self, instrument: int) -> list:
        """Best price and its quantity of both sides."""
        if not 0 <= instrument < self.limits.instruments:
            return []
        best = [self.depth(instrument, side)[:1] for side in (0, 1)]
        return [[(price, sum(q for _, q in queue)) for price, queue in top] for top in best]
