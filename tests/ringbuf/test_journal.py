"""The journal against its plain twin, over lives, cuts, retention and readers that follow it."""

import multiprocessing
import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringbuf import journal_files as files
from ringbuf import ring
from ringbuf.chain import wrapped
from ringbuf.jit import compiled
from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.journal_files import RECORDS
from ringbuf.journal_reader import STEP
from ringbuf.record import layout_text, slot_record
from tests.naive.journal import Journal as Naive

SMALL = slot_record([("value", "i8", (5,)), ("kind", "i4")])
BIG = slot_record([("value", "i8", (13,)), ("kind", "i4")])
LAYOUTS = {"small": (-1, SMALL)}
CAPACITY = 7  # records of a segment
STEPS, EXAMPLES = (30, 40) if compiled() else (20, 12)


def records(dtype, first, count, salt=0):
    """Records whose every value tells which they are."""
    made = np.zeros(count, dtype)
    width = made["value"].shape[1]
    made["value"] = ((first + np.arange(count))[:, None] * 1000 + np.arange(width)) ^ salt
    made["kind"] = salt & 0xFF
    return made


def bodies_of(some):
    size = some.dtype.itemsize
    content = some.tobytes()
    return [content[start : start + size - 8] for start in range(0, len(content), size)]


def bytes_of(dtype, capacity):
    """The length of a segment."""
    return RECORDS + capacity * dtype.itemsize


def small_journal(folder, capacity=CAPACITY, **more):
    return Journal(folder, "events", LAYOUTS, bytes_of(SMALL, capacity), **more)


