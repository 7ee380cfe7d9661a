"""An engine in memory of the test's own, and everything that it says."""

from collections.abc import Iterable

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from tests.naive.matching import Asked, Matching
from tests.workers.books import Block
from workers.feeds.lobster import symbol_bytes
from workers.kernels import bookview, matching, orderbook
from workers.kernels import engine as block
from workers.kernels.bookview import Fault
from workers.kernels.engine import (
    ACCOUNT,
    ENGINE,
    EXPIRY,
    QUEUES,
    RESERVE,
    RULE,
    STANDING,
    STOPS,
    TICKET,
    ticket_at,
)
from workers.kernels.engine_settings import Settings
from workers.kernels.levels import level_at, nth, side_at
from workers.kernels.resting import LEVEL, ORDER, SIDE, levels_of, order_at
from workers.records import EVENT, LOT_DECIMALS, MATCHED, REPORT, Event, State, empty

FIELDS = ("kind", "instrument", "side", "state", "order", "price", "quantity", "left")
EVENT_BYTES, REPORT_BYTES = EVENT.itemsize, REPORT.itemsize
WORDS = 8


@kernel
def run(engine, books, events, count, target, room):
    """Fold in events; write all that they give, as the stage would; return how many records."""
    written = 0
    for number in range(count):
        event = at(events + EVENT_BYTES * number, EVENT)
        matching.begin(engine, books, event)
        index = 0
        while matching.busy(engine):
            given = matching.step(engine, books)
            if written + given > room:
                return -1
            for output in range(given):
                report = at(target + REPORT_BYTES * written, REPORT)
                copy(target + REPORT_BYTES * written, block.output_at(engine, output))
                report.cause, report.time_ns, report.index = event.sequence, event.time_ns, 0
                written += 1
                index += 1
    return written


WORD = np.dtype((np.record, [("value", "i8")]))


@kernel
def copy(target, source):
    """Copy a record but its sequence."""
    for word in range(WORDS - 1):
        at(target + 8 * word, WORD).value = at(source + 8 * word, WORD).value


