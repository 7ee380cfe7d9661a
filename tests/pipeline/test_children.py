"""Processes that are forked from one that has everything loaded: children like all others."""

import os
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pipeline import children
from pipeline.children import PARENT, Child, Forked, Zygote
from tests.pipeline.running import LIMIT_S, ROOT
from tests.ringbuf.segments import dying, fork, wait


def spawn_served(words: list[str], more: dict[str, str], keep: tuple[int, ...] = ()):
    """Start tests/pipeline/served.py where a supervisor starts a whole pipeline's code."""
    command = [sys.executable, "-m", "tests.pipeline.served", *words]
    environment = {**os.environ, PARENT: str(os.getpid()), **more}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, pass_fds=keep
    )


@pytest.fixture
def supervised(tmp_path, monkeypatch):
    """Runs a task with a zygote in a process that adopts orphans, which the tests' own must not."""
    monkeypatch.setattr(children, "_spawn", spawn_served)
    monkeypatch.setattr(children, "ANSWER_S", LIMIT_S)

    def run(task) -> None:
        def supervise() -> None:
            zygote = Zygote(tmp_path / "config.toml")
            task(zygote)
            zygote.close()
            until(lambda: not any(lives(left.pid) for left in psutil.Process().children()))

        assert dying(supervise) == 0

    return run


def until(happened) -> None:
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("name", "code"),
    [("well", 0), ("exit 3", 3), ("refused", 2), ("broken", 1), ("killed", -signal.SIGKILL)],
)
def test_its_end_is_seen_like_that_of_any_child(supervised, name, code):
    def task(zygote: Zygote) -> None:
        child = zygote.become(name.split())
        watched = os.pidfd_open(child.pid)
        assert select.select([watched], [], [], LIMIT_S)[0]
        assert child.wait() == code
        assert child.wait() == code  # told again
        child.kill()  # nobody, and certainly not another who has its number now
        os.close(watched)

    supervised(task)


def test_they_are_children_of_the_supervisor_one_after_the_other(supervised):
    def task(zygote: Zygote) -> None:
        seen = set()
        for _ in range(5):
            child = zygote.become(["child-of", str(os.getpid())])
            assert child.wait() == 0
            seen.add(child.pid)
        assert len(seen) == 5

    supervised(task)


def test_a_traceback_is_shown_for_what_no_panel_tells(supervised, capfd):
    supervised(lambda zygote: [zygote.become([name]).wait() for name in ("broken", "refused")])
    told = capfd.readouterr().err
    assert "ZeroDivisionError: of these tests" in told
    assert "Refused" not in told


def test_several_live_at_once_and_can_be_killed(supervised):
    def task(zygote: Zygote) -> None:
        living = [zygote.become(["sleeping"]) for _ in range(3)]
        until(lambda: len(psutil.Process().children()) == 5)  # with the zygote and its spare
        for child in living:
            child.kill()
        assert [child.wait() for child in living] == [-signal.SIGKILL] * 3

    supervised(task)


def test_a_dead_zygote_leaves_its_spare_and_then_nothing(supervised):
    def task(zygote: Zygote) -> None:
        until(lambda: zygote.look() or zygote.spare)
        zygote.process.kill()
        zygote.process.wait()
        assert zygote.become(["exit", "4"]).wait() == 4
        assert zygote.become(["well"]) is None

    supervised(task)


def test_a_zygote_that_dies_before_it_has_a_spare(supervised):
    def task(zygote: Zygote) -> None:
        zygote.process.kill()
        zygote.process.wait()
        assert zygote.become(["well"]) is None

    supervised(task)


def test_a_dead_spare_is_replaced(supervised):
    def task(zygote: Zygote) -> None:
        until(lambda: zygote.look() or zygote.spare)
        pid = zygote.spare[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert zygote.become(["well"]) is None  # the long way, this once
        assert zygote.become(["exit", "5"]).wait() == 5

    supervised(task)


def test_what_is_asked_for_once_all_run_has_everything_loaded(supervised):
    def task(zygote: Zygote) -> None:
        zygote.await_spare(lambda: False)
        cold = zygote.spare[0]
        assert zygote.become(["loaded", "0"]).wait() == 0
        zygote.keep_warm()  # the next cold one is under way, or here already
        assert not lives(cold)
        until(lambda: zygote.look() or zygote.spare)
        assert zygote.become(["loaded", "1"]).wait() == 0
        assert zygote.become(["loaded", "1"]).wait() == 0

    supervised(task)


def test_who_is_in_a_hurry_does_not_wait_for_a_spare(supervised):
    def task(zygote: Zygote) -> None:
        os.kill(zygote.process.pid, signal.SIGSTOP)
        looks = iter([False, True])
        zygote.await_spare(lambda: next(looks))
        os.kill(zygote.process.pid, signal.SIGCONT)
        assert next(looks, None) is None

    supervised(task)


def test_no_zygote_and_no_spare_outlives_a_supervisor(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_spawn", spawn_served)
    note = tmp_path / "pids"

    def supervise() -> None:
        zygote = Zygote(tmp_path / "config.toml")
        until(lambda: zygote.look() or zygote.spare)
        note.write_text(f"{zygote.process.pid} {zygote.spare[0]}")
        os.kill(os.getpid(), signal.SIGKILL)

    assert wait(fork(supervise)) == -signal.SIGKILL
    for pid in map(int, note.read_text().split()):
        until(lambda pid=pid: not lives(pid))


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_child_lives_until_it_is_done_or_waits_to_be_started_again():
    child = Child(["book"], Forked(0), 0.0, -1)
    assert child.lives
    child.again_at = float("inf")
    assert not child.lives
    child.again_at, child.done = 0.0, True
    assert not child.lives
