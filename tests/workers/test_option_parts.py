"""Parts of VaR and ES with options: those of fractions, and together the portfolio's figures."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.risk import in_money, ranked
from tests.workers.test_option_positions import COUNT, RETURNS, START_NS, Options, build, call, held
from workers.kernels import contributions, option_block, option_parts
from workers.kernels.position_block import exposures_of, options_of, row_of
from workers.kernels.scenarios import VECTOR

EXAMPLES = 40 if compiled() else 4
FAMILY = {0: {0, 1, 2, 3}, 1: {1, 3}, 2: {2}, 3: {3}}


def parts_of(state, portfolio):
    """(units of profit in VaR, money in VaR, money in ES) of each row."""
    var, tail, high, low = np.zeros((4, 3), np.int64)
    contributions.var_parts(state.address, portfolio, var.ctypes.data)
    contributions.tail_returns(state.address, portfolio, tail.ctypes.data)
    option_parts.add_var_parts(state.address, portfolio, var.ctypes.data)
    option_parts.tail_profits(state.address, portfolio, high.ctypes.data, low.ctypes.data)
    found = []
    for row in range(3):
        in_var = int(contributions.var_part(var.ctypes.data, row))
        in_es = contributions.es_part(
            state.address, portfolio, tail.ctypes.data, row, high[row], low[row]
        )
        found.append((int(var[row]), in_var, int(in_es)))
    return found


def profits_on(state, portfolio, options, row):
    """What a row makes in every scenario, with all that is on it."""
    units = at(exposures_of(state.address, portfolio), contributions.UNITS).unit[row]
    made = [0] * COUNT
    for instrument in range(3):
        if row_of(state.address, instrument) == row:
            made = [int(units) * int(change) for change in RETURNS[instrument]]
            for number, (owner, on, _) in enumerate(options):
                if owner in FAMILY[portfolio] and on == instrument:
                    where = option_block.profits_of(options_of(state.address), number)
                    mine = at(where, VECTOR).profit[:COUNT].tolist()
                    made = [one + other for one, other in zip(made, mine, strict=True)]
    return made


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), held), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-90, 90)), max_size=4),
)
def test_parts_are_those_of_fractions_and_add_up(options, linear):
    state = Options()
    build(state, options, linear)
    for instrument in range(3):
        state.tick(instrument, 2_000_000 + instrument, START_NS)
    for portfolio in range(4):
        profits = state.profits(portfolio)
        worst = ranked(profits)
        tail = Fraction(COUNT * 25, 1000)
        parts = parts_of(state, portfolio)
        for row, (units, in_var, in_es) in enumerate(parts):
            made = profits_on(state, portfolio, options, row)
            assert units == -made[worst[0]]  # of 40 scenarios the first
            assert in_var == in_money(Fraction(units))
            weighted = sum(
                min(max(tail - rank, 0), 1) * made[scenario] for rank, scenario in enumerate(worst)
            )
            assert in_es == in_money(-weighted / tail)
        assert sum(units for units, *_ in parts) == -profits[worst[0]]


def test_what_is_held_on_a_row_is_the_portfolios_own():
    state = Options()
    state.add(3, 0, call(cost=100))
    state.add(3, 0, call(cost=20, strike=50.0, units=-1.0))
    state.add(1, 0, call(cost=3))
    row = int(row_of(state.address, 0))
    assert option_parts.held_on(state.address, row, 3) == (0, 0, 0)
    state.tick(0, 2_000_000, START_NS)
    value = sum(int(state.option(number).value) for number in (0, 1))
    assert option_parts.held_on(state.address, row, 3) == (value, 120, 0)
    state.option(1).terms.volatility = float("nan")
    state.tick(0, 2_000_001, START_NS)
    assert option_parts.held_on(state.address, row, 3)[1:] == (120, 1)
    assert option_parts.held_on(state.address, row, 0) == (0, 0, 0)
