"""Lines of orders: what each becomes, and that a bad one is counted, told, and costs no other."""

import gzip
import json
import lzma

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.data import ROOT
from tests.workers.exchanges import balanced
from workers.feeds import lines, order_lines
from workers.feeds.feed import FeedError
from workers.feeds.order_lines import OrdersFeed, OrdersOptions
from workers.instruments import announced
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.orders import REQUEUE, STP_BITS, Condition, OrderFlag, Stp, Tif
from workers.records import (
    EVENT,
    LOT_DECIMALS,
    MATCHED,
    NAMED,
    Event,
    Side,
    State,
    Telling,
    empty,
)

LIST = '{"do": "list", "symbol": "ACME"}'
BUY = {"do": "order", "symbol": "ACME", "id": 1, "account": 0, "side": "buy", "quantity": 100}
FIELDS = ("kind", "order", "other", "price", "quantity", "side", "flags")
SEVERAL = 256


def line(base=BUY, **fields) -> str:
    """An order's line, with these fields other than usual; None: left out."""
    merged = base | fields
    return json.dumps({name: value for name, value in merged.items() if value is not None})


class Read:
    """What a feed makes of a file."""

    def __init__(self, path, limit: int = SEVERAL) -> None:
        counters, buffer = empty(FEED_COUNTERS, 1), empty(EVENT, SEVERAL)
        feed, parts = OrdersFeed(OrdersOptions(path=str(path)), counters.ctypes.data), []
        feed.portfolios = {"firm": 0, "desk": 1}
        feed.open()
        while not feed.finished:
            count = feed.fill(buffer.ctypes.data, limit)
            assert count <= limit
            parts.append(buffer[:count].copy())
            assert balanced(counters[0])
        assert counters["events"][0] == sum(map(len, parts))
        self.events = np.concatenate(parts)
        self.trouble, self.progress = feed.trouble, feed.progress()
        feed.close()
        feed.close()
        self.counters = counters[0]

    def rows(self, *names: str) -> list[tuple]:
        """Some fields of all events."""
        return list(zip(*(self.events[name].tolist() for name in names), strict=True))

    def count(self, name: str) -> int:
        return int(self.counters[name])


@pytest.fixture
def read(tmp_path):
    def read_(*texts: str | bytes, limit: int = SEVERAL) -> Read:
        data = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)
        (tmp_path / "orders.jsonl").write_bytes(data)
        return Read(tmp_path / "orders.jsonl", limit)

    return read_


def test_an_instrument_is_listed_with_its_units_and_terms(read):
    found = read(
        '{"do": "list", "symbol": "ACME", "price_decimals": 3, "lot_decimals": 2, "tick": 0.005,'
        ' "lot": 0.10, "price": "10.25"}',
        '{"do": "list", "symbol": "PLAIN"}',
    )
    first, terms, second = found.events
    assert (first["kind"], first["instrument"], announced(first)) == (Event.DIRECTORY, 0, "ACME")
    assert (first["quantity"], first["flags"]) == (1000, 2 << LOT_DECIMALS | MATCHED)
    assert (terms["kind"], terms["order"], terms["other"]) == (Event.TERMS, 5, 10)
    assert (terms["price"], terms["side"]) == (10_250, Side.NONE)
    assert (second["instrument"], announced(second), second["quantity"]) == (1, "PLAIN", 100)
    assert (found.count("announced"), found.count("messages"), found.trouble) == (2, 1, "")
    assert found.progress == 1


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("trading", State.TRADING),
        ("halted", State.HALTED),
        ("auction", State.QUOTING),
        ("paused", State.PAUSED),
    ],
)
def test_states(read, word, state):
    found = read(LIST, line({"do": "state", "symbol": "ACME", "state": word}))
    assert found.rows("kind", "flags", "instrument")[1] == (Event.STATUS, state, 0)


