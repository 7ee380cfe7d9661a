"""How an event changes the books: one verb for each kind, over the orders at rest (resting.py).

`apply` folds in one EVENT and leaves in the header what it changed. No book is matched here, nor
checked for being crossed: that is for the venue and for the stage, which knows the phase of
trading. Feeds that tell levels, not orders, share all of it: a level is one order, whose id is
made of its price and side.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import orders as pool
from workers.kernels.resting import (
    BOOK,
    LEVEL,
    ORDER,
    ORDERS_AT,
    QUANTITY_MAX,
    Limits,
    Outcome,
    bytes_needed,
    create,
    empty_side,
    enter,
    grow,
    level_of,
    listed,
    note_trade,
    order_at,
    shrink,
    slot_of,
    top,
    withdraw,
)
from workers.records import Event, Side

__all__ = [
    "BOOK",
    "ORDERS_AT",
    "QUANTITY_MAX",
    "Limits",
    "Outcome",
    "apply",
    "bytes_needed",
    "create",
    "top",
]

INLINE = 3000  # all of a book comes together here


@kernel
def apply(book, event):
    """Fold an EVENT into the books; return its Outcome as int, leave the changes in the header."""
    header = at(book, BOOK)
    header.changes, header.top_moved, header.cleared = 0, 0, 0
    header.traded_price, header.traded_quantity, header.traded_order = 0, 0, 0
    outcome = fold(book, event).value
    header.outcomes[outcome] += 1
    return outcome


@kernel
def fold(book, event):
    """Hand an event to the verb of its kind."""
    kind = int(event.kind)
    if kind == Event.ADD:
        return add(book, event)
    if kind == Event.DELETE:
        return delete(book, event)
    if kind == Event.REPLACE:
        return replace(book, event)
    if Event.EXECUTE <= kind <= Event.CANCEL:
        return reduce(book, event)
    if kind == Event.SET:
        return set_level(book, event)
    if kind == Event.MODIFY:
        return modify(book, event)
    if kind == Event.CLEAR:
        return clear(book, event)
    if Event.TRADE <= kind <= Event.TERMS or kind == Event.HOLDING:
        return Outcome.IGNORED
    return Outcome.BAD_KIND


@kernel
def add(book, event):
    """A new order joins the tail of its price's queue."""
    instrument, side = int(event.instrument), int(event.side)
    price, quantity = int(event.price), int(event.quantity)
    if not listed(book, instrument):
        return Outcome.BAD_INSTRUMENT
    if side > Side.ASK:
        return Outcome.BAD_SIDE
    if not 0 < quantity <= QUANTITY_MAX:
        return Outcome.BAD_QUANTITY
    if price <= 0:
        return Outcome.BAD_PRICE
    return enter(book, 2 * instrument + side, int(event.order), price, quantity)


@kernel
def delete(book, event):
    """An order leaves, whatever is left of it."""
    if not listed(book, event.instrument):
        return Outcome.BAD_INSTRUMENT
    slot = slot_of(book, event.instrument, event.order)
    if pool.occupant(slot) == 0:
        return Outcome.UNKNOWN_ORDER
    withdraw(book, slot)
    return Outcome.APPLIED


@kernel
def replace(book, event):
    """An order becomes another one, at the tail of its price's queue; side and owner stay."""
    instrument, order, other = int(event.instrument), int(event.order), int(event.other)
    price, quantity = int(event.price), int(event.quantity)
    if not listed(book, instrument):
        return Outcome.BAD_INSTRUMENT
    if not 0 < quantity <= QUANTITY_MAX:
        return Outcome.BAD_QUANTITY
    if price <= 0:
        return Outcome.BAD_PRICE
    slot = slot_of(book, instrument, order)
    if pool.occupant(slot) == 0:
        return Outcome.UNKNOWN_ORDER
    if other != order and pool.occupant(slot_of(book, instrument, other)) != 0:
        return Outcome.DUPLICATE_ORDER
    return exchange(book, slot, other, price, quantity)


