"""How Databento's DBN records lie in memory, versions 1 to 3: little-endian, nothing in between.

From the public definitions of DBN (databento/dbn, Apache-2.0: `record.rs`, `compat.rs`,
`enums.rs`, `flags.rs`). Prices count 1e-9 of a unit of currency, times nanoseconds since the Unix
epoch. Sizes of records are told in words of four bytes.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.record import offset, record

WORD = 4  # bytes that a header's length counts
PRICE_DECIMALS = 9
UNDEF_PRICE = (1 << 63) - 1
UNDEF_SIZE = (1 << 32) - 1
TS_OUT = 8  # bytes of the time of sending behind each record, where the metadata say so
DEPTH = 10  # levels of a side, at most

# Bits of a record's flags.
LAST, TOB, SNAPSHOT, MBP = 128, 64, 32, 16
BAD_TS_RECV, MAYBE_BAD_BOOK = 8, 4

MBP_0, MBP_1, MBP_10, MBO = 0x00, 0x01, 0x0A, 0xA0
STATUS, DEFINITION, IMBALANCE, ERROR = 0x12, 0x13, 0x14, 0x15
MAPPING, SYSTEM, STATISTICS = 0x16, 0x17, 0x18
SKIPPED_RECORDS = 7  # code of an ERROR: the reader was slow, records were left out

_HEADER = [("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4"),
           ("ts_event", "<i8")]  # fmt: skip
_TRADE = [
    *_HEADER, ("price", "<i8"), ("quantity", "<u4"), ("action", "u1"), ("side", "u1"),
    ("bits", "u1"), ("depth", "u1"), ("ts_recv", "<i8"), ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]  # fmt: skip


def packed(fields: list) -> np.dtype:
    """A layout without padding, whose fields may lie at any address."""
    return record(np.dtype(fields))


HEADER = packed(_HEADER)
ORDER = packed(
    [
        *_HEADER, ("order", "<i8"), ("price", "<i8"), ("quantity", "<u4"), ("bits", "u1"),
        ("channel", "u1"), ("action", "u1"), ("side", "u1"), ("ts_recv", "<i8"),
        ("ts_in_delta", "<i4"), ("sequence", "<u4"),
    ]
)  # fmt: skip
TRADE = packed(_TRADE)
PAIR = packed(
    [
        ("bid", "<i8"), ("ask", "<i8"), ("bid_quantity", "<u4"), ("ask_quantity", "<u4"),
        ("bid_orders", "<u4"), ("ask_orders", "<u4"),
    ]
)  # fmt: skip
STATE_CHANGE = packed(
    [
        *_HEADER, ("ts_recv", "<i8"), ("action", "<u2"), ("reason", "<u2"), ("event", "<u2"),
        ("trading", "u1"), ("quoting", "u1"), ("short_restricted", "u1"), ("reserved", "u1", 7),
    ]
)  # fmt: skip
INCREMENT = packed([*_HEADER, ("ts_recv", "<i8"), ("min_price_increment", "<i8")])
ERROR_CODE_AT = 16 + 302  # from version 2 on


class Version(NamedTuple):
    """What differs between versions: bytes of records and of symbols, and where these stand."""

    symbol_bytes: int
    definition: int
    raw_symbol: int  # of a definition
    update_action: int  # of a definition: A, M or D
    mapping: int
    out_symbol: int  # of a mapping
    system: int
    statistics: int


VERSIONS = {
    1: Version(22, 360, 200, 349, 80, 38, 80, 64),
    2: Version(71, 400, 200, 382, 176, 89, 320, 64),
    3: Version(71, 520, 238, 493, 176, 89, 320, 80),
}
# Bytes of records that are the same in all versions.
SIZES = {
    MBP_0: 48, MBP_1: 80, MBP_10: 368, MBO: 56, STATUS: 40, IMBALANCE: 112,
    0x11: 56, 0x20: 56, 0x21: 56, 0x22: 56, 0x23: 56, 0x24: 56,  # bars
    0xB1: 80, 0xC0: 80, 0xC1: 80, 0xC2: 80, 0xC3: 80, 0xC4: 80,  # consolidated and sampled quotes
}  # fmt: skip
# The one type of market data in a file of one schema, by the schema's number in the metadata.
SCHEMAS = [
    MBO, MBP_1, MBP_10, MBP_1, MBP_0, 0x20, 0x21, 0x22, 0x23, DEFINITION, STATISTICS, STATUS,
    IMBALANCE, 0x24, 0xB1, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4,
]  # fmt: skip
TBBO = 3  # the schema of quotes at trades alone: ends of events are left out

LEVELS_AT = TRADE.itemsize  # of a record with levels: as many PAIRs as fill it
assert offset(ORDER, "ts_recv") == 40
for _type, _layout in ((MBO, ORDER), (MBP_0, TRADE), (STATUS, STATE_CHANGE)):
    assert SIZES[_type] == _layout.itemsize, _layout
assert SIZES[MBP_10] == LEVELS_AT + DEPTH * PAIR.itemsize


def sizes_of(version: int, schema: int) -> dict[int, int]:
    """Bytes of the records that a file of a version and a schema may hold, by type."""
    layout = VERSIONS[version]
    spoken = {ERROR: layout.system, MAPPING: layout.mapping, SYSTEM: layout.system}
    sizes = SIZES | {DEFINITION: layout.definition, STATISTICS: layout.statistics}
    if schema < len(SCHEMAS):
        sizes = {SCHEMAS[schema]: sizes[SCHEMAS[schema]]}
    return sizes | spoken
