"""Live feeds against an exchange on 127.0.0.1: whatever happens, the books come out as they are."""

import gzip
import http.client
import itertools
import json
import time

import pytest

from tests.data import data_file
from tests.naive.levels import Books
from tests.workers.exchanges import books_of, read_capture
from tests.workers.local_exchange import (
    PATIENCE_S,
    Exchange,
    Listener,
    drop,
    dumps,
    garble,
    levels_text,
    lose,
    spoil,
)
from workers.feeds import live_feed, websocket
from workers.feeds.feed import FeedError
from workers.feeds.json_feed import exchange_feed
from workers.feeds.venues import BinanceOptions, KrakenOptions
from workers.feeds.websocket import PAUSE_MAX_S, PAUSE_S, WebSocketSource, get, pause
from workers.records import Doubt

UPDATES, KRAKEN_LINES = 400, 1500


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch):
    monkeypatch.setattr(websocket, "PAUSE_S", 0.01)
    monkeypatch.setattr(live_feed, "SUBSCRIBED_S", 0.2)
    monkeypatch.setattr(live_feed, "FETCH_S", 0.2)


def binance_capture(count: int) -> tuple[dict, list[bytes]]:
    """The snapshot of a real capture, and the updates from the one on that brackets it."""
    snapshot, updates = {}, []
    with gzip.open(data_file("crypto/binance_usdm__btcusdt_20240808.gz")) as lines:
        for line in lines:
            text = line.split(b" ", 1)[1].strip()
            if b'"lastUpdateId"' in text:
                snapshot = json.loads(text)
            elif b'"depthUpdate"' in text:
                updates.append(text)
            if len(updates) == count:
                break
    newest = [json.loads(text)["data"]["u"] >= snapshot["lastUpdateId"] for text in updates]
    return snapshot, updates[newest.index(True) :]


class Truth:
    """The book of the capture after each update, as Binance's REST service would show it."""

    def __init__(self, snapshot: dict, updates: list[bytes]) -> None:
        self.updates = [json.loads(text)["data"] for text in updates]
        self.first = snapshot
        self.lag = []  # how far behind (or ahead of) the stream the next snapshots are

    def book(self, count: int) -> tuple[dict, dict]:
        """Both sides after so many updates: price to quantity, as strings."""
        sides = dict(self.first["bids"]), dict(self.first["asks"])
        for update in self.updates[:count]:
            for side, changes in zip(sides, (update["b"], update["a"]), strict=True):
                side.update(changes)
        return tuple({price: size for price, size in side.items() if float(size)} for side in sides)

    def snapshot(self, exchange: Exchange) -> bytes:
        place = exchange.place - (self.lag.pop(0) if self.lag else 0)
        place = max(0, min(place, len(self.updates)))
        last = self.updates[place - 1]["u"] if place else self.first["lastUpdateId"]
        bids, asks = (list(side.items()) for side in self.book(place))
        return dumps({"lastUpdateId": last, "bids": bids, "asks": asks})


def in_units(sides, scales) -> tuple[dict, dict]:
    """Both sides as integers."""
    price, lot = (10**scale for scale in scales)
    return tuple(
        {round(float(level) * price): round(float(size) * lot) for level, size in side.items()}
        for side in sides
    )


