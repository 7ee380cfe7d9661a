import hashlib
from collections import Counter
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive import bars as naive_bars
from tests.naive.bars import Bar
from tests.workers.books import Block
from workers.kernels import bars
from workers.kernels.bars import BARS, SERIES_MAX, Cut
from workers.kernels.notional import LIMIT, average

EXAMPLES = 150 if compiled() else 50
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
SERIES = [(Cut.TIME, SECOND), (Cut.TIME, 7 * SECOND), (Cut.TRADES, 3), (Cut.VOLUME, 50)]


class State(Block):
    """Bars under test; what a call closes is given as the naive twin gives it."""

    def __init__(self, instruments=2, series=SERIES):
        super().__init__(bars.bytes_needed(instruments, len(series)))
        bars.create(self.address, instruments, series)
        self.header = at(self.address, BARS)

    def on_time(self, instrument, time_ns):
        return self.closed(bars.on_time(self.address, instrument, time_ns))

    def on_trade(self, *trade):
        return self.closed(bars.on_trade(self.address, *trade))

    def closed(self, count):
        assert count == self.header.closed
        return [told(bars.closed_bar(self.address, number)) for number in range(count)]


def told(bar):
    whole = [int(bar[name]) for name in ("start_ns", "open", "high", "low", "close")]
    volume = int(bar.volume)
    vwap = Fraction((int(bar.notional_high) << 62) + int(bar.notional_low), volume)
    exact = average(int(bar.notional_high), int(bar.notional_low), volume)
    assert abs(Fraction(exact) - vwap) <= vwap / (1 << 51)
    return Bar(int(bar.instrument), int(bar.series), *whole, volume, int(bar.trades), vwap)


steps = st.one_of(st.integers(0, SECOND), st.integers(0, 20 * SECOND), st.integers(-SECOND, 0))
lots = st.one_of(st.integers(1, 30), st.integers(1, LIMIT))
events = st.lists(
    st.tuples(
        st.integers(0, 2), steps, st.one_of(st.none(), st.tuples(st.integers(1, LIMIT), lots))
    ),
    max_size=60,
)


