"""Backtests against textbooks, printed tables, another library's answers and simulations."""

import csv
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.data import data_file
from workers import backtests, conventions
from workers.backtests import Transitions
from workers.quantiles import MeasureError


def published(kind):
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    return [case for case in cases if case["kind"] == kind]


def real_series():
    """Exceptions of rolling 500-day values at risk of an index, and what a library says of them."""
    return json.loads(data_file("risk/backtest_sp500.json").read_text())


def marks_of(case):
    marks = np.zeros(case["n"])
    marks[case["hit_index"]] = 1
    return marks


def test_binomial_tails_of_the_textbook():
    for case in published("binomial_tail"):
        given = case["inputs"]
        found = backtests.at_least(given["n"], given["m"], given["p"])
        assert found == pytest.approx(case["expected"]["prob_ge"], abs=case["tol"])
    assert backtests.at_least(250, 0, 0.01) == 1


def test_regions_that_kupiec_accepts():
    cases = published("kupiec_region")
    for case in cases:
        given, wanted = case["inputs"], case["expected"]
        region = (wanted["accept_from"], wanted["accept_to"])
        assert backtests.accepted(given["n"], given["p"], given["crit"]) == region, case["id"]
    assert backtests.accepted(1000, 0.05) == (38, 64)


def test_no_exception_at_all_is_finite_and_may_be_refused():
    """Kupiec's printed table says N < 7 at 255 days and 1 %; his own statistic refuses 0."""
    found = backtests.kupiec(255, 0, 0.01)
    assert found.statistic == pytest.approx(-2 * 255 * math.log(0.99))
    assert found.statistic == pytest.approx(5.13, abs=0.01)
    assert found.rejects()
    every = backtests.kupiec(10, 10, 0.01)
    assert every.statistic == pytest.approx(-2 * 10 * math.log(0.01))


def test_as_many_as_promised_is_plain_zero():
    for days, hits, probability in ((1000, 10, 0.01), (250, 25, 0.1), (300, 3, 0.01)):
        found = backtests.kupiec(days, hits, probability)
        assert str(found.statistic) == "0.0"
        assert found.p_value == 1


@given(st.integers(1, 500), st.data(), st.sampled_from([0.001, 0.01, 0.05, 0.5]))
def test_kupiec_is_the_ratio_of_binomial_likelihoods(days, data, probability):
    hits = data.draw(st.integers(0, days))
    found = backtests.kupiec(days, hits, probability)
    ratio = stats.binom.logpmf(hits, days, hits / days) - stats.binom.logpmf(
        hits, days, probability
    )
    assert found.statistic == pytest.approx(2 * ratio, rel=1e-9, abs=1e-9)
    assert 0 <= found.p_value <= 1
    assert not str(found.statistic).startswith("-")


def test_christoffersen_as_printed():
    for case in published("christoffersen"):
        given, wanted, tolerance = case["inputs"], case["expected"], case["tol"]
        pairs = Transitions(*(given[name] for name in ("N00", "N01", "N10", "N11")))
        counts = (given["n"], given["x"], given["p"])
        coverage = backtests.kupiec(*counts)
        assert coverage == pytest.approx((wanted["LR_POF"], wanted["p_POF"]), abs=tolerance)
        alone = backtests.independence(pairs)
        assert alone == pytest.approx((wanted["LR_CCI"], wanted["p_CCI"]), abs=tolerance)
        both = backtests.conditional_coverage(*counts, pairs)
        assert both == pytest.approx((wanted["LR_CC"], wanted["p_CC"]), abs=tolerance)


def naive_independence(pairs):
    """The two likelihoods written out, 0 ^ 0 being 1."""
    n00, n01, n10, n11 = pairs
    p01 = n01 / (n00 + n01) if n00 + n01 else 0
    p11 = n11 / (n10 + n11) if n10 + n11 else 0
    p = (n01 + n11) / sum(pairs)
    one = (1 - p) ** (n00 + n10) * p ** (n01 + n11)
    two = (1 - p01) ** n00 * p01**n01 * (1 - p11) ** n10 * p11**n11
    return -2 * math.log(one / two)


def test_every_pattern_of_zero_cells_is_finite():
    for cells in itertools.product((0, 1, 7), repeat=4):
        if not sum(cells):
            continue
        found = backtests.independence(Transitions(*cells))
        assert found.statistic == pytest.approx(naive_independence(cells), abs=1e-9)
        assert math.isfinite(found.p_value)
        assert not str(found.statistic).startswith("-")


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_transitions_are_counted_pair_by_pair(hits):
    pairs = list(itertools.pairwise(hits))
    wanted = [pairs.count(pair) for pair in itertools.product((False, True), repeat=2)]
    assert list(backtests.transitions(hits)) == wanted


def test_the_basel_ladder():
    for case in published("basel_traffic_light"):
        given, wanted = case["inputs"], case["expected"]
        lights = [
            backtests.traffic_light(hits, given["n"], given["conf"])
            for hits in range(given["n"] + 1)
        ]
        for zone, (first, last) in wanted["zones"].items():
            assert {light.zone for light in lights[first : last + 1]} == {zone}
        ladder = wanted["multiplier"]
        assert {light.multiplier for light in lights[:5]} == {ladder["0-4"]}
        assert [light.multiplier for light in lights[5:10]] == [
            ladder[str(n)] for n in range(5, 10)
        ]
        assert {light.multiplier for light in lights[10:]} == {ladder["10+"]}
    assert lights[4].cumulative == pytest.approx(stats.binom.cdf(4, 250, 0.01))


