"""Matching, compiled or not, says and holds what its naive twin does, whatever is asked."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.matching import Asked, Matching
from tests.workers.match_fuzz import play
from tests.workers.matches import (
    Desk,
    announced,
    columns,
    drawn_returns,
    events_of,
    naive_stakes,
    naive_state,
)
from tests.workers.test_flow_orders import FLOWS, flow
from tests.workers.test_flow_orders import events_of as flow_events
from workers.kernels import bookview, matching
from workers.kernels.engine import (
    CHANGE,
    CHANGES_STEP,
    OUTPUTS_STEP,
    books_limits,
    bytes_needed,
    change_at,
    output_at,
)
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.resting import Limits
from workers.orders import STP_BITS, OrderFlag, Stp, Tif
from workers.records import EVENT, REPORT, Book, Event, Side, State

ANNOUNCED = announced(0, "AAA")
RETURNS = drawn_returns(["AAA"], 12)
SMALL = Limits(200, 100, 2)
EXAMPLES = 150 if compiled() else 25

ids, accounts = st.integers(1, 12), st.integers(0, 2)
prices, sizes = st.integers(95, 105), st.integers(1, 20)
flags = st.builds(
    lambda tif, more, stp: tif | more | stp << STP_BITS,
    st.sampled_from([*Tif, Tif.GTC, Tif.GTC]),
    st.sampled_from([0, 0, 0, OrderFlag.MARKET, OrderFlag.POST_ONLY]),
    st.sampled_from([*Stp]),
)
times = st.integers(0, 3)


def sane(asked: Asked) -> Asked:
    """Market orders name no price."""
    return asked._replace(price=0) if asked.flags & OrderFlag.MARKET else asked


orders = st.builds(
    lambda order, account, side, price, quantity, flags: sane(
        Asked(Event.ORDER, order, account, price, quantity, side=side, flags=flags)
    ),
    ids, accounts, st.integers(0, 1), prices, sizes, flags,
)  # fmt: skip
conditions = st.builds(
    lambda order, stop, shown, expiry, peg: Asked(
        Event.CONDITION, order, expiry, stop, shown, flags=peg
    ),
    ids, st.sampled_from([0, 0, 98, 100, 102]), st.sampled_from([0, 0, 2, 5]),
    st.integers(0, 80), st.sampled_from([0, 0, 0, 1]),
)  # fmt: skip
paired = st.builds(
    lambda more, order: [more._replace(order=order.order), order], conditions, orders
)
about = st.one_of(
    st.builds(lambda order, account: Asked(Event.CANCEL_ORDER, order, account), ids, accounts),
    st.builds(
        lambda order, account, price, quantity, flags: Asked(
            Event.REPLACE_ORDER, order, account, price, quantity, flags=flags
        ),
        ids, accounts, st.one_of(prices, st.just(0)), sizes, st.integers(0, 1),
    ),
)  # fmt: skip
rare = st.one_of(
    st.builds(
        lambda account, side: Asked(Event.CANCEL_ALL, other=account, side=side),
        st.integers(-1, 2), st.integers(0, 2),
    ),
    st.sampled_from([1, 1, 1, 2, 3, 4]).map(lambda state: Asked(Event.STATUS, flags=state)),
    st.just(Asked(Event.CLEAR)),
    st.builds(lambda price: Asked(Event.TERMS, 1, 1, price), prices),
    st.builds(
        lambda who, off: Asked(Event.SWITCH, other=who, flags=off), accounts, st.integers(0, 1)
    ),
)  # fmt: skip
streams = st.lists(
    st.one_of(orders.map(lambda order: [order]), paired, paired, about.map(lambda one: [one]),
              rare.map(lambda one: [one])),
    min_size=5, max_size=60,
)  # fmt: skip
ruled = st.builds(
    lambda band, pauses, every, limits: Settings(
        SMALL, 1, [limits] * 3, band, pauses, every, RETURNS
    ),
    st.sampled_from([0, 0, 200]), st.booleans(), st.sampled_from([0, 2]),
    st.sampled_from([
        AccountLimits(), AccountLimits(15, 1900, 300, 40, 6000, 30, 50, executions=1),
        AccountLimits(15, 900, 0, 40, 1500, reduce_when_off=True),
        AccountLimits(position_max=60, var_max=10_000),
    ]),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(ruled, streams, st.lists(times, min_size=60, max_size=60))
def test_every_record_and_the_state_after_each_event_are_the_twins(rules, stream, steps):
    desk, naive, now = Desk(rules), Matching(rules), 0
    assert desk.apply(ANNOUNCED) == naive.apply(ANNOUNCED)
    for requests, step in zip(stream, steps, strict=False):
        now += step
        for asked in requests:
            timed = asked._replace(time_ns=now)
            assert desk.apply(timed) == naive.apply(timed), timed
            assert desk.state() == naive_state(naive)
            assert desk.stakes() == naive_stakes(naive)
    desk.check()


@pytest.mark.parametrize("seed", range(20 if compiled() else 4))
def test_a_share_of_the_campaign(seed):
    assert play(random.Random(f"share {seed}"), 1500 if compiled() else 150, 1, 10) > 0


def crowd(count: int) -> list[Asked]:
    """So many asks of two accounts at two prices, and a few stops that their trades reach."""
    asks = [
        Asked(Event.ORDER, n, n % 2, 100 + n % 2, 3, side=Side.ASK, flags=Tif.DAY * (n % 3 == 0))
        for n in range(1, count + 1)
    ]
    stops = []
    for n in range(count + 1, count + 6):
        stops += [Asked(Event.CONDITION, n, price=101), Asked(Event.ORDER, n, 2, 102, 5)]
    return [ANNOUNCED, *asks, *stops]


SWEEP = Asked(Event.ORDER, 9_999, 2, 0, 10_000, flags=OrderFlag.MARKET)
MASS = Asked(Event.CANCEL_ALL, other=1, side=Side.NONE, instrument=-1)


@pytest.mark.parametrize("last", [SWEEP, MASS, Asked(Event.CLEAR)])
def test_an_event_goes_on_after_its_bytes_were_copied_between_any_two_steps(last):
    rules = Settings(SMALL, 1, [AccountLimits()] * 3)
    desk, naive = Desk(rules), Matching(rules)
    for asked in crowd(60):
        assert desk.apply(asked) == naive.apply(asked)
    events = events_of([last])
    events["sequence"] = desk.sequence
    found, steps = [], 0
    while steps == 0 or matching.busy(desk.engine.address):
        matching.begin(desk.engine.address, desk.books.address, events[0])
        given = matching.step(desk.engine.address, desk.books.address)
        assert given <= OUTPUTS_STEP
        assert matching.changes(desk.engine.address) <= CHANGES_STEP
        records = [at(output_at(desk.engine.address, n), REPORT).reshape(1) for n in range(given)]
        found += [row for record in records for row in columns(record)]
        desk, steps = desk.copy(), steps + 1
    assert steps > 3
    assert found == naive.apply(last)
    assert desk.state() == naive_state(naive)


class Mirror:
    """Levels as those see them who are only told what changed."""

    def __init__(self, desk: Desk):
        self.desk, self.levels = desk, {}

    def follow(self, event: np.record) -> None:
        engine, books = self.desk.engine.address, self.desk.books.address
        before = self.tops()
        matching.begin(engine, books, event)
        moved = set()
        while matching.busy(engine):
            matching.step(engine, books)
            for number in range(matching.changes(engine)):
                change = at(change_at(engine, number), CHANGE)
                row = (int(change.quantity), int(change.orders))
                self.levels[int(change.owner), int(change.price)] = row
                if change.best:
                    moved.add(int(change.owner))
        after = self.tops()
        assert {owner for owner in after if after[owner] != before[owner]} <= moved

    def tops(self) -> dict:
        books = self.desk.books.address
        return {
            2 * instrument + side: bookview.depth_level(books, instrument, side, 0)
            for instrument in range(self.desk.settings.books.instruments)
            for side in (0, 1)
        }

    def agrees(self) -> bool:
        books, found = self.desk.books.address, {}
        for owner in self.tops():
            for depth in range(bookview.level_count(books, owner >> 1, owner & 1)):
                row = bookview.depth_level(books, owner >> 1, owner & 1, depth)
                found[owner, row[0]] = row[1:]
        return found == {key: row for key, row in self.levels.items() if row[1]}


@settings(max_examples=EXAMPLES, deadline=None)
@given(ruled, streams)
def test_the_changes_that_are_told_make_up_the_book(rules, stream):
    desk = Desk(rules)
    mirror = Mirror(desk)
    requests = [ANNOUNCED, *(asked for group in stream for asked in group)]
    events = events_of(requests)
    events["sequence"] = range(len(events))
    events["time_ns"] = range(len(events))
    for event in events:
        mirror.follow(event)
        assert mirror.agrees()


@pytest.mark.parametrize("name", FLOWS)
def test_books_of_the_public_flows_are_right_after_every_message(name):
    count = 3000 if compiled() else 150
    rules = Settings(Limits(1 << 12, 1 << 12, 1), 1)
    desk, naive = Desk(rules), Matching(rules)
    for event in flow_events(flow(name)[:count]):
        desk.run(np.array([event], EVENT))
        naive.apply(Asked(*(int(event[field]) for field in Asked._fields)))
        for side in (0, 1):
            book, depth = naive.markets[0].books[side], []
            for price in list(dict.fromkeys(order.price for order in book))[:5]:
                shown = [order.shown for order in book if order.price == price]
                depth.append((price, sum(shown), len(shown)))
            said = [bookview.depth_level(desk.books.address, 0, side, n) for n in range(5)]
            assert said[: len(depth)] == depth
            assert said[len(depth) :] == [(0, 0, 0)] * (5 - len(depth))
            count = len({order.price for order in book})
            assert bookview.level_count(desk.books.address, 0, side) == count


def test_quantity_is_neither_made_nor_lost():
    """What was taken in has traded, was cancelled or lost, or is left."""
    rules = Settings(Limits(400, 200, 1), 1)
    desk, draw = Desk(rules), random.Random(5)
    desk.apply(ANNOUNCED)
    taken, gone = {}, {}
    for order in range(1, 500 if compiled() else 60):
        bits = draw.choice((0, 0, Tif.IOC, Tif.FOK)) | draw.randrange(5) << STP_BITS
        price, size = draw.randint(95, 105), draw.randint(1, 20)
        side, account = draw.randrange(2), draw.randrange(3)
        asked = Asked(Event.ORDER, order, account, price, size, side=side, flags=bits)
        more = Asked(Event.CONDITION, order, quantity=draw.choice((0, 2)))
        for kind, _, _, _, known, _, quantity, left in desk.apply(more, asked):
            if kind == Book.ACCEPTED:
                taken[known] = left
            elif kind in (Book.FILL, Book.CANCELED, Book.REPLACED):
                gone[known] = gone.get(known, 0) + quantity
    state = desk.state()[0]
    rest = {row[0]: row[5] for queue in state[:2] for row in queue}
    assert all(taken[order] == gone.get(order, 0) + rest.get(order, 0) for order in taken)


def test_what_concerns_matching_and_what_does_not():
    desk = Desk(Settings(SMALL, 1))
    engine = desk.engine.address
    concerned = [
        bool(matching.concerns(engine, event))
        for event in events_of(
            [Asked(Event.ORDER, instrument=1), Asked(Event.SWITCH), ANNOUNCED,
             Asked(Event.DIRECTORY), Asked(Event.STATUS), Asked(Event.ADD)]
        )
    ]  # fmt: skip
    assert concerned == [True, True, True, False, False, False]
    desk.apply(ANNOUNCED)
    assert matching.is_matched(engine, 0)
    assert not matching.is_matched(engine, 1)
    assert matching.concerns(engine, events_of([Asked(Event.STATUS, flags=State.HALTED)])[0])


def test_events_cannot_name_the_sides_that_matching_keeps_for_itself():
    desk = Desk(Settings(SMALL, 1))
    desk.apply(ANNOUNCED, Asked(Event.ORDER, 1, 0, 100, 5, instrument=SMALL.instruments))
    assert bookview.level_count(desk.books.address, SMALL.instruments, 0) == 0


@pytest.mark.parametrize(
    "rules",
    [
        Settings(SMALL, 0),
        Settings(SMALL, 3),
        Settings(SMALL, 1, band_bps=10_000),
        Settings(SMALL, 1, [AccountLimits(quantity_max=-1)]),
        Settings(SMALL, 1, [AccountLimits(window_ns=0)]),
    ],
)
def test_settings_that_make_no_sense_are_refused(rules):
    with pytest.raises(ValueError):
        bytes_needed(rules)


def test_books_have_three_more_instruments_for_each_that_is_matched():
    assert books_limits(Settings(SMALL, 2)).instruments == SMALL.instruments + 6