@settings(max_examples=EXAMPLES)
@given(events, st.sampled_from([0, 0, -10 * SECOND]))
def test_bars_are_those_of_the_naive_twin(stream, jump):
    state, naive, now = State(3), naive_bars.Bars(3, SERIES), START
    traded, barred = Counter(), Counter()
    for number, (instrument, step, trade) in enumerate(stream):
        now += step if number != 30 else jump
        closed = state.on_time(instrument, now)
        assert closed == naive.on_time(instrument, now)
        for bar in closed:
            assert SERIES[bar.series][0] == Cut.TIME
            assert now >= bar.start_ns + SERIES[bar.series][1]
            barred[bar.instrument, bar.series] += bar.volume
        if trade:
            traded[instrument] += trade[1]
            closed = state.on_trade(instrument, now, *trade)
            assert closed == naive.on_trade(instrument, now, *trade)
            for bar in closed:
                barred[bar.instrument, bar.series] += bar.volume
    for instrument in range(3):
        for series in range(len(SERIES)):
            rest = naive.trades.get((instrument, series), [])
            rest = sum(quantity for *_, quantity in rest)
            assert traded[instrument] == barred[instrument, series] + rest
            assert rest == bars.bar_of(state.address, instrument, series).volume


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 9)), min_size=1, max_size=40))
def test_time_bars_group_the_trades_by_their_time(stream):
    state, now, trades, closed = State(1, SERIES[:1]), START, [], []
    for step, quantity in stream:
        now += step
        closed += state.on_time(0, now)
        closed += state.on_trade(0, now, 100 + quantity, quantity)
        trades.append((now, quantity))
    closed += state.on_time(0, now + SECOND)
    wanted = [
        (bucket * SECOND, sum(quantity for _, quantity in group))
        for bucket, group in groupby(trades, lambda trade: trade[0] // SECOND)
    ]
    assert [(bar.start_ns, bar.volume) for bar in closed] == wanted


@pytest.mark.parametrize("others", [1, 5, 20])
def test_a_quiet_instruments_bar_is_closed_by_others(others):
    state = State(others + 1, SERIES[:1])
    for instrument in range(others + 1):
        state.on_trade(instrument, START, 100, 1)
    late = [bar.instrument for _ in range(others + 1) for bar in state.on_time(-1, START + SECOND)]
    assert sorted(late) == list(range(others + 1))


def test_a_trade_closes_the_bar_that_ends_at_its_time():
    state = State(1, SERIES[:1])
    assert state.on_trade(0, START, 100, 1) == state.on_trade(0, START + SECOND - 1, 101, 1) == []
    (bar,) = state.on_trade(0, START + SECOND, 102, 1)
    assert (bar.start_ns, bar.volume) == (START, 2)


def test_a_trade_is_never_divided():
    state = State(1, [(Cut.VOLUME, 10)])
    assert state.on_trade(0, START, 100, 9) == []
    (bar,) = state.on_trade(0, START + 1, 102, 1_000)
    assert (bar.start_ns, bar.volume, bar.trades) == (START, 1_009, 2)
    assert (bar.open, bar.high, bar.low, bar.close) == (100, 102, 100, 102)
    (bar,) = state.on_trade(0, START + 2, 99, 10)
    assert (bar.start_ns, bar.volume, bar.trades) == (START + 2, 10, 1)


def test_a_trade_that_is_late_counts_into_the_bar_that_is_open():
    state = State(1, SERIES[:1])
    state.on_trade(0, START, 100, 1)
    state.on_trade(0, START - 1, 101, 1)
    state.on_trade(0, START - SECOND, 102, 1)
    assert state.header.late == 2
    (bar,) = state.on_trade(0, START - SECOND - 1, 103, 1)  # the clock has gone back
    assert (bar.start_ns, bar.volume) == (START, 3)
    assert (state.header.late, state.header.set_back) == (2, 1)
    (bar,) = state.on_trade(0, START, 104, 1)
    assert (bar.start_ns, bar.volume) == (START - 2 * SECOND, 1)


def test_a_bar_that_can_take_no_more_is_closed_before_its_time():
    state = State(1, [(Cut.TRADES, 5), (Cut.VOLUME, LIMIT)])
    state.on_trade(0, START, LIMIT, LIMIT - 1)
    first, second, third = state.on_trade(0, START, LIMIT, LIMIT)
    assert [bar.volume for bar in (first, second, third)] == [LIMIT - 1, LIMIT - 1, LIMIT]
    assert [bar.series for bar in (first, second, third)] == [0, 1, 1]
    assert first.vwap == third.vwap == LIMIT


@pytest.mark.parametrize("bad", [0, -1, LIMIT + 1, (1 << 63) - 1, -(1 << 63)])
def test_what_is_no_trade_is_refused(bad):
    state = State(1)
    assert state.on_trade(0, START, bad, 1) == state.on_trade(0, START, 1, bad) == []
    assert state.header.refused == 2
    for time_ns in (bad, START, bad, START + 9 * SECOND):  # times are taken as they come
        state.on_time(0, time_ns)
        state.on_trade(0, time_ns, 5, 5)
    assert bars.bar_of(state.address, 0, 0).volume == 5
    for instrument in (-1, 1, 1 << 30):
        assert state.on_trade(instrument, START, 1, 1) == []


words = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([LIMIT, LIMIT + 1, 1 << 62, (1 << 63) - 1, -(1 << 63), 0, 1]),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(st.integers(-2, 3), words, words, words), max_size=12))
def test_nothing_at_all_upsets_the_bars(stream):
    state = State(2, [(Cut.TIME, 1), (Cut.TIME, LIMIT), (Cut.TRADES, 2), (Cut.VOLUME, LIMIT)])
    traded, barred = 0, Counter()
    for instrument, time_ns, price, quantity in stream:
        before = int(state.header.refused)
        closed = state.on_time(instrument, time_ns)
        closed += state.on_trade(instrument, time_ns, price, quantity)
        if 0 <= instrument < 2 and state.header.refused == before:
            traded += quantity
        for bar in closed:
            assert bar.low <= bar.vwap <= bar.high
            barred[bar.series] += bar.volume
    for series in range(4):
        rest = sum(bars.bar_of(state.address, instrument, series).volume for instrument in (0, 1))
        assert barred[series] + int(rest) == traded


def test_series_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        State(1, [(Cut.TIME, 0)])
    with pytest.raises(ValueError, match="at most 4"):
        State(1, [(Cut.TRADES, 1)] * (SERIES_MAX + 1))
    with pytest.raises(ValueError, match="9 is not a valid Cut"):
        State(1, [(9, 1)])
    assert State(1, []).on_trade(0, START, 1, 1) == []


def test_every_machine_and_plain_python_give_the_same_bytes():
    state, closed = State(3), 0
    for number in range(3000):
        now, price = START + number * 217_000_000, 6_000_000_000_000 + number * number % 977
        closed += len(state.on_time(number % 5 - 1, now))
        closed += len(state.on_trade(number % 3, now, price, number * 7919 % 61 + 1))
    assert closed > 3000
    digest = hashlib.blake2b(state.words.tobytes(), digest_size=8).hexdigest()
    assert digest == "db13dd29064ee906"
