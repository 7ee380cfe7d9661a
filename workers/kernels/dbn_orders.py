"""DBN records of orders (MBO) as events: A ADD, C CANCEL, M MODIFY, R CLEAR, T TRADE; F, N nothing.

A snapshot starts with a clearing of its own, or with the first of its orders, and ends with
F_LAST, or where something else follows; the book is in doubt until then. So it is where the
first record of an instrument is neither, unless the file itself began so and the record adds an
order: then it is a new instrument.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.dbn_instruments import code_of
from workers.kernels.dbn_levels import (
    VALUE,
    VENUE,
    T,
    deal,
    forget_levels,
    outranked,
    side_of,
    top_order,
)
from workers.kernels.dbn_records import (
    LAST,
    MAYBE_BAD_BOOK,
    MBP,
    ORDER,
    SNAPSHOT,
    TOB,
    UNDEF_PRICE,
    UNDEF_SIZE,
)
from workers.kernels.dbn_state import (
    CLEAR,
    DBN_STATE,
    EARLIEST,
    EVENT_SIZE,
    IGNORED,
    LATEST,
    MODIFY,
    NO_SIDE,
    ORDERS,
    REFUSED,
    UNFIT,
    USUAL_UNIT,
    WRITTEN,
    doubt,
    finish,
    instrument_at,
    put,
    say,
    timed,
    trust,
    units,
    whole,
    write,
)
from workers.records import Doubt, Event, Flag

A, C, F, M, N, R = (ord(letter) for letter in "ACFMNR")
ADD, CANCEL, DELETE = int(Event.ADD), int(Event.CANCEL), int(Event.DELETE)
SHOWN = int(Flag.SNAPSHOT)
NO_SNAPSHOT = int(Doubt.NO_SNAPSHOT)
ODD = SNAPSHOT | TOB | MBP | MAYBE_BAD_BOOK
BEGAN_WHOLE, BEGAN_AMIDST = 1, 2  # of the state's `opened`


@kernel
def order(state, message):
    """Write what a record of an order says: WRITTEN, IGNORED or REFUSED."""
    header, record = at(state, DBN_STATE), at(message, ORDER)
    if not timed(state, int(record.ts_event), int(record.ts_recv)):
        return REFUSED
    if record.bits & SNAPSHOT:
        header.time_ns = header.index_ns
    first = int(header.pen)
    code = code_of(state, message)
    if code < 0:
        return REFUSED
    instrument = instrument_at(state, code)
    if record.bits & ODD or instrument.snapping or not instrument.known:
        if outranked(state, code, ORDERS):
            return IGNORED
        prepare(state, code, message)
    action = whole(record.action)
    if action in (A, C, M) and not record.bits & ODD:
        verdict = alter(state, code, message, action)
    else:
        verdict = change(state, code, message, action)
    if verdict == REFUSED and action != T:
        doubt(state, code, VALUE)
    last = record.bits & LAST != 0
    if last and record.bits & SNAPSHOT:
        end_snapshot(state, code, whole(record.bits))
    if not last or instrument.open or header.pen != first + EVENT_SIZE:
        finish(state, code, first, last)
    return verdict


@kernel
def plain_order(state, message, target):
    """Write what an order says if nothing about it is out of the ordinary; 0: something is.

    Most records are such: A, C or M, whole events by themselves, of the instrument before, in a
    book that is under way. What `order` would write of them is written with less ado.
    """
    header, record = at(state, DBN_STATE), at(message, ORDER)
    key = (whole(record.publisher) << 32) | whole(record.instrument)
    if key != header.key or record.ts_recv >= header.key_until_ns:
        return 0
    code = int(header.key_code)
    instrument = instrument_at(state, code)
    if record.bits & (ODD | LAST) != LAST or instrument.rank != ORDERS:
        return 0
    if instrument.snapping or instrument.open:
        return 0
    if not (EARLIEST <= record.ts_event < LATEST and EARLIEST <= record.ts_recv < LATEST):
        return 0
    # Looked up, not branched on: what comes next cannot be guessed.
    kind, side = int(header.kinds[record.action]), int(header.sides[record.side])
    quantity, price, unit = whole(record.quantity), int(record.price), int(instrument.unit)
    priced = kind != CANCEL
    found = price // USUAL_UNIT if unit == USUAL_UNIT else price // unit
    fits = (found > 0) & (found * unit == price) & (price != UNDEF_PRICE) & (side != NO_SIDE)
    if kind == 0 or quantity == 0 or quantity == UNDEF_SIZE or (priced > fits):
        return 0
    write(target, record.ts_event, code, kind, side, 0, record.order, 0, found * priced, quantity)
    header.last_ns = record.ts_event
    return 1


@kernel
def prepare(state, code, message):
    """See to it that the book is what the record takes it for, or in doubt."""
    header, record = at(state, DBN_STATE), at(message, ORDER)
    instrument = instrument_at(state, code)
    snapshot, clearing = record.bits & SNAPSHOT != 0, record.action == R
    if instrument.known == 0:
        instrument.known = 1
        if header.opened == 0:
            header.opened = BEGAN_WHOLE if snapshot or clearing else BEGAN_AMIDST
        alone = header.opened == BEGAN_WHOLE and record.action == A
        if not (snapshot or clearing or alone or record.bits & TOB):
            doubt(state, code, NO_SNAPSHOT)
    if record.bits & MAYBE_BAD_BOOK:
        doubt(state, code, VENUE)
    if instrument.snapping and not snapshot:
        end_snapshot(state, code, whole(record.bits))
    if snapshot and (clearing or begins(instrument, header)):
        instrument.snapping = 0
        doubt(state, code, NO_SNAPSHOT)
        instrument.snapping, instrument.gaps = 1, header.gaps
        instrument.snapshot_ns = header.index_ns
        if not clearing:
            say(state, code, CLEAR, SHOWN)


@kernel
def begins(instrument, header):
    """Whether an order is the first of a snapshot that no clearing precedes."""
    return not instrument.snapping and instrument.snapshot_ns != header.index_ns


@kernel
def end_snapshot(state, code, bits):
    """A snapshot is over: the book is whole if all of it came."""
    header, instrument = at(state, DBN_STATE), instrument_at(state, code)
    whole = instrument.snapping == 1 and instrument.gaps == header.gaps
    instrument.snapping = 0
    if whole and not bits & MAYBE_BAD_BOOK:
        trust(state, code)


@kernel
def change(state, code, message, action):
    """Write the event of a record's action."""
    record = at(message, ORDER)
    if action in (F, N):
        return IGNORED
    if action == T:
        side, price, quantity = whole(record.side), int(record.price), whole(record.quantity)
        return deal(state, code, side, price, quantity, whole(record.sequence))
    if action == R:
        clear(state, code, whole(record.bits))
        return WRITTEN
    if record.bits & MBP:
        return REFUSED
    if record.bits & TOB:
        if action != A:
            return REFUSED
        return top_order(state, code, message, side_of(whole(record.side)))
    return alter(state, code, message, action)


@kernel
def clear(state, code, bits):
    """R: nothing rests any more; unless a snapshot follows, that is the whole truth."""
    forget_levels(state, code)
    say(state, code, CLEAR, SHOWN if bits & SNAPSHOT else 0)
    if not bits & (SNAPSHOT | MAYBE_BAD_BOOK):
        trust(state, code)


@kernel
def alter(state, code, message, action):
    """A, C and M: what befell a resting order."""
    record = at(message, ORDER)
    side, quantity, number = side_of(whole(record.side)), whole(record.quantity), int(record.order)
    flags = SHOWN if record.bits & SNAPSHOT else 0
    if quantity == UNDEF_SIZE:
        return REFUSED
    if action == C:
        if quantity == 0:
            return REFUSED
        put(state, code, CANCEL, side, flags, number, 0, 0, quantity)
        return WRITTEN
    if action == M and quantity == 0:
        put(state, code, DELETE, side, flags, number, 0, 0, 0)
        return WRITTEN
    price = units(state, code, int(record.price))
    if (action != A and action != M) or side == NO_SIDE or quantity == 0 or price == UNFIT:
        return REFUSED
    put(state, code, ADD if action == A else MODIFY, side, flags, number, 0, price, quantity)
    return WRITTEN
