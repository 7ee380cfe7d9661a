"""A sink that gets only the newest of the best prices in each interval of event time.

    ring -> pending file -> one record of TOP, QUOTE, CONSOLIDATED for each instrument -> sink
                            and every record of the other kinds

An interval is closed by the first record, of any instrument, that lies beyond it, and by the end of
the stream. A clock that is set back opens none. Until then all of its records are *pending*: they
lie in a file beside what the sink stores, so that a kill loses none, and go on in order of
sequence. What reaches the sink is a function of the records alone, however they were sliced.

The last record of an interval always goes on: nothing newer stands for it. So the sink knows how
far it came, and may be given again what it has, for as long as the pending file says the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.records import TOP
from workers.sinks.sink import Run, Sink, fresh, refusal
from workers.sinks.spool import Spool

CONFLATED = ("top", "quote", "consolidated")  # kinds of which the newest says all
NEVER = -(1 << 63)
DROP_FROM = 65_536  # settled records in a pending file that make it worth writing anew


@dataclass
class _Ring:
    """One ring's way to the sink."""

    spool: Spool
    marks: list[int]  # kinds that are conflated
    last: int  # sequence put last
    stored: int  # sequence that the sink had when it was opened
    parts: list[np.ndarray]  # records that are not settled, as TOP
    pending: int  # how many they are
    interval: int  # the one that is open; before the first record: below any


class Conflating:
    """Stands before a sink."""

    resumable = True

    def __init__(self, sink: Sink, interval_ms: float) -> None:
        self.sink, self.interval_ns = sink, round(interval_ms * 1e6)
        self.written = self.filtered = self.skipped = self.conflated = self.pending = 0
        self._again = 0  # records that were pending, or are stored, already
        self._rings: dict[str, _Ring | None] = {}  # None: nothing there is conflated

    def open(self, run: Run) -> None:
        """Open the sink."""
        self._run = run
        self.sink.open(run)

    def beside(self, ring: str) -> Path:
        """As the sink has it."""
        return self.sink.beside(ring)

    def resume(self, ring: str) -> int:
        """The last sequence that is pending, or in the sink."""
        if ring not in self._rings:
            self._rings[ring] = self._begin(ring)
        state = self._rings[ring]
        return self.sink.resume(ring) if state is None else state.last

    def _begin(self, ring: str) -> _Ring | None:
        """Find what was pending; it is settled with what comes next."""
        layouts, stored = self._run.rings[ring], self.sink.resume(ring)
        marks = [mark for kind, (mark, _) in layouts.items() if kind in CONFLATED]
        if not marks:
            return None
        path = self.sink.beside(ring)
        try:
            spool = Spool(path)
            last, records = spool.recover(0), spool.records()
        except OSError as error:
            raise refusal(path, error) from error
        self.pending += len(records)
        return _Ring(spool, marks, last or stored, stored, [records], len(records), NEVER)

    def put(self, ring: str, records: np.ndarray) -> None:
        """Keep a slice, and hand on what it settles."""
        self.resume(ring)
        state = self._rings[ring]
        if state is None:
            self.sink.put(ring, records)
        else:
            self._keep(state, records)
            self._settle(ring, state)
        self._count()

    def _keep(self, state: _Ring, records: np.ndarray) -> None:
        """Have the new ones of some records be pending."""
        new = fresh(records, state.last)
        self._again += len(records) - len(new)
        if not len(new):
            return
        try:
            state.spool.append(new)
        except OSError as error:
            raise refusal(state.spool.path, error) from error
        state.last = int(new["sequence"][-1])
        state.parts.append(new.copy())
        state.pending += len(new)
        self.pending += len(new)

    def _settle(self, ring: str, state: _Ring, ended: bool = False) -> None:
        """Hand the records of all intervals that are over to the sink."""
        latest = [int(part["time_ns"].max()) for part in state.parts[-1:] if len(part)]
        if not ended and not any(time // self.interval_ns > state.interval for time in latest):
            return
        whole = np.concatenate([_bytes(part) for part in state.parts]).view(TOP)
        intervals = np.maximum.accumulate(whole["time_ns"] // self.interval_ns)
        count = len(whole)
        if count and not ended:
            count = int(np.searchsorted(intervals, intervals[-1]))
        settled = whole[:count]
        kept = newest(settled, intervals[:count], state.marks)
        if count:
            self.sink.put(ring, settled[kept])
        known = int(np.count_nonzero(~kept & (settled["sequence"] <= state.stored)))
        self._again += known
        self.conflated += count - int(np.count_nonzero(kept)) - known
        self.pending -= count
        state.pending -= count
        state.parts = [whole[count:].copy()]
        state.interval = int(intervals[-1]) if count < len(whole) else NEVER

    def _count(self) -> None:
        self.written, self.filtered = self.sink.written, self.sink.filtered
        self.skipped = self.sink.skipped + self._again

    def flush(self) -> dict[str, int]:
        """Make what is pending durable, and what is stored; forget what need not be pending."""
        states = {ring: state for ring, state in self._rings.items() if state}
        for state in states.values():
            try:
                state.spool.sync()
            except OSError as error:
                raise refusal(state.spool.path, error) from error
        done = self.sink.flush()
        for state in states.values():
            settled = state.spool.count - state.pending
            if settled >= DROP_FROM:
                self._drop(state, settled)
        return done | {ring: state.last for ring, state in states.items()}

    def _drop(self, state: _Ring, settled: int) -> None:
        try:
            state.spool.drop(settled)
        except OSError as error:
            raise refusal(state.spool.path, error) from error

    def close(self) -> None:
        """The stream is at its end: settle all, close the sink, and only then forget it."""
        states = {ring: state for ring, state in self._rings.items() if state}
        for ring, state in states.items():
            self._settle(ring, state, ended=True)
        self.sink.close()
        self._count()
        for state in states.values():
            state.spool.close()
            state.spool.path.unlink()
        self._rings.clear()


def _bytes(records: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(records).view(np.uint8).reshape(-1)


def newest(records: np.ndarray, intervals: np.ndarray, marks: list[int]) -> np.ndarray:
    """Which records stay: the last of each kind in `marks`, instrument and interval, and all of
    other kinds.
    """
    kept = np.ones(len(records), bool)
    places = np.flatnonzero(np.isin(records["kind"], marks))
    some, of = records[places], intervals[places]
    order = np.lexsort((places, some["kind"], some["instrument"], of))
    keys = [column[order] for column in (some["kind"], some["instrument"], of)]
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    kept[places[order[:-1][same]]] = False
    return kept
