"""What Kraken, OKX, Coinbase and Bitstamp say, message by message."""

import json

import pytest

from tests.workers.exchanges import Desk
from tests.workers.test_binance import kinds
from workers.feeds.bitstamp import BitstampOptions, exact
from workers.feeds.coinbase import Clock, CoinbaseOptions
from workers.feeds.kraken import KrakenOptions
from workers.feeds.okx import OkxOptions
from workers.records import Checksum, Doubt, Event, Flag, Side

PATH = {"path": "capture"}


def text(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def kraken(*parts, channel="book-10", pair="XBT/USD") -> bytes:
    return text([7, *parts, channel, pair])


SNAPSHOT = kraken(
    {
        "as": [["10.60000", "3.00000000", "1700000000.5"]],
        "bs": [["10.50000", "1.0", "1700000000.1"]],
    }
)


def test_kraken_cuts_the_book_and_carries_checksums():
    desk = Desk(KrakenOptions(**PATH))
    events = desk.hear(SNAPSHOT)
    assert kinds(events) == ["DIRECTORY", "STALE", "CLEAR", "SET", "SET", "FRESH"]
    bids = [[f"{9 + level / 10:.5f}", "1.00000000", "1700000001.25"] for level in range(10)]
    events = desk.hear(kraken({"b": bids, "c": "4294967295"}))
    assert kinds(events) == ["SET"] * 11 + ["CHECK"]
    assert [len(side) for side in desk.books.sides[0]] == [10, 1]
    assert (events["price"][10], events["quantity"][10]) == (90, 0)  # the worst fell out
    assert (events["flags"][:11] == Flag.PART).all()
    check = events[11]
    assert (check["order"], check["flags"]) == (0xFFFFFFFF, Checksum.KRAKEN)
    assert (check["price"], check["quantity"]) == (5, 8)
    assert set(events["time_ns"].tolist()) == {1_700_000_001_250_000_000}


def test_kraken_splits_a_message_in_parts():
    desk = Desk(KrakenOptions(**PATH))
    asks, bids = [["10.7", "1.0", "1700000001.0"]], [["10.4", "1.0", "1700000001.0", "r"]]
    events = desk.hear(SNAPSHOT, kraken({"a": asks}, {"b": bids, "c": "5"}))
    assert kinds(events)[-3:] == ["SET", "SET", "CHECK"]
    twice = desk.hear(kraken({"a": asks}, {"a": asks, "c": "5"}))
    assert kinds(twice) == ["STALE"]
    assert desk.count("bad_values") == 1


@pytest.mark.parametrize("crc", ["-1", "1" * 11, "5x"])
def test_kraken_with_a_checksum_that_is_none(crc):
    desk = Desk(KrakenOptions(**PATH))
    desk.hear(SNAPSHOT)
    events = desk.hear(kraken({"b": [["10.4", "1.0", "1700000001.0"]], "c": crc}))
    assert kinds(events) == ["STALE"]


def test_kraken_trades_and_notices():
    desk = Desk(KrakenOptions(price_decimals=1, **PATH))
    trades = [["10.5", "0.5", "1700000003.125", "b", "l", ""], ["10.4", "1", "1700000004", "s"]]
    events = desk.hear(kraken(trades, channel="trade"))
    assert kinds(events) == ["DIRECTORY", "STALE", "TRADE", "TRADE"]
    assert events["side"][2:].tolist() == [Side.ASK, Side.BID]  # of the order that rested
    assert events["flags"][2:].tolist() == [Flag.PART, 0]
    assert events["time_ns"][2] == 1_700_000_003_125_000_000
    desk.hear(b'{"event":"heartbeat"}', kraken([], channel="spread"), kraken([], channel="ohlc-5"))
    assert desk.count("ignored") == 3
    bad = [["1", "1", "x", "b"]], [["1", "1", "1700000003"]], [["x", "1", "1700000003", "b"]], 5
    for items in bad:
        desk.hear(kraken(items, channel="trade"))
    assert desk.count("bad_values") == len(bad)
    desk.hear(kraken({}, channel="book-11"), kraken([], channel="new"), b"[]", b"{}")
    assert desk.count("unknown") == 4


def test_decimals_that_no_price_has_teach_nothing():
    desk = Desk(KrakenOptions(**PATH))
    level = [["0." + "1" * 17, "1.0", "1700000000.5"]]
    assert not len(desk.hear(kraken({"as": level, "bs": []})))
    assert not len(desk.hear(kraken([[level[0][0], "1", "1700000003", "b"]], channel="trade")))
    assert desk.count("bad_values") == 2
    assert desk.hear(SNAPSHOT)["quantity"][0] == 10


def okx(action, bids=(), asks=(), channel="books", **more) -> bytes:
    item = {"asks": asks, "bids": bids, "ts": "1700000000123", **more}
    arg = {"channel": channel, "instId": "BTC-USDT"}
    return text({"arg": arg, "action": action, "data": [item]})


def test_okx_follows_the_numbers():
    desk = Desk(OkxOptions(**PATH))
    level = [["10.5", "2", "0", "4"]]
    events = desk.hear(okx("snapshot", level, checksum=-1, seqId=10, prevSeqId=-1))
    assert kinds(events) == ["DIRECTORY", "STALE", "CLEAR", "SET", "FRESH", "CHECK"]
    assert events["order"][3] == 4
    assert (events["order"][5], events["flags"][5]) == (0xFFFFFFFF, Checksum.OKX)
    events = desk.hear(okx("update", level, checksum=0, seqId=15, prevSeqId=10))
    assert kinds(events) == ["SET"]  # 0: OKX computes none any more
    events = desk.hear(okx("update", level, checksum=0, seqId=15, prevSeqId=15))
    assert desk.count("gaps") == 0
    events = desk.hear(okx("update", level, checksum=0, seqId=30, prevSeqId=20))
    assert kinds(events) == ["STALE", "SET"]
    assert events["flags"][0] == Doubt.GAP
    events = desk.hear(okx("update", level, checksum=0, seqId=31, prevSeqId=30))
    assert kinds(events) == ["SET"]
    assert (desk.count("gaps"), list(desk.venue.wanting)) == (1, ["BTC-USDT"])
    desk.hear(okx("snapshot", level, checksum=-1, seqId=40, prevSeqId=-1))
    assert not desk.venue.wanting


def test_okx_trades_and_notices():
    desk = Desk(OkxOptions(price_decimals=1, **PATH))
    trade = {"tradeId": "338476307", "px": "30236", "sz": "0.0002", "side": "buy", "ts": "5"}
    arg = {"channel": "trades", "instId": "BTC-USDT"}
    events = desk.hear(text({"arg": arg, "data": [trade, trade | {"side": "sell"}]}))
    assert events["side"][2:].tolist() == [Side.ASK, Side.BID]
    assert events["other"][2:].tolist() == [338476307] * 2
    desk.hear(b"pong", b'{"event":"subscribe"}', okx("update", channel="tickers"))
    assert desk.count("ignored") == 3
    desk.hear(okx("what"), okx("update", ts="x"), b"[]")
    assert (desk.count("unknown"), desk.count("bad_values")) == (1, 2)


def coinbase(kind, **more) -> bytes:
    return text({"type": kind, "product_id": "SKL-USD", **more})


def test_coinbase_changes_and_matches():
    desk = Desk(CoinbaseOptions(**PATH))
    book = {"bids": [["0.7885", "1.0"]], "asks": [["0.7892", "2.0"]]}
    early = coinbase("l2update", changes=[["buy", "0.7", "1"]], time="2021-04-17T16:43:37.077621Z")
    assert not len(desk.hear(early))
    desk.hear(coinbase("snapshot", **book))
    changes = [["buy", "0.7885", "0.0"], ["sell", "0.7890", "3.0"]]
    events = desk.hear(coinbase("l2update", changes=changes, time="2021-04-17T16:43:37.077621Z"))
    assert events["side"].tolist() == [Side.BID, Side.ASK]
    assert events["time_ns"].tolist() == [1_618_677_817_077_621_000] * 2
    match = {"trade_id": 9, "side": "sell", "size": "0.04", "price": "0.789"}
    match["time"] = "2021-04-17T16:43:38.000001Z"
    events = desk.hear(coinbase("last_match", **match), coinbase("match", **match))
    assert kinds(events) == ["TRADE", "TRADE"]
    assert events["flags"].tolist() == [Flag.UNPRINTED, 0]
    assert events["side"].tolist() == [Side.ASK, Side.ASK]
    desk.hear(coinbase("ticker", price="1"), coinbase("subscriptions"))
    assert desk.count("ignored") == 3


def test_coinbase_numbers_nothing_so_garbage_puts_all_books_in_doubt():
    desk = Desk(CoinbaseOptions(**PATH))
    desk.hear(coinbase("snapshot", bids=[["1.5", "1"]], asks=[]))
    assert kinds(desk.hear(b'{"type":"l2upd')) == ["STALE"]
    changes = [["buy", "1.4", "1"]]
    passed = desk.hear(coinbase("l2update", changes=changes, time="2021-04-17T16:43:37Z"))
    assert kinds(passed) == ["SET"]  # still worth having
    assert desk.books.doubts == {0: Doubt.VALUE}
    desk.hear(coinbase("snapshot", bids=[], asks=[]))
    assert desk.books.doubts == {0: 0}
    assert desk.books.sides[0] == ({}, {})


@pytest.mark.parametrize(
    "time",
    ["", "Z", "2021-04-17T16:43:37", "2021-04-17T16:43:61Z", "2021-13-17T16:43:37Z",
     "2021-04-17T16:43:3Z", "2021-04-17T16:43:37.\u0661Z", "1900-04-17T16:43:37Z",
     "9999-04-17T16:43:37Z", "2021-04-17T16:43 37Z"],
)  # fmt: skip
def test_coinbase_times_that_are_none(time):
    desk = Desk(CoinbaseOptions(price_decimals=1, **PATH))
    desk.hear(coinbase("snapshot", bids=[], asks=[]))
    events = desk.hear(coinbase("l2update", changes=[["buy", "1.4", "1"]], time=time))
    assert kinds(events) == ["STALE"]
    assert desk.count("bad_values") == 1
    assert Clock().ns("2021-04-17T16:43:37.5Z") == 1_618_677_817_500_000_000


def order(event, number, amount, price="236.47", kind=0, **more) -> bytes:
    body = {"price": price, "amount": amount, "id": number, "order_type": kind, **more}
    return event.encode() + b" " + json.dumps(body).encode()


def test_bitstamp_orders_come_change_and_leave():
    desk = Desk(BitstampOptions(**PATH))
    events = desk.hear(
        order("order_created", 1, "2.00000000"),
        order("order_changed", 1, "1.5"),
        order("order_changed", 2, "3", kind=1),  # from before the log
        order("order_deleted", 1, "0.00000000"),
        order("order_deleted", 9, "1"),
    )
    assert kinds(events) == ["DIRECTORY", "STALE", "ADD", "MODIFY", "ADD", "DELETE"]
    assert events["flags"][2:].tolist() == [0, 0, Flag.INFERRED, 0]
    assert events["quantity"][2:5].tolist() == [2 * 10**8, 15 * 10**7, 3 * 10**8]
    desk.hear(order("order_created", 2, "3", kind=1))
    assert desk.count("duplicates") == 1
    assert kinds(desk.hear(order("order_created", 3, "1.123456789"))) == []
    assert desk.count("bad_values") == 1


def test_bitstamp_trades_are_binary_fractions():
    desk = Desk(BitstampOptions(**PATH))
    trade = b'trade {"price": 236.61000000000001, "amount": 1.7885566900000001, "id": 5}'
    events = desk.hear(order("order_created", 1, "2.00000000"), trade)
    assert (events["price"][-1], events["quantity"][-1]) == (23661, 178_855_669)
    assert exact(b"236.6134", 2) == b"236.6134"  # no rounding of what is finer
    assert exact(b"x", 2) == b"x"


def test_bitstamp_over_its_channels():
    desk = Desk(BitstampOptions(**PATH))
    data = {"id": 1, "order_type": 1, "microtimestamp": "1700000000123456", "price": 10.5,
            "price_str": "10.50", "amount": 0.1, "amount_str": "0.10000000"}  # fmt: skip
    message = {"event": "order_created", "channel": "live_orders_ethusd", "data": data}
    events = desk.hear(None, text(message))
    assert events["time_ns"][2] == 1_700_000_000_123_456_000
    assert (events["price"][2], events["side"][2]) == (1050, Side.ASK)
    trade = {"event": "trade", "channel": "live_trades_ethusd", "data": data | {"type": 0}}
    events = desk.hear(text(trade))
    assert kinds(events) == ["TRADE"]
    events = desk.hear(None)
    assert kinds(events) == ["CLEAR"]  # who came and went meanwhile is not known
    assert desk.count("unknown") == 0


@pytest.mark.parametrize("options", [KrakenOptions, OkxOptions, CoinbaseOptions, BitstampOptions])
def test_any_bytes_are_counted_and_survived(options):
    desk = Desk(options(**PATH))
    for garbage in (b"", b"{", b"\xff", b"[[[", b'{"data":5}', b"null", b"trade {", b"x y"):
        desk.hear(garbage)
    seen = ("unknown", "bad_frames", "bad_values", "ignored")
    assert sum(map(desk.count, seen)) == 8
    assert desk.count("events") == 0
    assert Event.DIRECTORY not in desk.collect()["kind"]
