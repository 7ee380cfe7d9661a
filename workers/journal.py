"""The journal stage: a reader of every ring that writes what it reads to disk, and lets go after.

A writer waits for it like for any other reader, so whatever a ring has overwritten is in its
journal. With durability `sync` it lets go of an event only once that is on the disk, and the book
comes after it: nothing is seen that a power cut could undo.
"""

import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from ringbuf import ring, snapshot
from ringbuf.histogram import note
from ringbuf.journal import Journal as Log
from ringbuf.journal import JournalFull
from ringbuf.journal_files import path_of
from ringbuf.panel import Equation
from ringbuf.record import record
from workers import archive
from workers.recovery import layouts_of
from workers.snapshots import FOLDER as SNAPSHOTS
from workers.stage import Links, Stage

LIMIT = 4096  # records of a ring between two looks at the others
LOOK_S = 60.0  # between two looks for files that are too old
RETRY_S = 0.2  # between two tries where the disk is full
COUNTERS = record(
    [
        ("written", "i8"),  # the last record in the file
        ("durable", "i8"),  # the last record that a power cut would not undo
        ("records", "i8"),  # written by this process and those before it
        ("commits", "i8"),  # times that everything was made durable
        ("segments", "i8"),  # files that are kept
        ("held", "i8"),  # tries that found the disk full
    ]
)


class Journal(Stage):
    """Writes every ring of a pipeline to a journal of its own."""

    READS: ClassVar = ("events", "book", "risk")
    HISTOGRAMS: ClassVar = ("commit",)

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return dict.fromkeys(Journal.READS, COUNTERS)

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        return []

    def __init__(self, options, owner: str, links: Links, archive: Path | None = None) -> None:
        """options: as in the configuration; owner: the pipeline's name, for messages.

        archive: where segments must be (workers/archive.py) before they are removed.
        """
        self.options, self.owner, self.links, self.archive = options, owner, links, archive

    def open(self) -> None:
        """Find where each journal ends, and go on there."""
        self.logs: dict[str, Log] = {}
        folder = Path(self.options.path).expanduser()
        for name, reader in self.links.readers.items():
            log = Log(
                folder / name,
                name,
                layouts_of(reader.segment),
                self.options.segment_mb << 20,
                self.owner,
            )
            self.logs[name] = log
            reader.release(max(log.written, int(ring.next_unread(reader.view)) - 1))
            log.append(reader.view, 0)  # compiled before it is needed
        self.commit_at = self.links.panel.histogram_addresses["commit"]
        note(self.commit_at, 0)
        self.folder = folder
        self.synced = self.retry = time.monotonic()
        self.segments = 0
        self.look = 0.0

    def turn(self, patience: int) -> int:
        """Write what has arrived on each ring; ends when all rings have ended."""
        if self.retry > time.monotonic():
            return 0
        try:
            work = sum([self._write(name) for name in self.logs])
        except JournalFull as error:
            self._hold(error)
            return 0
        if self.options.durability == "async":
            self._sync_in_time()
        if self.options.keep_days is not None and time.monotonic() >= self.look:
            self._retain()
        if work == 0:
            self.finished = all(reader.ended for reader in self.links.readers.values())
        return work

    def _write(self, name: str) -> int:
        """Write what has arrived on a ring, and let go of it."""
        log, reader = self.logs[name], self.links.readers[name]
        count = log.append(reader.view, LIMIT)
        if count:
            if self.options.durability == "sync" and name == "events":
                self._sync(name)
            self._show(name, count)
            reader.release(log.written)
        return count

    def _sync_in_time(self) -> None:
        """Make everything durable where it has waited long enough."""
        now = time.monotonic()
        if now - self.synced >= self.options.sync_ms / 1e3:
            for name, log in self.logs.items():
                if log.durable < log.written:
                    self._sync(name)
                    self._show(name, 0)
            self.synced = time.monotonic()

    def _sync(self, name: str) -> None:
        began = time.monotonic_ns()
        self.logs[name].sync()
        note(self.commit_at, time.monotonic_ns() - began)
        self.links.panel.counters[name]["commits"] += 1

    def _show(self, name: str, count: int) -> None:
        log, tally = self.logs[name], self.links.panel.counters[name]
        tally["written"], tally["durable"] = log.written, log.durable
        tally["records"] += count
        segments = len(log.segments)
        if tally["segments"] != segments:
            tally["segments"] = segments
            self._retain()
        if tally["held"] and self.links.panel.status["message"]:
            self.links.panel.status["message"] = b""

    def _hold(self, error: JournalFull) -> None:
        """Wait for room: what comes in waits in the rings meanwhile, and nothing is lost."""
        self.retry = time.monotonic() + RETRY_S
        self.links.panel.status["message"] = str(error).encode()[:256]
        for name in self.logs:
            self.links.panel.counters[name]["held"] += 1

    def _retain(self) -> None:
        """Remove the oldest segments, as far as they are not needed any more."""
        self.look = time.monotonic() + LOOK_S
        if self.options.keep_mb is None and self.options.keep_days is None:
            return
        good = [item for item in snapshot.listed(self.folder / SNAPSHOTS) if not item.fault]
        for name, log in self.logs.items():
            needed = min((item.positions.get(name, 0) for item in good), default=0)
            for line in ring.lines(self.links.readers[name].segment.payload)[1]:
                if line["policy"] == ring.Policy.REPLAY:
                    needed = min(needed, int(line["position"]))
            log.retain(needed, self.options.keep_bytes, partial(self._may_go, log.folder))
            log.retain(needed, 0, partial(self._is_old, log.folder))

    def _is_old(self, folder: Path, first: int, end: int) -> bool:
        old = archive.is_old(path_of(folder, first), self.options.keep_s)
        return old and self._may_go(folder, first, end)

    def _may_go(self, folder: Path, first: int, end: int) -> bool:
        return self.archive is None or archive.has(self.archive, folder, first, end)

    def close(self) -> None:
        """Make everything durable and let go of the files."""
        for name in self.logs:
            if self.options.durability != "none":
                self._sync(name)
            self._show(name, 0)
        for log in self.logs.values():
            log.close()
        for reader in self.links.readers.values():
            reader.close()
