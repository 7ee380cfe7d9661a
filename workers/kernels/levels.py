"""The price levels of all books: a pool of levels, and for each side a sorted array of prices.

One block of memory; offsets count from its start, so the block may be copied elsewhere:

    | LEVELS header | LEVEL 0 (never used), 1, ... limit | SIDE: bid 0, ask 0, bid 1, ... | arena |

A side's array lies in a block of the arena: 8 entries at first, doubled when full, halved when
only a quarter is in use; blocks given back wait in a list per size. Entries are sorted by key, a
bid's price or an ask's price negated, so that the best is always the last: most orders come and
go near the best, where little has to be searched and moved.
"""

from ringbuf.atomics import at, prefetch_write
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.records import Side

CLASSES = 28  # sizes of blocks: 8 entries, 16, 32, ...
BLOCK_ENTRIES = 8
NEAR = 8  # entries looked at one by one, from the best, before the search halves the rest

LEVELS = record(
    [
        ("limit", "i8"),  # how many levels may exist at once
        ("sides_at", "i8"),
        ("arena_at", "i8"),
        ("arena_end", "i8"),
        ("free", "i8"),  # the level given back last; each names the one before in `head`
        ("fresh", "i8"),  # the highest number that was ever in use
        ("arena_fresh", "i8"),  # where the arena was never used
        ("spare", "i8"),
        ("free_blocks", "i8", CLASSES),  # per size: the block given back last, 0: none
        ("padding", "i8", 4),
    ]
)
LEVEL = record(
    [
        ("price", "i8"),
        ("quantity", "i8"),  # sum over its orders
        ("orders", "i4"),
        ("head", "i4"),  # number of the order that trades first
        ("tail", "i4"),  # number of the order that came last
        ("owner", "i4"),  # 2 * instrument + side
    ]
)
SIDE = record(
    [
        ("entries_at", "i8"),  # its array, 0 before its first level
        ("count", "i4"),
        ("capacity", "i4"),
        ("size_class", "i4"),
        ("best", "i4"),  # number of its best level, 0: empty
        ("spare", "i8"),
    ]
)
ENTRY = record([("key", "i8"), ("level", "i8")])

LEVELS_MAX = 1 << 29
INSTRUMENTS_MAX = 1 << 24
RECORDS_AT = LEVELS.itemsize
LEVEL_BYTES, SIDE_BYTES, ENTRY_BYTES = LEVEL.itemsize, SIDE.itemsize, ENTRY.itemsize
ASK = int(Side.ASK)
SPARE_ENTRIES = 8  # entries of the arena per level, beside one block for each side
assert RECORDS_AT % LINE == 0
assert BLOCK_ENTRIES << (CLASSES - 2) >= LEVELS_MAX


