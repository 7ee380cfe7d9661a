"""The book stage: events in; top of book, level changes and trades out, and the depth board."""

import msgspec
import numpy as np

from ringbuf.atomics import at, prefetch_read
from ringbuf.jit import kernel
from ringbuf.panel import Equation
from ringbuf.record import LINE, offset, record
from ringbuf.ring import arrived, awaited, claim, next_free, next_unread, publish, room, slot, stamp
from workers import depth
from workers.hop import HOP, is_time_to_let_go, let_go, new_hop, pick_up, wait_for
from workers.kernels import orderbook
from workers.kernels.bookprefetch import (
    FAR,
    MIDDLE,
    NEAR,
    prefetch_index,
    prefetch_level,
    prefetch_order,
)
from workers.kernels.orderbook import BOOK, Outcome
from workers.records import EVENT, LEVEL, TOP, TRADE, Event, Flag, Side, lined
from workers.records import Book as Kind
from workers.stage import TURN_RECORDS, Links, Stage

OUTPUTS_MAX = 4  # a trade, two levels and a top: the most that one event gives

COUNTERS = record(
    [
        ("received", "i8"),
        *((outcome.name.lower(), "i8") for outcome in Outcome),
        ("published", "i8"),
        ("tops", "i8"),
        ("levels", "i8"),
        ("trades", "i8"),
        ("statuses", "i8"),
        ("full", "i8"),  # turns that found the outgoing ring full
        ("live_orders", "i8"),  # at the end of the last turn
        ("live_levels", "i8"),
        ("peak_orders", "i8"),
        ("lost_replaces", "i8"),
    ]
)
OUTCOMES = offset(COUNTERS, "applied")

