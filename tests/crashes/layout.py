"""The memory of a small world: rings, files, and what each of its processes knows by itself.

    source -> ring `events` -> stage -> ring `outputs` -> sink
                  |              ^          |
                  +-> journal ---+          +-> journal
                         |
                         +-> replica -> snapshots

Everything lies in plain memory at fixed places; WORLD says where. A `file` is memory as well: what
was stored in it stays when a process dies, and is torn where the death came in the middle.
"""

import ctypes

from numba.extending import overload

from ringbuf.atomics import at, load_relaxed
from ringbuf.jit import kernel
from ringbuf.record import offset, record
from ringbuf.ring import WRITER, Writer
from ringbuf.views import READER_VIEW, reader_at

SIZE = 64  # bytes of a record: 8 words, the sequence last
WORDS = SIZE // 8
ARRIVED = 1  # the word of an event that differs each time it is read from its feed
ACTORS = SOURCE, JOURNAL, STAGE, SINK, OUT_JOURNAL, REPLICA = tuple(range(6))
NEW, REPLAYING, LIVE = range(3)  # phases of a life
(  # places in the table of views: the ends of the rings, and of the private ones of two processes
    EVENTS_IN, EVENTS_LOG, EVENTS_OUT, OUTPUTS_IN, OUTPUTS_OUT, OUTPUTS_LOG,
    STAGE_FEED, STAGE_INNER, STAGE_OUTER, STAGE_TAKE,
    REPLICA_FEED, REPLICA_INNER, REPLICA_OUTER, REPLICA_TAKE,
) = VIEWS = range(14)  # fmt: skip

WORD = record([("value", "i8")])
FILE = record([("length", "i8"), ("content", "i8"), ("room", "i8")])  # bytes; an address; bytes
LENGTH = offset(FILE, "length")
GATE_NOTE = offset(WRITER, "gate")
ACTOR = record(
    [
        ("phase", "i8"),
        ("left", "i8"),  # stores until it dies; 0: it does not
        ("weight", "i8"),  # how often it is its turn
    ]
)
LOG = record(  # the private memory of a journal's process
    [
        ("written", "i8"),
        ("chain", "i8"),
        ("buffer", "i8"),
        ("file", "i8"),
    ]
)
MIND = record(  # the private memory of one that folds inputs in: the stage, the replica
    [
        ("state", "i8"),
        ("buffer", "i8"),  # records read from the journal; a snapshot in the making
        ("taken", "i8"),  # inputs folded in
        ("given", "i8"),  # outputs that came of them
        ("position", "i8"),  # of its reader's line, when its life began
        ("shown", "i8"),  # the last output that was published by then
        ("saved", "i8"),  # inputs in the newest snapshot
        ("place", "i8"),  # which of the two places the next snapshot goes to
        ("views", "i8"),  # its private rings: the first of four places in the table
    ]
)
WORLD = record(
    [
        ("kind", "i8"),  # which stage
        ("outputs_max", "i8"),  # the most that one input gives
        ("varies", "i8"),  # 1: the word ARRIVED of an input depends on when it was read
        ("inputs", "i8"),  # address of the records that the source writes
        ("reference", "i8"),  # address of the outputs that must come of them
        ("given_after", "i8"),  # address of words: how many outputs of the first n inputs
        ("arrived", "i8"),  # address of words: ARRIVED of each event, as it was first seen
        ("template", "i8"),  # address of the state before the first input
        ("state_words", "i8"),
        ("scratch", "i8"),  # address of histograms, boards and counters that nobody looks at
        ("views", "i8"),
        ("actors", "i8"),
        ("logs", "i8"),
        ("minds", "i8"),
        ("snapshots", "i8"),  # address of two places of snapshot_words
        ("snapshot_words", "i8"),
        ("sink", "i8"),  # address of its position and, a line behind, of what it has got
        ("rings", "i8"),  # address of the two shared ones, one behind the other
        ("rings_words", "i8"),
        ("private_words", "i8"),  # of a process's two private rings, one behind the other
        ("private_mask", "i8"),  # of those rings
        ("longest", "i8"),  # records that the source has
        # Of this story:
        ("records", "i8"),  # inputs
        ("outputs", "i8"),
        ("batch", "i8"),  # records in one go: of the source,
        ("log_limit", "i8"),  # the journals,
        ("limit", "i8"),  # the stage,
        ("sink_limit", "i8"),  # the sink,
        ("chunk", "i8"),  # the journal's readers,
        ("near", "i8"),  # and where the published output is nearly reached
        ("every", "i8"),  # inputs between two snapshots
        ("segment", "i8"),  # records of a journal's segment
        ("mask", "i8"),  # order in which the words of a write reach a file
        ("mortal", "i8"),  # 1: actors die
        ("haste", "i8"),  # how short lives are
        ("weights", "i8"),  # of all actors together
        # What has been seen:
        ("chance", "i8"),  # state of the random numbers
        ("lives", "i8"),
        ("crashes", "i8"),  # in all stories
        ("truces", "i8"),  # times that nothing moved for so long that nobody was killed for a while
        ("known_in", "i8"),  # events published, and right
        ("known_out", "i8"),  # outputs published, and right
        ("snapped", "i8"),  # snapshots taken
        ("moved", "i8"),  # how far everything has got, in one number
        ("still", "i8"),  # steps since that grew
        ("crawled", "i8"),  # how far those have got who read the past again
        ("stuck", "i8"),  # steps since either of the two changed
        ("failure", "i8"),
        ("failed_at", "i8"),  # sequence
        ("positions", "i8", (6,)),  # by actor: the last seen of its reader's line
    ]
)
ACTOR_SIZE, LOG_SIZE, MIND_SIZE = ACTOR.itemsize, LOG.itemsize, MIND.itemsize
VIEW_SIZE = READER_VIEW.itemsize


