"""ITCH 5.0 the obvious way: `struct`, one format per type, and a table of what maps to what."""

import struct

from workers.records import Event, Flag, Side, State

HEADER = [("locate", "H"), ("tracking", "H"), ("time", "6s")]
STOCK = ("stock", "8s")
FIELDS = {
    "S": [("code", "c")],
    "R": [
        STOCK, ("category", "c"), ("status", "c"), ("lot", "I"), ("lots_only", "c"),
        ("issue", "c"), ("subtype", "2s"), ("authentic", "c"), ("threshold", "c"), ("ipo", "c"),
        ("tier", "c"), ("etp", "c"), ("leverage", "I"), ("inverse", "c"),
    ],
    "H": [STOCK, ("state", "c"), ("reserved", "c"), ("reason", "4s")],
    "Y": [STOCK, ("action", "c")],
    "L": [("mpid", "4s"), STOCK, ("primary", "c"), ("mode", "c"), ("state", "c")],
    "V": [("level1", "Q"), ("level2", "Q"), ("level3", "Q")],
    "W": [("level", "c")],
    "K": [STOCK, ("release", "I"), ("qualifier", "c"), ("price", "I")],
    "J": [STOCK, ("reference", "I"), ("upper", "I"), ("lower", "I"), ("extension", "I")],
    "h": [STOCK, ("market", "c"), ("action", "c")],
    "A": [("order", "Q"), ("side", "c"), ("shares", "I"), STOCK, ("price", "I")],
    "F": [("order", "Q"), ("side", "c"), ("shares", "I"), STOCK, ("price", "I"), ("mpid", "4s")],
    "E": [("order", "Q"), ("shares", "I"), ("match", "Q")],
    "C": [("order", "Q"), ("shares", "I"), ("match", "Q"), ("printable", "c"), ("price", "I")],
    "X": [("order", "Q"), ("shares", "I")],
    "D": [("order", "Q")],
    "U": [("order", "Q"), ("successor", "Q"), ("shares", "I"), ("price", "I")],
    "P": [
        ("order", "Q"), ("side", "c"), ("shares", "I"), STOCK, ("price", "I"), ("match", "Q"),
    ],
    "Q": [("shares", "Q"), STOCK, ("price", "I"), ("match", "Q"), ("cross", "c")],
    "B": [("match", "Q")],
    "I": [
        ("paired", "Q"), ("imbalance", "Q"), ("direction", "c"), STOCK, ("far", "I"),
        ("near", "I"), ("reference", "I"), ("cross", "c"), ("variation", "c"),
    ],
    "N": [STOCK, ("interest", "c")],
    "O": [
        STOCK, ("eligible", "c"), ("minimum", "I"), ("maximum", "I"), ("near", "I"),
        ("near_time", "Q"), ("lower", "I"), ("upper", "I"),
    ],
}  # fmt: skip
FORMATS = {
    letter: struct.Struct(">c" + "".join(code for _, code in HEADER + fields))
    for letter, fields in FIELDS.items()
}
SIDES = {b"B": Side.BID, b"S": Side.ASK}
STATES = {b"T": State.TRADING, b"H": State.HALTED, b"P": State.PAUSED, b"Q": State.QUOTING}
SYSTEM_CODES = {bytes([code]) for code in b"OSQMECARB"}
BIG = 1 << 63
DAY_NS = 86_400 * 10**9
IGNORED, REFUSED = "ignored", "refused"


def encode(letter: str, **values) -> bytes:
    """A message from its fields; those not named are zeros or spaces."""
    numbers = [letter.encode()]
    for name, code in HEADER + FIELDS[letter]:
        value = values.pop(name, 0 if code in "HIQ" else b" ")
        if name == "time":
            value = (value if isinstance(value, int) else 0).to_bytes(6, "big")
        numbers.append(value.ljust(8) if name == "stock" else value)
    assert not values, values
    return FORMATS[letter].pack(*numbers)


def decode(message: bytes) -> dict:
    """The fields of a message."""
    letter = chr(message[0])
    names = ["letter", *(name for name, _ in HEADER + FIELDS[letter])]
    fields = dict(zip(names, FORMATS[letter].unpack(message), strict=True))
    return {**fields, "letter": letter, "time": int.from_bytes(fields["time"], "big")}


def frame(message: bytes) -> bytes:
    """A message behind its length."""
    return len(message).to_bytes(2, "big") + message


def frames(data: bytes) -> list[bytes]:
    """The messages of a well-formed file."""
    found, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        found.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    return found


def symbol_words(stock: bytes) -> tuple[int, int, int] | None:
    """A DIRECTORY event's three words; None where the text is no symbol."""
    if stock[:1] == b" " or not all(32 <= byte <= 126 for byte in stock):
        return None
    return struct.unpack("<3q", stock.ljust(24))


def _event(kind, side=Side.NONE, flags=0, order=0, other=0, price=0, quantity=0) -> tuple:
    return kind, side, flags, order, other, price, quantity


