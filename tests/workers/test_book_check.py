"""The check beside trading finds damage, believes no number, and gives up where it is too much."""

import random

import pytest

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.orderbook import Message
from tests.workers.books import Books
from workers.kernels import bookview, levels, orders, resting
from workers.kernels.book_check import LIMIT, BookFault, check
from workers.kernels.level_pool import ENTRY
from workers.kernels.levels import Index
from workers.kernels.orderbook import ORDERS_AT, Limits
from workers.records import Event, Side

KINDS = list(Index)
F = BookFault


def add(order, price, quantity=10, side=0, instrument=1):
    return Message(Event.ADD, instrument, order, 0, side, price, quantity)


def filled(kind=Index.SORTED):
    """A book with three bids, two of them at one price, two asks, and a bid of another."""
    books = Books(Limits(orders=50, levels=30, instruments=3, kind=int(kind), ticks=64))
    for message in (
        add(1, 100), add(2, 100, 5), add(3, 99), add(4, 103, side=1), add(5, 104, side=1),
        add(6, 100, instrument=2),
    ):  # fmt: skip
        assert books.apply(message) == 0
    return books


def found(books, limit=LIMIT, instrument=1):
    return BookFault(int(check(books.address, instrument, limit)))


def level(books, price=100, side=0):
    block = int(resting.levels_of(books.address))
    return at(levels.level_at(block, levels.find(block, 2 + side, price)), levels.LEVEL)


def order(books, order_id):
    number = bookview.find_order(books.address, 1, order_id)
    return at(resting.order_at(books.address, number), orders.ORDER)


def line(books, side=0):
    return at(levels.side_at(int(resting.levels_of(books.address)), 2 + side), levels.SIDE)


def slot(books, order_id):
    return at(int(resting.slot_of(books.address, 1, order_id)), orders.SLOT)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_books_have_no_faults(kind):
    books, rng = filled(kind), random.Random(1)
    assert [found(books, instrument=n) for n in range(3)] == [F.NONE] * 3
    for number in range(2000 if compiled() else 200):
        price, side = rng.randint(1, 40), rng.randrange(2)
        books.apply(add(number % 40 + 10, price + 40 * side, side=side))
        books.apply(Message(Event.DELETE, 1, rng.randint(10, 50)))
        bid, ask = (bookview.best(books.address, 1, side) for side in range(2))
        assert found(books) == (F.CROSSED if bid >= ask > 0 else F.NONE)
    assert books.check() == bookview.Fault.NONE


@pytest.mark.parametrize("instrument", [-1, 3, 1 << 40])
def test_what_has_no_book_is_said_to_have_none(instrument):
    assert found(filled(), instrument=instrument) == F.NO_BOOK


def test_a_crossed_book_is_whole_otherwise():
    books = filled()
    books.apply(add(7, 103))
    assert found(books) == F.CROSSED
    books.apply(Message(Event.DELETE, 1, 7))
    books.apply(Message(Event.DELETE, 1, 4))
    books.apply(Message(Event.DELETE, 1, 5))
    assert found(books) == F.NONE


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_up_where_there_is_more_than_the_limit(kind):
    books = filled(kind)
    assert found(books, 9) == F.NONE  # 4 levels, 5 orders
    for limit in range(9):
        assert found(books, limit) == F.NOT_ALL, limit
    line(books).best = 1 << 30
    assert found(books, 0) == F.NOT_ALL | F.BEST


DAMAGES = {
    "quantity of a level": (F.TOTAL, lambda b: setattr(level(b), "quantity", 16)),
    "orders of a level": (F.LINKS | F.TOTAL, lambda b: setattr(level(b), "orders", 1)),
    "no orders": (F.LINKS | F.TOTAL, lambda b: setattr(level(b), "orders", -5)),
    "an order too many": (F.LINKS, lambda b: setattr(level(b), "orders", 3)),
    "quantity of an order": (F.TOTAL, lambda b: setattr(order(b, 1), "quantity", -10)),
    "the one before": (F.LINKS, lambda b: setattr(order(b, 2), "previous", 7)),
    "the next is nowhere": (F.LINKS, lambda b: setattr(order(b, 1), "next", 1 << 30)),
    "the next is itself": (F.LINKS, lambda b: setattr(order(b, 1), "next", 1)),
    "the first": (F.LINKS, lambda b: setattr(level(b), "head", -1)),
    "the last": (F.LINKS, lambda b: setattr(level(b), "tail", 1)),
    "an order's level": (F.LINKS, lambda b: setattr(order(b, 2), "level", 2)),
    "an order's book": (F.LINKS, lambda b: setattr(order(b, 2), "instrument", 0)),
    "a slot is empty": (F.LOST, lambda b: setattr(slot(b, 2), "word", 0)),
    "a slot names another": (F.LOST, lambda b: setattr(slot(b, 2), "word", slot(b, 2).word + 1)),
    "an id": (F.LOST, lambda b: setattr(order(b, 2), "order", 77)),
    "a price": (F.INDEX, lambda b: setattr(level(b), "price", 98)),
    "a level's owner": (F.INDEX | F.BEST, lambda b: setattr(level(b), "owner", 5)),
    "the best is nowhere": (F.INDEX | F.BEST, lambda b: setattr(line(b), "best", -3)),
    "the best is another": (F.INDEX, lambda b: setattr(line(b), "best", 2)),
    "there is no best": (F.INDEX, lambda b: setattr(line(b), "best", 0)),
    "levels without end": (F.INDEX, lambda b: setattr(line(b), "count", 1 << 30)),
    "fewer than no levels": (F.INDEX, lambda b: setattr(line(b), "count", -1)),
    "a level too many": (F.INDEX, lambda b: setattr(line(b), "count", 3)),
    "kind of index": (F.INDEX, lambda b: setattr(line(b), "kind", 9)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(kind, damage):
    books, (fault, harm) = filled(kind), DAMAGES[damage]
    harm(books)
    assert found(books) == fault
    assert found(books, instrument=2) in (F.NONE, F.LOST)


def test_an_entry_of_another_level_is_found():
    books = filled()
    block = int(resting.levels_of(books.address))
    at(block + int(line(books).entries_at), ENTRY).level = 4
    assert found(books) == F.INDEX


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_has_become_of_the_memory_the_check_ends(kind):
    """Words at random places, behind the headers, are overwritten: no reading beyond the book."""
    rng, caught = random.Random(int(kind)), 0
    rounds = 400 if compiled() else 40
    whole = filled(kind)
    levels_at = int(whole.header.levels_at)
    places = [*range(ORDERS_AT + orders.RECORDS_AT, levels_at, 8)]
    places += range(levels_at + levels.LEVELS.itemsize, 8 * len(whole.words), 8)
    for _ in range(rounds):
        books = whole.copy()
        for _ in range(30):
            odd = rng.choice([-1, 0, 1, 2, 7, 1 << 31, (1 << 62) + 5, rng.randrange(1 << 63)])
            books.words[rng.choice(places) // 8] = odd
        for side in range(2):
            odd = rng.choice([-1, 3, 1 << 30, rng.randrange(1 << 31)])
            setattr(line(books, side), rng.choice(["best", "root", "count", "capacity"]), odd)
        caught += found(books) != F.NONE
    assert caught > rounds * 0.8


def test_a_side_may_be_empty():
    books = filled()
    for number in (4, 5):
        books.apply(Message(Event.DELETE, 1, number))
    assert bookview.level_count(books.address, 1, Side.ASK) == 0
    assert found(books) == F.NONE
    line(books, Side.ASK).best = 1
    assert found(books) == F.INDEX
