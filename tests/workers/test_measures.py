import hashlib
import math
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.measures import Measures
from tests.workers.books import Block
from workers.kernels import measures
from workers.kernels.measures import DAY_NS, FLOW, MEASURES, QUOTE, Settings
from workers.kernels.notional import LIMIT, LOW_WORD, WORD, add_product, average
from workers.records import Mark, State

EXAMPLES = 120 if compiled() else 40
SECOND = 1_000_000_000
DAY = 19_000 * DAY_NS
TINY = 2.0**-50


class State_(Block):
    """Measures under test."""

    def __init__(self, settings: Settings):
        super().__init__(measures.bytes_needed(settings))
        measures.create(self.address, settings)
        self.header = at(self.address, MEASURES)

    def top(self, time_ns, *quote, tags=0, instrument=0):
        return measures.on_top(self.address, instrument, time_ns, *quote, tags)

    def trade(self, time_ns, price, quantity, instrument=0):
        return measures.on_trade(self.address, instrument, time_ns, price, quantity)

    def of(self, instrument=0):
        return measures.measure_of(self.address, instrument)


numbers = st.one_of(st.integers(0, 200), st.integers(0, LIMIT))


@given(st.lists(st.tuples(numbers, numbers), max_size=20))
@example([(LIMIT - 1, LIMIT - 1)] * 3)
@example([((1 << 31) - 1, (1 << 31) - 1)] * 3)
def test_sums_of_products_are_exact(pairs):
    high = low = exact = 0
    for price, quantity in pairs:
        if exact + price * quantity < 1 << 122:
            high, low = (int(word) for word in add_product(high, low, price, quantity))
            exact += price * quantity
        assert (high << WORD) + low == exact
        assert 0 <= low <= LOW_WORD


@given(numbers, numbers, st.integers(1, LIMIT))
def test_an_average_is_right_to_the_last_places(price, quantity, volume):
    high, low = (int(word) for word in add_product(0, 0, price, quantity))
    exact = Fraction(price * quantity, volume)
    assert abs(Fraction(average(high, low, volume)) - exact) <= exact * Fraction(1, 1 << 51)
    assert average(high, low, 0) == 0.0


