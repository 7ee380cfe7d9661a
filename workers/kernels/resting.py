"""Orders at rest: the books of all instruments in one block of memory, and how orders come and go.

    | BOOK header | orders: pool and index (orders.py) | levels: pool and sides (level_pool.py) |

Offsets count from the block's start: its bytes may lie in shared memory, or be copied elsewhere
and go on from there. What changes is left in the header. Orders are known by instrument and id.
"""

from enum import IntEnum
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, offset, record
from workers.kernels import levels as ladder
from workers.kernels import orders as pool


class Outcome(IntEnum):
    """What became of an event. Refusals, but OVER_EXECUTION and those with *, change no book."""

    APPLIED = 0
    IGNORED = 1  # a kind that touches no book, like TRADE and STATUS
    UNKNOWN_ORDER = 2
    DUPLICATE_ORDER = 3  # an ADD's id, or the new one of a REPLACE, rests already
    BAD_QUANTITY = 4  # * not above 0, or it would take its level above QUANTITY_MAX
    BAD_PRICE = 5  # not above 0
    BAD_SIDE = 6
    BAD_INSTRUMENT = 7  # outside 0 .. limits.instruments - 1
    BAD_KIND = 8
    OVER_EXECUTION = 9  # EXECUTE or CANCEL of more than is left: the order is removed
    ORDERS_FULL = 10
    LEVELS_FULL = 11  # * no level left, or no room in the arena for a longer array


# * A REPLACE or MODIFY whose new order finds no room still takes out the old one, which the venue
#   no longer has: `changes` tells of it and `lost_replaces` counts it.

BOOK = record(
    [
        ("levels_at", "i8"),
        ("instruments", "i8"),
        ("live_orders", "i8"),
        ("live_levels", "i8"),
        ("peak_orders", "i8"),
        ("peak_levels", "i8"),
        ("lost_replaces", "i8"),
        ("cleared", "i8"),  # 1: the last event took everything out of a book; no changes tell of it
        # What the last event did, whatever its outcome.
        ("changes", "i8"),  # how many levels changed: 0 to 2, two only for a REPLACE
        ("top_moved", "i8"),  # 1: best price, or its quantity, changed on the event's side
        ("traded_price", "i8"),  # the three are 0 when nothing traded
        ("traded_quantity", "i8"),  # never more than was left of the order
        ("traded_order", "i8"),
        ("plain", "i8"),  # instruments from here on are sides that matching keeps for itself
        ("padding", "i8", 2),
        ("side", "i8", 2),
        ("price", "i8", 2),
        ("quantity", "i8", 2),  # all that rests at the price now, 0: the level is gone
        ("orders", "i8", 2),  # how many orders rest there now
        ("outcomes", "i8", 16),  # how many events ended in each Outcome
    ]
)

QUANTITY_MAX = 1 << 62
ORDERS_AT = BOOK.itemsize
ORDER, LEVEL, SIDE = pool.ORDER, ladder.LEVEL, ladder.SIDE
LINK = record([("number", "i4")])  # of one order to another, or of a level to its first or last
HEAD_AT, TAIL_AT = offset(LEVEL, "head"), offset(LEVEL, "tail")
NEXT_AT, PREVIOUS_AT = offset(ORDER, "next"), offset(ORDER, "previous")
assert ORDERS_AT % LINE == 0
assert len(Outcome) <= BOOK["outcomes"].shape[0]


class Limits(NamedTuple):
    """How much the books of one block can hold together."""

    orders: int
    levels: int
    instruments: int
    kind: int = ladder.Index.SORTED  # of index
    ticks: int = 1024  # of a ladder's window


def bytes_needed(limits: Limits) -> int:
    """Bytes of a block within these limits; ValueError where they make no sense."""
    for name, most in (
        ("orders", pool.ORDERS_MAX),
        ("levels", ladder.LEVELS_MAX),
        ("instruments", ladder.INSTRUMENTS_MAX),
    ):
        given = getattr(limits, name)
        if not 0 < given <= most:
            raise ValueError(f"book limits: {name} is {given}, must be 1 to {most}")
    if limits.kind not in list(ladder.Index):
        raise ValueError(f"book limits: kind is {limits.kind}, must be 0 to {max(ladder.Index)}")
    low, high = ladder.TICKS_MIN, ladder.TICKS_MAX
    if not low <= limits.ticks <= high or limits.ticks & (limits.ticks - 1):
        raise ValueError(
            f"book limits: ticks is {limits.ticks}, must be a power of two from {low} to {high}"
        )
    return _levels_at(limits) + ladder.bytes_needed(*_of_levels(limits))


def _of_levels(limits: Limits) -> tuple[int, int, int, int]:
    return limits.levels, limits.instruments, int(limits.kind), limits.ticks


def create(address: int, limits: Limits) -> None:
    """Lay empty books over `bytes_needed` zero bytes that start on a cache line."""
    if address % LINE:
        raise ValueError(f"book at {address:#x}: must start on a line of {LINE} bytes")
    bytes_needed(limits)
    header = at(address, BOOK)
    header.levels_at, header.instruments = _levels_at(limits), limits.instruments
    header.plain = limits.instruments
    pool.create(address + ORDERS_AT, limits.orders)
    ladder.create(address + _levels_at(limits), *_of_levels(limits))


