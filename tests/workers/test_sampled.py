"""Live checks of books find what is not whole, one book after another, and say so."""

import numpy as np
import pytest

from tests.naive.orderbook import Message
from tests.workers.joined import Joint, joint
from tests.workers.test_book import events_of
from workers import sampled
from workers.book import Book, BookOptions
from workers.kernels import orderbook
from workers.kernels.levels import level_at, side_at
from workers.kernels.resting import LEVEL, SIDE, levels_of
from workers.records import Event

OPTIONS = BookOptions(orders=64, levels=64, check_s=1e-9)
ORDERS = [
    (Message(Event.ADD, instrument, 10 * instrument + n, 0, n % 2, 100 + n % 2, 5), 0)
    for instrument in (0, 2)
    for n in range(6)
]


def turned(at: Joint) -> Book:
    """A stage with two books of three."""
    stage = Book(OPTIONS, 3, at.links)
    stage.open()
    events = events_of(ORDERS)
    assert at.sources["events"].push(events) == len(events)
    assert stage.turn(0) == len(events)
    return stage


def test_every_book_that_there_is_gets_its_turn(monkeypatch):
    seen = []
    monkeypatch.setattr(sampled, "check", lambda _, instrument, limit: seen.append(instrument) or 0)
    with joint(Book, rows=3) as at:
        stage = turned(at)
        for _ in range(4):
            stage.turn(0)
        assert seen[1:] == [0, 2, 0, 2, 0]
        assert at.counters("book")["checked"] == 5
        assert at.counters("book")["faulty"] == 0


def test_a_book_that_is_not_whole_is_counted_and_told():
    with joint(Book, rows=3) as at:
        stage = turned(at)
        levels = levels_of(stage.books.ctypes.data)
        best = orderbook.at(side_at(levels, 4), SIDE).best
        level = orderbook.at(level_at(levels, best), LEVEL)
        level.quantity += 1
        stage.turn(0)
        stage.turn(0)
        assert at.counters("book")["faulty"] == 1
        message = bytes(at.links.panel.status["message"]).decode()
        assert message.startswith("the book of instrument 2 is not whole: total")
        level.quantity -= 1


@pytest.mark.parametrize("seconds", [None, 3600.0])
def test_nothing_is_looked_at_before_its_time(seconds):
    with joint(Book, rows=3) as at:
        stage = Book(BookOptions(orders=64, levels=64, check_s=seconds), 3, at.links)
        stage.open()
        at.sources["events"].push(events_of(ORDERS))
        stage.turn(0)
        assert at.counters("book")["checked"] == 0
        assert np.count_nonzero(stage.causes) == 2