class Desk:
    """Books and an engine over them."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.limits = block.books_limits(settings)
        self.books = Block(orderbook.bytes_needed(self.limits))
        self.engine = Block(block.bytes_needed(settings))
        orderbook.create(self.books.address, self.limits)
        block.create(self.engine.address, self.books.address, settings)
        self.sequence = 0

    def run(self, events: np.ndarray, room: int = 0) -> np.ndarray:
        """Fold in events; all records that they gave."""
        room = room or 64 + 8 * len(events)
        target = empty(REPORT, room)
        events["sequence"] = np.arange(self.sequence, self.sequence + len(events))
        self.sequence += len(events)
        count = run(
            self.engine.address,
            self.books.address,
            events.ctypes.data,
            len(events),
            target.ctypes.data,
            room,
        )
        assert count >= 0
        return target[:count]

    def apply(self, *asked: Asked) -> list[tuple]:
        """Fold in events one by one; the plain columns of what they gave."""
        return columns(self.run(events_of(asked)))

    def copy(self) -> "Desk":
        """The same bytes at other addresses."""
        other = Desk(self.settings)
        other.books.words[:] = self.books.words
        other.engine.words[:] = self.engine.words
        other.sequence = self.sequence
        return other

    def announced(self) -> dict[int, int]:
        """Matched instruments and the numbers of their rules, as they were announced."""
        header = at(self.engine.address, ENGINE)
        rules = range(1, int(header.rules_used) + 1)
        return {int(at(block.rule_at(self.engine.address, n), RULE).instrument): n for n in rules}

    def queue(self, owner: int) -> list[tuple]:
        """Orders on a side, in the sequence in which they trade."""
        books, engine, found = self.books.address, self.engine.address, []
        levels = levels_of(books)
        for depth in range(int(at(side_at(levels, owner), SIDE).count)):
            level_number = nth(levels, owner, depth)
            level = at(level_at(levels, level_number), LEVEL)
            number, hidden = int(level.head), 0
            while number:
                order, ticket = (
                    at(order_at(books, number), ORDER),
                    at(ticket_at(engine, number), TICKET),
                )
                hidden += int(ticket.hidden)
                key = (int(order.order), int(ticket.account), int(ticket.side), int(ticket["bits"]))
                left = int(order.quantity + ticket.hidden)
                found.append(
                    (*key, int(ticket.price), left, int(order.quantity), int(ticket.dated))
                )
                number = int(order.next)
            assert hidden == at(block.reserve_at(engine, level_number), RESERVE).value
        return found

    def dates(self, owner: int) -> list[tuple]:
        """Times and orders in EXPIRY."""
        levels, found = levels_of(self.books.address), []
        for depth in range(int(at(side_at(levels, owner), SIDE).count)):
            level = at(level_at(levels, nth(levels, owner, depth)), LEVEL)
            number = int(level.head)
            while number:
                order = at(order_at(self.books.address, number), ORDER)
                found.append((int(level.price), int(order.order)))
                number = int(order.next)
        return found

    def state(self) -> dict:
        """All that is in the books and behind them, as `naive_state` has it."""
        engine, found = self.engine.address, {}
        for instrument, rule in self.announced().items():
            first = [2 * block.shadow(engine, rule, which) for which in range(3)]
            owners = [2 * instrument, 2 * instrument + 1]
            owners += [first[STOPS], first[STOPS] + 1, first[QUEUES], first[QUEUES] + 1]
            terms = at(block.rule_at(engine, rule), RULE)
            dates = self.dates(first[EXPIRY] + 1)
            assert terms.dated == len(dates)
            tail = (int(terms.state), int(terms.last), dates)
            found[instrument] = (*(self.queue(owner) for owner in owners), *tail)
        return found

    def stakes(self) -> list:
        """Open orders and positions of every account."""
        engine, found = self.engine.address, []
        for number in range(len(self.settings.accounts)):
            account = at(block.account_at(engine, number), ACCOUNT)
            rows = {}
            for instrument, rule in self.announced().items():
                standing = at(block.standing_at(engine, number, rule), STANDING)
                rows[instrument] = [
                    int(standing.position),
                    *standing.open.tolist(),
                    int(standing.held),
                ]
            found.append((int(account.open), int(account.held), rows))
        return found

    def check(self) -> None:
        """What must hold of the books whatever happened."""
        assert bookview.check(self.books.address) == Fault.NONE
        for instrument, rule in self.announced().items():
            terms = at(block.rule_at(self.engine.address, rule), RULE)
            bid, ask = (bookview.best(self.books.address, instrument, side) for side in (0, 1))
            if terms.state in (State.TRADING, State.UNKNOWN) and bid and ask:
                assert bid < ask


def naive_state(naive: Matching) -> dict:
    """What `Desk.state` says of an engine, of its twin."""
    found = {}
    for instrument, market in naive.markets.items():
        queues = market.lists()
        lists = [
            *queues[:4],
            market.waiting[0] + market.pegs[0],
            market.pegs[1] + market.waiting[1],
        ]
        rows = [
            [(o.id, o.account, o.side, o.bits, o.price, o.left, o.shown, o.dated) for o in orders]
            for orders in lists
        ]
        dates = [(order.expiry, order.id) for order in market.dates]
        found[instrument] = (*rows, int(market.state), market.last, dates)
    return found


def naive_stakes(naive: Matching) -> list:
    """What `Desk.stakes` says of an engine, of its twin."""
    return [
        (account.open, account.held, {i: account.standing(i) for i in naive.markets})
        for account in naive.accounts
    ]


def announced(instrument: int, symbol: str, scale: int = 100, decimals: int = 0) -> Asked:
    """What lists an instrument under a symbol; scale: price units in one unit of currency."""
    words = np.frombuffer(symbol_bytes(symbol), np.int64).tolist()
    flags = MATCHED | decimals << LOT_DECIMALS
    return Asked(Event.DIRECTORY, *words, scale, instrument, flags=flags)


def drawn_returns(symbols: Iterable[str], count: int = 60, seed: int = 1) -> dict[str, np.ndarray]:
    """Fat-tailed returns in fixed point, int32 [count], of each symbol, always the same."""
    draw = np.random.default_rng(seed)
    return {name: (draw.standard_t(3, count) * 2**17).astype(np.int32) for name in symbols}


def events_of(asked: Iterable[Asked]) -> np.ndarray:
    """Events in memory."""
    rows = list(asked)
    events = empty(EVENT, len(rows))
    for name, column in zip(Asked._fields, zip(*rows, strict=True), strict=True):
        events[name] = column
    return events


def columns(records: np.ndarray) -> list[tuple]:
    """Records as the twin tells them."""
    return list(zip(*(records[name].tolist() for name in FIELDS), strict=True))
