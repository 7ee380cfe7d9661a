"""Books with each kind of index, side by side, and beside the obvious ones: nothing may differ."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.orderbook import Books as NaiveBooks
from tests.naive.orderbook import Message
from tests.workers.books import Books
from workers.kernels import bookview, orderbook
from workers.kernels.levels import Index
from workers.kernels.orderbook import Limits, Outcome
from workers.records import Event, Side

LIMITS = Limits(orders=40, levels=25, instruments=2, ticks=64)
EXAMPLES = 40 if compiled() else 4
KINDS = list(Index)
MESSAGES = st.builds(
    Message,
    kind=st.sampled_from([1, 1, 1, 1, 2, 4, 5, 6, 6, int(Event.SET), int(Event.MODIFY)]),
    instrument=st.integers(0, 1),
    order=st.integers(1, 60),
    other=st.integers(1, 60),
    side=st.integers(0, 1),
    price=st.one_of(
        st.integers(1, 30),
        st.integers(10_000, 10_020).map(lambda tick: 100 * tick),
        st.integers(0, 4).map(lambda power: (1 << 60) >> power),
    ),
    quantity=st.integers(1, 9),
)


def all_kinds(limits: Limits) -> list[Books]:
    return [Books(limits._replace(kind=int(kind))) for kind in KINDS]


def agree(books: list[Books]) -> None:
    """All hold the same, level by level, and are whole."""
    assert len({one.digest() for one in books}) == 1
    assert [one.check() for one in books] == [bookview.Fault.NONE] * len(books)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(MESSAGES, min_size=20, max_size=120))
def test_every_event_gives_the_same(stream):
    books, naive = all_kinds(LIMITS), NaiveBooks(LIMITS)
    for message in stream:
        outcome = naive.apply(message)
        for one in books:
            assert one.apply(message) == outcome
            assert one.changes() == naive.changes
            assert bool(one.header.top_moved) == naive.top_moved
        agree(books)
    for one in books:
        for instrument, side in naive.sides:
            assert one.depth(instrument, side) == naive.depth(instrument, side)


class Market:
    """Orders that come, go and trade around a price that wanders; stubs far away, odd prices."""

    def __init__(self, seed: int, orders: int):
        self.rng, self.most, self.middle, self.next = random.Random(seed), orders, 1_000_000, 1
        self.live = [deque() for _ in range(2)]

    def message(self) -> Message:
        """The next thing that happens."""
        rng = self.rng
        self.middle += 100 * rng.choice([-1, 0, 0, 1]) + (rng.random() < 0.001) * 50_000
        side = rng.randrange(2)
        live = self.live[side]
        if len(live) > self.most // 3 or (live and rng.random() < 0.45):
            live.rotate(rng.randrange(len(live)))
            order, kind = live[-1], rng.choice([Event.DELETE, Event.DELETE, Event.REPLACE])
            if kind == Event.DELETE:
                live.pop()
                return Message(kind, 0, order)
            live[-1] = self.number()
            return Message(kind, 0, order, live[-1], side, self.price(side), 7)
        live.append(self.number())
        return Message(Event.ADD, 0, live[-1], 0, side, self.price(side), rng.randint(1, 50))

    def number(self) -> int:
        self.next += 1
        return self.next

    def price(self, side: int) -> int:
        """Mostly near, some deep, a few between ticks, a few that are there to be there."""
        rng, drawn = self.rng, self.rng.random()
        away = 100 * int(rng.expovariate(0.1)) if drawn < 0.9 else 100 * rng.randrange(3000)
        away += 37 * (drawn > 0.99)
        if 0.985 < drawn < 0.99:
            return 1 if side == Side.BID else 1_999_999_900
        return max(self.middle + (away + 100) * (1 if side else -1), 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_one_market_ends_in_the_same_books(seed):
    orders = 2000 if compiled() else 200
    books = all_kinds(Limits(orders=orders, levels=orders, instruments=1, ticks=128))
    market, events = Market(seed, orders), 20_000 if compiled() else 500
    for count in range(events):
        message = market.message()
        outcomes = {one.apply(message) for one in books}
        assert outcomes == {Outcome.APPLIED}, message
        assert len({tuple(one.changes()) for one in books}) == 1
        if count % (events // 10) == 0:
            agree(books)
            assert books[0].header.live_levels > 0
    agree(books)
    assert books[0].header.live_levels > orders / 20


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_copied_elsewhere_go_on_as_the_original(kind):
    market, limits = Market(3, 200), Limits(orders=300, levels=300, instruments=1, ticks=64)
    books = Books(limits._replace(kind=int(kind)))
    stream = [market.message() for _ in range(600)]
    for message in stream[:300]:
        books.apply(message)
    copy = books.copy()
    for message in stream[300:]:
        books.apply(message)
    books_digest = books.digest()
    books.words[:] = -1
    for message in stream[300:]:
        copy.apply(message)
    assert copy.header.live_levels > 0
    assert copy.digest() == books_digest
    assert copy.check() == bookview.Fault.NONE


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"kind": 4}, "kind is 4"),
        ({"kind": -1}, "kind is -1"),
        ({"ticks": 100}, "power of two"),
        ({"ticks": 32}, "power of two from 64"),
        ({"ticks": 1 << 16}, "to 32768"),
    ],
)
def test_indexes_that_make_no_sense_are_refused(limits, why):
    with pytest.raises(ValueError, match=why):
        orderbook.bytes_needed(LIMITS._replace(**limits))
