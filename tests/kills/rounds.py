"""One campaign: a line of its own, killed so often, and its verdict."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.kills.killer import Fate, Killer
from tests.kills.line import Line
from tests.kills.verdict import Expected, judge, undisturbed

RATE = 40_000.0  # events a second, on average
MOST = 1 << 25  # events, should the machine be very slow


@dataclass
class Round:
    """What a campaign came to. counts: records of each ring; wrong: by kind, empty if none."""

    seed: int
    seconds: float
    counts: dict[str, int]
    wrong: Counter[str]
    fates: dict[str, Fate]

    @property
    def kills(self) -> int:
        return sum(fate.kills for fate in self.fates.values())

    @property
    def in_windows(self) -> int:
        return sum(fate.in_windows for fate in self.fates.values())

    @property
    def execs(self) -> int:
        return sum(fate.execs for fate in self.fates.values())


def play(
    block: np.ndarray,
    seed: int,
    kills: int,
    execs: int = 0,
    rate: float = RATE,
    durability: str = "async",
    oracle: Callable[[Line, int], Expected] = undisturbed,
) -> Round:
    """Kill the actors of a new line so often, and compare all that is left with what must be.

    block: the events of a round of the log (tests/kills/load.py).
    """
    with tempfile.TemporaryDirectory(prefix="corelane-kills-") as folder:
        line = Line(Path(folder), block, rate, MOST, durability)
        killer = Killer(line, seed)
        try:
            line.warm()
            seconds = killer.campaign(kills, execs)
            counts, wrong = judge(line, line.written("events"), oracle)
            return Round(seed, seconds, counts, wrong, killer.fates)
        finally:
            killer.close()
            line.close()
