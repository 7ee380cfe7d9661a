"""The smallest move that loses too much: nothing smaller does, and it does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.workers.desks import MIXED, UNDERLYINGS, call, desk, drawn, put
from workers import reverse
from workers.holdings import Equity, Move, Underlying
from workers.quantiles import MeasureError
from workers.revaluation import Valued
from workers.reverse import Direction, breaking, daily_deviations, directions, profits_at

FINE = 4000 if compiled() else 30
SEEDS = range(12 if compiled() else 2)
LINE = {"ACME": Underlying(price=100.0)}


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch):
    """Plain Python is slow, and the answers must not depend on how many steps there are."""
    if not compiled():
        monkeypatch.setattr(reverse, "STEPS", 8)


def down(valued, most=1.0):
    return Direction("down", "%", np.full(len(valued.names), -1.0), np.zeros(len(valued.names)),
                     most)  # fmt: skip


def held_by(valued, direction, found, loss):
    """What is true of an answer, by looking at many sizes."""
    sizes = np.linspace(0.0, found.bound, FINE)
    made = profits_at(valued, direction, sizes)
    if found.size is None:
        assert (made > -loss).all()
        assert found.worst > -loss
        assert found.worst <= made.min()
    else:
        (at,) = profits_at(valued, direction, np.array([found.size]))
        assert at == pytest.approx(-loss, rel=1e-7)
        assert (made[sizes < found.size * (1 - 1e-9)] > -loss).all()


def test_of_shares_it_is_a_quotient():
    valued = Valued(desk(Equity(underlying="ACME", quantity=10.0), underlyings=LINE))
    found = breaking(valued, down(valued), 125.0)
    assert found.size == pytest.approx(0.125, abs=1e-12)
    assert (found.bound, found.worst, found.worst_at) == (1.0, -1000.0, 1.0)
    assert breaking(valued, down(valued), 1000.0).size == pytest.approx(1.0)
    assert breaking(valued, down(valued), 1000.5).size is None


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_smaller_loses_as_much(seed):
    valued = Valued(drawn(12, seed))
    for direction in directions(valued, {})[:4]:
        deepest = breaking(valued, direction, 1e12).worst
        for loss in (0.05, 0.5, 0.999, 1.5) if compiled() else (0.5,):
            if deepest < 0:
                held_by(valued, direction, breaking(valued, direction, -loss * deepest),
                        -loss * deepest)  # fmt: skip
        if not compiled():
            break


def test_a_dip_between_two_steps_is_not_missed():
    """A butterfly a day before it expires: worth something only within 0.1 % of its middle."""
    terms = {"expiry": 1 / 365, "volatility": 0.004, "rate": 0.0}
    middle = 93.37
    fly = desk(call(middle - 0.05, -1e4, **terms), call(middle, 2e4, **terms),
               call(middle + 0.05, -1e4, **terms), underlyings=LINE)  # fmt: skip
    valued = Valued(fly)
    found = breaking(valued, down(valued), 150.0)
    assert found.size == pytest.approx(1 - middle / 100, abs=1e-3)
    assert found.size < 1 - middle / 100
    held_by(valued, down(valued), found, 150.0)


def test_a_dip_between_the_places_looked_at():
    """Spreads that lose most between their strikes: the low itself is at none of the places."""
    legs = [call(strike, units * 100.0, type="put", expiry=0.004, volatility=0.1, rate=0.0)
            for strike, units in ((97.0, -1.0), (96.0, 2.0), (95.0, -1.0))]  # fmt: skip
    valued = Valued(desk(*legs, underlyings=LINE))
    lowest = breaking(valued, down(valued, 0.1), 1e9)
    loss = -lowest.worst * (1 - 1e-9)
    assert not (np.isin(lowest.worst_at, reverse.places(valued, down(valued, 0.1), 0.1))).any()
    found = breaking(valued, down(valued, 0.1), loss)
    assert found.size == pytest.approx(lowest.worst_at, abs=1e-4)


def test_a_hedged_book_has_no_size_that_breaks_it():
    covered = desk(Equity(underlying="ACME", quantity=1.0), put(100.0, 1.0, rate=0.0),
                   underlyings=LINE)  # fmt: skip
    valued = Valued(covered)
    found = breaking(valued, down(valued), 20.0)
    assert found.size is None
    assert found.bound == 1.0
    assert -20.0 < found.worst < 0.0
    held_by(valued, down(valued), found, 20.0)


def test_directions_that_holdings_suggest():
    moves = {"rout": Move(factors={"market": -0.1}, volatility=0.1), "wait": Move(days=3.0)}
    holdings = desk(*MIXED.positions, shocks=moves)
    valued = Valued(holdings)
    found = {one.name: one for one in directions(valued, moves)}
    assert list(found) == [
        "market down", "market up", "all down together", "all up together", "volatility up",
        "volatility down", "ACME down", "ACME up", "ZETA down", "ZETA up", "rout",
    ]  # fmt: skip
    assert found["market down"].returns.tolist() == [-1.2, -0.8]
    assert found["ZETA up"].returns.tolist() == [0.0, 1.0]
    assert found["rout"].shifts == pytest.approx([0.1, 0.05])
    daily = daily_deviations(valued)
    assert daily == pytest.approx(np.array([0.25, 0.4]) / math.sqrt(252))
    broken = breaking(valued, found["market down"], 1e12)
    assert broken.bound == pytest.approx(1 / 1.2)  # ACME has lost everything by then


def test_deviations_need_every_volatility():
    valued = Valued(desk(Equity(underlying="ACME", quantity=1.0), underlyings=LINE))
    assert daily_deviations(valued) is None
    assert not [one for one in directions(valued, {}) if one.unit == "sd"]


def test_losses_that_are_none_are_refused():
    valued = Valued(desk(Equity(underlying="ACME", quantity=1.0)))
    for loss in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(MeasureError, match="give an amount of money above 0"):
            breaking(valued, down(valued), loss)


@settings(max_examples=40 if compiled() else 2, deadline=None)
@given(st.floats(0.01, 0.9), st.floats(0.05, 0.9))
def test_a_greater_loss_takes_a_greater_move(share, more):
    valued = Valued(desk(call(95.0, -10.0), Equity(underlying="ACME", quantity=3.0),
                         underlyings={"ACME": UNDERLYINGS["ACME"]}))  # fmt: skip
    direction = directions(valued, {})[1]  # market up
    deepest = -breaking(valued, direction, 1e9).worst
    small = breaking(valued, direction, share * more * deepest).size
    large = breaking(valued, direction, share * deepest).size
    assert small is not None
    assert large is not None
    assert small < large
