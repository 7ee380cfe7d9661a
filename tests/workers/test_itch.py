"""ITCH 5.0: every message type against a struct-based twin, samples, damage, stretches of bytes."""

import ctypes
import gzip
import mmap
import random
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import itch as naive
from workers.feeds.feed import EQUATIONS, FEED_COUNTERS, FeedError
from workers.feeds.itch import ItchFeed, ItchOptions, date_in_name, midnight_ns
from workers.kernels import itch, itch_frames
from workers.records import EVENT, Event, Flag, empty

EXAMPLES = 100 if compiled() else 15
SAMPLE = {
    "A": 4997, "F": 3, "E": 198, "D": 1745, "U": 12, "X": 45, "P": 5000, "S": 6, "R": 3, "H": 3,
}  # fmt: skip
NUMBERS = ("order", "other", "price", "quantity")


class Decoder:
    """The kernel with its state, fed by hand."""

    def __init__(self, by_type=False, midnight=0):
        self.counters, self.state = empty(FEED_COUNTERS, 1), empty(itch_frames.ITCH_STATE, 1)
        itch_frames.prepare(self.state[0], self.counters.ctypes.data, midnight, by_type)

    def decode(self, data: bytes, final: bool, limit: int) -> tuple[np.ndarray, int]:
        """Events of one stretch, and the bytes consumed."""
        raw, out = np.frombuffer(data or b"\0", np.uint8), empty(EVENT, limit)
        self.state[0]["final"] = final
        written = itch.decode(
            self.state.ctypes.data, raw.ctypes.data, len(data), out.ctypes.data, limit
        )
        return out[:written], int(self.state[0]["consumed"])

    def count(self, name: str) -> int:
        return int(self.counters[0][name])


def run(data: bytes, sizes=None, limit=64, **options) -> tuple[np.ndarray, Decoder]:
    """Decode a whole file handed over in stretches that grow by the given sizes."""
    decoder, events = Decoder(**options), []
    start = end = 0
    sizes = iter(sizes or [])
    while True:
        end = min(end + next(sizes, len(data)), len(data))
        while True:
            found, consumed = decoder.decode(data[start:end], end == len(data), limit)
            start += consumed
            events.append(found)
            if not len(found) and not consumed:
                break
        if end == len(data):
            return np.concatenate(events), decoder


def balanced(counters) -> bool:
    """Whether the equations of a feed hold, and each byte is in a message or skipped."""
    sums = all(
        sum(counters[name] for name in left) == sum(counters[name] for name in right)
        for left, right in EQUATIONS
    )
    framed = sum((size + 2) * counters["types"][ord(letter)] for letter, size in SIZES.items())
    counted = counters["types"].sum() == counters["messages"]
    return bool(sums and counted and framed + counters["skipped_bytes"] == counters["bytes"])


SIZES = {letter: layout.size for letter, layout in naive.FORMATS.items()}


def as_tuples(events: np.ndarray) -> list[tuple]:
    """Events as the twin writes them."""
    return events[["time_ns", "instrument", "kind", "side", "flags", *NUMBERS]].tolist()


CODES = {"H": 16, "I": 32, "Q": 64}
ODD = {
    "side": st.sampled_from([b"B", b"S", b"B", b"S", b"x"]),
    "state": st.sampled_from([b"T", b"H", b"P", b"Q", b"z"]),
    "printable": st.sampled_from([b"Y", b"N", b"\0"]),
    "code": st.sampled_from([b"O", b"C", b"R", b"?"]),
    "stock": st.sampled_from([b"AAPL", b"BRK.A", b"ZVZZT+WI", b"", b"\xff\0"]),
    "locate": st.integers(0, 3) | st.integers(0, 65_535),
    "time": st.integers(0, naive.DAY_NS + 10**12) | st.integers(0, naive.DAY_NS - 1),
}


@st.composite
def messages(draw):
    """A message of any type, now and then with an impossible field."""
    letter = draw(st.sampled_from(sorted(naive.FIELDS)))
    values = {}
    for name, code in naive.HEADER + naive.FIELDS[letter]:
        if name in ODD:
            values[name] = draw(ODD[name])
        elif code in CODES:
            bits = CODES[code]
            values[name] = draw(st.integers(0, 2 ** (bits - 1) - 1) | st.integers(0, 2**bits - 1))
        else:
            size = int(code[:-1] or 1)
            values[name] = draw(st.binary(min_size=size, max_size=size))
    return naive.encode(letter, **values)


