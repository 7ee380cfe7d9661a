"""A row without a mark goes over to another instrument, in whose units it is from then on."""

import pytest

from ringbuf.atomics import at
from tests.workers.test_currencies import EUR, IN_EURO
from tests.workers.test_positions import State, fixed, one_held
from tests.workers.test_risk_check import faults_of
from workers.kernels import adoption, currencies, option_positions, positions
from workers.kernels.black_scholes import CALL
from workers.kernels.currencies import CURRENCY, DIVISOR_MAX
from workers.kernels.option_positions import Held
from workers.kernels.position_block import POSITION, PositionRefused, abroad_of, position_of, row_of
from workers.kernels.positions import SHARE, Contract
from workers.kernels.risk_check import RiskFault
from workers.records import MONEY_SCALE

DAY_NS = 86_400 * 10**9


def test_the_new_one_marks_it_in_its_own_units():
    state = one_held(quantity=3, cost=50_000, price_scale=10**8)
    adoption.share(state.address, 0, 1)
    adoption.adopt(state.address, 0, 3, 100, SHARE)
    assert [int(row_of(state.address, each)) for each in range(4)] == [-1, 0, 0, 0]
    assert state.mark(3, 1_000, 1_000)  # 10.00
    assert state.portfolio(0)[:3] == [300_000, 250_000, 0]
    state.hold(0, 3, 4, 0, 100, fixed(0.01, -0.02, 0.0))  # by its own terms
    assert faults_of(state, 0) == RiskFault.NONE


def test_a_multiplier_counts_in_the_new_units():
    state = State(4, 1, 1, 3)
    state.hold(0, 2, 3, 0, 10**8, fixed(0.01, -0.02, 0.0), Contract(50))
    adoption.adopt(state.address, 0, 1, 100, Contract(50))
    assert state.mark(1, 1_000, 1_000)
    assert state.portfolio(0)[0] == 3 * 50 * 100_000


def test_options_on_it_are_valued_in_the_new_units():
    call, returns = Held(CALL, 8.0, 0.0, 0.0, 0.2, DAY_NS, 100.0, 0), fixed(0.01, -0.02, 0.0)
    made, fresh = State(4, 1, 1, 3, options=2), State(4, 1, 1, 3, options=2)
    for state, instrument, scale in ((made, 2, 10**8), (fresh, 1, 100)):
        for _ in range(2):
            option_positions.hold(state.address, 0, instrument, call, scale, returns)
    adoption.adopt(made.address, 0, 1, 100, SHARE)
    for state in (made, fresh):
        assert state.mark(1, 1_000, 1_000)
        option_positions.mark(state.address, 1, 0)
    assert made.portfolio(0) == fresh.portfolio(0)
    assert made.portfolio(0)[0] == pytest.approx(2 * 100 * 2 * MONEY_SCALE, rel=1e-6)


def test_a_rate_is_told_in_the_new_units():
    state = State(4, 1, 2, 3, 1)
    positions.quote(state.address, EUR, 0, 10**8, fixed(0.01, -0.02, 0.0))
    state.hold(0, 2, 100, 0, 100, fixed(0.1, -0.2, 0.0), IN_EURO)
    state.mark(2, 1_000, 1_000)
    with pytest.raises(PositionRefused, match="price_scale of a rate"):
        adoption.adopt(state.address, 0, 3, DIVISOR_MAX, SHARE)
    adoption.adopt(state.address, 0, 3, 10_000, SHARE)
    abroad = int(abroad_of(state.address))
    assert int(at(currencies.currency_at(abroad, EUR), CURRENCY).divisor) == 20_000
    assert state.mark(3, 11_000, 11_000)
    assert state.portfolio(0)[0] == 1_100 * 10_000


def test_what_is_too_large_in_the_new_units_is_held_and_stuck():
    state = one_held(quantity=2**56, price_scale=10**8)
    adoption.adopt(state.address, 0, 3, 1, SHARE)
    assert int(at(position_of(state.address, 0, 0), POSITION).highest_mark) > 0
    assert state.mark(3, 1, 1)
    assert int(positions.stuck(state.address, 0)) == 1
    assert int(positions.unvalued(state.address, 0)) == 1
