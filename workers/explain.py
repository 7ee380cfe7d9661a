"""Where a profit came from, between two states of the market: full revaluation, by its causes.

The profit is the difference of two full valuations. The parts are a Taylor series at the first
state, with moves dS, dv, dr, dq and dt in years:

    delta dS + gamma dS^2 / 2 + vega dv + theta dt + rho dr + dividend_rho dq
    + vanna dS dv + volga dv^2 / 2 + charm dS dt

What they do not reach is `unexplained`: the parts and it always add up to the profit. It is small
for small moves, and says so where moves were not small. Trades in between are no part of it: both
states have the same positions.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np

from workers.holdings import DAYS, Equity, Holdings, Position, described
from workers.quantiles import MeasureError
from workers.revaluation import Valued, greeks

CAUSES = ("delta", "gamma", "vega", "theta", "rho", "dividend_rho", "vanna", "volga", "charm")
STATE = ("expiry", "volatility", "rate", "dividend")  # of a position: what the market changes


class Explained(NamedTuple):
    """Profits and their parts in money, a row for each position: float64 [positions]."""

    profits: np.ndarray
    parts: dict[str, np.ndarray]  # by cause
    unexplained: np.ndarray

    def sums(self) -> dict[str, float]:
        """The profit of all positions, its parts and the rest, that add up to it."""
        found = {cause: math.fsum(part.tolist()) for cause, part in self.parts.items()}
        profit = math.fsum(self.profits.tolist())
        found["unexplained"] = profit - math.fsum(found.values())
        return {"profit": profit, **found}


def explained(before: Holdings, after: Holdings) -> Explained:
    """The profits of the same positions between two states of the market."""
    first, second = Valued(before, "before"), Valued(after, "after")
    check_same(first, second)
    slopes = greeks(first)
    profits = greeks(second)["value"] - slopes["value"]
    spot = np.array(
        [
            second.spots[second.number[one.underlying]] - first.spots[first.number[one.underlying]]
            for one in first.positions
        ]
    )
    expiry, volatility, rate, dividend = (
        moved(first, second, name) for name in ("expiry", "volatility", "rate", "dividend")
    )
    steps = {
        "delta": spot,
        "gamma": spot**2 / 2,
        "vega": volatility,
        "theta": -expiry,
        "rho": rate,
        "dividend_rho": dividend,
        "vanna": spot * volatility,
        "volga": volatility**2 / 2,
        "charm": -spot * expiry,
    }
    parts = {cause: product(slopes[cause], steps[cause]) for cause in CAUSES}
    rest = [
        math.fsum([float(profit), *(-float(part[place]) for part in parts.values())])
        for place, profit in enumerate(profits)
    ]
    return Explained(profits, parts, np.array(rest))


def product(slope: np.ndarray, step: np.ndarray) -> np.ndarray:
    """slope x step. A Greek may be infinite, at its strike on its day: then it explains nothing."""
    return np.where(np.isfinite(slope), slope, 0.0) * step


def moved(first: Valued, second: Valued, name: str) -> np.ndarray:
    """By how much each position's volatility, rate, yield or expiry has changed: [positions]."""
    return np.array(
        [
            getattr(now, name, 0.0) - getattr(then, name, 0.0)
            for then, now in zip(first.positions, second.positions, strict=True)
        ]
    )


def check_same(first: Valued, second: Valued) -> None:
    """Refuse two states that do not have the same positions in the same order."""
    if len(first.positions) != len(second.positions):
        raise MeasureError(
            f"before has {len(first.positions)} positions, after {len(second.positions)}: give the "
            "same ones, in the same order"
        )
    for place, (then, now) in enumerate(zip(first.positions, second.positions, strict=True)):
        if terms(then) != terms(now):
            raise MeasureError(
                f"positions[{place}]: {described(then)} before, {described(now)} after: give the "
                "same positions in the same order; only prices, volatilities, rates, dividends and "
                "expiries may differ"
            )
        if getattr(now, "expiry", 0.0) > getattr(then, "expiry", 0.0):
            raise MeasureError(
                f"positions[{place}]: {described(then)} expires later after than before: give the "
                "states in order of time"
            )


def terms(position: Position) -> dict:
    """What of a position no market changes."""
    fixed = msgspec.structs.asdict(position)
    return {"kind": type(position).__name__} | {
        key: value for key, value in fixed.items() if key not in STATE
    }


def later(holdings: Holdings, days: float) -> Holdings:
    """The same holdings after some days in which nothing else happened; expired is expired."""
    return msgspec.structs.replace(
        holdings, positions=[older(position, days) for position in holdings.positions]
    )


def older(position: Position, days: float) -> Position:
    """A position after some days."""
    if isinstance(position, Equity):
        return position
    return msgspec.structs.replace(position, expiry=max(position.expiry - days / DAYS, 0.0))
