"""Simulated measures: the same bits however shared out, right within their errors; Sobol points."""

import math
import re

import numba
import numpy as np
import pytest
from scipy import special

from ringbuf.jit import FLAGS, compiled
from tests.naive import simulation
from workers import conventions, monte_carlo, parametric
from workers.kernels import monte_carlo as kernels
from workers.monte_carlo import Plan
from workers.quantiles import MeasureError, exact

PATHS = 40_000 if compiled() else 4_000
COVARIANCE = np.array([[0.0004, 0.0001, 0.0], [0.0001, 0.0009, -0.0002], [0.0, -0.0002, 0.0001]])
EXPOSURES = np.array([1e6, -5e5, 2e6])


def wide(factors, seed=3):
    """A covariance like that of shares: one common factor, and each its own."""
    source = np.random.default_rng(seed)
    beta = source.uniform(0.5, 1.5, factors) / 100
    return np.outer(beta, beta) + np.diag(source.uniform(0.5, 1.5, factors) / 100) ** 2


def test_paths_are_those_of_plain_python():
    found, _ = monte_carlo.profits(
        COVARIANCE, monte_carlo.linear(EXPOSURES), Plan(seed=2**40 + 7, paths=50, portfolio=3)
    )
    wanted = [
        simulation.linear_profit(2**40 + 7, 3, path, COVARIANCE.tolist(), EXPOSURES.tolist())
        for path in range(50)
    ]
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 64, 500])
def test_chunks_leave_every_bit(chunk):
    book = monte_carlo.quadratic(EXPOSURES, np.diag(EXPOSURES * 40))
    whole, _ = monte_carlo.profits(COVARIANCE, book, Plan(paths=200))
    parts, _ = monte_carlo.profits(COVARIANCE, book, Plan(paths=200, chunk=chunk))
    assert parts.tobytes() == whole.tobytes()


@pytest.mark.parametrize("cores", [2, 4])
def test_paths_shared_out_over_cores_are_the_same_paths(cores):
    book, each = monte_carlo.linear(EXPOSURES), 240 // cores
    whole, _ = monte_carlo.profits(COVARIANCE, book, Plan(paths=240))
    parts = [
        monte_carlo.profits(COVARIANCE, book, Plan(paths=each, first=each * core))[0]
        for core in reversed(range(cores))
    ]
    assert np.concatenate(parts[::-1]).tobytes() == whole.tobytes()


def test_seeds_and_portfolios_have_paths_of_their_own():
    book = monte_carlo.linear(EXPOSURES)
    plans = [Plan(paths=50), Plan(paths=50, seed=8), Plan(paths=50, portfolio=1)]
    first, second, third = (monte_carlo.profits(COVARIANCE, book, plan)[0] for plan in plans)
    assert not set(first) & set(second)
    assert not set(first) & set(third)


def test_kernels_are_the_matrix_products_that_they_stand_for():
    source = np.random.default_rng(1)
    z, root = source.normal(size=(4, 30)), np.tril(source.normal(size=(4, 4)))
    shocks = z.copy()
    kernels.correlate(shocks, root)
    assert shocks == pytest.approx(root @ z, rel=1e-12, abs=1e-13)
    other = np.empty_like(z)
    kernels.spread(z, root + 1, other)
    assert other == pytest.approx((root + 1) @ z, rel=1e-12, abs=1e-13)
    held, gamma = source.normal(size=4), source.normal(size=(4, 4))
    assert monte_carlo.linear(held)(shocks) == pytest.approx(held @ shocks, rel=1e-12)
    assert monte_carlo.grown(held)(shocks) == pytest.approx(held @ np.expm1(shocks), rel=1e-11)
    bent = held @ shocks + 0.5 * np.einsum("ip,ij,jp->p", shocks, gamma, shocks)
    assert monte_carlo.quadratic(held, gamma)(shocks) == pytest.approx(bent, rel=1e-11, abs=1e-12)


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="machine code is looked at")
@pytest.mark.parametrize("kernel", [kernels.correlate, kernels.add_linear, kernels.add_quadratic])
def test_inner_loops_run_on_packed_numbers(kernel):
    """A loop that LLVM leaves scalar is four times as slow, and nothing says so."""
    rows, row = np.ones((3, 8)), np.ones(3)
    arguments = {
        kernels.correlate: (rows, np.eye(3)),
        kernels.add_linear: (rows, row, np.ones(8)),
        kernels.add_quadratic: (rows, row, np.eye(3), np.ones(8)),
    }[kernel]
    fresh = numba.njit(**{**FLAGS, "cache": False})(kernel.py_func)
    fresh(*arguments)
    code = fresh.inspect_llvm(fresh.signatures[0])
    assert re.search(r"fmul <\d+ x double>", code)
    assert re.search(r"fadd <\d+ x double>", code)


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_a_linear_book_is_within_three_errors_of_the_formula(level):
    of = parametric.linear_gain(EXPOSURES, COVARIANCE)
    found = monte_carlo.measure(COVARIANCE, monte_carlo.linear(EXPOSURES), level, Plan(paths=PATHS))
    value = parametric.normal_value_at_risk(0, of.sigma, level)
    shortfall = parametric.normal_shortfall(0, of.sigma, level)
    assert abs(found.value_at_risk - value) < 3 * found.value_at_risk_error
    assert abs(found.shortfall - shortfall) < 3 * found.shortfall_error
    assert found.value_at_risk_error < 0.06 * value
    assert found.paths == PATHS
    assert not found.salvaged.repaired


