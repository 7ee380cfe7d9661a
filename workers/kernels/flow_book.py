"""The order books behind a made-up day: ladders of queues, orders in a pool, random numbers.

One block of memory: header, then pools whose offsets the header keeps.

    | FLOW header | SYMBOL x symbols | ALIAS x symbols | LEVEL x symbols x LEVELS | ORDER x pool |

Each symbol has a ladder of price levels, each a queue of orders. Bids lie below the best ask, so
one ladder serves both sides and the book is never crossed.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.records import Side

LEVELS = 1024  # ticks of a symbol's ladder
MARGIN = 64  # the fair price stays this far from the ladder's ends, orders this near to it
TICK = 100  # price units: one cent
BINS = 78  # of equal time, each with its share of the day's messages
TABLE = 256  # entries of a table that one random byte looks up
PROBES = 8  # slots looked at to find a live order
U32 = 0xFFFFFFFF

SYMBOL = record(
    [
        ("name", "i8"),  # eight bytes of text
        ("bottom", "i8"),  # ticks of level 0
        ("fair", "i8"),  # level of the fair price: bids come below it, asks at it and above
        ("bid", "i8"),  # best level; -1 where the side is empty
        ("ask", "i8"),  # best level; LEVELS where the side is empty
        ("chance", "i8"),  # that the fair price moves at a message, of 2**32
        ("step", "i8"),  # levels that it moves by
        ("spare", "i8"),
    ]
)
ALIAS = record([("chance", "i8"), ("other", "i8")])  # this symbol, of 2**32; else the other one
LEVEL = record([("first", "i4"), ("last", "i4")])  # slots of the queue's ends; 0: empty
ORDER = record(
    [
        ("reference", "i8"),
        ("quantity", "i4"),  # 0: the slot is free
        ("symbol", "i4"),
        ("level", "i4"),
        ("before", "i4"),  # slots, 0: none; `before` links free slots too
        ("behind", "i4"),
        ("side", "i4"),
    ]
)
FLOW = record(
    [
        ("random", "i8", (4,)),  # xoshiro128++: 32 bits each
        ("symbols", "i8"),
        ("symbols_at", "i8"),  # offsets from the header
        ("aliases_at", "i8"),
        ("levels_at", "i8"),
        ("orders_at", "i8"),
        ("pool", "i8"),  # slots, numbered from 1
        ("fresh", "i8"),  # the first slot never used
        ("free", "i8"),  # the last slot given back; 0: none
        ("live", "i8"),
        ("produced", "i8"),  # messages so far
        ("total", "i8"),
        ("begin_ns", "i8"),  # of the day: first message, open, close
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("now_ns", "i8"),
        ("bin", "i8"),  # the next one
        ("bin_ns", "i8"),
        ("left_ns", "i8"),  # of the present bin
        ("left", "i8"),  # messages of the present bin to come
        ("burst", "i8"),  # messages to come at short gaps
        ("symbol", "i8"),  # of the message before
        ("reference", "i8"),  # last used
        ("match", "i8"),  # last used
        ("bins", "i8", (BINS,)),  # messages of each
        ("gaps", "i8", (TABLE,)),  # exponential, mean 1024
        ("distances", "i8", (TABLE,)),  # levels from the fair price
        ("quantities", "i8", (TABLE,)),
        ("mpids", "i8", (4,)),  # four letters each, big-endian
    ]
)
SYMBOL_SIZE, ALIAS_SIZE = SYMBOL.itemsize, ALIAS.itemsize
LEVEL_SIZE, ORDER_SIZE = LEVEL.itemsize, ORDER.itemsize

BID, ASK = int(Side.BID), int(Side.ASK)
AT_TOUCH = 96  # of 256: what is deleted or replaced is the newest order at the best price


@kernel
def pick(state, symbol):
    """The slot of an order: the newest at the symbol's touch, or any of any symbol; 0: none."""
    header = at(state, FLOW)
    if draw(state) & 0xFF >= AT_TOUCH and header.live > 0:
        for _ in range(PROBES):
            slot = 1 + below(state, int(header.fresh) - 1)
            if at(order_at(state, slot), ORDER).quantity > 0:
                return slot
    return touch(state, symbol, False)


@kernel
def touch(state, symbol, oldest):
    """The slot of the oldest or newest order at a best price; 0 where the book is empty.

    A side that the fair price has passed by goes first: so the book follows it.
    """
    here = at(symbol_at(state, symbol), SYMBOL)
    bids = draw(state) & 1 == 1
    if here.bid >= here.fair or here.ask == LEVELS:
        bids = True
    elif here.ask < here.fair or here.bid < 0:
        bids = False
    best = here.bid if bids else here.ask
    if best < 0 or best == LEVELS:
        return 0
    level = at(level_at(state, symbol, int(best)), LEVEL)
    return int(level.first) if oldest else int(level.last)


