"""Records of a ring as lines: a table whose columns stand below each other, or JSON objects."""

from collections.abc import Callable, Iterator
from contextlib import closing
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from pipeline.report import parts
from ringbuf.board import Board
from ringbuf.share import Layouts
from workers.groups import Groups, ShownGroups
from workers.instruments import Names, Unit
from workers.records import Book, Checksum, Doubt, Event, Flag
from workers.sinks.tables import (
    EVENTS,
    GROUPS,
    SIDES,
    STATES,
    TABLES,
    Column,
    Shown,
    state_text,
)
from workers.sinks.values import Scales, named, values_of

NAMED = {Shown.SIDE: SIDES, Shown.STATE: STATES, Shown.GROUP: GROUPS[::16]}
NOTHING = "-"

EVENT_COLUMNS = (
    Column("sequence", "sequence"),
    Column("time", "time_ns", Shown.TIME),
    Column("symbol", "instrument", Shown.SYMBOL),
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.QUOTE),
    Column("quantity", "quantity", Shown.QUANTITY),
    Column("order_id", "order"),
    Column("other_id", "other"),
    Column("source", "source"),
    Column("flags", "flags"),
    Column("arrived", "arrived_ns", Shown.TIME),
)
# What a table shows of each layout; JSON objects hold all that the history holds.
PRINTED = {
    "event": "sequence time symbol kind side quantity price order_id note",
    "top": "sequence time symbol bid_quantity bid ask ask_quantity state cause",
    "level": "sequence time symbol side price quantity orders cause",
    "depth": "sequence time symbol side price quantity orders following cause",
    "trade": "sequence time symbol side quantity price order_id match_id cause",
    "status": "sequence time symbol state bid ask cause",
    "cleared": "sequence time symbol state bid ask cause",
    "quote": "sequence time symbol mid spread microprice imbalance state",
    "flow": "sequence time symbol vwap volume trades volatility cause",
    "bar": "sequence time symbol series open high low close cause",
    "bar_flow": "sequence time symbol start vwap volume trades cause",
    "consolidated": "sequence time symbol bid_quantity bid ask ask_quantity "
    "bid_venue ask_venue quality",
    "accepted": "sequence time symbol side left price order_id cause",
    "rejected": "sequence time symbol side order_id reasons cause",
    "fill": "sequence time symbol side quantity price order_id left liquidity",
    "execution": "sequence time symbol side quantity price order_id account liquidity",
    "holding": "sequence time symbol portfolio told side quantity price cause",
    "canceled": "sequence time symbol side quantity price order_id why cause",
    "replaced": "sequence time symbol side left price order_id why cause",
    "triggered": "sequence time symbol side left price order_id cause",
    "auction": "sequence time symbol quantity price surplus reference auction",
    "risk": "sequence time symbol portfolio value pnl var_99 es_975",
    "position": "sequence time symbol portfolio quantity cost realised amount",
    "limit": "sequence time portfolio measure before after measured limit",
    "greeks": "sequence time portfolio delta gamma vega theta rho",
}
MIXED = "sequence time symbol kind what"  # records of several layouts
OF_PORTFOLIOS = "sequence time symbol portfolio kind what"  # those of the risk ring
WORDS = {  # flush left
    *("time", "symbol", "kind", "side", "state", "portfolio", "note", "what", "start", "quality"),
    *("why", "reasons", "liquidity", "auction", "measure", "before", "after"),
}
# Wide enough for most, so that columns need not move: they grow when something longer comes.
WIDTHS = {
    "sequence": 9, "time": 18, "symbol": 6, "kind": 10, "side": 4, "state": 7, "portfolio": 9,
    "quantity": 8, "bid_quantity": 8, "ask_quantity": 8, "price": 9, "bid": 9, "ask": 9,
    "mid": 10, "spread": 7, "microprice": 10, "vwap": 9, "volume": 9,
    "bid_venue": 2, "ask_venue": 2, "volatility": 10, "start": 18,
    "open": 9, "high": 9, "low": 9, "close": 9,
    "left": 8, "surplus": 9, "reference": 9, "why": 8, "liquidity": 9, "auction": 9,
    "following": 9, "account": 7, "cost": 12, "realised": 11, "amount": 11,
    "order_id": 9, "match_id": 9, "cause": 9, "value": 12, "pnl": 11, "var_99": 10, "es_975": 10,
    "delta": 11, "gamma": 10, "vega": 9, "theta": 9, "rho": 9,
    "measure": 7, "before": 7, "after": 7, "measured": 12, "limit": 12, "doubtful": 8,
}  # fmt: skip
HEADERS = {
    **{f"{side}_quantity": f"{side} qty" for side in ("bid", "ask")},
    **{f"{side}_venue": "by" for side in ("bid", "ask")},
}
UNCOUNTED = (Event.DIRECTORY, Event.CHECK)  # events whose quantity is none
IDENTIFIERS = {"sequence", "cause", "account", "order_id", "other_id", "match_id", "instrument"}


