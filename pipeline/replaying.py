"""`corelane replay`: the same stages over a log that was kept, and whether the same comes out.

The chain value of a record (ringbuf/chain.py) stands for all of its log up to there. So what a
replay gives is compared with what the run gave by one number for each ring, and where they differ
the first record that does is found and shown.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
import numpy as np

from pipeline import past, plan
from pipeline.config import Config, Journal, load
from ringbuf.chain import ROOT, seal_records
from ringbuf.journal import JournalError, JournalReader
from tuning import topology
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING
from workers.replica import Replica

SLICE = 8192  # events handed on at a time
RINGS = {"book": BOOK_RING, "risk": RISK_RING}


@dataclass(frozen=True)
class Choice:
    """What is replayed: events `first` to `last`, at `speed` times the recorded pace (0: as fast
    as possible), with the options of the run or those of another configuration.
    """

    folder: Path
    first: int = 1
    last: int | None = None
    speed: float = 0.0
    config: Path | None = None


@dataclass
class Given:
    """What a replay gave on one ring, beside what the run's journal has."""

    ring: str
    chain: int
    log: JournalReader | None  # the run's; None: it has none
    records: int = 0
    last: int = 0
    differs_at: int = 0  # the first record that is another; 0: none
    compared: int = 0  # records that the journal has too
    shown: list[np.ndarray] = field(default_factory=list)  # that record, of both

    @property
    def verdict(self) -> str:
        """How it compares, in words."""
        if self.differs_at:
            return f"differs from the run at record {self.differs_at:,}"
        if self.compared == self.records:
            return "the same as in the run"
        return f"the same as in the run as far as its journal goes ({self.compared:,})"


@dataclass
class Replayed:
    """What came of a replay."""

    events: int
    first: int
    last: int
    seconds: float
    rings: list[Given]

    @property
    def same(self) -> bool:
        """Whether nothing came out otherwise."""
        return not any(ring.differs_at for ring in self.rings)


def config_of(choice: Choice) -> Config:
    """The configuration that the run was made with, or another."""
    if choice.config:
        config = load(choice.config)
    else:
        kept = past.read_run(choice.folder).config
        config = msgspec.convert({**kept, "feeds": []}, Config)
    return msgspec.structs.replace(config, journal=Journal(path=str(choice.folder)))


def replay(choice: Choice) -> Replayed:
    """Take the events of a journal through the stages; JournalError where that cannot be."""
    config = config_of(choice)
    made = plan.make(config, topology.read())
    log = JournalReader(choice.folder / "events", EVENTS_RING)
    _check_span(choice, log)
    passed: list[str] = []
    start = None
    if choice.first > 1:
        start = past.newest(config, made, "events", choice.first - 1, passed)
    if start is None and log.first > 1:
        raise JournalError(
            f"{choice.folder}: the log begins with event {log.first:,}, and there is no snapshot "
            f"of event {choice.first - 1:,} or before; give a larger --from"
            + "".join(f" ({reason})" for reason in passed[:1])
        )
    replica = past.replica(config, made, start)
    rings = [_beside(choice, name, replica.positions[name]) for name in replica.parts]
    begun = replica.positions["events"]
    began = time.monotonic()
    for part in _events(log, replica, choice):
        for ring, records in zip(rings, replica.take(part).values(), strict=True):
            for some in records:
                _compare(ring, some)
    last = replica.positions["events"]
    return Replayed(last - begun, begun + 1, last, time.monotonic() - began, rings)


def _check_span(choice: Choice, log: JournalReader) -> None:
    """JournalError where the log does not have the events that are to be replayed."""
    end = log.last
    first, last = choice.first, end if choice.last is None else choice.last
    if end and not first <= last <= end:
        raise JournalError(
            f"{log.folder}: there are no events {first:,} to {last:,}; the last is {end:,}, give "
            "--from and --to up to that"
        )


def _beside(choice: Choice, name: str, position: int) -> Given:
    """What a ring's records are compared with from a position on."""
    folder = choice.folder / name
    if position == 0 and not folder.exists():
        return Given(name, ROOT, None)
    log = JournalReader(folder, RINGS[name])
    return Given(name, log.chain_at(position), log, last=position)


def _events(log: JournalReader, replica: Replica, choice: Choice) -> Iterator[np.ndarray]:
    """The events from where the replica is, slice by slice, at the pace that is asked for."""
    pace = Pace(choice.speed)
    while True:
        first = replica.positions["events"] + 1
        limit = SLICE if choice.last is None else min(SLICE, choice.last - first + 1)
        events = log.read(first, limit) if limit > 0 else np.zeros(0)
        if not len(events):
            return
        if first < choice.first:  # on the way to where it begins
            yield events[: choice.first - first]
            continue
        yield from pace.slices(events)


class Pace:
    """Keeps events as far apart as the venue's clock says, `speed` times as fast; 0: not at all."""

    def __init__(self, speed: float) -> None:
        self.speed, self.began, self.first_ns = speed, 0.0, 0

    def slices(self, events: np.ndarray) -> Iterator[np.ndarray]:
        """The events, in slices that are due."""
        if not self.speed:
            yield events
            return
        times = np.maximum.accumulate(events["time_ns"])
        if not self.began:
            self.began, self.first_ns = time.monotonic(), int(times[0])
        due = self.began + (times - self.first_ns) / 1e9 / self.speed
        start = 0
        while start < len(events):
            time.sleep(max(due[start] - time.monotonic(), 0.0))
            stop = max(int(np.searchsorted(due, time.monotonic(), side="right")), start + 1)
            yield events[start:stop]
            start = stop


def _compare(ring: Given, records: np.ndarray) -> None:
    """Chain some records on, and look whether the run's journal has the same."""
    first, before = int(records["sequence"][0]), ring.chain
    sealed = records.copy()
    size = records.dtype.itemsize
    ring.chain = int(seal_records(sealed.ctypes.data, size, first, len(sealed), before))
    ring.records += len(records)
    ring.last = int(records["sequence"][-1])
    if ring.log is None:
        return
    for theirs in _kept(ring.log, max(first, ring.log.first), ring.last):
        if ring.differs_at:
            return
        start = int(theirs["sequence"][0])
        mine = records[start - first :][: len(theirs)]
        ring.compared += len(theirs)
        if mine.tobytes() != theirs.tobytes():
            bytes_of = (some.view(np.uint8).reshape(len(mine), -1) for some in (mine, theirs))
            place = int(np.flatnonzero(np.not_equal(*bytes_of).any(axis=1))[0])
            ring.differs_at = start + place
            ring.shown = [mine[place : place + 1].copy(), theirs[place : place + 1].copy()]


def _kept(log: JournalReader, first: int, last: int) -> Iterator[np.ndarray]:
    """The records of a journal from one to another, as far as it has them."""
    while first <= last and len(records := log.read(first, last - first + 1)):
        yield records
        first += len(records)


def show(replayed: Replayed) -> bool:
    """Print what came of a replay; whether all of it is as it was."""
    rate = replayed.events / max(replayed.seconds, 1e-9)
    click.echo(
        f"events {replayed.first:,} to {replayed.last:,}: {replayed.events:,} replayed in "
        f"{replayed.seconds:.2f} s, {rate / 1e6:.2f} M/s"
    )
    for ring in replayed.rings:
        digest = f"{ring.chain & (1 << 64) - 1:016x}"
        click.echo(f"{ring.ring}: {ring.records:,} records, digest {digest}, {ring.verdict}")
        for whose, record in zip(("now", "then"), ring.shown, strict=False):
            click.echo(f"  {whose}: {record[0]}")
    return replayed.same
