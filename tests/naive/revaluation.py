"""Profits of holdings under a shock, a position at a time, by the textbook in many digits."""

from decimal import Decimal, localcontext

from tests.naive import options
from workers.holdings import Equity, Option

DAYS = Decimal(365)


def price(position, spot, ratio=1, shift=0, rate=0, days=0, fade=0):
    """What one unit is worth; all as floats, the price as a Decimal."""
    with localcontext() as context:
        context.prec = 60
        spot = Decimal(spot)
        if isinstance(position, Equity):
            return spot
        expiry = Decimal(position.expiry)
        left = max(expiry - Decimal(days) / DAYS, Decimal(0))
        rate = Decimal(position.rate) + Decimal(rate)
        dividend = Decimal(position.dividend)
        if not isinstance(position, Option):
            return spot * ((rate - dividend) * left).exp()
        shift = Decimal(shift)
        if fade > 0 and Decimal(fade) / DAYS < expiry:
            shift *= (Decimal(fade) / DAYS / expiry).sqrt()
        volatility = max(Decimal(position.volatility) * Decimal(ratio) + shift, Decimal(0))
        kind = 1 if position.type == "call" else -1
        strike = Decimal(position.strike)
        if left == 0 or volatility == 0:
            forward = spot * (-dividend * left).exp() - strike * (-rate * left).exp()
            return max(kind * forward, Decimal(0))
        return options.measures(kind, spot, strike, rate, dividend, left, volatility)["price"]


def profit(holdings, position, returns=0.0, **shock):
    """What a position makes when its underlying returns this much."""
    spot = holdings.underlyings[position.underlying].price
    with localcontext() as context:
        context.prec = 60
        then = Decimal(spot) * (1 + Decimal(returns))
        units = Decimal(position.quantity) * Decimal(position.multiplier)
        return units * (price(position, then, **shock) - price(position, spot))
