"""The stages between the log and the outside as anybody would write them: what must come out."""

import zlib
from collections import Counter
from decimal import Decimal
from itertools import zip_longest

import numpy as np

from tests.naive.bars import Bar, Bars
from tests.naive.consolidated import Group, Quote, Venue, merge
from tests.naive.measures import Measures
from tests.naive.orderbook import Books, Message
from tests.naive.risk_stage import NaiveRisk
from workers.book import BookOptions
from workers.enriched import ConsolidatedOptions
from workers.kernels.orderbook import Limits, Outcome
from workers.records import (
    BAR,
    BAR_FLOW,
    CONSOLIDATED,
    FLOW,
    HOLDING,
    LEVEL,
    QUOTE,
    TOP,
    TRADE,
    WHOLE,
    Book,
    Checksum,
    Event,
    Flag,
    Mark,
    Side,
    State,
    empty,
)
from workers.risk_options import RiskOptions

FULL = (Outcome.ORDERS_FULL, Outcome.LEVELS_FULL)
WITH_FLAGS = (*range(Event.ADD, Event.STATUS), Event.SET, Event.CLEAR, Event.MODIFY)
Groups = dict[str, ConsolidatedOptions] | None
FLOATS = {
    Book.QUOTE: (QUOTE, ("microprice", "imbalance")),
    Book.FLOW: (FLOW, ("vwap", "volatility")),
    Book.BAR_FLOW: (BAR_FLOW, ("vwap",)),
}


def must_be_alike(found: bytes, wanted: bytes) -> None:
    """Fail unless two streams of the book ring are the same, bit for bit but for the last bits of
    what is no whole number: the twins work it out exactly."""
    plain = []
    for content in (found, wanted):
        rows = np.frombuffer(content, TOP).copy()
        numbers = []
        for kind, (layout, names) in FLOATS.items():
            for name in names:
                column = rows.view(layout)[name]
                numbers.append(column[rows["kind"] == kind])
                column[rows["kind"] == kind] = 0
        plain.append((rows.tobytes(), np.concatenate(numbers)))
    assert plain[0][0] == plain[1][0]
    np.testing.assert_allclose(plain[0][1], plain[1][1], rtol=1e-12, atol=0)


