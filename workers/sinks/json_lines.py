"""Records as JSON lines, in a file or on standard output: one object a line, readable by anything.

    {"kind":"top","ring":"book","sequence":7,...,"time":"2012-06-21T13:30:00.004241176Z",...}

Beside the file lies FILE.cursor: whose run it is, how many bytes of it are durable, and the last
sequence of each ring by then (a ring's last records may be of kinds that are not written). After a
crash the lines beyond those bytes are read again: whole ones count, a torn one is cut off. So
every record has exactly one line, and a reader that follows the file never sees a line twice.

Standard output (`path = "-"`) cannot be read back: after a crash the records since the last flush
are written again.
"""

import os
from itertools import repeat
from pathlib import Path

import msgspec
import numpy as np

from ringbuf.durable import replace_file, write_all
from workers.sinks.sink import (
    Instruments,
    Run,
    SinkError,
    fresh,
    hold_lock,
    refusal,
    run_path,
    sort_out,
)
from workers.sinks.tables import DEFAULT_KINDS, TABLES, Shown, check_interval, check_kinds
from workers.sinks.values import Scales, values_of

STANDARD_OUTPUT = "-"
CHUNK = 65_536  # records turned into text at a time


class JsonLinesOptions(
    msgspec.Struct, tag="jsonl", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Where the lines go and which records become lines.

    path: a file, "-" is standard output; {run} in it becomes the id of the run, as one file
    holds one run.
    kinds: which records to write: top, level, trade, status, risk; where the book says more, quote,
    flow, bar, bar_flow, consolidated.
    conflate_ms: of the best prices only the newest in each interval is written; left out: all are.
    """

    path: str
    kinds: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_KINDS))
    conflate_ms: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self.kinds)
        if not self.path:
            raise ValueError('path is empty: name a file, or "-" for standard output')
        check_interval(self.conflate_ms)
        if self.conflate_ms is not None and self.path == STANDARD_OUTPUT:
            raise ValueError("conflate_ms: what is pending has no place beside standard output")


class _Cursor(msgspec.Struct):
    """What FILE.cursor says."""

    run: str
    size: int = 0  # bytes of the file that are durable
    last: dict[str, int] = {}


class _Mark(msgspec.Struct):
    """What of a line tells how far its ring has come."""

    ring: str
    sequence: int


_FORMATS: dict[Shown, type] = {
    Shown.TIME: str,
    Shown.SYMBOL: str,
    Shown.SIDE: str,
    Shown.STATE: str,
    Shown.PRICE: float,
    Shown.MONEY: float,
    Shown.RATIO: float,
    Shown.GROUP: str,
    Shown.VENUES: int,
}
LINES = {
    kind: msgspec.defstruct(
        kind,
        [("ring", str), *((c.name, _FORMATS.get(c.shown, object)) for c in table.columns)],
        tag=kind,
        tag_field="kind",
        gc=False,
    )
    for kind, table in TABLES.items()
}


class JsonLines:
    """Writes records as JSON lines."""

    conflated = pending = 0

    def __init__(self, options: JsonLinesOptions):
        self.options = options
        self.resumable = options.path != STANDARD_OUTPUT
        self.written = 0
        self.filtered = 0
        self.skipped = 0
        self._encoder = msgspec.json.Encoder()
        self._last: dict[str, int] = {}
        self._flushed: dict[str, int] = {}
        self._size = 0

    def open(self, run: Run) -> None:
        """Take hold of the file, cutting off what a crash left torn."""
        self._run = run
        self._instruments = Instruments(run)
        if not self.resumable:
            self._path = Path("standard output")
            self._descriptor = os.dup(1)
            return
        self._path = run_path(self.options.path, run)
        self._cursor_path = self._path.with_name(self._path.name + ".cursor")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._recover(self._claim())
        except OSError as error:
            raise refusal(self._path, error) from error

    def resume(self, ring: str) -> int:
        """The last sequence of the ring that has a line or needs none; 0 on standard output."""
        return self._last.setdefault(ring, 0)

    def beside(self, ring: str) -> Path:
        """A file for what is not settled yet of a ring."""
        return self._path.with_name(f"{self._path.name}.{ring}.pending")

    def put(self, ring: str, records: np.ndarray) -> None:
        """Write the lines of a slice, all of them or none."""
        new = fresh(records, self.resume(ring))
        lines = 0
        try:
            for start in range(0, len(new), CHUNK):
                content, count = self._encode(ring, new[start : start + CHUNK])
                write_all(self._descriptor, content)
                lines += count
        except OSError as error:
            self._cut_back()
            raise refusal(self._path, error) from error
        if self.resumable:
            self._size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if len(new):
            self._last[ring] = int(new["sequence"][-1])
        self.written += lines
        self.filtered += len(new) - lines
        self.skipped += len(records) - len(new)

    def flush(self) -> dict[str, int]:
        """Make the lines durable, then the cursor that vouches for them."""
        if self.resumable and self._last != self._flushed:
            cursor = _Cursor(self._run.id, self._size, self._last)
            try:
                os.fdatasync(self._descriptor)
                replace_file(self._cursor_path, msgspec.json.encode(cursor))
            except OSError as error:
                raise refusal(self._path, error) from error
        self._flushed = dict(self._last)
        return dict(self._last)

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        os.close(self._descriptor)

    def _claim(self) -> _Cursor:
        """Open the file if it is ours; SinkError where it holds something else."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        hold_lock(self._descriptor, self._path)
        cursor = _read_cursor(self._cursor_path, self._run)
        if cursor is None:
            if os.fstat(self._descriptor).st_size:
                raise SinkError(
                    f"{self._path} holds other lines (no {self._cursor_path.name} beside it); "
                    "move it or choose another path"
                )
            cursor = _Cursor(self._run.id)
            replace_file(self._cursor_path, msgspec.json.encode(cursor))
        if cursor.run != self._run.id:
            raise SinkError(
                f"{self._path} holds the lines of run {cursor.run!r}, this is {self._run.id!r}; "
                "put {run} into the path, or choose another file"
            )
        return cursor

    def _recover(self, cursor: _Cursor) -> None:
        """Go on after the last whole line."""
        self._last = dict(cursor.last)
        durable = min(cursor.size, os.fstat(self._descriptor).st_size)
        if durable < cursor.size:  # the lines were moved away: begin a file of the rest
            cursor = _Cursor(cursor.run, durable, cursor.last)
            replace_file(self._cursor_path, msgspec.json.encode(cursor))
        with self._path.open("rb") as lines:
            lines.seek(durable)
            self._size = durable + self._count_whole(lines)
        os.ftruncate(self._descriptor, self._size)
        os.lseek(self._descriptor, self._size, os.SEEK_SET)

    def _count_whole(self, lines) -> int:
        """Bytes of whole lines from here on; notes their sequences."""
        decoder = msgspec.json.Decoder(_Mark)
        size = 0
        for line in lines:
            try:
                mark = decoder.decode(line)
            except msgspec.DecodeError:
                break
            if not line.endswith(b"\n"):
                break
            self._last[mark.ring] = max(self._last.get(mark.ring, 0), mark.sequence)
            size += len(line)
        return size

    def _cut_back(self) -> None:
        if self.resumable:
            os.ftruncate(self._descriptor, self._size)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)

    def _encode(self, ring: str, records: np.ndarray) -> tuple[bytes, int]:
        """The lines of a slice in order of sequence, and how many they are."""
        lines = np.empty(len(records), object)
        wanted = np.zeros(len(records), bool)
        for kind, places, rows in sort_out(self._run.rings[ring], self.options.kinds, records):
            lines[places] = self._lines(ring, kind, rows)
            wanted[places] = True
        chosen = lines[wanted].tolist()
        return self._encoder.encode_lines(chosen), len(chosen)

    def _lines(self, ring: str, kind: str, rows: np.ndarray) -> list:
        """One object for each record: columns become lists at once, never field by field."""
        numbers, inverse = np.unique(rows["instrument"], return_inverse=True)
        table = TABLES[kind]
        known = [self._instruments.of(table.units, number) for number in numbers.tolist()]
        scales = Scales(
            np.array([unit.symbol for unit in known], object)[inverse],
            np.array([unit.price_scale for unit in known], np.int64)[inverse],
            np.array([unit.lot_scale for unit in known], np.int64)[inverse],
        )
        columns = [values_of(column, rows, scales) for column in table.columns]
        return list(map(LINES[kind], repeat(ring), *columns))


def _read_cursor(path: Path, run: Run) -> _Cursor | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Cursor)
    except msgspec.DecodeError as error:
        raise SinkError(f"{path} is damaged ({error}); move it and its file away") from None
