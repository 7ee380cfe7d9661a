"""The feeds there are: a line here and a file beside it make one more."""

from collections.abc import Callable
from typing import Any

import msgspec

from workers.feeds.binance import BinanceOptions
from workers.feeds.bitstamp import BitstampOptions
from workers.feeds.coinbase import CoinbaseOptions
from workers.feeds.dbn import DbnFeed, DbnOptions
from workers.feeds.feed import Feed
from workers.feeds.history import HistoryFeed, HistoryOptions
from workers.feeds.itch import ItchFeed, ItchOptions
from workers.feeds.journal import JournalFeed, JournalOptions
from workers.feeds.json_feed import exchange_feed
from workers.feeds.kraken import KrakenOptions
from workers.feeds.lobster import LobsterFeed, LobsterOptions
from workers.feeds.moldudp64 import MoldFeed, MoldOptions
from workers.feeds.okx import OkxOptions
from workers.feeds.order_flow import FlowFeed, FlowOptions
from workers.feeds.order_lines import OrdersFeed, OrdersOptions
from workers.feeds.synthetic import SyntheticFeed, SyntheticOptions

FEEDS: dict[type[msgspec.Struct], Callable[..., Any]] = {
    BinanceOptions: exchange_feed,
    BitstampOptions: exchange_feed,
    CoinbaseOptions: exchange_feed,
    DbnOptions: DbnFeed,
    FlowOptions: FlowFeed,
    HistoryOptions: HistoryFeed,
    ItchOptions: ItchFeed,
    JournalOptions: JournalFeed,
    KrakenOptions: exchange_feed,
    LobsterOptions: LobsterFeed,
    MoldOptions: MoldFeed,
    OkxOptions: exchange_feed,
    OrdersOptions: OrdersFeed,
    SyntheticOptions: SyntheticFeed,
}
FeedOptions = (
    BinanceOptions
    | BitstampOptions
    | CoinbaseOptions
    | DbnOptions
    | FlowOptions
    | HistoryOptions
    | ItchOptions
    | JournalOptions
    | KrakenOptions
    | LobsterOptions
    | MoldOptions
    | OkxOptions
    | OrdersOptions
    | SyntheticOptions
)


def build(options: FeedOptions, counters: int) -> Feed:
    """The feed that some options ask for; `counters` is the address of its FEED_COUNTERS."""
    return FEEDS[type(options)](options, counters)
