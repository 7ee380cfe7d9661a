"""Where the orders of all books lie: a pool of records, and an index by instrument and order id.

One block of memory; offsets count from its start, so the block may be copied elsewhere:

    | ORDERS header | ORDER 0 (never used), 1, 2, ... limit | index: slots of 8 bytes |

A slot holds 0, or `tag << 32 | number of the record`. The tag is 31 bits of hash; its low bits
are the slot where a search begins (open addressing, one slot onward at a time), so most searches
touch no record but the right one, and closing a gap touches none at all. At least half of the
slots are empty, which bounds every search.
"""

from ringbuf.atomics import at, prefetch_write
from ringbuf.jit import kernel
from ringbuf.record import LINE, record

ORDERS = record(
    [
        ("limit", "i8"),  # how many orders may rest at once
        ("mask", "i8"),  # slots of the index less one
        ("index_at", "i8"),  # where the index starts
        ("free", "i8"),  # the record given back last; each names the one before in `next`
        ("fresh", "i8"),  # the highest number that was ever in use
        ("spare", "i8", 3),
    ]
)
ORDER = record(
    [
        ("order", "i8"),  # the venue's id: any int64
        ("quantity", "i8"),  # what is left of it
        ("level", "i4"),  # number of the level where it rests
        ("next", "i4"),  # who is behind it in that level's queue, 0: nobody
        ("previous", "i4"),  # who is ahead of it, 0: nobody
        ("instrument", "i4"),
    ]
)
SLOT = record([("word", "i8")])

ORDERS_MAX = 1 << 29  # an index of twice as many slots still fits a tag
RECORDS_AT = ORDERS.itemsize
RECORD_BYTES = ORDER.itemsize
SLOT_BYTES = SLOT.itemsize
assert RECORDS_AT == LINE

LOW_32, LOW_31, LOW_28 = (1 << 32) - 1, (1 << 31) - 1, (1 << 28) - 1
# Odd multipliers of 31 bits: compiled signed products must not overflow, not even to be masked.
SPREAD_LOW, SPREAD_HIGH, SPREAD_INSTRUMENT, STIR = 0x5BD1E995, 0x6C8E9CF5, 0x7FEB352D, 0x45D9F3B5


def index_slots(limit: int) -> int:
    """Slots of the index: the power of two that leaves at least half of them empty."""
    return max(8, 1 << (2 * limit - 1).bit_length())