def plain_messages(seed: int, count: int) -> list[bytes]:
    """A believable stream: three instruments announced, then orders."""
    draw = random.Random(seed)
    stocks = [b"AAA", b"BBB", b"CCC"]
    found = [naive.encode("R", locate=i + 1, stock=stock) for i, stock in enumerate(stocks)]
    for number in range(count):
        letter = draw.choice("AAAFEXDUPC")
        values = {"locate": draw.randrange(3) + 1, "time": 10**9 * number}
        fields = dict(naive.FIELDS[letter])
        for name in fields.keys() & {"order", "successor", "match", "shares", "price"}:
            values[name] = draw.randrange(1, 10**6)
        values |= {"side": draw.choice([b"B", b"S"])} if "side" in fields else {}
        values |= {"stock": stocks[values["locate"] - 1]} if "stock" in fields else {}
        values |= {"printable": b"Y"} if "printable" in fields else {}
        found.append(naive.encode(letter, **values))
    return found


def test_sizes_are_those_of_the_specification():
    assert itch_frames.SIZES == SIZES
    assert len(SIZES) == 23


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(messages(), max_size=20), st.integers(0, 10**18), st.integers(1, 7))
def test_every_type_as_the_twin_reads_it(some, midnight, limit):
    events, decoder = run(b"".join(map(naive.frame, some)), midnight=midnight, limit=limit)
    expected, counts = naive.events(some, midnight)
    assert as_tuples(events) == expected
    assert {name: decoder.count(name) for name in counts} == counts
    assert balanced(decoder.counters[0])
    for name in ("arrived_ns", "source", "sequence"):
        assert not events[name].any()


def test_symbol_lies_in_the_event_as_text():
    events, _ = run(naive.frame(naive.encode("R", locate=7, stock=b"BRK.A")))
    assert events[0].tobytes()[16:40] == b"BRK.A".ljust(24)
    assert (events[0]["instrument"], events[0]["quantity"]) == (7, 10_000)


def test_an_order_of_an_unannounced_instrument_announces_it():
    order = naive.frame(naive.encode("A", locate=9, stock=b"NEW", side=b"B", order=5, shares=1))
    events, decoder = run(order * 2, limit=1)
    assert list(events["kind"]) == [Event.DIRECTORY, Event.ADD, Event.ADD]
    assert list(events["flags"]) == [Flag.INFERRED, 0, 0]
    assert decoder.count("announced") == 1
    assert balanced(decoder.counters[0])