def clear(address, words):
    """Zero some memory, unseen by the budget."""
    ctypes.memset(int(address), 0, 8 * int(words))


def take_over(target, source, words):
    """Copy some memory, unseen by the budget."""
    ctypes.memmove(int(target), int(source), 8 * int(words))


def put(address, value):
    """Store a word of one's own, unseen by the budget."""
    ctypes.c_int64.from_address(int(address)).value = value


@overload(clear)
def _overload_clear(address, words):
    def zero(address, words):
        for word in range(words):
            at(address + 8 * word, WORD).value = 0

    return zero


@overload(take_over)
def _overload_take_over(target, source, words):
    def copy(target, source, words):
        for word in range(words):
            at(target + 8 * word, WORD).value = at(source + 8 * word, WORD).value

    return copy


@overload(put)
def _overload_put(address, value):
    def store(address, value):
        at(address, WORD).value = value

    return store


@kernel
def reading(world, place):
    """A reader's view from the table."""
    return reader_at(at(world, WORLD).views + place * VIEW_SIZE)


@kernel
def writing(world, place):
    """A writer's view from the table."""
    kept = at(at(world, WORLD).views + place * VIEW_SIZE, READER_VIEW)
    return Writer(kept.line, kept.slots, kept.stamps, kept.mask, kept["size"])


@kernel
def actor(world, number):
    """The ACTOR record of an actor."""
    return at(at(world, WORLD).actors + number * ACTOR_SIZE, ACTOR)


@kernel
def log_of(world, number):
    """The LOG record of the first or the second journal."""
    return at(at(world, WORLD).logs + number * LOG_SIZE, LOG)


@kernel
def mind_of(world, number):
    """The MIND record of the stage (0) or the replica (1)."""
    return at(at(world, WORLD).minds + number * MIND_SIZE, MIND)


@kernel
def draw(world, below):
    """A random number from 0 up (Lehmer's generator)."""
    mine = at(world, WORLD)
    mine.chance = mine.chance * 48271 % 2147483647
    return mine.chance % below


@kernel
def same(one, other, words):
    """Whether some words are the same."""
    for word in range(words):
        if load_relaxed(one + 8 * word) != load_relaxed(other + 8 * word):
            return False
    return True
