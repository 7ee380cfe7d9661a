"""The book stage: events in; top of book, level changes and trades out, and the depth board."""

import msgspec
import numpy as np

from ringbuf.atomics import at, prefetch_read
from ringbuf.jit import kernel
from ringbuf.panel import Equation
from ringbuf.ring import arrived, awaited, next_free, next_unread, room, slot, stamp
from workers.answers import COUNTERS, GIVEN, KEEPER, NOTE, NOTES_AT, OUTPUTS_MAX, show_moved, take
from workers.hop import is_time_to_let_go, let_go, new_hop, pick_up, wait_for
from workers.kernels import orderbook
from workers.kernels.bookprefetch import (
    FAR,
    MIDDLE,
    NEAR,
    prefetch_index,
    prefetch_level,
    prefetch_order,
)
from workers.kernels.orderbook import Outcome
from workers.records import EVENT, lined
from workers.stage import TURN_RECORDS, Links, Stage


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
            (("book.published",), [f"book.{name}" for name in GIVEN]),
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