def _levels_at(limits: Limits) -> int:
    return ORDERS_AT + -(-pool.bytes_needed(limits.orders) // LINE) * LINE


@kernel
def top(book, owner):
    """Price and quantity of a side's best level, zeros where it is empty."""
    levels = levels_of(book)
    level = at(ladder.level_at(levels, at(ladder.side_at(levels, owner), SIDE).best), LEVEL)
    return int(level.price), int(level.quantity)


@kernel
def listed(book, instrument):
    """True for an instrument that has a book."""
    return 0 <= instrument < at(book, BOOK).plain


@kernel
def slot_of(book, instrument, order):
    """The index slot of an order, or the empty one where it would go."""
    tag = pool.tag_of(instrument, order)
    return pool.seek(book + ORDERS_AT, tag, int(instrument), int(order))


@kernel
def order_at(book, number):
    """The address of an ORDER record."""
    return pool.order_at(book + ORDERS_AT, number)


@kernel
def level_of(book, number):
    """The address of the level where an order rests."""
    return ladder.level_at(levels_of(book), at(order_at(book, number), ORDER).level)


@kernel
def levels_of(book):
    """The address of the block of levels."""
    return book + int(at(book, BOOK).levels_at)


@kernel
def enter(book, owner, order, price, quantity):
    """Put an order at the tail of a side's queue at a price, if it is new and finds room."""
    orders, instrument = book + ORDERS_AT, owner >> 1
    tag = pool.tag_of(instrument, order)
    slot = pool.seek(orders, tag, instrument, order)
    if pool.occupant(slot) != 0:
        return Outcome.DUPLICATE_ORDER
    if pool.full(orders):
        return Outcome.ORDERS_FULL
    number = ladder.find_or_open(levels_of(book), owner, price)
    if number == 0:
        return Outcome.LEVELS_FULL
    if at(ladder.level_at(levels_of(book), number), LEVEL).quantity > QUANTITY_MAX - quantity:
        return Outcome.BAD_QUANTITY
    join(book, number, pool.claim(orders, slot, tag, instrument, order, quantity))
    return Outcome.APPLIED


@kernel
def join(book, level_number, number):
    """Link an order to the tail of a level's queue."""
    header, levels = at(book, BOOK), levels_of(book)
    level_address = ladder.level_at(levels, level_number)
    level = at(level_address, LEVEL)
    order = at(order_at(book, number), ORDER)
    order.level, order.previous, order.next = level_number, level.tail, 0
    header.live_levels += level.tail == 0
    header.peak_levels = max(header.peak_levels, header.live_levels)
    at(link_behind(book, level_address, level.tail), LINK).number = number
    level.tail = number
    level.quantity += order.quantity
    level.orders += 1
    header.live_orders += 1
    header.peak_orders = max(header.peak_orders, header.live_orders)
    note_level(book, level_number)


@kernel
def link_behind(book, level_address, number):
    """Where it is written who comes behind an order, or first of all where the number is 0.

    An address, not two branches: which it is, no processor can guess.
    """
    return level_address + HEAD_AT if number == 0 else order_at(book, number) + NEXT_AT


@kernel
def link_ahead(book, level_address, number):
    """Where it is written who comes ahead of an order, or last of all where the number is 0."""
    return level_address + TAIL_AT if number == 0 else order_at(book, number) + PREVIOUS_AT


@kernel
def withdraw(book, slot):
    """Take the order of a slot out of its queue and the pool, and an emptied level with it."""
    header, levels = at(book, BOOK), levels_of(book)
    number = pool.occupant(slot)
    order = at(order_at(book, number), ORDER)
    level_number = int(order.level)
    level = at(ladder.level_at(levels, level_number), LEVEL)
    unlink(book, level_number, number)
    level.quantity -= order.quantity
    level.orders -= 1
    header.live_orders -= 1
    note_level(book, level_number)
    pool.release(book + ORDERS_AT, slot)
    if level.orders == 0:
        header.live_levels -= 1
        ladder.close(levels, level_number)


@kernel
def unlink(book, level_number, number):
    """Join the neighbours of an order in its queue."""
    order = at(order_at(book, number), ORDER)
    level_address = ladder.level_at(levels_of(book), level_number)
    at(link_behind(book, level_address, order.previous), LINK).number = order.next
    at(link_ahead(book, level_address, order.next), LINK).number = order.previous


@kernel
def grow(book, number, quantity):
    """Add to an order's quantity where it stands."""
    order = at(order_at(book, number), ORDER)
    level = at(level_of(book, number), LEVEL)
    order.quantity += quantity
    level.quantity += quantity
    note_level(book, int(order.level))


@kernel
def empty_side(book, owner):
    """Withdraw all orders of a side, from the best on; the header's changes do not tell of them."""
    header, levels = at(book, BOOK), levels_of(book)
    best = int(at(ladder.side_at(levels, owner), SIDE).best)
    while best != 0:
        number = int(at(ladder.level_at(levels, best), LEVEL).head)
        withdraw(book, slot_of(book, owner >> 1, at(order_at(book, number), ORDER).order))
        header.changes = 0
        best = int(at(ladder.side_at(levels, owner), SIDE).best)


@kernel
def shrink(book, number, quantity):
    """Take part of an order's quantity where it stands."""
    order = at(order_at(book, number), ORDER)
    level = at(level_of(book, number), LEVEL)
    order.quantity -= quantity
    level.quantity -= quantity
    note_level(book, int(order.level))


@kernel
def note_level(book, number):
    """Put a level as it is now into the header's changes; a price stands there only once."""
    header, levels = at(book, BOOK), levels_of(book)
    level = at(ladder.level_at(levels, number), LEVEL)
    change = int(header.changes)
    if change == 0 or header.price[0] != level.price:
        header.changes = change + 1
    else:
        change = 0
    header.side[change], header.price[change] = level.owner & 1, level.price
    header.quantity[change], header.orders[change] = level.quantity, level.orders
    header.top_moved |= at(ladder.side_at(levels, level.owner), SIDE).best == number


@kernel
def note_trade(book, price, quantity, order):
    """Put a trade into the header."""
    header = at(book, BOOK)
    header.traded_price, header.traded_quantity, header.traded_order = price, quantity, order
