"""Tabulated books: their error is the one they tell, and simulated measures do not move."""

import math

import numpy as np
import pytest
from scipy import special

from workers import curves, monte_carlo
from workers.monte_carlo import Plan
from workers.quantiles import MeasureError

SIGMA = 0.02


def calls(returns):
    """Profit and slope of 40 short and long calls on a spot of 100, by its return."""
    source = np.random.default_rng(9)
    strikes, held = source.uniform(80, 120, 40), source.integers(-30, 20, 40)
    deviation = 0.25 * math.sqrt(0.2)
    spots = 100 * (1 + returns[:, None])
    d = np.log(spots / strikes) / deviation
    up, down = special.ndtr(d + deviation / 2), special.ndtr(d - deviation / 2)
    worth, delta = spots * up - strikes * down, 100 * up
    d = np.log(100 / strikes) / deviation
    now = 100 * special.ndtr(d + deviation / 2) - strikes * special.ndtr(d - deviation / 2)
    return (worth - now) @ held, delta @ held


def cubic(returns):
    return 3 * returns**3 - returns**2 + 2 * returns - 1, 9 * returns**2 - 2 * returns + 2


def test_a_cubic_is_read_off_exactly():
    curve = curves.tabulate(0, cubic, -1.0, 1.0, points=3)
    assert curve.error < 1e-15
    shocks = np.linspace(-1, 1, 101)[None, :]
    assert curves.along([curve])(shocks) == pytest.approx(cubic(shocks[0])[0], abs=1e-14)


def test_the_told_error_is_the_greatest_there_is():
    curve = curves.tabulate(0, calls, -8 * SIGMA, 8 * SIGMA)
    shocks = np.linspace(-8 * SIGMA, 8 * SIGMA, 5000)[None, :]
    off = np.abs(curves.along([curve])(shocks) - calls(shocks[0])[0]).max()
    assert off < 1.1 * curve.error + 1e-10
    assert curve.error < 1e-4
    coarse = curves.tabulate(0, calls, -8 * SIGMA, 8 * SIGMA, points=9)
    assert coarse.error > 20 * curve.error


def test_simulated_measures_are_those_of_the_full_valuation():
    curve = curves.tabulate(1, calls, -6 * SIGMA, 6 * SIGMA)
    of, plan = np.diag([1e-6, SIGMA**2]), Plan(paths=3000)
    full = monte_carlo.measure(of, lambda shocks: calls(shocks[1])[0], 0.99, plan)
    quick = monte_carlo.measure(of, curves.along([curve]), 0.99, plan)
    assert quick.value_at_risk == pytest.approx(full.value_at_risk, abs=2 * curve.error)
    assert quick.shortfall == pytest.approx(full.shortfall, abs=2 * curve.error)


def test_paths_outside_the_table_are_valued_exactly():
    curve = curves.tabulate(0, cubic, -0.1, 0.1, points=5)
    shocks = np.array([[-0.1, 0.1, -0.11, 5.0, 0.0]])
    assert curves.along([curve])(shocks) == pytest.approx(cubic(shocks[0])[0], abs=1e-13)


def test_curves_of_several_factors_add_up():
    first = curves.tabulate(0, cubic, -1, 1)
    second = curves.tabulate(1, lambda r: (2 * r, 2 + 0 * r), -1, 1)
    shocks = np.random.default_rng(1).uniform(-1, 1, (2, 50))
    wanted = cubic(shocks[0])[0] + 2 * shocks[1]
    assert curves.along([first, second])(shocks) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: curves.tabulate(0, cubic, 1, 1), "from 1 to 1"),
        (lambda: curves.tabulate(0, cubic, 0, 1, points=1), "1 points"),
        (lambda: curves.tabulate(-1, cubic, 0, 1), "factor -1"),
        (lambda: curves.tabulate(0, lambda r: (r[:1], r), 0, 1), r"shapes \(1,\)"),
        (lambda: curves.tabulate(0, lambda r: (r / 0 * 0, r), 1, 2), "profits of the curve: nan"),
        (
            lambda: curves.along([curves.tabulate(2, cubic, 0, 1)])(np.zeros((2, 3))),
            "factor 2, of 2 factors",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_is_no_curve_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong()
