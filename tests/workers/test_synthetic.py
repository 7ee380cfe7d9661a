"""The made-up day: valid ITCH, a believable mix, books that never cross, the same bytes always."""

import hashlib
from collections import Counter

import msgspec
import numpy as np
import pytest

from ringbuf.jit import compiled
from tests.naive import itch as naive
from workers.feeds.feed import FEED_COUNTERS, FeedError
from workers.feeds.itch import ItchFeed, ItchOptions, midnight_ns
from workers.feeds.synthetic import (
    Day,
    SyntheticFeed,
    SyntheticOptions,
    _aliases,
    activity,
    opening_prices,
    symbols,
    write_file,
)
from workers.kernels.flow_book import ALIAS
from workers.records import EVENT, Event, Side, empty

MANY = 40_000 if compiled() else 3_000
SMALL = SyntheticOptions(messages=1_500, symbols=8, seed=11)
# Of SMALL's bytes: compiled or not, on every machine, the day is this one.
DIGEST = "a5daea3dda1dc2d90ec519f3a5058336"


def bytes_of(options: SyntheticOptions, chunk: int = 1 << 16) -> bytes:
    day, parts = Day(options, chunk), []
    while not day.over:
        parts.append(day.chunk(day.next_chunk()))
    return b"".join(parts)


def decoded(options: SyntheticOptions) -> list[dict]:
    return [naive.decode(message) for message in naive.frames(bytes_of(options))]


def drain(feed, limit: int = 512) -> np.ndarray:
    out, parts = empty(EVENT, limit), []
    feed.open()
    while not feed.finished:
        parts.append(out[: feed.fill(out.ctypes.data, limit)].copy())
    assert feed.fill(out.ctypes.data, limit) == 0
    assert feed.progress() == 1.0
    feed.close()
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def day() -> list[dict]:
    return decoded(SyntheticOptions(messages=MANY, symbols=20))


def test_the_same_bytes_everywhere():
    assert hashlib.blake2b(bytes_of(SMALL), digest_size=16).hexdigest() == DIGEST


def test_chunks_and_seeds():
    whole = bytes_of(SMALL)
    assert bytes_of(SMALL, chunk=100) == whole
    assert bytes_of(msgspec.structs.replace(SMALL, seed=12)) != whole


def test_every_message_is_clean():
    options = msgspec.structs.replace(SMALL, date="2024-02-29")
    counters = empty(FEED_COUNTERS, 1)
    feed = SyntheticFeed(options, counters.ctypes.data)
    events = drain(feed, 37)
    expected, counts = naive.events(naive.frames(bytes_of(SMALL)), midnight_ns("2024-02-29"))
    names = ["time_ns", "instrument", "kind", "side", "flags", "order", "other", "price"]
    assert events[[*names, "quantity"]].tolist() == expected
    for name, number in counts.items():
        assert counters[0][name] == number
    for name in ("unknown", "bad_frames", "bad_values", "skipped_bytes", "truncated"):
        assert counters[0][name] == 0
    assert counters[0]["messages"] == options.messages


def test_a_file_of_the_day_reads_the_same(tmp_path):
    path, counters = tmp_path / "day.itch50", empty(FEED_COUNTERS, 2)
    assert write_file(SMALL, path) == path.stat().st_size
    assert path.read_bytes() == bytes_of(SMALL)
    made = drain(SyntheticFeed(SMALL, counters[0:].ctypes.data))
    read = drain(ItchFeed(ItchOptions(path=str(path)), counters[1:].ctypes.data))
    assert made.tobytes() == read.tobytes()
    assert counters[0] == counters[1]
    with pytest.raises(FeedError, match="cannot be written"):
        write_file(SMALL, tmp_path / "none" / "day")


def test_the_mix_is_that_of_a_real_day(day):
    flow = Counter(m["letter"] for m in day[3 * 20 + 3 : -(20 + 3)])
    share = {letter: 100 * times / flow.total() for letter, times in flow.items()}
    tolerance = 1.5 if compiled() else 5
    groups = {"AF": 46.3, "D": 40.3, "U": 7.9, "EC": 3.5, "X": 1.25, "PIBN": 0.7}
    for letters, expected in groups.items():
        found = sum(share.get(letter, 0) for letter in letters)
        assert found == pytest.approx(expected, abs=tolerance), letters
    assert flow["A"] > 10 * flow["F"] > 0


def test_the_day_opens_and_closes(day):
    letters = "".join(m["letter"] for m in day)
    assert letters.startswith("S" + "R" * 20 + "H" * 20 + "SS" + "Q" * 20)
    assert letters.endswith("S" + "Q" * 20 + "SS")
    assert b"".join(m["code"] for m in day if m["letter"] == "S") == b"OSQMEC"
    times = [m["time"] for m in day]
    assert times == sorted(times)
    sessions = {m["code"]: m["time"] for m in day if m["letter"] == "S"}
    assert sessions[b"Q"] == 34_200 * 10**9
    assert sessions[b"M"] == 57_600 * 10**9
    options = SyntheticOptions(messages=MANY, symbols=20)
    names = [m["stock"].decode().rstrip() for m in day if m["letter"] == "R"]
    assert names == symbols(options)
    prices = [m["price"] for m in day if m["letter"] == "Q"][:20]
    assert prices == opening_prices(options)


