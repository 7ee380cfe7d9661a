"""The records that pass on a ring, printed for whoever looks on: `corelane tail`.

No stage ever waits for a tail. What passed while it did not look is counted and told.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

from pipeline.listing import JsonLines, Reading, Table
from pipeline.report import parts
from pipeline.selection import Selection, TailRefused, choice
from ringbuf import memory
from ringbuf.share import Observer

IDLE_S = (0.001, 0.05)  # the first and the longest pause while nothing comes
NICE = 10  # a line may come late; the stages of a busy host may not
LOOK_S = 0.5  # between two looks at whether the pipeline is still there


@dataclass(frozen=True)
class Options:
    """What to print of a ring, and until when."""

    kind: str | None = None
    symbols: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()  # such as "price>=585.33", "side=bid", "raw.price=5853300"
    count: int | None = None  # end after so many records
    last: int = 10  # begin with so many of the wanted ones that the ring still holds
    as_json: bool = False
    follow: bool = True  # wait for more until the ring has ended


def tail(pipeline: str, ring: str, options: Options) -> None:
    """Print the records of a ring on standard output; what was missed is told on stderr."""
    os.nice(NICE)
    show(pipeline, ring, options)


def show(pipeline: str, ring: str, options: Options) -> None:
    """The same at this process's own priority."""
    rings = parts(pipeline)["rings"]
    if ring not in rings:
        raise TailRefused(f"{pipeline} has no ring {ring!r}; {choice(ring, rings)}")
    if options.last < 0 or (options.count is not None and options.count < 1):
        raise TailRefused("--last takes a number from 0 up, --count one from 1 up")
    with ExitStack() as opened:
        observer = opened.enter_context(closing(Observer(pipeline, ring)))
        reading = opened.enter_context(closing(Reading(pipeline)))
        wanted = Selection(
            observer.layouts, reading, options.kind, options.symbols, options.conditions
        )
        printer = Printer(ring, wanted, reading, options)
        batches = _records(pipeline, observer, wanted, options)
        pour(printer, batches, lambda: observer.missed)
        _say_missed(observer.missed, " in all")


def pour(
    printer: "Printer", batches: Iterator[np.ndarray], missed: Callable[[], int] = lambda: 0
) -> None:
    """Print batches of records until no more are wanted, Ctrl-C comes or nobody reads on."""
    try:
        for records in batches:
            if not printer.put(records, missed()):
                break
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever read our output has gone: say no more, to anybody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Printer:
    """Writes records to standard output, and gaps to standard error."""

    def __init__(self, ring: str, wanted: Selection, reading: Reading, options: Options) -> None:
        self.wanted, self.left, self.told = wanted, options.count, 0
        self.form: JsonLines | Table = Table(wanted.layouts, reading)
        if options.as_json:
            self.form = JsonLines(ring, wanted.layouts, reading)

    def put(self, records: np.ndarray, missed: int) -> bool:
        """Print some records; False once no more are wanted."""
        if missed > self.told:
            _say_missed(missed - self.told)
            self.told = missed
        _write(self.form.of(self.wanted.split(records[: self.left])))
        if self.left is not None:
            self.left = max(self.left - len(records), 0)
        return self.left != 0


def _write(lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _say_missed(records: int, when: str = "") -> None:
    if records:
        print(f"missed {records:,} records{when}", file=sys.stderr, flush=True)


def _records(
    pipeline: str, observer: Observer, wanted: Selection, options: Options
) -> Iterator[np.ndarray]:
    """Wanted records in batches: the last ones first, then what comes until the ring ends."""
    yield backlog(observer, wanted, options.last)
    pause, looked = IDLE_S[0], time.monotonic()
    while options.follow:
        records = observer.poll()
        if len(records):
            pause = IDLE_S[0]
            yield wanted.of(records)
            continue
        if 0 < int(observer.writer["closed"]) <= observer.next:
            return
        if time.monotonic() - looked > LOOK_S:
            if not _lives(pipeline, observer):
                return
            looked = time.monotonic()
        time.sleep(pause)
        pause = min(2 * pause, IDLE_S[1])


def backlog(observer: Observer, wanted: Selection, last: int) -> np.ndarray:
    """The last wanted records that the ring holds; only what comes after them can be missed."""
    newest = int(observer.writer["written"])
    observer.rewind(last if wanted.takes_all else observer.capacity)
    batches, later = [np.zeros(0, observer.dtype)], 0
    while observer.next <= newest and len(records := observer.poll()):
        later += int(np.count_nonzero(records["sequence"] > newest))
        batches.append(wanted.of(records))
    observer.missed = max(observer.next - 1 - newest - later, 0)
    whole = np.concatenate(batches)
    return whole[max(len(whole) - last, 0) :]


def _lives(pipeline: str, observer: Observer) -> bool:
    """True while the ring has its name and some process works on the pipeline."""
    if os.fstat(observer.segment.file).st_nlink == 0:
        return False
    return any(memory.alive(name) for name in memory.names(pipeline))


__all__ = ["Options", "TailRefused", "tail"]
