"""Covariance and correlation of returns: computed stably, weighted by age, and repaired aloud.

A matrix that is no covariance (an eigenvalue below 0) comes of gaps filled one by one, of opinions
and of stress. `salvage` gives the nearest that its spectrum allows, and says what it changed.
"""

import math
from typing import NamedTuple

import numpy as np

from workers.quantiles import MeasureError
from workers.weighted import check_decay

ROUNDING = 1e-12  # relative to the greatest eigenvalue: below it, an eigenvalue is 0


class Salvaged(NamedTuple):
    """A matrix that has a root, and what had to be done to it."""

    matrix: np.ndarray  # float64 [k, k], no eigenvalue below 0, the diagonal as given
    repaired: bool
    least: float  # the least eigenvalue as given; below 0: it was no covariance
    changed: float  # the greatest change of an entry
    moved: float  # the Frobenius norm of all changes

    def __str__(self) -> str:
        if not self.repaired:
            return "positive semi-definite as given"
        return (
            f"repaired: least eigenvalue was {self.least:.3g}; entries changed by up to "
            f"{self.changed:.3g}, {self.moved:.3g} together (Frobenius)"
        )


def rows_of(returns: object) -> np.ndarray:
    """Returns as float64 [days, k], finite; MeasureError says where they are not."""
    rows = np.asarray(returns, np.float64)
    if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
        raise MeasureError(
            f"returns: shape {rows.shape}: give a row for each of at least two days, and a column "
            "for each series"
        )
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        day, column = bad[0].tolist()
        raise MeasureError(
            f"returns: {rows[day, column]} in row {day}, column {column} ({len(bad)} are no "
            "numbers): fill the gaps or drop the rows, for a gap is no return of 0"
        )
    return rows


def covariance(returns: object, unbiased: bool = True) -> np.ndarray:
    """The sample covariance of float64 [days, k]: [k, k], over n - 1, or n where not unbiased.

    In two passes with the first mean corrected (Chan, Golub and LeVeque 1983): E[x^2] - m^2 loses
    every digit where the mean is large against the deviations.
    """
    rows = rows_of(returns)
    spread = rows - rows.mean(axis=0)
    spread -= spread.mean(axis=0)
    return spread.T @ spread / (len(rows) - unbiased)


def correlation(returns: object) -> np.ndarray:
    """The correlation of float64 [days, k]: [k, k]; MeasureError for a series that never moves."""
    return normalised(covariance(returns))


def normalised(matrix: np.ndarray) -> np.ndarray:
    """A covariance scaled to a diagonal of 1."""
    variances = np.diag(matrix)
    still = np.flatnonzero(variances <= 0)
    if len(still):
        raise MeasureError(
            f"series {still[0]} has variance {variances[still[0]]}: it has no correlation, leave "
            "it out"
        )
    scale = 1 / np.sqrt(variances)
    found = matrix * np.outer(scale, scale)
    np.fill_diagonal(found, 1)
    return found


def ewma_covariance(returns: object, decay: float) -> np.ndarray:
    """Exponentially weighted covariance with mean 0, weights that sum to 1: [k, k] (RiskMetrics).

    The last row is the newest day and weighs most.
    """
    rows = rows_of(returns)
    check_decay(decay)
    weights = decay ** np.arange(len(rows) - 1, -1, -1.0)
    weights /= math.fsum(weights)
    return (rows * weights[:, None]).T @ rows


class Streaming:
    """Mean and covariance a day at a time, without keeping days (Welford 1962, for vectors)."""

    def __init__(self, series: int) -> None:
        self.days = 0
        self.mean = np.zeros(series)
        self._moments = np.zeros((series, series))

    def add(self, returns: object) -> None:
        """Take one day's returns, float64 [k]."""
        row = np.asarray(returns, np.float64)
        if row.shape != self.mean.shape or not np.isfinite(row).all():
            raise MeasureError(
                f"day {self.days}: {row}: give {len(self.mean)} finite returns, one a series"
            )
        self.days += 1
        before = row - self.mean
        self.mean = self.mean + before / self.days
        self._moments += np.outer(before, row - self.mean)

    def covariance(self) -> np.ndarray:
        """The unbiased sample covariance of the days so far: [k, k]."""
        if self.days < 2:
            raise MeasureError(f"{self.days} days: give at least two")
        return (self._moments + self._moments.T) / (2 * (self.days - 1))


def symmetric(matrix: object) -> np.ndarray:
    """The matrix as float64 [k, k], square, finite and symmetric."""
    found = np.asarray(matrix, np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
        raise MeasureError(f"covariance: shape {found.shape}: give a square matrix")
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0].tolist()
        raise MeasureError(f"covariance: {found[row, column]} at ({row}, {column}): mend it")
    apart = np.abs(found - found.T)
    if apart.max() > 1e-9 * np.abs(found).max():
        row, column = np.unravel_index(apart.argmax(), apart.shape)
        raise MeasureError(
            f"covariance: ({row}, {column}) and ({column}, {row}) differ by {apart.max():.3g}: "
            "give a symmetric matrix"
        )
    below = np.flatnonzero(np.diag(found) < 0)
    if len(below):
        raise MeasureError(
            f"covariance: variance {found[below[0], below[0]]} of series {below[0]}: mend it"
        )
    return (found + found.T) / 2


def salvage(matrix: object) -> Salvaged:
    """The matrix with its negative eigenvalues set to 0, scaled back to its own diagonal.

    Spectral decomposition as in Rebonato and Jaeckel 1999, and QuantLib's salvaging algorithm. A
    matrix whose eigenvalues are not below 0 but by rounding is returned bit for bit as given.
    """
    given = symmetric(matrix)
    values, vectors = np.linalg.eigh(given)
    least = float(values[0])
    if least >= -ROUNDING * max(float(values[-1]), 0.0):
        return Salvaged(given, False, least, 0.0, 0.0)
    root = vectors * np.sqrt(np.maximum(values, 0))
    lengths = np.sqrt((root * root).sum(axis=1))
    wanted = np.sqrt(np.diag(given))
    root *= np.divide(wanted, lengths, out=np.zeros_like(wanted), where=lengths > 0)[:, None]
    found = root @ root.T
    found = (found + found.T) / 2
    np.fill_diagonal(found, np.diag(given))
    change = found - given
    return Salvaged(found, True, least, float(np.abs(change).max()), float(np.linalg.norm(change)))


def cholesky(matrix: object) -> tuple[np.ndarray, Salvaged]:
    """A lower triangular root L with L L' the covariance, and what had to be repaired for it.

    Works on semi-definite matrices too (fewer days than series, a series that never moves): a
    pivot of 0 gives a column of zeros.
    """
    salvaged = salvage(matrix)
    root = np.zeros_like(salvaged.matrix)
    left = salvaged.matrix.copy()
    floor = ROUNDING * np.maximum(np.diag(left), 0) * len(left)
    for place in range(len(left)):
        pivot = left[place, place]
        if pivot <= floor[place]:  # what is left of this series is rounding
            continue
        column = left[place:, place] / math.sqrt(pivot)
        root[place:, place] = column
        left[place:, place:] -= np.outer(column, column)
    return root, salvaged


def principal(matrix: object) -> tuple[np.ndarray, Salvaged]:
    """A root by principal components, the widest first: R R' is the covariance, [k, k].

    For quasi-random paths, whose first dimensions are the most even (Glasserman 2004, 5.5).
    """
    salvaged = salvage(matrix)
    values, vectors = np.linalg.eigh(salvaged.matrix)
    order = np.argsort(values)[::-1]
    return vectors[:, order] * np.sqrt(np.maximum(values[order], 0)), salvaged
