"""Conditions on records against the same comparison made one record at a time."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.selection import SIGNS, Selection, TailRefused, condition
from tests.pipeline.desks import SYMBOLS, open_desk, records
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING, TOP, Event, Side

RINGS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}


@pytest.fixture(scope="module")
def reading():
    with open_desk() as desk:
        yield desk.reading()


def sequences(selected: np.ndarray) -> list[int]:
    return selected["sequence"].tolist()


def book() -> np.ndarray:
    """One record of each kind on the book ring, sequences 1 to 4."""
    parts = [
        records("top", sequence=1, bid=1_000_000, instrument=0),
        records("level", sequence=2, price=1_000_000, quantity=7, instrument=0),
        records("trade", sequence=3, price=10_000, quantity=9, instrument=1),
        records("status", sequence=4, state=2, instrument=1),
    ]
    return np.concatenate([part.view(TOP) for part in parts])


PRICES = some.integers(0, 10**7)


@given(
    prices=some.lists(some.tuples(some.integers(0, 2), PRICES), min_size=1, max_size=20),
    sign=some.sampled_from(sorted(SIGNS)),
    pick=some.integers(0, 19),
    nudge=some.sampled_from(["0", "0.005", "-1"]),
)
def test_prices_compare_in_currency_exactly(reading, prices, sign, pick, nudge):
    instrument, price = prices[pick % len(prices)]
    value = Decimal(price) / SYMBOLS[instrument][1] + Decimal(nudge)
    rows = records("level", len(prices))
    rows["instrument"], rows["price"] = zip(*prices, strict=True)
    found = condition(f"price{sign}{value:f}", {"level": BOOK_RING["level"]}, reading)
    expected = [SIGNS[sign](Decimal(p) / SYMBOLS[i][1], value) for i, p in prices]
    assert found.mask("level", rows, reading).tolist() == expected


@given(
    quantities=some.lists(some.integers(0, 50), min_size=1, max_size=20),
    sign=some.sampled_from(sorted(SIGNS)),
    value=some.decimals(-1, 51, places=1),
)
def test_numbers_compare_as_numbers(reading, quantities, sign, value):
    rows = records("event", len(quantities))
    rows["quantity"] = quantities
    found = condition(f"quantity {sign} {value}", EVENTS_RING, reading)
    assert found.mask("event", rows, reading).tolist() == [
        SIGNS[sign](Decimal(quantity), value) for quantity in quantities
    ]


@pytest.mark.parametrize(
    ("ring", "layout", "text", "fields", "holds"),
    [
        ("events", "event", "raw.price=5853300", {"price": 5_853_300}, True),
        ("events", "event", "price=5853300", {"price": 5_853_300}, False),
        ("events", "event", "side=ask", {"side": Side.ASK}, True),
        ("events", "event", "side!=1", {"side": Side.ASK}, False),
        ("events", "event", "kind=replace", {"kind": Event.REPLACE}, True),
        ("events", "event", "kind=11", {"kind": Event.DIRECTORY}, True),
        ("events", "event", "symbol=MSFT", {"instrument": 1}, True),
        ("events", "event", "symbol!=MSFT", {"instrument": 1}, False),
        ("events", "event", "time>=9:30", {"time_ns": 34_200 * 10**9 - 1}, False),
        ("events", "event", "time>=09:30:00", {"time_ns": 34_200 * 10**9}, True),
        ("events", "event", "time<9:30:00.5", {"time_ns": 34_200 * 10**9 + 499_999_999}, True),
        ("events", "event", "time=0:00", {"time_ns": 3 * 86_400 * 10**9}, True),
        ("events", "event", "order_id>1,000", {"order": 1001}, True),
        ("book", "status", "state=halted", {"state": 2}, True),
        ("book", "top", "bid_quantity>2.5", {"bid_quantity": 3}, True),
        ("book", "top", "bid_quantity=0.5", {"bid_quantity": 5 * 10**7, "instrument": 5}, True),
        ("book", "level", "quantity>0.5", {"quantity": 5 * 10**7, "instrument": 5}, False),
        ("book", "consolidated", "symbol=BTC", {"instrument": 2}, True),
        ("book", "consolidated", "bid_quantity<1", {"bid_quantity": 1, "instrument": 2}, True),
        ("book", "consolidated", "quality=crossed", {"state": 32 + 2}, True),
        ("book", "consolidated", "quality!=ok", {"state": 2}, False),
        ("book", "consolidated", "venues=2", {"state": 32 + 2}, True),
        ("book", "consolidated", "bid_venue=3", {"venues": 0x3F}, True),
        ("book", "consolidated", "ask_venue=15", {"venues": 0x3F}, True),
        ("book", "quote", "mid=1.5", {"mid": 30_000}, True),
        ("book", "flow", "volume>=2", {"volume": 2 * 10**8, "instrument": 5}, True),
        ("risk", "risk", "portfolio=growth", {"portfolio": 0}, True),
        ("risk", "risk", "portfolio=1", {"portfolio": 0}, False),
        ("risk", "risk", "value>=12.5", {"value": 125_000}, True),
        ("risk", "risk", "pnl<-0.0001", {"pnl": -1}, False),
    ],
)
def test_each_field_compares_as_it_is_shown(reading, ring, layout, text, fields, holds):
    found = condition(text, RINGS[ring], reading)
    assert found.mask(layout, records(layout, **fields), reading).tolist() == [holds]


@pytest.mark.parametrize(
    ("ring", "text", "reasons"),
    [
        ("book", "prise=3", ["no field 'prise'", "did you mean 'price'", "bid_quantity", "raw."]),
        ("book", "raw.prise=3", ["did you mean 'raw.price'"]),
        ("events", "price", ["is no condition", "FIELD=VALUE"]),
        ("events", "price=", ["is no condition"]),
        ("events", "=3", ["is no condition"]),
        ("events", "price=abc", ["'abc' is no number that a price can be"]),
        ("events", "price=nan", ["is no number"]),
        ("events", "quantity<1e400", ["is no number"]),
        ("events", "side=buy", ["there is no side 'buy'", "bid, ask, none"]),
        ("events", "side<ask", ["no order"]),
        ("events", "kind=ad", ["did you mean 'add'"]),
        ("events", "symbol=APPL", ["did you mean 'AAPL'", "AAPL, MSFT"]),
        ("events", "symbol=3", ["there is no symbol '3'"]),
        ("events", "symbol<AAPL", ["no order"]),
        ("events", "time>25h", ["no time of day"]),
        ("risk", "portfolio=other", ["growth"]),
        ("risk", "bid=3", ["no field 'bid'", "var_99"]),
    ],
)
def test_a_condition_without_sense_is_refused_with_what_would_have_some(
    reading, ring, text, reasons
):
    with pytest.raises(TailRefused) as refused:
        condition(text, RINGS[ring], reading)
    assert repr(text) in str(refused.value)
    for reason in reasons:
        assert reason in str(refused.value)


def test_one_kind_of_the_book_ring(reading):
    wanted = Selection(BOOK_RING, reading, "trade")
    assert sequences(wanted.of(book())) == [3]
    ((layout, rows),) = wanted.split(wanted.of(book()))
    assert (layout, rows["quantity"].tolist()) == ("trade", [9])


def test_one_kind_of_event(reading):
    rows = records("event", 3, kind=Event.ADD)
    rows["kind"][1], rows["sequence"] = Event.CANCEL, (1, 2, 3)
    assert sequences(Selection(EVENTS_RING, reading, "cancel").of(rows)) == [2]
    assert sequences(Selection(EVENTS_RING, reading, "event").of(rows)) == [1, 2, 3]


def test_a_field_that_only_some_kinds_have_selects_among_those(reading):
    assert sequences(Selection(BOOK_RING, reading, conditions=["price=100"]).of(book())) == [2, 3]
    assert sequences(Selection(BOOK_RING, reading, conditions=["quantity>8"]).of(book())) == [3]


def test_symbols_add_up_and_conditions_narrow(reading):
    both = Selection(BOOK_RING, reading, symbols=["AAPL", "MSFT"])
    assert sequences(both.of(book())) == [1, 2, 3, 4]
    one = Selection(BOOK_RING, reading, symbols=["MSFT"], conditions=["price>0", "quantity=9"])
    assert sequences(one.of(book())) == [3]


def test_without_options_everything_is_wanted_as_it_is(reading):
    wanted, rows = Selection(BOOK_RING, reading), book()
    assert wanted.takes_all
    assert wanted.of(rows) is rows
    assert [len(part) for _, part in wanted.split(rows) if len(part)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("ring", "kind", "reason"),
    [
        ("book", "tops", "did you mean 'top'"),
        ("events", "trades", "did you mean 'trade'"),
        ("risk", "top", "there is risk"),
    ],
)
def test_a_kind_that_the_ring_does_not_carry_is_refused(reading, ring, kind, reason):
    with pytest.raises(TailRefused, match=reason):
        Selection(RINGS[ring], reading, kind)


def test_a_symbol_that_nobody_announced_is_refused(reading):
    with pytest.raises(TailRefused, match="there is no symbol 'IBM'"):
        Selection(BOOK_RING, reading, symbols=["IBM"])
