"""Binance's rules of sequence, message by message."""

import json

import pytest

from tests.workers.exchanges import Desk
from workers.feeds.binance import BinanceOptions
from workers.records import Doubt, Event, Flag, Side

SNAPSHOT = {"bids": [["10.5", "1"], ["10.4", "2"]], "asks": [["10.6", "3"]]}


def desk(**options) -> Desk:
    return Desk(BinanceOptions(path="capture", **options))


def diff(first, last, bids=(), asks=(), symbol="BTCUSDT", before=None, **more) -> bytes:
    data = {"e": "depthUpdate", "E": 1_700_000_000_000 + last, "s": symbol, "U": first, "u": last}
    if before is not None:
        data["pu"] = before
    return json.dumps(data | {"b": bids, "a": asks} | more, separators=(",", ":")).encode()


def wrapped(text: bytes, stream="btcusdt@depth") -> bytes:
    return b'{"stream":"%s","data":%s}' % (stream.encode(), text)


def snapshot(last, symbol=None, **more) -> bytes:
    text = json.dumps({"lastUpdateId": last} | SNAPSHOT | more).encode()
    return wrapped(text, f"{symbol.lower()}@snapshot") if symbol else text


def trade(price="10.55", quantity="0.5", number=7, maker=True, kind="trade", **more) -> bytes:
    name = "t" if kind == "trade" else "a"
    data = {"e": kind, "E": 1_700_000_000_123, "s": "BTCUSDT", name: number, "p": price}
    return json.dumps(data | {"q": quantity, "m": maker} | more).encode()


def kinds(events) -> list[str]:
    return [Event(kind).name for kind in events["kind"]]


def test_updates_wait_for_the_snapshot_and_follow_it():
    """Older ones are left out; the first one used brackets the snapshot's number."""
    venue = desk()
    early = venue.hear(
        diff(90, 95, [["9", "9"]]), diff(96, 102, [["10.5", "0"]]), diff(103, 104, [["10.3", "4"]])
    )
    assert not len(early)
    events = venue.hear(snapshot(100))
    assert kinds(events) == [
        "DIRECTORY",
        "STALE",
        "CLEAR",
        "SET",
        "SET",
        "SET",
        "FRESH",
        "SET",
        "SET",
    ]
    assert venue.books.levels(0, Side.BID) == [(104, 2 * 10**8), (103, 4 * 10**8)]
    assert events["other"][-2:].tolist() == [102, 104]
    assert events["flags"][2:7].tolist() == [12, 12, 12, 4, 0]  # SNAPSHOT and PART, but the last
    assert venue.books.doubts == {0: 0}
    after = venue.hear(wrapped(diff(105, 105, [["10.3", "0"]], [["10.7", "1"]])))
    assert kinds(after) == ["SET", "SET"]
    assert after["flags"].tolist() == [Flag.PART, 0]
    assert after["time_ns"].tolist() == [1_700_000_000_105 * 10**6] * 2


@pytest.mark.parametrize(
    ("first", "fits"),
    [
        (diff(99, 101), True),
        (diff(101, 103), True),  # U = lastUpdateId + 1
        (diff(102, 103), False),
        (diff(99, 101, before=98), True),
        (diff(100, 100, before=98), True),
        (diff(101, 103, before=100), True),  # follows exactly
        (diff(101, 103, before=99), False),
        (diff(102, 103, before=101), False),
    ],
)
@pytest.mark.parametrize("late", [True, False])
def test_the_first_update_brackets_the_snapshot(first, fits, late):
    venue = desk()
    messages = (snapshot(100, "BTCUSDT"), first) if late else (first, snapshot(100, "BTCUSDT"))
    events = venue.hear(*messages)
    assert (venue.books.doubts.get(0) == 0) == fits
    if not fits and late:
        assert kinds(events)[-1] == "STALE"
        assert venue.count("gaps") == 1
        assert events["flags"][-1] == Doubt.GAP
    elif not fits:  # a snapshot older than all updates is no use
        assert not len(events)


@pytest.mark.parametrize("futures", [False, True])
def test_a_gap_stops_the_book_until_another_snapshot(futures):
    def step(first, last, before, *bids):
        return diff(first, last, list(bids), before=before if futures else None)

    venue = desk()
    venue.hear(snapshot(100, "BTCUSDT"), step(101, 102, 100, ["10.3", "1"]))
    before = venue.books.whole()["BTCUSDT"][0].copy()
    events = venue.hear(step(104, 105, 103, ["10.2", "1"]), step(106, 106, 105, ["10.1", "1"]))
    assert kinds(events) == ["STALE"]
    assert venue.books.sides[0][0] == before
    assert list(venue.venue.wanting) == ["BTCUSDT"]
    events = venue.hear(snapshot(105))
    assert kinds(events)[0] == "CLEAR"  # it replaces the book and does not merge into it
    again = [102] if futures else []  # futures: the one that ends at the snapshot's number counts
    assert sorted(venue.books.sides[0][0]) == [101, *again, 104, 105]
    assert (venue.count("gaps"), venue.count("resyncs")) == (1, 1)
    assert not venue.venue.wanting


