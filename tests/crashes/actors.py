"""What each process does in one go, and how it begins after a death: the production's kernels,
in the order in which the production's stages call them.
"""

from ringbuf.atomics import BUDGET, at, bit_length, load_relaxed, store_relaxed, store_release
from ringbuf.chain import ROOT, seal, unseal, verify
from ringbuf.jit import kernel
from ringbuf.ring import (
    GATE,
    POLICY,
    POSITION,
    WRITTEN,
    arrived,
    next_free,
    next_unread,
    push,
    ready,
    recover,
    release,
    slot,
)
from ringbuf.snapshot_files import digest
from tests.crashes.layout import (
    ARRIVED,
    EVENTS_IN,
    EVENTS_LOG,
    EVENTS_OUT,
    FILE,
    GATE_NOTE,
    JOURNAL,
    LENGTH,
    LIVE,
    NEW,
    OUT_JOURNAL,
    OUTPUTS_IN,
    OUTPUTS_LOG,
    OUTPUTS_OUT,
    READER_VIEW,
    REPLAYING,
    REPLICA,
    SINK,
    SIZE,
    SOURCE,
    STAGE,
    VIEW_SIZE,
    WORDS,
    WORLD,
    actor,
    clear,
    log_of,
    mind_of,
    put,
    reading,
    same,
    take_over,
    writing,
)
from tests.crashes.stages import bind, turn
from workers.recovery import republish

FEED, INNER, OUTER, TAKE = range(4)  # a process's private rings, in the table
SINK_CONTENT = 64  # bytes behind its position
HEAD = 4  # words of a snapshot before the state: inputs, outputs, two spare ones
(SOUND, LOST, DOUBLED, REORDERED, TORN, STUCK, LOG_DIFFERS, RING_BROKEN, SNAPSHOT_LOST,
 REPLICA_DIFFERS, BROKEN) = FAILURES = range(11)  # fmt: skip


@kernel
def fail(world, failure, sequence):
    """Note the first thing that went wrong."""
    mine = at(world, WORLD)
    if mine.failure == SOUND:
        mine.failure, mine.failed_at = failure, sequence


@kernel
def act(world, number):
    """One go of an actor: it finds its place after a death, or works."""
    if number == SOURCE:
        write(world)
    elif number == STAGE:
        run_stage(world)
    elif number == SINK:
        drain(world)
    elif number == JOURNAL:
        keep(world, JOURNAL, 0, reading(world, EVENTS_LOG))
    elif number == OUT_JOURNAL:
        keep(world, number, 1, reading(world, OUTPUTS_LOG))
    else:
        imitate(world)


@kernel
def write(world):
    """The source: what it writes is known by its number, but for when it was read."""
    mine, life = at(world, WORLD), actor(world, SOURCE)
    events = writing(world, EVENTS_IN)
    if life.phase == NEW:
        recover(events)
        life.phase = LIVE
    first = next_free(events)
    count = max(min(mine.batch, mine.records - first + 1), 0)
    records = mine.inputs + (first - 1) * SIZE
    if mine.varies:
        for number in range(count):
            put(records + number * SIZE + 8 * ARRIVED, mine.lives)
    push(events, records, count, 0)


@kernel
def keep(world, number, which, reader):
    """A journal: seals what has arrived, appends it to its file, and lets go of it.

    As workers.journal.Journal does with ringbuf.journal.Journal.append.
    """
    mine, life, log = at(world, WORLD), actor(world, number), log_of(world, which)
    if life.phase == NEW:
        open_log(log, reader, mine.segment)
        life.phase = LIVE
    limit = min(mine.log_limit, mine.segment - log.written % mine.segment)
    count, chain = seal(reader, int(log.written) + 1, limit, log.buffer, int(log.chain))
    if count:
        if not append(log.file, log.buffer, count * WORDS, mine.mask):
            fail(world, LOG_DIFFERS, log.written + 1)
            return
        log.written += count
        log.chain = chain
        release(reader, log.written)


@kernel
def open_log(log, reader, segment):
    """Find where a file ends, as of its last segment, and cut off what is torn.

    As ringbuf.journal.Journal does when it is opened, and workers.journal.Journal.open.
    """
    file = at(log.file, FILE)
    held = file.length // SIZE
    log.written = max(held - 1, 0) // segment * segment
    place = file.content + log.written * SIZE
    first = int(log.written) + 1
    before = chain_before(file.content, first)
    count, chain = verify(place, SIZE, first, held - first + 1, before)
    log.written += count
    log.chain = chain
    cut(log.file, log.written * SIZE)
    release(reader, max(log.written, next_unread(reader) - 1))


