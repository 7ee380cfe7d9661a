"""Contributions to VaR and ES add up to the last bit, and are those of a simple program."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.risk import Risk, in_money, ranked
from tests.workers.test_positions import State, fixed
from workers.kernels import contributions, scenarios
from workers.kernels.position_block import row_of

EXAMPLES = 60 if compiled() else 15
LARGEST = 1 << 50


class Parts:
    """What each row adds to a portfolio."""

    def __init__(self, state: State, portfolio: int) -> None:
        self.var, self.tail = (np.zeros(state.limits.held, np.int64) for _ in range(2))
        contributions.var_parts(state.address, portfolio, self.var.ctypes.data)
        contributions.tail_returns(state.address, portfolio, self.tail.ctypes.data)
        rows = range(state.limits.held)
        self.in_var = [int(contributions.var_part(self.var.ctypes.data, row)) for row in rows]
        self.in_es = [
            int(contributions.es_part(state.address, portfolio, self.tail.ctypes.data, row))
            for row in rows
        ]


def exposures_of(naive: Risk, portfolio: int) -> dict[int, int]:
    """By instrument, with all that is below."""
    found = dict.fromkeys(naive.scales, 0)
    for instrument, *_, worth in naive.values(portfolio):
        found[instrument] += round(Fraction(worth, scenarios.EXPOSURE_UNIT))
    return found


def expected(naive: Risk, portfolio: int) -> dict[int, tuple[int, int]]:
    """What each instrument adds to VaR and ES, money units, by fractions."""
    worst, found = ranked(naive.profits(portfolio)), {}
    at = worst[-(-naive.scenarios * 10 // 1000) - 1]
    tail = Fraction(naive.scenarios * 25, 1000)
    for instrument, exposure in exposures_of(naive, portfolio).items():
        returns = naive.returns[instrument]
        weighted = sum(
            min(max(tail - rank, 0), 1) * returns[scenario] for rank, scenario in enumerate(worst)
        )
        in_var, in_es = -exposure * returns[at], -exposure * weighted / tail
        found[instrument] = in_money(Fraction(in_var)), in_money(Fraction(in_es))
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from([1, 3, 40, 101, 160]),
    st.sampled_from([(), (-1, 0, 1), (2, 2, -1)]),
    st.sampled_from([1, 1000, 1 << 20]),
)
def test_contributions_are_those_of_fractions_and_add_up(seed, count, parents, size):
    source = np.random.default_rng(seed)
    state, naive = State(6, 3, 4, count, parents=parents), Risk(3, count, parents)
    for instrument in range(4):
        returns = source.integers(-(2**20), 2**20, count, dtype=np.int32)
        for portfolio in source.choice(3, 2, replace=False).tolist():
            quantity = int(source.integers(-size, size + 1))
            position = portfolio, instrument, quantity, 0, 10_000, returns
            state.hold(*position)
            naive.hold(*position)
    for _ in range(6):
        mark = int(source.integers(4)), int(source.integers(1, 10**7)), (10**7)
        assert state.mark(*mark)
        naive.mark(*mark)
        for portfolio in range(3):
            parts, wanted = Parts(state, portfolio), expected(naive, portfolio)
            for instrument, (in_var, in_es) in wanted.items():
                row = int(row_of(state.address, instrument))
                assert (parts.in_var[row], parts.in_es[row]) == (in_var, in_es)
            k = -(-count * 10 // 1000)
            assert sum(parts.var.tolist()) == -sorted(naive.profits(portfolio))[k - 1]


def test_the_largest_exposures_and_returns_do_not_overflow():
    """|exposure| x |return| just below 2^61, with a tail of 1,600 scenarios and a half."""
    count, largest = 64_020, (1 << 31) - 1
    returns = np.full(count, -largest, np.int32)
    state = State(1, 1, 1, count)
    quantity = 2_600_000
    state.hold(0, 0, quantity, 0, 10_000, returns)
    assert state.mark(0, 20_000, 20_000)
    exposure = quantity * 20_000 // scenarios.EXPOSURE_UNIT
    loss = in_money(Fraction(exposure * largest))
    parts = Parts(state, 0)
    assert parts.in_var == parts.in_es == [loss]
    assert state.portfolio(0)[3:5] == [loss, loss]


def test_two_by_hand():
    """100.00 long that falls by a tenth where 50.00 short falls by a fifth: 10 - 10 = 0."""
    state = State(2, 1, 2, 3)
    state.hold(0, 0, 1, 0, 10_000, fixed(-0.125, 0.0, 0.0))
    state.hold(0, 1, -1, 0, 10_000, fixed(-0.25, -0.5, 0.5))
    assert state.mark(0, 1_000_000, 1_000_000)
    assert state.mark(1, 500_000, 500_000)
    # Profits: 0.00, 25.00 and -25.00; the worst of three is the third.
    parts = Parts(state, 0)
    assert parts.in_var == parts.in_es == [0, 250_000]
