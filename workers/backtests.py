"""Backtests of value at risk: were there as many exceptions as promised, and did they cluster?

An exception (a hit) is a day whose loss was more than the value at risk told before. Each test's
statistic is a likelihood ratio, 0 or more, and chi-squared where the model is right.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from workers import conventions
from workers.quantiles import MeasureError, checked, exact

SIGNIFICANCE = 0.05
SHAPES = (0.001, 10.0)  # where the Weibull shape is looked for
# Basel Committee 1996, Supervisory framework for the use of backtesting, table 2: 250 days, 99 %.
LADDER_DAYS, LADDER_LEVEL = 250, 0.99
LADDER = (3.0, 3.0, 3.0, 3.0, 3.0, 3.4, 3.5, 3.65, 3.75, 3.85, 4.0)
YELLOW_FROM, RED_FROM = 0.95, 0.9999  # cumulative probabilities of so many exceptions or fewer


class Outcome(NamedTuple):
    """A likelihood ratio test: the statistic, and how likely as much or more is by chance."""

    statistic: float
    p_value: float

    def rejects(self, significance: float = SIGNIFICANCE) -> bool:
        """Whether the model is refused at a significance."""
        return self.p_value < significance


class Transitions(NamedTuple):
    """Pairs of days that follow each other: calm or hit, then calm or hit."""

    calm_calm: int
    calm_hit: int
    hit_calm: int
    hit_hit: int


class Light(NamedTuple):
    """The Basel traffic light."""

    zone: str  # green, yellow or red
    cumulative: float  # probability of so many exceptions or fewer, were the model right
    multiplier: float | None  # of capital; None outside the ladder's 250 days at 99 %


class Durations(NamedTuple):
    """The test of the times between exceptions: a shape below 1 is clustering."""

    shape: float
    log_likelihood: float
    log_likelihood_memoryless: float
    outcome: Outcome


def outcome(statistic: float, freedom: int) -> Outcome:
    """A statistic with its p-value; rounding below 0 is 0."""
    bounded = max(statistic, 0.0) + 0.0  # no -0.0
    return Outcome(bounded, float(special.chdtrc(freedom, bounded)))


def check_counts(days: int, hits: int, probability: float) -> None:
    """Refuse what cannot be counted."""
    if not 0 <= hits <= days or days < 1 or not 0 < probability < 1:
        raise MeasureError(
            f"{hits} exceptions in {days} days at {probability}: give 0 to {days} exceptions in at "
            "least a day, and a probability between 0 and 1"
        )


def relative_likelihood(hits: int, of: int, probability: float) -> float:
    """ln of likelihood at hits / of over likelihood at the probability; 0 ln 0 is 0."""
    if not of:
        return 0.0
    misses, share = of - hits, hits / of
    return float(
        special.xlogy(hits, share / probability)
        + special.xlogy(misses, (1 - share) / (1 - probability))
    )


def kupiec(days: int, hits: int, probability: float) -> Outcome:
    """Proportion of failures (Kupiec 1995): as many exceptions as promised? One degree of freedom.

    Without any exception it is -2 days ln(1 - p), not infinite.
    """
    check_counts(days, hits, probability)
    return outcome(2 * relative_likelihood(hits, days, probability), 1)


def accepted(days: int, probability: float, critical: float | None = None) -> tuple[int, int]:
    """The least and the most exceptions that `kupiec` does not refuse (at 5 %, if not told)."""
    check_counts(days, 0, probability)
    bound = float(special.chdtri(1, SIGNIFICANCE)) if critical is None else critical
    found = [n for n in range(days + 1) if kupiec(days, n, probability).statistic < bound]
    if not found:
        raise MeasureError(f"{days} days at {probability}: every count is refused at {bound}")
    return found[0], found[-1]


def at_least(days: int, hits: int, probability: float) -> float:
    """The probability of so many exceptions or more, were the model right: binomial."""
    check_counts(days, hits, probability)
    return float(special.bdtrc(hits - 1, days, probability)) if hits else 1.0


def transitions(hits: object) -> Transitions:
    """Count what follows what in a series of hits, bool or 0 and 1 [days]."""
    marks = marked(hits)
    pairs = np.bincount(2 * marks[:-1] + marks[1:], minlength=4).tolist()
    return Transitions(*pairs)


def marked(hits: object) -> np.ndarray:
    """Hits as int64 [days] of 0 and 1; MeasureError where something else is among them."""
    values = checked(hits, "hits")
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        raise MeasureError(f"hits: {values[odd[0]]} at index {odd[0]}: give 0 and 1")
    return values.astype(np.int64)


def independence(pairs: Transitions) -> Outcome:
    """Is a hit as likely after a hit as after calm? Christoffersen 1998; one degree of freedom.

    Zero cells are no difficulty: 0 ln 0 is 0.
    """
    after_calm = pairs.calm_calm + pairs.calm_hit
    after_hit = pairs.hit_calm + pairs.hit_hit
    hits = pairs.calm_hit + pairs.hit_hit
    if min(pairs) < 0 or not after_calm + after_hit:
        raise MeasureError(f"{pairs}: give at least one pair of days")
    share = hits / (after_calm + after_hit)
    if share in (0, 1):
        return outcome(0.0, 1)
    ratio = relative_likelihood(pairs.calm_hit, after_calm, share)
    return outcome(2 * (ratio + relative_likelihood(pairs.hit_hit, after_hit, share)), 1)


def conditional_coverage(days: int, hits: int, probability: float, pairs: Transitions) -> Outcome:
    """Both at once: the sum of the two statistics, two degrees of freedom (Christoffersen 1998)."""
    both = kupiec(days, hits, probability).statistic + independence(pairs).statistic
    return outcome(both, 2)


def traffic_light(hits: int, days: int = LADDER_DAYS, level: float = LADDER_LEVEL) -> Light:
    """Green below 95 % cumulative probability, red from 99.99 %: 0-4, 5-9, 10+ of 250 days."""
    probability = float(1 - exact(level))
    check_counts(days, hits, probability)
    cumulative = float(special.bdtr(hits, days, probability))
    zone = "green" if cumulative < YELLOW_FROM else "yellow" if cumulative < RED_FROM else "red"
    if (days, exact(level)) != (LADDER_DAYS, exact(LADDER_LEVEL)):
        return Light(zone, cumulative, None)
    return Light(zone, cumulative, LADDER[min(hits, len(LADDER) - 1)])


def durations(hits: object) -> Durations:
    """Have the times between exceptions a memory? Christoffersen and Pelletier 2004.

    Weibull times of shape b and free scale against b = 1, exponential, which has no memory. The
    time up to the first exception and that after the last one are censored: they were at least
    so long.
    """
    days_between, whole = times_between(marked(hits))
    if len(days_between) < 2 or not whole.any():
        raise MeasureError(
            f"{len(days_between)} times between exceptions, {np.count_nonzero(whole)} of them "
            "whole: the test of durations needs two and one"
        )

    def unlikely(shape: float) -> float:
        return -weibull_log_likelihood(shape, days_between, whole)

    best = optimize.minimize_scalar(
        unlikely, bounds=SHAPES, method="bounded", options={"xatol": 1e-10}
    )
    shape, free, memoryless = float(best.x), -float(best.fun), -unlikely(1.0)
    if memoryless > free:
        shape, free = 1.0, memoryless
    return Durations(shape, free, memoryless, outcome(2 * (free - memoryless), 1))


def times_between(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days up to each exception and to the end, float64; and which of them are not censored."""
    places = np.flatnonzero(marks) + 1
    if not len(places):
        return np.empty(0), np.empty(0, bool)
    edges = places.tolist()
    whole = [True] * (len(edges) - 1)
    if not marks[0]:
        edges, whole = [0, *edges], [False, *whole]
    if not marks[-1]:
        edges, whole = [*edges, len(marks)], [*whole, False]
    return np.diff(edges).astype(np.float64), np.array(whole, bool)


