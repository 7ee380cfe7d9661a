"""The best of several venues as anybody would find it: in currency, by exact fractions."""

from fractions import Fraction
from typing import NamedTuple


class Quote(NamedTuple):
    """The best prices of one venue, in its own units."""

    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int


class Venue:
    """One venue; `since` holds when each side came to its price."""

    def __init__(self, price_scale: int, lot_decimals: int):
        self.price_unit = Fraction(1, price_scale)
        self.lot = Fraction(1, 10**lot_decimals)
        self.quote: Quote | None = None  # None: it does not count
        self.since = {"bid": 0, "ask": 0}


class Group:
    """One instrument on several venues."""

    def __init__(self, venues: list[Venue | None]):
        self.venues, self.clock = venues, 0

    def on_top(self, place: int, quote: Quote | None) -> None:
        self.clock += 1
        venue = self.venues[place]
        for side in ("bid", "ask"):
            before = venue.quote and getattr(venue.quote, side)
            if quote and (before is None or getattr(quote, side) != before):
                venue.since[side] = self.clock
        venue.quote = quote

    def best(self, side: str) -> tuple[Fraction, Fraction, int | None]:
        """Price, quantity and place of who has it for longest; of an empty side (0, 0, None)."""
        shown = [
            (getattr(v.quote, side) * v.price_unit, v.since[side], place)
            for place, v in enumerate(self.venues)
            if v and v.quote and getattr(v.quote, side)
        ]
        if not shown:
            return Fraction(0), Fraction(0), None
        price = (max if side == "bid" else min)(price for price, *_ in shown)
        at_best = [(since, place) for other, since, place in shown if other == price]
        venues = [self.venues[place] for _, place in at_best]
        quantity = sum(getattr(v.quote, f"{side}_quantity") * v.lot for v in venues)
        return price, quantity, min(at_best)[1]

    @property
    def fresh(self) -> int:
        return sum(venue is not None and venue.quote is not None for venue in self.venues)


def merge(
    sides: list[dict[Fraction, Fraction]], best: bool
) -> list[tuple[Fraction, Fraction, int]]:
    """Levels of several venues {price: quantity} in one; (price, quantity, places as bits).

    best: True where the highest price comes first.
    """
    prices = sorted({price for side in sides for price in side}, reverse=best)
    return [
        (
            price,
            sum((side.get(price, Fraction(0)) for side in sides), Fraction(0)),
            sum(1 << place for place, side in enumerate(sides) if price in side),
        )
        for price in prices
    ]