@pytest.mark.parametrize("by_type", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_where_stretches_are_cut_changes_nothing(seed, by_type):
    draw = random.Random(seed)
    data = bytearray(b"".join(map(naive.frame, plain_messages(seed, 40))))
    for _ in range(3):
        data[draw.randrange(len(data))] = draw.randrange(256)
    data = bytes(data[: len(data) - seed])
    whole, decoder = run(data, by_type=by_type)
    widths = range(1, 101) if compiled() else (1, 2, 3, 7, 41, 100)
    cuts = [[width] * (len(data) // width + 1) for width in widths]
    cuts += [[draw.randrange(1, 90) for _ in data] for _ in range(3)]
    for sizes in cuts:
        events, pieces = run(data, sizes, by_type=by_type, limit=draw.randrange(1, 9))
        assert events.tobytes() == whole.tobytes()
        assert pieces.counters.tobytes() == decoder.counters.tobytes()


@pytest.mark.parametrize("seed", range(60 if compiled() else 10))
def test_one_damaged_byte_costs_one_message(seed):
    draw = random.Random(seed)
    some = plain_messages(seed, 60)
    data = bytearray(b"".join(map(naive.frame, some)))
    data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
    events, decoder = run(bytes(data))
    expected, _ = naive.events(some)
    lost = Counter(expected) - Counter(as_tuples(events))
    assert sum(lost.values()) <= 1
    assert balanced(decoder.counters[0])


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=6)), max_size=8),
    st.integers(0, 1 << 20),
    st.booleans(),
)
def test_damage_anywhere_is_counted(seed, wounds, end, by_type):
    data = bytearray(b"".join(map(naive.frame, plain_messages(seed, 30))))
    for place, patch in wounds:
        data[place % len(data) : place % len(data) + len(patch) // 2] = patch
    data = bytes(data[: end % len(data)])
    _, decoder = run(data, by_type=by_type)
    assert decoder.count("bytes") == len(data)
    assert balanced(decoder.counters[0])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_noise_is_counted(data, by_type):
    _, decoder = run(data, by_type=by_type)
    assert decoder.count("bytes") == len(data)
    assert balanced(decoder.counters[0])


def test_a_cut_off_message_is_counted_once():
    some = plain_messages(1, 3)
    data = b"".join(map(naive.frame, some))
    for missing in (1, 5, len(some[-1]), len(some[-1]) + 1):
        events, decoder = run(data[: len(data) - missing])
        assert as_tuples(events) == naive.events(some[:-1])[0]
        assert decoder.count("truncated") == 1
        assert decoder.count("bad_frames") == 0
        assert decoder.count("skipped_bytes") == len(some[-1]) + 2 - missing


def test_unknown_types_are_skipped_by_their_length():
    some = plain_messages(2, 6)
    news = [b"Z" + bytes(20), b"z", b"%" + b"A" * 63]
    mixed = [some[0], *news, *some[1:], news[0]]
    events, decoder = run(b"".join(map(naive.frame, mixed)))
    assert as_tuples(events) == naive.events(some)[0]
    assert (decoder.count("unknown"), decoder.count("bad_frames")) == (4, 0)
    assert decoder.count("skipped_bytes") == sum(map(len, news)) + len(news[0]) + 8


def test_nothing_is_read_behind_the_end():
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 2 * page)
    raw = np.frombuffer(area, np.uint8)
    start = raw.ctypes.data
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + page), page, 0) == 0
    data = b"".join(map(naive.frame, plain_messages(3, 12)))
    for end in range(len(data)):
        raw[page - end : page] = np.frombuffer(data[:end], np.uint8)
        for by_type, final in ((0, 0), (0, 1), (1, 0), (1, 1)):
            decoder, out = Decoder(by_type), empty(EVENT, 64)
            decoder.state[0]["final"] = final
            at = start + page - end
            itch.decode(decoder.state.ctypes.data, at, end, out.ctypes.data, 64)
            assert decoder.count("bytes") == decoder.state[0]["consumed"]
    assert libc.mprotect(ctypes.c_void_p(start + page), page, 3) == 0


def feed_all(options: ItchOptions, limit: int = 256) -> tuple[np.ndarray, np.record, ItchFeed]:
    """A whole file through the feed."""
    counters, out, parts = empty(FEED_COUNTERS, 1), empty(EVENT, limit), []
    feed = ItchFeed(options, counters.ctypes.data)
    feed.open()
    while not feed.finished:
        parts.append(out[: feed.fill(out.ctypes.data, limit)].copy())
    assert feed.fill(out.ctypes.data, limit) == 0
    assert feed.progress() == 1.0
    trouble = feed.trouble
    feed.close()
    feed.close()
    assert feed.trouble == trouble
    return np.concatenate(parts), counters[0], feed


def types_of(counters) -> dict:
    return {chr(i): int(n) for i, n in enumerate(counters["types"]) if n}


def test_sample_with_lengths():
    path = data_file("itch/ex20101224_lenfixed.itch50.gz")
    events, counters, feed = feed_all(ItchOptions(path=str(path)))
    assert types_of(counters) == SAMPLE
    assert (
        as_tuples(events)
        == naive.events(
            naive.frames(gzip.decompress(path.read_bytes())), midnight_ns("2010-12-24")
        )[0]
    )
    assert counters["bad_frames"] == counters["skipped_bytes"] == counters["truncated"] == 0
    assert balanced(counters)
    assert not feed.trouble


