"""Books of options: each path is what a full revaluation says, and curves come near to it."""

import numpy as np
import pytest

from ringbuf.jit import compiled
from tests.workers.desks import MIXED, call, desk, drawn, put
from workers import monte_carlo, option_books, revaluation
from workers.monte_carlo import Plan
from workers.quantiles import MeasureError
from workers.revaluation import Valued, quiet

PATHS = 300 if compiled() else 40


def shocks_of(paths, size=0.1, seed=5):
    return np.random.default_rng(seed).normal(0.0, size, (2, paths))


def revalued(valued, shocks):
    """The same paths through the other way of pricing."""
    names = [str(number) for number in range(shocks.shape[1])]
    return revaluation.totals(
        valued, quiet(valued, names)._replace(returns=np.expm1(shocks.T).copy())
    )


@pytest.mark.parametrize("holdings", [MIXED, drawn(40, 3), drawn(300 if compiled() else 12, 4)])
def test_each_path_is_a_full_revaluation(holdings):
    valued, shocks = Valued(holdings), shocks_of(PATHS)
    found, wanted = option_books.exact(valued)(shocks), revalued(valued, shocks)
    assert np.abs(found - wanted).max() <= 1e-11 * max(np.abs(wanted).max(), 1e4)


def test_far_moves_and_nothing_left():
    valued = Valued(MIXED)
    shocks = np.array([[-800.0, -5.0, 5.0, 0.0], [3.0, -3.0, -800.0, 0.0]])
    found, wanted = option_books.exact(valued)(shocks), revalued(valued, shocks)
    assert np.allclose(found, wanted, rtol=1e-12, atol=1e-9)
    assert found[-1] == pytest.approx(0.0, abs=1e-9)


def test_curves_come_nearer_with_the_fourth_power_of_their_step():
    valued, shocks = Valued(MIXED), shocks_of(PATHS)
    wanted = option_books.exact(valued)(shocks)
    errors = [
        np.abs(option_books.interpolated(valued, 0.6, points)(shocks) - wanted).max()
        for points in (33, 65, 129)
    ]
    assert errors[1] < 1e-4 * np.abs(wanted).max()
    assert errors[0] / errors[2] > 50


def test_paths_beyond_the_grid_are_priced():
    valued, shocks = Valued(MIXED), shocks_of(PATHS)
    wanted = option_books.exact(valued)(shocks)
    found = option_books.interpolated(valued, 0.05)(shocks)
    far = (np.abs(shocks) > 0.05).any(axis=0)
    assert far.any()
    assert (found[far] == wanted[far]).all()


def test_measures_of_both_agree_within_a_fraction_of_their_error():
    valued = Valued(desk(call(105.0, -20.0), put(90.0, 15.0)))
    covariance = np.diag([0.02**2, 0.03**2])
    plan = Plan(paths=20_000 if compiled() else 300)
    exact = monte_carlo.measure(covariance, option_books.exact(valued), 0.99, plan)
    near = monte_carlo.measure(covariance, option_books.interpolated(valued, 0.2), 0.99, plan)
    assert abs(near.value_at_risk - exact.value_at_risk) < exact.value_at_risk_error / 100
    assert near.shortfall == pytest.approx(exact.shortfall, rel=1e-5)


@pytest.mark.parametrize(("reach", "points"), [(0.0, 65), (np.nan, 65), (0.5, 1), (0.5, 1 << 20)])
def test_a_grid_that_is_none_is_refused(reach, points):
    with pytest.raises(MeasureError, match="give 2 to"):
        option_books.interpolated(Valued(MIXED), reach, points)


def test_shocks_of_other_factors_are_refused():
    with pytest.raises(MeasureError, match="a book over 2 factors"):
        option_books.exact(Valued(MIXED))(np.zeros((3, 5)))
