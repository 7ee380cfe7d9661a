"""Profits under shocks against the textbook with 60 digits; and what must hold of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import revaluation as naive
from tests.workers.desks import MIXED, OPTIONS, call, desk, drawn, put
from workers.holdings import Equity, Future
from workers.quantiles import MeasureError
from workers.revaluation import (
    GREEKS,
    Valued,
    greeks,
    profits,
    profits_each,
    quiet,
    totals,
)

FEW = settings(max_examples=150 if compiled() else 25, deadline=None)


def shocked(valued, count=6, seed=5):
    """Random shocks; the first of them none."""
    draw = np.random.default_rng(seed)
    shocks = quiet(valued, [f"s{n}" for n in range(count)])
    for row in range(1, count):
        shocks.returns[row] = draw.uniform(-0.5, 0.5, len(valued.names))
        shocks.ratios[row] = draw.uniform(0.5, 2.0, len(valued.names))
        shocks.shifts[row] = draw.uniform(-0.3, 0.5, len(valued.names))
        shocks.rates[row] = draw.uniform(-0.02, 0.02)
        shocks.days[row] = draw.choice([0.0, 1.0, 10.0, 100.0])
        shocks.fades[row] = draw.choice([0.0, 30.0])
    return shocks


@pytest.mark.parametrize("holdings", [MIXED, drawn(70, 1), desk(Equity(underlying="ACME",
                                                                       quantity=3.0))])  # fmt: skip
def test_profits_are_those_of_a_position_at_a_time(holdings):
    valued = Valued(holdings)
    shocks = shocked(valued, 6 if compiled() else 3)
    found = profits_each(valued, shocks)
    for row in range(len(shocks.names)):
        for place, position in enumerate(holdings.positions):
            owner = valued.number[position.underlying]
            exact = naive.profit(
                holdings,
                position,
                float(shocks.returns[row, owner]),
                ratio=float(shocks.ratios[row, owner]),
                shift=float(shocks.shifts[row, owner]),
                rate=float(shocks.rates[row]),
                days=float(shocks.days[row]),
                fade=float(shocks.fades[row]),
            )
            size = abs(position.quantity * position.multiplier) * 100
            assert found[row, place] == pytest.approx(float(exact), rel=1e-11, abs=1e-13 * size)


def test_profits_by_underlying_and_together_are_sums():
    valued = Valued(drawn(150 if compiled() else 70, 2))
    shocks = shocked(valued)
    each, whose = profits_each(valued, shocks), profits(valued, shocks)
    for name, column in valued.number.items():
        mine = [place for place, one in enumerate(valued.positions) if one.underlying == name]
        assert whose[:, column] == pytest.approx(each[:, mine].sum(axis=1), rel=1e-10, abs=1e-6)
    assert totals(valued, shocks) == pytest.approx(each.sum(axis=1), rel=1e-10, abs=1e-6)


def test_where_nothing_moves_nothing_is_made():
    valued = Valued(drawn(130, 3))
    assert (profits_each(valued, quiet(valued, ["none"])) == 0.0).all()


def test_greeks_are_slopes_of_revaluation():
    valued = Valued(MIXED)
    found = greeks(valued)
    step = 1e-4
    shocks = quiet(valued, ["up", "down", "more", "less", "dearer", "cheaper", "later"])
    shocks.returns[0], shocks.returns[1] = step, -step
    shocks.shifts[2], shocks.shifts[3] = step, -step
    shocks.rates[4], shocks.rates[5] = step, -step
    shocks.days[6] = 0.01
    up, down, more, less, dearer, cheaper, later = profits_each(valued, shocks)
    spots = valued.spots[[valued.number[one.underlying] for one in MIXED.positions]]
    near = {"rel": 2e-5, "abs": 1e-3}
    assert (up - down) / (2 * step * spots) == pytest.approx(found["delta"], **near)
    assert (up + down) / (step * spots) ** 2 == pytest.approx(found["gamma"], rel=1e-4, abs=1e-2)
    assert (more - less) / (2 * step) == pytest.approx(found["vega"], **near)
    assert (dearer - cheaper) / (2 * step) == pytest.approx(found["rho"], **near)
    assert later * 36_500 == pytest.approx(found["theta"], rel=2e-3, abs=1e-3)


def test_greeks_of_what_has_no_option_in_it():
    valued = Valued(desk(Equity(underlying="ACME", quantity=-7.0),
                         Future(underlying="ZETA", quantity=2.0, multiplier=10.0)))  # fmt: skip
    found = greeks(valued)
    assert found["value"].tolist() == [-700.0, 1000.0]
    assert found["delta"].tolist() == [-7.0, 20.0]
    for name in GREEKS[2:]:
        assert not found[name].any(), name


@FEW
@given(option=OPTIONS, returns=st.floats(-0.4, 0.4), days=st.floats(0, 200))
def test_a_call_less_a_put_is_a_forward(option, returns, days):
    """Parity under full revaluation: no volatility in it, no gamma, no vega."""
    terms = {"strike": option.strike, "expiry": option.expiry, "rate": option.rate,
             "dividend": option.dividend, "volatility": option.volatility}  # fmt: skip
    valued = Valued(desk(call(**terms), put(quantity=-1.0, **terms)))
    shocks = quiet(valued, ["some"])
    shocks.returns[:], shocks.shifts[:], shocks.days[:] = returns, 0.1, days

    def forward(spot, years):
        return spot * math.exp(-option.dividend * years) - option.strike * math.exp(
            -option.rate * years
        )

    left = max(option.expiry - days / 365, 0.0)
    wanted = forward(100 * (1 + returns), left) - forward(100.0, option.expiry)
    assert totals(valued, shocks)[0] == pytest.approx(wanted, rel=1e-11, abs=1e-10)
    sums = {name: greeks(valued)[name].sum() for name in ("gamma", "vega", "vanna", "volga")}
    assert sums == pytest.approx(dict.fromkeys(sums, 0.0), abs=1e-10)


@FEW
@given(option=OPTIONS)
def test_options_move_with_price_and_volatility(option):
    """A call rises with its underlying, a put falls; both rise with volatility, if long."""
    valued = Valued(desk(option))
    count = 21 if compiled() else 3
    shocks = quiet(valued, [str(n) for n in range(count)])
    shocks.returns[:, 0] = np.linspace(-0.5, 0.5, count)
    slope = np.diff(totals(valued, shocks)) * math.copysign(1, option.quantity)
    rising = slope if option.type == "call" else -slope
    assert (rising >= -1e-10 * abs(option.quantity)).all()
    shocks.returns[:] = 0.0
    shocks.shifts[:, 0] = np.linspace(-0.3, 0.7, count)
    more = np.diff(totals(valued, shocks)) * math.copysign(1, option.quantity)
    assert (more >= -1e-10 * abs(option.quantity)).all()


def test_what_cannot_be_is_told_by_its_name():
    valued = Valued(MIXED)
    shocks = quiet(valued, ["fine", "worse"])
    shocks.returns[1, 1] = -1.5
    with pytest.raises(MeasureError, match=r"'worse': -1\.5 in returns of ZETA: give a finite"):
        totals(valued, shocks)
    shocks.returns[1, 1] = math.nan
    with pytest.raises(MeasureError, match="'worse': nan in returns of ZETA"):
        totals(valued, shocks)
    shocks.returns[1, 1], shocks.shifts[1] = 0.0, 1e9
    with pytest.raises(MeasureError, match="'worse': ACME 105 call 182d has no value then"):
        totals(valued, shocks)
    with pytest.raises(MeasureError, match=r"shocks.rates: shape \(1,\): give \(2,\)"):
        totals(valued, shocks._replace(rates=np.zeros(1)))


def test_a_ruined_underlying_has_a_value():
    valued = Valued(desk(call(), put(), Equity(underlying="ACME", quantity=1.0)))
    shocks = quiet(valued, ["gone"])
    shocks.returns[0, 0] = -1.0
    left = 100 * math.exp(-0.03 * 0.5)
    before = greeks(valued)["value"]
    assert profits_each(valued, shocks)[0] == pytest.approx([-before[0], left - before[1], -100.0])
