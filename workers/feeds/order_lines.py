"""Orders of clients, a line of JSON each: for instruments that are matched here.

    {"do": "list", "symbol": "ACME", "price_decimals": 2, "tick": 0.01, "lot": 1, "price": 10}
    {"do": "state", "symbol": "ACME", "state": "trading"}
    {"do": "order", "symbol": "ACME", "id": 1, "account": 0, "side": "buy", "quantity": 100,
     "price": 9.99}                                                   (in one line)
    {"do": "order", "symbol": "ACME", "id": 2, "account": 1, "side": "sell", "quantity": 40}
    {"do": "replace", "symbol": "ACME", "id": 1, "account": 0, "quantity": 50, "price": 9.99}
    {"do": "cancel", "symbol": "ACME", "id": 1, "account": 0}
    {"do": "position", "portfolio": "desk", "symbol": "ACME", "quantity": 100, "price": 9.99}

A position, or a trade that was made elsewhere, may be in any symbol: one that is not listed here is
announced as NAMED, and is of the instrument of that symbol, whichever source brings it.

A line may have the time when it happened in front: s, ms, us or ns since 1970; without one, or
with an earlier one, it is as late as the line before. An order without a price is a market order.
Accounts are numbers, from 0, in the order of [[book.matching.accounts]]. Decimals are taken exactly
as they are written. A line that is not understood is left out, counted and told; it costs no other.
"""

from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec
import numpy as np

from workers.feeds.lines import LINE_MAX, Capture, Message, time_ns
from workers.feeds.lobster import symbol_bytes
from workers.feeds.order_words import (
    DECODER,
    LARGEST,
    CancelAllLine,
    CancelLine,
    Line,
    ListLine,
    OrderLine,
    PositionLine,
    ReplaceLine,
    StateLine,
    SwitchLine,
    TradeLine,
)
from workers.feeds.outbox import Outbox
from workers.merge import CODES
from workers.orders import REQUEUE, STP_BITS, Condition, OrderFlag, Stp, Tif
from workers.records import LOT_DECIMALS, MATCHED, NAMED, Event, Side, State, Telling

LINES_PER_FILL = 4096
TOLD_MAX = 120  # characters of what is wrong with a line
NAMED_DECIMALS = 8  # of prices of what is not listed here
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
SIDES = {"buy": Side.BID, "sell": Side.ASK}
TIFS = {tif.name.lower(): tif for tif in Tif}
STPS = {stp.name.lower(): stp for stp in Stp}
STATES = {
    "trading": State.TRADING,
    "halted": State.HALTED,
    "auction": State.QUOTING,
    "paused": State.PAUSED,
}


