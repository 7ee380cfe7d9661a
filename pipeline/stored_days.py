"""Which days a pipeline's log has: `corelane journal days`."""

from pathlib import Path

import click
import msgspec

from pipeline import console, past
from workers.feeds.kept import KeptLog, days_of


class Stored(msgspec.Struct):
    """One day of a log."""

    date: str
    first: int
    last: int
    events: int
    whole: bool  # a feed of kind `history` can play it alone


def listing(folder: Path, archive: Path | None = None) -> list[Stored]:
    """The days of a log, in order; JournalError where it cannot be read."""
    past.read_run(folder)
    return [
        Stored(day.date, day.first, day.last, day.last - day.first + 1, day.whole)
        for day in days_of(KeptLog(folder, archive))
    ]


def print_days(folder: Path, archive: Path | None, as_json: bool) -> None:
    """Print them as a table, or as JSON."""
    days = listing(folder, archive)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(days), indent=2))
        return
    table = console.table("days", "date", ">first", ">last", ">events", "alone")
    for day in days:
        numbers = (f"{number:,}" for number in (day.first, day.last, day.events))
        table.add_row(day.date, *numbers, "yes" if day.whole else "no")
    console.out.print(table)
