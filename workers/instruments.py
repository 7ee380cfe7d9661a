"""The instrument table: one board row for every instrument that a source announced."""

from typing import NamedTuple

import numpy as np

from ringbuf.board import Board
from ringbuf.record import slot_record
from workers.records import LOT_DECIMALS, MATCHED, NAMED, Event

SYMBOL_BYTES = 24

INSTRUMENT = slot_record(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        ("price_scale", "i8"),  # price units in one unit of currency
        ("lot_scale", "i8"),  # lots in one unit
        ("tick", "i8"),  # price units; 0: not known
        ("source", "i2"),
        ("matched", "i2"),  # MATCHED: orders of clients are matched here; NAMED: it has no book
        ("code", "i4"),  # the source's own number for it; 0 where only the log is left to tell
    ]
)


def announced(event: np.ndarray) -> str:
    """The symbol that a DIRECTORY event announces; event: one EVENT record."""
    return event.tobytes()[16 : 16 + SYMBOL_BYTES].decode("ascii", "replace").strip(" \0")


def show(board: Board, events: np.ndarray) -> None:
    """Put the instruments that events of the log announce on a board, as ingest did."""
    told = (events["kind"] == Event.DIRECTORY) | (events["kind"] == Event.TERMS)
    for event in events[told]:
        row = board.row(int(event["instrument"]))
        if event["kind"] == Event.TERMS:
            row["tick"] = event["order"]
        else:
            row["source"] = event["source"]
            describe(row, event)
        board.put(int(event["instrument"]), row)


def describe(row: np.ndarray, event: np.ndarray) -> None:
    """Fill a row with what a DIRECTORY event tells; row: one INSTRUMENT record, shape (1,)."""
    row["symbol"], row["price_scale"] = announced(event).encode(), event["quantity"]
    row["lot_scale"] = 10 ** (int(event["flags"]) >> LOT_DECIMALS)
    row["matched"] = int(event["flags"]) & (MATCHED | NAMED)


class Unit(NamedTuple):
    """What the numbers of an instrument are counted in."""

    symbol: str
    price_scale: int = 1  # price units in one unit of currency
    lot_scale: int = 1  # lots in one unit
    source: int = -1  # which feed announced it


def unit_of(row: np.ndarray) -> Unit:
    """What a row tells; row: one INSTRUMENT record."""
    scales = int(row["price_scale"]), max(int(row["lot_scale"]), 1)
    return Unit(bytes(row["symbol"]).decode(), *scales, int(row["source"]))


def unit_announced(event: np.ndarray) -> Unit:
    """What a DIRECTORY event tells; event: one EVENT record."""
    lots = 10 ** (int(event["flags"]) >> LOT_DECIMALS)
    return Unit(announced(event), int(event["quantity"]), lots, int(event["source"]))


class Names:
    """Symbols and scales by instrument number, read from the board when first asked."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.known: dict[int, Unit] = {}

    def unit(self, instrument: int) -> Unit:
        """Symbol and scales; a number nobody announced is named by itself."""
        if instrument not in self.known:
            if not 0 <= instrument < self.board.rows:
                return Unit(f"#{instrument}")
            row = self.board.row(instrument)[0]
            if not row["symbol"]:
                return Unit(f"#{instrument}")
            self.known[instrument] = unit_of(row)
        return self.known[instrument]

    def __getitem__(self, instrument: int) -> tuple[str, int]:
        """(symbol, price scale)."""
        unit = self.unit(instrument)
        return unit.symbol, unit.price_scale

    def symbol(self, instrument: int) -> str:
        return self.unit(instrument).symbol

    def scale(self, instrument: int) -> int:
        return self.unit(instrument).price_scale

    def all(self) -> dict[str, int]:
        """Every announced symbol with its instrument number, in order of announcement."""
        found: dict[str, int] = {}
        for number in range(self.board.rows):
            if not self.board.row(number)[0]["symbol"]:
                break
            found.setdefault(self.symbol(number), number)
        return found


def units(lots: int, scale: int) -> float | int:
    """A quantity in units; whole where a lot is one, as it was stored."""
    return lots if scale == 1 else lots / scale