class JournalMachine(RuleBasedStateMachine):
    """Lives of one journal in a row, each found as the one before has left it."""

    @initialize(dtype=st.sampled_from([SMALL, BIG]))
    def make(self, dtype):
        self.dtype, self.layouts = dtype, {"some": (-1, dtype)}
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.naive = Naive(CAPACITY)
        self.salt = 0
        self.open()
        self.reader = JournalReader(self.folder, self.layouts)
        self.payload = np.zeros(ring.bytes_needed(32, dtype.itemsize), np.uint8)
        ring.lines(self.payload)[1][0]["policy"] = 1
        geometry = (self.payload.ctypes.data, 32, dtype.itemsize)
        self.writer, self.view = ring.writer_of(*geometry), ring.reader_of(*geometry, 0)

    def open(self):
        size = bytes_of(self.dtype, CAPACITY)
        self.journal = Journal(self.folder, "events", self.layouts, size, "somebody")

    def drawn(self, count):
        return records(self.dtype, len(self.naive.bodies) + 1, count, self.salt)

    @rule(count=st.integers(0, 3 * CAPACITY))
    def append_records(self, count):
        some = self.drawn(count)
        assert self.journal.append_records(some) == count
        self.naive.append(bodies_of(some))

    @rule(count=st.integers(0, 32), limit=st.integers(0, 40))
    def append_from_a_ring(self, count, limit):
        done = len(self.naive.bodies)
        line, (reader, *_) = ring.lines(self.payload)
        line["written"] = line["gate"] = reader["position"] = done
        some = self.drawn(count)
        assert ring.push(self.writer, some.ctypes.data, count, 0) == count
        taken = self.journal.append(self.view, limit)
        assert taken == min(count, limit)
        self.naive.append(bodies_of(some[:taken]))
        slots = self.view.slots - self.payload.ctypes.data
        self.payload[slots:] = 0

    @rule()
    def sync(self):
        self.journal.sync()
        self.naive.sync()

    @rule(closed=st.booleans())
    def live_again(self, closed):
        """After a death of the process everything written is there, and synced before we go on."""
        if closed:
            self.journal.close()
        else:
            die(self.journal)
        self.open()
        self.naive.sync()

    @rule(data=st.data())
    def lose_what_was_not_synced(self, data):
        """After a death of the host anything may have become of what was not durable."""
        die(self.journal)
        path, first, _ = self.journal.segments[-1]
        safe = max(self.naive.durable - first + 1, 0) * self.dtype.itemsize
        room = CAPACITY * self.dtype.itemsize - safe
        if room:
            content = bytearray(path.read_bytes())
            place = RECORDS + safe + data.draw(st.integers(0, room - 1))
            length = data.draw(st.integers(1, 200))
            noise = data.draw(st.sampled_from([b"\0", b"\xff", content[RECORDS : RECORDS + 1]]))
            content[place:] = (noise * length + content[place + length :])[: len(content) - place]
            damaged_from = first + (place - RECORDS) // self.dtype.itemsize
            changed = self.changed(path, content)
            path.write_bytes(content)
            if changed is not None:
                assert changed >= damaged_from
                self.naive.lose(changed - 1)
        self.open()
        self.reader = JournalReader(self.folder)  # the old one has died as well
        self.naive.sync()
        self.salt += 1

    def changed(self, path, content):
        """The first record that is not as it was, or None."""
        before, size = path.read_bytes(), self.dtype.itemsize
        first = int(path.stem)
        for sequence in range(first, len(self.naive.bodies) + 1):
            place = RECORDS + (sequence - first) * size
            if before[place : place + size] != content[place : place + size]:
                return sequence
        return None

    @rule(data=st.data())
    def cut(self, data):
        sequence = data.draw(st.integers(self.naive.removed, len(self.naive.bodies) + 1))
        beyond = sequence < len(self.naive.bodies)
        self.journal.cut(sequence)
        self.naive.cut(sequence)
        self.salt += beyond
        self.reader = JournalReader(self.folder)

    @rule(back=st.integers(0, 4 * CAPACITY), keep=st.integers(0, 4))
    def retain(self, back, keep):
        needed = max(len(self.naive.bodies) - back, 0)
        self.journal.retain(needed, keep * bytes_of(self.dtype, CAPACITY))
        self.naive.retain(needed, keep)

    @rule(data=st.data(), limit=st.integers(0, 4 * CAPACITY))
    def read(self, data, limit):
        first = self.naive.removed + 1
        sequence = data.draw(st.integers(first, max(first, len(self.naive.bodies) + 2)))
        found = self.reader.read(sequence, limit)
        expected = self.naive.read(sequence, limit)
        assert bodies_of(found) == expected
        assert found["sequence"].tolist() == [*range(sequence, sequence + len(expected))]

    @rule(data=st.data())
    def ask_for_a_chain_value(self, data):
        sequence = data.draw(st.integers(self.naive.removed, len(self.naive.bodies)))
        expected = wrapped(self.naive.chain_at(sequence))
        assert self.journal.chain_at(sequence) == self.reader.chain_at(sequence) == expected

    @invariant()
    def they_agree(self):
        if not hasattr(self, "journal"):
            return
        journal, naive, reader = self.journal, self.naive, self.reader
        assert journal.written == len(naive.bodies) == reader.last
        assert journal.durable >= naive.durable
        assert journal.chain == wrapped(naive.chain_at(len(naive.bodies)))
        assert journal.first == naive.removed + 1 == reader.first
        assert journal.segments == reader.segments()
        assert sum(count for *_, count in journal.segments) == len(naive.bodies) - naive.removed

    def teardown(self):
        if hasattr(self, "journal"):
            self.journal.close()
            self.reader.close()
            shutil.rmtree(self.folder)


def die(journal):
    """Let go of a journal as the death of its process would."""
    journal._let_go()


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)


def test_a_journal_says_what_it_is(tmp_path):
    journal = small_journal(tmp_path / "a" / "b", owner="demo")
    assert (journal.first, journal.written, journal.durable) == (1, 0, 0)
    reader = JournalReader(tmp_path / "a" / "b", LAYOUTS)
    assert (reader.ring, reader.first, reader.last) == ("events", 1, 0)
    assert reader.layouts == LAYOUTS
    assert reader.dtype == SMALL
    assert reader.head.owner == "demo"
    assert len(reader.read(1, 10)) == 0
    assert oct((tmp_path / "a" / "b").stat().st_mode & 0o777) == "0o700"
    journal.close()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        f"{1:020d}.log"
    ]  # and no spare


def test_only_one_process_writes(tmp_path):
    journal = small_journal(tmp_path)
    journal.spare.wait()
    with pytest.raises(JournalError, match="another process is writing it; stop that one"):
        small_journal(tmp_path)
    assert journal.spare.path.exists(), "it has touched nothing"
    journal.close()
    small_journal(tmp_path).close()


