"""Weights by age and by volatility, against the textbook, fractions and plain loops."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import data_file
from tests.naive import quantiles as naive
from workers import conventions, weighted
from workers.quantiles import MeasureError

RETURNS = st.lists(st.integers(-64, 64).map(lambda n: n / 256), min_size=1, max_size=40)


def published(kind):
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    return [case for case in cases if case["kind"] == kind]


def textbook_profits():
    """Hull's 500 scenarios: the 15 that lost most, at their numbers, among harmless ones."""
    (case,) = published("historical_ranked")
    profits = np.zeros(case["inputs"]["n"])
    numbers = np.array(case["inputs"]["scenario_no"]) - 1
    profits[numbers] = -np.array(case["inputs"]["worst_losses_k"])
    return profits


@pytest.mark.parametrize(
    ("decay", "wanted"), [(0.995, (282.204, 400.914)), (0.99, (345.435, 470.917))]
)
def test_weights_by_age_give_the_numbers_of_the_textbook(decay, wanted):
    """Hull, Risk Management and Financial Institutions 4e, 13.3, and the problem after it."""
    found = weighted.age_weighted(textbook_profits(), decay, 0.99)
    assert found == pytest.approx(wanted, abs=6e-4)


@settings(max_examples=200)
@given(RETURNS, st.integers(0, 2**32), st.sampled_from([0.5, 0.9, 0.975, 0.99]))
def test_weighted_tails_count_weights_one_by_one(returns, seed, level):
    shares = np.random.default_rng(seed).integers(0, 9, len(returns)) + (
        np.arange(len(returns)) == 0
    )
    exact = [Fraction(int(share), int(shares.sum())) for share in shares]
    value, shortfall = weighted.weighted_tail(returns, shares / shares.sum(), level)
    wanted = naive.weighted_value_at_risk(returns, exact, Fraction(str(level)))
    assert value == float(wanted)
    wanted = float(naive.weighted_shortfall(returns, exact, Fraction(str(level))))
    assert shortfall == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    assert shortfall >= value


@settings(max_examples=100)
@given(RETURNS, st.sampled_from([0.5, 0.9, 0.975, 0.99]))
def test_equal_weights_are_the_plain_measures(returns, level):
    value, shortfall = weighted.age_weighted(returns, 1.0, level)
    assert value == conventions.value_at_risk(returns, level)
    wanted = conventions.expected_shortfall(returns, level)
    assert shortfall == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_weights_fall_by_the_decay_and_sum_to_one():
    weights = weighted.age_weights(500, 0.995)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)
    assert weights[0] == pytest.approx(0.995**499 * 0.005 / (1 - 0.995**500), rel=1e-12)
    assert (weights[:-1] / weights[1:]).tolist() == pytest.approx([0.995] * 499)


@settings(max_examples=60)
@given(RETURNS, st.sampled_from([0.94, 0.97, 0.5]), st.booleans())
def test_ewma_is_the_weighted_mean_of_squares(returns, decay, normalised):
    start = weighted.NORMALISED if normalised else weighted.FIRST_SQUARE
    wanted = math.sqrt(naive.ewma_variance(returns, decay, normalised))
    assert weighted.ewma_sigma(returns, decay, start) == pytest.approx(wanted, rel=1e-12)


def test_one_step_of_the_textbook():
    for case in published("ewma"):
        given = case["inputs"]
        decay = given["lam"]
        step = weighted.garch_sigma(given["sigma_prev"], given["u"], 0, 1 - decay, decay)
        pair = [given["sigma_prev"], given["u"]]
        assert step == pytest.approx(case["expected"]["sigma"], abs=case["tol"])
        assert weighted.ewma_sigma(pair, decay) == pytest.approx(step, rel=1e-14)
    for case in published("garch"):
        given = case["inputs"]
        step = weighted.garch_sigma(
            given["sigma_prev"], given["u"], given["omega"], given["alpha"], given["beta"]
        )
        assert step == pytest.approx(case["expected"]["sigma"], abs=case["tol"])


def test_old_returns_come_at_todays_volatility():
    """A calm year, then a wild month: plain history knows no such losses, the rescaled one does."""
    source = np.random.default_rng(2)
    returns = np.concatenate([source.normal(0, 0.005, 250), source.normal(0, 0.03, 20)])
    now = weighted.rescaled(returns, 0.94)
    assert len(now) == len(returns) - 1
    assert now[:200].std() > 3 * returns[:200].std()
    sigmas = weighted.ewma_sigmas(returns, 0.94)
    assert now[9] == pytest.approx(returns[10] * sigmas[-1] / sigmas[9])
    assert weighted.rescaled(returns, 0.94, now=sigmas[-1] * 2) == pytest.approx(now * 2)
    steady = np.array([0.01, -0.01] * 50)
    assert weighted.rescaled(steady, 0.94) == pytest.approx(steady[1:])


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: weighted.ewma_sigma([0.1], 1.0), "decay 1.0"),
        (lambda: weighted.ewma_sigma([0.1], 0.9, "zero"), "start 'zero'"),
        (lambda: weighted.ewma_sigma([0.1, math.nan], 0.9), "nan at index 1"),
        (lambda: weighted.age_weights(10, 0.0), "decay 0.0"),
        (lambda: weighted.weighted_tail([1, 2], [1], 0.9), "1 weights for 2 returns"),
        (lambda: weighted.weighted_tail([1, 2], [1, 1], 0.9), "sum to 2.0"),
        (lambda: weighted.weighted_tail([1, 2], [2, -1], 0.9), "none below 0"),
        (lambda: weighted.rescaled([0.1], 0.9), "one return"),
        (lambda: weighted.rescaled([0.0, 0.0, 0.1], 0.9), "no volatility up to index 1"),
    ],
)
def test_what_cannot_be_weighted_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
