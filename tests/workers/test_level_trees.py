import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.indexes import Indexed
from workers.kernels import level_trees as trees
from workers.kernels import levels
from workers.kernels.level_pool import LINK
from workers.kernels.levels import Index

EXAMPLES = 100 if compiled() else 15


def tree_of(prices, owner=0):
    block = Indexed(Index.TREE, 1000)
    for price in prices:
        block.toggle(owner, price)
    return block


def link(block, number):
    return at(trees.link_at(trees.links_of(block.address), number), LINK)


def blacks(block, number):
    """Black nodes on every way down from a node, which must be the same; and the height."""
    if number == 0:
        return 1, 0
    here = link(block, number)
    (left, low), (right, high) = (blacks(block, int(child)) for child in here.child)
    assert left == right
    for child in here.child:
        assert child == 0 or link(block, child).parent == number
        assert not (here.red and child and link(block, child).red)
    return left + (not here.red), 1 + max(low, high)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=200), st.integers(0, 1))
def test_every_way_down_has_as_many_black_nodes(prices, owner):
    block = tree_of([], owner)
    for price in prices:
        block.toggle(owner, price)
        root = int(block.side(owner).root)
        assert link(block, root).parent == 0
        assert not link(block, root).red
        blacks(block, root)
    block.audit()


@pytest.mark.parametrize("order", [1, -1, 0])
def test_a_tree_stays_low(order):
    prices = list(range(1, 1001)) if compiled() else list(range(1, 201))
    if order == 0:
        random.Random(1).shuffle(prices)
    block = tree_of(prices[::order] if order else prices)
    assert blacks(block, int(block.side(0).root))[1] <= 2 * len(prices).bit_length()
    block.audit()
    for price in prices[::3]:
        block.toggle(0, price)
    block.audit()
    for price in list(block.naive[0]):
        block.toggle(0, price)
    block.audit()
    assert block.side(0).root == block.side(0).best == 0


def test_nothing_is_left_of_a_removal_in_the_record_of_nothing():
    block = tree_of(range(1, 40))
    for price in range(1, 40, 2):
        block.toggle(0, price)
        nothing = link(block, 0)
        assert (nothing.parent, nothing.red, list(nothing.child)) == (0, 0, [0, 0])


def test_trees_need_no_arena():
    block = tree_of(range(1, 100))
    assert block.header.arena_at == block.header.arena_end == block.header.arena_fresh


def test_damage_is_found():
    def a_red_root(block):
        link(block, block.side(0).root).red = 1

    def a_colour_that_is_none(block):
        link(block, 1).red = 7

    def a_child_that_is_nowhere(block):
        link(block, block.side(0).root).child[0] = 1 << 30

    def a_child_of_two(block):
        root = link(block, block.side(0).root)
        root.child[0] = root.child[1]

    def a_way_that_goes_round(block):
        link(block, block.side(0).best).child[1] = block.side(0).root

    def a_key_of_another_price(block):
        link(block, 5).key += 1

    def a_best_that_is_not(block):
        block.side(0).best = 1

    def a_root_that_is_none(block):
        block.side(0).root = -1

    def a_level_too_many(block):
        block.side(0).count += 1

    def a_black_too_many(block):
        leaf = next(n for n in range(1, 21) if link(block, n).red)
        link(block, leaf).red = 0

    for damage in (
        a_red_root, a_colour_that_is_none, a_child_that_is_nowhere, a_child_of_two,
        a_way_that_goes_round, a_key_of_another_price, a_best_that_is_not, a_root_that_is_none,
        a_level_too_many, a_black_too_many,
    ):  # fmt: skip
        block = tree_of(range(1, 21))
        assert levels.sound(block.address, 0)
        damage(block)
        assert not levels.sound(block.address, 0), damage.__name__
