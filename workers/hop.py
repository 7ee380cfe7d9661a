"""What every compiled stage does around its own work: take a record in, time it, let go of it."""

from ringbuf.atomics import at, cycles, pause
from ringbuf.clock import elapsed_ns
from ringbuf.histogram import note
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.ring import (
    NO_TIME,
    RELEASE_EVERY,
    STAMP,
    advance,
    awaited,
    look_ahead,
    release,
    stamp,
)

HOP = record(
    [
        ("hop", "i8"),  # histogram: from the pick-up of the stage before to this one's
        ("age", "i8"),  # histogram: from when the input came in, or was due, to this pick-up
        ("ns_per_cycle", "f8"),
        ("born", "i8"),  # of the record in hand
        ("now", "i8"),  # when it was picked up
    ]
)


def new_hop(address: int, panel, hop: str = "hop", age: str = "age") -> None:
    """Fill a HOP record in from a stage's panel."""
    timing = at(address, HOP)
    timing.hop = panel.histogram_addresses[hop]
    timing.age = panel.histogram_addresses[age]
    timing.ns_per_cycle = panel.status["clock"]["ns_per_cycle"]


@kernel
def pick_up(timing, reader, sequence):
    """Time a record that has arrived; timing is the address of a HOP record."""
    look_ahead(reader, sequence)
    mine, times = at(timing, HOP), at(stamp(reader, sequence), STAMP)
    now = cycles()
    mine.born, mine.now = times.born, now
    if times.sent != NO_TIME:  # else it comes from the journal, which does not say when
        note(mine.hop, elapsed_ns(times.sent, now, mine.ns_per_cycle))
        note(mine.age, elapsed_ns(times.born, now, mine.ns_per_cycle))


@kernel
def wait_for(reader, sequence, patience):
    """Look for a record, `patience` times and once more; the looks left if it is there, else 0."""
    while not awaited(reader, sequence):
        if patience <= 0:
            return 0
        pause()
        patience -= 1
    return max(patience, 1)


@kernel
def let_go(reader, read, writer, written):
    """Show progress to both neighbours: what was published first, then what may be overwritten."""
    advance(writer, written)
    release(reader, read)


@kernel
def is_time_to_let_go(sequence):
    """True every RELEASE_EVERY records."""
    return sequence & (RELEASE_EVERY - 1) == 0
