"""Fused multiply-adds and bits: the same compiled and as plain Python."""

import math
import random
import struct
from fractions import Fraction

import pytest

from ringbuf.arithmetic import bits_of, fma, from_bits
from ringbuf.jit import formula, kernel

ODD = (0.0, -0.0, 1.0, -1.5, 5e-324, 2.0**-1022, 1.7e308, math.inf, -math.inf, math.nan)


@kernel
def fused(factor, other, term):
    return fma(factor, other, term)


@kernel
def there(value):
    return bits_of(value)


@kernel
def back(bits):
    return from_bits(bits)


@formula
def doubled(value):
    return value + value


@kernel
def quadrupled(value):
    return doubled(doubled(value))


@pytest.mark.parametrize("function", [fma, fused])
def test_a_fused_multiply_add_rounds_once(function):
    draw = random.Random(1)
    for _ in range(2_000):
        factor, other = draw.uniform(-2, 2), draw.uniform(-2, 2)
        term = -factor * other * draw.choice((1.0, 0.9))
        exact = Fraction(factor) * Fraction(other) + Fraction(term)
        assert function(factor, other, term) == float(exact)
    assert function(1e200, 1e200, -math.inf) == -math.inf
    assert math.isnan(function(math.inf, 0.0, 1.0))
    assert math.isnan(function(1.0, 1.0, math.nan))


@pytest.mark.parametrize(("out", "home"), [(bits_of, from_bits), (there, back)])
def test_bits_go_there_and_back(out, home):
    for value in ODD:
        bits = out(value)
        assert struct.pack("<q", bits) == struct.pack("<d", value)
        assert struct.pack("<d", home(bits)) == struct.pack("<d", value)
    assert home(0x3FF << 52) == 1.0


def test_a_formula_is_a_kernel_to_its_callers():
    assert quadrupled(1.5) == 6.0
    assert doubled(1.5) == 3.0