class Reading:
    """What the numbers in records mean: instruments, price scales, portfolios."""

    def __init__(self, pipeline: str) -> None:
        boards = parts(pipeline)["boards"]
        self.board = Board(pipeline, "instruments")
        self.names = Names(self.board)
        self.groups: Groups | ShownGroups = Groups({}, self.names)
        self.boards = [self.board]
        if "consolidated" in boards:
            self.boards.append(Board(pipeline, "consolidated"))
            self.groups = ShownGroups(self.boards[-1], self.names)
        self.portfolios: list[str] = []
        if "portfolios" in boards:
            with closing(Board(pipeline, "portfolios")) as board:
                named = (row["name"].decode(errors="replace") for row in board.all())
                self.portfolios = list(map(printable, named))

    def symbols(self, records: np.ndarray) -> np.ndarray:
        """The symbol of each record; of consolidated ones the group's name."""
        return self._each(records, lambda unit: printable(unit.symbol), object)

    def scales(self, records: np.ndarray) -> np.ndarray:
        """The price scale of each record."""
        return self._each(records, lambda unit: unit.price_scale, np.int64)

    def lots(self, records: np.ndarray) -> np.ndarray:
        """The lot scale of each record."""
        scales = self._each(records, lambda unit: unit.lot_scale, np.int64)
        if "arrived_ns" in (records.dtype.names or ()):
            scales[np.isin(records["kind"], UNCOUNTED)] = 1
        return scales

    def of(self, records: np.ndarray) -> Scales:
        """Symbols and scales of each record."""
        return Scales(self.symbols(records), self.scales(records), self.lots(records))

    def units(self, kind: str, number: int) -> Unit:
        """What the numbers of an instrument are counted in; kind: as Table.units."""
        return (self.groups if kind == "groups" else self.names).unit(number)

    def _each(self, records: np.ndarray, of: Callable[[Unit], Any], dtype: type) -> np.ndarray:
        """Ask once for every instrument, and for every group, among the records."""
        keys, inverse = np.unique(
            records["instrument"] * 2 + of_groups(records), return_inverse=True
        )
        found: np.ndarray = np.empty(len(keys), dtype)
        kinds = "instruments", "groups"
        found[:] = [of(self.units(kinds[key % 2], key // 2)) for key in keys.tolist()]
        return found[inverse]

    def close(self) -> None:
        for board in self.boards:
            board.close()


def of_groups(records: np.ndarray) -> np.ndarray:
    """Which records are in the units of their instrument's group."""
    names = records.dtype.names or ()
    if "index" in names and "portfolio" not in names:  # the book ring's
        return records["kind"] == Book.CONSOLIDATED
    return np.zeros(len(records), bool)


def printable(text: str) -> str:
    """Text that came in from outside, without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def columns_of(layout: str, dtype: np.dtype) -> tuple[Column, ...]:
    """What records of a layout show, by the names that the history uses too."""
    if layout == "event":
        return EVENT_COLUMNS
    if layout in TABLES:
        return TABLES[layout].columns
    return tuple(Column(name, name) for name in dtype.names or ())


def lines(parts_: list[tuple[str, np.ndarray]], shape: Callable[[str, np.ndarray], list]) -> list:
    """Shape the records of each layout, and bring all of them into the order of the ring."""
    rows = [
        row
        for layout, records in parts_
        for row in zip(records["sequence"].tolist(), shape(layout, records), strict=True)
    ]
    return [shaped for _, shaped in sorted(rows, key=itemgetter(0))]


class JsonLines:
    """Records as JSON objects, one a line, like those that the publisher's sink writes."""

    def __init__(self, ring: str, layouts: Layouts, reading: Reading) -> None:
        self.ring, self.layouts, self.reading = ring, layouts, reading

    def of(self, parts_: list[tuple[str, np.ndarray]]) -> list[str]:
        """The lines of some records."""
        return lines(parts_, self._objects)

    def _objects(self, layout: str, records: np.ndarray) -> list[str]:
        columns = columns_of(layout, self.layouts[layout][1])
        keys = ("kind", "ring", *(column.name for column in columns))
        kinds = [layout] * len(records)
        if layout == "event":
            kinds = named(records["kind"], EVENTS)
        scales = self.reading.of(records)
        values = [values_of(column, records, scales) for column in columns]
        rows = zip(kinds, [self.ring] * len(records), *values, strict=True)
        return [msgspec.json.encode(dict(zip(keys, row, strict=True))).decode() for row in rows]


class Table:
    """Records as rows below one header."""

    def __init__(self, layouts: Layouts, reading: Reading) -> None:
        self.layouts, self.reading = layouts, reading
        self.names = (OF_PORTFOLIOS if "risk" in layouts else MIXED).split()
        if len(layouts) == 1:
            ((layout, (_, dtype)),) = layouts.items()
            default = " ".join(column.name for column in columns_of(layout, dtype))
            self.names = PRINTED.get(layout, default).split()
        self.widths = [WIDTHS.get(name, len(name)) for name in self.names]
        self.begun = False

    def of(self, parts_: list[tuple[str, np.ndarray]]) -> Iterator[str]:
        """The lines of some records; the header comes before the first."""
        rows = lines(parts_, self._rows)
        for number in range(len(self.widths)):
            longest = max((len(row[number]) for row in rows), default=0)
            self.widths[number] = max(self.widths[number], longest)
        if rows and not self.begun:
            self.begun = True
            yield self._line(HEADERS.get(name, name.replace("_", " ")) for name in self.names)
        yield from map(self._line, rows)

    def _line(self, cells) -> str:
        aligned = (
            cell.ljust(width) if name in WORDS else cell.rjust(width)
            for name, width, cell in zip(self.names, self.widths, cells, strict=True)
        )
        return "  ".join(aligned).rstrip()

    def _rows(self, layout: str, records: np.ndarray) -> list[tuple[str, ...]]:
        columns = {column.name: column for column in columns_of(layout, self.layouts[layout][1])}
        cells = []
        for name in self.names:
            if name in columns:
                cells.append(self._texts(columns[name], records))
            elif name == "kind":
                kinds = [layout] * len(records)
                cells.append(named(records["kind"], EVENTS) if layout == "event" else kinds)
            elif name == "note":
                cells.append(list(map(_note, records)))
            else:
                cells.append(self._gist(layout, columns, records))
        return list(zip(*cells, strict=True))

    def _texts(self, column: Column, records: np.ndarray) -> list[str]:
        """A column as it stands in a table."""
        shown = column.shown
        if shown in WRITTEN:
            scales = self.reading.lots if shown is Shown.QUANTITY else self.reading.scales
            values = records[column.field].tolist()
            return list(map(WRITTEN[shown], values, scales(records).tolist()))
        if shown is Shown.NUMBER:
            return self._numbers(column, records[column.field])
        if shown is Shown.SIDE:
            return named(records[column.field], (*SIDES[:-1], NOTHING))
        values = values_of(column, records, self.reading.of(records))
        if shown is Shown.TIME:
            return [time[11:-1] for time in values]
        form = FORMS.get(shown, "{}")
        return [NOTHING if value is None else form.format(value) for value in values]

    def _numbers(self, column: Column, values: np.ndarray) -> list[str]:
        if column.name == "portfolio":
            return named(values, tuple(self.reading.portfolios))
        form = "{}" if column.name in IDENTIFIERS else "{:,}"
        return [form.format(value) if value else NOTHING for value in values.tolist()]

    def _gist(self, layout: str, columns: dict[str, Column], records: np.ndarray) -> list[str]:
        """What a record of the book says, in a few words."""
        form, *names = GISTS[layout]
        return list(map(form.format, *(self._texts(columns[name], records) for name in names)))


GISTS = {
    "top": ("{} at {} | {} at {}", "bid_quantity", "bid", "ask_quantity", "ask"),
    "level": ("{} {}: {} in {} orders", "side", "price", "quantity", "orders"),
    "depth": (
        "{} {}: {} in {} orders, {} follow",
        *("side", "price", "quantity", "orders", "following"),
    ),
    "trade": ("{} {} at {}", "side", "quantity", "price"),
    "status": ("{}, {} | {}", "state", "bid", "ask"),
    "cleared": ("{}, {} | {}", "state", "bid", "ask"),
    "quote": ("mid {}, spread {}, imbalance {}", "mid", "spread", "imbalance"),
    "flow": ("vwap {} of {}, volatility {}", "vwap", "volume", "volatility"),
    "bar": ("{}: {} {} {} {}", "series", "open", "high", "low", "close"),
    "bar_flow": ("vwap {} of {} in {} trades", "vwap", "volume", "trades"),
    "accepted": ("order {} {} {} at {}", "order_id", "side", "left", "price"),
    "rejected": ("order {} {}: {}", "order_id", "side", "reasons"),
    "fill": (
        "order {} {} {} at {}, left {}, {}",
        *("order_id", "side", "quantity", "price", "left", "liquidity"),
    ),
    "execution": (
        "account {}: order {} {} {} at {}, {}",
        *("account", "order_id", "side", "quantity", "price", "liquidity"),
    ),
    "holding": ("{}: {} {} at {}", "told", "side", "quantity", "price"),
    "canceled": ("order {} {} {}: {}", "order_id", "side", "quantity", "why"),
    "replaced": ("order {} {} {} at {}: {}", "order_id", "side", "left", "price", "why"),
    "triggered": ("order {} {} {} at {}", "order_id", "side", "left", "price"),
    "risk": ("value {}, P&L {}, VaR {}, ES {}", "value", "pnl", "var_99", "es_975"),
    "position": (
        "holds {} that cost {}, {} realised",
        *("quantity", "cost", "realised"),
    ),
    "limit": ("{}: {} → {}, {} of {}", "measure", "before", "after", "measured", "limit"),
    "greeks": (
        "delta {}, gamma {}, vega {}, theta {}, rho {}",
        *("delta", "gamma", "vega", "theta", "rho"),
    ),
    "auction": ("{} {} at {}, surplus {}", "auction", "quantity", "price", "surplus"),
    "consolidated": (
        "{} at {} | {} at {}, {}",
        "bid_quantity",
        "bid",
        "ask_quantity",
        "ask",
        "quality",
    ),
}


def quantity(lots: int, scale: int) -> str:
    """A quantity in units, as exact as it is; a dash for none."""
    if not lots:
        return NOTHING
    if scale == 1:
        return f"{lots:,}"
    whole, rest = divmod(abs(lots), scale)
    digits = f"{rest:0{len(str(scale)) - 1}}".rstrip("0")
    return "-" * (lots < 0) + f"{whole:,}" + f".{digits}" * bool(digits)


def money(price: float, scale: int) -> str:
    """A price in currency with all digits that its scale has; a dash for none."""
    if not price:
        return NOTHING
    return f"{price / scale:,.{len(str(scale - 1)) if scale > 1 else 0}f}"


WRITTEN: dict[Shown, Callable[[Any, int], str]] = {
    Shown.PRICE: money,
    Shown.QUOTE: money,
    Shown.MID: lambda mid, scale: money(5 * mid, 10 * scale),
    Shown.QUANTITY: quantity,
}
FORMS = {Shown.MONEY: "{:,.2f}", Shown.RATIO: "{:.6g}"}
WORDED: dict[int, type] = {Event.STALE: Doubt, Event.CHECK: Checksum}


def _named_in(kind, value: int) -> str:
    return kind(value).name.lower().replace("_", " ") if value in set(kind) else str(value)


def _note(event: np.record) -> str:
    """What else an event says: a new order id, a match number, a state, how it is to be taken."""
    kind, other, flags = int(event["kind"]), int(event["other"]), int(event["flags"])
    if kind == Event.STATUS:
        return state_text(flags)
    if kind == Event.SYSTEM:
        return f"code {chr(flags)}" if chr(flags).isalnum() else f"code {flags}"
    if kind in WORDED:
        return _named_in(WORDED[kind], flags)
    marks = [flag.name.lower() for flag in Flag if flags & flag and kind != Event.DIRECTORY]
    if other:
        marks.insert(0, f"→ {other}" if kind == Event.REPLACE else f"match {other}")
    return " ".join(marks)
