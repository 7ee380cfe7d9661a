"""A recomputation agrees with options that are whole, and sees each thing that is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.test_option_positions import (
    DAY_NS,
    RETURNS,
    SCALE,
    START_NS,
    Options,
    build,
    call,
    held,
    put,
    ticks,
)
from tests.workers.test_risk_check import faults_of
from workers.kernels import option_block
from workers.kernels.option_block import SUMS
from workers.kernels.position_block import PORTFOLIO, options_of, portfolio_of
from workers.kernels.risk_check import RiskFault
from workers.kernels.scenarios import VECTOR

EXAMPLES = 40 if compiled() else 4


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), held), min_size=1, max_size=5),
    st.lists(ticks, max_size=10 if compiled() else 3),
)
def test_whatever_happens_to_options_they_are_whole(options, marks):
    state, time_ns = Options(), START_NS
    build(state, options, [(1, 0, 30), (3, 1, -7)])
    for instrument, half, days in marks:
        time_ns += days * DAY_NS
        state.tick(instrument, half, time_ns)
    assert [faults_of(state, number) for number in range(4)] == [RiskFault.NONE] * 4


@pytest.fixture
def state():
    """An option of a leaf, one of the portfolio above it that has expired; a position."""
    made = Options()
    made.hold(3, 0, 12, 5, SCALE, RETURNS[0])
    made.add(3, 0, call())
    made.add(1, 1, put(expires_ns=START_NS + 5))
    made.tick(0, 2_000_000, START_NS)
    made.tick(1, 1_900_000, START_NS + DAY_NS)
    return made


@pytest.mark.parametrize(
    ("where", "concerned", "fault"),
    [
        ("value", [0, 1, 3], RiskFault.VALUE | RiskFault.SUMS),
        ("gross", [0, 1, 3], RiskFault.VALUE),
        ("cost", [0, 1, 3], RiskFault.SUMS),
        ("stuck", [0, 1, 3], RiskFault.SUMS),
        ("settled", [0, 1, 3], RiskFault.SUMS),
        ("greek", [0, 1, 3], RiskFault.VALUE | RiskFault.SUMS),
        ("profit", [0, 1, 3], RiskFault.VALUE | RiskFault.PROFITS),
        ("mark", [0, 1, 3], RiskFault.VALUE),
        ("time_ns", [0, 1, 3], RiskFault.VALUE),
        ("a sum's greek", [1], RiskFault.SUMS),
        ("a sum's options", [1], RiskFault.SUMS),
        ("a portfolio's value", [1], RiskFault.SUMS),
    ],
)
def test_each_fault_is_found_where_it_is(state, where, concerned, fault):
    assert [faults_of(state, number) for number in range(4)] == [RiskFault.NONE] * 4
    option, options = state.option(0), options_of(state.address)
    sums = at(option_block.sums_of(options, 1), SUMS)
    if where == "greek":
        option.greek[3] += 1
    elif where == "profit":
        at(option_block.profits_of(options, 0), VECTOR).profit[7] += 1
    elif where == "a sum's greek":
        sums.greek[2] -= 1
    elif where == "a sum's options":
        sums.options += 1
    elif where == "a portfolio's value":
        at(portfolio_of(state.address, 1), PORTFOLIO).value += 1
    else:
        option[where] += DAY_NS if where == "time_ns" else 1000
    for number in range(4):
        found = faults_of(state, number)
        assert (found & fault == fault) == (number in concerned), (number, found)


def test_an_option_that_was_never_valued_is_none(state):
    state.add(2, 2, call())
    assert faults_of(state, 2) == RiskFault.NONE
    state.option(2).valued = 1
    assert faults_of(state, 2) == RiskFault.SUMS
