"""Monte Carlo value at risk and expected shortfall, with the error that chance leaves in them.

    book = monte_carlo.linear(exposures)
    found = monte_carlo.measure(covariance, book, 0.99, Plan(seed=7, paths=100_000))
    found.value_at_risk, found.value_at_risk_error

A book is any function from shocks, float64 [factors, paths], to profits, float64 [paths]: a full
revaluation of options is one that prices them at each path. It must take each path for itself.
Shocks are normal with mean 0 and the covariance given; what had to be repaired in it is told in
`Result.salvaged`.

Path i of a portfolio under a seed is the same in any run (`workers.kernels.philox`), so books are
compared on common random numbers, and paths may be shared out over processes by `Plan.first`:
`profits` of 0 to n and of n to 2 n, joined, are those of 0 to 2 n.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from workers import conventions, covariance
from workers.covariance import Salvaged
from workers.kernels import draws
from workers.kernels import monte_carlo as kernels
from workers.quantiles import MeasureError, checked, exact, tail_size

Book = Callable[[np.ndarray], np.ndarray]

SEED_LIMIT, PATH_LIMIT = 1 << 63, 1 << 26
SOBOL_BITS = 30
REPLICATIONS = 8  # independent scramblings of one plan, of which the error is taken


class Plan(NamedTuple):
    """Which paths are simulated."""

    seed: int = 7
    paths: int = 100_000
    portfolio: int = 0
    first: int = 0
    chunk: int = 1024  # paths at a time: for memory and caches, without influence on the result


class Result(NamedTuple):
    """Measures and their standard errors, in the unit of the profits; a loss is positive."""

    value_at_risk: float
    value_at_risk_error: float
    shortfall: float
    shortfall_error: float
    paths: int
    salvaged: Salvaged


def check(plan: Plan) -> None:
    """Refuse a plan that names no paths."""
    if not 0 < plan.paths <= PATH_LIMIT or plan.chunk < 1:
        raise MeasureError(
            f"{plan.paths} paths in chunks of {plan.chunk}: give 1 to {PATH_LIMIT} paths"
        )
    if not 0 <= plan.seed < SEED_LIMIT or not 0 <= plan.portfolio < 1 << 32 or plan.first < 0:
        raise MeasureError(
            f"seed {plan.seed}, portfolio {plan.portfolio}, first path {plan.first}: give a seed "
            "below 2^63, a portfolio below 2^32 and a path, none below 0"
        )


def linear(exposures: object) -> Book:
    """A book of exposures [k] to the factors' simple returns."""
    held = checked(exposures, "exposures")

    def book(shocks: np.ndarray) -> np.ndarray:
        check_factors(shocks, len(held))
        profits = np.zeros(shocks.shape[1])
        kernels.add_linear(shocks, held, profits)
        return profits

    return book


def grown(exposures: object) -> Book:
    """A book of exposures [k] to factors whose shocks are logarithmic returns."""
    held = checked(exposures, "exposures")

    def book(shocks: np.ndarray) -> np.ndarray:
        check_factors(shocks, len(held))
        profits = np.zeros(shocks.shape[1])
        kernels.add_grown(shocks, held, profits)
        return profits

    return book


def quadratic(delta: object, gamma: object) -> Book:
    """A delta-gamma book: delta [k], gamma [k, k], per unit of the factors' returns."""
    slope = checked(delta, "delta")
    bend = np.ascontiguousarray(gamma, np.float64)
    if bend.shape != (len(slope), len(slope)):
        raise MeasureError(f"gamma: shape {bend.shape}: give {len(slope)} rows of {len(slope)}")
    checked(bend.ravel(), "gamma")
    bend = (bend + bend.T) / 2  # the same sums, and half of them

    def book(shocks: np.ndarray) -> np.ndarray:
        check_factors(shocks, len(slope))
        profits = np.zeros(shocks.shape[1])
        kernels.add_quadratic(shocks, slope, bend, profits)
        return profits

    return book


def check_factors(shocks: np.ndarray, factors: int) -> None:
    """Refuse a book over other factors than those of the covariance."""
    if len(shocks) != factors:
        raise MeasureError(f"a book over {factors} factors, a covariance of {len(shocks)}")


def profits(of: object, book: Book, plan: Plan) -> tuple[np.ndarray, Salvaged]:
    """The book's profit on each path, float64 [paths], and what was repaired in the covariance."""
    check(plan)
    root, salvaged = covariance.cholesky(of)
    made = np.empty(plan.paths)
    for start in range(0, plan.paths, plan.chunk):
        count = min(plan.chunk, plan.paths - start)
        shocks = np.empty((len(root), count))
        draws.fill(shocks, plan.seed, plan.portfolio, plan.first + start)
        kernels.correlate(shocks, root)
        made[start : start + count] = revalued(book, shocks, plan.first + start)
    return made, salvaged


