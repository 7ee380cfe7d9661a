"""Quantiles against the definitions written out, and against numpy's."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive import quantiles as naive
from workers.quantiles import (
    NUMPY_METHODS,
    MeasureError,
    checked,
    exact,
    quantile,
    tail_rank,
    tail_size,
)

VALUES = st.lists(st.integers(-50, 50).map(lambda n: n / 8), min_size=1, max_size=30)
PROBABILITIES = st.fractions(0, 1, max_denominator=40) | st.sampled_from([Fraction(1, 100)])
AS_NUMPY = dict(zip(range(1, 10), NUMPY_METHODS, strict=False))


@pytest.mark.parametrize("kind", range(1, 10))
def test_types_part_on_ranks_and_half_way_between_them(kind):
    for count in range(1, 9):
        values = [1.5 * rank for rank in range(count)]
        for halves in range(2 * count + 1):
            p = Fraction(halves, 2 * count)
            wanted = float(naive.quantile(values, p, kind))
            assert quantile(values, p, kind) == pytest.approx(wanted, abs=1e-14), (count, p)


@settings(max_examples=300)
@given(VALUES, PROBABILITIES, st.integers(1, 9))
def test_every_type_is_its_definition(values, p, kind):
    assert quantile(values, p, kind) == pytest.approx(
        float(naive.quantile(values, p, kind)), rel=1e-14, abs=1e-14
    )


@settings(max_examples=300)
@given(st.integers(2, 400), st.integers(1, 999), st.integers(1, 9), st.integers(0, 2**32))
def test_in_floating_point_the_types_are_numpys(count, thousandths, kind, seed):
    values = np.random.default_rng(seed).standard_t(3, count)
    p = thousandths / 1000
    theirs = np.quantile(values, p, method=AS_NUMPY[kind])
    if count * thousandths % 1000 and (2 * count * thousandths) % 1000:  # else each rounds its way
        assert quantile(values, p, kind) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_a_whole_tail_is_whole():
    """1 - 0.99 is a little more than 0.01 in floating point: R and numpy take one rank more."""
    losses = np.arange(1, 1001.0)
    assert 1000 * (1 - 0.99) > 10
    assert quantile(losses, 1 - 0.99, 1) == np.quantile(losses, 1 - 0.99, method="inverted_cdf")
    assert quantile(losses, 1 - 0.99, 1) == 11
    assert quantile(losses, 1 - exact(0.99), 1) == 10
    assert tail_rank(1000, 0.99) == 10
    assert tail_size(250, "0.975") == Fraction(25, 4)
    assert tail_rank(250, 0.975) == 7
    assert tail_rank(1, 0.99) == tail_rank(100, 0.99) == 1
    assert all(tail_rank(n * 1000, 0.999) == n for n in range(1, 500))


@pytest.mark.parametrize("kind", range(1, 10))
def test_one_number_and_equal_numbers(kind):
    for p in (0.0, 0.01, 0.5, 1.0, Fraction(1, 100), Fraction(1)):
        assert quantile([0.3], p, kind) == 0.3
        assert quantile([-0.1] * 7, p, kind) == -0.1


@pytest.mark.parametrize("kind", range(1, 10))
def test_the_ends_are_the_least_and_the_greatest(kind):
    assert quantile([3, 1, 2], 0.0, kind) == 1
    assert quantile([3, 1, 2], 1.0, kind) == 3


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], r"shape \(0,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([1.0, math.nan, 2.0, math.nan], r"nan at index 1 \(2 of 4"),
        ([1.0, 2.0, math.inf], "inf at index 2"),
    ],
)
def test_what_is_no_series_is_refused(values, found):
    with pytest.raises(MeasureError, match=found):
        checked(values)


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, "much", "nan", Fraction(3, 2)])
def test_what_is_no_level_is_refused(level):
    with pytest.raises(MeasureError, match="level"):
        exact(level)


def test_what_is_no_type_or_probability_is_refused():
    with pytest.raises(MeasureError, match="type 0"):
        quantile([1.0], 0.5, 0)
    with pytest.raises(MeasureError, match="probability"):
        quantile([1.0], 1.5, 7)
