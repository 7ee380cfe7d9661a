"""Value at risk and expected shortfall of a series, by the name of the convention.

The same 250 returns give values at risk at 99 % that are 8 % apart, and expected shortfalls 6 %
apart, by which library was asked. So every number has a convention, and the convention a name.
`DEFAULT` is the product's own, and that of the live tail in `workers.kernels.scenarios`; the
others do what the named library does, its floating-point 1 - c included, so that its numbers can
be checked.

    value_at_risk(returns, 0.99)                         # "k-th worst, split atom"
    expected_shortfall(returns, 0.975, "QuantLib")

Returns or profits: float64 [n], a gain is positive, of any unit; the measures are in that unit,
and a loss is positive. Levels are decimals, see `workers.quantiles`. MeasureError where the
series has a gap, where the level is none, and where the convention has no answer.
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from workers import parametric
from workers.quantiles import (
    NUMPY_METHODS,
    TYPES,
    MeasureError,
    checked,
    exact,
    quantile,
    tail_rank,
    tail_size,
)

DEFAULT = "k-th worst, split atom"
QUANTLIB_FROM = Fraction(9, 10)  # QuantLib refuses lower levels

Rule = Callable[[np.ndarray, Fraction], float]  # returns as checked, the exact level


class Convention(NamedTuple):
    """A named pair of definitions; what it does not define is None."""

    name: str
    meaning: str
    value_at_risk: Rule
    shortfall: Rule | None = None


def value_at_risk(returns: object, level, convention: str = DEFAULT) -> float:
    """The loss that is not exceeded with probability `level`, as the convention has it."""
    return named(convention).value_at_risk(checked(returns), exact(level)) + 0.0  # no -0.0


def expected_shortfall(returns: object, level, convention: str = DEFAULT) -> float:
    """The mean loss beyond `level`, as the convention has it."""
    rule = named(convention).shortfall
    if rule is None:
        having = ", ".join(name for name, found in CONVENTIONS.items() if found.shortfall)
        raise MeasureError(f"{convention} has no expected shortfall: use one of {having}")
    return rule(checked(returns), exact(level)) + 0.0


def table(
    returns: object,
    levels: Iterable[float],
    horizons: Iterable[int] = (1,),
    convention: str = DEFAULT,
    autocorrelation: float = 0.0,
) -> list[parametric.Measure]:
    """Both measures at every level and horizon, in days; NaN where the convention has no shortfall.

    A day's measure grows by the root of time, more where days follow their predecessor (see
    `parametric.variance_multiplier`): a rule for gains of mean 0, and the one that regulators take.
    """
    values, rule = checked(returns), named(convention)
    growth = {days: parametric.variance_multiplier(days, autocorrelation) for days in horizons}
    found = []
    for level in map(exact, levels):
        value = rule.value_at_risk(values, level)
        shortfall = rule.shortfall(values, level) if rule.shortfall else math.nan
        for days, times in growth.items():
            root = math.sqrt(times)
            found.append(parametric.Measure(float(level), days, root * value, root * shortfall))
    return found


def named(convention: str) -> Convention:
    """A convention by its name."""
    if convention not in CONVENTIONS:
        raise MeasureError(f"{convention!r} is no convention: use one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]


def beyond(level: Fraction) -> float:
    """1 - c as a user of floating point computes it."""
    return 1 - float(level)


def kth_worst(returns: np.ndarray, level: Fraction) -> float:
    """-x(k), k = ceil(n (1 - c)) exactly: an observed loss, without interpolation."""
    rank = tail_rank(len(returns), level)
    return -float(np.partition(returns, rank - 1)[rank - 1])


def split_atom(returns: np.ndarray, level: Fraction) -> float:
    """The mean of the worst n (1 - c) losses, the last one counted in part.

    Acerbi and Tasche 2002; Rockafellar and Uryasev 2002. As value at risk plus what lies beyond
    it, so that rounding cannot bring it below value at risk.
    """
    rank = tail_rank(len(returns), level)
    worst = np.partition(returns, rank - 1)[:rank]
    edge = worst[rank - 1]
    return math.fsum(edge - worst) / float(tail_size(len(returns), level)) - float(edge)


def r_type(kind: int) -> Rule:
    """R's `-quantile(x, 1 - c, type = kind)`."""
    return lambda returns, level: -quantile(returns, beyond(level), kind)


def numpy_method(method: str) -> Rule:
    """numpy's own `-quantile(x, 1 - c, method=...)`."""
    how: Any = {"method": method}
    return lambda returns, level: -float(np.quantile(returns, beyond(level), **how))


def mean_loss(returns: np.ndarray, taken: np.ndarray, name: str) -> float:
    """The mean loss of some returns; MeasureError where there are none."""
    if not taken.any():
        raise MeasureError(
            f"{name}: no return lies beyond the value at risk (of {len(returns)}), so the mean of "
            f"those is none: use {DEFAULT!r}"
        )
    return -float(np.mean(returns[taken]))


def pa_historical_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """PerformanceAnalytics: the mean of the returns strictly below R's default quantile."""
    below = returns < quantile(returns, beyond(level), 7)
    return mean_loss(returns, below, "PerformanceAnalytics historical")


