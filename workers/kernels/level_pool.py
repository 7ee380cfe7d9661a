"""The memory of price levels: the pool they come from, a record for each side, the arena of blocks.

One block of memory; offsets count from its start, so the block may be copied elsewhere:

    | LEVELS header | LEVEL 0 (never used), 1, ... limit | SIDE: bid 0, ask 0, bid 1, ... | arena |
    | LINK 0, 1, ... limit, where trees may be | a ladder's window for each side, where those are |

What is not needed for the kind of index that was chosen is not there. How a side finds its levels
is written in its record (`kind`); levels.py is the one interface to all kinds.
"""

from enum import IntEnum

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.records import Side


class Index(IntEnum):
    """How sides find their levels. A side is of one of the first three kinds at a time."""

    SORTED = 0  # an array, the best at its end (level_arrays.py)
    TREE = 1  # a red-black tree (level_trees.py)
    LADDER = 2  # a window of ticks, and an array for what lies outside (level_ladders.py)
    AUTO = 3  # sorted, or a tree where that costs less (level_shifts.py)


SORTED, TREE, LADDER, AUTO = (int(kind) for kind in Index)
CLASSES = 28  # sizes of blocks: 8 entries, 16, 32, ...
BLOCK_ENTRIES = 8

LEVELS = record(
    [
        ("limit", "i8"),  # how many levels may exist at once
        ("sides_at", "i8"),
        ("arena_at", "i8"),
        ("arena_end", "i8"),
        ("free", "i8"),  # the level given back last; each names the one before in `head`
        ("fresh", "i8"),  # the highest number that was ever in use
        ("arena_fresh", "i8"),  # where the arena was never used
        ("index", "i8"),  # Index
        ("free_blocks", "i8", CLASSES),  # per size: the block given back last, 0: none
        ("links_at", "i8"),  # 0: there are none
        ("windows_at", "i8"),  # 0: there are none
        ("window_bytes", "i8"),
        ("ticks", "i8"),  # of a window
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
        ("entries_at", "i8"),  # its array, 0 before its first level; a ladder's window
        ("count", "i4"),
        ("capacity", "i4"),  # entries that its array has room for
        ("size_class", "i2"),
        ("kind", "i2"),  # Index
        ("best", "i4"),  # number of its best level, 0: empty
        ("root", "i4"),  # of its tree
        ("cost", "i4"),  # what AUTO goes by
    ]
)
LINK = record(  # of a level in its side's tree
    [
        ("key", "i8"),
        ("child", "i4", 2),  # the root of what is worse, the root of what is better; 0: nothing
        ("parent", "i4"),
        ("red", "i4"),
        ("spare", "i8"),  # half a cache line: a step of a search touches one line, never two
    ]
)
WINDOW = record(  # of a ladder; its bitmap and its ticks follow
    [
        ("bottom", "i8"),  # key of tick 0
        ("end", "i8"),  # key of the first tick above it; equal to bottom: not placed yet
        ("step", "i8"),  # between two ticks; all keys on them are multiples of it
        ("factor", "i8"),  # 2 ** SHIFT / step, rounded up: stands for the division by step
        ("count", "i4"),  # levels on its ticks
        ("leaves", "i4"),  # the bitmap's words before those with a bit for each tick
        ("misses", "i4"),  # levels opened outside that should have been inside
        ("patience", "i4"),  # how many of those it takes to move
        ("moves", "i8"),
        ("spare", "i8"),
    ]
)
ENTRY = record([("key", "i8"), ("level", "i8")])
WORD = record([("bits", "u4")])
TICK = record([("level", "i4")])

LEVELS_MAX = 1 << 29
INSTRUMENTS_MAX = 1 << 24
TICKS_MIN, TICKS_MAX = 64, 1 << 15
RECORDS_AT = LEVELS.itemsize
LEVEL_BYTES, SIDE_BYTES, ENTRY_BYTES = LEVEL.itemsize, SIDE.itemsize, ENTRY.itemsize
LINK_BYTES, WORD_BYTES, TICK_BYTES = LINK.itemsize, WORD.itemsize, TICK.itemsize
OUTSIDE_AT = WINDOW.itemsize  # of a window: a SIDE for the array of what lies outside
BITMAP_AT = OUTSIDE_AT + SIDE_BYTES
ASK = int(Side.ASK)
SPARE_ENTRIES = 8  # entries of the arena per level, beside one block for each side
assert RECORDS_AT % LINE == 0
assert SIDE_BYTES == LINK_BYTES == LINE // 2
assert BLOCK_ENTRIES << (CLASSES - 2) >= LEVELS_MAX


