"""A recomputation agrees with every portfolio that is whole, and sees each thing that is not."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.test_positions import State, days
from workers.kernels import position_block, risk_check, scenarios
from workers.kernels.position_block import PORTFOLIO, POSITION, PositionRefused
from workers.kernels.risk_check import RiskFault
from workers.kernels.scenarios import DISTRIBUTION
from workers.records import lined

EXAMPLES = 60 if compiled() else 15
PARENTS = (-1, 0, 1)


def faults_of(state, portfolio: int) -> RiskFault:
    aside = lined(risk_check.bytes_aside(state.limits.scenarios))
    scenarios.create(aside.ctypes.data, state.limits.scenarios)
    before = state.memory.tobytes()
    found = RiskFault(int(risk_check.check(state.address, portfolio, aside.ctypes.data)))
    assert state.memory.tobytes() == before
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(days())
def test_whatever_happens_to_portfolios_they_are_whole(day):
    count, returns, scales, events, parents = day
    state = State(6, 4, 5, count, parents=parents)
    for kind, *event in events:
        if kind == "mark":
            state.mark(*event)
            continue
        with contextlib.suppress(PositionRefused):
            state.hold(*event, scales[event[1]], returns[event[1]])
    assert [faults_of(state, number) for number in range(4)] == [RiskFault.NONE] * 4


@pytest.fixture
def state():
    """Three portfolios, one above the other; two instruments, one without a mark yet."""
    made = State(4, 3, 3, 120, parents=PARENTS)
    source = np.random.default_rng(2)
    for instrument, portfolio, quantity in ((0, 1, 100), (0, 2, -30), (2, 2, 7), (3, 0, 5)):
        returns = np.random.default_rng(instrument).integers(-(2**20), 2**20, 120, np.int32)
        made.hold(portfolio, instrument, quantity, int(source.integers(10**6)), 100, returns)
    for instrument in (0, 2):
        assert made.mark(instrument, 10_000, 10_010)
    return made


def planted(state, where: str) -> list[int]:
    """Damage one thing; the portfolios that it concerns."""
    address = state.address
    book = at(position_block.portfolio_of(address, 1), PORTFOLIO)
    position = at(position_block.position_of(address, 0, 2), POSITION)
    distribution = position_block.distribution_of(address, 1)
    if where in ("value", "cost", "notional", "unvalued", "stuck"):
        book[where] += 1
        return [1]
    if where == "a position's value":
        position.value += 200
        return [0, 1, 2]
    if where == "a position's exposure":
        position.exposure += 1
        return [0, 1, 2]
    if where == "exposure":
        at(position_block.exposures_of(address, 1), risk_check.UNITS).unit[1] -= 3
    elif where == "profits":
        at(scenarios.vector_of(distribution), scenarios.VECTOR).profit[77] += 1
    else:
        at(distribution, DISTRIBUTION)[where] += 1
    return [1]


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        *((name, RiskFault.SUMS) for name in ("value", "cost", "notional", "unvalued", "stuck")),
        ("a position's value", RiskFault.VALUE),
        ("a position's exposure", RiskFault.VALUE),
        ("exposure", RiskFault.EXPOSURE),
        ("profits", RiskFault.PROFITS),
        *((name, RiskFault.MEASURES) for name in ("value_at_risk", "shortfall", "worst")),
    ],
)
def test_each_fault_is_found_where_it_is(state, where, fault):
    assert [faults_of(state, number) for number in range(3)] == [RiskFault.NONE] * 3
    concerned = planted(state, where)
    for number in range(3):
        assert bool(faults_of(state, number) & fault) == (number in concerned)
