"""How records read as lines of a table and as JSON objects."""

import json

import pytest

from pipeline.listing import JsonLines, Table, money, printable, quantity
from tests.pipeline.desks import BITCOIN, LAYOUTS, open_desk, records
from workers.records import (
    BOOK_RING,
    EVENTS_RING,
    RISK_RING,
    Checksum,
    Doubt,
    Event,
    Flag,
    Kept,
    Mark,
    Side,
    State,
)

NOON = 12 * 3600 * 10**9 + 34_000_000_056


@pytest.fixture(scope="module")
def reading():
    with open_desk() as desk:
        yield desk.reading()


def only(layout: str) -> dict:
    """The layouts of a ring when one kind is asked for."""
    return {layout: {**EVENTS_RING, **BOOK_RING, **RISK_RING}[layout]}


def table(reading, layout: str, **values) -> list[str]:
    """Header and line of one record."""
    return list(Table(only(layout), reading).of([(layout, records(layout, **values))]))


def shown(reading, layout: str, **values) -> dict[str, str]:
    """The cells of one record that need no blanks, by header."""
    header, line = table(reading, layout, **values)
    for words in ("bid qty", "ask qty", "order id"):
        header = header.replace(words, words.replace(" ", "_"))
    return dict(zip(header.split(), line.split(), strict=False))


def test_a_top_reads_as_a_line_under_its_header(reading):
    lines = table(
        reading, "top", sequence=7, time_ns=NOON, bid=5_853_300, ask=5_859_100, bid_quantity=1200,
        ask_quantity=5, state=State.TRADING, cause=9,
    )  # fmt: skip
    header, line = lines
    names = "sequence time symbol bid qty bid ask ask qty state cause"
    cells = "7 12:00:34.000000056 AAPL 1,200 585.3300 585.9100 5 trading 9"
    assert (" ".join(header.split()), " ".join(line.split())) == (names, cells)
    for name in ("sequence", "bid qty", "ask", "cause"):  # numbers end below their names
        assert line[header.index(name) + len(name) - 1].isdigit(), name
    for name in ("time", "symbol", "state"):  # words begin below theirs
        assert line[header.index(name) - 1 :][:1] == " ", name


def test_prices_show_all_digits_of_their_own_scale(reading):
    assert shown(reading, "trade", price=12_345, instrument=1, sequence=1)["price"] == "123.45"
    assert shown(reading, "trade", price=12_345, instrument=0, sequence=1)["price"] == "1.2345"
    assert [money(5, 1), money(1_234_567, 10_000), money(0, 100)] == ["5", "123.4567", "-"]


def test_an_empty_side_is_a_dash_and_null(reading):
    assert shown(reading, "top", sequence=1, ask=100)["bid"] == "-"
    assert of_json(reading, "top", sequence=1, ask=100)["bid"] is None


def test_a_symbol_cannot_steer_the_terminal(reading):
    line = table(reading, "level", instrument=2, sequence=1)[1]
    assert "\x1b" not in line
    assert printable("a\x1b[2Jé\n") == "a?[2Jé?"


def test_an_instrument_that_nobody_announced_is_named_by_its_number(reading):
    assert shown(reading, "level", instrument=6, sequence=1)["symbol"] == "#6"


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"kind": Event.REPLACE, "other": 77}, "→ 77"),
        ({"kind": Event.EXECUTE, "other": 8, "flags": Flag.UNPRINTED}, "match 8 unprinted"),
        ({"kind": Event.ADD, "flags": Flag.INFERRED}, "inferred"),
        ({"kind": Event.STATUS, "flags": State.HALTED}, "halted"),
        ({"kind": Event.STATUS, "flags": State.HALTED | Mark.BARRED}, "halted barred"),
        ({"kind": Event.STATUS, "flags": 7}, "7"),
        ({"kind": Event.STALE, "flags": Doubt.NO_SNAPSHOT}, "no snapshot"),
        ({"kind": Event.STALE, "flags": 99}, "99"),
        ({"kind": Event.CHECK, "flags": Checksum.OKX}, "okx"),
        ({"kind": Event.SYSTEM, "flags": ord("Q")}, "code Q"),
        ({"kind": Event.SYSTEM, "flags": 7}, "code 7"),
        ({"kind": Event.DELETE}, ""),
    ],
)
def test_the_note_of_an_event_says_what_its_fields_mean(reading, fields, note):
    header, line = table(reading, "event", sequence=1, **fields)
    assert line[header.index("note") :] == note


