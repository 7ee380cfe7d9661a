"""What the gate lets through: one can always get out of a position, and never beyond."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from tests.naive.matching import Asked, Matching
from tests.workers.matches import Desk, naive_stakes
from tests.workers.test_matching import ANNOUNCED, EXAMPLES, SMALL, streams
from workers.kernels.engine import ACCOUNT, EXPOSURE_MAX, STANDING, account_at, standing_at
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.resting import Limits
from workers.orders import OrderFlag, Reject
from workers.records import Book, Event, Side

PRICE = 100
SHUT = AccountLimits(
    notional_max=1, position_max=1, credit_max=1, messages_max=1 << 30, reduce_when_off=True
)
WORTH = Reject.MAX_NOTIONAL | Reject.POSITION | Reject.CREDIT


class Pair:
    """An engine and its twin, whose accounts hold something from the start."""

    def __init__(self, limits: AccountLimits, positions: list[int], room: Limits = SMALL):
        rules = Settings(room, 1, [limits] * len(positions))
        self.desk, self.naive = Desk(rules), Matching(rules)
        self.tell(ANNOUNCED)
        for account, position in enumerate(positions):
            self.hold(account, position, abs(position) * PRICE)

    def hold(self, account: int, position: int, worth: int) -> None:
        engine = self.desk.engine.address
        standing = at(standing_at(engine, account, 1), STANDING)
        standing.position, standing.held = position, worth
        at(account_at(engine, account), ACCOUNT).held = worth
        self.naive.accounts[account].standings[0] = [position, 0, 0, worth]

    def tell(self, *asked: Asked) -> list[tuple]:
        said = [row for one in asked for row in self.naive.apply(one)]
        assert [row for one in asked for row in self.desk.apply(one)] == said
        assert self.desk.stakes() == naive_stakes(self.naive)
        return said

    def reasons(self, side: Side, quantity: int, price: int = PRICE, **more) -> int:
        """Why an order that rests alone is refused; it is cancelled where it is not."""
        order = Asked(Event.ORDER, 900, 0, price, quantity, side=side, **more)
        said = self.tell(order, Asked(Event.CANCEL_ORDER, 900, 0))[0]
        return said[7] if said[0] == Book.REJECTED else 0

    def position(self, account: int) -> int:
        return self.naive.accounts[account].standing(0)[0]


@settings(max_examples=EXAMPLES, deadline=None)
@given(streams, st.lists(st.integers(-60, 60), min_size=3, max_size=3), st.booleans())
def test_an_account_beyond_its_limits_only_ever_gets_out(stream, positions, off):
    pair = Pair(SHUT, positions)
    switches = [Asked(Event.SWITCH, other=n, flags=1) for n in range(3) if off]
    pair.tell(*switches)
    for asked in (one for group in stream for one in group):
        if asked.kind == Event.SWITCH:
            continue
        said = pair.tell(asked)
        for account, before in enumerate(positions):
            now = pair.position(account)
            assert min(before, 0) <= now <= max(before, 0), (asked, said)
            positions[account] = now


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(-50, 50),
    st.integers(0, 50),
    st.integers(1, 60),
    st.sampled_from([Side.BID, Side.ASK]),
)
def test_an_order_is_free_as_far_as_all_of_its_side_leave_the_position_on_its_side(
    position, open_, quantity, side
):
    pair = Pair(SHUT, [position])
    if open_:
        pair.tell(Asked(Event.ORDER, 1, 0, PRICE, open_, side=side))
    taken = pair.naive.accounts[0].standing(0)[1 + side]
    size = position if side == Side.ASK else -position
    assert taken == (open_ if open_ <= size else 0)
    found = pair.reasons(side, quantity)
    reach = taken + quantity - size
    assert bool(found & WORTH) == (reach > 0)
    assert found & Reject.POSITION == (Reject.POSITION if reach > 1 else 0)


def test_a_replacement_is_measured_without_what_it_replaces():
    pair = Pair(SHUT, [10])
    pair.tell(Asked(Event.ORDER, 1, 0, PRICE, 10, side=Side.ASK))
    grown, same = (Asked(Event.REPLACE_ORDER, 1, 0, PRICE + 1, n, side=Side.ASK) for n in (11, 10))
    assert pair.tell(grown)[0][7] == Reject.MAX_NOTIONAL | Reject.CREDIT
    assert pair.tell(same)[0][0] == Book.REPLACED


def test_credit_counts_a_replacement_in_place_of_what_it_replaces():
    pair = Pair(AccountLimits(credit_max=1000), [0])
    pair.tell(Asked(Event.ORDER, 1, 0, PRICE, 10))
    cheaper, dearer = (Asked(Event.REPLACE_ORDER, 1, 0, price, 10) for price in (99, 101))
    assert pair.tell(cheaper)[0][0] == Book.REPLACED
    assert pair.tell(dearer)[0][7] == Reject.CREDIT


def test_a_way_out_is_still_held_to_what_makes_an_order_an_error():
    strict = SHUT._replace(quantity_max=5, collar_bps=100, messages_max=4)
    pair = Pair(strict, [50])
    pair.tell(Asked(Event.TERMS, 5, 2, PRICE))
    large = Reject.MAX_QUANTITY | Reject.OFF_LOT | Reject.OFF_TICK | Reject.COLLAR
    assert pair.reasons(Side.ASK, 7, 102) == large
    assert pair.reasons(Side.ASK, 4, 0, flags=OrderFlag.MARKET) == 0
    pair.reasons(Side.ASK, 4)
    pair.reasons(Side.ASK, 4)
    assert pair.reasons(Side.ASK, 4) == Reject.RATE


@pytest.mark.parametrize("allowed", [False, True])
def test_an_account_that_is_switched_off_may_get_out_where_it_is_set_so(allowed):
    pair = Pair(AccountLimits(reduce_when_off=allowed), [-10])
    pair.tell(Asked(Event.SWITCH, other=0, flags=1))
    assert pair.reasons(Side.BID, 10) == (0 if allowed else Reject.SWITCHED_OFF)
    assert pair.reasons(Side.BID, 11) == Reject.SWITCHED_OFF
    assert pair.reasons(Side.ASK, 1) == Reject.SWITCHED_OFF
    assert pair.reasons(Side.BID, 0) == Reject.SWITCHED_OFF | Reject.BAD_VALUE
    pair.tell(Asked(Event.SWITCH, other=-1, flags=1))
    assert pair.reasons(Side.BID, 10) == Reject.SWITCHED_OFF


@pytest.mark.parametrize("limits", [AccountLimits(), SHUT])
def test_no_sum_overflows_on_the_way_out(limits):
    room = Limits(2, 2, 1)
    pair = Pair(limits, [1 << 40], room)
    assert pair.reasons(Side.ASK, 1 << 40, 1 << 20) & Reject.MAX_NOTIONAL
    assert pair.reasons(Side.ASK, 1 << 40, (1 << 20) - 1) == 0
    pair.hold(0, 1 << 40, EXPOSURE_MAX)
    assert pair.reasons(Side.ASK, 1, 1) == Reject.CREDIT


def test_without_accounts_nothing_is_limited():
    desk = Desk(Settings(SMALL, 1))
    desk.apply(ANNOUNCED)
    assert desk.apply(Asked(Event.ORDER, 1, 77, 1 << 40, 1 << 30))[0][0] == Book.ACCEPTED
