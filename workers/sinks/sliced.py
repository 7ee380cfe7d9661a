"""One Parquet file of records that come slice by slice, in bounded memory, whole or not at all.

    .FILE.parts/000000.part ...   a slice each; DuckDB copies them in order into
    .FILE.parts/whole.part        which is made durable, and only then gets its name

What a kill leaves of that is cleared away by the next who writes the same file.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ringbuf.durable import settle
from workers.sinks.parquet_file import open_database, quoted, translated, write_options
from workers.sinks.sink import hold_lock, refusal

MEMORY = "256MB"


class SlicedFile:
    """A Parquet file in the making; leaving it without `finish` leaves nothing behind.

    select: SQL that makes the columns from a table `records`, which is what add() gets.
    notes: what the file says of itself, by name. SinkError where it cannot be written.
    """

    def __init__(self, path: Path, select: str, notes: Mapping[str, str] | None = None) -> None:
        self.path, self.select, self.notes = path, select, notes or {}
        self.parts = path.with_name(f".{path.name}.parts")
        self.count = self.rows = 0
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.parts, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise refusal(path, error) from None
        try:
            hold_lock(self._lock, path)
            for left in self.parts.iterdir():  # by one that was killed
                left.unlink()
            self.database = open_database(MEMORY)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "SlicedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()
        shutil.rmtree(self.parts, ignore_errors=True)
        os.close(self._lock)

    def add(self, fields: Mapping[str, np.ndarray]) -> None:
        """The next rows: columns of equal length, by name; they may be views."""
        self.database.register("records", dict(fields))
        try:
            part = self.parts / f"{self.count:06d}.part"
            self._run(f"COPY ({self.select}) TO {quoted(part)} ({write_options()})")
        finally:
            self.database.unregister("records")
        self.count += 1
        self.rows += len(next(iter(fields.values())))

    def finish(self, prove: Callable[[Path], None] = lambda path: None) -> None:
        """Put the slices together and give the file its name, once `prove` has not objected."""
        assert self.count, "no rows at all: add an empty slice, it has the columns"
        names = ", ".join(quoted(self.parts / f"{n:06d}.part") for n in range(self.count))
        whole = self.parts / "whole.part"
        notes = ", ".join(f"{name}: {quoted(text)}" for name, text in self.notes.items())
        options = write_options() + f", KV_METADATA {{{notes}}}" * bool(notes)
        self._run(f"COPY (SELECT * FROM read_parquet([{names}])) TO {quoted(whole)} ({options})")
        prove(whole)
        try:
            settle(whole, self.path)
        except OSError as error:
            raise refusal(self.path, error) from None

    def _run(self, statement: str) -> None:
        import duckdb

        try:
            self.database.execute(statement)
        except duckdb.Error as error:
            raise translated(self.path, error) from None