def test_errors_are_as_large_as_the_scatter_of_many_runs():
    book, runs = monte_carlo.linear([1.0]), 150
    found = [
        monte_carlo.measure([[1.0]], book, 0.95, Plan(seed=seed, paths=400)) for seed in range(runs)
    ]
    for measure, error in (
        ("value_at_risk", "value_at_risk_error"),
        ("shortfall", "shortfall_error"),
    ):
        scatter = np.std([getattr(one, measure) for one in found], ddof=1)
        told = np.mean([getattr(one, error) for one in found])
        assert told == pytest.approx(scatter, rel=0.2)  # 150 runs know their scatter to 6 %


def test_too_small_a_tail_has_no_error():
    found = monte_carlo.measure(COVARIANCE, monte_carlo.linear(EXPOSURES), 0.99, Plan(paths=60))
    assert math.isnan(found.value_at_risk_error)
    assert math.isnan(found.shortfall_error)
    assert found.shortfall >= found.value_at_risk


def test_a_delta_gamma_book_is_near_its_cornish_fisher_numbers():
    delta, gamma = [1e6, 5e5, -3e5], np.diag([-8e6, 3e6, 2e6])
    of = parametric.quadratic_gain(delta, gamma, COVARIANCE)
    found = monte_carlo.measure(
        COVARIANCE, monte_carlo.quadratic(delta, gamma), 0.99, Plan(paths=PATHS)
    )
    wanted = parametric.modified_value_at_risk(of, 0.99)
    assert abs(found.value_at_risk - wanted) < 3 * found.value_at_risk_error + 0.01 * wanted


def call_price(spot, strike, years, volatility):
    """Black-Scholes without rates: the tests' own."""
    d = np.log(spot / strike) / (volatility * math.sqrt(years))
    half = volatility * math.sqrt(years) / 2
    return spot * special.ndtr(d + half) - strike * special.ndtr(d - half)


def test_options_are_revalued_in_full():
    """Short calls lose more than delta says, and about what delta and gamma say."""
    spot, strike, years, volatility, held = 100.0, 100.0, 0.25, 0.2, -1000.0
    now = call_price(spot, strike, years, volatility)

    def book(shocks):
        return held * (call_price(spot * (1 + shocks[0]), strike, years, volatility) - now)

    up, down = (call_price(spot + move, strike, years, volatility) for move in (0.1, -0.1))
    delta = held * spot * (up - down) / 0.2
    gamma = held * spot**2 * (up - 2 * now + down) / 0.01
    plan, day = Plan(paths=PATHS), [[0.02**2]]
    full = monte_carlo.measure(day, book, 0.99, plan)
    flat = monte_carlo.measure(day, monte_carlo.linear([delta]), 0.99, plan)
    bent = monte_carlo.measure(day, monte_carlo.quadratic([delta], [[gamma]]), 0.99, plan)
    assert full.value_at_risk > 1.1 * flat.value_at_risk
    assert full.value_at_risk == pytest.approx(bent.value_at_risk, rel=0.02)
    # the price is monotone in the one factor, so the loss at the quantile is known
    worst = spot * (1 + 0.02 * special.ndtri(0.99))
    wanted = -held * (call_price(worst, strike, years, volatility) - now)
    assert abs(full.value_at_risk - wanted) < 3 * full.value_at_risk_error


