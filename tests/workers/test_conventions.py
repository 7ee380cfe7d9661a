"""Conventions against definitions, textbooks and QuantLib; `corelane verify var` has the rest."""

import csv
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import QuantLib
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import data_file
from tests.naive import quantiles as naive
from workers import conventions
from workers.conventions import (
    CONVENTIONS,
    DEFAULT,
    expected_shortfall,
    value_at_risk,
)
from workers.quantiles import NUMPY_METHODS, MeasureError

LEVELS = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99, 0.999])
RETURNS = st.lists(st.integers(-400, 400).map(lambda n: n / 1024), min_size=1, max_size=60)
WITH_SHORTFALL = [name for name, found in CONVENTIONS.items() if found.shortfall]


def random_returns(seed, count=300):
    return np.random.default_rng(seed).standard_t(4, count) / 100


@settings(max_examples=300)
@given(RETURNS, LEVELS)
def test_the_default_is_the_loss_that_is_not_exceeded_and_the_mean_beyond_it(returns, level):
    exact = Fraction(str(level))
    assert value_at_risk(returns, level) == float(naive.value_at_risk(returns, exact))
    wanted = float(naive.expected_shortfall(returns, exact))
    assert expected_shortfall(returns, level) == pytest.approx(wanted, rel=1e-14, abs=1e-15)


@settings(max_examples=300)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), LEVELS)
def test_shortfall_is_never_below_value_at_risk(returns, level):
    assert expected_shortfall(returns, level) >= value_at_risk(returns, level)


@settings(max_examples=100)
@given(st.integers(0, 2**32), LEVELS, st.integers(1, 200))
def test_shortfall_of_two_books_is_at_most_the_sum_of_theirs(seed, level, count):
    source = np.random.default_rng(seed)
    first, second = source.standard_t(2, (2, count)) * source.choice([-1, 1, 3], (2, 1))
    together = expected_shortfall(first + second, level)
    apart = expected_shortfall(first, level) + expected_shortfall(second, level)
    assert together <= apart + 1e-12 * (1 + abs(apart))


@settings(max_examples=100)
@given(st.integers(0, 2**32), LEVELS, st.sampled_from([DEFAULT, "R type 7"]))
def test_measures_scale_and_shift_with_the_book(seed, level, name):
    returns = random_returns(seed, 80)
    measures = [value_at_risk] + [expected_shortfall] * (name == DEFAULT)
    for measure in measures:
        once = measure(returns, level, name)
        assert measure(returns * 8, level, name) == once * 8  # by a power of two: no rounding
        assert measure(returns * 3, level, name) == pytest.approx(3 * once, rel=1e-13)
        assert measure(returns + 0.25, level, name) == pytest.approx(once - 0.25, abs=1e-14)


@pytest.mark.parametrize("name", [DEFAULT, "R type 7", "numpy hazen", "empyrical", "riskfolio"])
def test_a_higher_level_never_loses_less(name):
    returns = random_returns(5)
    losses = [value_at_risk(returns, level / 1000, name) for level in range(900, 1000)]
    assert losses == sorted(losses)
    if name == DEFAULT:
        deeper = [expected_shortfall(returns, level / 1000) for level in range(900, 1000)]
        assert deeper == sorted(deeper)


def test_value_at_risk_is_not_sub_additive():
    """Two loans that fail on different days: each alone is safe at 99 %, both are not."""
    first, second = np.zeros(1000), np.zeros(1000)
    first[:9] = second[9:18] = -10
    assert value_at_risk(first, 0.99) == value_at_risk(second, 0.99) == 0
    assert value_at_risk(first + second, 0.99) == 10
    assert expected_shortfall(first, 0.99) == 9
    assert expected_shortfall(first + second, 0.99) == 10


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(30, 300), st.sampled_from([0.9, 0.95, 0.975, 0.99]))
def test_quantlib_is_quantlib(seed, count, level):
    returns = random_returns(seed, count)
    theirs = QuantLib.RiskStatistics()
    for value in returns.tolist():
        theirs.add(value)
    assert value_at_risk(returns, level, "QuantLib") == theirs.valueAtRisk(level)
    try:
        wanted = theirs.expectedShortfall(level)
    except RuntimeError:  # nothing lies beyond
        with pytest.raises(MeasureError, match="no return lies beyond"):
            expected_shortfall(returns, level, "QuantLib")
    else:
        assert expected_shortfall(returns, level, "QuantLib") == pytest.approx(wanted, rel=1e-13)


def test_quantlib_shows_no_gain_as_a_risk_and_no_low_level():
    gains = np.arange(1.0, 101)
    assert value_at_risk(gains, 0.95, "QuantLib") == 0
    assert value_at_risk(gains, 0.95) == -5
    with pytest.raises(MeasureError, match=r"0\.9 and above"):
        value_at_risk(gains, 0.89, "QuantLib")


def test_losses_strictly_beyond():
    returns = random_returns(1, 500)
    wanted = float(naive.strictly_beyond(returns.tolist(), Fraction(985, 1000)))
    assert expected_shortfall(returns, 0.985, "QuantLib") == pytest.approx(wanted, rel=1e-13)


