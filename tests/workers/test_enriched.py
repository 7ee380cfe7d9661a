import gzip
import json
from fractions import Fraction

import msgspec
import pytest

from ringbuf import files
from ringbuf.board import Board, create_board
from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive.orderbook import Message
from tests.workers.books import Block, Books
from tests.workers.test_bars import State as Bars
from tests.workers.test_consolidated import FRESH, OUT, Groups
from tests.workers.test_measures import State_ as Measures
from workers import enriching
from workers.book import BookOptions, outputs_max
from workers.enriched import (
    CONSOLIDATED_DEPTH,
    DEPTH_LEVELS,
    BarOptions,
    ConsolidatedOptions,
    MeasureOptions,
    bar_faults,
    consolidated_faults,
)
from workers.kernels import bars, consolidated, measures
from workers.kernels.bars import Cut
from workers.kernels.consolidated import CROSSED, STALE
from workers.kernels.measures import Settings
from workers.kernels.orderbook import Limits
from workers.records import (
    BAR,
    BAR_FLOW,
    BOOK_RING,
    CONSOLIDATED,
    FLOW,
    QUOTE,
    TOP,
    Book,
    Event,
    Side,
    State,
    empty,
)

NOW = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000


def filled(layout, fill, *arguments):
    """A record that a kernel has filled, by name; what the stage fills in stays as it was."""
    slot = empty(layout, 1)
    slot["cause"], slot["time_ns"], slot["index"], slot["sequence"] = 7, 8, 9, 10
    fill(slot.ctypes.data, *arguments)
    record = {name: slot[name][0].item() for name in layout.names}
    assert [record.pop(name) for name in ("cause", "time_ns", "index", "sequence")] == [7, 8, 9, 10]
    return record


def test_kinds_and_places_are_apart_from_those_there_are():
    assert sorted(kind for kind, _ in BOOK_RING.values()) == sorted(Book) == list(range(1, 21))
    for _, layout in BOOK_RING.values():
        for name in ("cause", "time_ns", "instrument", "kind", "index", "sequence"):
            assert layout.fields[name] == TOP.fields[name]
        assert layout.fields.get("state") in (TOP.fields["state"], None)


def test_what_one_event_can_give_depends_on_what_is_switched_on():
    assert outputs_max(BookOptions(), 0) == 4
    assert outputs_max(BookOptions(measures=MeasureOptions()), 0) == 9
    assert outputs_max(BookOptions(), 3) == 7
    four = [BarOptions(trades=n) for n in range(1, 5)]
    assert outputs_max(BookOptions(measures=MeasureOptions(), bars=four), 3) < 64  # half a ring


def test_measures_travel_as_they_are():
    state = Measures(Settings(2))
    state.top(NOW, 100, 30, 110, 10, instrument=1)
    state.trade(NOW, 105, 4, instrument=1)
    state.trade(NOW, 107, 4, instrument=1)
    tags = int(State.TRADING)
    assert filled(QUOTE, enriching.fill_quote, state.address, 1, tags) == {
        "instrument": 1, "state": tags, "kind": 6,
        "mid": 210, "spread": 10, "microprice": 107.5, "imbalance": 0.5,
    }  # fmt: skip
    assert filled(FLOW, enriching.fill_flow, state.address, 1) == {
        "instrument": 1, "kind": 9, "vwap": 106.0, "volatility": 0.0, "volume": 8, "trades": 2,
    }  # fmt: skip


def test_bars_travel_in_two_records():
    state = Bars(2, [(Cut.TIME, 1), (Cut.TRADES, 2)])
    state.on_trade(1, NOW, 100, 3)
    assert len(state.on_trade(1, NOW, 104, 1)) == 1
    assert filled(BAR, enriching.fill_bar, state.address, 0, 3) == {
        "instrument": 1, "series": 1, "state": 3, "kind": 7,
        "open": 100, "high": 104, "low": 100, "close": 104,
    }  # fmt: skip
    assert filled(BAR_FLOW, enriching.fill_bar_flow, state.address, 0) == {
        "instrument": 1, "kind": 10, "start_ns": NOW, "vwap": 101.0, "volume": 4, "trades": 2,
    }  # fmt: skip


