"""Parts of a measure: they add up, they are derivatives, and they are those that R prints."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import data_file
from workers import components, conventions, parametric
from workers.quantiles import MeasureError, quantile

KINDS = [components.historical, components.gaussian, components.modified]
LEVELS = st.sampled_from([0.9, 0.95, 0.975, 0.99])


def book(seed, days=120, positions=4):
    source = np.random.default_rng(seed)
    common = source.standard_t(5, (days, 1)) / 100
    returns = common * source.uniform(0.3, 1.5, positions)
    returns += source.standard_t(4, (days, positions)) / 150 + 1e-4
    return returns, source.choice([-2.0, 0.5, 1.0, 3.0], positions)


@settings(max_examples=60)
@given(st.integers(0, 2**32), LEVELS, st.sampled_from(KINDS), st.integers(2, 300))
def test_parts_add_up_to_the_whole(seed, level, kind, days):
    returns, weights = book(seed, days)
    for found in kind(returns, weights, level):
        scale = np.abs(found.contributions).sum()
        assert math.fsum(found.contributions) == pytest.approx(found.total, abs=1e-12 * scale)
        assert found.contributions == pytest.approx(found.marginal * weights, abs=1e-15 * scale)
        if found.total:
            assert math.fsum(found.shares) == pytest.approx(1, abs=1e-12 * scale / abs(found.total))


@settings(max_examples=60)
@given(st.integers(0, 2**32), LEVELS, st.integers(1, 300))
def test_historical_totals_are_the_measures_of_the_book(seed, level, days):
    returns, weights = book(seed, days)
    found, profits = components.historical(returns, weights, level), returns @ weights
    assert found.value_at_risk.total == pytest.approx(
        conventions.value_at_risk(profits, level), rel=1e-12, abs=1e-15
    )
    assert found.shortfall.total == pytest.approx(
        conventions.expected_shortfall(profits, level), rel=1e-12, abs=1e-15
    )


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_marginal_risk_is_the_derivative(kind, level):
    returns, weights = book(3)
    found, step = kind(returns, weights, level), 1e-5
    for place in range(len(weights)):
        up, down = weights.copy(), weights.copy()
        up[place] += step
        down[place] -= step
        above, below = kind(returns, up, level), kind(returns, down, level)
        for name in ("value_at_risk", "shortfall"):
            slope = (getattr(above, name).total - getattr(below, name).total) / (2 * step)
            assert getattr(found, name).marginal[place] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_shortfall_that_falls_back_to_value_at_risk_has_its_parts():
    returns, weights = book(8, 400)
    returns[10] = -0.2  # an outlier: the expansion breaks down far out
    found = components.modified(returns, weights, 0.995)
    assert found.shortfall.total == found.value_at_risk.total
    assert found.shortfall.marginal.tolist() == found.value_at_risk.marginal.tolist()


def test_incremental_risk_is_what_goes_with_a_position():
    returns, weights = book(5)
    found = components.incremental(returns, weights, 0.95)
    for place in range(len(weights)):
        without = weights.copy()
        without[place] = 0
        less = conventions.value_at_risk(returns @ without, 0.95)
        whole = conventions.value_at_risk(returns @ weights, 0.95)
        assert found[place] == pytest.approx(whole - less, abs=1e-15)
    hedge = np.array([1.0, -1.0])
    twice = np.repeat(returns[:, :1], 2, axis=1)
    deeper = components.incremental(twice, hedge, 0.95, measure=conventions.expected_shortfall)
    assert deeper[1] < 0
    named = components.incremental(returns, weights, 0.95, "R type 7")
    assert named.tolist() != found.tolist()


def test_a_position_that_is_not_held_has_no_part_but_a_marginal_risk():
    returns, weights = book(6)
    weights[1] = 0
    for kind in KINDS:
        for found in kind(returns, weights, 0.95):
            assert found.contributions[1] == 0
            assert found.marginal[1] != 0


@pytest.fixture(scope="module")
def shares():
    """Daily returns of ten shares, and what is held of each."""
    with data_file("risk/panel10_prices.csv").open() as text:
        header, *rows = csv.reader(text)
    prices = np.array([[float(price) for price in row[1:]] for row in rows])
    with data_file("risk/weights.csv").open() as text:
        names, weights = csv.reader(text)
    assert names[1:] == header[1:]
    return names[1:], prices[1:] / prices[:-1] - 1, np.array([float(w) for w in weights[1:]])


@pytest.fixture(scope="module")
def printed():
    """PerformanceAnalytics' components: value by level, method, measure and name."""
    with data_file("risk/component_risk_R_PA.csv").open() as text:
        return {
            (row["alpha"], row["method"], row["measure"], row["component_or_total"]): float(
                row["value"]
            )
            for row in csv.DictReader(text)
        }


