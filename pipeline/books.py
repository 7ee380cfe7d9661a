"""`corelane book`: one book, as it is on the depth board, or whole as of any event that is kept.

A whole book is rebuilt in this process, from the newest good snapshot at or before the event and
the journal from there on. A pipeline that is writing them meanwhile takes no notice.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from pipeline import past, plan, replaying, runs
from pipeline.journals import moment, open_log
from pipeline.listing import money, printable, quantity
from pipeline.report import parts
from pipeline.selection import choice
from ringbuf.board import Board
from ringbuf.journal import JournalReader
from tuning import topology
from workers.depth import LEVELS
from workers.instruments import Names, Unit, units
from workers.keeper import note_of
from workers.kernels import bookview
from workers.records import Side
from workers.replica import Replica
from workers.sinks.tables import state_text

SIDES = (("bid", Side.BID), ("ask", Side.ASK))


class BookRefused(Exception):
    """A book that cannot be shown: what was asked for, and what can be."""


class Choice(NamedTuple):
    """Which book is shown, from where, and how much of it.

    depth: levels of each side, None: all that there are; event: the last that it stands for.
    """

    symbol: str
    pipeline: str | None = None
    depth: int | None = None
    folder: Path | None = None
    event: int | None = None
    orders: bool = False


class Order(NamedTuple):
    """An order at rest; the first of its level trades first."""

    order_id: int
    lots: int


class Level(NamedTuple):
    """All that rests at a price."""

    price: int
    lots: int
    orders: int | None  # None: not known, the board does not say
    queue: list[Order]  # where orders are asked for


class Shown(NamedTuple):
    """A book to be shown, in price units and lots."""

    pipeline: str
    unit: Unit
    event: int  # the last that it stands for; of the board: that changed it last
    time_ns: int  # of that event
    state: int
    bids: list[Level]
    asks: list[Level]


def check(wanted: Choice) -> None:
    """BookRefused where the options do not go together."""
    for option, given in (("--orders", wanted.orders), ("--at", wanted.event is not None)):
        if given and wanted.folder is None:
            raise BookRefused(
                f"{option}: the board of a running pipeline has no such thing; "
                "name its journal, too: --journal FOLDER"
            )
    if wanted.folder is None and (wanted.depth or 0) > LEVELS:
        raise BookRefused(
            f"--depth {wanted.depth}: the board has {LEVELS} levels; --journal FOLDER has all"
        )


def read(wanted: Choice) -> list[Shown]:
    """The books of a symbol: one for each source that announced it."""
    check(wanted)
    return list(_kept(wanted, wanted.folder) if wanted.folder else _living(wanted))


def numbers_of(symbol: str, names: Names, where: str) -> list[int]:
    """The instruments of a symbol; BookRefused, saying which there are, where there is none."""
    known = [names.unit(number) for number in range(names.board.rows)]
    found = [number for number, unit in enumerate(known) if unit.symbol == symbol]
    if not found or symbol.startswith("#"):
        announced = [printable(unit.symbol) for unit in known if unit.source >= 0]
        raise BookRefused(f"{where} has no symbol {symbol!r}; {choice(symbol, announced)}")
    return found


def _living(wanted: Choice) -> Iterator[Shown]:
    """From the boards of a running pipeline."""
    pipeline = runs.the_one(wanted.pipeline)
    if "depth" not in parts(pipeline)["boards"]:
        raise BookRefused(f"pipeline {pipeline!r} has no stage book, and so no depth board")
    with (
        closing(Board(pipeline, "instruments")) as announced,
        closing(Board(pipeline, "depth")) as depth,
    ):
        names = Names(announced)
        for number in numbers_of(wanted.symbol, names, f"pipeline {pipeline!r}"):
            row = depth.row(number)[0]
            sides = [
                [Level(int(price), int(lots), None, []) for price, lots in levels if lots]
                for levels in (
                    zip(row[f"{name}_price"], row[f"{name}_quantity"], strict=True)
                    for name, _ in SIDES
                )
            ]
            yield Shown(
                pipeline, names.unit(number), int(row["cause"]), int(row["time_ns"]),
                int(row["state"]), *(levels[: wanted.depth] for levels in sides),
            )  # fmt: skip


def _kept(wanted: Choice, folder: Path) -> Iterator[Shown]:
    """From a journal."""
    pipeline = past.read_run(folder).pipeline
    if wanted.pipeline not in (None, pipeline):
        raise BookRefused(
            f"{folder} is the journal of pipeline {pipeline!r}, not of {wanted.pipeline!r}"
        )
    with closing(open_log(folder, "events")) as log:
        event = log.last if wanted.event is None else wanted.event
        if not 1 <= event <= log.last:
            raise BookRefused(f"{folder} has no event {event:,}; the last is {log.last:,}")
        replica = rebuilt(folder, log, event)
        names = Names(replica.names)
        numbers = numbers_of(wanted.symbol, names, f"{folder}, as of event {event:,},")
        for number in numbers:
            yield _whole(wanted, pipeline, replica, names.unit(number), number)


def rebuilt(folder: Path, log: JournalReader, event: int) -> Replica:
    """The book stage as it was after an event, in this process; BookRefused where it is gone."""
    config = replaying.config_of(replaying.Choice(folder))
    made = plan.make(config, topology.read())
    passed: list[str] = []
    found = past.newest(config, made, passed=passed, most=event)
    begun = found.positions["events"] if found else 0
    if begun < event and begun + 1 < log.first:
        raise BookRefused(
            f"{folder}: the log begins with event {log.first:,}, and no snapshot of event "
            f"{event:,} or before reaches it; give a larger --at"
            + "".join(f" ({reason})" for reason in passed[:1])
        )
    replica = past.replica(config, made, found, only=("book",))
    while (place := replica.positions["events"]) < event:
        records = log.read(place + 1, min(replaying.SLICE, event - place))
        if not len(records):  # removed while we read
            raise BookRefused(f"{folder} has no event {place + 1:,} any more; give a larger --at")
        replica.take(records)
    return replica


def _whole(wanted: Choice, pipeline: str, replica: Replica, unit: Unit, number: int) -> Shown:
    """A book of a replica."""
    stage = replica.parts["book"][0]
    state = stage.state()
    book, note = state["books"].ctypes.data, note_of(state["notes"].ctypes.data, number)
    sides = [list(_levels(book, number, side, wanted)) for _, side in SIDES]
    event = replica.positions["events"]
    return Shown(pipeline, unit, event, int(note.time_ns), int(note.state), *sides)


def _levels(book: int, instrument: int, side: Side, wanted: Choice) -> Iterator[Level]:
    """The levels of a side, best first."""
    count, number = bookview.level_count(book, instrument, side), 0
    for depth in range(count if wanted.depth is None else min(count, wanted.depth)):
        number = bookview.level_number(book, instrument, side, number, depth)
        price, lots, orders = map(int, bookview.level_numbered(book, number))
        queue = []
        if wanted.orders:
            order = bookview.first_order(book, instrument, side, price)
            for _ in range(orders):
                queue.append(Order(*map(int, bookview.order_of(book, order))))
                order = bookview.next_order(book, order)
        yield Level(price, lots, orders, queue)


def as_json(shown: Shown) -> str:
    """A book as one JSON object."""
    unit = shown.unit

    def level(one: Level) -> dict:
        made: dict = {"price": one.price / unit.price_scale}
        made["quantity"] = units(one.lots, unit.lot_scale)
        if one.orders is not None:
            made["orders"] = one.orders
        if one.queue:
            made["queue"] = [
                {"order_id": order, "quantity": units(lots, unit.lot_scale)}
                for order, lots in one.queue
            ]
        return made

    fields = {
        "pipeline": shown.pipeline,
        "symbol": unit.symbol,
        "source": unit.source,
        "event": shown.event,
        "time": moment(shown.time_ns) or None,
        "state": state_text(shown.state),
        "bids": list(map(level, shown.bids)),
        "asks": list(map(level, shown.asks)),
    }
    return msgspec.json.encode(fields).decode()


def lines(shown: Shown) -> Iterator[str]:
    """What a book reads like: the asks above the bids, the best next to each other."""
    unit = shown.unit
    yield (
        f"{printable(unit.symbol)} of feed {unit.source}, {shown.pipeline}, as of event "
        f"{shown.event:,} ({moment(shown.time_ns)[:23] or 'nothing yet'}): "
        f"{state_text(shown.state)}, {len(shown.bids)} bid and {len(shown.asks)} ask levels"
    )
    rows = [("side", "price", "quantity", "orders")]
    rows += [row for level in reversed(shown.asks) for row in _rows("ask", level, unit)]
    rows += [row for level in shown.bids for row in _rows("bid", level, unit)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()


def _rows(side: str, level: Level, unit: Unit) -> Iterator[tuple[str, str, str, str]]:
    """A level, and its orders in the sequence in which they trade."""
    shown = "-" if level.orders is None else f"{level.orders:,}"
    yield (
        side, money(level.price, unit.price_scale), quantity(level.lots, unit.lot_scale), shown,
    )  # fmt: skip
    for order in level.queue:
        yield "", "", quantity(order.lots, unit.lot_scale), f"#{order.order_id}"


def show(wanted: Choice, in_json: bool) -> None:
    """What `corelane book` prints."""
    for number, shown in enumerate(read(wanted)):
        if in_json:
            click.echo(as_json(shown))
        else:
            click.echo("\n" * (number > 0) + "\n".join(lines(shown)))
