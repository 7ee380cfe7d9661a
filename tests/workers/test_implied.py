"""Implied volatilities: there and back, to the last digit that a price can tell, or a reason."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.workers.test_black_scholes import CALL, PUT, drawn
from tests.workers.test_option_chains import column, fill, priced
from workers.kernels import option_chains as chains
from workers.kernels.black_scholes import measure
from workers.kernels.implied import Found, implied, implied_all

COUNT = 5_000 if compiled() else 60
EPSILON = 2.0**-52
SMALLEST = 5e-324
PLAIN = (100.0, 100.0, 0.05, 0.01, 1.0)  # S, K, r, q, T


def reachable(option, price, vega):
    """How well a rounded price can tell the volatility, relative: what one ulp of what it was
    made of is worth."""
    kind, spot, strike, rate, dividend, expiry, volatility = option
    asset, cash = spot * math.exp(-dividend * expiry), strike * math.exp(-rate * expiry)
    size = max(asset, cash) if kind * (asset - cash) > 0 else price
    return max(size * EPSILON, SMALLEST) / (volatility * vega)


def test_there_and_back():
    """Of what is left of a price when it has been rounded, no digit is lost."""
    solved = 0
    for option in drawn(COUNT, 11):
        found = measure(*option)
        answer = implied(option[0], found.price, *option[1:6])
        if answer.code == Found.NO_TIME_VALUE:
            assert answer.volatility == 0.0
            assert found.vega * option[-1] <= 1e-13 * (option[1] + option[2])
            continue
        if answer.code == Found.ABOVE_BOUND:
            continue  # so wild that the price was rounded to its bound
        assert answer.code == Found.SOLVED, (option, answer)
        off = abs(answer.volatility / option[-1] - 1)
        assert off <= 8 * reachable(option, found.price, found.vega) + 20 * EPSILON, option
        again = measure(*option[:6], answer.volatility)
        close = 1e-13 * (1 - math.log(min(found.price / option[1], 1.0) + SMALLEST))
        assert again.price == pytest.approx(found.price, rel=close, abs=2 * SMALLEST)
        solved += 1
    assert solved > COUNT / 2


def test_prices_that_are_hardly_there():
    for volatility in (0.0025, 0.003, 0.01):
        for strike in (101.0, 105.0, 109.0):
            found = measure(CALL, 100.0, strike, 0.0, 0.0, 1.0, volatility)
            if found.price < 1e-300:
                continue
            answer = implied(CALL, found.price, 100.0, strike, 0.0, 0.0, 1.0)
            assert answer == (Found.SOLVED, pytest.approx(volatility, rel=2e-15))
    for expiry in (1e-9, 1e-5):
        price = measure(PUT, 100.0, 100.0, 0.0, 0.0, expiry, 1e-6).price
        assert implied(PUT, price, 100.0, 100.0, 0.0, 0.0, expiry).volatility == pytest.approx(1e-6)
    assert implied(CALL, 1e-320, 100.0, 200.0, 0.0, 0.0, 1.0).code == Found.SOLVED


def test_prices_just_below_their_bound():
    for volatility in (3.0, 8.0, 12.0):
        found = measure(CALL, 100.0, 140.0, 0.0, 0.0, 1.0, volatility)
        answer = implied(CALL, found.price, 100.0, 140.0, 0.0, 0.0, 1.0)
        assert answer.code == Found.SOLVED
        limit = 2 * EPSILON * 100 / (volatility * found.vega)
        assert answer.volatility == pytest.approx(volatility, rel=limit + 4 * EPSILON)
    last = math.nextafter(100.0, 0.0)
    assert implied(CALL, last, 100.0, 140.0, 0.0, 0.0, 1.0).code == Found.SOLVED


def test_each_reason_why_there_is_none():
    growth, discount = math.exp(-0.01), math.exp(-0.05)
    floor = measure(CALL, *PLAIN, 0.0).price
    for kind, price, code in (
        (CALL, -1.0, Found.BELOW_INTRINSIC),
        (CALL, floor * 0.99, Found.BELOW_INTRINSIC),
        (CALL, floor, Found.NO_TIME_VALUE),
        (CALL, math.nextafter(floor, 0.0), Found.NO_TIME_VALUE),
        (CALL, 100 * growth * 1.001, Found.ABOVE_BOUND),
        (CALL, 1e6, Found.ABOVE_BOUND),
        (PUT, -1e-300, Found.BELOW_INTRINSIC),
        (PUT, 0.0, Found.NO_TIME_VALUE),
        (PUT, 100 * discount * (1 + 1e-15), Found.ABOVE_BOUND),
        (PUT, math.nan, Found.REFUSED),
        (PUT, math.inf, Found.REFUSED),
        (PUT, -math.inf, Found.REFUSED),
        (0.0, 5.0, Found.REFUSED),
        (CALL, floor + 1e-9, Found.SOLVED),
        (PUT, 1e-9, Found.SOLVED),
    ):
        answer = implied(kind, price, *PLAIN)
        assert answer.code == code, (kind, price, answer)
        assert math.isnan(answer.volatility) == (code not in (0, Found.NO_TIME_VALUE))


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        *((place, value, Found.REFUSED) for place in range(5) for value in (math.nan, math.inf)),
        (0, -1.0, Found.REFUSED),
        (1, -1.0, Found.REFUSED),
        (4, -1.0, Found.REFUSED),
        (4, 0.0, Found.NO_TIME),
        (0, 0.0, Found.NO_UNCERTAINTY),
        (1, 0.0, Found.NO_UNCERTAINTY),
    ],
)
def test_inputs_that_have_no_answer(place, value, code):
    inputs = list(PLAIN)
    inputs[place] = value
    answer = implied(CALL, 10.0, *inputs)
    assert answer.code == code
    assert math.isnan(answer.volatility)


@given(
    st.sampled_from([CALL, PUT]),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
    st.floats(0.01, 100.0),
    st.floats(-0.1, 0.2),
    st.floats(1e-6, 10.0),
)
def test_every_price_between_the_bounds_has_one(kind, share, moneyness, rate, expiry):
    """Any number there may be, not only those that a volatility was put in for."""
    spot, discount = 100.0 * moneyness, math.exp(-rate * expiry)
    forward = kind * (spot - 100.0 * discount)
    bound = spot if kind == CALL else 100.0 * discount
    floor = max(forward, 0.0)
    price = floor + share * (bound - floor)
    answer = implied(kind, price, spot, 100.0, rate, 0.0, expiry)
    if price in (floor, bound):
        return
    if answer.code == Found.NO_TIME_VALUE:
        assert price - floor < 1e-14 * (spot + 100)
        return
    assert answer.code == Found.SOLVED, answer
    deviation = answer.volatility * math.sqrt(expiry)
    assert 0 < deviation < 50
    if answer.volatility < 1e4:
        again = measure(kind, spot, 100.0, rate, 0.0, expiry, answer.volatility).price
        digits = 1e-14 - 4 * EPSILON * min(math.log(price) - math.log(spot), 0)  # fewer, far out
        rounding = 1e-14 * (spot + 100) if forward > 0 else 2 * SMALLEST
        assert again == pytest.approx(price, rel=digits, abs=rounding)


def test_a_higher_price_never_has_a_lower_volatility():
    draw = random.Random(4)
    prices = sorted(draw.uniform(0, 95) for _ in range(COUNT))
    found = [implied(CALL, price, 100.0, 130.0, 0.01, 0.02, 1.5) for price in prices]
    volatilities = [answer.volatility for answer in found if answer.code == Found.SOLVED]
    assert len(volatilities) > COUNT // 2
    assert volatilities == sorted(volatilities)


def test_whole_blocks():
    options = list(drawn(100, 12))
    columns = dict(zip(chains.INPUTS, np.array(options).T, strict=True))
    blocks = priced(fill(**columns))
    prices = column(blocks, "price", 100).copy()
    blocks["volatility"] = 0.0
    implied_all(blocks.ctypes.data, blocks.size)
    codes, volatilities = column(blocks, "flag", 100), column(blocks, "volatility", 100)
    for option, price, code, volatility in zip(options, prices, codes, volatilities, strict=True):
        alone = implied(option[0], float(price), *option[1:6])
        assert np.array_equal((code, volatility), alone, equal_nan=True)
    assert blocks["flag"][1, -1] == Found.REFUSED
