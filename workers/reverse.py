"""Reverse stress: the smallest move along a direction that loses a given amount.

The profit is revalued in full at STEPS even sizes and wherever an underlying comes to a strike,
from no move up to the bound; the first size that loses enough is then enclosed and found to
TOLERANCE (Brent 1973). Where the profit has a low between two sizes, that is looked for too, so
that a dip is not stepped over. Where no size loses enough, the answer says so, and what was worst.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from workers.holdings import Move
from workers.quantiles import MeasureError
from workers.revaluation import Valued, quiet, totals
from workers.stress import betas, fallen, of_moves

STEPS = 256
TOLERANCE = 1e-12  # of the bound
TRADING_DAYS = 252.0  # of a year
MOST_RETURN, MOST_DEVIATIONS, MOST_SHIFT, MOST_TIMES = 1.0, 20.0, 2.0, 20.0


class Direction(NamedTuple):
    """How a market moves for a size of 1."""

    name: str
    unit: str  # of the size: "%", "sd", "points" or "times"
    returns: np.ndarray  # [underlyings]
    shifts: np.ndarray  # [underlyings]
    most: float  # sizes up to here are looked at


class Broken(NamedTuple):
    """The answer along one direction."""

    direction: Direction
    size: float | None  # the smallest that loses enough; None: none does
    bound: float  # how far was looked
    worst: float  # the lowest profit that was seen
    worst_at: float


def breaking(valued: Valued, direction: Direction, loss: float) -> Broken:
    """The smallest size along a direction at which the profit is -loss or less."""
    if not 0 < loss < math.inf:
        raise MeasureError(f"loss limit {loss}: give an amount of money above 0")
    bound = reach(direction)
    sizes = places(valued, direction, bound)
    made = profits_at(valued, direction, sizes)
    lows = list(low_points(valued, direction, sizes, made))
    worst, worst_at = min([*zip(made.tolist(), sizes.tolist(), strict=True), *lows])
    edges = [(low_at, low) for low, low_at in lows if low <= -loss]
    edges += [(float(at), float(low)) for at, low in zip(sizes, made, strict=True) if low <= -loss]
    if not edges:
        return Broken(direction, None, bound, worst, worst_at)
    outer = min(edges)[0]
    inner = float(sizes[(sizes < outer) & (made > -loss)].max())
    size = brentq(
        lambda at: float(profits_at(valued, direction, np.array([at]))[0]) + loss,
        inner,
        outer,
        xtol=TOLERANCE * bound,
    )
    return Broken(direction, float(size), bound, worst, worst_at)


def reach(direction: Direction) -> float:
    """How far a direction goes: no price below nothing."""
    falling = direction.returns[direction.returns < 0]
    return min([direction.most, *(-1 / falling).tolist()])


def places(valued: Valued, direction: Direction, bound: float) -> np.ndarray:
    """The sizes to look at, from 0 to the bound in order."""
    owner = valued.options.owner
    strikes = valued.options.blocks["strike"].reshape(-1)[: len(owner)]
    pace = direction.returns[owner]
    moving = pace != 0
    kinks = (strikes[moving] / valued.spots[owner[moving]] - 1) / pace[moving]
    inside = kinks[(kinks > 0) & (kinks < bound)]
    return np.unique(np.concatenate([np.linspace(0.0, bound, STEPS + 1), inside]))


def profits_at(valued: Valued, direction: Direction, sizes: np.ndarray) -> np.ndarray:
    """What the holdings make at each size: [sizes]."""
    shocks = quiet(valued, [f"{direction.name}, {size:g} {direction.unit}" for size in sizes])
    shocks.returns[:] = fallen(sizes[:, None] * direction.returns)
    shocks.shifts[:] = sizes[:, None] * direction.shifts
    return totals(valued, shocks)


def low_points(
    valued: Valued, direction: Direction, sizes: np.ndarray, made: np.ndarray
) -> Iterator[tuple[float, float]]:
    """The lows between sizes, as profit and size."""
    inner = (made[1:-1] <= made[:-2]) & (made[1:-1] <= made[2:]) & (made[:-2] > made[1:-1])
    for place in np.flatnonzero(inner).tolist():
        found = minimize_scalar(
            lambda at: float(profits_at(valued, direction, np.array([at]))[0]),
            bounds=(float(sizes[place]), float(sizes[place + 2])),
            method="bounded",
            options={"xatol": TOLERANCE * float(sizes[-1])},
        )
        yield float(found.fun), float(found.x)


def directions(valued: Valued, moves: dict[str, Move]) -> list[Direction]:
    """Those that holdings suggest: market, deviations, volatility, each underlying, own moves."""
    none = np.zeros(len(valued.names))
    beta = betas(valued)
    found = [
        Direction(f"market {word}", "%", sign * beta, none, MOST_RETURN)
        for word, sign in (("down", -1.0), ("up", 1.0))
    ]
    deviations = daily_deviations(valued)
    if deviations is not None:
        found += [
            Direction(f"all {word} together", "sd", sign * deviations, none, MOST_DEVIATIONS)
            for word, sign in (("down", -1.0), ("up", 1.0))
        ]
    found += [
        Direction(f"volatility {word}", "points", none, none + sign, MOST_SHIFT)
        for word, sign in (("up", 1.0), ("down", -1.0))
    ]
    for number, name in enumerate(valued.names):
        alone = none.copy()
        alone[number] = 1.0
        found += [
            Direction(f"{name} {word}", "%", sign * alone, none, MOST_RETURN)
            for word, sign in (("down", -1.0), ("up", 1.0))
        ]
    shocks = of_moves(valued, moves)
    for row, name in enumerate(moves):
        if (shocks.returns[row] != 0).any() or (shocks.shifts[row] != 0).any():
            found.append(
                Direction(name, "times", shocks.returns[row], shocks.shifts[row], MOST_TIMES)
            )
    return found


def daily_deviations(valued: Valued) -> np.ndarray | None:
    """A day's standard deviation of each underlying's return; None where one is not known."""
    found = [one.volatility for one in valued.holdings.underlyings.values()]
    known = [one for one in found if one is not None]
    return np.array(known) / math.sqrt(TRADING_DAYS) if len(known) == len(found) else None
