"""Levels in a ladder: near the best each has its place by its price (level_ticks.py).

What lies outside the window, or between its ticks, is in a sorted array. The window is placed by
what has happened, not by terms: when enough levels were opened outside that should have been
inside, everything is merged into the array, and the window laid where most of the best levels lie
on its ticks, three quarters of it behind the best. That costs one pass over the side, and comes at
most once in 1/8 as many events as the side has levels.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import level_arrays as arrays
from workers.kernels.level_pool import (
    ENTRY,
    ENTRY_BYTES,
    LEVEL,
    LEVELS,
    OUTSIDE_AT,
    SIDE,
    TICK,
    WINDOW,
    full,
    key_at,
    key_of,
    known,
    level_at,
    take_level,
)
from workers.kernels.level_ticks import (
    SPAN_MAX,
    highest,
    highest_below,
    put,
    sound_window,
    tick_at,
    tick_of,
    unmark,
    window_at,
)

KEY_MAX = 1 << 62  # of a best level that a window is laid around
SAMPLE = 16  # levels, from the best, that a window is laid for
PATIENCE, PATIENCE_FIRST, PATIENCE_MAX = 32, 4, 1 << 20


@kernel
def find(levels, line_address, key):
    """The number of the level with a key, 0 where there is none."""
    window_address = window_at(levels, line_address)
    tick = tick_of(window_address, key)
    if tick >= 0:
        return int(at(tick_at(levels, window_address, tick), TICK).level)
    return arrays.find(levels, window_address + OUTSIDE_AT, key)


@kernel
def find_or_open(levels, line_address, owner, price):
    """The number of the level at a price, made where there is none; 0: there is no room."""
    window_address, key = window_at(levels, line_address), key_of(owner, price)
    tick = tick_of(window_address, key)
    if tick < 0:
        return open_outside(levels, line_address, owner, price)
    number = int(at(tick_at(levels, window_address, tick), TICK).level)
    if number == 0 and not full(levels):
        number = take_level(levels, owner, price)
        put(levels, window_address, tick, number)
        enrol(levels, line_address, key, number)
    return number


@kernel
def enrol(levels, line_address, key, number):
    """Count a level, which may be the best."""
    line = at(line_address, SIDE)
    line.count += 1
    if line.best == 0 or key > key_at(levels, line.best):
        line.best = number


@kernel
def open_outside(levels, line_address, owner, price):
    """The same as `find_or_open` for a price that is on no tick."""
    window_address, key = window_at(levels, line_address), key_of(owner, price)
    outside = window_address + OUTSIDE_AT
    line = at(outside, SIDE)
    entries = levels + int(line.entries_at)
    position = arrays.rank(entries, int(line.count), key)
    number = arrays.level_below(entries, position, key)
    if number == 0 and not full(levels) and arrays.has_room(levels, outside):
        number = take_level(levels, owner, price)
        arrays.insert(levels, outside, position, key, number)
        enrol(levels, line_address, key, number)
        if missed(levels, line_address, key):
            move(levels, line_address)
    return number


@kernel
def close(levels, line_address, number):
    """Take a level out of its side."""
    line, window_address = at(line_address, SIDE), window_at(levels, line_address)
    key = key_at(levels, number)
    tick = tick_of(window_address, key)
    if tick >= 0:
        at(tick_at(levels, window_address, tick), TICK).level = 0
        at(window_address, WINDOW).count -= 1
        unmark(window_address, tick)
    else:
        arrays.remove(levels, window_address + OUTSIDE_AT, key)
        arrays.shorten(levels, window_address + OUTSIDE_AT)
    line.count -= 1
    if line.best == number:
        other = at(window_address + OUTSIDE_AT, SIDE).best
        line.best = better(levels, window_address, highest(window_address), other)


@kernel
def better(levels, window_address, tick, other):
    """The better of the level on a tick and another; either may be none (-1 and 0)."""
    if tick < 0:
        return int(other)
    number = int(at(tick_at(levels, window_address, tick), TICK).level)
    if other != 0 and key_at(levels, other) > key_at(levels, number):
        return int(other)
    return number


@kernel
def worse(levels, line_address, key):
    """The number of the best level that is worse than a key, 0 where there is none."""
    window_address = window_at(levels, line_address)
    window, other = at(window_address, WINDOW), 0
    if at(window_address + OUTSIDE_AT, SIDE).count > 0:
        other = arrays.worse(levels, window_address + OUTSIDE_AT, key)
    if key >= window.end:
        tick = highest(window_address)
    elif key <= window.bottom:
        tick = -1
    else:
        tick = (key - int(window.bottom) + int(window.step) - 1) // int(window.step)
        if tick < at(levels, LEVELS).ticks:
            tick = highest_below(window_address, tick)
        else:
            tick = highest(window_address)
    return better(levels, window_address, tick, other)


@kernel
def missed(levels, line_address, key):
    """Take note of a level opened outside; True when that has been too often."""
    line, window = at(line_address, SIDE), at(window_at(levels, line_address), WINDOW)
    quarter = (int(window.end) - int(window.bottom)) >> 2
    if key < window.bottom and key_at(levels, line.best) >= window.bottom + quarter:
        return False  # far behind the best, where no window reaches
    window.misses += 1
    return window.misses > max(int(window.patience), PATIENCE_FIRST) + (int(line.count) >> 3)


@kernel
def move(levels, line_address):
    """Lay the window anew; where nothing comes of it, the next time has to wait longer."""
    line, window_address = at(line_address, SIDE), window_at(levels, line_address)
    window, outside = at(window_address, WINDOW), window_address + OUTSIDE_AT
    base, step = int(window.bottom), int(window.step)
    window.misses = 0
    patience = min(2 * max(int(window.patience), PATIENCE_FIRST), PATIENCE_MAX)
    window.patience = patience
    if arrays.reserve(levels, outside, int(line.count)):
        merge(levels, window_address)
        place(levels, window_address, best_step(levels, outside, step))
        arrays.shorten(levels, outside)
        window.moves += 1
        if window.bottom != base or window.step != step:
            window.patience = PATIENCE


@kernel
def merge(levels, window_address):
    """Take all levels off the ticks and sort them into the array, which must have room."""
    window, line = at(window_address, WINDOW), at(window_address + OUTSIDE_AT, SIDE)
    entries, left = levels + int(line.entries_at), int(line.count)
    target = left + int(window.count)
    line.count, window.count = target, 0
    tick = highest(window_address)
    while tick >= 0:
        key = int(window.bottom) + tick * int(window.step)
        while left > 0 and at(entries + ENTRY_BYTES * (left - 1), ENTRY).key > key:
            target, left = target - 1, left - 1
            arrays.move_entry(entries + ENTRY_BYTES * target, entries + ENTRY_BYTES * left)
        target -= 1
        entry = at(entries + ENTRY_BYTES * target, ENTRY)
        ticked = at(tick_at(levels, window_address, tick), TICK)
        entry.key, entry.level = key, ticked.level
        ticked.level = 0
        unmark(window_address, tick)
        tick = highest(window_address)


@kernel
def place(levels, window_address, step):
    """Lay the window around the best of the array, and put on its ticks what belongs there."""
    window, line = at(window_address, WINDOW), at(window_address + OUTSIDE_AT, SIDE)
    entries, count = levels + int(line.entries_at), int(line.count)
    ticks = int(at(levels, LEVELS).ticks)
    window.bottom, window.end, window.step, window.factor = 0, 0, 0, 0
    if step > 0:
        best = int(at(entries + ENTRY_BYTES * (count - 1), ENTRY).key)
        window.bottom = lowest(best, step, ticks)
        window.end, window.step = window.bottom + ticks * step, step
        window.factor = (SPAN_MAX + step - 1) // step
    kept = arrays.rank(entries, count, int(window.bottom) - 1)
    for position in range(kept, count):
        source = entries + ENTRY_BYTES * position
        entry = at(source, ENTRY)
        tick = tick_of(window_address, int(entry.key))
        if tick >= 0:
            put(levels, window_address, tick, int(entry.level))
        else:
            arrays.move_entry(entries + ENTRY_BYTES * kept, source)
            kept += 1
    line.count, line.best = kept, 0
    if kept > 0:
        line.best = at(entries + ENTRY_BYTES * (kept - 1), ENTRY).level


@kernel
def lowest(best, step, ticks):
    """Where a window for a best key begins: a quarter of it lies before the best."""
    return best - best % step - 3 * (ticks >> 2) * step


@kernel
def best_step(levels, outside, step):
    """The step with which a window holds most of the best levels, of equals the smallest; 0: none.

    Tried are the present step, and what two neighbours have in common.
    """
    line, ticks = at(outside, SIDE), int(at(levels, LEVELS).ticks)
    end = levels + int(line.entries_at) + ENTRY_BYTES * int(line.count)
    count = min(int(line.count), SAMPLE)
    if not -KEY_MAX < at(end - ENTRY_BYTES, ENTRY).key < KEY_MAX:
        return 0
    most = held(end, count, step, ticks)
    for position in range(1, count + 1):
        key = int(at(end - ENTRY_BYTES * position, ENTRY).key)
        other = int(at(end - ENTRY_BYTES * min(position + 1, count), ENTRY).key)
        tried = shared(key, other)
        while tried > SPAN_MAX // ticks and tried % 2 == 0:
            tried >>= 1
        found = held(end, count, tried, ticks)
        if found > most or (found == most and 0 < tried < step):
            most, step = found, tried
    if most == 0:
        return 0
    return step


@kernel
def shared(key, other):
    """The largest number that divides two keys."""
    key, other = abs(key), abs(other)
    while other != 0:
        key, other = other, key % other
    return key


@kernel
def held(end, count, step, ticks):
    """How many of so many best levels a window with a step would hold; the array ends there."""
    if not 0 < step <= SPAN_MAX // ticks:
        return 0
    base = lowest(int(at(end - ENTRY_BYTES, ENTRY).key), step, ticks)
    found = 0
    for position in range(1, count + 1):
        key = int(at(end - ENTRY_BYTES * position, ENTRY).key)
        found += int(key >= base and key % step == 0)
    return found


@kernel
def sound(levels, line_address, owner):
    """True when ticks, bitmap and array are those of a side's levels; safe on damaged memory."""
    line, header = at(line_address, SIDE), at(levels, LEVELS)
    place_at = int(header.windows_at) + owner * int(header.window_bytes)
    if line.entries_at != place_at:
        return False
    window_address = levels + place_at
    window, outside = at(window_address, WINDOW), window_address + OUTSIDE_AT
    if not sound_window(levels, window_address) or not arrays.sound(levels, outside, owner):
        return False
    array, best, count = at(outside, SIDE), 0, 0
    for position in range(int(array.count)):
        entry = at(levels + int(array.entries_at) + ENTRY_BYTES * position, ENTRY)
        if tick_of(window_address, int(entry.key)) >= 0:
            return False
    for tick in range(int(header.ticks)):
        number = int(at(tick_at(levels, window_address, tick), TICK).level)
        if number != 0:
            if not known(levels, number):
                return False
            level = at(level_at(levels, number), LEVEL)
            key = int(window.bottom) + tick * int(window.step)
            if level.owner != owner or key_of(owner, level.price) != key:
                return False
            best, count = number, count + 1
    if count != window.count or line.count != count + array.count:
        return False
    if best == 0 or (array.best != 0 and key_at(levels, array.best) > key_at(levels, best)):
        best = int(array.best)
    return line.best == best
