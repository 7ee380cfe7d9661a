"""A writer and three readers as processes of their own, killed at random and started again.

One reader spins, one sleeps when there is nothing to read, and one comes after the first and sleeps
too, for ten minutes at most: a wake-up that got lost would hold the test up. Each reader chains
a digest over the words and stamps of every record and keeps it beside the ring before it releases
the record, so the last digest is right only if every record was taken once, in order and whole,
whatever was killed in between. CORELANE_KILLS sets how many kills there are.
"""

import mmap
import os
import random
import time

import numpy as np
import pytest

from ringbuf import ring
from ringbuf.atomics import at, load_relaxed, store_relaxed
from ringbuf.jit import compiled, kernel
from ringbuf.park import Bed
from ringbuf.record import slot_record
from ringbuf.share import RingReader, RingWriter, Seat, create_ring, observe
from tests.ringbuf.segments import fork, kill, wait

WORDS = slot_record([("words", "i8", (7,))])
LAYOUTS = {"words": (-1, WORDS)}
CAPACITY = 128
SEATS = [Seat("first"), Seat("second", parks=True), Seat("third", after="first", parks=True)]
KILLS = int(os.environ.get("CORELANE_KILLS") or (150 if compiled() else 30))
LONG_S = 600.0
DIGESTS = 1024  # per reader, by sequence: more than a reader can be ahead of its release
PRIME = 2_147_483_647


@kernel
def chained(digest, value):
    return (digest * 1_000_003 + (value & 0xFFFFFFFF)) % PRIME


@kernel
def word_of(sequence, place):
    return (sequence * 2_654_435_761 + place * 40_503) & 0xFFFFFFFFFFFF


@kernel
def produce(writer, batch):
    """Write a batch in place; note it in two steps, so that a death may come in between."""
    first = ring.next_free(writer)
    space = ring.room(writer, first, batch)
    for number in range(space):
        sequence = first + number
        address = ring.claim(writer, sequence)
        for place in range(7):
            store_relaxed(address + 8 * place, word_of(sequence, place))
        ring.publish(writer, sequence, 3 * sequence, 5 * sequence)
        if number == space // 2:
            ring.advance(writer, sequence)
    if space > 0:
        ring.advance(writer, first + space - 1)
    return space


@kernel
def consume(reader, digests, limit):
    """Take what has come; the digest is kept before the record is released."""
    sequence = ring.next_unread(reader)
    digest = load_relaxed(digests + 8 * ((sequence - 1) % DIGESTS))
    last = sequence + limit
    while sequence < last and ring.arrived(reader, sequence):
        address = ring.slot(reader, sequence)
        for place in range(8):
            digest = chained(digest, load_relaxed(address + 8 * place))
        times = at(ring.stamp(reader, sequence), ring.STAMP)
        digest = chained(digest, int(times.born) + int(times.sent))
        store_relaxed(digests + 8 * (sequence % DIGESTS), digest)
        if sequence % 16 == 0 or sequence == last - 1:
            ring.release(reader, sequence)
        sequence += 1
    ring.release(reader, sequence - 1)
    return sequence - 1


@kernel
def expected(count):
    """The digest of the first records, from what they must be."""
    digest = 0
    for sequence in range(1, count + 1):
        for place in range(7):
            digest = chained(digest, word_of(sequence, place))
        digest = chained(digest, sequence)
        digest = chained(digest, 8 * sequence)
    return digest


class Line:
    """The ring, its three processes, and the memory that outlives them."""

    def __init__(self, pipeline):
        self.place = (pipeline, "line")
        create_ring(*self.place, LAYOUTS, CAPACITY, SEATS).close()
        self.memory = np.frombuffer(mmap.mmap(-1, 8 * (2 + 3 * DIGESTS)), np.int64)
        self.stop, self.slept = self.memory[:1], self.memory[1:2]
        self.digests = self.memory[2:].reshape(3, DIGESTS)
        self.tasks = [self.write, *(lambda number=n: self.read(number) for n in range(3))]

    def write(self):
        writer = RingWriter(*self.place, LAYOUTS)
        batch = 1
        while not self.stop[0]:
            if not produce(writer.view, batch):
                os.sched_yield()
            if batch == 50:
                time.sleep(0.0005)  # so that readers fall asleep
            batch = batch % 50 + 1
        writer.close()

    def read(self, number):
        reader = RingReader(*self.place, LAYOUTS, SEATS[number].name)
        bed, limit = Bed([reader.shared]), 1
        while not reader.ended:
            before = ring.next_unread(reader.view)
            if consume(reader.view, self.digests[number].ctypes.data, limit) < before:
                if SEATS[number].parks:
                    self.slept += bed.sleep(LONG_S)
                else:
                    os.sched_yield()
            limit = limit % (40 + 60 * number) + 1