def sides_at(limit: int) -> int:
    """Where the sides start, in bytes from the block's start."""
    return -(-(RECORDS_AT + (limit + 1) * LEVEL_BYTES) // LINE) * LINE


def arena_at(limit: int, instruments: int) -> int:
    """Where the arena starts, in bytes from the block's start."""
    return sides_at(limit) + 2 * instruments * SIDE_BYTES


def bytes_needed(limit: int, instruments: int) -> int:
    """Bytes of a block for so many levels over so many instruments."""
    entries = 2 * instruments * BLOCK_ENTRIES + SPARE_ENTRIES * limit
    return arena_at(limit, instruments) + entries * ENTRY_BYTES


def create(address: int, limit: int, instruments: int) -> None:
    """Lay empty sides over zeroed memory."""
    header = at(address, LEVELS)
    header.limit, header.sides_at = limit, sides_at(limit)
    header.arena_at = header.arena_fresh = arena_at(limit, instruments)
    header.arena_end = bytes_needed(limit, instruments)


@kernel
def level_at(levels, number):
    """The address of a level."""
    return levels + RECORDS_AT + LEVEL_BYTES * int(number)


@kernel
def side_at(levels, owner):
    """The address of a side; owner = 2 * instrument + side."""
    return levels + int(at(levels, LEVELS).sides_at) + SIDE_BYTES * int(owner)


@kernel
def key_of(owner, price):
    """What entries are sorted by: the better the price, the larger."""
    if owner & 1 == ASK:
        return -int(price)
    return int(price)


@kernel
def find(levels, owner, price):
    """The number of the level at a price, 0 where there is none."""
    line = at(side_at(levels, owner), SIDE)
    entries, key = levels + int(line.entries_at), key_of(owner, price)
    return level_below(entries, rank(entries, int(line.count), key), key)


@kernel
def find_or_open(levels, owner, price):
    """The number of the level at a price, made where there is none; 0: there is no room."""
    line_address = side_at(levels, owner)
    line = at(line_address, SIDE)
    entries, key = levels + int(line.entries_at), key_of(owner, price)
    position = rank(entries, int(line.count), key)
    number = level_below(entries, position, key)
    if number == 0 and has_room(levels, line_address):
        number = take_level(levels, owner, price)
        insert(levels, line_address, position, key, number)
    return number


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
    """True when one more level can exist and its side's array can hold it."""
    header = at(levels, LEVELS)
    if header.free == 0 and header.fresh == header.limit:
        return False
    line = at(line_address, SIDE)
    if line.count < line.capacity:
        return True
    if line.capacity == 0:
        return resize(levels, line_address, 0)
    return resize(levels, line_address, int(line.size_class) + 1)


@kernel
def take_level(levels, owner, price):
    """Take an empty level from the pool, which must have one."""
    header = at(levels, LEVELS)
    number = int(header.free)
    if number == 0:
        number = int(header.fresh) + 1
        header.fresh = number
    level = at(level_at(levels, number), LEVEL)
    if number == header.free:
        header.free = level.head
    level.price, level.quantity, level.owner = price, 0, owner
    level.orders, level.head, level.tail = 0, 0, 0
    return number


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
def close(levels, number):
    """Take a level out of its side and give it back."""
    header = at(levels, LEVELS)
    level = at(level_at(levels, number), LEVEL)
    line_address = side_at(levels, level.owner)
    remove(levels, line_address, key_of(level.owner, level.price))
    level.owner, level.head, header.free = -1, header.free, number
    line = at(line_address, SIDE)
    if line.size_class > 0 and 4 * line.count <= line.capacity:
        resize(levels, line_address, int(line.size_class) - 1)


@kernel
def remove(levels, line_address, key):
    """Take the entry with a key, which must be there, out of a side's array."""
    line = at(line_address, SIDE)
    entries, count = levels + int(line.entries_at), int(line.count)
    last = entries + ENTRY_BYTES * (count - 1)
    place = entries + ENTRY_BYTES * (rank(entries, count, key) - 1)
    while place < last:
        move_entry(place, place + ENTRY_BYTES)
        place += ENTRY_BYTES
    line.count = count - 1
    line.best = 0
    if count > 1:
        line.best = at(last - ENTRY_BYTES, ENTRY).level


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
def take_block(levels, size_class):
    """The offset of a block of the arena, 0 when there is none of that size."""
    header = at(levels, LEVELS)
    block = int(header.free_blocks[size_class])
    if block != 0:
        header.free_blocks[size_class] = at(levels + block, ENTRY).key
        return block
    block = int(header.arena_fresh)
    end = block + (ENTRY_BYTES * BLOCK_ENTRIES << size_class)
    if end > header.arena_end:
        return 0
    header.arena_fresh = end
    return block


@kernel
def give_block(levels, block, size_class):
    """Put a block into the list of its size."""
    header = at(levels, LEVELS)
    at(levels + block, ENTRY).key = header.free_blocks[size_class]
    header.free_blocks[size_class] = block


@kernel
def nth(levels, owner, depth):
    """The number of a side's n-th best level (0 is the best), 0 where there is none."""
    line = at(side_at(levels, owner), SIDE)
    position = int(line.count) - 1 - depth
    if depth < 0 or position < 0:
        return 0
    return int(at(levels + int(line.entries_at) + ENTRY_BYTES * position, ENTRY).level)


@kernel
def prefetch_side(levels, owner):
    """Ask for the line that holds both sides of an instrument."""
    prefetch_write(side_at(levels, owner))


@kernel
def prefetch_best(levels, owner):
    """Ask for a side's best level and the end of its array; its line should be near already."""
    line = at(side_at(levels, owner), SIDE)
    prefetch_write(level_at(levels, line.best))
    prefetch_write(levels + int(line.entries_at) + ENTRY_BYTES * int(line.count))


@kernel
def sorted_side(levels, owner):
    """True when a side's keys rise, belong to its levels, and its best is the last of them."""
    line = at(side_at(levels, owner), SIDE)
    before, number = 0, 0
    for position in range(int(line.count)):
        entry = at(levels + int(line.entries_at) + ENTRY_BYTES * position, ENTRY)
        number = int(entry.level)
        level = at(level_at(levels, number), LEVEL)
        if level.owner != owner or entry.key != key_of(owner, level.price):
            return False
        if position > 0 and entry.key <= before:
            return False
        before = int(entry.key)
    return line.best == number and line.count <= line.capacity


@kernel
def unused(levels):
    """How many levels wait to be used again, or -1 when their list does not end."""
    header = at(levels, LEVELS)
    count, number = 0, int(header.free)
    while number != 0:
        count += 1
        if count > header.fresh:
            return -1
        number = int(at(level_at(levels, number), LEVEL).head)
    return count


@kernel
def unused_entries(levels):
    """Entries of all blocks that wait to be used again, or -1 when a list does not end."""
    header = at(levels, LEVELS)
    entries, most = 0, (int(header.arena_end) - int(header.arena_at)) // ENTRY_BYTES
    for size_class in range(CLASSES):
        block = int(header.free_blocks[size_class])
        while block != 0:
            entries += BLOCK_ENTRIES << size_class
            if entries > most:
                return -1
            block = int(at(levels + block, ENTRY).key)
    return entries