@pytest.mark.parametrize(
    ("fields", "price", "flags"),
    [
        ({}, 0, OrderFlag.MARKET),
        ({"price": 9.99}, 999, 0),
        ({"price": "9.9900"}, 999, 0),
        ({"price": 1e1, "tif": "gtc"}, 1000, 0),
        ({"price": 9.99, "tif": "day"}, 999, Tif.DAY),
        ({"price": 9.99, "tif": "ioc"}, 999, Tif.IOC),
        ({"tif": "fok"}, 0, OrderFlag.MARKET | Tif.FOK),
        ({"price": 9.99, "post_only": True}, 999, OrderFlag.POST_ONLY),
        ({"price": 9.99, "stp": "newest"}, 999, Stp.NEWEST << STP_BITS),
        ({"price": 9.99, "stp": "oldest"}, 999, Stp.OLDEST << STP_BITS),
        ({"price": 9.99, "stp": "both"}, 999, Stp.BOTH << STP_BITS),
        ({"price": 9.99, "stp": "decrement", "tif": "ioc"}, 999, Stp.DECREMENT << STP_BITS | 2),
    ],
)
def test_orders(read, fields, price, flags):
    found = read(LIST, line(**fields))
    assert found.rows(*FIELDS)[1] == (Event.ORDER, 1, 0, price, 100, Side.BID, flags)
    assert (len(found.events), found.trouble) == (2, "")


@pytest.mark.parametrize(
    ("fields", "condition", "flags"),
    [
        ({"stop": 9.50}, (0, 950, 0, 0), OrderFlag.MARKET),
        ({"stop": 9.50, "price": 9.0}, (0, 950, 0, 0), 0),
        ({"price": 9.0, "show": 10}, (0, 0, 10, 0), 0),
        ({"price": 9.0, "peg": True}, (0, 0, 0, Condition.PEG), 0),
        ({"peg": True}, (0, 0, 0, Condition.PEG), 0),
        ({"price": 9.0, "tif": "gtd", "until": 77}, (77, 0, 0, 0), Tif.GTD),
        ({"price": 9.0, "tif": "gtd", "until": 77, "show": 5, "stop": 1}, (77, 100, 5, 0), Tif.GTD),
    ],
)
def test_more_about_an_order_goes_before_it(read, fields, condition, flags):
    found = read(LIST, line(side="sell", account=3, **fields))
    _, more, order = found.rows(*FIELDS)
    other, stop, shown, bits = condition
    assert more == (Event.CONDITION, 1, other, stop, shown, Side.NONE, bits)
    price = 900 if "price" in fields else 0
    assert order == (Event.ORDER, 1, 3, price, 100, Side.ASK, flags)
    assert (found.count("messages"), found.count("further")) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"do": "cancel", "symbol": "ACME", "id": 7, "account": 2},
         (Event.CANCEL_ORDER, 7, 2, 0, 0, Side.NONE, 0, 0)),
        ({"do": "replace", "symbol": "ACME", "id": 7, "account": 2, "quantity": 5, "price": 1.5},
         (Event.REPLACE_ORDER, 7, 2, 150, 5, Side.NONE, 0, 0)),
        ({"do": "replace", "symbol": "ACME", "id": 7, "account": 2, "quantity": 5, "price": 1.5,
          "requeue": True}, (Event.REPLACE_ORDER, 7, 2, 150, 5, Side.NONE, REQUEUE, 0)),
        ({"do": "cancel_all"}, (Event.CANCEL_ALL, 0, -1, 0, 0, Side.NONE, 0, -1)),
        ({"do": "cancel_all", "account": 4, "symbol": "ACME", "side": "sell"},
         (Event.CANCEL_ALL, 0, 4, 0, 0, Side.ASK, 0, 0)),
        ({"do": "switch", "off": True}, (Event.SWITCH, 0, -1, 0, 0, Side.NONE, 1, -1)),
        ({"do": "switch", "off": False, "account": 9},
         (Event.SWITCH, 0, 9, 0, 0, Side.NONE, 0, -1)),
    ],
)  # fmt: skip
def test_other_wishes(read, fields, wanted):
    found = read(LIST, json.dumps(fields))
    assert found.rows(*FIELDS, "instrument")[1] == wanted


