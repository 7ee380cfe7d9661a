"""Columns of records as plain Python values: whole columns at once, never field by field."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from workers.instruments import units
from workers.records import MONEY_SCALE
from workers.sinks.tables import (
    AUCTIONS,
    GROUPS,
    LIQUIDITIES,
    MEASURES,
    NOBODY,
    SIDES,
    STANDINGS,
    STATES,
    TELLINGS,
    VENUES,
    WHYS,
    Column,
    Shown,
    reasons_text,
)


class Scales(NamedTuple):
    """What the numbers of each record are counted in; arrays of shape (records,)."""

    symbols: np.ndarray  # str
    prices: np.ndarray  # price units in one unit of currency, int64
    lots: np.ndarray  # lots in one unit, int64


def values_of(column: Column, records: np.ndarray, scales: Scales) -> list:
    """A column as it is shown outside; what is not there is None."""
    values = records[column.field]
    shape = SHAPES.get(column.shown)
    return values.tolist() if shape is None else shape(values, scales)


def times(values: np.ndarray) -> list[str]:
    """ISO 8601 with nanoseconds, UTC."""
    plain = np.ascontiguousarray(values).view("M8[ns]")
    return np.datetime_as_string(plain, unit="ns", timezone="UTC").tolist()


def quotes(values: np.ndarray, scales: np.ndarray) -> list[float | None]:
    """Prices in currency; None for 0."""
    shown = (values / scales).tolist()
    for empty in np.flatnonzero(values == 0).tolist():
        shown[empty] = None
    return shown


def quantities(values: np.ndarray, lots: np.ndarray) -> list[int | float]:
    """Quantities in units; whole numbers where a lot is one."""
    plain = values.tolist()
    return plain if (lots == 1).all() else list(map(units, plain, lots.tolist()))


def named(values: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Names for numbers from 0; a number without a name is shown as itself."""
    every = [*names, *map(str, range(len(names), 256))]
    return list(map(every.__getitem__, values.tolist()))


def places(values: np.ndarray) -> list[int | None]:
    """Places of venues; None where there is none."""
    return [None if place == NOBODY else place for place in values.tolist()]


SHAPES: dict[Shown, Callable[[np.ndarray, Scales], list]] = {
    Shown.TIME: lambda values, _: times(values),
    Shown.SYMBOL: lambda _, scales: scales.symbols.tolist(),
    Shown.PRICE: lambda values, scales: (values / scales.prices).tolist(),
    Shown.QUOTE: lambda values, scales: quotes(values, scales.prices),
    Shown.MID: lambda values, scales: quotes(values, 2 * scales.prices),
    Shown.MONEY: lambda values, _: (values / np.float64(MONEY_SCALE)).tolist(),
    Shown.QUANTITY: lambda values, scales: quantities(values, scales.lots),
    Shown.SIDE: lambda values, _: named(values, SIDES),
    Shown.STATE: lambda values, _: named(values, STATES),
    Shown.GROUP: lambda values, _: named(values, GROUPS),
    Shown.VENUES: lambda values, _: (values & VENUES).tolist(),
    Shown.FIRST: lambda values, _: places(values >> 4),
    Shown.SECOND: lambda values, _: places(values & 15),
    Shown.LIQUIDITY: lambda values, _: named(values, LIQUIDITIES),
    Shown.WHY: lambda values, _: named(values, WHYS),
    Shown.TRADED: lambda values, _: named(values, AUCTIONS),
    Shown.MEASURE: lambda values, _: named(values, MEASURES),
    Shown.STANDING: lambda values, _: named(values, STANDINGS),
    Shown.TELLING: lambda values, _: named(values, TELLINGS),
    Shown.REASONS: lambda values, _: list(map(reasons_text, values.tolist())),
}
