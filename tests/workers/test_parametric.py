"""Parametric measures against textbooks, against integrals and against simulation."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.data import data_file
from workers import parametric
from workers.parametric import Moments
from workers.quantiles import MeasureError

LEVELS = (0.9, 0.95, 0.975, 0.99, 0.995)


def published(kind):
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    return [case for case in cases if case["kind"] == kind]


def test_normal_gains_of_the_textbook():
    for case in published("parametric"):
        given, wanted = case["inputs"], case["expected"]
        of = (given["mean_gain"], given["sigma"], given["conf"])
        found = {
            "VaR": parametric.normal_value_at_risk(*of),
            "ES": parametric.normal_shortfall(*of),
        }
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value, abs=case["tol"]), case["id"]


def test_autocorrelated_days_of_the_textbook():
    for case in published("parametric_autocorr"):
        found = parametric.variance_multiplier(case["inputs"]["days"], case["inputs"]["rho"])
        assert found == pytest.approx(case["expected"]["variance_multiplier"], abs=case["tol"])


def test_two_shares_of_the_textbook():
    for case in published("parametric_portfolio"):
        given, wanted = case["inputs"], case["expected"]
        rho, vols = given["rho"], np.array(given["vols"])
        covariance = np.outer(vols, vols) * [[1, rho], [rho, 1]]
        day = parametric.linear_gain(given["values"], covariance)
        assert day.sigma == pytest.approx(wanted["sd1"], abs=case["tol"])
        assert day.sigma * given["z"] == pytest.approx(wanted["VaR1"], abs=case["tol"])
        ten = parametric.scaled(day, given["days"]).sigma * given["z"]
        assert ten == pytest.approx(wanted["VaR10"], abs=case["tol"])
        alone = []
        for value, variance in zip(given["values"], np.diag(covariance), strict=True):
            one = parametric.linear_gain([value], [[variance]])
            alone.append(parametric.scaled(one, given["days"]).sigma * given["z"])
        assert alone == pytest.approx(wanted["single10"], abs=case["tol"])
        benefit = sum(alone) - ten
        assert benefit == pytest.approx(wanted["diversification_benefit"], abs=case["tol"])


@pytest.mark.parametrize("level", [0.95, 0.96, 0.98, 0.992, 0.999])
def test_every_level_has_its_own_quantile(level):
    assert parametric.normal_value_at_risk(0, 1, level) == pytest.approx(stats.norm.isf(1 - level))
    beyond = integrate.quad(lambda x: x * stats.norm.pdf(x), stats.norm.ppf(level), np.inf)[0]
    assert parametric.normal_shortfall(0, 1, level) == pytest.approx(beyond / (1 - level))


def test_a_short_book_loses_like_a_long_one():
    long = parametric.linear_gain([100.0], [[0.0004]])
    assert long == parametric.linear_gain([-100.0], [[0.0004]]) == Moments(0, 2.0)


@settings(max_examples=200)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_moments_are_those_of_the_sample(values):
    found = parametric.moments(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-15)
    assert found.sigma == pytest.approx(np.std(values), rel=1e-9, abs=1e-15)
    if found.sigma > 1e-6:
        assert found.skew == pytest.approx(stats.skew(values), rel=1e-7, abs=1e-7)
        assert found.kurtosis == pytest.approx(stats.kurtosis(values), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("h", [-3.0, -1.7, 0.0, 0.8])
def test_the_edgeworth_tail_is_the_integral_of_its_density(h):
    skew, kurtosis = -0.4, 1.2

    def lost(z):
        hermite = 1 + skew / 6 * (z**3 - 3 * z) + kurtosis / 24 * (z**4 - 6 * z * z + 3)
        hermite += skew**2 / 72 * (z**6 - 15 * z**4 + 45 * z * z - 15)
        return -z * stats.norm.pdf(z) * hermite

    wanted = integrate.quad(lost, -np.inf, h)[0]
    assert parametric.edgeworth_tail(h, skew, kurtosis) == pytest.approx(wanted, rel=1e-7)


@given(st.floats(-0.3, 0.3), st.floats(0, 1), st.sampled_from(LEVELS))
def test_modified_measures_are_in_order(skew, kurtosis, level):
    of = Moments(0.001, 0.01, skew, kurtosis)
    assert parametric.modified_shortfall(of, level) >= parametric.modified_value_at_risk(of, level)
    calm = Moments(0.001, 0.01)
    assert parametric.modified_value_at_risk(calm, level) == pytest.approx(
        parametric.normal_value_at_risk(0.001, 0.01, level)
    )
    assert parametric.modified_shortfall(calm, level) == pytest.approx(
        parametric.normal_shortfall(0.001, 0.01, level)
    )


def test_a_ladder_of_levels_and_horizons():
    day = Moments(0.0, 0.02, -0.5, 3.0)
    rungs = parametric.ladder(day, [0.95, 0.99], iter([1, 10]), 0.12)
    assert [(rung.level, rung.days) for rung in rungs] == [
        (0.95, 1), (0.95, 10), (0.99, 1), (0.99, 10)
    ]  # fmt: skip
    assert rungs[2].value_at_risk == parametric.modified_value_at_risk(day, 0.99)
    ten = Moments(0.0, 0.02 * math.sqrt(12.417), -0.5 / math.sqrt(10), 0.3)
    assert rungs[3].value_at_risk == pytest.approx(
        parametric.modified_value_at_risk(ten, 0.99), rel=1e-4
    )
    assert rungs[3].shortfall == pytest.approx(parametric.modified_shortfall(ten, 0.99), rel=1e-4)


def test_independent_days_grow_by_the_root_of_time():
    assert [parametric.variance_multiplier(days) for days in (1, 5, 250)] == [1, 5, 250]
    assert parametric.variance_multiplier(7, 1.0) == 49
    assert parametric.variance_multiplier(2, -1.0) == 0


def test_delta_gamma_moments_are_those_of_a_simulation():
    source = np.random.default_rng(11)
    root = source.normal(size=(3, 3)) / 10
    covariance = root @ root.T
    delta = np.array([1.0, -2.0, 0.5])
    gamma = np.diag([-3.0, 1.0, 4.0]) + 0.5
    moves = source.multivariate_normal(np.zeros(3), covariance, 400_000, method="cholesky")
    gains = moves @ delta + 0.5 * np.einsum("ij,jk,ik->i", moves, gamma, moves)
    found, seen = parametric.quadratic_gain(delta, gamma, covariance), parametric.moments(gains)
    assert found.mean == pytest.approx(seen.mean, abs=4 * seen.sigma / math.sqrt(len(gains)))
    assert found.sigma == pytest.approx(seen.sigma, rel=0.01)
    assert found.skew == pytest.approx(seen.skew, abs=0.03)
    assert found.kurtosis == pytest.approx(seen.kurtosis, abs=0.12)
    lost = -np.quantile(gains, 0.01)
    assert parametric.modified_value_at_risk(found, 0.99) == pytest.approx(lost, rel=0.02)


def test_delta_gamma_without_gamma_is_delta_normal():
    covariance = [[0.04, 0.01], [0.01, 0.09]]
    flat = parametric.quadratic_gain([1, 2], np.zeros((2, 2)), covariance)
    assert flat == parametric.linear_gain([1, 2], covariance)
    still = parametric.quadratic_gain([1, 2], np.eye(2), np.zeros((2, 2)))
    assert still == Moments(0, 0)


def test_student_t_of_known_numbers():
    of = parametric.StudentT(4.0, 0.001, 0.01)
    assert parametric.student_value_at_risk(of, 0.99) == pytest.approx(0.03646947, abs=1e-8)
    beyond = integrate.quad(
        lambda p: -stats.t.ppf(p, 4.0, 0.001, 0.01), 0, 0.01, epsabs=1e-12
    )[0]  # fmt: skip
    assert parametric.student_shortfall(of, 0.99) == pytest.approx(beyond / 0.01, rel=1e-4)
    sample = stats.t.rvs(4, 0.001, 0.01, 4000, random_state=np.random.default_rng(1))
    fitted = parametric.fit_student_t(sample)
    assert fitted.freedom == pytest.approx(4, rel=0.15)
    assert fitted.scale == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: parametric.normal_value_at_risk(0, -1, 0.99), "sigma -1"),
        (lambda: parametric.normal_shortfall(0, math.nan, 0.99), "sigma nan"),
        (lambda: parametric.variance_multiplier(0), "0 days"),
        (lambda: parametric.variance_multiplier(3, 1.5), "autocorrelation 1.5"),
        (lambda: parametric.linear_gain([1, 2], np.eye(3)), r"covariance: shape \(3, 3\)"),
        (lambda: parametric.quadratic_gain([1], [[math.nan]], [[1]]), "gamma: nan"),
        (lambda: parametric.student_shortfall(parametric.StudentT(1, 0, 1), 0.9), "no mean loss"),
    ],
)
def test_what_has_no_measure_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