def test_sobol_points_along_principal_components_cut_the_error():
    """At equal paths the error of the shortfall is less than half; fixed seeds, so always so."""
    factors, paths, level = 8, 1024, 0.975
    of, exposures = wide(factors), np.linspace(0.5, 1.5, factors)
    book = monte_carlo.linear(exposures)
    sigma = parametric.linear_gain(exposures, of).sigma
    wanted = parametric.normal_shortfall(0, sigma, level)
    root = monte_carlo.covariance.principal(of)[0]
    plain, even = [], []
    for seed in range(12):
        made, _ = monte_carlo.profits(of, book, Plan(seed=seed, paths=paths))
        plain.append(conventions.expected_shortfall(made, level) - wanted)
        made = monte_carlo.sobol_profits(root, book, Plan(seed=seed, paths=paths), 0)
        even.append(conventions.expected_shortfall(made, level) - wanted)
    rough, fine = (math.sqrt(np.mean(np.square(errors))) for errors in (plain, even))
    assert fine < rough / 2


def test_quasi_random_measures_are_within_their_errors():
    factors, level = 6, 0.975
    of, exposures = wide(factors), np.ones(factors)
    sigma = parametric.linear_gain(exposures, of).sigma
    book, plan = monte_carlo.linear(exposures), Plan(paths=1024)
    found = monte_carlo.quasi(of, book, level, plan, 12)
    value = parametric.normal_value_at_risk(0, sigma, level)
    shortfall = parametric.normal_shortfall(0, sigma, level)
    assert abs(found.value_at_risk - value) < 3.5 * found.value_at_risk_error
    assert abs(found.shortfall - shortfall) < 3.5 * found.shortfall_error
    assert 0 < found.shortfall_error < 0.002 * shortfall
    assert found.paths == 12 * 1024
    assert monte_carlo.quasi(of, book, level, plan, 12)[:4] == found[:4]


def test_a_repair_is_told():
    given = [[1, 0.9, 0.7], [0.9, 1, 0.3], [0.7, 0.3, 1]]
    for found in (
        monte_carlo.measure(given, monte_carlo.linear([1, 1, 1]), 0.9, Plan(paths=100)),
        monte_carlo.quasi(given, monte_carlo.linear([1, 1, 1]), 0.9, Plan(paths=64), 2),
    ):
        assert found.salvaged.repaired
        assert found.salvaged.changed > 0.001


def test_measures_of_one_path_and_of_a_book_of_nothing():
    one = monte_carlo.measure(COVARIANCE, monte_carlo.linear(EXPOSURES), 0.99, Plan(paths=1))
    assert one.value_at_risk == one.shortfall
    none = monte_carlo.measure(COVARIANCE, monte_carlo.linear([0, 0, 0]), 0.9, Plan(paths=100))
    assert none[:4] == (0, 0, 0, 0)
    assert monte_carlo.value_at_risk_error(np.zeros(100), exact(0.9)) == 0


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda book: monte_carlo.measure([[1.0]], book, 0.9, Plan(paths=0)), "0 paths"),
        (lambda book: monte_carlo.measure([[1.0]], book, 0.9, Plan(seed=-1)), "seed -1"),
        (lambda book: monte_carlo.measure([[1.0]], book, 0.9, Plan(first=-1)), "first path -1"),
        (lambda book: monte_carlo.quasi([[1.0]], book, 0.9, Plan(paths=100)), "power of two"),
        (lambda book: monte_carlo.quasi([[1.0]], book, 0.9, Plan(paths=64), 1), "1 replications"),
        (lambda book: monte_carlo.measure(np.eye(2), book, 0.9), "a covariance of 2"),
        (lambda book: monte_carlo.quadratic([1, 2], [[1]]), r"gamma: shape \(1, 1\)"),
        (lambda book: monte_carlo.linear([math.nan]), "nan at index 0"),
        (
            lambda book: monte_carlo.measure([[1.0]], lambda x: x, 0.9),
            r"shape \(1, 1024\) for 1024",
        ),
        (
            lambda book: monte_carlo.measure(
                [[1.0]], lambda x: np.where(x[0] > 1, np.nan, 0), 0.9, Plan(first=10, paths=50)
            ),
            "profit nan on path",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(wrong, found):
    with pytest.raises(MeasureError, match=found):
        wrong(monte_carlo.linear([1.0]))
