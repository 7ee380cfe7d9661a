import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.risk import Risk
from workers.kernels import position_block, positions, scenarios
from workers.kernels.position_block import Limits, PositionRefused
from workers.records import empty

EXAMPLES = 60 if compiled() else 15
LINE = np.dtype("V64")


class State:
    """A state in memory of its own."""

    def __init__(self, *limits, parents=(), **more):
        self.limits = Limits(*limits, **more)
        self.memory = empty(LINE, position_block.bytes_needed(self.limits) // 64)
        self.address = self.memory.ctypes.data
        position_block.create(self.address, self.limits, parents)

    def hold(self, *position):
        positions.hold(self.address, *position)

    def mark(self, instrument, bid, ask):
        return positions.mark(self.address, instrument, bid, ask)

    def portfolio(self, number):
        return [
            int(read(self.address, number))
            for read in (
                positions.value,
                positions.pnl,
                positions.unvalued,
                positions.var_99,
                positions.es_975,
                positions.worst_scenario,
                positions.notional,
            )
        ]

    def profits(self, number):
        return scenarios.profits(position_block.distribution_of(self.address, number)).tolist()


def expected(naive, number):
    return [
        naive.value(number),
        naive.pnl(number),
        naive.unvalued(number),
        naive.var_99(number),
        naive.es_975(number),
        naive.worst_scenario(number),
        naive.notional(number),
    ]


def assert_same(state, naive):
    for number in range(state.limits.portfolios):
        assert state.profits(number) == naive.profits(number)
        assert state.portfolio(number) == expected(naive, number)


def fixed(*fractions):
    return np.array([round(change * 2**24) for change in fractions], np.int32)


def one_held(quantity=10, cost=0, returns=(0.01, -0.02, 0.0), price_scale=10_000):
    state = State(4, 1, 1, len(returns))
    state.hold(0, 2, quantity, cost, price_scale, fixed(*returns))
    return state


quantities = st.integers(-(10**6), 10**6) | st.sampled_from([0, 1, -1])
prices = st.integers(1, 10**7) | st.integers(0, 3)
changes = st.integers(-(2**22), 2**22) | st.sampled_from([0, 0, 1, -1, 2**23])


@st.composite
def days(draw):
    """Four portfolios, in trees, on up to five instruments; a sequence of marks and positions."""
    count = draw(st.sampled_from([1, 3, 40, 101, 160]))
    seed = draw(st.integers(0, 2**32))
    kinds = draw(st.sampled_from(["spread", "ties", "equal"]))
    source = np.random.default_rng(seed)
    bound = {"spread": 2**22, "ties": 3, "equal": 1}[kinds]
    returns = source.integers(-bound, bound, (5, count), dtype=np.int32, endpoint=kinds != "equal")
    scales = draw(st.lists(st.sampled_from([1, 100, 7_000, 10_000, 10**8]), min_size=5, max_size=5))
    hold = st.tuples(
        st.just("hold"), st.integers(0, 3), st.integers(0, 4), quantities, st.integers(-999, 9999)
    )
    mark = st.tuples(st.just("mark"), st.integers(-1, 6), prices, prices)
    events = draw(st.lists(mark | mark | mark | hold, min_size=1, max_size=40))
    first = draw(st.lists(hold, min_size=1, max_size=6))
    return count, returns, scales, [*first, *events], draw(trees)


trees = st.sampled_from([(), (-1, 0, 1, 2), (3, 3, 3, -1), (1, 2, -1, 2), (-1, 0, -1, 2)])


@settings(max_examples=EXAMPLES, deadline=None)
@given(days())
def test_every_answer_equals_the_recomputation_after_every_event(day):
    count, returns, scales, events, parents = day
    state, naive = State(6, 4, 5, count, parents=parents), Risk(4, count, parents)
    for kind, *event in events:
        if kind == "mark":
            assert state.mark(*event) == naive.mark(*event)
        else:
            terms = (scales[event[1]], returns[event[1]])
            try:
                state.hold(*event, *terms)
            except PositionRefused:  # too large at the mark that stands
                return
            naive.hold(*event, *terms)
        if positions.counters(state.address)["saturated"]:
            return  # beyond the bounds that the naive twin does not have
        assert_same(state, naive)


def test_many_small_marks_over_a_larger_book_stay_exact():
    steps, count = (400, 500) if compiled() else (60, 120)
    source = np.random.default_rng(5)
    state, naive = State(8, 1, 8, count), Risk(1, count)
    mids = source.integers(10**5, 10**6, 8)
    for instrument in range(8):
        returns = (source.standard_t(3, count) * 2**17).astype(np.int32)
        position = (0, instrument, int(source.integers(-900, 900)), 0, 10_000, returns)
        state.hold(*position)
        naive.hold(*position)
    for step in range(steps):
        instrument = step % 8 if step < 8 else int(source.integers(8))
        mids[instrument] += int(source.integers(-5000, 5001))
        mark = instrument, int(mids[instrument]) - 50, int(mids[instrument]) + 50
        assert state.mark(*mark) is naive.mark(*mark) is True
        assert state.portfolio(0) == expected(naive, 0)
    distribution = at(position_block.distribution_of(state.address, 0), scenarios.DISTRIBUTION)
    assert 0 < distribution.rebuilds < distribution.moves
    assert state.profits(0) == naive.profits(0)


def test_the_order_of_marks_does_not_matter():
    source = np.random.default_rng(11)
    returns = source.integers(-(2**20), 2**20, (6, 130), dtype=np.int32)
    marks = [
        (name, int(source.integers(1, 10**6)), int(source.integers(1, 10**6))) for name in range(6)
    ]
    answers = []
    for order in (range(6), reversed(range(6)), (3, 1, 5, 0, 2, 4)):
        state = State(6, 1, 6, 130)
        for name in range(6):
            state.hold(0, name, 100 - 37 * name, 0, 10_000, returns[name])
        for name in order:
            state.mark(*marks[name])
        answers.append((state.portfolio(0), state.profits(0)))
    assert answers[0] == answers[1] == answers[2]


def test_one_position_is_valued_at_the_mid_in_half_units():
    state = one_held(quantity=3, cost=290_000)
    assert state.mark(2, 100_001, 100_004)
    # 3 x 10.00025 = 30.00075 of currency = 300,007.5 money units: half to even is 300,008
    assert state.portfolio(0)[:2] == [300_008, 10_008]
    # exposure 3,000 cents; the worst return, -2 %, loses 60 cents = 6,000 money units (2^-24 off)
    assert state.portfolio(0)[3:6] == [6_000, 6_000, 1]


@pytest.mark.parametrize(("bid", "ask"), [(100_000, 100_001), (100_000, 100_003), (7, 8)])
def test_a_short_position_is_the_exact_negative(bid, ask):
    answers = []
    for quantity in (7, -7):
        state = one_held(quantity=quantity, returns=(0.25, -0.25))
        state.mark(2, bid, ask)
        answers.append((state.portfolio(0)[0], sum(state.profits(0)), state.portfolio(0)[3]))
    assert answers[0][0] == -answers[1][0]
    assert answers[0][1:] == answers[1][1:]


def test_a_sign_flip_turns_the_worst_scenario_around():
    state = one_held(quantity=10)
    state.mark(2, 100_000, 100_000)
    assert positions.worst_scenario(state.address, 0) == 1
    state.hold(0, 2, -10, 0, 10_000, fixed(0.01, -0.02, 0.0))
    assert positions.worst_scenario(state.address, 0) == 0
    assert positions.var_99(state.address, 0) == 10_000
    state.hold(0, 2, 0, 0, 10_000, fixed(0.01, -0.02, 0.0))
    assert state.profits(0) == [0, 0, 0]
    assert state.portfolio(0) == [0, 0, 0, 0, 0, 0, 0]


def test_a_zero_position_is_held_and_worth_nothing():
    state = one_held(quantity=0, cost=500)
    assert state.mark(2, 100, 102)
    assert state.portfolio(0) == [0, -500, 0, 0, 0, 0, 0]
    assert positions.is_concerned(state.address, 0, 2)
    assert not positions.is_concerned(state.address, 0, 1)
    assert not positions.is_concerned(state.address, 0, 99)


def test_a_position_counts_from_its_first_mark():
    state = one_held(quantity=1, cost=777)
    assert state.portfolio(0)[:3] == [0, 0, 1]
    state.mark(2, 10_000, 10_000)
    assert state.portfolio(0)[:3] == [10_000, 10_000 - 777, 0]


def test_marks_that_are_not_taken_are_counted_and_change_nothing():
    state = one_held()
    assert state.mark(2, 100_000, 100_000)
    before = state.portfolio(0)
    refused = [(1, 5, 5), (-1, 5, 5), (4, 5, 5), (2, 0, 5), (2, 5, 0), (2, -5, 5)]
    refused += [(2, 2**60 + 1, 5), (2, 5, 2**60 + 1)]
    assert not any(state.mark(*event) for event in refused)
    assert state.portfolio(0) == before
    assert positions.counters(state.address) == {
        "marks": 1,
        "unheld": 3,
        "one_sided": 3,
        "refused": 2,
        "saturated": 0,
    }


def test_a_mark_too_high_for_a_position_keeps_its_value_and_is_counted():
    state = one_held(quantity=2**40)
    assert state.mark(2, 100, 100)
    before = state.portfolio(0)
    assert state.mark(2, 2**50, 2**50)
    assert state.portfolio(0) == before
    assert positions.counters(state.address)["saturated"] == 1
    assert state.mark(2, 2**50, 2**51)
    assert positions.stuck(state.address, 0) == 1  # once, however often it is marked
    assert state.mark(2, 100, 102)
    assert positions.stuck(state.address, 0) == 0
    assert state.portfolio(0)[0] == 2**40 * 101


def large_book():
    """A hundred positions, each within its own bound, more than the portfolio's bound together."""
    state, naive = State(100, 1, 100, 100), Risk(1, 100)
    source = np.random.default_rng(3)
    for name in range(100):
        returns = source.integers(-(2**31) + 1, 2**31 - 1, 100, dtype=np.int32)
        position = (0, name, (-1) ** name * 3_000, 0, 10_000, returns)
        state.hold(*position)
        naive.hold(*position)
    return state, naive


def test_no_sum_overflows_where_a_portfolio_reaches_its_bound():
    state, naive = large_book()
    taken = []
    for name in range(100):
        saturated = positions.counters(state.address)["saturated"]
        assert state.mark(name, 1_000_000, 1_000_000)
        if positions.counters(state.address)["saturated"] == saturated:
            naive.mark(name, 1_000_000, 1_000_000)
            taken.append(name)
    assert 0 < len(taken) < 100
    assert positions.unvalued(state.address, 0) == 100 - len(taken)
    assert_same(state, naive)


def test_what_a_parent_cannot_bear_its_child_does_not_take_either():
    """Three books of which each is within the bound, and the desk over all is not."""
    parents, returns = (3, 3, 3, -1), np.full(100, 2**31 - 1, np.int32)
    state, naive = State(3, 4, 3, 100, parents=parents), Risk(4, 100, parents)
    price = position_block.GROSS_LIMIT * 3 // 8 // 10**4 // 2**31  # one book: 3/8 of the bound
    for book in range(3):
        position = (book, book, 10**6 * (-1) ** book, 0, 10_000, returns)
        state.hold(*position)
        naive.hold(*position)
        assert state.mark(book, price, price)
    naive.mark(0, price, price)
    naive.mark(1, price, price)
    assert positions.counters(state.address)["saturated"] == 1
    assert [int(positions.stuck(state.address, number)) for number in range(4)] == [0, 0, 1, 1]
    assert [int(positions.unvalued(state.address, number)) for number in range(4)] == [0, 0, 1, 1]
    assert_same(state, naive)


def test_costs_are_summed_up_the_tree():
    state = State(2, 3, 2, 3, parents=(2, 2, -1))
    most = position_block.COST_LIMIT - 5
    state.hold(0, 0, 1, most, 100, fixed(0.01, -0.02, 0.0))
    state.hold(1, 1, 1, -5, 100, fixed(0.01, -0.02, 0.0))
    with pytest.raises(PositionRefused, match="cost of 6"):
        state.hold(1, 1, 1, 6, 100, fixed(0.01, -0.02, 0.0))
    state.hold(0, 0, 1, most - 1, 100, fixed(0.01, -0.02, 0.0))
    state.hold(1, 1, 1, 6, 100, fixed(0.01, -0.02, 0.0))


def test_numbers_may_come_straight_from_records():
    state = State(70_000, 2_000, 1, 3)
    state.hold(1_999, 69_999, 10, 0, 10_000, fixed(0.01, -0.02, 0.0))
    price = np.int64(100_000)
    assert state.mark(np.int32(69_999), price, price)
    assert positions.is_concerned(state.address, np.uint16(1_999), np.int32(69_999))
    assert state.portfolio(np.uint16(1_999))[:2] == [10**6, 10**6]


def test_the_same_marks_give_the_same_bytes_compiled_or_not():
    source = np.random.Generator(np.random.Philox(key=9))
    draw = source.bit_generator.random_raw
    state = State(4, 2, 4, 120)
    for instrument in range(4):
        returns = (draw(120) >> np.uint64(43)).astype(np.int32) - 2**20
        for portfolio in range(2):
            quantity = int(draw() % 2000) - 1000
            state.hold(portfolio, instrument, quantity, 1000, 10_000, returns)
    for _ in range(60):
        mid = 100_000 + int(draw() % 10_000)
        state.mark(int(draw() % 4), mid, mid + 1)
    digest = hashlib.blake2b(state.memory.tobytes(), digest_size=8).hexdigest()
    assert digest == "bf99109c584ff531"


def test_the_block_is_position_independent():
    state = one_held()
    state.mark(2, 100_000, 100_002)
    copy = State(4, 1, 1, 3)
    copy.memory[:] = state.memory
    assert copy.portfolio(0) == state.portfolio(0)
    assert copy.mark(2, 90_000, 90_002)
    assert state.mark(2, 90_000, 90_002)
    assert copy.memory.tobytes() == state.memory.tobytes()


def refusals():
    good, other = fixed(0.01, -0.02, 0.0), fixed(0.0, 0.0, 0.1)
    yield (1, 0, 1, 0, 100, good), "portfolio = 1: give a number from 0 to 0"
    yield (-1, 0, 1, 0, 100, good), "portfolio"
    yield (0, 4, 1, 0, 100, good), "instrument = 4: give a number from 0 to 3"
    yield (0, 1, 1, 0, 0, good), "price_scale = 0"
    yield (0, 1, 1, 0, 100, good), "raise `held`"
    yield (0, 2, 1, 0, 10_001, good), "share them"
    yield (0, 2, 1, 0, 10_000, other), "share them"
    yield (0, 2, 1, 0, 10_000, good[:2]), "int32"
    yield (0, 2, 1, 0, 10_000, good.astype(np.int64)), "int32"
    yield (0, 2, 2**62, 0, 10_000, good), "too large"
    yield (0, 2, 1, 2**62, 10_000, good), "too large"


@pytest.mark.parametrize(("position", "message"), list(refusals()))
def test_a_position_that_does_not_fit_is_refused_and_nothing_changes(position, message):
    state = one_held()
    state.mark(2, 100_000, 100_000)
    before = state.memory.tobytes()
    with pytest.raises(PositionRefused, match=message):
        state.hold(*position)
    assert state.memory.tobytes() == before


def test_a_position_too_large_at_the_present_mark_is_refused_and_nothing_changes():
    state, _ = large_book()
    for name in range(100):
        state.mark(name, 1_000_000, 1_000_000)
    before = state.memory.tobytes()
    returns = positions.returns_at(state.address, 0).copy()
    with pytest.raises(PositionRefused, match="GROSS_LIMIT"):
        state.hold(0, 0, 10**9, 0, 10_000, returns)
    assert state.memory.tobytes() == before


@pytest.mark.parametrize(
    "limits",
    [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (1, 70_000, 1, 1), (1, 1, 1, 10**6)],
)
def test_senseless_limits_are_refused(limits):
    with pytest.raises(PositionRefused, match="give a number from 1"):
        position_block.bytes_needed(Limits(*limits))
