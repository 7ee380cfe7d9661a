"""Holdings: what is wrong with them is told all at once, with its place."""

import math

import msgspec
import pytest

from tests.workers.desks import MIXED, UNDERLYINGS, call, desk, put
from workers.holdings import (
    Equity,
    Future,
    Hedge,
    Hedging,
    Holdings,
    HoldingsError,
    Move,
    check,
    described,
    faults,
)


def test_good_holdings_have_no_faults_and_survive_plain_data():
    assert faults(MIXED) == []
    assert msgspec.convert(msgspec.to_builtins(MIXED), Holdings) == MIXED


@pytest.mark.parametrize(
    ("position", "told"),
    [
        (call(underlying="NONE"), "positions[0].underlying: 'NONE' is not there; known: ACME"),
        (call(quantity=math.nan), "positions[0].quantity: nan is out of range"),
        (call(strike=0.0), "positions[0].strike: 0.0 is out of range; give 1e-30 to 1e+30"),
        (call(expiry=-0.1), "positions[0].expiry: -0.1 is out of range; give 0 to 10000"),
        (call(volatility=-0.2), "positions[0].volatility: -0.2 is out of range"),
        (call(rate=math.inf), "positions[0].rate: inf is out of range"),
        (put(dividend=1e9), "positions[0].dividend: 1000000000.0 is out of range"),
        (call(multiplier=0.0), "positions[0].multiplier: 0.0 is out of range"),
        (Future(underlying="ACME", quantity=1.0, expiry=1000.0, rate=0.5),
         "positions[0].rate: 0.5 is out of range; give -0.1 to 0.1"),
        (Equity(underlying="ACME", quantity=1e30), "positions[0].quantity: 1e+30 is out of range"),
    ],
)  # fmt: skip
def test_positions_that_cannot_be(position, told):
    (line,) = faults(desk(position))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"price": 0.0}, "underlyings.ACME.price: 0.0 is out of range"),
        ({"price": math.nan}, "underlyings.ACME.price: nan is out of range"),
        ({"volatility": -1.0}, "underlyings.ACME.volatility: -1.0 is out of range"),
        ({"beta": math.inf}, "underlyings.ACME.beta: inf is out of range"),
        ({"factors": {"oil": math.nan}}, "underlyings.ACME.factors.oil: nan is out of range"),
        ({"factors": {"market": 1.0}}, "underlyings.ACME.factors.market: stands in"),
    ],
)
def test_underlyings_that_cannot_be(change, told):
    bad = msgspec.structs.replace(UNDERLYINGS["ACME"], **change)
    (line,) = faults(desk(call(), underlyings={"ACME": bad}))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (Move(underlyings={"NONE": 0.1}), "shocks.x.underlyings: 'NONE' is not there"),
        (Move(sectors={"banks": 0.1}), "shocks.x.sectors: 'banks' is not there; known: energy, "),
        (Move(factors={"gold": 0.1}), "shocks.x.factors: 'gold' is not there; known: market, oil"),
        (Move(underlyings={"ACME": -1.1}), "shocks.x.underlyings.ACME: -1.1 is out of range"),
        (Move(volatility=math.nan), "shocks.x.volatility: nan is out of range"),
        (Move(volatility_ratio=-1.0), "shocks.x.volatility_ratio: -1.0 is out of range"),
        (Move(days=-1.0), "shocks.x.days: -1.0 is out of range"),
        (Move(rate=2.0), "shocks.x.rate: 2.0 is out of range"),
    ],
)
def test_shocks_that_cannot_be(move, told):
    (line,) = faults(desk(call(), shocks={"x": move}))
    assert line.startswith(told)


def test_hedges_and_correlations_that_cannot_be():
    holdings = desk(
        call(),
        hedges=[Hedge(instrument=call(strike=-1.0), cost=-1.0, most=-2)],
        hedging=Hedging(budget=math.nan, within={"delta": -1.0}),
        correlations={"ACME": {"ZETA": 1.5, "NONE": 0.0}},
    )
    places = [line.partition(":")[0] for line in faults(holdings)]
    assert places == [
        "hedges[0].instrument.strike", "hedges[0].cost", "hedges[0].most", "hedging.budget",
        "hedging.within.delta", "correlations.ACME", "correlations.ACME.ZETA",
    ]  # fmt: skip
    twice = {"ACME": {"ZETA": 0.5}, "ZETA": {"ACME": 0.4}}
    told = faults(desk(call(), correlations=twice))
    assert any("is another than the other way round" in line for line in told)


def test_all_problems_are_told_in_one_error():
    with pytest.raises(HoldingsError) as caught:
        check(desk(call(strike=0.0, volatility=-1.0), underlyings=UNDERLYINGS), "desk.toml")
    assert str(caught.value).count("desk.toml: positions[0].") == 2
    with pytest.raises(HoldingsError, match="there are none"):
        check(Holdings(underlyings={}, positions=[]))


def test_positions_are_described():
    words = [described(position) for position in MIXED.positions]
    assert words == ["ACME", "ZETA future 91d", "ACME 105 call 182d", "ACME 90 put 182d",
                     "ZETA 48 put 36d"]  # fmt: skip
    assert described(Equity(underlying="ACME", quantity=1.0, name="core")) == "core"
