"""Normal numbers: the inverse to its stated accuracy, and what a sample of them must look like."""

import math
import re

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from ringbuf.jit import FLAGS, compiled
from workers.kernels import draws, philox


@settings(max_examples=200)
@given(st.floats(1e-300, 0.5) | st.floats(0.0, 690.0).map(lambda x: 0.5 * math.exp(-x)))
def test_the_inverse_is_scipys(p):
    wanted = float(special.ndtri(p))
    assert draws.quantile(p) == pytest.approx(wanted, rel=4e-15, abs=4e-16)
    if p > 1e-10:
        assert draws.quantile(1 - p) == pytest.approx(float(special.ndtri(1 - p)), rel=4e-15,
                                                        abs=4e-16)  # fmt: skip


@given(st.floats(1e-300, 0.5))
def test_the_inverse_is_the_inverse(p):
    """The distribution's condition number is about x^2: that many roundings are allowed."""
    x = draws.quantile(p)
    assert float(special.log_ndtr(x)) == pytest.approx(
        math.log(p), rel=1e-14, abs=4e-16 * (4 + x * x)
    )


def test_ranges_join():
    for edge in (0.075, 0.925, math.exp(-25.0)):
        below, above = (draws.quantile(edge * (1 + step)) for step in (-1e-15, 1e-15))
        assert below == pytest.approx(above, rel=1e-14)
    assert draws.quantile(0.5) == 0
    assert draws.quantile(0.975) == pytest.approx(1.9599639845400545, rel=1e-15)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_uniforms_are_inside_and_symmetric(high, low):
    value = draws.uniform(high, low)
    assert 0 < value < 1
    assert draws.uniform(2**32 - 1 - high, 2**32 - 1 - low) == 1 - value


def test_the_ends_are_finite():
    assert draws.uniform(0, 0) == 2.0**-53
    assert draws.quantile(draws.uniform(0, 0)) == pytest.approx(-8.209536151601387)
    top = draws.quantile(draws.uniform(2**32 - 1, 2**32 - 1))
    assert top == -draws.quantile(draws.uniform(0, 0))


def test_factors_are_halves_of_blocks():
    found = np.zeros((5, 3))
    draws.fill(found, 11, 2, 7)
    for factor in range(5):
        for path in range(3):
            words = philox.block(11, 2, 7 + path, factor // 2)
            pair = words[2 * (factor % 2) : 2 * (factor % 2) + 2]
            assert found[factor, path] == draws.quantile(draws.uniform(*pair))


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_chunks_do_not_matter(chunk):
    whole, parts = np.zeros((4, 20)), np.zeros((4, 20))
    draws.fill(whole, 5, 0, 100)
    for first in range(0, 20, chunk):
        draws.fill(parts[:, first : first + chunk], 5, 0, 100 + first)
    assert parts.tobytes() == whole.tobytes()


def test_a_sample_is_normal_and_its_factors_are_independent():
    count = 20_000 if compiled() else 2_000
    found = np.zeros((3, count))
    draws.fill(found, 1, 0, 0)
    for row in found:
        assert stats.kstest(row, "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 4 / math.sqrt(count)
    assert abs(np.corrcoef(found[0, :-1], found[0, 1:])[0, 1]) < 4 / math.sqrt(count)


def test_uniforms_become_normals_in_place():
    given = np.linspace(0, 1, 203)[1:-1].reshape(3, 67)
    found = given.copy()
    draws.invert(found)
    assert found.tolist() == [[draws.quantile(p) for p in row] for row in given.tolist()]
    assert found == pytest.approx(special.ndtri(given), rel=4e-15, abs=4e-16)


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="machine code is looked at")
def test_the_middle_runs_on_packed_numbers():
    fresh = numba.njit(**{**FLAGS, "cache": False})(draws.invert_middle.py_func)
    fresh(np.full((1, 8), 0.3), 0, 8)
    assert re.search(r"fdiv <\d+ x double>", fresh.inspect_llvm(fresh.signatures[0]))
