"""American options: against QuantLib's spectral solution, and what must hold of them."""

import math

import numpy as np
import pytest
import QuantLib as ql

from ringbuf.jit import compiled
from workers.kernels import american as trees
from workers.kernels.american import STEPS, TREE, American, american
from workers.kernels.black_scholes import CALL, PUT, Refused, measure
from workers.records import empty

COUNT = 24 if compiled() else 2
NODES = STEPS if compiled() else 31
COARSE = 1 if compiled() else 40  # what fewer steps cost
PLAIN = (100.0, 100.0, 0.05, 0.02, 1.0, 0.25)  # S, K, r, q, T, volatility
DAYS = 365


@pytest.fixture(scope="module")
def tree():
    return empty(TREE, 1)


@pytest.fixture
def value(tree):
    """Measures of one option."""
    return lambda *option: american(tree.ctypes.data, *option, NODES)


def drawn(count):
    draw = np.random.default_rng(3)
    for number in range(count):
        days = int(draw.uniform(7, 1500))
        strike = 100 * math.exp(draw.normal(0, 0.2))
        rate, dividend = draw.uniform(0.005, 0.12), draw.uniform(0, 0.1)
        yield (CALL, PUT)[number % 2], 100.0, strike, rate, dividend, days, draw.uniform(0.08, 0.8)


def quantlib(kind, spot, strike, rate, dividend, days, volatility):
    """The price of QuantLib's most exact engine."""
    today, clock = ql.Date(15, 1, 2024), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    process = ql.BlackScholesMertonProcess(
        ql.QuoteHandle(ql.SimpleQuote(spot)),
        ql.YieldTermStructureHandle(ql.FlatForward(today, dividend, clock)),
        ql.YieldTermStructureHandle(ql.FlatForward(today, rate, clock)),
        ql.BlackVolTermStructureHandle(
            ql.BlackConstantVol(today, ql.NullCalendar(), volatility, clock)
        ),
    )
    side = ql.Option.Call if kind == CALL else ql.Option.Put
    exercise = ql.AmericanExercise(today, today + days)
    option = ql.VanillaOption(ql.PlainVanillaPayoff(side, strike), exercise)
    scheme = ql.QdFpAmericanEngine.highPrecisionScheme()
    option.setPricingEngine(ql.QdFpAmericanEngine(process, scheme))
    return option.NPV()


def test_prices_and_greeks_are_those_of_the_spectral_solution(value):
    errors = []
    for kind, spot, strike, rate, dividend, days, volatility in drawn(COUNT):
        rest = strike, rate, dividend, days, volatility
        wanted = quantlib(kind, spot, *rest)
        found = value(kind, spot, strike, rate, dividend, days / DAYS, volatility)
        errors.append(abs(found.price - wanted) / strike)
        up, down = quantlib(kind, spot + 0.5, *rest), quantlib(kind, spot - 0.5, *rest)
        assert found.delta == pytest.approx(up - down, abs=2e-3 * COARSE)
        assert found.gamma == pytest.approx((up + down - 2 * wanted) * 4, abs=2e-3 * COARSE)
        more = quantlib(kind, spot, strike, rate, dividend, days, volatility + 1e-3)
        less = quantlib(kind, spot, strike, rate, dividend, days, volatility - 1e-3)
        assert found.vega == pytest.approx((more - less) / 2e-3, abs=0.02 * strike * COARSE)
    assert max(errors) < 5e-5 * COARSE
    assert np.median(errors) < 1e-6 * COARSE


def test_options_that_are_never_exercised_early_are_european(value):
    for option in (
        (CALL, 100.0, 90.0, 0.05, 0.0, 1.0, 0.2),
        (CALL, 100.0, 120.0, 0.05, -0.03, 2.0, 0.3),
        (CALL, 100.0, 90.0, 0.0, 0.0, 1.0, 0.2),
        (PUT, 100.0, 120.0, 0.0, 0.02, 1.0, 0.2),
        (PUT, 100.0, 120.0, -0.02, 0.0, 1.0, 0.2),
    ):
        found, same = value(*option), measure(*option)
        assert found == tuple(getattr(same, name) for name in American._fields)


def test_a_right_more_is_worth_more(value):
    """Never less than exercise now, nor than the European option; and some puts are much more."""
    for spot in (60.0, 80.0, 100.0, 120.0):
        for rate, dividend in ((0.08, 0.0), (0.02, 0.08), (-0.03, -0.06)):
            for kind in (CALL, PUT):
                option = (kind, spot, 100.0, rate, dividend, 1.0, 0.2)
                found = value(*option).price
                assert found >= max(kind * (spot - 100), 0.0)
                assert found >= measure(*option).price
    option = (PUT, 80.0, 100.0, 0.08, 0.0, 1.0, 0.2)
    assert value(*option).price > measure(*option).price + 3