def test_numbers_are_taken_to_the_ends_of_their_ranges(read):
    largest = {"quantity": 1 << 56, "id": -(1 << 63), "account": (1 << 31) - 1}
    found = read(LIST, line(**largest), line(id=(1 << 63) - 1, quantity=0))
    ids = found.rows("order", "quantity", "other")[1:]
    assert ids == [(-(1 << 63), 1 << 56, (1 << 31) - 1), ((1 << 63) - 1, 0, 0)]
    exact = '{"do":"order","symbol":"ACME","id":1,"account":0,"side":"buy","quantity":%s}'
    assert read(LIST, exact % ("1." + 99 * "0")).rows("quantity")[1] == (1,)


BAD = {
    "price off scale": (line(price=9.999), "price = 9.999 is no whole number of 1/100"),
    "quantity off scale": (line(quantity=0.5), "quantity = 0.5 is no whole number of 1/1"),
    "just off scale": (
        line().replace("100}", "1." + 40 * "0" + "1}"), "is no whole number of 1/1"),
    "stop off scale": (line(stop=0.001), "stop = 0.001 is no whole number"),
    "shown off scale": (line(show=1.5), "show = 1.5 is no whole number"),
    "negative price": (line(price=-1), "price = -1 is no whole number of 1/100, from 0 to"),
    "negative quantity": (line(quantity=-5), "quantity = -5 is no whole number"),
    "too much": (line(quantity=(1 << 56) + 1), "is no whole number of 1/1, from 0 to"),
    "far too much": (line(quantity="1e400"), "quantity = 1E+400 is out of range"),
    "no number": (line(quantity="NaN"), "quantity = NaN is out of range"),
    "endless": (line(price="Infinity"), "price = Infinity is out of range"),
    "a word": (line(quantity="many"), "Invalid decimal string - at `$.quantity`"),
    "true": (line(quantity=True), "Expected `decimal`, got `bool`"),
    "unlisted": (line(symbol="ZZZ"), "symbol 'ZZZ' is not listed; put a line with do = list"),
    "unlisted state": (
        '{"do": "state", "symbol": "Z", "state": "halted"}', "symbol 'Z' is not listed"),
    "unlisted cancel": (
        '{"do": "cancel", "symbol": "Z", "id": 1, "account": 0}', "symbol 'Z' is not listed"),
    "unlisted cancels": ('{"do": "cancel_all", "symbol": "Z"}', "symbol 'Z' is not listed"),
    "listed twice": (LIST, "symbol 'ACME' is listed already"),
    "long symbol": (line({"do": "list"}, symbol=25 * "A"), "Expected `str` of length <= 24"),
    "no symbol": (line({"do": "list"}, symbol=""), "Expected `str` of length >= 1"),
    "blank in a symbol": (line({"do": "list"}, symbol="A B"), "matching regex"),
    "line feed in a symbol": (line({"do": "list"}, symbol="AB\n"), "matching regex"),
    "foreign letters": (line({"do": "list"}, symbol="Ä"), "matching regex"),
    "many decimals": (line({"do": "list"}, symbol="X", price_decimals=16), "`int` <= 15"),
    "tick off scale": (line({"do": "list"}, symbol="X", tick=0.001), "tick = 0.001 is no whole"),
    "lot off scale": (line({"do": "list"}, symbol="X", lot=0.1), "lot = 0.1 is no whole number"),
    "gtd without until": (line(price=1, tif="gtd"), "tif = gtd needs until, and nothing else"),
    "until without gtd": (line(price=1, until=5), "tif = gtd needs until, and nothing else has"),
    "late until": (line(price=1, tif="gtd", until=(1 << 62) + 1), "Expected `int` <= 4611686"),
    "unknown key": (line(prize=1), "Object contains unknown field `prize`"),
    "missing key": (line(account=None), "Object missing required field `account`"),
    "unknown do": ('{"do": "dance"}', "Invalid value 'dance' - at `$.do`"),
    "nothing to do": ("{}", "Object missing required field `do`"),
    "unknown side": (line(side="short"), "Invalid enum value 'short' - at `$.side`"),
    "unknown tif": (line(tif="gfd"), "Invalid enum value 'gfd' - at `$.tif`"),
    "unknown stp": (line(stp="all"), "Invalid enum value 'all' - at `$.stp`"),
    "unknown state": ('{"do": "state", "symbol": "ACME", "state": "open"}', "value 'open'"),
    "large id": (line(id=1 << 63), "Expected `int` <= 9223372036854775807 - at `$.id`"),
    "negative account": (line(account=-1), "Expected `int` >= 0 - at `$.account`"),
    "large account": (line(account=1 << 31), "Expected `int` <= 2147483647 - at `$.account`"),
    "id of a word": (line(id="7"), "Expected `int`, got `str` - at `$.id`"),
    "switch without off": ('{"do": "switch"}', "missing required field `off`"),
}  # fmt: skip
BROKEN = {
    "cut off": (line()[:-1], "Input data was truncated"),
    "no JSON": ("nonsense", "neither a JSON object nor one behind a time"),
    "an array": ("[1, 2]", "neither a JSON object nor one behind a time"),
    "late time": ("9999999999 " + line(), "neither a JSON object nor one behind a time"),
    "an odd time": ("12345 " + line(), "neither a JSON object nor one behind a time"),
    "a remark": ("remark: " + line(), "neither a JSON object nor one behind a time"),
    "a connection": ("wss://x <-> 1618678132.5", "neither a JSON object nor one"),
    "a time alone": ("1723161253937085768", "neither a JSON object nor one behind a time"),
    "more behind it": (line() + "}", "JSON is malformed: trailing characters"),
    "no text": (b'{"do": "list", "symbol": "\xff"}', "invalid start byte"),
    "zero byte": (b"{\x00}", "JSON is malformed"),
    "deep": ('{"a": ' + 5000 * "[", "recursion"),
}


