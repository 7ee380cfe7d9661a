"""Options in live portfolios by the textbook, in plain floats: everything anew each time."""

import math
from typing import NamedTuple

MONEY_SCALE = 10_000
PROFIT_UNIT = 100 * 2**24  # in one unit of currency
YEAR_NS = 365 * 86_400 * 10**9


class Option(NamedTuple):
    """One option that somebody holds."""

    kind: float  # 1.0: call, -1.0: put
    strike: float
    rate: float
    dividend: float
    volatility: float
    expires_ns: int
    units: float
    cost: int


def cdf(value):
    return 0.5 * math.erfc(-value / math.sqrt(2))


def pdf(value):
    return math.exp(-value * value / 2) / math.sqrt(2 * math.pi)


def price(option, spot, years):
    """What one unit is worth; the limit where nothing is uncertain."""
    kind, strike = option.kind, option.strike
    asset = spot * math.exp(-option.dividend * years)
    cash = strike * math.exp(-option.rate * years)
    deviation = option.volatility * math.sqrt(years)
    if deviation == 0 or spot == 0:
        return max(kind * (asset - cash), 0.0)
    first = math.log(asset / cash) / deviation + deviation / 2
    return kind * (asset * cdf(kind * first) - cash * cdf(kind * (first - deviation)))


def greeks(option, spot, years):
    """Delta, gamma, vega, theta, rho of one unit: plain derivatives, a year."""
    kind, rate, yield_ = option.kind, option.rate, option.dividend
    asset = spot * math.exp(-yield_ * years)
    cash = option.strike * math.exp(-rate * years)
    root = math.sqrt(years)
    deviation = option.volatility * root
    first = math.log(asset / cash) / deviation + deviation / 2
    chance, paid = cdf(kind * first), cdf(kind * (first - deviation))
    slope = math.exp(-yield_ * years) * pdf(first)
    income = kind * (yield_ * asset * chance - rate * cash * paid)
    return (
        kind * math.exp(-yield_ * years) * chance,
        slope / (spot * deviation),
        asset * pdf(first) * root,
        income - asset * pdf(first) * option.volatility / (2 * root),
        kind * years * cash * paid,
    )


def years_left(option, time_ns):
    return max(option.expires_ns - max(time_ns, 0), 0) / YEAR_NS


def value(option, spot, time_ns):
    """In money units, not rounded."""
    return price(option, spot, years_left(option, time_ns)) * option.units * MONEY_SCALE


def profits(option, spot, time_ns, returns):
    """In every scenario, cents x 2^-24, not rounded; nothing from expiry on."""
    years = years_left(option, time_ns)
    if years == 0:
        return [0.0] * len(returns)
    now = price(option, spot, years)
    return [
        (price(option, spot * (1 + int(change) / 2**24), years) - now) * option.units * PROFIT_UNIT
        for change in returns
    ]


def in_money(option, spot, time_ns):
    """Delta of 1 %, gamma of it, vega of a point, theta of a day, rho of 0.01 %; money units."""
    years = years_left(option, time_ns)
    if years == 0:
        return [0.0] * 5
    scales = (spot * 0.01, (spot * 0.01) ** 2, 0.01, 1 / 365, 1e-4)
    found = greeks(option, spot, years)
    return [
        one * scale * option.units * MONEY_SCALE for one, scale in zip(found, scales, strict=True)
    ]
