"""The compiled reader of level arrays, beside json and decimal."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import levels as naive
from tests.workers.guarded import Guarded
from workers.kernels import levels_json
from workers.kernels.levels_json import LISTING, NO_CHECKSUM
from workers.records import EVENT, Event, Flag, Side, empty

SHAPES = {"plain": 0, "timed": 1, "counted": 2, "sided": 3}
PRICE_DECIMALS, LOT_DECIMALS = 3, 8
ROOM = 64
EXAMPLES = 300 if compiled() else 60
GUARD = Guarded()

digits = st.from_regex(r"(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?", fullmatch=True)
lots = st.from_regex(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?", fullmatch=True)
odd = st.sampled_from(
    ["", "-1", "+1", "1e5", "1.", ".5", "01", "0", "00", "1.0000", "1.00000000000000000001", "1 ",
     "9223372036854775807", "9223372036854775.807", "9223372036854775.808", "92233720368547758070",
     "1" * 40, "nan", "1_0", "\u0661", "r", "1,5", "\\u0031", "\x00", '1"']
)  # fmt: skip
numbers = st.one_of(digits, digits, digits, odd)
others = st.one_of(lots, lots, lots, odd)
ENTRIES = {
    "plain": st.tuples(numbers, others),
    "timed": st.one_of(
        st.tuples(numbers, others, st.just("1618678133.384218")),
        st.tuples(numbers, others, others, st.sampled_from(["r", "x", ""])),
    ),
    "counted": st.tuples(numbers, others, st.one_of(st.just("0"), odd), st.just("6") | odd),
    "sided": st.tuples(st.sampled_from(["buy", "sell", "bu", "sel", "Buy", ""]), numbers, others),
}
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", ":"), ("\r,", ":")])


def listing(price_decimals=PRICE_DECIMALS):
    record = empty(LISTING, 1)
    record["code"], record["quantity_decimals"] = 7, LOT_DECIMALS
    record["price_decimals"] = price_decimals
    return record


def update(text: bytes, shape: str, asks: bytes = b"", room=ROOM, record=None, crc=NO_CHECKSUM):
    """What the kernel returns for a text that ends at a guard page, and its events."""
    record = listing() if record is None else record
    events = empty(EVENT, room)
    begin = GUARD.place(text + asks)
    count = levels_json.update(
        record.ctypes.data, SHAPES[shape], begin, len(text), begin + len(text), len(asks),
        events.ctypes.data, room, 0, 1_000, 99, crc,
    )  # fmt: skip
    return int(count), events


def agree(text: bytes, shape: str) -> None:
    """The kernel takes what the naive reader takes, and nothing else, and so does `measure`."""
    wanted = naive.parse(text, shape, PRICE_DECIMALS, LOT_DECIMALS)
    count, events = update(text, shape)
    if wanted is None or len(wanted) > ROOM // 2:
        assert count < 0 or (wanted is not None and count == len(wanted)), (text, count)
        return
    assert count == len(wanted), (text, count)
    for event, (price, quantity, orders, side) in zip(events[:count], wanted, strict=True):
        assert (event["price"], event["quantity"], event["order"]) == (price, quantity, orders)
        assert event["side"] == (side if side is not None else Side.BID)
        assert (event["kind"], event["instrument"], event["other"]) == (Event.SET, 7, 99)
    record = listing()
    begin = GUARD.place(text)
    seen = levels_json.measure(record.ctypes.data, SHAPES[shape], begin, len(text))
    assert seen == count


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), st.sampled_from(sorted(SHAPES)), separators)
def test_arrays_are_read_as_json_and_decimal_read_them(data, shape, separator):
    entries = data.draw(st.lists(ENTRIES[shape], max_size=6))
    text = json.dumps(entries, separators=separator, ensure_ascii=data.draw(st.booleans()))
    agree(text.encode(), shape)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.tuples(digits, lots), min_size=1, max_size=3),
    st.integers(0, 200),
    st.sampled_from([b"", b"[", b"]", b",", b'"', b" ", b"0", b"9", b".", b"-", b"\\", b"\xff"]),
    st.integers(0, 3),
)
@example("plain", [("1.5", "2")], 0, b"", 3)
def test_one_byte_more_or_less_is_noticed(shape, pairs, place, byte, cut):
    tails = {"timed": ("1.5",), "counted": ("0", "3")}
    heads = ("sell",) if shape == "sided" else ()
    entries = [[*heads, *pair, *tails.get(shape, ())] for pair in pairs]
    text = json.dumps(entries, separators=(",", ":")).encode()
    place %= len(text) + 1
    agree(text[:place] + byte + text[place + cut :], shape)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=64), st.sampled_from(sorted(SHAPES)))
def test_any_bytes_are_read_or_refused(text, shape):
    if text:
        agree(text, shape)


@pytest.mark.parametrize("keep", range(28))
def test_an_array_cut_off_anywhere_is_refused(keep):
    text = b'[["1.5","2"],["1.25","0.5"]]'
    assert update(text, "plain")[0] == 2
    if keep:
        assert update(text[:keep], "plain")[0] < 0


def test_both_sides_are_one_message():
    bids, asks = b'[["1.5","2"],["1.250","0.50"]]', b'[["1.75","3"]]'
    count, events = update(bids, "plain", asks)
    assert count == 3
    assert events["side"][:3].tolist() == [Side.BID, Side.BID, Side.ASK]
    assert events["flags"][:3].tolist() == [Flag.PART, Flag.PART, 0]
    assert events["time_ns"][:3].tolist() == [1_000] * 3
    assert events["price"][:3].tolist() == [1500, 1250, 1750]
    assert not events["sequence"][:3].any()


def test_a_bad_ask_takes_the_bids_with_it():
    good = b'[["1.5","2"]]'
    assert update(good, "plain", b'[["1.7x","3"]]')[0] == levels_json.MALFORMED
    assert update(good, "plain", b'[["1.7512","3"]]')[0] == levels_json.TOO_FINE
    assert update(good, "plain", b'[["0.000","3"]]')[0] == levels_json.BAD_PRICE
    assert update(good, "plain", b'[["1.7","93000000000"]]')[0] == levels_json.TOO_LARGE


def test_a_checksum_follows_with_the_decimals_that_are_printed():
    text = b'[["1.500","2.00000000","1618678133.384218"],["1.250","0.5","1618678133.1","r"]]'
    count, events = update(text, "timed", crc=0xFFFFFFFF)
    assert count == 3
    check = events[2]
    assert (check["kind"], check["order"]) == (Event.CHECK, 0xFFFFFFFF)
    assert (check["price"], check["quantity"]) == (3, 8)
    assert events["flags"][:2].tolist() == [Flag.PART, Flag.PART]
    assert set(events["time_ns"][:3].tolist()) == {1_618_678_133_384_218_000}


def test_zeros_at_the_end_need_no_decimals():
    record = listing()
    text = b'[["61737.63000000","0.50000000"],["61737.6","1"]]'
    begin = GUARD.place(text)
    assert levels_json.measure(record.ctypes.data, 0, begin, len(text)) == 2
    assert record["price_needed"][0] == 2
    assert record["price_printed"][0] == 8


def test_without_room_nothing_is_written_behind():
    text = b"[" + b",".join([b'["1.5","2"]'] * 10) + b"]"
    for room in range(22):
        events = empty(EVENT, 30)
        events["order"] = -1
        record = listing()
        begin = GUARD.place(text)
        count = levels_json.update(
            record.ctypes.data, 0, begin, len(text), 0, 0, events.ctypes.data, room, 0, 1, 1, 5
        )
        assert count == (11 if room >= 21 else levels_json.NO_ROOM)
        assert (events["order"][max(room, 0) :] == -1).all()


@pytest.mark.parametrize(
    ("price", "quantity", "wanted"),
    [
        (b'"61737.63000000"', b'"0.02"', (61737630, 2_000_000)),
        (b"61737.63", b"1", (61737630, 100_000_000)),
        (b'"61737.6301"', b"1", None),
        (b'"1', b"1", None),
        (b"1 ", b"1", None),
        (b"1", b"", None),
        (b"", b"1", None),
        (b"0", b"1", None),
        (b"1", b"0.000", None),
        (b"1e3", b"1", None),
        (b"-1", b"1", None),
    ],
)
def test_a_trade_is_two_numbers(price, quantity, wanted):
    record, events = listing(), empty(EVENT, 1)
    begin = GUARD.place(price + quantity)
    count = levels_json.single(
        record.ctypes.data, int(Event.TRADE), begin, len(price), begin + len(price),
        len(quantity), events.ctypes.data, 1, 5, 6, 7, 1,
    )  # fmt: skip
    if wanted is None:
        assert count < 0
        assert not events.view(np.uint8).any()
    else:
        event = events[0]
        assert count == 1
        assert (event["price"], event["quantity"]) == wanted
        assert (event["order"], event["other"], event["side"], event["flags"]) == (6, 7, 1, 1)
