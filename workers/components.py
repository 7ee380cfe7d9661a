"""Which position brings how much of the risk: parts that add up to the whole.

Value at risk and expected shortfall grow in proportion to the book, so by Euler's theorem the sum
of weight x derivative over the positions is the measure itself. A part is that product; the
marginal risk is the derivative, the risk of a little more of a position; the incremental risk is
what goes when a position is taken out, and does not add up.

Returns: float64 [n, k], a row a day, a column a position; weights: float64 [k], what is held of
each, in any unit (profits in money with weights of 1 do as well). A loss is positive.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from workers import conventions, parametric
from workers.quantiles import MeasureError, checked, exact, tail_rank, tail_size


class Parts(NamedTuple):
    """A measure, and what each position has of it: float64 [k] in order of the columns."""

    total: float
    contributions: np.ndarray  # sum to the total
    marginal: np.ndarray  # per unit of weight

    @property
    def shares(self) -> np.ndarray:
        """Contributions as fractions of the total, which must not be 0."""
        if self.total == 0:
            raise MeasureError("the total is 0: its shares are none")
        return self.contributions / self.total


class Measured(NamedTuple):
    """Value at risk and expected shortfall, each with its parts."""

    value_at_risk: Parts
    shortfall: Parts


def parts(weights: np.ndarray, marginal: np.ndarray, total: float) -> Parts:
    """Parts of derivatives."""
    return Parts(float(total), weights * marginal, marginal)


def panel(returns: object, weights: object) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, finite and of sizes that go together; MeasureError where not."""
    held, rows = checked(weights, "weights"), np.asarray(returns, np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(held) or not len(rows):
        raise MeasureError(
            f"returns: shape {rows.shape}: give a row a day and {len(held)} columns, one a weight"
        )
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        day, column = bad[0].tolist()
        raise MeasureError(
            f"returns: {rows[day, column]} in row {day}, column {column} ({len(bad)} are no "
            "numbers): fill the gaps or drop the rows, for a gap is no return of 0"
        )
    return rows, held


def historical(returns: object, weights: object, level) -> Measured:
    """Parts of "k-th worst, split atom": what each position lost in the scenarios of the tail.

    Of days with equal profits the earlier ranks as the worse, so that the parts are the same each
    time. Where days are tied at the edge, the parts of value at risk are those of one of them.
    """
    rows, held = panel(returns, weights)
    order = np.argsort(rows @ held, kind="stable")
    rank, size = tail_rank(len(rows), level), float(tail_size(len(rows), level))
    edge = -rows[order[rank - 1]]
    worst = np.ones(rank)
    worst[-1] = size - (rank - 1)
    deeper = -(worst @ rows[order[:rank]]) / size
    return Measured(
        parts(held, edge, math.fsum(held * edge)), parts(held, deeper, math.fsum(held * deeper))
    )


class _Slopes(NamedTuple):
    """Moments of the book and their derivatives by weight."""

    of: parametric.Moments
    mean: np.ndarray
    sigma: np.ndarray
    skew: np.ndarray
    kurtosis: np.ndarray


def slopes(rows: np.ndarray, held: np.ndarray) -> _Slopes:
    """Moments as PerformanceAnalytics' component measures take them.

    The covariance is the sample's (n - 1), the third and fourth moments are the population's. No
    co-moment matrices: a book's third moment is mean(y^3), its derivative 3 mean(y^2 x).
    """
    if len(rows) < 2:
        raise MeasureError("returns: one row: give at least two days")
    mean = rows.mean(axis=0)
    spread = rows - mean
    book = spread @ held
    seen = book @ spread / (len(rows) - 1)  # covariance of each position with the book
    variance = float(seen @ held)
    if variance <= 0:
        raise MeasureError("the book's returns do not vary: a normal measure has no parts")
    third, fourth = float(np.mean(book**3)), float(np.mean(book**4))
    by_third, by_fourth = 3 * (book**2 @ spread), 4 * (book**3 @ spread)
    by_third, by_fourth = by_third / len(rows), by_fourth / len(rows)
    sigma = math.sqrt(variance)
    of = parametric.Moments(float(mean @ held), sigma, third / sigma**3, fourth / variance**2 - 3)
    return _Slopes(
        of,
        mean,
        seen / sigma,
        by_third / sigma**3 - 3 * third / sigma**5 * seen,
        by_fourth / variance**2 - 4 * fourth / variance**3 * seen,
    )


def gaussian(returns: object, weights: object, level) -> Measured:
    """Parts of the normal measures (Garman 1997); PerformanceAnalytics' gaussian components."""
    rows, held = panel(returns, weights)
    of, mean, sigma, _, _ = slopes(rows, held)
    z = parametric.z_of(level)
    tail = parametric.density(z) / float(1 - exact(level))
    return Measured(
        parts(held, -mean - z * sigma, parametric.normal_value_at_risk(of.mean, of.sigma, level)),
        parts(held, -mean + tail * sigma, parametric.normal_shortfall(of.mean, of.sigma, level)),
    )


def modified(returns: object, weights: object, level) -> Measured:
    """Parts of the Cornish-Fisher measures (Boudt, Peterson and Croux 2008)."""
    rows, held = panel(returns, weights)
    of, mean, sigma, skew, kurtosis = slopes(rows, held)
    z, tail = parametric.z_of(level), float(1 - exact(level))
    edge = parametric.cornish_fisher(z, of.skew, of.kurtosis)
    by_skew = (z * z - 1) / 6 - (2 * z**3 - 5 * z) * of.skew / 18
    edge_slope = by_skew * skew + (z**3 - 3 * z) / 24 * kurtosis
    value_slope = -mean - edge * sigma - of.sigma * edge_slope
    value = parts(held, value_slope, parametric.modified_value_at_risk(of, level))
    beyond = parametric.edgeworth_tail(edge, of.skew, of.kurtosis) / tail
    if -beyond > edge:  # the expansion gave less than value at risk
        deeper = value_slope
    else:
        beyond_slope = edgeworth_slope(edge, of, edge_slope, skew, kurtosis) / tail
        deeper = -mean + beyond * sigma + of.sigma * beyond_slope
    return Measured(value, parts(held, deeper, parametric.modified_shortfall(of, level)))


def edgeworth_slope(
    h: float, of: parametric.Moments, edge: np.ndarray, skew: np.ndarray, kurtosis: np.ndarray
) -> np.ndarray:
    """The derivative of `parametric.edgeworth_tail`, by the derivatives of what it is made of."""
    by_edge = -h * (
        1
        + of.skew / 6 * (h**3 - 3 * h)
        + of.kurtosis / 24 * (h**4 - 6 * h * h + 3)
        + of.skew**2 / 72 * (h**6 - 15 * h**4 + 45 * h * h - 15)
    )
    by_skew = h**3 / 6 + of.skew / 36 * (h**6 - 9 * h**4 + 9 * h * h + 3)
    by_kurtosis = (h**4 - 2 * h * h - 1) / 24
    return parametric.density(h) * (by_edge * edge + by_skew * skew + by_kurtosis * kurtosis)


def incremental(
    returns: object,
    weights: object,
    level,
    convention: str = conventions.DEFAULT,
    measure: Callable[..., float] = conventions.value_at_risk,
) -> np.ndarray:
    """How much of the measure goes with each position: float64 [k]; below 0 for a hedge.

    The measure of the book less that of the book without the position.
    """
    rows, held = panel(returns, weights)
    book = rows @ held
    whole = measure(book, level, convention)
    without = [
        measure(book - weight * rows[:, place], level, convention)
        for place, weight in enumerate(held)
    ]
    return whole - np.array(without)


def drifted(returns: object, weights: object) -> np.ndarray:
    """What each position adds to a book that is bought once and held: float64 [n, k].

    Weights that sum to 1 move with the prices, as in PerformanceAnalytics' historical components.
    """
    rows, held = panel(returns, weights)
    worth = held * np.cumprod(1 + rows, axis=0)
    before = np.vstack([held, worth[:-1]])
    return before / before.sum(axis=1, keepdims=True) * rows


def shares_of_days(contributions: object, taken: object) -> np.ndarray:
    """Each position's share of what a book made on the days taken: float64 [k], sums to 1.

    PerformanceAnalytics' percentages: of historical value at risk on all days with a loss, of
    historical shortfall on the days at or below the quantile.
    """
    rows = np.asarray(contributions, np.float64)
    days = np.asarray(taken, bool)
    if not days.any():
        raise MeasureError("no day is taken: there is nothing to share")
    made = rows[days].sum(axis=0)
    return made / math.fsum(made)
