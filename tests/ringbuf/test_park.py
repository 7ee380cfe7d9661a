"""Sleeping on rings: who sleeps is woken, who has something to read does not sleep."""

import os
import signal
import time

import numpy as np
import pytest

from ringbuf.jit import compiled
from ringbuf.park import Bed, lie_down, rise, stirs
from ringbuf.record import slot_record
from ringbuf.ring import Policy, advance, recover, retire
from ringbuf.share import RingReader, RingWriter, Seat, create_ring
from tests.ringbuf.segments import dying, fork, wait

RECORD = slot_record([("value", "i8")])
LAYOUTS = {"record": (-1, RECORD)}
LONG_S = 60.0  # never slept through: a test that waits so long has lost a wake-up
SOON_S = 0.05
SLEEPER = [Seat("sleeper", parks=True)]


def make(pipeline, part="there", seats=SLEEPER, capacity=128):
    create_ring(pipeline, part, LAYOUTS, capacity, seats).close()
    writer = RingWriter(pipeline, part, LAYOUTS)
    return writer, [RingReader(pipeline, part, LAYOUTS, seat.name) for seat in seats]


def records(*values):
    made = np.zeros(len(values), RECORD)
    made["value"] = values
    return made


def later(task, sleeper):
    """Do something in another process once a reader sleeps."""

    def run():
        while not sleeper.line["parked"]:
            time.sleep(0.001)
        time.sleep(SOON_S)  # it is in the kernel by now
        task()

    return fork(run)


def slept(bed, seconds=LONG_S) -> float:
    began = time.monotonic()
    assert bed.sleep(seconds)
    return time.monotonic() - began


def test_a_record_wakes_the_sleeper(pipeline):
    writer, (reader,) = make(pipeline)
    child = later(lambda: writer.push(records(7)), reader)
    assert slept(Bed([reader.shared])) < LONG_S / 2
    assert wait(child) == 0
    assert reader.take(RECORD, 9)["value"].tolist() == [7]
    assert int(writer.line["wakes"]) == 1
    assert int(reader.line["parked"]) == 0


def test_the_end_wakes_the_sleeper(pipeline):
    writer, (reader,) = make(pipeline)
    child = later(writer.close, reader)
    assert slept(Bed([reader.shared])) < LONG_S / 2
    assert wait(child) == 0
    assert reader.ended


def test_nobody_sleeps_while_there_is_something_to_read(pipeline):
    writer, (reader,) = make(pipeline)
    bed = Bed([reader.shared])
    writer.push(records(1))
    assert not bed.sleep(LONG_S)
    reader.release(1)
    writer.close()
    assert not bed.sleep(LONG_S)
    assert int(reader.line["parked"]) == 0
    assert int(writer.line["wakes"]) == 0


def test_time_ends_a_sleep(pipeline):
    _, (reader,) = make(pipeline)
    assert slept(Bed([reader.shared]), SOON_S) >= SOON_S * 0.9
    assert int(reader.line["parked"]) == 0


def test_a_signal_ends_a_sleep(pipeline):
    _, (reader,) = make(pipeline)
    me, seen = os.getpid(), []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        child = later(lambda: os.kill(me, signal.SIGUSR1), reader)
        assert slept(Bed([reader.shared])) < LONG_S / 2
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert wait(child) == 0
    assert seen


@pytest.mark.parametrize("busy", [0, 1, 2])
def test_any_of_several_rings_wakes_the_sleeper(pipeline, busy):
    ends = [make(pipeline, f"ring{number}") for number in range(3)]
    readers = [reader for _, (reader,) in ends]
    bed = Bed([reader.shared for reader in readers])
    child = later(lambda: ends[busy][0].push(records(busy)), readers[-1])
    assert slept(bed) < LONG_S / 2
    assert wait(child) == 0
    assert [len(reader.take(RECORD, 9)) for reader in readers] == [n == busy for n in range(3)]
    assert all(int(reader.line["parked"]) == 0 for reader in readers)


def test_without_the_call_for_several_a_sleeper_looks_again_soon(pipeline):
    ends = [make(pipeline, f"ring{number}") for number in range(2)]
    bed = Bed([reader.shared for _, (reader,) in ends])
    bed.several = False  # as an old kernel leaves it
    assert slept(bed) < LONG_S / 2
    ends[1][0].push(records(1))
    assert not bed.sleep(LONG_S)


def test_who_comes_after_another_is_woken_by_its_release(pipeline):
    seats = [Seat("first"), Seat("second", after="first", parks=True)]
    writer, (first, second) = make(pipeline, seats=seats)
    writer.push(records(1, 2))
    assert len(second.take(RECORD, 9)) == 0
    child = later(lambda: first.release(1), second)
    assert slept(Bed([second.shared])) < LONG_S / 2
    assert wait(child) == 0
    assert second.take(RECORD, 9)["value"].tolist() == [1]


