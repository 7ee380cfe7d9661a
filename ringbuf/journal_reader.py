"""Reading a journal: from any record on, each one checked, also while it is being written."""

import bisect
import ctypes
import json
import os
from pathlib import Path

import numpy as np

from ringbuf import journal_files as files
from ringbuf.chain import ROOT, unseal, verify
from ringbuf.journal_files import Head, JournalError, Layouts, path_of, place
from ringbuf.record import from_description, layout_text

STEP = 1 << 18  # bytes read and checked in one go: they stay in the core's cache


class JournalReader:
    """The reading end; it holds nobody up and nobody waits for it.

    layouts: what lies on the ring; with `layouts` given, a journal of others is refused. What is
    read is copied first and checked then, so that a record that is just being written is never
    taken for whole.
    """

    def __init__(self, folder: Path, layouts: Layouts | None = None) -> None:
        self.folder = Path(folder)
        self.file = -1
        self.head: Head | None = None
        self.firsts: list[int] = []
        self.text = ""
        self.next, self.chain = 0, 0  # where the last read ended, and the chain value there
        self.seen = 0  # a record that is known to be there
        self.scratch = np.zeros(STEP, np.uint8)
        self._list()
        head = self._open(self.firsts[-1])
        if layouts is not None and head.text != layout_text(layouts):
            raise JournalError(
                f"journal {self.folder}: has records of another layout than this program's; read "
                "it with the program that wrote it"
            )
        self.text, self.ring, self.size = head.text, head.ring, head.size
        self.layouts: Layouts = {
            name: (description["kind"], from_description(description))
            for name, description in json.loads(head.text).items()
        }

    @property
    def dtype(self) -> np.dtype:
        """The layout of the first kind; its tags stand where those of the others do."""
        return next(iter(self.layouts.values()))[1]

    @property
    def first(self) -> int:
        """The oldest record that is kept."""
        self._list()
        return self.firsts[0]

    @property
    def last(self) -> int:
        """The newest whole record now; the one before `first` where there is none."""
        while True:
            self._list()
            head = self._open(self.firsts[-1])
            if not head.first <= self.seen < head.end:
                mark = files.read_mark(os.pread(self.file, files.RECORDS, 0))
                self.seen = mark if head.first <= mark < head.end else head.first - 1
            chain = self._chain_before(self.seen + 1)
            while self.seen + 1 < head.end:
                limit = min(STEP // head.size, head.end - self.seen - 1)
                count, chain = self._take(self.seen + 1, limit, self.scratch.ctypes.data, chain)
                self.seen += count
                if not count:
                    return self.seen
            if self._list()[-1] == head.first:
                return self.seen

    def segments(self) -> list[tuple[Path, int, int]]:
        """The files: path, sequence of the first record, number of records."""
        last = self.last
        ends = [*self.firsts[1:], last + 1]
        return [
            (path_of(self.folder, first), first, end - first)
            for first, end in zip(self.firsts, ends, strict=True)
        ]

    def read(self, sequence: int, limit: int) -> np.ndarray:
        """The records from a sequence on, shape (up to limit,); none: they are not there yet.

        Raises JournalError for records that are not kept any more, and where files are damaged.
        """
        records = np.empty(self._room(sequence, limit), self.dtype)
        return records[: self.read_into(sequence, len(records), records.ctypes.data)]

    def read_into(self, sequence: int, limit: int, address: int) -> int:
        """The same into memory at an address; how many there are."""
        count = 0
        while count < limit:
            try:
                found, more = self._read_some(sequence + count, limit - count, address)
            except JournalError:
                if not count:
                    raise
                break  # what is whole comes first; the next call tells
            count += found
            address += found * self.size
            if not more:
                break
        return count

    def _read_some(self, sequence: int, limit: int, address: int) -> tuple[int, bool]:
        """Read from one segment; how many records, and whether to look for more."""
        head = self._find(sequence)
        if head is None:
            return 0, False
        want = min(limit, head.end - sequence, STEP // head.size)
        follows = sequence == self.next
        chain = self.chain if follows else self._chain_before(sequence)
        found, last = self._take(sequence, want, address, chain)
        if not found:
            foreign = follows and chain != self._chain_before(sequence)
            if not foreign and not self._must_be_there(sequence):
                return 0, False  # nor may the one before be, so what stands there is not kept
            if not follows:
                chain = self._chain_before(sequence)
            found, last = self._take(sequence, want, address, chain)
            if not found:
                raise files.damage(path_of(self.folder, head.first), head, sequence)
        unseal(address, head.size, sequence, found, address)
        self.next, self.chain = sequence + found, last
        return found, found == want

    def chain_at(self, sequence: int) -> int:
        """The value that stands for all records up to a sequence; the record is checked."""
        if sequence == 0:
            return ROOT
        if sequence == self.first - 1:
            head = self._find(sequence + 1)
            assert head is not None
            return head.chain
        head = self._find(sequence)
        if head is not None:
            chain = self._chain_before(sequence)
            found, chain = self._take(sequence, 1, self.scratch.ctypes.data, chain)
            if found:
                return chain
            if self._must_be_there(sequence):
                raise files.damage(path_of(self.folder, head.first), head, sequence)
        raise JournalError(f"journal {self.folder}: record {sequence} is not there yet")

    def close(self) -> None:
        """Let go of the file that was read last."""
        if self.file >= 0:
            os.close(self.file)
        self.file, self.head = -1, None

    def __del__(self) -> None:
        self.close()

    def _list(self) -> list[int]:
        """Look which segments there are."""
        self.firsts = files.listed(self.folder)
        if not self.firsts:
            raise JournalError(f"journal {self.folder}: has no segments; is this the right folder?")
        return self.firsts

    def _room(self, sequence: int, limit: int) -> int:
        """How many records, up to `limit`, the files there are could have from a sequence on."""
        head = self._find(sequence)
        if head is None or sequence + limit <= head.end:
            return 0 if head is None else limit
        path = path_of(self.folder, self._list()[-1])
        places = (path.stat().st_size - files.RECORDS) // self.size
        return min(limit, max(self.firsts[-1] + places, head.end) - sequence)

    def _find(self, sequence: int) -> Head | None:
        """Open the segment of a record; None where it has not been begun yet."""
        if self.head is not None and self.head.first <= sequence < self.head.end:
            return self.head
        for _ in range(2):  # one that we saw may have been removed meanwhile
            self._list()
            if sequence < self.firsts[0]:
                raise JournalError(
                    f"journal {self.folder}: record {sequence} is not kept any more, the oldest is "
                    f"{self.firsts[0]}; keep more (keep_mb), or start there"
                )
            number = bisect.bisect_right(self.firsts, sequence) - 1
            try:
                head = self._open(self.firsts[number])
            except FileNotFoundError:
                continue
            if sequence < head.end:
                return head
            if number + 1 < len(self.firsts):
                raise files.gap(self.folder, head.end, self.firsts[number + 1])
            return None
        raise JournalError(f"journal {self.folder}: its files come and go; is this one journal?")

    def _open(self, first: int) -> Head:
        """Open a segment; FileNotFoundError where it has been removed."""
        if self.head is None or self.head.first != first:
            self.close()
            path = path_of(self.folder, first)
            try:
                self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                start = os.pread(self.file, files.RECORDS, 0)
            except FileNotFoundError:
                raise
            except OSError as failure:
                raise files.refusal(path, failure) from None
            head = files.read_head(path, start)
            if head.first != first:
                raise files.misnamed(path, head)
            if self.text not in ("", head.text):
                raise JournalError(f"journal {path}: is of another layout than its neighbours")
            self.head = head
        return self.head

    def _chain_before(self, sequence: int) -> int:
        """The chain value before a record of the open segment, as it is stored there."""
        assert self.head is not None
        if sequence == self.head.first:
            return self.head.chain
        stored = os.pread(self.file, 8, place(self.head, sequence) - 8)
        return int.from_bytes(stored, "little", signed=True)

    def _take(self, sequence: int, limit: int, address: int, chain: int) -> tuple[int, int]:
        """Copy records of the open segment; how many are whole, and the last one's chain value."""
        assert self.head is not None
        size = self.head.size
        view = memoryview((ctypes.c_char * (limit * size)).from_address(address)).cast("B")
        have = os.preadv(self.file, [view], place(self.head, sequence)) // size
        found, chain = verify(address, size, sequence, have, chain)
        return int(found), int(chain)

    def _must_be_there(self, sequence: int) -> bool:
        """Whether a record that does not look whole was whole once."""
        assert self.head is not None
        if self._list()[-1] > self.head.first:
            return True
        return sequence <= files.read_mark(os.pread(self.file, files.RECORDS, 0))
