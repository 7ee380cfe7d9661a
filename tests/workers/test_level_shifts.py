import random

from ringbuf.jit import compiled
from tests.workers.indexes import Indexed
from workers.kernels import level_shifts, levels
from workers.kernels.level_pool import SORTED, TREE

DEEP = 1500


def deep_side():
    """A side of many levels, opened from the worst to the best: that costs a sorted one nothing."""
    block = Indexed(levels.Index.AUTO, DEEP + 10)
    for price in range(DEEP):
        block.toggle(0, 10 * price + 10)
    assert block.side(0).kind == SORTED
    return block


def churn(block, prices, events):
    """Close and open again levels of some prices."""
    rng = random.Random(4)
    for _ in range(events):
        price = rng.choice(prices)
        block.toggle(0, price)
        block.toggle(0, price)


def test_a_deep_book_that_changes_far_from_its_best_becomes_a_tree_and_back():
    block = deep_side()
    churn(block, [10 * DEEP, 10 * DEEP - 10], 300)
    assert block.side(0).kind == SORTED
    churn(block, [10, 20, 30], 20)
    assert block.side(0).kind == TREE
    block.audit()
    churn(block, [10, 20, 30, 10 * DEEP], level_shifts.CALM)
    assert block.side(0).kind == TREE
    churn(block, [10 * DEEP, 10 * DEEP - 10], level_shifts.CALM)
    assert block.side(0).kind == SORTED
    block.audit()


def test_a_tree_with_few_levels_left_is_sorted_again():
    block = deep_side()
    churn(block, [10, 20, 30], 20)
    for price in sorted(block.naive[0]):
        assert block.side(0).kind == (TREE if len(block.naive[0]) >= level_shifts.FEW else SORTED)
        block.toggle(0, price)
    block.audit()


def test_a_tree_stays_one_while_the_arena_has_no_block():
    block = deep_side()
    churn(block, [10, 20, 30], 20)
    block.header.free_blocks[:] = 0
    block.header.arena_end = block.header.arena_fresh
    for price in sorted(block.naive[0])[: DEEP - 10]:
        block.toggle(0, price)
    assert block.side(0).kind == TREE
    assert levels.sound(block.address, 0)
    assert block.prices(0) == sorted(block.naive[0], reverse=True)


def test_what_becomes_of_a_side_depends_on_its_events_alone():
    blocks, rng = [Indexed(levels.Index.AUTO, 600) for _ in range(2)], random.Random(9)
    for _ in range(3000 if compiled() else 1500):
        price = rng.randrange(1, 1200)
        for block in blocks:
            block.toggle(1, price)
    assert (blocks[0].words == blocks[1].words).all()
    blocks[0].audit()
