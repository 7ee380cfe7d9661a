"""The steps of an order's life, as people read them: what was asked, what was told, and the sum."""

from collections.abc import Iterator
from decimal import Decimal
from enum import IntEnum

import msgspec
import numpy as np

from pipeline.listing import NOTHING, money, quantity
from workers.instruments import Unit, units
from workers.orders import (
    REQUEUE,
    STP_BITS,
    TIF_MASK,
    Condition,
    Liquidity,
    OrderFlag,
    Reject,
    Stp,
    Tif,
    Why,
)
from workers.records import Book, Event, Side
from workers.sinks.values import times

SIDES: dict[int, str] = {int(Side.BID): "buy", int(Side.ASK): "sell"}
REASONS = {
    Reject.UNKNOWN_ORDER: "there is no such order of this account",
    Reject.DUPLICATE: "an order of this id is there already",
    Reject.UNKNOWN_ACCOUNT: "there is no such account",
    Reject.NOT_MATCHED: "the instrument is not matched here",
    Reject.BAD_VALUE: "its price, quantity, side, stop or flags make no sense",
    Reject.OFF_TICK: "a price is no multiple of the tick",
    Reject.OFF_LOT: "a quantity is no multiple of the lot",
    Reject.SWITCHED_OFF: "orders are switched off",
    Reject.HALTED: "it is not taken in this state of trading",
    Reject.MAX_QUANTITY: "the quantity is above the account's limit",
    Reject.MAX_NOTIONAL: "its value is above the account's limit",
    Reject.COLLAR: "the price is too far from the reference",
    Reject.POSITION: "the position could become too large",
    Reject.CREDIT: "open orders and positions would be worth too much",
    Reject.RATE: "too many messages",
    Reject.POST_ONLY: "it would trade at once",
    Reject.FOK: "not all of it can trade at once",
    Reject.FULL: "there is no room for another order",
    Reject.VAR: "the account's value at risk could become too high",
    Reject.VAR_UNKNOWN: "what the account's value at risk would be is not known",
}
WHYS: dict[int, str] = {
    Why.ASKED: "as asked",
    Why.IOC: "no more could trade at once",
    Why.FOK: "not all of it could trade at once",
    Why.MARKET: "nobody was left to trade with",
    Why.STP: "it would have met an order of the same account",
    Why.EXPIRED: "its time, or its day, was over",
    Why.MASS: "with all others of an account or side",
    Why.BAND: "it would have traded outside the price band",
    Why.FULL: "there was no room for what was left of it",
    Why.REFRESHED: "it shows its next part, at the tail",
}


