"""The stages between the log and the outside, one after the other in one process, seen by nobody.

A replica takes events and gives what the stages of a running pipeline publish, byte for byte.
It is what snapshots are taken of (so that those who are in a hurry never are), and what a log is
replayed with. The stages are the same, on rings of their own.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from ringbuf import files, ring
from ringbuf.board import Board, create_board
from ringbuf.record import describe, layout_hash
from ringbuf.snapshot import Snapshot
from workers import instruments
from workers.book import BookOptions
from workers.enriched import ConsolidatedOptions
from workers.instruments import INSTRUMENT
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING
from workers.recovery import ASIDE, CHUNK, Aside, Pattern, blocks_of, load, set_aside
from workers.risk_options import RiskOptions, scenarios_digest
from workers.risk_options import shape_of as risk_shape
from workers.stage import Links, Stage

FLOW = ("book", "risk")  # a stage and the ring that it writes are of one name
RECORDS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
Make = Callable[[Links], Stage]


def shape_of(
    book: BookOptions,
    risk: RiskOptions,
    instruments: int,
    groups: Mapping[str, ConsolidatedOptions] | None = None,
) -> str:
    """What the state of all stages was made for, as text: that of another shape is of no use."""
    layouts = {
        ring: [describe(dtype) for _, dtype in layouts.values()]
        for ring, layouts in RECORDS.items()
    }
    parts: dict[str, Any] = {
        "book": msgspec.to_builtins(book),
        "risk": risk_shape(risk),
        "rows": instruments,
    }
    if book.matching and any(account.var_max for account in book.matching.accounts):
        parts["scenarios"] = scenarios_digest(risk)
    # In their order, which is that of their state.
    parts["groups"] = [[name, msgspec.to_builtins(group)] for name, group in (groups or {}).items()]
    return json.dumps({"layouts": layout_hash(json.dumps(layouts)), **parts})


class Replica:
    """Stages by name, made by functions that take their links; `positions` says how far they are.

    patterns: what surroundings each gets; rows: how many instruments there may be.
    """

    def __init__(
        self,
        stages: Mapping[str, tuple[type[Stage], Make, Pattern]],
        rows: int,
        snapshot: Snapshot | None = None,
    ) -> None:
        names = [name for name in FLOW if name in stages]
        self.positions = {"events": 0, **dict.fromkeys(names, 0)}
        if snapshot:
            self.positions |= {name: snapshot.positions[name] for name in self.positions}
        with files.aside():
            create_board(ASIDE, "instruments", "instrument", INSTRUMENT, rows).close()
            self.names = Board(ASIDE, "instruments", writable=True)
        self.parts: dict[str, tuple[Stage, Aside]] = {}
        for name in names:
            kind, make, pattern = stages[name]
            shared = {"instruments": self.names} if "instruments" in kind.LOOKS_AT else {}
            aside = set_aside(kind, name, pattern, self.positions, shared)
            self.parts[name] = make(aside.links), aside
        if snapshot:
            snapshot.load("instruments", self.names.segment.payload)
        for name, (stage, _) in self.parts.items():
            stage.open()
            if snapshot:
                load(stage, name, snapshot)

    def blocks(self) -> dict[str, np.ndarray]:
        """All that a snapshot keeps, as live bytes."""
        blocks = {"instruments": self.names.segment.payload}
        for name, (stage, _) in self.parts.items():
            blocks |= blocks_of(stage, name)
        return blocks

    def take(self, events: np.ndarray) -> dict[str, list[np.ndarray]]:
        """Fold the next events of the log in; what was published, by ring, in order of sequence."""
        given: dict[str, list[np.ndarray]] = {name: [] for name in self.parts}
        for start in range(0, len(events), CHUNK):
            part = events[start : start + CHUNK]
            instruments.show(self.names, part)
            self._flow([*self.parts], part, given)
        if len(events):
            self.positions["events"] = int(events["sequence"][-1])
        return given

    def _flow(self, names: list[str], records: np.ndarray, given: dict) -> None:
        """Hand records to the first of some stages, and what it gives to those behind it."""
        if not names:
            return
        name, *rest = names
        stage, aside = self.parts[name]
        ((source, feed),) = aside.feeds.items()
        ((target, take),) = aside.takes.items()
        inner = aside.links.readers[source]
        dtype = next(iter(RECORDS[target].values()))[1]
        while len(records) or ring.ready(inner.view, 1):
            records = records[feed.push(np.ascontiguousarray(records)) :]
            stage.turn(0)
            while len(out := take.take(dtype, CHUNK)):
                out = out.copy()
                take.release(int(out["sequence"][-1]))
                given[name].append(out)
                self.positions[name] = int(out["sequence"][-1])
                self._flow(rest, out, given)
