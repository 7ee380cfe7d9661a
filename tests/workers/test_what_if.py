"""What is foreseen is what comes, to the last bit, and asking changes nothing."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.test_positions import State, days, fixed
from workers.kernels import positions, what_if
from workers.kernels.position_block import (
    POSITION,
    PositionRefused,
    distribution_of,
    position_of,
    row_of,
)
from workers.kernels.scenarios import DISTRIBUTION, RANK, rank_of
from workers.kernels.what_if import BEYOND, OUTCOME, UNHELD, UNMARKED
from workers.records import empty

EXAMPLES = 80 if compiled() else 15
LINE = np.dtype("V64")


class Foresight:
    """Memory to work in over some positions, and what was said last."""

    def __init__(self, state: State):
        self.state = state
        self.memory = empty(LINE, what_if.bytes_needed(state.address) // 64)
        what_if.create(self.memory.ctypes.data, state.address)

    def ask(self, portfolio: int, instrument: int, quantity: int) -> int:
        """How many portfolios are spoken of; that nothing changed is looked at, too."""
        before = self.state.memory.tobytes()
        arguments = self.state.address, portfolio, instrument, quantity
        count = int(what_if.what_if(*arguments, self.memory.ctypes.data))
        assert self.state.memory.tobytes() == before
        self.outcomes = [
            at(what_if.outcome_of(self.state.address, self.memory.ctypes.data, n), OUTCOME)
            for n in range(max(count, 0))
        ]
        return count

    def said(self) -> dict[int, tuple[int, int, int]]:
        names = ("value_at_risk", "shortfall", "worst")
        return {
            int(one.portfolio): tuple(int(one[name]) for name in names) for one in self.outcomes
        }

    def added(self) -> dict[int, tuple[int, int]]:
        names = ("var_more", "shortfall_more")
        return {
            int(one.portfolio): tuple(int(one[name]) for name in names) for one in self.outcomes
        }


def risk_of(state: State, portfolio: int) -> tuple[int, int, int]:
    """Value at risk, shortfall and the worst scenario as they stand."""
    reads = (positions.var_99, positions.es_975, positions.worst_scenario)
    return tuple(int(read(state.address, portfolio)) for read in reads)


def held(state: State, portfolio: int, instrument: int) -> int:
    """Lots that a portfolio holds."""
    row = row_of(state.address, instrument)
    return int(at(position_of(state.address, row, portfolio), POSITION).quantity) if row >= 0 else 0


quantities = st.integers(-(10**6), 10**6) | st.integers(-(2**62), 2**62) | st.just(0)
questions = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), quantities), min_size=1, max_size=6
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(days(), questions)
def test_what_is_foreseen_is_what_comes(day, asked):
    count, returns, scales, events, parents = day
    state, marks = State(6, 4, 5, count, parents=parents), {}
    for kind, *event in events:
        try:
            if kind == "hold":
                state.hold(*event, scales[event[1]], returns[event[1]])
            elif state.mark(*event):
                marks[event[0]] = event[1:]
        except PositionRefused:
            assume(False)
    assume(not positions.counters(state.address)["saturated"])
    foresight = Foresight(state)
    for portfolio, instrument, more in asked:
        now = {each: risk_of(state, each) for each in range(4)}
        said = foresight.ask(portfolio, instrument, more)
        line = positions.lineage(state.address, portfolio)
        wanted = (held(state, portfolio, instrument) + more, 0, scales[instrument])
        if said in (UNHELD, UNMARKED):
            held_by_none = row_of(state.address, instrument) < 0
            assert (said == UNHELD) is held_by_none
            assert held_by_none or instrument not in marks
            continue
        if said == BEYOND:
            with pytest.raises(PositionRefused):
                state.hold(portfolio, instrument, *wanted, returns[instrument])
            continue
        assert [*foresight.said()] == line
        state.hold(portfolio, instrument, *wanted, returns[instrument])
        assert foresight.said() == {each: risk_of(state, each) for each in line}
        state.mark(instrument, *marks[instrument])
        then = {each: risk_of(state, each) for each in line}
        assert foresight.said() == then
        assert foresight.added() == {
            each: (then[each][0] - now[each][0], then[each][1] - now[each][1]) for each in line
        }


def crowded(scenarios: int, portfolios: int = 3) -> State:
    """A firm, a desk and a book with something in each of a few instruments."""
    draw = np.random.default_rng(3)
    state = State(4, portfolios, 4, scenarios, parents=(-1, *range(portfolios - 1)))
    for instrument in range(4):
        returns = (draw.standard_t(3, scenarios) * 2**17).astype(np.int32)
        for portfolio in range(portfolios):
            state.hold(portfolio, instrument, int(draw.integers(-900, 900)), 0, 10_000, returns)
        state.mark(instrument, 99_000 + instrument, 101_000)
    return state


@pytest.mark.parametrize("quantity", [1, -1, 40, 10**4, -(10**7)])
@pytest.mark.parametrize("scenarios", [1000, 40, 1, *[12_000] * compiled()])
def test_orders_of_any_size_over_many_scenarios(scenarios, quantity):
    state = crowded(scenarios)
    foresight = Foresight(state)
    for instrument in range(4):
        assert foresight.ask(2, instrument, quantity) == 3
        row = row_of(state.address, instrument)
        returns = positions.returns_at(state.address, row).copy()
        lots = held(state, 2, instrument) + quantity
        state.hold(2, instrument, lots, 0, 10_000, returns)
        assert foresight.said() == {each: risk_of(state, each) for each in (2, 1, 0)}


@pytest.mark.skipif(compiled(), reason="the limit is compiled in; 12,000 scenarios are beyond it")
def test_a_long_tail_is_sorted(monkeypatch):
    monkeypatch.setattr(what_if, "RANKED_MOST", 1)
    test_orders_of_any_size_over_many_scenarios(300, 10**6)


def test_the_same_memory_serves_any_question():
    state = crowded(500)
    foresight = Foresight(state)
    foresight.ask(2, 1, 10**6)
    foresight.ask(0, 1, 7)
    assert foresight.ask(2, 0, 5) == 3
    fresh = Foresight(state)
    fresh.ask(2, 0, 5)
    assert fresh.said() == foresight.said()


def test_nothing_more_is_nothing_more():
    state = crowded(200)
    foresight = Foresight(state)
    foresight.ask(2, 0, 0)
    assert foresight.said() == {each: risk_of(state, each) for each in (2, 1, 0)}
    assert set(foresight.added().values()) == {(0, 0)}


def test_what_nobody_can_know_is_not_said():
    state = State(4, 2, 2, 3, parents=(-1, 0))
    foresight = Foresight(state)
    assert foresight.ask(1, 2, 5) == UNHELD
    assert foresight.ask(1, 9, 5) == UNHELD
    state.hold(0, 2, 0, 0, 10_000, fixed(0.01, -0.02, 0.0))
    assert foresight.ask(1, 2, 5) == UNMARKED
    state.mark(2, 10_000, 10_000)
    assert foresight.ask(1, 2, 5) == 2


def test_the_bounds_are_those_of_holding():
    state = State(4, 2, 2, 3, parents=(-1, 0))
    state.hold(1, 2, 10, 0, 10_000, fixed(0.01, -0.02, 0.0))
    state.mark(2, 10_000, 10_000)
    foresight, terms = Foresight(state), (0, 10_000, fixed(0.01, -0.02, 0.0))
    low, high = 1, 1 << 60
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if foresight.ask(1, 2, middle) > 0 else (low, middle)
    assert foresight.ask(1, 2, low + 1) == foresight.ask(1, 2, 1 << 62) == BEYOND
    with pytest.raises(PositionRefused):
        state.hold(1, 2, 10 + low + 1, *terms)
    foresight.ask(1, 2, low)
    state.hold(1, 2, 10 + low, *terms)
    assert foresight.said() == {each: risk_of(state, each) for each in (1, 0)}


@pytest.mark.parametrize(
    ("price_scale", "price", "most"),
    [(10**8, 1 << 19, 1 << 40), (10_000, 100, (1 << 50) - 1)],
)
def test_the_largest_position_is_foreseen_and_one_lot_more_is_not(price_scale, price, most):
    returns = np.array([1, -1], np.int32)
    state = State(1, 1, 1, 2)
    state.hold(0, 0, 0, 0, price_scale, returns)
    state.mark(0, price, price)
    foresight = Foresight(state)
    assert foresight.ask(0, 0, most + 1) == foresight.ask(0, 0, 1 << 59) == BEYOND
    assert foresight.ask(0, 0, -most - 1) == foresight.ask(0, 0, -(1 << 59)) == BEYOND
    assert foresight.ask(0, 0, -most) == foresight.ask(0, 0, most) == 1
    with pytest.raises(PositionRefused):
        state.hold(0, 0, most + 1, 0, price_scale, returns)
    state.hold(0, 0, most, 0, price_scale, returns)
    assert foresight.said() == {0: risk_of(state, 0)}


def test_no_portfolio_above_grows_beyond_its_bound():
    """Each position is as large as one may be; the firm has room for two of them."""
    state = State(3, 4, 3, 2, parents=(3, 3, 3, -1))
    returns = np.array([1 << 24, -(1 << 24)], np.int32)
    for instrument in range(3):
        state.hold(instrument, instrument, 0, 0, 1, returns)
        state.mark(instrument, 1, 1)
    foresight, said, lots = Foresight(state), [], 1
    while foresight.ask(0, 0, 2 * lots) > 0:
        lots *= 2
    for portfolio in range(3):
        said.append(foresight.ask(portfolio, portfolio, lots))
        if said[-1] > 0:
            state.hold(portfolio, portfolio, lots, 0, 1, returns)
    assert said == [2, 2, BEYOND]
    with pytest.raises(PositionRefused):
        state.hold(2, 2, lots, 0, 1, returns)


def test_a_tail_that_recovers_gives_way_to_others():
    """What is bought gains in the worst scenarios of all, and there only."""
    state, count = State(2, 1, 2, 1000), 1000
    falls = np.arange(-count, 0, dtype=np.int32) * 1000
    rises = np.where(np.arange(count) < 60, 1 << 23, 0).astype(np.int32)
    for instrument, returns in enumerate((falls, rises)):
        state.hold(0, instrument, 1000 * (1 - instrument), 0, 10_000, returns)
        state.mark(instrument, 100_000, 100_000)
    foresight = Foresight(state)
    foresight.ask(0, 1, 10**6)
    state.hold(0, 1, 10**6, 0, 10_000, rises)
    assert foresight.said() == {0: risk_of(state, 0)}
    assert foresight.outcomes[0].worst == 60


def test_of_equal_profits_the_lower_scenario_is_the_worse():
    state, draw = State(2, 1, 2, 400), np.random.default_rng(9)
    for instrument in range(2):
        returns = np.repeat(draw.integers(-(2**20), 2**20, 200), 2).astype(np.int32)
        state.hold(0, instrument, 1000 * (1 - instrument), 0, 10_000, returns)
        state.mark(instrument, 100_000, 100_000)
    foresight = Foresight(state)
    foresight.ask(0, 1, 10**6)
    state.hold(0, 1, 10**6, 0, 10_000, returns)
    assert foresight.said() == {0: risk_of(state, 0)}
    assert foresight.outcomes[0].worst == 2 * int(returns[::2].argmin())


def tail_of(distribution: int) -> set[int]:
    """The scenarios that a distribution tracks."""
    count = int(at(distribution, DISTRIBUTION).tracked)
    return {int(at(rank_of(distribution, number), RANK).scenario) for number in range(count)}


def test_the_tail_stays_where_it_can_and_is_gathered_anew_where_it_must():
    state = crowded(1000, 1)
    foresight, draft = Foresight(state), tail_of(distribution_of(state.address, 0))
    foresight.ask(0, 0, 1)
    assert tail_of(foresight.memory.ctypes.data) == draft
    foresight.ask(0, 0, 10**6)
    assert tail_of(foresight.memory.ctypes.data) != draft
