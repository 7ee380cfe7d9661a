"""The hedge of least variance, in whole lots, and by how much there may be a better one.

With exposures e in money to each underlying's return, a lot's exposures H and the covariance C of
returns, lots x leave the variance (e + H x)' C (e + H x). Options count by their delta.

The least over all real x within the limits is a convex problem (with no limits -(H'CH)^-1 H'Ce:
Hull, Options, Futures and Other Derivatives, 3.4, has the case of one hedge). For whole lots a
local search starts at the rounded solution and at no hedge, and changes one or two lots at a time.
No whole x can be better than the real one by more than linear programming proves (the gap of Frank
and Wolfe 1956), so `gap` is a proof and not a hope.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import LinearConstraint, linprog, minimize

from workers import covariance
from workers.covariance import Salvaged
from workers.hedging import LOTS_MAX, Tradable, lot_of, tradable
from workers.holdings import Holdings
from workers.quantiles import MeasureError
from workers.revaluation import Valued, greeks
from workers.reverse import daily_deviations

ROUNDS_MAX = 10_000  # of the local search
STEPS = (1.0, 3.0, 10.0, 100.0)  # lots that a step of the search changes, either way


class Quiet(NamedTuple):
    """Lots to trade, and the standard deviation of a day's profit in money."""

    lots: np.ndarray  # int64 [hedges]
    cost: float
    before: float
    after: float
    least: float  # no lots within the limits leave less
    exposures: np.ndarray  # float64 [underlyings]: money to each return, with the hedge
    salvaged: Salvaged  # the covariance, and what was repaired in it

    @property
    def gap(self) -> float:
        """By how much what is left may be above the least, as a fraction of what was."""
        return (self.after - self.least) / self.before if self.before else 0.0


class Problem(NamedTuple):
    """A convex quadratic problem: |root' (e + H x)|^2 with lots within limits."""

    root: np.ndarray  # float64 [underlyings, underlyings]: root root' is the covariance
    exposures: np.ndarray  # float64 [underlyings]
    lots: np.ndarray  # float64 [underlyings, hedges]
    of: Tradable

    def variance(self, x: np.ndarray) -> float:
        """Of a day's profit, in money squared."""
        spread = self.root.T @ (self.exposures + self.lots @ x)
        return float(spread @ spread)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Its derivatives by lots."""
        return 2 * (self.root.T @ self.lots).T @ (self.root.T @ (self.exposures + self.lots @ x))

    def keeps(self, x: np.ndarray) -> bool:
        """Whether lots are within the limits."""
        inside = bool((x >= self.of.low).all() and (x <= self.of.high).all())
        budget = self.of.budget
        return inside and (budget is None or float(self.of.costs @ abs(x)) <= budget)


def daily_covariance(holdings: Holdings, valued: Valued) -> np.ndarray:
    """Of a day's returns, from the volatilities and correlations that holdings name."""
    deviations = daily_deviations(valued)
    if deviations is None:
        raise MeasureError(
            "underlyings: least variance needs a volatility for each; give it, or returns"
        )
    matrix = np.eye(len(valued.names))
    for (row, name), (column, other) in itertools.combinations(enumerate(valued.names), 2):
        found = holdings.correlations.get(name, {}).get(other)
        if found is None:
            found = holdings.correlations.get(other, {}).get(name)
        if found is None:
            raise MeasureError(
                f"correlations: there is none of {name} and {other}; give [correlations.{name}] "
                f"with {other} = ..., or returns"
            )
        matrix[row, column] = matrix[column, row] = found
    return matrix * np.outer(deviations, deviations)


def advise(valued: Valued, matrix: object) -> Quiet:
    """The hedge of holdings of least variance; matrix: of a day's returns, [underlyings] twice."""
    holdings = valued.holdings
    of = tradable(holdings)
    owners = [valued.number[one.underlying] for one in valued.positions]
    exposures = np.zeros(len(valued.names))
    np.add.at(exposures, owners, greeks(valued)["delta"])
    lots = np.zeros((len(valued.names), len(of.names)))
    for column, hedge in enumerate(holdings.hedges):
        row = valued.number[hedge.instrument.underlying]
        lots[row, column] = greeks(lot_of(hedge, holdings))["delta"][0]
    return quietest(matrix, exposures * valued.spots, lots * valued.spots[:, None], of)


def quietest(matrix: object, exposures: np.ndarray, lots: np.ndarray, of: Tradable) -> Quiet:
    """The lots of least variance: exposures [underlyings] in money, lots [underlyings, hedges]."""
    salvaged = covariance.salvage(matrix)
    if salvaged.matrix.shape != (len(exposures), len(exposures)):
        raise MeasureError(
            f"covariance: shape {salvaged.matrix.shape} for {len(exposures)} underlyings"
        )
    if not (np.isfinite(exposures).all() and np.isfinite(lots).all()):
        raise MeasureError("exposures: are no numbers: mend prices and quantities")
    problem = Problem(covariance.principal(salvaged.matrix)[0], exposures, lots, of)
    none = np.zeros(lots.shape[1])
    before = problem.variance(none)
    real = relaxed(problem)
    least = max(proven(problem, real), 0.0)
    starts = [none, shrunk(problem, np.rint(real)), shrunk(problem, np.trunc(real))]
    found = min((searched(problem, start) for start in starts), key=problem.variance)
    return Quiet(
        found.astype(np.int64),
        float(of.costs @ abs(found)),
        math.sqrt(before),
        math.sqrt(problem.variance(found)),
        math.sqrt(min(least, problem.variance(found))),
        exposures + lots @ found,
        salvaged,
    )


