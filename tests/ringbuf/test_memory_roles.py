"""Roles on a segment: held by one living process, free as soon as it is none."""

import os
import signal
import struct
import subprocess
import sys
import time

import pytest

from ringbuf import memory
from ringbuf.host import start_time
from ringbuf.memory import OWNER, READER, WRITER, SegmentError, alive, attach, create, roles_held
from tests.ringbuf.segments import dying, fork, in_child, wait


@pytest.fixture
def segment(pipeline):
    made = create(pipeline, "part", "ring", 4096, "{}")
    yield made
    made.close()


def test_a_role_is_held_once_and_dropped_on_close(pipeline, segment):
    first, second = (attach(pipeline, "part", "ring", writable=True) for _ in range(2))
    first.hold(WRITER, "writer")
    with pytest.raises(SegmentError, match="another living process is its writer already"):
        second.hold(WRITER, "writer")
    second.hold(READER + 3, "reader 'x'")
    first.hold(OWNER, "owner")
    assert alive(segment.name)
    first.close()
    second.hold(WRITER, "writer")
    second.hold(OWNER, "owner")
    second.drop(WRITER)
    third = attach(pipeline, "part", "ring", writable=True)
    third.hold(WRITER, "writer")
    with pytest.raises(SegmentError):
        third.hold(READER + 3, "reader 'x'")
    second.close()
    assert alive(segment.name)
    third.close()
    third.close()  # twice is as good as once
    assert not alive(segment.name)


def test_a_role_is_free_as_soon_as_its_holder_is_killed(pipeline, segment):
    def hold(ready):
        mine.close()
        theirs = attach(pipeline, "part", "ring", writable=True)
        theirs.hold(WRITER, "writer")
        os.write(ready, b"!")
        time.sleep(60)

    mine = attach(pipeline, "part", "ring", writable=True)
    for _ in range(5):
        listen, ready = os.pipe()
        with in_child(lambda: hold(ready)):  # noqa: B023
            os.read(listen, 1)
            assert alive(segment.name)
            with pytest.raises(SegmentError, match="another living process is its writer"):
                mine.hold(WRITER, "writer")
        assert not alive(segment.name)
        mine.hold(WRITER, "writer")
        mine.drop(WRITER)
        os.close(listen)
        os.close(ready)


def test_a_forked_child_cannot_give_up_its_parents_role(pipeline, segment):
    mine = attach(pipeline, "part", "ring", writable=True)
    mine.hold(WRITER, "writer")
    assert dying(mine.close) == 0
    other = attach(pipeline, "part", "ring", writable=True)
    with pytest.raises(SegmentError):
        other.hold(WRITER, "writer")


def test_a_forked_child_that_outlives_its_parent_keeps_the_role(pipeline, segment):
    """Roles are taken after forking: a child with the file open stands for its parent."""

    def parent(tell):
        mine = attach(pipeline, "part", "ring", writable=True)
        mine.hold(WRITER, "writer")
        os.write(tell, struct.pack("i", fork(lambda: time.sleep(60))))
        os.kill(os.getpid(), signal.SIGKILL)

    listen, tell = os.pipe()
    assert dying(lambda: parent(tell)) == -signal.SIGKILL
    (orphan,) = struct.unpack("i", os.read(listen, 4))
    assert alive(segment.name)
    os.kill(orphan, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(segment.name) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not alive(segment.name)
    os.close(listen)
    os.close(tell)


def test_a_program_that_is_started_inherits_no_role(pipeline, segment):
    mine = attach(pipeline, "part", "ring", writable=True)
    mine.hold(WRITER, "writer")
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=False) as started:
        mine.close()
        assert not alive(segment.name)
        started.communicate()


def test_other_faults_of_locking_are_not_taken_for_a_living_process(pipeline, segment):
    looker = attach(pipeline, "part", "ring")
    with pytest.raises(OSError, match="Bad file descriptor"):
        looker.hold(WRITER, "writer")


def test_the_last_holder_of_each_role_is_noted(pipeline, segment):
    def hold():
        theirs = attach(pipeline, "part", "ring", writable=True)
        theirs.hold(READER + 2, "reader 'x'")

    mine = attach(pipeline, "part", "ring", writable=True)
    mine.hold(OWNER, "owner")
    child = fork(hold)
    assert wait(child) == 0
    holders = segment.header["holders"]
    assert holders[OWNER].tolist() == (os.getpid(), start_time(os.getpid()))
    assert int(holders[READER + 2]["pid"]) == child
    assert int(holders[READER + 2]["start_time"]) >= start_time(os.getpid())
    assert int(holders[WRITER]["pid"]) == 0
    assert roles_held(segment.name) == [OWNER]
    mine.close()
    assert roles_held(segment.name) == []


def test_a_process_with_the_id_of_a_dead_holder_is_not_taken_for_it(pipeline, segment):
    """What lives is known by its lock: ids are used again."""
    mine = attach(pipeline, "part", "ring", writable=True)
    mine.hold(WRITER, "writer")
    mine.close()
    assert int(segment.header["holders"]["pid"][WRITER]) == os.getpid()  # and we live
    assert not alive(segment.name)
    assert roles_held(segment.name) == []
    successor = attach(pipeline, "part", "ring", writable=True)
    successor.hold(WRITER, "writer")
    assert roles_held(segment.name) == [WRITER]


def test_a_segment_that_is_gone_has_no_roles(pipeline, segment):
    memory.unlink(segment.name)
    assert roles_held(segment.name) == []