MAPPED = {
    "S": lambda m: _event(Event.SYSTEM, flags=m["code"][0]),
    "R": lambda m: _event(Event.DIRECTORY, Side.NONE, 0, *symbol_words(m["stock"]), 10_000),
    "H": lambda m: _event(Event.STATUS, flags=STATES[m["state"]]),
    "A": lambda m: _event(
        Event.ADD, SIDES[m["side"]], 0, m["order"], 0, m["price"], m["shares"]
    ),
    "E": lambda m: _event(
        Event.EXECUTE, order=m["order"], other=m["match"], quantity=m["shares"]
    ),
    "C": lambda m: _event(
        Event.EXECUTE_AT, Side.NONE, Flag.UNPRINTED if m["printable"] == b"N" else 0,
        m["order"], m["match"], m["price"], m["shares"],
    ),
    "X": lambda m: _event(Event.CANCEL, order=m["order"], quantity=m["shares"]),
    "D": lambda m: _event(Event.DELETE, order=m["order"]),
    "U": lambda m: _event(
        Event.REPLACE, Side.NONE, 0, m["order"], m["successor"], m["price"], m["shares"]
    ),
    "P": lambda m: _event(
        Event.TRADE, SIDES[m["side"]], 0, m["order"], m["match"], m["price"], m["shares"]
    ),
    "Q": lambda m: _event(
        Event.CROSS, other=m["match"], price=m["price"], quantity=m["shares"]
    ),
    "B": lambda m: _event(Event.BREAK, other=m["match"]),
}  # fmt: skip
MAPPED["F"] = MAPPED["A"]
POSSIBLE = {
    "time": lambda value: value < DAY_NS,
    "order": lambda value: value < BIG,
    "successor": lambda value: value < BIG,
    "match": lambda value: value < BIG,
    "shares": lambda value: value < BIG,
    "side": lambda value: value in SIDES,
    "printable": lambda value: value in (b"Y", b"N"),
}
POSSIBLE_OF = {
    "S": ("code", lambda value: value in SYSTEM_CODES),
    "H": ("state", lambda value: value in STATES),
    "R": ("stock", symbol_words),
}


def _numbers(m: dict) -> tuple | str:
    """kind, side, flags, order, other, price, quantity of a message; or what became of it."""
    letter = m["letter"]
    if letter not in MAPPED:
        return REFUSED if m["time"] >= DAY_NS else IGNORED
    checks = [(name, check) for name, check in POSSIBLE.items() if name in m]
    checks += [POSSIBLE_OF[letter]] if letter in POSSIBLE_OF else []
    if not all(check(m[name]) for name, check in checks):
        return REFUSED
    return MAPPED[letter](m)


def events(messages: list[bytes], midnight: int = 0) -> tuple[list[tuple], dict]:
    """The events of messages, as (time, instrument, kind, side, flags, numbers...), and counts."""
    found, announced = [], set()
    counts = dict.fromkeys(("messages", "announced", "events", "ignored", "bad_values"), 0)
    for m in map(decode, messages):
        counts["messages"] += 1
        verdict = _numbers(m)
        stamp = (midnight + m["time"], m["locate"])
        if not isinstance(verdict, str) and m["letter"] in "AFPHQ" and m["locate"] not in announced:
            words = symbol_words(m["stock"])
            if words:
                found.append((*stamp, Event.DIRECTORY, Side.NONE, Flag.INFERRED, *words, 10_000))
                announced.add(m["locate"])
                counts["announced"] += 1
                counts["events"] += 1
            else:
                verdict = REFUSED
        if isinstance(verdict, str):
            counts["ignored" if verdict == IGNORED else "bad_values"] += 1
            continue
        if m["letter"] == "R":
            announced.add(m["locate"])
        found.append((*stamp, *verdict))
        counts["events"] += 1
    return found, counts


class Book:
    """One instrument's orders, as `order -> [side, price, quantity]`, and levels by price."""

    def __init__(self) -> None:
        self.orders: dict[int, list] = {}
        self.levels: dict[int, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        self.queues: dict[tuple, list[int]] = {}

    def best(self, side: int) -> int | None:
        levels = self.levels[side]
        return (max if side == Side.BID else min)(levels, default=None)

    def add(self, order: int, side: int, price: int, quantity: int) -> None:
        assert order not in self.orders, order
        self.orders[order] = [side, price, quantity]
        self.levels[side][price] = self.levels[side].get(price, 0) + quantity
        self.queues.setdefault((side, price), []).append(order)

    def reduce(self, order: int, quantity: int) -> None:
        side, price, rest = self.orders[order]
        assert 0 < quantity <= rest, (order, quantity, rest)
        self.orders[order][2] -= quantity
        self.levels[side][price] -= quantity
        if self.levels[side][price] == 0:
            del self.levels[side][price]
        if quantity == rest:
            del self.orders[order]
            self.queues[side, price].remove(order)

    def first(self, order: int) -> bool:
        """Whether an order is first in the queue at the best price of its side."""
        side, price, _ = self.orders[order]
        return price == self.best(side) and self.queues[side, price][0] == order

    def apply(self, m: dict) -> None:
        """Do what a decoded message says."""
        letter, order = m["letter"], m.get("order")
        if letter in "AF":
            self.add(order, SIDES[m["side"]], m["price"], m["shares"])
        elif letter in "ECX":
            self.reduce(order, m["shares"])
        elif letter == "D":
            self.reduce(order, self.orders[order][2])
        elif letter == "U":
            side = self.orders[order][0]
            self.reduce(order, self.orders[order][2])
            self.add(m["successor"], side, m["price"], m["shares"])
