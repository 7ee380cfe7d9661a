"""A ring's report is what its lines say, in seconds and words."""

import os
import time

import numpy as np
import pytest

from pipeline.rings import ring_report
from ringbuf import memory, ring
from ringbuf.clock import now, rate
from ringbuf.record import slot_record
from ringbuf.ring import Policy
from ringbuf.share import KIND, RingReader, RingWriter, Seat, create_ring

RECORD = slot_record([("value", "i8", (7,))])
LAYOUTS = {"value": (-1, RECORD)}
SEATS = [Seat("first"), Seat("second", after="first"), Seat("third", Policy.DROP)]
CAPACITY = 128


@pytest.fixture
def made():
    """A ring of three readers, and its segment for writing."""
    name = f"test-rings-{os.getpid()}"
    create_ring(name, "values", LAYOUTS, CAPACITY, SEATS).close()
    segment = memory.attach(name, "values", KIND, writable=True)
    yield name, segment
    segment.close()
    memory.unlink(memory.full_name(name, "values"))


def test_a_ring_that_nobody_has_joined(made):
    report = ring_report("values", made[1])
    assert (report.writer, report.written, report.closed, report.pid) == ("", 0, False, 0)
    assert [(one.name, one.policy, one.after) for one in report.readers] == [
        ("first", "gate", ""), ("second", "gate", "first"), ("third", "drop", "")
    ]  # fmt: skip
    assert {(one.pid, one.alive, one.beat_age_s) for one in report.readers} == {(0, False, 0.0)}
    assert ring_report("risk", made[1]).writer == "risk"


def test_what_was_written_read_missed_and_waits(made):
    name, segment = made
    writer = RingWriter(name, "values", LAYOUTS)
    readers = [RingReader(name, "values", LAYOUTS, seat.name) for seat in SEATS]
    assert writer.push(np.zeros(CAPACITY, RECORD)) == CAPACITY
    assert writer.push(np.zeros(1, RECORD)) == 0
    readers[0].release(100)
    readers[1].release(90)
    report = ring_report("values", segment)
    assert (report.written, report.gated, report.high_water) == (CAPACITY, 1, CAPACITY)
    assert report.waiting == CAPACITY - 90
    assert [one.lag for one in report.readers] == [28, 38, CAPACITY]
    assert [one.read for one in report.readers] == [100, 90, 0]
    assert {(one.pid, one.alive) for one in report.readers} == {(os.getpid(), True)}
    assert writer.push(np.zeros(90, RECORD)) == 90
    readers[2].refresh()
    third = ring_report("values", segment).readers[2]
    assert third.missed > 0
    assert third.read == third.position - third.missed == 0
    for end in (writer, *readers):
        end.close()
    assert ring_report("values", segment).closed


def test_times_go_on_while_they_last(made):
    """What is over counts, and what is not over grows until it is."""
    segment = made[1]
    writer, readers = ring.lines(segment.payload)
    writer["full"], readers[1]["empty"] = int(2e9 / rate()), int(3e9 / rate())
    report = ring_report("values", segment)
    assert report.full_s == pytest.approx(2.0, rel=1e-6)
    assert [one.empty_s for one in report.readers] == pytest.approx([0, 3.0, 0], rel=1e-6)
    writer["full_since"] = now() - int(5e9 / rate())
    first = ring_report("values", segment).full_s
    assert first >= 7.0
    assert ring_report("values", segment).full_s > first
    writer["full_since"] = now() + 10**15  # another core's counter, a little ahead
    assert ring_report("values", segment).full_s == pytest.approx(2.0, rel=1e-6)


def test_who_has_died_or_was_retired_is_told(made):
    name, segment = made
    reader = RingReader(name, "values", LAYOUTS, "first")
    reader.beat(time.monotonic_ns() - 5_000_000_000)
    assert ring_report("values", segment).readers[0].beat_age_s >= 5.0
    ring.lines(segment.payload)[1][0]["start_time"] += 1  # a process of that id, but another one
    assert not ring_report("values", segment).readers[0].alive
    ring.retire(segment.address, 0)
    assert ring_report("values", segment).readers[0].policy == "left"
    assert ring_report("values", segment).waiting == 0
    reader.close()
