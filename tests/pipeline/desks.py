"""Rings and boards of a pipeline whose stages are the test itself."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.launch import RUN
from pipeline.listing import Reading
from ringbuf import memory
from ringbuf.board import Board, create_board
from ringbuf.share import Observer, RingWriter, create_ring
from workers.enriched import CONSOLIDATED_DEPTH
from workers.instruments import INSTRUMENT
from workers.portfolio_board import PORTFOLIO_ROW
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING, empty
from workers.records import Book as Kind

NUMBERS = itertools.count()
RINGS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
CAPACITY = 128
SYMBOLS = (("AAPL", 10_000), ("MSFT", 100), ("E\x1b[2J", 1))
BITCOIN = 5  # the instrument that is counted in small lots, and in a group
KINDS = {kind.name.lower(): kind for kind in Kind}
LAYOUTS = {name: layout for ring in RINGS.values() for name, (_, layout) in ring.items()}


class Desk:
    """A pipeline of three rings without readers, so that they are never full."""

    def __init__(self, boards: Sequence[str] = ()) -> None:
        self.name = f"desk-{os.getpid()}-{next(NUMBERS)}"
        boards = ["instruments", "consolidated", "portfolios", *boards]
        text = {"stages": [], "rings": [*RINGS], "boards": boards}
        segment = memory.create(self.name, RUN, RUN, 4096, json.dumps({**text, "run_id": "run-1"}))
        segment.close()
        create_board(self.name, "instruments", "instrument", INSTRUMENT, 8).close()
        create_board(self.name, "portfolios", "portfolio", PORTFOLIO_ROW, 1).close()
        instruments = Board(self.name, "instruments", writable=True)
        for number, (symbol, scale) in enumerate(SYMBOLS):
            instruments.put(number, row(INSTRUMENT, symbol=symbol.encode(), price_scale=scale))
        bitcoin = {"symbol": b"BTCUSD", "price_scale": 100, "lot_scale": 10**8, "source": 2}
        instruments.put(BITCOIN, row(INSTRUMENT, **bitcoin))
        instruments.close()
        create_board(self.name, "consolidated", "group", CONSOLIDATED_DEPTH, 1).close()
        groups = Board(self.name, "consolidated", writable=True)
        group = row(CONSOLIDATED_DEPTH, name=b"BTC", price_scale=10_000, lot_decimals=8)
        group["venues"], group["venues"][0, :2] = -1, (BITCOIN, 2)
        group["bid_venue"], group["ask_venue"], group["counting"] = BITCOIN, -1, 1
        group["bid_price"][0, 0], group["bid_quantity"][0, 0] = 601_234_500, 150_000_000
        group["state"] = 32 + 1
        groups.put(0, group)
        groups.close()
        portfolios = Board(self.name, "portfolios", writable=True)
        portfolios.put(0, row(PORTFOLIO_ROW, name=b"growth", parent=-1))
        portfolios.close()
        self.writers = {}
        for ring, layouts in RINGS.items():
            create_ring(self.name, ring, layouts, CAPACITY, []).close()
            self.writers[ring] = RingWriter(self.name, ring, layouts)

    def push(self, ring: str, records: np.ndarray) -> None:
        """Publish some records."""
        assert self.writers[ring].push(records) == len(records)

    def observer(self, ring: str) -> Observer:
        return Observer(self.name, ring)

    def reading(self) -> Reading:
        return Reading(self.name)

    def unlink(self) -> None:
        """Remove everything, as a supervisor does at the end."""
        for segment in memory.names(self.name):
            memory.unlink(segment)


def row(dtype: np.dtype, count: int = 1, **values) -> np.ndarray:
    """Equal records, shape (count,), with some fields set."""
    made = empty(dtype, count)
    for name, value in values.items():
        made[name] = value
    return made


def records(layout: str, count: int = 1, **values) -> np.ndarray:
    """Equal records of a layout on its ring."""
    if layout in KINDS:
        values = {"kind": int(KINDS[layout]), **values}
    return row(LAYOUTS[layout], count, **values)


@contextlib.contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk whose segments are gone afterwards."""
    desk = Desk()
    try:
        yield desk
    finally:
        desk.unlink()