steps = st.one_of(
    st.integers(0, 3 * SECOND // 2),
    st.integers(0, 30 * SECOND),
    st.integers(-3 * SECOND, 0),
    st.sampled_from([0, SECOND, DAY_NS // 2000]),
)
quotes = st.tuples(*[st.one_of(st.integers(0, 60), st.integers(10**11, 10**11 + 10**7))] * 4)
moves = st.lists(
    st.tuples(steps, st.one_of(quotes, st.tuples(st.integers(-1, 10**12), st.integers(0, 10**9)))),
    max_size=40,
)


def near(value, exact, scale=None):
    return abs(Fraction(float(value)) - exact) <= abs(scale or exact) * Fraction(TINY)


@settings(max_examples=EXAMPLES)
@given(moves, st.sampled_from([0.5, 0.94, 0.999]), st.sampled_from([0, 34_200]), st.data())
def test_measures_are_those_of_exact_arithmetic(stream, decay, session_s, data):
    asked = Settings(2, SECOND, decay, session_s * SECOND)
    state, naive = State_(asked), Measures(asked)
    now = DAY + session_s * SECOND - 20 * SECOND  # a session ends on the way
    for step, numbers_ in stream:
        now += step
        if len(numbers_) == 4:
            bid, bid_quantity, ask, ask_quantity = numbers_
            trusted = data.draw(st.integers(0, 9)) > 0
            tags = State.TRADING if trusted else Mark.STALE
            assert state.top(now, bid, bid_quantity, ask, ask_quantity, tags=int(tags)) & QUOTE
            naive.on_top(now, bid, bid_quantity, ask, ask_quantity, trusted)
        else:
            state.trade(now, *numbers_)
            naive.on_trade(now, *numbers_)
        one = state.of()
        assert (one.mid, one.spread) == (naive.mid, naive.spread)
        assert near(one.microprice, naive.microprice, naive.highest)
        assert near(one.imbalance, naive.imbalance)
        assert near(one.vwap, naive.vwap)
        assert (one.volume, one.trades) == (sum(q for _, q in naive.trades), len(naive.trades))
        exact = Fraction(naive.volatility)
        assert abs(Fraction(float(one.volatility)) - exact) <= exact * Fraction(1, 10**12)
        assert (state.header.refused, state.header.set_back) == (naive.refused, naive.set_back)
    assert not state.of(1).tobytes().strip(b"\0")  # another instrument's is left alone


@given(*[st.integers(1, LIMIT)] * 4)
def test_the_microprice_lies_between_the_best_prices(bid, bid_quantity, ask, ask_quantity):
    state = State_(Settings(1))
    state.top(DAY, bid, bid_quantity, ask, ask_quantity)
    low, high = sorted((float(bid), float(ask)))
    assert low <= state.of().microprice <= high
    assert -1 <= state.of().imbalance <= 1


def test_what_one_side_shows():
    state = State_(Settings(1))
    for quote, expected in (
        ((100, 7, 0, 0), (0, 0, 0, 1)),
        ((0, 0, 100, 7), (0, 0, 0, -1)),
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((100, 30, 110, 10), (210, 10, 107.5, 0.5)),
    ):
        assert state.top(DAY, *quote) == QUOTE
        one = state.of()
        assert (one.mid, one.spread, one.microprice, one.imbalance) == expected


def test_samples_in_which_nothing_happens_have_a_return_of_zero():
    state = State_(Settings(1))
    decay, quiet = 0.94, 1_000
    state.top(DAY, 100, 1, 100, 1)
    assert state.trade(DAY + SECOND, 5, 5) == FLOW  # closes the sample that anchors the first
    state.top(DAY + SECOND, 110, 1, 110, 1)
    assert state.of().volatility == 0
    assert state.top(DAY + 2 * SECOND, 110, 1, 110, 1) == QUOTE | FLOW
    assert math.isclose(state.of().volatility, 0.1)
    state.top(DAY + (2 + quiet) * SECOND, 110, 1, 110, 1)
    weights = (1 - decay ** (quiet + 1)) / (1 - decay)
    assert math.isclose(state.of().volatility, 0.1 * math.sqrt(decay**quiet / weights))


@pytest.mark.parametrize(
    "tags",
    [Mark.STALE, Mark.CROSSED, Mark.BARRED, State.HALTED, State.PAUSED, Mark.STALE | State.TRADING],
)
def test_no_return_spans_a_time_of_doubt(tags):
    state = State_(Settings(1))
    state.top(DAY, 100, 1, 100, 1)
    state.top(DAY + SECOND, 100, 1, 100, 1)
    state.top(DAY + 2 * SECOND, 500, 1, 500, 1, tags=int(tags))
    assert state.of().mid == 1000  # told, but not sampled
    state.top(DAY + 3 * SECOND, 100, 1, 100, 1)
    state.top(DAY + 4 * SECOND, 100, 1, 100, 1)
    state.top(DAY + 5 * SECOND, 100, 1, 100, 1)
    assert state.of().volatility == 0
    assert state.of().weight > 1


def test_no_return_spans_a_clock_that_goes_back():
    state = State_(Settings(1))
    for second in (0, 1, 9):
        state.top(DAY + second * SECOND, 100, 1, 100, 1)
    before = state.of().weight
    state.top(DAY + 8 * SECOND, 150, 1, 150, 1)  # no more than late
    state.top(DAY + 5 * SECOND, 200, 1, 200, 1)
    assert (state.header.set_back, state.of().anchor) == (1, 0)
    state.top(DAY + 6 * SECOND, 200, 1, 200, 1)
    state.top(DAY + 7 * SECOND, 200, 1, 200, 1)
    assert state.of().volatility == 0
    assert state.of().weight == before * 0.94 + 1


def test_a_volume_stays_within_its_limit():
    state = State_(Settings(1))
    assert state.trade(DAY, 100, LIMIT - 1) == FLOW
    assert state.trade(DAY, 100, 2) == 0
    assert state.trade(DAY, 100, 1) == FLOW
    assert (state.of().volume, state.of().trades, state.header.refused) == (LIMIT, 2, 1)


def test_a_session_starts_at_its_time_of_day():
    state = State_(Settings(1, session_ns=34_200 * SECOND))
    start = DAY + 34_200 * SECOND
    state.trade(start - 1, 100, 10)
    state.trade(start - 1, 200, 10)
    assert (state.of().vwap, state.of().volume, state.of().trades) == (150, 20, 2)
    state.trade(start, 300, 5)
    assert (state.of().vwap, state.of().volume, state.of().trades) == (300, 5, 1)


@pytest.mark.parametrize("bad", [0, -1, LIMIT + 1, (1 << 63) - 1, -(1 << 63)])
def test_numbers_beyond_belief_are_refused(bad):
    state = State_(Settings(1))
    for price, quantity in ((bad, 1), (1, bad)):
        assert state.trade(DAY, price, quantity) == 0
    assert (state.header.refused, state.of().volume) == (2, 0)
    if bad:
        assert state.top(DAY, bad, 1, 100, 1) == QUOTE
        assert (state.header.refused, state.of().mid, state.of().imbalance) == (3, 0, 0)
    for time_ns in (bad, DAY):
        state.top(time_ns, 100, 1, 102, 1)
    assert state.of().mid == 202
    for instrument in (-1, 1, 1 << 30):
        assert state.top(DAY, 1, 1, 2, 1, instrument=instrument) == 0
        assert state.trade(DAY, 1, 1, instrument=instrument) == 0


words = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([LIMIT, LIMIT + 1, 1 << 62, (1 << 63) - 1, -(1 << 63), 0, 1]),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(*[words] * 6), max_size=12))
def test_nothing_at_all_upsets_the_measures(stream):
    state = State_(Settings(1))
    for time_ns, bid, bid_quantity, ask, ask_quantity, tags in stream:
        state.top(time_ns, bid, bid_quantity, ask, ask_quantity, tags=tags & 0xFF)
        state.trade(time_ns, bid, bid_quantity)
        one = state.of()
        assert 0 <= one.volume <= LIMIT
        assert -1 <= one.imbalance <= 1
        assert 0 <= one.vwap <= LIMIT
        assert 0 <= one.microprice <= LIMIT
        assert 0 <= one.volatility < math.inf


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        Settings(1, sample_ns=0),
        Settings(1, sample_ns=7),
        Settings(1, decay=1.0),
        Settings(1, decay=0.0),
        Settings(1, session_ns=DAY_NS),
        Settings(1, session_ns=1),
    ):
        with pytest.raises(ValueError, match="must"):
            State_(wrong)


def test_every_machine_and_plain_python_give_the_same_bytes():
    state, seed = State_(Settings(3, SECOND // 10, 0.97)), 1
    for number in range(3000):
        seed = seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407 & (1 << 64) - 1
        a, b, c = seed >> 40, (seed >> 20) & 0xFFFFF, seed & 0xFFFF
        now, instrument = DAY + number * 37_000_000, number % 3
        if number % 5:
            bid = 6_000_000_000_000 + a * 100
            state.top(now, bid, b, bid + c, c, instrument=instrument)
        else:
            state.trade(now, 6_000_000_000_000 + a, b, instrument=instrument)
    assert state.header.refused == 0
    assert min(float(state.of(number).volatility) for number in range(3)) > 0
    digest = hashlib.blake2b(state.words.tobytes(), digest_size=8).hexdigest()
    assert digest == "70d0004ca9c9116a"
