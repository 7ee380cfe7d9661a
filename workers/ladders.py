"""Greeks by expiry and strike: which part of the holdings the risk is in.

In money, so that underlyings may be added up:
- delta: what 1 % up makes; gamma: by how much that delta grows for each 1 %;
- vega: what one point of volatility makes; theta: what one day (of 365) makes;
- rho: what 0.01 % on all rates makes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workers.holdings import DAYS, Option
from workers.revaluation import Valued, greeks

EXPIRIES = (7.0, 30.0, 91.0, 182.0, 365.0)  # days: the last of each bucket but the last bucket
STRIKES = (0.8, 0.9, 0.975, 1.025, 1.1, 1.2)  # of the underlying's price: so
PERCENT, POINT, BASIS = 0.01, 0.01, 1e-4
COLUMNS = ("value", "delta", "gamma", "vega", "theta", "rho")
FORWARD = "no option"


class Rung(NamedTuple):
    """Sums over the positions of one bucket."""

    underlying: str
    expiry: str
    strike: str
    positions: int
    value: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


def in_money(valued: Valued) -> np.ndarray:
    """COLUMNS of each position in the units above: float64 [positions, columns]."""
    found = greeks(valued)
    owners = [valued.number[position.underlying] for position in valued.positions]
    percent = valued.spots[owners] * PERCENT
    columns = (
        found["value"],
        found["delta"] * percent,
        found["gamma"] * percent**2,
        found["vega"] * POINT,
        found["theta"] / DAYS,
        found["rho"] * BASIS,
    )
    return np.stack(columns, axis=1)


def ladder(
    valued: Valued, expiries: Sequence[float] = EXPIRIES, strikes: Sequence[float] = STRIKES
) -> list[Rung]:
    """The buckets that have positions: by underlying, then expiry, then strike."""
    each = in_money(valued)
    buckets: dict[tuple[int, int, int], list[int]] = {}
    for place, position in enumerate(valued.positions):
        owner = valued.number[position.underlying]
        key = (owner, -1, -1)
        if isinstance(position, Option):
            price = valued.spots[owner]
            days = int(np.searchsorted(expiries, position.expiry * DAYS))
            key = (owner, days, int(np.searchsorted(strikes, position.strike / price)))
        buckets.setdefault(key, []).append(place)
    return [
        Rung(
            valued.names[owner],
            FORWARD if days < 0 else bucket(expiries, days, "d"),
            "" if days < 0 else bucket([100 * strike for strike in strikes], strike, "%"),
            len(members),
            *each[members].sum(axis=0).tolist(),
        )
        for (owner, days, strike), members in sorted(buckets.items())
    ]


def bucket(edges: Sequence[float], number: int, unit: str) -> str:
    """What a bucket is called: from above one edge up to another."""
    if number == 0:
        return f"to {edges[0]:g}{unit}"
    if number == len(edges):
        return f"over {edges[-1]:g}{unit}"
    return f"{edges[number - 1]:g} to {edges[number]:g}{unit}"
