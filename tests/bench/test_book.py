"""The book benchmark: every variant comes to what an obvious reading of the bytes comes to."""

import struct
from collections import defaultdict
from pathlib import Path

import pytest

from bench import book, c_program
from bench.book import AHEAD, APPLIED, DECODED, Day, Size
from bench.book_indexes import KINDS
from bench.harness import BenchError, Options
from ringbuf.jit import compiled
from workers.feeds.synthetic import SyntheticOptions, write_file

SIZE = Size(2_000, 20, 1 << 10) if compiled() else Size(500, 6, 1 << 10)
SEED, MASK_31, MASK_32 = 0x4BF29CE484222325, (1 << 31) - 1, (1 << 32) - 1
needs_gcc = pytest.mark.skipif(not c_program.available(), reason="gcc is absent")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "day.itch"
    write_file(SyntheticOptions(messages=SIZE.messages, symbols=SIZE.symbols), path)
    return path


def messages_of(data: bytes):
    """The messages of whole frames."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from(">H", data, place)
        yield data[place + 2 : place + 2 + length]
        place += 2 + length


def totals_of(data: bytes) -> dict[tuple[int, int, int], int]:
    """Shares that rest by (locate, side, price)."""
    orders: dict[int, list[int]] = {}
    for message in messages_of(data):
        kind = chr(message[0])
        if kind in "AF":
            reference, side, shares = struct.unpack_from(">QcI", message, 11)
            (price,) = struct.unpack_from(">I", message, 32)
            (locate,) = struct.unpack_from(">H", message, 1)
            orders[reference] = [locate, int(side == b"S"), price, shares]
        elif kind in "ECX":
            reference, shares = struct.unpack_from(">QI", message, 11)
            orders[reference][3] -= shares
            if not orders[reference][3]:
                del orders[reference]
        elif kind == "D":
            del orders[struct.unpack_from(">Q", message, 11)[0]]
        elif kind == "U":
            old, new, shares, price = struct.unpack_from(">QQII", message, 11)
            locate, ask, _, _ = orders.pop(old)
            orders[new] = [locate, ask, price, shares]
    totals: dict[tuple[int, int, int], int] = defaultdict(int)
    for locate, ask, price, shares in orders.values():
        totals[locate, ask, price] += shares
    return totals


def stirred(value: int, number: int) -> int:
    for shift in (0, 31, 62):
        low = (value & MASK_32) ^ ((number >> shift) & MASK_31)
        value = (low * 0x5BD1E995) ^ ((value >> 32) * 0x6C8E9CF5)
        value ^= value >> 29
    return value


def digest_of(totals: dict[tuple[int, int, int], int]) -> int:
    """Symbol after symbol, bids before asks, the best price first."""
    value = SEED
    best_first = sorted(totals, key=lambda key: (key[0], key[1], key[2] if key[1] else -key[2]))
    for locate, ask, price in best_first:
        for number in (2 * locate + ask, price, totals[locate, ask, price]):
            value = stirred(value, number)
    return value


@pytest.mark.parametrize("what", [APPLIED, AHEAD])
def test_the_books_hold_what_an_obvious_reading_leaves(file, what):
    totals = totals_of(file.read_bytes())
    assert len(totals) > SIZE.symbols
    day = Day(str(file), SIZE)
    assert day.run(what) > 0
    assert day.digest() == digest_of(totals)
    sampled = day.run_sampled(what)
    assert day.digest() == digest_of(totals)
    assert list(sampled.values()) == sorted(sampled.values())


def test_decoding_alone_reaches_the_last_byte(file):
    day = Day(str(file), SIZE)
    for run in (day.run, day.run_sampled):
        run(DECODED)
        assert day.position == len(day.data)
        assert day.counters["bad_frames"][0] == day.counters["bad_values"][0] == 0
    assert day.counters["messages"][0] == 2 * SIZE.messages


def test_empty_books_prove_nothing_and_are_refused(file):
    day = Day(str(file), SIZE)
    day.start_over()
    with pytest.raises(BenchError, match="no level is left"):
        day.digest()


@needs_gcc
def test_the_c_program_comes_to_the_same_books(file):
    found = c_program.books(file, 2 * SIZE.orders, 16, 0)
    totals = totals_of(file.read_bytes())
    assert found["digest"] == digest_of(totals)
    assert (found["levels"], found["messages"]) == (len(totals), SIZE.messages)


def test_variants_that_disagree_are_refused(tmp_path):
    contest = book.Contest(Size(200, 3, 64), str(tmp_path))
    contest.agree(5, "one")
    contest.agree(5, "two")
    with pytest.raises(BenchError, match="three: the books differ"):
        contest.agree(6, "three")


def test_the_benchmark_runs_and_holds_our_books_against_c(monkeypatch):
    monkeypatch.setattr(book, "SHORT", SIZE)
    monkeypatch.setattr(book, "TINY", Size(200, 4, 256))
    result = book.run(Options(short=True))
    assert result.headline == "ns"
    for variant in result.variants:
        assert result.median(variant, "ns") > 0
        if variant.split(",")[0] not in KINDS:
            assert result.median(variant, "one p50") <= result.median(variant, "one max")
    held = [other for other in result.pairs.values() if other.startswith("sorted")]
    assert len(held) == 3 * (len(KINDS) - 1)
    assert (len(result.pairs) > len(held)) == c_program.available()
    assert all(result.ratio(variant, other) > 0 for variant, other in result.pairs.items())
