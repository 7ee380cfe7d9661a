"""Positions in other currencies are what fractions make of them, after every mark and rate."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.risk_abroad import Abroad
from tests.workers.test_positions import State, assert_same, fixed, prices, quantities, trees
from tests.workers.test_risk_check import faults_of
from workers.kernels import currencies, position_block, position_changes, positions, what_if
from workers.kernels.currencies import CURRENCY, DIVISOR_MAX, OWN
from workers.kernels.position_block import PositionRefused
from workers.kernels.position_changes import STUCK, TAKEN
from workers.kernels.positions import SHARE, Contract
from workers.kernels.risk_check import RiskFault
from workers.records import lined

EXAMPLES = 60 if compiled() else 30
EUR, JPY, GBP = 1, 2, 3  # the last has a fixed rate
EURUSD, JPYUSD = 4, 5  # instruments
FIXED = 127, 100
IN_EURO = Contract(currency=EUR)
SCALES = [1, 100, 7_000, 10_000, 100_000, 10**9]

contracts = st.builds(
    Contract,
    multiplier=st.sampled_from([1, 1, 50, 7]),
    over=st.sampled_from([1, 1, 100]),
    currency=st.sampled_from([0, EUR, EUR, JPY, GBP]),
    future=st.booleans(),
)


@st.composite
def days(draw):
    """Portfolios in trees on four instruments of some currency and a rate; marks and positions."""
    count = draw(st.sampled_from([1, 3, 40, 130]))
    source = np.random.default_rng(draw(st.integers(0, 2**32)))
    bound = draw(st.sampled_from([2**22, 3]))
    returns = source.integers(-bound, bound, (6, count), dtype=np.int32, endpoint=True)
    hold = st.tuples(
        st.just("hold"), st.integers(0, 3), st.integers(0, EURUSD), quantities,
        st.integers(-(10**6), 10**6), st.booleans(),
    )  # fmt: skip
    mark = st.tuples(st.just("mark"), st.integers(-1, 6), prices, prices)
    rate = st.tuples(st.just("mark"), st.sampled_from([EURUSD, JPYUSD]), prices, prices)
    events = draw(st.lists(mark | mark | rate | hold, min_size=1, max_size=40))
    first = draw(st.lists(hold, min_size=1, max_size=6))
    terms = [*draw(st.lists(contracts, min_size=4, max_size=4)), SHARE]
    return count, returns, terms, [*first, *events], draw(trees)


def new_state(count, returns, parents=(), portfolios=4):
    state = State(6, portfolios, 6, count, 3, parents=parents)
    abroad = int(position_block.abroad_of(state.address))
    currencies.fix(abroad, GBP, *FIXED)
    positions.quote(state.address, EUR, EURUSD, SCALES[EURUSD], returns[EURUSD])
    positions.quote(state.address, JPY, JPYUSD, SCALES[JPYUSD], returns[JPYUSD])
    return state


def new_twin(count, parents=(), portfolios=4):
    naive = Abroad(portfolios, count, parents)
    naive.rates[GBP] = Fraction(*FIXED)
    naive.quote(EUR, EURUSD, SCALES[EURUSD])
    naive.quote(JPY, JPYUSD, SCALES[JPYUSD])
    return naive


def full(event, returns, terms):
    """All that `hold` takes."""
    *position, kept = event
    instrument = position[1]
    return *position, SCALES[instrument], returns[instrument], terms[instrument], kept


@settings(max_examples=EXAMPLES, deadline=None)
@given(days())
def test_every_answer_equals_the_recomputation_after_every_event(day):
    count, returns, terms, events, parents = day
    state, naive = new_state(count, returns, parents), new_twin(count, parents)
    for kind, *event in events:
        if kind == "mark":
            assert state.mark(*event) == naive.mark(*event)
        else:
            holding = full(event, returns, terms)
            try:
                state.hold(*holding)
            except PositionRefused:  # too large at the mark that stands
                return
            naive.hold(*holding)
        if positions.counters(state.address)["saturated"]:
            return  # beyond the bounds that the naive twin does not have
        assert_same(state, naive)
    for number in range(4):
        assert faults_of(state, number) == RiskFault.NONE
        for instrument in range(-1, 7):
            concerned = positions.is_concerned(state.address, number, instrument)
            assert bool(concerned) == naive.is_concerned(number, instrument)


@settings(max_examples=EXAMPLES, deadline=None)
@given(day=days(), more=st.integers(-(10**6), 10**6))
def test_what_if_foresees_what_holding_would_give(day, more):
    count, returns, terms, events, parents = day
    state = new_state(count, returns, parents)
    naive = new_twin(count, parents)
    for kind, *event in events:
        if kind == "mark":
            state.mark(*event)
            naive.mark(*event)
            continue
        holding = full(event, returns, terms)
        try:
            state.hold(*holding)
        except PositionRefused:
            continue
        naive.hold(*holding)
    draft = lined(what_if.bytes_needed(state.address))
    what_if.create(draft.ctypes.data, state.address)
    before = state.memory.tobytes()
    for instrument in naive.contracts:
        found = what_if.what_if(state.address, 1, instrument, more, draft.ctypes.data)
        assert state.memory.tobytes() == before
        if not naive.is_priced(instrument):
            assert found == what_if.UNMARKED
            continue
        if found == what_if.BEYOND:
            continue
        outcome = at(what_if.outcome_of(state.address, draft.ctypes.data, 0), what_if.OUTCOME)
        row = position_block.row_of(state.address, instrument)
        position = at(position_block.position_of(state.address, row, 1), position_block.POSITION)
        own = SCALES[instrument], returns[instrument], terms[instrument], False
        state.hold(1, instrument, int(position.quantity) + more, 0, *own)
        now = [int(outcome.value_at_risk), int(outcome.shortfall), int(outcome.worst)]
        assert now == state.portfolio(1)[3:6]
        state.memory[:] = np.frombuffer(before, state.memory.dtype)


@given(
    amount=st.integers(0, 2**60),
    rate=st.integers(0, 2**61),
    divisor=st.integers(1, DIVISOR_MAX),
)
def test_an_amount_is_converted_exactly_and_rounded_once(amount, rate, divisor):
    exact = Fraction(amount * rate, divisor)
    if exact < 2**61:
        assert currencies.converted(amount, rate, divisor) == round(exact)


@given(amount=st.integers(-(2**60), 2**60), rate=st.integers(0, 2**61), scale=st.integers(1, 9))
def test_what_cannot_be_told_is_not(amount, rate, scale):
    state = one_abroad()
    abroad = int(position_block.abroad_of(state.address))
    currencies.fix(abroad, EUR, rate, 10**scale)
    found, is_told = currencies.in_base(abroad, 0, amount)
    exact = Fraction(amount * rate, 10**scale)
    assert is_told == (rate > 0 and abs(exact) < 2**60) or abs(abs(exact) - 2**60) < 2**9
    assert found == (round(exact) if is_told else 0)


def one_abroad(quantity=100, cost=0, contract=IN_EURO, kept=False):
    """100 lots in euro, of one portfolio; EURUSD is instrument 1."""
    state = State(4, 1, 2, 3, 1)
    state.hold(0, 2, quantity, cost, 100, fixed(0.1, -0.2, 0.0), contract, kept)
    positions.quote(state.address, EUR, 1, 10_000, fixed(0.01, -0.01, 0.0))
    return state


def test_a_share_gains_by_its_price_and_by_its_rate():
    state = one_abroad(cost=900 * 10_000)
    assert state.mark(2, 1_000, 1_000)  # 10.00 euro
    assert state.portfolio(0)[:3] == [0, 0, 1]  # no rate yet
    assert state.mark(1, 11_000, 11_000)  # 1.10
    assert state.portfolio(0)[:3] == [1_100 * 10_000, 110 * 10_000, 0]  # 900 euro cost 990
    assert state.mark(1, 12_000, 12_000)
    assert state.portfolio(0)[:3] == [1_200 * 10_000, 210 * 10_000, 0]
    assert state.portfolio(0)[3] == pytest.approx(240 * 10_000, rel=1e-6)  # -20 %


def test_a_future_gains_by_its_price_alone():
    state = one_abroad(quantity=2, cost=900 * 10_000, contract=Contract(50, 1, EUR, True))
    state.mark(1, 11_000, 11_000)
    state.mark(2, 1_000, 1_000)
    assert state.portfolio(0)[:2] == [1_100 * 10_000, 110 * 10_000]
    state.mark(1, 12_000, 12_000)
    assert state.portfolio(0)[:2] == [1_200 * 10_000, 120 * 10_000]  # 100 euro at the new rate
    assert faults_of(state, 0) == RiskFault.NONE


def test_a_cost_that_is_known_in_base_currency_stays_what_it_is():
    state = one_abroad(cost=1_234, kept=True)
    state.mark(2, 1_000, 1_000)
    state.mark(1, 11_000, 11_000)
    assert state.portfolio(0)[:2] == [1_100 * 10_000, 1_100 * 10_000 - 1_234]


def test_a_position_changes_in_the_currency_that_its_cost_is_kept_in():
    state = one_abroad(cost=100)
    row = position_block.row_of(state.address, 2)
    assert position_changes.change(state.address, row, 0, 50, 700) == TAKEN  # euro still
    state.mark(2, 1_000, 1_000)
    state.mark(1, 11_000, 11_000)
    assert state.portfolio(0)[:2] == [550 * 10_000, 550 * 10_000 - 770]
    assert position_changes.change(state.address, row, 0, 60, 800) == TAKEN
    assert state.portfolio(0)[:2] == [660 * 10_000, 660 * 10_000 - 800]
    future = one_abroad(contract=Contract(currency=EUR, future=True))
    future.mark(2, 1_000, 1_000)
    future.mark(1, 11_000, 11_000)
    assert position_changes.change(future.address, 0, 0, 50, 700) == TAKEN
    assert future.portfolio(0)[:2] == [550 * 10_000, 550 * 10_000 - 770]
    own = currencies.own_of(int(position_block.abroad_of(future.address)), 0, 0)
    assert (int(at(own, OWN).cost), int(at(own, OWN).kept)) == (700, 0)


def test_a_rate_beyond_the_bounds_leaves_positions_stuck_until_one_within():
    state = one_abroad()
    state.mark(2, 1_000, 1_000)
    state.mark(1, 11_000, 11_000)
    before = state.portfolio(0)
    assert state.mark(1, 2**60, 2**60)
    assert state.portfolio(0) == before
    assert positions.stuck(state.address, 0) == 1
    row = position_block.row_of(state.address, 2)
    assert position_changes.change(state.address, row, 0, 5, 0) == STUCK
    state.mark(1, 11_000, 11_000)
    assert positions.stuck(state.address, 0) == 0
    assert faults_of(state, 0) == RiskFault.NONE


def refusals():
    good = fixed(0.1, -0.2, 0.0)
    yield (0, 2, 1, 0, 100, good), "share them"  # in dollars this time
    yield (0, 2, 1, 0, 100, good, Contract(currency=EUR, future=True)), "share them"
    yield (0, 3, 1, 0, 100, good, Contract(currency=2)), "currency = 2: give a number from 0 to 1"
    yield (0, 2, 1, 0, 100, good, Contract(multiplier=2**70)), "multiplier"
    yield (0, 2, 1, 2**62, 100, good, IN_EURO), "too large"


@pytest.mark.parametrize(("position", "message"), list(refusals()))
def test_what_does_not_fit_is_refused_and_nothing_changes(position, message):
    state = State(4, 1, 3, 3, 1)
    state.hold(0, 2, 100, 5, 100, fixed(0.1, -0.2, 0.0), IN_EURO)
    before = state.memory.tobytes()
    with pytest.raises(PositionRefused, match=message):
        state.hold(*position)
    assert state.memory.tobytes() == before


def test_a_position_too_large_at_the_present_rate_is_refused_and_nothing_changes():
    state = one_abroad()
    state.mark(2, 1_000, 1_000)
    state.mark(1, 2**50, 2**50)
    before = state.memory.tobytes()
    with pytest.raises(PositionRefused, match="GROSS_LIMIT"):
        state.hold(0, 2, 2**30, 7, 100, fixed(0.1, -0.2, 0.0), IN_EURO)
    assert state.memory.tobytes() == before


def test_a_rate_needs_a_price_scale_that_is_within_the_bounds():
    state = State(4, 1, 2, 3, 1)
    with pytest.raises(PositionRefused, match="price_scale of a rate"):
        positions.quote(state.address, EUR, 1, DIVISOR_MAX, fixed(0.1, -0.2, 0.0))
    with pytest.raises(PositionRefused, match="currency = 2"):
        positions.quote(state.address, 2, 1, 100, fixed(0.1, -0.2, 0.0))
    positions.quote(state.address, EUR, 1, 100, fixed(0.1, -0.2, 0.0))
    abroad = int(position_block.abroad_of(state.address))
    currency = at(currencies.currency_at(abroad, EUR), CURRENCY)
    assert (int(currency.rate), int(currency.divisor)) == (0, 200)


def test_the_same_marks_give_the_same_bytes_compiled_or_not():
    draw = np.random.Generator(np.random.Philox(key=4)).bit_generator.random_raw
    returns = ((draw(6 * 130) >> np.uint64(43)).astype(np.int32) - 2**20).reshape(6, 130)
    kinds = [IN_EURO, Contract(50, 1, EUR, True), Contract(1, 100, JPY), Contract(7, 1, GBP)]
    state = new_state(130, returns, (1, -1), 2)
    for instrument, contract in enumerate(kinds):
        for portfolio in range(2):
            quantity, kept = int(draw() % 2000) - 1000, bool(draw() % 2)
            terms = SCALES[instrument], returns[instrument], contract, kept
            state.hold(portfolio, instrument, quantity, 10 * quantity, *terms)
    for _ in range(80):
        instrument = int(draw() % 6)
        mid = SCALES[instrument] * 9 // 10 + 1 + int(draw() % (SCALES[instrument] // 5 + 1))
        state.mark(instrument, mid, mid + 1)
    assert positions.counters(state.address)["saturated"] == 0
    assert [int(positions.unvalued(state.address, number)) for number in range(2)] == [0, 0]
    digest = hashlib.blake2b(state.memory.tobytes(), digest_size=8).hexdigest()
    assert digest == "9191dcba9250e192"