def test_conventions_differ_by_percents_on_the_same_returns():
    path = data_file("risk/sp500_daily.csv")
    with path.open() as text:
        returns = [float(row["ret"]) for row in csv.DictReader(text) if row["ret"]][-250:]
    assert value_at_risk(returns, 0.99, "R type 7") == pytest.approx(0.03262, abs=5e-6)
    assert value_at_risk(returns, 0.99) == pytest.approx(0.03286, abs=5e-6)
    assert value_at_risk(returns, 0.99, "R type 4") == pytest.approx(0.03520, abs=5e-6)
    assert expected_shortfall(returns, 0.99, "empyrical") == pytest.approx(0.03713, abs=5e-6)
    assert expected_shortfall(returns, 0.99) == pytest.approx(0.03798, abs=5e-6)
    assert expected_shortfall(returns, 0.99, "QuantLib") == pytest.approx(0.03926, abs=5e-6)


def published(kind):
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    return [case for case in cases if case["kind"] == kind]


def test_the_ranked_losses_of_the_textbook():
    for case in published("historical_ranked"):
        losses, count = case["inputs"]["worst_losses_k"], case["inputs"]["n"]
        profits = [-loss for loss in losses] + [0.0] * (count - len(losses))
        level, wanted, tolerance = case["inputs"]["conf"], case["expected"], case["tol"]
        assert value_at_risk(profits, level) == pytest.approx(wanted["VaR"], abs=tolerance)
        assert expected_shortfall(profits, level) == pytest.approx(wanted["ES"], abs=tolerance)
        ten = value_at_risk(profits, level) * math.sqrt(10)
        assert ten == pytest.approx(wanted["VaR10"], abs=tolerance)


def test_the_interpolation_of_a_practitioner_is_type_4():
    for case in published("historical_interp"):
        given = case["inputs"]
        profits = np.zeros(given["n"])
        profits[:4] = -1e9
        profits[4], profits[5] = given["order_stats"]["5"], given["order_stats"]["6"]
        found = -value_at_risk(profits, 1 - given["p"], "R type 4")
        assert found == pytest.approx(case["expected"]["q"], abs=case["tol"])


def test_the_split_atom_of_the_textbook():
    for case in published("discrete"):
        given, wanted = case["inputs"], case["expected"]
        counts = [round(1000 * chance) for chance in given["probs"]]
        profits = np.repeat(-np.array(given["losses"], float), counts)
        assert value_at_risk(profits, given["conf"]) == wanted["VaR"]
        assert expected_shortfall(profits, given["conf"]) == pytest.approx(
            wanted["ES"], abs=case["tol"]
        )


@pytest.mark.parametrize("name", CONVENTIONS)
def test_one_return_equal_returns_and_gaps(name):
    if name != "scipy t":  # one return has no likelihood
        assert value_at_risk([-0.02], 0.99, name) == pytest.approx(0.02)
        assert value_at_risk([-0.02] * 9, 0.95, name) == pytest.approx(0.02)
    with pytest.raises(MeasureError, match="nan at index 1"):
        value_at_risk([0.01, math.nan], 0.99, name)
    if name in WITH_SHORTFALL:
        with pytest.raises(MeasureError, match="nan at index 1"):
            expected_shortfall([0.01, math.nan], 0.99, name)


STRICT = ("QuantLib", "PerformanceAnalytics historical")


@pytest.mark.parametrize("name", WITH_SHORTFALL)
def test_a_tail_without_anything_beyond_is_told_or_is_the_loss(name):
    """Peers have returned 0 or a mean of nothing here."""
    if name in STRICT:
        with pytest.raises(MeasureError, match="no return lies beyond"):
            expected_shortfall([-0.02] * 5, 0.99, name)
    elif name != "scipy t":
        assert expected_shortfall([-0.02] * 5, 0.99, name) == pytest.approx(0.02)


def test_a_table_of_levels_and_horizons():
    returns = random_returns(3)
    found = conventions.table(returns, [0.95, 0.99], (1, 10), autocorrelation=0.12)
    assert [(row.level, row.days) for row in found] == [
        (0.95, 1), (0.95, 10), (0.99, 1), (0.99, 10)
    ]  # fmt: skip
    assert found[2].value_at_risk == value_at_risk(returns, 0.99)
    assert found[2].shortfall == expected_shortfall(returns, 0.99)
    assert found[3].shortfall == pytest.approx(found[2].shortfall * math.sqrt(12.417), rel=1e-4)
    plain = conventions.table(returns, [0.99], [10])
    assert plain[0].value_at_risk == value_at_risk(returns, 0.99) * math.sqrt(10)
    (none,) = conventions.table(returns, [0.99], convention="R type 7")
    assert math.isnan(none.shortfall)


# Kinds of published cases, and the test files that hold them; the case `edhec` needs a series of
# fund returns that is not among the samples.
COVERED = {
    "parametric": "parametric",
    "parametric_autocorr": "parametric",
    "parametric_portfolio": "parametric",
    "discrete": "conventions",
    "historical_ranked": "conventions",
    "historical_interp": "conventions",
    "ewma": "weighted",
    "garch": "weighted",
    "binomial_tail": "backtests",
    "kupiec_region": "backtests",
    "basel_traffic_light": "backtests",
    "christoffersen": "backtests",
}


def test_every_kind_of_published_case_is_held_somewhere():
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    for kind in {case["kind"] for case in cases} & set(COVERED):
        text = Path(__file__).with_name(f"test_{COVERED[kind]}.py").read_text()
        assert f'published("{kind}")' in text


def test_names_are_told():
    with pytest.raises(MeasureError, match="'R type 10' is no convention"):
        value_at_risk([0.1], 0.99, "R type 10")
    with pytest.raises(MeasureError, match="R type 7 has no expected shortfall"):
        expected_shortfall([0.1], 0.99, "R type 7")
    assert len(CONVENTIONS) == 1 + 9 + len(NUMPY_METHODS) + 3 + 5
    assert all(found.meaning for found in CONVENTIONS.values())
