import random

import pytest

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.indexes import TICKS, Indexed
from workers.kernels import level_ladders as ladders
from workers.kernels import level_ticks, levels
from workers.kernels.level_pool import (
    OUTSIDE_AT,
    SIDE,
    TICK,
    WINDOW,
    WORD,
    leaves_of,
)
from workers.kernels.levels import Index

EXAMPLES = 100 if compiled() else 15


def ladder_of(prices, owner=0, ticks=TICKS):
    block = Indexed(Index.LADDER, 1000, ticks=ticks)
    for price in prices:
        block.toggle(owner, price)
    return block


def window_of(block, owner=0):
    return at(ladders.window_at(block.address, levels.side_at(block.address, owner)), WINDOW)


def outside_of(block, owner=0):
    where = ladders.window_at(block.address, levels.side_at(block.address, owner))
    return at(where + OUTSIDE_AT, SIDE)


def tick(block, number, owner=0):
    where = ladders.window_at(block.address, levels.side_at(block.address, owner))
    return at(ladders.tick_at(block.address, where, number), TICK)


@pytest.mark.parametrize("owner", [0, 1])
def test_a_window_is_laid_around_the_best_on_the_grid_of_most(owner):
    middle = 5_000_000
    sign = 1 if owner else -1
    block = ladder_of([middle + sign * 100 * away for away in range(12)], owner)
    window = window_of(block, owner)
    assert window.step == 100
    assert outside_of(block, owner).count == 0
    assert window.count == 12
    block.toggle(owner, middle + sign * 101)
    assert outside_of(block, owner).count == 1
    block.audit()


def test_a_window_follows_the_best_up_and_down():
    block, rng = ladder_of([]), random.Random(2)
    middle = 100_000
    for turn in range(2000 if compiled() else 400):
        middle += 10 * (1 if turn < 1000 else -1)
        block.toggle(0, middle - 10 * rng.randrange(8))
        if len(block.naive[0]) > 20:
            block.toggle(0, min(block.naive[0], key=lambda price: -abs(price - middle)))
        assert outside_of(block).count <= len(block.naive[0])
    block.audit()
    window = window_of(block)
    assert 2 < window.moves < 400
    assert abs(window.bottom - middle) < 20 * TICKS
    assert window.step == 10


def test_moves_are_rare_where_they_are_of_no_use():
    """Levels that no window holds, as they lie between its ticks, do not make it move for ever."""
    block = ladder_of([1_000_000 + 100 * tick for tick in range(30)])
    moves = int(window_of(block).moves)
    rng, events = random.Random(3), 3000 if compiled() else 300
    for _ in range(events):
        block.toggle(0, 1_000_000 + 100 * rng.randrange(30) + 37)
    assert window_of(block).moves - moves <= events / 32
    block.audit()


@pytest.mark.parametrize("owner", [0, 1])
def test_prices_too_large_for_a_window_stay_outside(owner):
    prices = [(1 << 63) - 1 - number for number in range(40)]
    block = ladder_of(prices, owner)
    block.audit()
    assert window_of(block, owner).count == 0


def test_an_arena_without_room_leaves_the_window_where_it_is():
    block = ladder_of(range(100, 120))
    bottom, moves = int(window_of(block).bottom), int(window_of(block).moves)
    block.header.arena_end = block.header.arena_fresh
    for _ in range(2 * 40):
        block.toggle(0, 500)
    window = window_of(block)
    assert (window.bottom, window.moves) == (bottom, moves)
    assert window.patience == 2 * ladders.PATIENCE
    block.audit()


def a_bit_too_many(block):
    where = ladders.window_at(block.address, levels.side_at(block.address, 0))
    at(level_ticks.word_at(where, leaves_of(TICKS)), WORD).bits ^= 1


def a_bit_of_a_word_too_few(block):
    where = ladders.window_at(block.address, levels.side_at(block.address, 0))
    at(level_ticks.word_at(where, 0), WORD).bits = 0


def a_level_on_no_tick(block):
    tick(block, 0).level = 1


def a_number_of_no_level(block):
    number = next(n for n in range(TICKS) if tick(block, n).level)
    tick(block, number).level = 1 << 30


def two_levels_changed_over(block):
    one, two = [n for n in range(TICKS) if tick(block, n).level][:2]
    kept = int(tick(block, one).level)
    tick(block, one).level = tick(block, two).level
    tick(block, two).level = kept


def a_window_elsewhere(block):
    block.side(0).entries_at += 64


def another_bottom(block):
    window_of(block).bottom += 100
    window_of(block).end += 100


def another_end(block):
    window_of(block).end += 1


def another_factor(block):
    window_of(block).factor += 1


def other_leaves(block):
    window_of(block).leaves = 1 << 20


def a_best_that_is_not(block):
    block.side(0).best = 2


def a_level_too_many(block):
    block.side(0).count += 1


@pytest.mark.parametrize(
    "damage",
    [
        a_bit_too_many,
        a_bit_of_a_word_too_few,
        a_level_on_no_tick,
        a_number_of_no_level,
        two_levels_changed_over,
        a_window_elsewhere,
        another_bottom,
        another_end,
        another_factor,
        other_leaves,
        a_best_that_is_not,
        a_level_too_many,
    ],
)
def test_damage_is_found(damage):
    block = ladder_of([5000, 100, *(5000 - 10 * number for number in range(1, 15))])
    block.toggle(0, 4999)
    assert levels.sound(block.address, 0)
    damage(block)
    assert not levels.sound(block.address, 0)