@kernel
def chain_before(data, sequence):
    """The chain value that a file has for the record before one."""
    return ROOT if sequence == 1 else load_relaxed(data + (sequence - 1) * SIZE - 8)


@kernel
def cut(file, size):
    """Truncate a file."""
    mine = at(file, FILE)
    clear(mine.content + size, (mine.length - size) // 8)
    store_relaxed(file + LENGTH, size)


@kernel
def append(file, source, words, mask):
    """Write behind a file's end; its length is there before the words are, in any order.

    Returns False where there is no room.
    """
    mine = at(file, FILE)
    size = mine.length + 8 * words
    start = mine.content + mine.length
    if size > mine.room:
        return False
    store_relaxed(file + LENGTH, size)
    scatter(start, source, words, mask)
    return True


@kernel
def scatter(target, source, words, mask):
    """Copy words in an order of their own."""
    span = 1 << bit_length(words - 1)
    for number in range(span):
        word = number ^ (mask & (span - 1))
        if word < words:
            store_relaxed(target + 8 * word, load_relaxed(source + 8 * word))


@kernel
def read_log(world, sequence, limit, target):
    """Read verified records of the events' journal, as others than its writer do; how many."""
    file = at(log_of(world, 0).file, FILE)
    limit = min(limit, file.length // SIZE - sequence + 1)
    if limit < 1:
        return 0
    source = file.content + (sequence - 1) * SIZE
    before = chain_before(file.content, sequence)
    count, _ = verify(source, SIZE, int(sequence), limit, before)
    unseal(source, SIZE, sequence, count, target)
    return count


@kernel
def drain(world):
    """The sink: a record goes where its sequence says, then the position follows."""
    mine, life, reader = at(world, WORLD), actor(world, SINK), reading(world, OUTPUTS_OUT)
    position = load_relaxed(mine.sink)
    if life.phase == NEW:
        release(reader, max(position, next_unread(reader) - 1))
        life.phase = LIVE
    count = ready(reader, mine.sink_limit)
    for sequence in range(position + 1, position + 1 + count):
        if sequence > mine.outputs:
            fail(world, DOUBLED, sequence)
            return
        place = mine.sink + SINK_CONTENT + (sequence - 1) * SIZE
        for word in range(WORDS):
            store_relaxed(place + 8 * word, load_relaxed(slot(reader, sequence) + 8 * word))
    if count:
        store_release(mine.sink, position + count)
        release(reader, position + count)


@kernel
def run_stage(world):
    """The stage: finds its way back aside (workers.recovery.resume), then takes what comes."""
    mine, life, mind = at(world, WORLD), actor(world, STAGE), mind_of(world, 0)
    if life.phase == NEW:
        shown = recover(writing(world, OUTPUTS_IN))
        mind.shown = shown
        mind.position = next_unread(reading(world, EVENTS_OUT)) - 1
        revive(world, 0, shown)
        life.phase = REPLAYING
    if life.phase == REPLAYING:
        replay(world)
    else:
        events = reading(world, EVENTS_OUT)
        turn(mine.kind, mind.state, events, writing(world, OUTPUTS_IN), mine.limit)


@kernel
def revive(world, which, most):
    """Have the state of the newest snapshot of at most so many outputs, and fresh private rings."""
    mine, mind = at(world, WORLD), mind_of(world, which)
    place = newest(world, most)
    state, mind.taken, mind.given = mine.template, 0, 0
    if place >= 0:
        address = mine.snapshots + place * 8 * mine.snapshot_words
        state = address + 8 * HEAD
        mind.taken, mind.given = load_relaxed(address), load_relaxed(address + 8)
    mind.saved = mind.taken
    mind.place = 1 - place if place >= 0 else 0
    take_over(mind.state, state, mine.state_words)
    bind(mine.kind, mind.state, mine.scratch)
    feed = at(view_of(world, mind.views + FEED), READER_VIEW)
    clear(feed.line, mine.private_words)
    begin_after(world, mind.views + INNER, mind.taken)
    begin_after(world, mind.views + TAKE, mind.given)


@kernel
def view_of(world, place):
    """Where a view is kept."""
    return at(world, WORLD).views + place * VIEW_SIZE


@kernel
def begin_after(world, place, sequence):
    """Have a zeroed ring go on behind a sequence, with its one reader."""
    reader = reading(world, place)
    put(reader.writer + WRITTEN, sequence)
    put(reader.writer + GATE_NOTE, sequence)
    put(reader.line + POSITION, sequence)
    put(reader.line + POLICY, GATE)


@kernel
def turn_aside(world, mind):
    """A turn on the private rings; to die in there is to die before it, so nobody does."""
    mine = at(world, WORLD)
    inner, outer = reading(world, mind.views + INNER), writing(world, mind.views + OUTER)
    left = load_relaxed(BUDGET)
    put(BUDGET, 0)
    work = turn(mine.kind, mind.state, inner, outer, mine.limit)
    put(BUDGET, left)
    return work


@kernel
def replay(world):
    """Go on from a snapshot; what was not published is. Ends where that is done.

    As workers.recovery.resume and turn_over, but it comes back where they wait for others.
    """
    mine, mind = at(world, WORLD), mind_of(world, 0)
    inner = reading(world, mind.views + INNER)
    take = reading(world, mind.views + TAKE)
    outputs = writing(world, OUTPUTS_IN)
    if ready(inner, 1) == 0 and ready(take, 1) == 0:
        if mind.taken >= mind.position and mind.given >= mind.shown:
            release(reading(world, EVENTS_OUT), max(mind.taken, mind.position))
            actor(world, STAGE).phase = LIVE
            return
        limit = mine.near
        if mind.taken < mind.position:
            limit = min(mine.chunk, mind.position - mind.taken)
        fetch(world, mind, limit)
    work = passed = 1
    while work or passed:
        work = turn_aside(world, mind)
        passed = republish(take, outputs, mind.shown)
        mind.given += passed


@kernel
def fetch(world, mind, limit):
    """Put the next inputs of the journal on the private ring; how many."""
    left = load_relaxed(BUDGET)
    put(BUDGET, 0)
    count = read_log(world, mind.taken + 1, limit, mind.buffer)
    push(writing(world, mind.views + FEED), mind.buffer, count, 0)
    put(BUDGET, left)
    mind.taken += count
    return count


@kernel
def imitate(world):
    """The replica: follows the journal, and saves what it knows now and then.

    As workers.snapshots.Snapshots does with a Replica.
    """
    mine, life, mind = at(world, WORLD), actor(world, REPLICA), mind_of(world, 1)
    if life.phase == NEW:
        revive(world, 1, mine.outputs)
        life.phase = LIVE
    fetch(world, mind, mine.chunk)
    work = given = 1
    while work or given:
        work = turn_aside(world, mind)
        given = compare(world, reading(world, mind.views + TAKE))
        mind.given += given
    if mind.taken - mind.saved >= mine.every:
        save(world, mind)


@kernel
def compare(world, take):
    """Look at what the replica gives: the very outputs; how many."""
    mine = at(world, WORLD)
    first = sequence = next_unread(take)
    while arrived(take, sequence):
        place = mine.reference + (sequence - 1) * SIZE
        if sequence > mine.outputs or not same(slot(take, sequence), place, WORDS):
            fail(world, REPLICA_DIFFERS, sequence)
            break
        sequence += 1
    release(take, sequence - 1)
    return sequence - first


@kernel
def save(world, mind):
    """Write a snapshot over the older one."""
    mine, words = at(world, WORLD), int(at(world, WORLD).snapshot_words)
    put(mind.buffer, mind.taken)
    put(mind.buffer + 8, mind.given)
    put(mind.buffer + 16, 0)
    put(mind.buffer + 24, 0)
    take_over(mind.buffer + 8 * HEAD, mind.state, mine.state_words)
    put(mind.buffer + 8 * words - 8, digest(mind.buffer, words - 1, ROOT))
    scatter(mine.snapshots + mind.place * 8 * words, mind.buffer, words, mine.mask)
    mind.place = 1 - mind.place
    mind.saved = mind.taken
    mine.snapped += 1


@kernel
def newest(world, most):
    """The place of the newest whole snapshot of at most so many outputs; -1: there is none."""
    mine, words, best, found = at(world, WORLD), int(at(world, WORLD).snapshot_words), 0, -1
    for place in range(2):
        address = mine.snapshots + place * 8 * words
        taken = load_relaxed(address)
        whole = load_relaxed(address + 8 * words - 8) == digest(address, words - 1, ROOT)
        if whole and taken > best and load_relaxed(address + 8) <= most:
            best, found = taken, place
    return found
