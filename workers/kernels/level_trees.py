"""Levels in a red-black tree: a change costs O(log n) steps wherever in the side it is.

A node has its level's number; its LINK lies in an array of links (level_pool.py). What is worse
hangs below child[0], what is better below child[1]. LINK 0 stands for "nothing": it is black, and
holds a parent only while a removal is mended. A red node has black children, and every way from
the root down to nothing meets the same number of black nodes, so none is twice as long as another.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.level_pool import (
    LEVEL,
    LEVELS,
    LINK,
    LINK_BYTES,
    SIDE,
    key_of,
    known,
    level_at,
)

WORSE, BETTER = 0, 1
ENTERED, WORSE_DONE, BETTER_DONE = 0, 1, 2  # how far a walk is with a node


@kernel
def links_of(levels):
    """The address of LINK 0."""
    return levels + int(at(levels, LEVELS).links_at)


@kernel
def link_at(links, number):
    """The address of a level's LINK."""
    return links + LINK_BYTES * int(number)


@kernel
def find(links, line_address, key):
    """The number of the level with a key, 0 where there is none, and where one would hang."""
    line = at(line_address, SIDE)
    number, parent = int(line.root), 0
    best = int(line.best)
    if best != 0 and at(link_at(links, best), LINK).key <= key:
        number, parent = best, int(at(link_at(links, best), LINK).parent)
    while number != 0:
        link = at(link_at(links, number), LINK)
        if link.key == key:
            return number, parent
        parent = number
        number = int(link.child[int(key > link.key)])
    return 0, parent


@kernel
def insert(links, line_address, parent, key, number):
    """Hang a level below a node, where `find` said, and balance the tree."""
    line, link = at(line_address, SIDE), at(link_at(links, number), LINK)
    link.key, link.parent, link.red = key, parent, 1
    link.child[WORSE], link.child[BETTER] = 0, 0
    if parent == 0:
        line.root = number
    else:
        above = at(link_at(links, parent), LINK)
        above.child[int(key > above.key)] = number
    if line.best == 0 or key > at(link_at(links, line.best), LINK).key:
        line.best = number
    line.count += 1
    mend_insert(links, line_address, number)


@kernel
def mend_insert(links, line_address, number):
    """Where a red node has come below a red one: recolour upwards, at most two rotations."""
    while red(links, at(link_at(links, number), LINK).parent):
        parent = int(at(link_at(links, number), LINK).parent)
        above = int(at(link_at(links, parent), LINK).parent)
        side = side_of(links, above, parent)
        uncle = child(links, above, 1 - side)
        if red(links, uncle):
            paint(links, parent, 0)
            paint(links, uncle, 0)
            paint(links, above, 1)
            number = above
        else:
            if child(links, parent, side) != number:
                rotate(links, line_address, parent, side)
                parent = number
            paint(links, parent, 0)
            paint(links, above, 1)
            rotate(links, line_address, above, 1 - side)
            break
    paint(links, at(line_address, SIDE).root, 0)


@kernel
def remove(links, line_address, number):
    """Take a level's node out and balance the tree."""
    line, link = at(line_address, SIDE), at(link_at(links, number), LINK)
    if line.best == number:
        line.best = worse(links, number)
    line.count -= 1
    black = link.red == 0
    if link.child[WORSE] == 0 or link.child[BETTER] == 0:
        hole = int(link.child[WORSE]) + int(link.child[BETTER])
        put_in_place(links, line_address, number, hole)
    else:
        heir = outermost(links, link.child[BETTER], WORSE)
        black = at(link_at(links, heir), LINK).red == 0
        hole = inherit(links, line_address, number, heir)
    if black:
        mend_remove(links, line_address, hole)
    at(links, LINK).parent = 0


@kernel
def inherit(links, line_address, number, heir):
    """Put the next better node in a node's place; what then stands where that one was."""
    old, new = at(link_at(links, number), LINK), at(link_at(links, heir), LINK)
    hole = int(new.child[BETTER])
    if new.parent == number:
        at(link_at(links, hole), LINK).parent = heir
    else:
        put_in_place(links, line_address, heir, hole)
        new.child[BETTER] = old.child[BETTER]
        at(link_at(links, new.child[BETTER]), LINK).parent = heir
    put_in_place(links, line_address, number, heir)
    new.child[WORSE] = old.child[WORSE]
    at(link_at(links, new.child[WORSE]), LINK).parent = heir
    new.red = old.red
    return hole


