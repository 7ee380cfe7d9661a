"""Is the book of one instrument whole? A check beside trading, that trusts nothing it reads.

Of the headers it believes how the memory is divided, of the rest nothing: it follows no number that
no order or level can have, and looks at a limited number of them, so it ends soon and reads only
what is the books', whatever has become of them. A book that is whole gives NONE, NOT_ALL where
there is more than the limit, and CROSSED where prices say so.
"""

from enum import IntFlag

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels import orders as pool
from workers.kernels.resting import (
    LEVEL,
    ORDER,
    ORDERS_AT,
    SIDE,
    levels_of,
    listed,
    order_at,
)


class BookFault(IntFlag):
    """What is wrong: any of these together."""

    NONE = 0
    TOTAL = 1  # a level's quantity or count is not that of its queue, or one is not above 0
    LINKS = 2  # neighbours in a queue disagree, or an order refers to another level
    UNSORTED = 4  # levels are not in the order of their prices, or another side's are among them
    BEST = 8  # the best level is not the first of its side
    INDEX = 16  # a side's index is not whole
    LOST = 32  # an order is not found under its id
    CROSSED = 64  # the best bid is not below the best ask: may be so outside continuous trading
    NOT_ALL = 128  # there is more than was looked at
    NO_BOOK = 256  # the instrument has none


TOTAL, LINKS, BEST, INDEX = map(
    int, (BookFault.TOTAL, BookFault.LINKS, BookFault.BEST, BookFault.INDEX)
)
UNSORTED, LOST, CROSSED = map(int, (BookFault.UNSORTED, BookFault.LOST, BookFault.CROSSED))
NOT_ALL, NO_BOOK = int(BookFault.NOT_ALL), int(BookFault.NO_BOOK)
LIMIT = 10_000  # orders and levels: a good measure between two turns


@kernel
def check(book, instrument, limit):
    """BookFaults of an instrument's book as int, looking at up to so many orders and levels."""
    if not listed(book, instrument):
        return NO_BOOK
    faults, left = 0, int(limit)
    for side in range(2):
        found, left = check_side(book, 2 * int(instrument) + side, left)
        faults |= found
    if faults & (INDEX | BEST) == 0 and crossed(book, int(instrument)):
        faults |= CROSSED
    return faults


@kernel
def crossed(book, instrument):
    """True where the best bid is not below the best ask; both must be levels."""
    levels = levels_of(book)
    bid = int(at(ladder.side_at(levels, 2 * instrument), SIDE).best)
    ask = int(at(ladder.side_at(levels, 2 * instrument + 1), SIDE).best)
    if bid == 0 or ask == 0:
        return False
    price = at(ladder.level_at(levels, bid), LEVEL).price
    return price >= at(ladder.level_at(levels, ask), LEVEL).price


@kernel
def check_side(book, owner, left):
    """BookFaults of a side, and how many orders may still be looked at."""
    levels = levels_of(book)
    line = at(ladder.side_at(levels, owner), SIDE)
    count, number = int(line.count), int(line.best)
    if not 0 <= count <= at(levels, ladder.LEVELS).limit or (count == 0) != (number == 0):
        return INDEX, left
    if count > left:
        return NOT_ALL | check_best(levels, owner), left
    if not ladder.sound(levels, owner):
        return INDEX | check_best(levels, owner), left - count
    faults, key, left = 0, 0, left - count
    for depth in range(count):
        if not ladder.known(levels, number):
            return faults | INDEX, left
        level = at(ladder.level_at(levels, number), LEVEL)
        if level.owner != owner or (depth > 0 and ladder.key_at(levels, number) >= key):
            return faults | UNSORTED, left
        if level.orders > left:
            return faults | NOT_ALL, left
        faults |= check_queue(book, owner, number)
        left -= max(int(level.orders), 0)
        key, number = ladder.key_at(levels, number), ladder.worse(levels, number)
    if number != 0:
        faults |= UNSORTED
    return faults, left


@kernel
def check_best(levels, owner):
    """BEST where a side's best is no level of it."""
    best = int(at(ladder.side_at(levels, owner), SIDE).best)
    if not ladder.known(levels, best):
        return BEST
    if at(ladder.level_at(levels, best), LEVEL).owner != owner:
        return BEST
    return 0


@kernel
def check_queue(book, owner, level_number):
    """BookFaults of one level's queue."""
    level = at(ladder.level_at(levels_of(book), level_number), LEVEL)
    most = int(at(book + ORDERS_AT, pool.ORDERS).limit)
    number, before, total, faults = int(level.head), 0, 0, 0
    for _ in range(int(level.orders)):
        if not 0 < number <= most:
            return faults | LINKS
        order = at(order_at(book, number), ORDER)
        if order.previous != before or order.level != level_number:
            return faults | LINKS
        if order.instrument != owner >> 1:
            return faults | LINKS
        if order.quantity <= 0:
            faults |= TOTAL
        if not found_by_id(book, int(order.instrument), int(order.order), number):
            faults |= LOST
        total += int(order.quantity)
        before, number = number, int(order.next)
    if number != 0 or level.tail != before:
        faults |= LINKS
    if total != level.quantity or level.orders <= 0:
        faults |= TOTAL
    return faults


@kernel
def found_by_id(book, instrument, order, number):
    """True when the index of orders leads from an id to its order; it reads no other order."""
    orders, tag = book + ORDERS_AT, pool.tag_of(instrument, order)
    header = at(orders, pool.ORDERS)
    index, mask = orders + int(header.index_at), int(header.mask)
    position = tag & mask
    for _ in range(mask + 1):
        word = int(at(index + pool.SLOT_BYTES * position, pool.SLOT).word)
        if word == (tag << 32) | number:
            return True
        if word == 0:
            return False
        position = (position + 1) & mask
    return False
