"""Order flows of the public benchmark as a feed: whole, packed, cut off, damaged, foreign."""

import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data import data_file
from tests.workers.exchanges import balanced
from workers.feeds.feed import FeedError
from workers.feeds.order_flow import FLOW_VERSION, FlowFeed, FlowOptions
from workers.instruments import announced
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.flow_orders import FLOW_HEADER, FLOW_MAGIC, FLOW_ORDER
from workers.orders import REQUEUE, Tif
from workers.records import EVENT, MATCHED, Event, Side, empty

ROOM = 4096


def header(count: int, magic: int = FLOW_MAGIC, version: int = FLOW_VERSION) -> bytes:
    made = np.zeros(1, FLOW_HEADER)
    made["magic"], made["version"] = magic, version
    made.view(np.uint32)[3] = count
    return made.tobytes()


def flow(*rows: tuple[int, int, int, int, int, int]) -> bytes:
    """Records of (kind, side, at once, quantity, order, price), numbered from 1."""
    made = np.zeros(len(rows), FLOW_ORDER)
    for number, (kind, side, at_once, quantity, order, price) in enumerate(rows):
        made[number] = (kind, side, at_once, 0, quantity, number + 1, order, price, 0)
    return made.tobytes()


TEN = flow(*((0, number % 2, 0, 5, number, 100 + number) for number in range(10)))


class Read:
    """What a feed makes of a file."""

    def __init__(self, path, limit: int = ROOM, **options) -> None:
        counters, buffer = empty(FEED_COUNTERS, 1), empty(EVENT, ROOM)
        feed = FlowFeed(FlowOptions(path=str(path), **options), counters.ctypes.data)
        parts = []
        feed.open()
        assert feed.fill(buffer.ctypes.data, 0) == 0
        while not feed.finished:
            count = feed.fill(buffer.ctypes.data, limit)
            assert count <= limit
            parts.append(buffer[:count].copy())
            assert balanced(counters[0])
            assert counters["events"][0] == sum(map(len, parts))
        assert feed.fill(buffer.ctypes.data, limit) == 0
        feed.resync(0)
        self.events, self.counters = np.concatenate(parts), counters[0]
        self.trouble, self.progress = feed.trouble, feed.progress()
        feed.close()
        feed.close()

    def count(self, name: str) -> int:
        return int(self.counters[name])


@pytest.fixture
def read(tmp_path):
    def read_(data: bytes, limit: int = ROOM, **options) -> Read:
        (tmp_path / "flow.bin").write_bytes(data)
        return Read(tmp_path / "flow.bin", limit, **options)

    return read_


def test_every_kind_of_message(read):
    found = read(
        header(5)
        + flow(
            (0, 0, 0, 5, 1, 100),
            (0, 1, 1, 6, 2, 101),
            (2, 0, 0, 7, 1, 99),
            (1, 0, 0, 0, 1, 0),
            (0, 1, 0, (1 << 32) - 1, (1 << 63) - 1, -5),
        ),
        symbol="BENCH",
    )
    first, *rest = found.events
    assert (first["kind"], first["flags"], announced(first)) == (Event.DIRECTORY, MATCHED, "BENCH")
    assert (first["quantity"], first["time_ns"], first["side"]) == (1, 0, Side.NONE)
    fields = ("kind", "order", "other", "price", "quantity", "side", "flags", "time_ns")
    assert [tuple(int(row[name]) for name in fields) for row in rest] == [
        (Event.ORDER, 1, 0, 100, 5, 0, 0, 1),
        (Event.ORDER, 2, 0, 101, 6, 1, Tif.IOC, 2),
        (Event.REPLACE_ORDER, 1, 0, 99, 7, 0, REQUEUE, 3),
        (Event.CANCEL_ORDER, 1, 0, 0, 0, 0, 0, 4),
        (Event.ORDER, (1 << 63) - 1, 0, -5, (1 << 32) - 1, 1, 0, 5),
    ]
    assert (found.trouble, found.progress) == ("", 1)
    counted = [found.count(name) for name in ("messages", "announced", "bytes", "bad_frames")]
    assert counted == [5, 1, 200, 0]


