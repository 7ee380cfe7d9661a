"""The name and the units of an instrument's group, by the configuration and by the board."""

import numpy as np

from tests.workers.joined import joint
from workers.book import Book
from workers.enriched import CONSOLIDATED_DEPTH, ConsolidatedOptions
from workers.groups import Groups, ShownGroups
from workers.instruments import INSTRUMENT, Names, Unit, units
from workers.publish import Publisher

GROUPS = {
    "BTC": ConsolidatedOptions(venues=["feed0:BTCUSDT", "feed1:XBT"], price_decimals=2),
    "ETH": ConsolidatedOptions(venues=["feed1:ETH"], lot_decimals=3),
}
ROWS = [("BTCUSDT", 0), ("XBT", 1), ("ETH", 1), ("BTCUSDT", 1)]


def test_the_configuration_finds_a_group_by_feed_and_symbol():
    with joint(Publisher) as at:
        for number, (symbol, source) in enumerate(ROWS):
            row = np.zeros(1, INSTRUMENT)
            row["symbol"], row["source"], row["price_scale"] = symbol.encode(), source, 100
            at.boards["instruments"].put(number, row)
        groups = Groups(GROUPS, Names(at.links.boards["instruments"]))
        found = [groups.unit(number) for number in range(5)]
        bitcoin = Unit("BTC", 100, 10**8)
        assert found[:3] == [bitcoin, bitcoin, Unit("ETH", 10**8, 1000)]
        assert found[3:] == [Unit("BTCUSDT", 100, 1, 1), Unit("#4")]  # of the other feed; nobody
        assert groups.all() == ["BTC", "ETH"]


def test_the_board_finds_a_group_by_instrument():
    with joint(Book, rows=2) as at, joint(Publisher) as names:
        board = at.links.boards["consolidated"]
        groups = ShownGroups(board, Names(names.links.boards["instruments"]))
        assert groups.unit(7) == Unit("#7")
        row = np.zeros(1, CONSOLIDATED_DEPTH)
        row["name"], row["price_scale"], row["lot_decimals"] = b"BTC", 100, 3
        row["venues"], row["venues"][0, :2] = -1, (7, 4)
        board.put(1, row)
        assert groups.unit(7) == groups.unit(4) == Unit("BTC", 100, 1000)
        assert groups.unit(5) == Unit("#5")
        assert groups.all() == ["", "BTC"]


def test_a_quantity_is_whole_where_a_lot_is_one():
    assert [units(5, 1), units(5, 10)] == [5, 0.5]
    assert isinstance(units(5, 1), int)
