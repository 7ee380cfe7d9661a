"""Stories of deaths: actors in the order that a seed chooses, each killed at any of its stores.

The judge looks after every step, as nobody in a real run could. The same seed is the same story.
"""

from ringbuf.atomics import BUDGET, at, load_relaxed
from ringbuf.chain import ROOT, verify
from ringbuf.jit import kernel
from ringbuf.ring import GATE, POLICY, POSITION, slot
from ringbuf.views import READER_VIEW
from tests.crashes.actors import (
    BROKEN,
    DOUBLED,
    LOG_DIFFERS,
    LOST,
    REORDERED,
    RING_BROKEN,
    SINK_CONTENT,
    SNAPSHOT_LOST,
    SOUND,
    STUCK,
    TORN,
    act,
    fail,
    newest,
    view_of,
)
from tests.crashes.layout import (
    ACTORS,
    ARRIVED,
    EVENTS_LOG,
    EVENTS_OUT,
    FILE,
    JOURNAL,
    LENGTH,
    LIVE,
    NEW,
    OUT_JOURNAL,
    OUTPUTS_LOG,
    OUTPUTS_OUT,
    REPLICA,
    SINK,
    SIZE,
    STAGE,
    WORDS,
    WORLD,
    actor,
    clear,
    draw,
    log_of,
    mind_of,
    put,
    reading,
    same,
)

STILL = 2_000  # steps in which nothing moves, after which nobody is killed until something does
STUCK_FOR = 2_000  # steps in which nothing moves, nobody being killed: then nothing ever will


@kernel
def play(world, first, stories, quota):
    """Play stories of seeds from `first` on, `quota` crashes at most; how many were played.

    Stops at the first that fails: it is in WORLD.
    """
    mine = at(world, WORLD)
    for number in range(stories):
        if mine.crashes >= quota:
            return number
        play_one(world, first + number, quota)
        if mine.failure != SOUND:
            return number + 1
    return stories


@kernel
def play_one(world, seed, quota):
    """Kill until all is done, or the quota is; then have them finish in peace, and look."""
    mine = at(world, WORLD)
    begin(world, seed)
    mine.mortal = 1
    while mine.crashes < quota and unfinished(world):
        step(world, choose(world))
    mine.mortal = mine.stuck = 0
    for number in range(len(ACTORS)):
        actor(world, number).left = 0
    while unfinished(world):
        for number in range(len(ACTORS)):
            step(world, number)
    if mine.failure == SOUND:
        audit(world)


