"""An order that could have its account risk too much is refused; who only risks less gets out."""

import hashlib
import os
import random
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.matching import Asked, Matching
from tests.naive.matching_var import risk_of
from tests.naive.risk import in_money
from tests.workers.match_fuzz import Drawn
from tests.workers.matches import Desk, announced, drawn_returns, events_of, naive_stakes
from workers.kernels import positions, scenarios, var_block, var_limit
from workers.kernels.engine import (
    ACCOUNT,
    ENGINE,
    STANDING,
    account_at,
    standing_at,
)
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.position_block import GROSS_LIMIT, STATE
from workers.kernels.resting import Limits
from workers.orders import Reject
from workers.records import MONEY_SCALE, Book, Event, Side

EXAMPLES = 100 if compiled() else 15
ROOM = Limits(400, 200, 6)
NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE")
BUY, SELL = int(Side.BID), int(Side.ASK)
UP, DOWN = 0.01, -0.02
FREE = 1  # an account without limits, who trades with the other
FLAT = {  # of 100 scenarios the worst is the value at risk
    "AAA": np.full(100, round(DOWN * 2**24), np.int32),
    "BBB": np.full(100, round(UP * 2**24), np.int32),
    "ZERO": np.zeros(100, np.int32),
}


class Two:
    """An engine and its twin; account 0 is held to a value at risk, account 1 to nothing."""

    def __init__(self, var_max: float, *listed: Asked, returns=None, **more) -> None:
        limits = AccountLimits(var_max=round(var_max * MONEY_SCALE), **more)
        rules = Settings(ROOM, 6, [limits, AccountLimits()], returns=returns or FLAT)
        self.desk, self.naive, self.number = Desk(rules), Matching(rules), 0
        self.tell(*(listed or (announced(0, "AAA"), announced(1, "BBB"))))

    def tell(self, *asked: Asked) -> list[tuple]:
        said = [row for one in asked for row in self.naive.apply(one)]
        assert [row for one in asked for row in self.desk.apply(one)] == said
        assert self.desk.stakes() == naive_stakes(self.naive)
        return said

    def order(self, side: int, lots: int, price: int = 100, account: int = 0, **more) -> int:
        """Send an order; why it is refused, 0: it is not."""
        self.number += 1
        asked = Asked(Event.ORDER, self.number, account, price, lots, side=side, **more)
        first = self.tell(asked)[0]
        return first[7] if first[0] == Book.REJECTED else 0

    def trade(self, side: int, lots: int, price: int = 100, instrument: int = 0) -> int:
        """Account 0 trades with the other; why it may not."""
        assert self.order(1 - side, lots, price, FREE, instrument=instrument) == 0
        refused = self.order(side, lots, price, instrument=instrument)
        if refused:
            self.tell(Asked(Event.CANCEL_ORDER, self.number - 1, FREE, instrument=instrument))
        return refused

    def hold(self, lots: int, instrument: int = 0) -> None:
        """Account 0 holds so many lots, whatever it was."""
        rule = self.desk.announced()[instrument]
        at(standing_at(self.desk.engine.address, 0, rule), STANDING).position = lots
        self.naive.accounts[0].standing(instrument)[0] = lots

    def value_at_risk(self, account: int = 0) -> int:
        """What an account's portfolio was last measured at, money units."""
        engine = self.desk.engine.address
        state = var_block.positions_of(engine + int(at(engine, ENGINE).var_at))
        number = at(account_at(engine, account), ACCOUNT).portfolio
        return int(positions.var_99(state, number))


def price(reference: int, instrument: int = 0) -> Asked:
    return Asked(Event.TERMS, price=reference, instrument=instrument)