def test_what_came_before_is_not_taken_twice():
    venue = desk()
    update = diff(101, 102, [["10.3", "1"]])
    venue.hear(snapshot(100, "BTCUSDT"), update)
    assert not len(venue.hear(update, update))
    assert venue.count("duplicates") == 2
    assert not len(venue.hear(snapshot(200, "BTCUSDT")))  # nobody waits for one
    assert kinds(venue.hear(diff(103, 103, [["10.3", "0"]]))) == ["SET"]


@pytest.mark.parametrize("asks", [[["10.6", "x"]], [["10.61", "1"]], [["10.6", "1", "1"]], "no"])
def test_a_message_that_cannot_be_read_touches_neither_side(asks):
    venue = desk()
    venue.hear(snapshot(100, "BTCUSDT"))
    before = venue.books.sides[0][0].copy()
    events = venue.hear(diff(101, 102, [["10.3", "1"]], asks))
    assert kinds(events) == ["STALE"]
    assert events["flags"][0] == Doubt.VALUE
    assert venue.books.sides[0][0] == before
    assert venue.count("bad_values") == 1


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"\xff\xfe", b'{"e":"depthUpdate","U":"1"}', b'{"E":-1}', b"[1]", b"1"]
)
def test_garbage_is_counted_and_the_numbers_tell_what_it_cost(garbage):
    venue = desk()
    venue.hear(snapshot(100, "BTCUSDT"), diff(101, 102, [["10.3", "1"]]))
    assert not len(venue.hear(garbage))
    assert venue.count("bad_frames") + venue.count("bad_values") == 1
    assert kinds(venue.hear(diff(103, 103, [["10.3", "0"]]))) == ["SET"]


def test_trades_wait_for_the_scale_and_say_who_rested():
    venue = desk()
    assert not len(venue.hear(trade(), trade("10.5", number=8, maker=False)))
    events = venue.hear(snapshot(100, "BTCUSDT"))
    assert kinds(events)[:4] == ["DIRECTORY", "STALE", "TRADE", "TRADE"]
    assert events["price"][2:4].tolist() == [1055, 1050]  # a trade needs two decimals
    assert events["other"][2:4].tolist() == [7, 8]
    assert events["side"][2:4].tolist() == [Side.BID, Side.ASK]
    assert venue.count("bad_values") == 0


def test_trades_alone_teach_the_scale_at_the_end():
    venue = desk()
    venue.hear(trade("10.5"), trade("10.625"))
    venue.venue.end()
    events = venue.collect()
    assert kinds(events) == ["DIRECTORY", "STALE", "TRADE", "TRADE"]
    assert events["quantity"][0] == 1000
    assert events["price"][2:].tolist() == [10_500, 10_625]


def test_one_of_two_streams_of_trades_is_enough():
    venue = desk(price_decimals=2)
    events = venue.hear(trade(), trade(kind="aggTrade"), trade(number=8))
    assert events["other"][events["kind"] == Event.TRADE].tolist() == [7, 8]
    aggregated = desk(price_decimals={"BTCUSDT": 2}).hear(trade(kind="aggTrade", number=9))
    assert aggregated["other"][-1] == 9


def test_best_prices_are_left_out_and_other_kinds_counted():
    venue = desk()
    venue.hear(
        b'{"u":400,"s":"BTCUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}',
        b'{"e":"bookTicker","u":400,"s":"BTCUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}',
        b'{"result":null,"id":1}',
        b'{"e":"kline","E":1,"s":"BTCUSDT","k":{}}',
    )
    assert (venue.count("ignored"), venue.count("unknown")) == (4, 0)
    venue.hear(b'{"e":"somethingNew","E":1}')
    assert venue.count("unknown") == 1


def test_a_snapshot_finds_its_instrument():
    """By the address that answered, by the numbers that wait for it, or by being the only one."""
    venue = desk()
    address = "https://api.binance.com/api/v3/depth?symbol=ETHUSDT&limit=5"
    venue.hear(diff(5, 9, symbol="BTCUSDT"), diff(90, 101, symbol="ETHUSDT"))
    assert not len(venue.hear(snapshot(5000)))  # nobody's
    venue.hear(snapshot(100), snapshot(8))
    assert sorted(venue.books.whole()) == ["BTCUSDT", "ETHUSDT"]
    assert not any(venue.books.doubts.values())
    other = desk()
    other.hear(snapshot(100), origin=address)
    assert list(other.books.whole()) == ["ETHUSDT"]
    named = desk(symbols=["XRPUSDT"])
    named.hear(snapshot(100), diff(101, 101, symbol="BTCUSDT"))
    assert list(named.books.whole()) == ["XRPUSDT"]


def test_a_new_connection_and_a_wrong_book_begin_anew():
    venue = desk()
    venue.hear(None, snapshot(100, "BTCUSDT"))
    events = venue.hear(None)
    assert kinds(events) == ["STALE"]
    assert events["flags"][0] == Doubt.GAP
    venue.venue.take((1, None, "silent"))
    assert not len(venue.hear(snapshot(201)))  # nobody tells what comes behind it
    venue.hear(None, diff(201, 202), snapshot(201))
    assert venue.books.doubts == {0: 0}
    venue.venue.resync(0)
    venue.venue.resync(5)
    assert venue.collect()["flags"].tolist() == [Doubt.CHECKSUM]
