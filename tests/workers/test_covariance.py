"""Covariances: certified digits, repairs that say so, and roots of whatever is a covariance."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import data_file
from workers import covariance
from workers.quantiles import MeasureError


def reference(identity):
    cases = json.loads(data_file("risk/covariance.json").read_text())
    return next(case for case in cases if case["id"] == identity)


def test_a_matrix_that_is_none_is_repaired_to_the_printed_digits():
    case = reference("CV1")
    found = covariance.salvage(case["corr"])
    assert found.repaired
    assert found.least < 0
    assert np.abs(found.matrix - case["spectral"]).max() < case["tol"]
    assert found.changed == pytest.approx(0.9 - case["spectral"][0][1], abs=1e-9)
    assert str(found).startswith("repaired: least eigenvalue was -0.00")
    assert np.linalg.eigvalsh(found.matrix)[0] > -1e-12


def test_a_covariance_keeps_its_variances_when_it_is_repaired():
    scale = np.array([0.01, 0.2, 3.0])
    given = np.outer(scale, scale) * [[1, 0.9, 0.7], [0.9, 1, 0.3], [0.7, 0.3, 1]]
    found = covariance.salvage(given)
    assert found.repaired
    assert np.diag(found.matrix).tolist() == np.diag(given).tolist()
    change = found.matrix - given
    assert found.moved == pytest.approx(math.sqrt((change**2).sum()))


def test_what_is_a_covariance_is_left_as_it_is():
    given = np.array([[0.04, 0.01], [0.01, 0.09]])
    found = covariance.salvage(given)
    assert not found.repaired
    assert found.matrix.tolist() == given.tolist()
    assert str(found) == "positive semi-definite as given"


def test_a_correlation_of_printed_numbers():
    case = reference("CV3")
    found = covariance.correlation(case["data"])
    assert found[0, 1] == pytest.approx(case["corr01"], abs=case["tol"])
    assert np.diag(found).tolist() == [1, 1]


@pytest.mark.parametrize("large", [1_000_000, 10_000_000])
def test_certified_deviations_about_a_large_mean(large):
    """NIST StRD NumAcc3 and NumAcc4: a standard deviation of 0.1 about 1e6 and 1e7."""
    values = np.array([large + 0.2] + [large + 0.1, large + 0.3] * 500)
    if large == 1_000_000:
        case = reference("NIST1")
        assert (case["mean"], case["std"]) == (large + 0.2, 0.1)
    streaming = covariance.Streaming(1)
    for value in values:
        streaming.add([value])
    for found in (covariance.covariance(values[:, None]), streaming.covariance()):
        assert math.sqrt(found[0, 0]) == pytest.approx(0.1, rel=large * 1e-14)
    assert streaming.mean[0] == pytest.approx(large + 0.2, rel=1e-15)
    naive = np.mean(values**2) - np.mean(values) ** 2  # the formula that is not to be used
    assert abs(naive - 0.01) > 1e-5


def test_the_mean_itself_is_corrected():
    """About 2^50 the mean is off by as much as the deviations are, and its square would stay."""
    moves = np.random.default_rng(5).integers(0, 4, 999) / 4
    exact = [Fraction(move) for move in moves]
    mean = sum(exact) / len(exact)
    wanted = float(sum((move - mean) ** 2 for move in exact) / (len(exact) - 1))
    assert covariance.covariance(2.0**50 + moves[:, None])[0, 0] == pytest.approx(wanted, rel=1e-9)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 5))
def test_both_ways_are_numpys(seed, days, series):
    rows = np.random.default_rng(seed).normal(3, 0.1, (days, series))
    wanted = np.atleast_2d(np.cov(rows.T))
    assert covariance.covariance(rows) == pytest.approx(wanted, rel=1e-10, abs=1e-14)
    assert covariance.covariance(rows, unbiased=False) == pytest.approx(
        wanted * (days - 1) / days, rel=1e-10, abs=1e-14
    )
    streaming = covariance.Streaming(series)
    for row in rows:
        streaming.add(row)
    assert streaming.covariance() == pytest.approx(wanted, rel=1e-9, abs=1e-13)


def test_ewma_is_the_weighted_sum_written_out():
    rows = np.random.default_rng(1).normal(size=(30, 3))
    weights = [0.94 ** (29 - day) for day in range(30)]
    wanted = sum(w * np.outer(row, row) for w, row in zip(weights, rows, strict=True))
    found = covariance.ewma_covariance(rows, 0.94)
    assert found == pytest.approx(wanted / sum(weights), rel=1e-12)
    assert np.linalg.eigvalsh(found)[0] > 0


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(1, 8))
def test_every_covariance_has_both_roots(seed, days, series):
    """Fewer days than series and series that never move, too."""
    source = np.random.default_rng(seed)
    rows = source.normal(size=(days, series)) * source.choice([0, 0.01, 5], series)
    given = covariance.covariance(rows)
    scale = max(np.abs(given).max(), 1e-300)
    lower, said = covariance.cholesky(given)
    assert not said.repaired
    assert np.allclose(lower @ lower.T, given, atol=1e-9 * scale)
    assert (np.triu(lower, 1) == 0).all()
    wide, _ = covariance.principal(given)
    assert np.allclose(wide @ wide.T, given, atol=1e-12 * scale)
    lengths = (wide**2).sum(axis=0)
    assert (np.diff(lengths) <= 1e-12 * scale).all()


def test_the_root_of_a_definite_matrix_is_numpys():
    rows = np.random.default_rng(3).normal(size=(50, 6))
    given = covariance.covariance(rows)
    assert covariance.cholesky(given)[0] == pytest.approx(np.linalg.cholesky(given), rel=1e-10)


def test_a_root_of_what_is_no_covariance_says_that_it_is_of_another():
    given = np.array([[1, 0.9, 0.7], [0.9, 1, 0.3], [0.7, 0.3, 1]])
    for root, said in (covariance.cholesky(given), covariance.principal(given)):
        assert said.repaired
        assert 0 < said.changed < 0.01
        assert root @ root.T == pytest.approx(said.matrix, abs=1e-10)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: covariance.covariance([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: covariance.covariance([[1.0, 2.0], [math.nan, 1.0]]), "nan in row 1, column 0"),
        (lambda: covariance.correlation([[1.0, 2.0], [1.0, 3.0]]), "series 0 has variance 0"),
        (lambda: covariance.ewma_covariance([[1.0], [2.0]], 1.5), "decay 1.5"),
        (lambda: covariance.salvage([[1.0, 0.5]]), r"shape \(1, 2\)"),
        (lambda: covariance.salvage([[1.0, 0.5], [0.4, 1.0]]), "differ by 0.1"),
        (lambda: covariance.salvage([[1.0, math.inf], [math.inf, 1.0]]), r"inf at \(0, 1\)"),
        (lambda: covariance.cholesky([[-1.0]]), "variance -1.0 of series 0"),
        (lambda: covariance.Streaming(2).add([1.0]), "give 2 finite returns"),
        (lambda: covariance.Streaming(1).add([math.nan]), "day 0"),
        (lambda: covariance.Streaming(1).covariance(), "0 days"),
    ],
)
def test_what_has_no_covariance_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
