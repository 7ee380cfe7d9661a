"""DBN: every record type against a struct-based twin and Databento's own decoder; damage; books."""

import random
from collections import Counter

import msgspec
import numpy as np
import pytest

from ringbuf.jit import compiled
from tests.data import DATA, data_file
from tests.naive import dbn as naive
from tests.workers.books import Books
from tests.workers.dbn_streams import (
    TIME,
    agree,
    as_tuples,
    balanced,
    kinds,
    mbo,
    mbp,
    pair,
    run,
    stream,
)
from workers.feeds.bytes_in import open_bytes
from workers.feeds.dbn import DbnFeed, DbnOptions
from workers.feeds.dbn_metadata import Mapping, Metadata, spans, take
from workers.feeds.feed import FEED_COUNTERS, FeedError
from workers.kernels import (
    bookview,
    dbn_frames,
    dbn_instruments,
    dbn_levels,
    dbn_orders,
    dbn_records,
    dbn_state,
    orderbook,
)
from workers.kernels.orderbook import Limits, Outcome
from workers.records import EVENT, Doubt, Event, Flag, empty

FIXTURES = sorted(path.name for path in (DATA / "dbn").glob("*.dbn*"))
SMALL = [name for name in FIXTURES if not name.startswith("esh4")]
ES = {"esh4-glbx-mdp3-20231224.mbo.dbn.zst": 8_725, "esh4-glbx-mdp3-20231225.mbo.dbn.zst": 68_792}
needs_compiler = pytest.mark.skipif(not compiled(), reason="68,792 records take long in Python")


def feed_all(options: DbnOptions, limit: int = 2048) -> tuple[np.ndarray, np.record, DbnFeed]:
    """A whole file through the feed."""
    counters, out, parts = empty(FEED_COUNTERS, 1), empty(EVENT, limit), []
    feed = DbnFeed(options, counters.ctypes.data)
    feed.open()
    while not feed.finished:
        parts.append(out[: feed.fill(out.ctypes.data, limit)].copy())
    assert feed.fill(out.ctypes.data, limit) == 0
    trouble = feed.trouble
    feed.close()
    feed.close()
    assert feed.trouble == trouble
    assert balanced(counters[0])
    return np.concatenate(parts), counters[0], feed


def unpacked(name: str) -> bytes:
    """A sample's bytes."""
    source = open_bytes(data_file(f"dbn/{name}"))
    data = take(source, 1 << 30)
    source.close()
    return data


@pytest.mark.parametrize("name", SMALL)
def test_every_fixture_as_the_twin_reads_it(name):
    events, counters, feed = feed_all(DbnOptions(path=str(data_file(f"dbn/{name}"))))
    twin = naive.Twin(unpacked(name))
    assert as_tuples(events) == twin.events
    assert {name: counters[name] for name in twin.counts} == twin.counts
    assert counters["messages"] == len(twin.messages)
    assert len(twin.messages) > 0 or "ohlcv-1d" in name
    assert counters["unknown"] == counters["bad_frames"] == counters["skipped_bytes"] == 0
    assert not feed.trouble


def oracle(data: bytes) -> list:
    """The records as Databento's own decoder has them."""
    theirs = pytest.importorskip("databento_dbn")
    decoder = theirs.DBNDecoder(upgrade_policy=theirs.VersionUpgradePolicy.AS_IS)
    decoder.write(data)
    return decoder.decode()[1:]


