"""Which levels of a book are in a venue's window: the best so many of each side.

Kraken (API guide, "Book checksum"): after each update the book is cut to the subscribed depth, as
no message tells of levels that fall out. So the prices of each side are kept in order, and a SET
to nothing is added for each one that fell out.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.records import EVENT, Side

MARGIN = 64  # levels that a message may add before it is cut on the way
# One instrument's window; behind it the keys of both sides, `depth + MARGIN` numbers each. Keys
# rise from the worst price to the best: bids as they are, asks negated.
WINDOW = record([("depth", "i8"), ("counts", "i8", (2,))])
KEY = record([("value", "i8")])
KEYS_AT = WINDOW.itemsize
KEY_SIZE = 8
SIZE = EVENT.itemsize


def window_bytes(depth: int) -> int:
    """Memory that a window of so many levels a side takes."""
    return KEYS_AT + 2 * KEY_SIZE * (depth + MARGIN)


@kernel
def key_at(window, side, index):
    """The key at a rank of a side, the worst first."""
    first = side * (at(window, WINDOW).depth + MARGIN)
    return at(window + KEYS_AT + KEY_SIZE * (first + index), KEY)


@kernel
def keep_window(window, events, count):
    """Follow `count` SET events, and write one for each level that falls out; how many.

    Snapshots come with the best levels first: they are taken from their end, so that each key
    goes behind the others.
    """
    header = at(window, WINDOW)
    fallen, backwards = 0, is_snapshot(window, events, count)
    for step in range(count):
        number = count - 1 - step if backwards else step
        event = at(events + number * SIZE, EVENT)
        side = int(event.side)
        key = int(event.price) if side == Side.BID else -int(event.price)
        rank = rank_of(window, side, key)
        known = rank < header.counts[side] and key_at(window, side, rank).value == key
        if event.quantity == 0:
            if known:
                take_out(window, side, rank)
        elif not known:
            if header.counts[side] == header.depth + MARGIN:
                drop_worst(window, side, events + (count + fallen) * SIZE)
                fallen += 1
                rank = rank_of(window, side, key)
            put_in(window, side, rank, key)
    for side in range(2):
        while header.counts[side] > header.depth:
            drop_worst(window, side, events + (count + fallen) * SIZE)
            fallen += 1
    return fallen


@kernel
def is_snapshot(window, events, count):
    """Whether nothing is known yet and nothing leaves, so that any order comes to the same."""
    header = at(window, WINDOW)
    leaving = 0
    for number in range(count):
        leaving += at(events + number * SIZE, EVENT).quantity == 0
    return leaving == 0 and header.counts[0] + header.counts[1] == 0


@kernel
def rank_of(window, side, key):
    """How many keys of a side are below one."""
    low, high = 0, int(at(window, WINDOW).counts[side])
    while low < high:
        middle = (low + high) // 2
        if key_at(window, side, middle).value < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def put_in(window, side, rank, key):
    """Make room for a key and write it."""
    header = at(window, WINDOW)
    for index in range(header.counts[side], rank, -1):
        key_at(window, side, index).value = key_at(window, side, index - 1).value
    key_at(window, side, rank).value = key
    header.counts[side] += 1


@kernel
def take_out(window, side, rank):
    """Close the gap that a key leaves."""
    header = at(window, WINDOW)
    header.counts[side] -= 1
    for index in range(rank, header.counts[side]):
        key_at(window, side, index).value = key_at(window, side, index + 1).value


@kernel
def drop_worst(window, side, target):
    """Take the worst level of a side out, and write that nothing rests there."""
    event = at(target, EVENT)
    event.order, event.quantity, event.side = 0, 0, side
    event.price = abs(key_at(window, side, 0).value)
    take_out(window, side, 0)