@kernel
def exchange(book, slot, other, price, quantity):
    """Withdraw the order of a slot and enter another on its side."""
    header = at(book, BOOK)
    owner = int(at(level_of(book, pool.occupant(slot)), LEVEL).owner)
    price_before, quantity_before = top(book, owner)
    withdraw(book, slot)
    outcome = enter(book, owner, other, price, quantity)
    if outcome != Outcome.APPLIED:
        header.lost_replaces += 1
    price_now, quantity_now = top(book, owner)
    header.top_moved = price_now != price_before or quantity_now != quantity_before
    return outcome


@kernel
def reduce(book, event):
    """An order loses quantity by a trade or a partial cancel; it keeps its place, or is gone."""
    kind, quantity, price = int(event.kind), int(event.quantity), int(event.price)
    if not listed(book, event.instrument):
        return Outcome.BAD_INSTRUMENT
    if quantity <= 0:
        return Outcome.BAD_QUANTITY
    if kind == Event.EXECUTE_AT and price <= 0:
        return Outcome.BAD_PRICE
    slot = slot_of(book, event.instrument, event.order)
    number = pool.occupant(slot)
    if number == 0:
        return Outcome.UNKNOWN_ORDER
    if kind == Event.EXECUTE:
        price = int(at(level_of(book, number), LEVEL).price)
    left = int(at(order_at(book, number), ORDER).quantity)
    if kind != Event.CANCEL:
        note_trade(book, price, min(quantity, left), event.order)
    if quantity < left:
        shrink(book, number, quantity)
        return Outcome.APPLIED
    withdraw(book, slot)
    if quantity > left:
        return Outcome.OVER_EXECUTION
    return Outcome.APPLIED


@kernel
def modify(book, event):
    """An order has another price and quantity now; its side stays."""
    price, quantity = int(event.price), int(event.quantity)
    if not listed(book, event.instrument):
        return Outcome.BAD_INSTRUMENT
    if not 0 < quantity <= QUANTITY_MAX:
        return Outcome.BAD_QUANTITY
    if price <= 0:
        return Outcome.BAD_PRICE
    slot = slot_of(book, event.instrument, event.order)
    number = pool.occupant(slot)
    if number == 0:
        return Outcome.UNKNOWN_ORDER
    left = int(at(order_at(book, number), ORDER).quantity)
    if price != int(at(level_of(book, number), LEVEL).price) or quantity > left:
        return exchange(book, slot, int(event.order), price, quantity)
    if quantity < left:
        shrink(book, number, left - quantity)
    return Outcome.APPLIED


@kernel
def set_level(book, event):
    """All that rests at a price is so much now; nothing where nothing was is no change."""
    instrument, side = int(event.instrument), int(event.side)
    price, quantity = int(event.price), int(event.quantity)
    if not listed(book, instrument):
        return Outcome.BAD_INSTRUMENT
    if side > Side.ASK:
        return Outcome.BAD_SIDE
    if not 0 <= quantity <= QUANTITY_MAX:
        return Outcome.BAD_QUANTITY
    if not 0 < price <= QUANTITY_MAX >> 1:
        return Outcome.BAD_PRICE
    order = 2 * price + side
    slot = slot_of(book, instrument, order)
    number = pool.occupant(slot)
    if number == 0:
        if quantity == 0:
            return Outcome.APPLIED
        return enter(book, 2 * instrument + side, order, price, quantity)
    return fill_up(book, slot, number, quantity)


@kernel
def fill_up(book, slot, number, quantity):
    """Make a level's one order as large as the level is; 0 takes it out."""
    left = int(at(order_at(book, number), ORDER).quantity)
    if quantity == 0:
        withdraw(book, slot)
    elif quantity < left:
        shrink(book, number, left - quantity)
    elif quantity > left:
        if at(level_of(book, number), LEVEL).quantity > QUANTITY_MAX - (quantity - left):
            return Outcome.BAD_QUANTITY
        grow(book, number, quantity - left)
    return Outcome.APPLIED


@kernel
def clear(book, event):
    """Everything leaves a book."""
    if not listed(book, event.instrument):
        return Outcome.BAD_INSTRUMENT
    owner = 2 * int(event.instrument)
    empty_side(book, owner)
    empty_side(book, owner + 1)
    at(book, BOOK).cleared = 1
    return Outcome.APPLIED
