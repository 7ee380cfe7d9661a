"""Levels that fall out of a venue's window, beside sorted lists."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.levels import Books
from workers.feeds.listing import Listing
from workers.feeds.outbox import Outbox
from workers.feeds.venue import TEXT_AT
from workers.kernels import levels_json
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.level_window import MARGIN
from workers.records import EVENT, Event, Side, empty

prices = st.integers(1, 40).map(str)
quantities = st.sampled_from(["0", "1", "2.5"])
sides = st.lists(st.lists(st.tuples(prices, quantities), max_size=8), min_size=2, max_size=2)


def fold(book, message, depth):
    """One message into a book of dictionaries, cut to its best levels behind it."""
    for side, changes in zip(book, message, strict=True):
        for price, quantity in changes:
            if quantity == "0":
                side.pop(int(price), None)
            else:
                side[int(price)] = quantity
    for side, best_first in zip(book, (True, False), strict=True):
        for price in sorted(side, reverse=best_first)[depth:]:
            del side[price]


def put(listing, message):
    """The events of one message."""
    texts = [json.dumps(side, separators=(",", ":")).encode() for side in message]
    events = empty(EVENT, 4 * sum(map(len, texts)) + 8)
    bids, asks = texts
    count = levels_json.update(
        listing.address, levels_json.PLAIN, id(bids) + TEXT_AT, len(bids), id(asks) + TEXT_AT,
        len(asks), events.ctypes.data, len(events), 0, 1, 1, levels_json.NO_CHECKSUM,
    )  # fmt: skip
    assert count >= 0
    return events[:count]


def new_books() -> Books:
    counters = empty(FEED_COUNTERS, 1)
    box, books = Outbox(counters.ctypes.data), Books()
    box.put(int(Event.DIRECTORY), 0, 0, 0x2020202020202041, 0, 0, 1, flags=8 << 4)
    event = empty(EVENT, 1)
    assert box.hand_out(event.ctypes.data, 1) == 1
    assert (counters["events"][0], counters["announced"][0]) == (1, 1)
    books.fold(event[0])
    return books


@settings(max_examples=200 if compiled() else 40, deadline=None)
@given(st.lists(sides, max_size=8), st.integers(1, 6))
def test_what_is_left_are_the_best_levels(messages, depth):
    listing, books, wanted = Listing("A", 0, 8), new_books(), ({}, {})
    listing.show_best(depth)
    for message in messages:
        for event in put(listing, message):
            books.fold(event)
        fold(wanted, message, depth)
        for side in Side.BID, Side.ASK:
            assert set(books.sides[0][side]) == set(wanted[side])


def test_a_message_that_brings_more_than_the_margin():
    depth, many = 2, 3 * MARGIN
    listing, books = Listing("A", 0, 8), new_books()
    listing.show_best(depth)
    rising = [(str(price), "1") for price in range(1, many + 1)]
    for event in put(listing, [rising, rising[::-1]]):
        books.fold(event)
    assert sorted(books.sides[0][0]) == [many - 1, many]
    assert sorted(books.sides[0][1]) == [1, 2]
    listing.show_best(depth)  # begun anew: what was known is forgotten
    assert len(put(listing, [[("1", "1")], []])) == 1
