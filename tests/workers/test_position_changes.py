"""A position that changes between marks is what `hold` would have made of it, byte for byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.risk import Risk
from tests.workers.test_positions import State, assert_same, days, fixed, large_book, one_held
from workers.kernels import position_block, position_changes, positions
from workers.kernels.position_block import (
    COST_LIMIT,
    POSITION,
    PRICE_LIMIT,
    PRODUCT_LIMIT,
    PositionRefused,
)
from workers.kernels.position_changes import REFUSED, STUCK, TAKEN

EXAMPLES = 60 if compiled() else 15


@settings(max_examples=EXAMPLES, deadline=None)
@given(days())
def test_a_change_is_what_hold_would_have_made_of_it(day):
    count, returns, scales, events, parents = day
    state, other = (State(6, 4, 5, count, parents=parents) for _ in range(2))
    naive, held = Risk(4, count, parents), set()
    for kind, *event in events:
        if kind == "mark":
            assert state.mark(*event) == other.mark(*event) == naive.mark(*event)
        else:
            portfolio, instrument, quantity, cost = event
            terms = (scales[instrument], returns[instrument])
            try:
                other.hold(*event, *terms)
            except PositionRefused:  # too large at the mark that stands
                return
            if (portfolio, instrument) in held:
                row = position_block.row_of(state.address, instrument)
                change = (state.address, row, portfolio, quantity, cost)
                assert position_changes.change(*change) == TAKEN
            else:
                state.hold(*event, *terms)
                held.add((portfolio, instrument))
            naive.hold(*event, *terms)
        if positions.counters(state.address)["saturated"]:
            return  # beyond the bounds that the naive twin does not have
        assert state.memory.tobytes() == other.memory.tobytes()
        assert_same(state, naive)


def test_what_cannot_be_valued_has_happened_all_the_same():
    state, _ = large_book()
    for name in range(100):
        state.mark(name, 1_000_000, 1_000_000)
    before, stuck = state.portfolio(0), int(positions.stuck(state.address, 0))
    assert position_changes.change(state.address, 0, 0, 10**9, 77) == STUCK
    assert int(positions.stuck(state.address, 0)) == stuck + 1
    position = at(position_block.position_of(state.address, 0, 0), POSITION)
    assert (int(position.quantity), int(position.cost)) == (10**9, 77)
    assert state.portfolio(0)[0] == before[0]  # its last value
    assert state.portfolio(0)[1] == before[1] - 77
    assert position_changes.change(state.address, 0, 0, 1, 7) == TAKEN
    assert int(positions.stuck(state.address, 0)) == stuck
    assert int(position.value) == 1_000_000


def test_a_mark_too_high_for_the_new_quantity_leaves_it_stuck():
    state = one_held(quantity=1)
    state.mark(2, 2**50, 2**50)
    assert position_changes.change(state.address, 0, 0, 2**40, 5) == STUCK
    assert int(positions.stuck(state.address, 0)) == 1
    state.mark(2, 100, 100)
    assert int(positions.stuck(state.address, 0)) == 0
    assert state.portfolio(0)[:2] == [2**40 * 100, 2**40 * 100 - 5]


@pytest.mark.parametrize(
    ("quantity", "cost"),
    [
        (PRODUCT_LIMIT + 1, 0),
        (-PRODUCT_LIMIT - 1, 0),
        (PRODUCT_LIMIT, 0),
        (1, COST_LIMIT + 1),
        (1, -COST_LIMIT - 1),
    ],
)
def test_what_is_beyond_every_bound_changes_nothing(quantity, cost):
    state = one_held()
    state.mark(2, 100_000, 100_000)
    before = state.memory.tobytes()
    assert position_changes.change(state.address, 0, 0, quantity, cost) == REFUSED
    assert state.memory.tobytes() == before


def test_costs_are_summed_up_the_tree():
    state = State(2, 3, 2, 3, parents=(2, 2, -1))
    returns, most = fixed(0.01, -0.02, 0.0), COST_LIMIT - 5
    state.hold(0, 0, 1, most, 100, returns)
    state.hold(1, 1, 1, -5, 100, returns)
    assert position_changes.change(state.address, 1, 1, 1, 6) == REFUSED
    assert position_changes.change(state.address, 0, 0, 1, most - 1) == TAKEN
    assert position_changes.change(state.address, 1, 1, 1, 6) == TAKEN


@given(
    quantity=st.integers(-(10**6), 10**6),
    price=st.integers(0, 10**7),
    scale=st.sampled_from([1, 7, 10_000, 10**8]),
)
def test_an_amount_is_rounded_once(quantity, price, scale):
    state = one_held(price_scale=scale)
    amount, is_told = position_changes.amount_of(state.address, 0, quantity, price)
    assert is_told
    exact = Risk(1, 3)
    exact.hold(0, 2, quantity, 0, scale, fixed(0.01, -0.02, 0.0))
    if price:
        exact.mark(2, price, price)
        assert amount == exact.value(0)
    else:
        assert amount == 0


@pytest.mark.parametrize(("quantity", "price"), [(PRODUCT_LIMIT + 1, 1), (2**40, PRICE_LIMIT)])
def test_an_amount_beyond_every_bound_is_not_told(quantity, price):
    state = one_held()
    assert position_changes.amount_of(state.address, 0, quantity, price) == (0, False)
    assert position_changes.amount_of(state.address, 0, np.int64(-2), 5)[1]


def test_what_a_parent_cannot_count_its_child_cannot_take():
    state = State(2, 3, 2, 3, parents=(2, 2, -1))
    returns = fixed(0.01, -0.02, 0.0)
    state.hold(0, 0, 1, 0, 100, returns)
    state.hold(1, 1, 1, 0, 100, returns)

    def takes(quantity: int, more: int) -> bool:
        return bool(position_changes.can_take(state.address, 1, 1, quantity, more))

    assert takes(5, COST_LIMIT)
    assert not takes(5, COST_LIMIT + 1)
    assert not takes(PRODUCT_LIMIT, 0)  # not even the lowest mark would fit
    assert not takes(PRODUCT_LIMIT + 1, 0)
    position_changes.realise(state.address, 0, -7)
    realised = [int(positions.realised(state.address, number)) for number in range(3)]
    assert realised == [-7, 0, -7]
    assert [int(positions.pnl(state.address, number)) for number in range(3)] == realised
    assert takes(5, COST_LIMIT - 7)
    assert not takes(5, COST_LIMIT - 6)
