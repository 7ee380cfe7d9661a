"""DBN records of levels, the best one or ten of each side, as what they changed; and of trades.

Every such record tells all levels of its depth. Those of the record before are kept; what differs
gives SET events. A level that leaves the depth is taken out: what is below is not known.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.wire import load_u8
from workers.kernels.dbn_instruments import code_of
from workers.kernels.dbn_records import (
    DEPTH,
    LAST,
    LEVELS_AT,
    MAYBE_BAD_BOOK,
    MBP_10,
    ORDER,
    PAIR,
    TRADE,
    UNDEF_PRICE,
    UNDEF_SIZE,
)
from workers.kernels.dbn_state import (
    BEST,
    BOOKS,
    CLEAR,
    DBN_STATE,
    DEEP,
    IGNORED,
    LEVEL,
    LEVEL_SIZE,
    NO_SIDE,
    REFUSED,
    SET,
    SIDE_SIZE,
    TRADES,
    UNFIT,
    WRITTEN,
    doubt,
    finish,
    instrument_at,
    levels_of,
    put,
    raise_rank,
    say,
    timed,
    trust,
    units,
    whole,
)
from workers.records import Doubt, Event, Side

A, B, T = (ord(letter) for letter in "ABT")
BID, ASK, DEALT = int(Side.BID), int(Side.ASK), int(Event.TRADE)
VALUE, VENUE = int(Doubt.VALUE), int(Doubt.VENUE)
PAIR_SIZE = PAIR.itemsize


@kernel
def quote(state, message):
    """Write what a record of levels says: WRITTEN, IGNORED or REFUSED."""
    header, record = at(state, DBN_STATE), at(message, TRADE)
    if not timed(state, int(record.ts_event), int(record.ts_recv)):
        return REFUSED
    first = int(header.pen)
    code = code_of(state, message)
    if code < 0:
        return REFUSED
    deep = load_u8(message + 1) == MBP_10
    if outranked(state, code, DEEP if deep else BEST):
        return IGNORED
    good = True
    for side in range(2):
        good &= read_levels(state, code, message, DEPTH if deep else 1, side)
    tainted = record.bits & MAYBE_BAD_BOOK != 0
    if tainted or not good:
        doubt(state, code, VENUE if good else VALUE)
    verdict = tell(state, code, message, good)
    if good and not tainted:
        trust(state, code)
    finish(state, code, first, record.bits & LAST != 0 or header.sampled != 0)
    return verdict


@kernel
def tell(state, code, message, good):
    """Write what changed in the levels, then the trade, if it is one."""
    header, record = at(state, DBN_STATE), at(message, TRADE)
    sequence, before = whole(record.sequence), int(header.made)
    for side in range(2):
        tell_side(state, code, side, sequence)
    verdict = IGNORED if good else REFUSED
    if record.action == T:
        price, quantity = int(record.price), whole(record.quantity)
        verdict = deal(state, code, whole(record.side), price, quantity, sequence)
    return WRITTEN if header.made > before else verdict


@kernel
def trade(state, message):
    """Write a record of a trade: WRITTEN, IGNORED or REFUSED."""
    header, record = at(state, DBN_STATE), at(message, TRADE)
    if record.action != T:
        return IGNORED
    if not timed(state, int(record.ts_event), int(record.ts_recv)):
        return REFUSED
    first = int(header.pen)
    code = code_of(state, message)
    if code < 0:
        return REFUSED
    if outranked(state, code, TRADES):
        return IGNORED
    price, quantity = int(record.price), whole(record.quantity)
    verdict = deal(state, code, whole(record.side), price, quantity, whole(record.sequence))
    finish(state, code, first, True)
    return verdict


@kernel
def deal(state, code, side, price, quantity, sequence):
    """Write a trade, on the side of the order that rested: DBN tells the aggressor's."""
    price = units(state, code, price)
    if price == UNFIT or quantity == 0 or quantity == UNDEF_SIZE:
        return REFUSED
    hit = side_of(side)
    hit = hit if hit == NO_SIDE else BID + ASK - hit
    put(state, code, DEALT, hit, 0, 0, sequence, price, quantity)
    return WRITTEN


@kernel
def side_of(letter):
    """The side that B or A stands for; NONE for any other letter."""
    if letter == B:
        return BID
    return ASK if letter == A else NO_SIDE


