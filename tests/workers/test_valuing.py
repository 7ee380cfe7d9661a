"""A rate that moves is as if everything had been valued at it from the start."""

import numpy as np
import pytest

from ringbuf.atomics import at
from tests.workers.test_currencies import EUR, EURUSD, JPY, JPYUSD, SCALES, new_state
from tests.workers.test_risk_check import faults_of
from workers.kernels import positions, scenarios, valuing
from workers.kernels.position_block import distribution_of, position_of
from workers.kernels.positions import Contract
from workers.kernels.risk_check import RiskFault
from workers.kernels.scenarios import DISTRIBUTION

COUNT = 130
IN = [Contract(currency=EUR), Contract(50, 1, EUR, True), Contract(currency=JPY), Contract()]
PARENTS = (1, -1, 1, -1)


def book(rates: list[int], kept: bool = True):
    """Four portfolios, the second above two of them, on four instruments; marks of EURUSD."""
    source = np.random.default_rng(8)
    returns = source.integers(-(2**21), 2**21, (6, COUNT), dtype=np.int32)
    state = new_state(COUNT, returns, PARENTS)
    for portfolio in (0, 2, 3):
        for instrument in range(4 - (portfolio == 3)):
            quantity = int(source.integers(-500, 500))
            terms = SCALES[instrument], returns[instrument], IN[instrument], kept
            state.hold(portfolio, instrument, quantity, 1_000 * quantity, *terms)
    for instrument in range(4):
        assert state.mark(instrument, 700 + instrument, 701 + instrument)
    assert state.mark(JPYUSD, 6_700_000, 6_700_100)
    for rate in rates:
        assert state.mark(EURUSD, rate, rate + 1)
    return state


def test_what_came_before_a_rate_leaves_nothing_behind():
    moved, fresh = book([110_000, 250, 104_000, 109_000, 99_000]), book([99_000])
    for number in range(4):
        assert moved.portfolio(number) == fresh.portfolio(number)
        assert moved.profits(number) == fresh.profits(number)
        assert faults_of(moved, number) == RiskFault.NONE
    assert positions.counters(moved.address)["saturated"] == 0


def test_each_portfolio_is_measured_once_for_a_rate():
    state = book([110_000])
    before = [moves_of(state, number) for number in range(4)]
    state.mark(EURUSD, 120_000, 120_001)
    assert [moves_of(state, number) - was for number, was in enumerate(before)] == [1, 1, 1, 1]
    state.mark(JPYUSD, 6_800_000, 6_800_100)  # the last has yen, too
    assert [moves_of(state, number) - was for number, was in enumerate(before)] == [2, 2, 2, 2]


def moves_of(state, number: int) -> int:
    return int(at(distribution_of(state.address, number), DISTRIBUTION).moves)


@pytest.mark.parametrize("rate", [1, 99_999, 123_457])
def test_a_short_position_is_worth_the_negative(rate):
    state = book([rate])
    for row in range(4):
        for quantity in (1, 7, 10**6 + 1):
            long, fits = valuing.value_of(state.address, row, quantity)
            assert fits
            assert valuing.value_of(state.address, row, -quantity) == (-long, True)


def test_what_is_told_of_a_position_adds_up():
    state = book([110_000], kept=False)
    values = [
        int(at(position_of(state.address, row, each), positions.POSITION).value)
        for row in range(6)
        for each in (0, 2)
    ]
    assert int(positions.value(state.address, 1)) == sum(values)
    assert int(positions.notional(state.address, 1)) == sum(map(abs, values))
    assert valuing.is_priced(state.address, 0)
    vector = scenarios.profits(distribution_of(state.address, 1))
    assert vector.tolist() == [
        one + other for one, other in zip(state.profits(0), state.profits(2), strict=True)
    ]