FAULTS = {
    "none": {},
    "drops": {10: drop, 20: drop, 45: drop},
    "gaps": {5: lose, 21: lose, 22: lose, 40: lose},
    "garbage": {7: garble, 30: garble},
    "spoiled": {12: spoil, 33: spoil},
    "all": {5: lose, 12: spoil, 20: drop, 30: garble, 37: lose, 41: drop},
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("lag", [[], [4, 9, -8, 2]], ids=["sharp", "behind-and-ahead"])
def test_binance_comes_out_as_the_capture(name, lag, tmp_path):
    snapshot, updates = binance_capture(UPDATES)
    truth = Truth(snapshot, updates)
    truth.lag = list(lag)
    exchange = Exchange(updates, dict(FAULTS[name]))
    exchange.snapshot = lambda: truth.snapshot(exchange)
    record = tmp_path / "record"
    options = BinanceOptions(
        url=exchange.url, rest_url=exchange.rest_url, symbols=["BTCUSDT"], price_decimals=2,
        record=str(record),
    )  # fmt: skip
    listener, last = Listener(options), truth.updates[-1]["u"]
    exchange.steady = lambda: (
        not listener.books.doubts.get(0, True)
        and listener.last >= truth.updates[exchange.sent]["u"]
    )
    try:
        listener.until(lambda: listener.last >= last and not listener.books.doubts[0])
    finally:
        listener.feed.close()
        exchange.close()
    wanted = in_units(truth.book(len(updates)), listener.books.scales[0])
    assert listener.books.sides[0] == wanted
    assert json.loads(exchange.heard[0])["method"] == "SUBSCRIBE"
    assert listener.count("connects") == exchange.connections
    drops = sum(fault is drop for fault in FAULTS[name].values())
    assert exchange.connections == 1 + drops
    if not lag:  # a snapshot that is ahead makes up for what was spoiled before
        assert (listener.count("bad_values") >= 1) == (spoil in FAULTS[name].values())
    assert listener.count("bad_frames") == 2 * sum(f is garble for f in FAULTS[name].values())
    replay(record, listener)


def replay(record, listener: Listener) -> None:
    """What was recorded gives the very same books again."""
    events, counters, _ = read_capture(
        BinanceOptions(path=str(record), symbols=["BTCUSDT"], price_decimals=2)
    )
    assert books_of(events).sides == listener.books.sides
    assert counters["connects"] == listener.count("connects")


def kraken_capture(lines: int):
    """Updates of a real capture, and what their books are after each."""
    with gzip.open(data_file("crypto/cryptofeed__KRAKEN.ws.50.0.gz")) as capture:
        texts = [
            line.split(b": ", 1)[1].strip()
            for line in itertools.islice(capture, lines)
            if b'"book-1000","' in line and b"event" not in line
        ]
    first = [text for text in texts if b'"as"' in text]
    return first, [text for text in texts if b'"as"' not in text]


class KrakenBooks:
    """What Kraken answers a subscription with: the books as they are by now."""

    def __init__(self, first: list[bytes], updates: list[bytes]) -> None:
        self.books: dict[str, tuple[dict, dict]] = {}
        self.updates = updates
        self.done = 0
        for text in first:
            _, sides, _, pair = json.loads(text)
            self.books[pair] = tuple({p: q for p, q, _ in sides[name]} for name in ("bs", "as"))

    def go_to(self, place: int) -> None:
        for text in self.updates[self.done : place]:
            *parts, _, pair = json.loads(text)[1:]
            for part in parts:
                for name, side in zip("ba", self.books[pair], strict=True):
                    for price, size, *_ in part.get(name, ()):
                        if float(size):
                            side[price] = size
                        else:
                            side.pop(price, None)
        self.done = max(place, self.done)

    def greet(self, exchange: Exchange) -> list[bytes]:
        request = json.loads(exchange.heard[-1])
        if request["subscription"]["name"] != "book":
            return []
        self.go_to(exchange.place)
        return [
            dumps([1, self.sides(pair), "book-1000", pair]) for pair in request["pair"]
        ]  # fmt: skip

    def sides(self, pair: str) -> dict:
        bids, asks = (
            [[price, size, "1618678130.0"] for price, size in side.items()]
            for side in self.books[pair]
        )
        return {"as": asks, "bs": bids}


@pytest.mark.compiled
def test_kraken_comes_out_as_the_capture():
    """Messages that are lost show in the checksums; the books concerned are subscribed to anew."""
    first, updates = kraken_capture(KRAKEN_LINES)
    places = range(20, len(updates) - 40, max(20, len(updates) // 12))
    faults = dict(zip(places, itertools.cycle((lose, drop, spoil, garble)), strict=False))
    truth = KrakenBooks(first, updates)
    exchange = Exchange(updates, faults, truth.greet)
    pairs = list(truth.books)
    listener = Listener(KrakenOptions(url=exchange.url, symbols=pairs), resync=True)
    exchange.steady = lambda: not any(listener.books.doubts.values()) and listener.books.doubts
    try:
        listener.until(lambda: exchange.place == len(updates))
        listener.until(lambda: not any(listener.books.doubts.values()))
        for _ in range(50):
            listener.poll()
        # A book that lost a message it did not show since is wrong without anybody's knowing:
        for code in listener.books.symbols:
            listener.feed.resync(code)
        listener.until(lambda: not any(listener.books.doubts.values()))
    finally:
        listener.feed.close()
        exchange.close()
    truth.go_to(len(updates))
    for code, pair in listener.books.symbols.items():
        wanted = in_units(truth.books[pair], listener.books.scales[code])
        assert listener.books.sides[code] == wanted, pair
    assert listener.books.passed > len(updates) // 3
    assert listener.count("resyncs") > len(pairs)
    assert listener.count("connects") == exchange.connections > 1


def test_silence_ends_a_connection_and_the_next_one_begins_anew():
    first, updates = kraken_capture(60)
    truth = KrakenBooks(first, updates)
    exchange = Exchange([], None, truth.greet)
    options = KrakenOptions(url=exchange.url, symbols=list(truth.books)[:1], silence=0.05)
    listener = Listener(options)
    try:
        listener.until(lambda: listener.count("connects") >= 3)
    finally:
        listener.feed.close()
        exchange.close()
    assert {"STALE", "FRESH"} <= set(listener.kinds)
    assert Doubt.SILENCE in listener.reasons


def test_books_are_in_doubt_as_soon_as_the_connection_is_gone():
    first, updates = kraken_capture(60)
    truth = KrakenBooks(first, updates)
    exchange = Exchange(updates, None, truth.greet)
    listener = Listener(KrakenOptions(url=exchange.url, symbols=list(truth.books)))
    try:
        listener.until(lambda: len(listener.books.doubts) == len(truth.books))
        listener.until(lambda: not any(listener.books.doubts.values()))
        exchange.close()  # for good: nobody answers any more
        listener.until(lambda: all(why == Doubt.GAP for why in listener.books.doubts.values()))
    finally:
        listener.feed.close()
    assert listener.count("connects") == 1


def test_nobody_there_is_no_end():
    """A service that cannot be reached is tried again, and the trouble told."""
    exchange = Exchange([])
    url = exchange.url
    exchange.close()
    listener = Listener(KrakenOptions(url=url, symbols=["XBT/USD"], price_decimals=1))
    try:
        listener.until(lambda: bool(listener.feed.trouble))
        listener.poll()
    finally:
        listener.feed.close()
        listener.feed.close()
    assert url in listener.feed.trouble
    assert listener.feed.finished
    assert listener.kinds == ["DIRECTORY", "STALE"]
    assert listener.count("connects") == 0


def test_pauses_grow_and_end_growing(monkeypatch):
    monkeypatch.undo()
    assert pause(0, lambda: 1.0) == PAUSE_S
    assert pause(0, lambda: 0.0) == PAUSE_S / 2
    longest = [pause(failures, lambda: 1.0) for failures in range(30)]
    assert longest == sorted(longest)
    assert longest[-1] == PAUSE_MAX_S
    assert PAUSE_MAX_S / 2 <= pause(10**6) <= PAUSE_MAX_S


def test_a_recording_that_cannot_be_written_is_one_clear_error(tmp_path):
    path = tmp_path / "no" / "record"
    options = KrakenOptions(url="ws://127.0.0.1:1/", symbols=["XBT/USD"], record=str(path))
    feed = exchange_feed(options, 0)
    with pytest.raises(FeedError, match="cannot be written"):
        feed.open()


def test_a_rest_service_that_refuses():
    exchange = Exchange([])
    with pytest.raises(http.client.HTTPException, match="status 503"):
        get(exchange.rest_url)
    source = WebSocketSource(exchange.url, [], 60.0)
    source.start()
    source.fetch(exchange.rest_url, lambda answer: answer)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while "503" not in source.trouble:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        source.close()
        exchange.close()
    source.fetch(exchange.rest_url, lambda answer: answer)  # nobody is left to do it
    assert exchange.asked == 2


def test_scales_of_a_book_are_texts_again():
    books = Books()
    assert books.text(6173763, 2) == "61737.63"
    assert levels_text({105: 25}, (1, 2), ("0",)) == [["10.5", "0.25", "0"]]