@pytest.mark.parametrize(
    ("ring_name", "layouts", "message"),
    [
        ("events", {"other": (-1, SMALL)}, "another layout than this program's"),
        ("events", {"small": (-1, BIG)}, "another layout than this program's"),
        ("book", LAYOUTS, "is that of ring 'events', not of 'book'"),
    ],
)
def test_another_journal_is_refused(tmp_path, ring_name, layouts, message):
    journal = small_journal(tmp_path)
    journal.append_records(records(SMALL, 1, 3))
    journal.close()
    before = (tmp_path / f"{1:020d}.log").read_bytes()
    with pytest.raises(JournalError, match=message):
        Journal(tmp_path, ring_name, layouts)
    if layouts is not LAYOUTS:
        with pytest.raises(JournalError, match="another layout"):
            JournalReader(tmp_path, layouts)
    assert (tmp_path / f"{1:020d}.log").read_bytes() == before
    small_journal(tmp_path).close()  # and nobody holds it


def test_a_journal_of_another_version_is_refused(tmp_path):
    small_journal(tmp_path).close()
    path = tmp_path / f"{1:020d}.log"
    content = bytearray(path.read_bytes())
    content[8] = 99
    path.write_bytes(content)
    with pytest.raises(JournalError, match="format version 99, this program reads 1 and 2"):
        small_journal(tmp_path)
    with pytest.raises(JournalError, match="format version 99"):
        JournalReader(tmp_path)


def test_layouts_that_are_too_long_for_the_head_are_packed(tmp_path):
    many = {f"layout{number}": (number, SMALL) for number in range(60)}
    log = Journal(tmp_path, "book", many, bytes_of(SMALL, CAPACITY))
    log.append_records(records(SMALL, 1, 10))
    log.close()
    assert len(layout_text(many)) > files.MARK_AT
    reader = JournalReader(tmp_path, many)
    assert bodies_of(reader.read(1, 10)) == bodies_of(records(SMALL, 1, 10))
    assert (reader.layouts, reader.last) == (many, 10)
    head = files.read_head(path := files.path_of(tmp_path, 1), content := path.read_bytes())
    assert head.text == layout_text(many)
    for place in (files.TEXT, files.TEXT + 100):
        hurt = bytearray(content)
        hurt[place] ^= 1
        with pytest.raises(JournalError, match="header is damaged"):
            files.read_head(path, bytes(hurt))
    with pytest.raises(JournalError, match="another layout"):
        JournalReader(tmp_path, LAYOUTS)
    Journal(tmp_path, "book", many, bytes_of(SMALL, CAPACITY)).close()


def test_segments_of_another_length_follow(tmp_path):
    journal = small_journal(tmp_path, 5)
    journal.append_records(records(SMALL, 1, 12))
    journal.close()
    journal = small_journal(tmp_path, 9)
    journal.append_records(records(SMALL, 13, 20))
    assert [(first, count) for _, first, count in journal.segments] == [
        (1, 5), (6, 5), (11, 5), (16, 9), (25, 8)
    ]  # fmt: skip
    found = JournalReader(tmp_path).read(1, 100)
    assert bodies_of(found) == bodies_of(records(SMALL, 1, 32))
    journal.close()


def test_a_segment_must_hold_a_record(tmp_path):
    with pytest.raises(JournalError, match="make them 4160 bytes or larger"):
        Journal(tmp_path, "events", LAYOUTS, 4100)


def test_a_place_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"file.*a part of the path is a file|in the way"):
        small_journal(tmp_path / "file")
    with pytest.raises(JournalError, match="is a journal kept there"):
        JournalReader(tmp_path / "nowhere")
    with pytest.raises(JournalError, match="has no segments"):
        JournalReader(tmp_path)


def test_a_reader_may_begin_anywhere_and_read_into_memory(tmp_path):
    journal = small_journal(tmp_path)
    all_of_them = records(SMALL, 1, 50)
    journal.append_records(all_of_them)
    all_of_them["sequence"] = np.arange(1, 51)
    for sequence in range(1, 52):
        reader = JournalReader(tmp_path)
        target = np.zeros(20, SMALL)
        count = reader.read_into(sequence, 20, target.ctypes.data)
        assert count == min(20, 51 - sequence)
        assert (target[:count] == all_of_them[sequence - 1 :][:count]).all()
    journal.close()


