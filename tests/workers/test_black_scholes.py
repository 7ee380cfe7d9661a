"""One option: against 60 digits, in every corner, and what must hold between its measures."""

import csv
import math
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import options as naive
from workers.kernels.black_scholes import CALL, PUT, Measures, Refused, measure

KINDS = {"call": CALL, "put": PUT}
NAMES = Measures._fields[1:]
COUNT = 600 if compiled() else 120
NOT_A_NUMBER, INFINITE = math.nan, math.inf
PLAIN = (100.0, 100.0, 0.05, 0.01, 1.0, 0.2)


def drawn(count, seed):
    """Random options: short and long, quiet and wild, near and far from the money."""
    draw = random.Random(seed)
    for number in range(count):
        spot = math.exp(draw.uniform(-5, 8))
        rate, dividend = draw.uniform(-0.1, 0.2), draw.uniform(-0.1, 0.2)
        expiry, volatility = math.exp(draw.uniform(-9, 3)), math.exp(draw.uniform(-5, 1))
        deviations = draw.choice((0.0, draw.gauss(0, 1), draw.uniform(-30, 30)))
        strike = spot * math.exp(max(min(deviations * volatility * expiry**0.5, 20), -20))
        yield (CALL if number % 2 else PUT, spot, strike, rate, dividend, expiry, volatility)


def error(found, exact, floor):
    """The relative error; below the floor, relative to that."""
    return float(abs(Decimal(found) - exact) / max(abs(exact), Decimal(floor)))


def scale(name, option):
    """What the measure is made of, where its terms may cancel: a floor for relative errors."""
    _, spot, strike, rate, dividend, expiry, volatility = option
    found = measure(*option)
    parts = {
        "theta": found.vega * volatility / (2 * expiry)
        + (abs(rate) * abs(found.rho) + abs(dividend) * abs(found.dividend_rho)) / expiry,
        "vanna": found.vega / spot,
        "volga": found.vega,
        "charm": abs(dividend * found.delta) + found.vega / spot * abs(rate - dividend),
    }
    return parts.get(name, 0.0) + 1e-300 * spot / strike


@pytest.mark.parametrize("name", NAMES)
def test_measures_of_random_options_have_13_digits(name):
    """The exact ones come of the textbook's formulas with 60 digits."""
    for option in drawn(COUNT, NAMES.index(name)):
        exact = naive.measures(*option)[name]
        found = getattr(measure(*option), name)
        assert error(found, exact, scale(name, option)) < 5e-13, (name, option, found, exact)


@pytest.mark.parametrize("name", ["price", "delta", "gamma", "vega", "theta", "rho"])
def test_measures_of_the_reference_grid(name):
    """400 regimes of two engines and 60 digits, out to prices that no float64 can hold."""
    rows = list(csv.DictReader(data_file("risk/options_engines.csv").read_text().splitlines()))
    assert len(rows) > 100
    for row in rows:
        numbers = [float(row[column]) for column in ("S", "K", "r", "q", "T", "vol")]
        found = getattr(measure(KINDS[row["type"]], *numbers), name)
        assert found == pytest.approx(float(row[name]), rel=1e-12, abs=1e-300), row["id"]


OPTION = st.tuples(
    st.floats(0.5, 2.0),
    st.floats(-0.1, 0.2),
    st.floats(-0.1, 0.2),
    st.floats(1e-3, 10.0),
    st.floats(0.01, 2.0),
)


@given(OPTION)
def test_what_holds_between_call_and_put(option):
    moneyness, rate, dividend, expiry, volatility = option
    call, put = (
        measure(kind, 100.0 * moneyness, 100.0, rate, dividend, expiry, volatility)
        for kind in (CALL, PUT)
    )
    growth, discount = math.exp(-dividend * expiry), math.exp(-rate * expiry)
    size = 100 * (moneyness * growth + discount)
    forward = 100 * (moneyness * growth - discount)
    assert call.price - put.price == pytest.approx(forward, abs=1e-15 * size)
    assert call.delta - put.delta == pytest.approx(growth, rel=4e-16)
    for name in ("gamma", "vega", "vanna", "volga"):
        assert getattr(call, name) == getattr(put, name)
    years = expiry * 100
    assert call.rho - put.rho == pytest.approx(years * discount, rel=4e-16)
    assert call.dividend_rho - put.dividend_rho == pytest.approx(
        -years * moneyness * growth, rel=4e-16
    )
    assert call.charm - put.charm == pytest.approx(dividend * growth, abs=1e-13)
    assert 0 <= call.price <= 100 * moneyness * growth * (1 + 1e-15)
    assert call.price >= max(forward, 0) * (1 - 1e-14) - 1e-14
    assert 0 <= put.price <= 100 * discount * (1 + 1e-15)


