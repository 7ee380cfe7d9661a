"""Questions to the books of orderbook.py: best prices, depth, queues, a digest, a check of all.

None changes anything. An instrument without a book, or a side that is neither BID nor ASK, is
answered as an empty one.
"""

from enum import IntEnum

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels import orders as pool
from workers.kernels.resting import (
    BOOK,
    LEVEL,
    ORDER,
    ORDERS_AT,
    SIDE,
    levels_of,
    listed,
    order_at,
    slot_of,
)
from workers.records import Side


class Fault(IntEnum):
    """What `check` finds wrong first."""

    NONE = 0
    SIDE_ORDER = 1  # a side's index is not whole: levels out of order, or its best is another
    LEVEL_TOTAL = 2  # a level's quantity or count differs from its queue's, or one is not above 0
    QUEUE_LINKS = 3  # neighbours in a queue disagree, or an order refers to another level
    LEVEL_COUNT = 4  # levels on all sides differ from those counted or taken from the pool
    ORDER_COUNT = 5  # orders in all queues differ from those counted or taken from the pool
    INDEX = 6  # the index misses an order, or refers to one that is gone
    ARENA = 7  # blocks in use and blocks given back are not what was taken


DIGEST_SEED = 0x4BF29CE484222325
DIGEST_LOW, DIGEST_HIGH = 0x5BD1E995, 0x6C8E9CF5  # odd, 31 bits: no product overflows
LOW_32, LOW_31 = (1 << 32) - 1, (1 << 31) - 1


@kernel
def best(book, instrument, side):
    """The best price of a side, 0 where it is empty."""
    return depth_level(book, instrument, side, 0)[0]


@kernel
def best_quantity(book, instrument, side):
    """What rests at the best price of a side, 0 where it is empty."""
    return depth_level(book, instrument, side, 0)[1]


@kernel
def level_count(book, instrument, side):
    """How many prices of a side have orders."""
    owner = owner_of(book, instrument, side)
    if owner < 0:
        return 0
    return int(at(ladder.side_at(levels_of(book), owner), SIDE).count)


@kernel
def depth_level(book, instrument, side, depth):
    """Price, quantity and orders of the n-th best level, 0 being the best; zeros if none."""
    owner = owner_of(book, instrument, side)
    if owner < 0:
        return 0, 0, 0
    return level_numbered(book, ladder.nth(levels_of(book), owner, depth))


@kernel
def level_number(book, instrument, side, number, depth):
    """The number of the level at a depth, given that of the one before it; in walks from 0."""
    owner = owner_of(book, instrument, side)
    if owner < 0:
        return 0
    return ladder.next_down(levels_of(book), owner, number, depth)


@kernel
def level_numbered(book, number):
    """Price, quantity and orders of a numbered level; zeros for number 0."""
    level = at(ladder.level_at(levels_of(book), number), LEVEL)
    return int(level.price), int(level.quantity), int(level.orders)


@kernel
def owner_of(book, instrument, side):
    """The number of a side, -1 where there is none."""
    if listed(book, instrument) and side == Side.BID:
        return 2 * int(instrument)
    if listed(book, instrument) and side == Side.ASK:
        return 2 * int(instrument) + 1
    return -1


@kernel
def find_order(book, instrument, order):
    """The number of an order in the pool, 0 where it does not rest."""
    if not listed(book, instrument):
        return 0
    return pool.occupant(slot_of(book, instrument, order))


@kernel
def order_quantity(book, instrument, order):
    """What is left of an order, 0 where it does not rest."""
    return order_of(book, find_order(book, instrument, order))[1]


@kernel
def first_order(book, instrument, side, price):
    """The number of the order that trades first at a price, 0 where there is none."""
    owner = owner_of(book, instrument, side)
    if owner < 0:
        return 0
    number = ladder.find(levels_of(book), owner, price)
    return int(at(ladder.level_at(levels_of(book), number), LEVEL).head)


@kernel
def next_order(book, number):
    """The number of the order behind one in its queue, 0 behind the last."""
    return int(at(order_at(book, number), ORDER).next)


@kernel
def order_of(book, number):
    """Id and quantity of a numbered order; zeros for number 0."""
    order = at(order_at(book, number), ORDER)
    return int(order.order), int(order.quantity)


