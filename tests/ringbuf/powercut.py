"""The journal's own code on a disk that loses power between any two calls to the system.

What the code does to files is done, and noted: what a sync has put on the disk, and what the
system still holds back. At the cut any part of any sector of the latter may have got there, and
the names in a folder as they were at some moment since it was synced. The next life begins there.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.journal_files import RECORDS, Spare
from ringbuf.record import slot_record

DTYPE = slot_record([("value", "i8", (7,))])
SECTOR = 512
CAPACITY = 20  # records of a segment
LIVES = 5


class PowerCut(BaseException):
    """The power is gone."""


class Disk:
    """What is on the disk under a folder, and what is on its way there."""

    def __init__(self, folder: Path, rng: np.random.Generator, calls: int) -> None:
        self.folder, self.rng, self.calls = folder, rng, calls
        self.names = {path.name: path.stat().st_ino for path in folder.iterdir()}
        self.contents = {
            path.stat().st_ino: bytearray(path.read_bytes()) for path in folder.iterdir()
        }
        self.moves: list = []  # of names, since the folder was synced
        self.writes: dict[int, list] = {}  # by file, since it was synced

    def _count(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise PowerCut

    @contextmanager
    def watched(self):
        """Note what is done to the folder's files."""
        real = {name: getattr(os, name) for name in ("open", "pwrite", "ftruncate", "unlink")}
        real |= {name: getattr(os, name) for name in ("rename", "fsync", "fdatasync")}
        patches = [patch.object(os, name, self._wrapper(name, real[name])) for name in real]
        for each in (*patches, patch.object(Spare, "prepare", lambda spare: None)):
            each.start()
        try:
            yield
        finally:
            patch.stopall()

    def _wrapper(self, name, real):
        def call(target, *more, **named):
            if isinstance(target, Path | str) and Path(target).parent != self.folder:
                return real(target, *more, **named)
            self._count()
            new = name == "open" and not Path(target).exists()
            found = real(target, *more, **named)
            if new:
                self.contents[os.fstat(found).st_ino] = bytearray()
                self.moves.append((Path(target).name, os.fstat(found).st_ino))
            elif name != "open":
                getattr(self, f"_{name}")(target, *more)
            return found

        return call

    def _pwrite(self, file, content, at) -> None:
        self.writes.setdefault(os.fstat(file).st_ino, []).append((at, bytes(content)))

    def _ftruncate(self, file, length) -> None:
        self.writes.setdefault(os.fstat(file).st_ino, []).append((length, None))

    def _unlink(self, path) -> None:
        self.moves.append((Path(path).name, None))

    def _rename(self, source, target) -> None:
        self.moves += [((Path(source).name, Path(target).name), os.stat(target).st_ino)]

    def _fsync(self, file) -> None:
        if os.fstat(file).st_ino == self.folder.stat().st_ino:
            self._move(len(self.moves))
            return
        for at, content in self.writes.pop(os.fstat(file).st_ino, []):
            self._apply(self.contents[os.fstat(file).st_ino], at, content)

    _fdatasync = _fsync

    def _move(self, count: int) -> None:
        for name, number in self.moves[:count]:
            if isinstance(name, tuple):
                self.names.pop(name[0], None)
                self.names[name[1]] = number
            elif number is None:
                self.names.pop(name, None)
            else:
                self.names[name] = number
        del self.moves[:count]

    @staticmethod
    def _apply(file: bytearray, at: int, content: bytes | None) -> None:
        if content is None:
            del file[at:]
            file.extend(bytes(at - len(file)))
            return
        file.extend(bytes(max(at + len(content) - len(file), 0)))
        file[at : at + len(content)] = content

    def survive(self, folder: Path) -> None:
        """Put what is on the disk after the cut into a folder."""
        self._move(int(self.rng.integers(0, len(self.moves) + 1)))
        for number, writes in self.writes.items():
            for at, content in writes:
                self._reach(self.contents[number], at, content)
        folder.mkdir()
        for name, number in self.names.items():
            (folder / name).write_bytes(self.contents[number])

    def _reach(self, file: bytearray, at: int, content: bytes | None) -> None:
        """Of one write some sectors get there, some in part."""
        if content is None:
            if self.rng.random() < 0.5:
                self._apply(file, at, None)
            return
        start = at
        while start < at + len(content):
            end = min(start // SECTOR * SECTOR + SECTOR, at + len(content))
            fate = self.rng.random()
            if fate < 0.5:
                some = end if fate < 0.35 else int(self.rng.integers(start, end))
                self._apply(file, start, content[start - at : some - at])
            start = end


class Lives:
    """Lives of one journal, each ended by a power cut; what must be true of the next is known."""

    def __init__(self, seed: int, make=Journal) -> None:
        self.rng, self.make = np.random.default_rng(seed), make
        self.root = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.folder = self.root / "0"
        self.folder.mkdir()
        self.truth = np.zeros(0, DTYPE)  # all that was ever handed over, as far as it stands
        self.acknowledged = self.needed = 0

    def run(self) -> str:
        """What went wrong, or the empty string."""
        try:
            for life in range(1, LIVES + 1):
                disk = Disk(self.folder, self.rng, int(self.rng.integers(0, 60)))
                with disk.watched():
                    fault = self._live()
                if fault:
                    return f"life {life}: {fault}"
                self.folder = self.root / str(life)
                disk.survive(self.folder)
            journal = self._open()
            fault = self._check(journal)
            journal.close()
            return fault
        except JournalError as failure:
            return f"refused: {failure}"
        finally:
            shutil.rmtree(self.root)

    def _open(self) -> Journal:
        length = RECORDS + CAPACITY * DTYPE.itemsize
        return self.make(self.folder, "events", {"some": (-1, DTYPE)}, length)

    def _live(self) -> str:
        self.journal = None
        try:
            self.journal = self._open()
            fault = self._check(self.journal)
            self.truth = self.truth[: self.journal.written]
            self.acknowledged = self.journal.durable
            while not fault:
                self._act(self.journal)
            return fault
        except PowerCut:
            return ""
        finally:
            if self.journal:  # the system closes its files; nothing of that is on the disk
                self.journal.spare.discard = lambda: None
                self.journal._let_go()

    def _check(self, journal: Journal) -> str:
        """Whether a journal that was just opened has what it must have, and nothing else."""
        written = journal.written
        if not self.acknowledged <= written <= len(self.truth):
            return f"{written} records, {self.acknowledged} to {len(self.truth)} expected"
        if journal.first - 1 > self.needed:
            return f"begins with {journal.first}, {self.needed} was needed"
        found = JournalReader(self.folder).read(journal.first, written + 1)
        expected = self.truth[journal.first - 1 : written]
        return "" if found.tobytes() == expected.tobytes() else "false content"

    def _act(self, journal: Journal) -> None:
        """One call."""
        kind = self.rng.random()
        if kind < 0.6:
            made = np.zeros(int(self.rng.integers(1, 30)), DTYPE)
            made["sequence"] = journal.written + 1 + np.arange(len(made))
            change = int(self.rng.integers(0, 2)) * int(self.rng.integers(1000))
            made["value"] = made["sequence"][:, None] * 8 + np.arange(7) + change
            self.truth = np.concatenate([self.truth, made])
            journal.append_records(made)
        elif kind < 0.9:
            journal.sync()
            self.acknowledged = journal.durable
        elif kind < 0.95:
            sequence = int(self.rng.integers(journal.first - 1, journal.written + 1))
            self.acknowledged = min(self.acknowledged, sequence)
            journal.cut(sequence)
            self.truth = self.truth[:sequence]
            self.acknowledged = journal.durable
        else:
            self.needed = max(self.needed, journal.written - 10)
            journal.retain(self.needed, 0)


def first_fault(seeds: range, make=Journal) -> tuple[int, str]:
    """The first seed that shows a fault, and which; (-1, "") where none does."""
    for seed in seeds:
        fault = Lives(seed, make).run()
        if fault:
            return seed, fault
    return -1, ""
