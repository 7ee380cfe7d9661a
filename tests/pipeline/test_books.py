"""`corelane book`: the board of a running pipeline, and whole books as of any event of a log."""

import json

import numpy as np
import pytest

from pipeline import books, past
from pipeline.books import BookRefused, Choice
from ringbuf.memory import SegmentError
from tests.naive.orderbook import Books, Message
from tests.pipeline.running import corelane, lines
from tests.pipeline.test_past import FEED, Kept
from workers.feeds.synthetic import symbols
from workers.instruments import Unit
from workers.kernels.orderbook import Limits
from workers.records import Side, State

SYMBOLS = symbols(FEED)
FIRST_LINE = (
    "BTC of feed 0, day, as of event 1,234 (2001-09-09T01:46:40.000): trading, "
    "1 bid and 1 ask levels"
)


@pytest.fixture
def kept(place) -> Kept:
    made = Kept(place)
    past.claim(made.config, made.plan)
    return made


def naive_books(events: np.ndarray) -> Books:
    made = Books(Limits(2048, 1024, 16))
    for event in events:
        made.apply(Message(**{name: int(event[name]) for name in Message._fields}))
    return made


def plain(levels) -> list[tuple]:
    return [(level.price, [tuple(order) for order in level.queue]) for level in levels]


@pytest.mark.parametrize("saved", [[], [1, 90, 250, 251]])
def test_a_book_is_what_the_obvious_books_are_after_any_event(kept, saved):
    kept.write()
    for events in saved:
        kept.save(events)
    last = len(kept.records["events"])
    for event in (5, 90, 100, 250, 251, 252, last):
        naive = naive_books(kept.records["events"][:event])
        for number in (0, 3):
            wanted = Choice(SYMBOLS[number], folder=kept.folder, event=event, orders=True)
            (shown,) = books.read(wanted)
            assert shown.event == event
            assert shown.unit.symbol == SYMBOLS[number]
            for side, levels in ((Side.BID, shown.bids), (Side.ASK, shown.asks)):
                assert plain(levels) == [
                    (price, [tuple(order) for order in queue])
                    for price, queue in naive.depth(number, side)
                ]
                for level in levels:
                    assert level.lots == sum(order.lots for order in level.queue)
                    assert level.orders == len(level.queue)


def test_the_newest_event_is_meant_where_none_is_named_and_depth_cuts(kept):
    kept.write()
    last = len(kept.records["events"])
    (whole,) = books.read(Choice(SYMBOLS[0], folder=kept.folder))
    assert whole.event == last
    assert len(whole.bids) > 1
    assert not whole.bids[0].queue
    (cut,) = books.read(Choice(SYMBOLS[0], folder=kept.folder, depth=1))
    assert (cut.bids, cut.asks) == (whole.bids[:1], whole.asks[:1])


def test_what_is_not_kept_is_refused_with_what_is(kept):
    kept.write()
    last = len(kept.records["events"])
    with pytest.raises(BookRefused, match=f"has no event {last + 1:,}; the last is {last:,}"):
        books.read(Choice(SYMBOLS[0], folder=kept.folder, event=last + 1))
    with pytest.raises(BookRefused, match="has no symbol 'NONE'; there is " + SYMBOLS[0]):
        books.read(Choice("NONE", folder=kept.folder))
    with pytest.raises(BookRefused, match="as of event 1, has no symbol"):
        books.read(Choice(SYMBOLS[-1], folder=kept.folder, event=1))
    with pytest.raises(BookRefused, match="is the journal of pipeline"):
        books.read(Choice(SYMBOLS[0], "other", folder=kept.folder))


def test_an_event_before_the_log_and_its_snapshots_is_refused(kept, monkeypatch):
    kept.write()
    kept.save(100)
    reader = past.JournalReader
    monkeypatch.setattr(reader, "first", property(lambda self: 120), raising=False)
    with pytest.raises(BookRefused, match="the log begins with event 120, and no snapshot"):
        books.read(Choice(SYMBOLS[0], folder=kept.folder, event=110))
    (shown,) = books.read(Choice(SYMBOLS[0], folder=kept.folder, event=100))
    assert shown.event == 100


def test_options_that_need_the_journal_are_refused_without_one():
    for wanted, said in (
        (Choice("A", orders=True), "--orders: the board"),
        (Choice("A", event=7), "--at: the board"),
        (Choice("A", depth=11), "--depth 11: the board has 10 levels"),
    ):
        with pytest.raises(BookRefused, match=said):
            books.read(wanted)
    with pytest.raises(SegmentError, match="no pipeline named"):
        books.read(Choice("A", "no-such-pipeline"))


def test_a_book_reads_well():
    queue = [books.Order(7, 150), books.Order(9, 50)]
    shown = books.Shown(
        "day", Unit("BTC", 100, 100, 0), 1234, 10**18, int(State.TRADING),
        [books.Level(9_999, 200, 2, queue)], [books.Level(10_001, 5, None, [])],
    )  # fmt: skip
    assert list(books.lines(shown)) == [
        FIRST_LINE,
        "side   price  quantity  orders",
        "ask   100.01      0.05       -",
        "bid    99.99         2       2",
        "                   1.5      #7",
        "                   0.5      #9",
    ]
    told = json.loads(books.as_json(shown))
    assert told["bids"] == [
        {
            "price": 99.99,
            "quantity": 2.0,
            "orders": 2,
            "queue": [{"order_id": 7, "quantity": 1.5}, {"order_id": 9, "quantity": 0.5}],
        }
    ]
    assert told["asks"] == [{"price": 100.01, "quantity": 0.05}]
    assert (told["event"], told["state"], told["source"]) == (1234, "trading", 0)


def test_the_board_and_the_journal_of_a_running_pipeline(place):
    folder = place.folder / "journal"
    config = place.write(ingest={"rate": 200.0}, journal={"path": str(folder), "segment_mb": 1})
    running = place.start(config)
    running.until_received("book", 300)
    refused = corelane("book", "NONE", "--pipeline", place.name, code=2)
    (line,) = lines(refused.err)
    assert f"pipeline '{place.name}' has no symbol 'NONE'; there is " in line
    symbol = line.split("there is ")[1].split(",")[0]
    board = json.loads(corelane("book", symbol, "--pipeline", place.name, "--json").out)
    assert board["pipeline"] == place.name
    assert 0 < len(board["bids"]) <= 10
    text = corelane("book", symbol, "--pipeline", place.name, "--depth", "3").out
    assert text.startswith(f"{symbol} of feed 0, {place.name}, as of event ")
    whole = json.loads(corelane("book", symbol, "--journal", folder, "--orders", "--json").out)
    assert len(whole["bids"]) >= len(board["bids"]) - 5
    assert whole["event"] >= board["event"]
    at = str(board["event"])
    then = json.loads(corelane("book", symbol, "--journal", folder, "--at", at, "--json").out)
    for side in ("bids", "asks"):
        shown = [(level["price"], level["quantity"]) for level in then[side][:10]]
        assert shown == [(level["price"], level["quantity"]) for level in board[side]]
    assert corelane("stop", place.name).code == 0
    assert running.end().code == 0
