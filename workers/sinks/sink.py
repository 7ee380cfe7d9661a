"""What a sink is: a place outside where each record is kept exactly once, across any crash.

The publisher's side of the bargain, in this order:

    open(run) -> resume(ring) for each ring -> put(ring, slice) ... flush() ... -> close()

- Records of a ring are put in order of `sequence`. What was put already is recognised and skipped,
  so after a restart the publisher goes on anywhere at or before `resume(ring) + 1`.
- A put survives the death of the process, a flush that of the host. So a slot may be given back
  to its writer once every sink has taken it. What lies between `resume` and the slots given back
  are records of kinds that the sink does not store.
- `resume` never answers less than what `flush` returned.
- A put that raised SinkError may be repeated with the same slice: nothing of it is doubled.
"""

import errno
import fcntl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ringbuf.durable import MENDS
from workers.instruments import Unit
from workers.records import BOOK_RING, RISK_RING, TOP
from workers.sinks.tables import TABLES

Layouts = Mapping[str, tuple[int, np.dtype]]


class SinkError(Exception):
    """A sink cannot store: where, why, and how to mend it."""


@dataclass(frozen=True)
class Run:
    """One life of a pipeline, as its sinks need to know it.

    id: the same after a restart of the publisher, another one when sequences start anew.
    unit_of: asked once for each instrument number met; must answer for any. group_of: the same for
    the instruments of consolidated records; None: as unit_of.
    rings: what lies on each ring, as in workers.records.
    """

    id: str
    unit_of: Callable[[int], Unit]
    group_of: Callable[[int], Unit] | None = None
    rings: Mapping[str, Layouts] = field(
        default_factory=lambda: {"book": BOOK_RING, "risk": RISK_RING}
    )


class Sink(Protocol):
    """Where records leave the pipeline."""

    resumable: bool  # False: resume() always answers 0, and a crash may double records
    written: int  # records stored since open
    filtered: int  # records of kinds that are not stored
    skipped: int  # records that were stored before
    conflated: int  # records that a newer one of the same interval stands for
    pending: int  # records of an interval that is not over yet

    def open(self, run: Run) -> None:
        """Make ready for the records of a run; SinkError where the place is not usable."""

    def resume(self, ring: str) -> int:
        """The last sequence of the ring that needs no more delivery, 0 where there is none."""

    def beside(self, ring: str) -> Path:
        """A file beside what is stored, for what is not settled yet of a ring; after open."""

    def put(self, ring: str, records: np.ndarray) -> None:
        """Take a slice of a ring: 64-byte records in order of sequence; the slice is copied."""

    def flush(self) -> dict[str, int]:
        """Make all that was put durable; the last sequence of each ring."""

    def close(self) -> None:
        """Flush, finish the files and let go of the place."""


class Instruments:
    """Names and scales of the instruments met so far, and of the groups that they are in."""

    def __init__(self, run: Run):
        ask = {"instruments": run.unit_of, "groups": run.group_of or run.unit_of}
        self._ask: dict[str, Callable[[int], Unit]] = ask
        self._known: dict[tuple[str, int], Unit] = {}

    def learn(self, kind: str, numbers: np.ndarray) -> list[tuple[int, str, int, int]]:
        """Ask for those not met before: their (number, symbol, price scale, lot scale).

        kind: instruments or groups, as in Table.units.
        """
        new = [number for number in numbers.tolist() if (kind, number) not in self._known]
        return [(number, *self.of(kind, number)[:3]) for number in new]

    def of(self, kind: str, number: int) -> Unit:
        """Symbol and scales of an instrument, or of its group."""
        if (kind, number) not in self._known:
            unit = self._ask[kind](number)
            assert min(unit.price_scale, unit.lot_scale) > 0, (number, unit)
            self._known[kind, number] = unit
        return self._known[kind, number]


def fresh(records: np.ndarray, last: int) -> np.ndarray:
    """The records beyond a sequence, as TOP (all layouts agree on `kind` and `sequence`)."""
    tops = np.ascontiguousarray(records).view(np.uint8).reshape(-1).view(TOP)
    if not len(tops):
        return tops
    sequence = tops["sequence"]
    assert (sequence[1:] > sequence[:-1]).all(), "records out of order of sequence"
    if sequence[0] > last:
        return tops
    return tops[np.searchsorted(sequence, last, side="right") :]


def sort_out(
    layouts: Layouts, kinds: list[str], records: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The wanted records of a slice, each kind in its own layout: (kind, places, records)."""
    for kind, (mark, layout) in layouts.items():
        if kind not in kinds or kind not in TABLES:
            continue
        if mark < 0:
            yield kind, np.arange(len(records)), records.view(layout)
        else:
            places = np.flatnonzero(records["kind"] == mark)
            if len(places):
                yield kind, places, records[places].view(layout)


def count_wanted(layouts: Layouts, kinds: list[str], records: np.ndarray) -> int:
    """How many records of a slice are of wanted kinds."""
    marks = [mark for kind, (mark, _) in layouts.items() if kind in kinds and kind in TABLES]
    if any(mark < 0 for mark in marks):
        return len(records)
    wanted = np.zeros(256, bool)
    wanted[marks] = True
    return int(np.count_nonzero(wanted[records["kind"]]))


def run_path(path: str, run: Run) -> Path:
    """The path of an option, its {run} filled in; SinkError where that is no name for a file."""
    if "/" in run.id or run.id in ("", ".", ".."):
        raise SinkError(f"run id {run.id!r} cannot be part of a path: name the pipeline plainly")
    return Path(path.replace("{run}", run.id)).expanduser()


_MENDS = MENDS | {
    errno.EACCES: "give the publisher's user the right to write there, or choose another path",
    errno.EPERM: "give the publisher's user the right to write there, or choose another path",
    errno.EPIPE: "the reader of the output went away: start it again",
}


def refusal(path: Path | str, error: OSError) -> SinkError:
    """The user's words for an error of the operating system."""
    mend = _MENDS.get(error.errno or 0, "look at the disk (dmesg), then start the publisher again")
    return SinkError(f"{path}: {error.strerror or error}; {mend}")


def hold_lock(descriptor: int, path: Path) -> None:
    """Be the only process that writes here, until the descriptor is closed or we die."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SinkError(
            f"{path}: another process is writing here; stop it or choose another path"
        ) from None