def test_the_light_of_other_lengths_has_no_multiplier():
    light = backtests.traffic_light(20, 1000, 0.99)
    assert light.zone == "yellow"
    assert light.multiplier is None
    assert backtests.traffic_light(25, 250, 0.9).multiplier is None


def test_real_exceptions_are_counted_and_judged_as_by_another_library():
    cases = real_series()
    assert len(cases) >= 6
    for case in cases:
        marks = marks_of(case)
        pairs = backtests.transitions(marks)
        assert list(pairs) == [case[name] for name in ("N00", "N01", "N10", "N11")]
        found = backtests.kupiec(case["n"], case["hits"], 1 - case["conf"])
        assert found.statistic == pytest.approx(case["kupiec_LR"], rel=1e-9, abs=1e-9)
        assert found.p_value == pytest.approx(case["kupiec_p"], rel=1e-7)
        assert found.rejects() == (case["kupiec_decision"] == "Reject H0")


def test_durations_of_real_exceptions_are_those_of_another_library():
    """Its search for the shape stops at 1e-5; the likelihood is flat there."""
    for case in real_series():
        found, wanted = backtests.durations(marks_of(case)), case["duration"]
        assert found.shape == pytest.approx(wanted["weibull shape (b)"], abs=2e-5)
        pairs = (
            (found.log_likelihood, wanted["unrestricted log-likelihood"]),
            (found.log_likelihood_memoryless, wanted["restricted log-likelihood"]),
            (found.outcome.statistic, wanted["statistic"]),
        )
        for ours, theirs in pairs:
            assert ours == pytest.approx(theirs, rel=1e-7)
        assert found.outcome.p_value == pytest.approx(wanted["p-value"], rel=1e-5)
        assert found.outcome.rejects() == (wanted["decision"] == "Reject H0")


def test_real_exceptions_come_of_rolling_values_at_risk():
    with data_file("risk/sp500_daily.csv").open() as text:
        returns = np.array([float(row["ret"]) for row in csv.DictReader(text) if row["ret"]])
    for case in real_series():
        if case["subset"] == "all":
            bounds = backtests.rolling(returns, 500, case["conf"], "numpy inverted_cdf")
            hits = backtests.exceptions(returns[500:], bounds)
            assert np.flatnonzero(hits).tolist() == case["hit_index"]


def test_clusters_are_refused_and_chance_is_not():
    source = np.random.default_rng(4)
    chance = source.random(4000) < 0.02
    assert not backtests.independence(backtests.transitions(chance)).rejects(0.01)
    assert not backtests.durations(chance).outcome.rejects(0.01)
    clustered = np.zeros(4000)
    for start in range(100, 4000, 400):
        clustered[start : start + 8] = 1
    assert backtests.independence(backtests.transitions(clustered)).rejects(0.001)
    found = backtests.durations(clustered)
    assert found.shape < 0.7
    assert found.outcome.rejects(0.001)


def test_times_between_hits_at_the_ends_are_whole():
    times, whole = backtests.times_between(np.array([1, 0, 0, 1, 1]))
    assert times.tolist() == [3, 1]
    assert whole.tolist() == [True, True]
    times, whole = backtests.times_between(np.array([0, 0, 1, 0]))
    assert times.tolist() == [3, 1]
    assert whole.tolist() == [False, False]


def test_a_loss_of_just_the_value_at_risk_is_no_exception():
    assert backtests.exceptions([-0.02, -0.0201, 0.5], [0.02] * 3).tolist() == [False, True, False]


def test_rolling_measures_see_only_the_days_before():
    returns = np.random.default_rng(0).normal(size=40)
    found = backtests.rolling(returns, 30, 0.9, measure=conventions.expected_shortfall)
    assert found.tolist() == [
        conventions.expected_shortfall(returns[n : n + 30], 0.9) for n in range(10)
    ]


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: backtests.kupiec(10, 11, 0.01), "11 exceptions in 10 days"),
        (lambda: backtests.kupiec(0, 0, 0.01), "0 exceptions in 0 days"),
        (lambda: backtests.kupiec(10, 1, 1.0), "at 1.0"),
        (lambda: backtests.accepted(3, 0.5, 0.0), "every count is refused"),
        (lambda: backtests.transitions([0, 2, 1]), r"2\.0 at index 1: give 0 and 1"),
        (lambda: backtests.transitions([0, math.nan]), "nan at index 1"),
        (lambda: backtests.independence(Transitions(0, 0, 0, 0)), "at least one pair"),
        (lambda: backtests.durations([0, 0, 0]), "0 times between exceptions"),
        (lambda: backtests.durations([0, 1, 0]), "2 times between exceptions, 0 of them whole"),
        (lambda: backtests.exceptions([0.1], [0.1, 0.2]), "2 values at risk for 1 returns"),
        (lambda: backtests.rolling([0.1, 0.2], 2, 0.99), "window 2 of 2 returns"),
    ],
)
def test_what_cannot_be_tested_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
