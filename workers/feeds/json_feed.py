"""Feeds of exchanges' JSON: recorded captures or the live service, through the same parsers."""

from workers.feeds.capture_feed import CaptureFeed
from workers.feeds.venue_options import VenueOptions


def exchange_feed(options: VenueOptions, counters: int):
    """The feed that some options ask for; `counters` is the address of its FEED_COUNTERS."""
    if options.path is not None:
        return CaptureFeed(options, counters)
    from workers.feeds.live_feed import LiveFeed  # takes asyncio and the network with it

    return LiveFeed(options, counters)
