import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.orderbook import Books as NaiveBooks
from tests.naive.orderbook import Message
from tests.workers.books import Books
from workers.kernels import bookview, orderbook, resting
from workers.kernels.levels import LEVELS
from workers.kernels.orderbook import ORDERS_AT, QUANTITY_MAX, Limits, Outcome
from workers.records import Event

SMALL = Limits(orders=4, levels=3, instruments=2)
EXAMPLES = 100 if compiled() else 20
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
KEEPS_BOOK = set(Outcome) - {Outcome.APPLIED, Outcome.OVER_EXECUTION}


def mostly(good, *odd):
    """Draws from `good`, one time in sixteen from the odd ones."""
    return st.integers(0, 15).flatmap(lambda draw: good if draw else st.sampled_from(odd))


ids = st.sampled_from([INT64_MIN, 0, 8, INT64_MAX])
messages = st.builds(
    Message,
    kind=mostly(st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6, 6, 13, 13, 19]), 0, *range(7, 22), 255),
    instrument=mostly(st.integers(0, 1), INT64_MAX >> 32, -1, 2),
    order=ids,
    other=ids,
    side=mostly(st.integers(0, 1), 2, 255),
    price=mostly(st.integers(1, 4), INT64_MIN, 0, INT64_MAX),
    quantity=mostly(st.integers(1, 6), INT64_MIN, 0, QUANTITY_MAX, INT64_MAX),
)


def add(order, price, quantity=10, side=0, instrument=0):
    return Message(Event.ADD, instrument, order, 0, side, price, quantity)


def compare(books: Books, naive: NaiveBooks) -> None:
    for instrument, side in naive.sides:
        depth = naive.depth(instrument, side)
        assert books.depth(instrument, side) == depth
        best = (depth[0][0], sum(q for _, q in depth[0][1])) if depth else (0, 0)
        assert bookview.best(books.address, instrument, side) == best[0]
        assert bookview.best_quantity(books.address, instrument, side) == best[1]
    header = books.header
    assert header.live_orders == len(naive.places)
    assert header.live_levels == naive.level_total()
    assert books.check() == bookview.Fault.NONE