def pa_gaussian(returns: np.ndarray, level: Fraction) -> float:
    """PerformanceAnalytics: normal, with the population's standard deviation."""
    of = parametric.moments(returns)
    return parametric.normal_value_at_risk(of.mean, of.sigma, level)


def pa_gaussian_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """PerformanceAnalytics: the same for expected shortfall."""
    of = parametric.moments(returns)
    return parametric.normal_shortfall(of.mean, of.sigma, level)


def pa_modified(returns: np.ndarray, level: Fraction) -> float:
    """PerformanceAnalytics: Cornish-Fisher, with population moments."""
    return parametric.modified_value_at_risk(parametric.moments(returns), level)


def pa_modified_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """PerformanceAnalytics: Edgeworth, and value at risk where that is more."""
    return parametric.modified_shortfall(parametric.moments(returns), level)


def quantlib_edge(returns: np.ndarray, level: Fraction) -> float:
    """The first ranked return at which the weight so far reaches (1 - c) n in floating point."""
    if level < QUANTLIB_FROM:
        raise MeasureError(f"QuantLib: level {float(level)}: it takes 0.9 and above")
    rank = max(math.ceil(beyond(level) * len(returns)), 1)
    return min(float(np.sort(returns)[rank - 1]), 0.0)


def quantlib(returns: np.ndarray, level: Fraction) -> float:
    """QuantLib's RiskStatistics: never below 0."""
    return -quantlib_edge(returns, level)


def quantlib_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """QuantLib's RiskStatistics: the mean of what is strictly worse than value at risk."""
    below = returns < quantlib_edge(returns, level)
    return max(mean_loss(returns, below, "QuantLib"), 0.0)


def empyrical(returns: np.ndarray, level: Fraction) -> float:
    """empyrical-reloaded: numpy's percentile, linear."""
    return -float(np.percentile(returns, 100 * beyond(level)))


def empyrical_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """empyrical-reloaded: the mean of the worst 1 + floor((n - 1)(1 - c)) returns."""
    last = int((len(returns) - 1) * beyond(level))
    return -float(np.mean(np.partition(returns, last)[: last + 1]))


def riskfolio_index(returns: np.ndarray, level: Fraction) -> int:
    """riskfolio-lib: ceil of the floating-point tail, counted from 0."""
    return max(math.ceil(beyond(level) * len(returns)) - 1, 0)


def riskfolio(returns: np.ndarray, level: Fraction) -> float:
    """riskfolio-lib's VaR_Hist."""
    return -float(np.sort(returns)[riskfolio_index(returns, level)])


def riskfolio_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """riskfolio-lib's CVaR_Hist: the split atom over a floating-point tail."""
    last = riskfolio_index(returns, level)
    ranked = np.sort(returns)[: last + 1]
    edge = float(ranked[last])
    return -edge - math.fsum(ranked - edge) / (beyond(level) * len(returns))


def ore_edge(returns: np.ndarray, probability: float) -> float:
    """Open Source Risk Engine's quantile: the first return whose rank reaches p n."""
    rank = max(math.ceil(probability * len(returns)), 1)
    return float(np.sort(returns)[rank - 1])


def ore(returns: np.ndarray, level: Fraction) -> float:
    """Open Source Risk Engine: historical simulation without interpolation."""
    return -ore_edge(returns, float(1 - level))


def ore_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """Open Source Risk Engine: the mean of what is not better than its quantile."""
    return -float(np.mean(returns[returns <= ore_edge(returns, float(1 - level))]))


def student(returns: np.ndarray, level: Fraction) -> float:
    """scipy's maximum-likelihood fit of Student's t."""
    return parametric.student_value_at_risk(parametric.fit_student_t(returns), level)


def student_shortfall(returns: np.ndarray, level: Fraction) -> float:
    """The same fit's mean beyond its quantile."""
    return parametric.student_shortfall(parametric.fit_student_t(returns), level)


ALL = (
    Convention(DEFAULT, "an observed loss; the exact tail's mean", kth_worst, split_atom),
    *(Convention(f"R type {kind}", "R's quantile", r_type(kind)) for kind in TYPES),
    *(Convention(f"numpy {m}", "numpy's quantile", numpy_method(m)) for m in NUMPY_METHODS),
    Convention(
        "PerformanceAnalytics historical",
        "R's default quantile; the mean strictly below it",
        r_type(7),
        pa_historical_shortfall,
    ),
    Convention(
        "PerformanceAnalytics gaussian",
        "normal, population moments",
        pa_gaussian,
        pa_gaussian_shortfall,
    ),
    Convention(
        "PerformanceAnalytics modified",
        "Cornish-Fisher, population moments",
        pa_modified,
        pa_modified_shortfall,
    ),
    Convention(
        "QuantLib",
        "an observed loss, at least 0; the mean strictly beyond it",
        quantlib,
        quantlib_shortfall,
    ),
    Convention("empyrical", "linear; the mean of a whole tail", empyrical, empyrical_shortfall),
    Convention("riskfolio", "an observed loss; split atom", riskfolio, riskfolio_shortfall),
    Convention("ORE", "an observed loss; the mean from it on", ore, ore_shortfall),
    Convention("scipy t", "Student's t, fitted by likelihood", student, student_shortfall),
)
CONVENTIONS = {convention.name: convention for convention in ALL}
