import pytest

from tests.workers.indexes import KINDS, Indexed
from workers.kernels import level_pool as pool


@pytest.mark.parametrize("kind", KINDS)
def test_parts_lie_one_behind_the_other(kind):
    block = Indexed(kind, 37, 3, 128)
    header = block.header
    places = [header.sides_at, header.arena_at, header.arena_end, header.links_at]
    places += [header.windows_at, pool.bytes_needed(37, 3, kind, 128)]
    kept = [int(place) for place in places if place]
    assert kept == sorted(kept)
    assert header.sides_at % 64 == header.windows_at % 64 == header.window_bytes % 64 == 0
    assert header.links_at % pool.LINK_BYTES == 0
    assert bool(header.links_at) == (kind in (pool.TREE, pool.AUTO))
    assert bool(header.windows_at) == (kind == pool.LADDER)


def test_levels_given_back_are_taken_first():
    block = Indexed(pool.SORTED, 3)
    numbers = [pool.take_level(block.address, 0, price) for price in (1, 2, 3)]
    assert numbers == [1, 2, 3]
    assert pool.full(block.address)
    pool.give_level(block.address, 1)
    pool.give_level(block.address, 3)
    assert pool.unused(block.address) == 2
    assert [pool.take_level(block.address, 1, 9) for _ in range(2)] == [3, 1]
    assert pool.key_at(block.address, 3) == -9
    assert [pool.known(block.address, number) for number in (-1, 0, 1, 3, 4)] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_lists_that_do_not_end_are_seen():
    block = Indexed(pool.SORTED, 3)
    for price in (1, 2):
        pool.give_level(block.address, pool.take_level(block.address, 0, price))
    pool.give_level(block.address, int(block.header.free))
    assert pool.unused(block.address) == -1
    first = pool.take_block(block.address, 0)
    pool.give_block(block.address, first, 0)
    assert pool.unused_entries(block.address) == pool.BLOCK_ENTRIES
    pool.give_block(block.address, first, 0)
    assert pool.unused_entries(block.address) == -1
