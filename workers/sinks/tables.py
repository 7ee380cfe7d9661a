"""How stored records read for people: the tables of a history and the columns of each."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from workers.records import LEVEL, RISK, TOP, TRADE, Event, Mark, Side, State


class Shown(IntEnum):
    """How a field of a record is shown outside."""

    NUMBER = 1  # as it is
    TIME = 2  # nanoseconds since the epoch, as a UTC time
    SYMBOL = 3  # an instrument's number, by its name
    PRICE = 4  # currency, by the instrument's scale
    QUOTE = 5  # the same, nothing where it is 0 (an empty side)
    MONEY = 6  # currency, by MONEY_SCALE
    SIDE = 7  # bid, ask, none
    STATE = 8  # unknown, trading, halted, ...
    EVENT = 9  # add, execute, cancel, ...


class Column(NamedTuple):
    """One column: its name outside, the field it comes from, how that is shown."""

    name: str
    field: str
    shown: Shown = Shown.NUMBER


class Table(NamedTuple):
    """One table: its name, the layout of its records, its columns."""

    name: str
    layout: np.dtype
    columns: tuple[Column, ...]


SIDES = tuple(side.name.lower() for side in Side)


def state_text(state: int) -> str:
    """A State with bits of Mark, as people read it: "trading", "trading stale crossed"."""
    plain = state & MARKS_FROM
    names = [State(plain).name.lower() if plain in set(State) else str(plain)]
    return " ".join(names + [mark.name.lower() for mark in reversed(Mark) if state & mark])


MARKS_FROM = min(Mark) - 1
STATES = tuple(map(state_text, range(256)))
EVENTS = ("", *(event.name.lower() for event in Event))

_ORIGIN = (
    Column("sequence", "sequence"),
    Column("cause", "cause"),
    Column("index", "index"),
    Column("time", "time_ns", Shown.TIME),
    Column("symbol", "instrument", Shown.SYMBOL),
)
_QUOTES = (
    Column("bid", "bid", Shown.QUOTE),
    Column("bid_quantity", "bid_quantity"),
    Column("ask", "ask", Shown.QUOTE),
    Column("ask_quantity", "ask_quantity"),
    Column("state", "state", Shown.STATE),
)
_LEVELS = (
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.PRICE),
    Column("quantity", "quantity"),
    Column("orders", "orders"),
)
_TRADES = (
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.PRICE),
    Column("quantity", "quantity"),
    Column("order_id", "order"),
    Column("match_id", "match"),
)
_RISK = (
    Column("portfolio", "portfolio"),
    Column("value", "value", Shown.MONEY),
    Column("pnl", "pnl", Shown.MONEY),
    Column("var_99", "var_99", Shown.MONEY),
    Column("es_975", "es_975", Shown.MONEY),
)

# By the name of the layout on its ring (workers.records.BOOK_RING, RISK_RING).
TABLES = {
    "top": Table("tops", TOP, (*_ORIGIN, *_QUOTES)),
    "level": Table("levels", LEVEL, (*_ORIGIN, *_LEVELS)),
    "trade": Table("trades", TRADE, (*_ORIGIN, *_TRADES)),
    "status": Table("statuses", TOP, (*_ORIGIN, *_QUOTES)),
    "cleared": Table("clears", TOP, (*_ORIGIN, *_QUOTES)),
    "risk": Table("risk", RISK, (*_ORIGIN, *_RISK)),
}
DEFAULT_KINDS = ("top", "trade", "risk")


def check_kinds(kinds: Iterable[str]) -> None:
    """ValueError, naming the choice, where a kind is unknown or there is none."""
    kinds = list(kinds)
    unknown = [kind for kind in kinds if kind not in TABLES]
    if unknown or not kinds:
        found = f"no such kind of record: {', '.join(unknown)}" if unknown else "no kinds given"
        raise ValueError(f"{found}; choose from {', '.join(TABLES)}")
