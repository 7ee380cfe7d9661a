"""The archive: segments that the journal is about to remove, as Parquet files.

    FOLDER/RUN/RING/FIRST-LAST-DIGEST.parquet   the records of one segment, every field as it was

A file is there whole or not at all, and only after its records were read back and gave the chain
value (ringbuf/chain.py) that the log has behind them. So its name is the sign that the segment may
go, and whatever dies in between, it is done again.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf import journal_files as files
from ringbuf.chain import seal_records
from ringbuf.journal import JournalError, JournalReader
from ringbuf.record import fields_of, from_description
from workers.sinks.parquet_file import open_database, quoted, translated
from workers.sinks.sink import SinkError
from workers.sinks.sliced import MEMORY, SlicedFile

SLICE = 1 << 18  # records that are held at a time
DIGITS = files.DIGITS


def rings_in(folder: Path) -> list[Path]:
    """The folders of the rings that have a journal in a folder."""
    return sorted({path.parent for path in folder.glob(f"*/{'[0-9]' * DIGITS}{files.SUFFIX}")})


class Segment(NamedTuple):
    """A whole segment of a journal that something follows."""

    folder: Path  # of the ring's journal
    first: int
    end: int  # the first sequence behind it
    before: int  # the chain value before its first record
    chain: int  # and behind its last


class Stopped(Exception):
    """The work is not wanted any more."""


def digest(chain: int) -> str:
    """A chain value as it is shown."""
    return f"{chain & (1 << 64) - 1:016x}"


def segment_of(folder: Path, first: int, end: int) -> Segment:
    """A segment; what is behind its last record is known by its successor."""
    return Segment(folder, first, end, _chain_before(folder, first), _chain_before(folder, end))


def _chain_before(folder: Path, first: int) -> int:
    path = files.path_of(folder, first)
    try:
        with path.open("rb") as file:
            return files.read_head(path, file.read(files.RECORDS)).chain
    except OSError as failure:
        raise files.refusal(path, failure) from None


def file_of(archive: Path, segment: Segment) -> Path:
    """Where a segment is in an archive, once it is there."""
    span = f"{segment.first:0{DIGITS}d}-{segment.end - 1:0{DIGITS}d}-{digest(segment.chain)}"
    return archive / segment.folder.name / f"{span}.parquet"


def has(archive: Path, folder: Path, first: int, end: int) -> bool:
    """Whether a segment of a ring's journal is in an archive."""
    return file_of(archive, segment_of(folder, first, end)).exists()


def is_old(path: Path, keep_s: float | None) -> bool:
    """Whether a file was written last longer ago than it is kept; None: for ever."""
    return keep_s is not None and time.time() - path.stat().st_mtime > keep_s


def leaving(folder: Path, keep_bytes: int, keep_s: float | None = None) -> list[Segment]:
    """The segments of a ring's journal that go when the next one begins, the oldest first."""
    firsts = files.listed(folder)
    paths = [files.path_of(folder, first) for first in firsts]
    try:
        sizes = [path.stat().st_size for path in paths]
        old = [is_old(path, keep_s) for path in paths]
    except FileNotFoundError:  # the oldest has just gone: what else is to go shows next time
        return []
    total, found = sum(sizes) + max(sizes, default=0), []
    for number, first in enumerate(firsts[:-1]):
        total -= sizes[number]
        if total < keep_bytes and not old[number]:
            break
        found.append(segment_of(folder, first, firsts[number + 1]))
    return found


class Place(NamedTuple):
    """One field of the layouts that have it at one place: how it is read in all their records."""

    layout: str  # one of them
    kinds: tuple[int, ...]  # of all of them; those of records, -1: every record


def columns_of(layouts: files.Layouts) -> dict[str, list[Place]]:
    """Every field of some layouts by name, and where it lies."""
    found: dict[str, dict[tuple, Place]] = {}
    for layout, (kind, dtype) in layouts.items():
        for name, where in fields_of(dtype).items():
            places = found.setdefault(name, {})
            known = places.get(where, Place(layout, ()))
            places[where] = Place(known.layout, (*known.kinds, kind))
    return {name: list(places.values()) for name, places in found.items()}


def select_of(layouts: files.Layouts) -> str:
    """SQL for the columns: a field is NULL in records whose layout does not have it."""
    columns = []
    for name, places in columns_of(layouts).items():
        alias = f'"{places[0].layout}.{name}"'
        if places[0].kinds != tuple(kind for kind, _ in layouts.values()):
            cases = (
                f'WHEN kind_of IN ({", ".join(map(str, place.kinds))}) THEN "{place.layout}.{name}"'
                for place in places
            )
            alias = f"CASE {' '.join(cases)} END"
        columns.append(f'{alias} AS "{name}"')
    return f"SELECT {', '.join(columns)} FROM records"


