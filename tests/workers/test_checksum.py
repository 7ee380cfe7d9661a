"""The checksums of Kraken and OKX over the books, against the text made plainly and zlib."""

import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.orderbook import Message
from tests.naive.pipeline import NaiveBook
from tests.workers.books import Books
from workers.book import BookOptions
from workers.kernels.checksum import agrees, byte
from workers.kernels.orderbook import Limits
from workers.records import EVENT, Checksum, Event, Side, empty

EXAMPLES = 100 if compiled() else 20
LEVELS = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 1 << 40), st.integers(1, 1 << 50)), max_size=70
)


def test_the_crc_is_the_librarys():
    crc = 0xFFFFFFFF
    for value in b"123456789":
        crc = byte(crc, value)
    assert crc ^ 0xFFFFFFFF == zlib.crc32(b"123456789") == 0xCBF43926


@settings(max_examples=EXAMPLES, deadline=None)
@given(LEVELS, st.sampled_from([1, 10, 100_000]), st.integers(0, 8), st.integers(0, 3))
def test_both_checksums_are_those_of_the_text(levels, scale, lot_decimals, more):
    limits = Limits(orders=100, levels=100, instruments=2)
    books = Books(limits)
    naive = NaiveBook(BookOptions(orders=100, levels=100), 2)
    naive.scales[1] = scale, lot_decimals
    for side, price, quantity in levels:
        message = Message(Event.SET, 1, 0, 0, int(side) % 2, price, quantity)
        books.apply(message)
        naive.books.apply(message)
    printed = len(str(scale)) - 1 + more, lot_decimals + more
    question = Message(Event.CHECK, 1, 0, 0, 0, *printed)
    texts = {Checksum.KRAKEN: naive.kraken(question), Checksum.OKX: naive.okx(question)}
    for kind, text in texts.items():
        crc = zlib.crc32(text.encode())
        assert agreed(books, question, kind, crc, scale, lot_decimals)
        assert not agreed(books, question, kind, crc ^ 1, scale, lot_decimals)
    assert not agreed(books, question, 9, zlib.crc32(b""), scale, lot_decimals)


def agreed(books: Books, question: Message, kind: int, crc: int, scale: int, lots: int) -> bool:
    events = empty(EVENT, 1)
    for name, value in question._replace(order=crc)._asdict().items():
        events[name] = value
    events["flags"] = kind
    return bool(agrees(books.address, at(events.ctypes.data, EVENT), np.int64(scale), lots))
