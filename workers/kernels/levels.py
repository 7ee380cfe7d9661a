"""The price levels of all books: one interface to three ways of finding them (level_pool.Index).

Which one a side uses stands in its record, so one machine code serves them all, and a block of
memory says by itself how it is to be read. Sorted arrays are looked for first: they are the usual.
"""

from ringbuf.atomics import at, prefetch_write
from ringbuf.jit import kernel
from ringbuf.record import LINE
from workers.kernels import level_arrays as arrays
from workers.kernels import level_ladders as ladders
from workers.kernels import level_trees as trees
from workers.kernels.level_pool import (
    AUTO,
    ENTRY_BYTES,
    INSTRUMENTS_MAX,
    LADDER,
    LEVEL,
    LEVELS,
    LEVELS_MAX,
    OUTSIDE_AT,
    SIDE,
    SORTED,
    TICKS_MAX,
    TICKS_MIN,
    TREE,
    Index,
    bytes_needed,
    create,
    full,
    give_level,
    key_at,
    key_of,
    known,
    level_at,
    side_at,
    take_level,
    unused,
    unused_entries,
)
from workers.kernels.level_shifts import weigh_array, weigh_tree

__all__ = [
    "ENTRY_BYTES",
    "INSTRUMENTS_MAX",
    "LEVEL",
    "LEVELS",
    "LEVELS_MAX",
    "SIDE",
    "TICKS_MAX",
    "TICKS_MIN",
    "Index",
    "bytes_needed",
    "close",
    "create",
    "find",
    "find_or_open",
    "held",
    "key_at",
    "known",
    "level_at",
    "next_down",
    "nth",
    "prefetch_best",
    "prefetch_side",
    "side_at",
    "sound",
    "unused",
    "unused_entries",
    "worse",
]


@kernel
def find(levels, owner, price):
    """The number of the level at a price, 0 where there is none."""
    line_address, key = side_at(levels, owner), key_of(owner, price)
    kind = at(line_address, SIDE).kind
    if kind == SORTED:
        return arrays.find(levels, line_address, key)
    if kind == TREE:
        return trees.find(trees.links_of(levels), line_address, key)[0]
    return ladders.find(levels, line_address, key)


@kernel
def find_or_open(levels, owner, price):
    """The number of the level at a price, made where there is none; 0: there is no room."""
    line_address = side_at(levels, owner)
    line = at(line_address, SIDE)
    if line.kind != SORTED:
        return find_or_open_elsewhere(levels, line_address, owner, price)
    entries, key = levels + int(line.entries_at), key_of(owner, price)
    position = arrays.rank(entries, int(line.count), key)
    number = arrays.level_below(entries, position, key)
    if number == 0 and not full(levels) and arrays.has_room(levels, line_address):
        number = take_level(levels, owner, price)
        arrays.insert(levels, line_address, position, key, number)
        if at(levels, LEVELS).index == AUTO:
            weigh_array(levels, line_address, int(line.count) - 1 - position)
    return number


@kernel
def find_or_open_elsewhere(levels, line_address, owner, price):
    """The same for a side that is not sorted."""
    if at(line_address, SIDE).kind == LADDER:
        return ladders.find_or_open(levels, line_address, owner, price)
    links, key = trees.links_of(levels), key_of(owner, price)
    number, parent = trees.find(links, line_address, key)
    if number == 0 and not full(levels):
        number = take_level(levels, owner, price)
        trees.insert(links, line_address, parent, key, number)
        if at(levels, LEVELS).index == AUTO:
            weigh_tree(levels, line_address, key)
    return number


@kernel
def close(levels, number):
    """Take a level out of its side and give it back."""
    line_address = side_at(levels, at(level_at(levels, number), LEVEL).owner)
    kind = at(line_address, SIDE).kind
    if kind == SORTED:
        moved = arrays.remove(levels, line_address, key_at(levels, number))
        arrays.shorten(levels, line_address)
        if at(levels, LEVELS).index == AUTO:
            weigh_array(levels, line_address, moved)
    elif kind == LADDER:
        ladders.close(levels, line_address, number)
    else:
        trees.remove(trees.links_of(levels), line_address, number)
        if at(levels, LEVELS).index == AUTO:
            weigh_tree(levels, line_address, key_at(levels, number))
    give_level(levels, number)


@kernel
def worse(levels, number):
    """The number of the next worse level of the same side, 0 behind the last."""
    owner = at(level_at(levels, number), LEVEL).owner
    line_address = side_at(levels, owner)
    kind = at(line_address, SIDE).kind
    if kind == SORTED:
        return arrays.worse(levels, line_address, key_at(levels, number))
    if kind == TREE:
        return trees.worse(trees.links_of(levels), number)
    return ladders.worse(levels, line_address, key_at(levels, number))


@kernel
def nth(levels, owner, depth):
    """The number of a side's n-th best level (0 is the best), 0 where there is none."""
    line_address = side_at(levels, owner)
    line = at(line_address, SIDE)
    if line.kind == SORTED:
        return arrays.nth(levels, line_address, depth)
    if not 0 <= depth < line.count:
        return 0
    number = int(line.best)
    for _ in range(depth):
        number = worse(levels, number)
    return number


@kernel
def next_down(levels, owner, number, depth):
    """The number of the level at a depth, given that of the one before it; in walks from 0."""
    if depth == 0:
        return int(at(side_at(levels, owner), SIDE).best)
    if number == 0 or at(side_at(levels, owner), SIDE).kind == SORTED:
        return nth(levels, owner, depth)
    return worse(levels, number)


@kernel
def prefetch_side(levels, owner):
    """Ask for the line that holds both sides of an instrument."""
    prefetch_write(side_at(levels, owner))


@kernel
def prefetch_best(levels, owner):
    """Ask for a side's best level and what changes with it; its line should be near already."""
    line = at(side_at(levels, owner), SIDE)
    prefetch_write(level_at(levels, line.best))
    if line.kind == SORTED:
        last = levels + int(line.entries_at) + ENTRY_BYTES * int(line.count)
        prefetch_write(last)
        prefetch_write(last - LINE)
    elif line.kind == TREE:
        prefetch_write(trees.link_at(trees.links_of(levels), line.best))
    else:
        prefetch_write(levels + int(line.entries_at))
        prefetch_write(levels + int(line.entries_at) + OUTSIDE_AT)


@kernel
def prefetch_ends(levels, owner):
    """Ask for where the best of both sides are kept, if they are sorted: one may have to go."""
    bid, ask = at(side_at(levels, owner), SIDE), at(side_at(levels, owner + 1), SIDE)
    prefetch_write(levels + int(bid.entries_at) + ENTRY_BYTES * (int(bid.count) - 1))
    prefetch_write(levels + int(ask.entries_at) + ENTRY_BYTES * (int(ask.count) - 1))


@kernel
def sound(levels, owner):
    """True when a side's index is whole: levels in order, its best the best; safe on damage."""
    line_address = side_at(levels, owner)
    kind, index = at(line_address, SIDE).kind, at(levels, LEVELS).index
    if kind != index and (index != AUTO or kind not in (SORTED, TREE)):
        return False
    if kind == SORTED:
        return arrays.sound(levels, line_address, owner)
    if kind == TREE:
        return trees.sound(levels, line_address, owner)
    return ladders.sound(levels, line_address, owner)


@kernel
def held(levels, owner):
    """Entries of the arena that a side holds."""
    line = at(side_at(levels, owner), SIDE)
    if line.kind == LADDER:
        line = at(levels + int(line.entries_at) + OUTSIDE_AT, SIDE)
    return int(line.capacity)
