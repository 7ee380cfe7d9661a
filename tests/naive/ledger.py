"""Average cost and FIFO the obvious way: a list of lots, fractions, and the books re-added."""

from fractions import Fraction


class Ledger:
    """A position and what it has brought.

    room: lots that are kept apart at most; None: one lot of all, which is average cost.
    rounds: whether amounts are whole money units, halves to even, or exact fractions.
    """

    def __init__(self, room=None, rounds=True):
        self.room, self.rounds = 1 if room is None else room, rounds
        self.average = room is None
        self.lots = []  # (quantity, cost), the oldest first
        self.realised, self.merged = 0, 0

    @property
    def quantity(self):
        return sum(quantity for quantity, _ in self.lots)

    @property
    def cost(self):
        return sum(cost for _, cost in self.lots)

    def part(self, amount, part, whole):
        exact = Fraction(amount) * part / whole
        return round(exact) if self.rounds else exact

    def fill(self, quantity, amount):
        held = self.quantity
        opposite = held and (held > 0) != (quantity > 0)
        if opposite and abs(quantity) > abs(held):
            closing = self.part(amount, abs(held), abs(quantity))
            self.close(-held, closing)
            quantity, amount = quantity + held, amount - closing
        elif opposite:
            self.close(quantity, amount)
            return
        self.open(quantity, amount)

    def reset(self, quantity, cost):
        """So much is held; what is realised stays."""
        self.lots = [(quantity, cost)] if quantity else []

    def open(self, quantity, amount):
        if len(self.lots) == self.room:
            before, paid = self.lots.pop()
            quantity, amount = before + quantity, paid + amount
            self.merged += not self.average
        self.lots.append((quantity, amount))

    def close(self, quantity, amount):
        left, cost = abs(quantity), 0
        while left:
            held, paid = self.lots.pop(0)
            if abs(held) > left:
                gone = self.part(paid, left, abs(held))
                rest = held - left if held > 0 else held + left
                self.lots.insert(0, (rest, paid - gone))
                paid, held = gone, left
            left -= abs(held)
            cost += paid
        self.realised += -amount - cost
