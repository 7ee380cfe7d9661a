"""The one shape every stage has, and the duty cycle that turns stages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import psutil

from ringbuf import ring
from ringbuf.board import Board
from ringbuf.panel import Command, Equation, Life, Panel
from ringbuf.park import Bed
from ringbuf.share import RingReader, RingWriter

TURN_RECORDS = 4096  # at most so many records between two looks at signals and commands
LOOK_NS = 1_000_000  # between two looks at signals and commands, and two signs of life
HOLD_S = 0.002  # between two looks at whether a held stage may begin
SLEEP_S = (0.00005, 0.001)  # the first and the longest sleep of the back-off
PARK_S = 0.25  # the longest sleep of one that is parked: commands and signs of life need looks

# How many empty looks a compiled turn takes before it returns, by wait strategy: spinning inside
# the kernel is what makes a hand-over fast, and is what must not be done on a shared core. Who
# parks spins about as long as being woken takes (30 us): at worst that doubles the wait.
PATIENCE = {"spin": 10_000, "yield": 50, "backoff": 200, "park": 2_000}
PATIENCE_SHARED = 50


@dataclass
class Links:
    """What joins a stage to the rest: opened by the launcher, by the names that the stage asks."""

    panel: Panel
    readers: dict[str, RingReader] = field(default_factory=dict)
    writers: dict[str, RingWriter] = field(default_factory=dict)
    boards: dict[str, Board] = field(default_factory=dict)

    @property
    def dropping(self) -> list[RingReader]:
        """The readers that read a mirror, which must be filled."""
        return [reader for reader in self.readers.values() if reader.drops]

    def beat(self, now_ns: int) -> None:
        """Show in the rings that the stage lives."""
        for reader in self.readers.values():
            reader.beat(now_ns)
        for writer in self.writers.values():
            writer.beat(now_ns)

    def warm(self) -> None:
        """Have what Python calls between turns compiled before anybody waits for it."""
        for reader in self.readers.values():
            reader.release(int(ring.next_unread(reader.view)) - 1)
            ring.ready(reader.view, 0)
            ring.ended(reader.view, 0)
            reader.refresh()
        for board in self.boards.values():
            board.row(0)


class Stage:
    """Open, turn until finished, close.

    A turn does a bounded amount of work and returns how many records it took; it is compiled, and
    waits inside for up to `patience` empty looks. `drain` asks the stage to take in nothing new
    from outside; stages fed by rings end when the rings do. What a stage reads, writes and counts
    is said by the class, so that a plan can be made without opening anything.
    """

    READS: ClassVar[tuple[str, ...]] = ()  # rings
    WRITES: ClassVar[tuple[str, ...]] = ()
    LOOKS_AT: ClassVar[tuple[str, ...]] = ()  # boards it reads
    KEEPS: ClassVar[tuple[str, ...]] = ()  # boards it writes
    HISTOGRAMS: ClassVar[tuple[str, ...]] = ()

    links: Links
    finished = False
    breathe: Callable[[], None] = staticmethod(lambda: None)  # to be called where open() takes long
    hurried = False  # somebody waits: what may be got ready later is left for later

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        """The counter blocks of its panel; `parts`: how many feeds or sinks it is made of."""
        raise NotImplementedError

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        """What its counters must obey when nothing is on its way."""
        raise NotImplementedError

    def open(self) -> None:
        """Get everything ready, the compiled code included."""
        raise NotImplementedError

    def bind(self, links: Links) -> None:
        """Work on these rings, boards and counters from the next turn on."""
        self.links = links

    def state(self) -> dict[str, np.ndarray]:
        """Everything that decides what the stage does next, as bytes that may be copied and put
        back between turns; bind() follows. Counters and boards are not part of it.
        """
        return {}

    def turn(self, patience: int) -> int:
        """Do some work; return how many records were taken."""
        raise NotImplementedError

    def hasten(self, records: int) -> None:
        """Keep to no pace until bound anew, and take at most so many records in the next turn.

        Nothing to do for a stage that has no pace.
        """

    def drain(self) -> None:
        """Take in nothing new. Nothing to do for a stage that ends when its rings do."""

    def close(self) -> None:
        """Say that nothing will follow, and let go."""
        raise NotImplementedError


class Waiter:
    """What a process does between turns that found nothing, by strategy.

    alone: whether the process has its core for itself.
    """

    def __init__(self, strategy: str, alone: bool = True) -> None:
        self.strategy = strategy
        self.patience = PATIENCE[strategy]
        if strategy == "park" and not alone:
            self.patience = PATIENCE_SHARED
        self.sleep_s = SLEEP_S[0]
        self.bed: Bed | None = None
        self.hindered = False  # there was something to read, and yet no work was done

    def make_bed(self, stages: Sequence[Stage]) -> None:
        """Have these stages sleep on their rings, if they park and nothing else feeds them."""
        self.bed = None
        if self.strategy == "park" and all(stage.READS for stage in stages):
            ends = [reader for stage in stages for reader in stage.links.readers.values()]
            self.bed = Bed([reader.shared for reader in ends])
            self.bed.warm()

    def after(self, work: int) -> None:
        """Spin on, give the core away, or sleep: until woken, or ever longer (to a bound)."""
        if work or self.strategy == "spin":
            self.sleep_s, self.hindered = SLEEP_S[0], False
        elif self.strategy == "yield":
            time.sleep(0)
        elif self.bed is None or not self._parked(self.bed):
            time.sleep(self.sleep_s)
            self.sleep_s = min(2 * self.sleep_s, SLEEP_S[1])

    def _parked(self, bed: Bed) -> bool:
        """Sleep on the rings; False where that does not help, since what is full is an output."""
        if bed.sleep(PARK_S):
            self.hindered = False
            return True
        before, self.hindered = self.hindered, True
        return not before


def run(
    stages: Sequence[tuple[Stage, Panel]],
    waiter: Waiter,
    stopping: Callable[[], bool],
    begin: Callable[[Stage], None] = lambda stage: stage.open(),
) -> None:
    """The duty cycle of one process: turn its stages until all of them are finished.

    `stopping` is True once the process has been asked to stop (a signal); a panel's command
    asks one stage. An exception of a stage is its failure: it is shown on the panel and raised.
    begin: gets a stage ready.
    """
    for stage, panel in stages:
        with _failure_shown(panel):
            begin(stage)
            stage.links.warm()
    waiter.make_bed([stage for stage, _ in stages])  # compiles, which takes its time
    for _, panel in stages:
        panel.status["ready_ns"] = time.time_ns()
        panel.live(Life.READY)
    cycles = [_Cycle(stage, panel) for stage, panel in stages]
    due_ns = 0
    while cycles:
        now_ns = time.monotonic_ns()
        if now_ns >= due_ns:
            due_ns = now_ns + LOOK_NS
            for cycle in cycles:
                cycle.look(stopping())
        # A stage that shares its process never spins: what it waits for comes from another.
        patience = waiter.patience if len(cycles) == 1 else 0
        work = sum([cycle.turn(patience) for cycle in cycles])
        if work or not any(cycle.held for cycle in cycles):
            waiter.after(work)
        else:
            time.sleep(HOLD_S)
        if any(cycle.stage.finished for cycle in cycles):
            cycles = [cycle for cycle in cycles if not cycle.stage.finished]
            waiter.make_bed([cycle.stage for cycle in cycles])


class _Cycle:
    """A stage that turns. What it shows and what it is told is looked at now and then only.

    Held, it stays ready: a source does not begin before those behind it can follow. Others of its
    process turn meanwhile, as one behind them may wait for that on its way back.
    """

    def __init__(self, stage: Stage, panel: Panel) -> None:
        self.stage, self.panel = stage, panel
        self.dropping = stage.links.dropping
        self.held = True
        self.turns = self.idle_turns = 0  # since the last look

    def turn(self, patience: int) -> int:
        """Turn once, unless held; a stage that is finished with it leaves."""
        if self.held:
            return 0
        with _failure_shown(self.panel):
            for reader in self.dropping:  # and do not wait for more in the kernel: none would come
                reader.refresh()
                patience = 0
            work = self.stage.turn(patience)
            self.turns += 1
            self.idle_turns += work == 0
            if self.stage.finished:
                self._leave()
        return work

    def look(self, stopping: bool) -> None:
        """Show that the stage turns, and see whether it is to begin, or to drain."""
        if self.held and (stopping or self.panel.told is not Command.HOLD):
            self.held = False
            self.panel.live(Life.RUNNING)
        status = self.panel.status
        status["turns"] += self.turns
        status["idle_turns"] += self.idle_turns
        self.turns = self.idle_turns = 0
        self.panel.beat()
        self.stage.links.beat(time.monotonic_ns())
        if self.panel.life is Life.RUNNING and (stopping or self.panel.told is Command.STOP):
            with _failure_shown(self.panel):
                self.stage.drain()
            self.panel.live(Life.DRAINING)

    def _leave(self) -> None:
        self.look(False)
        self.stage.close()
        self.panel.status["rss_bytes"] = psutil.Process().memory_info().rss
        self.panel.live(Life.FINISHED)


class _failure_shown:  # noqa: N801 (reads as a statement)
    """Leave a stage's exception on its panel before it ends the process."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self.panel.fail(error)
