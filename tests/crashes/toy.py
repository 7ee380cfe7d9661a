"""A stage small enough to be killed a hundred million times, made like the real ones.

What it gives depends on all that it was ever given: an input that is folded in twice, not at all
or out of order shows in every output from there on. Each input has 0 to 3 outputs.
"""

from ringbuf.atomics import load_relaxed, store_relaxed
from ringbuf.chain import fold
from ringbuf.jit import kernel
from ringbuf.ring import awaited, claim, next_free, next_unread, publish, room, slot
from tests.crashes.layout import put
from workers.hop import is_time_to_let_go, let_go

OUTPUTS_MAX = 3
STATE_WORDS = 4


@kernel
def turn(state, reader, writer, limit):
    """Take up to `limit` inputs; return how many."""
    first = sequence = next_unread(reader)
    target = next_free(writer)
    free = 0
    while sequence - first < limit and awaited(reader, sequence):
        if free < OUTPUTS_MAX:
            free = room(writer, target, limit)
            if free < OUTPUTS_MAX:
                break
        given = take(state, writer, slot(reader, sequence), target)
        target += given
        free -= given
        if is_time_to_let_go(sequence):
            let_go(reader, sequence, writer, target - 1)
        sequence += 1
    let_go(reader, sequence - 1, writer, target - 1)
    return sequence - first


@kernel
def take(state, writer, source, target):
    """Fold one input in and publish what follows from it; return how many records."""
    first = fold(load_relaxed(state), load_relaxed(source) ^ load_relaxed(state + 24))
    second = fold(load_relaxed(state + 8), first ^ load_relaxed(source + 16))
    third = fold(load_relaxed(state + 16), second)
    fourth = load_relaxed(state + 24) ^ third
    put(state, first)
    put(state + 8, second)
    put(state + 16, third)
    put(state + 24, fourth)
    count = (first >> 20) & 3
    for index in range(count):
        address = claim(writer, target + index)
        store_relaxed(address, load_relaxed(source + 56))
        store_relaxed(address + 8, index)
        store_relaxed(address + 16, first)
        store_relaxed(address + 24, second)
        store_relaxed(address + 32, third)
        store_relaxed(address + 40, fourth)
        store_relaxed(address + 48, fold(fourth, index))
        publish(writer, target + index, 0, 0)
    return count