@pytest.mark.parametrize("name", [*BAD, *BROKEN])
def test_a_bad_line_is_counted_and_told_and_costs_no_other(read, name):
    text, why = (BAD | BROKEN)[name]
    good = line(id=2, price=9.99)
    found = read(LIST, text, good)
    assert found.rows(*FIELDS)[1:] == [(Event.ORDER, 2, 0, 999, 100, Side.BID, 0)]
    assert "/orders.jsonl: message 2: " in found.trouble
    assert why in found.trouble
    assert found.trouble.endswith("; the line is left out")
    assert found.trouble.isprintable()
    counted = (found.count("bad_values"), found.count("bad_frames"))
    assert counted == ((1, 0) if name in BAD else (0, 1))
    skipped = 0 if name in BAD or name == "a time alone" else len(text)
    assert found.count("skipped_bytes") == skipped


def test_many_bad_lines_are_one_trouble(read):
    found = read(LIST, *(["nonsense"] * 3), line(id=4), line(quantity=-1))
    assert found.trouble.endswith("the line is left out, like 3 more")
    assert (found.count("bad_frames"), found.count("bad_values")) == (3, 1)
    assert found.rows("order")[1:] == [(4,)]


def test_what_is_told_is_short_and_disturbs_no_terminal(read):
    found = read('{"\x1b[31m' + 500 * "x" + '": 1}'.replace("\x1b", "\\u001b"))
    assert found.trouble.isprintable()
    found = read(line(**{"\x1b[31m" + 500 * "x": 1}))
    assert found.trouble.isprintable()
    assert len(found.trouble.split("message 1: ")[1]) < 200


