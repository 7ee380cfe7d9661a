"""Many writers, a ring each, and one that reads them all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringbuf import memory
from ringbuf.jit import compiled
from ringbuf.poller import Poller, poll
from ringbuf.record import slot_record
from ringbuf.share import RingReader, RingWriter, create_ring
from tests.ringbuf.segments import dying, fork, kill, wait

RECORD = slot_record([("writer", "i8"), ("value", "i8")])
LAYOUTS = {"record": (-1, RECORD)}
CAPACITY = 128


def make(pipeline, count):
    parts = [f"from{number}" for number in range(count)]
    for part in parts:
        create_ring(pipeline, part, LAYOUTS, CAPACITY, ["merger"]).close()
    poller = Poller([RingReader(pipeline, part, LAYOUTS, "merger") for part in parts])
    return parts, poller


def records(number, first, count):
    made = np.zeros(count, RECORD)
    made["writer"], made["value"] = number, np.arange(first, first + count)
    return made


def drain(poller, limit=CAPACITY):
    """Everything that waits, by writer, in the order in which it was taken."""
    seen = {}
    while True:
        reader, taken = poller.take(RECORD, limit)
        if reader is None:
            return seen
        for one in taken:
            seen.setdefault(int(one["writer"]), []).append(int(one["value"]))
        reader.release(int(taken["sequence"][-1]))


def test_rings_are_served_in_turns(pipeline):
    parts, poller = make(pipeline, 3)
    writers = [RingWriter(pipeline, part, LAYOUTS) for part in parts]
    for number, writer in enumerate(writers):
        writer.push(records(number, 0, 5))
    order = []
    for _ in range(6):
        reader, taken = poller.take(RECORD, 1)
        order.append(int(taken["writer"][0]))
        reader.release(int(taken["sequence"][-1]))
    assert order == [0, 1, 2, 0, 1, 2]


def test_a_busy_writer_starves_nobody(pipeline):
    parts, poller = make(pipeline, 2)
    busy, quiet = (RingWriter(pipeline, part, LAYOUTS) for part in parts)
    quiet.push(records(1, 0, 1))
    for turn in range(4):
        busy.push(records(0, turn, 1))
        reader, taken = poller.take(RECORD, 1)
        reader.release(int(taken["sequence"][-1]))
        if taken["writer"][0] == 1:
            break
    assert turn <= 1


def test_nothing_waits_on_empty_rings_and_they_end_when_all_writers_do(pipeline):
    parts, poller = make(pipeline, 2)
    first, second = (RingWriter(pipeline, part, LAYOUTS) for part in parts)
    assert poll(poller.address) == -1
    assert poller.take(RECORD, 9)[0] is None
    first.close()
    assert not poller.ended
    second.push(records(1, 0, 1))
    second.close()
    assert not poller.ended
    assert drain(poller) == {1: [0]}
    assert poller.ended


def test_writers_in_processes_of_their_own_and_one_that_dies(pipeline):
    parts, poller = make(pipeline, 3)
    many = 20_000 if compiled() else 1_500

    def write(number):
        writer = RingWriter(pipeline, parts[number], LAYOUTS)
        sent = writer.written
        while sent < many:
            sent += writer.push(records(number, sent, min(50, many - sent)))
        writer.close()

    children = [fork(lambda number=number: write(number)) for number in range(3)]
    seen = {0: [], 1: [], 2: []}
    while len(seen[1]) < 1_000:
        for number, values in drain(poller).items():
            seen[number] += values
    kill(children[1])  # the others go on, and its successor goes on where it was
    children[1] = fork(lambda: write(1))
    while not poller.ended:
        for number, values in drain(poller).items():
            seen[number] += values
    assert [wait(child) for child in children] == [0, 0, 0]
    assert all(values == list(range(many)) for values in seen.values())


def test_a_second_reader_of_the_same_name_is_refused(pipeline):
    _, poller = make(pipeline, 1)
    assert dying(lambda: RingReader(pipeline, "from0", LAYOUTS, "merger")) == 1
    assert poller.take(RECORD, 1)[0] is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), max_size=30))
def test_whatever_the_writers_do_each_comes_through_whole_and_in_order(steps):
    pipeline = "test-poller-property"
    for name in memory.names(pipeline):
        memory.unlink(name)
    parts, poller = make(pipeline, 4)
    try:
        writers = [RingWriter(pipeline, part, LAYOUTS) for part in parts]
        sent = [0, 0, 0, 0]
        seen = {}
        for number, count in steps:
            sent[number] += writers[number].push(records(number, sent[number], count))
            for who, values in drain(poller, 7).items():
                seen.setdefault(who, []).extend(values)
        assert seen == {number: list(range(count)) for number, count in enumerate(sent) if count}
    finally:
        for name in memory.names(pipeline):
            memory.unlink(name)
