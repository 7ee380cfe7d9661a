"""What a DBN stream says of itself before its records: version, schema, symbols by day.

    "DBN" | version u8 | length u32 | dataset 16 | schema u16 | start, end, limit u64 | ...

Little-endian, from the public definition of DBN (databento/dbn, Apache-2.0: `decode/dbn/fsm.rs`).
"""

import ctypes
import datetime as dt
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from workers.feeds.bytes_in import ByteSource
from workers.feeds.feed import FeedError
from workers.kernels.dbn_instruments import SYMBOL_BYTES
from workers.kernels.dbn_records import VERSIONS
from workers.kernels.dbn_state import NEVER, SPAN

MAGIC = b"DBN"
PRELUDE = struct.Struct("<3sBI")
FIXED_MIN = 100  # bytes of the metadata at least
LENGTH_MAX = 1 << 28
COUNT = struct.Struct("<I")
DAYS = struct.Struct("<II")
INSTRUMENT_ID = 0  # a kind of symbol
NO_KIND = 255
DAY_NS = 86_400 * 10**9


class Mapping(NamedTuple):
    """A symbol that an id has from one day to another, as nanoseconds since 1970."""

    identity: int
    start_ns: int
    end_ns: int
    symbol: str


@dataclass
class Metadata:
    """What concerns the decoding of records."""

    version: int
    dataset: str
    schema: int  # 0xFFFF: any
    symbol_bytes: int
    ts_out: bool  # 8 more bytes behind each record
    mappings: list[Mapping] = field(default_factory=list)
    trouble: str = ""  # why not all mappings could be read


class Cursor:
    """Reads one thing behind another; struct.error where nothing is left."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def take(self, layout: struct.Struct) -> tuple:
        """Numbers as laid out."""
        values = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return values

    def text(self, size: int) -> str:
        """A text that ends at a zero or fills its field."""
        raw = self.data[self.position : self.position + size]
        if len(raw) < size:
            raise struct.error("the metadata end amidst a symbol")
        self.position += size
        return raw.split(b"\0")[0].decode("ascii", "replace")


def read_metadata(source: ByteSource, path: str) -> Metadata:
    """Consume the metadata of a stream; FeedError where it is no DBN that can be read."""
    head = take(source, PRELUDE.size)
    if len(head) < PRELUDE.size or not head.startswith(MAGIC):
        raise FeedError(f"{path}: is no DBN file: it does not start with DBN; give one that does")
    _, version, length = PRELUDE.unpack(head)
    if version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise FeedError(f"{path}: is DBN version {version}; versions {known} can be read")
    if not FIXED_MIN <= length <= LENGTH_MAX:
        raise FeedError(f"{path}: says that its metadata have {length} bytes; was it copied whole?")
    data = take(source, length)
    if len(data) < length:
        raise FeedError(
            f"{path}: ends amidst its metadata, {len(data)} of {length} bytes; was it copied whole?"
        )
    return parse(version, data)


def take(source: ByteSource, count: int) -> bytes:
    """Consume the next bytes of a source; fewer where it ends."""
    found = bytearray()
    while len(found) < count:
        address, length, final = source.window()
        size = min(length, count - len(found))
        found += ctypes.string_at(address, size)
        source.consume(size)
        if final and size == length:
            break
    return bytes(found)


def parse(version: int, data: bytes) -> Metadata:
    """The metadata in their bytes; where mappings cannot be read, those before are kept."""
    cursor = Cursor(data)
    dataset = cursor.text(16)
    (schema,) = cursor.take(struct.Struct("<H"))
    cursor.position += 32 if version == 1 else 24  # start, end, limit; version 1: count of records
    kind_in, kind_out, ts_out = cursor.take(struct.Struct("<BBB"))
    symbol_bytes = VERSIONS[version].symbol_bytes
    if version > 1:
        (symbol_bytes,) = cursor.take(struct.Struct("<H"))
    cursor.position += 47 if version == 1 else 53
    found = Metadata(version, dataset, schema, symbol_bytes, ts_out != 0)
    try:
        (definition_bytes,) = cursor.take(COUNT)
        cursor.position += definition_bytes
        for _ in range(3):  # symbols asked for, found in part, not found
            (count,) = cursor.take(COUNT)
            cursor.position += count * symbol_bytes
        for mapping in mappings(cursor, symbol_bytes, kind_in, kind_out):
            found.mappings.append(mapping)
    except (struct.error, ValueError) as error:
        found.trouble = f"symbols in the metadata cannot be read ({error}); ids stand for them"
    return found


def mappings(cursor: Cursor, size: int, kind_in: int, kind_out: int):
    """Each interval of each symbol, as far as one of the two names is an instrument's id."""
    (count,) = cursor.take(COUNT)
    for _ in range(count):
        name = cursor.text(size)
        (intervals,) = cursor.take(COUNT)
        for _ in range(intervals):
            start, end = map(day_ns, cursor.take(DAYS))
            other = cursor.text(size)
            if kind_out == INSTRUMENT_ID and other.isdecimal():
                yield Mapping(int(other), start, end, name)
            elif kind_in == INSTRUMENT_ID and name.isdecimal():
                yield Mapping(int(name), start, end, other)


def day_ns(number: int) -> int:
    """The start of a day written as 20240131; ValueError for none."""
    day = dt.date(number // 10_000, number // 100 % 100, number % 100)
    return (day - dt.date(1970, 1, 1)).days * DAY_NS


def spans(found: list[Mapping]) -> np.ndarray:
    """The mappings as SPAN records, sorted by id and start.

    A symbol that stands for several ids at once (a parent's) would make one book of them: there
    the ids stand for themselves, as they do for symbols that an event cannot hold.
    """
    ambiguous = overlapping(found)
    rows: list[tuple[int, int, bool, str]] = []
    before: dict[str, int] = {}
    for one in sorted(set(found), key=lambda one: (one.start_ns, one.end_ns, one.identity)):
        if one.symbol in ambiguous or not fits(one.symbol) or not 0 < one.identity < 1 << 32:
            continue
        moved = before.setdefault(one.symbol, one.identity) != one.identity
        before[one.symbol] = one.identity
        rows.append((one.identity, one.start_ns, moved, one.symbol))
    rows.sort()
    table = np.zeros(len(rows), SPAN)
    for row, following, (identity, start, moved, symbol) in zip(
        table, [*rows, (0, 0, False, "")][1:], rows, strict=True
    ):
        row["id"], row["start_ns"], row["moved"] = identity, start, moved
        row["until_ns"] = following[1] if following[0] == identity else NEVER
        row["symbol"] = np.frombuffer(symbol.encode().ljust(SYMBOL_BYTES), "<i8")
    return table


def overlapping(found: list[Mapping]) -> set[str]:
    """Symbols that stand for more than one id at a time."""
    last: dict[str, Mapping] = {}
    ambiguous = set()
    for one in sorted(found, key=lambda one: one.start_ns):
        known = last.get(one.symbol)
        if known and known.identity != one.identity and one.start_ns < known.end_ns:
            ambiguous.add(one.symbol)
        if known is None or one.end_ns > known.end_ns:
            last[one.symbol] = one
    return ambiguous


def fits(symbol: str) -> bool:
    """Whether a DIRECTORY event can hold a symbol."""
    printable = symbol.isascii() and symbol.isprintable()
    return printable and 0 < len(symbol) <= SYMBOL_BYTES and symbol[0] != " "
