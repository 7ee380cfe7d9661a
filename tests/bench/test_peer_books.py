import numpy as np
import pytest

from bench import peer_books
from bench.peer_books import ADD, DELETE, UPDATE, Step
from workers.records import EVENT, Event, Side, empty

NAMES = ("kind", "order", "other", "side", "price", "quantity")


def events_of(*rows: tuple) -> np.ndarray:
    events = empty(EVENT, len(rows))
    for event, row in zip(events, rows, strict=True):
        for name, value in zip(NAMES, row, strict=True):
            event[name] = value
    return events


EVENTS = events_of(
    (Event.ADD, 1, 0, Side.BID, 100, 5),
    (Event.ADD, 2, 0, Side.BID, 100, 3),
    (Event.STATUS, 0, 0, 2, 0, 0),
    (Event.EXECUTE, 1, 9, 2, 0, 2),
    (Event.CANCEL, 2, 0, 2, 0, 3),
    (Event.ADD, 3, 0, Side.ASK, 104, 6),
    (Event.REPLACE, 3, 4, 2, 105, 8),
    (Event.ADD, 5, 0, Side.BID, 101, 1),
    (Event.DELETE, 5, 0, 2, 0, 0),
    (Event.ADD, 6, 0, Side.BID, 99, 2),
)


def test_steps_say_what_is_left_of_orders_and_at_prices():
    steps = peer_books.steps_of(EVENTS)
    bid, ask = int(Side.BID), int(Side.ASK)
    assert steps == [
        Step(ADD, bid, 1, 100, 5, 5),
        Step(ADD, bid, 2, 100, 3, 8),
        Step(UPDATE, bid, 1, 100, 3, 6),
        Step(DELETE, bid, 2, 100, 0, 3),
        Step(ADD, ask, 3, 104, 6, 6),
        Step(DELETE, ask, 3, 104, 0, 0),
        Step(ADD, ask, 4, 105, 8, 8),
        Step(ADD, bid, 5, 101, 1, 1),
        Step(DELETE, bid, 5, 101, 0, 0),
        Step(ADD, bid, 6, 99, 2, 2),
    ]
    assert peer_books.expected(steps, Side.BID) == [(100, 3), (99, 2)]
    assert peer_books.expected(steps, Side.ASK) == [(105, 8)]


@pytest.mark.parametrize("name", peer_books.PEERS)
def test_a_peer_ends_with_what_the_steps_leave(name):
    if name not in peer_books.installed():
        pytest.skip(peer_books.ABSENT)
    steps = peer_books.steps_of(EVENTS)
    peer = peer_books.PEERS[name][1]()
    peer.prepare(steps)
    peer.apply(0, 4)
    peer.apply(4, len(steps))
    for side in range(2):
        wanted = peer_books.expected(steps, side)
        assert peer.best(side) == wanted[0]
        assert peer.levels(side) in (None, wanted)


def test_who_is_absent_is_named():
    for name in set(peer_books.PEERS) - set(peer_books.installed()):
        assert any(name in note and "corelane[peers]" in note for note in peer_books.notes())
    assert len(peer_books.notes()) == len(peer_books.PEERS) - len(peer_books.installed())
