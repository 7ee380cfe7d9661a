"""A pipeline of real processes that are there to be killed, and started again by their maker.

    source --events--> book --book--> risk --risk--> sink        journal reads every ring,
                                                                 snapshot reads the journals

Book, risk, journal and snapshot are the production stages, begun as a supervisor begins them: by
a fork of a process that has everything loaded, or by the command that everybody uses. Source and
sink are the ends that a test must hold: what goes in is known by its number, and what comes out
is kept by its place.
"""

import itertools
import mmap
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from pipeline import launch, plan
from pipeline.config import Config, load
from pipeline.toml import write_config
from ringbuf import memory
from ringbuf.board import Board
from ringbuf.panel import Panel
from ringbuf.share import Observer, RingReader, RingWriter
from tests.kills.digests import keep
from tests.kills.load import DAY, write
from tests.ringbuf.segments import fork
from tests.workers.deaths import slots_of
from tuning import topology
from tuning.affinity import set_parent_death_signal
from workers import instruments
from workers.feeds.synthetic import symbols

STAGES = ("journal", "risk", "book", "snapshot")  # production; in the order that they are begun
FOLDER = Path(__file__).parent.parent.parent  # of the project
ACTORS = (*STAGES, "sink", "source")
SEEN = ("book", "risk")  # the rings whose records come out
SHOWN = ("depth", "portfolios", "positions")  # boards
ROWS = 16
BURST_S = 0.02  # as many events as are due in this time come in one go, at most
SLICE = 4096
NUMBERS = itertools.count()


def portfolios() -> dict:
    """Risk options: portfolios over most symbols of the day, one of them above the others."""
    long, *others = symbols(DAY)[:6]
    held = {long: {"quantity": 100, "price": 100.0}}
    held |= {name: {"quantity": -50, "price": 100.0} for name in others}
    return {
        "portfolios": [
            {"name": "all", "positions": held, "parent": "firm"},
            {"name": "one", "positions": {long: held[long]}, "parent": "firm"},
            {"name": "firm"},
        ],
        "scenarios": {"kind": "synthetic", "days": 120},
    }


def tables(name: str, folder: Path, durability: str) -> dict:
    """A configuration with small rings, so that nobody gets far ahead of who was killed."""
    day = {"kind": "synthetic", **msgspec.to_builtins(DAY)}
    return {
        "name": name,
        "feeds": [day],
        "rings": {"events": 1024, "book": 2048, "risk": 1024},
        "ingest": {"instruments": ROWS},
        "book": {"orders": 4096, "levels": 4096, "publish_levels": True},
        "risk": portfolios(),
        "stages": {"risk": {"wait": "park"}},  # not spin: others have work for all cores
        "journal": {
            "path": str(folder / "journal"),
            "durability": durability,
            "segment_mb": 1,
            "snapshot_s": 0.1,
        },
    }


