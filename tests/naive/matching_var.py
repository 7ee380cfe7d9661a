"""An account's value at risk with an order, from its positions, all anew each time."""

from fractions import Fraction

import numpy as np

from tests.naive.risk import EXPOSURE_UNIT, MONEY_SCALE, in_money, value_at_risk
from workers.orders import Reject
from workers.records import LOT_DECIMALS, Side

SYMBOL_BYTES = 24
PRODUCT_LIMIT, GROSS_LIMIT = 1 << 60, (1 << 61) - 1
LEAST_WEIGHT = 1 << 10


def scenarios_of(matching, asked) -> dict:
    """What a market has of its value at risk: returns by its symbol, and its scale."""
    words = np.array([asked.order, asked.other, asked.price], np.int64)
    symbol = words.tobytes().decode("latin-1").rstrip(" ")
    returns = matching.settings.returns
    scale = 2 * asked.quantity * 10 ** (asked.flags >> LOT_DECIMALS)
    known = [market for market in matching.markets.values() if market.returns]
    room = len(known) < min(matching.settings.matched, 2 * len(returns))
    if symbol not in returns or not 0 < scale <= PRODUCT_LIMIT or not room:
        return {}
    return {"returns": returns[symbol].tolist(), "scale": scale}


def value_at_risk_reasons(matching, account, order, before) -> int:
    """Whether the account would risk too much were all of the side filled, or nobody knows."""
    here = matching.market.instrument
    _, *open_, _ = account.standing(here)
    more = open_[order.side] + order.left - (before.left if before else 0)
    held = {name: standing[0] for name, standing in account.standings.items() if standing[0]}
    then = {**held, here: held.get(here, 0) + (more if order.side == Side.BID else -more)}
    risks = [risk_of(matching, positions) for positions in (held, then)]
    if None in risks or abs(more) > PRODUCT_LIMIT:
        return Reject.VAR_UNKNOWN
    return Reject.VAR if risks[1] > max(account.limits.var_max, risks[0]) else 0


def risk_of(matching, positions: dict) -> int | None:
    """Value at risk 99 % of positions by instrument, money units; None: it cannot be told."""
    profits, gross = [0] * len(next(iter(matching.settings.returns.values()))), 0
    for name, lots in positions.items():
        market = matching.markets[name]
        if not market.returns or not market.base:
            return None
        money = Fraction(MONEY_SCALE, market.scale)
        weight = max(LEAST_WEIGHT, *map(abs, market.returns))
        size, parts = abs(lots) * 2 * market.base, money.denominator
        most = (PRODUCT_LIMIT // weight - 1) * EXPOSURE_UNIT * parts
        if size * money.numerator > min(PRODUCT_LIMIT, most):
            return None
        worth = round(lots * 2 * market.base * money)
        exposure = round(Fraction(worth, EXPOSURE_UNIT))
        gross += abs(exposure) * weight
        for scenario, change in enumerate(market.returns):
            profits[scenario] += exposure * change
    if gross > GROSS_LIMIT:
        return None
    return in_money(value_at_risk(profits, 990))
