"""The checks themselves find what is wrong, and leave undecided what cannot be known."""

import gzip

import numpy as np

from pipeline.feed_checks import (
    BestPrices,
    Crossing,
    Quote,
    Scale,
    binance_quotes,
    of_counters,
    whole_text,
)
from workers.feeds.feed import FEED_COUNTERS
from workers.keeper import COUNTERS as BOOK_COUNTERS
from workers.records import EVENT, TOP, Book, Event, Flag, Mark, State, empty

SCALES = {3: Scale("BTCUSDT", 10, 1000)}
TICKER = '{"stream":"btcusdt@bookTicker","data":%s}'
BODY = '{"u":%d,"s":"BTCUSDT","b":"10.1","B":"2.5","a":"10.2","A":"0.004"}'


def update(sequence: int, number: int, flags: int = 0) -> np.ndarray:
    event = empty(EVENT, 1)
    event["sequence"], event["other"], event["instrument"] = sequence, number, 3
    event["kind"], event["flags"] = Event.SET, flags
    return event


def top(cause: int, bid=101, ask=102, bids=2500, asks=4, state=0) -> np.ndarray:
    record = empty(TOP, 1)
    record["cause"], record["instrument"], record["kind"] = cause, 3, Book.TOP
    record["bid"], record["ask"] = bid, ask
    record["bid_quantity"], record["ask_quantity"], record["state"] = bids, asks, state
    return record


def compared(updates: list, tops: list, quotes=(5, 8)):
    best = BestPrices(Quote("BTCUSDT", n, "10.1", "2.5", "10.2", "0.004") for n in quotes)
    for event in updates:
        best.events(event)
    for record in tops:
        best.records(record)
    return best.result(SCALES)


def test_prices_are_compared_after_each_update_with_the_last_quote_up_to_it():
    updates = [update(1, 5, Flag.PART), update(2, 5), update(3, 7), update(4, 8), update(5, 2)]
    tally = compared(updates, [top(2)])
    assert (tally.passed, tally.failed, tally.undecidable) == (2, 0, 2)
    for wrong in ({"bid": 100}, {"ask": 103}, {"bids": 2501}, {"asks": 0}):
        tally = compared(updates, [top(2), top(3, **wrong)])
        assert (tally.passed, tally.failed) == (1, 1)
        assert tally.first_fault.startswith("BTCUSDT after update 7: [")


def test_without_a_top_or_a_quote_nothing_is_decided():
    assert compared([update(1, 6)], [])[1:4] == (0, 0, 1)
    assert compared([update(1, 6)], [top(1)], quotes=())[1:4] == (0, 0, 1)
    assert compared([update(1, 6, Flag.SNAPSHOT)], [top(1)])[1:4] == (0, 0, 0)


def test_a_crossed_book_counts_once_trading_is_continuous():
    crossing = Crossing()
    for record in (
        top(1),
        top(2, bid=103, state=State.QUOTING),
        top(3, bid=103, state=State.TRADING | Mark.CROSSED),
        top(4, bid=103, state=Mark.CROSSED | Mark.STALE),
        top(5, state=Mark.PARTIAL),
        top(6, bid=103, ask=0),
        top(7, bid=102),
    ):
        crossing.records(record)
    tally = crossing.result()
    assert (tally.passed, tally.failed, tally.undecidable) == (3, 1, 3)
    assert tally.first_fault == "instrument 3 after event 3: bid 103 above ask 102"


def test_counters_tell_what_was_read_and_taken():
    feed = dict.fromkeys(FEED_COUNTERS.names, 0) | {"messages": 10, "ignored": 2, "gaps": 1}
    book = dict.fromkeys(BOOK_COUNTERS.names, 0) | {"applied": 7, "checks_passed": 4}
    assert [tally[1:4] for tally in of_counters(feed, book)] == [
        (10, 0, 0),
        (7, 0, 0),
        (4, 0, 0),
        (7, 0, 1),
    ]
    feed |= {"bad_values": 1, "bad_frames": 1, "truncated": 1, "unknown": 5}
    book |= {"unknown_order": 3, "partial": 1, "duplicate_order": 1, "checks_failed": 2}
    tallies = of_counters(feed, book)
    assert [tally[1:4] for tally in tallies] == [(10, 3, 5), (7, 3, 1), (4, 2, 0), (7, 0, 1)]
    assert tallies[1].first_fault == "unknown_order 2, duplicate_order 1"


def test_quotes_of_both_kinds_of_stream_are_found(tmp_path):
    lines = [
        f"17 {TICKER % (BODY % 5)}",
        f"18 {BODY % 6}",
        '19 {"e":"bookTicker",' + (BODY % 7)[1:],
    ]
    path = tmp_path / "capture.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, "20 {}", ""]).encode()))
    assert whole_text(path).decode().splitlines()[0] == lines[0]
    quotes = binance_quotes(path)
    assert [quote.update for quote in quotes] == [5, 6, 7]
    assert quotes[0][2:] == ("10.1", "2.5", "10.2", "0.004")
