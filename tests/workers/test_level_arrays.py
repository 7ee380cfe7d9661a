import random

import pytest

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.indexes import Indexed
from workers.kernels import level_arrays as arrays
from workers.kernels import levels
from workers.kernels.level_pool import ENTRY, ENTRY_BYTES
from workers.kernels.levels import Index


def array_of(count, owner=0):
    block = Indexed(Index.SORTED, count)
    for price in range(10, 10 * count + 10, 10):
        block.toggle(owner, price)
    return block


@pytest.mark.parametrize("owner", [0, 1])
def test_a_side_grows_and_shrinks_by_halves(owner):
    count = 1000 if compiled() else 150
    block, rng = Indexed(Index.SORTED, count), random.Random(3)
    prices = rng.sample(range(1, 10 * count), count)
    line = block.side(owner)
    for held, price in enumerate(prices, 1):
        block.toggle(owner, price)
        assert held <= line.capacity <= max(8, 2 * held)
    block.audit()
    rng.shuffle(prices)
    for left, price in reversed(list(enumerate(prices))):
        block.toggle(owner, price)
        assert line.capacity <= max(8, 4 * (left + 1))
    assert line.count == line.best == 0
    assert line.capacity == 8
    block.audit()


def test_blocks_given_back_serve_another_side():
    block = Indexed(Index.SORTED, 64, 2)
    fresh = []
    for owner in (0, 3):
        for price in range(1, 65):
            block.toggle(owner, price)
        fresh.append(int(block.header.arena_fresh))
        for price in range(1, 65):
            block.toggle(owner, price)
    assert fresh[1] - fresh[0] <= 8 * levels.ENTRY_BYTES
    assert levels.unused(block.address) == 64


def test_a_rank_counts_the_entries_that_are_no_better():
    block = array_of(50)
    entries = block.address + int(block.side(0).entries_at)
    for price in range(1, 520):
        assert arrays.rank(entries, 50, price) == min(price // 10, 50)


def test_an_array_is_made_long_enough_at_once():
    block = array_of(9)
    place = levels.side_at(block.address, 0)
    assert arrays.reserve(block.address, place, 16)
    assert block.side(0).capacity == 16
    assert arrays.reserve(block.address, place, 33)
    assert block.side(0).capacity == 64
    block.audit()
    assert not arrays.reserve(block.address, place, 1 << 20)
    block.audit()


def test_damage_is_found():
    def entry(block, position):
        return at(block.address + int(block.side(0).entries_at) + ENTRY_BYTES * position, ENTRY)

    def keys_out_of_order(block):
        entry(block, 3).key, entry(block, 3).level = entry(block, 2).key, entry(block, 2).level

    def number_of_no_level(block):
        entry(block, 0).level = 1 << 40

    def key_of_another_price(block):
        entry(block, 4).key += 1

    def best_is_another(block):
        block.side(0).best = 1

    def longer_than_its_block(block):
        block.side(0).count = 17

    def block_elsewhere(block):
        block.side(0).entries_at = 1 << 50

    def size_out_of_range(block):
        block.side(0).size_class = 99

    for damage in (
        keys_out_of_order, number_of_no_level, key_of_another_price, best_is_another,
        longer_than_its_block, block_elsewhere, size_out_of_range,
    ):  # fmt: skip
        block = array_of(9)
        assert levels.sound(block.address, 0)
        damage(block)
        assert not levels.sound(block.address, 0), damage.__name__
