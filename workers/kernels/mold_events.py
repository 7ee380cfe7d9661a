"""MoldUDP64 packets of redundant lines to EVENT records: arbitrated, complete or said not to be.

Packets come as a batch of PACKET records. What is next is decoded where it lies; the arbiter says
what is, keeps what came too early, and tells what is missing. What is lost may have concerned any
instrument, so the books of all of them are stale from there on.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.arbiter import ARBITER, OVERRUN, frame_length, offer, pass_over, ready, take
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch import CODES, decode, sweep, tell_doubt
from workers.kernels.itch_frames import ITCH_STATE, PREFIX
from workers.kernels.mold import (
    CLEAR,
    MOLD,
    STALE,
    SWEPT,
    lose,
    session_number,
    settle,
    start_sweep,
    take_up,
)
from workers.records import EVENT, Event, Side

EVENT_SIZE = EVENT.itemsize
FRESH, POSITION, NO_SIDE = int(Event.FRESH), int(Event.POSITION), int(Side.NONE)


@kernel
def receive(state, now_ns, target, limit):
    """Put the batch through: write at most `limit` events, return how many.

    Where fewer are written, all packets are done with and what is due by now is done.
    """
    header = at(state, MOLD)
    itch = at(int(header.itch), ITCH_STATE)
    header.now_ns = max(header.now_ns, now_ns)
    written = 0
    while written < limit:
        here = target + written * EVENT_SIZE
        if header.stretch_bytes > 0:
            written += read_stretch(state, here, limit - written)
        elif itch.untold > 0 and header.skip == 0:  # before another session makes it mean another
            written += tell_doubt(int(header.itch), here)
        elif header.sweep < SWEPT:
            written += go_on_sweeping(state, here, limit - written)
        elif header.messages > 0 or header.packet < header.packets:
            if not release(state):
                next_piece(state)
        elif not release(state) and not settle(state):
            break
    tally(state)
    return written


@kernel
def release(state):
    """Have the next message decoded, where it waits in the window."""
    header = at(state, MOLD)
    frame = ready(header.arbiter)
    if frame == 0:
        return False
    header.stretch, header.stretch_bytes = frame, frame_length(frame)
    return True


@kernel
def read_stretch(state, target, limit):
    """Decode what is next; events that are kept already are left out."""
    header = at(state, MOLD)
    itch, counters = at(int(header.itch), ITCH_STATE), at(int(header.counters), FEED_COUNTERS)
    room = 1 if header.skip > 0 else limit
    found = decode(int(header.itch), int(header.stretch), int(header.stretch_bytes), target, room)
    header.stretch += itch.consumed
    header.stretch_bytes -= itch.consumed
    if found == 0 and itch.consumed == 0:
        header.stretch_bytes = 0
    if found > 0:
        header.last_ns = at(target + (found - 1) * EVENT_SIZE, EVENT).time_ns
    if header.skip > 0:
        header.skip -= found > 0 and at(target, EVENT).kind != STALE
        counters.events -= found
        counters.ignored += found
        return 0
    return found


@kernel
def go_on_sweeping(state, target, limit):
    """Write the next events of those that concern every instrument."""
    header = at(state, MOLD)
    itch = at(int(header.itch), ITCH_STATE)
    kind, flags = header.sweep_kind, 0
    if kind == STALE:
        flags = itch.doubt
    code, written = sweep(
        int(header.itch), int(header.sweep), kind, flags, int(header.last_ns), target, limit
    )
    header.sweep = code
    if code == SWEPT and kind == CLEAR:
        start_sweep(state, STALE if itch.doubt > 0 else FRESH)
    elif code == SWEPT and header.resume < 0:
        forget_instruments(state)
    return written


@kernel
def forget_instruments(state):
    """Codes are of a session: the next one announces its own."""
    itch = at(int(at(state, MOLD).itch), ITCH_STATE)
    for code in range(CODES):
        itch.announced[code] = 0
    at(state, MOLD).resume = 0


@kernel
def next_piece(state):
    """Go on with the packet in hand, or take up the next one."""
    header = at(state, MOLD)
    if header.messages == 0:
        if take_up(state):
            header.packet += 1
        return
    missed = at(int(header.arbiter), ARBITER).next - header.sequence
    if missed > 0:
        count = min(missed, header.messages)
        pass_over(int(header.arbiter), header.line, header.sequence, count)
        step(state, count)
    elif missed == 0:
        count = take(int(header.arbiter), header.line, header.sequence, header.messages)
        begun = header.message
        step(state, count)
        header.stretch, header.stretch_bytes = begun, header.message - begun
    else:
        put_by(state)


@kernel
def step(state, count):
    """Leave `count` messages of the packet in hand behind."""
    header = at(state, MOLD)
    if count == header.messages:
        header.message += header.bytes
        header.bytes = header.messages = 0
        return
    for _ in range(count):
        size = frame_length(int(header.message))
        header.message += size
        header.bytes -= size
    header.messages -= count
    header.sequence += count


@kernel
def put_by(state):
    """The packet in hand is ahead: have its messages wait for those between."""
    header = at(state, MOLD)
    while header.messages > 0:
        size = frame_length(int(header.message)) - PREFIX
        verdict = offer(
            int(header.arbiter),
            header.line,
            header.sequence,
            int(header.message) + PREFIX,
            size,
            header.now_ns,
        )
        if verdict == OVERRUN:
            lose(state)
            return
        step(state, 1)


@kernel
def position(state, target):
    """Write where the events before this one lead to, where that can be said; 1 or 0."""
    header = at(state, MOLD)
    itch, counters = at(int(header.itch), ITCH_STATE), at(int(header.counters), FEED_COUNTERS)
    if not header.joined or header.sweep < SWEPT or itch.untold > 0 or header.skip > 0:
        return 0
    event = at(target, EVENT)
    event.time_ns, event.arrived_ns = header.last_ns, 0
    event.order, event.other = next_out(state), session_number(state)
    event.price = event.quantity = event.sequence = 0
    event.instrument = event.source = event.flags = 0
    event.kind, event.side = POSITION, NO_SIDE
    counters.further += 1
    counters.events += 1
    return 1


@kernel
def next_out(state):
    """The number of the message whose events come next."""
    header = at(state, MOLD)
    left, place = 0, header.stretch
    while place < header.stretch + header.stretch_bytes:
        place += frame_length(int(place))
        left += 1
    return at(int(header.arbiter), ARBITER).next - left


@kernel
def finish(state):
    """Nothing follows: give up what is missing at once; whether there is anything to write."""
    header = at(state, MOLD)
    arbiter = at(int(header.arbiter), ARBITER)
    if arbiter.next >= arbiter.known:
        return False
    lose(state)
    return True


@kernel
def tally(state):
    """Show what the arbiter has counted."""
    header = at(state, MOLD)
    arbiter = at(int(header.arbiter), ARBITER)
    counters = at(int(header.counters), FEED_COUNTERS)
    counters.duplicates = arbiter.duplicates
    counters.gaps, counters.lost = arbiter.gaps, arbiter.lost
    counters.recovered, counters.out_of_order = arbiter.recovered, arbiter.out_of_order
