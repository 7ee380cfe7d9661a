"""Positions in several currencies the obvious way: fractions, and everything anew each time."""

from fractions import Fraction

from tests.naive.risk import Risk, scale


class Abroad(Risk):
    """As Risk; currencies have rates, and what is in one that has none yet is not valued."""

    def __init__(self, portfolios, scenarios, parents=()):
        super().__init__(portfolios, scenarios, parents)
        self.rates = {0: Fraction(1)}
        self.quoted = {}  # instrument -> the currency whose rate it is
        self.contracts = {}
        self.own = {}  # (portfolio, instrument) -> cost in its currency, not converted for good

    def hold(
        self, portfolio, instrument, quantity, cost, price_scale, returns, contract, kept=False
    ):
        self.contracts[instrument] = contract
        key = portfolio, instrument
        self.own.pop(key, None)
        if contract.currency and (contract.future or not kept):
            self.own[key] = cost
            cost = 0
        super().hold(portfolio, instrument, quantity, cost, price_scale, returns)
        self.convert()

    def quote(self, currency, instrument, price_scale):
        self.quoted[instrument] = currency
        self.scales.setdefault(instrument, price_scale)

    def mark(self, instrument, bid, ask):
        if not super().mark(instrument, bid, ask):
            return False
        if instrument in self.quoted:
            rate = self.marks[instrument] / self.scales[instrument]
            self.rates[self.quoted[instrument]] = rate
        self.convert()
        return True

    def is_concerned(self, portfolio, instrument):
        currency = self.quoted.get(instrument, -1)
        mine = {name for each in self.family(portfolio) for name in self.portfolios[each]}
        return instrument in mine or any(self.contracts[n].currency == currency for n in mine)

    def rate(self, instrument):
        """Base currency for a unit of its own, None: not known."""
        return self.rates.get(self.contracts[instrument].currency)

    def is_priced(self, instrument):
        return instrument in self.marks and self.rate(instrument) is not None

    def convert(self, now=None):
        """What is no future keeps its cost in the base currency once it can be valued; one now."""
        for (portfolio, name), own in [*self.own.items()]:
            is_due = self.is_priced(name) or (portfolio, name) == now
            if is_due and not self.contracts[name].future:
                quantity, _ = self.portfolios[portfolio][name]
                self.portfolios[portfolio][name] = quantity, round(own * self.rate(name))
                del self.own[portfolio, name]

    def values(self, portfolio):
        """In the base currency; a value is rounded in its own currency, then once more."""
        found = []
        for each in self.family(portfolio):
            for name, (quantity, cost) in self.portfolios[each].items():
                if self.is_priced(name):
                    contract = self.contracts[name]
                    lot = scale(self.scales[name]) * Fraction(contract.multiplier, contract.over)
                    own = round(quantity * self.marks[name] * lot)
                    paid = cost
                    if (each, name) in self.own:
                        paid = round(self.own[each, name] * self.rate(name))
                    found.append((name, quantity, paid, round(own * self.rate(name))))
        return found

    def unvalued(self, portfolio):
        held = (name for each in self.family(portfolio) for name in self.portfolios[each])
        return sum(not self.is_priced(name) for name in held)