class OrdersOptions(
    msgspec.Struct, tag="orders", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which file of orders, plain or packed."""

    path: str


class _Odd(Exception):
    """What is wrong with a line that is JSON of the right form."""


class _Listed(msgspec.Struct):
    """An instrument: its code here, and its units."""

    code: int
    price: int  # price units in one unit of currency
    lots: int

    def prices(self, value: Decimal, name: str) -> int:
        """A price in price units."""
        return _whole(value, self.price, name)

    def quantity(self, value: Decimal, name: str = "quantity") -> int:
        """A quantity in lots."""
        return _whole(value, self.lots, name)


class _Broken(Exception):
    """Why a line is none of ours."""


class _Lines(Capture):
    """A file whose lines all have something to say: none is a note about a connection."""

    def message(self, line: bytes) -> Message | None:
        line = line.strip()
        head, _, text = line.partition(b" ")
        happened = time_ns(head)
        if happened is not None:
            return happened, text.lstrip(), None
        return (0, line, None) if line else None


def _whole(value: Decimal, scale: int, name: str) -> int:
    """A decimal as so many parts of 1 / scale."""
    if not value.is_finite() or not -30 < value.adjusted() < 18:
        raise _Odd(f"{name} = {value} is out of range")
    try:
        parts = EXACT.multiply(value, scale)
    except Inexact:
        parts = Decimal("0.5")  # whatever it is, it is not whole
    whole = int(parts)
    if parts != whole or not 0 <= whole <= LARGEST:
        raise _Odd(f"{name} = {value} is no whole number of 1/{scale}, from 0 to {LARGEST}")
    return whole


def _read(text: bytes) -> Line:
    """What a line says, in the right form."""
    if not text.startswith(b"{"):
        raise _Broken("neither a JSON object nor one behind a time (s, ms, us or ns since 1970)")
    return DECODER.decode(text)


class OrdersFeed:
    """Reads order lines; see `Feed` for what its events hold."""

    live = False

    def __init__(self, options: OrdersOptions, counters: int) -> None:
        self.finished = False
        self._options, self._box = options, Outbox(counters)
        self._capture: _Lines | None = None
        self._batch: list[Message] = []
        self._listed: dict[str, _Listed] = {}
        self._named: set[str] = set()  # of those: by positions alone
        self.portfolios: dict[str, int] = {}  # that lines may tell of, and their numbers
        self._time = 0  # of the line that is being read
        self._line = 0  # its number; empty ones have none
        self._odd, self._more = "", 0  # what is wrong with the first bad line; how many follow it

    @property
    def trouble(self) -> str:
        """What is wrong with the file, or with lines of it; empty while all is well."""
        if self._capture is not None and self._capture.trouble:
            return self._capture.trouble
        if self._odd:
            more = f", like {self._more} more" if self._more else ""
            return f"{self._options.path}: {self._odd}; the line is left out{more}"
        return ""

    def open(self) -> None:
        """Open the file; FeedError where that cannot be."""
        self._capture = _Lines(self._options.path)

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events; 0 where a stretch of lines gave none."""
        assert self._capture is not None, "open() comes first"
        box, left = self._box, LINES_PER_FILL
        while box.count < limit and left and (self._batch or self._refill()):
            happened_ns, text, _ = self._batch.pop()
            self._take(happened_ns, text or b"")
            left -= 1
        written = box.hand_out(target, limit)
        self.finished = self._capture.finished and not self._batch and not box.count
        return written

    def _refill(self) -> bool:
        capture = self._capture
        assert capture is not None
        if capture.finished:
            return False
        self._batch = capture.batch()[::-1]
        tally = self._box.tally
        for _ in range(capture.bad):
            self._note(f"a line behind message {self._line} is longer than {LINE_MAX} bytes")
        tally["bytes"] += capture.bytes
        tally["bad_frames"] += capture.bad
        tally["skipped_bytes"] += capture.skipped
        capture.bytes = capture.bad = capture.skipped = 0
        tally["truncated"] = int(capture.finished and bool(capture.trouble))
        return bool(self._batch)

    def _take(self, happened_ns: int, text: bytes) -> None:
        """Write what a line says; one that says nothing clear is counted, and told."""
        self._line += 1
        box, before = self._box, self._time
        count, announced = box.count, box.announced
        self._time = max(before, happened_ns)
        try:
            line = _read(text)
            WRITERS[type(line)](self, line)
        except (msgspec.ValidationError, _Odd) as odd:
            box.tally["bad_values"] += 1
            self._leave_out(before, odd)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Broken) as odd:
            box.tally["bad_frames"] += 1
            box.tally["skipped_bytes"] += len(text)
            self._leave_out(before, odd)
        given = box.count - count - (box.announced - announced)
        box.told += min(given, 1)
        box.further += max(given - 1, 0)

    def _leave_out(self, time_before: int, odd: Exception) -> None:
        self._time = time_before
        self._note(f"message {self._line}: {odd}")

    def _note(self, odd: str) -> None:
        if self._odd:
            self._more += 1
            return
        plain = "".join(letter if letter.isprintable() else "?" for letter in odd)
        self._odd = plain if len(plain) <= TOLD_MAX else f"{plain[:TOLD_MAX]}..."

    def _of(self, symbol: str) -> _Listed:
        listed = self._listed.get(symbol)
        if listed is None or symbol in self._named:
            raise _Odd(f"symbol {symbol!r} is not listed; put a line with do = list before it")
        return listed

    def _put(self, kind: Event, code: int, **fields) -> None:
        self._box.put(int(kind), code, self._time, **fields)

    def _list(self, line: ListLine) -> None:
        if line.symbol in self._named:
            raise _Odd(f"symbol {line.symbol!r} has a position already; list it before that")
        if line.symbol in self._listed:
            raise _Odd(f"symbol {line.symbol!r} is listed already")
        listed = self._next(10**line.price_decimals, 10**line.lot_decimals)
        tick = listed.prices(line.tick, "tick") if line.tick is not None else 0
        lot = listed.quantity(line.lot, "lot") if line.lot is not None else 0
        price = listed.prices(line.price, "price") if line.price is not None else 0
        self._announce(line.symbol, listed, line.lot_decimals << LOT_DECIMALS | MATCHED)
        if tick or lot or price:
            self._put(Event.TERMS, listed.code, order=tick, other=lot, price=price)

    def _next(self, prices: int, lots: int) -> _Listed:
        if len(self._listed) == CODES:
            raise _Odd(f"more than {CODES} symbols")
        return _Listed(len(self._listed), prices, lots)

    def _announce(self, symbol: str, listed: _Listed, flags: int) -> None:
        self._listed[symbol] = listed
        words = np.frombuffer(symbol_bytes(symbol), np.int64).tolist()
        self._put(
            Event.DIRECTORY, listed.code, order=words[0], other=words[1], price=words[2],
            quantity=listed.price, flags=flags,
        )  # fmt: skip

    def _state(self, line: StateLine) -> None:
        self._put(Event.STATUS, self._of(line.symbol).code, flags=int(STATES[line.state]))

    def _order(self, line: OrderLine) -> None:
        listed = self._of(line.symbol)
        if (line.tif == "gtd") != (line.until is not None):
            raise _Odd("tif = gtd needs until, and nothing else has it")
        price = listed.prices(line.price, "price") if line.price is not None else 0
        quantity = listed.quantity(line.quantity)
        stop = listed.prices(line.stop, "stop") if line.stop is not None else 0
        show = listed.quantity(line.show, "show") if line.show is not None else 0
        flags = int(TIFS[line.tif]) | int(STPS[line.stp]) << STP_BITS
        if line.price is None and not line.peg:
            flags |= OrderFlag.MARKET
        if line.post_only:
            flags |= OrderFlag.POST_ONLY
        if stop or show or line.peg or line.until is not None:
            condition = Condition.PEG if line.peg else 0
            self._put(
                Event.CONDITION, listed.code, order=line.id, price=stop, quantity=show,
                other=line.until or 0, flags=int(condition),
            )  # fmt: skip
        self._put(
            Event.ORDER, listed.code, order=line.id, other=line.account, price=price,
            quantity=quantity, side=int(SIDES[line.side]), flags=int(flags),
        )  # fmt: skip

    def _cancel(self, line: CancelLine) -> None:
        code = self._of(line.symbol).code
        self._put(Event.CANCEL_ORDER, code, order=line.id, other=line.account)

    def _replace(self, line: ReplaceLine) -> None:
        listed = self._of(line.symbol)
        self._put(
            Event.REPLACE_ORDER, listed.code, order=line.id, other=line.account,
            price=listed.prices(line.price, "price"), quantity=listed.quantity(line.quantity),
            flags=REQUEUE if line.requeue else 0,
        )  # fmt: skip

    def _cancel_all(self, line: CancelAllLine) -> None:
        code = -1 if line.symbol is None else self._of(line.symbol).code
        side = Side.NONE if line.side is None else SIDES[line.side]
        account = -1 if line.account is None else line.account
        self._put(Event.CANCEL_ALL, code, other=account, side=int(side))

    def _switch(self, line: SwitchLine) -> None:
        account = -1 if line.account is None else line.account
        self._put(Event.SWITCH, -1, other=account, flags=int(line.off))

    def _position(self, line: PositionLine) -> None:
        self._hold(line, Telling.POSITION)

    def _trade(self, line: TradeLine) -> None:
        if line.quantity == 0:
            raise _Odd("a trade of 0 is none; give what was bought, below 0 what was sold")
        self._hold(line, Telling.TRADE)

    def _hold(self, line: PositionLine | TradeLine, told: Telling) -> None:
        if line.portfolio not in self.portfolios:
            known = ", ".join(sorted(self.portfolios)) or "none; set risk.lines = true"
            raise _Odd(f"there is no portfolio {line.portfolio!r} that lines may tell of ({known})")
        listed = self._listed.get(line.symbol) or self._next(10**NAMED_DECIMALS, 1)
        price = listed.prices(line.price, "price")
        if line.symbol not in self._listed:
            self._named.add(line.symbol)
            self._announce(line.symbol, listed, NAMED)
        side = Side.BID if line.quantity >= 0 else Side.ASK
        self._put(
            Event.HOLDING, listed.code, order=self.portfolios[line.portfolio], price=price,
            quantity=abs(line.quantity), side=int(side), flags=int(told),
        )  # fmt: skip

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return self._capture.progress() if self._capture else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._capture:
            self._capture.close()
        self.finished = True


WRITERS: dict[type, Callable[[OrdersFeed, Any], None]] = {
    ListLine: OrdersFeed._list,
    StateLine: OrdersFeed._state,
    OrderLine: OrdersFeed._order,
    CancelLine: OrdersFeed._cancel,
    ReplaceLine: OrdersFeed._replace,
    CancelAllLine: OrdersFeed._cancel_all,
    SwitchLine: OrdersFeed._switch,
    PositionLine: OrdersFeed._position,
    TradeLine: OrdersFeed._trade,
}
