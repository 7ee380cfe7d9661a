"""P&L explained: parts add up to the revaluation, and small moves are explained."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import revaluation as naive
from tests.workers.desks import MIXED, OPTIONS, call, desk, put
from workers.explain import CAUSES, explained, later
from workers.holdings import Equity, Future
from workers.quantiles import MeasureError


def after(holdings, returns=0.0, volatility=0.0, rate=0.0, dividend=0.0, days=0.0):
    """Another state of the market."""
    then = later(holdings, days)
    positions = []
    for position in then.positions:
        change = {}
        for name, step in (("volatility", volatility), ("rate", rate), ("dividend", dividend)):
            if hasattr(position, name):
                change[name] = getattr(position, name) + step
        positions.append(msgspec.structs.replace(position, **change))
    underlyings = {
        name: msgspec.structs.replace(one, price=one.price * (1 + returns))
        for name, one in holdings.underlyings.items()
    }
    return msgspec.structs.replace(then, positions=positions, underlyings=underlyings)


MOVES = st.tuples(
    st.floats(-0.3, 0.3), st.floats(-0.04, 0.4), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02),
    st.floats(0, 300),
)  # fmt: skip


@settings(max_examples=100 if compiled() else 30, deadline=None)
@given(st.lists(OPTIONS, min_size=1, max_size=3), MOVES)
def test_parts_add_up_to_the_revaluation(options, moves):
    holdings = desk(*options, Equity(underlying="ZETA", quantity=5.0))
    then = after(holdings, *moves)
    found = explained(holdings, then)
    for place, (was, now) in enumerate(zip(holdings.positions, then.positions, strict=True)):
        start = holdings.underlyings[was.underlying].price
        end = then.underlyings[was.underlying].price
        units = was.quantity * was.multiplier
        exact = units * float(naive.price(now, end) - naive.price(was, start))
        assert found.profits[place] == pytest.approx(exact, rel=1e-9, abs=1e-10 * abs(units) * 100)
        parts = [float(part[place]) for part in found.parts.values()]
        total = math.fsum([*parts, float(found.unexplained[place])])
        size = max(map(abs, [*parts, float(found.profits[place])]))
        assert total == pytest.approx(float(found.profits[place]), rel=0, abs=4e-16 * size)
    sums = found.sums()
    rest = math.fsum([-sums["profit"], *(sums[name] for name in (*CAUSES, "unexplained"))])
    assert abs(rest) <= 1e-15 * max(map(abs, sums.values()))


@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_small_moves_leave_the_third_order(size):
    """Ten times smaller moves leave a thousand times less; but rates enter by slopes alone."""
    moves = {"returns": size, "volatility": size / 2}
    sums = explained(MIXED, after(MIXED, **moves)).sums()
    terms = sum(abs(sums[cause]) for cause in CAUSES)
    assert abs(sums["unexplained"]) < 30 * size**2 * terms


@pytest.mark.parametrize(
    ("moves", "cause"),
    [
        ({"rate": 1e-5}, "rho"), ({"dividend": 1e-5}, "dividend_rho"), ({"days": 1e-2}, "theta"),
        ({"volatility": 1e-5}, "vega"), ({"returns": 1e-6}, "delta"),
    ],
)  # fmt: skip
def test_each_cause_explains_what_it_is_called_for(moves, cause):
    sums = explained(MIXED, after(MIXED, **moves)).sums()
    assert sums[cause] == pytest.approx(sums["profit"], rel=2e-3)
    assert sums[cause] != 0.0


def test_gamma_and_vanna_explain_what_delta_and_vega_do_not():
    holdings = desk(call(), put(95.0, 2.0))
    sums = explained(holdings, after(holdings, returns=0.005, volatility=0.0025)).sums()
    first = sums["profit"] - sums["delta"] - sums["vega"]
    assert sums["gamma"] + sums["vanna"] + sums["volga"] == pytest.approx(first, rel=0.05)


def test_what_is_linear_is_explained_by_delta():
    holdings = desk(Equity(underlying="ACME", quantity=7.0),
                    Future(underlying="ZETA", quantity=-2.0, multiplier=10.0))  # fmt: skip
    found = explained(holdings, after(holdings, returns=0.25))
    assert found.profits.tolist() == [175.0, -250.0]
    assert found.parts["delta"].tolist() == [175.0, -250.0]
    assert not found.unexplained.any()


def test_nothing_happened():
    found = explained(MIXED, MIXED)
    assert not found.profits.any()
    assert all(value == 0.0 for value in found.sums().values())


def test_an_expiry_at_the_strike_is_all_unexplained_where_greeks_are_infinite():
    holdings = desk(call(100.0, expiry=0.0), call(100.0, expiry=1 / 365))
    found = explained(holdings, after(holdings, returns=0.1, days=1.0))
    assert found.profits[0] == pytest.approx(10.0)
    assert np.isfinite(found.unexplained).all()
    parts = sum(part[0] for part in found.parts.values())
    assert parts + found.unexplained[0] == pytest.approx(10.0)


def test_states_that_do_not_belong_together():
    one = desk(call())
    with pytest.raises(MeasureError, match="before has 1 positions, after 2"):
        explained(one, desk(call(), call()))
    with pytest.raises(MeasureError, match=r"positions\[0\]: ACME 100 call 182d before, ACME 101"):
        explained(one, desk(call(101.0)))
    with pytest.raises(MeasureError, match="same positions in the same order"):
        explained(one, desk(call(quantity=2.0)))
    with pytest.raises(MeasureError, match="expires later after than before"):
        explained(one, desk(call(expiry=0.6)))
    assert explained(one, later(one, 400.0)).profits[0] < 0
