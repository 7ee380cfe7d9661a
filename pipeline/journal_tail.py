"""The records in a journal, printed as `corelane tail` prints those that pass on a ring."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from pipeline import past
from pipeline.journals import SLICE, LogReading, open_log
from pipeline.segments import is_alive
from pipeline.selection import Selection, TailRefused
from pipeline.tailing import IDLE_S, LOOK_S, Options, Printer, pour
from ringbuf.journal import JournalReader


def tail(folder: Path, ring: str, options: Options) -> None:
    """Print the last records of a ring's journal, and those that come while its pipeline runs."""
    if options.last < 0:
        raise TailRefused("--last takes a number from 0 up")
    with closing(open_log(folder, ring)) as log, closing(LogReading(folder)) as reading:
        wanted = Selection(log.layouts, reading, options.kind, options.symbols, options.conditions)
        pipeline = past.read_run(folder).pipeline
        pour(Printer(ring, wanted, reading, options), _records(pipeline, log, wanted, options))


def _records(
    pipeline: str, log: JournalReader, wanted: Selection, options: Options
) -> Iterator[np.ndarray]:
    """Wanted records in batches: the last ones first, then what comes while the pipeline lives."""
    last = log.last
    yield backlog(log, wanted, options.last, last)
    place, pause, looked = last + 1, IDLE_S[0], 0.0
    lives = options.follow
    while options.follow:
        records = log.read(place, SLICE)
        place += len(records)
        if len(records):
            pause = IDLE_S[0]
            yield wanted.of(records)
            continue
        if not lives:  # and nothing came after it was looked whether it does
            return
        if time.monotonic() - looked > LOOK_S:
            lives, looked = is_alive(pipeline), time.monotonic()
            continue
        time.sleep(pause)
        pause = min(2 * pause, IDLE_S[1])


def backlog(log: JournalReader, wanted: Selection, count: int, last: int) -> np.ndarray:
    """The last `count` wanted records up to `last`, read from the end on back."""
    found, have, end = [np.zeros(0, log.dtype)], 0, last + 1
    step = max(count, 1) if wanted.takes_all else SLICE
    while have < count and end > log.first:
        start = max(end - min(step, SLICE), log.first)
        some = wanted.of(log.read(start, end - start))
        found.append(some)
        have, end = have + len(some), start
    whole = np.concatenate(found[::-1])
    return whole[max(len(whole) - count, 0) :]
