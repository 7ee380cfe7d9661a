"""LOBSTER order book files: what the book was after every message, as the exchange had it."""

import ctypes
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workers.feeds.bytes_in import open_bytes
from workers.feeds.feed import FeedError
from workers.kernels.lobster import UNREADABLE, read_numbers
from workers.records import Side

COLUMNS = 4  # of one level: ask price, ask size, bid price, bid size
NAME = re.compile(
    r"(?P<symbol>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+"
    r"_(?:message|orderbook)_(?P<levels>\d+)\.csv"
)


class FileName(NamedTuple):
    """What the name of a LOBSTER file says; None where it is named otherwise."""

    symbol: str | None
    date: str | None
    levels: int | None


def parse_name(path: str | Path) -> FileName:
    """SYMBOL_2012-06-21_34200000_57600000_message_10.csv, taken apart."""
    found = NAME.match(Path(path).name)
    if not found:
        return FileName(None, None, None)
    return FileName(found["symbol"], found["date"], int(found["levels"]))


def read_text(path: str | Path) -> bytes:
    """All bytes of a file, unpacked; FeedError where it cannot be read or breaks off."""
    source, parts = open_bytes(path), []
    try:
        final = False
        while not final:
            address, length, final = source.window()
            parts.append(ctypes.string_at(address, length))
            source.consume(length)
    finally:
        source.close()
    if source.trouble:
        raise FeedError(f"{source.trouble}; copy the file again")
    return b"".join(parts)


def read_book(path: str | Path) -> np.ndarray:
    """The rows of an order book file as int64, four columns a level, best level first.

    A row that cannot be read is UNREADABLE throughout. FeedError where it is no such file.
    """
    text = read_text(path)
    columns = text.partition(b"\n")[0].count(b",") + 1
    if columns % COLUMNS:
        raise FeedError(
            f"{path}: its first row has {columns} columns, not four a level; "
            "give the orderbook file that belongs to the messages"
        )
    rows = np.empty((text.count(b"\n") + 1, columns), np.int64)
    data = np.frombuffer(text, np.uint8)
    count = read_numbers(data.ctypes.data, data.size, rows.ctypes.data, columns, len(rows))
    if count == 0 or rows[0, 0] == UNREADABLE:
        raise FeedError(f"{path}: its first row is no order book row; is it the right file?")
    return rows[:count]


def levels_of(row: np.ndarray, side: int) -> list[tuple[int, int]]:
    """The occupied levels (price, size) of one side of a row, best first."""
    start = 0 if side == Side.ASK else 2
    pairs = zip(row[start::COLUMNS].tolist(), row[start + 1 :: COLUMNS].tolist(), strict=True)
    return [(price, size) for price, size in pairs if size > 0]


def rows_belong(messages: str | Path, book: str | Path, book_rows: np.ndarray) -> bool:
    """True where the order book file has one row per message, and not another level count."""
    message_levels, levels = parse_name(messages).levels, book_rows.shape[1] // COLUMNS
    if message_levels is not None and parse_name(book).levels is not None:
        return message_levels == levels
    text = read_text(messages)
    return sum(1 for line in text.split(b"\n") if line.strip()) == len(book_rows)
