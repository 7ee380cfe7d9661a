"""History as Parquet files, written through DuckDB, readable by every columnar tool.

    PATH/tops/book-0000000000000001-0000000001000000.parquet   ring, first and last sequence
    PATH/trades/..., PATH/levels/..., PATH/statuses/..., PATH/risk/...
    PATH/book.spool     records on their way to a part file, as they lay on the ring
    PATH/book.cursor    the last sequence that part files cover: the word that counts
    PATH/run.json       whose history this is

Put appends to the spool (it survives the death of the process), flush makes the spool durable. A
full spool becomes one part file per table: write aside, fsync, rename; then the cursor, then the
spool is emptied. Parts beyond the cursor are the traces of a crash; `resume` removes them, and the
spool still holds their records. So a kill between any two steps loses and doubles nothing, however
often the publisher flushes, and files stay large.

Prices and money are DOUBLE, in currency: the double nearest to units / scale. It equals the
decimal literal (`bid = 585.33` finds the row), `round(bid * scale)` gives the units back exactly
(below 2^53 units), every tool reads it without conversion, and one schema holds any price scale
(1e4, 1e9, 64ths) with no overflow, where DECIMAL(18, s) must fix one scale for all and fails on
the rest. It is no slower or faster than DECIMAL. Sums over many rows that must be exact: cast to
DECIMAL(38, 4) in the query. An empty side of a top is NULL. Times are TIMESTAMP_NS, UTC.
Quantities and volumes are DOUBLE for the same reasons, in units: lots / lots of a unit.
"""

import errno
import os
import re
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ringbuf.durable import replace_file, settle, sync_folder
from workers.sinks.part_ages import check_age, remove_old
from workers.sinks.sink import (
    Instruments,
    Run,
    SinkError,
    count_wanted,
    fresh,
    hold_lock,
    refusal,
    run_path,
    sort_out,
)
from workers.sinks.spool import Spool
from workers.sinks.sql import select
from workers.sinks.tables import DEFAULT_KINDS, TABLES, Table, check_interval, check_kinds

if TYPE_CHECKING:  # it takes longer to load than all else: only who writes or reads Parquet does
    import duckdb


