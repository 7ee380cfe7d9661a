import gzip
import hashlib
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import consolidated as naive
from tests.naive.consolidated import Quote
from tests.naive.orderbook import Message
from tests.workers.books import Block, Books
from workers.kernels import consolidated
from workers.kernels.consolidated import (
    CONSOLIDATED,
    CROSSED,
    LOCKED,
    NONE,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    STALE,
    VENUES_MAX,
    Group,
)
from workers.kernels.orderbook import Limits
from workers.records import Event, Mark, Side, State

EXAMPLES = 120 if compiled() else 40
FRESH, OUT = int(State.TRADING), int(State.TRADING | Mark.STALE)
UNITS = [(100, 0), (10_000, 2), (1, 1)]  # price scale and lot decimals of three venues
COMMON = Group([(0, "BTCUSDT"), (1, "BTC-USD"), (2, "X" * 24)], 10_000, 2)
OTHER = Group([(0, "ETHUSDT"), (1, "ETH-USD")], 100, 0)


class Groups(Block):
    """Groups under test; the venue at place n of group 0 is instrument 2 + n."""

    def __init__(self, *groups, instruments=8, units=UNITS):
        groups = groups or (OTHER, COMMON)
        super().__init__(consolidated.bytes_needed(len(groups), instruments))
        consolidated.create(self.address, groups, instruments)
        self.header = at(self.address, CONSOLIDATED)
        self.number = len(groups) - 1
        for place, (source, symbol) in enumerate(groups[-1].venues):
            assert self.announce(source, symbol, 2 + place, *units[place])

    def announce(self, source, symbol, instrument, price_scale=1, lot_decimals=0, filler=b" "):
        text = symbol.encode().ljust(24, filler)
        words = [int.from_bytes(text[n : n + 8], "little", signed=True) for n in (0, 8, 16)]
        return consolidated.announce(
            self.address, source, instrument, *words, price_scale, lot_decimals
        )

    def top(self, place, *quote, tags=FRESH):
        return consolidated.on_top(self.address, 2 + place, *quote, tags)

    def group(self):
        return consolidated.group_at(self.address, self.number)

    def best(self):
        group = self.group()
        bid = int(group.bid), int(group.bid_quantity), int(group.bid_venue)
        return bid, (int(group.ask), int(group.ask_quantity), int(group.ask_venue))

    def levels(self, books, side):
        found, number = [], self.number
        consolidated.rewind(self.address, books.address, number, side)
        for _ in range(100):
            level = consolidated.next_level(self.address, books.address, number, side)
            if level[0] == 0:
                return found
            found.append(tuple(int(value) for value in level))
        raise AssertionError("no end of levels")


prices = st.one_of(st.integers(0, 4), st.integers(98, 102))
quotes = st.tuples(prices, st.integers(0, 9), prices, st.integers(0, 9))
tops = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), quotes), max_size=50)


@settings(max_examples=EXAMPLES)
@given(tops)
def test_the_best_is_the_best_of_all_that_count(stream):
    groups, twin = Groups(), naive.Group([naive.Venue(*units) for units in UNITS])
    crossed = locked = before = 0
    for place, out, quote in stream:
        scaled = tuple(number * 10 ** (place % 2) for number in quote)
        changed = groups.top(place, *scaled, tags=FRESH if out else OUT)
        twin.on_top(place, Quote(*scaled) if out else None)
        found = groups.best()
        for (price, quantity, venue), side in zip(found, ("bid", "ask"), strict=True):
            exact = twin.best(side)
            assert (Fraction(price, 10_000), Fraction(quantity, 100)) == exact[:2]
            assert (venue if venue != NONE else None) == exact[2]
        (bid, *_), (ask, *_) = found
        group = groups.group()
        assert group.fresh == twin.fresh
        assert (group.state & STALE > 0) == (twin.fresh == 0)
        assert (group.state & CROSSED > 0) == (bid > ask > 0)
        assert (group.state & LOCKED > 0) == (bid == ask > 0)
        now = (found, int(group.fresh), int(group.state))
        assert changed == (now != (before or (((0, 0, NONE),) * 2, 0, STALE)))
        crossed += group.state & CROSSED > 0 and (not before or before[2] & CROSSED == 0)
        locked += group.state & LOCKED > 0 and (not before or before[2] & LOCKED == 0)
        before = now
        assert (groups.header.crossed, groups.header.locked) == (crossed, locked)


def test_ties_are_for_who_has_shown_the_price_longest():
    groups = Groups(units=[(1, 0)] * 3)
    groups.top(0, 0, 0, 0, 0)
    groups.top(2, 100, 5, 0, 0)
    groups.top(0, 100, 3, 0, 0)
    price = 100 * 10_000
    assert groups.best()[0] == (price, 800, 2)
    assert groups.top(2, 100, 9, 0, 0)  # another quantity keeps its place
    assert groups.best()[0] == (price, 1200, 2)
    assert groups.top(2, 100, 9, 0, 0, tags=OUT)
    assert groups.best()[0] == (price, 300, 0)
    assert groups.top(2, 100, 9, 0, 0)  # it comes back behind the other
    assert groups.best()[0] == (price, 1200, 0)
    assert not groups.top(2, 100, 9, 0, 0)