def of_json(reading, layout: str, **values) -> dict:
    ring = {"event": "events", "risk": "risk"}.get(layout, "book")
    (line,) = JsonLines(ring, only(layout), reading).of([(layout, records(layout, **values))])
    return json.loads(line)


def test_an_event_as_json(reading):
    found = of_json(
        reading, "event", sequence=3, kind=Event.ADD, time_ns=NOON, side=Side.ASK, price=1_000_001,
        quantity=5, order=11, source=2,
    )  # fmt: skip
    assert found == {
        "kind": "add", "ring": "events", "sequence": 3, "time": "1970-01-01T12:00:34.000000056Z",
        "symbol": "AAPL", "side": "ask", "price": 100.0001, "quantity": 5, "order_id": 11,
        "other_id": 0, "source": 2, "flags": 0, "arrived": "1970-01-01T00:00:00.000000000Z",
    }  # fmt: skip


def test_risk_is_in_currency_and_names_its_portfolio(reading):
    values = {"sequence": 1, "value": 1_234_567_890, "var_99": -5_000}
    assert of_json(reading, "risk", **values)["value"] == 123_456.789
    assert of_json(reading, "risk", **values)["var_99"] == -0.5
    assert shown(reading, "risk", **values)["portfolio"] == "growth"
    assert shown(reading, "risk", **values)["value"] == "123,456.79"


def test_records_of_several_kinds_share_a_table_in_the_order_of_the_ring(reading):
    parts = [
        ("top", records("top", sequence=2, bid=100, bid_quantity=3, instrument=1)),
        ("level", records("level", sequence=4, price=100, quantity=3, orders=2, instrument=1)),
        ("depth", records("depth", sequence=5, price=100, quantity=3, orders=2, following=7)),
        ("trade", records("trade", sequence=1, price=100, quantity=3, side=1, instrument=1)),
        ("status", records("status", sequence=3, state=State.HALTED, instrument=1)),
    ]
    header, *lines = Table(BOOK_RING, reading).of(parts)
    assert header.split() == ["sequence", "time", "symbol", "kind", "what"]
    assert [line.split(maxsplit=4)[3:] for line in lines] == [
        ["trade", "ask 3 at 1.00"],
        ["top", "3 at 1.00 | - at -"],
        ["status", "halted, - | -"],
        ["level", "bid 1.00: 3 in 2 orders"],
        ["depth", "bid 0.0100: 3 in 2 orders, 7 follow"],
    ]


def test_executions_and_what_they_make_of_positions(reading):
    values = {"order": 7, "price": 100, "quantity": 3, "account": 2, "state": 2, "instrument": 1}
    found = of_json(reading, "execution", sequence=1, **values)
    told = {"order_id": 7, "account": 2, "price": 1.0, "quantity": 3, "liquidity": "taker"}
    assert told.items() <= found.items()
    money = {"cost": 66_000, "realised": -5_000, "amount": 20_000}
    found = of_json(reading, "position", sequence=1, kind=Kept.POSITION, quantity=-3, **money)
    told = {"portfolio": 0, "quantity": -3, "cost": 6.6, "realised": -0.5, "amount": 2.0}
    assert told.items() <= found.items()
    values = {"sequence": 2, "kind": Kept.POSITION, "quantity": -3, **money}
    parts = [("position", records("position", **values)), ("risk", records("risk", sequence=1))]
    lines = [*Table(RISK_RING, reading).of(parts)]
    assert lines[2].endswith("holds -3 that cost 6.60, -0.50 realised")


def test_the_header_comes_once_and_columns_grow_but_never_shrink(reading):
    made = Table(only("level"), reading)
    first = list(made.of([("level", records("level", sequence=1, quantity=1))]))
    wide = list(made.of([("level", records("level", sequence=2, quantity=123_456_789_012))]))
    after = list(made.of([("level", records("level", sequence=3, quantity=1))]))
    assert [len(first), len(wide), len(after)] == [2, 1, 1]
    assert len(wide[0]) == len(after[0]) > len(first[1])


