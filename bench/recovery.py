"""How long a pipeline is without a stage that was killed: from the signal to its next output.

The whole pipeline runs at a rate that the host can take, with a journal and snapshots; the book is
killed again and again. It comes back from a spare process, or is started anew.
"""

import os
import signal
import time
from functools import partial
from threading import Thread
from typing import Literal

import numpy as np

from bench import pipelines
from bench.harness import Bench, BenchError, Metrics, Options, Result, Variant, run_rounds
from pipeline.config import Journal
from ringbuf.memory import SegmentError
from ringbuf.panel import Life, Panel
from ringbuf.share import Observer
from workers.feeds.synthetic import SyntheticOptions

RATE = 50_000.0  # events a second
SECONDS, SHORT_SECONDS = 30, 8
WARM_S = 4.0  # until the spare is there
PAUSE_S = 0.5  # between a recovery and the next kill
LOOK_S = 0.0002  # between two looks at the ring
LIMIT_S = 60.0  # for a recovery
FORK, EXEC = "spare process", "started anew"


class Killer(Thread):
    """Kills the book of a pipeline, over and over, and notes how long its ring stands still."""

    def __init__(self, pipeline: str) -> None:
        super().__init__(daemon=True)
        self.pipeline = pipeline
        self.gaps_s: list[float] = []

    def run(self) -> None:
        """Until the pipeline ends."""
        panel = self._panel()
        if panel is None:
            return
        time.sleep(WARM_S)
        observer = Observer(self.pipeline, "book")
        while panel.life is Life.RUNNING:
            starts = int(panel.status["starts"])
            begun = time.monotonic()
            os.kill(int(panel.status["pid"]), signal.SIGKILL)
            if not self._await_output(panel, observer, starts, begun):
                break
            self.gaps_s.append(time.monotonic() - begun)
            time.sleep(PAUSE_S)
        observer.close()
        panel.close()

    def _panel(self) -> Panel | None:
        """The book's panel, once it runs."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            try:
                panel = Panel(self.pipeline, "book")
                if panel.life is Life.RUNNING:
                    return panel
                panel.close()
            except SegmentError:
                pass
            time.sleep(0.05)
        return None

    def _await_output(self, panel: Panel, observer: Observer, starts: int, begun: float) -> bool:
        """Wait for a record of the book's next life; False where the pipeline has ended."""
        before = -1
        while time.monotonic() - begun < LIMIT_S and panel.life is not Life.FINISHED:
            if before < 0 and int(panel.status["starts"]) > starts:
                before = int(observer.writer["written"])
            elif 0 <= before < int(observer.writer["written"]):
                return True
            time.sleep(LOOK_S)
        return False


def measure(day: SyntheticOptions, start: Literal["fork", "exec"]) -> Metrics:
    """One run: percentiles of the gaps in ms, and how many there were."""
    killers: list[Killer] = []

    def beside(pipeline: str) -> Killer:
        killers.append(Killer(pipeline))
        return killers[0]

    journal = Journal(path="-", snapshot_s=0.5)
    pipelines.run(day, rate=RATE, journal=journal, start=start, beside=beside)
    gaps = np.array(killers[0].gaps_s) * 1e3
    if not len(gaps):
        raise BenchError("the pipeline ended before anything was killed; give it more messages")
    return {
        "p50 ms": float(np.percentile(gaps, 50)),
        "p99 ms": float(np.percentile(gaps, 99)),
        "max ms": float(gaps.max()),
        "kills": float(len(gaps)),
    }


def run(options: Options) -> Result:
    """Interleave the two ways back."""
    seconds = SHORT_SECONDS if options.short else SECONDS
    day = SyntheticOptions(messages=int(RATE * seconds), symbols=200)
    result = Result("recovery", BENCH.what, "ms", "p50 ms", better="less")
    variants: dict[str, Variant] = {FORK: partial(measure, day, "fork")}
    if not options.short:
        variants[EXEC] = partial(measure, day, "exec")
        result.pairs = {FORK: EXEC}
    return run_rounds(result, variants, pipelines.rounds_of(options, 2))


BENCH = Bench("recovery", "from killing the book of a running pipeline to its next output", run)
