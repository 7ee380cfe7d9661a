"""Whole books on the book ring: complete, in order, in steps, when they are due and not else."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.orderbook import Message
from tests.naive.pipeline import NaiveBook
from tests.workers.deaths import NAME, Case, Death, die, numbered, past_of, undisturbed
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_book import INSTRUMENTS, MESSAGES, book_of, events_of
from workers import recovery
from workers.book import Book, BookOptions
from workers.matched import MatchingOptions
from workers.records import MATCHED, TOP, WHOLE, Event, Flag, Mark, Side, State, empty
from workers.records import Book as Kind

LEVELS = 5000
DEEP = BookOptions(orders=LEVELS, levels=LEVELS, snapshot_s=1.0)
SMALL = BookOptions(orders=12, levels=8, publish_levels=True, snapshot_s=2.0)
SECOND = 10**9
EXAMPLES = 100 if compiled() else 20
FLAGS = st.sampled_from([0, 0, 0, Flag.PART])
PAUSES = st.sampled_from([0, 0, SECOND // 2, SECOND, 2 * SECOND - 1, 2 * SECOND, -SECOND, -(9**12)])


def add(number: int, side: Side, price: int, instrument: int = 0) -> tuple[Message, int]:
    return Message(Event.ADD, instrument, number, 0, side, price, number), 0


def at_times(stream, times) -> np.ndarray:
    """Messages with flags as events at these seconds."""
    events = numbered(events_of(stream))
    events["time_ns"] = np.round(np.array(times) * 1e9).astype(np.int64)
    return events


def whole_of(records: np.ndarray) -> np.ndarray:
    return records[records["kind"] == Kind.DEPTH].view(WHOLE)


def deep_book(count: int) -> np.ndarray:
    """Events that make a book of so many levels at one time, and one a second later."""
    stream = [add(n, Side(n % 2), LEVELS + (1 + n if n % 2 else -n)) for n in range(1, count + 1)]
    return at_times([*stream, (Message(Event.TRADE, 0, price=9, quantity=1), 0)],
                    [0.0] * count + [1.0])  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), stream=st.lists(st.tuples(MESSAGES, FLAGS), min_size=1, max_size=60))
def test_whole_books_come_when_the_obvious_twin_shows_them(data, stream):
    pauses = data.draw(st.lists(PAUSES, min_size=len(stream), max_size=len(stream)))
    naive, events = NaiveBook(SMALL, INSTRUMENTS), numbered(events_of(stream))
    events["time_ns"] = np.cumsum(pauses)
    for event in events:
        naive.take(event)
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, events, SMALL)
        assert records.tobytes() == b"".join(naive.records)
        counters = at.counters("book")
        assert counters["depths"] == len(whole_of(records))
        assert counters["snapshots"] == naive.counts["snapshots"]
        assert at.balanced()


@pytest.mark.parametrize("index", ["sorted", "tree", "ladder"])
def test_a_deep_book_comes_in_steps_through_a_small_ring(index):
    count = 700 if compiled() else 150
    events = deep_book(count)
    with joint(Book, rows=INSTRUMENTS, capacity=128) as at:
        options = BookOptions(orders=LEVELS, levels=LEVELS, snapshot_s=1.0, index=index)
        stage, parts, pushed = Book(options, INSTRUMENTS, at.links), [], 0
        stage.open()
        while pushed < len(events):
            pushed += at.sources["events"].push(np.ascontiguousarray(events[pushed:]))
            stage.turn(0)
            parts.append(at.took("book"))
        at.sources["events"].close()
        parts.append(turn_until_finished(stage, at, "book")["book"])
        levels = whole_of(np.concatenate(parts))
        assert at.counters("book")["snapshots"] == 1
        assert at.balanced()
    assert set(levels["cause"]) == {len(events)}
    assert levels["following"].tolist() == list(range(count - 1, -1, -1))
    bids, asks = (levels[levels["side"] == side]["price"] for side in (Side.BID, Side.ASK))
    assert levels["side"].tolist() == [0] * len(bids) + [1] * len(asks)
    assert (np.diff(bids) < 0).all()
    assert (np.diff(asks) > 0).all()
    assert sorted(levels["quantity"].tolist()) == list(range(1, count + 1))
    assert levels["index"].max() == 255 or not compiled()


@settings(max_examples=20 if compiled() else 4, deadline=None)
@given(visible=st.integers(0, 10**6))
def test_one_that_dies_in_the_middle_of_a_book_goes_on_there(visible):
    count = 300 if compiled() else 60
    case = Case(Book, lambda links: Book(DEEP, INSTRUMENTS, links), deep_book(count), INSTRUMENTS)
    with tempfile.TemporaryDirectory() as folder:
        story = undisturbed(case, Path(folder), {count // 2})
        end = len(case.inputs)
        before, after = story.given[end - 1 : end + 1]
        assert after - before == count + 1  # the trade, too
        death = Death(end, end - 1, before + visible % (count + 2), 0, 0, end)
        with case.joint() as at:
            die(case, at, death)
            at.links = at.join()
            stage = case.make(at.links)
            with past_of(case, Path(folder), end) as (past, _):
                recovery.resume(stage, NAME, past)
            at.sources["events"].close()
            records = turn_until_finished(stage, at, "book")["book"]
            assert records.tobytes() == story.outputs.tobytes()
            assert at.balanced()


def test_a_book_is_shown_again_when_it_is_whole_again():
    stream = [
        add(1, Side.BID, 100),
        (Message(Event.STALE, 0), 2),
        add(2, Side.ASK, 101),
        (Message(Event.FRESH, 0), 0),
        (Message(Event.FRESH, 0), 0),
    ]
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, at_times(stream, [0, 0.1, 0.2, 0.3, 0.4]), SMALL)
    levels = whole_of(records)
    assert levels["cause"].tolist() == [4, 4]
    assert levels["price"].tolist() == [100, 101]
    assert not (levels["state"] & Mark.STALE).any()


def test_a_book_waits_for_the_end_of_the_venues_event_and_says_that_it_is_empty():
    stream = [
        add(1, Side.BID, 100),
        (Message(Event.DELETE, 0, 1), Flag.PART),
        (Message(Event.TRADE, 0, price=9, quantity=1), 0),
    ]
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, at_times(stream, [0, 3, 3]), SMALL)
    (level,) = whole_of(records)
    assert (level["cause"], level["side"], level["price"]) == (3, Side.NONE, 0)
    assert (level["quantity"], level["orders"], level["following"]) == (0, 0, 0)


def test_books_of_orders_that_are_matched_here_are_shown_too():
    options = BookOptions(
        orders=64, levels=64, snapshot_s=1.0, matching=MatchingOptions(instruments=1)
    )
    directory = (Message(Event.DIRECTORY, 0, quantity=100), MATCHED)
    order = [(Message(Event.ORDER, 0, n, 1, n % 2, 100 + n % 2, n), 0) for n in range(1, 5)]
    stream = [directory, (Message(Event.STATUS, 0), State.TRADING), *order]
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, at_times(stream, [0, 0, 0, 0, 0, 1.5]), options)
        assert at.balanced()
    levels = whole_of(records)
    assert list(levels[["side", "price", "quantity", "orders", "following"]].tolist()) == [
        (0, 100, 6, 2, 1), (1, 101, 4, 2, 0),
    ]  # fmt: skip


def test_nothing_is_reserved_where_it_is_switched_off():
    with joint(Book, rows=INSTRUMENTS) as at:
        stage, records = book_of(at, deep_book(4), BookOptions(orders=64, levels=64))
        assert "whole" not in stage.state()
        assert not len(whole_of(records))


def test_the_layout_agrees_with_that_of_levels():
    assert WHOLE.itemsize == TOP.itemsize == empty(WHOLE, 1).nbytes
