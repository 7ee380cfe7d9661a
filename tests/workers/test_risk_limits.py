"""How a portfolio stands to a limit follows from the figures of the moment alone."""

from itertools import product

import numpy as np
import pytest

from tests.workers.test_positions import State, fixed
from workers.kernels import risk_limits
from workers.records import Measure, Standing

ONE = (0.01, -0.02, 0.0)


@pytest.mark.parametrize(
    ("amount", "doubt", "standing"),
    [
        (-5, 0, Standing.OK),
        (80, 0, Standing.OK),
        (81, 0, Standing.WARN),
        (100, 0, Standing.WARN),
        (101, 0, Standing.BREACH),
        (-5, 1, Standing.UNKNOWN),
        (90, 2, Standing.UNKNOWN),
        (101, 1, Standing.BREACH),
    ],
)
def test_standings(amount, doubt, standing):
    assert risk_limits.standing(amount, 100, 80, doubt) == standing


def state_of(quantity=10, limits=((Measure.VALUE, 2_000_000),)):
    state = State(4, 1, 1, 3)
    state.hold(0, 2, quantity, 0, 10_000, fixed(*ONE))
    for measure, most in limits:
        risk_limits.limit(state.address, 0, measure, most, most // 2)
    return state


def judged(state, measure, absent=0):
    changed = risk_limits.judge(state.address, 0, measure, absent)
    return bool(changed), Standing(int(risk_limits.standing_of(state.address, 0, measure)))


def test_a_change_is_told_once():
    state = state_of()
    assert judged(state, Measure.VALUE) == (False, Standing.UNKNOWN)
    state.mark(2, 10_000, 10_000)
    assert judged(state, Measure.VALUE) == (True, Standing.OK)
    assert judged(state, Measure.VALUE) == (False, Standing.OK)
    state.mark(2, 200_001, 200_001)
    assert judged(state, Measure.VALUE) == (True, Standing.BREACH)
    state.mark(2, 200_000, 200_000)
    assert judged(state, Measure.VALUE) == (True, Standing.WARN)


def test_what_is_stuck_or_absent_is_not_ok():
    state = state_of(quantity=2**40, limits=[(Measure.LOSS, 100)])
    state.mark(2, 100, 100)
    assert judged(state, Measure.LOSS) == (True, Standing.OK)
    state.mark(2, 2**50, 2**50)
    assert judged(state, Measure.LOSS) == (True, Standing.UNKNOWN)
    state.mark(2, 100, 100)
    assert judged(state, Measure.LOSS, absent=1) == (False, Standing.UNKNOWN)
    assert judged(state, Measure.LOSS) == (True, Standing.OK)


def test_what_is_measured():
    state = state_of(quantity=-10)
    state.mark(2, 100_000, 100_000)
    figures = [int(risk_limits.measured(state.address, 0, measure)) for measure in Measure]
    value, pnl, _, var_99, es_975, *_ = state.portfolio(0)
    greeks = [10**4, 0, 0, 0, 0]  # what a rise of 1 % makes, without its sign
    assert figures == [var_99, es_975, -value, -pnl, *greeks]
    assert figures[2:4] == [10**6, 10**6]


def test_a_limit_is_kept_with_its_portfolio():
    state = state_of(limits=[])
    for measure, most in product(Measure, (7, 0)):
        if most:
            risk_limits.limit(state.address, 0, measure, most + measure, 3)
    kept = [int(risk_limits.limit_of(state.address, 0, measure)) for measure in Measure]
    assert np.array_equal(kept, range(7, 16))
    with pytest.raises(AssertionError):
        risk_limits.limit(state.address, 0, Measure.LOSS, 5, 6)
