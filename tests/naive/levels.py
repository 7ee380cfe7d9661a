"""Books of levels the obvious way: dictionaries, decimals, and checksums over strings."""

import json
import re
import zlib
from decimal import Context, Decimal

from workers.records import Checksum, Event, Side

DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
LARGEST = (1 << 63) // 10 * 10 - 1  # the last digit of an int64 is not used to its end
EXACT = Context(prec=99)  # nothing is rounded


class Books:
    """All instruments' books, folded from EVENT records, and what their checks came to."""

    def __init__(self) -> None:
        self.sides: dict[int, tuple[dict, dict]] = {}
        self.scales: dict[int, tuple[int, int]] = {}
        self.symbols: dict[int, str] = {}
        self.doubts: dict[int, int] = {}
        self.orders: dict[int, dict] = {}
        self.passed = self.failed = 0
        self.wrong: list[str] = []

    def fold(self, event) -> None:
        """Take one event in: a record, or its fields as `tolist` gives them."""
        row = event if isinstance(event, tuple) else event.item()
        _, _, order, other, price, quantity, code, kind, side, _, flags, _ = row
        if kind == Event.SET:
            if quantity:
                self.sides[code][side][price] = quantity
            else:
                self.sides[code][side].pop(price, None)
        elif kind == Event.DIRECTORY:
            self.scales[code] = len(str(quantity)) - 1, flags >> 4
            words = (order, other, price)
            text = b"".join(word.to_bytes(8, "little", signed=True) for word in words)
            self.symbols[code] = text.decode().strip()
            self.sides[code], self.orders[code] = ({}, {}), {}
        elif kind == Event.CLEAR:
            self.sides[code], self.orders[code] = ({}, {}), {}
        elif kind in (Event.STALE, Event.FRESH):
            self.doubts[code] = flags if kind == Event.STALE else 0
        elif kind == Event.CHECK:
            good = self.checksum(code, flags, (price, quantity)) == order
            self.passed, self.failed = self.passed + good, self.failed + (not good)
        elif kind in (Event.ADD, Event.MODIFY, Event.DELETE):
            self.fold_order(self.orders[code], kind, order, (side, price, quantity))

    def fold_order(self, orders: dict, kind: int, order: int, state: tuple) -> None:
        """Take what became of one order in; what cannot be is noted as wrong."""
        if (order in orders) == (kind == Event.ADD):
            self.wrong.append(f"{Event(kind).name} of {order}")
        if kind == Event.DELETE:
            orders.pop(order, None)
        else:
            orders[order] = state

    def levels(self, code: int, side: int) -> list[tuple[int, int]]:
        """(price, quantity), the best first."""
        return sorted(self.sides[code][side].items(), reverse=side == Side.BID)

    def top(self, code: int) -> tuple:
        """Best bid and ask, each (price, quantity) or None."""
        bids, asks = self.sides[code]
        bid = max(bids.items(), default=None)
        ask = min(asks.items(), default=None)
        return bid, ask

    def whole(self) -> dict:
        """Symbol to both sides."""
        return {self.symbols[code]: sides for code, sides in self.sides.items()}

    def text(self, number: int, decimals: int) -> str:
        """A number of so many decimals as text, all of them printed."""
        return f"{Decimal(number).scaleb(-decimals):.{decimals}f}"

    def checksum(self, code: int, kind: int, printed: tuple[int, int]) -> int:
        """The CRC-32 of a book, as its venue computes it; so many decimals are printed."""
        price_decimals, lot_decimals = self.scales[code]
        bids, asks = self.levels(code, Side.BID), self.levels(code, Side.ASK)
        if kind == Checksum.KRAKEN:
            text = ""
            for price, quantity in asks[:10] + bids[:10]:
                for number, decimals, places in (
                    (price, price_decimals, printed[0]),
                    (quantity, lot_decimals, printed[1]),
                ):
                    exact = Decimal(number).scaleb(-decimals)
                    text += f"{exact:.{places}f}".replace(".", "").lstrip("0")
            return zlib.crc32(text.encode())
        parts = []
        for depth in range(25):
            for side in (bids, asks):
                if depth < len(side):
                    for number, decimals in zip(side[depth], self.scales[code], strict=True):
                        shown = self.text(number, decimals)
                        parts.append(shown.rstrip("0").rstrip(".") if "." in shown else shown)
        return zlib.crc32(":".join(parts).encode())


def parse(text: bytes, shape: str, price_decimals: int, lot_decimals: int):
    """[(price, quantity, orders, side or None)] of an array of levels; None where it is refused."""
    if b"\\" in text:
        return None
    try:
        entries = json.loads(text.decode("ascii"))
    except ValueError:
        return None
    if not isinstance(entries, list):
        return None
    levels = [_level(entry, shape, price_decimals, lot_decimals) for entry in entries]
    return None if None in levels else levels


def _level(entry, shape: str, price_decimals: int, lot_decimals: int):
    """One level; None where it is refused."""
    if not isinstance(entry, list) or not all(isinstance(part, str) for part in entry):
        return None
    sizes = {"plain": (2,), "timed": (3, 4), "counted": (4,), "sided": (3,)}[shape]
    if len(entry) not in sizes:
        return None
    side = None
    if shape == "sided":
        side = {"buy": 0, "sell": 1}.get(entry[0])
        if side is None:
            return None
        entry = entry[1:]
    price, quantity = number(entry[0], price_decimals), number(entry[1], lot_decimals)
    if not price or quantity is None:
        return None
    orders = 0
    if shape == "timed":
        if number(entry[2], 9) is None or entry[3:] not in ([], ["r"]):
            return None
    elif shape == "counted":
        orders = number(entry[3], 0)
        if orders is None or not DECIMAL.fullmatch(entry[2]):
            return None
    return price, quantity, orders, side


def number(text: str, decimals: int) -> int | None:
    """A decimal in units of 10 ** -decimals; None for what is none, too fine or too large."""
    if not DECIMAL.fullmatch(text):
        return None
    units = EXACT.scaleb(Decimal(text), decimals) if len(text) < 60 else None
    if units is None or units != units.to_integral_value() or units > LARGEST:
        return None
    return int(units)