def lines(size: int) -> int:
    """So many bytes in whole cache lines."""
    return -(-size // LINE) * LINE


def sides_at(limit: int) -> int:
    """Where the sides start, in bytes from the block's start."""
    return lines(RECORDS_AT + (limit + 1) * LEVEL_BYTES)


def arena_at(limit: int, instruments: int) -> int:
    """Where the arena starts, in bytes from the block's start."""
    return sides_at(limit) + 2 * instruments * SIDE_BYTES


def links_at(limit: int, instruments: int, index: int) -> int:
    """Where the links start, or would, in bytes from the block's start."""
    entries = 2 * instruments * BLOCK_ENTRIES + SPARE_ENTRIES * limit
    return arena_at(limit, instruments) + (index != TREE) * entries * ENTRY_BYTES


def windows_at(limit: int, instruments: int, index: int) -> int:
    """Where the windows start, or would, in bytes from the block's start."""
    links = (limit + 1) * LINK_BYTES if index in (TREE, AUTO) else 0
    return lines(links_at(limit, instruments, index) + links)


def leaves_of(ticks: int) -> int:
    """Words of a bitmap above those with a bit for each tick: one stands for 32 of those below."""
    leaves, reached = 0, 1
    while 32 * reached < ticks:
        leaves, reached = 32 * leaves + 1, 32 * reached
    return leaves


def window_bytes(ticks: int) -> int:
    """Bytes of a ladder's window."""
    words = leaves_of(ticks) + ticks // 32
    return lines(BITMAP_AT + words * WORD_BYTES + ticks * TICK_BYTES)


def bytes_needed(limit: int, instruments: int, index: int = SORTED, ticks: int = 0) -> int:
    """Bytes of a block for so many levels over so many instruments."""
    windows = 2 * instruments * window_bytes(ticks) if index == LADDER else 0
    return windows_at(limit, instruments, index) + windows


def create(address: int, limit: int, instruments: int, index: int = SORTED, ticks: int = 0) -> None:
    """Lay empty sides over zeroed memory."""
    header = at(address, LEVELS)
    header.limit, header.sides_at, header.index = limit, sides_at(limit), index
    header.arena_at = header.arena_fresh = arena_at(limit, instruments)
    header.arena_end = links_at(limit, instruments, index)
    if index in (TREE, AUTO):
        header.links_at = links_at(limit, instruments, index)
    if index == LADDER:
        header.windows_at = windows_at(limit, instruments, index)
        header.window_bytes, header.ticks = window_bytes(ticks), ticks
    if index in (TREE, LADDER):
        lay_sides(address, 2 * instruments, index, leaves_of(ticks))


@kernel
def lay_sides(levels, owners, kind, leaves):
    """Say of every side that it is a tree, or a ladder with its window."""
    header = at(levels, LEVELS)
    for owner in range(owners):
        line = at(side_at(levels, owner), SIDE)
        line.kind = kind
        if kind == LADDER:
            line.entries_at = int(header.windows_at) + owner * int(header.window_bytes)
            at(levels + int(line.entries_at), WINDOW).leaves = leaves


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
    """What sides are ordered by: the better the price, the larger."""
    if owner & 1 == ASK:
        return -int(price)
    return int(price)


@kernel
def key_at(levels, number):
    """The key of a level."""
    level = at(level_at(levels, number), LEVEL)
    return key_of(level.owner, level.price)


@kernel
def known(levels, number):
    """True for a number that a level may have: whatever it says can be read."""
    return 0 < number <= at(levels, LEVELS).limit


@kernel
def full(levels):
    """True when no more level can exist."""
    header = at(levels, LEVELS)
    return header.free == 0 and header.fresh == header.limit


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
def give_level(levels, number):
    """Give a level back, which must be in no index any more."""
    header = at(levels, LEVELS)
    level = at(level_at(levels, number), LEVEL)
    level.owner, level.head, header.free = -1, header.free, number


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
