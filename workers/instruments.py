"""The instrument table: one board row for every instrument that a source announced."""

import numpy as np

from ringbuf.board import Board
from ringbuf.record import slot_record
from workers.records import LOT_DECIMALS, Event

SYMBOL_BYTES = 24

INSTRUMENT = slot_record(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        ("price_scale", "i8"),  # price units in one unit of currency
        ("lot_scale", "i8"),  # lots in one unit
        ("tick", "i8"),  # price units; 0: not known
        ("source", "i4"),
        ("code", "i4"),  # the source's own number for it; 0 where only the log is left to tell
    ]
)


def announced(event: np.ndarray) -> str:
    """The symbol that a DIRECTORY event announces; event: one EVENT record."""
    return event.tobytes()[16 : 16 + SYMBOL_BYTES].decode("ascii", "replace").strip(" \0")


def show(board: Board, events: np.ndarray) -> None:
    """Put the instruments that events of the log announce on a board, as ingest did."""
    for event in events[events["kind"] == Event.DIRECTORY]:
        row = np.zeros(1, INSTRUMENT)
        row["source"] = event["source"]
        describe(row, event)
        board.put(int(event["instrument"]), row)


def describe(row: np.ndarray, event: np.ndarray) -> None:
    """Fill a row with what a DIRECTORY event tells; row: one INSTRUMENT record, shape (1,)."""
    row["symbol"], row["price_scale"] = announced(event).encode(), event["quantity"]
    row["lot_scale"] = 10 ** (int(event["flags"]) >> LOT_DECIMALS)


class Names:
    """Symbols and price scales by instrument number, read from the board when first asked."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.known: dict[int, tuple[str, int]] = {}

    def __getitem__(self, instrument: int) -> tuple[str, int]:
        """(symbol, price scale); a number nobody announced is named by itself."""
        if instrument not in self.known:
            if not 0 <= instrument < self.board.rows:
                return f"#{instrument}", 1
            row = self.board.row(instrument)[0]
            if not row["symbol"]:
                return f"#{instrument}", 1
            self.known[instrument] = (row["symbol"].decode(), int(row["price_scale"]))
        return self.known[instrument]

    def symbol(self, instrument: int) -> str:
        return self[instrument][0]

    def scale(self, instrument: int) -> int:
        return self[instrument][1]

    def all(self) -> dict[str, int]:
        """Every announced symbol with its instrument number, in order of announcement."""
        found: dict[str, int] = {}
        for number in range(self.board.rows):
            if not self.board.row(number)[0]["symbol"]:
                break
            found.setdefault(self.symbol(number), number)
        return found
