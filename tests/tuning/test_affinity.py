"""A thread runs where we said, or we are told that it does not."""

import ast
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tuning.affinity import (
    AffinityRefused,
    adopt_orphans,
    current,
    go_along,
    go_first,
    pin,
    set_parent_death_signal,
    set_timer_slack,
)


@pytest.fixture(autouse=True)
def _unpinned():
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


def in_child(work) -> str:
    """What `work` returns in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def test_pin_to_each_and_all():
    allowed = current()
    for core in allowed:
        pin([core])
        assert current() == {core}
        assert os.sched_getaffinity(0) == {core}
        pin(allowed)
        assert current() == allowed


def test_pin_is_for_the_calling_thread():
    allowed = current()
    seen = []

    def work():
        pin([min(allowed)])
        seen.append(current())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [{min(allowed)}]
    assert current() == allowed


@pytest.mark.parametrize("extra", [4095, 10**9, -1])
@pytest.mark.parametrize("alone", [True, False])
def test_a_core_that_does_not_exist_is_refused(extra, alone):
    before = current()
    wanted = {extra} if alone else {min(before), extra}
    with pytest.raises(AffinityRefused, match=f"core {extra} is not here .*online: 0") as refused:
        pin(wanted)
    assert refused.value.mend == "choose from those"
    assert current() == before


def test_no_cores_are_refused():
    with pytest.raises(AffinityRefused, match="name at least one core"):
        pin([])


def test_a_core_that_the_kernel_withholds_is_refused(monkeypatch):
    """The kernel narrows silently to the cpuset: stood in for by one that grants one core."""
    allowed = current()
    if len(allowed) < 2:
        pytest.skip("one core only: nothing can be withheld")
    granted, withheld = min(allowed), max(allowed)
    real = os.sched_setaffinity

    def narrowing(process, cores):
        kept = set(cores) & {granted}
        if not kept:
            raise OSError(22, "Invalid argument")
        real(process, kept)

    real(0, {granted})
    monkeypatch.setattr(os, "sched_setaffinity", narrowing)
    for wanted in ({granted, withheld}, {withheld}):
        with pytest.raises(AffinityRefused, match=f"core {withheld} is not granted") as refused:
            pin(wanted)
        assert f"allowed now: {granted}" in refused.value.where
        assert "cpuset" in refused.value.mend
        assert current() == {granted}


def test_timer_slack():
    def work():
        outcome = set_timer_slack(1234)
        with open("/proc/self/timerslack_ns") as told:
            return outcome.asked, outcome.got, outcome.why, int(told.read())

    expected = ("timer slack 1234 ns", "timer slack 1234 ns", "", 1234)
    assert in_child(work) == str(expected)


def test_a_child_ends_with_its_parent():
    """A grandchild that would sleep for a minute is gone when its parent is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        parent = os.getpid()
        if os.fork() == 0:
            outcome = set_parent_death_signal(signal.SIGKILL, parent)
            os.write(writing, b"ready" if outcome.granted else b"refused")
            time.sleep(60)
        time.sleep(60)
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 7) == b"ready"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b""  # the last holder of the pipe's other end is gone
    os.close(reading)


def test_a_parent_that_died_before_counts_too():
    child = os.fork()
    if child == 0:
        set_parent_death_signal(signal.SIGTERM, parent=2**22 + 1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_orphans_come_to_the_nearest_who_adopts():
    def work():
        outcome, (reading, writing) = adopt_orphans(), os.pipe()
        if (child := os.fork()) == 0:
            if (orphan := os.fork()) == 0:
                time.sleep(60)
            os.write(writing, str(orphan).encode())
            os._exit(0)
        os.waitpid(child, 0)
        orphan = int(os.read(reading, 16))
        os.kill(orphan, signal.SIGKILL)
        pid, status = os.waitpid(orphan, 0)  # refused where it is not our child
        return outcome.granted, pid == orphan, os.WTERMSIG(status)

    assert in_child(work) == str((True, True, int(signal.SIGKILL)))


def test_who_goes_first_goes_along_again():
    def work():
        before = nice_now()
        go_first()
        first = nice_now()
        go_along()
        along = nice_now()
        go_along(nicer=3)
        return first < before or os.geteuid() > 0, along == before, nice_now() == before + 3

    assert in_child(work) == str((True, True, True))


def nice_now() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_who_may_not_go_first_stays_where_it_is():
    def work():
        os.setuid(65534)
        go_first()
        stayed = nice_now()
        go_along(nicer=40)
        return stayed, nice_now()

    if os.geteuid():
        pytest.skip("needs to be root, to become somebody who may not")
    assert in_child(work) == str((nice_now(), 19))


AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel groups nothing by sessions")
def test_among_sessions_it_is_the_session_that_goes_first():
    def told() -> str:  # nothing at all where the session is of no group of its own
        return AUTOGROUP.read_text().partition("nice ")[2].strip()

    def work():
        before = told()
        go_along(nicer=5)  # of a session with others in it, like that of a shell
        shared = told()
        os.setsid()
        alone = told()
        go_along(nicer=5)
        own = told()
        time.sleep(0.2)  # without CAP_SYS_ADMIN it may be changed ten times a second
        go_first()
        return shared == before, alone, own, told()

    shared, alone, own, first = ast.literal_eval(in_child(work))
    assert shared
    if not alone:
        pytest.skip("sessions are of no groups here")
    assert own == str(nice_now() + 5)
    assert first in (["-20"] if os.geteuid() == 0 else [own])


def test_a_child_goes_first_and_nobody_is_no_error():
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    before = nice_now()
    go_first(child)
    assert os.getpriority(os.PRIO_PROCESS, child) == (before if os.geteuid() else -20)
    assert nice_now() == before
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    go_first(child)