def test_sample_whose_lengths_are_all_zero():
    path = data_file("itch/ex20101224.TEST_ITCH_50.gz")
    events, counters, feed = feed_all(ItchOptions(path=str(path)))
    assert (len(events), counters["bad_frames"], counters["messages"]) == (0, 12_012, 0)
    assert "by-type" in feed.trouble
    assert balanced(counters)
    events, counters, _ = feed_all(ItchOptions(path=str(path), lengths="by-type"))
    fixed = data_file("itch/ex20101224_lenfixed.itch50.gz")
    assert events.tobytes() == feed_all(ItchOptions(path=str(fixed)))[0].tobytes()
    assert types_of(counters) == SAMPLE


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="92,080 messages take long in plain Python")
def test_first_hour_of_a_real_symbol():
    path = data_file("itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz")
    events, counters, _ = feed_all(ItchOptions(path=str(path)))
    assert counters["messages"] == len(events) == 92_080
    assert (
        as_tuples(events)
        == naive.events(
            naive.frames(gzip.decompress(path.read_bytes())), midnight_ns("2012-06-21")
        )[0]
    )


def write(path, data: bytes) -> ItchOptions:
    path.write_bytes(data)
    return ItchOptions(path=str(path), date="1970-01-01")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_packed_files(tmp_path, pack):
    some = plain_messages(4, 300)
    options = write(tmp_path / "day", pack(b"".join(map(naive.frame, some))))
    events, counters, _ = feed_all(options, limit=17)
    assert as_tuples(events) == naive.events(some)[0]
    assert balanced(counters)


def test_a_packed_file_cut_off_keeps_its_beginning(tmp_path):
    some = plain_messages(5, 400)
    packed = gzip.compress(b"".join(map(naive.frame, some)))
    options = write(tmp_path / "day.gz", packed[: len(packed) // 2])
    events, counters, feed = feed_all(options)
    expected = naive.events(some)[0]
    assert 50 < len(events) < len(expected)
    assert as_tuples(events) == expected[: len(events)]
    assert counters["truncated"] == 1
    assert "cut off" in feed.trouble
    assert balanced(counters)


def test_a_packed_file_damaged_keeps_its_beginning(tmp_path):
    some = plain_messages(6, 400)
    packed = bytearray(gzip.compress(b"".join(map(naive.frame, some))))
    packed[-4:] = bytes(4)  # the length in the trailer: all messages came before
    events, counters, feed = feed_all(write(tmp_path / "day.gz", bytes(packed)))
    assert as_tuples(events) == naive.events(some)[0]
    assert counters["truncated"] == 1
    assert "damaged" in feed.trouble


def test_a_file_of_something_else_says_so(tmp_path):
    events, counters, feed = feed_all(write(tmp_path / "a.csv", b"34200.004,1,16113575,18\n" * 99))
    assert (len(events), counters["messages"], counters["bad_frames"]) == (0, 0, 1)
    assert "no message was recognised" in feed.trouble


def test_a_missing_file_is_refused(tmp_path):
    counters = empty(FEED_COUNTERS, 1)
    feed = ItchFeed(ItchOptions(path=str(tmp_path / "none")), counters.ctypes.data)
    with pytest.raises(FeedError, match="none: cannot be opened"):
        feed.open()
    feed.close()


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("01302020.NASDAQ_ITCH50.gz", "2020-01-30"),
        ("ex20101224.TEST_ITCH_50.gz", "2010-12-24"),
        ("AAPL_20120621_0930_1030.itch50", "2012-06-21"),
        ("S071321-v50.txt.gz", None),
        ("99999999.itch", None),
        ("123456789.itch", None),
    ],
)
def test_dates_in_names(name, date):
    assert date_in_name(name) == date


def test_times_count_from_the_date(tmp_path):
    data = naive.frame(naive.encode("S", code=b"O", time=5))
    (tmp_path / "20200130.itch").write_bytes(data)
    path = str(tmp_path / "20200130.itch")
    for date, day in ((None, "2020-01-30"), ("1999-12-31", "1999-12-31")):
        events, *_ = feed_all(ItchOptions(path=path, date=date))
        assert events[0]["time_ns"] == midnight_ns(day) + 5


@pytest.mark.parametrize("wrong", ['"date":"June"', '"lengths":"none"', '"pth":"x"'])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode('{"kind":"itch","path":"x",' + wrong + "}", type=ItchOptions)