def test_who_comes_after_one_that_is_retired_is_woken_and_ends(pipeline):
    seats = [Seat("first"), Seat("second", after="first", parks=True)]
    writer, (first, second) = make(pipeline, seats=seats)
    writer.push(records(1, 2))
    first.release(1)
    second.release(1)
    child = later(lambda: retire(first.shared.writer, first.number), second)
    assert slept(Bed([second.shared])) < LONG_S / 2
    assert wait(child) == 0
    assert second.ended
    assert len(second.take(RECORD, 9)) == 0  # the second record was never stored by the first


def test_a_lapped_sleeper_that_drops_records_does_not_sleep(pipeline):
    seats = [Seat("sleeper", Policy.DROP, parks=True)]
    writer, (reader,) = make(pipeline, seats=seats)
    for number in range(3):
        assert writer.push(records(*range(128 * number, 128 * (number + 1)))) == 128
    assert stirs(reader.shared)
    assert not Bed([reader.shared]).sleep(LONG_S)


def test_one_that_dies_asleep_is_awake_when_it_comes_again(pipeline):
    writer, (reader,) = make(pipeline)
    reader.close()

    def die_asleep():
        again = RingReader(pipeline, "there", LAYOUTS, "sleeper")
        assert lie_down(again.shared)
        os.kill(os.getpid(), signal.SIGKILL)

    assert dying(die_asleep) == -signal.SIGKILL
    assert int(reader.line["parked"]) == 1
    assert writer.push(records(1)) == 1  # wakes nobody, and is none the worse for it
    again = RingReader(pipeline, "there", LAYOUTS, "sleeper")
    assert int(again.line["parked"]) == 0
    assert again.take(RECORD, 9)["value"].tolist() == [1]


def test_a_writer_makes_no_call_while_nobody_sleeps(pipeline):
    writer, (reader,) = make(pipeline)
    for number in range(1, 50):
        writer.push(records(number))
        reader.release(number)
    assert int(writer.line["wakes"]) == 0
    assert int(writer.line["parkers"]) == 1
    Bed([reader.shared]).warm()
    rise(reader.shared)
    assert int(reader.line["parked"]) == 0


def test_nothing_is_lost_between_two_that_take_turns_to_sleep(pipeline):
    """Hand-overs one by one, each end asleep most of the time; no timeout would help."""
    there, (to_read,) = make(pipeline, "there")
    back, (to_hear,) = make(pipeline, "back")
    trips = 2_000 if compiled() else 200

    def answer():
        bed = Bed([to_read.shared])
        for number in range(1, trips + 1):
            while not len(to_read.take(RECORD, 1)):
                bed.sleep(LONG_S)
            to_read.release(number)
            back.push(records(number))

    child = fork(answer)
    bed, began = Bed([to_hear.shared]), time.monotonic()
    for number in range(1, trips + 1):
        there.push(records(number))
        while not len(to_hear.take(RECORD, 1)):
            bed.sleep(LONG_S)
        to_hear.release(number)
    assert wait(child) == 0
    assert time.monotonic() - began < LONG_S  # a lost wake-up costs all of LONG_S
    assert int(there.line["wakes"]) + int(back.line["wakes"]) > 0


@pytest.mark.parametrize("death", ["writer", "first", "retired"])
def test_a_waker_that_died_before_its_call_is_made_up_for(pipeline, death):
    """The mark is taken back and nobody was woken: whoever comes next must not trust the mark."""
    seats = [Seat("first"), Seat("second", after="first", parks=True)]
    writer, (first, second) = make(pipeline, seats=seats)
    second.close()

    def sleep():
        mine = RingReader(pipeline, "there", LAYOUTS, "second")
        assert slept(Bed([mine.shared])) < LONG_S / 2

    child = fork(sleep)
    while not second.line["parked"]:
        time.sleep(0.001)
    time.sleep(SOON_S)  # it is in the kernel by now
    second.line["parked"] = 0
    if death == "writer":
        recover(writer.view)
    elif death == "first":
        first.close()
        RingReader(pipeline, "there", LAYOUTS, "first")
    else:
        retire(first.shared.writer, first.number)
    assert wait(child) == 0


def test_nobody_is_woken_for_nothing(pipeline):
    seats = [Seat("first"), Seat("second", after="first", parks=True)]
    writer, (first, second) = make(pipeline, seats=seats)
    writer.push(records(1))
    first.release(1)
    second.release(1)
    assert lie_down(second.shared)
    advance(writer.view, 1)
    first.release(1)
    assert int(second.line["parked"]) == 1
    assert int(writer.line["wakes"]) == 0
    rise(second.shared)