def index_at(limit: int) -> int:
    """Where the index starts, in bytes from the block's start."""
    return -(-(RECORDS_AT + (limit + 1) * RECORD_BYTES) // LINE) * LINE


def bytes_needed(limit: int) -> int:
    """Bytes of a block for so many resting orders."""
    return index_at(limit) + index_slots(limit) * SLOT_BYTES


def create(address: int, limit: int) -> None:
    """Lay an empty pool over zeroed memory."""
    header = at(address, ORDERS)
    header.limit, header.mask, header.index_at = limit, index_slots(limit) - 1, index_at(limit)


@kernel
def order_at(orders, number):
    """The address of a record."""
    return orders + RECORDS_AT + RECORD_BYTES * int(number)


@kernel
def find(orders, instrument, order):
    """The number of an order's record, 0 where no such order rests."""
    return occupant(seek(orders, tag_of(instrument, order), instrument, order))


@kernel
def tag_of(instrument, order):
    """31 bits of hash: eight neighbouring ids share a line of slots, the lines lie scattered."""
    line = int(order) >> 3
    mixed = (line & LOW_31) * SPREAD_LOW
    mixed ^= ((line >> 31) & LOW_31) * SPREAD_HIGH
    mixed ^= int(instrument) * SPREAD_INSTRUMENT
    mixed = ((mixed ^ (mixed >> 31)) & LOW_32) * STIR
    return (((mixed >> 32) & LOW_28) << 3) | (int(order) & 7)


@kernel
def seek(orders, tag, instrument, order):
    """The address of the order's slot, or of the empty one where it would go."""
    header = at(orders, ORDERS)
    index, mask = orders + int(header.index_at), int(header.mask)
    position = tag & mask
    while True:
        slot = index + SLOT_BYTES * position
        word = int(at(slot, SLOT).word)
        if word == 0:
            return slot
        if word >> 32 == tag:
            resting = at(order_at(orders, word & LOW_32), ORDER)
            if resting.order == order and resting.instrument == instrument:
                return slot
        position = (position + 1) & mask


@kernel
def occupant(slot):
    """The number of the record that a slot refers to, 0 for an empty slot."""
    return int(at(slot, SLOT).word) & LOW_32


@kernel
def full(orders):
    """True when no further order can rest."""
    header = at(orders, ORDERS)
    return header.free == 0 and header.fresh == header.limit


@kernel
def claim(orders, slot, tag, instrument, order, quantity):
    """Take a record for an order, whose empty slot `seek` gave; the pool must not be full."""
    header = at(orders, ORDERS)
    number = int(header.free)
    if number == 0:
        number = int(header.fresh) + 1
        header.fresh = number
    resting = at(order_at(orders, number), ORDER)
    if number == header.free:
        header.free = resting.next
    resting.order, resting.quantity, resting.instrument = order, quantity, instrument
    at(slot, SLOT).word = (tag << 32) | number
    return number


@kernel
def release(orders, slot):
    """Give back the record that a slot refers to, and close the gap in the index."""
    header = at(orders, ORDERS)
    number = occupant(slot)
    resting = at(order_at(orders, number), ORDER)
    resting.next, resting.level, header.free = header.free, 0, number
    close_gap(orders + int(header.index_at), int(header.mask), slot)


@kernel
def close_gap(index, mask, slot):
    """Empty a slot, moving back those behind it that would not be found any more."""
    gap = (slot - index) // SLOT_BYTES
    position = (gap + 1) & mask
    word = int(at(index + SLOT_BYTES * position, SLOT).word)
    while word != 0:
        home = (word >> 32) & mask
        if (position - home) & mask >= (position - gap) & mask:
            at(index + SLOT_BYTES * gap, SLOT).word = word
            gap = position
        position = (position + 1) & mask
        word = int(at(index + SLOT_BYTES * position, SLOT).word)
    at(index + SLOT_BYTES * gap, SLOT).word = 0


@kernel
def prefetch_slot(orders, tag):
    """Ask for the slot where a tag's search begins, and the next one: at times another line."""
    header = at(orders, ORDERS)
    slot = orders + int(header.index_at) + SLOT_BYTES * (tag & int(header.mask))
    prefetch_write(slot)
    prefetch_write(slot + SLOT_BYTES)


@kernel
def likely(orders, tag):
    """The number of the first record with a tag, judged by the index alone; 0: there is none."""
    header = at(orders, ORDERS)
    index, mask = orders + int(header.index_at), int(header.mask)
    position = tag & mask
    word = int(at(index + SLOT_BYTES * position, SLOT).word)
    while word != 0 and word >> 32 != tag:
        position = (position + 1) & mask
        word = int(at(index + SLOT_BYTES * position, SLOT).word)
    return word & LOW_32


@kernel
def occupied(orders):
    """How many slots refer to a record, or -1 when one cannot be found from its own key."""
    header = at(orders, ORDERS)
    count = 0
    for position in range(int(header.mask) + 1):
        slot = orders + int(header.index_at) + SLOT_BYTES * position
        number = occupant(slot)
        if number != 0:
            resting = at(order_at(orders, number), ORDER)
            instrument, order = int(resting.instrument), int(resting.order)
            if seek(orders, tag_of(instrument, order), instrument, order) != slot:
                return -1
            count += 1
    return count


@kernel
def unused(orders):
    """How many records wait to be used again, or -1 when their list does not end."""
    header = at(orders, ORDERS)
    count, number = 0, int(header.free)
    while number != 0:
        count += 1
        if count > header.fresh:
            return -1
        number = int(at(order_at(orders, number), ORDER).next)
    return count
