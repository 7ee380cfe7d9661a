"""A first look into a source, before a pipeline runs it."""

import numpy as np

from workers.feeds.feed import FEED_COUNTERS
from workers.feeds.registry import FeedOptions, build
from workers.records import EVENT, Event, empty

EVENTS_MAX = 400_000  # looked through at most
STAGED = 4096


def first_prices(options: FeedOptions, wanted: int) -> dict[str, float]:
    """Symbols of a source with the price of their first order or trade, in currency.

    The first `wanted` that show one are returned, in order of appearance.
    """
    counters = empty(FEED_COUNTERS, 1)
    feed = build(options, counters.ctypes.data)
    staged = empty(EVENT, STAGED)
    names: dict[int, tuple[str, int]] = {}
    prices: dict[str, float] = {}
    feed.open()
    try:
        seen = 0
        while not feed.finished and seen < EVENTS_MAX and len(prices) < wanted:
            count = feed.fill(staged.ctypes.data, STAGED)
            _note(staged[:count], names, prices, wanted)
            seen += count
    finally:
        feed.close()
    return prices


def _note(events: np.ndarray, names: dict, prices: dict, wanted: int) -> None:
    for event in events[events["kind"] == Event.DIRECTORY]:
        symbol = event.tobytes()[16:40].decode("ascii", "replace").strip(" \0")
        names[int(event["instrument"])] = (symbol, int(event["quantity"]))
    for event in events[np.isin(events["kind"], (Event.ADD, Event.TRADE))]:
        symbol, scale = names.get(int(event["instrument"]), ("", 1))
        if symbol and symbol not in prices and len(prices) < wanted and event["price"] > 0:
            prices[symbol] = int(event["price"]) / scale