@pytest.mark.parametrize(
    ("tags", "counted"),
    [
        (State.UNKNOWN, True),
        (State.TRADING, True),
        (State.QUOTING, True),
        (State.HALTED, False),
        (State.PAUSED, False),
        (State.TRADING | Mark.STALE, False),
        (State.TRADING | Mark.BARRED, False),
        (State.TRADING | Mark.CROSSED, True),
    ],
)
def test_who_counts(tags, counted):
    groups = Groups()
    groups.top(1, 7, 1, 8, 1, tags=int(tags))
    assert (groups.group().bid > 0) == counted == groups.group().fresh


def test_units_are_brought_to_those_of_the_group():
    groups = Groups()
    groups.top(0, 100, 1, 0, 0)  # 1.00, 1 unit
    groups.top(1, 10_001, 1, 0, 0)  # 1.0001, 0.01
    assert groups.best()[0] == (10_001, 1, 1)
    groups.top(2, 0, 0, 1, 10)  # 1, 1.0
    assert groups.best()[1] == (10_000, 100, 2)
    assert groups.group().state == CROSSED


def test_a_venue_with_finer_units_than_the_groups_is_left_out():
    groups = Groups(OTHER, units=[(100, 0), (10, 0)])
    for scale, decimals in ((1_000, 0), (30, 0), (0, 0), (-1, 0), (100, 1), (100, -1)):
        assert not groups.announce(1, "ETH-USD", 3, scale, decimals)
        assert not groups.top(1, 5, 5, 6, 6)
    assert (groups.header.unscaled, groups.header.announced) == (6, 2)
    assert groups.announce(1, "ETH-USD", 5, 100, 0)  # under another number, in other units
    assert not groups.top(1, 5, 5, 6, 6)
    assert groups.top(3, 5, 5, 6, 6)


def test_symbols_are_the_feeds_own():
    groups = Groups()
    assert not groups.announce(1, "BTCUSDT", 7)  # of the other feed
    assert not groups.announce(0, "BTCUSDT2", 7)
    assert not groups.announce(2, "X" * 23, 7)
    assert groups.announce(0, "BTCUSDT", 7, filler=b"\0")
    for instrument in (-1, 8, 1 << 30):
        assert not groups.announce(0, "BTCUSDT", instrument)
        assert not consolidated.on_top(groups.address, instrument, 1, 1, 2, 1, FRESH)
    found = [int(consolidated.group_of(groups.address, number)) for number in range(-1, 9)]
    assert found == [-1, -1, -1, -1, 1, 1, -1, -1, 1, -1]  # from 2 to 7
    assert groups.group().instrument == 2  # announced first: stands for the group


def test_what_does_not_fit_takes_its_venue_out():
    groups = Groups()
    groups.top(0, 100, 1, 101, 1)
    for quote in (
        (PRICE_LIMIT // 100 + 1, 1, 0, 0),
        (0, 0, 100, QUANTITY_LIMIT // 100 + 1),
        (-1, 1, 100, 1),
        (1, 1, 100, -1),
        ((1 << 63) - 1, 1, 1, 1),
    ):
        groups.top(0, *quote)
        assert (groups.group().fresh, groups.group().bid, groups.group().state) == (0, 0, STALE)
    assert groups.header.refused == 5
    groups.top(0, PRICE_LIMIT // 100, QUANTITY_LIMIT // 100, 0, 0)
    assert groups.best()[0] == (PRICE_LIMIT // 100 * 100, QUANTITY_LIMIT // 100 * 100, 0)


def test_fifteen_venues_at_the_limit_add_up():
    everybody = Group([(n, "A") for n in range(VENUES_MAX)], 1, 0)
    groups = Groups(everybody, instruments=20, units=[(1, 0)] * VENUES_MAX)
    for place in range(VENUES_MAX):
        groups.top(place, PRICE_LIMIT, QUANTITY_LIMIT, 0, 0)
    assert groups.best() == ((PRICE_LIMIT, VENUES_MAX * QUANTITY_LIMIT, 0), (0, 0, NONE))
    assert groups.group().fresh == VENUES_MAX


words = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([PRICE_LIMIT, PRICE_LIMIT + 1, QUANTITY_LIMIT, (1 << 63) - 1, 0, 1]),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(st.integers(-3, 7), *[words] * 5), max_size=20))
def test_nothing_at_all_upsets_the_best(stream):
    groups = Groups(units=[(1, 0)] * 3)
    for place, bid, bid_quantity, ask, ask_quantity, tags in stream:
        groups.top(place, bid, bid_quantity, ask, ask_quantity, tags=tags & 0xFF)
        groups.announce(place, "BTC-USD", 3 + (tags & 1), ask, bid)
        group = groups.group()
        assert 0 <= group.bid <= PRICE_LIMIT >= group.ask >= 0
        assert 0 <= group.bid_quantity <= 3 * QUANTITY_LIMIT >= group.ask_quantity >= 0
        assert (group.bid > 0) == (group.bid_venue < 3)


def test_groups_that_make_no_sense_are_refused():
    for wrong, words in (
        (Group([], 1, 0), "0 venues"),
        (Group([(0, "A")] * (VENUES_MAX + 1), 1, 0), "16 venues"),
        (Group([(0, "A" * 25)], 1, 0), "24 bytes"),
        (Group([(0, "A")], 0, 0), "price scale 0"),
        (Group([(0, "A")], 1, 18), "lot decimals 18"),
    ):
        block = Block(consolidated.bytes_needed(1, 1))
        with pytest.raises(ValueError, match=words):
            consolidated.create(block.address, [wrong], 1)


sets = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(1, 30), st.integers(0, 9)),
    max_size=80,
)