def test_a_symbol_that_cannot_be(read):
    with pytest.raises(ValueError, match="is no symbol"):
        FlowOptions(path="x", symbol="")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 11, 64])
def test_the_same_comes_in_portions_of_any_size(read, limit):
    whole, pieces = read(header(10) + TEN), read(header(10) + TEN, limit)
    assert pieces.events.tobytes() == whole.events.tobytes()
    assert pieces.counters.tobytes() == whole.counters.tobytes()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_flows(read, pack):
    whole, packed = read(header(10) + TEN), read(pack(header(10) + TEN))
    assert packed.events.tobytes() == whole.events.tobytes()
    assert packed.trouble == ""
    assert packed.progress == 1


def test_a_flow_of_nothing(read):
    found = read(header(0))
    assert (len(found.events), found.trouble) == (1, "")


def test_a_flow_that_is_cut_off_says_so(read):
    found = read(header(10) + TEN[:-60])
    assert found.events.tobytes() == read(header(10) + TEN).events[:9].tobytes()
    assert found.trouble.endswith(
        "flow.bin: ends 2 messages before its header says; what follows is left out"
    )
    counted = [found.count(name) for name in ("truncated", "bad_frames", "skipped_bytes")]
    assert counted == [1, 1, 20]


def test_a_packed_flow_that_is_cut_off_says_so(read):
    draw = np.random.default_rng(1)
    many = flow(*((0, 0, 0, int(draw.integers(1 << 32)), n, 100) for n in range(20_000)))
    found = read(gzip.compress(header(20_000) + many)[:-1000])
    assert 1 < len(found.events) < 20_001
    assert found.trouble
    assert found.count("truncated") == 1


def test_a_flow_that_goes_on_behind_its_end_says_so(read):
    found = read(header(8) + TEN)
    assert len(found.events) == 9
    assert "goes on behind the last message that its header tells of" in found.trouble
    assert (found.count("bad_frames"), found.count("skipped_bytes")) == (1, 80)


@pytest.mark.parametrize("limit", [1, 3, ROOM])
def test_a_kind_that_nobody_knows_ends_it(read, limit):
    data = bytearray(header(10) + TEN)
    data[16 + 4 * 40] = 9
    found = read(bytes(data), limit)
    assert len(found.events) == 5
    assert found.trouble.endswith("message 5 is of an unknown kind; what follows is left out")
    assert (found.count("bad_frames"), found.count("skipped_bytes")) == (1, 240)


def test_a_count_beyond_all_bounds(read):
    found = read(header((1 << 32) - 1) + TEN)
    assert len(found.events) == 11
    assert "ends 4294967285 messages before its header says" in found.trouble


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * 100, "is no order flow of the matching-engine benchmark"),
        (header(1)[:15], "is no order flow"),
        (b"\x00", "is no order flow"),
        (header(10, version=2) + TEN, "is a flow of version 2, only 1 can be read"),
    ],
)
def test_files_of_others_are_refused(tmp_path, data, why):
    (tmp_path / "flow.bin").write_bytes(data)
    options = FlowOptions(path=str(tmp_path / "flow.bin"))
    feed = FlowFeed(options, empty(FEED_COUNTERS, 1).ctypes.data)
    with pytest.raises(FeedError, match=why):
        feed.open()
    assert (feed.trouble, feed.progress()) == ("", 0.0)
    feed.close()


@given(st.binary(max_size=200), st.integers(0, 6), st.integers(1, 5))
def test_any_bytes_behind_a_header_are_read_or_refused(tmp_path_factory, data, count, limit):
    path = tmp_path_factory.mktemp("any") / "flow.bin"
    path.write_bytes(header(count) + data)
    found = Read(path, limit)
    whole = len(data) == 40 * count and found.count("messages") == count
    assert (found.trouble == "") == whole


@pytest.mark.parametrize("name", ["normal", "flash-crash"])
def test_the_public_flows_are_whole(name):
    found = Read(data_file(f"matching/orders_{name}_s23_n20000.bin.gz"), 1000)
    assert (found.trouble, found.progress) == ("", 1)
    assert found.count("messages") == len(found.events) - 1 > 20_000