@kernel
def place(state, symbol, side):
    """The level of a new order: some way from the fair price, never across the other side."""
    header, here = at(state, FLOW), at(symbol_at(state, symbol), SYMBOL)
    away = int(header.distances[draw(state) & 0xFF])
    fair = int(here.fair)
    if side == BID:
        return min(fair - 1 - away, int(here.ask) - 1)
    return max(fair + away, int(here.bid) + 1)


@kernel
def enqueue(state, slot, place):
    """Put an order at the end of a level's queue."""
    order = at(order_at(state, slot), ORDER)
    symbol = int(order.symbol)
    level = at(level_at(state, symbol, place), LEVEL)
    order.level = place
    order.before = level.last
    order.behind = 0
    if level.last:
        at(order_at(state, int(level.last)), ORDER).behind = slot
    else:
        level.first = slot
    level.last = slot
    here = at(symbol_at(state, symbol), SYMBOL)
    if order.side == BID:
        here.bid = max(int(here.bid), place)
    else:
        here.ask = min(int(here.ask), place)


@kernel
def unlink(state, slot):
    """Take an order out of its queue; the best price moves on where the queue was its last."""
    order = at(order_at(state, slot), ORDER)
    symbol, place = int(order.symbol), int(order.level)
    level = at(level_at(state, symbol, place), LEVEL)
    if order.before:
        at(order_at(state, int(order.before)), ORDER).behind = order.behind
    else:
        level.first = order.behind
    if order.behind:
        at(order_at(state, int(order.behind)), ORDER).before = order.before
    else:
        level.last = order.before
    here = at(symbol_at(state, symbol), SYMBOL)
    if level.first == 0 and order.side == BID and here.bid == place:
        here.bid = next_level(state, symbol, place, -1)
    if level.first == 0 and order.side == ASK and here.ask == place:
        here.ask = next_level(state, symbol, place, 1)


@kernel
def next_level(state, symbol, place, step):
    """The nearest level with orders in a direction; -1 or LEVELS beyond the last."""
    place += step
    while 0 <= place < LEVELS and at(level_at(state, symbol, place), LEVEL).first == 0:
        place += step
    return place


@kernel
def take_slot(state):
    """A free slot of the order pool; 0 where it is full."""
    header = at(state, FLOW)
    slot = int(header.free)
    if slot:
        header.free = at(order_at(state, slot), ORDER).before
    elif header.fresh <= header.pool:
        slot = int(header.fresh)
        header.fresh += 1
    header.live += slot > 0
    return slot


@kernel
def give_back(state, slot):
    """An order is gone: out of its queue, its slot is free."""
    unlink(state, slot)
    header, order = at(state, FLOW), at(order_at(state, slot), ORDER)
    order.quantity = 0
    order.before = header.free
    header.free = slot
    header.live -= 1


@kernel
def part(state, quantity):
    """A part of a quantity, in round lots where it can be; the whole of 1."""
    lots = (quantity - 1) // 100
    if lots > 0:
        return 100 * (1 + below(state, lots))
    return 1 + below(state, max(quantity - 1, 1))


@kernel
def price(state, symbol, level):
    """The price of a level, in price units."""
    return (int(at(symbol_at(state, symbol), SYMBOL).bottom) + level) * TICK


@kernel
def symbol_at(state, symbol):
    """The address of a symbol's record."""
    return state + int(at(state, FLOW).symbols_at) + symbol * SYMBOL_SIZE


@kernel
def level_at(state, symbol, level):
    """The address of a level of a symbol's ladder."""
    return state + int(at(state, FLOW).levels_at) + (symbol * LEVELS + level) * LEVEL_SIZE


@kernel
def order_at(state, slot):
    """The address of an order; slots count from 1."""
    return state + int(at(state, FLOW).orders_at) + (slot - 1) * ORDER_SIZE


@kernel
def draw(state):
    """The next 32 random bits: xoshiro128++ of Blackman and Vigna."""
    words = at(state, FLOW).random
    a, b, c, d = int(words[0]), int(words[1]), int(words[2]), int(words[3])
    total = (a + d) & U32
    result = ((((total << 7) & U32) | (total >> 25)) + a) & U32
    shifted = (b << 9) & U32
    c ^= a
    d ^= b
    words[0] = a ^ d
    words[1] = b ^ c
    words[2] = c ^ shifted
    words[3] = ((d << 11) & U32) | (d >> 21)
    return result


@kernel
def below(state, limit):
    """A random number from 0 to limit - 1; limit < 2**31."""
    return (draw(state) * limit) >> 32