def test_a_reader_may_ask_for_what_is_not_there_yet_and_neither_is_the_one_before(tmp_path):
    journal = small_journal(tmp_path)
    journal.append_records(records(SMALL, 1, 4))
    reader = JournalReader(tmp_path)
    assert len(reader.read(7, 5)) == 0
    journal.append_records(records(SMALL, 5, 1))
    assert len(reader.read(7, 5)) == 0
    journal.append_records(records(SMALL, 6, 5))
    assert reader.read(7, 5)["sequence"].tolist() == [7, 8, 9, 10]
    journal.close()


def test_more_than_one_step_is_read_in_one_go(tmp_path):
    total = 2 * STEP // SMALL.itemsize + 100
    journal = small_journal(tmp_path, total - 50)
    journal.append_records(records(SMALL, 1, total))
    found = JournalReader(tmp_path).read(3, total)
    assert found["sequence"].tolist() == [*range(3, total + 1)]
    assert JournalReader(tmp_path).last == total
    journal.close()


def test_what_retention_took_is_named(tmp_path):
    journal = small_journal(tmp_path)
    journal.append_records(records(SMALL, 1, 3 * CAPACITY))
    reader = JournalReader(tmp_path)
    assert journal.retain(2 * CAPACITY, 0) == 1
    assert journal.retain(2 * CAPACITY + 1, 0) == 1
    assert journal.retain(10**6, 0) == 0, "the last one stays"
    with pytest.raises(JournalError, match="record 3 is not kept any more, the oldest is 15"):
        reader.read(3, 5)
    with pytest.raises(JournalError, match="cannot be cut behind record 3, it starts with 15"):
        journal.cut(3)
    assert len(reader.read(15, 100)) == CAPACITY
    journal.close()


def follow(folder, total, results):
    """Read a journal while it is being written; send how far it was right, or what is wrong."""
    reader, last = JournalReader(folder), 0
    try:
        while last < total:
            some = reader.read(last + 1, 500)
            expected = records(SMALL, last + 1, len(some))
            expected["sequence"] = np.arange(last + 1, last + 1 + len(some))
            if some.tobytes() != expected.tobytes():
                break
            last += len(some)
        results.send(last)
    except JournalError as failure:
        results.send(str(failure))


@pytest.mark.compiled
def test_readers_follow_while_it_is_written(tmp_path):
    total = 200_000
    journal = small_journal(tmp_path, 10_000)
    context = multiprocessing.get_context("fork")
    followers = []
    for _ in range(2):
        here, there = context.Pipe()
        follower = context.Process(target=follow, args=(tmp_path, total, there), daemon=True)
        follower.start()
        followers.append((follower, here))
    rng = np.random.default_rng(1)
    while journal.written < total:
        count = min(int(rng.integers(1, 3000)), total - journal.written)
        journal.append_records(records(SMALL, journal.written + 1, count))
    for follower, here in followers:
        assert here.poll(60)
        assert here.recv() == total
        follower.join()
    journal.close()


def write_for_ever(folder, ready):
    journal = small_journal(folder, 1000)
    ready.send(journal.written)
    while True:
        count = 1 + (journal.written * 7919) % 97
        journal.append_records(records(SMALL, journal.written + 1, count))
        if journal.written % 3 == 0:
            journal.sync()
            ready.send(journal.durable)


@pytest.mark.compiled
def test_a_writer_may_be_killed_at_any_time(tmp_path):
    context = multiprocessing.get_context("fork")
    rng, last = np.random.default_rng(5), 0
    for _ in range(30):
        here, there = context.Pipe()
        writer = context.Process(target=write_for_ever, args=(tmp_path, there), daemon=True)
        writer.start()
        there.close()
        assert here.poll(60)
        begun = here.recv()
        assert begun >= last
        here.poll(rng.random() * 0.03)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        durable = begun
        while here.poll():
            try:
                durable = here.recv()
            except EOFError:
                break
        journal = small_journal(tmp_path, 1000)
        assert journal.written >= durable
        last = journal.written
        found = JournalReader(tmp_path).read(1, last + 10)
        assert bodies_of(found) == bodies_of(records(SMALL, 1, last))
        journal.close()
    assert last > 3000


def test_names_are_the_files(tmp_path):
    assert files.path_of(tmp_path, 5).name == "00000000000000000005.log"
    (tmp_path / "notes.log").write_text("mine")
    (tmp_path / "7.log").write_text("mine")
    files.path_of(tmp_path, 5).write_text("")
    assert files.listed(tmp_path) == [5]