def step(books: Books, naive: NaiveBooks, message: Message) -> int:
    outcome = books.apply(message)
    assert outcome == naive.apply(message), message
    assert books.changes() == naive.changes, message
    assert books.traded() == naive.traded, message
    assert bool(books.header.top_moved) == naive.top_moved, message
    return outcome


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(messages, min_size=20, max_size=60))
def test_any_events_have_the_effect_of_the_naive_books(stream):
    books, naive = Books(SMALL), NaiveBooks(SMALL)
    for message in stream:
        before, digest = books.words[ORDERS_AT // 8 :].copy(), books.digest()
        outcome = step(books, naive, message)
        compare(books, naive)
        if outcome in KEEPS_BOOK and not naive.changes:
            assert (books.words[ORDERS_AT // 8 :] == before).all()
            assert books.digest() == digest
    header = books.header
    assert header.peak_orders == naive.peak_orders
    assert header.peak_levels == naive.peak_levels
    assert header.lost_replaces == naive.lost_replaces
    assert header.outcomes.sum() == len(stream)


def plausible(rng: random.Random, naive: NaiveBooks, width: int) -> Message:
    """An event that mostly fits the books: ids that rest, prices over a width of levels."""
    resting = rng.choice(list(naive.places)) if naive.places else (0, 0)
    order = rng.randrange(1 << 40)
    drawn = rng.choices(list(Event)[:6], (50, 6, 2, 6, 20, 16))[0]
    if drawn == Event.ADD:
        return add(order, rng.randint(1, width), rng.randint(1, 9), order & 1, rng.randrange(3))
    return Message(drawn, *resting, order, 0, rng.randint(1, width), rng.randint(1, 9))


@pytest.mark.parametrize("width", [3, 300])
def test_a_long_stream_keeps_to_the_naive_books(width):
    limits = Limits(orders=400, levels=350, instruments=3)
    books, naive, rng = Books(limits), NaiveBooks(limits), random.Random(width)
    events = 6000 if compiled() else 300
    for count in range(events):
        step(books, naive, plausible(rng, naive, width))
        if count % (events // 15) == 0:
            compare(books, naive)
    for instrument, order in list(naive.places):
        step(books, naive, Message(Event.DELETE, instrument, order))
    compare(books, naive)
    assert books.header.live_orders == books.header.live_levels == 0
    assert books.digest() == bookview.DIGEST_SEED


def test_bytes_copied_elsewhere_go_on_as_the_original():
    limits = Limits(orders=60, levels=40, instruments=3)
    books, naive, rng = Books(limits), NaiveBooks(limits), random.Random(5)
    stream = []
    for count in range(200):
        stream.append(plausible(rng, naive, 30))
        naive.apply(stream[-1])
        if count < 100:
            books.apply(stream[-1])
    copy = books.copy()
    books.words[:] = -1
    for message in stream[100:]:
        copy.apply(message)
    naive_again = NaiveBooks(limits)
    for message in stream:
        naive_again.apply(message)
    compare(copy, naive_again)


def test_the_same_id_is_another_order_for_another_instrument():
    books = Books(SMALL)
    assert books.apply(add(7, 100, 10)) == Outcome.APPLIED
    assert books.apply(add(7, 100, 20, instrument=1)) == Outcome.APPLIED
    assert books.apply(Message(Event.DELETE, 0, 7)) == Outcome.APPLIED
    assert bookview.order_quantity(books.address, 0, 7) == 0
    assert bookview.order_quantity(books.address, 1, 7) == 20


def test_orders_trade_in_the_order_they_came():
    books = Books(SMALL)
    for order in (1, 2, 3):
        books.apply(add(order, 100))
    books.apply(Message(Event.CANCEL, 0, 1, quantity=4))
    assert books.queue(0, 0, 100) == [(1, 6), (2, 10), (3, 10)]
    books.apply(Message(Event.REPLACE, 0, 2, other=2, price=100, quantity=3))
    assert books.queue(0, 0, 100) == [(1, 6), (3, 10), (2, 3)]


def test_an_execution_reports_the_trade_and_a_cancel_does_not():
    books = Books(SMALL)
    books.apply(add(1, 100, side=1))
    books.apply(Message(Event.EXECUTE, 0, 1, price=7, quantity=3))
    assert books.traded() == (100, 3, 1)
    books.apply(Message(Event.EXECUTE_AT, 0, 1, price=98, quantity=3))
    assert books.traded() == (98, 3, 1)
    books.apply(Message(Event.CANCEL, 0, 1, price=98, quantity=3))
    assert books.traded() == (0, 0, 0)
    assert books.changes() == [(1, 100, 1, 1)]


@pytest.mark.parametrize("kind", [Event.EXECUTE, Event.EXECUTE_AT, Event.CANCEL])
def test_more_than_is_left_takes_the_order_out(kind):
    books = Books(SMALL)
    books.apply(add(1, 100, 10))
    assert books.apply(Message(kind, 0, 1, price=99, quantity=11)) == Outcome.OVER_EXECUTION
    assert books.changes() == [(0, 100, 0, 0)]
    assert books.traded()[1] == (0 if kind == Event.CANCEL else 10)
    assert books.header.outcomes[Outcome.OVER_EXECUTION] == 1
    assert books.header.live_orders == 0


def test_a_replace_at_the_same_price_is_one_change():
    books = Books(SMALL)
    books.apply(add(1, 100, 10))
    books.apply(Message(Event.REPLACE, 0, 1, other=2, price=100, quantity=10))
    assert books.changes() == [(0, 100, 10, 1)]
    assert not books.header.top_moved
    books.apply(Message(Event.REPLACE, 0, 2, other=3, price=99, quantity=10))
    assert books.changes() == [(0, 100, 0, 0), (0, 99, 10, 1)]
    assert books.header.top_moved


def test_a_full_pool_of_orders_takes_more_once_some_are_gone():
    books = Books(Limits(orders=2, levels=9, instruments=1))
    assert [books.apply(add(order, 100)) for order in (1, 2)] == [Outcome.APPLIED] * 2
    assert books.apply(add(3, 101)) == Outcome.ORDERS_FULL
    assert books.apply(Message(Event.REPLACE, 0, 2, 3, 0, 101, 5)) == Outcome.APPLIED
    books.apply(Message(Event.DELETE, 0, 1))
    assert books.apply(add(4, 102)) == Outcome.APPLIED
    assert books.check() == 0


def test_a_replace_that_finds_no_level_loses_its_order_and_counts_it():
    books = Books(Limits(orders=9, levels=1, instruments=1))
    books.apply(add(1, 100))
    books.apply(add(2, 100))
    assert books.apply(add(3, 101)) == Outcome.LEVELS_FULL
    assert books.apply(Message(Event.REPLACE, 0, 1, 4, 0, 101, 5)) == Outcome.LEVELS_FULL
    assert books.changes() == [(0, 100, 10, 1)]
    assert books.header.top_moved
    assert books.header.lost_replaces == 1
    assert books.queue(0, 0, 100) == [(2, 10)]
    assert books.apply(Message(Event.REPLACE, 0, 2, 4, 0, 101, 5)) == Outcome.APPLIED
    assert books.check() == 0


def test_a_side_that_the_arena_cannot_lengthen_is_full():
    books = Books(Limits(orders=100, levels=50, instruments=1))
    levels = at(int(resting.levels_of(books.address)), LEVELS)
    levels.arena_end = levels.arena_at + 16 * 8  # one block of eight entries
    outcomes = [books.apply(add(order, 100 + order)) for order in range(9)]
    assert outcomes == [Outcome.APPLIED] * 8 + [Outcome.LEVELS_FULL]
    assert books.apply(add(50, 90, side=1)) == Outcome.LEVELS_FULL
    books.apply(Message(Event.DELETE, 0, 3))
    assert books.apply(add(8, 108)) == Outcome.APPLIED
    assert books.check() == 0


def test_a_level_never_holds_more_than_the_largest_quantity():
    books = Books(SMALL)
    books.apply(add(1, 100, QUANTITY_MAX - 5))
    assert books.apply(add(2, 100, 6)) == Outcome.BAD_QUANTITY
    assert books.apply(add(2, 100, 5)) == Outcome.APPLIED
    assert books.apply(add(3, 101, QUANTITY_MAX + 1)) == Outcome.BAD_QUANTITY
    assert bookview.best_quantity(books.address, 0, 0) == QUANTITY_MAX
    books.apply(add(4, 99))
    assert books.apply(Message(Event.REPLACE, 0, 4, 5, 0, 100, 1)) == Outcome.BAD_QUANTITY
    assert books.changes() == [(0, 99, 0, 0)]
    assert books.header.lost_replaces == 1
    assert books.check() == 0


@pytest.mark.parametrize("limits", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1 << 40, 1, 1)])
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValueError, match="must be 1 to"):
        orderbook.bytes_needed(Limits(*limits))


def test_books_off_a_cache_line_are_refused():
    books = Books(SMALL)
    with pytest.raises(ValueError, match="must start on a line"):
        orderbook.create(books.address + 8, SMALL)