class Line:
    """The memory and the files of a pipeline, and what its processes are to do.

    block: the events of a round; rate: events a second, on average; most: as many at the most.
    """

    def __init__(
        self, folder: Path, block: np.ndarray, rate: float, most: int, durability: str = "async"
    ) -> None:
        self.name, self.block, self.rate = f"kills-{os.getpid()}-{next(NUMBERS)}", block, rate
        self.file, self.parent = folder / "config.toml", os.getpid()
        write_config(msgspec.convert(tables(self.name, folder, durability), Config), self.file)
        self.config = load(self.file)
        made = plan.make(self.config, topology.read(), SEEN)
        nowhere = tuple(replace(stage, core=None, alone=False) for stage in made.stages)
        self.plan = replace(made, stages=nowhere)  # on any core: there are more of them than cores
        self.journal = folder / "journal"
        launch.prepare(self.config, self.plan)[0].close()
        self.lives = Panel(self.name, "ingest", own=True)  # for those who ask if anybody does
        board = Board(self.name, "instruments", writable=True)
        instruments.show(board, block)
        board.close()
        self.rings = {name: Observer(self.name, name) for name in ("events", *SEEN)}
        self.slots = {name: slots_of(end.segment, name) for name, end in self.rings.items()}
        self.panels = {name: Panel(self.name, name, command=True) for name in STAGES}
        self.boards = {name: Board(self.name, name) for name in SHOWN}
        self.words = np.frombuffer(mmap.mmap(-1, 4096), np.int64)  # [0]: where the source ends
        self.words[0] = most
        self.kept = {}  # ring -> digests by sequence
        for name, times in (("book", 3), ("risk", 2)):
            self.kept[name] = np.frombuffer(mmap.mmap(-1, 8 * times * (most + SLICE)), np.int64)

    def position(self, name: str, reader: str) -> int:
        """What a reader of a ring has released."""
        return int(self.line(name, reader)["position"])

    def line(self, name: str, reader: str) -> np.ndarray:
        """A reader's line of a ring."""
        (found,) = [line for line in self.rings[name].readers if line["name"] == reader.encode()]
        return found

    def written(self, name: str) -> int:
        """The last record of a ring that its writer tells of."""
        return int(self.rings[name].writer["written"])

    def begin(self, actor: str) -> int:
        """Fork an actor; its process id."""
        task = {"source": self.source, "sink": self.sink}.get(actor)
        return fork(task or (lambda: self.become(actor)))

    def become(self, stage: str) -> None:
        """Be a stage, the way a spare process of a supervisor becomes one."""
        os.environ[launch.PARENT] = str(self.parent)
        launch.become(self.config, self.plan, [stage])

    def exec(self, stage: str) -> int:
        """Start a stage with the command that everybody uses; its process id."""

        def command() -> None:
            set_parent_death_signal(9, self.parent)
            os.chdir(FOLDER)
            words = ["-m", "pipeline", "stage", stage, "--config", str(self.file)]
            os.execv(sys.executable, [sys.executable, *words])

        return fork(command)

    def source(self) -> None:
        """Write events in bursts, at the rate, until as many are there as there are to be."""
        set_parent_death_signal(9, self.parent)
        writer = RingWriter(self.name, "events", plan.LAYOUTS["events"])
        chance, block = random.Random(os.getpid()), self.block.ctypes.data
        while (left := int(self.words[0]) - writer.line["written"]) > 0:
            burst = min(chance.randint(1, int(self.rate * BURST_S)), left)
            pause, done = burst / self.rate, 0
            while done < burst:
                count = int(write(writer.view, block, len(self.block), burst - done))
                done += count
                if not count:
                    time.sleep(0.0001)
            time.sleep(pause)
        writer.close()

    def sink(self) -> None:
        """Keep what comes out, until nothing will."""
        set_parent_death_signal(9, self.parent)
        readers = {name: RingReader(self.name, name, plan.LAYOUTS[name], plan.TAP) for name in SEEN}
        while readers:
            work = 0
            for name, reader in [*readers.items()]:
                work += int(keep(reader.view, self.kept[name].ctypes.data, SLICE))
                if reader.ended:
                    readers.pop(name).close()
            if not work:
                time.sleep(0.0005)

    def warm(self) -> None:
        """Have everything loaded and compiled that an actor which begins will run."""
        launch.warm(self.config, self.plan)
        writer = RingWriter(self.name, "events", plan.LAYOUTS["events"])
        write(writer.view, self.block.ctypes.data, len(self.block), 0)
        writer.segment.close()
        reader = RingReader(self.name, "book", plan.LAYOUTS["book"], plan.TAP)
        keep(reader.view, self.kept["book"].ctypes.data, 0)
        assert not reader.ended
        reader.segment.close()

    def close(self) -> None:
        """Remove the memory."""
        self.lives.close()
        for name in memory.names(self.name):
            memory.unlink(name)