orders = st.builds(
    lambda side, account, instrument, price, lots: (side, account, instrument, price, lots),
    st.integers(0, 1), st.integers(0, 2), st.sampled_from([0, 0, 1, 2, 3, 4, 5]),
    st.sampled_from([95, 99, 100, 101, 130]), st.sampled_from([1, 20, 300, 1 << 38]),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(orders, min_size=10, max_size=40),
    st.sampled_from([7, 60, 130]),
    st.sampled_from([50_000, 400_000, 1 << 50]),
)
def test_every_verdict_and_every_value_at_risk_is_the_twins(stream, scenarios, var_max):
    """Two accounts with a limit trade six instruments, one of which has no scenarios."""
    limits = AccountLimits(var_max=var_max)
    accounts = [AccountLimits(), limits, limits._replace(var_max=2 * var_max)]
    rules = Settings(ROOM, 6, accounts, returns=drawn_returns(NAMES, scenarios))
    desk, naive = Desk(rules), Matching(rules)
    listed = [announced(n, name, 100, n % 2) for n, name in enumerate((*NAMES, "NONE"))]
    for asked in (*listed, *(price(100, n) for n in range(6))):
        assert desk.apply(asked) == naive.apply(asked)
    for number, (side, account, instrument, at_price, lots) in enumerate(stream):
        asked = Asked(
            Event.ORDER, number, account, at_price, lots, side=side, instrument=instrument
        )
        held = {
            name: standing[0]
            for name, standing in naive.accounts[account].standings.items()
            if standing[0]
        }
        now = risk_of(naive, held)
        told = naive.apply(asked)
        assert desk.apply(asked) == told, asked
        if account and told[0][0] == Book.REJECTED and told[0][7] == Reject.VAR:
            engine = desk.engine.address
            state = var_block.positions_of(engine + int(at(engine, ENGINE).var_at))
            assert positions.var_99(state, account - 1) == now
    assert desk.stakes() == naive_stakes(naive)


asked_at_par = st.one_of(
    st.tuples(st.just(Event.ORDER), st.integers(0, 1), st.integers(0, 2), st.integers(1, 400)),
    st.tuples(st.just(Event.CANCEL_ORDER), st.just(0), st.integers(0, 2), st.just(0)),
    st.tuples(st.just(Event.REPLACE_ORDER), st.just(0), st.integers(0, 2), st.integers(1, 400)),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(asked_at_par, st.integers(1, 12)), min_size=5, max_size=40),
    st.lists(st.integers(-300, 300), min_size=3, max_size=3),
)
def test_in_one_instrument_at_one_price_nobody_ever_risks_more_than_allowed(stream, positions):
    """More than the limit or, where more was at risk from the start, more than that."""
    limits = AccountLimits(var_max=8 * MONEY_SCALE)
    rules = Settings(ROOM, 1, [limits] * 3, returns=drawn_returns(["AAA"], 60))
    desk, naive = Desk(rules), Matching(rules)
    for asked in (announced(0, "AAA"), price(100)):
        assert desk.apply(asked) == naive.apply(asked)
    for account, position in enumerate(positions):
        at(standing_at(desk.engine.address, account, 1), STANDING).position = position
        naive.accounts[account].standing(0)[0] = position
    most = [max(limits.var_max, risk_of(naive, {0: position})) for position in positions]
    for (kind, side, account, lots), number in stream:
        asked = Asked(kind, number, account, 100, lots, side=side)
        assert desk.apply(asked) == naive.apply(asked)
        for each, allowed in enumerate(most):
            assert risk_of(naive, {0: naive.accounts[each].standing(0)[0]}) <= allowed


def test_an_order_is_refused_from_where_all_of_its_side_would_risk_too_much():
    both = Two(20.0)  # 2 % of 10 x 100 lots x 1.00
    both.tell(price(100))
    assert both.order(BUY, 1000, 90) == 0
    assert both.order(BUY, 1, 90) == Reject.VAR
    assert both.order(SELL, 5000, 110) == 0  # short of what falls: nothing to lose
    both.tell(Asked(Event.CANCEL_ORDER, 1, 0))
    assert both.order(BUY, 1001, 90) == Reject.VAR
    assert both.order(BUY, 1000, 90) == 0


def test_fills_and_marks_count_when_the_account_asks_again():
    both = Two(20.0)
    both.tell(price(100))
    assert both.trade(BUY, 900) == 0
    assert both.order(BUY, 101, 90) == Reject.VAR
    assert both.value_at_risk() == 18 * MONEY_SCALE
    assert both.order(BUY, 100, 90) == 0
    assert both.order(SELL, 1, 50, FREE) == 0  # trades at 90: all is worth less
    assert both.order(BUY, 100, 80) == 0
    assert both.order(BUY, 120, 80) == Reject.VAR


def test_a_replacement_counts_in_place_of_what_it_replaces():
    both = Two(20.0)
    both.tell(price(100))
    assert both.order(BUY, 1000, 90) == 0
    more, same = (Asked(Event.REPLACE_ORDER, 1, 0, 91, lots) for lots in (1001, 1000))
    assert both.tell(more)[0][7] == Reject.VAR
    assert both.tell(same)[0][0] == Book.REPLACED