KEEPER = record(
    [
        ("timing", HOP),
        ("book", "i8"),
        ("board", "i8"),
        ("counters", "i8"),
        ("levels", "i8"),  # 1: LEVEL records go out
        ("target", "i8"),  # the next sequence to publish
        ("index", "i8"),  # outputs of the event in hand so far
        ("moved", "i8"),  # instruments whose board row is due, in `list`
        ("instruments", "i8"),
    ]
)
# Behind the KEEPER, one for each instrument: what the stage knows beside its book.
NOTE = record(
    [
        ("volume", "i8"),
        ("traded_price", "i8"),
        ("traded_quantity", "i8"),
        ("cause", "i8"),
        ("time_ns", "i8"),
        ("state", "i4"),
        ("due", "i4"),  # 1: stands in the list
        ("list", "i4"),  # entry n of the list of instruments whose row is due
        ("spare", "i4"),
    ]
)
NOTE_SIZE = NOTE.itemsize
NOTES_AT = -(-KEEPER.itemsize // LINE) * LINE


class BookOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How much the books can hold, and what they send out."""

    orders: int = 1 << 20  # live orders of all instruments together
    levels: int = 1 << 18  # live price levels of all instruments together
    publish_levels: bool = False  # send a record for every level that changes, not only the top


class Book(Stage):
    """Keeps an order-by-order book for every instrument and says what moved."""

    READS = ("events",)
    WRITES = ("book",)
    KEEPS = ("depth",)
    HISTOGRAMS = ("hop", "age")

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"book": COUNTERS}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        return [
            (("book.received",), tuple(f"book.{outcome.name.lower()}" for outcome in Outcome)),
            (("book.published",), ("book.tops", "book.levels", "book.trades", "book.statuses")),
        ]

    def __init__(self, options: BookOptions, instruments: int, links: Links) -> None:
        self.options, self.links = options, links
        self.limits = orderbook.Limits(options.orders, options.levels, instruments)

    def open(self) -> None:
        """Lay out the books and the notes."""
        self.books = lined(orderbook.bytes_needed(self.limits))
        self.notes = lined(NOTES_AT + self.limits.instruments * NOTE.itemsize)
        if not self.hurried:
            # Touched now: a page that is met first in the middle of the day costs time then.
            self.books.fill(0)
            self.notes.fill(0)
        orderbook.create(self.books.ctypes.data, self.limits)
        self.bind(self.links)
        turn(self.keeper, self.reader, self.writer, 0, 0)  # compiled before it is needed

    def bind(self, links: Links) -> None:
        """Fold events of these rings in; the books stay what they are."""
        super().bind(links)
        self.reader, self.writer = links.readers["events"].view, links.writers["book"].view
        self.keeper = self.notes.ctypes.data
        keeper = at(self.keeper, KEEPER)
        keeper.book, keeper.board = self.books.ctypes.data, links.boards["depth"].address
        keeper.counters = links.panel.counter_addresses["book"]
        keeper.levels = int(self.options.publish_levels)
        keeper.instruments = self.limits.instruments
        new_hop(self.keeper, links.panel)

    def state(self) -> dict[str, np.ndarray]:
        """The books and the notes beside them."""
        return {"books": self.books, "notes": self.notes}

    def turn(self, patience: int) -> int:
        """Fold in what has arrived; ends when the log has ended."""
        work = int(turn(self.keeper, self.reader, self.writer, TURN_RECORDS, patience))
        if work == 0:
            self.finished = self.links.readers["events"].ended
        return work

    def close(self) -> None:
        """Say that no more book records will come."""
        self.links.writers["book"].close()
        self.links.readers["events"].close()


@kernel
def turn(state, reader, writer, limit, patience):
    """Take up to `limit` events, with up to `patience` empty looks in between; return how many."""
    keeper = at(state, KEEPER)
    first = sequence = next_unread(reader)
    keeper.target = next_free(writer)
    known = sequence - 1  # everything up to here is known to have arrived
    free = 0
    while sequence - first < limit:
        if known < sequence and not awaited(reader, sequence):
            let_go(reader, sequence - 1, writer, keeper.target - 1)
            show_moved(state)
            patience = wait_for(reader, sequence, patience)
            if patience == 0:
                break
        if free < OUTPUTS_MAX:
            free = room(writer, keeper.target, limit)
            if free < OUTPUTS_MAX:
                at(keeper.counters, COUNTERS).full += 1
                break
        pick_up(state, reader, sequence)
        free -= take(state, writer, at(slot(reader, sequence), EVENT))
        if is_time_to_let_go(sequence):
            let_go(reader, sequence, writer, keeper.target - 1)
        sequence += 1
        known = ask_ahead(keeper.book, reader, sequence, max(known, sequence - 1))
    let_go(reader, sequence - 1, writer, keeper.target - 1)
    show_moved(state)
    return sequence - first


@kernel
def ask_ahead(book, reader, sequence, known):
    """Ask for what the events that wait will need; return the last that is known to be there."""
    while known < sequence + FAR and arrived(reader, known + 1):
        known += 1
        prefetch_read(stamp(reader, known))
        prefetch_index(book, at(slot(reader, known), EVENT))
    if sequence + MIDDLE <= known:
        prefetch_order(book, at(slot(reader, sequence + MIDDLE), EVENT))
    if sequence + NEAR <= known:
        prefetch_level(book, at(slot(reader, sequence + NEAR), EVENT))
    return known


@kernel
def take(state, writer, event):
    """Fold one event in and publish what follows from it; return how many records."""
    keeper = at(state, KEEPER)
    tally = at(keeper.counters, COUNTERS)
    tally.received += 1
    keeper.index = 0
    outcome = orderbook.apply(keeper.book, event)
    count(keeper.counters, int(outcome))
    header = at(keeper.book, BOOK)
    if header.traded_quantity > 0:
        trade(state, writer, event, header.side[0], header.traded_price, header.traded_quantity)
    elif outcome == Outcome.IGNORED:
        inform(state, writer, event)
    if keeper.levels:
        for change in range(header.changes):
            level(state, writer, event, change)
    if header.top_moved:
        top(state, writer, event, Kind.TOP)
        tally.tops += 1
    elif header.changes > 0:
        mark_moved(state, event)
    tally.published += keeper.index
    return keeper.index


@kernel
def count(counters, outcome):
    """Count one event by what became of it."""
    at(counters + OUTCOMES + 8 * outcome, ONE).value += 1


ONE = record([("value", "i8")])


@kernel
def inform(state, writer, event):
    """Pass on what the book does not hold: hidden trades, auctions, trading states."""
    keeper = at(state, KEEPER)
    if not 0 <= event.instrument < keeper.instruments:
        return
    if event.kind == Event.STATUS:
        note_of(state, event.instrument).state = event["flags"]
        top(state, writer, event, Kind.STATUS)
        at(keeper.counters, COUNTERS).statuses += 1
    elif (event.kind == Event.TRADE or event.kind == Event.CROSS) and event.quantity > 0:
        trade(state, writer, event, event.side, event.price, event.quantity)


@kernel
def note_of(state, instrument):
    """The stage's note on an instrument."""
    return at(state + NOTES_AT + int(instrument) * NOTE_SIZE, NOTE)


@kernel
def answer(state, writer, event):
    """Claim the next record and fill in which event it answers; the address."""
    keeper = at(state, KEEPER)
    address = claim(writer, keeper.target)
    record_ = at(address, TOP)
    record_.cause, record_.time_ns = event.sequence, event.time_ns
    record_.instrument, record_.index = event.instrument, keeper.index
    return address


@kernel
def send(state, writer):
    """Publish the record that was claimed."""
    keeper = at(state, KEEPER)
    publish(writer, keeper.target, keeper.timing.born, keeper.timing.now)
    keeper.target += 1
    keeper.index += 1


@kernel
def trade(state, writer, event, side, price, quantity):
    """Publish a trade; one that is not to be printed adds no volume."""
    record_ = at(answer(state, writer, event), TRADE)
    note = note_of(state, event.instrument)
    record_.price, record_.quantity = price, quantity
    record_.order, record_.match = event.order, event.other
    record_.kind, record_.side = Kind.TRADE, side
    record_.state = event["flags"] & Flag.UNPRINTED
    note.traded_price, note.traded_quantity = price, quantity
    if not event["flags"] & Flag.UNPRINTED:
        note.volume += quantity
    send(state, writer)
    mark_moved(state, event)
    at(at(state, KEEPER).counters, COUNTERS).trades += 1


@kernel
def level(state, writer, event, change):
    """Publish what rests at a price now."""
    keeper = at(state, KEEPER)
    header = at(keeper.book, BOOK)
    record_ = at(answer(state, writer, event), LEVEL)
    record_.price, record_.quantity = header.price[change], header.quantity[change]
    record_.orders, record_.spare = header.orders[change], 0
    record_.kind, record_.side = Kind.LEVEL, header.side[change]
    record_.state = note_of(state, event.instrument).state
    send(state, writer)
    at(keeper.counters, COUNTERS).levels += 1


@kernel
def top(state, writer, event, kind):
    """Publish the best prices as they are now, and have the depth row written."""
    book, instrument = at(state, KEEPER).book, event.instrument
    record_ = at(answer(state, writer, event), TOP)
    record_.bid, record_.bid_quantity = orderbook.top(book, 2 * instrument)
    record_.ask, record_.ask_quantity = orderbook.top(book, 2 * instrument + 1)
    record_.kind, record_.side = kind, Side.NONE
    record_.state = note_of(state, instrument).state
    send(state, writer)
    mark_moved(state, event)


@kernel
def mark_moved(state, event):
    """Put an instrument on the list of those whose depth row is due."""
    keeper, note = at(state, KEEPER), note_of(state, event.instrument)
    note.cause, note.time_ns = event.sequence, event.time_ns
    if not note.due:
        note.due = 1
        note_of(state, keeper.moved).list = event.instrument
        keeper.moved += 1


@kernel
def show_moved(state):
    """Write the depth rows that are due: once a turn, however often an instrument moved."""
    keeper = at(state, KEEPER)
    for number in range(keeper.moved):
        instrument = note_of(state, number).list
        note = note_of(state, instrument)
        note.due = 0
        depth.show(keeper.board, keeper.book, instrument, note)
    keeper.moved = 0
    header, tally = at(keeper.book, BOOK), at(keeper.counters, COUNTERS)
    tally.live_orders, tally.live_levels = header.live_orders, header.live_levels
    tally.peak_orders, tally.lost_replaces = header.peak_orders, header.lost_replaces