def test_a_put_deep_in_the_money_is_exercised(value):
    for option in (
        (PUT, 40.0, 100.0, 0.08, 0.0, 1.0, 0.2),
        (CALL, 300.0, 100.0, 0.01, 0.1, 2.0, 0.2),
    ):
        kind, spot, strike = option[:3]
        assert value(*option) == (0, kind * (spot - strike), kind, 0.0, 0.0, 0.0, 0.0)


def test_calls_and_puts_mirror_one_another(value):
    """A call on S struck at K is a put on K struck at S, with the rates exchanged (McDonald and
    Schroder 1998)."""
    call = value(CALL, 110.0, 95.0, 0.03, 0.07, 1.5, 0.3).price
    put = value(PUT, 95.0, 110.0, 0.07, 0.03, 1.5, 0.3).price
    assert call == pytest.approx(put, abs=1e-3 * COARSE)


def test_greeks_are_the_derivatives_of_prices(value):
    for kind in (CALL, PUT):
        found = value(kind, *PLAIN)
        for place, name, step, sign in (
            (0, "delta", 0.5, 1),
            (4, "theta", 0.02, -1),
            (5, "vega", 0.005, 1),
            (2, "rho", 0.001, 1),
        ):
            up, down = list(PLAIN), list(PLAIN)
            up[place] += step
            down[place] -= step
            slope = sign * (value(kind, *up).price - value(kind, *down).price) / (2 * step)
            size = max(abs(slope), 1.0)
            assert getattr(found, name) == pytest.approx(slope, abs=0.003 * size * COARSE), name


def test_prices_rise_with_volatility_and_time(value):
    for kind in (CALL, PUT):
        for place, factors in ((5, (0.2, 0.5, 1, 2, 4)), (4, (0.01, 0.1, 0.5, 1, 2))):
            prices = []
            for factor in factors:
                option = list(PLAIN)
                option[place] *= factor
                prices.append(value(kind, *option).price)
            assert prices == sorted(prices)
            assert prices[-1] > prices[0]


def test_without_time_or_uncertainty(value):
    for kind, spot in ((CALL, 120.0), (PUT, 80.0), (CALL, 80.0), (PUT, 120.0)):
        now = value(kind, spot, 100.0, 0.05, 0.02, 0.0, 0.2)
        assert now.price == max(kind * (spot - 100), 0)
        assert now.vega == 0
    still = value(CALL, 120.0, 100.0, 0.05, 0.02, 1.0, 0.0)
    assert still.price == pytest.approx(120 * math.exp(-0.02) - 100 * math.exp(-0.05))
    assert still.delta == pytest.approx(math.exp(-0.02))
    assert value(PUT, 80.0, 100.0, 0.05, 0.02, 1.0, 0.0).price == 20.0
    middle = value(CALL, 120.0, 100.0, 0.08, 0.075, 30.0, 0.0)
    times = np.linspace(0, 30, 30_001)
    best = (120 * np.exp(-0.075 * times) - 100 * np.exp(-0.08 * times)).max()
    assert middle.price == pytest.approx(best, rel=1e-7)
    quiet = value(CALL, 120.0, 100.0, 0.05, 0.02, 1.0, 1e-3)
    assert quiet.price == pytest.approx(still.price, rel=1e-6)
    assert value(PUT, 0.0, 100.0, *PLAIN[2:]).price == 100.0
    assert value(CALL, 0.0, 100.0, *PLAIN[2:]).price == 0.0
    assert value(CALL, 100.0, 0.0, *PLAIN[2:]).price == 100.0


def test_what_is_no_option_is_told(value):
    for place, reason in enumerate((Refused.SPOT, Refused.STRIKE, Refused.RATE, Refused.DIVIDEND)):
        option = list(PLAIN)
        option[place] = math.nan
        found = value(CALL, *option)
        assert found.flag == reason
        assert all(math.isnan(number) for number in found[1:])


def test_trees_have_an_odd_number_of_steps_that_fits(tree):
    for steps in (400, 1, 1_025):
        with pytest.raises(AssertionError):
            american(tree.ctypes.data, CALL, *PLAIN, steps)
    assert trees.MOST_STEPS // 2 >= trees.STEPS