def test_quantities_are_in_units(reading):
    bitcoin = {"instrument": BITCOIN, "sequence": 1}
    level = {"price": 6_000_000, "quantity": 12_300_000_000, "orders": 2, **bitcoin}
    assert shown(reading, "level", **level)["quantity"] == "123"
    assert of_json(reading, "level", **level)["quantity"] == 123.0
    assert shown(reading, "top", bid=1, bid_quantity=1, **bitcoin)["bid_qty"] == "0.00000001"
    found = of_json(reading, "event", kind=Event.ADD, quantity=5 * 10**7, **bitcoin)
    assert found["quantity"] == 0.5
    found = of_json(reading, "event", kind=Event.DIRECTORY, quantity=100, **bitcoin)
    assert found["quantity"] == 100  # price units in one of currency
    assert isinstance(of_json(reading, "level", quantity=5, sequence=1)["quantity"], int)
    texts = [quantity(*pair) for pair in ((0, 100), (-150, 100), (123_456, 1), (10**13, 10**8))]
    assert texts == ["-", "-1.5", "123,456", "100,000"]


def test_what_is_said_beside_the_books(reading):
    at_msft = {"instrument": 1, "sequence": 1}
    quote = {"mid": 20_001, "spread": 3, "microprice": 10_001.0, "imbalance": 0.5, **at_msft}
    found = shown(reading, "quote", **quote)
    assert [found[name] for name in ("mid", "spread", "microprice", "imbalance")] == [
        "100.005", "0.03", "100.01", "0.5"
    ]  # fmt: skip
    found = of_json(reading, "quote", **quote)
    assert (found["mid"], found["spread"], found["imbalance"]) == (100.005, 0.03, 0.5)
    assert of_json(reading, "quote", **at_msft)["mid"] is None
    found = of_json(reading, "flow", vwap=12_345.0, volume=9, trades=2, volatility=1e-5, **at_msft)
    assert (found["vwap"], found["volume"], found["volatility"]) == (123.45, 9, 1e-5)
    found = shown(reading, "bar", open=100, high=300, low=50, close=200, series=2, **at_msft)
    assert [found[name] for name in ("series", "open", "high", "low", "close")] == [
        "2", "1.00", "3.00", "0.50", "2.00"
    ]  # fmt: skip
    found = of_json(reading, "bar_flow", start_ns=NOON, vwap=100.0, volume=3, trades=1, **at_msft)
    assert (found["start"][11:19], found["vwap"], found["volume"]) == ("12:00:34", 1.0, 3)


def test_the_best_over_venues_is_in_the_units_of_its_group(reading):
    best = {"bid": 601_234_500, "bid_quantity": 150_000_000, "venues": 0x0F, "state": 0x21}
    found = of_json(reading, "consolidated", instrument=2, sequence=1, **best)
    assert [found[name] for name in ("symbol", "bid", "bid_quantity", "ask")] == [
        "BTC", 60_123.45, 1.5, None
    ]  # fmt: skip
    assert [found[name] for name in ("bid_venue", "ask_venue", "venues", "quality")] == [
        0, None, 1, "crossed"
    ]  # fmt: skip
    line = table(reading, "consolidated", instrument=BITCOIN, sequence=1, **best)[1].split()
    assert line[2:] == ["BTC", "1.5", "60,123.4500", "-", "-", "0", "-", "crossed"]
    found = of_json(reading, "consolidated", instrument=0, sequence=1, bid=10_000)
    assert (found["symbol"], found["bid"]) == ("AAPL", 1.0)  # in no group


def test_every_kind_has_its_gist(reading):
    parts = [(name, records(name, sequence=n)) for n, name in enumerate(BOOK_RING)]
    _, *lines = Table(BOOK_RING, reading).of(parts)
    assert [line.split()[3] for line in lines] == [*BOOK_RING]


def test_no_records_print_no_header(reading):
    assert list(Table(only("level"), reading).of([("level", records("level", 0))])) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lines_of_a_usual_day_fit_into_100_columns(reading, layout):
    wide = {"sequence": 99_999_999, "quantity": 100_000, "bid_quantity": 100_000, "cause": 10**7}
    wide |= {"ask_quantity": 100_000, "price": 9_999_900, "bid": 9_999_900, "ask": 9_999_900}
    wide |= {
        "order": 10**8,
        "other": 10**6,
        "match": 10**8,
        "value": 9_999_999_900,
        "pnl": -(10**9),
    }
    values = {name: value for name, value in wide.items() if name in LAYOUTS[layout].names}
    if layout == "event":
        values["kind"] = Event.REPLACE
    assert max(map(len, table(reading, layout, **values))) <= 100
