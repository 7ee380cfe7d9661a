"""Hedges of least variance: against brute force and the closed form; the gap is a proof."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.desks import call, desk
from workers.hedging import Tradable
from workers.holdings import Equity, Future, Hedge, Hedging, Underlying
from workers.least_variance import advise, daily_covariance, quietest
from workers.quantiles import MeasureError
from workers.revaluation import Valued

COVARIANCE = np.array([[4.0, 1.5, 0.5], [1.5, 9.0, -2.0], [0.5, -2.0, 16.0]]) * 1e-4


def tradable(count, most=1e6, costs=0.0, budget=None, long_only=False):
    return Tradable([f"h{n}" for n in range(count)], np.full(count, costs),
                    np.full(count, 0.0 if long_only else -most), np.full(count, most),
                    budget)  # fmt: skip


CASE = st.tuples(
    st.lists(st.floats(-40, 40), min_size=3, max_size=3),
    st.lists(st.floats(-9, 9), min_size=6, max_size=6),
    st.booleans(),
    st.sampled_from([None, 2.5, 6.0]),
)


@settings(max_examples=100, deadline=None)
@given(CASE)
def test_no_lots_are_better_than_the_gap_allows(case):
    exposures, lots, long_only, budget = case
    exposures, lots = np.array(exposures), np.array(lots).reshape(3, 2)
    of = tradable(2, 6.0, 1.0, budget, long_only)
    found = quietest(COVARIANCE, exposures, lots, of)
    least = math.inf
    for x in itertools.product(range(-6, 7), repeat=2):
        held = exposures + lots @ x
        if (not long_only or min(x) >= 0) and (budget is None or sum(map(abs, x)) <= budget):
            least = min(least, math.sqrt(max(held @ COVARIANCE @ held, 0.0)))
    size = math.sqrt(exposures @ COVARIANCE @ exposures) + 1e-12
    assert found.least <= least + 1e-6 * size
    assert least - 1e-9 * size <= found.after <= found.before + 1e-12
    assert found.after - least <= found.gap * found.before + 1e-6 * size
    assert found.after <= least + 0.2 * size  # the search itself
    assert budget is None or found.cost <= budget


def test_of_one_hedge_it_is_hulls_ratio():
    """h* = rho sigma_S / sigma_F (Hull 3.4): rho 0.928, 0.0263 / 0.0313, 2,000,000 over 42,000
    gallons a contract are 37.03 contracts: 37 sold."""
    spot, future, rho = 0.0263, 0.0313, 0.928
    matrix = np.array([[spot**2, rho * spot * future], [rho * spot * future, future**2]])
    found = quietest(matrix, np.array([2e6, 0.0]), np.array([[0.0], [42e3]]), tradable(1))
    assert found.lots.tolist() == [-37]
    assert found.after == pytest.approx(found.before * math.sqrt(1 - rho**2), rel=1e-4)
    assert found.gap < 1e-4


def test_the_search_finds_the_best_of_several_hedges():
    draw = np.random.default_rng(8)
    for _ in range(12):
        lots, exposures = draw.normal(0, 3, (3, 2)), draw.normal(0, 20, 3)
        found = quietest(COVARIANCE, exposures, lots, tradable(2, 30.0))
        best = min(
            (math.sqrt(held @ COVARIANCE @ held), x)
            for x in itertools.product(range(-30, 31), repeat=2)
            for held in [exposures + lots @ x]
        )
        assert found.after <= best[0] * 1.02
        assert found.least <= best[0]


def test_hedges_that_are_alike_and_a_covariance_without_full_rank():
    matrix = np.ones((2, 2)) * 1e-4
    lots = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    found = quietest(matrix, np.array([5.0, 4.0]), lots, tradable(3))
    assert found.after == pytest.approx(0.0, abs=1e-9)
    assert not found.salvaged.repaired
    broken = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert quietest(broken, np.array([5.0, 4.0]), lots, tradable(3)).salvaged.repaired


def test_holdings_are_hedged_by_their_deltas():
    holdings = desk(
        Equity(underlying="ACME", quantity=1000.0),
        call(100.0, -5.0, multiplier=100.0),
        hedges=[Hedge(instrument=Future(underlying="ZETA", quantity=1.0, multiplier=10.0))],
        correlations={"ZETA": {"ACME": 0.8}},
    )
    valued = Valued(holdings)
    found = advise(valued, daily_covariance(holdings, valued))
    ratio = 0.8 * 0.25 / 0.4
    delta = 1000 - 500 * 0.5701581
    assert found.lots[0] == pytest.approx(-ratio * delta * 100 / 500, abs=0.51)
    assert found.before == pytest.approx(delta * 100 * 0.25 / math.sqrt(252), rel=1e-6)
    assert found.after == pytest.approx(0.6 * found.before, rel=1e-3)
    kept = Hedging(budget=0.0)
    dear = [Hedge(instrument=holdings.hedges[0].instrument, cost=1.0)]
    tied = Valued(desk(*holdings.positions, hedges=dear, hedging=kept))
    assert advise(tied, daily_covariance(holdings, valued)).lots.tolist() == [0]


def test_what_is_missing_is_told():
    valued = Valued(desk(call()))
    with pytest.raises(MeasureError, match="there is none of ACME and ZETA"):
        daily_covariance(valued.holdings, valued)
    bare = desk(call(), underlyings={"ACME": Underlying(price=100.0)})
    with pytest.raises(MeasureError, match="least variance needs a volatility for each"):
        daily_covariance(bare, Valued(bare))
    of = tradable(1)
    with pytest.raises(MeasureError, match=r"shape \(3, 3\) for 2 underlyings"):
        quietest(COVARIANCE, np.zeros(2), np.zeros((2, 1)), of)
    with pytest.raises(MeasureError, match="exposures: are no numbers"):
        quietest(COVARIANCE, np.full(3, math.nan), np.zeros((3, 1)), of)


def test_nothing_to_hedge_is_left_alone():
    found = quietest(COVARIANCE, np.zeros(3), np.ones((3, 1)), tradable(1))
    assert (found.lots.tolist(), found.before, found.after, found.gap) == ([0], 0.0, 0.0, 0.0)
