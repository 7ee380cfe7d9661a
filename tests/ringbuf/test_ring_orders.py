"""The ring's protocol in every order: a writer, two gating readers, an observer, crashes."""

import numpy as np
import pytest

from tests.interleave import interleave, load_relaxed, plain, store_relaxed

RECORDS = 7
CAPACITY = 4
SIZE = 24  # two words and the sequence: the smallest record that can be torn
SEEDS = 1050
SEEDS_PER_FLAW = 1500


def word(sequence, place):
    return sequence * 1000 + place


class Story:
    """One ring, its actors, and what each of them has seen."""

    def __init__(self, ring, seed):
        self.ring, self.batch = ring, 1 + seed % 3
        self.memory = np.zeros(ring.bytes_needed(CAPACITY, SIZE) // 8, np.int64)
        self.base = self.memory.ctypes.data
        self.line = ring.lines(self.memory.view(np.uint8))
        for reader in self.line[1][:2]:
            reader["gating"] = 1
        self.published = 0
        self.got = [0, 0]
        self.observed = self.missed = 0

    def write(self, life):
        ring = self.ring
        writer = ring.writer_of(self.base, CAPACITY, SIZE)
        sent = ring.recover(writer)
        assert sent == self.published
        while sent < RECORDS:
            space = ring.room(writer, sent + 1, self.batch)
            for _ in range(min(space, RECORDS - sent)):
                self.write_one(writer, sent + 1)
                sent += 1
            ring.advance(writer, sent)
        ring.close(writer)

    def write_one(self, writer, sequence):
        address = self.ring.claim(writer, sequence)
        for place in range(2):
            store_relaxed(address + 8 * place, word(sequence, place))
        self.ring.publish(writer, sequence, sequence * 10, sequence * 10 + 1)
        self.published = sequence

    def read(self, number):
        def actor(life):
            ring = self.ring
            reader = ring.reader_of(self.base, CAPACITY, SIZE, number)
            sequence = ring.next_unread(reader)
            assert self.got[number] <= sequence <= self.got[number] + 1
            while not ring.ended(reader, sequence):
                if ring.arrived(reader, sequence):
                    self.check(ring.slot(reader, sequence), sequence)
                    times = ring.at(ring.stamp(reader, sequence), ring.STAMP)
                    assert (times.born, times.sent) == (sequence * 10, sequence * 10 + 1)
                    self.got[number] = sequence
                    ring.release(reader, sequence)
                    sequence += 1

        return actor

    def observe(self, life):
        ring = self.ring
        reader = ring.reader_of(self.base, CAPACITY, SIZE, 0)
        copies = np.zeros(2 * SIZE // 8, np.int64)
        sequence = 1
        self.observed = self.missed = 0
        while not ring.ended(reader, sequence):
            count = ring.observe(reader, sequence, copies.ctypes.data, 2)
            for place in range(max(count, 0)):
                self.check(copies.ctypes.data + place * SIZE, sequence + place)
            self.observed += max(count, 0)
            if count < 0:
                newest = ring.load_relaxed(reader.writer + ring.WRITTEN)
                count = max(newest - CAPACITY // 2, sequence + 1) - sequence
                self.missed += count
            sequence += count

    def check(self, address, sequence):
        assert [load_relaxed(address), load_relaxed(address + 8)] == [
            word(sequence, 0),
            word(sequence, 1),
        ]

    def play(self, seed, crashes, reorder):
        actors = (self.write, self.read(0), self.read(1), self.observe)
        run = interleave(seed, *actors, crashes=crashes, reorder=reorder)
        assert self.got == [RECORDS, RECORDS]
        assert self.observed + self.missed == RECORDS
        assert int(self.line[0]["written"]) == RECORDS
        assert int(self.line[0]["high_water"]) <= CAPACITY
        return run


def crashes_of(seed):
    """Two runs of three have a crash: the writer's, a reader's or the observer's in turn."""
    return {} if seed % 3 == 0 else {seed % 4: 1 + seed // 2 % 60}


def explore(ring, seeds):
    """Play a story for each seed, on a strong and on a weak memory."""
    for seed in seeds:
        for reorder in (False, True):
            story = Story(ring, seed)
            yield story, story.play(seed, crashes_of(seed), reorder)


def test_every_record_is_seen_once_in_order_and_whole_in_every_order():
    orders, missed, gated = set(), 0, 0
    for story, run in explore(plain("ringbuf.ring"), range(SEEDS)):
        orders.add(tuple(run.order))
        missed += story.missed
        gated += int(story.line[0]["gated"])
    assert len(orders) >= 2000
    assert missed > 500  # the observer was lapped
    assert gated > 1000  # the writer had to wait


@pytest.mark.parametrize("victim", range(4))
def test_a_crash_at_each_step_loses_and_doubles_nothing(victim):
    ring = plain("ringbuf.ring")
    for step in range(1, 100):
        Story(ring, step).play(step, {victim: step}, reorder=bool(step % 2))


def test_the_same_seed_is_the_same_run():
    ring = plain("ringbuf.ring")
    runs = [Story(ring, 5).play(5, {0: 20, 1: 9}, reorder=True).order for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != Story(ring, 5).play(6, {}, reorder=True).order


FLAWS = {
    "published before it is written": [
        ("store_relaxed(address + writer.size - 8, -sequence)",
         "store_relaxed(address + writer.size - 8, sequence)"),
    ],
    "published with no order": [
        ("store_release(slot(writer, sequence) + writer.size - 8, sequence)",
         "store_relaxed(slot(writer, sequence) + writer.size - 8, sequence)"),
    ],
    "not marked as being rewritten": [
        ("store_relaxed(address + writer.size - 8, -sequence)", "pass"),
    ],
    "marked with no fence": [("fence_release()\n    return address", "return address")],
    "released before it is read": [
        ("== sequence\n\n\n@kernel\ndef look_ahead",
         "== sequence and not release(reader, sequence)\n\n\n@kernel\ndef look_ahead"),
    ],
    "gate off by one": [("writer.mask + 2", "writer.mask + 3")],
    "second reader forgotten": [("range(READERS_MAX):\n        line", "range(1):\n        line")],
    "observer does not look again": [
        ("seen = load_relaxed(address + reader.size - 8)", "seen = sequence + count"),
    ],
    "observer forgets that it was lapped": [("return -1 if lapped and", "return -0 if lapped and")],
    "recovery trusts the writer's note": [
        ("while load_acquire(slot(writer, written + 1)", "while 0 * load_acquire(slot(writer, 1)"),
    ],
    "recovery takes a claimed record for whole": [
        ("== written + 1:", "in (written + 1, -written - 1):"),
    ],
    "closed one too early": [("load_relaxed(writer.line + WRITTEN) + 1)\n\n\n@kernel\ndef recover",
                              "load_relaxed(writer.line + WRITTEN))\n\n\n@kernel\ndef recover")],
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_the_protocol_is_found(flaw):
    ring = plain("ringbuf.ring", *FLAWS[flaw])
    with pytest.raises(AssertionError):
        for _ in explore(ring, range(SEEDS_PER_FLAW)):
            pass
