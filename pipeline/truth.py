"""The book that came out of the pipeline against the exchange's own, as LOBSTER files give it.

Pure comparison: events and book records go in as arrays, in any chunks; a verdict comes out.

`RowTruth` is for an order book file with one row per message. After every message each level that
can be known must be as in its row. A level of a side cannot be known in one case: the row before
showed a full side, and this message emptied one of its levels: then the last level of the row has
just come into sight. It is counted as undecidable, and checked no further than that it lies behind
all known levels. Events that the feed inferred may change nothing that was in sight.

`StateTruth` is for a file that does not go with the messages row by row: the sequences of distinct
best prices and quantities are laid side by side, from the first one of the file on. What differs
counts against the match, unless it rests on an order that the feed could only presume gone.
"""

from bisect import bisect_left, insort
from collections import Counter
from typing import NamedTuple

import numpy as np

from workers.feeds.lobster_book import COLUMNS
from workers.kernels.lobster import PRICE_DUMMY, UNREADABLE
from workers.records import LEVEL, TOP, Book, Event, Flag, Side

TAKERS = (Event.EXECUTE, Event.CANCEL, Event.DELETE)
SIDES = (int(Side.BID), int(Side.ASK))
RUN = 4  # equal states that count as being in step again
SLIP_MAX = 2_000  # states looked through for being in step again
EVENT_FIELDS = ("sequence", "other", "price", "order", "kind", "side", "flags")


class Verdict(NamedTuple):
    """How much of what can be known came out right."""

    matched: int
    total: int
    undecidable: int
    notes: dict[str, int]  # classes of what was met, with counts
    first_fault: str = ""  # the first thing that did not match

    @property
    def holds(self) -> bool:
        """True where something was compared and all of it matched."""
        return self.matched == self.total > 0

    def line(self, source: str, symbol: str) -> str:
        """The verdict as `corelane verify` prints it."""
        return (
            f"{source} {symbol} matched {self.matched} of {self.total}, "
            f"undecidable {self.undecidable}"
        )