def test_one_can_always_get_out_and_hedge_however_much_is_at_risk():
    both = Two(1.0)
    both.tell(price(100), price(100, 1))
    both.hold(1000)  # 20.00 at risk, from a time when more was allowed
    assert both.order(BUY, 1, 90) == Reject.VAR
    assert both.order(SELL, 1000, 110) == 0
    assert both.order(BUY, 1, 90, instrument=1) == 0  # what rises when the other falls
    assert both.order(SELL, 1, 110, instrument=1) == Reject.VAR
    both.tell(Asked(Event.CANCEL_ORDER, 2, 0))
    assert both.order(SELL, 1500, 110) == 0  # beyond: short of what falls risks nothing


def test_what_risks_as_much_as_before_passes():
    both = Two(1.0, announced(0, "AAA"), announced(1, "ZERO"))
    both.tell(price(100), price(100, 1))
    both.hold(1000)
    assert both.order(BUY, 1000, 90, instrument=1) == 0


def test_every_other_reason_is_told_as_well():
    both = Two(20.0, quantity_max=10, position_max=20, collar_bps=100)
    both.tell(price(100))
    wanted = Reject.VAR | Reject.MAX_QUANTITY | Reject.POSITION | Reject.COLLAR
    assert both.order(BUY, 1001, 90) == wanted


@pytest.mark.parametrize(
    ("listed", "reference"),
    [
        (announced(0, "NONE"), 100),  # no scenarios
        (announced(0, "AAA"), 0),  # no mark
        (announced(0, "AAA", 0), 100),  # no scale
        (announced(0, "AAA", -5), 100),
        (announced(0, "AAA", 10**15, 15), 100),  # one beyond all bounds
    ],
)
def test_what_nobody_can_tell_is_refused(listed, reference):
    both = Two(20.0, listed)
    both.tell(price(reference))
    assert both.order(BUY, 1, 90) == Reject.VAR_UNKNOWN
    assert both.order(SELL, 1, 110) == Reject.VAR_UNKNOWN
    assert both.order(SELL, 1, 110, FREE) == 0
    both.hold(5)
    assert both.order(SELL, 5, 111) == 0  # it only reduces


def test_a_position_that_nobody_can_measure_shuts_the_whole_account_but_the_way_out():
    both = Two(20.0, announced(0, "AAA"), announced(1, "NONE"))
    both.tell(price(100), price(100, 1))
    assert both.order(BUY, 1, 90) == 0
    both.hold(1, 1)
    assert both.order(BUY, 1, 90) == Reject.VAR_UNKNOWN
    assert both.order(SELL, 1, 110, instrument=1) == 0
    assert both.tell(Asked(Event.CANCEL_ORDER, 1, 0))[0][0] == Book.CANCELED
    both.hold(0, 1)
    assert both.order(BUY, 1, 90) == 0


def test_a_position_without_a_mark_shuts_it_too():
    both = Two(20.0)
    both.tell(price(100))
    both.hold(5, 1)
    assert both.order(BUY, 1, 90) == Reject.VAR_UNKNOWN
    both.tell(price(100, 1))
    assert both.order(BUY, 1, 90) == 0


def test_beyond_every_bound_nothing_is_known_and_later_it_is_again():
    both = Two(20.0)
    both.tell(price(100), price(100, 1))
    both.hold(500)
    assert both.order(BUY, 501, 90) == Reject.VAR
    for lots in (1 << 60, 1 << 59, -(1 << 61)):
        both.hold(lots)
        side = SELL if lots < 0 else BUY  # more of it
        assert both.order(side, 1, 100) & Reject.VAR_UNKNOWN
        both.hold(500)
        assert both.order(BUY, 501, 90) == Reject.VAR
        assert both.order(BUY, 500, 90) == 0
        both.tell(Asked(Event.CANCEL_ORDER, both.number, 0))


def test_what_has_no_room_before_another_shrinks_has_it_then():
    most = GROSS_LIMIT // (1 << 24) * 100 // (MONEY_SCALE // 2)  # lots of a price unit
    wild = {name: np.full(7, 1 << 24, np.int32) for name in NAMES[:3]}
    both = Two(1e11, *(announced(n, name, 2) for n, name in enumerate(wild)), returns=wild)
    both.tell(*(price(1, n) for n in range(3)))
    less, more = most // 10, most // 5 * 2
    for holds in ((less, more, more), (more, more, less), (less, more, more)):
        for number, lots in enumerate(holds):
            both.hold(lots, number)
        assert both.order(BUY, 1, 1) == 0
    both.hold(more)
    assert both.order(BUY, 1, 1) == Reject.VAR_UNKNOWN


