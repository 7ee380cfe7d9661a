"""Value at risk and expected shortfall from moments: normal, Cornish-Fisher, Student's t.

A loss is positive; mean and sigma are those of the gain over one day, in any unit. Levels are
decimals such as 0.99, see `workers.quantiles`.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from workers.quantiles import MeasureError, checked, exact


class Moments(NamedTuple):
    """Of a gain: mean, standard deviation, skewness, excess kurtosis."""

    mean: float
    sigma: float
    skew: float = 0.0
    kurtosis: float = 0.0


def moments(returns: object) -> Moments:
    """Population moments (divided by n) of float64 [n]; a constant has skew and kurtosis 0."""
    values = checked(returns)
    if (values == values[0]).all():
        return Moments(float(values[0]), 0.0)
    mean = math.fsum(values) / len(values)
    spread = values - mean
    square = math.fsum(spread**2) / len(values)
    sigma = math.sqrt(square)
    if sigma == 0:  # the squares underflow
        return Moments(mean, 0.0)
    scaled = spread / sigma
    skew = math.fsum(scaled**3) / len(values)
    return Moments(mean, sigma, skew, math.fsum(scaled**4) / len(values) - 3)


def z_of(level) -> float:
    """The standard normal's quantile at 1 - c: -2.326 at 99 %."""
    return float(special.ndtri(float(1 - exact(level))))


def density(z: float) -> float:
    """The standard normal's density."""
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def normal_value_at_risk(mean: float, sigma: float, level) -> float:
    """-(mean + sigma z): Hull, Risk Management and Financial Institutions, 12.3."""
    check_sigma(sigma)
    return -mean - sigma * z_of(level)


def normal_shortfall(mean: float, sigma: float, level) -> float:
    """-mean + sigma phi(z) / (1 - c): Hull, the same, 12.4."""
    check_sigma(sigma)
    return -mean + sigma * density(z_of(level)) / float(1 - exact(level))


def check_sigma(sigma: float) -> None:
    """Refuse what is no standard deviation."""
    if not 0 <= sigma < math.inf:
        raise MeasureError(f"sigma {sigma}: give a standard deviation, 0 or more")


def cornish_fisher(z: float, skew: float, kurtosis: float) -> float:
    """The quantile of standardised gains: z and the terms of skewness and excess kurtosis.

    Cornish and Fisher 1937, to second order, as in Favre and Galeano 2002. It is monotone in z
    only for small skewness and kurtosis.
    """
    return (
        z
        + (z * z - 1) * skew / 6
        + (z**3 - 3 * z) * kurtosis / 24
        - (2 * z**3 - 5 * z) * skew * skew / 36
    )


def modified_value_at_risk(of: Moments, level) -> float:
    """Cornish-Fisher value at risk: -(mean + sigma h)."""
    check_sigma(of.sigma)
    return -of.mean - of.sigma * cornish_fisher(z_of(level), of.skew, of.kurtosis)


def modified_shortfall(of: Moments, level) -> float:
    """Edgeworth expected shortfall beyond the Cornish-Fisher quantile; at least that quantile.

    Boudt, Peterson and Croux 2008, eq. 12, with PerformanceAnalytics' floor: where the expansion
    gives less than the value at risk, it is the value at risk.
    """
    check_sigma(of.sigma)
    quantile = cornish_fisher(z_of(level), of.skew, of.kurtosis)
    tail = edgeworth_tail(quantile, of.skew, of.kurtosis) / float(1 - exact(level))
    return -of.mean - of.sigma * min(-tail, quantile)


def edgeworth_tail(h: float, skew: float, kurtosis: float) -> float:
    """Minus the integral of z over the Edgeworth density up to h.

    The terms of the paper, sums of incomplete moments, collected: the normal distribution's
    function drops out, and phi(h) times a polynomial remains.
    """
    return density(h) * (
        1
        + skew / 6 * h**3
        + kurtosis / 24 * (h**4 - 2 * h * h - 1)
        + skew * skew / 72 * (h**6 - 9 * h**4 + 9 * h * h + 3)
    )


class StudentT(NamedTuple):
    """Student's t, shifted and scaled: degrees of freedom, location, scale."""

    freedom: float
    location: float
    scale: float


def fit_student_t(returns: object) -> StudentT:
    """The maximum-likelihood fit of scipy (its simplex search stops at a relative 1e-4)."""
    return _fit(checked(returns).tobytes())


@lru_cache(maxsize=16)  # a fit takes a tenth of a second, and serves every level
def _fit(values: bytes) -> StudentT:
    return StudentT(*map(float, stats.t.fit(np.frombuffer(values))))