@kernel
def mend_remove(links, line_address, hole):
    """Where ways through a node are one black short: recolour upwards, at most three rotations."""
    while hole != at(line_address, SIDE).root and not red(links, hole):
        parent = int(at(link_at(links, hole), LINK).parent)
        side = side_of(links, parent, hole)
        other = child(links, parent, 1 - side)
        if red(links, other):
            paint(links, other, 0)
            paint(links, parent, 1)
            rotate(links, line_address, parent, side)
            other = child(links, parent, 1 - side)
        outer, inner = child(links, other, 1 - side), child(links, other, side)
        if not red(links, outer) and not red(links, inner):
            paint(links, other, 1)
            hole = parent
        else:
            if not red(links, outer):
                paint(links, inner, 0)
                paint(links, other, 1)
                rotate(links, line_address, other, 1 - side)
                outer, other = other, inner
            paint(links, other, at(link_at(links, parent), LINK).red)
            paint(links, parent, 0)
            paint(links, outer, 0)
            rotate(links, line_address, parent, side)
            hole = int(at(line_address, SIDE).root)
    paint(links, hole, 0)


@kernel
def rotate(links, line_address, number, side):
    """Let a node sink to one side; its child on the other comes up in its place."""
    link = at(link_at(links, number), LINK)
    rising = int(link.child[1 - side])
    up = at(link_at(links, rising), LINK)
    inner = int(up.child[side])
    link.child[1 - side] = inner
    if inner != 0:
        at(link_at(links, inner), LINK).parent = number
    put_in_place(links, line_address, number, rising)
    up.child[side], link.parent = number, rising


@kernel
def put_in_place(links, line_address, old, new):
    """Hang a node, or nothing, where another hangs."""
    parent = int(at(link_at(links, old), LINK).parent)
    if parent == 0:
        at(line_address, SIDE).root = new
    else:
        at(link_at(links, parent), LINK).child[side_of(links, parent, old)] = new
    at(link_at(links, new), LINK).parent = parent


@kernel
def side_of(links, parent, number):
    """On which side of its parent a node hangs."""
    return int(at(link_at(links, parent), LINK).child[BETTER] == number)


@kernel
def child(links, number, side):
    """What hangs on one side of a node."""
    return int(at(link_at(links, number), LINK).child[side])


@kernel
def red(links, number):
    """True for a red node; nothing is black."""
    return at(link_at(links, number), LINK).red != 0


@kernel
def paint(links, number, colour):
    """Make a node red (1) or black (0)."""
    at(link_at(links, number), LINK).red = colour


@kernel
def outermost(links, number, side):
    """The last node on one side of those below a node, or itself."""
    below = child(links, number, side)
    while below != 0:
        number, below = below, child(links, below, side)
    return int(number)


@kernel
def worse(links, number):
    """The number of the next worse level, 0 where there is none."""
    link = at(link_at(links, number), LINK)
    if link.child[WORSE] != 0:
        return outermost(links, link.child[WORSE], BETTER)
    number, parent = int(number), int(link.parent)
    while parent != 0 and side_of(links, parent, number) == WORSE:
        number, parent = parent, int(at(link_at(links, parent), LINK).parent)
    return parent


@kernel
def sound(levels, line_address, owner):
    """True when a side is a red-black tree of its levels, best last; safe on damaged memory.

    It goes down only to nodes that name the one above as their parent, so it can neither leave the
    links nor go round.
    """
    line, links = at(line_address, SIDE), links_of(levels)
    number, state, count = int(line.root), ENTERED, 0
    before, blacks, all_blacks = 0, 0, -1
    if number != 0 and (not known(levels, number) or at(link_at(links, number), LINK).parent != 0):
        return False
    last = 0
    while number != 0:
        link = at(link_at(links, number), LINK)
        going = int(link.parent)
        if state == ENTERED:
            if count > line.count or not sound_node(levels, owner, number):
                return False
            blacks += 1 - int(link.red)
        elif state == WORSE_DONE:
            if count > 0 and link.key <= before:
                return False
            before, last, count = int(link.key), number, count + 1
        else:
            blacks -= 1 - int(link.red)
            state = WORSE_DONE + side_of(links, going, number)
            number = going
            continue
        going = int(link.child[state])
        if going != 0:
            number, state = going, ENTERED
            continue
        if all_blacks >= 0 and all_blacks != blacks:
            return False
        all_blacks, state = blacks, state + 1
    return count == line.count and last == line.best and at(links, LINK).red == 0


@kernel
def sound_node(levels, owner, number):
    """True when a node belongs to its level, and its children to it; red only over black."""
    links, level = links_of(levels), at(level_at(levels, number), LEVEL)
    link = at(link_at(links, number), LINK)
    if level.owner != owner or link.key != key_of(owner, level.price) or link.red not in (0, 1):
        return False
    if link.child[WORSE] == link.child[BETTER] and link.child[WORSE] != 0:
        return False
    if link.parent == 0 and link.red:
        return False
    for side in range(2):
        below = int(link.child[side])
        if below != 0:
            if not known(levels, below) or at(link_at(links, below), LINK).parent != number:
                return False
            if link.red and red(links, below):
                return False
    return True
