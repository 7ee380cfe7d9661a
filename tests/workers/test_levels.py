"""Whatever the kind of index: the same levels, in the same order, found by the same names."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.indexes import KINDS, Indexed
from workers.kernels import levels
from workers.kernels.levels import LEVEL, Index

INT64_MAX = (1 << 63) - 1
EXAMPLES = 60 if compiled() else 10
# Near together, on a coarse grid, and as far apart as can be.
PRICES = st.one_of(
    st.integers(1, 60),
    st.integers(1, 60).map(lambda tick: 100 * tick + 1_000_000),
    st.integers(-3, 3).map(lambda power: (1 << 62) + power),
    st.sampled_from([INT64_MAX, INT64_MAX - 1, 1 << 40, 1 << 50]),
)
STREAMS = st.lists(st.tuples(st.integers(0, 3), PRICES), max_size=150)


@settings(max_examples=EXAMPLES, deadline=None)
@given(STREAMS)
def test_all_kinds_hold_the_levels_of_the_obvious(stream):
    blocks = [Indexed(kind, 40, 2) for kind in KINDS]
    for owner, price in stream:
        numbers = {block.toggle(owner, price) for block in blocks}
        assert len(numbers) == 1
        for block in blocks:
            block.audit()
            assert block.by_depth(owner) == block.prices(owner)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("step", "width"), [(1, 300), (100, 40), (1, 1 << 60), (7, 3000)])
def test_markets_that_wander_are_followed(kind, step, width):
    """Prices drift far from where they began, now and then leap, and some lie between ticks."""
    block, rng = Indexed(kind, 400), random.Random(step)
    middle = 1 << 61
    for count in range(4000 if compiled() else 500):
        middle += step * rng.randint(-4, 5) + (rng.random() < 0.002) * step * 1_000
        owner = rng.randrange(2)
        away = step * int(width ** rng.random()) + (rng.random() < 0.02)
        if block.naive[owner] and rng.random() < 0.5:
            price = rng.choice(sorted(block.naive[owner]))
        else:
            price = middle + (away if owner else -away)
        block.toggle(owner, price)
        if count % 100 == 0:
            block.audit()
    block.audit()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_copied_elsewhere_go_on_as_the_original(kind):
    block, rng = Indexed(kind, 100), random.Random(5)
    stream = [(rng.randrange(2), 500 + rng.randrange(200)) for _ in range(400)]
    for owner, price in stream[:200]:
        block.toggle(owner, price)
    copy = block.copy()
    before = block.words.copy()
    for owner, price in stream[200:]:
        copy.toggle(owner, price)
    copy.audit()
    assert (block.words == before).all()
    for owner, price in stream[200:]:
        block.toggle(owner, price)
    assert (block.words == copy.words).all()


@pytest.mark.parametrize("kind", KINDS)
def test_full_pools_refuse_and_go_on(kind):
    block = Indexed(kind, 5)
    for price in (10, 20, 30, 40, 50, 60):
        block.toggle(0, price)
    block.audit()
    before = block.words.copy()
    assert levels.find_or_open(block.address, 1, 70) == 0
    assert levels.find_or_open(block.address, 0, 5) == 0
    assert (block.words == before).all()
    block.toggle(0, 30)
    block.toggle(1, 70)
    block.audit()
    assert levels.unused(block.address) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_depths_beyond_a_side_are_empty(kind):
    block = Indexed(kind, 4)
    levels.find_or_open(block.address, 1, 100)
    assert levels.nth(block.address, 1, 0) == 1
    assert [levels.nth(block.address, 1, depth) for depth in (-1, 1, 2)] == [0, 0, 0]
    assert levels.nth(block.address, 0, 0) == 0
    assert levels.worse(block.address, 1) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_down_meets_every_level(kind):
    block = Indexed(kind, 60)
    for price in range(60, 0, -1):
        block.toggle(1, price)
    number, found = 0, []
    for depth in range(61):
        number = levels.next_down(block.address, 1, number, depth)
        found.append(int(at(levels.level_at(block.address, number), LEVEL).price))
    assert found == [*range(1, 61), 0]
    assert levels.next_down(block.address, 0, 0, 0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_asking_ahead_changes_nothing(kind):
    block = Indexed(kind, 10)
    for price in (100, 200):
        block.toggle(0, price)
    before = block.words.copy()
    for owner in range(2):
        levels.prefetch_side(block.address, owner)
        levels.prefetch_best(block.address, owner)
    assert (block.words == before).all()


def test_a_side_of_another_kind_than_the_header_says_is_not_sound():
    block = Indexed(Index.AUTO, 4)
    assert levels.sound(block.address, 0)
    block.side(0).kind = Index.LADDER
    assert not levels.sound(block.address, 0)
    block = Indexed(Index.TREE, 4)
    block.side(1).kind = Index.SORTED
    assert not levels.sound(block.address, 1)


def test_memory_is_for_what_the_kind_needs_only():
    sizes = {kind: levels.bytes_needed(1 << 10, 8, kind, 1 << 10) for kind in KINDS}
    assert sizes[Index.TREE] < sizes[Index.SORTED] < sizes[Index.AUTO] < sizes[Index.LADDER]
    assert sizes[Index.AUTO] - sizes[Index.SORTED] < 33 * (1 << 10)