def student_value_at_risk(of: StudentT, level) -> float:
    """-(location + scale x quantile)."""
    return -of.location - of.scale * float(stats.t.ppf(float(1 - exact(level)), of.freedom))


def student_shortfall(of: StudentT, level) -> float:
    """McNeil, Frey and Embrechts, Quantitative Risk Management, example 2.15; 1 < freedom."""
    if of.freedom <= 1:
        raise MeasureError(f"Student's t with {of.freedom} degrees of freedom has no mean loss")
    tail = float(1 - exact(level))
    edge = float(stats.t.ppf(tail, of.freedom))
    beyond = float(stats.t.pdf(edge, of.freedom)) / tail * (of.freedom + edge * edge)
    return -of.location + of.scale * beyond / (of.freedom - 1)


def variance_multiplier(days: int, autocorrelation: float = 0.0) -> float:
    """Variance of the sum of n daily changes over that of one: n + 2 sum (n - i) rho^i.

    Hull, Risk Management and Financial Institutions, 12.5: rho is the correlation of a change
    with the next, and that of changes i days apart is rho^i. Without any it is n.
    """
    if days < 1 or not -1 <= autocorrelation <= 1:
        raise MeasureError(
            f"{days} days, autocorrelation {autocorrelation}: give at least a day, and -1 to 1"
        )
    return days + 2 * math.fsum((days - i) * autocorrelation**i for i in range(1, days))


def scaled(of: Moments, days: int, autocorrelation: float = 0.0) -> Moments:
    """The moments of the sum of n daily gains, identically distributed.

    Mean x n, sigma x sqrt(n) (more with autocorrelation), skewness / sqrt(n) and kurtosis / n:
    the last two hold for independent days.
    """
    growth = math.sqrt(variance_multiplier(days, autocorrelation))
    root = math.sqrt(days)
    return Moments(of.mean * days, of.sigma * growth, of.skew / root, of.kurtosis / days)


class Measure(NamedTuple):
    """Value at risk and expected shortfall at one level over one horizon."""

    level: float
    days: int
    value_at_risk: float
    shortfall: float


def ladder(
    of: Moments, levels: Iterable[float], horizons: Iterable[int], autocorrelation: float = 0.0
) -> list[Measure]:
    """Cornish-Fisher (normal where skew and kurtosis are 0) at all levels and horizons."""
    days_of = list(horizons)
    return [
        Measure(
            float(exact(level)),
            days,
            modified_value_at_risk(over, level),
            modified_shortfall(over, level),
        )
        for level in levels
        for days, over in ((days, scaled(of, days, autocorrelation)) for days in days_of)
    ]


def linear_gain(exposures: object, covariance: object) -> Moments:
    """Delta-normal: the gain of exposures [n] to factors of mean 0 and covariance [n, n]."""
    held = checked(exposures, "exposures")
    spread = square(covariance, len(held), "covariance")
    return Moments(0.0, math.sqrt(max(float(held @ spread @ held), 0.0)))


def quadratic_gain(delta: object, gamma: object, covariance: object) -> Moments:
    """Delta-gamma: moments of delta'x + x'gamma x / 2, x normal with mean 0 and covariance.

    The cumulants are 1/2 tr(A), d'Sd + tr(A^2)/2, 3 d'S G S d + tr(A^3), 12 d'S G S G S d +
    3 tr(A^4) with A = G S (Jaschke 2002, The Cornish-Fisher expansion in the context of
    delta-gamma-normal approximations). delta [n], gamma [n, n], covariance [n, n].
    """
    slope = checked(delta, "delta")
    spread = square(covariance, len(slope), "covariance")
    bend = square(gamma, len(slope), "gamma")
    product = bend @ spread
    twice = product @ product
    seen = spread @ slope
    variance = float(slope @ seen + np.trace(twice) / 2)
    third = float(3 * seen @ bend @ seen + np.trace(twice @ product))
    fourth = float(12 * seen @ bend @ spread @ bend @ seen + 3 * np.trace(twice @ twice))
    mean = float(np.trace(product)) / 2
    if variance <= 0:
        return Moments(mean, 0.0)
    return Moments(mean, math.sqrt(variance), third / variance**1.5, fourth / variance**2)


def square(matrix: object, size: int, what: str) -> np.ndarray:
    """A matrix as float64 [size, size], finite; MeasureError where it is none."""
    found = np.asarray(matrix, np.float64)
    if found.shape != (size, size):
        raise MeasureError(f"{what}: shape {found.shape}: give {size} rows of {size} numbers")
    checked(found.ravel(), what)
    return found