@kernel
def digest(book):
    """63 bits that stand for every level, best to worst, and every queue, first to last.

    Equal books have equal digests however they came about; books without orders all have
    DIGEST_SEED.
    """
    levels, value = levels_of(book), DIGEST_SEED
    for owner in range(2 * int(at(book, BOOK).instruments)):
        number = 0
        for depth in range(int(at(ladder.side_at(levels, owner), SIDE).count)):
            number = ladder.next_down(levels, owner, number, depth)
            value = digest_level(book, stir(value, owner), number)
    return value


@kernel
def digest_level(book, value, level_number):
    """Stir a level and its queue into a digest."""
    level = at(ladder.level_at(levels_of(book), level_number), LEVEL)
    value = stir(stir(value, int(level.price)), int(level.quantity))
    number = int(level.head)
    for _ in range(int(level.orders)):
        order, quantity = order_of(book, number)
        value = stir(stir(value, order), quantity)
        number = next_order(book, number)
    return value


@kernel
def stir(value, number):
    """Put the 64 bits of a number into a digest, in three pieces."""
    for shift in (0, 31, 62):
        low = (value & LOW_32) ^ ((number >> shift) & LOW_31)
        value = (low * DIGEST_LOW) ^ ((value >> 32) * DIGEST_HIGH)
        value ^= value >> 29
    return value


@kernel
def check(book):
    """The first Fault in the books, as int; reads all there is, so it is for tests and audits."""
    levels, level_count, order_count, entries = levels_of(book), 0, 0, 0
    for owner in range(2 * int(at(book, BOOK).instruments)):
        line = at(ladder.side_at(levels, owner), SIDE)
        if not ladder.sound(levels, owner):
            return Fault.SIDE_ORDER.value
        number = 0
        for depth in range(int(line.count)):
            number = ladder.next_down(levels, owner, number, depth)
            fault = check_queue(book, owner, number)
            if fault != Fault.NONE:
                return fault.value
            order_count += int(at(ladder.level_at(levels, number), LEVEL).orders)
        level_count += int(line.count)
        entries += ladder.held(levels, owner)
    return check_counts(book, level_count, order_count, entries).value


@kernel
def check_queue(book, owner, level_number):
    """The first Fault of one level's queue."""
    level = at(ladder.level_at(levels_of(book), level_number), LEVEL)
    number, before, total = int(level.head), 0, 0
    foreign = owner >> 1 >= at(book, BOOK).plain  # sides of matching hold orders of others
    for _ in range(int(level.orders)):
        order = at(order_at(book, number), ORDER)
        if order.previous != before or order.level != level_number:
            return Fault.QUEUE_LINKS
        if number == 0 or (order.instrument != owner >> 1 and not foreign):
            return Fault.QUEUE_LINKS
        if order.quantity <= 0:
            return Fault.LEVEL_TOTAL
        total += int(order.quantity)
        before, number = number, int(order.next)
    if number != 0 or level.tail != before:
        return Fault.QUEUE_LINKS
    if total != level.quantity or level.orders <= 0:
        return Fault.LEVEL_TOTAL
    return Fault.NONE


@kernel
def check_counts(book, level_count, order_count, entries):
    """The first Fault among counters, pools, index and arena, given what the sides hold."""
    header, orders, levels = at(book, BOOK), book + ORDERS_AT, levels_of(book)
    order_header, level_header = at(orders, pool.ORDERS), at(levels, ladder.LEVELS)
    if level_count != header.live_levels:
        return Fault.LEVEL_COUNT
    if level_count + ladder.unused(levels) != level_header.fresh:
        return Fault.LEVEL_COUNT
    if order_count != header.live_orders:
        return Fault.ORDER_COUNT
    if order_count + pool.unused(orders) != order_header.fresh:
        return Fault.ORDER_COUNT
    if pool.occupied(orders) != order_count:
        return Fault.INDEX
    taken = int(level_header.arena_fresh) - int(level_header.arena_at)
    if ladder.ENTRY_BYTES * (entries + ladder.unused_entries(levels)) != taken:
        return Fault.ARENA
    return Fault.NONE
