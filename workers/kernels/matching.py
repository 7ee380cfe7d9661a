"""Matching of clients' orders by price and time, in steps of bounded work.

    begin(engine, books, event)      an event is in the engine's hand
    while busy(engine):
        count = step(engine, books)  its records: output_at(engine, 0) ... count - 1

However many trades, triggers or cancels an event causes, a step gives at most OUTPUTS_STEP records
and changes at most CHANGES_STEP levels (`changes`, `change_at`). What remains to be done lies in
the engine: its bytes and those of the books, copied between two steps, go on elsewhere, and `begin`
with the event that is in hand does nothing.

An event's way: GTD orders of its instrument whose time is over go first; then what it asks for is
done; then stop orders that its trades have reached trade, one after another. Each ORDER is answered
by one ACCEPTED or REJECTED, whatever else follows; a refused cancel or replace by REJECTED too, the
kind of the event that was refused in its `state`. An instrument is matched from its DIRECTORY with
MATCHED on, and trades (State.UNKNOWN is continuous trading too) until a STATUS says otherwise.

- While PAUSED or QUOTING orders are collected for a call auction (auctions.py), which the STATUS
  that says TRADING sets off; IOC and FOK orders are refused. While HALTED all but cancels is.
- Trades further than the band from the price at which the instrument stood before the event do not
  happen: what is left of the order goes, or the instrument is PAUSED and it waits for the auction.
- An order that is replaced keeps its place where its price stays and what is left does not grow;
  else it is taken out and is as a new one, but that it was accepted already.
- CLEAR is the end of a day: DAY orders go. TERMS, STATUS and CLEAR concern no other order.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import orders as pool
from workers.kernels.auctions import (
    pair,
    price_levels,
    retire,
    start_auction,
    weigh,
)
from workers.kernels.counting import ENOUGH, TOO_LITTLE, count_piece
from workers.kernels.crossing import cancel_hand, meet, meet_pegs
from workers.kernels.engine import (
    CHANGES_STEP,
    ENGINE,
    OUTPUTS_STEP,
    RULE,
    UNIT_CHANGES,
    UNIT_OUTPUTS,
    UNITS_STEP,
    reference,
    rule_at,
    rule_number,
)
from workers.kernels.phases import (
    BEGIN,
    COUNT,
    EXPIRE,
    IDLE,
    MEET,
    MEET_PEGS,
    PAIR,
    PRICE,
    RETIRE,
    SWEEP,
    TRIGGER,
    WEIGH,
)
from workers.kernels.requests import FOK_REASON, accept, carry_out, refuse_hand
from workers.kernels.resting import ORDERS_AT
from workers.kernels.triggers import expire, sweep, trigger
from workers.orders import Why
from workers.records import MATCHED, Event

ORDER, SWITCH = int(Event.ORDER), int(Event.SWITCH)
STATUS, DIRECTORY = int(Event.STATUS), int(Event.DIRECTORY)
CLEAR, TERMS = int(Event.CLEAR), int(Event.TERMS)
WHY_FOK = int(Why.FOK)
INLINE = 3000  # all of matching comes together here


@kernel
def concerns(engine, event):
    """Whether an event is one that `begin` is to be given."""
    kind = event.kind
    if ORDER <= kind <= SWITCH:
        return True
    if kind == DIRECTORY:
        return event["flags"] & MATCHED != 0
    if kind in (STATUS, CLEAR, TERMS):
        return rule_number(engine, event.instrument) > 0
    return False


@kernel
def is_matched(engine, instrument):
    """Whether orders are matched in an instrument's book: events of venues must not change it."""
    return rule_number(engine, instrument) > 0


@kernel
def busy(engine):
    """Whether an event is in hand that is not done with."""
    return at(engine, ENGINE).phase != IDLE


@kernel
def begin(engine, books, event):
    """Take an event into the hand; nothing, where it is there already."""
    header = at(engine, ENGINE)
    if header.phase != IDLE:
        assert header.event == event.sequence
        return
    header.event, header.time_ns = event.sequence, event.time_ns
    header.asked_order, header.asked_other = event.order, event.other
    header.asked_price, header.asked_quantity = event.price, event.quantity
    header.kind, header.asked_side, header.source = event.kind, event.side, event.source
    header.asked_bits, header.asked_instrument = event["flags"], event.instrument
    header.asked_tag = pool.tag_of(event.instrument, event.order)
    pool.prefetch_slot(books + ORDERS_AT, header.asked_tag)
    rule = rule_number(engine, event.instrument)
    header.instrument, header.rule, header.stirred = event.instrument, rule, 0
    header.phase = BEGIN
    if rule > 0:
        header.anchor = reference(engine, rule)
        if at(rule_at(engine, rule), RULE).dated > 0:
            header.phase = EXPIRE


@kernel
def step(engine, books):
    """Do the next bounded part of what is in hand; return how many records it gave."""
    header = at(engine, ENGINE)
    header.step_outputs, header.step_changes = 0, 0
    for _ in range(UNITS_STEP):
        advance(engine, books)
        if header.phase == IDLE or header.step_outputs > OUTPUTS_STEP - UNIT_OUTPUTS:
            break
        if header.step_changes > CHANGES_STEP - UNIT_CHANGES:
            break
    return int(header.step_outputs)


@kernel
def changes(engine):
    """How many levels the last step changed."""
    return int(at(engine, ENGINE).step_changes)


@kernel
def advance(engine, books):
    """Do one unit of work."""
    phase = at(engine, ENGINE).phase
    if phase == BEGIN:
        carry_out(engine, books)
    elif phase == MEET:
        meet(engine, books)
    elif phase == TRIGGER:
        trigger(engine, books)
    elif phase == MEET_PEGS:
        meet_pegs(engine, books)
    elif phase == COUNT:
        count(engine, books)
    elif phase == EXPIRE:
        expire(engine, books)
    elif phase == SWEEP:
        sweep(engine, books)
    else:
        advance_auction(engine, books, phase)


@kernel
def advance_auction(engine, books, phase):
    """Do one unit of work for a call auction."""
    if phase == WEIGH:
        weigh(engine, books)
    elif phase == PRICE:
        price_levels(engine, books)
    elif phase == PAIR:
        pair(engine, books)
    elif phase == RETIRE:
        retire(engine, books)
    elif phase != IDLE:
        start_auction(engine, books, 0)


@kernel
def count(engine, books):
    """Count on, and decide what becomes of the FOK order in hand."""
    header = at(engine, ENGINE)
    verdict = count_piece(engine, books)
    if verdict == ENOUGH:
        header.phase = MEET
        if not header.accepted:
            accept(engine, books)
    elif verdict == TOO_LITTLE:
        if header.accepted:
            cancel_hand(engine, books, WHY_FOK)
        else:
            refuse_hand(engine, FOK_REASON)
