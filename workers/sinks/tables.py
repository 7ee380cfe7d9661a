"""How stored records read for people: the tables of a history and the columns of each."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from workers.kernels.consolidated import LOCKED, NONE
from workers.orders import Liquidity, Reject, Why
from workers.records import (
    AUCTION,
    BAR,
    BAR_FLOW,
    CONSOLIDATED,
    EXECUTION,
    FLOW,
    GREEKS,
    HOLDING,
    LEVEL,
    LIMIT,
    POSITION_RECORD,
    QUOTE,
    REPORT,
    RISK,
    TOP,
    TRADE,
    WHOLE,
    Event,
    Mark,
    Measure,
    Side,
    Standing,
    State,
    Telling,
)


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
    QUANTITY = 10  # units, by the instrument's lots
    MID = 11  # currency, of half price units; nothing where it is 0
    RATIO = 12  # a number that is no whole one
    GROUP = 13  # what is the matter with the best over venues: ok, locked, crossed, stale
    VENUES = 14  # how many venues count, of the same field
    FIRST = 15  # place of the venue with the best bid; nothing where there is none
    SECOND = 16  # and of that with the best ask, of the same field
    LIQUIDITY = 17  # maker, taker, auction
    WHY = 18  # asked, ioc, expired, ...
    REASONS = 19  # off_tick position ...: every bit of Reject
    TRADED = 20  # of an auction: indicated, traded
    MEASURE = 21  # var_99, es_975, value, loss, delta, ...
    STANDING = 22  # unknown, ok, warn, breach
    TELLING = 23  # trade, position


class Column(NamedTuple):
    """One column: its name outside, the field it comes from, how that is shown."""

    name: str
    field: str
    shown: Shown = Shown.NUMBER


class Table(NamedTuple):
    """One table: its name, the layout of its records, its columns.

    units: whose names and scales are meant: of the instruments, or of the groups that they are in.
    """

    name: str
    layout: np.dtype
    columns: tuple[Column, ...]
    units: str = "instruments"


SIDES = tuple(side.name.lower() for side in Side)


def state_text(state: int) -> str:
    """A State with bits of Mark, as people read it: "trading", "trading stale crossed"."""
    plain = state & MARKS_FROM
    names = [State(plain).name.lower() if plain in set(State) else str(plain)]
    return " ".join(names + [mark.name.lower() for mark in reversed(Mark) if state & mark])


MARKS_FROM = min(Mark) - 1
STATES = tuple(map(state_text, range(256)))
MARKS = {LOCKED: "locked", int(Mark.CROSSED): "crossed", int(Mark.STALE): "stale"}
GROUPS = tuple(
    " ".join(word for mark, word in MARKS.items() if state & mark) or "ok" for state in range(256)
)
VENUES, NOBODY = NONE, NONE  # bits of CONSOLIDATED.state that count; the place of no venue
LIQUIDITIES = ("", *(one.name.lower() for one in Liquidity))
WHYS = tuple(why.name.lower() for why in Why)
AUCTIONS = ("indicated", "traded")
TELLINGS = tuple(telling.name.lower() for telling in Telling)
MEASURES = tuple(measure.name.lower() for measure in Measure)
STANDINGS = tuple(standing.name.lower() for standing in Standing)
REASONS = {int(reason): reason.name.lower() for reason in Reject}
EVENTS = ("", *(event.name.lower() for event in Event))

_ORIGIN = (
    Column("sequence", "sequence"),
    Column("cause", "cause"),
    Column("index", "index"),
    Column("time", "time_ns", Shown.TIME),
    Column("symbol", "instrument", Shown.SYMBOL),
)
_BEST = (
    Column("bid", "bid", Shown.QUOTE),
    Column("bid_quantity", "bid_quantity", Shown.QUANTITY),
    Column("ask", "ask", Shown.QUOTE),
    Column("ask_quantity", "ask_quantity", Shown.QUANTITY),
)
_QUOTES = (*_BEST, Column("state", "state", Shown.STATE))
_LEVELS = (
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.PRICE),
    Column("quantity", "quantity", Shown.QUANTITY),
    Column("orders", "orders"),
)
_WHOLE = (
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.QUOTE),
    Column("quantity", "quantity", Shown.QUANTITY),
    Column("orders", "orders"),
    Column("following", "following"),
    Column("state", "state", Shown.STATE),
)
_TRADES = (
    Column("side", "side", Shown.SIDE),
    Column("price", "price", Shown.PRICE),
    Column("quantity", "quantity", Shown.QUANTITY),
    Column("order_id", "order"),
    Column("match_id", "match"),
)
_MEASURES = (
    Column("mid", "mid", Shown.MID),
    Column("spread", "spread", Shown.PRICE),
    Column("microprice", "microprice", Shown.QUOTE),
    Column("imbalance", "imbalance", Shown.RATIO),
    Column("state", "state", Shown.STATE),
)
_TRADED = (
    Column("vwap", "vwap", Shown.QUOTE),
    Column("volume", "volume", Shown.QUANTITY),
    Column("trades", "trades"),
)
_BARS = (
    Column("series", "series"),
    *(Column(name, name, Shown.PRICE) for name in ("open", "high", "low", "close")),
    Column("state", "state", Shown.STATE),
)
_CONSOLIDATED = (
    *_BEST,
    Column("bid_venue", "venues", Shown.FIRST),
    Column("ask_venue", "venues", Shown.SECOND),
    Column("venues", "state", Shown.VENUES),
    Column("quality", "state", Shown.GROUP),
)
_ORDER = (Column("side", "side", Shown.SIDE), Column("order_id", "order"))
_LIMIT = Column("price", "price", Shown.QUOTE)
_QUANTITY = Column("quantity", "quantity", Shown.QUANTITY)
_LEFT = Column("left", "left", Shown.QUANTITY)
_CHANGED = (*_ORDER, _LIMIT, _QUANTITY, _LEFT, Column("why", "state", Shown.WHY))
_AUCTIONS = (
    _LIMIT,
    _QUANTITY,
    Column("surplus", "surplus", Shown.QUANTITY),
    Column("reference", "reference", Shown.QUOTE),
    Column("auction", "state", Shown.TRADED),
)
_RISK = (
    Column("portfolio", "portfolio"),
    Column("value", "value", Shown.MONEY),
    Column("pnl", "pnl", Shown.MONEY),
    Column("var_99", "var_99", Shown.MONEY),
    Column("es_975", "es_975", Shown.MONEY),
)
_POSITIONS = (
    Column("portfolio", "portfolio"),
    Column("quantity", "quantity", Shown.QUANTITY),
    *(Column(name, name, Shown.MONEY) for name in ("cost", "realised", "amount")),
)
_GREEKS = (
    Column("portfolio", "portfolio"),
    *(Column(name, name, Shown.MONEY) for name in ("delta", "gamma", "vega", "theta", "rho")),
)
_LIMITS = (
    Column("portfolio", "portfolio"),
    Column("measure", "measure", Shown.MEASURE),
    Column("before", "before", Shown.STANDING),
    Column("after", "after", Shown.STANDING),
    Column("measured", "measured", Shown.MONEY),
    Column("limit", "limit", Shown.MONEY),
    Column("doubtful", "doubtful"),
)

# By the name of the layout on its ring (workers.records.BOOK_RING, RISK_RING).
TABLES = {
    "top": Table("tops", TOP, (*_ORIGIN, *_QUOTES)),
    "level": Table("levels", LEVEL, (*_ORIGIN, *_LEVELS)),
    "depth": Table("depths", WHOLE, (*_ORIGIN, *_WHOLE)),
    "trade": Table("trades", TRADE, (*_ORIGIN, *_TRADES)),
    "status": Table("statuses", TOP, (*_ORIGIN, *_QUOTES)),
    "cleared": Table("clears", TOP, (*_ORIGIN, *_QUOTES)),
    "quote": Table("quotes", QUOTE, (*_ORIGIN, *_MEASURES)),
    "flow": Table(
        "flows", FLOW, (*_ORIGIN, *_TRADED, Column("volatility", "volatility", Shown.RATIO))
    ),
    "bar": Table("bars", BAR, (*_ORIGIN, *_BARS)),
    "bar_flow": Table(
        "bar_flows", BAR_FLOW, (*_ORIGIN, Column("start", "start_ns", Shown.TIME), *_TRADED)
    ),
    "consolidated": Table("consolidated", CONSOLIDATED, (*_ORIGIN, *_CONSOLIDATED), "groups"),
    "accepted": Table("accepted", REPORT, (*_ORIGIN, *_ORDER, _LIMIT, _LEFT)),
    "rejected": Table(
        "rejected", REPORT, (*_ORIGIN, *_ORDER, Column("reasons", "left", Shown.REASONS))
    ),
    "fill": Table(
        "fills",
        REPORT,
        (
            *_ORIGIN,
            *_ORDER,
            Column("price", "price", Shown.PRICE),
            _QUANTITY,
            _LEFT,
            Column("liquidity", "state", Shown.LIQUIDITY),
        ),
    ),
    "canceled": Table("canceled", REPORT, (*_ORIGIN, *_CHANGED)),
    "replaced": Table("replaced", REPORT, (*_ORIGIN, *_CHANGED)),
    "triggered": Table("triggered", REPORT, (*_ORIGIN, *_ORDER, _LIMIT, _LEFT)),
    "auction": Table("auctions", AUCTION, (*_ORIGIN, *_AUCTIONS)),
    "execution": Table(
        "executions",
        EXECUTION,
        (
            *_ORIGIN,
            *_ORDER,
            Column("account", "account"),
            Column("price", "price", Shown.PRICE),
            _QUANTITY,
            Column("liquidity", "state", Shown.LIQUIDITY),
        ),
    ),
    "holding": Table(
        "holdings",
        HOLDING,
        (
            *_ORIGIN,
            Column("portfolio", "portfolio"),
            Column("told", "state", Shown.TELLING),
            Column("side", "side", Shown.SIDE),
            Column("price", "price", Shown.PRICE),
            _QUANTITY,
        ),
    ),
    "risk": Table("risk", RISK, (*_ORIGIN, *_RISK)),
    "limit": Table("limits", LIMIT, (*_ORIGIN, *_LIMITS)),
    "position": Table("positions", POSITION_RECORD, (*_ORIGIN, *_POSITIONS)),
    "greeks": Table("greeks", GREEKS, (*_ORIGIN, *_GREEKS)),
}


def reasons_text(reasons: int) -> str:
    """Bits of Reject as people read them."""
    return " ".join(name for bit, name in REASONS.items() if reasons & bit)


DEFAULT_KINDS = ("top", "trade", "risk", "limit", "greeks")


def check_interval(conflate_ms: float | None) -> None:
    """ValueError for what is no interval."""
    if conflate_ms is not None and not 0.001 <= conflate_ms <= 86_400_000:
        raise ValueError(
            f"conflate_ms = {conflate_ms}: give 0.001 to 86400000, or leave it out for every record"
        )


def check_kinds(kinds: Iterable[str]) -> None:
    """ValueError, naming the choice, where a kind is unknown or there is none."""
    kinds = list(kinds)
    unknown = [kind for kind in kinds if kind not in TABLES]
    if unknown or not kinds:
        found = f"no such kind of record: {', '.join(unknown)}" if unknown else "no kinds given"
        raise ValueError(f"{found}; choose from {', '.join(TABLES)}")