def test_books_never_cross_and_hold_together(day):
    books = {locate: naive.Book() for locate in range(1, 21)}
    for m in day:
        if m["letter"] not in "AFECXDU":
            continue
        book = books[m["locate"]]
        if m["letter"] in "EC":
            assert book.first(m["order"])
        book.apply(m)
        bid, ask = book.best(Side.BID), book.best(Side.ASK)
        assert bid is None or ask is None or bid < ask
        for price in (bid, ask):
            assert price is None or (price > 0 and price % 100 == 0)
    assert sum(len(book.orders) for book in books.values()) > MANY // 50


def test_order_and_match_numbers_are_new_each_time(day):
    orders = [
        m["successor"] if m["letter"] == "U" else m["order"] for m in day if m["letter"] in "AFU"
    ]
    assert orders == sorted(set(orders))
    matches = [m["match"] for m in day if m["letter"] in "ECPQ"]
    assert matches == sorted(set(matches))


def test_activity_follows_zipf(day):
    counts = Counter(m["locate"] for m in day if m["letter"] in "AF")
    harmonic = sum(1 / rank for rank in range(1, 21))
    for rank in (1, 2, 4):
        expected = 1 / rank / harmonic
        assert counts[rank] / counts.total() == pytest.approx(expected, rel=0.35)


def test_arrivals_cluster_and_crowd_at_both_ends(day):
    times = np.array([m["time"] for m in day[63:-23]])
    gaps = np.diff(times)
    assert gaps.std() > 1.5 * gaps.mean()  # 1 would be a Poisson stream
    thirds = np.histogram(times, 3, (34_200 * 10**9, 57_600 * 10**9))[0]
    assert thirds[0] > 1.3 * thirds[1] < thirds[2]


def test_prices_wander_but_not_far(day):
    opened = opening_prices(SyntheticOptions(messages=MANY, symbols=20))
    moved = 0
    for m in day:
        if m["letter"] in "AFU":
            assert abs(m["price"] - opened[m["locate"] - 1]) <= 512 * 100
        if m["letter"] == "Q":
            moved += m["price"] != opened[m["locate"] - 1]
    assert moved >= 10


def test_a_full_pool_takes_no_more_orders():
    day = Day(SMALL)
    day.header["pool"] = 16
    parts = []
    while not day.over:
        parts.append(day.chunk(day.next_chunk()))
    live = 0
    books = {locate: naive.Book() for locate in range(1, 9)}
    for message in naive.frames(b"".join(parts)):
        m = naive.decode(message)
        if m["letter"] in "AFECXDU":
            books[m["locate"]].apply(m)
        live = max(live, sum(len(book.orders) for book in books.values()))
    assert live == 16
    assert day.header["live"] == sum(len(book.orders) for book in books.values())


def test_alias_table_gives_each_symbol_its_share():
    weights = activity(SyntheticOptions(symbols=50))
    table = _aliases(weights)
    assert table.dtype == ALIAS
    shares = np.zeros(50)
    for place, (chance, other) in enumerate(table.tolist()):
        shares[place] += chance / 2**32 / 50
        shares[other] += (1 - chance / 2**32) / 50
    assert shares == pytest.approx(np.array(weights) / sum(weights), rel=1e-6)


def test_symbols_are_tickers():
    for seed in (0, 7, 2**63 - 1):
        options = SyntheticOptions(symbols=3_000, seed=seed)
        names = symbols(options)
        assert len(set(names)) == 3_000
        assert all(name.isalpha() and name.isupper() and 3 <= len(name) <= 4 for name in names)
        assert all(50_000 <= price <= 5_000_000 for price in opening_prices(options))
    assert symbols(SyntheticOptions(symbols=5)) == symbols(SyntheticOptions(symbols=9))[:5]


def test_the_smallest_day():
    options = SyntheticOptions(messages=10, symbols=1)
    assert [m["letter"] for m in decoded(options)] == list("SRHSSQSQSS")
    counters = empty(FEED_COUNTERS, 1)
    events = drain(SyntheticFeed(options, counters.ctypes.data))
    assert events[-1]["kind"] == Event.SYSTEM


@pytest.mark.parametrize(
    "wrong",
    [
        '"symbols":0',
        '"symbols":20001',
        '"messages":100',
        '"messages":4000000000',
        '"start":57600',
        '"end":86400',
        '"seed":-1',
        '"date":"soon"',
        '"speed":1',
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode('{"kind":"synthetic",' + wrong + "}", type=SyntheticOptions)