def test_a_bad_line_leaves_no_trace_in_the_time(read):
    found = read(
        "1700000000 " + LIST,
        "1800000000 " + line(quantity=-1),
        "1800000000 {",
        line(id=1),
        "1700000001 " + line(id=2, stop=1),
        "1600000000 " + line(id=3),
        line(id=4),
    )
    seconds = [time // 10**9 for (time,) in found.rows("time_ns")]
    assert seconds == [1_700_000_000] * 2 + [1_700_000_001] * 4


def test_a_line_that_failed_to_list_lists_nothing(read):
    found = read(line({"do": "list"}, symbol="ACME", tick=0.001), line(), LIST, line(id=2))
    assert found.rows("kind", "order")[1:] == [(Event.ORDER, 2)]
    assert found.count("bad_values") == 2


def test_lines_of_other_systems_and_empty_ones(read):
    found = read(LIST + "\r", "", "   ", "\r", "  " + line() + "  \r", "1700000000   " + line(id=2))
    assert found.rows("order")[1:] == [(1,), (2,)]
    assert found.trouble == ""


def test_the_lines_of_the_documentation(read):
    text = (ROOT / "docs" / "matching.md").read_text()
    lines_ = text.split("```json\n")[1].split("```")[0].splitlines()
    found = read(*lines_)
    assert found.trouble == ""
    assert {json.loads(one[one.index("{") :])["do"] for one in lines_} == {
        "list", "state", "order", "replace", "cancel", "cancel_all", "switch", "position", "trade",
    }  # fmt: skip


HOLD = {"do": "position", "portfolio": "desk", "symbol": "AAPL", "quantity": 100, "price": 9.99}


def test_what_a_portfolio_holds_or_traded_elsewhere(read):
    found = read(
        LIST,
        line(HOLD),
        line(HOLD, do="trade", quantity=-40, price="10.12345678"),
        line(HOLD, portfolio="firm", symbol="ACME", quantity=0),
        line(HOLD, do="trade", symbol="ACME", quantity=7),
    )
    _, named, *told = found.events
    assert (named["kind"], named["flags"], announced(named)) == (Event.DIRECTORY, NAMED, "AAPL")
    assert (named["instrument"], named["quantity"]) == (1, 10**8)
    fields = ("kind", "instrument", "order", "price", "quantity", "side", "flags")
    assert [tuple(event[name] for name in fields) for event in told] == [
        (Event.HOLDING, 1, 1, 999_000_000, 100, Side.BID, Telling.POSITION),
        (Event.HOLDING, 1, 1, 1_012_345_678, 40, Side.ASK, Telling.TRADE),
        (Event.HOLDING, 0, 0, 999, 0, Side.BID, Telling.POSITION),
        (Event.HOLDING, 0, 1, 999, 7, Side.BID, Telling.TRADE),
    ]
    assert found.trouble == ""


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"portfolio": "dsk"}, "there is no portfolio 'dsk' that lines may tell of (desk, firm)"),
        ({"do": "trade", "quantity": 0}, "a trade of 0 is none"),
        ({"price": 1e-9}, "price = 1E-9 is no whole number of 1/100000000"),
        ({"price": -1}, "price = -1 is no whole number"),
        ({"quantity": 1.5}, "Expected `int`"),
        ({"symbol": "A B"}, "Expected `str` matching regex"),
        ({"price": None}, "Object missing required field"),
    ],
)
def test_one_line_for_what_cannot_be_held(read, fields, what):
    found = read(line(HOLD, **fields), LIST, line(HOLD, symbol="ACME"))
    assert found.rows("kind")[-2:] == [(Event.DIRECTORY,), (Event.HOLDING,)]
    assert len(found.events) == 2
    assert found.count("bad_values") == 1
    assert f"message 1: {what}" in found.trouble


def test_a_symbol_with_a_position_can_neither_be_listed_nor_traded(read):
    found = read(line(HOLD, symbol="ACME"), LIST, line(), line(HOLD, symbol="ACME"))
    assert found.rows("kind") == [(Event.DIRECTORY,), (Event.HOLDING,), (Event.HOLDING,)]
    assert "message 2: symbol 'ACME' has a position already; list it before that" in found.trouble
    assert found.count("bad_values") == 2


def test_an_empty_file(read):
    found = read("\n")
    assert (len(found.events), found.trouble) == (0, "")


def test_no_file(tmp_path):
    feed = OrdersFeed(
        OrdersOptions(path=str(tmp_path / "none")), empty(FEED_COUNTERS, 1).ctypes.data
    )
    with pytest.raises(FeedError, match="none"):
        feed.open()
    assert (feed.trouble, feed.progress()) == ("", 0.0)
    feed.resync(0)
    feed.close()


def test_there_is_an_end_to_symbols(read, monkeypatch):
    monkeypatch.setattr(order_lines, "CODES", 2)
    found = read(*(line({"do": "list"}, symbol=f"S{number}") for number in range(3)))
    assert found.count("announced") == 2
    assert "message 3: more than 2 symbols" in found.trouble


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_packed_files(tmp_path, suffix, pack):
    texts = [LIST, *(line(id=number, price=1, show=5) for number in range(2000))]
    data = "\n".join(texts).encode()
    (tmp_path / "plain").write_bytes(data)
    (tmp_path / f"packed.{suffix}").write_bytes(pack(data))
    plain, packed = Read(tmp_path / "plain"), Read(tmp_path / f"packed.{suffix}")
    assert len(plain.events) == 4001
    assert packed.events.tobytes() == plain.events.tobytes()
    (tmp_path / f"cut.{suffix}").write_bytes(pack(data)[:-20])
    cut = Read(tmp_path / f"cut.{suffix}")
    assert cut.trouble
    assert cut.count("truncated") == 1
    assert cut.events.tobytes() == plain.events[: len(cut.events)].tobytes()


