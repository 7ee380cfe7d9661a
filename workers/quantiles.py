"""Quantiles of a sample by each published definition, and the exact size of a tail.

A level such as 0.99 is meant as the decimal that is written: 1 - 0.99 is 1/100 here, and the tail
of 1,000 returns is exactly 10 of them. In floating point 1 - 0.99 is a little more than 0.01, and
1,000 x that a little more than 10, so that other libraries step over the edge of a whole tail and
take the next loss. Functions of this module take a probability as a Fraction, and then do what
the definition says, or as a float, and then do what the library does.
"""

import math
from fractions import Fraction

import numpy as np

TYPES = range(1, 10)
FUZZ = 4 * np.finfo(np.float64).eps  # R takes positions as near as this for whole
# Hyndman and Fan's (a, b) of the continuous types: position a + p (n + 1 - a - b).
PLOTTING = {
    4: (Fraction(0), Fraction(1)),
    5: (Fraction(1, 2), Fraction(1, 2)),
    6: (Fraction(0), Fraction(0)),
    7: (Fraction(1), Fraction(1)),
    8: (Fraction(1, 3), Fraction(1, 3)),
    9: (Fraction(3, 8), Fraction(3, 8)),
}
NUMPY_METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher",
    "midpoint", "nearest",
)  # fmt: skip


class MeasureError(ValueError):
    """What cannot be measured: where, what was found, how to mend it."""


def checked(values: object, what: str = "returns") -> np.ndarray:
    """The values as float64 [n], n > 0, all finite; MeasureError says which one is not."""
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not len(found):
        raise MeasureError(f"{what}: shape {found.shape}: give one row of at least one number")
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise MeasureError(
            f"{what}: {found[bad[0]]} at index {bad[0]} ({len(bad)} of {len(found)} are no "
            "numbers): fill or drop them before, for a gap is no return of 0"
        )
    return found


def exact(level: float | str | Fraction) -> Fraction:
    """A confidence level as the decimal that was written: 0.99 is 99/100. Between 0 and 1."""
    try:
        found = level if isinstance(level, Fraction) else Fraction(str(level))
    except ValueError:
        found = Fraction(0)
    if not 0 < found < 1:
        raise MeasureError(f"level {level}: give a number between 0 and 1, such as 0.99")
    return found


def tail_size(count: int, level: float | str | Fraction) -> Fraction:
    """n (1 - c): how many of n returns lie beyond the level, a fraction, exactly."""
    return count * (1 - exact(level))


def tail_rank(count: int, level: float | str | Fraction) -> int:
    """k = ceil(n (1 - c)): value at risk is the k-th worst loss; 1 where the tail is less."""
    return math.ceil(tail_size(count, level))


def quantile(values: object, probability: float | Fraction, type: int) -> float:  # noqa: A002
    """The quantile by one of R's types 1 to 9 (Hyndman and Fan 1996); float64 [n] to a number.

    A probability that is a Fraction gives the definition exactly. A float gives what R's
    `quantile` gives, with its rounding and its `fuzz`.
    """
    if type not in TYPES:
        raise MeasureError(f"quantile type {type}: there are R's types 1 to 9")
    if not 0 <= probability <= 1:
        raise MeasureError(f"probability {probability}: give a number from 0 to 1")
    ranked = np.sort(checked(values))
    fuzz = 0 if isinstance(probability, Fraction) else FUZZ
    if type == 7:
        return linear(ranked, probability)
    whole, part = position(len(ranked), probability, type, fuzz)
    low = ranked[min(max(whole, 1), len(ranked)) - 1]
    high = ranked[min(max(whole + 1, 1), len(ranked)) - 1]
    return between(float(low), float(high), part)


def position(
    count: int, probability: float | Fraction, type: int, fuzz: float  # noqa: A002
) -> tuple[int, float]:  # fmt: skip
    """The rank (from 1) before the quantile, and how far it is on the way to the next."""
    if type > 3:
        a, b = (as_kind(value, probability) for value in PLOTTING[type])
        place = a + probability * (count + 1 - a - b)
        whole = math.floor(place + fuzz)
        part = float(place - whole)
        return whole, 0.0 if abs(part) < fuzz else part
    place = count * probability - (as_kind(Fraction(1, 2), probability) if type == 3 else 0)
    whole = math.floor(place + fuzz)
    if type == 1:
        return whole, float(place > whole)
    if type == 2:
        return whole, 1.0 if place > whole else 0.5
    return whole, float(place != whole or whole % 2 == 1)


def as_kind(value: Fraction, like: float | Fraction) -> float | Fraction:
    """The value in the arithmetic of another: exact beside a Fraction, else floating."""
    return value if isinstance(like, Fraction) else float(value)


def linear(ranked: np.ndarray, probability: float | Fraction) -> float:
    """Type 7, R's and numpy's default: linear between the ranks around 1 + p (n - 1)."""
    place = (len(ranked) - 1) * probability
    whole = math.floor(place)
    high = ranked[min(whole + 1, len(ranked) - 1)]
    return between(float(ranked[whole]), float(high), float(place - whole))


def between(low: float, high: float, part: float) -> float:
    """A point on the way from low to high; equal ends give that very number."""
    if part == 0 or low == high:
        return low
    return high if part == 1 else (1 - part) * low + part * high
