"""What may be configured of exchanges' feeds, and what is told where it may not."""

import msgspec
import numpy as np
import pytest

from ringbuf.record import fields_of
from workers.feeds import binance, bitstamp, coinbase, json_feed, kraken, okx
from workers.feeds.capture_feed import CaptureFeed
from workers.feeds.live_feed import LiveFeed
from workers.feeds.outbox import FIELDS, LAYOUT
from workers.feeds.registry import FEEDS, FeedOptions
from workers.feeds.venue_options import VenueOptions
from workers.records import EVENT

LIVE = {"kind": "kraken", "url": "wss://ws.kraken.com", "symbols": ["XBT/USD"]}
BINANCE = LIVE | {"kind": "binance"}


def build(**options) -> VenueOptions:
    return msgspec.convert(options, FeedOptions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "kraken"}, "give `path`.* or `url`"),
        (LIVE | {"path": "x"}, "one of both"),
        ({"kind": "okx", "url": "wss://h/"}, "`url` needs `symbols`"),
        (LIVE | {"url": "http://h/"}, "url = 'http://h/': write it as wss://host/path"),
        (LIVE | {"url": "wss:///x"}, "write it as wss://host/path"),
        (LIVE | {"url": "wss://h:x/"}, "[Pp]ort"),
        (LIVE | {"depth": 7}, "depth = 7: choose one of 10, 25"),
        (LIVE | {"kind": "okx", "channel": "bbo-tbt"}, "channel = 'bbo-tbt': choose one of"),
        (LIVE | {"silence": 0}, "silence = 0.0: give seconds above 0"),
        (LIVE | {"price_decimals": 16}, "price_decimals: 16 is not one of 0 to 15"),
        (LIVE | {"quantity_decimals": {"A": -1}}, "quantity_decimals: -1 is not one of 0 to 15"),
        (LIVE | {"symbols": ["X" * 25]}, "is no symbol"),
        (LIVE | {"symbol": "x"}, "unknown field `symbol`"),
        ({"kind": "kraken", "path": "x", "record": "y"}, "`record` is for a live feed"),
        (BINANCE, "`url` needs `rest_url`"),
        (BINANCE | {"rest_url": "ws://h"}, "rest_url = 'ws://h': write it as https://host/path"),
        (BINANCE | {"rest_url": "https://h", "levels": 0}, "levels = 0: give 1 or more"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        build(**options)


def test_each_kind_becomes_its_feed():
    for module, kind in (
        (binance, "binance"), (bitstamp, "bitstamp"), (coinbase, "coinbase"), (kraken, "kraken"),
        (okx, "okx"),
    ):  # fmt: skip
        options = build(kind=kind, path="x")
        assert type(options).__module__ == module.__name__
        feed = FEEDS[type(options)](options, 0)
        assert isinstance(feed, CaptureFeed)
        assert not feed.live
    assert isinstance(json_feed.exchange_feed(build(**LIVE), 0), LiveFeed)


def test_decimals_for_all_or_for_each():
    options = build(kind="okx", path="x", price_decimals={"A": 3}, quantity_decimals=2)
    assert (options.prices_of("A"), options.prices_of("B"), options.lots_of("A")) == (3, None, 2)
    options = build(kind="okx", path="x", quantity_decimals={"A": 3})
    assert (options.lots_of("A"), options.lots_of("B")) == (3, 8)


def test_events_are_packed_as_they_lie():
    assert tuple(fields_of(EVENT)) == FIELDS
    values = tuple(range(1, 1 + len(FIELDS)))
    packed = np.frombuffer(LAYOUT.pack(*values), EVENT)
    assert packed[0].item() == values
