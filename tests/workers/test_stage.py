"""The duty cycle: open, held, turning, drained, finished; a failure is left on the panel."""

import time

import numpy as np
import pytest

from ringbuf.panel import Command, Life, Panel
from ringbuf.record import record
from tests.workers.joined import Joint
from workers.stage import PATIENCE, SLEEP_S, Stage, Waiter, run


class Counting(Stage):
    """A source of so many records, a few in each turn."""

    def __init__(self, joint: Joint, records: int, fails_in: str = "") -> None:
        self.links, self.left, self.fails_in = joint.links, records, fails_in
        self.steps: list[str] = []
        self.patience: list[int] = []
        self.told = self.links.panel

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"counting": record([("done", "i8")])}

    @staticmethod
    def equations_of(parts: int = 0) -> list:
        return []

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.fails_in == name:
            raise ValueError(f"cannot {name}")

    def open(self) -> None:
        self.step("open")

    def turn(self, patience: int) -> int:
        self.step("turn")
        self.patience.append(patience)
        work = min(self.left, 3)
        self.left -= work
        self.finished = work == 0
        return work

    def drain(self) -> None:
        self.step("drain")
        self.left = 0

    def close(self) -> None:
        self.step("close")


@pytest.fixture
def joints():
    made = [Joint(Counting), Joint(Counting)]
    yield made
    for joint in made:
        joint.unlink()


def cycle(*stages: Counting, wait: str = "yield", stopping=lambda: False) -> None:
    run([(stage, stage.links.panel) for stage in stages], Waiter(wait), stopping)


def test_a_stage_turns_until_it_is_finished(joints):
    stage = Counting(joints[0], 7)
    cycle(stage)
    assert stage.steps == ["open", "turn", "turn", "turn", "turn", "close"]
    status = stage.links.panel.status
    assert stage.links.panel.life is Life.FINISHED
    assert (int(status["turns"]), int(status["idle_turns"])) == (4, 1)
    assert status["ready_ns"] > 0 < status["rss_bytes"]
    assert stage.patience == [PATIENCE["yield"]] * 4


def test_stages_that_share_a_process_take_turns_and_never_wait_inside(joints):
    long, short = Counting(joints[0], 9), Counting(joints[1], 1)
    cycle(long, short)
    assert long.steps.count("turn") == 4
    assert short.steps == ["open", "turn", "turn", "close"]
    assert short.patience == [0, 0]
    assert long.patience == [0, 0, PATIENCE["yield"], PATIENCE["yield"]]
    assert long.links.panel.life is short.links.panel.life is Life.FINISHED


def test_a_signal_drains(joints):
    stage = Counting(joints[0], 10**9)
    cycle(stage, stopping=lambda: True)
    assert stage.steps[:2] == ["open", "drain"]
    assert stage.steps[-1] == "close"
    assert stage.steps.count("drain") == 1


def test_a_command_drains(joints):
    stage = Counting(joints[0], 10**9)
    other = Panel(joints[0].name, "stage", command=True)
    other.tell(Command.STOP)
    cycle(stage)
    assert stage.steps.count("drain") == 1
    assert other.life is Life.FINISHED


def test_a_held_stage_gets_ready_and_does_not_begin(joints):
    stage = Counting(joints[0], 3)
    other = Panel(joints[0].name, "stage", command=True)
    other.tell(Command.HOLD)
    seen, beats = [], []

    def stopping() -> bool:
        seen.append(other.life)
        beats.append(int(other.status["heartbeat_ns"]))
        if len(seen) == 5:
            other.tell(Command.RUN)
        return False

    cycle(stage, stopping=stopping)
    assert seen[:5] == [Life.READY] * 5
    assert beats[:5] == sorted(set(beats[:5]))
    assert stage.steps == ["open", "turn", "turn", "close"]


@pytest.mark.parametrize("order", [1, -1])
def test_others_of_a_process_turn_while_one_is_held(joints, order):
    """One on its way back in another process may wait for them, and the source for that one."""
    held, other = Counting(joints[0], 3), Counting(joints[1], 30)
    panel = Panel(joints[0].name, "stage", command=True)
    panel.tell(Command.HOLD)
    seen = []

    def stopping() -> bool:
        seen.append((panel.life, held.steps.count("turn")))
        if other.links.panel.life is Life.FINISHED:
            panel.tell(Command.RUN)
        return False

    cycle(*[held, other][::order], stopping=stopping)
    assert seen[0] == (Life.READY, 0)
    assert other.steps.count("turn") == 11
    assert held.steps == ["open", "turn", "turn", "close"]


@pytest.mark.parametrize("step", ["open", "turn", "drain", "close"])
def test_a_failure_is_left_on_the_panel(joints, step):
    stage = Counting(joints[0], 3, fails_in=step)
    with pytest.raises(ValueError, match=f"cannot {step}"):
        cycle(stage, stopping=lambda: step == "drain")
    panel = stage.links.panel
    assert panel.life is Life.FAILED
    assert panel.status["message"] == f"ValueError: cannot {step}".encode()


def test_how_a_process_waits():
    patient = Waiter("backoff")
    sleeps = []
    for _ in range(8):
        sleeps.append(patient.sleep_s)
        patient.after(0)
    assert sleeps[:3] == [SLEEP_S[0], 2 * SLEEP_S[0], 4 * SLEEP_S[0]]
    assert patient.sleep_s == SLEEP_S[1]
    patient.after(1)
    patient.after(0)
    assert patient.sleep_s <= SLEEP_S[1]
    spinning = Waiter("spin")
    before = time.thread_time()
    spinning.after(0)
    assert time.thread_time() - before < 1
    assert spinning.patience > Waiter("yield").patience