class NaiveBook:
    """Events in, the records of the book ring out."""

    def __init__(self, options: BookOptions, instruments: int, groups: Groups = None) -> None:
        self.books = Books(Limits(options.orders, options.levels, instruments))
        self.levels = options.publish_levels
        self.states = [0] * instruments  # State and Mark
        self.moved = [False] * instruments
        self.early = [False] * instruments
        self.whole = [False] * instruments
        self.scales = [(0, 0)] * instruments  # price scale, decimals of a lot
        self.traded, self.volumes = [(0, 0)] * instruments, [0] * instruments
        self.counts: Counter[str] = Counter()
        self.records: list[bytes] = []
        settings = options.measures and options.measures.settings(instruments)
        self.measures = [Measures(settings) for _ in range(instruments if settings else 0)]
        self.bars = Bars(instruments, [series.series() for series in options.bars])
        self.venues = NaiveVenues(groups or {})
        self.period_ns = round((options.snapshot_s or 0) * 1e9)
        self.snapshot_ns: dict[int, int] = {}  # when a book was shown last
        self.wanted: set[int] = set()

    def take(self, event: np.ndarray) -> None:
        """Fold one event in."""
        message = Message(**{name: int(event[name]) for name in Message._fields})
        self.index, self.event, instrument = 0, event, message.instrument
        self.shut(self.bars.on_time(instrument, int(event["time_ns"])))
        flags = int(event["flags"])
        outcome = self.books.apply(message)
        self.counts[outcome.name.lower()] += 1
        if not 0 <= instrument < len(self.states):
            return
        traded = self.books.traded
        if traded[1] > 0:
            self.trade(self.books.changes[0][0], *traded[:2])
        elif outcome == Outcome.IGNORED:
            self.inform(message, flags)
        elif outcome in FULL or (outcome == Outcome.UNKNOWN_ORDER and self.whole[instrument]):
            self.doubt(instrument)
        elif outcome == Outcome.UNKNOWN_ORDER:
            self.counts["partial"] += 1
            self.states[instrument] |= Mark.PARTIAL
        for side, price, quantity, orders in self.books.changes if self.levels else ():
            self.answer(
                LEVEL, kind=Book.LEVEL, side=side, price=price, quantity=quantity,
                orders=orders, state=self.states[instrument],
            )  # fmt: skip
        if message.kind == Event.CLEAR:
            self.states[instrument] &= ~Mark.PARTIAL
            self.top(Book.CLEARED)
        self.moved[instrument] |= self.books.top_moved
        if self.moved[instrument] and not (message.kind in WITH_FLAGS and flags & Flag.PART):
            self.moved[instrument] = False
            self.cross(instrument)
            self.top(Book.TOP)
        if self.period_ns and not (message.kind in WITH_FLAGS and flags & Flag.PART):
            self.show_whole(instrument, int(event["time_ns"]))

    def show_whole(self, instrument: int, now: int) -> None:
        """Every level of a book whose time it is."""
        apart = abs(now - self.snapshot_ns.setdefault(instrument, now))
        if apart < self.period_ns and instrument not in self.wanted:
            return
        self.snapshot_ns[instrument] = now
        self.wanted.discard(instrument)
        levels = [
            (side, price, sum(quantity for _, quantity in queue), len(queue))
            for side in (Side.BID, Side.ASK)
            for price, queue in self.books.depth(instrument, side)
        ] or [(Side.NONE, 0, 0, 0)]
        for following in reversed(range(len(levels))):
            side, price, quantity, orders = levels[-following - 1]
            self.answer(
                WHOLE, kind=Book.DEPTH, side=side, price=price, quantity=quantity,
                orders=orders, following=following, state=self.states[instrument],
            )  # fmt: skip
        self.counts["snapshots"] += 1

    def inform(self, message: Message, flags: int) -> None:
        """What no book holds."""
        instrument, kind = message.instrument, message.kind
        if kind == Event.STATUS:
            kept = self.states[instrument] & (Mark.CROSSED | Mark.STALE | Mark.PARTIAL)
            self.states[instrument] = kept | flags
            self.top(Book.STATUS)
        elif kind in (Event.TRADE, Event.CROSS) and message.quantity > 0:
            self.trade(message.side, message.price, message.quantity)
        elif kind == Event.DIRECTORY:
            self.scales[instrument] = message.quantity, flags // 16
            self.counts.update(self.venues.announce(self.event))
        elif kind == Event.STALE:
            self.whole[instrument] = False
            self.doubt(instrument)
        elif kind == Event.FRESH and self.states[instrument] & (Mark.STALE | Mark.BARRED):
            self.states[instrument] &= ~(Mark.STALE | Mark.BARRED)
            self.moved[instrument] = self.whole[instrument] = True
            self.counts["fresh"] += 1
            self.wanted.add(instrument)
            self.top(Book.STATUS)
        elif kind == Event.HOLDING:
            event = self.event
            self.answer(
                HOLDING, kind=Book.HOLDING, portfolio=event["order"], price=event["price"],
                quantity=event["quantity"], side=event["side"], state=event["flags"],
            )  # fmt: skip
        elif kind == Event.CHECK:
            texts = {Checksum.KRAKEN: self.kraken, Checksum.OKX: self.okx}
            text = texts[Checksum(flags)](message) if flags in texts else None
            good = text is not None and zlib.crc32(text.encode()) == message.order
            self.counts["checks_passed" if good else "checks_failed"] += 1
            if not good:
                self.doubt(instrument)

    def doubt(self, instrument: int) -> None:
        if not self.states[instrument] & Mark.STALE:
            self.states[instrument] += Mark.STALE
            self.counts["stale"] += 1
            self.top(Book.STATUS)

    def cross(self, instrument: int) -> None:
        """Whether the book came to be crossed, or stopped to be."""
        (bid, _), (ask, _) = [best[0] if best else (0, 0) for best in self.best(instrument)]
        state = self.states[instrument]
        if not ask or bid <= ask:
            self.states[instrument] = state & ~Mark.CROSSED
            self.early[instrument] = False
            return
        told, traded = state % Mark.PARTIAL, self.traded[instrument][1] > 0
        if told == State.TRADING or (told == State.UNKNOWN and traded):
            self.counts["crossed"] += not state & Mark.CROSSED
            self.states[instrument] = state | Mark.CROSSED
        else:
            self.counts["crossed_early"] += not self.early[instrument]
            self.early[instrument] = True

    def shown(self, instrument: int, depth: int) -> list[list[tuple[str, str]]]:
        """The best levels of both sides with prices and quantities as decimals."""
        scale, lot = self.scales[instrument]
        unit, lots = Decimal(max(scale, 1)), Decimal(10) ** lot
        return [
            [
                (Decimal(price) / unit, Decimal(sum(q for _, q in queue)) / lots)
                for price, queue in self.books.depth(instrument, side)[:depth]
            ]
            for side in (Side.BID, Side.ASK)
        ]

    def kraken(self, message: Message) -> str:
        bids, asks = self.shown(message.instrument, 10)
        digits = []
        for price, quantity in asks + bids:
            digits.append(f"{price:.{message.price}f}".replace(".", "").lstrip("0") or "0")
            digits.append(f"{quantity:.{message.quantity}f}".replace(".", "").lstrip("0") or "0")
        return "".join(digits)

    def okx(self, message: Message) -> str:
        bids, asks = self.shown(message.instrument, 25)
        turns = [level for pair in zip_longest(bids, asks) for level in pair if level]
        return ":".join(f"{number.normalize():f}" for level in turns for number in level)

    def trade(self, side: int, price: int, quantity: int) -> None:
        event = self.event
        instrument, unprinted = int(event["instrument"]), int(event["flags"]) & Flag.UNPRINTED
        self.traded[instrument] = (price, quantity)
        self.volumes[instrument] += 0 if unprinted else quantity
        self.answer(
            TRADE, kind=Book.TRADE, side=side, price=price, quantity=quantity,
            order=event["order"], match=event["other"], state=unprinted,
        )  # fmt: skip
        if unprinted:
            return
        if self.measures:
            self.measures[instrument].on_trade(int(event["time_ns"]), price, quantity)
            self.flow(instrument)
        self.shut(self.bars.on_trade(instrument, int(event["time_ns"]), price, quantity))

    def top(self, kind: Book) -> None:
        instrument = int(self.event["instrument"])
        (bid, bids), (ask, asks) = [best[0] if best else (0, 0) for best in self.best(instrument)]
        self.answer(
            TOP, kind=kind, side=Side.NONE, bid=bid, bid_quantity=bids, ask=ask,
            ask_quantity=asks, state=self.states[instrument],
        )  # fmt: skip
        state, quote = self.states[instrument], Quote(bid, bids, ask, asks)
        stopped = state % Mark.PARTIAL in (State.HALTED, State.PAUSED)
        bad = stopped or state & (Mark.STALE | Mark.BARRED)
        if self.measures:
            self.quote(instrument, quote, not bad and not state & Mark.CROSSED)
        for best in self.venues.on_top(instrument, None if bad else quote):
            self.answer(CONSOLIDATED, kind=Book.CONSOLIDATED, **best)

    def quote(self, instrument: int, quote: Quote, trusted: bool) -> None:
        measures = self.measures[instrument]
        before = len(measures.returns)
        measures.on_top(int(self.event["time_ns"]), *quote, trusted)
        self.answer(
            QUOTE, kind=Book.QUOTE, mid=measures.mid, spread=measures.spread,
            microprice=float(measures.microprice), imbalance=float(measures.imbalance),
            state=self.states[instrument],
        )  # fmt: skip
        if len(measures.returns) > before:
            self.flow(instrument)

    def flow(self, instrument: int) -> None:
        measures = self.measures[instrument]
        self.answer(
            FLOW, kind=Book.FLOW, vwap=float(measures.vwap),
            volatility=float(measures.volatility), trades=len(measures.trades),
            volume=sum(lots for _, lots in measures.trades),
        )  # fmt: skip

    def shut(self, closed: list[Bar]) -> None:
        """Two records for each bar."""
        for bar in closed:
            self.answer(
                BAR, kind=Book.BAR, instrument=bar.instrument, series=bar.series, open=bar.open,
                high=bar.high, low=bar.low, close=bar.close, state=self.states[bar.instrument],
            )  # fmt: skip
            self.answer(
                BAR_FLOW, kind=Book.BAR_FLOW, instrument=bar.instrument, vwap=float(bar.vwap),
                volume=bar.volume, trades=bar.trades, start_ns=bar.start_ns,
            )  # fmt: skip

    def best(self, instrument: int) -> list[list[tuple[int, int]]]:
        return self.books.tops(instrument)

    def answer(self, layout: np.dtype, **fields: int | float) -> None:
        record, event = empty(layout, 1)[0], self.event
        record["sequence"] = len(self.records) + 1
        record["cause"], record["time_ns"] = event["sequence"], event["time_ns"]
        record["instrument"], record["index"] = event["instrument"], min(self.index, 255)
        for name, value in fields.items():
            record[name] = value
        self.records.append(record.tobytes())
        self.index += 1