class Tape:
    """Chunks of one instrument's events and book records, of each only what a comparison needs."""

    def __init__(self, instrument: int | None, kind: Book, layout: np.dtype, fields: tuple) -> None:
        self._instrument, self._kind, self._layout, self._fields = instrument, kind, layout, fields
        self._events: list[np.ndarray] = []
        self._records: list[np.ndarray] = []

    def feed(self, events: np.ndarray, records: np.ndarray) -> None:
        """Take the next of both: EVENT records, and raw book records viewed as TOP."""
        events = events[events["kind"] != Event.DIRECTORY]
        records = records[records["kind"] == self._kind]
        if self._instrument is not None:
            events = events[events["instrument"] == self._instrument]
            records = records[records["instrument"] == self._instrument]
        self._events.append(_columns(events, EVENT_FIELDS))
        self._records.append(_columns(records.view(self._layout), self._fields))

    def joined(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """All events and all records so far, as columns; `inferred` and `owner` added.

        The owner of an event is the index of the event that a message made and that it goes with:
        itself, or the next one where it is inferred. The owner of a record is that of its cause.
        """
        events = _named(self._events, EVENT_FIELDS)
        records = _named(self._records, self._fields)
        bits = ~np.isin(events["kind"], (Event.STATUS, Event.SYSTEM))  # theirs are no Flags
        events["inferred"] = bits & (events["flags"] & Flag.INFERRED != 0)
        own = np.append(np.nonzero(~events["inferred"])[0], len(bits))
        events["owner"] = own[np.searchsorted(own, np.arange(len(bits)))]
        place = np.searchsorted(events["sequence"], records["cause"])
        known = place < len(bits)
        known[known] = events["sequence"][place[known]] == records["cause"][known]
        records = {name: column[known] for name, column in records.items()}
        records["event"] = place[known]
        records["owner"] = events["owner"][place[known]]
        return events, records


def _columns(records: np.ndarray, fields: tuple) -> np.ndarray:
    return np.stack([records[name].astype(np.int64) for name in fields])


def _named(parts: list[np.ndarray], fields: tuple) -> dict[str, np.ndarray]:
    whole = np.concatenate(parts, axis=1) if parts else np.empty((len(fields), 0), np.int64)
    return dict(zip(fields, whole, strict=True))


class Ladder:
    """One side of our book as its LEVEL records tell it, and of the exchange's rows."""

    def __init__(self, side: int, book: np.ndarray) -> None:
        first, self.sign = (2, -1) if side == Side.BID else (0, 1)
        self.depth = book.shape[1] // COLUMNS
        self._book, self._first = book, first
        self._quantities: dict[int, int] = {}
        self._keys: list[int] = []  # rising from best to worst
        self.before: list[tuple[int, int]] = []  # the exchange's levels in the last row
        self.theirs: list[tuple[int, int]] = []  # and in the row at hand
        self.changed: dict[int, int] = {}  # by inferred events that go with this row
        self.emptied = False  # the row's own event emptied a level in sight

    def put(self, price: int, quantity: int, inferred: bool) -> None:
        """What rests at a price is now `quantity`."""
        key, before = price * self.sign, self._quantities.get(price * self.sign, 0)
        if inferred:
            self.changed[key] = self.changed.get(key, 0) + quantity - before
        if quantity == 0 and before:
            rank = bisect_left(self._keys, key)
            del self._keys[rank], self._quantities[key]
            self.emptied = self.emptied or (rank < self.depth and not inferred)
            return
        if not before:
            insort(self._keys, key)
        self._quantities[key] = quantity

    def shown(self) -> list[tuple[int, int]]:
        """Our best levels as (key, quantity), filled up as the exchange fills a row."""
        levels = [(key, self._quantities[key]) for key in self._keys[: self.depth]]
        return levels + [(PRICE_DUMMY, 0)] * (self.depth - len(levels))

    def read(self, number: int) -> None:
        """Take up the exchange's next row, as (key, quantity) of every level."""
        row = self._book[number]
        keys = (row[self._first :: COLUMNS] * self.sign).tolist()
        quantities = row[self._first + 1 :: COLUMNS].tolist()
        self.before, self.theirs = self.theirs, list(zip(keys, quantities, strict=True))
        self.changed, self.emptied = {}, False


class RowTruth:
    """Our book after every message against the rows of an order book file (`read_book`)."""

    def __init__(self, book: np.ndarray, instrument: int | None = None) -> None:
        self._book = book
        self._tape = Tape(instrument, Book.LEVEL, LEVEL, ("cause", "price", "quantity", "side"))
        self._notes: Counter[str] = Counter()
        self._undecidable = 0

    def feed(self, events: np.ndarray, records: np.ndarray) -> None:
        """Take the next events, and book records of any kind viewed as TOP, both in order."""
        self._tape.feed(events, records)

    def result(self) -> Verdict:
        """Compare all rows but the first, which the feed needs to learn what rested before."""
        events, records = self._tape.joined()
        ladders = {side: Ladder(side, self._book) for side in SIDES}
        self._count(events)
        rows = len(self._book)
        line = np.append(events["other"], rows + 1)[records["owner"]]  # past the end: no row
        starts = np.searchsorted(line, np.arange(1, rows + 2)).tolist()
        inferred = events["inferred"][records["event"]].tolist()
        moves = [records[name].tolist() for name in ("side", "price", "quantity")]
        moves = list(zip(*moves, inferred, strict=True))
        matched, first_fault = 0, ""
        for row in range(rows):
            fault = self._compare(ladders, row, moves[starts[row] : starts[row + 1]])
            matched += row > 0 and not fault
            first_fault = first_fault or (f"row {row + 1}: {fault}" if row and fault else "")
        return Verdict(matched, rows - 1, self._undecidable, dict(self._notes), first_fault)

    def _count(self, events: dict[str, np.ndarray]) -> None:
        """Note what the messages were, and those that no row belongs to."""
        own = ~events["inferred"]
        for kind, name in (
            (Event.TRADE, "hidden executions"),
            (Event.CROSS, "auction trades"),
            (Event.STATUS, "halts and resumptions"),
        ):
            self._notes[name] = int(np.count_nonzero(events["kind"][own] == kind))
        lines = events["other"][own]
        self._notes["inferred events"] = int(np.count_nonzero(~own))
        self._notes["rows without a message"] = len(self._book) - len(
            np.unique(lines[lines <= len(self._book)])
        )
        self._notes["messages without a row"] = int(np.count_nonzero(lines > len(self._book)))

    def _compare(self, ladders: dict[int, Ladder], row: int, moves: list) -> str:
        """Put a row's changes into our book and compare it; what is wrong, empty if nothing."""
        for ladder in ladders.values():
            ladder.read(row)
        for side, price, quantity, inferred in moves:
            ladders[side].put(price, quantity, inferred)
        if row == 0:
            return ""
        if self._book[row, 0] == UNREADABLE or self._book[row - 1, 0] == UNREADABLE:
            self._notes["unreadable rows"] += int(self._book[row, 0] == UNREADABLE)
            return "it cannot be read, or the one before it"
        for side, ladder in ladders.items():
            fault = self._compare_side(ladder)
            if fault:
                return f"{Side(side).name.lower()} {fault}"
        return ""

    def _compare_side(self, ladder: Ladder) -> str:
        """Compare one side with its row; what is wrong, empty if nothing."""
        ours, theirs = ladder.shown(), ladder.theirs
        edge_key, edge_quantity = ladder.before[-1]
        for key, change in ladder.changed.items():
            if change and (edge_quantity == 0 or key <= edge_key):
                self._notes["inferred changes in sight"] += 1
                return f"{abs(key)} was changed by {change} without a message"
        decidable = ladder.depth
        if ladder.emptied and edge_quantity > 0:
            self._undecidable += 1
            self._notes["levels that came into sight"] += 1
            decidable -= 1
            if theirs[-1][0] <= edge_key:
                return f"{abs(theirs[-1][0])} came into sight before levels that were in sight"
        if ours == theirs:
            return ""
        for level in range(decidable):
            if ours[level] != theirs[level]:
                return f"level {level + 1} is {_say(ours[level])}, not {_say(theirs[level])}"
        return ""


def _say(level: tuple[int, int]) -> str:
    return f"{level[1]} at {abs(level[0])}" if level[1] else "empty"


class StateTruth:
    """The sequence of our distinct best prices against that of an order book file.

    A state is (ask price, quantity, bid price, quantity) after an event that a message made, from
    the first on that the file shows. Total counts the states of the longer of the two sequences
    wherever they differ, so that a state too few weighs as much as a wrong one; the file may go on
    after our last. States that rest on an order presumed gone are undecidable, and not in total.
    """

    def __init__(self, book: np.ndarray, instrument: int | None = None) -> None:
        fields = ("cause", "ask", "ask_quantity", "bid", "bid_quantity")
        self._tape = Tape(instrument, Book.TOP, TOP, fields)
        readable = book[book[:, 0] != UNREADABLE][:, :COLUMNS].copy()
        empty = readable[:, [1, 3]] == 0
        readable[:, [0, 2]] = np.where(empty, 0, readable[:, [0, 2]])  # as TOP has empty sides
        self._theirs = readable[_distinct(readable)]
        self._notes: Counter[str] = Counter()
        self._notes["unreadable rows"] = len(book) - len(readable)

    def feed(self, events: np.ndarray, records: np.ndarray) -> None:
        """Take the next events, and book records of any kind viewed as TOP, both in order."""
        self._tape.feed(events, records)

    def result(self) -> Verdict:
        """Lay our states beside the file's."""
        events, records = self._tape.joined()
        states, owners = self._states(records, len(events["kind"]))
        ours, theirs = list(map(tuple, states.tolist())), list(map(tuple, self._theirs.tolist()))
        if theirs[0] not in ours[:SLIP_MAX]:
            fault = "the first state of the file is not among our first"
            return Verdict(0, max(len(ours), 1), 0, dict(self._notes), fault)
        doubtful = presumed(events, owners, ours)
        start = ours.index(theirs[0])
        self._notes["states before the file's first"] = start
        self._notes["presumed gone"] = int(
            np.count_nonzero(events["inferred"] & (events["kind"] == Event.DELETE))
        )
        return self._judge(ours[start:], theirs, doubtful[start:])

    def _states(self, records: dict[str, np.ndarray], events: int) -> tuple:
        """Our distinct states, and the index of the event that brought each."""
        owner = records["owner"]
        last = np.append(owner[1:] != owner[:-1], True)[: len(owner)] & (owner < events)
        names = ("ask", "ask_quantity", "bid", "bid_quantity")
        states = np.stack([records[name][last] for name in names], axis=1)
        both = np.maximum.accumulate((states[:, 1] > 0) & (states[:, 3] > 0))
        states, owner = states[both], owner[last][both]
        new = _distinct(states)
        return states[new], owner[new]

    def _judge(self, ours: list, theirs: list, doubtful: list[bool]) -> Verdict:
        """Walk both sequences; count what is equal and what is not."""
        place = other = matched = total = undecidable = 0
        first_fault = ""
        while place < len(ours):
            if other < len(theirs) and ours[place] == theirs[other]:
                self._notes["undecidable, yet equal"] += doubtful[place]
                undecidable += doubtful[place]
                matched += not doubtful[place]
                total += not doubtful[place]
                place, other = place + 1, other + 1
                continue
            more, others = slip(ours, theirs, place, other)
            weight = max(more, others)
            if any(doubtful[max(place - 1, 0) : place + more + 1]):
                undecidable += weight
            else:
                total += weight
                first_fault = first_fault or f"state {place + 1}: {ours[place]} is not the file's"
            place, other = place + more, other + others
        return Verdict(matched, total, undecidable, dict(self._notes), first_fault)


def _distinct(rows: np.ndarray) -> np.ndarray:
    """True for every row that differs from the one before it."""
    return np.append(np.ones(min(len(rows), 1), bool), (rows[1:] != rows[:-1]).any(axis=1))


def slip(ours: list, theirs: list, place: int, other: int) -> tuple[int, int]:
    """How many states of each to pass over until both go on alike; all of ours if they never do."""
    runs: dict[tuple, int] = {}
    for skipped in range(min(SLIP_MAX, len(theirs) - other)):
        runs.setdefault(tuple(theirs[other + skipped : other + skipped + RUN]), skipped)
    found = [
        (skipped, runs[run])
        for skipped in range(min(SLIP_MAX, len(ours) - place))
        if (run := tuple(ours[place + skipped : place + skipped + RUN])) in runs
    ]
    return min(found, key=sum, default=(len(ours) - place, 0))


def presumed(events: dict[str, np.ndarray], owners: np.ndarray, states: list) -> list[bool]:
    """For each state: would it be another, had an order that was presumed gone been there?

    A presumed order stops mattering once the other side's best price has passed it: it would
    have traded.
    """
    gone = np.nonzero(events["inferred"] & (events["kind"] == Event.DELETE))[0]
    columns = (events[name][gone].tolist() for name in ("owner", "side", "price"))
    queue = list(zip(*columns, strict=True))
    bids: list[int] = []
    asks: list[int] = []
    doubts, place = [], 0
    for owner, (ask, ask_quantity, bid, bid_quantity) in zip(owners.tolist(), states, strict=True):
        while place < len(queue) and queue[place][0] <= owner:
            _, side, price = queue[place]
            (bids if side == Side.BID else asks).append(price)
            place += 1
        bids = [price for price in bids if not ask_quantity or price < ask]
        asks = [price for price in asks if not bid_quantity or price > bid]
        doubts.append(max(bids, default=0) >= max(bid, 1) or min(asks, default=ask + 1) <= ask)
    return doubts
