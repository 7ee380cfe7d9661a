"""Exponential, logarithm and the normal distribution, against 60 digits and other people's."""

import math
import random
from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import special

from ringbuf.jit import compiled, kernel
from tests.naive import options as naive
from workers.kernels import normal

ULP = 2.0**-52
COUNT = 1_000 if compiled() else 150
OUTSIDE = (math.inf, -math.inf, math.nan)


@kernel
def exp(power):
    return normal.exp(power)


@kernel
def exp_pair(power):
    return normal.exp_pair(power)


@kernel
def log(value):
    return normal.log(value)


@kernel
def log_ratio(dividend, divisor):
    return normal.log_ratio(dividend, divisor)


@kernel
def log_parts(value):
    return normal.log_parts(value)


@kernel
def pdf(value):
    return normal.pdf(value)


@kernel
def cdf(value):
    return normal.cdf(value)


@kernel
def mills(y):
    return normal.mills(y)


@kernel
def mills_pair(near, far):
    return normal.mills_pair(near, far)


@pytest.fixture(autouse=True)
def _digits():
    with localcontext() as context:
        context.prec = naive.DIGITS + 20
        context.Emin, context.Emax = -999_999, 999_999
        yield


def off(found, exact):
    """The relative error."""
    return float(abs(Decimal(float(found)) / exact - 1))


def draws(*ranges):
    """Values out of each range in turn, always the same."""
    draw = random.Random(1)
    return [draw.uniform(*ranges[number % len(ranges)]) for number in range(COUNT)]


def test_exponentials():
    for power in draws((-708, 709), (-2, 2), (-1e-6, 1e-6)):
        assert off(exp(power), Decimal(power).exp()) < ULP
        whole, less_1 = exp_pair(power / 2)
        assert off(whole, Decimal(power / 2).exp()) < ULP
        assert off(less_1, Decimal(power / 2).exp() - 1) < 1.5 * ULP
    assert exp(0.0) == 1.0
    assert exp_pair(0.0) == (1.0, 0.0)
    assert exp(-745.2) == exp(-math.inf) == 0.0
    assert exp(-745.1) == 5e-324
    assert exp(709.79) == exp(math.inf) == math.inf
    assert math.isnan(exp(math.nan))


def test_logarithms():
    draw = random.Random(2)
    for power in draws((-700, 700), (-1, 1), (-1e-9, 1e-9)):
        value = math.exp(power)
        if value != 1.0:
            assert off(log(value), Decimal(value).ln()) < 1.5 * ULP
        dividend = math.exp(draw.uniform(-200, 200))
        divisor = dividend * math.exp(power / 10)
        if divisor != dividend:
            exact = (Decimal(dividend) / Decimal(divisor)).ln()
            assert off(log_ratio(dividend, divisor), exact) < 2 * ULP
    assert log(1.0) == log_ratio(7.3, 7.3) == 0.0
    assert log(0.0) == -math.inf
    assert log(math.inf) == math.inf
    assert log(5e-324) == pytest.approx(-744.4400719213812, rel=ULP)
    assert log(1.7e308) == pytest.approx(math.log(1.7e308), rel=ULP)
    for value in (-1.0, -math.inf, math.nan):
        assert math.isnan(log(value))


def test_a_logarithm_in_two_parts_has_digits_to_subtract():
    for power in draws((-200, 200), (-1, 1)):
        value = math.exp(power)
        whole, rest = log_parts(value)
        assert float(abs(Decimal(whole) + Decimal(rest) - Decimal(value).ln())) < 4e-18


def test_the_density():
    for value in draws((-38, 38), (-3, 3)):
        exact = naive.density(Decimal(value))
        if exact > Decimal(2) ** -1022:
            assert off(pdf(value), exact) < 2 * ULP
    assert pdf(39.0) == pdf(-1e300) == pdf(math.inf) == pdf(-math.inf) == 0.0
    assert math.isnan(pdf(math.nan))


def test_the_distribution_to_the_last_digits_of_its_tail():
    for value in draws((-37.5, 0), (-8, 8)):
        assert off(cdf(value), naive.cdf(value)) < 1e-15
    assert cdf(0.0) == pytest.approx(0.5, abs=ULP)
    assert cdf(-40.0) == cdf(-math.inf) == 0.0
    assert cdf(9.0) == cdf(math.inf) == 1.0
    assert math.isnan(cdf(math.nan))


def test_the_distribution_against_those_of_others():
    """Theirs are less exact far out, which is why the bounds are as wide as they are."""
    values = np.linspace(-37.4, 8, 20_001 if compiled() else 301)
    found = np.empty_like(values)
    normal.cdfs(values, found)
    assert np.allclose(found, special.ndtr(values), rtol=3e-13, atol=0)
    assert np.allclose(np.log(found), special.log_ndtr(values), rtol=3e-15, atol=3e-16)
    erfc = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in values.tolist()])
    assert np.allclose(found, erfc, rtol=3e-13, atol=0)
    assert (np.diff(found) >= 0).all(), "the distribution falls somewhere"


def test_mills_ratio_and_its_divided_difference():
    draw = random.Random(3)
    for near in draws((normal.LOWEST, 1), (0, 40)):
        far = near + math.exp(draw.uniform(-30, 3))
        if far == near:
            continue
        ratios = [naive.cdf(-y) / naive.density(Decimal(y)) for y in (near, far)]
        first, second, fall = mills_pair(near, far)
        assert off(mills(near), ratios[0]) < 2e-15
        assert off(first, ratios[0]) < 2e-15
        assert off(second, ratios[1]) < 3e-15
        assert off(fall, (ratios[0] - ratios[1]) / (Decimal(far) - Decimal(near))) < 4e-15


def test_the_divided_difference_of_one_point_is_the_slope():
    for y in (0.0, 0.5, 7.0):
        slope = 1 - Decimal(y) * naive.cdf(-y) / naive.density(Decimal(y))
        assert off(mills_pair(y, y)[2], slope) < 3e-15


def test_far_beyond_everything():
    first, second, fall = mills_pair(1e8, 2e8)
    assert first == pytest.approx(1e-8, rel=1e-14)
    assert second == pytest.approx(5e-9, rel=1e-14)
    assert fall == pytest.approx(5e-17, rel=1e-14)
    for odd in OUTSIDE[2:]:
        assert all(map(math.isnan, mills_pair(odd, odd)))
