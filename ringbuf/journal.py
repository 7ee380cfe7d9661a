"""The journal of a ring: every record of it on disk, in order, in segment files.

    reader -> seal -> pwrite -> (fdatasync) -> release

One process writes it, behind its place as a reader of the ring: what the ring has overwritten is
in the journal. Any number of others read it meanwhile. A record counts as written when the system
has it (it survives the death of every process) and as durable when the disk has.

The order on disk is what recovery rests on: a segment is synced before its successor gets a name,
and what is torn behind the last whole record is wiped, and synced, before anything is written.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from ringbuf import journal_files as files
from ringbuf.chain import ROOT, seal, seal_records, verify
from ringbuf.journal_files import JournalError, JournalFull, Layouts, path_of, place
from ringbuf.journal_reader import JournalReader
from ringbuf.ring import Reader

BATCH = 4096  # records written in one go
MARK_EVERY = 16_384  # records made durable between two notes of that in the file

__all__ = ["Journal", "JournalError", "JournalFull", "JournalReader"]


class Journal:
    """The writing end of a journal; opening it recovers what a crash has left.

    written: the last whole record; durable: the last that a power cut would not undo; chain: the
    value that stands for all records up to `written`. A failure of the disk is final: every call
    after it is refused, since nobody knows what the system has thrown away.
    """

    def __init__(
        self,
        folder: Path,
        ring: str,
        layouts: Layouts,
        segment_bytes: int = 64 << 20,
        owner: str = "",
    ) -> None:
        self.folder = Path(folder)
        self.pattern = files.new_head(layouts, ring, owner, segment_bytes)
        self.buffer = np.zeros(BATCH * self.pattern.size, np.uint8)
        self.buffer_at, self.bytes = self.buffer.ctypes.data, self.buffer.data
        self.spans: list[tuple[int, int]] = []
        self.failure = ""
        self.file = -1
        self.spare = files.Spare(
            self.folder, files.RECORDS + self.pattern.capacity * self.pattern.size
        )
        self.folder_file = self._hold()
        try:
            (self.folder / files.SPARE).unlink(missing_ok=True)
            self._open()
        except OSError as failure:
            self._let_go()
            raise files.refusal(self.folder, failure) from None
        except BaseException:
            self._let_go()
            raise

    def _hold(self) -> int:
        """Be the only process that writes in the folder, until death or close; its descriptor."""
        folder_file = files.make_folder(self.folder)
        try:
            fcntl.flock(folder_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            os.close(folder_file)
            if not isinstance(failure, BlockingIOError):
                raise files.refusal(self.folder, failure) from None
            raise JournalError(
                f"journal {self.folder}: another process is writing it; stop that one, or choose "
                "another path"
            ) from None
        return folder_file

    def _open(self) -> None:
        """Go on where the last whole record ends."""
        self.spans += self._spans()
        if self.spans:
            self._drop_unfinished()
        if not self.spans:
            self.written, self.chain = 0, ROOT
            self._begin()
            return
        first, _ = self.spans[-1]
        path = path_of(self.folder, first)
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        start = os.pread(self.file, files.RECORDS, 0)
        self.head = files.read_head(path, start)
        self._check_head(path)
        self.written, self.chain = self._whole(path)
        self.marked = files.read_mark(start)
        if self.written < self.marked:
            raise files.damage(path, self.head, self.written + 1)
        self._end_here()

    def _spans(self) -> list[tuple[int, int]]:
        """First sequence and number of places of every segment; none may be missing."""
        spans: list[tuple[int, int]] = []
        for first in files.listed(self.folder):
            path = path_of(self.folder, first)
            if spans and first != sum(spans[-1]):
                raise files.gap(self.folder, sum(spans[-1]), first)
            spans.append((first, (path.stat().st_size - files.RECORDS) // self.pattern.size))
        return spans

    def _drop_unfinished(self) -> None:
        """Remove a last segment that a crash has left without its head; it has no records yet."""
        first, _ = self.spans[-1]
        path = path_of(self.folder, first)
        try:
            files.read_head(path, files.start_of(path))
        except files.HeadDamaged:
            if not files.is_empty(path) or (first > 1 and len(self.spans) == 1):
                raise
            files.remove(self.folder, self.folder_file, first)
            self.spans.pop()

    def _check_head(self, path: Path) -> None:
        """Refuse a journal of another ring or layout, or whose files do not follow one another."""
        head = self.head
        if head.first != self.spans[-1][0]:
            raise files.misnamed(path, head)
        if head.ring != self.pattern.ring:
            raise JournalError(
                f"journal {path}: is that of ring {head.ring!r}, not of {self.pattern.ring!r}; "
                "choose another path"
            )
        if head.text != self.pattern.text:
            raise JournalError(
                f"journal {path}: has records of another layout than this program's; replay it "
                "with the program that wrote it, and choose another path for the new one"
            )
        if len(self.spans) > 1:
            before = path_of(self.folder, self.spans[-2][0])
            with before.open("rb") as file:
                file.seek(-8, os.SEEK_END)
                if int.from_bytes(file.read(8), "little", signed=True) != head.chain:
                    raise JournalError(
                        f"journal {before}: its last record is not the one before {path.name}; "
                        "put a copy of the file in its place"
                    )

    def _whole(self, path: Path) -> tuple[int, int]:
        """The last whole record of the open segment, and its chain value."""
        head, sequence, chain = self.head, self.head.first, self.head.chain
        while sequence < head.end:
            want = min(BATCH, head.end - sequence)
            view = self.bytes[: want * head.size]
            have = os.preadv(self.file, [view], place(head, sequence)) // head.size
            count, chain = verify(self.buffer.ctypes.data, head.size, sequence, have, chain)
            sequence += int(count)
            if count < want:
                break
        return sequence - 1, int(chain)

    def _end_here(self) -> None:
        """Have zeros behind the last whole record, on the disk: nothing stale can come back."""
        head = self.head
        known = max(self.marked, head.first - 1)
        files.write_again(self.file, place(head, known + 1), place(head, self.written + 1))
        files.wipe(self.file, place(head, self.written + 1), place(head, head.end))
        self._flush()
        self.durable = self.written
        if self.marked != self.written:
            self._mark()
            self._flush()
        self.spans[-1] = (head.first, head.capacity)
        self.spare.prepare()

    @property
    def first(self) -> int:
        """The oldest record that is kept, or that will be."""
        return self.spans[0][0]

    @property
    def segments(self) -> list[tuple[Path, int, int]]:
        """The files: path, sequence of the first record, number of records."""
        return [
            (path_of(self.folder, first), first, min(places, self.written - first + 1))
            for first, places in self.spans
        ]

    def append(self, reader: Reader, limit: int) -> int:
        """Write the records of a ring that follow `written` and have arrived; how many.

        limit: the most of them; 0 compiles what it takes. The caller releases them. Raises
        JournalFull when there is no room: nothing that was not written is counted, and the call
        may be repeated.
        """
        self._check()
        total, more = 0, True
        try:
            while more:
                want = min(limit - total, max(self._room(), 1), BATCH)
                count, chain = seal(reader, self.written + 1, want, self.buffer_at, self.chain)
                if count:
                    if not self._room():
                        self._rotate()
                    self._put(count, chain)
                    total += count
                more = 0 < count == want and total < limit
        except JournalFull:
            if not total:
                raise
        return total

    def append_records(self, records: np.ndarray) -> int:
        """Write records that are to have the sequences from `written` + 1 on; how many."""
        size = self.pattern.size
        assert records.dtype.itemsize == size, records.dtype
        source = np.ascontiguousarray(records).view(np.uint8).reshape(-1)
        self._check()
        begun = self.written
        try:
            while self.written - begun < len(records):
                if not self._room():
                    self._rotate()
                done = self.written - begun
                count = min(len(records) - done, self._room(), BATCH)
                self.buffer[: count * size] = source[done * size : (done + count) * size]
                first = self.written + 1
                self._put(count, seal_records(self.buffer_at, size, first, count, self.chain))
        except JournalFull:
            if self.written == begun:
                raise
        return self.written - begun

    def _room(self) -> int:
        """How many records the segment still takes."""
        return self.head.first + self.head.capacity - self.written - 1

    def _put(self, count: int, chain: int) -> None:
        """Write what lies in the buffer, and only then count it."""
        size = self.head.size
        content = self.bytes[: count * size]
        try:
            files.write_all(self.file, content, place(self.head, self.written + 1))
        except OSError as failure:
            self._tell(failure)
        self.written += count
        self.chain = chain

    def _rotate(self) -> None:
        """Begin the next segment; what is written so far is durable before it can be seen."""
        self.sync()
        self._begin()

    def _begin(self) -> None:
        """Make the next segment, and show it."""
        head = self.pattern._replace(first=self.written + 1, chain=self.chain)
        path = path_of(self.folder, head.first)
        with self._trouble():
            self.spare.wait()
            file = os.open(self.spare.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with self._trouble():
                files.write_all(file, files.head_bytes(head), 0)
                os.fdatasync(file)
                os.rename(self.spare.path, path)
                os.fsync(self.folder_file)
        except BaseException:
            os.close(file)
            raise
        if self.file >= 0:
            os.close(self.file)
        self.file, self.head, self.marked = file, head, self.written
        self.durable = self.written
        self.spans.append((head.first, head.capacity))
        self.spare.prepare()

    def sync(self) -> None:
        """Have everything that is written on the disk. Its first failure is final."""
        self._check()
        if self.durable < self.written:
            self._flush()
            self.durable = self.written
            if self.durable - self.marked >= MARK_EVERY:
                self._mark()

    def _flush(self) -> None:
        try:
            os.fdatasync(self.file)
        except OSError as failure:
            self._fail(failure)

    def _mark(self) -> None:
        """Note in the file how far it is on the disk; the next sync takes the note there."""
        with self._trouble():
            files.write_all(self.file, files.mark_bytes(self.durable), files.MARK_AT)
        self.marked = self.durable

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """Tell a full disk, which may pass, from one that is broken, which does not."""
        try:
            yield
        except OSError as failure:
            self._tell(failure)

    def _tell(self, failure: OSError) -> NoReturn:
        error = files.refusal(self.folder, failure)
        if isinstance(error, JournalFull):
            raise error from None
        self._fail(failure)

    def _fail(self, failure: OSError) -> NoReturn:
        self.failure = str(files.refusal(self.folder, failure))
        raise JournalError(self.failure) from None

    def _check(self) -> None:
        if self.failure:
            raise JournalError(self.failure)
        assert self.file >= 0, "closed"

    def cut(self, sequence: int) -> None:
        """Drop all records beyond a sequence, durably. Nobody else may be reading them."""
        self.sync()
        if sequence >= self.written:
            return
        if sequence < self.first - 1:
            raise JournalError(
                f"journal {self.folder}: cannot be cut behind record {sequence}, it starts with "
                f"{self.first}; remove the folder to start anew"
            )
        chain = self.chain_at(sequence)
        keep = max([1, *(n for n, (first, _) in enumerate(self.spans, 1) if first <= sequence)])
        path = path_of(self.folder, self.spans[keep - 1][0])
        with self._trouble():
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            os.close(self.file)
            self.file, self.head = file, files.read_head(path, os.pread(file, files.RECORDS, 0))
            files.write_all(file, files.mark_bytes(sequence), files.MARK_AT)
            self._flush()  # before a record goes: the mark must not miss it
            while len(self.spans) > keep:
                files.remove(self.folder, self.folder_file, self.spans[-1][0])
                self.spans.pop()
        self.written, self.chain, self.marked = sequence, chain, sequence
        self._end_here()

    def retain(
        self,
        needed: int,
        keep_bytes: int,
        may_go: Callable[[int, int], bool] = lambda first, end: True,
    ) -> int:
        """Remove old segments, those whose records are all before `needed`; how many.

        At least keep_bytes stay, and always the segment that is being written.
        may_go: asked of each by its first record and the one behind its last.
        """
        self._check()
        removed = 0
        total = sum(files.RECORDS + places * self.head.size for _, places in self.spans)
        while len(self.spans) > 1 and sum(self.spans[0]) <= needed:
            total -= files.RECORDS + self.spans[0][1] * self.head.size
            if total < keep_bytes or not may_go(self.spans[0][0], sum(self.spans[0])):
                break
            with self._trouble():
                files.remove(self.folder, self.folder_file, self.spans[0][0])
            self.spans.pop(0)
            removed += 1
        return removed

    def chain_at(self, sequence: int) -> int:
        """The value that stands for all records up to a sequence."""
        if sequence == self.written:
            return self.chain
        with contextlib.closing(JournalReader(self.folder)) as reader:
            return reader.chain_at(sequence)

    def close(self) -> None:
        """Let go of the files. What is not durable yet stays so."""
        if self.file >= 0 and not self.failure and self.durable == self.written:
            if self.marked != self.durable:
                self._mark()
                self._flush()
        self._let_go()

    def _let_go(self) -> None:
        self.spare.discard()
        for file in (self.file, self.folder_file):
            if file >= 0:
                os.close(file)
        self.file = self.folder_file = -1