@settings(max_examples=EXAMPLES)
@given(sets, st.integers(0, 7))
def test_levels_are_merged(stream, counting):
    groups, books = Groups(units=[(1, 0), (10_000, 2), (1, 0)]), Books(Limits(300, 200, 8))
    levels = [[{}, {}] for _ in range(3)]
    for place, side, price, quantity in stream:
        scale, lots = (10_000, 100) if place == 1 else (1, 1)
        shown = Message(Event.SET, 2 + place, 0, 0, side, price * scale, quantity * lots)
        assert books.apply(shown) == 0
        levels[place][side].pop(price, None)
        if quantity:
            levels[place][side][price] = quantity
    for place in range(3):
        groups.top(place, 0, 0, 0, 0, tags=FRESH if counting >> place & 1 else OUT)
    for side in (Side.BID, Side.ASK):
        counted = [levels[place][side] if counting >> place & 1 else {} for place in range(3)]
        merged = naive.merge(counted, side == Side.BID)
        wanted = [(price * 10_000, quantity * 100, mask) for price, quantity, mask in merged]
        assert groups.levels(books, int(side)) == wanted


CAPTURES = {
    "crypto/binance_spot__btcusdt_20240808.gz": (2, 5),
    "crypto/binance_usdm__btcusdt_20240808.gz": (1, 3),
}


MINUTE_NS = 60_000_000_000
BEGIN_NS = 1_723_161_255_030_314_667  # when the later of the two captures starts


def captured(name, place, decimals, until_ns):
    """(arrival, place, best prices) of a capture, up to a time."""
    price_decimals, lot_decimals = decimals
    with gzip.open(data_file(name), "rt") as lines:
        for line in lines:
            if "@bookTicker" in line[:60]:
                arrived_ns, _, text = line.partition(" ")
                if int(arrived_ns) > until_ns:
                    return
                data = json.loads(text)["data"]
                units = (10**price_decimals, 10**lot_decimals) * 2
                numbers = (data[key] for key in "bBaA")
                quote = [int(Fraction(n) * u) for n, u in zip(numbers, units, strict=True)]
                yield int(arrived_ns), place, Quote(*quote)


def test_bitcoin_on_two_venues():
    until_ns = BEGIN_NS + (MINUTE_NS if compiled() else MINUTE_NS // 4)
    tops = [
        top
        for place, (name, decimals) in enumerate(CAPTURES.items())
        for top in captured(name, place, decimals, until_ns)
    ]
    tops.sort()
    units = [(10**price, lot) for price, lot in CAPTURES.values()]
    btc = Group([(0, "BTCUSDT"), (1, "BTCUSDT")], 10**8, 8)
    groups, twin = Groups(btc, units=units), naive.Group([naive.Venue(*one) for one in units])
    assert len(tops) > 1_000
    changes, seen = 0, set()
    for number, (_, place, quote) in enumerate(tops):
        stale = number // 300 % 5 == place + 3
        changes += groups.top(place, *quote, tags=OUT if stale else FRESH)
        twin.on_top(place, None if stale else quote)
        bid, ask = groups.best()
        if number % 50 == 0:
            for (price, quantity, venue), side in ((bid, "bid"), (ask, "ask")):
                exact = twin.best(side)
                assert (Fraction(price, 10**8), Fraction(quantity, 10**8)) == exact[:2]
                assert venue == (NONE if exact[2] is None else exact[2])
        seen.add((bid[2], ask[2], int(groups.group().fresh), int(groups.group().state)))
    assert groups.header.refused == 0
    assert changes > len(tops) // 4
    assert {(0, 1, 2, CROSSED), (0, 0, 1, 0), (1, 1, 1, 0)} <= seen  # spot is above the future


def test_every_machine_and_plain_python_give_the_same_bytes():
    groups, changed = Groups(units=[(1, 0)] * 3), 0
    for number in range(3000):
        bid, width = 100 + number * number % 7, number * 31 % 5
        quote = (bid, number % 11, bid + width, number % 13)
        changed += groups.top(number % 3, *quote, tags=OUT if number % 17 == 0 else FRESH)
    assert 1000 < changed < 3000
    assert min(groups.header.crossed, groups.header.locked) > 100
    digest = hashlib.blake2b(groups.words.tobytes(), digest_size=8).hexdigest()
    assert digest == "6f151211497daf89"
