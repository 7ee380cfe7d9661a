"""The loops of risk are packed instructions: one that is scalar unseen costs five times as much."""

import re

import numba
import pytest
from numba.core.codegen import get_host_cpu_features

from ringbuf.jit import FLAGS, compiled
from workers.kernels import (
    contributions,
    monte_carlo,
    option_chains,
    option_paths,
    option_positions,
    option_values,
    scenarios,
)

FEATURES = get_host_cpu_features()
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not compiled(), reason="shows what the compiler emits"),
    pytest.mark.skipif("+avx2" not in FEATURES, reason="this processor has no AVX2"),
]
WORD, REAL = numba.int64, numba.float64
ROW, ROWS = numba.float64[::1], numba.float64[:, ::1]
# Instructions of x86-64 with AVX: on reals, and on 64-bit integers.
REALS = r"\bv(?:fn?m(?:add|sub)\w*|add|sub|mul|div|sqrt){}d\b"
WORDS = r"\bvp(?:add|sub|mul\w*)q\b"


def assembly_of(kernel, *signature) -> str:
    made = numba.njit(signature, **FLAGS)(kernel.py_func)
    return made.inspect_asm(made.signatures[0])


@pytest.mark.parametrize(
    ("kernel", "signature", "least"),
    [
        (option_chains.price_block, (WORD,), 100),
        (option_chains.measure_block, (WORD,), 100),
        (option_chains.reprice_block, (WORD, *(REAL,) * 4), 50),
        (option_paths.price, (WORD,) * 3, 50),
        (option_values.place_lanes, (WORD, REAL), 20),
        (option_values.gain_lanes, (WORD, REAL, REAL), 4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_loops_over_lanes_have_no_scalar_arithmetic(kernel, signature, least):
    found = assembly_of(kernel, *signature)
    packed, scalar = (re.findall(REALS.format(kind), found) for kind in "ps")
    assert len(packed) >= least
    assert scalar == []


@pytest.mark.parametrize(
    ("kernel", "count"),
    [
        (scenarios.shift, 5),
        (scenarios.shift_by, 4),
        (option_positions.replace, 4),
        (scenarios.count_below, 3),
        (contributions.var_parts, 3),
        (contributions.add_weighted, 4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_loops_over_scenarios_and_rows_are_packed(kernel, count):
    """What is left over behind whole vectors is scalar, so only presence is asked for."""
    assert len(re.findall(WORDS, assembly_of(kernel, *(WORD,) * count))) >= 4


def test_exposures_are_multiplied_in_vectors():
    found = assembly_of(monte_carlo.add_linear, ROWS, ROW, ROW)
    assert re.findall(REALS.format("p"), found)


def test_a_loop_that_is_scalar_is_seen():
    """What the search finds in one that cannot be packed: each turn needs the one before."""

    def chained(numbers):
        total = 1.0
        for number in numbers:
            total = total * number + 1.0 / total
        return total

    made = numba.njit((ROW,), **FLAGS)(chained)
    assert re.findall(REALS.format("s"), made.inspect_asm(made.signatures[0]))
