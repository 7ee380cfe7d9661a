"""LOBSTER files: every good line one event, every bad one counted, and what is inferred."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import lobster as naive
from workers.feeds.feed import EQUATIONS, FeedError
from workers.feeds.itch import midnight_ns
from workers.feeds.lobster import LobsterFeed, LobsterOptions
from workers.feeds.lobster_book import levels_of, parse_name, read_book, rows_belong
from workers.feeds.lobster_hindsight import complete_hindsight
from workers.feeds.lobster_inferred import anonymous_order
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.lobster import LINE_MAX, READER, UNREADABLE, decode
from workers.records import EVENT, Event, Flag, Side, State, empty

AAPL = "lobster/AAPL_2012-06-21_34200000_57600000"
GOOD = "34200.004241176,1,16113575,18,5853300,1\n"


class Reading:
    """A feed read to its end, `limit` events at a time."""

    def __init__(self, path, limit=1_000, **options):
        self.counters = empty(FEED_COUNTERS, 1)
        self.feed = LobsterFeed(
            LobsterOptions(path=str(path), **options), self.counters.ctypes.data
        )
        self.feed.open()
        parts, target = [], empty(EVENT, limit)
        for _ in range(1_000_000):
            if self.feed.finished:
                break
            count = self.feed.fill(target.ctypes.data, limit)
            parts.append(target[:count].copy())
        self.feed.close()
        self.all = np.concatenate(parts)
        self.directory, self.events = self.all[:1], self.all[1:]
        inferred = (self.events["flags"] == Flag.INFERRED) & (self.events["kind"] != Event.STATUS)
        self.inferred, self.own = self.events[inferred], self.events[~inferred]
        for left, right in EQUATIONS:
            assert sum(self[name] for name in left) == sum(self[name] for name in right)
        assert self["events"] == len(self.all)

    def __getitem__(self, name):
        return int(self.counters[name][0])

    def rows(self):
        """The events as the naive decoder has them."""
        names = ("other", "time_ns", "kind", "order", "quantity", "price", "side", "flags")
        return list(zip(*(self.own[name].tolist() for name in names), strict=True))


@pytest.fixture
def write(tmp_path):
    def write(text, name="X_2012-06-21_1_2_message_1.csv"):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def test_one_line_is_one_event_with_exact_time(write):
    reading = Reading(write(GOOD))
    assert reading.rows() == [
        (1, midnight_ns("2012-06-21") + 34_200_004_241_176, Event.ADD, 16113575, 18, 5853300, 0, 0)
    ]


def test_the_instrument_is_announced_first(write):
    event = Reading(write(GOOD), date="1970-01-01").directory[0]
    assert event["kind"] == Event.DIRECTORY
    assert event.tobytes()[16:40] == b"X".ljust(24)
    assert (event["quantity"], event["instrument"], event["time_ns"]) == (10_000, 0, 0)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("34200", 34_200 * 10**9),
        ("0.5", 500_000_000),
        ("34200.000000001", 34_200 * 10**9 + 1),
        ("34200.0000000019", 34_200 * 10**9 + 1),
        ("57599.999999999", 57_599_999_999_999),
    ],
)
def test_seconds_become_nanoseconds_without_rounding(write, text, nanoseconds):
    path = write(f"{text},1,7,1,100,1")
    assert Reading(path, date="1970-01-01").events["time_ns"].tolist() == [nanoseconds]


def test_types_directions_and_halts(write):
    lines = [
        "1,2,7,5,100,1",
        "1,3,7,5,100,-1",
        "1,4,7,5,100,1",
        "1,5,0,5,100,-1",
        "1,6,-1,5,100,-1",
        "1,7,0,0,-1,-1",
        "1,7,0,0,0,-1",
        "1,7,0,0,1,-1",
    ]
    own = Reading(write("\r\n".join(lines))).events
    kinds = [Event.CANCEL, Event.DELETE, Event.EXECUTE, Event.TRADE, Event.CROSS]
    assert own["kind"].tolist() == kinds + [Event.STATUS] * 3
    assert own["side"].tolist() == [0, 1, 0, 1, Side.NONE, *[Side.NONE] * 3]
    assert own["flags"].tolist() == [0] * 5 + [State.HALTED, State.QUOTING, State.TRADING]
    assert own["order"].tolist() == [7, 7, 7, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        ("34200.1,1,7,5,100", "bad_frames"),
        ("34200.1,1,7,5,100,1,9", "bad_frames"),
        ("Time,Type,Order,Size,Price,Direction", "bad_frames"),
        ("34200.1,8,7,5,100,1", "unknown"),
        ("34200.1,0,7,5,100,1", "unknown"),
        ("34200.1,1,x,5,100,1", "bad_values"),
        ("noon,1,7,5,100,1", "bad_values"),
        ("-1,1,7,5,100,1", "bad_values"),
        ("34200.,1,7,5,100,1", "bad_values"),
        ("172800,1,7,5,100,1", "bad_values"),
        ("34200.1,1,7,5,100,0", "bad_values"),
        ("34200.1,1,7,5,100,2", "bad_values"),
        ("34200.1,1,7,0,100,1", "bad_values"),
        ("34200.1,1,7,-5,100,1", "bad_values"),
        ("34200.1,1,7,5,0,1", "bad_values"),
        ("34200.1,1,7,5,9999999999,1", "bad_values"),
        ("34200.1,1,7,5.5,100,1", "bad_values"),
        ("34200.1,1,0,5,100,1", "bad_values"),
        ("34200.1,1,-7,5,100,1", "bad_values"),
        ("34200.1,1,99999999999999999999,5,100,1", "bad_values"),
        ("34200.1,7,0,0,2,-1", "bad_values"),
        ("34200.1,1,7,,100,1", "bad_values"),
    ],
)
def test_a_bad_line_is_counted_and_the_rest_kept(write, line, counter):
    reading = Reading(write(f"{GOOD}{line}\n\n{GOOD}"))
    assert reading.events["other"].tolist() == [1, 3]
    counts = {name: reading[name] for name in ("bad_frames", "unknown", "bad_values")}
    assert counts == {**dict.fromkeys(counts, 0), counter: 1}
    assert reading["skipped_bytes"] == (0 if counter == "bad_values" else len(line))


FIELD = st.sampled_from(["", "1", "3", "7", "-1", "34200.5", "x", "100", "9999999999", "1e3"])
LINE = st.one_of(
    st.lists(FIELD, min_size=1, max_size=8).map(",".join),
    st.tuples(
        st.decimals(0, 80_000, places=6).map(str),
        st.sampled_from("123456"),
        st.integers(1, 10**18 - 1),
        st.integers(1, 10**6),
        st.integers(1, 10**9),
        st.sampled_from((1, -1)),
    ).map(lambda fields: ",".join(map(str, fields))),
)


@given(st.lists(LINE, max_size=12), st.sampled_from(["\n", "\r\n", "\n\n"]), st.integers(1, 5))
@settings(max_examples=100 if compiled() else 30, deadline=None)
def test_any_lines_give_what_the_naive_decoder_reads(lines, newline, limit):
    data = np.frombuffer(b"." + newline.join(lines).encode(), np.uint8)
    address, size, rows = data.ctypes.data + 1, data.size - 1, []
    reader, counters, target = empty(READER, 1), empty(FEED_COUNTERS, 1), empty(EVENT, limit)
    window, names = 40, ("other", "time_ns", "kind", "order", "quantity", "price", "side", "flags")
    while size:
        reader["final"] = window >= size
        count = decode(
            reader.ctypes.data,
            address,
            min(window, size),
            target.ctypes.data,
            limit,
            counters.ctypes.data,
        )
        rows += zip(*(target[name][:count].tolist() for name in names), strict=True)
        taken = int(reader["consumed"][0])
        address, size, window = address + taken, size - taken, window if taken else window + 40
    assert rows == naive.decode(newline.join(lines))
    assert counters["bytes"][0] == data.size - 1


def test_a_stretch_without_a_newline_is_no_line(write):
    reading = Reading(write("x" * (3 * LINE_MAX) + "\n" + GOOD))
    assert reading["bad_frames"] >= 1
    assert len(reading.events) == 1


def test_a_truncated_gzip_file_keeps_whole_lines_only(write):
    path = write("".join(f"34200.{n:09d},1,{n},5,5853300,1\n" for n in range(1, 3_000)), "m.csv.gz")
    path.write_bytes(path.read_bytes()[:-2_000])
    reading = Reading(path, symbol="X")
    assert reading["truncated"] == 1
    assert set(reading.events["price"].tolist()) == {5853300}
    assert reading.events["order"].tolist() == list(range(1, len(reading.events) + 1))
    assert "cut off" in reading.feed.trouble


@pytest.mark.parametrize("limit", [1, 7, 5_000])
def test_chunks_do_not_matter_and_the_sample_reads_whole(limit):
    path = data_file(f"{AAPL}_message_10.csv")
    reading = Reading(path, limit, date="1970-01-01")
    assert reading.rows() == naive.decode(path.read_text())
    assert {key: int(reading.counters["types"][0][ord(key)]) for key in "1345"} == {
        "1": 471,
        "3": 369,
        "4": 98,
        "5": 61,
    }
    assert reading["messages"] == 999


def test_a_file_without_a_name_needs_a_symbol(write):
    path = write(GOOD, "orders.csv")
    with pytest.raises(FeedError, match="set `symbol`"):
        Reading(path)
    assert Reading(path, symbol="ABC").directory[0].tobytes()[16:40] == b"ABC".ljust(24)
    with pytest.raises(ValueError, match="no symbol"):
        LobsterOptions(path="x", symbol="A" * 25)
    with pytest.raises(ValueError, match="no date"):
        LobsterOptions(path="x", date="21.6.2012")


def test_names_tell_symbol_date_and_levels():
    assert parse_name("a/AAPL_2012-06-21_1_2_message_50.csv.gz") == ("AAPL", "2012-06-21", 50)
    assert parse_name("messages.csv") == (None, None, None)


def test_an_order_book_file_is_read_and_a_wrong_one_refused(write):
    rows = read_book(write("101,5,100,7\r\n9999999999,0,100,7\n1,2,x,4\n1,2,3\n101,5,100,7", "b"))
    assert rows.tolist() == [
        [101, 5, 100, 7],
        [9999999999, 0, 100, 7],
        [UNREADABLE] * 4,
        [UNREADABLE] * 4,
        [101, 5, 100, 7],
    ]
    assert levels_of(rows[1], Side.ASK) == []
    assert levels_of(rows[1], Side.BID) == [(100, 7)]
    with pytest.raises(FeedError, match="6 columns"):
        read_book(write(GOOD, "c"))
    with pytest.raises(FeedError, match="no order book row"):
        read_book(write("a,b,c,d\n", "d"))


def test_rows_belong_by_level_count_or_by_row_count(write):
    messages = write(GOOD * 2, "X_2012-06-21_1_2_message_10.csv")
    book = write("101,5,100,7\n" * 2, "X_2012-06-21_1_2_orderbook_1.csv")
    assert not rows_belong(messages, book, read_book(book))
    unnamed = write("101,5,100,7\n" * 2, "book.csv")
    assert rows_belong(messages, unnamed, read_book(unnamed))
    shorter = write("101,5,100,7\n", "book.csv")
    assert not rows_belong(messages, shorter, read_book(shorter))


def test_what_rested_before_the_first_message_is_seeded(write):
    messages = write("1,1,7,5,100,1\n1,4,3,2,102,-1\n")
    book = write("102,9,100,8\n102,7,100,8\n", "X_2012-06-21_1_2_orderbook_1.csv")
    reading = Reading(messages, orderbook=str(book))
    seeds = [(anonymous_order(0, 100), 0, 100, 3), (anonymous_order(1, 102), 1, 102, 9)]
    names = ("order", "side", "price", "quantity")
    assert [tuple(int(seed[name]) for name in names) for seed in reading.inferred] == seeds
    kinds = list(zip(reading.own["kind"].tolist(), reading.own["order"].tolist(), strict=True))
    assert kinds == [(Event.ADD, 7), (Event.EXECUTE, anonymous_order(1, 102))]


def test_without_the_order_book_unknown_orders_pass_as_they_are(write):
    reading = Reading(write("1,3,3,2,102,-1\n"))
    assert (reading.own["kind"][0], reading.own["order"][0]) == (Event.DELETE, 3)
    assert len(reading.inferred) == 0


def hindsight(lines, levels=None, first_row=None):
    """(before, kind, order, side, price, quantity) inferred from message lines."""
    data = np.frombuffer("\n".join(lines).encode(), np.uint8)
    reader, counters = empty(READER, 1), empty(FEED_COUNTERS, 1)
    events = empty(EVENT, len(lines))
    reader["final"] = 1
    count = decode(
        reader.ctypes.data,
        data.ctypes.data,
        data.size,
        events.ctypes.data,
        len(lines),
        counters.ctypes.data,
    )
    assert count == len(lines)
    return complete_hindsight(events, levels, first_row).rows


def test_an_order_never_submitted_is_placed_by_its_number():
    lines = ["1,1,10,5,100,1", "2,1,20,5,101,1", "3,4,15,2,99,1", "4,3,15,3,99,1", "5,3,4,8,98,1"]
    assert hindsight(lines) == [
        (1, Event.ADD, 15, Side.BID, 99, 5),  # before order 20, with all it lost later
        (0, Event.ADD, 4, Side.BID, 98, 8),  # before the file
    ]


def test_best_prices_of_the_first_row_are_seeded_less_what_explains_them():
    lines = ["1,1,10,5,100,1", "2,3,4,8,101,-1"]
    row = np.array([101, 10, 100, 7])
    assert hindsight(lines, None, row) == [
        (0, Event.ADD, 4, Side.ASK, 101, 8),
        (0, Event.ADD, anonymous_order(0, 100), Side.BID, 100, 2),
        (0, Event.ADD, anonymous_order(1, 101), Side.ASK, 101, 2),
    ]


def test_an_order_that_left_the_window_and_is_never_named_again_is_presumed_gone():
    lines = ["1,1,10,5,100,1", "2,1,11,5,101,1", "3,3,11,5,101,1", "4,5,0,1,100,1"]
    assert hindsight(lines, 1) == [(2, Event.DELETE, 10, Side.BID, 100, 5)]
    assert hindsight([*lines, "5,3,10,5,100,1"], 1) == []
    assert hindsight(lines, 2) == []
