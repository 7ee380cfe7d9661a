"""How an event's work ends."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.engine import ENGINE, RULE, rule_at
from workers.kernels.phases import IDLE, INDICATE, TRIGGER
from workers.records import State

PAUSED, QUOTING = int(State.PAUSED), int(State.QUOTING)


@kernel
def is_collecting(state):
    """Whether orders come together without trading, for a call auction."""
    return state in (PAUSED, QUOTING)


@kernel
def end(engine):
    """The event is done with, but for what an auction may have to tell."""
    header = at(engine, ENGINE)
    header.phase = IDLE
    if header.auction_every_ns > 0 and header.rule > 0:
        terms = at(rule_at(engine, header.rule), RULE)
        due = header.time_ns - terms.indicated_ns >= header.auction_every_ns
        if due and is_collecting(terms.state):
            header.phase = INDICATE


@kernel
def part(engine):
    """The order in hand is done with: stops that its trades may have reached come, or the end."""
    if at(engine, ENGINE).stirred:
        at(engine, ENGINE).phase = TRIGGER
    else:
        end(engine)
