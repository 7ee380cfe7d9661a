"""Options up the tree of portfolios: the sums are those of a fresh start, bit for bit."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive import live_options as naive
from tests.workers.test_positions import State
from workers.kernels import option_block, option_positions, positions, risk_limits
from workers.kernels.option_block import OPTION, OPTIONS
from workers.kernels.option_positions import Held
from workers.kernels.option_values import Greek
from workers.kernels.position_block import PORTFOLIO, PositionRefused, options_of, portfolio_of
from workers.records import MONEY_SCALE

EXAMPLES = 40 if compiled() else 5
COUNT = 40
SCALE = 10_000
DAY_NS = 86_400 * 10**9
START_NS = 1_700_000_000 * 10**9
PARENTS = (-1, 0, 0, 1)
RETURNS = (np.random.default_rng(3).standard_t(4, (3, COUNT)) * 2**18).astype(np.int32)
RETURNS[:, 0] = 0
GREEKS = range(len(Greek))


class Options(State):
    """A state that holds options, too."""

    def __init__(self, options=8, parents=PARENTS):
        super().__init__(3, len(parents), 3, COUNT, options=options, parents=parents)

    def add(self, portfolio, instrument, held: Held):
        option_positions.hold(self.address, portfolio, instrument, held, SCALE, RETURNS[instrument])

    def tick(self, instrument, half, time_ns):
        """Mark to a mid, in half price units."""
        if positions.mark(self.address, instrument, half // 2, half - half // 2):
            option_positions.mark(self.address, instrument, time_ns)

    def option(self, number):
        return at(option_block.option_of(options_of(self.address), number), OPTION)

    def greeks(self, number):
        return [int(option_positions.greek_of(self.address, number, greek)) for greek in GREEKS]

    def everything(self):
        """All that is told of portfolios."""
        found = []
        for number in range(self.limits.portfolios):
            book = at(portfolio_of(self.address, number), PORTFOLIO)
            sums = [int(book[name]) for name in ("gross", "stuck", "cost", "committed")]
            found.append((self.portfolio(number), self.greeks(number), sums, self.profits(number)))
        return found


def call(**more) -> Held:
    terms = {
        "kind": 1.0, "strike": 100.0, "rate": 0.03, "dividend": 0.01, "volatility": 0.25,
        "expires_ns": START_NS + 90 * DAY_NS, "units": 100.0, "cost": 5_000_000,
    }  # fmt: skip
    return Held(**terms | more)


def put(**more) -> Held:
    return call(kind=-1.0, **more)


held = st.builds(
    Held,
    kind=st.sampled_from([1.0, -1.0]),
    strike=st.sampled_from([100.0, 80.0, 130.0, 1e-3, 1e6]),
    rate=st.sampled_from([0.0, 0.05, -0.02]),
    dividend=st.sampled_from([0.0, 0.03]),
    volatility=st.sampled_from([0.2, 0.9, 0.0]),
    expires_ns=st.sampled_from([2, 30, 400]).map(lambda days: START_NS + days * DAY_NS),
    units=st.sampled_from([1.0, 100.0, -2_500.0, 0.5]),
    cost=st.integers(-(10**9), 10**9),
)
ticks = st.tuples(st.integers(0, 2), st.integers(1_500_000, 2_500_000), st.integers(-1, 5))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), held), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-900, 900)), max_size=3),
    st.lists(ticks, min_size=1, max_size=12 if compiled() else 4),
)
def test_what_was_summed_equals_a_fresh_start(options, linear, marks):
    state = Options()
    last: dict[int, tuple[int, int]] = {}
    settling: dict[int, tuple[int, int]] = {}  # option -> the mark that settled it
    build(state, options, linear)
    time_ns = START_NS
    for instrument, half, days in marks:
        time_ns += days * DAY_NS
        state.tick(instrument, half, time_ns)
        last[instrument] = half, time_ns
        for number, (_, on, option) in enumerate(options):
            if on == instrument and option.expires_ns <= time_ns:
                settling.setdefault(number, (half, time_ns))
    fresh = Options()
    build(fresh, options, linear)
    for half, time_ns in sorted({*settling.values()}, key=lambda one: one[1]):
        for number, one in settling.items():
            if one == (half, time_ns):
                fresh.tick(options[number][1], half, time_ns)
    for instrument, (half, time_ns) in last.items():
        fresh.tick(instrument, half, time_ns)
    assert state.everything() == fresh.everything()
    check_sums(state, options)


def build(state, options, linear):
    for portfolio, instrument, quantity in linear:
        state.hold(portfolio, instrument, quantity, quantity * 7, SCALE, RETURNS[instrument])
    for portfolio, instrument, option in options:
        state.add(portfolio, instrument, option)


def check_sums(state, options):
    """The Greeks but delta are sums over the options below; so are counts."""
    family = {0: {0, 1, 2, 3}, 1: {1, 3}, 2: {2}, 3: {3}}
    for number, below in family.items():
        mine = [n for n, (owner, *_) in enumerate(options) if owner in below]
        assert option_positions.count_of(state.address, number) == len(mine)
        for greek in (Greek.GAMMA, Greek.VEGA, Greek.THETA, Greek.RHO):
            wanted = sum(int(state.option(each).greek[greek]) for each in mine)
            assert state.greeks(number)[greek] == wanted


def test_a_portfolio_is_what_the_textbook_makes_of_it():
    state = Options()
    state.hold(1, 0, -300, -30_000 * MONEY_SCALE, SCALE, RETURNS[0])
    options = [call(units=500.0), put(strike=95.0, units=-200.0, volatility=0.4)]
    for option in options:
        state.add(3, 0, option)
    state.tick(0, 2 * 101 * SCALE + 1, START_NS)
    spot = (2 * 101 * SCALE + 1) / (2 * SCALE)
    value, pnl, unvalued, *_, notional = state.portfolio(0)
    worth = [naive.value(option, spot, START_NS) for option in options]
    linear = -300 * spot * MONEY_SCALE
    assert value == pytest.approx(sum(worth) + linear, abs=2)
    assert notional == pytest.approx(sum(map(abs, worth)) - linear, abs=2)
    assert pnl == value - sum(option.cost for option in options) + 30_000 * MONEY_SCALE
    assert unvalued == 0
    made = [naive.profits(option, spot, START_NS, RETURNS[0]) for option in options]
    wanted = np.sum(made, axis=0) + np.array(RETURNS[0], float) * round(linear / 100)
    assert np.abs(state.profits(0) - wanted).max() <= 1e-9 * np.abs(wanted).max()
    assert state.profits(0)[0] == 0  # a return of 0
    greeks = np.sum([naive.in_money(option, spot, START_NS) for option in options], axis=0)
    greeks[0] += linear / 100
    assert state.greeks(0) == pytest.approx(greeks, abs=2)
    assert state.greeks(2) == [0] * 5


def test_a_sold_option_is_worth_the_negative_of_a_bought_one():
    state = Options()
    state.add(1, 0, call(units=7.0, cost=3))
    state.add(2, 0, call(units=-7.0, cost=-3))
    state.tick(0, 1_987_655, START_NS)
    (one, *_), (other, *_) = state.portfolio(1), state.portfolio(2)
    assert one == -other > 0
    assert state.profits(1) == [-profit for profit in state.profits(2)]
    assert state.profits(0) == [0] * COUNT
    assert state.greeks(0) == [0] * 5


def test_the_first_mark_from_expiry_on_settles_for_good():
    state = Options()
    state.add(3, 0, call(units=10.0, strike=99.0))
    expires_ns = call().expires_ns
    state.tick(0, 2_000_000, expires_ns - 1)
    assert any(state.profits(0))
    assert option_positions.is_due(state.address, 0, expires_ns - 1) == 0
    assert option_positions.is_due(state.address, 0, expires_ns) == 1
    state.tick(0, 2_040_000, expires_ns + 5)
    assert state.portfolio(0)[0] == 30 * MONEY_SCALE
    assert state.profits(0) == [0] * COUNT
    assert state.greeks(3) == [0] * 5
    before = state.everything()
    assert option_positions.is_due(state.address, 0, expires_ns + DAY_NS) == 0
    state.tick(0, 1_000_000, expires_ns + DAY_NS)
    state.tick(0, 3_000_000, START_NS)  # a clock that is set back revives nothing
    assert state.everything() == before


@pytest.mark.parametrize("kind", [1.0, -1.0])
@pytest.mark.parametrize("strike", [1e-6, 50.0, 200.0, 1e9])
@pytest.mark.parametrize("volatility", [0.0, 0.3, 8.0])
def test_corners_have_their_limits(kind, strike, volatility):
    state = Options()
    option = call(kind=kind, strike=strike, volatility=volatility, units=1.0)
    state.add(3, 0, option)
    state.tick(0, 2_000_000, START_NS)
    assert state.portfolio(3)[0] == pytest.approx(naive.value(option, 100.0, START_NS), abs=1.01)
    wanted = np.array(naive.profits(option, 100.0, START_NS, RETURNS[0]))
    assert np.abs(np.array(state.profits(0)) - wanted).max() <= 1 + 1e-12 * 1e11 * max(1, strike)


def test_a_value_that_is_none_keeps_the_last_one_and_is_doubtful():
    state = Options()
    state.add(3, 0, call(units=10.0))
    state.add(1, 0, call(units=10.0, strike=90.0))
    risk_limits.limit(state.address, 3, 0, 10**12, 10**12)
    state.tick(0, 2_000_000, START_NS)
    before, last = state.everything()[3], int(state.option(0).value)
    state.option(0).terms.volatility = float("nan")
    state.tick(0, 2_100_000, START_NS)
    assert int(state.option(0).value) == last
    assert [int(state.option(number).stuck) for number in (0, 1)] == [1, 0]
    after = state.everything()[3]
    assert after[:2] == before[:2]
    assert after[3] == before[3]
    assert [at(portfolio_of(state.address, n), PORTFOLIO).stuck for n in range(4)] == [1, 1, 0, 1]
    header = at(options_of(state.address), OPTIONS)
    assert (header.priced, header.unpriced) == (3, 1)
    assert risk_limits.doubtful(state.address, 3, 0) == 1
    state.option(0).terms.volatility = 0.25
    state.tick(0, 2_100_000, START_NS)
    assert risk_limits.doubtful(state.address, 0, 0) == 0
    assert state.option(0).value > last


@pytest.mark.parametrize("units", [1e12, -3e9, 1e15])
def test_nothing_grows_beyond_the_bounds(units):
    """However large they are, sums stay below them: some option is stuck before."""
    state = Options(options=6)
    for number in range(6):
        state.add(3, number % 3, call(units=units, cost=0))
    for half in (2_000_000, 3_000_000, 60_000_000):
        for instrument in range(3):
            state.tick(instrument, half, START_NS)
        for number in (0, 1, 3):
            book = at(portfolio_of(state.address, number), PORTFOLIO)
            family = [state.option(each) for each in range(6)]
            assert book.gross == sum(int(option.gross) for option in family) < 2**61
            assert book.value == sum(int(option.value) for option in family)
            assert max(map(abs, state.profits(number))) < 2**61
            assert book.stuck == sum(int(option.stuck) for option in family)
    assert at(portfolio_of(state.address, 0), PORTFOLIO).stuck > 0


def test_what_cannot_be_held_is_refused_and_changes_nothing():
    state = Options(options=1)
    with pytest.raises(PositionRefused, match="cost of"):
        state.add(0, 0, call(cost=2**61 + 1))
    state.add(0, 0, call())
    before = state.memory.tobytes()
    with pytest.raises(PositionRefused, match="1 options are held already: raise `options`"):
        state.add(0, 1, call())
    assert state.memory.tobytes() == before
    other = Options()
    other.hold(0, 0, 1, 0, SCALE, RETURNS[0])
    with pytest.raises(PositionRefused, match="share them"):
        option_positions.hold(other.address, 0, 0, call(), 7, RETURNS[0])
    full = State(3, 1, 1, COUNT, options=2)
    full.hold(0, 0, 1, 0, SCALE, RETURNS[0])
    with pytest.raises(PositionRefused, match="raise `held`"):
        option_positions.hold(full.address, 0, 1, call(), SCALE, RETURNS[1])


def test_the_same_marks_give_the_same_bytes_compiled_or_not():
    state = Options()
    build(
        state, [(3, 0, call()), (1, 0, put(units=-7.5)), (2, 1, put(volatility=0.0))], [(1, 0, 9)]
    )
    for step, half in enumerate((2_000_001, 1_950_000, 2_104_999)):
        for instrument in range(2):
            state.tick(instrument, half, START_NS + 44 * step * DAY_NS)
    digest = hashlib.blake2b(state.memory.tobytes(), digest_size=8).hexdigest()
    assert digest == "08fb3eb403f61fa0"
