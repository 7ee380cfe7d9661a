"""Who reads which ring, what lagging behind means there, and who comes after whom."""

from collections.abc import Mapping
from typing import Protocol

from pipeline.shape import near
from ringbuf.ring import Policy
from ringbuf.share import Seat
from workers.book import Book
from workers.ingest import Ingest
from workers.journal import Journal
from workers.publish import Publisher
from workers.risk import Risk
from workers.snapshots import Snapshots
from workers.stage import Stage

CLASSES: dict[str, type[Stage]] = {
    "ingest": Ingest,
    "book": Book,
    "risk": Risk,
    "publisher": Publisher,
    "journal": Journal,
    "snapshot": Snapshots,
}
NO_DROPS = ("book",)  # a book that misses an event is wrong from then on
POLICIES = {"gate": Policy.GATE, "drop": Policy.DROP, "replay": Policy.REPLAY}


class Manners(Protocol):
    """What a configuration says of how a stage reads."""

    @property
    def lag(self) -> Mapping[str, str]:
        """Ring -> "gate", "drop" or "replay"."""
        ...

    @property
    def after(self) -> Mapping[str, str]:
        """Ring -> the stage that comes first."""
        ...


def seat_faults(stages: Mapping[str, Manners]) -> list[str]:
    """What of the stages' manners cannot be: one line each, with a mend."""
    problems = []
    for stage, manners in stages.items():
        reads = CLASSES[stage].READS
        for key, rings in (("lag", manners.lag), ("after", manners.after)):
            problems += [
                f"stages.{stage}.{key}.{ring}: {stage} does not read that ring; {near(ring, reads)}"
                for ring in rings
                if ring not in reads
            ]
        if stage in NO_DROPS and "drop" in manners.lag.values():
            problems.append(f"stages.{stage}.lag: {stage} must see every record; use 'gate'")
        if stage == "journal" and {*manners.lag.values()} - {"gate"}:
            problems.append("stages.journal.lag: what it lags behind on is lost; use 'gate'")
        for ring, first in manners.after.items():
            problems += _after_faults(stages, stage, ring, first)
    return problems


def _after_faults(stages: Mapping[str, Manners], stage: str, ring: str, first: str) -> list[str]:
    where = f"stages.{stage}.after.{ring}"
    others = [name for name, kind in CLASSES.items() if ring in kind.READS and name != stage]
    if first not in others:
        return [f"{where}: {first!r} does not read that ring beside {stage}; {near(first, others)}"]
    seen = [stage]
    while first:
        if first in seen:
            return [f"{where}: {' after '.join([*seen, first])} is a circle; leave one of them out"]
        seen.append(first)
        first = stages[first].after.get(ring, "") if first in stages else ""
    return [
        f"{where}: nobody waits for {name} on this ring, so it can come neither before nor after "
        f"another; set stages.{name}.lag.{ring} = 'gate'"
        for name in seen
        if name in stages and stages[name].lag.get(ring, "gate") != "gate"
    ]


def seats_of(
    ring: str, names: list[str], stages: Mapping[str, Manners], parking: Mapping[str, bool]
) -> list[Seat]:
    """The readers of a ring, those that come after others behind them.

    names: the stages that run, and whom those come after; parking: whether a stage sleeps when
    it has nothing to read.
    """
    waiting = [name for name in names if ring in CLASSES[name].READS]
    seats: list[Seat] = []
    while waiting:
        for name in waiting:
            manners = stages.get(name)
            first = manners.after.get(ring, "") if manners else ""
            if first not in waiting:
                policy = POLICIES[manners.lag.get(ring, "gate") if manners else "gate"]
                seats.append(Seat(name, policy, first, parking[name]))
                waiting.remove(name)
                break
    return seats
