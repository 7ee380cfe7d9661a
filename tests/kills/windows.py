"""What an actor was about when it was killed, as far as the memory and the files show it."""

import os
from collections.abc import Hashable

from ringbuf import journal_files as files
from ringbuf.panel import Life
from ringbuf.snapshot_files import DRAFT
from tests.kills.line import SEEN, Line

CLAIMED = "claimed"  # a record was claimed and not published
PUBLISHED = "published"  # a record was published and not told of
UNRELEASED = "unreleased"  # what it made of a record was there, and the record not let go of
SAVING = "saving"  # a snapshot had a draft and no name
WINDOWS = (CLAIMED, PUBLISHED, UNRELEASED, SAVING)
RETURNING = "returning"  # it was on its way back
QUIET = "quiet"  # none of it
WRITES = {"source": "events", "book": "book", "risk": "risk"}
READS = {"book": "events", "risk": "book"}
SIZE = 64  # bytes of a record


class Windows:
    """Looks at the dead, and at those that are held.

    What one left that did nothing since its last death does not count.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.last: dict[str, Hashable] = {}

    def half_done(self, actor: str) -> str:
        """What an actor that is held has half done, or nothing."""
        found, mark = self._look(actor)
        return found if self._is_new(actor, mark) else ""

    def of(self, actor: str) -> str:
        """Where an actor is that was just killed."""
        found, mark = self._look(actor)
        new = self._is_new(actor, mark)
        if new:
            self.last[actor] = mark
        if found and new:
            return found
        panel = self.line.panels.get(actor)
        return RETURNING if panel and panel.life is not Life.RUNNING else QUIET

    def _is_new(self, actor: str, mark: Hashable) -> bool:
        """Whether an actor did anything since its last death. Numbers only grow: what a successor
        tells of for the dead is nothing new."""
        last = self.last.get(actor)
        return mark > last if isinstance(mark, int) and last is not None else mark != last

    def _look(self, actor: str) -> tuple[str, Hashable]:
        if actor == "snapshot":
            return self._saving()
        if actor == "journal":
            return self._journaled()
        if actor == "sink":
            return self._kept()
        name = WRITES[actor]
        slots = self.line.slots[name]
        sequences = slots["sequence"]
        newest = int(sequences.max())
        claimed = int(sequences.min())
        if claimed < 0 and -claimed > newest:
            return CLAIMED, -claimed
        if newest > self.line.written(name):
            return PUBLISHED, newest
        if actor in READS and newest > 0:
            cause = int(slots[newest & (len(slots) - 1)]["cause"])
            if cause > self.line.position(READS[actor], actor):
                return UNRELEASED, newest
        return "", newest

    def _saving(self) -> tuple[str, Hashable]:
        try:
            seen = (self.line.journal / "snapshots" / DRAFT).stat()
        except FileNotFoundError:
            return "", None
        return SAVING, (seen.st_ino, seen.st_mtime_ns, seen.st_size)

    def _journaled(self) -> tuple[str, Hashable]:
        """Whether a record is in a file behind the last that the journal has let go of."""
        positions = []
        for name in self.line.rings:
            position = self.line.position(name, "journal")
            positions.append(position)
            if has_record(self.line.journal / name, position + 1):
                return UNRELEASED, (name, position)
        return "", tuple(positions)

    def _kept(self) -> tuple[str, Hashable]:
        positions = [self.line.position(name, "tap") for name in SEEN]
        for name, position in zip(SEEN, positions, strict=True):
            if self.line.kept[name][position + 1]:
                return UNRELEASED, (name, position)
        return "", tuple(positions)


def has_record(folder, sequence: int) -> bool:
    """Whether a journal's files have something in a record's place."""
    firsts = [first for first in files.listed(folder) if first <= sequence]
    if not firsts:
        return False
    place = files.RECORDS + (sequence - firsts[-1]) * SIZE
    file = os.open(files.path_of(folder, firsts[-1]), os.O_RDONLY)
    try:
        return any(os.pread(file, SIZE, place))
    finally:
        os.close(file)