def fields(layouts: files.Layouts, records: np.ndarray) -> dict[str, np.ndarray]:
    """What select_of() takes, as views of some records."""
    found = {"kind_of": records["kind"]}
    for name, places in columns_of(layouts).items():
        for place in places:
            rows = records.view(layouts[place.layout][1])
            found[f"{place.layout}.{name}"] = rows[name]
    return found


def write(segment: Segment, path: Path, check: Callable[[], None] = lambda: None) -> int:
    """Write the records of a segment to a file, and read them back; how many there are.

    check: called between slices, may raise. SinkError where the file cannot be written,
    JournalError where the segment is damaged.
    """
    os.close(files.make_folder(path.parent))  # durably, which the segment's end rests on
    with closing(JournalReader(segment.folder)) as log:
        notes = {
            "ring": log.ring,
            "first": str(segment.first),
            "last": str(segment.end - 1),
            "before": str(segment.before),
            "digest": digest(segment.chain),
            "layouts": log.text,
        }
        with SlicedFile(path, select_of(log.layouts), notes) as made:
            start = segment.first
            while start < segment.end:
                check()
                records = log.read(start, min(SLICE, segment.end - start))
                made.add(fields(log.layouts, records))
                start += len(records)
            made.finish(lambda draft: _prove(segment, draft, check))
            return made.rows


def _prove(segment: Segment, path: Path, check: Callable[[], None]) -> None:
    """SinkError unless a file gives every record of a segment back."""
    sequence, chain = segment.first, segment.before
    for records in restored(path):
        check()
        size, count = records.dtype.itemsize, len(records)
        chain = int(seal_records(records.ctypes.data, size, sequence, count, chain))
        sequence += count
    if (sequence, chain) != (segment.end, segment.chain):
        raise SinkError(
            f"{path}: what was written reads back as something else; look at the disk (dmesg). "
            "The segment stays in the journal"
        )


def restored(path: Path) -> Iterator[np.ndarray]:
    """The records in a file of an archive, in order, slice by slice, byte for byte as they were."""
    import duckdb

    database = open_database(MEMORY)
    try:
        query = f"SELECT decode(key), decode(value) FROM parquet_kv_metadata({quoted(path)})"
        notes = dict(database.execute(query).fetchall())
        layouts = {
            name: (description["kind"], from_description(description))
            for name, description in json.loads(notes["layouts"]).items()
        }
        last = int(notes["last"])
        for first in range(int(notes["first"]), last + 1, SLICE):
            query = f"SELECT * FROM read_parquet({quoted(path)}) WHERE sequence BETWEEN ? AND ?"
            columns = database.execute(query, [first, min(first + SLICE - 1, last)]).fetchnumpy()
            yield _records(layouts, columns)
    except duckdb.Error as error:
        raise translated(path, error) from None
    finally:
        database.close()


def _records(layouts: files.Layouts, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Records from the columns of a file."""
    records = np.zeros(len(columns["sequence"]), next(iter(layouts.values()))[1])
    for kind, dtype in layouts.values():
        mine = np.ones(len(records), bool) if kind < 0 else columns["kind"] == kind
        rows = records.view(dtype)
        for name in fields_of(dtype):
            rows[name][mine] = np.ma.getdata(columns[name])[mine]
    return records


class Archivist:
    """Keeps an archive of a pipeline's journals, in a thread of its own.

    folder: of the journals; archive: where the files go; keep_bytes: what each journal keeps;
    keep_s: for how long, None: for ever.
    """

    def __init__(
        self, folder: Path, archive: Path, keep_bytes: int, keep_s: float | None = None
    ) -> None:
        self.folder, self.archive = folder, archive
        self.keep_bytes, self.keep_s = keep_bytes, keep_s
        self.segments = self.failed = 0  # written; tries that came to nothing
        self.trouble = ""  # of the last try
        self._stop = False
        self._thread: threading.Thread | None = None
        os.close(files.make_folder(archive))
        for left in archive.glob("*/.*.parts"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)

    def look(self) -> None:
        """Begin to write what is about to leave the journals, if anything is."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._try, name="archive", daemon=True)
            self._thread.start()

    def _try(self) -> None:
        try:
            self.work()
        except Stopped:
            return
        except (JournalError, SinkError, OSError) as error:
            self.failed += 1
            self.trouble = f"archive: {error}"

    def work(self) -> int:
        """Write what is about to leave the journals; how many segments."""
        count = 0
        for folder in rings_in(self.folder):
            for segment in leaving(folder, self.keep_bytes, self.keep_s):
                path = file_of(self.archive, segment)
                if not path.exists():
                    write(segment, path, self._check)
                    self.segments += 1
                    count += 1
        self.trouble = ""
        return count

    def _check(self) -> None:
        if self._stop:
            raise Stopped

    def close(self) -> None:
        """Leave what is half done; it is begun anew."""
        self._stop = True
        if self._thread is not None:
            self._thread.join()
