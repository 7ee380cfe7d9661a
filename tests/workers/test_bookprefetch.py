import pytest

from tests.naive.orderbook import Message
from tests.workers.books import Books
from workers.kernels import bookprefetch
from workers.kernels.levels import Index
from workers.kernels.orderbook import Limits
from workers.records import Event

STREAM = [
    *(Message(kind, 0, 1, 2, 0, 100, 5) for kind in range(14)),
    Message(Event.DELETE, 0, 77),
    Message(Event.ADD, 0, 3, 0, 7, -1, -1),
    *(Message(kind, -1, 1, 2, 0, 100, 5) for kind in Event),
    *(Message(kind, (1 << 31) - 1, 1, 2, 1, 100, 5) for kind in Event),
]


@pytest.mark.parametrize("kind", Index)
@pytest.mark.parametrize("message", STREAM)
def test_asking_ahead_changes_nothing(message, kind):
    books = Books(Limits(orders=8, levels=8, instruments=2, kind=kind, ticks=64))
    books.apply(Message(Event.ADD, 0, 1, 0, 0, 100, 5))
    books.apply(Message(Event.ADD, 0, 9, 0, 0, 100, 5))
    before = books.words.copy()
    event = books.events[0]
    for name, value in message._asdict().items():
        event[name] = value
    bookprefetch.prefetch_index(books.address, event)
    bookprefetch.prefetch_order(books.address, event)
    bookprefetch.prefetch_level(books.address, event)
    assert (books.words == before).all()
