"""The snapshot stage: follows the journal of the log with a replica, and saves it now and then.

It reads files, not rings: nobody waits for it, and no stage that is in a hurry is interrupted.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf import snapshot
from ringbuf.journal import JournalReader
from ringbuf.panel import Equation
from ringbuf.record import record
from ringbuf.snapshot import SnapshotError
from workers.archive import Archivist
from workers.replica import Replica
from workers.stage import TURN_RECORDS, Links, Stage

COUNTERS = record(
    [
        ("received", "i8"),  # events folded in
        ("position", "i8"),  # the last of them
        ("saved", "i8"),  # snapshots
        ("failed", "i8"),  # that could not be written
        ("newest", "i8"),  # the position of the last one
        ("bytes", "i8"),  # its size
        ("save_ns", "i8"),  # how long it took
        ("archived", "i8"),  # segments of journals that this process has put into the archive
        ("not_archived", "i8"),  # its tries that came to nothing
    ]
)
FOLDER = "snapshots"
LOOK_S = 1.0  # between two looks at what is about to leave the journals
AGAIN_S = 0.05  # until it is seen whether the stages have come as far as the replica
SLICE_PAUSE_S = 0.0002  # between two pieces of a file: the disk is the journal's first


class SnapshotOptions(NamedTuple):
    """Of what, where and how often.

    folder: of the journals; shape: what the state is made for; replica: makes one, with the newest
    snapshot or from nothing; archive: where segments go that the journals, which keep keep_bytes
    each for keep_s (None: for ever), are about to remove.
    """

    folder: Path
    every_s: float
    keep: int
    shape: str
    replica: Callable[[], Replica]
    shown: Callable[[], dict[str, int]]  # by ring: the last record that is published
    archive: Path | None = None
    keep_bytes: int = 0
    keep_s: float | None = None


class Snapshots(Stage):
    """Saves the state of book and risk as of one event, at most every `every_s` seconds."""

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"snapshot": COUNTERS}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        return []

    def __init__(self, options: SnapshotOptions, links: Links) -> None:
        self.options, self.links = options, links
        self.folder = options.folder / FOLDER
        self.tally = links.panel.counters["snapshot"]
        self.draining = False
        self.archivist: Archivist | None = None
        if options.archive:
            self.archivist = Archivist(
                options.folder, options.archive, options.keep_bytes, options.keep_s
            )

    def open(self) -> None:
        """Begin with the newest snapshot, if there is one, else with the log's beginning."""
        self.log = JournalReader(self.options.folder / "events")
        self.replica = self.options.replica()
        self.saved_at = self.replica.positions["events"]
        self.due = time.monotonic() + self.options.every_s
        self.look = time.monotonic()
        self.tally["archived"] = self.tally["not_archived"] = 0

    def turn(self, patience: int) -> int:
        """Fold in what the journal has; save when it is time, and once more at the end."""
        events = self.log.read(self.replica.positions["events"] + 1, TURN_RECORDS)
        if len(events):
            self.replica.take(events)
            self.tally["received"] += len(events)
            self.tally["position"] = self.replica.positions["events"]
        elif self.draining:
            self._save()
            self.finished = True
        if time.monotonic() >= self.due:
            self._save()
        if self.archivist and time.monotonic() >= self.look:
            self._archive(self.archivist)
        return len(events)

    def _save(self) -> None:
        """Write a snapshot, unless nothing has happened since the last."""
        began = time.monotonic_ns()
        self.due = time.monotonic() + self.options.every_s
        position = self.replica.positions["events"]
        if position == self.saved_at:
            return
        shown = self.options.shown()
        if any(given > shown.get(ring, given) for ring, given in self.replica.positions.items()):
            # A stage is behind: what it has not published would be gone, were it to start here.
            self.due = time.monotonic() + AGAIN_S
            return
        try:
            path = snapshot.save(
                self.folder,
                self.replica.positions,
                self.options.shape,
                self.replica.blocks(),
                pause=self._breathe,
            )
            snapshot.prune(self.folder, self.options.keep, self.options.shape, self._breathe)
        except SnapshotError as error:
            self.tally["failed"] += 1
            self.links.panel.status["message"] = str(error).encode()[:256]
            return
        self.links.panel.status["message"] = b""
        self.saved_at = position
        self.tally["saved"] += 1
        self.tally["newest"], self.tally["bytes"] = position, path.stat().st_size
        self.tally["save_ns"] = time.monotonic_ns() - began

    def _archive(self, archivist: Archivist) -> None:
        """Have the archive take what is about to leave the journals."""
        self.look = time.monotonic() + LOOK_S
        archivist.look()
        self.tally["archived"] = archivist.segments
        if archivist.failed > self.tally["not_archived"]:
            self.tally["not_archived"] = archivist.failed
            self.links.panel.status["message"] = archivist.trouble.encode()[:256]

    def _breathe(self) -> None:
        """Let others have the disk between two pieces of a file."""
        self.links.panel.beat()
        time.sleep(SLICE_PAUSE_S)

    def drain(self) -> None:
        """Read the journal to its end, save, and leave."""
        self.draining = True

    def close(self) -> None:
        """Leave the archive as it is; nothing else is held."""
        if self.archivist:
            self.archivist.close()
