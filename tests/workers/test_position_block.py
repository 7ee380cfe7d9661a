"""The block of positions is laid out without overlaps, and trees are trees."""

import numpy as np
import pytest

from ringbuf.atomics import at
from workers.kernels import position_block
from workers.kernels.position_block import PORTFOLIO, STATE, Limits, PositionRefused, ancestors
from workers.records import empty


def created(limits, parents=()):
    memory = empty(np.dtype("V64"), position_block.bytes_needed(limits) // 64)
    position_block.create(memory.ctypes.data, limits, parents)
    return memory


def test_no_part_lies_in_another():
    limits = Limits(instruments=5, portfolios=3, held=2, scenarios=130)
    memory = created(limits)
    address = memory.ctypes.data
    header = at(address, STATE)
    places = [0, header.rows_at, header.held_at, header.portfolios_at, header.positions_at]
    places += [header.returns_at, header.distributions_at, len(memory) * 64]
    sizes = [STATE.itemsize, 4 * 5, 2 * position_block.HELD_SIZE, 3 * position_block.PORTFOLIO_SIZE]
    sizes += [
        6 * position_block.POSITION_SIZE,
        2 * header.returns_size,
        3 * header.distribution_size,
    ]
    for place, size, after in zip(places, sizes, places[1:], strict=False):
        assert place % 64 == 0
        assert place + size <= after
    assert (
        position_block.position_of(address, 1, 2) + position_block.POSITION_SIZE
        <= address + places[5]
    )
    assert [int(position_block.row_of(address, number)) for number in (-1, 0, 4, 5)] == [-1] * 4


def test_parents_are_kept():
    memory = created(Limits(1, 3, 1, 1), (2, -1, 1))
    parents = [
        int(at(position_block.portfolio_of(memory.ctypes.data, number), PORTFOLIO).parent)
        for number in range(3)
    ]
    assert parents == [2, -1, 1]


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ((-1, 0), "parents = 2: give a number from 3 to 3"),
        ((-1, 0, 3), "the parent of portfolio 2 = 3: give a number from -1 to 2"),
        ((-1, 0, -2), "the parent of portfolio 2 = -2"),
        ((-1, 1, 0), "portfolio 1 is above itself"),
        ((1, 2, 0), "portfolio 0 is above itself"),
    ],
)
def test_what_is_no_tree_is_refused(parents, message):
    with pytest.raises(PositionRefused, match=message):
        created(Limits(1, 3, 1, 1), parents)


def test_ancestors_the_nearest_first_and_no_circle_without_end():
    assert ancestors((-1, 0, 1, 1), 3) == [1, 0]
    assert ancestors((-1,), 0) == []
    assert ancestors((1, 2, 0), 0) == [1, 2, 0]
    assert ancestors((1, 2, 1), 0) == [1, 2]
