"""Which records of a ring are wanted: by kind, by symbol, by conditions on their fields."""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np

from pipeline.listing import EVENTS, NAMED, Reading, columns_of, printable
from ringbuf.share import Layouts
from workers.records import MONEY_SCALE
from workers.sinks.tables import VENUES, Column, Shown

DAY_NS = 86_400 * 10**9
LISTED = 30  # names in a refusal, at most

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Columns that share a field with another.
PARTS: dict[Shown, Callable[[np.ndarray], np.ndarray]] = {
    Shown.VENUES: lambda values: values & VENUES,
    Shown.GROUP: lambda values: values >> 4,
    Shown.FIRST: lambda values: values >> 4,
    Shown.SECOND: lambda values: values & 15,
}
CONDITION = re.compile(r"\s*([\w.]+)\s*(==|!=|<=|>=|=|<|>)\s*(.+?)\s*")
TIME_OF_DAY = re.compile(r"(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


class TailRefused(Exception):
    """A ring, kind, symbol or condition that cannot be tailed; the message says what can."""


class Selection:
    """The wanted records; understands what was asked for, or refuses it."""

    def __init__(
        self,
        layouts: Layouts,
        reading: Reading,
        kind: str | None = None,
        symbols: Sequence[str] = (),
        conditions: Sequence[str] = (),
    ) -> None:
        self.reading, self.symbols, self.layouts = reading, set(symbols), dict(layouts)
        texts = list(conditions)
        if kind in layouts:
            self.layouts = {kind: layouts[kind]}
        elif kind is not None:
            known = list(EVENTS[1:] if "event" in layouts else layouts)
            if kind not in known:
                raise TailRefused(f"no records of kind {kind!r} here; {choice(kind, known)}")
            texts.append(f"kind={kind}")
        for symbol in symbols:
            _check_name(f"--symbol {symbol}", "symbol", symbol, _symbols(reading))
        self.conditions = [condition(text, self.layouts, reading) for text in texts]
        self.takes_all = len(self.layouts) == len(layouts) and not texts and not symbols

    def of(self, records: np.ndarray) -> np.ndarray:
        """The wanted ones of some polled records."""
        if self.takes_all:
            return records
        keep = np.zeros(len(records), bool)
        for layout, rows, is_of in self._by_layout(records):
            masks = [each.mask(layout, rows, self.reading) for each in self.conditions]
            keep |= np.logical_and.reduce([is_of, *masks])
        if self.symbols:
            found = self.reading.symbols(records).tolist()
            keep &= np.fromiter(map(self.symbols.__contains__, found), bool, len(found))
        return records[keep]

    def split(self, records: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Wanted records by layout, each as that layout."""
        return [(layout, rows[is_of]) for layout, rows, is_of in self._by_layout(records)]

    def _by_layout(self, records: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """All records as each layout, and which of them really are of it."""
        found = []
        for layout, (kind, dtype) in self.layouts.items():
            rows = records.view(dtype)
            is_of = np.ones(len(rows), bool) if kind < 0 else rows["kind"] == kind
            found.append((layout, rows, is_of))
        return found


class Condition(NamedTuple):
    """One comparison: for each layout that has the field, its column and what to compare with."""

    compare: Callable[[Any, Any], Any]
    targets: dict[str, tuple[Column, Any]]

    def mask(self, layout: str, records: np.ndarray, reading: Reading) -> np.ndarray:
        """Which records of a layout fulfil it; none where the layout has no such field."""
        if layout not in self.targets:
            return np.zeros(len(records), bool)
        column, target = self.targets[layout]
        values = records[column.field]
        match column.shown:
            case Shown.SYMBOL:
                values = reading.symbols(records)
            case Shown.TIME:
                values = values % DAY_NS
            case Shown.PRICE | Shown.QUOTE:
                scales, inverse = np.unique(reading.scales(records), return_inverse=True)
                each = [float(target * scale) for scale in scales.tolist()]
                target = np.array(each, float)[inverse]
            case Shown.MID:
                target = float(2 * target) * reading.scales(records)
            case Shown.QUANTITY:
                lots, inverse = np.unique(reading.lots(records), return_inverse=True)
                target = np.array([_stored(target * each) for each in lots.tolist()])[inverse]
            case shown if shown in PARTS:
                values = PARTS[shown](values)
        return self.compare(values, target).astype(bool)


def condition(text: str, layouts: Layouts, reading: Reading) -> Condition:
    """Understand FIELD=VALUE; TailRefused, saying what could stand there, where it makes no sense.

    Fields are those shown and are compared as they are shown: prices in currency, quantities in
    units, times as time of day. `raw.` before the name of a stored field compares what is stored.
    """
    parsed = CONDITION.fullmatch(text)
    if not parsed:
        raise TailRefused(f"{text!r} is no condition; write FIELD=VALUE, or !=, <, <=, >, >=")
    field, sign, value = parsed.groups()
    fields = {layout: _fields(layout, dtype) for layout, (_, dtype) in layouts.items()}
    having = [layout for layout in layouts if field in fields[layout]]
    if not having:
        known = list(dict.fromkeys(name for named in fields.values() for name in named))
        shown = [name for name in known if not name.startswith("raw.")]
        names = choice(field, known if field.startswith("raw.") else shown)
        raise TailRefused(f"{text!r}: there is no field {field!r}; {names}; as stored: raw.FIELD")
    targets = {}
    for layout in having:
        column = fields[layout][field]
        targets[layout] = column, _target(text, column, sign, value, reading)
    return Condition(SIGNS[sign], targets)


def _fields(layout: str, dtype: np.dtype) -> dict[str, Column]:
    """Everything that a condition may name: shown columns, then stored fields behind `raw.`."""
    shown = {column.name: column for column in columns_of(layout, dtype)}
    if layout == "event":
        shown["kind"] = Column("kind", "kind")
    stored = [name for name in dtype.names or () if name != "spare"]
    return shown | {f"raw.{name}": Column(f"raw.{name}", name) for name in stored}


def _target(text: str, column: Column, sign: str, value: str, reading: Reading) -> Any:
    """What a value means for a column."""
    if column.shown is Shown.TIME:
        return _time_of_day(text, value)
    names = _names(column, reading)
    if not names or (column.shown is not Shown.SYMBOL and value.isascii() and value.isdecimal()):
        return _number(text, column, value)
    _check_name(repr(text), column.name, value, names)
    if SIGNS[sign] not in (operator.eq, operator.ne):
        raise TailRefused(f"{text!r}: a {column.name} has no order; compare with = or !=")
    return value if column.shown is Shown.SYMBOL else names.index(value)


def _names(column: Column, reading: Reading) -> tuple[str, ...]:
    """The names that a column's numbers have; none where they are just numbers."""
    if column.shown is Shown.SYMBOL:
        return _symbols(reading)
    if column.name == "kind":
        return EVENTS
    if column.name == "portfolio":
        return tuple(reading.portfolios)
    return NAMED.get(column.shown, ())


def _symbols(reading: Reading) -> tuple[str, ...]:
    return tuple(map(printable, [*reading.names.all(), *reading.groups.all()]))


def _check_name(text: str, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise TailRefused(f"{text}: there is no {what} {name!r}; {choice(name, known)}")


def _number(text: str, column: Column, value: str) -> Any:
    """A number in the unit that the column is stored in; prices stay in currency."""
    try:
        number = Decimal(value.replace(",", ""))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or abs(number) >= 1 << 48:
        raise TailRefused(f"{text!r}: {value!r} is no number that a {column.name} can be")
    if column.shown in (Shown.PRICE, Shown.QUOTE, Shown.MID, Shown.QUANTITY):
        return number  # each instrument has scales of its own
    return _stored(number * MONEY_SCALE if column.shown is Shown.MONEY else number)


def _stored(number: Decimal) -> int | float:
    return int(number) if number == int(number) else float(number)


def _time_of_day(text: str, value: str) -> int:
    """Nanoseconds since midnight of HH:MM, HH:MM:SS or HH:MM:SS.fraction."""
    found = TIME_OF_DAY.fullmatch(value)
    if not found:
        raise TailRefused(f"{text!r}: {value!r} is no time of day; write HH:MM:SS.nnnnnnnnn (UTC)")
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    fraction = (found[4] or "").ljust(9, "0")
    return ((hours * 60 + minutes) * 60 + seconds) * 10**9 + int(fraction)


def choice(name: str, known: Sequence[str]) -> str:
    """The nearest known name, and all of them as far as they fit in a line or two."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    named = [each for each in dict.fromkeys(known) if each]
    more = f", … ({len(named)} in all)" if len(named) > LISTED else ""
    return f"{hint}there is {', '.join(named[:LISTED]) or 'none'}{more}"