@given(OPTION, st.floats(-8, 8))
def test_prices_scale_with_money(option, power):
    moneyness, *rest = option
    factor = 2.0 ** round(power * 10)
    one = measure(CALL, 100 * moneyness, 100.0, *rest)
    scaled = measure(CALL, 100 * moneyness * factor, 100.0 * factor, *rest)
    assert scaled.price == pytest.approx(one.price * factor, rel=1e-14)
    assert scaled.delta == pytest.approx(one.delta, rel=1e-14)
    assert scaled.gamma == pytest.approx(one.gamma / factor, rel=1e-14)


STEPS = (  # measure, of what it is the derivative, by which input, with which sign
    ("delta", "price", 1, 1),
    ("gamma", "delta", 1, 1),
    ("vega", "price", 6, 1),
    ("theta", "price", 5, -1),
    ("rho", "price", 3, 1),
    ("dividend_rho", "price", 4, 1),
    ("vanna", "delta", 6, 1),
    ("volga", "vega", 6, 1),
    ("charm", "delta", 5, -1),
)


@pytest.mark.parametrize(("name", "of", "place", "sign"), STEPS)
def test_greeks_are_the_derivatives(name, of, place, sign):
    """Central differences, with the next term of their error taken off (Richardson)."""
    for kind in (CALL, PUT):
        for option in ((100.0, 95.0, 0.04, 0.02, 0.7, 0.3), (40.0, 50.0, -0.01, 0.03, 2.0, 0.5)):
            inputs = [kind, *option]
            step = abs(inputs[place]) * 1e-3 if place < 3 or place > 4 else 1e-4
            slopes = []
            for width in (step, 2 * step):
                up, down = list(inputs), list(inputs)
                up[place] += width
                down[place] -= width
                change = getattr(measure(*up), of) - getattr(measure(*down), of)
                slopes.append(sign * change / (2 * width))
            wanted = (4 * slopes[0] - slopes[1]) / 3
            found = getattr(measure(*inputs), name)
            assert found == pytest.approx(wanted, rel=3e-8, abs=1e-9), (name, inputs)


def test_prices_rise_with_what_they_must_rise_with():
    """A call with the spot, a put with the strike, both with volatility: strictly, or not at all
    where nothing is left of the digits."""
    for kind, place in ((CALL, 1), (PUT, 2), (CALL, 6), (PUT, 6)):
        last = -1.0
        for step in range(1, 200):
            inputs = [kind, *PLAIN]
            inputs[place] *= step / 50
            price = measure(*inputs).price
            assert price >= last
            last = price


def test_no_time_or_no_volatility_leaves_the_forward_value():
    growth, discount = math.exp(-0.01), math.exp(-0.05)
    for kind in (CALL, PUT):
        for spot in (80.0, 100.0, 130.0):
            now = measure(kind, spot, 100.0, 0.05, 0.01, 0.0, 0.2)
            assert now.price == max(kind * (spot - 100), 0.0)
            chance = 0.5 if spot == 100 else float(kind * (spot - 100) > 0)
            assert now.delta == pytest.approx(kind * chance, rel=1e-15)
            still = measure(kind, spot, 100.0, 0.05, 0.01, 1.0, 0.0)
            forward = kind * (spot * growth - 100 * discount)
            assert still.price == pytest.approx(max(forward, 0.0), rel=1e-15)
            assert still.delta == pytest.approx(kind * growth * (forward > 0), rel=1e-15)
            assert (still.gamma, still.vega, still.vanna, still.volga) == (0, 0, 0, 0)
            income = kind * (0.01 * spot * growth - 0.05 * 100 * discount)
            assert still.theta == pytest.approx(income * (forward > 0), rel=1e-13)


