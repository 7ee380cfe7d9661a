"""The window of a ladder: consecutive ticks with a level's number each, and a bitmap over them.

    WINDOW | SIDE of what lies outside | bitmap | number of the level on tick 0, 1, ...

A bit of the bitmap stands for a tick with a level, or for one of the 32 words below that is not
all 0: word w lies below word (w - 1) // 32, the last words have a bit for each tick. So a level is
found, and the next worse one, in a few steps however many there are.
"""

from ringbuf.atomics import at, bit_length
from ringbuf.jit import kernel
from workers.kernels.level_pool import (
    BITMAP_AT,
    LEVELS,
    SIDE,
    TICK,
    TICK_BYTES,
    WINDOW,
    WORD,
    WORD_BYTES,
)

SHIFT = 40
SPAN_MAX = 1 << SHIFT  # keys of a window: the product with `factor` is exact up to there


@kernel
def window_at(levels, line_address):
    """The address of a side's window."""
    return levels + int(at(line_address, SIDE).entries_at)


@kernel
def tick_of(window_address, key):
    """The tick of a key, -1 for one outside the window or between its ticks."""
    window = at(window_address, WINDOW)
    if key < window.bottom or key >= window.end:
        return -1
    offset = key - int(window.bottom)
    tick = (offset * int(window.factor)) >> SHIFT
    if tick * int(window.step) != offset:
        return -1
    return tick


@kernel
def tick_at(levels, window_address, tick):
    """The address of a tick."""
    words = int(at(window_address, WINDOW).leaves) + (int(at(levels, LEVELS).ticks) >> 5)
    return window_address + BITMAP_AT + WORD_BYTES * words + TICK_BYTES * tick


@kernel
def word_at(window_address, word):
    """The address of a word of the bitmap."""
    return window_address + BITMAP_AT + WORD_BYTES * word


@kernel
def mark(window_address, tick):
    """Set a tick's bit, and those that stand for its word."""
    word, bit = int(at(window_address, WINDOW).leaves) + (tick >> 5), tick & 31
    while True:
        place = at(word_at(window_address, word), WORD)
        before = int(place.bits)
        place.bits = before | (1 << bit)
        if before != 0 or word == 0:
            return
        word, bit = (word - 1) >> 5, (word - 1) & 31


@kernel
def unmark(window_address, tick):
    """Clear a tick's bit, and those that stand for words that are 0 now."""
    word, bit = int(at(window_address, WINDOW).leaves) + (tick >> 5), tick & 31
    while True:
        place = at(word_at(window_address, word), WORD)
        left = int(place.bits) & ~(1 << bit)
        place.bits = left
        if left != 0 or word == 0:
            return
        word, bit = (word - 1) >> 5, (word - 1) & 31


@kernel
def highest(window_address):
    """The best tick with a level, -1 where there is none."""
    if at(word_at(window_address, 0), WORD).bits == 0:
        return -1
    return descend(window_address, 0)


@kernel
def descend(window_address, word):
    """The best tick with a level below a word that is not 0."""
    leaves = int(at(window_address, WINDOW).leaves)
    bit = bit_length(int(at(word_at(window_address, word), WORD).bits)) - 1
    while word < leaves:
        word = 32 * word + 1 + bit
        bit = bit_length(int(at(word_at(window_address, word), WORD).bits)) - 1
    return 32 * (word - leaves) + bit


@kernel
def highest_below(window_address, tick):
    """The best tick with a level that is worse than a tick of the window, -1: there is none."""
    leaves = int(at(window_address, WINDOW).leaves)
    word, bit = leaves + (tick >> 5), tick & 31
    while True:
        bits = int(at(word_at(window_address, word), WORD).bits) & ((1 << bit) - 1)
        if bits != 0:
            below = bit_length(bits) - 1
            if word >= leaves:
                return 32 * (word - leaves) + below
            return descend(window_address, 32 * word + 1 + below)
        if word == 0:
            return -1
        word, bit = (word - 1) >> 5, (word - 1) & 31


@kernel
def put(levels, window_address, tick, number):
    """Put a level on its tick."""
    at(tick_at(levels, window_address, tick), TICK).level = number
    at(window_address, WINDOW).count += 1
    mark(window_address, tick)


@kernel
def sound_window(levels, window_address):
    """True when a window's numbers agree, and its bitmap with itself and with the ticks."""
    window, ticks = at(window_address, WINDOW), int(at(levels, LEVELS).ticks)
    leaves, reached = 0, 1
    while 32 * reached < ticks:
        leaves, reached = 32 * leaves + 1, 32 * reached
    if window.leaves != leaves or window.step < 0:
        return False
    if window.step == 0 and window.end != window.bottom:
        return False
    if window.step > 0:
        if window.end - window.bottom != ticks * window.step:
            return False
        if window.factor != (SPAN_MAX + window.step - 1) // window.step:
            return False
    for number in range(leaves + (ticks >> 5)):
        bits = int(at(word_at(window_address, number), WORD).bits)
        for bit in range(32):
            below = 32 * number + 1 + bit
            if number >= leaves:
                tick = 32 * (number - leaves) + bit
                taken = at(tick_at(levels, window_address, tick), TICK).level != 0
            else:
                inside = below < leaves + (ticks >> 5)
                taken = inside and at(word_at(window_address, below), WORD).bits != 0
            if taken != ((bits >> bit) & 1 == 1):
                return False
    return True