held = st.tuples(st.integers(0, 2), st.sampled_from([-900, 0, 7, 500]), st.integers(50, 150))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.lists(held, min_size=1, max_size=6), min_size=1, max_size=8))
def test_any_changes_between_two_orders_are_one_portfolio(steps):
    names = NAMES[:3]
    both = Two(0.01, *map(announced, range(3), names), returns=drawn_returns(names, 40))
    both.tell(*(price(100, n) for n in range(3)))
    for step in steps:
        for instrument, lots, reference in step:
            both.hold(lots, instrument)
            both.tell(price(reference, instrument))
        refused = both.order(BUY, 100_000, 40)
        both.tell(Asked(Event.CANCEL_ORDER, both.number, 0))
        assert refused in (0, Reject.VAR)
        holds = {name: row[0] for name, row in both.naive.accounts[0].standings.items()}
        assert both.value_at_risk() == risk_of(both.naive, holds)


def test_a_symbol_of_two_sources_has_scenarios_in_both_and_then_the_rows_are_used_up():
    twice = [announced(n, "AAA") for n in range(3)]
    both = Two(20.0, *twice, returns={"AAA": FLAT["AAA"]})
    both.tell(*(price(100, n) for n in range(3)))
    assert [both.order(BUY, 1, 90, instrument=n) for n in range(3)] == [0, 0, Reject.VAR_UNKNOWN]
    engine = both.desk.engine.address
    assert at(var_block.positions_of(engine + int(at(engine, ENGINE).var_at)), STATE).rows == 2
    both.tell(announced(0, "AAA"))  # said again, at the roll of a day: nothing changes
    assert both.order(BUY, 1, 90) == 0


def test_an_engine_that_was_copied_judges_on():
    both = Two(20.0)
    both.tell(price(100), price(100, 1))
    assert both.trade(BUY, 900) == 0
    assert both.order(BUY, 101, 90) == Reject.VAR
    assert both.trade(BUY, 50, instrument=1) == 0
    both.desk = both.desk.copy()
    assert both.order(BUY, 200, 90) == Reject.VAR
    assert both.order(BUY, 100, 90) == 0
    assert both.trade(BUY, 5, instrument=1) == 0


def played() -> str:
    """A digest of all bytes of an engine, and of what it said, after a stream of all kinds."""
    draw, digest = random.Random(7), hashlib.sha256()
    drawn = Drawn(draw)
    accounts = [AccountLimits(var_max=200_000)] * 4
    desk = Desk(drawn.settings._replace(accounts=accounts, returns=drawn_returns(NAMES[:2])))
    asked = drawn.start()
    while len(asked) < 800:
        asked += drawn.next()
    said = desk.run(events_of(asked))
    assert (said["left"][said["kind"] == Book.REJECTED] & int(Reject.VAR)).any()
    for part in (said, desk.engine.words, desk.books.words):
        digest.update(part.tobytes())
    return digest.hexdigest()


@pytest.mark.skipif(not compiled(), reason="nothing is compiled")
def test_compiled_or_not_all_bytes_are_the_same():
    code = "from tests.workers.test_var_limit import played; print(played())"
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == played()


def test_accounts_without_such_a_limit_have_no_portfolio():
    desk = Desk(Settings(ROOM, 6, [AccountLimits()] * 3))
    assert at(desk.engine.address, ENGINE).portfolios == 0
    assert desk.apply(announced(0, "AAA"), Asked(Event.ORDER, 1, 0, 100, 1 << 30))[0][0] == (
        Book.ACCEPTED
    )


@settings(max_examples=10 * EXAMPLES, deadline=None)
@given(st.integers(0, 400) | st.integers(0, var_limit.LOSS_LIMIT))
def test_the_lowest_profit_that_is_a_loss_of_no_more(loss):
    lowest = int(var_limit.profit_of(loss))
    assert in_money(Fraction(-lowest)) == loss
    assert in_money(Fraction(1 - lowest)) == loss + 1


def test_no_profit_is_a_loss_beyond_all_bounds():
    for loss in (var_limit.LOSS_LIMIT + 1, 10**16, (1 << 62)):
        assert var_limit.profit_of(loss) == -scenarios.PROFIT_LIMIT
    assert in_money(Fraction(scenarios.PROFIT_LIMIT)) == var_limit.LOSS_LIMIT
