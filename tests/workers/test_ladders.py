"""Greeks by bucket: they add up, and say what a revaluation would."""

import numpy as np
import pytest

from tests.workers.desks import MIXED, call, desk, drawn, put
from workers.holdings import Equity, Future
from workers.ladders import COLUMNS, EXPIRIES, bucket, in_money, ladder
from workers.revaluation import Valued, quiet, totals


@pytest.mark.parametrize("holdings", [MIXED, drawn(150, 3)])
def test_rungs_add_up_to_all(holdings):
    valued = Valued(holdings)
    rungs = ladder(valued)
    assert sum(rung.positions for rung in rungs) == len(holdings.positions)
    sums = [sum(getattr(rung, name) for rung in rungs) for name in COLUMNS]
    assert sums == pytest.approx(in_money(valued).sum(axis=0), rel=1e-10)


def test_units_are_those_of_moves_a_person_makes():
    valued = Valued(desk(call(quantity=5.0, multiplier=100.0, dividend=0.01), put(90.0, -3.0)))
    value, delta, gamma, vega, theta, rho = in_money(valued).sum(axis=0)
    shocks = quiet(valued, ["up", "down", "more", "later", "dearer"])
    shocks.returns[0], shocks.returns[1], shocks.shifts[2] = 0.01, -0.01, 0.0001
    shocks.days[3], shocks.rates[4] = 0.01, 1e-5
    up, down, more, later, dearer = totals(valued, shocks)
    assert (up - down) / 2 == pytest.approx(delta, rel=1e-3)
    assert up + down == pytest.approx(gamma, rel=2e-3)
    assert more * 100 == pytest.approx(vega, rel=1e-3)
    assert later * 100 == pytest.approx(theta, rel=1e-3)
    assert dearer * 10 == pytest.approx(rho, rel=1e-3)
    assert value > 0


def test_buckets():
    holdings = desk(
        call(100.0, expiry=7 / 365), call(100.0, expiry=7.1 / 365), call(79.0, expiry=2.0),
        call(130.0, expiry=2.0), call(131.0, expiry=2.0), Equity(underlying="ACME", quantity=1.0),
        Future(underlying="ZETA", quantity=1.0),
    )  # fmt: skip
    found = [(rung.underlying, rung.expiry, rung.strike, rung.positions)
             for rung in ladder(Valued(holdings))]  # fmt: skip
    assert found == [
        ("ACME", "no option", "", 1),
        ("ACME", "to 7d", "97.5 to 102.5%", 1),
        ("ACME", "7 to 30d", "97.5 to 102.5%", 1),
        ("ACME", "over 365d", "to 80%", 1),
        ("ACME", "over 365d", "over 120%", 2),
        ("ZETA", "no option", "", 1),
    ]
    assert bucket(EXPIRIES, 1, "d") == "7 to 30d"


def test_parity_has_a_delta_and_nothing_else():
    valued = Valued(desk(call(), put(quantity=-1.0), call(underlying="ZETA", expiry=0.0)))
    (flat, expired) = ladder(valued)
    assert flat.positions == 2
    assert flat.delta == pytest.approx(1.0)
    assert (flat.gamma, flat.vega) == pytest.approx((0.0, 0.0), abs=1e-14)
    assert np.isfinite(expired[4:]).all()
    assert (expired.value, expired.delta, expired.gamma) == (0.0, 0.0, 0.0)
