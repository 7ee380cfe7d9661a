"""One option at a mark: the textbook's values, QuantLib's, and the same bits with no compiler."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive import live_options as naive
from workers.kernels import option_values
from workers.kernels.option_values import FRESH, PROFITS_AT, TERMS, YEAR_NS
from workers.kernels.scenarios import VECTOR
from workers.records import empty, lined

EXAMPLES = 100 if compiled() else 10
NOW_NS = 1_700_000_000 * 10**9
ALONE = """
from tests.workers.test_option_values import digest
print(digest())
"""


class Valued:
    """An option, scenarios, and the memory to value the one in the others."""

    def __init__(self, option: naive.Option, returns: np.ndarray) -> None:
        self.terms, self.count = empty(TERMS, 1), len(returns)
        for name in TERMS.names:
            self.terms[name] = getattr(option, name)
        self.work = lined(option_values.work_bytes(self.count))
        self.returns = lined(4 * self.count).view(np.int32)
        self.returns[:] = returns

    def at(self, spot: float, time_ns: int) -> bool:
        """Value it; whether it has a value."""
        terms, work = self.terms.ctypes.data, self.work.ctypes.data
        option_values.spread(work, self.returns.ctypes.data, self.count, spot)
        years = option_values.years_left(terms, time_ns)
        return bool(option_values.value(work, terms, self.count, spot, years))

    @property
    def fresh(self) -> np.record:
        return at(self.work.ctypes.data, FRESH)

    @property
    def profits(self) -> list[int]:
        return at(self.work.ctypes.data + PROFITS_AT, VECTOR).profit[: self.count].tolist()


def option(kind=1.0, strike=100.0, rate=0.02, dividend=0.01, volatility=0.3, days=90.0, units=1.0):
    expires_ns = NOW_NS + round(days * 86_400e9)
    return naive.Option(kind, strike, rate, dividend, volatility, expires_ns, units, 0)


def returns_of(count: int, seed: int = 1) -> np.ndarray:
    source = np.random.default_rng(seed)
    made = (source.standard_t(3, count) * 2**18).astype(np.int32)
    return np.maximum(made, -(2**24)).astype(np.int32)


def digest() -> str:
    """All figures of some options in some scenarios, corners among them."""
    returns = returns_of(200)
    returns[:4] = (0, -(2**24), 2**24, 1)
    found = []
    for kind in (1.0, -1.0):
        for terms in ({}, {"volatility": 0.0}, {"strike": 250.0}, {"days": 0.001, "units": -1e6}):
            valued = Valued(option(kind, **terms), returns)
            for spot in (99.99, 100.0, 143.2):
                good = valued.at(spot, NOW_NS)
                figures = [int(valued.fresh.value), *valued.fresh.greek.tolist()]
                found.append((good, good and (figures, valued.profits)))
    return repr(found)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.builds(
        option,
        kind=st.sampled_from([1.0, -1.0]),
        strike=st.floats(50.0, 200.0),
        rate=st.floats(-0.05, 0.1),
        dividend=st.floats(0.0, 0.05),
        volatility=st.floats(0.05, 1.5),
        days=st.floats(0.1, 2000.0),
        units=st.sampled_from([1.0, -40.0, 2_500.0, 1e6]),
    ),
    st.floats(60.0, 160.0),
    st.sampled_from([1, 100, 127, 128, 300]),
)
def test_values_profits_and_greeks_are_those_of_the_textbook(held, spot, count):
    returns = returns_of(count)
    valued = Valued(held, returns)
    assert valued.at(spot, NOW_NS)
    size = abs(held.units) * max(spot, held.strike)
    fresh = valued.fresh
    assert int(fresh.value) == pytest.approx(
        naive.value(held, spot, NOW_NS), abs=0.51 + 1e-12 * size * naive.MONEY_SCALE
    )
    wanted = naive.profits(held, spot, NOW_NS, returns)
    assert valued.profits == pytest.approx(wanted, abs=0.51 + 1e-12 * size * naive.PROFIT_UNIT)
    assert int(fresh.largest) == max(map(abs, valued.profits))
    for found, one in zip(fresh.greek.tolist(), naive.in_money(held, spot, NOW_NS), strict=True):
        assert found == pytest.approx(one, rel=1e-9, abs=0.51 + 1e-12 * size * naive.MONEY_SCALE)


def test_values_are_those_of_quantlib():
    ql = pytest.importorskip("QuantLib")
    spot, returns = 104.0, np.array([0, -(2**22), 2**21, 2**20, -(2**19)], np.int32)
    for kind, name in ((1.0, ql.Option.Call), (-1.0, ql.Option.Put)):
        held = option(kind, strike=95.0, days=200.0)
        valued = Valued(held, returns)
        assert valued.at(spot, NOW_NS)
        years = naive.years_left(held, NOW_NS)
        growth = math.exp(-held.dividend * years)
        discount = math.exp(-held.rate * years)

        def worth(price, name=name, growth=growth, discount=discount, years=years, held=held):
            payoff = ql.PlainVanillaPayoff(name, held.strike)
            deviation = held.volatility * math.sqrt(years)
            return ql.BlackCalculator(payoff, price * growth / discount, deviation, discount)

        now = worth(spot)
        assert int(valued.fresh.value) == pytest.approx(now.value() * 10_000, abs=0.6)
        wanted = [
            (worth(spot * (1 + change / 2**24)).value() - now.value()) * naive.PROFIT_UNIT
            for change in returns.tolist()
        ]
        assert valued.profits == pytest.approx(wanted, abs=0.51 + 1e-12 * naive.PROFIT_UNIT)
        greeks = (
            now.delta(spot) * spot * 0.01,
            now.gamma(spot) * (spot * 0.01) ** 2,
            now.vega(years) * 0.01,
            now.theta(spot, years) / 365,
            now.rho(years) * 1e-4,
        )
        assert valued.fresh.greek.tolist() == pytest.approx([10_000 * one for one in greeks],
                                                            abs=0.6)  # fmt: skip


def test_time_runs_out_at_expiry_and_before_1970_it_stands():
    terms = empty(TERMS, 1)
    terms["expires_ns"] = YEAR_NS
    left = [
        option_values.years_left(terms.ctypes.data, time_ns)
        for time_ns in (-(1 << 62), 0, YEAR_NS // 2, YEAR_NS - 1, YEAR_NS, 1 << 62)
    ]
    assert left == [1.0, 1.0, 0.5, 1 / YEAR_NS, 0.0, 0.0]


@pytest.mark.parametrize("spot", [0.0, 95.0, 100.0, 117.0])
def test_from_expiry_on_it_is_worth_what_it_pays(spot):
    for kind in (1.0, -1.0):
        valued = Valued(option(kind, days=0.0, units=-3.0), returns_of(10))
        assert valued.at(spot, NOW_NS)
        assert int(valued.fresh.value) == -3 * max(kind * (spot - 100.0), 0) * 10_000
        assert valued.profits == [0] * 10
        assert valued.fresh.greek.tolist() == [0] * 5


@pytest.mark.parametrize(
    "terms",
    [
        {"volatility": math.nan}, {"volatility": -0.1}, {"strike": -1.0}, {"rate": math.inf},
        {"units": 1e17}, {"units": math.nan}, {"dividend": 1e6}, {"kind": 0.0},
        {"days": 1e-11, "units": 1e15},
    ],
)  # fmt: skip
def test_what_has_no_value_within_the_bounds_is_told(terms):
    assert not Valued(option(**terms), returns_of(10)).at(100.0, NOW_NS)


def test_one_scenario_without_a_price_is_no_value():
    returns = returns_of(200)
    returns[150] = -(2**24) - 1  # less than nothing
    assert not Valued(option(), returns).at(100.0, NOW_NS)
    returns[150] = -(2**24)
    assert Valued(option(), returns).at(100.0, NOW_NS)


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (2.49, 2), (2.0**51 + 0.5, 2.0**51),
        (2.0**52 + 1, 2.0**52 + 1), (-(2.0**60), -(2.0**60)),
    ],
)  # fmt: skip
def test_halves_go_to_even(number, wanted):
    assert option_values.nearest(number) == wanted


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="compares with what the compiler makes")
def test_the_same_bits_come_out_with_no_compiler():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == digest()
