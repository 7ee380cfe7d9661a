"""Whole captures of exchanges, and everything that is known to be true of them."""

import gzip
import itertools
import json
import lzma
from bisect import bisect_right
from decimal import Decimal

import pytest

from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive.levels import Books
from tests.workers.exchanges import books_of, read_capture
from workers.feeds.feed import FeedError
from workers.feeds.venues import (
    BinanceOptions,
    BitstampOptions,
    CoinbaseOptions,
    KrakenOptions,
    OkxOptions,
)
from workers.records import EVENT, Event, Flag

SPOT, FUTURES = "binance_spot__btcusdt_20240808.gz", "binance_usdm__btcusdt_20240808.gz"
KRAKEN, OKX = "cryptofeed__KRAKEN.ws.50.0.gz", "cryptofeed__OKX.ws.1.0.gz"
COINBASE, BITSTAMP = "cryptofeed__COINBASE.ws.28.0.gz", "bitstamp_l3__2015-05-01.log.xz"
OTHER, INSTRUMENT, KIND, FLAGS = map(EVENT.names.index, ("other", "instrument", "kind", "flags"))
LINES = None if compiled() else 300  # of a capture; all where that is quick


def capture(name: str, folder, lines: int | None = LINES) -> str:
    """A capture's path; of a shortened copy where only so many lines of it are wanted."""
    path = data_file(f"crypto/{name}")
    if lines is None:
        return str(path)
    unpack = lzma.open if name.endswith(".xz") else gzip.open
    with unpack(path) as whole:
        (folder / "capture").write_bytes(b"".join(itertools.islice(whole, lines)))
    return str(folder / "capture")


def crossed(events) -> int:
    """How often a best bid was not below the best ask where a message ended."""
    books, found = Books(), 0
    for event in events.tolist():
        books.fold(event)
        if event[KIND] == Event.SET and not event[FLAGS] & Flag.PART:
            bid, ask = books.top(event[INSTRUMENT])
            found += bool(bid and ask and bid[0] >= ask[0])
    return found


@pytest.mark.parametrize(
    ("name", "options", "checks"), [(KRAKEN, KrakenOptions, 4269), (OKX, OkxOptions, 290)]
)
def test_every_checksum_is_the_venues(name, options, checks, tmp_path):
    events, counters, trouble = read_capture(options(path=capture(name, tmp_path)))
    books = books_of(events)
    assert (books.failed, trouble, crossed(events)) == (0, "", 0)
    assert books.passed == checks if LINES is None else books.passed > 100
    assert not any(books.doubts.values())
    assert counters["bad_values"] == counters["bad_frames"] == counters["unknown"] == 0


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "updates", "trades"), [(SPOT, 3449, 9757), (FUTURES, 6547, 21313)]
)
def test_the_best_prices_are_binances(name, updates, trades, tmp_path):
    """After each update the top is that of the last bookTicker up to its number."""
    events, counters, _ = read_capture(BinanceOptions(path=capture(name, tmp_path)))
    books, tops = Books(), {}
    for event in events.tolist():
        books.fold(event)
        if event[KIND] == Event.SET and not event[FLAGS] & (Flag.PART | Flag.SNAPSHOT):
            tops[event[OTHER]] = books.top(0)
    truth = {}
    with gzip.open(data_file(f"crypto/{name}")) as lines:
        for line in lines:
            if b"bookTicker" in line:
                data = json.loads(line.split(b" ", 1)[1])["data"]
                truth[data["u"]] = data
    numbers, (price, lot) = sorted(truth), books.scales[0]
    for number, top in tops.items():
        quote = truth[numbers[bisect_right(numbers, number) - 1]]
        for (best, size), names in zip(top, ("bB", "aA"), strict=True):
            assert Decimal(quote[names[0]]).scaleb(price) == best
            assert Decimal(quote[names[1]]).scaleb(lot) == size
    assert len(tops) == updates
    assert (events["kind"] == Event.TRADE).sum() == trades
    assert counters["gaps"] == counters["bad_values"] == 0


def test_coinbase_is_never_crossed_and_counts_all_matches(tmp_path):
    options = CoinbaseOptions(path=capture(COINBASE, tmp_path))
    events, counters, _ = read_capture(options)
    assert crossed(events) == 0
    trades = events[events["kind"] == Event.TRADE]
    if LINES is None:
        assert len(trades) == 97 + 10  # and the last one of each product before
        assert (events["kind"] == Event.SET).sum() == 18_081
    assert (trades["flags"] & Flag.UNPRINTED).sum() == 10
    assert counters["unknown"] == counters["bad_frames"] == 0


def test_bitstamps_orders_are_consistent(tmp_path):
    options = BitstampOptions(path=capture(BITSTAMP, tmp_path))
    events, counters, _ = read_capture(options)
    books = books_of(events)
    assert not books.wrong
    kinds = {kind: int((events["kind"] == kind).sum()) for kind in Event}
    if LINES is None:
        assert kinds[Event.TRADE] == 575
        assert kinds[Event.ADD] == 24_894 + 4  # four change that were there before
        assert kinds[Event.DELETE] == 24_918 - 205
    assert kinds[Event.ADD] - kinds[Event.DELETE] == len(books.orders[0])
    assert counters["bad_values"] == counters["duplicates"] == 0
    assert books.doubts[0]  # nothing shows the whole book


def test_where_calls_end_changes_nothing(tmp_path):
    options = OkxOptions(path=capture(OKX, tmp_path, 100))
    whole, *_ = read_capture(options)
    pieces, *_ = read_capture(options, limit=7)
    assert whole.tobytes() == pieces.tobytes()


def test_a_capture_that_is_cut_off_says_so(tmp_path):
    data = data_file(f"crypto/{OKX}").read_bytes()
    (tmp_path / "cut.gz").write_bytes(data[: len(data) // 2])
    events, counters, trouble = read_capture(OkxOptions(path=str(tmp_path / "cut.gz")))
    assert "cut off" in trouble
    assert counters["truncated"] == 1
    books = books_of(events)
    assert (books.failed, books.passed > 50) == (0, True)


def test_a_capture_of_another_venue_says_so(tmp_path):
    path = capture(KRAKEN, tmp_path, 100)
    events, counters, trouble = read_capture(OkxOptions(path=path))
    assert not len(events)
    assert "no message was understood" in trouble
    assert counters["bad_values"] + counters["bad_frames"] + counters["unknown"] > 50


def test_no_capture_is_one_clear_error(tmp_path):
    with pytest.raises(FeedError, match=r"nothing\.gz: cannot be opened"):
        read_capture(KrakenOptions(path=str(tmp_path / "nothing.gz")))
