"""Measures as anybody would take them: exact fractions, and every return kept in a list."""

from decimal import Decimal, localcontext
from fractions import Fraction

from workers.kernels.measures import DAY_NS, Settings
from workers.kernels.notional import LIMIT


class Measures:
    """The measures of one instrument."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.mid = self.spread = self.highest = 0
        self.microprice = self.imbalance = Fraction(0)
        self.trades: list[tuple[int, int]] = []
        self.returns: list[Fraction] = []
        self.sample = self.session = 0
        self.anchor = self.standing = None
        self.refused = self.set_back = 0

    def on_top(self, time_ns, bid, bid_quantity, ask, ask_quantity, trusted=True):
        self.advance(time_ns)
        if not all(0 <= number <= LIMIT for number in (bid, bid_quantity, ask, ask_quantity)):
            self.refused += 1
            bid = bid_quantity = ask = ask_quantity = 0
        self.highest = max(bid, ask)  # what a microprice is exact to
        both, total = bid > 0 and ask > 0, bid_quantity + ask_quantity
        self.mid, self.spread = (bid + ask, ask - bid) if both else (0, 0)
        self.imbalance = Fraction(bid_quantity - ask_quantity, total) if total else Fraction(0)
        weighted = bid * ask_quantity + ask * bid_quantity
        self.microprice = Fraction(weighted, total) if both and total else Fraction(bid * both)
        self.standing = bid + ask if both and trusted else None

    def on_trade(self, time_ns, price, quantity):
        self.advance(time_ns)
        volume = sum(lots for _, lots in self.trades)
        if price <= 0 or price > LIMIT or quantity <= 0 or volume + quantity > LIMIT:
            self.refused += 1
        else:
            self.trades.append((price, quantity))

    def advance(self, time_ns):
        sample = time_ns // self.settings.sample_ns
        if sample in (self.sample, self.sample - 1):
            return
        whole, passed, before = sample > self.sample, sample - self.sample, self.anchor
        self.sample, self.anchor = sample, self.standing
        if not whole:
            self.set_back += 1
            self.anchor = None
        session = (time_ns - self.settings.session_ns) // DAY_NS
        if session != self.session:
            self.session, self.anchor, self.trades = session, None, []
        elif whole and before is not None and self.standing is not None:
            self.returns.append(Fraction(self.standing - before, before))
            self.returns += [Fraction(0)] * (passed - 1)

    @property
    def vwap(self) -> Fraction:
        volume = sum(lots for _, lots in self.trades)
        return Fraction(sum(p * lots for p, lots in self.trades), volume) if volume else Fraction(0)

    @property
    def volatility(self) -> Decimal:
        with localcontext(prec=50):
            decay, squares, weights = Decimal(self.settings.decay), Decimal(0), Decimal(0)
            for one in self.returns:
                simple = Decimal(one.numerator) / one.denominator
                squares, weights = squares * decay + simple * simple, weights * decay + 1
            return (squares / weights).sqrt() if weights else Decimal(0)
