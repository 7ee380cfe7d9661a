"""A turn of the risk stage: what each record of the book ring does to positions and portfolios."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.ring import awaited, next_free, next_unread, room, slot
from workers import position_board
from workers.desk import (
    DESK,
    DOUBTFUL,
    HELD_HERE,
    KNOWN,
    KNOWN_AT,
    QUOTED,
    TRADED,
    UNSEEN,
    report,
    take_waiting,
)
from workers.executions import execute, wants
from workers.hop import is_time_to_let_go, let_go, pick_up, wait_for
from workers.kernels import option_positions, positions, waiting
from workers.records import EXECUTION, TOP
from workers.records import Book as Kind
from workers.risk_counters import COUNTERS, count_kept, count_values
from workers.tellings import asks_about, take_holding


@kernel
def turn(state, reader, writer, limit, patience):
    """Take up to `limit` book records; (instrument to look up or -1, how many were taken)."""
    desk = at(state, DESK)
    first = sequence = next_unread(reader)
    desk.target = next_free(writer)
    desk.asks = desk.asks_for = -1
    free = 0
    while sequence - first < limit:
        if not awaited(reader, sequence):
            let_go(reader, sequence - 1, writer, desk.target - 1)
            patience = wait_for(reader, sequence, patience)
            if patience == 0:
                break
        if free < desk.most:
            free = room(writer, desk.target, max(limit, desk.most))
            if free < desk.most:
                at(desk.counters, COUNTERS).full += 1
                break
        if is_unseen(state, slot(reader, sequence)):
            break
        pick_up(state, reader, sequence)
        free -= take(state, writer, slot(reader, sequence))
        if is_time_to_let_go(sequence):
            let_go(reader, sequence, writer, desk.target - 1)
        sequence += 1
    let_go(reader, sequence - 1, writer, desk.target - 1)
    position_board.show_in_time(desk.shown, sequence - first, reader, sequence)
    return desk.asks, sequence - first


@kernel
def is_unseen(state, address):
    """True (and asked for) when a top record is of an instrument met for the first time, an
    execution of one that its portfolio does not hold yet, or anything told of a position.
    """
    desk, top = at(state, DESK), at(address, TOP)
    if top.kind == Kind.EXECUTION and desk.accounts_count > 0:
        return wants(state, at(address, EXECUTION))
    if top.kind == Kind.HOLDING and desk.lines > 0:
        return asks_about(state, address)
    if top.kind != Kind.TOP or at(state + KNOWN_AT + int(top.instrument), KNOWN).what != UNSEEN:
        return False
    desk.asks = top.instrument
    return True


@kernel
def take(state, writer, address):
    """Take the record at an address; return how many records went out."""
    top = at(address, TOP)
    desk = at(state, DESK)
    tally = at(desk.counters, COUNTERS)
    tally.received += 1
    given = turn_over(state, writer, top)
    if top.kind == Kind.EXECUTION and desk.accounts_count > 0:
        return execute(state, writer, address, given)
    if top.kind == Kind.HOLDING and desk.lines > 0:
        return take_holding(state, writer, address, given)
    if top.kind != Kind.TOP:
        tally.passed_by += 1
    elif not is_held(state, top.instrument):
        tally.not_held += 1
    elif top.state & DOUBTFUL:
        tally.untrusted += 1
    elif top.bid <= 0 or top.ask <= 0:
        tally.one_sided += 1
    elif desk.interval_ns > 0:
        count_kept(desk.counters, waiting.keep(desk.waits, desk.positions, top))
    elif is_unchanged(desk.positions, top):
        tally.unchanged += 1
    elif positions.mark(desk.positions, top.instrument, top.bid, top.ask):
        option_positions.mark(desk.positions, top.instrument, top.time_ns)
        tally.marks += 1
        count_values(desk.counters, desk.positions)
        return report(state, writer, top)
    else:
        tally.refused += 1
    return given


@kernel
def is_unchanged(book, top):
    """Whether a top leaves the mark where it is, and settles no option either."""
    if positions.mark_of(book, top.instrument) != top.bid + top.ask:
        return False
    return not option_positions.is_due(book, top.instrument, top.time_ns)


@kernel
def is_held(state, instrument):
    """Whether anybody holds an instrument, or what is in the currency whose rate it is."""
    what = at(state + KNOWN_AT + int(instrument), KNOWN).what
    return what in (HELD_HERE, TRADED, QUOTED)


@kernel
def turn_over(state, writer, top):
    """Take the marks that wait where a record lies in a later interval; how many records went out.

    Such a record only waits itself, so it gives no more than `most`.
    """
    desk = at(state, DESK)
    if desk.interval_ns == 0 or top.time_ns // desk.interval_ns <= desk.interval:
        return 0
    desk.interval = top.time_ns // desk.interval_ns
    given = report(state, writer, top) if take_waiting(state) else 0
    waiting.clear(desk.waits, desk.positions)
    return given