@pytest.fixture
def line(pipeline):
    """A line that has passed its first ten records: all kernels are compiled before any fork."""
    made = Line(pipeline)
    writer = RingWriter(*made.place, LAYOUTS)
    assert produce(writer.view, 10) == 10
    for number, seat in enumerate(SEATS):
        reader = RingReader(*made.place, LAYOUTS, seat.name)
        Bed([reader.shared]).warm()
        assert consume(reader.view, made.digests[number].ctypes.data, 10) == 10
        assert not reader.ended
        reader.close()
    writer.segment.close()
    return made


def test_nothing_is_lost_doubled_or_torn_by_kills(line):
    chance = random.Random(7)
    onlooker = observe(*line.place)
    children = [fork(task) for task in line.tasks]
    positions, killed = [0] * 4, [0] * 4

    def awake() -> bool:
        return min(int(line.slept[0]), int(onlooker.writer["wakes"])) <= KILLS // 8

    while (few := sum(killed) < KILLS or min(killed) < KILLS // 8) or (
        awake() and sum(killed) < 10 * KILLS  # who is killed too soon comes to no sleep
    ):
        time.sleep(chance.uniform(0, 0.004 if few else 0.1))
        victim = chance.randrange(4)
        kill(children[victim])
        killed[victim] += 1
        now = [int(onlooker.writer["written"])]
        now += [int(reader["position"]) for reader in onlooker.readers[:3]]
        assert all(after >= before for before, after in zip(positions, now, strict=True))
        positions = now
        children[victim] = fork(line.tasks[victim])
    line.stop[0] = 1
    assert [wait(child) for child in children] == [0] * 4
    count = int(onlooker.writer["written"])
    assert onlooker.closed
    assert [int(reader["position"]) for reader in onlooker.readers[:3]] == [count] * 3
    assert line.digests[:, count % DIGESTS].tolist() == [expected(count)] * 3
    assert line.slept[0] > KILLS // 8
    assert int(onlooker.writer["wakes"]) > KILLS // 8
    print(f"{killed} kills of writer and readers, {count:,} records, {line.slept[0]:,} sleeps")
    newest = onlooker.latest(CAPACITY)
    assert newest["sequence"].tolist() == list(range(count - len(newest) + 1, count + 1))


def test_a_reader_that_stays_dead_holds_the_writer_and_loses_nothing(line):
    writer = RingWriter(*line.place, LAYOUTS)
    kill(fork(lambda: line.read(0)))
    while produce(writer.view, 50):
        pass
    position = min(int(reader["position"]) for reader in observe(*line.place).readers[:3])
    assert int(ring.next_free(writer.view)) - 1 == position + CAPACITY
    assert int(observe(*line.place).writer["gated"]) > 0
    writer.close()
    for number in range(3):
        line.read(number)
    count = position + CAPACITY
    assert line.digests[:, count % DIGESTS].tolist() == [expected(count)] * 3


def test_a_missing_record_would_change_the_digest(line):
    """The measure itself: a reader that skips or repeats a record is found out."""
    assert line.digests[0, 10] == expected(10)
    for wrong in (9, 11):
        assert expected(wrong) != line.digests[0, 10]
    reader = RingReader(*line.place, LAYOUTS, "first")
    reader.release(8)
    line.digests[0, 8] = line.digests[0, 10]
    consume(reader.view, line.digests[0].ctypes.data, 2)
    assert line.digests[0, 10] != expected(10)
