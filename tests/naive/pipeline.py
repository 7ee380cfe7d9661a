"""The stages between the log and the outside as anybody would write them: what must come out."""

import numpy as np

from tests.naive.orderbook import Books, Message
from tests.naive.risk import Risk
from workers.book import BookOptions
from workers.kernels.orderbook import Limits, Outcome
from workers.kernels.positions import PRICE_LIMIT
from workers.records import LEVEL, MONEY_SCALE, RISK, TOP, TRADE, Book, Event, Flag, Side, empty
from workers.risk import CONVENTION, RiskOptions, load_scenarios


class NaiveBook:
    """Events in, the records of the book ring out."""

    def __init__(self, options: BookOptions, instruments: int) -> None:
        self.books = Books(Limits(options.orders, options.levels, instruments))
        self.levels, self.states = options.publish_levels, [0] * instruments
        self.records: list[np.ndarray] = []

    def take(self, event: np.ndarray) -> None:
        """Fold one event in."""
        message = Message(**{name: int(event[name]) for name in Message._fields})
        outcome, instrument, self.index = self.books.apply(message), message.instrument, 0
        traded, kind = self.books.traded, message.kind
        if traded[1] > 0:
            self.trade(event, self.books.changes[0][0], *traded[:2])
        elif outcome == Outcome.IGNORED and 0 <= instrument < len(self.states):
            if kind == Event.STATUS:
                self.states[instrument] = int(event["flags"])
                self.top(event, Book.STATUS)
            elif kind in (Event.TRADE, Event.CROSS) and message.quantity > 0:
                self.trade(event, message.side, message.price, message.quantity)
        for side, price, quantity, orders in self.books.changes if self.levels else ():
            self.answer(
                event, LEVEL, kind=Book.LEVEL, side=side, price=price, quantity=quantity,
                orders=orders, state=self.states[instrument],
            )  # fmt: skip
        if self.books.top_moved:
            self.top(event, Book.TOP)

    def trade(self, event: np.ndarray, side: int, price: int, quantity: int) -> None:
        self.answer(
            event, TRADE, kind=Book.TRADE, side=side, price=price, quantity=quantity,
            order=event["order"], match=event["other"], state=int(event["flags"]) & Flag.UNPRINTED,
        )  # fmt: skip

    def top(self, event: np.ndarray, kind: Book) -> None:
        instrument = int(event["instrument"])
        (bid, bids), (ask, asks) = [best[0] if best else (0, 0) for best in self.best(instrument)]
        self.answer(
            event, TOP, kind=kind, side=Side.NONE, bid=bid, bid_quantity=bids, ask=ask,
            ask_quantity=asks, state=self.states[instrument],
        )  # fmt: skip

    def best(self, instrument: int) -> list[list[tuple[int, int]]]:
        return self.books.tops(instrument)

    def answer(self, event: np.ndarray, layout: np.dtype, **fields: int) -> None:
        record = empty(layout, 1)[0]
        record["sequence"] = len(self.records) + 1
        record["cause"], record["time_ns"] = event["sequence"], event["time_ns"]
        record["instrument"], record["index"] = event["instrument"], self.index
        for name, value in fields.items():
            record[name] = value
        self.records.append(record.tobytes())
        self.index += 1


class NaiveRisk:
    """Records of the book ring in, those of the risk ring out."""

    def __init__(self, options: RiskOptions, names: dict[int, tuple[str, int]]) -> None:
        self.options, self.names = options, names
        self.returns = load_scenarios(options)
        days = max((len(row) for row in self.returns.values()), default=0)
        self.risk = Risk(len(options.portfolios), days)
        self.met: dict[str, int] = {}  # symbol -> the instrument that was first of that name
        self.marks: dict[int, int] = {}
        self.records: list[bytes] = []

    def take(self, top: np.ndarray) -> None:
        """Mark what is held to one record, if it is a top that moves a mark."""
        instrument, bid, ask = int(top["instrument"]), int(top["bid"]), int(top["ask"])
        if top["kind"] != Book.TOP or not self.holds(instrument):
            return
        good = bid > 0 and ask > 0 and max(bid, ask) <= PRICE_LIMIT
        if not good or self.marks.get(instrument) == bid + ask:
            return
        self.marks[instrument] = bid + ask
        assert self.risk.mark(instrument, bid, ask)
        holders = [n for n, held in enumerate(self.risk.portfolios) if instrument in held]
        for index, number in enumerate(holders):
            self.answer(top, number, index)

    def holds(self, instrument: int) -> bool:
        """Whether any portfolio holds an instrument; positions join when it is first met."""
        symbol, scale = self.names[instrument]
        if symbol not in self.met:
            self.met[symbol] = instrument
            for number, portfolio in enumerate(self.options.portfolios):
                position = portfolio.positions.get(symbol)
                if position:
                    cost = round(position.quantity * position.price * MONEY_SCALE)
                    returns = self.returns[symbol]
                    self.risk.hold(number, instrument, position.quantity, cost, scale, returns)
        return self.met[symbol] == instrument and symbol in self.returns

    def answer(self, top: np.ndarray, number: int, index: int) -> None:
        record = empty(RISK, 1)[0]
        record["sequence"] = len(self.records) + 1
        record["cause"], record["time_ns"] = top["sequence"], top["time_ns"]
        record["instrument"], record["portfolio"] = top["instrument"], number
        record["index"], record["kind"] = index, CONVENTION
        record["value"], record["pnl"] = self.risk.value(number), self.risk.pnl(number)
        record["var_99"], record["es_975"] = self.risk.var_99(number), self.risk.es_975(number)
        self.records.append(record.tobytes())


def names_of(events: np.ndarray) -> dict[int, tuple[str, int]]:
    """Symbol and price scale of every instrument that a log announces."""
    announced = events[events["kind"] == Event.DIRECTORY]
    return {
        int(event["instrument"]): (
            event.tobytes()[16:40].decode().strip(" \0"),
            int(event["quantity"]),
        )
        for event in announced
    }


def answers(
    events: np.ndarray, book: BookOptions, risk: RiskOptions, instruments: int
) -> dict[str, bytes]:
    """All records of the book and of the risk ring that must follow from a log, as bytes."""
    books, desk = NaiveBook(book, instruments), NaiveRisk(risk, names_of(events))
    for event in events:
        first = len(books.records)
        books.take(event)
        for record in books.records[first:]:
            desk.take(np.frombuffer(record, TOP)[0])
    return {"book": b"".join(books.records), "risk": b"".join(desk.records)}
