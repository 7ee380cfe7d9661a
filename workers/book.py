"""The book stage: events in; top of book, level changes and trades out, and the depth board.

What else it can say of them is switched on by the options: measures, bars, the best over venues.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from ringbuf.atomics import at
from ringbuf.panel import Equation
from workers import whole
from workers.book_turns import turn, turn_matching
from workers.enriched import (
    CONSOLIDATED_DEPTH,
    MEASURES_MAX,
    SERIES_BARS_MAX,
    VENUES_BEST_MAX,
    BarOptions,
    ConsolidatedOptions,
    MeasureOptions,
)
from workers.hop import new_hop
from workers.keeper import COUNTERS, GIVEN, KEEPER, NOTE, NOTES_AT, PLAIN_MAX
from workers.kernels import bars, consolidated, engine, measures, orderbook
from workers.kernels.engine_settings import Settings
from workers.kernels.levels import Index
from workers.kernels.orderbook import Outcome
from workers.matched import MatchingOptions, announceable, step_max
from workers.records import lined
from workers.risk_options import RiskOptions
from workers.sampled import Sample
from workers.stage import TURN_RECORDS, Links, Stage


class BookOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How much the books can hold, how they find it, and what they send out."""

    orders: int = 1 << 20  # live orders of all instruments together
    levels: int = 1 << 18  # live price levels of all instruments together
    # How a side finds its levels; the books are the same. auto: sorted, or a tree where that is
    # less work; ladder: memory for a window of ticks for each side.
    index: Literal["sorted", "tree", "ladder", "auto"] = "sorted"
    ladder_ticks: int = 1024  # of such a window: a power of two
    publish_levels: bool = False  # send a record for every level that changes, not only the top
    measures: MeasureOptions | None = None  # QUOTE and FLOW records; None: none
    bars: list[BarOptions] = []  # BAR and BAR_FLOW records, of each series
    check_s: float | None = None  # a live check of one book so often; None: none
    matching: MatchingOptions | None = None  # orders of clients; None: no instrument is matched
    snapshot_s: float | None = None  # DEPTH records: all levels, by event time; None: none

    def __post_init__(self) -> None:
        least, most = whole.PERIOD_MIN_S, whole.PERIOD_MAX_S
        if self.snapshot_s is not None and not least <= self.snapshot_s <= most:
            raise ValueError(
                f"snapshot_s = {self.snapshot_s}: give {least} to {most:.0f}, or leave it out"
            )