def test_at_the_kink_itself():
    ends = measure(CALL, 100.0, 100.0, 0.05, 0.05, 0.0, 0.2)
    assert (ends.price, ends.vega, ends.gamma, ends.theta) == (0.0, 0.0, INFINITE, -INFINITE)
    assert ends.delta == pytest.approx(0.5)
    quiet = measure(PUT, 100.0, 100.0, 0.05, 0.05, 1.0, 0.0)
    growth = math.exp(-0.05)
    assert (quiet.price, quiet.gamma, quiet.theta) == (0.0, INFINITE, pytest.approx(0.0, abs=1e-15))
    assert quiet.delta == pytest.approx(-growth / 2)
    assert quiet.vega == pytest.approx(100 * growth / math.sqrt(2 * math.pi))
    both = measure(CALL, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0)
    assert (both.flag, both.price, both.theta) == (0, 0.0, 0.0)
    apart = measure(CALL, 100.0, 100.0, 0.05, 0.01, 0.0, 0.2)
    assert apart.charm == INFINITE * -1


def test_worthless_spots_and_strikes():
    growth, discount = math.exp(-0.01), math.exp(-0.05)
    for volatility in (0.0, 0.2, 8.0, 1e4):
        rest = (0.05, 0.01, 1.0, volatility)
        dead, insured = measure(CALL, 0.0, 90.0, *rest), measure(PUT, 0.0, 90.0, *rest)
        assert all(value == 0 for value in dead), dead
        assert insured.price == pytest.approx(90 * discount, rel=1e-15)
        assert insured.delta == pytest.approx(-growth, rel=1e-15)
        assert insured.rho == pytest.approx(-90 * discount, rel=1e-15)
        share, nothing = measure(CALL, 90.0, 0.0, *rest), measure(PUT, 90.0, 0.0, *rest)
        assert share.price == pytest.approx(90 * growth, rel=1e-15)
        assert share.delta == pytest.approx(growth, rel=1e-15)
        assert all(value == 0 for value in nothing), nothing
    assert measure(CALL, 0.0, 0.0, *PLAIN[2:]).price == 0.0


def test_short_and_wild_options():
    near = measure(CALL, 100.0, 100.0, 0.0, 0.0, 1e-5, 8.0)
    exact = naive.measures(CALL, 100.0, 100.0, 0.0, 0.0, 1e-5, 8.0)
    assert error(near.price, exact["price"], 0) < 1e-14
    wild = measure(CALL, 100.0, 120.0, 0.0, 0.0, 10.0, 8.0)
    assert wild.price == pytest.approx(100.0, rel=1e-12)
    assert measure(PUT, 100.0, 120.0, 0.0, 0.0, 10.0, 1e4).price == 120.0
    for rate, dividend in ((-0.05, 0.02), (0.02, -0.05), (-0.3, -0.4)):
        option = (PUT, 90.0, 100.0, rate, dividend, 1.0, 0.2)
        assert error(measure(*option).price, naive.measures(*option)["price"], 0) < 1e-14


BAD = {
    0: (Refused.KIND, (0.0, 2.0, -1.5, NOT_A_NUMBER, INFINITE)),
    1: (Refused.SPOT, (-1.0, NOT_A_NUMBER, INFINITE, -INFINITE, 1e31, 1e-31)),
    2: (Refused.STRIKE, (-1e-9, NOT_A_NUMBER, INFINITE, -INFINITE, 1e31, 1e-31)),
    3: (Refused.RATE, (NOT_A_NUMBER, INFINITE, -INFINITE, 101.0, -1e300)),
    4: (Refused.DIVIDEND, (NOT_A_NUMBER, INFINITE, -INFINITE, 101.0, -1e300)),
    5: (Refused.EXPIRY, (-1e-12, NOT_A_NUMBER, INFINITE, 1e5)),
    6: (Refused.VOLATILITY, (-0.2, NOT_A_NUMBER, INFINITE, -INFINITE, 1e5)),
}


@pytest.mark.parametrize("place", sorted(BAD))
def test_what_is_no_option_is_told_and_has_no_value(place):
    reason, values = BAD[place]
    for value in values:
        inputs = [CALL, *PLAIN]
        inputs[place] = value
        found = measure(*inputs)
        assert found.flag & reason, (place, value)
        assert all(math.isnan(number) for number in found[1:]), (place, value)


def test_all_reasons_are_told_at_once():
    found = measure(CALL, -1.0, 100.0, NOT_A_NUMBER, 0.0, 1.0, INFINITE)
    assert found.flag == Refused.SPOT | Refused.RATE | Refused.VOLATILITY
    worst = measure(*[NOT_A_NUMBER] * 7)
    assert worst.flag == sum(Refused)
    assert all(math.isnan(number) for number in worst[1:])
