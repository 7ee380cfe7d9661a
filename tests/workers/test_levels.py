import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.books import Block
from workers.kernels import levels

INT64_MAX = (1 << 63) - 1


def block_of(limit, instruments):
    block = Block(levels.bytes_needed(limit, instruments))
    levels.create(block.address, limit, instruments)
    return block


def prices_of(address, owner):
    """Prices from the best, as the arrays have them."""
    count = int(at(levels.side_at(address, owner), levels.SIDE).count)
    numbers = [levels.nth(address, owner, depth) for depth in range(count)]
    return [int(at(levels.level_at(address, number), levels.LEVEL).price) for number in numbers]


def arena_balances(address, instruments):
    header = at(address, levels.LEVELS)
    sides = [at(levels.side_at(address, owner), levels.SIDE) for owner in range(2 * instruments)]
    entries = sum(int(side.capacity) for side in sides) + levels.unused_entries(address)
    return entries * levels.ENTRY_BYTES == header.arena_fresh - header.arena_at


@settings(max_examples=100 if compiled() else 20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.integers(1, 60), st.just(INT64_MAX))),
        max_size=150,
    )
)
def test_sides_stay_sorted_best_last(stream):
    limit = 40
    block, naive = block_of(limit, 2), {owner: set() for owner in range(4)}
    for owner, price in stream:
        number = levels.find(block.address, owner, price)
        assert bool(number) == (price in naive[owner])
        if number:
            levels.close(block.address, number)
            naive[owner].remove(price)
        elif sum(map(len, naive.values())) == limit:
            assert levels.find_or_open(block.address, owner, price) == 0
        else:
            number = levels.find_or_open(block.address, owner, price)
            assert number == levels.find_or_open(block.address, owner, price) > 0
            naive[owner].add(price)
        assert levels.sorted_side(block.address, owner)
        assert prices_of(block.address, owner) == sorted(naive[owner], reverse=owner % 2 == 0)
    assert arena_balances(block.address, 2)


@pytest.mark.parametrize("owner", [0, 1])
def test_a_side_grows_and_shrinks_by_halves(owner):
    count = 1000 if compiled() else 150
    block, rng = block_of(count, 1), random.Random(3)
    prices = rng.sample(range(1, 10 * count), count)
    line = at(levels.side_at(block.address, owner), levels.SIDE)
    for held, price in enumerate(prices, 1):
        levels.find_or_open(block.address, owner, price)
        assert held <= line.capacity <= max(8, 2 * held)
    assert prices_of(block.address, owner) == sorted(prices, reverse=owner == 0)
    rng.shuffle(prices)
    for left, price in enumerate(reversed(prices)):
        levels.close(block.address, levels.find(block.address, owner, prices[count - 1 - left]))
        assert price == prices[count - 1 - left]
        assert line.capacity <= max(8, 4 * (count - 1 - left + 1))
    assert line.count == line.best == 0
    assert line.capacity == 8
    assert arena_balances(block.address, 1)


def test_blocks_given_back_serve_another_side():
    block = block_of(64, 2)
    fresh = []
    for owner in (0, 3):
        for price in range(1, 65):
            levels.find_or_open(block.address, owner, price)
        fresh.append(int(at(block.address, levels.LEVELS).arena_fresh))
        for price in range(1, 65):
            levels.close(block.address, levels.find(block.address, owner, price))
    assert fresh[1] - fresh[0] <= 8 * levels.ENTRY_BYTES
    assert levels.unused(block.address) == 64


def test_a_rank_counts_the_entries_that_are_no_better():
    block = block_of(50, 1)
    for price in range(10, 510, 10):
        levels.find_or_open(block.address, 0, price)
    line = at(levels.side_at(block.address, 0), levels.SIDE)
    entries = block.address + int(line.entries_at)
    for price in range(1, 520):
        assert levels.rank(entries, 50, price) == min(price // 10, 50)


def test_depths_beyond_a_side_are_empty():
    block = block_of(4, 1)
    levels.find_or_open(block.address, 1, 100)
    assert levels.nth(block.address, 1, 0) == 1
    assert [levels.nth(block.address, 1, depth) for depth in (-1, 1, 2)] == [0, 0, 0]
    assert levels.nth(block.address, 0, 0) == 0
