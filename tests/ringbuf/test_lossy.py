"""Readers that nobody waits for: what they get is whole and in order, and what is lost is counted.

One that replays loses nothing: what it was too slow for it finds in the journal.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf import memory, ring
from ringbuf.atomics import at
from ringbuf.jit import compiled
from ringbuf.journal import Journal, JournalReader
from ringbuf.journal_files import RECORDS
from ringbuf.lossy import rejoin_at
from ringbuf.memory import SegmentError
from ringbuf.record import slot_record
from ringbuf.ring import NO_TIME, STAMP, Policy, claim, next_free, stamp
from ringbuf.share import MIRROR_SHARE, RingReader, RingWriter, Seat, create_ring
from tests.ringbuf.segments import fork, wait

RECORD = slot_record([("value", "i8"), ("twice", "i8")])
LAYOUTS = {"record": (-1, RECORD)}
CAPACITY = 128
DROPPER = [Seat("dropper", Policy.DROP)]


def make(pipeline, seats=DROPPER):
    create_ring(pipeline, "there", LAYOUTS, CAPACITY, seats).close()
    writer = RingWriter(pipeline, "there", LAYOUTS)
    return writer, RingReader(pipeline, "there", LAYOUTS, "dropper")


class Journaled:
    """A ring with a journal, which is written when the test says so, and a reader that replays."""

    SEATS = [Seat("journal"), Seat("slow", Policy.REPLAY)]

    def __init__(self, pipeline, folder):
        self.pipeline, self.folder = pipeline, folder
        create_ring(pipeline, "there", LAYOUTS, CAPACITY, self.SEATS).close()
        self.writer = RingWriter(pipeline, "there", LAYOUTS)
        self.keeper = RingReader(pipeline, "there", LAYOUTS, "journal")
        segment = RECORDS + 3 * CAPACITY * RECORD.itemsize
        self.log = Journal(folder, "there", LAYOUTS, segment)
        self.slow = self.join()

    def join(self):
        log = JournalReader(self.folder, LAYOUTS)
        return RingReader(self.pipeline, "there", LAYOUTS, "slow", log)

    def keep(self, limit=1 << 20):
        self.log.append(self.keeper.view, limit)
        self.keeper.release(self.log.written)

    def push(self, count):
        """Push and keep until so many records have passed."""
        while count:
            count -= push(self.writer, min(count, CAPACITY))
            self.keep()

    def close(self):
        self.log.close()


@pytest.fixture
def journaled(pipeline, tmp_path):
    made = Journaled(pipeline, tmp_path)
    yield made
    made.close()


def replayed(reader):
    return int(reader.line["replayed"])


def push(writer, count, born=0):
    first = int(next_free(writer.view))
    records = np.zeros(count, RECORD)
    records["value"] = np.arange(first, first + count)
    records["twice"] = 2 * records["value"]
    return writer.push(records, born)


def take(reader):
    """What the mirror holds, checked and released."""
    taken = reader.take(RECORD, CAPACITY).copy()
    assert (taken["value"] == taken["sequence"]).all()
    assert (taken["twice"] == 2 * taken["value"]).all()
    if len(taken):
        reader.release(int(taken["sequence"][-1]))
    return taken["sequence"].tolist()


def drain(reader):
    seen = []
    while more := take(reader):
        seen += more
    return seen


def test_the_writer_does_not_wait(pipeline):
    writer, reader = make(pipeline)
    for _ in range(10):
        assert push(writer, CAPACITY) == CAPACITY
    assert int(writer.line["gated"]) == 0
    assert int(reader.line["position"]) == 0


def test_one_that_keeps_up_loses_nothing(pipeline):
    writer, reader = make(pipeline)
    seen = []
    for _ in range(20):
        push(writer, CAPACITY // MIRROR_SHARE)
        seen += drain(reader)
    assert seen == list(range(1, 20 * (CAPACITY // MIRROR_SHARE) + 1))
    assert reader.missed == 0


def test_one_that_is_lapped_goes_on_half_a_ring_behind_and_knows_what_it_lost(pipeline):
    writer, reader = make(pipeline)
    for _ in range(5):
        push(writer, CAPACITY)
    newest = 5 * CAPACITY
    seen = take(reader)
    assert seen[0] == newest - CAPACITY // 2
    assert reader.missed == seen[0] - 1
    seen += drain(reader)
    assert seen == list(range(seen[0], newest + 1))
    assert reader.missed + len(seen) == newest == int(reader.line["position"])


def test_what_the_mirror_holds_stays_whole_while_the_writer_laps(pipeline):
    writer, reader = make(pipeline)
    push(writer, CAPACITY)
    held = reader.take(RECORD, CAPACITY)
    for _ in range(3):
        push(writer, CAPACITY)
    assert held["value"].tolist() == list(range(1, CAPACITY // MIRROR_SHARE + 1))
    assert take(reader) == held["value"].tolist()


def test_stamps_come_with_their_records(pipeline):
    writer, reader = make(pipeline)
    push(writer, 3, born=77)
    reader.refresh()
    assert [int(at(int(stamp(reader.view, n)), STAMP).born) for n in (1, 2, 3)] == [77, 77, 77]


def test_a_record_that_is_being_rewritten_is_not_taken(pipeline):
    writer, reader = make(pipeline)
    push(writer, CAPACITY)
    claim(writer.view, CAPACITY + 1)  # begun, not done: record 1 is gone
    assert take(reader)[0] > 1
    assert reader.missed > 0


def test_it_ends_when_the_writer_is_done_and_counts_to_the_last(pipeline):
    writer, reader = make(pipeline)
    for _ in range(3):
        push(writer, CAPACITY)
    writer.close()
    read = 0
    while not reader.ended:
        read += len(take(reader))
    assert read + reader.missed == 3 * CAPACITY
    reader.close()
    assert int(reader.line["policy"]) == 0


def test_a_gating_reader_beside_it_loses_nothing(pipeline):
    writer, dropper = make(pipeline, [Seat("keeper"), *DROPPER])
    keeper = RingReader(pipeline, "there", LAYOUTS, "keeper")
    kept = []
    for _ in range(10):
        push(writer, CAPACITY)
        kept += drain(keeper)
    assert kept == list(range(1, 10 * CAPACITY + 1))
    take(dropper)
    assert dropper.missed > 8 * CAPACITY


def test_a_busy_writer_in_another_process(pipeline):
    writer, reader = make(pipeline)
    rounds = 3_000 if compiled() else 30

    def write():
        for _ in range(rounds):
            assert push(writer, 64) == 64
        writer.close()

    child = fork(write)
    read, last = 0, 0
    while not reader.ended:
        taken = take(reader)
        assert taken == sorted(taken)
        assert not taken or taken[0] > last
        last = taken[-1] if taken else last
        read += len(taken)
    assert wait(child) == 0
    assert read > 0
    assert read + reader.missed == 64 * rounds


@given(st.lists(st.tuples(st.booleans(), st.integers(1, CAPACITY)), max_size=40))
def test_read_and_missed_are_always_what_was_written(steps):
    pipeline = "test-lossy-property"
    for name in memory.names(pipeline):
        memory.unlink(name)
    writer, reader = make(pipeline)
    try:
        read = 0
        for reads, count in steps:
            if reads:
                read += len(take(reader))
            else:
                push(writer, count)
            assert read + reader.missed == int(reader.line["position"])
        while taken := take(reader):
            read += len(taken)
        assert read + reader.missed == writer.written + int(writer.line["written"])
        assert int(rejoin_at(reader.shared, 1)) >= 2
    finally:
        memory.unlink(writer.segment.name)


@pytest.mark.parametrize("done", ["nothing", "missed", "position"])
def test_one_that_dies_while_it_skips_counts_what_it_missed_once(pipeline, done):
    writer, reader = make(pipeline)
    for _ in range(3):
        push(writer, CAPACITY)
    line, target = reader.line, int(rejoin_at(reader.shared, 1))
    line["skip_missed"], line["skip_to"] = target - 1, target  # as skip() leaves it when killed
    if done in ("missed", "position"):
        line["missed"] = target - 1
    if done == "position":
        line["position"] = target - 1
    reader.close()
    again = RingReader(pipeline, "there", LAYOUTS, "dropper")
    assert again.missed == target - 1
    assert drain(again) == list(range(target, 3 * CAPACITY + 1))
    assert int(again.line["skip_to"]) == 0


def test_one_that_replays_gets_what_the_ring_has_overwritten(journaled):
    slow = journaled.slow
    journaled.push(10 * CAPACITY)
    assert int(journaled.writer.line["gated"]) == 0
    assert drain(slow) == list(range(1, 10 * CAPACITY + 1))
    assert replayed(slow) >= 9 * CAPACITY
    assert slow.missed == 0
    assert int(slow.line["position"]) == 10 * CAPACITY


def test_it_reads_the_ring_again_once_it_has_caught_up(journaled):
    slow = journaled.slow
    journaled.push(5 * CAPACITY)
    seen, before = drain(slow), replayed(slow)
    for _ in range(20):
        journaled.push(CAPACITY // 2)
        seen += drain(slow)
    assert replayed(slow) == before
    assert seen == list(range(1, 15 * CAPACITY + 1))


def test_one_that_keeps_up_needs_no_journal(journaled):
    slow, seen = journaled.slow, []
    for _ in range(20):
        journaled.push(CAPACITY)
        seen += drain(slow)
    assert seen == list(range(1, 20 * CAPACITY + 1))
    assert replayed(slow) == 0


def test_what_comes_from_the_journal_has_no_time(journaled):
    slow = journaled.slow
    journaled.push(2 * CAPACITY)
    taken = slow.take(RECORD, CAPACITY)
    assert len(taken) == CAPACITY // MIRROR_SHARE == replayed(slow)
    stamps = [at(int(stamp(slow.view, n)), STAMP) for n in taken["sequence"].tolist()]
    assert {int(each.born) for each in stamps} == {int(each.sent) for each in stamps} == {NO_TIME}
    drain(slow)
    push(journaled.writer, 1, born=77)
    slow.refresh()
    assert int(at(int(stamp(slow.view, 2 * CAPACITY + 1)), STAMP).born) == 77


def test_a_record_that_is_being_rewritten_comes_from_the_journal(journaled):
    journaled.push(CAPACITY)
    claim(journaled.writer.view, CAPACITY + 1)  # begun, not done: record 1 is gone
    assert take(journaled.slow)[0] == 1
    assert replayed(journaled.slow) > 0
    assert drain(journaled.slow)[-1] == CAPACITY


def test_one_that_replays_ends_after_the_last_record(journaled):
    journaled.push(3 * CAPACITY)
    journaled.writer.close()
    slow, seen = journaled.slow, []
    while not slow.ended:
        seen += take(slow)
    assert seen == list(range(1, 3 * CAPACITY + 1))
    slow.close()
    assert int(slow.line["policy"]) == 0


def test_one_that_replays_needs_the_journal(journaled):
    journaled.slow.close()
    with pytest.raises(SegmentError, match="reader 'slow' replays; give it the journal"):
        RingReader(journaled.pipeline, "there", LAYOUTS, "slow")


STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "push", "keep", "take", "die"]), st.integers(1, CAPACITY)),
    max_size=60,
)


@given(STEPS)
def test_one_that_replays_gets_every_record_once_however_often_it_dies(steps):
    pipeline = "test-replay-property"
    for name in memory.names(pipeline):
        memory.unlink(name)
    with tempfile.TemporaryDirectory() as folder:
        here = Journaled(pipeline, Path(folder))
        seen, written = [], 0
        try:
            for what, count in steps:
                if what == "push":  # waits for the journal, never for the slow one
                    kept = here.log.written
                    pushed = push(here.writer, count)
                    assert pushed == min(count, kept + CAPACITY - written)
                    written += pushed
                elif what == "keep":
                    here.keep(count)
                elif what == "take":
                    seen += take(here.slow)
                else:
                    here.slow.refresh()  # and dies before it has looked at it
                    here.slow.segment.close()
                    here.slow = here.join()
            here.keep()
            seen += drain(here.slow)
            assert seen == list(range(1, written + 1))
            assert here.slow.missed == 0
        finally:
            here.close()
            memory.unlink(here.writer.segment.name)


def test_a_busy_writer_in_another_process_never_waits_for_one_that_replays(pipeline, tmp_path):
    here = Journaled(pipeline, tmp_path)
    here.close()
    rounds = 1_000 if compiled() else 20

    def write():
        here.log = Journal(tmp_path, "there", LAYOUTS, RECORDS + 3 * CAPACITY * RECORD.itemsize)
        for _ in range(rounds):
            assert push(here.writer, 64) == 64
            here.keep()
        here.log.close()
        here.writer.close()

    child = fork(write)
    seen = 0
    while not here.slow.ended:
        taken = take(here.slow)
        assert taken == list(range(seen + 1, seen + len(taken) + 1))
        seen += len(taken)
    assert wait(child) == 0
    assert seen == 64 * rounds
    assert int(ring.lines(here.keeper.segment.payload)[0]["gated"]) == 0
