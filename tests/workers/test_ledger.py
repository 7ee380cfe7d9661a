"""Realised profits, by average cost and first in first out: exact, whatever the fills."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.ledger import Ledger
from workers.kernels import ledger
from workers.kernels.ledger import LEDGER, LOT, MONEY_LIMIT, QUANTITY_LIMIT
from workers.records import lined

EXAMPLES = 300 if compiled() else 100
ROOMS = st.sampled_from([None, 1, 2, 3, 40])
QUANTITIES = st.integers(-20, 20) | st.integers(-(10**6), 10**6) | st.sampled_from([100, -100])
PRICES = st.fractions(0, 500, max_denominator=10_000) | st.sampled_from([0, 1, Fraction(1, 3)])
FILLS = st.lists(st.tuples(QUANTITIES.filter(bool), PRICES), max_size=40)
HUGE = st.integers(0, 1 << 61)


class Book:
    """A ledger in memory of its own."""

    def __init__(self, room=None, quantity=0, cost=0):
        self.memory = lined(ledger.bytes_needed(room or 0))
        self.address = self.memory.ctypes.data
        ledger.create(self.address, room or 0, quantity, cost)

    def fill(self, quantity, amount):
        assert ledger.bears(self.address, quantity, amount)
        ledger.fill(self.address, quantity, amount)

    def __getattr__(self, name):
        return int(getattr(at(self.address, LEDGER), name))

    @property
    def circle(self):
        """(quantity, cost) of the lots, the oldest first."""
        lots = (at(ledger.lot_at(self.address, place), LOT) for place in range(self.lots))
        return [(int(lot.quantity), int(lot.cost)) for lot in lots]


@settings(max_examples=EXAMPLES, deadline=None)
@given(room=ROOMS, fills=FILLS)
def test_any_fills_come_to_what_the_twin_says(room, fills):
    book, twin, exact = Book(room), Ledger(room), Ledger(room, rounds=False)
    cash = 0
    for number, (quantity, price) in enumerate(fills, 1):
        amount = round(quantity * price * 10_000)
        book.fill(quantity, amount)
        twin.fill(quantity, amount)
        exact.fill(quantity, quantity * price * 10_000)
        cash -= amount
        figures = ("quantity", "cost", "realised", "merged")
        assert [getattr(book, n) for n in figures] == [getattr(twin, n) for n in figures]
        assert book.realised - book.cost == cash  # so realised + (value - cost) = cash + value
        assert room is None or book.circle == twin.lots
        assert book.quantity != 0 or (book.cost, book.realised) == (0, cash)
        # A fill rounds its amount and one share: 1.5 units at most, split or not.
        assert abs(book.realised - exact.realised) <= 2 * number
    assert book.fills == len(fills)


@settings(max_examples=EXAMPLES, deadline=None)
@given(fills=FILLS, room=ROOMS)
def test_a_short_book_is_the_mirror_of_the_long_one(fills, room):
    book, mirror = Book(room), Book(room)
    for quantity, price in fills:
        amount = round(quantity * price * 10_000)
        book.fill(quantity, amount)
        mirror.fill(-quantity, -amount)
        assert (mirror.quantity, mirror.cost) == (-book.quantity, -book.cost)
        assert mirror.realised == -book.realised


BUYS = [(100, 1000), (100, 1200)]  # in whole money: at 10, then at 12


@pytest.mark.parametrize(
    ("room", "realised", "cost"), [(None, 1950 - 1650, 550), (5, 1950 - 1600, 600)]
)
def test_two_lots_by_hand(room, realised, cost):
    book = Book(room)
    for quantity, amount in (*BUYS, (-150, -1950)):  # sold at 13
        book.fill(quantity, amount)
    assert (book.quantity, book.cost, book.realised) == (50, cost, realised)
    book.fill(-50, -650)
    assert (book.quantity, book.cost, book.realised) == (0, 0, 2600 - 2200)


@pytest.mark.parametrize("room", [None, 5])
def test_through_zero_the_cost_begins_anew(room):
    book = Book(room)
    book.fill(100, 1000)
    book.fill(-250, -3000)  # at 12: 100 close for 1,200, 150 are sold short for 1,800
    assert (book.quantity, book.cost, book.realised) == (-150, -1800, 200)
    book.fill(150, 1500)
    assert (book.quantity, book.cost, book.realised) == (0, 0, 500)


@pytest.mark.parametrize("room", [None, 2])
def test_what_is_held_at_the_start_is_the_oldest_lot(room):
    book = Book(room, 100, 1000)
    book.fill(100, 3000)
    book.fill(-100, -2500)
    assert (book.cost, book.realised) == ((2000, 500) if room is None else (3000, 1500))


def test_a_fill_that_finds_no_room_joins_the_newest_lot():
    book = Book(2)
    for quantity, amount in ((10, 100), (10, 200), (10, 300), (10, 400)):
        book.fill(quantity, amount)
    assert book.circle == [(10, 100), (30, 900)]
    assert book.merged == 2
    book.fill(-10, -500)
    assert book.realised == 400  # of the oldest lot, as if there was room for all
    book.fill(10, 700)  # and now there is
    assert book.circle == [(30, 900), (10, 700)]
    book.fill(-40, -1000)
    assert (book.lots, book.realised) == (0, 1500 - 1700)


def test_halves_go_to_even():
    book = Book()
    book.fill(2, 5)
    book.fill(-1, -3)
    assert (book.cost, book.realised) == (3, 1)  # 2.5 is 2
    book = Book()
    book.fill(2, 7)
    book.fill(-1, -3)
    assert (book.cost, book.realised) == (3, -1)  # 3.5 is 4


@settings(max_examples=EXAMPLES, deadline=None)
@given(amount=HUGE, part=HUGE, whole=HUGE, sign=st.sampled_from([1, -1]))
def test_a_share_is_exact_where_the_product_does_not_fit(amount, part, whole, sign):
    part, whole = min(part, whole) >> 1, max(part, whole, 2) >> 1
    found = int(ledger.share(sign * amount, part, whole))
    assert found == round(Fraction(sign * amount * part, whole))


def test_what_would_leave_the_bounds_is_not_borne():
    book = Book()
    assert ledger.bears(book.address, QUANTITY_LIMIT, 0)
    assert not ledger.bears(book.address, QUANTITY_LIMIT + 1, 0)
    book.fill(-5, -MONEY_LIMIT)
    assert not ledger.bears(book.address, 1, 1)
    assert ledger.bears(book.address, 1, 0)
    assert ledger.bears(book.address, QUANTITY_LIMIT, 0)
    assert not ledger.bears(book.address, 4 - QUANTITY_LIMIT, 0)
    book = Book(3)
    book.fill(QUANTITY_LIMIT, MONEY_LIMIT // 4)
    book.fill(-QUANTITY_LIMIT, -MONEY_LIMIT // 2)
    assert book.realised == MONEY_LIMIT // 4
    assert not ledger.bears(book.address, 1, MONEY_LIMIT)


@pytest.mark.parametrize("room", [None, 3])
def test_a_statement_replaces_what_is_held_and_leaves_what_is_realised(room):
    book = Book(room)
    book.fill(10, 100)
    book.fill(10, 300)
    book.fill(-5, -100)
    realised = book.realised
    ledger.reset(book.address, -7, -70)
    assert (book.quantity, book.cost, book.realised) == (-7, -70, realised)
    assert book.circle == ([] if room is None else [(-7, -70)])
    ledger.restate(book.address, -77)  # it was in another currency
    assert (book.cost, book.circle) == (-77, [] if room is None else [(-7, -77)])
    book.fill(7, 80)
    assert (book.quantity, book.cost, book.realised) == (0, 0, realised - 3)
    ledger.reset(book.address, 0, 0)
    assert (book.lots, book.realised) == (0, realised - 3)


def test_ledgers_lie_on_whole_lines():
    assert [ledger.bytes_needed(room) for room in (0, 1, 4, 5)] == [64, 128, 128, 192]
    with pytest.raises(AssertionError):
        ledger.bytes_needed(ledger.LOTS_MAX + 1)
    assert np.dtype(LOT).itemsize == 16