class Step(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One thing that was asked of an order, or told of it."""

    event: int  # sequence of the event; of what was told, of the one that it answers
    book: int | None = None  # sequence in the book's log
    time: str
    kind: str  # of Event or Book
    account: int | None = None
    side: str | None = None
    quantity: float | None = None  # units
    price: float | None = None  # currency
    left: float | None = None
    tif: str | None = None
    until: str | None = None
    stop: float | None = None
    show: float | None = None
    marks: list[str] = []  # market, post_only, peg, requeue
    stp: str | None = None
    refused: str | None = None  # the kind of event that was
    reasons: list[str] = []
    why: str | None = None
    liquidity: str | None = None
    against: int | None = None  # the order that it traded with
    match: int | None = None
    says: str  # all of it, in words


def _name(kind: type[IntEnum], value: int) -> str:
    """What a number of an enumeration is called."""
    return kind(value).name.lower() if value in [*kind] else str(value)


def request(event: np.record, unit: Unit) -> Step:
    """What an event asked of an order; event: one of EVENT's."""
    kind, flags = int(event["kind"]), int(event["flags"])
    step = Step(
        event=int(event["sequence"]),
        time=_time(event),
        kind=Event(kind).name.lower(),
        says="",
    )
    if kind == Event.CONDITION:
        return _condition(step, event, unit)
    step.account = int(event["other"])
    step.says = f"by account {step.account}"
    if kind == Event.CANCEL_ORDER:
        return step
    _put_amounts(step, event, unit)
    amounts = f"{quantity(int(event['quantity']), unit.lot_scale)} {_at(event, unit)}"
    if kind == Event.REPLACE_ORDER:
        step.marks = ["requeue"] * (flags & REQUEUE)
        step.says = " ".join([amounts, step.says, *step.marks])
        return step
    step.side = SIDES.get(int(event["side"]), str(event["side"]))
    step.tif = _name(Tif, flags & TIF_MASK)
    step.marks = [flag.name.lower() for flag in OrderFlag if flags & flag and flag.name]
    words = [step.side, amounts, step.tif, *step.marks]
    if flags >> STP_BITS:
        step.stp = _name(Stp, flags >> STP_BITS)
        words.append(f"stp {step.stp}")
    step.says = " ".join([*words, step.says]).replace("_", " ")
    return step


def _time(record: np.record) -> str:
    (text,) = times(np.array([record["time_ns"]]))
    return text


def _at(record: np.record, unit: Unit) -> str:
    price = int(record["price"])
    return f"at {money(price, unit.price_scale)}" if price else "at any price"


def _put_amounts(step: Step, record: np.record, unit: Unit) -> None:
    price = int(record["price"])
    step.quantity = units(int(record["quantity"]), unit.lot_scale)
    step.price = price / unit.price_scale if price else None


def _condition(step: Step, event: np.record, unit: Unit) -> Step:
    """More about the order that comes next."""
    words = []
    if event["price"]:
        step.stop = int(event["price"]) / unit.price_scale
        words.append(f"stop at {money(int(event['price']), unit.price_scale)}")
    if event["quantity"]:
        step.show = units(int(event["quantity"]), unit.lot_scale)
        words.append(f"shows {quantity(int(event['quantity']), unit.lot_scale)} at a time")
    if event["flags"] & Condition.PEG:
        step.marks = ["peg"]
        words.append("pegged to the best price of its side")
    if event["other"]:
        (step.until,) = times(np.array([event["other"]]))
        words.append(f"until {step.until}")
    step.says = ", ".join(words)
    return step


def told(report: np.record, unit: Unit, against: int | None, match: int | None) -> Step:
    """What a report says became of an order; report: one of REPORT's."""
    kind, state, left = Book(int(report["kind"])), int(report["state"]), int(report["left"])
    step = Step(
        event=int(report["cause"]),
        book=int(report["sequence"]),
        time=_time(report),
        kind=kind.name.lower(),
        says="",
    )
    if kind == Book.REJECTED:
        return _rejected(step, state, left)
    _put_amounts(step, report, unit)
    step.side, step.left = SIDES.get(int(report["side"])), units(left, unit.lot_scale)
    rest = f"{quantity(left, unit.lot_scale) if left else 'nothing'} left"
    amount = quantity(int(report["quantity"]), unit.lot_scale)
    if kind == Book.FILL:
        step.liquidity, step.against, step.match = _name(Liquidity, state), against, match
        mate = "" if against is None else f", against order {against}"
        number = "" if match is None else f", match {match}"
        price = money(int(report["price"]), unit.price_scale)
        step.says = f"{amount} at {price}, {rest}, {step.liquidity}{mate}{number}"
    elif kind == Book.CANCELED:
        step.why = _name(Why, state)
        step.says = f"{amount}: {WHYS.get(state, step.why)}"
    elif kind == Book.REPLACED:
        step.why = _name(Why, state)
        step.says = f"{rest} {_at(report, unit)}: {WHYS.get(state, step.why)}"
    elif kind == Book.TRIGGERED:
        step.says = f"its stop price was reached, {rest} {_at(report, unit)}"
    else:
        step.says = f"{rest} {_at(report, unit)}"
    return step


def _rejected(step: Step, state: int, bits: int) -> Step:
    known = [reason for reason in Reject if bits & reason]
    step.refused = _name(Event, state)
    step.reasons = [reason.name.lower() for reason in known]
    step.says = "; ".join(REASONS[reason] for reason in known)
    return step


class Life(msgspec.Struct, kw_only=True):
    """One order from its beginning to its end, or to now."""

    order: int
    symbol: str
    account: int | None = None  # None: it began before the log does
    side: str | None = None
    asked: float = 0  # as it was replaced last
    traded: float = 0
    average: float | None = None  # price of what traded
    lost: float = 0  # cancelled, or prevented from trading
    left: float = 0
    state: str = "unanswered"
    steps: list[Step] = []

    def lines(self) -> Iterator[str]:
        """The life as a table, and its sum."""
        account = "from before this log" if self.account is None else f"account {self.account}"
        yield f"order {self.order} of {self.symbol}, {account}"
        yield f"{'event':>9}  {'book':>9}  {'time':<30}  {'kind':<13}  what"
        for step in self.steps:
            book = NOTHING if step.book is None else step.book
            yield f"{step.event:>9}  {book:>9}  {step.time:<30}  {step.kind:<13}  {step.says}"
        price = "" if self.average is None else f" at {_decimal(self.average)} on average"
        amounts = f"asked {_decimal(self.asked)}, traded {_decimal(self.traded)}{price}"
        yield f"{amounts}, lost {_decimal(self.lost)}, left {_decimal(self.left)}: {self.state}"


def _decimal(value: float) -> str:
    """A number without digits that say nothing."""
    return f"{Decimal(repr(round(value, 12))).normalize():,f}"


class Teller:
    """Tells the orders apart that an id had, one after another, in one instrument."""

    def __init__(self, order: int, symbol: str, unit: Unit) -> None:
        self.order, self.symbol, self.unit = order, symbol, unit
        self.sheets: list[Sheet] = []
        self.begun: dict[int, Sheet] = {}  # by the event that asked for it
        self.current: Sheet | None = None  # accepted, and not over
        self.waiting: list[Step] = []  # conditions of the order that comes next

    def take(self, step: Step, record: np.record) -> None:
        """The next thing that happened, and the record that says so."""
        if step.kind == "condition":
            self.waiting.append(step)
        elif step.kind == "order":
            sheet = self.begun[step.event] = self._begin(step.account, step.side)
            sheet.asked, sheet.known = int(record["quantity"]), True
            sheet.steps += [*self.waiting, step]
            self.waiting = []
        elif step.kind == "accepted" or step.refused == "order":
            self._note(self.begun.get(step.event) or self._begin(None, None), step, record)
        else:
            self._note(self.current or self._latest(), step, record)

    def _begin(self, account: int | None, side: str | None) -> "Sheet":
        self.sheets.append(Sheet(account, side))
        return self.sheets[-1]

    def _latest(self) -> "Sheet":
        """The one that is over, or one that began before the log does."""
        return self.sheets[-1] if self.sheets else self._begin(None, None)

    def _note(self, sheet: "Sheet", step: Step, record: np.record) -> None:
        sheet.steps.append(step)
        if step.book is not None:
            sheet.note(step, record)
            if sheet.state == "open":
                self.current = sheet
            elif sheet is self.current:
                self.current = None

    def lives(self) -> list[Life]:
        """All of them, summed up."""
        if self.waiting:
            self._latest().steps += self.waiting
        return [sheet.life(self.order, self.symbol, self.unit) for sheet in self.sheets]


class Sheet:
    """What one order comes to, in lots and price units."""

    def __init__(self, account: int | None, side: str | None) -> None:
        self.account, self.side, self.steps = account, side, list[Step]()
        self.asked = self.traded = self.worth = self.lost = self.left = 0
        self.state, self.known = "unanswered", False

    def note(self, step: Step, record: np.record) -> None:
        """What a report changes."""
        if step.kind == "rejected":
            self.state = "rejected" if step.refused == "order" else self.state
            return
        lots, self.left = int(record["quantity"]), int(record["left"])
        self.side = self.side or step.side
        self.state = "open"
        if step.kind == "fill":
            self.traded += lots
            self.worth += lots * int(record["price"])
            self.state = "open" if self.left else "filled"
        elif step.kind == "canceled":
            self.lost += lots
            self.state = "cancelled"
        elif step.why == "asked":
            self.asked -= lots
        elif step.why == "stp":
            self.lost += lots

    def life(self, order: int, symbol: str, unit: Unit) -> Life:
        """The sheet in units and currency."""
        if not self.known:
            self.asked = self.traded + self.lost + self.left
            self.state = "unknown" if self.state == "unanswered" else self.state
        amounts = (self.asked, self.traded, self.lost, self.left)
        asked, traded, lost, left = (units(lots, unit.lot_scale) for lots in amounts)
        average = self.worth / self.traded / unit.price_scale if self.traded else None
        return Life(
            order=order, symbol=symbol, account=self.account, side=self.side, asked=asked,
            traded=traded, average=average, lost=lost, left=left, state=self.state,
            steps=self.steps,
        )  # fmt: skip