def test_the_best_of_all_venues_travels_with_its_venues():
    groups = Groups(units=[(1, 0)] * 3)
    groups.top(1, 7, 2, 9, 3)
    record = filled(CONSOLIDATED, enriching.fill_consolidated, groups.address, 3)
    assert record == {
        "instrument": 2, "kind": 8, "venues": 0x11, "state": 1,
        "bid": 70_000, "ask": 90_000, "bid_quantity": 200, "ask_quantity": 300,
    }  # fmt: skip
    groups.top(2, 10, 2, 0, 0)
    record = filled(CONSOLIDATED, enriching.fill_consolidated, groups.address, 3)
    assert (record["venues"], record["state"]) == (0x21, CROSSED | 2)
    for place in (1, 2):
        groups.top(place, 1, 1, 2, 2, tags=OUT)
    record = filled(CONSOLIDATED, enriching.fill_consolidated, groups.address, 3)
    assert (record["venues"], record["state"], record["bid"]) == (0xFF, STALE, 0)


@pytest.fixture
def board():
    with files.aside():
        create_board("aside", "venues", "group", CONSOLIDATED_DEPTH, 2).close()
        board = Board("aside", "venues", writable=True)
        yield board
        board.close()


def test_depth_is_shown_once_a_turn(board):
    groups, books = Groups(units=[(1, 0)] * 3), Books(Limits(100, 100, 8))
    for place, price, quantity in [*((0, 50 + n, 1) for n in range(12)), (1, 60, 4), (2, 70, 9)]:
        books.apply(Message(Event.SET, 2 + place, 0, 0, Side.BID, price, quantity))
        groups.top(place, price, quantity, 0, 0, tags=OUT if place == 2 else FRESH)
        consolidated.mark_due(groups.address, 2 + place, price, NOW)
    consolidated.mark_due(groups.address, 0, 1, NOW)  # in no group
    for _ in range(2):
        enriching.show_due(groups.address, books.address, board.address)
    row = board.row(1)[0]
    assert row["sequence"] == 2  # written once
    assert board.row(0)[0]["sequence"] == 0
    assert row["bid_price"].tolist() == [n * 10_000 for n in range(61, 61 - DEPTH_LEVELS, -1)]
    assert row["bid_quantity"].tolist() == [100, 500, *[100] * 8]
    assert row["bid_venues"].tolist() == [1, 3, *[1] * 8]
    assert not row["ask_price"].any()
    assert row["venues"].tolist() == [2, 3, 4, *[-1] * 12]
    assert (row["bid_venue"], row["ask_venue"]) == (2, -1)
    assert (row["counting"], row["state"], row["cause"], row["time_ns"]) == (3, 2, 70, NOW)
    assert (row["price_scale"], row["lot_decimals"]) == (10_000, 2)
    consolidated.mark_due(groups.address, 4, 80, NOW)
    enriching.show_due(groups.address, books.address, board.address)
    assert (board.row(1)[0]["cause"], board.row(1)[0]["sequence"]) == (80, 4)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (MeasureOptions, '{"sample_ms": 7}', "does not divide a day"),
        (MeasureOptions, '{"sample_ms": 0}', "does not divide a day"),
        (MeasureOptions, '{"decay": 1.0}', "not between 0 and 1"),
        (MeasureOptions, '{"session_start_s": 86400}', "no time of day"),
        (MeasureOptions, '{"session_start_s": 90, "sample_ms": 60000}', "middle of a sample"),
        (MeasureOptions, '{"decoy": 0.9}', "unknown field `decoy`"),
        (BarOptions, "{}", "cut by nothing"),
        (BarOptions, '{"seconds": 1, "trades": 2}', "cut by seconds and trades"),
        (BarOptions, '{"seconds": 0.0}', "seconds 0.0 is no length"),
        (BarOptions, '{"trades": 0}', "trades 0 is no length"),
        (BarOptions, '{"volume": -1}', "volume -1 is no length"),
        (ConsolidatedOptions, '{"venues": []}', "0 venues"),
        (ConsolidatedOptions, '{"venues": ["BTC"]}', "'feed0:SYMBOL'"),
        (ConsolidatedOptions, '{"venues": ["feed0:"]}', "'feed0:SYMBOL'"),
        (ConsolidatedOptions, '{"venues": ["feed0:A"], "lot_decimals": 18}', "lot_decimals 18"),
    ],
)
def test_options_that_make_no_sense_say_why(kind, text, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.json.decode(text, type=kind)


def test_options_become_what_the_kernels_take():
    assert MeasureOptions().settings(5) == Settings(5)
    asked = MeasureOptions(sample_ms=500, session_start_s=34_200)
    assert asked.settings(5) == Settings(5, 500_000_000, 0.94, 34_200_000_000_000)
    Block(measures.bytes_needed(asked.settings(5)))
    assert BarOptions(seconds=0.25).series() == (Cut.TIME, 250_000_000)
    assert BarOptions(trades=5).series() == (Cut.TRADES, 5)
    assert BarOptions(volume=9).series() == (Cut.VOLUME, 9)
    venues = ConsolidatedOptions(venues=["feed0:BTCUSDT", "feed12:XBT/USD"], price_decimals=2)
    assert venues.group() == consolidated.Group([(0, "BTCUSDT"), (12, "XBT/USD")], 100, 8)


def test_what_options_are_together():
    assert bar_faults([BarOptions(seconds=1), BarOptions(seconds=60)]) == []
    five = [BarOptions(trades=n) for n in (1, 2, 3, 4, 1)]
    assert bar_faults(five) == [
        "book.bars: 5 series; give at most 4",
        "book.bars[4]: is the same as one before; leave it out",
    ]
    groups = {
        "BTC": ConsolidatedOptions(venues=["feed0:BTCUSDT", "feed1:BTC"]),
        "b c": ConsolidatedOptions(venues=["feed2:BTC", "feed1:BTC"]),
    }
    unnamed, twice = consolidated_faults(groups, 3)
    assert "b c: is no name" in unnamed
    assert twice.startswith(
        "consolidated.b c.venues: 'feed1:BTC' stands in consolidated.BTC already; an instrument"
    )
    assert "'feed2:BTC': there are 2 [[feeds]]" in consolidated_faults(groups, 2)[1]


def traded(until_ns):
    """(time, price in cents, quantity in 10**-5) of the spot capture's trades."""
    with gzip.open(data_file("crypto/binance_spot__btcusdt_20240808.gz"), "rt") as lines:
        for line in lines:
            if "@trade" in line[:60]:
                data = json.loads(line.partition(" ")[2])["data"]
                if data["T"] * 1_000_000 > until_ns:
                    return
                price, quantity = Fraction(data["p"]) * 100, Fraction(data["q"]) * 100_000
                yield data["T"] * 1_000_000, int(price), int(quantity)


def test_trades_of_a_real_venue_add_up():
    start = 1_723_161_255_000_000_000
    trades = list(traded(start + (6 if compiled() else 1) * MINUTE_NS))
    assert len(trades) > 500
    series = [(Cut.TIME, 10_000_000_000), (Cut.TRADES, 100), (Cut.VOLUME, 100_000)]
    noon = Settings(1, session_ns=12 * 60 * MINUTE_NS)  # the capture runs into midnight
    state, cut = Measures(noon), Bars(1, series)
    closed = []
    for time_ns, price, quantity in trades:
        closed += cut.on_time(0, time_ns)
        assert state.trade(time_ns, price, quantity) & measures.FLOW
        closed += cut.on_trade(0, time_ns, price, quantity)
    volume = sum(quantity for *_, quantity in trades)
    exact = Fraction(sum(price * quantity for _, price, quantity in trades), volume)
    assert (state.of().volume, state.of().trades) == (volume, len(trades))
    assert abs(Fraction(float(state.of().vwap)) - exact) < exact / (1 << 50)
    assert cut.header.refused == cut.header.set_back == 0
    for number in range(len(series)):
        mine, ended = [bar for bar in closed if bar.series == number], 0
        assert len(mine) > 3
        for bar in mine:
            part = trades[ended : ended + bar.trades]
            prices = [price for _, price, _ in part]
            assert (bar.open, bar.close) == (prices[0], prices[-1])
            assert (bar.high, bar.low) == (max(prices), min(prices))
            assert bar.volume == sum(quantity for *_, quantity in part)
            ended += bar.trades
        assert len(trades) - ended == bars.bar_of(cut.address, 0, number).trades * (
            bars.bar_of(cut.address, 0, number).volume > 0
        )
