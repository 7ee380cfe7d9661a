"""AUTO: a side is sorted at first, a tree while that costs less; decided by its events alone.

Sorted, `cost` adds up the entries that each change moved, less what a tree would have cost; a side
that has owed too much becomes a tree. As a tree, `cost` counts changes: one in LOOK is looked at,
and when all that were looked at over CALM changes were among the NEAR best, or only FEW levels are
left, the side is sorted again. Either way costs one pass over the side, which at least as much as
its levels in moved entries, or CALM changes, have come before.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import level_arrays as arrays
from workers.kernels import level_trees as trees
from workers.kernels.level_pool import (
    ENTRY,
    ENTRY_BYTES,
    LINK,
    SIDE,
    SORTED,
    TREE,
    give_block,
)

FAIR = 128  # moved entries that cost about what a tree costs
DEBT = 1 << 14  # entries beyond that, and one for each level, that make a side a tree
NEAR, LOOK, CALM = 32, 32, 1 << 11
FEW = 48


@kernel
def weigh_array(levels, line_address, moved):
    """Take note of the entries that a change moved; the side may become a tree."""
    line = at(line_address, SIDE)
    cost = int(line.cost) + moved - FAIR
    line.cost = max(cost, 0)
    if cost > DEBT + line.count:
        to_tree(levels, line_address)


@kernel
def weigh_tree(levels, line_address, key):
    """Take note of a change at a key; the side may become sorted."""
    line, links = at(line_address, SIDE), trees.links_of(levels)
    line.cost += 1
    if line.cost % LOOK == 0 and not is_near(links, int(line.best), key):
        line.cost = 0
    if line.cost >= CALM or line.count < FEW:
        line.cost = 0
        to_array(levels, line_address)


@kernel
def is_near(links, number, key):
    """True when a key is among the best NEAR of a tree, or better than those."""
    for _ in range(NEAR):
        if number == 0 or at(trees.link_at(links, number), LINK).key <= key:
            return True
        number = trees.worse(links, number)
    return False


@kernel
def to_tree(levels, line_address):
    """Make a sorted side a tree; its block goes back to the arena."""
    line, links = at(line_address, SIDE), trees.links_of(levels)
    block, count = int(line.entries_at), int(line.count)
    line.kind, line.count, line.root, line.best, line.cost = TREE, 0, 0, 0, 0
    for position in range(count):
        entry = at(levels + block + ENTRY_BYTES * position, ENTRY)
        trees.insert(links, line_address, int(line.best), int(entry.key), int(entry.level))
    give_block(levels, block, int(line.size_class))
    line.entries_at, line.capacity, line.size_class = 0, 0, 0


@kernel
def to_array(levels, line_address):
    """Make a tree a sorted side, if the arena has a block for it."""
    line, links = at(line_address, SIDE), trees.links_of(levels)
    count, number = int(line.count), int(line.best)
    line.count = 0
    if arrays.reserve(levels, line_address, max(count, 1)):
        line.kind, line.root = SORTED, 0
        for position in range(count - 1, -1, -1):
            entry = at(levels + int(line.entries_at) + ENTRY_BYTES * position, ENTRY)
            entry.key, entry.level = at(trees.link_at(links, number), LINK).key, number
            number = trees.worse(links, number)
    line.count = count
