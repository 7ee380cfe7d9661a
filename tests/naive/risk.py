"""Positions and historical risk the obvious way: fractions, and everything anew each time."""

from fractions import Fraction

MONEY_SCALE = 10_000
EXPOSURE_UNIT = 100
RETURN_SCALE = 2**24


def ranked(profits):
    """Scenario numbers from the worst; of equals the lower first."""
    return sorted(range(len(profits)), key=lambda scenario: (profits[scenario], scenario))


def tail_size(count, level):
    """The scenarios beyond a level in thousandths, as a fraction."""
    return Fraction(count * (1000 - level), 1000)


def value_at_risk(profits, level):
    """The k-th worst loss, k = ceil of the tail's size: an exact fraction."""
    size = tail_size(len(profits), level)
    position = -(-size.numerator // size.denominator)
    return -Fraction(sorted(profits)[position - 1])


def expected_shortfall(profits, level):
    """Mean loss of the tail, the observation at its edge counted in part: an exact fraction."""
    size = tail_size(len(profits), level)
    left, total = size, Fraction(0)
    for profit in sorted(profits):
        weight = min(left, Fraction(1))
        total += weight * profit
        left -= weight
        if not left:
            break
    return -total / size


def scale(price_scale):
    """Money units in a price unit."""
    return Fraction(MONEY_SCALE, price_scale)


def in_money(loss):
    """Profit units (cents x 2^-24) as money units; `round` takes halves to even."""
    return round(loss * EXPOSURE_UNIT / RETURN_SCALE)


class Risk:
    """Portfolios as dictionaries of positions; every answer is computed from scratch.

    parents: of each portfolio the one above it, None or -1 where there is none.
    """

    def __init__(self, portfolios, scenarios, parents=()):
        self.scenarios = scenarios
        self.portfolios = [{} for _ in range(portfolios)]
        self.parents = parents or [-1] * portfolios
        self.marks = {}
        self.scales = {}
        self.returns = {}

    def hold(self, portfolio, instrument, quantity, cost, price_scale, returns):
        self.portfolios[portfolio][instrument] = (quantity, cost)
        self.scales[instrument] = price_scale
        self.returns[instrument] = [int(change) for change in returns]

    def mark(self, instrument, bid, ask):
        if instrument not in self.scales or bid <= 0 or ask <= 0:
            return False
        self.marks[instrument] = Fraction(bid + ask, 2)
        return True

    def family(self, portfolio):
        """A portfolio and all below it."""
        below = [n for n, parent in enumerate(self.parents) if parent == portfolio]
        return [portfolio, *(each for child in below for each in self.family(child))]

    def is_concerned(self, portfolio, instrument):
        return any(instrument in self.portfolios[each] for each in self.family(portfolio))

    def values(self, portfolio):
        """(instrument, quantity, cost, money units) of each valued position, each rounded once."""
        return [
            (name, quantity, cost, round(quantity * self.marks[name] * scale(self.scales[name])))
            for each in self.family(portfolio)
            for name, (quantity, cost) in self.portfolios[each].items()
            if name in self.marks
        ]

    def value(self, portfolio):
        return sum(worth for *_, worth in self.values(portfolio))

    def notional(self, portfolio):
        return sum(abs(worth) for *_, worth in self.values(portfolio))

    def pnl(self, portfolio):
        return sum(worth - cost for *_, cost, worth in self.values(portfolio))

    def unvalued(self, portfolio):
        held = (name for each in self.family(portfolio) for name in self.portfolios[each])
        return sum(name not in self.marks for name in held)

    def profits(self, portfolio):
        """Profit of the portfolio in each scenario, cents x 2^-24."""
        totals = [0] * self.scenarios
        for instrument, *_, worth in self.values(portfolio):
            exposure = round(Fraction(worth, EXPOSURE_UNIT))
            for scenario, change in enumerate(self.returns[instrument]):
                totals[scenario] += exposure * change
        return totals

    def var_99(self, portfolio):
        return in_money(value_at_risk(self.profits(portfolio), 990))

    def es_975(self, portfolio):
        return in_money(expected_shortfall(self.profits(portfolio), 975))

    def worst_scenario(self, portfolio):
        return ranked(self.profits(portfolio))[0]
