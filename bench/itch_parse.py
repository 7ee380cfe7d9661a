"""ITCH 5.0 bytes to event records, nanoseconds a message: the decoder alone, no book, no file.

A made-up day lies in memory as its file would. It is decoded window by window, as many events at
a time as ingest stages; and once more out of packets, as MoldUDP64 carries them, where lengths are
certain. Events must be as many as the messages that give one.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    actors,
    cores,
    run_rounds,
)
from workers.feeds.bytes_in import WINDOW
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.ingest import STAGED
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch import decode
from workers.kernels.itch_frames import ITCH_STATE, prepare
from workers.records import EVENT, empty

MESSAGES, SHORT = 5_000_000, 20_000
SYMBOLS = (500, 8_000)
ROUNDS = 7


class Day:
    """A day's bytes in memory, and the decoder's."""

    def __init__(self, path: str) -> None:
        self.data = np.fromfile(path, np.uint8)
        self.events = empty(EVENT, STAGED)
        self.state, self.counters = empty(ITCH_STATE, 1), np.zeros(1, FEED_COUNTERS)

    def run(self, exact: bool) -> Metrics:
        """One pass over the day."""
        self.state.view(np.uint8).fill(0)
        self.counters.view(np.uint8).fill(0)
        prepare(self.state[0], self.counters.ctypes.data, 0, by_type=False)
        self.state["exact"] = exact
        state, target, start = (x.ctypes.data for x in (self.state, self.events, self.data))
        position, end = 0, len(self.data)
        begun = time.perf_counter_ns()
        while position < end:
            length = min(end - position, WINDOW)
            self.state["final"] = position + length == end
            decode(state, start + position, length, target, STAGED)
            position += int(self.state["consumed"][0])
        took = time.perf_counter_ns() - begun
        counters = self.counters[0]
        messages = int(counters["messages"])
        if counters["events"] + counters["ignored"] != messages + counters["announced"]:
            raise BenchError("events and messages do not add up")
        return {"ns": took / messages, "M/s": messages / took * 1e3, "MB/s": end / took * 1e3}


DAYS: dict[str, Day] = {}  # of the process that measures


def load(path: str) -> int:
    """Have a day ready in this process, with the kernel compiled; its bytes."""
    DAYS[path] = Day(path)
    DAYS[path].run(exact=False)
    return len(DAYS[path].data)


def measure(path: str, exact: bool) -> Metrics:
    """One pass."""
    return DAYS[path].run(exact)


def ours(actor: Actor, path: str, exact: bool) -> Metrics:
    """A pass in the pinned process."""
    actor.start(measure, path, exact)
    return actor.result()


def run(options: Options) -> Result:
    """Days of few and of many symbols, in turns, in one pinned process."""
    result = Result("itch_parse", BENCH.what, "ns a message", "ns", better="less")
    messages = options.scaled(MESSAGES, SHORT)
    with (
        tempfile.TemporaryDirectory(prefix="corelane-") as folder,
        actors(cores(1)) as (actor,),
    ):
        variants = {}
        for symbols in SYMBOLS if not options.short else (50,):
            path = Path(folder) / f"{symbols}.itch"
            write_file(SyntheticOptions(messages=max(messages, 200), symbols=symbols), path)
            actor.start(load, str(path))
            actor.result()
            for name, exact in (("a file", False), ("packets", True)):
                variants[f"{name}, {symbols:,} symbols"] = partial(ours, actor, str(path), exact)
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    return result


BENCH = Bench("itch_parse", "ITCH bytes to events: the decoder alone", run)
