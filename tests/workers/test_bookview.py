import pytest

from ringbuf.atomics import at
from tests.naive.orderbook import Message
from tests.workers.books import Books
from workers.kernels import bookview, levels, orders, resting
from workers.kernels.bookview import Fault
from workers.kernels.orderbook import ORDERS_AT, Limits
from workers.records import Event, Side

LIMITS = Limits(orders=20, levels=10, instruments=3)


def add(order, price, quantity=10, side=0, instrument=1):
    return Message(Event.ADD, instrument, order, 0, side, price, quantity)


def books_of(*stream):
    books = Books(LIMITS)
    for message in stream:
        assert books.apply(message) == 0
    return books


def filled():
    return books_of(
        add(1, 100), add(2, 100, 5), add(3, 99), add(4, 103, side=1), add(5, 104, side=1)
    )


def test_depth_is_read_from_the_best():
    books = filled()
    book = books.address
    assert bookview.best(book, 1, Side.BID) == 100
    assert bookview.best(book, 1, Side.ASK) == 103
    assert bookview.best_quantity(book, 1, Side.BID) == 15
    assert bookview.level_count(book, 1, Side.ASK) == 2
    assert tuple(bookview.depth_level(book, 1, Side.BID, 0)) == (100, 15, 2)
    assert tuple(bookview.depth_level(book, 1, Side.BID, 1)) == (99, 10, 1)
    assert tuple(bookview.depth_level(book, 1, Side.BID, 2)) == (0, 0, 0)


@pytest.mark.parametrize(("instrument", "side"), [(0, 0), (2, 1), (-1, 0), (3, 0), (1, 2), (1, -1)])
def test_what_has_no_book_reads_as_empty(instrument, side):
    books = filled()
    book = books.address
    assert bookview.best(book, instrument, side) == 0
    assert bookview.best_quantity(book, instrument, side) == 0
    assert bookview.level_count(book, instrument, side) == 0
    assert bookview.first_order(book, instrument, side, 100) == 0
    assert bookview.order_quantity(book, instrument, 99) == 0


def test_orders_are_found_by_instrument_and_id():
    books = filled()
    book = books.address
    assert bookview.order_quantity(book, 1, 2) == 5
    assert bookview.order_quantity(book, 0, 2) == 0
    number = bookview.find_order(book, 1, 2)
    assert tuple(bookview.order_of(book, number)) == (2, 5)
    assert bookview.next_order(book, bookview.first_order(book, 1, 0, 100)) == number


def test_equal_books_have_equal_digests_however_they_came_about():
    detour = books_of(
        add(9, 101),
        add(1, 100),
        add(5, 104, side=1),
        add(2, 98, 9),
        add(3, 99),
        Message(Event.REPLACE, 1, 2, 2, 0, 100, 6),
        Message(Event.DELETE, 1, 9),
        Message(Event.CANCEL, 1, 2, quantity=1),
        add(4, 103, side=1),
    )
    assert detour.digest() == filled().digest() != Books(LIMITS).digest()
    assert Books(LIMITS).digest() == bookview.DIGEST_SEED


@pytest.mark.parametrize(
    "stream",
    [
        [add(2, 100), add(1, 100)],  # the queue turned round
        [add(1, 100), add(2, 100, 11)],
        [add(1, 100), add(2, 101)],
        [add(1, 100), add(3, 100)],
        [add(1, 100, side=1), add(2, 100, side=1)],
        [add(1, 100, instrument=2), add(2, 100, instrument=2)],
        [add(1, 100)],
        [add(1 - (1 << 63), 100), add(2, 100)],  # ids that differ in the sign alone
    ],
)
def test_any_difference_shows_in_the_digest(stream):
    assert books_of(*stream).digest() != books_of(add(1, 100), add(2, 100)).digest()


def level(books, price=100, side=0):
    block = int(resting.levels_of(books.address))
    return at(levels.level_at(block, levels.find(block, 2 + side, price)), levels.LEVEL)


def order(books, order_id):
    number = bookview.find_order(books.address, 1, order_id)
    return at(resting.order_at(books.address, number), orders.ORDER)


def level_header(books):
    return at(int(resting.levels_of(books.address)), levels.LEVELS)


def wrong_slot(books):
    slot = resting.slot_of(books.address, 1, 2)
    at(int(slot), orders.SLOT).word = 0


PLANTED = [
    (Fault.SIDE_ORDER, lambda books: setattr(level(books), "price", 98)),
    (Fault.SIDE_ORDER, lambda books: setattr(level(books), "owner", 0)),
    (Fault.LEVEL_TOTAL, lambda books: setattr(level(books), "quantity", 14)),
    (Fault.LEVEL_TOTAL, lambda books: setattr(order(books, 3), "quantity", 0)),
    (Fault.QUEUE_LINKS, lambda books: setattr(level(books), "orders", 1)),
    (Fault.QUEUE_LINKS, lambda books: setattr(level(books), "orders", 3)),
    (Fault.QUEUE_LINKS, lambda books: setattr(level(books), "tail", 1)),
    (Fault.QUEUE_LINKS, lambda books: setattr(order(books, 2), "previous", 0)),
    (Fault.QUEUE_LINKS, lambda books: setattr(order(books, 2), "level", 2)),
    (Fault.QUEUE_LINKS, lambda books: setattr(order(books, 2), "instrument", 0)),
    (Fault.LEVEL_COUNT, lambda books: setattr(books.header, "live_levels", 3)),
    (Fault.LEVEL_COUNT, lambda books: setattr(level_header(books), "fresh", 5)),
    (Fault.ORDER_COUNT, lambda books: setattr(books.header, "live_orders", 6)),
    (Fault.ORDER_COUNT, lambda b: setattr(at(b.address + ORDERS_AT, orders.ORDERS), "fresh", 6)),
    (Fault.INDEX, wrong_slot),
    (Fault.INDEX, lambda books: setattr(order(books, 2), "order", 7)),
    (Fault.ARENA, lambda books: setattr(level_header(books), "arena_fresh", 0)),
]


@pytest.mark.parametrize(("fault", "plant"), PLANTED)
def test_a_planted_fault_is_found(fault, plant):
    books = filled()
    assert books.check() == Fault.NONE
    plant(books)
    assert books.check() == fault
