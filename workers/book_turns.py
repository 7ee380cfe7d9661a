"""The loops of the book stage: events in, one after another, and what follows from each out.

There are two, so that who matches no orders need not have all of matching compiled.
"""

from ringbuf.atomics import at, prefetch_read
from ringbuf.jit import kernel
from ringbuf.ring import arrived, awaited, next_free, next_unread, room, slot, stamp
from workers import matched, whole
from workers.answers import show_in_time, show_moved, take
from workers.hop import is_time_to_let_go, let_go, pick_up, wait_for
from workers.keeper import COUNTERS, KEEPER
from workers.kernels.bookprefetch import (
    FAR,
    MIDDLE,
    NEAR,
    prefetch_index,
    prefetch_level,
    prefetch_order,
)
from workers.records import EVENT

NOTHING = -1


@kernel
def turn(state, reader, writer, limit, patience):
    """Take up to `limit` events, with up to `patience` empty looks in between; return how many.

    Levels of a whole book that is shown use the limit up as events do.
    """
    keeper = at(state, KEEPER)
    first = sequence = next_unread(reader)
    keeper.target = next_free(writer)
    known = sequence - 1  # everything up to here is known to have arrived
    free = shown = 0
    while sequence - first < limit:
        patience = wait(state, reader, writer, sequence, known, patience)
        if patience == NOTHING:
            break
        free = make_room(state, writer, free, limit)
        if free == NOTHING:
            break
        event = at(slot(reader, sequence), EVENT)
        if whole.at_work(state):
            given = whole.show(state, writer, event, free)
            limit -= given
            shown = 1
        else:
            pick_up(state, reader, sequence)
            given = take(state, writer, event)
            if keeper.whole:
                whole.begin_if_due(state, event)
        free -= given
        if not whole.at_work(state):
            known = go_on(state, reader, writer, sequence, known)
            sequence += 1
    let_go(reader, sequence - 1, writer, keeper.target - 1)
    show_in_time(state, sequence - first, sequence - first >= limit)
    return max(sequence - first, shown)


@kernel
def turn_matching(state, reader, writer, limit, patience):
    """As `turn`, where orders of clients are matched: an event may be in hand for many steps."""
    keeper = at(state, KEEPER)
    first = sequence = next_unread(reader)
    keeper.target = next_free(writer)
    known = sequence - 1
    free = shown = 0
    while sequence - first < limit:
        patience = wait(state, reader, writer, sequence, known, patience)
        if patience == NOTHING:
            break
        free = make_room(state, writer, free, limit)
        if free == NOTHING:
            break
        event = at(slot(reader, sequence), EVENT)
        if whole.at_work(state):
            given = whole.show(state, writer, event, free)
            limit -= given
            shown = 1
        else:
            if not matched.at_work(state):
                pick_up(state, reader, sequence)
            given = step(state, writer, event)
        free -= given
        if not whole.at_work(state) and not matched.at_work(state):
            known = go_on(state, reader, writer, sequence, known)
            sequence += 1
    let_go(reader, sequence - 1, writer, keeper.target - 1)
    show_in_time(state, sequence - first, sequence - first >= limit)
    return max(sequence - first, shown)


@kernel
def step(state, writer, event):
    """Have an event taken, or matching do its next step; how many records it gave."""
    keeper = at(state, KEEPER)
    if matched.concerned(keeper, event):
        given = matched.serve(state, writer, event)
        if matched.at_work(state):
            return given
    else:
        given = take(state, writer, event)
    if keeper.whole:
        whole.begin_if_due(state, event)
    return given


@kernel
def wait(state, reader, writer, sequence, known, patience):
    """Wait for an event that is not known to be there; the looks left, or NOTHING."""
    if known >= sequence or awaited(reader, sequence):
        return patience
    let_go(reader, sequence - 1, writer, at(state, KEEPER).target - 1)
    show_moved(state)
    patience = wait_for(reader, sequence, patience)
    return patience if patience > 0 else NOTHING


@kernel
def make_room(state, writer, free, limit):
    """How many records the ring has room for, of which `free` are known of; NOTHING: too few."""
    keeper = at(state, KEEPER)
    if free < keeper.room:
        free = room(writer, keeper.target, limit)
        if free < keeper.room:
            at(keeper.counters, COUNTERS).full += 1
            return NOTHING
    return free


@kernel
def go_on(state, reader, writer, sequence, known):
    """An event is done with: let go of it now and then, and ask ahead for those that follow."""
    keeper = at(state, KEEPER)
    if is_time_to_let_go(sequence):
        let_go(reader, sequence, writer, keeper.target - 1)
    return ask_ahead(keeper.book, reader, sequence + 1, max(known, sequence))


@kernel
def ask_ahead(book, reader, sequence, known):
    """Ask for what the events that wait will need; return the last that is known to be there."""
    while known < sequence + FAR and arrived(reader, known + 1):
        known += 1
        prefetch_read(stamp(reader, known))
        prefetch_index(book, at(slot(reader, known), EVENT))
    if sequence + MIDDLE <= known:
        prefetch_order(book, at(slot(reader, sequence + MIDDLE), EVENT))
    if sequence + NEAR <= known:
        prefetch_level(book, at(slot(reader, sequence + NEAR), EVENT))
    return known
