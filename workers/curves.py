"""A book's value by one factor, tabulated once and read off on every path.

Hundreds of options on one underlying are one curve: their summed profit as a function of its
return. A table of 65 points with slopes, joined by cubics, costs a path a few nanoseconds instead
of a valuation of each option; how far it is from the exact value is measured between the points
and told. Paths outside the table are valued exactly.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from workers.kernels import monte_carlo as kernels
from workers.quantiles import MeasureError, checked

POINTS = 65

Valuation = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Curve(NamedTuple):
    """Profits of one factor's return."""

    factor: int
    low: float
    step: float
    values: np.ndarray  # float64 [points]
    slopes: np.ndarray  # times the step
    exact: Valuation
    error: float  # the greatest difference to the exact value, half way between points


def tabulate(factor: int, exact: Valuation, low: float, high: float, points: int = POINTS) -> Curve:
    """A curve of a valuation: returns, float64 [n], to profits and their derivatives, [n] each."""
    if not low < high or points < 2 or factor < 0:
        raise MeasureError(
            f"factor {factor}, {points} points from {low} to {high}: give at least two, upwards"
        )
    step = (high - low) / (points - 1)
    values, slopes = valued(exact, low + step * np.arange(points))
    curve = Curve(factor, low, step, values, slopes * step, exact, 0.0)
    between = low + step * (np.arange(points - 1) + 0.5)
    read = np.zeros(points - 1)
    kernels.add_curve(between[None, :], 0, low, step, curve.values, curve.slopes, read)
    error = float(np.abs(read - valued(exact, between)[0]).max())
    return curve._replace(error=error)


def valued(exact: Valuation, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes at some returns, finite and one each."""
    values, slopes = (np.ascontiguousarray(found, np.float64) for found in exact(returns))
    if values.shape != returns.shape or slopes.shape != returns.shape:
        raise MeasureError(
            f"the valuation: shapes {values.shape} and {slopes.shape} for {returns.shape}: give a "
            "profit and a slope for each return"
        )
    checked(values, "profits of the curve")
    checked(slopes, "slopes of the curve")
    return values, slopes


def along(curves: list[Curve]) -> Callable[[np.ndarray], np.ndarray]:
    """A book for `workers.monte_carlo`: the sum of curves, float64 [factors, paths] to [paths]."""

    def book(shocks: np.ndarray) -> np.ndarray:
        profits = np.zeros(shocks.shape[1])
        for curve in curves:
            if curve.factor >= len(shocks):
                raise MeasureError(f"a curve of factor {curve.factor}, of {len(shocks)} factors")
            add(curve, shocks, profits)
        return profits

    return book


def add(curve: Curve, shocks: np.ndarray, profits: np.ndarray) -> None:
    """Add a curve's profits, exactly where a path leaves the table."""
    outside = kernels.add_curve(
        shocks, curve.factor, curve.low, curve.step, curve.values, curve.slopes, profits
    )
    if outside:
        row = shocks[curve.factor]
        place = (row - curve.low) / curve.step
        beyond = ~((place >= 0) & (place <= len(curve.values) - 1))
        profits[beyond] += valued(curve.exact, np.ascontiguousarray(row[beyond]))[0]
