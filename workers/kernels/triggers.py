"""What other orders' trades, the time or a wish set off: stops, expiry, cancels of many.

Stops are looked at when the event's own order has met all it could, by the last price that traded
here: buys from the lowest stop price on, then sells from the highest, at equal prices in the order
of their coming. Each is done with before the next one is looked at, with what it traded.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels.counting import start_count
from workers.kernels.crossing import set_bound
from workers.kernels.ending import end, is_collecting
from workers.kernels.engine import (
    ENGINE,
    EXPIRY,
    PIECE,
    RULE,
    STOPS,
    TICKET,
    rule_at,
    shadow,
    ticket_at,
)
from workers.kernels.phases import BEGIN, COUNT, EXPIRE, MEET, SWEEP
from workers.kernels.resting import LEVEL, ORDER, SIDE, levels_of, order_at
from workers.kernels.telling import report_hand
from workers.kernels.tickets import cancel, find, pick_up
from workers.orders import TIF_MASK, Tif, Why
from workers.records import Book, Event, Side, State

BID, ASK, NO_SIDE = int(Side.BID), int(Side.ASK), int(Side.NONE)
TRIGGERED = int(Book.TRIGGERED)
FOK, DAY = int(Tif.FOK), int(Tif.DAY)
HALTED = int(State.HALTED)
CLEAR = int(Event.CLEAR)
EXPIRED, MASS = int(Why.EXPIRED), int(Why.MASS)
SIDES = 6  # of an instrument: its book, STOPS, QUEUES


@kernel
def head_of(books, owner):
    """Price of a side's best level and the number of the order that is first there; zeros: none."""
    levels = levels_of(books)
    best = int(at(ladder.side_at(levels, owner), SIDE).best)
    if best == 0:
        return 0, 0
    level = at(ladder.level_at(levels, best), LEVEL)
    return int(level.price), int(level.head)


@kernel
def trigger(engine, books):
    """Take the next stop order that is reached into the hand, or end the event."""
    header = at(engine, ENGINE)
    number = 0
    if header.stirred:
        number = reached(engine, books)
    if number == 0:
        end(engine)
        return
    pick_up(engine, books, number)
    report_hand(engine, TRIGGERED, header.left, header.left, 0)
    header.stop, header.accepted = 0, 1
    set_bound(engine)
    header.phase = MEET
    if header.bits & TIF_MASK == FOK:
        header.phase = COUNT
        start_count(engine)


@kernel
def reached(engine, books):
    """The number of the stop order that is to trade next, 0: none is reached."""
    header = at(engine, ENGINE)
    terms = at(rule_at(engine, header.rule), RULE)
    if terms.last == 0 or terms.state == HALTED or is_collecting(terms.state):
        return 0
    owner = 2 * shadow(engine, header.rule, STOPS)
    price, number = head_of(books, owner + ASK)
    if number > 0 and price <= terms.last:
        return number
    price, number = head_of(books, owner + BID)
    if number > 0 and price >= terms.last:
        return number
    return 0


@kernel
def expire(engine, books):
    """Cancel the next GTD order whose time is over, or go on to the event."""
    header = at(engine, ENGINE)
    owner = 2 * shadow(engine, header.rule, EXPIRY) + ASK
    time_ns, entry = head_of(books, owner)
    if entry == 0 or time_ns > header.time_ns:
        header.phase = BEGIN
        return
    order = int(at(order_at(books, entry), ORDER).order)
    number = find(engine, books, int(header.instrument), order)
    cancel(engine, books, number, EXPIRED)
    header.phase = EXPIRE


@kernel
def start_sweep(engine):
    """Look through all orders of the instrument in hand, or of all that are matched."""
    header = at(engine, ENGINE)
    header.walk_rule, header.walk_owner = header.rule, 0
    header.walk_depth, header.walk_number = 0, 0
    if header.rule == 0:
        header.walk_rule = 1
    header.phase = SWEEP


@kernel
def sweep(engine, books):
    """Look at the next few orders; end the unit at one that is to be cancelled."""
    header = at(engine, ENGINE)
    for _ in range(PIECE):
        if header.walk_rule > header.rules_used or header.phase != SWEEP:
            end_sweep(engine)
            return
        number = int(header.walk_number)
        if number == 0:
            next_level(engine, books)
        else:
            resting = at(order_at(books, number), ORDER)
            header.walk_number = resting.next
            if is_meant(engine, number):
                if resting.next == 0 and resting.previous == 0:
                    header.walk_depth -= 1  # its level goes with it
                cancel(engine, books, number, sweep_reason(engine))
                return


@kernel
def end_sweep(engine):
    """All have been looked at."""
    header = at(engine, ENGINE)
    if header.asked_instrument < 0:
        header.instrument, header.rule = -1, 0
    end(engine)


@kernel
def next_level(engine, books):
    """Go on to the next level, side or instrument."""
    header, levels = at(engine, ENGINE), levels_of(books)
    header.rule = header.walk_rule
    header.instrument = at(rule_at(engine, header.rule), RULE).instrument
    number = ladder.nth(levels, swept_owner(engine), int(header.walk_depth))
    if number > 0:
        header.walk_number = at(ladder.level_at(levels, number), LEVEL).head
        header.walk_depth += 1
        return
    header.walk_owner, header.walk_depth = header.walk_owner + 1, 0
    if header.walk_owner == SIDES:
        header.walk_owner = 0
        header.walk_rule += 1
        if header.asked_instrument >= 0:
            header.walk_rule = header.rules_used + 1


@kernel
def swept_owner(engine):
    """The side that is looked through: both of the book, of STOPS, of QUEUES."""
    header = at(engine, ENGINE)
    which, side = int(header.walk_owner) >> 1, int(header.walk_owner) & 1
    if which == 0:
        return 2 * int(header.instrument) + side
    return 2 * shadow(engine, header.rule, which - 1) + side


@kernel
def is_meant(engine, number):
    """Whether an order is one of those that are to go."""
    header = at(engine, ENGINE)
    ticket = at(ticket_at(engine, number), TICKET)
    if header.kind == CLEAR:
        return ticket["bits"] & TIF_MASK == DAY
    if header.asked_other >= 0 and ticket.account != header.asked_other:
        return False
    return header.asked_side == NO_SIDE or ticket.side == header.asked_side


@kernel
def sweep_reason(engine):
    """Why they go."""
    if at(engine, ENGINE).kind == CLEAR:
        return EXPIRED
    return MASS