@kernel
def outranked(state, code, rank):
    """Whether an instrument's events come from a more telling type of records than this."""
    instrument = instrument_at(state, code)
    if rank < instrument.rank:
        return True
    if rank > instrument.rank:
        if instrument.rank >= BOOKS:
            forget_levels(state, code)
            say(state, code, CLEAR, 0)
        raise_rank(state, code, rank)
    return False


@kernel
def top_order(state, code, message, side):
    """Write what an order says that stands for all that a venue shows of its side."""
    header, record = at(state, DBN_STATE), at(message, ORDER)
    price, quantity, count = int(record.price), whole(record.quantity), 0
    if side == NO_SIDE:
        return REFUSED
    news = int(header.news_at) + side * SIDE_SIZE
    if price != UNDEF_PRICE and quantity != 0:
        price, count = units(state, code, price), 1
        if price == UNFIT or quantity == UNDEF_SIZE:
            return REFUSED
        level = at(news, LEVEL)
        level.price, level.quantity, level.orders = price, quantity, 0
    end_side(news, count)
    before = int(header.made)
    tell_side(state, code, side, whole(record.sequence))
    return WRITTEN if header.made > before else IGNORED


@kernel
def read_levels(state, code, message, depth, side):
    """Read a side into the news; False where a level of it cannot be believed."""
    news = int(at(state, DBN_STATE).news_at) + side * SIDE_SIZE
    good, count, before = True, 0, 0
    for number in range(depth):
        pair = at(message + LEVELS_AT + number * PAIR_SIZE, PAIR)
        price, quantity, orders = int(pair.bid), pair.bid_quantity, pair.bid_orders
        if side == ASK:
            price, quantity, orders = int(pair.ask), pair.ask_quantity, pair.ask_orders
        if price == UNDEF_PRICE or quantity == 0:
            continue
        price = units(state, code, price)
        sorted_so = before == 0 or (price < before if side == BID else price > before)
        if price == UNFIT or quantity == UNDEF_SIZE or not sorted_so:
            good = False
            continue
        level = at(news + count * LEVEL_SIZE, LEVEL)
        level.price, level.quantity, level.orders = price, quantity, orders
        before, count = price, count + 1
    end_side(news, count)
    return good


@kernel
def end_side(levels, count):
    """Mark where a side that is not full ends."""
    if count < DEPTH:
        at(levels + count * LEVEL_SIZE, LEVEL).price = 0


@kernel
def tell_side(state, code, side, other):
    """Write what differs between a side's levels before and now, and keep those now."""
    before = levels_of(state, code, side)
    now = int(at(state, DBN_STATE).news_at) + side * SIDE_SIZE
    old, new = 0, 0
    for _ in range(2 * DEPTH):
        was = int(at(before + old * LEVEL_SIZE, LEVEL).price) if old < DEPTH else 0
        comes = int(at(now + new * LEVEL_SIZE, LEVEL).price) if new < DEPTH else 0
        if was == 0 and comes == 0:
            break
        if comes == 0 or (was != 0 and (was > comes if side == BID else was < comes)):
            put(state, code, SET, side, 0, 0, other, was, 0)
            old += 1
        else:
            tell_level(state, code, side, other, before + old * LEVEL_SIZE, now, new, was)
            old, new = old + (was == comes), new + 1
    for number in range(DEPTH):
        kept, fresh = at(before + number * LEVEL_SIZE, LEVEL), at(now + number * LEVEL_SIZE, LEVEL)
        kept.price, kept.quantity, kept.orders = fresh.price, fresh.quantity, fresh.orders
        if fresh.price == 0:
            break


@kernel
def tell_level(state, code, side, other, before, now, number, was):
    """Write a level of the news unless it is what the one before was."""
    level = at(now + number * LEVEL_SIZE, LEVEL)
    price, quantity, orders = int(level.price), whole(level.quantity), whole(level.orders)
    if was == price:
        known = at(before, LEVEL)
        if known.quantity == quantity and known.orders == orders:
            return
    put(state, code, SET, side, 0, orders, other, price, quantity)


@kernel
def forget_levels(state, code):
    """Take it that nothing rests."""
    for side in range(2):
        end_side(levels_of(state, code, side), 0)
