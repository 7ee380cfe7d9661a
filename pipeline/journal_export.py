"""A journal, or a part of it, as a Parquet file: `corelane journal export`."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from pipeline.journals import LogReading, open_log
from pipeline.listing import EVENT_COLUMNS
from pipeline.selection import Selection, TailRefused
from ringbuf.journal import JournalError, JournalReader
from workers.records import EVENT
from workers.sinks.sliced import SlicedFile
from workers.sinks.sql import select
from workers.sinks.tables import TABLES, Column, Shown, Table

READ = 1 << 16  # records read at a time
SLICE = 1 << 18  # wanted records that are held at a time
EVENTS = Table("events", EVENT, (*EVENT_COLUMNS, Column("kind", "kind", Shown.EVENT)))


@dataclass(frozen=True)
class Choice:
    """What is exported, and where to."""

    folder: Path
    ring: str
    file: Path
    first: int | None = None
    last: int | None = None
    kind: str | None = None
    symbols: tuple[str, ...] = ()
    force: bool = False


def export(choice: Choice) -> int:
    """Write the file, whole or not at all, and say so; how many records it has."""
    if choice.file.exists() and not choice.force:
        raise JournalError(f"{choice.file} is there already; name another file, or give --force")
    began = time.monotonic()
    with (
        closing(open_log(choice.folder, choice.ring)) as log,
        closing(LogReading(choice.folder)) as reading,
    ):
        # Of the risk ring it is the records of its own name that are meant where none is named.
        kind = choice.kind or (choice.ring if choice.ring in log.layouts else None)
        wanted = Selection(log.layouts, reading, kind, choice.symbols)
        layout = _layout(choice, wanted)
        first, last = _span(choice, log)
        table = EVENTS if layout == "event" else TABLES[layout]
        strangers = 0
        with SlicedFile(choice.file, select(table)) as made:
            known: set[int] = set()
            for records in _slices(log, wanted, first, last):
                ((_, rows),) = wanted.split(records)
                new = sorted({*np.unique(rows["instrument"]).tolist()} - known)
                known.update(new)
                for number in new:
                    unit = reading.units(table.units, number)
                    strangers += number >= 0 and unit.symbol == f"#{number}"
                    made.database.execute(
                        f"INSERT INTO {table.units} VALUES (?, ?, ?, ?)", [number, *unit[:3]]
                    )
                made.add({column.field: rows[column.field] for column in table.columns})
            made.finish()
    _say(choice.file, made.rows, first, last, time.monotonic() - began, strangers)
    return made.rows


def _layout(choice: Choice, wanted: Selection) -> str:
    """The one layout that is exported: a table has the columns of one."""
    if len(wanted.layouts) > 1:
        raise TailRefused(
            f"ring {choice.ring} has records of several kinds, and a file holds one: name it with "
            f"--kind ({', '.join(wanted.layouts)})"
        )
    return next(iter(wanted.layouts))


def _span(choice: Choice, log: JournalReader) -> tuple[int, int]:
    """The first and the last record, as far as they are there."""
    oldest, newest = log.first, log.last
    first, last = choice.first or oldest, choice.last or newest
    if newest >= oldest and not oldest <= first <= last <= newest:
        raise JournalError(
            f"journal {log.folder}: there are no records {first:,} to {last:,}; it has {oldest:,} "
            f"to {newest:,}"
        )
    return first, last


def _slices(log: JournalReader, wanted: Selection, first: int, last: int) -> Iterator[np.ndarray]:
    """The wanted records, in slices; one at least, so that an empty file has its columns."""
    held, count, any_yet = [np.zeros(0, log.dtype)], 0, False
    while first <= last:
        records = log.read(first, min(READ, last - first + 1))
        first += len(records)
        held.append(wanted.of(records))
        count += len(held[-1])
        if count >= SLICE:
            yield np.concatenate(held)
            held, count, any_yet = [], 0, True
    if count or not any_yet:
        yield np.concatenate(held)


def _say(file: Path, rows: int, first: int, last: int, seconds: float, strangers: int) -> None:
    size = file.stat().st_size
    click.echo(
        f"{file}: {rows:,} of the records {first:,} to {last:,}, {size:,} bytes, in {seconds:.1f} s"
    )
    if strangers:
        click.echo(
            f"{strangers} instruments are not announced in what is kept of the log: they are named "
            "by their numbers, and their prices are in the venue's units",
            err=True,
        )