def column(printed, names, *keys, prefix):
    return [printed[(*keys, f"{prefix}:{name}")] for name in names]


@pytest.mark.parametrize("level", ["0.95", "0.99"])
@pytest.mark.parametrize(
    ("method", "short"), [("gaussian", ("VaR", "ES")), ("modified", ("MVaR", "MES"))]
)
def test_parametric_parts_are_those_that_r_prints(shares, printed, level, method, short):
    names, returns, weights = shares
    found = getattr(components, method)(returns, weights, level)
    for measure, name, parts in zip(("VaR", "ES"), short, found, strict=True):
        keys = (level, method, measure)
        assert parts.total == pytest.approx(printed[(*keys, name)], rel=1e-12)
        wanted = column(printed, names, *keys, prefix="contribution")
        assert parts.contributions == pytest.approx(wanted, rel=1e-10)
        wanted = column(printed, names, *keys, prefix=f"pct_contrib_{name}")
        assert parts.shares == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("level", ["0.95", "0.99"])
def test_historical_percentages_are_those_that_r_prints(shares, printed, level):
    """Its book is bought and held; its shares of VaR are those of all losing days, at any level."""
    names, returns, weights = shares
    drifted = components.drifted(returns, weights)
    book = drifted.sum(axis=1)
    edge = quantile(book, 1 - float(level), 7)
    keys = (level, "historical", "VaR")
    assert -edge == pytest.approx(printed[(*keys, "hVaR")], rel=1e-12)
    wanted = column(printed, names, *keys, prefix="pct_contrib_hVaR")
    assert components.shares_of_days(drifted, book < 0) == pytest.approx(wanted, rel=1e-12)
    keys = (level, "historical", "ES")
    profits = returns @ weights
    beyond = profits <= edge
    assert np.count_nonzero(beyond) == printed[(*keys, "c_exceed")]
    assert -profits[beyond].mean() == pytest.approx(
        printed[(*keys, "-r_exceed/c_exceed")], rel=1e-12
    )
    wanted = column(printed, names, *keys, prefix="pct_contrib_hES")
    assert components.shares_of_days(returns * weights, beyond) == pytest.approx(wanted, rel=1e-12)


def test_our_own_historical_parts_of_the_shares_add_up(shares):
    _, returns, weights = shares
    found = components.historical(returns, weights, 0.99)
    for parts in found:
        assert math.fsum(parts.contributions) == pytest.approx(parts.total, rel=1e-14)
    assert found.value_at_risk.total == conventions.value_at_risk(returns @ weights, 0.99)


def test_a_book_of_one_position_is_that_position():
    returns, _ = book(2, positions=1)
    for kind in KINDS:
        for found in kind(returns, [2.0], 0.95):
            assert found.contributions[0] == pytest.approx(found.total, rel=1e-13)
    one = components.gaussian(returns, [1.0], 0.95).value_at_risk.total
    sigma = returns[:, 0].std(ddof=1)
    assert one == pytest.approx(
        parametric.normal_value_at_risk(returns[:, 0].mean(), sigma, 0.95), rel=1e-13
    )


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: components.historical([[0.1, 0.2]], [1.0], 0.9), r"shape \(1, 2\)"),
        (lambda: components.historical([0.1, 0.2], [1.0], 0.9), r"shape \(2,\)"),
        (lambda: components.historical([[0.1, 0], [0, math.nan]], [1, 1], 0.9), "row 1, column 1"),
        (lambda: components.gaussian([[0.1]], [1.0], 0.9), "one row"),
        (lambda: components.modified([[0.5], [0.5]], [1.0], 0.9), "do not vary"),
        (lambda: components.shares_of_days([[0.1]], [False]), "no day is taken"),
        (lambda: components.historical([[0.0]], [1.0], 0.9).shortfall.shares, "total is 0"),
    ],
)
def test_what_has_no_parts_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
