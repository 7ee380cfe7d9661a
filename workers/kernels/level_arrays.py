"""Levels in a sorted array, the best at its end: most orders come and go there.

A side's array lies in a block of the arena: 8 entries at first, doubled when full, halved when
only a quarter is in use; blocks given back wait in a list per size. Entries are sorted by key, a
bid's price or an ask's price negated, so that the best is always the last, and little has to be
searched and moved near it. `line` is a SIDE, or the SIDE of what lies outside a ladder's window.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.level_pool import (
    BLOCK_ENTRIES,
    CLASSES,
    ENTRY,
    ENTRY_BYTES,
    LEVEL,
    LEVELS,
    SIDE,
    give_block,
    key_of,
    level_at,
    take_block,
)

NEAR = 32  # entries looked at one by one, from the best, before the search halves the rest


@kernel
def find(levels, line_address, key):
    """The number of the level with a key, 0 where there is none."""
    line = at(line_address, SIDE)
    entries = levels + int(line.entries_at)
    return level_below(entries, rank(entries, int(line.count), key), key)


@kernel
def level_below(entries, position, key):
    """The number of the level right below a position, 0 if its key is another."""
    if position > 0:
        entry = at(entries + ENTRY_BYTES * (position - 1), ENTRY)
        if entry.key == key:
            return int(entry.level)
    return 0


@kernel
def rank(entries, count, key):
    """How many entries are no better than a key."""
    position, near = count, max(count - NEAR, 0)
    while position > near:
        if at(entries + ENTRY_BYTES * (position - 1), ENTRY).key <= key:
            return position
        position -= 1
    low = 0
    while low < position:
        middle = (low + position) >> 1
        if at(entries + ENTRY_BYTES * middle, ENTRY).key <= key:
            low = middle + 1
        else:
            position = middle
    return low


@kernel
def has_room(levels, line_address):
    """True when a side's array can hold one more entry; it may be made longer for it."""
    line = at(line_address, SIDE)
    if line.count < line.capacity:
        return True
    if line.capacity == 0:
        return resize(levels, line_address, 0)
    return resize(levels, line_address, int(line.size_class) + 1)


@kernel
def insert(levels, line_address, position, key, number):
    """Put a level into its side's array, which must have room, before those that are better."""
    line = at(line_address, SIDE)
    entries = levels + int(line.entries_at)
    place = entries + ENTRY_BYTES * int(line.count)
    line.count += 1
    if place == entries + ENTRY_BYTES * position:
        line.best = number
    while place > entries + ENTRY_BYTES * position:
        move_entry(place, place - ENTRY_BYTES)
        place -= ENTRY_BYTES
    entry = at(place, ENTRY)
    entry.key, entry.level = key, number


@kernel
def move_entry(target, source):
    """Copy an entry."""
    new, old = at(target, ENTRY), at(source, ENTRY)
    new.key, new.level = old.key, old.level


@kernel
def remove(levels, line_address, key):
    """Take the entry with a key, which must be there, out of an array; how many had to move."""
    line = at(line_address, SIDE)
    entries, count = levels + int(line.entries_at), int(line.count)
    last = entries + ENTRY_BYTES * (count - 1)
    position = rank(entries, count, key)
    place = entries + ENTRY_BYTES * (position - 1)
    while place < last:
        move_entry(place, place + ENTRY_BYTES)
        place += ENTRY_BYTES
    line.count = count - 1
    line.best = 0
    if count > 1:
        line.best = at(last - ENTRY_BYTES, ENTRY).level
    return count - position


@kernel
def shorten(levels, line_address):
    """Move an array that is three quarters empty into a block of half the size, if there is one."""
    line = at(line_address, SIDE)
    if line.size_class > 0 and 4 * line.count <= line.capacity:
        resize(levels, line_address, int(line.size_class) - 1)


@kernel
def resize(levels, line_address, size_class):
    """Move a side's array into a block of another size; False when the arena has none."""
    target = take_block(levels, size_class)
    if target == 0:
        return False
    line = at(line_address, SIDE)
    source = int(line.entries_at)
    for word in range(int(line.count)):
        move_entry(levels + target + ENTRY_BYTES * word, levels + source + ENTRY_BYTES * word)
    if source != 0:
        give_block(levels, source, int(line.size_class))
    line.entries_at, line.size_class = target, size_class
    line.capacity = BLOCK_ENTRIES << size_class
    return True


@kernel
def reserve(levels, line_address, count):
    """Make an array long enough for so many entries; False when the arena has no such block."""
    line = at(line_address, SIDE)
    if count <= line.capacity:
        return True
    size_class = 0
    while BLOCK_ENTRIES << size_class < count:
        size_class += 1
    return resize(levels, line_address, size_class)


@kernel
def nth(levels, line_address, depth):
    """The number of the n-th best level, the best being 0; 0 where there is none."""
    line = at(line_address, SIDE)
    position = int(line.count) - 1 - depth
    if depth < 0 or position < 0:
        return 0
    return int(at(levels + int(line.entries_at) + ENTRY_BYTES * position, ENTRY).level)


@kernel
def worse(levels, line_address, key):
    """The number of the best level that is worse than a key, 0 where there is none."""
    line = at(line_address, SIDE)
    entries = levels + int(line.entries_at)
    position = rank(entries, int(line.count), key - 1)
    if position == 0:
        return 0
    return int(at(entries + ENTRY_BYTES * (position - 1), ENTRY).level)


@kernel
def sound(levels, line_address, owner):
    """True when keys rise and belong to the levels, whose best is the last; safe on damage."""
    line, header = at(line_address, SIDE), at(levels, LEVELS)
    if not in_arena(levels, line_address):
        return False
    before, number = 0, 0
    for position in range(int(line.count)):
        entry = at(levels + int(line.entries_at) + ENTRY_BYTES * position, ENTRY)
        number = int(entry.level)
        if not 0 < number <= header.limit:
            return False
        level = at(level_at(levels, number), LEVEL)
        if level.owner != owner or entry.key != key_of(owner, level.price):
            return False
        if position > 0 and entry.key <= before:
            return False
        before = int(entry.key)
    return line.best == number


@kernel
def in_arena(levels, line_address):
    """True when an array's block is one of the arena, or there is none."""
    line, header = at(line_address, SIDE), at(levels, LEVELS)
    if not 0 <= line.count <= line.capacity or not 0 <= line.size_class < CLASSES:
        return False
    if line.capacity == 0:
        return line.entries_at == 0
    end = int(line.entries_at) + (ENTRY_BYTES * BLOCK_ENTRIES << int(line.size_class))
    if line.capacity != BLOCK_ENTRIES << int(line.size_class):
        return False
    return line.entries_at >= header.arena_at and end <= header.arena_end