SAME = {
    "order": "order_id", "price": "price", "size": "size", "sequence": "sequence",
    "ts_recv": "ts_recv", "ts_event": "ts_event", "publisher": "publisher_id",
    "instrument": "instrument_id", "depth": "depth",
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_the_twin_reads_what_databento_reads(name):
    data = unpacked(name)
    found, messages = oracle(data), naive.records(data)
    assert len(found) == len(messages)
    for theirs, message in zip(found, messages, strict=True):
        m = naive.decode(message)
        assert theirs.rtype == m["rtype"]
        for ours, name_ in SAME.items():
            if ours in m and hasattr(theirs, name_):
                assert getattr(theirs, name_) == m[ours], ours
        for ours in m.keys() & {"action", "side", "trading", "quoting"}:
            value = getattr(theirs, f"is_{ours}" if ours.endswith("ing") else ours)
            if isinstance(value, bool):
                value = "Y" if value else "N"
            value = getattr(value, "value", value)
            assert value == (m[ours].decode() if isinstance(m[ours], bytes) else m[ours])
        if "flags" in m:
            assert int(theirs.flags) == m["flags"]
        names = ("bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct")
        for levels, theirs_ in zip(m["levels"], getattr(theirs, "levels", ()), strict=False):
            assert levels == tuple(getattr(theirs_, name_) for name_ in names)


def test_symbols_are_those_of_the_metadata_and_definitions():
    for name in SMALL:
        events, _, _ = feed_all(DbnOptions(path=str(data_file(f"dbn/{name}"))))
        told = [event for event in events if event["kind"] == Event.DIRECTORY]
        for event in told:
            assert event["flags"] == 0, name
            symbols = (b"ESH1", b"ESM3", b"NVDA", b"SPX", b"MSFT", b"AAPL", b"SPY")
            assert event.tobytes()[16:40].rstrip() in symbols, event.tobytes()[16:40]
        assert len(told) >= (len(events) > 0), name


@pytest.mark.compiled
@needs_compiler
@pytest.mark.parametrize("name", ES)
def test_es_as_the_twin_reads_it_and_its_book(name):
    events, counters, feed = feed_all(DbnOptions(path=str(data_file(f"dbn/{name}"))))
    data = unpacked(name)
    twin = naive.Twin(data)
    assert as_tuples(events) == twin.events
    assert {name: counters[name] for name in twin.counts} == twin.counts
    assert counters["messages"] == ES[name]
    assert not feed.trouble
    actions = Counter(naive.decode(message)["action"].decode() for message in twin.messages)
    if len(actions) > 1:
        assert actions == {"A": 29_216, "C": 17_999, "M": 12_233, "T": 2_973, "F": 6_371}
    found = fold(events)
    refused = {Outcome.UNKNOWN_ORDER, Outcome.DUPLICATE_ORDER, Outcome.OVER_EXECUTION}
    assert not refused & found.outcomes.keys()
    assert set(found.outcomes) <= {Outcome.APPLIED, Outcome.IGNORED}
    assert all(PRE_OPEN[0] <= time < PRE_OPEN[1] for time in found.crossed)
    assert (len(found.crossed) > 0) == (len(actions) > 1)
    assert all(time < found.first_trade for time in found.crossed)


# 2023-12-25 22:39:55 to 23:00:00 UTC.
PRE_OPEN = (1_703_543_995 * 10**9, 1_703_545_200 * 10**9)


class Fold:
    """What folding events into a book came to."""

    def __init__(self) -> None:
        self.outcomes: Counter = Counter()
        self.crossed: list[int] = []  # times at which a shown book was crossed
        self.first_trade = 1 << 63


def fold(events: np.ndarray) -> Fold:
    books, found = Books(Limits(1 << 16, 1 << 14, 4)), Fold()
    for event in events:
        found.outcomes[Outcome(orderbook.apply(books.address, event))] += 1
        if event["kind"] == Event.TRADE:
            found.first_trade = min(found.first_trade, int(event["time_ns"]))
        if not event["flags"] & Flag.PART:
            bid, ask = (int(bookview.best(books.address, 0, side)) for side in (0, 1))
            if bid >= ask > 0:
                found.crossed.append(int(event["time_ns"]))
    assert books.check() == 0
    return found


@pytest.mark.compiled
@needs_compiler
def test_es_in_pieces_and_in_small_helpings():
    data = unpacked("esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    data = data[: naive.parse_metadata(data)[-1]] + data[-56 * 20_000 :]
    whole, one = run(data, limit=4096)
    draw = random.Random(1)
    for limit in (3, dbn_state.MOST + 1, 2048):
        sizes = [draw.randrange(1, 200_000) for _ in range(200)]
        events, other = run(data, sizes, limit=limit)
        assert events.tobytes() == whole.tobytes()
        assert other.counters.tobytes() == one.counters.tobytes()


def test_a_whole_cancel_a_part_and_modifications_reach_the_book():
    data = stream(
        mbo("R"), mbo("A", 1), mbo("A", 2, size=3), mbo("C", 1, size=2), mbo("M", 2, size=1),
        mbo("A", 3, side="A", price=101 * 10**9), mbo("M", 3, price=102 * 10**9, side="A"),
        mbo("T", 0, side="A"), mbo("F", 1), mbo("N", 0), mbo("C", 1, size=3), mbo("M", 3, size=0),
    )  # fmt: skip
    events, _ = agree(data)
    assert kinds(events) == [
        "DIRECTORY", "CLEAR", "ADD", "ADD", "CANCEL", "MODIFY", "ADD", "MODIFY", "TRADE", "CANCEL",
        "DELETE",
    ]  # fmt: skip
    assert events[8]["side"] == 0  # the aggressor sold: bids were hit
    books = Books(Limits(64, 64, 2))
    assert {Outcome(orderbook.apply(books.address, event)) for event in events} == {
        Outcome.APPLIED,
        Outcome.IGNORED,
    }
    assert books.depth(0, 0) == [(1_000_000, [(2, 1)])]
    assert books.depth(0, 1) == []


def test_a_snapshot_without_a_clearing_ends_at_the_last_flag_or_where_something_else_follows():
    shot = {"flags": naive.SNAPSHOT, "ts_recv": TIME + 7}
    more = {"flags": naive.SNAPSHOT | naive.LAST, "ts_recv": TIME + 7}
    events, _ = agree(stream(mbo("A", 1, **shot), mbo("A", 2, **more), mbo("A", 3)))
    expected = ["DIRECTORY", "STALE", "CLEAR", "ADD", "ADD", "FRESH", "ADD"]
    assert kinds(events) == expected
    assert events[3]["flags"] == Flag.SNAPSHOT | Flag.PART
    assert events[3]["time_ns"] == TIME + 7
    events, _ = agree(stream(mbo("A", 1, **shot), mbo("A", 2, **shot), mbo("A", 3)))
    assert kinds(events) == expected
    again = {"flags": naive.SNAPSHOT | naive.LAST, "ts_recv": TIME + 9}
    events, _ = agree(stream(mbo("A", 1, **more), mbo("A", 1, **again)))
    assert kinds(events)[4:] == ["FRESH", "STALE", "CLEAR", "ADD", "FRESH"]


def test_books_that_are_not_whole_are_said_to_be_so():
    bad = {"flags": naive.LAST | naive.MAYBE_BAD}
    whole = mbo("R")
    for first, later, why in (
        (mbo("A", 1), mbo("C", 1), Doubt.NO_SNAPSHOT),
        (whole + mbo("A", 1, **bad), mbo("C", 1), Doubt.VENUE),
        (whole + mbo("A", 1, size=naive.UNDEF_SIZE), mbo("A", 2), Doubt.VALUE),
        (whole + mbo("A", 1, price=naive.UNDEF_PRICE), mbo("A", 2), Doubt.VALUE),
        (whole + mbo("A", 1, price=-5), mbo("A", 2), Doubt.VALUE),
        (whole + mbo("X", 1), mbo("A", 2), Doubt.VALUE),
        (whole + mbo("M", 1, side="N"), mbo("A", 2), Doubt.VALUE),
        (whole + mbo("A", 1, flags=16), mbo("A", 2), Doubt.VALUE),
    ):
        events, _ = agree(stream(first, later))
        stale = events[events["kind"] == Event.STALE]
        assert stale["flags"].tolist() == [why]
        events, _ = agree(stream(first, later, whole))
        assert kinds(events)[-2:] == ["CLEAR", "FRESH"]


def test_an_instrument_that_comes_later_begins_empty_where_the_file_began_whole():
    events, _ = agree(stream(mbo("R"), mbo("A", 5, instrument=8), mbo("C", 6, instrument=9)))
    assert [event["instrument"] for event in events if event["kind"] == Event.STALE] == [2]


def test_an_event_that_ends_with_nothing_for_the_log_is_ended():
    data = stream(mbo("R"), mbo("A", 1, flags=0), mbo("F", 1), mbo("A", 2))
    events, _ = agree(data)
    assert kinds(events) == ["DIRECTORY", "CLEAR", "ADD", "DIRECTORY", "ADD"]
    assert [int(event["flags"]) for event in events] == [
        Flag.INFERRED,
        0,
        Flag.PART,
        Flag.INFERRED,
        0,
    ]


def test_levels_give_what_changed():
    one = [pair(100, 101), pair(99, 102), pair(98, 103)]
    two = [pair(100, 101, (1, 4)), pair(98, 104), (naive.UNDEF_PRICE,) * 2 + (0,) * 4]
    events, _ = agree(stream(mbp(one), mbp(two), mbp(two), mbp(two, "T", price=101 * 10**9)))
    assert kinds(events)[7:] == ["SET"] * 5 + ["TRADE"]
    changed = [(e["side"], e["price"] // 10_000, e["quantity"]) for e in events[7:12]]
    assert changed == [(0, 99, 0), (1, 101, 4), (1, 102, 0), (1, 103, 0), (1, 104, 1)]
    assert events["flags"][7:].tolist() == [Flag.PART] * 4 + [0, 0]
    wrong = [pair(100, 101), pair(100, 102)]
    events, _ = agree(stream(mbp(wrong), mbp(one)))
    assert [int(e["flags"]) for e in events if e["kind"] == Event.STALE] == [Doubt.VALUE]
    assert kinds(events)[-1] == "FRESH"


def test_a_top_order_replaces_its_side():
    top = {"flags": naive.LAST | naive.TOB}
    events, _ = agree(
        stream(
            mbo("A", 1, **top), mbo("A", 2, price=99 * 10**9, **top), mbo("A", 3, side="A", **top),
            mbo("A", 0, price=naive.UNDEF_PRICE, **top), mbo("C", 3, **top),
        )
    )  # fmt: skip
    assert kinds(events) == ["DIRECTORY", "SET", "SET", "SET", "SET", "SET", "STALE"]
    changed = [(e["side"], e["price"] // 10_000, e["quantity"]) for e in events[1:6]]
    assert changed == [(0, 100, 5), (0, 100, 0), (0, 99, 5), (1, 100, 5), (0, 99, 0)]


def test_one_book_has_one_source():
    trade = naive.record(
        0x00, ts_event=TIME, ts_recv=TIME, action=b"T", side=b"B", price=10**9, size=1
    )
    levels = mbp([pair(100, 101)], rtype=0x01)
    events, _ = agree(stream(trade, levels, trade, mbo("R"), levels, trade, mbo("A", 1)))
    assert kinds(events) == ["DIRECTORY", "TRADE", "SET", "SET", "CLEAR", "CLEAR", "ADD"]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_names_come_from_metadata_mappings_and_definitions(version):
    told = {"version": version, "mappings": [("AAA", [(20231101, 20231201, "7")])]}
    data = stream(
        mbo("R"), mbo("R", instrument=8), mbo("R", publisher=2),
        naive.definition(version, "CCC", instrument=9, ts_event=TIME),
        mbo("R", instrument=9), mbo("R", instrument=10, publisher=3), **told,
    )  # fmt: skip
    events, _ = agree(data)
    names = {e["instrument"]: e.tobytes()[16:40].rstrip() for e in events if e["kind"] == 11}
    assert list(names.values()) == [b"AAA", b"#8", b"AAA@2", b"CCC", b"#10@3"]
    named = stream(naive.mapping(version, "DDD", instrument=8), mbo("R", instrument=8), **told)
    events, _ = run(named)
    assert events[0].tobytes()[16:40].rstrip() == b"DDD"
    renamed = named + naive.mapping(version, "EEE", instrument=8) + mbo("R", instrument=8)
    events, _ = run(renamed)
    assert events[events["kind"] == 11]["instrument"].tolist() == [0, 1]


def test_an_id_is_somebody_else_on_another_day():
    day = 86_400 * 10**9
    told = [("AAA", [(20231114, 20231115, "7"), (20231115, 20231116, "8")]),
            ("BBB", [(20231115, 20231116, "7")])]  # fmt: skip
    later = {"ts_event": TIME + day, "ts_recv": TIME + day}
    data = stream(mbo("R"), mbo("R", **later), mbo("A", 5, instrument=8, **later), mappings=told)
    events, _ = agree(data)
    names = [e.tobytes()[16:40].rstrip() for e in events if e["kind"] == Event.DIRECTORY]
    assert names == [b"AAA", b"BBB", b"AAA"]
    assert kinds(events) == ["DIRECTORY", "CLEAR"] * 2 + ["CLEAR", "DIRECTORY", "CLEAR", "ADD"]


def test_a_symbol_of_several_ids_at_once_names_none_of_them():
    told = [("ES.FUT", [(20231114, 20231116, "7"), (20231114, 20231116, "8")])]
    events, _ = run(stream(mbo("R"), mbo("R", instrument=8), mappings=told))
    names = [e.tobytes()[16:40].rstrip() for e in events if e["kind"] == Event.DIRECTORY]
    assert names == [b"#7", b"#8"]


def test_prices_have_the_decimals_that_they_need():
    fine = mbo("A", 2, price=10**9 + 5, instrument=8)
    events, _ = agree(stream(mbo("R"), mbo("A", 1), fine))
    scales = {e["instrument"]: e["quantity"] for e in events if e["kind"] == Event.DIRECTORY}
    assert scales == {0: 10_000, 1: 10**9}
    events, decoder = run(stream(mbo("R"), mbo("A", 1, price=10**7 + 3)), decimals=2)
    assert kinds(events) == ["DIRECTORY", "CLEAR", "STALE"]
    assert decoder.state["unfit"] == 9


def test_ticks_of_definitions():
    data = stream(naive.definition(3, "ESH4", tick=25 * 10**7, ts_event=TIME))
    events, decoder = run(data)
    assert decoder.memory.instruments[0]["tick"] == 2_500
    assert kinds(events) == ["DIRECTORY", "TERMS"]
    assert events[1]["order"] == 2_500


def test_records_left_out_by_the_gateway_put_all_books_in_doubt():
    error = naive.other(0x15, 320, bytes(302) + b"\x07\x01", ts_event=TIME)
    data = stream(mbo("R"), mbo("R", instrument=8), error, mbo("A", 1))
    events, decoder = run(data)
    assert [int(e["flags"]) for e in events if e["kind"] == Event.STALE] == [Doubt.GAP] * 2
    assert decoder.count("gaps") == 1


def write(path, data: bytes, **options) -> DbnOptions:
    path.write_bytes(data)
    return DbnOptions(path=str(path), **options)


def refused(options: DbnOptions) -> str:
    feed = DbnFeed(options, empty(FEED_COUNTERS, 1).ctypes.data)
    with pytest.raises(FeedError) as caught:
        feed.open()
    feed.close()
    return str(caught.value)


def test_files_that_are_no_dbn_are_refused(tmp_path):
    good = stream(mbo("R"))
    assert "does not start with DBN" in refused(write(tmp_path / "a", b"34200.004,1,16113575"))
    assert "is DBN version 9" in refused(write(tmp_path / "b", b"DBN\x09" + good[4:]))
    assert "have 7 bytes" in refused(write(tmp_path / "c", b"DBN\x03\x07\0\0\0" + good[8:]))
    assert "ends amidst its metadata" in refused(write(tmp_path / "d", good[:100]))
    assert "cannot be opened" in refused(DbnOptions(path=str(tmp_path / "none")))


def test_symbols_that_cannot_be_read_are_told_and_do_without(tmp_path):
    data = bytearray(stream(mbo("R"), mappings=[("AAA", [(20231101, 20239999, "7")])]))
    events, _, feed = feed_all(write(tmp_path / "day", bytes(data)))
    assert events[0].tobytes()[16:40].rstrip() == b"#7"
    assert "symbols in the metadata cannot be read" in feed.trouble


def test_prices_that_do_not_fit_are_told_with_what_would_do(tmp_path):
    data = stream(mbo("R"), mbo("A", 1, price=1_234_567_000))
    _, counters, feed = feed_all(write(tmp_path / "day", data, price_decimals=2))
    assert counters["bad_values"] == 1
    assert "price_decimals = 6 or more" in feed.trouble
    events, counters, feed = feed_all(write(tmp_path / "day", data))
    assert (counters["bad_values"], feed.trouble) == (0, "")
    assert events[-1]["price"] == 1_234_567_000
    assert feed.progress() == 1.0


def test_a_file_cut_off_keeps_its_beginning(tmp_path):
    data = stream(*[mbo("A", number) for number in range(50)])
    events, counters, _ = feed_all(write(tmp_path / "day", data[:-30]))
    assert kinds(events).count("ADD") == 49
    assert (counters["truncated"], counters["skipped_bytes"]) == (1, 26)


def test_noise_behind_good_metadata_is_told(tmp_path):
    _, counters, feed = feed_all(write(tmp_path / "day", stream() + b"x" * 500))
    assert counters["messages"] == 0
    assert "no record was recognised" in feed.trouble


def test_publishers_and_times_of_sending(tmp_path):
    some = [mbo("R", publisher=2), mbo("R", publisher=1)]
    longer = [bytes([message[0] + 2]) + message[1:] + bytes(8) for message in some]
    options = write(tmp_path / "day", stream(*longer, ts_out=True), publisher=1)
    events, counters, feed = feed_all(options)
    names = [e.tobytes()[16:40].rstrip() for e in events if e["kind"] == Event.DIRECTORY]
    assert names == [b"#7@2", b"#7"]
    assert counters["messages"] == 2
    assert feed.tick(0) == 0


@pytest.mark.compiled
@needs_compiler
def test_more_instruments_than_codes_are_counted():
    assert dbn_instruments.CODES == dbn_state.CODES
    some = [mbo("R", instrument=number) for number in range(1, dbn_state.CODES + 3)]
    _, decoder = run(stream(*some), limit=4096)
    assert (decoder.state["codes_full"], decoder.count("bad_values")) == (1, 2)


def test_options_that_make_no_sense_are_refused():
    for wrong in ('"price_decimals":10', '"price_decimals":-1', '"publisher":65536', '"pric":1'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode('{"kind":"dbn","path":"x",' + wrong + "}", type=DbnOptions)


def test_layouts_are_those_of_the_twin():
    for version in dbn_records.VERSIONS:
        sizes = naive.sizes(version)
        assert dbn_records.sizes_of(version, 0xFFFF) == sizes
        for schema, kind in enumerate(dbn_records.SCHEMAS):
            sole = dbn_records.sizes_of(version, schema)
            assert sole == {number: sizes[number] for number in (kind, 0x15, 0x16, 0x17)}
    assert naive.HEADER.size == dbn_frames.HEAD
    assert naive.PAIR.size == dbn_levels.PAIR_SIZE
    assert dbn_orders.SHOWN == Flag.SNAPSHOT


def test_spans_of_mappings():
    found = spans([Mapping(7, 10, 20, "B"), Mapping(7, 0, 10, "A"), Mapping(8, 20, 30, "A")])
    assert found["id"].tolist() == [7, 7, 8]
    assert found["until_ns"].tolist() == [10, dbn_state.NEVER, dbn_state.NEVER]
    assert found["moved"].tolist() == [0, 0, 1]
    assert (
        len(spans([Mapping(7, 0, 1, "X" * 25), Mapping(9, 0, 1, ""), Mapping(0, 0, 1, "Z")])) == 0
    )
    assert Metadata(3, "", 0, 71, False).mappings == []
