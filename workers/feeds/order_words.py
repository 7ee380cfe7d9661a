"""The form of each line that a feed of orders takes: see order_lines.py."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from workers.instruments import SYMBOL_BYTES

LARGEST = 1 << 56
LATEST = 1 << 62  # ns since 1970
Id = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Account = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
Decimals = Annotated[int, msgspec.Meta(ge=0, le=15)]
Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST)]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=SYMBOL_BYTES, pattern=r"^[!-~]+\Z")]
Lots = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
SideName = Literal["buy", "sell"]


class Line(msgspec.Struct, tag_field="do", forbid_unknown_fields=True, kw_only=True):
    """Of any kind; `do` says of which."""


class ListLine(Line, tag="list"):
    """An instrument that is matched here."""

    symbol: Symbol
    price_decimals: Decimals = 2
    lot_decimals: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    tick: Decimal | None = None
    lot: Decimal | None = None
    price: Decimal | None = None  # to compare with, as the last close


class StateLine(Line, tag="state"):
    """What may happen in an instrument."""

    symbol: str
    state: Literal["trading", "halted", "auction", "paused"]


class OrderLine(Line, tag="order"):
    """A new order."""

    symbol: str
    id: Id
    account: Account
    side: SideName
    quantity: Decimal
    price: Decimal | None = None  # None: a market order
    tif: Literal["gtc", "day", "ioc", "fok", "gtd"] = "gtc"
    until: Time | None = None  # ns since 1970, of gtd
    post_only: bool = False
    stop: Decimal | None = None
    show: Decimal | None = None  # how much of it is shown at a time
    peg: bool = False  # hidden, at the best price of its side; the price is its limit
    stp: Literal["none", "newest", "oldest", "both", "decrement"] = "none"


class CancelLine(Line, tag="cancel"):
    """An order is to leave."""

    symbol: str
    id: Id
    account: Account


class ReplaceLine(Line, tag="replace"):
    """An order is to have another price and quantity."""

    symbol: str
    id: Id
    account: Account
    quantity: Decimal
    price: Decimal
    requeue: bool = False


class CancelAllLine(Line, tag="cancel_all"):
    """Orders are to leave."""

    account: Account | None = None  # None: of all
    symbol: str | None = None
    side: SideName | None = None


class SwitchLine(Line, tag="switch"):
    """Orders are refused, or taken again."""

    off: bool  # orders are refused from here on
    account: Account | None = None


class PositionLine(Line, tag="position"):
    """What a portfolio holds."""

    portfolio: str
    symbol: Symbol
    quantity: Lots  # held from here on; below 0: short
    price: Decimal  # the average that was paid


class TradeLine(Line, tag="trade"):
    """What a portfolio traded elsewhere."""

    portfolio: str
    symbol: Symbol
    quantity: Lots  # bought; below 0: sold
    price: Decimal


DECODER = msgspec.json.Decoder(
    ListLine
    | StateLine
    | OrderLine
    | CancelLine
    | ReplaceLine
    | CancelAllLine
    | SwitchLine
    | PositionLine
    | TradeLine
)
