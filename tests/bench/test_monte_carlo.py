"""The benchmark of Monte Carlo: all ways give the same profits, and others are no result."""

import numpy as np
import pytest

from bench import monte_carlo
from bench.harness import BenchError, Options
from bench.monte_carlo import CURVES, EXACT, NUMPY, Simulation


def test_all_ways_give_the_same_profits():
    made = Simulation(options=8, underlyings=2, paths=50)
    assert np.ptp(made.wanted) > 1
    for variant in (EXACT, CURVES, NUMPY):
        made.check(variant, made.profits(variant))
    with pytest.raises(BenchError, match="profits differ by"):
        made.check(NUMPY, made.wanted * 1.00001)
    with pytest.raises(BenchError, match="profits differ by nan"):
        made.check(CURVES, made.wanted * np.nan)


def test_the_whole_benchmark():
    result = monte_carlo.run(Options(short=True))
    assert set(result.variants) == {EXACT, CURVES, NUMPY}
    assert all(result.median(name, "ms") > 0 for name in result.variants)
