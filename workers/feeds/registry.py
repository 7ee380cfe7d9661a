"""The feeds there are: a line here and a file beside it make one more."""

from workers.feeds.feed import Feed
from workers.feeds.itch import ItchFeed, ItchOptions
from workers.feeds.journal import JournalFeed, JournalOptions
from workers.feeds.lobster import LobsterFeed, LobsterOptions
from workers.feeds.synthetic import SyntheticFeed, SyntheticOptions

FEEDS = {
    ItchOptions: ItchFeed,
    JournalOptions: JournalFeed,
    LobsterOptions: LobsterFeed,
    SyntheticOptions: SyntheticFeed,
}
FeedOptions = ItchOptions | JournalOptions | LobsterOptions | SyntheticOptions


def build(options: FeedOptions, counters: int) -> Feed:
    """The feed that some options ask for; `counters` is the address of its FEED_COUNTERS."""
    return FEEDS[type(options)](options, counters)