def test_a_line_without_end_is_left_out(read, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 100)
    monkeypatch.setattr(lines, "LINE_MAX", 1000)
    found = read(LIST, "{" + 5000 * " " + "}", line(id=5))
    assert found.rows("order")[-1] == (5,)
    assert "a line behind message 1 is longer than " in found.trouble
    assert found.count("bad_frames") >= 1


MANY = [LIST, *(line(id=number, price=1, show=5 * (number % 2)) for number in range(40)), "{",
        line({"do": "list"}, symbol="B", tick=1), line(symbol="C"),
        line(symbol="B", stop=1)]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 64])
def test_the_same_comes_in_portions_of_any_size(read, limit, monkeypatch):
    whole = read(*MANY)
    monkeypatch.setattr(order_lines, "LINES_PER_FILL", 5)
    monkeypatch.setattr(lines, "CHUNK", 33)
    pieces = read(*MANY, limit=limit)
    assert pieces.events.tobytes() == whole.events.tobytes()
    assert pieces.counters.tobytes() == whole.counters.tobytes()
    assert pieces.trouble == whole.trouble


numbers = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.none(),
    st.sampled_from(["1.5", "1e400", "nan", "-0", "1e-400", "1_0", "\u0661", 1 << 62, 1e15, 0.01]),
)  # fmt: skip
keys = st.sampled_from(
    ["do", "symbol", "id", "account", "side", "quantity", "price", "tif", "until", "post_only",
     "stop", "show", "peg", "stp", "off", "state", "requeue", "tick", "lot", "lot_decimals"]
)  # fmt: skip
words = st.sampled_from(
    ["list", "state", "order", "cancel", "replace", "cancel_all", "switch", "ACME", "buy", "sell",
     "gtd", "ioc", "trading", "auction", "newest", "A\n", "\ud800", "x" * 30]
)  # fmt: skip
objects = st.dictionaries(keys, st.one_of(numbers, words), max_size=6)
wishes = st.builds(
    lambda base, more: base | more,
    st.sampled_from([BUY, {"do": "list", "symbol": "B"}, {"do": "cancel_all"}]),
    objects,
)
times = st.sampled_from(["", "1700000000 ", "9999999999999999999 ", "1700000000.5 ", "12 ", " "])
texts = st.one_of(
    st.builds(
        lambda time, wish: (time + json.dumps(wish)).encode(), times, st.one_of(objects, wishes)
    ),
    st.text().map(lambda text: text.encode(errors="surrogatepass")),
    st.binary(max_size=60),
)


@given(st.lists(texts, max_size=12), st.integers(1, 9))
@example([b'{"do":"list","symbol":"B"}', b"9999999999999999999 {}", b"\xef\xbb\xbf{}"], 1)
def test_any_text_is_read_or_refused(tmp_path_factory, pieces, limit):
    """And a good line among them says what it says alone."""
    path = tmp_path_factory.mktemp("any") / "orders.jsonl"
    good = b'{"do": "order", "symbol": "Q", "id": 77, "account": 0, "side": "buy", "quantity": 1}'
    path.write_bytes(b"\n".join([b'{"do": "list", "symbol": "Q"}', *pieces, good]))
    found = Read(path, limit)
    assert found.rows("kind", "order")[-1] == (Event.ORDER, 77)
    told = found.trouble.encode().decode()
    assert bool(told) == bool(found.count("bad_values") + found.count("bad_frames"))
    known = set(found.events["instrument"][found.events["kind"] == Event.DIRECTORY].tolist())
    assert set(found.events["instrument"].tolist()) <= known | {-1}
    assert (np.diff(found.events["time_ns"]) >= 0).all()
