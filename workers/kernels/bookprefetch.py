"""Asking for memory ahead of `orderbook.apply`, which else waits for it several times per event.

A loop with a backlog calls, before it applies event n: `prefetch_index` for event n + FAR,
`prefetch_order` for n + MIDDLE, `prefetch_level` for n + NEAR. Each uses what the one before it
brought near. They read the books as they are now, so a guess may be wrong: that only costs time.
"""

from ringbuf.atomics import at, prefetch_write
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels import orders as pool
from workers.kernels.resting import ORDER, ORDERS_AT, levels_of, listed, order_at
from workers.records import Event

FAR, MIDDLE, NEAR = 24, 12, 6  # events ahead
INLINE = 3000  # what asks ahead of a book comes together here


@kernel
def prefetch_index(book, event):
    """Ask for the index slots of an event's orders and the sides of its instrument."""
    kind, instrument = int(event.kind), int(event.instrument)
    if kind > Event.REPLACE:
        return
    ladder.prefetch_side(levels_of(book), 2 * instrument)
    pool.prefetch_slot(book + ORDERS_AT, pool.tag_of(instrument, event.order))
    if kind == Event.REPLACE:
        pool.prefetch_slot(book + ORDERS_AT, pool.tag_of(instrument, event.other))


@kernel
def prefetch_order(book, event):
    """Ask for an event's order, or for the best level that a new one may join."""
    kind, instrument = int(event.kind), int(event.instrument)
    if kind > Event.REPLACE or not listed(book, instrument):
        return
    if kind == Event.ADD:
        ladder.prefetch_best(levels_of(book), 2 * instrument + (event.side & 1))
    else:
        number = pool.likely(book + ORDERS_AT, pool.tag_of(instrument, event.order))
        prefetch_write(order_at(book, number))
        ladder.prefetch_ends(levels_of(book), 2 * instrument)


@kernel
def prefetch_level(book, event):
    """Ask for the level that an event changes, and an order's neighbours in its queue."""
    kind = int(event.kind)
    if kind > Event.REPLACE:
        return
    if kind == Event.ADD:
        prefetch_joined(book, event)
        return
    number = pool.likely(book + ORDERS_AT, pool.tag_of(event.instrument, event.order))
    order = at(order_at(book, number), ORDER)
    prefetch_write(ladder.level_at(levels_of(book), order.level))
    prefetch_write(order_at(book, order.next))
    prefetch_write(order_at(book, order.previous))


@kernel
def prefetch_joined(book, event):
    """Ask for the level that a new order may join."""
    instrument = int(event.instrument)
    if listed(book, instrument):
        levels, owner = levels_of(book), 2 * instrument + (event.side & 1)
        prefetch_write(ladder.level_at(levels, ladder.find(levels, owner, event.price)))
