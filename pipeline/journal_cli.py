"""Commands about what the disk has: `corelane journal`, `corelane order`, `corelane book`."""

import os
import sys
from pathlib import Path

import click

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
RING = click.argument("ring")
KIND = click.option("--kind", help="Only records of one kind, such as top, level, trade.")
SYMBOLS = click.option("--symbol", "symbols", multiple=True, help="Only these instruments.")
SEQUENCE = click.IntRange(1)


@click.group()
def journal() -> None:
    """What a pipeline has written down. FOLDER is what journal.path names; it may be running."""


@journal.command("ls")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def journal_ls(folder: Path, as_json: bool) -> None:
    """List journals and snapshots: how far, how large, since when, and the digest of each log."""
    from pipeline import journals

    journals.print_listing(folder, as_json)


@journal.command("days")
@FOLDER
@click.option("--archive", type=click.Path(path_type=Path), help="What journal.archive names.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def journal_days(folder: Path, archive: Path | None, as_json: bool) -> None:
    """List the days of the log, and which of them a feed of kind `history` can play alone."""
    from pipeline import stored_days

    stored_days.print_days(folder, archive, as_json)


@journal.command("verify")
@FOLDER
@click.option("--ring", help="Only this one.")
def journal_verify(folder: Path, ring: str | None) -> None:
    """Check every record and every snapshot; exit code 1 where one is damaged."""
    from pipeline.journal_verify import verify_all

    sys.exit(0 if verify_all(folder, ring) else 1)


@journal.command("tail")
@FOLDER
@RING
@KIND
@SYMBOLS
@click.option("--where", "conditions", multiple=True, metavar="FIELD=VALUE", help="Also <, >, !=.")
@click.option("--last", type=int, default=10, show_default=True, help="Start so many back.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--follow/--no-follow", default=False, help="Wait for more while it is written.")
def journal_tail(folder, ring, kind, symbols, conditions, last, as_json, follow) -> None:
    """Print the last records of a ring's journal, as `corelane tail` prints those that pass."""
    from pipeline import journal_tail
    from pipeline.tailing import Options

    options = Options(kind, symbols, conditions, None, last, as_json, follow)
    journal_tail.tail(folder, ring, options)


@journal.command("export")
@FOLDER
@RING
@click.argument("file", metavar="FILE.parquet", type=click.Path(path_type=Path))
@click.option("--from", "first", type=SEQUENCE, help="First record; default: the oldest kept.")
@click.option("--to", "last", type=SEQUENCE, help="Last record; default: the newest.")
@KIND
@SYMBOLS
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def journal_export(folder, ring, file, first, last, kind, symbols, force) -> None:
    """Write a ring's journal as Parquet, with the columns that a history has.

    A file holds one kind of record; of a ring with several (book) --kind names which.
    """
    from pipeline import journal_export as exporting

    exporting.export(exporting.Choice(folder, ring, file, first, last, kind, symbols, force))


@click.command()
@click.argument("number", metavar="ID", type=int)
@click.option(
    *("--journal", "folder"),
    type=click.Path(path_type=Path),
    required=True,
    help="What journal.path names.",
)
@click.option("--symbol", help="Only of this instrument.")
@click.option("--account", type=int, help="Only of this account.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def order(
    number: int, folder: Path, symbol: str | None, account: int | None, as_json: bool
) -> None:
    """Show an order's whole life: what was asked, what became of it, and the sum.

    All is read from the journal; its pipeline may be running, or not.
    """
    from pipeline import order_life

    click.echo(order_life.show(order_life.Choice(number, folder, symbol, account), as_json))


@click.command()
@click.argument("symbol")
@click.option("--pipeline", help="Which of those that run.")
@click.option("--depth", type=click.IntRange(1), help="So many levels of each side; default: all.")
@click.option(
    *("--journal", "folder"),
    type=click.Path(path_type=Path),
    help="What journal.path names: the whole book, from what is kept.",
)
@click.option("--at", "event", type=SEQUENCE, help="As of this event; default: the newest.")
@click.option("--orders", is_flag=True, help="Every order in its queue, first to trade first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def book(symbol, pipeline, depth, folder, event, orders, as_json) -> None:
    """Show a book: the ten best levels of a running pipeline, or all of it as of any event.

    A whole book is rebuilt beside the pipeline, which is not disturbed and need not run.
    """
    from pipeline import books, monitor

    if folder is not None:
        os.nice(monitor.NICE)  # it is work, and the stages of a busy host have none to wait for
    wanted = books.Choice(symbol, pipeline, depth, folder, event, orders)
    books.show(wanted, as_json)