class ParquetOptions(
    msgspec.Struct, tag="parquet", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Where the history goes, and how much of it one set of part files covers.

    path: a folder; {run} in it becomes the id of the run, as one folder holds one run.
    kinds: which records to keep: top, level, trade, status, risk; where the book says more, quote,
    flow, bar, bar_flow, consolidated.
    rows_per_file: records of a ring, of all kinds, that make a set of part files.
    seconds_per_file: part files are written this often even when there are fewer records.
    keep_days: part files that were written so long ago are removed; left out: none is.
    conflate_ms: of the best prices only the newest in each interval is kept; left out: all are.
    """

    path: str
    kinds: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_KINDS))
    rows_per_file: int = 1_000_000
    seconds_per_file: float = 60.0
    keep_days: float | None = None
    conflate_ms: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self.kinds)
        if not self.path:
            raise ValueError("path is empty: name a folder")
        if self.rows_per_file < 1 or self.seconds_per_file <= 0:
            raise ValueError("rows_per_file and seconds_per_file must be above 0")
        check_age(self.keep_days)
        check_interval(self.conflate_ms)


@dataclass
class _Ring:
    """One ring's way into the history."""

    name: str
    spool: Spool
    last: int  # sequence put last
    since: float  # when its oldest spooled record came, by time.monotonic


class ParquetFile:
    """Keeps records as Parquet files."""

    resumable = True
    conflated = pending = 0

    def __init__(self, options: ParquetOptions):
        self.options = options
        self.written = 0
        self.filtered = 0
        self.skipped = 0
        self._rings: dict[str, _Ring] = {}

    def open(self, run: Run) -> None:
        """Take hold of the folder; SinkError where it is not ours to write."""
        import duckdb  # noqa: F401 (now, and not when the first part is due)

        self._run = run
        self._instruments = Instruments(run)
        self._folder = run_path(self.options.path, run)
        try:
            for kind in self.options.kinds:
                (self._folder / TABLES[kind].name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            hold_lock(self._lock, self._folder)
            self._claim()
        except OSError as error:
            raise refusal(self._folder, error) from error

    def resume(self, ring: str) -> int:
        """Clear away what a crash left, and tell the last sequence kept (parts and spool)."""
        if ring not in self._rings:
            try:
                stored = self._read_cursor(ring)
                self._remove_beyond(ring, stored)
                spool = Spool(self._folder / f"{ring}.spool")
                sync_folder(self._folder)
                last = spool.recover(stored)
            except OSError as error:
                raise refusal(self._folder / ring, error) from error
            self._rings[ring] = _Ring(ring, spool, last, time.monotonic())
        return self._rings[ring].last

    def beside(self, ring: str) -> Path:
        """A file for what is not settled yet of a ring."""
        return self._folder / f"{ring}.pending"

    def put(self, ring: str, records: np.ndarray) -> None:
        """Append a slice to the spool, and make part files of the spool when it is full."""
        self.resume(ring)
        state = self._rings[ring]
        new = fresh(records, state.last)
        if len(new):
            state.since = state.since if state.spool.count else time.monotonic()
            try:
                state.spool.append(new)
            except OSError as error:
                raise refusal(state.spool.path, error) from error
            state.last = int(new["sequence"][-1])
            self._count(ring, new)
        self.skipped += len(records) - len(new)
        if state.spool.count >= self.options.rows_per_file:
            self._store(state)

    def flush(self) -> dict[str, int]:
        """Make all that was put durable (in spools; in part files when they are due)."""
        for state in self._rings.values():
            due = time.monotonic() - state.since >= self.options.seconds_per_file
            if state.spool.count and due:
                self._store(state)
            try:
                state.spool.sync()
            except OSError as error:
                raise refusal(state.spool.path, error) from error
        return {state.name: state.last for state in self._rings.values()}

    def close(self) -> None:
        """Turn the spools into part files and let go of the folder."""
        for state in self._rings.values():
            if state.spool.count:
                self._store(state)
            state.spool.close()
            state.spool.path.unlink()
        self._rings.clear()
        if "_database" in self.__dict__:
            self._database.close()
        os.close(self._lock)

    @cached_property
    def _database(self) -> "duckdb.DuckDBPyConnection":
        """Opened when the first part is due: a publisher starts without it."""
        return open_database()

    def _count(self, ring: str, records: np.ndarray) -> None:
        wanted = count_wanted(self._run.rings[ring], self.options.kinds, records)
        self.written += wanted
        self.filtered += len(records) - wanted

    def _claim(self) -> None:
        """Write down whose history the folder holds, or refuse another run's."""
        marker = self._folder / "run.json"
        if not marker.exists():
            replace_file(marker, msgspec.json.encode({"run": self._run.id}))
            return
        owner = _read(marker).get("run")
        if owner != self._run.id:
            raise SinkError(
                f"{self._folder} holds the history of run {owner!r}, this is {self._run.id!r}; "
                "put {run} into the path, or choose another folder"
            )

    def _read_cursor(self, ring: str) -> int:
        path = self._folder / f"{ring}.cursor"
        return int(_read(path)["sequence"]) if path.exists() else 0

    def _remove_beyond(self, ring: str, stored: int) -> None:
        """Remove part files that no cursor vouches for."""
        part = re.compile(rf"{re.escape(ring)}-\d+-(\d+)\.parquet|\.{re.escape(ring)}-\d+-\d+\.tmp")
        for path in self._folder.glob("*/*"):
            match = part.fullmatch(path.name)
            if match and (match[1] is None or int(match[1]) > stored):
                path.unlink()
                sync_folder(path.parent)

    def _store(self, ring: _Ring) -> None:
        """Part files first, then the cursor, then the spool: any kill in between is harmless."""
        records = ring.spool.records()
        span = f"{ring.name}-{records['sequence'][0]:016d}-{ring.last:016d}"
        layouts = self._run.rings[ring.name]
        try:
            for kind, _, rows in sort_out(layouts, self.options.kinds, records):
                self._write_part(TABLES[kind], rows, span)
            cursor = self._folder / f"{ring.name}.cursor"
            replace_file(cursor, msgspec.json.encode({"sequence": ring.last}))
            ring.spool.clear()
            remove_old(self._folder, ring.name, self.options.keep_days)
        except OSError as error:
            raise refusal(self._folder, error) from error

    def _write_part(self, table: Table, rows: np.ndarray, span: str) -> None:
        """One part file, whole or not at all."""
        import duckdb

        folder = self._folder / table.name
        temporary = folder / f".{span}.tmp"
        fields = {column.field: rows[column.field] for column in table.columns}
        try:
            for new in self._instruments.learn(table.units, np.unique(rows["instrument"])):
                self._database.execute(f"INSERT INTO {table.units} VALUES (?, ?, ?, ?)", new)
            self._database.register("records", fields)
            self._database.execute(_copy(table, temporary))
            settle(temporary, folder / f"{span}.parquet")
        except duckdb.Error as error:
            raise translated(folder, error) from error
        finally:
            self._database.unregister("records")
            temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict)
    except msgspec.DecodeError as error:
        raise SinkError(
            f"{path} is damaged ({error}); move the folder away and start again"
        ) from None


def open_database(memory: str = "80%") -> "duckdb.DuckDBPyConnection":
    """An empty database in memory, with a table of instruments, and one of the groups that
    instruments are in; memory: the most it takes.

    One thread: the publisher's core is its own, the others belong to other stages.
    """
    import duckdb

    settings: dict = {
        "threads": 1,
        "autoinstall_known_extensions": False,
        "memory_limit": memory,
    }
    database = duckdb.connect(":memory:", config=settings)
    for units in ("instruments", "groups"):
        database.execute(
            f"CREATE TABLE {units} (instrument INTEGER, symbol VARCHAR, scale DOUBLE, lots DOUBLE)"
        )
    return database


def _copy(table: Table, path: Path) -> str:
    return f"COPY ({select(table)}) TO {quoted(path)} ({write_options()})"


def write_options() -> str:
    """How DuckDB is to write Parquet."""
    # Version 2 writes integers as deltas: 28 % smaller than version 1, and a third faster.
    return "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, USE_TMP_FILE false"


def quoted(text: str | Path) -> str:
    """Text as SQL has it."""
    return "'" + str(text).replace("'", "''") + "'"


def translated(folder: Path, error: "duckdb.Error") -> SinkError:
    """DuckDB tells the operating system's errors in words only."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
        if os.strerror(number) in str(error):
            return refusal(folder, OSError(number, os.strerror(number)))
    return SinkError(f"{folder}: DuckDB cannot write Parquet here: {error}")
