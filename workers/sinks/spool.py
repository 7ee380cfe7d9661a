"""Records of one ring in a file of their own, for as long as they have not found their place."""

import errno
import os
from pathlib import Path

import numpy as np

from ringbuf.durable import replace_file, write_all
from workers.records import TOP

RECORD = TOP.itemsize  # bytes of every record on a ring


class Spool:
    """Records of one ring in a file, at their place: a repeated write changes nothing."""

    def __init__(self, path: Path):
        self.path = path
        self.count = 0
        self._dirty = False
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def recover(self, stored: int) -> int:
        """Keep what a crash left whole and in order beyond a sequence; the last sequence kept."""
        self.count = os.fstat(self._descriptor).st_size // RECORD
        sequence = np.concatenate([[stored], self.records()["sequence"]])
        broken = np.flatnonzero(sequence[1:] <= sequence[:-1])
        self.count = int(broken[0]) if len(broken) else self.count
        os.ftruncate(self._descriptor, self.count * RECORD)
        self._dirty = True
        return int(sequence[self.count])

    def append(self, records: np.ndarray) -> None:
        """Add records; after an error the spool is as it was."""
        os.lseek(self._descriptor, self.count * RECORD, os.SEEK_SET)
        try:
            write_all(self._descriptor, records.view(np.uint8).data)
        except OSError:
            os.ftruncate(self._descriptor, self.count * RECORD)
            raise
        self.count += len(records)
        self._dirty = True

    def records(self) -> np.ndarray:
        """All records, as TOP, read from the file."""
        # Read, not mapped: a bad disk or a foreign hand is an error here, not a SIGBUS.
        records = np.fromfile(self.path, TOP, self.count)
        if len(records) < self.count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return records

    def sync(self) -> None:
        """Make the records durable."""
        if self._dirty:
            os.fdatasync(self._descriptor)
            self._dirty = False

    def clear(self) -> None:
        """Forget the records."""
        os.ftruncate(self._descriptor, 0)
        self.count = 0
        self._dirty = True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def drop(self, count: int) -> None:
        """Forget the first records, durably: all of them go, or none."""
        rest = self.records()[count:]
        replace_file(self.path, rest.tobytes())
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.count = len(rest)
