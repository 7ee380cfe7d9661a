"""Arrays of options in any shape: what the kernels say of each alone."""

import math

import numpy as np
import pytest

from workers import options
from workers.kernels.american import TREE, american
from workers.kernels.black_scholes import CALL, PUT, Measures, Refused, measure
from workers.kernels.implied import Found
from workers.records import empty

REST = (0.05, 0.01, 0.5)  # rate, dividend, expiry
STRIKES = np.linspace(60.0, 140.0, 9)


def test_measures_of_a_grid():
    """Spots down, strikes across, as numpy broadcasts them."""
    spots = np.array([[80.0], [100.0], [120.0]])
    found = options.measures(PUT, spots, STRIKES, *REST, 0.2)
    assert set(found) == set(Measures._fields)
    for name, values in found.items():
        assert values.shape == (3, 9)
        for row, spot in enumerate(spots[:, 0].tolist()):
            for column, strike in enumerate(STRIKES.tolist()):
                assert values[row, column] == getattr(measure(PUT, spot, strike, *REST, 0.2), name)
    assert found["flag"].dtype == np.int64


def test_single_numbers_and_nothing_at_all():
    found = options.measures(CALL, 100.0, 90.0, *REST, 0.2)
    assert found["price"].shape == ()
    assert float(found["price"]) == measure(CALL, 100.0, 90.0, *REST, 0.2).price
    assert options.measures(CALL, [], 90.0, *REST, 0.2)["price"].shape == (0,)
    with pytest.raises(ValueError, match="broadcast"):
        options.measures(CALL, [1.0, 2.0], [1.0, 2.0, 3.0], *REST, 0.2)


def test_a_refused_option_is_alone():
    spots = np.array([100.0, -1.0, math.nan, 100.0])
    found = options.measures(CALL, spots, 90.0, *REST, 0.2)
    assert found["flag"].tolist() == [0, Refused.SPOT, Refused.SPOT, 0]
    assert np.isnan(found["price"]).tolist() == [False, True, True, False]


def test_implied_volatilities_of_a_grid():
    kinds = np.array([[CALL], [PUT]])
    smile = 0.2 + (STRIKES / 100 - 1) ** 2
    prices = options.measures(kinds, 100.0, STRIKES, *REST, smile)["price"]
    found = options.implied_volatilities(kinds, prices, 100.0, STRIKES, *REST)
    assert not found["code"].any()
    assert np.allclose(found["volatility"], [smile, smile], rtol=1e-11, atol=0)
    none = options.implied_volatilities(CALL, [200.0, -1.0], 100.0, 90.0, *REST)
    assert none["code"].tolist() == [Found.ABOVE_BOUND, Found.BELOW_INTRINSIC]
    assert np.isnan(none["volatility"]).all()


def test_american_options_of_a_grid():
    tree = empty(TREE, 1)
    spots = np.array([[90.0], [110.0]])
    found = options.american_measures(PUT, spots, [95.0, 105.0], 0.05, 0.0, 0.5, 0.3, steps=31)
    for name, values in found.items():
        assert values.shape == (2, 2)
        alone = american(tree.ctypes.data, PUT, 90.0, 105.0, 0.05, 0.0, 0.5, 0.3, 31)
        assert values[0, 1] == getattr(alone, name)
    assert (
        found["price"] >= options.measures(PUT, spots, [95.0, 105.0], 0.05, 0.0, 0.5, 0.3)["price"]
    ).all()
    assert options.american_measures(PUT, [], 1.0, 0.05, 0.0, 0.5, 0.3)["price"].shape == (0,)