@kernel
def begin(world, seed):
    """A world as on its first day, its measures drawn."""
    mine = at(world, WORLD)
    mine.chance = seed * 7919 % 2147483646 + 1
    for _ in range(3):
        draw(world, 2)
    measure(world)
    clear(mine.rings, mine.rings_words)
    for place in (EVENTS_LOG, EVENTS_OUT, OUTPUTS_OUT, OUTPUTS_LOG):
        put(reading(world, place).line + POLICY, GATE)
    clear(mine.snapshots, 2 * mine.snapshot_words)
    clear(mine.sink, (SINK_CONTENT + mine.longest * SIZE) // 8)
    for number in range(2):
        file = at(log_of(world, number).file, FILE)
        clear(file.content, file.room // 8)
        put(log_of(world, number).file + LENGTH, 0)
    mine.known_in = mine.known_out = mine.snapped = mine.moved = mine.still = 0
    mine.crawled = mine.stuck = 0
    mine.failure = SOUND
    mine.weights = 0
    for number in range(len(ACTORS)):
        mine.positions[number] = 0
        life = actor(world, number)
        life.weight = 1 + draw(world, 4) * draw(world, 5)
        mine.weights += life.weight
        life.phase, life.left = NEW, lifetime(world)


@kernel
def measure(world):
    """Draw what each does in one go, and how much there is to do."""
    mine = at(world, WORLD)
    capacity = reading(world, EVENTS_OUT).mask + 1
    private = mine.private_mask + 1
    half = mine.longest // 2
    mine.records = half + draw(world, half) + 1
    mine.outputs = given_after(world, mine.records)
    mine.batch, mine.log_limit = 1 + draw(world, capacity), 1 + draw(world, capacity)
    mine.limit = mine.outputs_max + draw(world, 2 * capacity)
    mine.sink_limit = 1 + draw(world, capacity)
    mine.chunk, mine.near = 1 + draw(world, private), 1 + draw(world, private)
    mine.every, mine.segment = 1 + draw(world, 48), 4 << draw(world, 5)
    mine.mask, mine.haste = draw(world, 64), draw(world, 8)
    after = at(view_of(world, EVENTS_OUT), READER_VIEW)
    after.after = 0
    if draw(world, 4) == 0:  # the stage comes after the journal
        after.after = reading(world, EVENTS_LOG).line + POSITION


@kernel
def given_after(world, records):
    """How many outputs come of the first inputs."""
    return load_relaxed(at(world, WORLD).given_after + 8 * records)


@kernel
def lifetime(world):
    """How many stores a new life lasts; 0: it has no end of its own."""
    mine = at(world, WORLD)
    if not mine.mortal or mine.still > STILL or draw(world, 16) == 0:
        return 0
    return 1 + draw(world, 2 << mine.haste)


@kernel
def choose(world):
    """Whose turn it is."""
    ahead = draw(world, at(world, WORLD).weights)
    for number in range(len(ACTORS)):
        ahead -= actor(world, number).weight
        if ahead < 0:
            return number
    return 0


@kernel
def step(world, number):
    """One go of one actor, or as much of it as it lives to do."""
    mine, life = at(world, WORLD), actor(world, number)
    dead = True  # killed where it does nothing
    if not mine.mortal or mine.still > STILL or draw(world, 32):
        put(BUDGET, life.left)
        dead = dies(world, number)
        left = load_relaxed(BUDGET)
        life.left = max(left, 0)
        put(BUDGET, 0)
        if dead and left != 0:
            fail(world, BROKEN, 0)
    if dead:
        mine.crashes += 1
        mine.lives += 1
        life.phase, life.left = NEW, lifetime(world)
    judge(world)
    if number == REPLICA:
        judge_snapshots(world, dead)


@kernel
def dies(world, number):
    """Have an actor act; True where it did not live to the end of it."""
    dead = False
    try:
        act(world, number)
    except Exception:  # compiled code catches this or nothing; step() sees whether it was Killed
        dead = True
    return dead


@kernel
def judge(world):
    """Whatever shows must be right from its first moment, and nothing unread be overwritten."""
    mine = at(world, WORLD)
    mine.known_in = inspect(world, EVENTS_OUT, mine.known_in, mine.records, mine.inputs)
    mine.known_out = inspect(world, OUTPUTS_OUT, mine.known_out, mine.outputs, mine.reference)
    moved = mine.known_in + mine.known_out + load_relaxed(mine.sink) + mind_of(world, 1).saved
    moved += watch(world, EVENTS_LOG, JOURNAL, mine.known_in)
    moved += watch(world, EVENTS_OUT, STAGE, mine.known_in)
    moved += watch(world, OUTPUTS_OUT, SINK, mine.known_out)
    moved += watch(world, OUTPUTS_LOG, OUT_JOURNAL, mine.known_out)
    crawled = mind_of(world, 0).taken + mind_of(world, 1).taken
    mine.still += 1
    mine.stuck += 1
    if mine.still == STILL:  # a truce begins
        mine.truces += 1
        mine.stuck = 0
    if moved != mine.moved or crawled != mine.crawled:
        mine.stuck = 0
    if moved != mine.moved:
        mine.still = 0
    mine.moved, mine.crawled = moved, crawled
    if mine.stuck > STUCK_FOR and (mine.still > STILL or not mine.mortal) and not complete(world):
        fail(world, STUCK, mine.known_out + 1)


@kernel
def inspect(world, place, known, last, reference):
    """Compare what has been published since; the last record that was."""
    mine, reader = at(world, WORLD), reading(world, place)
    while load_relaxed(slot(reader, known + 1) + SIZE - 8) == known + 1:
        known += 1
        if known > last:
            fail(world, DOUBLED, known)
            break
        found, wanted = slot(reader, known), reference + (known - 1) * SIZE
        if place == EVENTS_OUT:
            put(mine.arrived + 8 * known, load_relaxed(found + 8 * ARRIVED))
        if not alike(world, place, found, wanted):
            fail(world, what_is_wrong(world, place, known, last, reference), known)
            break
    return known


@kernel
def alike(world, place, found, wanted):
    """Whether two records agree but for the sequence, and for when an event was read."""
    if place == EVENTS_OUT and at(world, WORLD).varies:
        beyond = ARRIVED + 1
        rest = same(found + 8 * beyond, wanted + 8 * beyond, WORDS - 1 - beyond)
        return rest and same(found, wanted, ARRIVED)
    return same(found, wanted, WORDS - 1)


@kernel
def what_is_wrong(world, place, sequence, last, reference):
    """A record that should not be here: is it another one?"""
    reader = reading(world, place)
    found, wanted = slot(reader, sequence), reference + (sequence - 1) * SIZE
    for other in range(1, last + 1):
        if alike(world, place, found, reference + (other - 1) * SIZE):
            if other < sequence:
                return DOUBLED
            for later in range(sequence + 1, sequence + reader.mask):
                address = slot(reader, later)
                if load_relaxed(address + SIZE - 8) == later:
                    if alike(world, place, address, wanted):
                        return REORDERED
            return LOST
    return TORN


@kernel
def watch(world, place, number, known):
    """A reader's position: never backwards, never ahead, never further behind than the ring.

    What it reads next must not have been overwritten.
    """
    mine, reader = at(world, WORLD), reading(world, place)
    position = load_relaxed(reader.line + POSITION)
    if not max(mine.positions[number], known - reader.mask - 1) <= position <= known:
        fail(world, RING_BROKEN, position)
    elif position < known:
        if load_relaxed(slot(reader, position + 1) + SIZE - 8) != position + 1:
            fail(world, LOST, position + 1)
    mine.positions[number] = position
    return position


@kernel
def judge_snapshots(world, dead):
    """Once there is a snapshot, there always is a whole one, and a new one when it is time."""
    mine, mind = at(world, WORLD), mind_of(world, 1)
    if not dead and mind.taken - mind.saved >= mine.every:
        fail(world, SNAPSHOT_LOST, mind.taken)
    if mine.snapped:
        place = newest(world, mine.outputs)
        if place < 0:
            fail(world, SNAPSHOT_LOST, 0)
            return
        address = mine.snapshots + place * 8 * mine.snapshot_words
        taken = load_relaxed(address)
        if taken > mine.records or given_after(world, taken) != load_relaxed(address + 8):
            fail(world, SNAPSHOT_LOST, taken)


@kernel
def unfinished(world):
    """True while there is something to be done, and nothing has gone wrong."""
    return at(world, WORLD).failure == SOUND and not complete(world)


@kernel
def complete(world):
    """True when everything has been everywhere."""
    mine = at(world, WORLD)
    if mine.known_in < mine.records or mine.known_out < mine.outputs:
        return False
    for number in (JOURNAL, STAGE):
        if mine.positions[number] < mine.records or actor(world, number).phase != LIVE:
            return False
    for number in (SINK, OUT_JOURNAL):
        if mine.positions[number] < mine.outputs or actor(world, number).phase != LIVE:
            return False
    return actor(world, REPLICA).phase == LIVE and mind_of(world, 1).taken == mine.records


@kernel
def audit(world):
    """Look at what was left to those outside: the files, and what the sink has got."""
    mine = at(world, WORLD)
    audit_file(world, 0, EVENTS_OUT, mine.records, mine.inputs)
    audit_file(world, 1, OUTPUTS_OUT, mine.outputs, mine.reference)
    if load_relaxed(mine.sink) != mine.outputs:
        fail(world, LOST, mine.outputs)
    for number in range(mine.outputs):
        place = number * SIZE
        if not same(mine.sink + SINK_CONTENT + place, mine.reference + place, WORDS):
            fail(world, TORN, number + 1)
            return


@kernel
def audit_file(world, which, place, records, reference):
    """A journal has all records, each as it was first seen."""
    mine, file = at(world, WORLD), at(log_of(world, which).file, FILE)
    count, _ = verify(file.content, SIZE, 1, records, ROOT)
    if count < records or file.length != records * SIZE:
        fail(world, LOG_DIFFERS, count + 1)
        return
    for number in range(records):
        found = file.content + number * SIZE
        arrived = load_relaxed(mine.arrived + 8 * (number + 1))
        right = place != EVENTS_OUT or arrived == load_relaxed(found + 8 * ARRIVED)
        if not right or not alike(world, place, found, reference + number * SIZE):
            fail(world, LOG_DIFFERS, number + 1)
            return
