"""A ring as its own memory shows it: what passed, who waited how long, and who is at its ends.

Read from the segment alone, so that it can be had while no stage answers, and costs none a thing.
"""

import time

import msgspec
import numpy as np

from pipeline.seats import CLASSES
from ringbuf.clock import now
from ringbuf.host import start_time
from ringbuf.memory import Segment
from ringbuf.ring import Policy, lines

POLICIES = {
    Policy.NONE: "left",
    Policy.GATE: "gate",
    Policy.DROP: "drop",
    Policy.REPLAY: "replay",
}
WRITERS = {ring: stage for stage, kind in CLASSES.items() for ring in kind.WRITES}


class ReaderReport(msgspec.Struct):
    """One reader of a ring. What it is past, it has read or missed: position = read + missed."""

    name: str
    # "gate": the writer waits for it; "drop": it loses records; "replay": it takes what it was too
    # slow for from the journal; "left": it is gone.
    policy: str
    after: str  # the reader that must be done with a record before this one; "": none
    position: int
    read: int
    missed: int
    replayed: int  # of those read, how many came from the journal
    behind: bool  # the ring does not hold what it reads next: it is reading the journal
    lag: int
    empty_s: float  # that it found nothing to read
    asleep: bool
    pid: int  # 0: nobody was there yet
    alive: bool
    beat_age_s: float


class RingReport(msgspec.Struct):
    """One ring."""

    name: str
    writer: str  # the stage that writes it
    capacity: int
    written: int
    closed: bool
    gated: int  # how many times the writer found it full
    high_water: int
    full_s: float  # that the writer had to wait, since the slowest reader had a whole ring to read
    wakes: int  # sleeping readers that the writer woke
    pid: int
    alive: bool
    beat_age_s: float
    readers: list[ReaderReport]

    @property
    def waiting(self) -> int:
        """Records that the slowest reader that the writer waits for has not read."""
        return max((reader.lag for reader in self.readers if reader.policy == "gate"), default=0)


def ring_report(name: str, segment: Segment) -> RingReport:
    """Read a ring: positions first, so that nobody seems to be ahead of its writer.

    Before that the clock: a time that is over by then must not be counted any further, or it
    would seem to fall from one look to the next.
    """
    moment = int(now())
    writer, seats = lines(segment.payload)
    used = [line.copy() for line in seats if line["name"]]
    names = [_name(line) for line in used]
    at = writer.copy()
    written, ns_per_cycle = int(at["written"]), float(at["ns_per_cycle"])
    capacity = int(segment.header["capacity"])
    pid, alive, beat_age_s = _identity(at)
    return RingReport(
        name=name,
        writer=WRITERS.get(name, ""),
        capacity=capacity,
        written=written,
        closed=bool(at["closed"]),
        gated=int(at["gated"]),
        high_water=int(at["high_water"]),
        full_s=_cycles(at, "full", moment) * ns_per_cycle / 1e9,
        wakes=int(at["wakes"]),
        pid=pid,
        alive=alive,
        beat_age_s=beat_age_s,
        readers=[_reader(line, names, (written, capacity), moment, ns_per_cycle) for line in used],
    )


def _reader(
    line: np.ndarray, names: list[str], extent: tuple[int, int], moment: int, ns_per_cycle: float
) -> ReaderReport:
    written, capacity = extent
    position, missed, after = int(line["position"]), int(line["missed"]), int(line["after"])
    pid, alive, beat_age_s = _identity(line)
    return ReaderReport(
        name=_name(line),
        policy=POLICIES[Policy(int(line["policy"]))],
        after=names[after - 1] if after else "",
        position=position,
        read=position - missed,
        missed=missed,
        replayed=int(line["replayed"]),
        behind=int(line["policy"]) == Policy.REPLAY and written - position > capacity,
        lag=max(written - position, 0),
        empty_s=_cycles(line, "empty", moment) * ns_per_cycle / 1e9,
        asleep=bool(line["parked"]),
        pid=pid,
        alive=alive,
        beat_age_s=beat_age_s,
    )


def _name(line: np.ndarray) -> str:
    return bytes(line["name"]).decode(errors="replace")


def _cycles(line: np.ndarray, name: str, moment: int) -> int:
    """Time that is over and, where it is not, what has passed of it until a moment."""
    since = int(line[f"{name}_since"])
    return int(line[name]) + (max(moment - since, 0) if since else 0)


def _identity(line: np.ndarray) -> tuple[int, bool, float]:
    """Process, whether it lives, and seconds since its last sign of life."""
    pid = int(line["pid"])
    alive = bool(pid) and start_time(pid) == int(line["start_time"])
    age_ns = time.monotonic_ns() - int(line["heartbeat_ns"])
    return pid, alive, max(age_ns, 0) / 1e9 if pid else 0.0