def revalued(book: Book, shocks: np.ndarray, first: int) -> np.ndarray:
    """What a book makes of shocks; MeasureError names the path that has no finite profit."""
    found = np.asarray(book(shocks), np.float64)
    paths = shocks.shape[1]
    if found.shape != (paths,):
        raise MeasureError(f"the book: shape {found.shape} for {paths} paths: give one each")
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise MeasureError(
            f"the book: profit {found[bad[0]]} on path {first + bad[0]} ({len(bad)} of "
            f"{len(found)} here): mend its valuation, no path is left out"
        )
    return found


def measure(of: object, book: Book, level, plan: Plan = Plan()) -> Result:  # noqa: B008
    """Value at risk and expected shortfall ("k-th worst, split atom") of plain Monte Carlo."""
    made, salvaged = profits(of, book, plan)
    chance = exact(level)
    value = conventions.value_at_risk(made, chance)
    shortfall = conventions.expected_shortfall(made, chance)
    return Result(
        value,
        value_at_risk_error(made, chance),
        shortfall,
        shortfall_error(made, chance, value, shortfall),
        plan.paths,
        salvaged,
    )


def value_at_risk_error(made: np.ndarray, level: Fraction) -> float:
    """The standard error of an order statistic, without assuming a distribution.

    The number of losses beyond the true quantile is binomial, with standard deviation
    d = sqrt(n c (1 - c)); so the true quantile lies within one of them between the losses of rank
    k - d and k + d. The error is half of what these are apart (Glasserman 2004, A.1; David and
    Nagaraja 2003, 7.1). NaN where the tail is too small for that.
    """
    size = float(tail_size(len(made), level))
    around = math.sqrt(size * float(level))
    low, high = math.floor(size - around), math.ceil(size + around)
    if low < 1 or high > len(made):
        return math.nan
    ranked = np.partition(made, (low - 1, high - 1))
    return float(ranked[high - 1] - ranked[low - 1]) / 2


def shortfall_error(made: np.ndarray, level: Fraction, value: float, shortfall: float) -> float:
    """sqrt((Var(loss | beyond) + c (ES - VaR)^2) / (n (1 - c))): Manistre and Hancock 2005.

    The first part is the tail's own variance, the second that of where the tail begins. NaN where
    fewer than two losses are in it.
    """
    size = float(tail_size(len(made), level))
    tail = made[made <= -value]
    if size < 2 or len(tail) < 2:
        return math.nan
    within = float(np.var(tail, ddof=1))
    return math.sqrt((within + float(level) * (shortfall - value) ** 2) / size)


def quasi(
    of: object,
    book: Book,
    level,
    plan: Plan = Plan(paths=1 << 13),  # noqa: B008
    replications: int = REPLICATIONS,
) -> Result:
    """The same from Sobol points, scrambled, along principal components (Glasserman 2004, 5.5).

    So the points' best dimensions serve the widest moves. Each of the replications is a plan of
    2^m paths with a scrambling of its own; the measures are their means, and the errors are the
    standard errors of these means, for points of one plan are not independent. Of 8 replications
    an error is itself known to a quarter only.
    """
    check(plan)
    if plan.paths & (plan.paths - 1) or replications < 2:
        raise MeasureError(
            f"{plan.paths} paths, {replications} replications: give a power of two, for Sobol "
            "points are even only then, and at least two"
        )
    root, salvaged = covariance.principal(of)
    found = np.array(
        [
            measured(sobol_profits(root, book, plan, number), exact(level))
            for number in range(replications)
        ]
    )
    error = np.std(found, axis=0, ddof=1) / math.sqrt(replications)
    value, shortfall = np.mean(found, axis=0).tolist()
    return Result(
        value, float(error[0]), shortfall, float(error[1]), plan.paths * replications, salvaged
    )


def measured(made: np.ndarray, level: Fraction) -> tuple[float, float]:
    """Value at risk and expected shortfall of simulated profits."""
    return conventions.value_at_risk(made, level), conventions.expected_shortfall(made, level)


def sobol_profits(root: np.ndarray, book: Book, plan: Plan, replication: int) -> np.ndarray:
    """The book's profit at each point of one scrambling: float64 [paths]."""
    source = np.random.default_rng((plan.seed, plan.portfolio, replication))
    drawn = qmc.Sobol(len(root), bits=SOBOL_BITS, rng=source).random(plan.paths)
    points = drawn.T + 0.5**SOBOL_BITS / 2  # to the middle of their cells: never 0
    points = np.ascontiguousarray(points)
    draws.invert(points)
    shocks = np.empty_like(points)
    kernels.spread(points, root, shocks)
    return revalued(book, shocks, 0)
