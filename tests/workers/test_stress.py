"""Grids, crises and moves: the shocks they are, and what is known of the days."""

import csv
import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import revaluation as naive
from tests.workers.desks import MIXED, OPTIONS, UNDERLYINGS, call, desk, drawn
from workers.holdings import Equity, Move, Underlying
from workers.quantiles import MeasureError
from workers.revaluation import Valued, totals
from workers.stress import check_crisis, crises, grid, of_crises, of_moves

PUBLISHED = {  # return of the index in %, close of the volatility index
    "1987-10-19": (-20.47, 150.19),
    "2008-10-15": (-9.03, 69.25),
    "2020-03-12": (-9.51, 75.47),
    "2020-03-16": (-11.98, 82.69),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_crises_are_as_published(name):
    fallen, volatility = PUBLISHED[name]
    crisis = check_crisis(name)
    assert 100 * crisis.market_return == pytest.approx(fallen, abs=0.006)
    assert crisis.volatility[1] == volatility
    assert crisis.last == date.fromisoformat(name)


def test_crises_of_the_years_with_data_are_those_closes():
    with data_file("risk/sp500_daily.csv").open() as text:
        closes = {row["date"]: float(row["close"]) for row in csv.DictReader(text)}
    held = [one for one in crises().values() if one.first.isoformat() in closes]
    assert len(held) == 4
    for crisis in held:
        days = crisis.first.isoformat(), crisis.last.isoformat()
        assert [round(closes[day], 2) for day in days] == list(crisis.index)


def test_crises_are_in_order_and_all_fall():
    days = [crisis.last for crisis in crises().values()]
    assert sorted(days) == sorted({*days})
    for crisis in crises().values():
        assert crisis.first < crisis.last
        assert crisis.market_return < 0 < crisis.shift
    with pytest.raises(MeasureError, match=r"'1929': is not known; there are 1987-10-19, "):
        check_crisis("1929")


def test_a_crisis_revalues_every_position_by_its_beta():
    valued = Valued(MIXED)
    for parallel in (False, True):
        made = totals(valued, of_crises(valued, ["1987-10-19", "2020-03-16"], parallel))
        for row, name in enumerate(("1987-10-19", "2020-03-16")):
            crisis, exact = check_crisis(name), 0
            for position in MIXED.positions:
                owner = UNDERLYINGS[position.underlying]
                exact += naive.profit(
                    MIXED,
                    position,
                    owner.beta * crisis.market_return,
                    shift=owner.volatility_beta * crisis.shift,
                    fade=0 if parallel else 30,
                )
            assert made[row] == pytest.approx(float(exact), rel=1e-10)


def test_nothing_loses_more_than_it_is_worth():
    wild = {"ACME": Underlying(price=10.0, beta=30.0)}
    valued = Valued(desk(Equity(underlying="ACME", quantity=3.0), underlyings=wild))
    assert totals(valued, of_crises(valued, ["2020-03-16"])).tolist() == [-30.0]
    moves = {"rout": Move(factors={"market": -0.5})}
    assert totals(valued, of_moves(valued, moves)).tolist() == [-30.0]


def test_the_most_particular_move_counts():
    holdings = desk(
        Equity(underlying="ACME", quantity=1.0), Equity(underlying="ZETA", quantity=1.0)
    )
    valued = Valued(holdings)
    moves = {
        "factors": Move(factors={"market": -0.1, "oil": -0.2}),
        "sector": Move(factors={"market": -0.1}, sectors={"tech": -0.3}),
        "own": Move(sectors={"tech": -0.3}, underlyings={"ACME": 0.05, "ZETA": -1.0}),
        "none": Move(),
        "volatility": Move(volatility=0.1, volatilities={"ACME": 0.02}, volatility_ratio=1.5,
                           rate=0.01, days=3.0),
    }  # fmt: skip
    shocks = of_moves(valued, moves)
    wanted = [[-0.12, -0.08 - 0.1], [-0.3, -0.08], [0.05, -1.0], [0, 0], [0, 0]]
    assert shocks.returns == pytest.approx(np.array(wanted))
    assert shocks.shifts[4].tolist() == [0.02, 0.05]
    assert shocks.ratios[4].tolist() == [1.5, 1.5]
    assert (shocks.rates[4], shocks.days[4]) == (0.01, 3.0)
    assert totals(valued, shocks)[:4] == pytest.approx([-12 - 9, -30 - 4, 5 - 50, 0])


def test_a_grid_is_full_revaluation_in_each_cell():
    valued = Valued(MIXED)
    returns, shifts = [-0.2, 0.0, 0.1], [-0.5, 0.0, 0.15]
    found = grid(valued, returns, shifts)
    for row, moved in enumerate(returns):
        for column, shift in enumerate(shifts):
            exact = sum(naive.profit(MIXED, one, moved, shift=shift) for one in MIXED.positions)
            assert found.profits[row, column] == pytest.approx(float(exact), rel=1e-10, abs=1e-9)


def test_a_grid_by_beta_moves_each_by_its_own():
    valued = Valued(MIXED)
    found = grid(valued, [-0.1], [0.05], by_beta=True).profits[0, 0]
    exact = sum(
        naive.profit(MIXED, one, -0.1 * UNDERLYINGS[one.underlying].beta, shift=0.05)
        for one in MIXED.positions
    )
    assert found == pytest.approx(float(exact), rel=1e-10)


@settings(max_examples=60 if compiled() else 8, deadline=None)
@given(st.lists(OPTIONS, min_size=1, max_size=4))
def test_the_middle_of_a_grid_makes_nothing(options):
    found = grid(Valued(desk(*options)), [-0.1, 0.0, 0.1], [-0.05, 0.0, 0.05])
    assert found.profits[1, 1] == 0.0
    assert np.isfinite(found.profits).all()


def test_a_grid_of_long_options_rises_with_volatility_and_bends_up():
    valued = Valued(desk(call(quantity=2.0), call(quantity=1.0, strike=120.0, type="put")))
    found = grid(valued, [-0.2, -0.1, 0.0, 0.1, 0.2], [-0.1, 0.0, 0.1]).profits
    assert (np.diff(found, axis=1) > 0).all()
    assert (np.diff(found, n=2, axis=0) > 0).all()


def test_grids_that_are_refused():
    valued = Valued(MIXED)
    for returns, shifts in (([], [0.0]), ([0.0] * 101, [0.0] * 101)):
        with pytest.raises(MeasureError, match="give 1 to 10,000 cells"):
            grid(valued, returns, shifts)
    with pytest.raises(MeasureError, match=r"volatility \+nan': nan in shifts"):
        grid(valued, [0.0], [math.nan])


def test_a_large_book_is_as_its_parts():
    """Sums over blocks of 64 options, however many there are."""
    whole = drawn(200 if compiled() else 70, 9)
    halves = [desk(*whole.positions[::2]), desk(*whole.positions[1::2])]
    parts = sum(grid(Valued(half), [-0.1, 0.2], [0.1]).profits for half in halves)
    found = grid(Valued(whole), [-0.1, 0.2], [0.1]).profits
    assert found == pytest.approx(parts, rel=1e-10, abs=1e-6)