class NaiveVenues:
    """Instruments on several venues; a venue that nobody announced is None."""

    def __init__(self, groups: dict[str, ConsolidatedOptions]) -> None:
        self.options = list(groups.values())
        self.groups = [Group([None] * len(each.venues)) for each in self.options]
        self.names = [dict.fromkeys(range(len(each.venues)), -1) for each in self.options]
        self.first = [-1] * len(groups)
        nothing = {"bid": 0, "ask": 0, "bid_quantity": 0, "ask_quantity": 0}
        self.shown = [{**nothing, "venues": 0xFF, "state": int(Mark.STALE)} for _ in groups]

    def place(self, instrument: int) -> tuple[int, int] | None:
        """(group, place) of an instrument."""
        for number, names in enumerate(self.names):
            for place, name in names.items():
                if name == instrument:
                    return number, place
        return None

    def announce(self, event: np.ndarray) -> list[str]:
        """What is to be counted."""
        if found := self.place(int(event["instrument"])):
            self.remove(*found)
        symbol = event.tobytes()[16:40].decode("ascii", "replace").strip(" \0")
        for number, options in enumerate(self.options):
            for place, wanted in enumerate(options.places()):
                if wanted == (int(event["source"]), symbol):
                    self.remove(number, place)
                    scale, lot = int(event["quantity"]), int(event["flags"]) // 16
                    whole = scale > 0 and 10**options.price_decimals % scale == 0
                    if not whole or lot > options.lot_decimals:
                        return ["venues_unscaled"]
                    self.groups[number].venues[place] = Venue(scale, lot)
                    self.names[number][place] = int(event["instrument"])
                    if self.first[number] < 0:
                        self.first[number] = int(event["instrument"])
                    return ["venues_announced"]
        return []

    def remove(self, number: int, place: int) -> None:
        self.groups[number].venues[place] = None
        self.names[number][place] = -1

    def on_top(self, instrument: int, quote: Quote | None) -> list[dict[str, int]]:
        """What is to be told: nothing, or the best of a group."""
        found = self.place(instrument)
        if not found:
            return []
        number, place = found
        group, options = self.groups[number], self.options[number]
        group.on_top(place, quote)
        told: dict[str, int] = {}
        best = {side: group.best(side) for side in ("bid", "ask")}
        for side, (price, quantity, _) in best.items():
            told[side] = int(price * 10**options.price_decimals)
            told[f"{side}_quantity"] = int(quantity * 10**options.lot_decimals)
        bidder, asker = [15 if at is None else at for _, _, at in best.values()]
        told["venues"], told["state"] = 16 * bidder + asker, group.fresh
        if told["bid"] and told["ask"] and told["bid"] >= told["ask"]:
            told["state"] += 16 if told["bid"] == told["ask"] else Mark.CROSSED
        if group.fresh == 0:
            told["state"] += Mark.STALE
        if told == self.shown[number]:
            return []
        self.shown[number] = told
        return [{**told, "instrument": self.first[number]}]

    def levels(self, number: int, books: Books, side: int) -> list[tuple[int, int, int]]:
        """All levels of the venues that count, best first, in the group's units, and who is there
        as bits."""
        sides, options = [], self.options[number]
        for place, venue in enumerate(self.groups[number].venues):
            levels = {}
            if venue and venue.quote:
                for price, queue in books.depth(self.names[number][place], side):
                    levels[price * venue.price_unit] = sum(q for _, q in queue) * venue.lot
            sides.append(levels)
        scale, lots = 10**options.price_decimals, 10**options.lot_decimals
        return [
            (int(price * scale), int(quantity * lots), places)
            for price, quantity, places in merge(sides, side == Side.BID)
        ]


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
    events: np.ndarray,
    book: BookOptions,
    risk: RiskOptions,
    instruments: int,
    groups: Groups = None,
) -> dict[str, bytes]:
    """All records of the book and of the risk ring that must follow from a log, as bytes."""
    books, desk = NaiveBook(book, instruments, groups), NaiveRisk(risk, names_of(events))
    for event in events:
        first = len(books.records)
        books.take(event)
        for record in books.records[first:]:
            desk.take(np.frombuffer(record, TOP)[0])
    return {"book": b"".join(books.records), "risk": b"".join(desk.records)}