def weibull_log_likelihood(shape: float, times: np.ndarray, whole: np.ndarray) -> float:
    """ln likelihood at a shape, with the scale that is best for it."""
    powers = times**shape
    rate = np.count_nonzero(whole) / math.fsum(powers)  # scale ** shape
    likely = math.log(rate) + math.log(shape) + (shape - 1) * np.log(times[whole])
    return math.fsum(likely) - rate * math.fsum(powers)


def exceptions(returns: object, values_at_risk: object) -> np.ndarray:
    """Whether each return, float64 [days], lost more than the value at risk told for it: bool."""
    gains, bounds = checked(returns), checked(values_at_risk, "values at risk")
    if len(gains) != len(bounds):
        raise MeasureError(f"{len(bounds)} values at risk for {len(gains)} returns: one for each")
    return -gains > bounds


def rolling(
    returns: object,
    window: int,
    level,
    convention: str = conventions.DEFAULT,
    measure: Callable[..., float] = conventions.value_at_risk,
) -> np.ndarray:
    """The measure of the `window` returns before each return from the window on: [n - window]."""
    values = checked(returns)
    if not 0 < window < len(values):
        raise MeasureError(f"window {window} of {len(values)} returns: leave some to be tested")
    return np.array(
        [
            measure(values[day - window : day], level, convention)
            for day in range(window, len(values))
        ]
    )