class Book(Stage):
    """Keeps an order-by-order book for every instrument and says what moved."""

    READS = ("events",)
    WRITES = ("book",)
    KEEPS = ("depth", "consolidated")
    HISTOGRAMS = ("hop", "age")

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"book": COUNTERS}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        fates = ("requests", *(outcome.name.lower() for outcome in Outcome))
        return [
            (("book.received",), tuple(f"book.{fate}" for fate in fates)),
            (("book.published",), [f"book.{name}" for name in GIVEN]),
        ]

    def __init__(
        self,
        options: BookOptions,
        instruments: int,
        links: Links,
        groups: Mapping[str, ConsolidatedOptions] | None = None,
        risk: RiskOptions | None = None,
    ) -> None:
        """groups: instruments that several venues trade, by name; the board has a row for each.

        risk: where the scenarios are to be had for accounts that are held to a value at risk.
        """
        self.options, self.links, self.groups = options, links, groups or {}
        self.limits = self.books_limits = limits_of(options, instruments)
        self.settings: Settings | None = None
        if options.matching:
            self.settings = options.matching.settings(self.limits)
            self.books_limits = engine.books_limits(self.settings)
        self._turn = turn_matching if self.settings else turn
        self.risk = risk or RiskOptions()

    def open(self) -> None:
        """Lay out the books and the notes; ScenarioError where they are needed and are no good."""
        if self.settings and self.settings.measured():
            self.settings = self.settings._replace(returns=announceable(self.risk))
        self.books = lined(orderbook.bytes_needed(self.books_limits))
        self.notes = lined(NOTES_AT + self.limits.instruments * NOTE.itemsize)
        self.beside = self._beside()
        if not self.hurried:
            # Touched now: a page that is met first in the middle of the day costs time then.
            for block in self.state().values():
                block.fill(0)
        orderbook.create(self.books.ctypes.data, self.books_limits)
        self._create_beside()
        self.bind(self.links)
        rows = self.notes[NOTES_AT:].view(NOTE)
        self.causes = rows["cause"]
        self._turn(self.keeper, self.reader, self.writer, 0, 0)  # compiled before it is needed

    def _beside(self) -> dict[str, np.ndarray]:
        """Room for what is switched on beside the books."""
        rows, options, sizes = self.limits.instruments, self.options, {}
        if options.measures:
            sizes["measures"] = measures.bytes_needed(options.measures.settings(rows))
        if options.bars:
            sizes["bars"] = bars.bytes_needed(rows, len(options.bars))
        if self.groups:
            sizes["venues"] = consolidated.bytes_needed(len(self.groups), rows)
        if self.settings:
            sizes["engine"] = engine.bytes_needed(self.settings)
        if options.snapshot_s:
            sizes["whole"] = whole.bytes_needed(rows)
        return {name: lined(size) for name, size in sizes.items()}

    def _create_beside(self) -> None:
        """Lay out what is switched on, and name the groups on their board."""
        rows, address = self.limits.instruments, self._address_beside
        if self.options.measures:
            measures.create(address("measures"), self.options.measures.settings(rows))
        if self.options.bars:
            bars.create(address("bars"), rows, [series.series() for series in self.options.bars])
        if self.settings:
            engine.create(address("engine"), self.books.ctypes.data, self.settings)
        if self.options.snapshot_s:
            whole.create(address("whole"), self.options.snapshot_s)
        if self.groups:
            groups = [group.group() for group in self.groups.values()]
            consolidated.create(address("venues"), groups, rows)
        for number, (name, group) in enumerate(self.groups.items()):
            row = np.zeros(1, CONSOLIDATED_DEPTH)
            row["name"], row["price_scale"] = name.encode(), 10**group.price_decimals
            row["lot_decimals"] = group.lot_decimals
            row["venues"] = row["bid_venue"] = row["ask_venue"] = -1
            self.links.boards["consolidated"].put(number, row)

    def _address_beside(self, name: str) -> int:
        """Where something beside the books lies; 0 where it is switched off."""
        return self.beside[name].ctypes.data if name in self.beside else 0

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
        keeper.measures, keeper.bars, keeper.venues, keeper.engine, keeper.whole = map(
            self._address_beside, ("measures", "bars", "venues", "engine", "whole")
        )
        keeper.venues_board = links.boards["consolidated"].address if self.groups else 0
        keeper.room = outputs_max(self.options, len(self.groups))
        new_hop(self.keeper, links.panel)
        check_s = self.options.check_s
        self.sample = Sample(check_s, keeper.book, links.panel) if check_s else None

    def state(self) -> dict[str, np.ndarray]:
        """The books, the notes beside them, and what else is switched on."""
        return {"books": self.books, "notes": self.notes, **self.beside}

    def turn(self, patience: int) -> int:
        """Fold in what has arrived; ends when the log has ended."""
        work = int(self._turn(self.keeper, self.reader, self.writer, TURN_RECORDS, patience))
        if self.sample:
            self.sample.look(self.causes)
        if work == 0:
            self.finished = self.links.readers["events"].ended
        return work

    def close(self) -> None:
        """Say that no more book records will come."""
        self.links.writers["book"].close()
        self.links.readers["events"].close()


def limits_of(options: BookOptions, instruments: int) -> orderbook.Limits:
    """What the books must be made for."""
    kind = Index[options.index.upper()]
    return orderbook.Limits(
        options.orders, options.levels, instruments, int(kind), options.ladder_ticks
    )


def outputs_max(options: BookOptions, groups: int) -> int:
    """The most records that one event can give."""
    beside = MEASURES_MAX * bool(options.measures) + SERIES_BARS_MAX * len(options.bars)
    most = PLAIN_MAX + beside + VENUES_BEST_MAX * bool(groups)
    if options.matching is None:
        return most
    measured = bool(options.measures)
    return max(most, step_max(measured + bool(groups), 2 * measured, 4 * len(options.bars)))
