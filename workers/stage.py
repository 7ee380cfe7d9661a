"""The one shape every stage has, and the duty cycle that turns stages."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
import psutil

from ringbuf.board import Board
from ringbuf.panel import Command, Equation, Life, Panel
from ringbuf.share import RingReader, RingWriter

TURN_RECORDS = 4096  # at most so many records between two looks at signals and commands
HOLD_S = 0.002  # between two looks at whether a held stage may begin
SLEEP_S = (0.00005, 0.001)  # the first and the longest sleep of the back-off

# How many empty looks a compiled turn takes before it returns, by wait strategy: spinning inside
# the kernel is what makes a hand-over fast, and is what must not be done on a shared core.
PATIENCE = {"spin": 10_000, "yield": 50, "backoff": 200}


@dataclass
class Links:
    """What joins a stage to the rest: opened by the launcher, by the names that the stage asks."""

    panel: Panel
    readers: dict[str, RingReader] = field(default_factory=dict)
    writers: dict[str, RingWriter] = field(default_factory=dict)
    boards: dict[str, Board] = field(default_factory=dict)


class Stage(Protocol):
    """Open, turn until finished, close.

    A turn does a bounded amount of work and returns how many records it took; it is compiled, and
    waits inside for up to `patience` empty looks. `drain` asks the stage to take in nothing new
    from outside; stages fed by rings end when the rings do. What a stage reads, writes and counts
    is said by the class, so that a plan can be made without opening anything.
    """

    READS: ClassVar[Sequence[str]]  # rings
    WRITES: ClassVar[Sequence[str]]
    LOOKS_AT: ClassVar[Sequence[str]]  # boards it reads
    KEEPS: ClassVar[Sequence[str]]  # boards it writes
    HISTOGRAMS: ClassVar[Sequence[str]]
    EQUATIONS: ClassVar[Sequence[Equation]]

    finished: bool

    @staticmethod
    def counters(options) -> Mapping[str, np.dtype]:
        """The counter blocks of its panel, given its options."""

    def open(self) -> None: ...
    def turn(self, patience: int) -> int: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...


class Waiter:
    """What a process does between turns that found nothing, by strategy."""

    def __init__(self, strategy: str) -> None:
        self.strategy = strategy
        self.patience = PATIENCE[strategy]
        self.sleep_s = SLEEP_S[0]

    def after(self, work: int) -> None:
        """Spin on, give the core away, or sleep ever longer (to a bound)."""
        if work or self.strategy == "spin":
            self.sleep_s = SLEEP_S[0]
        elif self.strategy == "yield":
            time.sleep(0)
        else:
            time.sleep(self.sleep_s)
            self.sleep_s = min(2 * self.sleep_s, SLEEP_S[1])


def run(
    stages: Sequence[tuple[Stage, Panel]], waiter: Waiter, stopping: Callable[[], bool]
) -> None:
    """The duty cycle of one process: turn its stages until all of them are finished.

    `stopping` is True once the process has been asked to stop (a signal); a panel's command
    asks one stage. An exception of a stage is its failure: it is shown on the panel and raised.
    """
    active = list(stages)
    for stage, panel in active:
        with _failure_shown(panel):
            stage.open()
        panel.status["ready_ns"] = time.time_ns()
        panel.live(Life.READY)
    for _, panel in active:
        _await_release(panel, stopping)
        panel.live(Life.RUNNING)
    while active:
        work = 0
        for stage, panel in tuple(active):
            with _failure_shown(panel):
                work += _turn(stage, panel, waiter.patience, stopping())
                if stage.finished:
                    stage.close()
                    panel.status["rss_bytes"] = psutil.Process().memory_info().rss
                    panel.live(Life.FINISHED)
                    active.remove((stage, panel))
        waiter.after(work)


def _await_release(panel: Panel, stopping: Callable[[], bool]) -> None:
    """Stay ready while held: a source does not begin before those behind it can follow."""
    while panel.told is Command.HOLD and not stopping():
        panel.beat()
        time.sleep(HOLD_S)


def _turn(stage: Stage, panel: Panel, patience: int, stopping: bool) -> int:
    if panel.life is Life.RUNNING and (stopping or panel.told is Command.STOP):
        stage.drain()
        panel.live(Life.DRAINING)
    work = stage.turn(patience)
    panel.status["turns"] += 1
    panel.status["idle_turns"] += work == 0
    panel.beat()
    return work


class _failure_shown:  # noqa: N801 (reads as a statement)
    """Leave a stage's exception on its panel before it ends the process."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self.panel.fail(error)
