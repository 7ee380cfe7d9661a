import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringbuf import lossy, ring
from ringbuf.atomics import at, copy_words
from ringbuf.jit import compiled
from ringbuf.record import slot_record
from tests.naive.ring import Ring

SMALL = slot_record([("value", "i8", (3,)), ("kind", "i4")])
BIG = slot_record([("value", "i8", (12,))])
READERS = 3


def payload_of(capacity, size, readers):
    payload = np.zeros(ring.bytes_needed(capacity, size), np.uint8)
    for line in ring.lines(payload)[1][:readers]:
        line["policy"] = 1
    return payload


def batch(dtype, first, count):
    """Records whose every value tells which it is."""
    records = np.zeros(count, dtype)
    width = records["value"].shape[1]
    records["value"] = (first + np.arange(count))[:, None] * 1000 + np.arange(width)
    return records


class RingMachine(RuleBasedStateMachine):
    """One writer, gating readers of different paces and an observer, against a list."""

    @initialize(
        capacity=st.sampled_from([2, 4, 16, 128]),
        readers=st.integers(0, READERS),
        dtype=st.sampled_from([SMALL, BIG]),
    )
    def make(self, capacity, readers, dtype):
        self.dtype, self.capacity = dtype, capacity
        self.payload = payload_of(capacity, dtype.itemsize, readers)
        geometry = (self.payload.ctypes.data, capacity, dtype.itemsize)
        self.writer = ring.writer_of(*geometry)
        self.readers = [ring.reader_of(*geometry, number) for number in range(readers)]
        self.onlooker = ring.reader_of(*geometry, 0)
        self.naive = Ring(capacity, readers)
        self.looked_at = self.missed = self.high_water = 0
        self.born = []

    def slot_of(self, reader, sequence):
        copy = np.zeros(1, self.dtype)
        copy_words(copy.ctypes.data, ring.slot(reader, sequence), self.dtype.itemsize // 8)
        return copy

    @rule(count=st.integers(0, 200))
    def push(self, count):
        if self.naive.closed:
            return
        first = ring.next_free(self.writer)
        assert first == len(self.naive.written) + 1
        records = batch(self.dtype, first, count)
        pushed = ring.push(self.writer, records.ctypes.data, count, 7 * first)
        assert pushed == self.naive.push(records["value"].tolist())
        self.born += [7 * first] * pushed

    @rule(count=st.integers(1, 20), leave=st.integers(0, 3), noted=st.booleans())
    def write_in_place_and_die(self, count, leave, noted):
        """Publish some, claim one more, die before or after the note: the next life goes on."""
        if self.naive.closed:
            return
        first = ring.next_free(self.writer)
        space = ring.room(self.writer, first, count)
        assert space == self.naive.room(count)
        done = max(space - leave, 0)
        records = batch(self.dtype, first, count)
        for number in range(space):
            address = ring.claim(self.writer, first + number)
            source = records.ctypes.data + number * self.dtype.itemsize
            copy_words(address, source, self.dtype.itemsize // 8 - 1)
            if number >= done:
                break
            ring.publish(self.writer, first + number, 11, 12)
        if noted:
            ring.advance(self.writer, first + done - 1)
        self.naive.push(records["value"].tolist()[:done])
        self.born += [11] * done
        assert ring.recover(self.writer) == len(self.naive.written)
        assert ring.next_free(self.writer) == len(self.naive.written) + 1

    @rule(number=st.integers(0, READERS - 1), limit=st.integers(0, 150), keep=st.integers(0, 5))
    def read(self, number, limit, keep):
        if number >= len(self.readers):
            return
        reader = self.readers[number]
        first = ring.next_unread(reader)
        expected = self.naive.waiting(number, limit)
        assert ring.ready(reader, limit) == len(expected)
        for place, value in enumerate(expected):
            assert ring.arrived(reader, first + place)
            copy = self.slot_of(reader, first + place)
            assert copy["value"][0].tolist() == value
            assert int(copy["sequence"][0]) == first + place
            born = int(at(ring.stamp(reader, first + place), ring.STAMP)["born"])
            assert born == self.born[first + place - 1]
        done = max(len(expected) - keep, 0)
        self.naive.release(number, done)
        ring.release(reader, first + done - 1)

    @rule(limit=st.integers(1, 200))
    def observe(self, limit):
        copies = np.zeros(limit, self.dtype)
        sequence = self.looked_at + self.missed + 1
        count = lossy.observe(self.onlooker, sequence, copies.ctypes.data, limit)
        oldest = len(self.naive.written) - self.capacity + 1
        if count < 0:
            assert sequence < oldest or self.half_written(sequence)
            self.missed += max(oldest, sequence + 1) - sequence
            return
        expected = self.naive.written[sequence - 1 :][:limit]
        assert copies["value"].tolist()[:count] == expected[:count]
        assert count == len(expected) or self.half_written(sequence + count)
        self.looked_at += count

    def half_written(self, sequence):
        """A slot that a writer claimed and left is lost to observers before its new record."""
        at_ = ring.slot(self.onlooker, sequence) + self.dtype.itemsize - 8
        return ring.load_acquire(at_) == -(sequence + self.capacity)

    @rule()
    def close(self):
        ring.close(self.writer)
        self.naive.closed = True

    @invariant()
    def the_ends_agree(self):
        for number, reader in enumerate(getattr(self, "readers", ())):
            sequence = ring.next_unread(reader)
            assert ring.ended(reader, sequence) == self.naive.ended(number)

    @invariant()
    def counters_hold(self):
        if not hasattr(self, "payload"):
            return
        line = ring.lines(self.payload)[0]
        assert int(line["written"]) == len(self.naive.written)
        assert 0 <= int(line["high_water"]) <= self.capacity
        assert int(line["high_water"]) >= self.high_water
        self.high_water = int(line["high_water"])


RingMachine.TestCase.settings = settings(
    max_examples=60 if compiled() else 25, stateful_step_count=40, deadline=None
)
TestRing = RingMachine.TestCase


@pytest.fixture
def full():
    """A ring of four, full, with one reader that has read nothing."""
    payload = payload_of(4, SMALL.itemsize, 1)
    writer = ring.writer_of(payload.ctypes.data, 4, SMALL.itemsize)
    records = batch(SMALL, 1, 4)
    assert ring.push(writer, records.ctypes.data, 4, 0) == 4
    return payload, writer


def test_a_full_ring_is_counted_and_its_high_water_noted(full):
    payload, writer = full
    line = ring.lines(payload)[0]
    assert int(line["gated"]) == 0
    for times in range(1, 4):
        assert ring.room(writer, 5, 2) == 0
        assert int(line["gated"]) == times
    assert int(line["high_water"]) == 4


def test_room_comes_back_as_the_reader_releases(full):
    payload, writer = full
    reader = ring.reader_of(payload.ctypes.data, 4, SMALL.itemsize, 0)
    for released in range(5):
        ring.release(reader, released)
        assert ring.room(writer, 5, 10) == released


@pytest.mark.parametrize("policy", [p for p in ring.Policy if p is not ring.Policy.GATE])
def test_a_reader_that_does_not_gate_is_not_waited_for(full, policy):
    payload, writer = full
    ring.lines(payload)[1][0]["policy"] = policy
    assert ring.room(writer, 5, 10) == 4


def test_all_sixteen_readers_are_waited_for():
    payload = payload_of(8, SMALL.itemsize, ring.READERS_MAX)
    base = payload.ctypes.data
    writer = ring.writer_of(base, 8, SMALL.itemsize)
    ring.push(writer, batch(SMALL, 1, 8).ctypes.data, 8, 0)
    readers = [
        ring.reader_of(base, 8, SMALL.itemsize, number) for number in range(ring.READERS_MAX)
    ]
    for number, reader in enumerate(readers):
        assert ring.room(writer, 9, 8) == 0
        ring.release(reader, 8 - number % 3)
    assert ring.room(writer, 9, 8) == 6


def test_a_claimed_record_shows_to_nobody(full):
    payload, writer = full
    base = payload.ctypes.data
    reader = ring.reader_of(base, 4, SMALL.itemsize, 0)
    ring.release(reader, 4)
    ring.claim(writer, 5)
    assert not ring.arrived(reader, 5)
    copy = np.zeros(1, SMALL)
    assert lossy.observe(reader, 1, copy.ctypes.data, 1) == -1  # overwritten from here on
    assert lossy.observe(reader, 5, copy.ctypes.data, 1) == 0
    assert ring.recover(writer) == 4


def test_sequences_far_beyond_the_first_lap():
    start = 2**62
    payload = payload_of(4, SMALL.itemsize, 1)
    base = payload.ctypes.data
    line, readers = ring.lines(payload)
    line["written"] = line["gate"] = readers[0]["position"] = start
    writer = ring.writer_of(base, 4, SMALL.itemsize)
    reader = ring.reader_of(base, 4, SMALL.itemsize, 0)
    records = batch(SMALL, 0, 6)
    assert ring.push(writer, records.ctypes.data, 6, 0) == 4
    assert ring.ready(reader, 10) == 4
    ring.release(reader, start + 4)
    assert ring.push(writer, records.ctypes.data, 6, 0) == 4
    assert ring.recover(writer) == start + 8


def test_lines_do_not_share_cache_lines_and_slots_come_last():
    capacity, size = 128, 64
    writer = ring.writer_of(0, capacity, size)
    readers = [ring.reader_of(0, capacity, size, number) for number in range(ring.READERS_MAX)]
    starts = [writer.line, *(reader.line for reader in readers), writer.stamps]
    assert np.diff(starts).tolist() == [ring.SPACING] * (ring.READERS_MAX + 1)
    assert writer.slots == writer.stamps + 16 * capacity
    assert ring.slot(writer, capacity - 1) + size == ring.bytes_needed(capacity, size)
    assert ring.slot(writer, capacity + 5) == ring.slot(writer, 5)


@pytest.mark.parametrize("capacity", [2, 4, 128, 16_384])
def test_every_record_has_a_stamp_of_its_own(capacity):
    writer = ring.writer_of(0, capacity, 64)
    places = np.array([ring.stamp(writer, sequence) for sequence in range(1, capacity + 1)])
    assert sorted(places) == list(range(writer.stamps, writer.slots, 16))
    assert ring.stamp(writer, capacity + 1) == places[0]


def test_recovery_finds_what_went_round_the_ring_since_the_last_note():
    """Quick readers let a writer publish more than a ring before it notes how far it is."""
    capacity, size = 128, 64
    memory = payload_of(capacity, size, 1)
    writer = ring.writer_of(memory.ctypes.data, capacity, size)
    reader = ring.reader_of(memory.ctypes.data, capacity, size, 0)
    for sequence in range(1, 201):
        assert ring.room(writer, sequence, 1) == 1
        ring.claim(writer, sequence)
        ring.publish(writer, sequence, 0, 0)
        ring.release(reader, sequence)
    ring.claim(writer, 201)  # and dies in the middle of it
    assert ring.next_free(writer) == 1
    assert ring.recover(writer) == 200
    assert ring.next_free(writer) == 201