def relaxed(problem: Problem) -> np.ndarray:
    """Real lots of least variance within the limits: float64 [hedges], to the solver's digits.

    Lots bought and sold are two variables, so that costs are linear; in units in which each lot
    alone would have a deviation of that of the holdings.
    """
    count = problem.lots.shape[1]
    alone = np.sqrt(((problem.root.T @ problem.lots) ** 2).sum(axis=0))
    before = math.sqrt(problem.variance(np.zeros(count)))
    if before == 0.0:
        return np.zeros(count)
    unit = np.divide(before, alone, out=np.ones(count), where=alone > 0)
    free = closed(problem)
    if problem.keeps(free):
        return free
    high = np.concatenate([np.maximum(problem.of.high, 0), np.maximum(-problem.of.low, 0)])
    units = np.concatenate([unit, unit])
    limits = []
    if problem.of.budget is not None:
        costs = np.concatenate([problem.of.costs, problem.of.costs]) * units
        scale = max(problem.of.budget, float(costs.max(initial=0.0))) or 1.0
        limits.append(LinearConstraint(costs[None, :] / scale, ub=problem.of.budget / scale))

    def lots_of(y: np.ndarray) -> np.ndarray:
        return (y[:count] - y[count:]) * unit

    def slope(y: np.ndarray) -> np.ndarray:
        each = problem.slope(lots_of(y)) * unit / before**2
        return np.concatenate([each, -each])

    found = minimize(
        lambda y: problem.variance(lots_of(y)) / before**2,
        np.zeros(2 * count),
        jac=slope,
        method="SLSQP",
        bounds=[(0.0, float(most)) for most in high / units],
        constraints=limits,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    real = lots_of(found.x)
    return real if np.isfinite(real).all() else np.zeros(count)


def closed(problem: Problem) -> np.ndarray:
    """Real lots of least variance without limits; of several the smallest."""
    table = problem.root.T @ problem.lots
    return -np.linalg.lstsq(table, problem.root.T @ problem.exposures, rcond=None)[0]


def proven(problem: Problem, real: np.ndarray) -> float:
    """What no lots within the limits can be below, at whatever point this is asked.

    A convex function lies above its tangent, whose least within the limits is a linear program.
    """
    slope = problem.slope(real)
    high = np.concatenate([np.maximum(problem.of.high, 0), np.maximum(-problem.of.low, 0)])
    scale = float(abs(slope).max(initial=0.0))
    at_real = problem.variance(real)
    if scale == 0.0:
        return at_real
    bound = problem.of.budget
    costs = np.concatenate([problem.of.costs, problem.of.costs])
    found = linprog(
        np.concatenate([slope, -slope]) / scale,
        A_ub=None if bound is None else costs[None, :],
        b_ub=None if bound is None else [bound],
        bounds=[(0.0, None if most >= LOTS_MAX else most) for most in high],
    )
    if found.x is None or not np.isfinite(found.fun):  # unbounded: the slope is rounding
        return unlimited(problem)
    return max(at_real + float(found.fun) * scale - float(slope @ real), unlimited(problem))


def unlimited(problem: Problem) -> float:
    """The variance that is left where there are no limits: a bound in any case."""
    return problem.variance(closed(problem)) * (1 - 1e-9)


def shrunk(problem: Problem, lots: np.ndarray) -> np.ndarray:
    """Whole lots within the limits, near these."""
    lots = np.clip(lots, problem.of.low, problem.of.high)
    while not problem.keeps(lots):
        dearest = int(np.argmax(problem.of.costs * abs(lots)))
        over = float(problem.of.costs @ abs(lots)) - (problem.of.budget or 0.0)
        fewer = min(abs(lots[dearest]), math.ceil(over / problem.of.costs[dearest]))
        lots[dearest] -= math.copysign(max(fewer, 1.0), lots[dearest])
    return lots


def searched(problem: Problem, lots: np.ndarray) -> np.ndarray:
    """Whole lots that no change of one or two of them by a few lots makes better."""
    best, least = lots, problem.variance(lots)
    for _ in range(ROUNDS_MAX):
        better = [
            (problem.variance(near), tuple(near)) for near in beside(best) if problem.keeps(near)
        ]
        found = min(better, default=(math.inf, ()))
        if not found[0] < least * (1 - 1e-12):
            return best
        least, best = found[0], np.array(found[1])
    return best


def beside(lots: np.ndarray) -> Iterator[np.ndarray]:
    """Lots that differ in one or two places."""
    for place in range(len(lots)):
        for step in STEPS:
            for sign in (-step, step):
                yield moved(lots, ((place, sign),))
    for one, other in itertools.combinations(range(len(lots)), 2):
        for first, second in itertools.product((-1.0, 1.0), (-1.0, 1.0)):
            yield moved(lots, ((one, first), (other, second)))


def moved(lots: np.ndarray, steps: Sequence[tuple[int, float]]) -> np.ndarray:
    """Lots with some changed."""
    made = lots.copy()
    for place, step in steps:
        made[place] += step
    return made
