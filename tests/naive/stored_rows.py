"""What a history must hold, told record by record, and what it does hold, read back plainly."""

import json
import struct
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np

from workers.records import RISK, TOP, Book, empty
from workers.sinks.sink import Run
from workers.sinks.tables import TABLES

KINDS = ["top", "level", "trade", "status", "risk"]
SCALES = (10_000, 100, 1_000_000_000, 64)
RUN = Run("monday", "stock-{}".format, lambda number: SCALES[number % 4])
START_NS = 1_340_285_400_000_000_000


def book_records(count: int, seed: int) -> np.ndarray:
    """Records of a book ring, all kinds mixed."""
    choose = np.random.default_rng(seed)
    records = empty(TOP, count)
    for name in ("bid", "ask", "bid_quantity", "ask_quantity"):
        records[name] = choose.integers(0, 4, count) * choose.integers(0, 10**12, count)
    _fill_common(records, choose)
    records["kind"] = choose.choice([1, 1, 1, 2, 2, 3, 4, 9], count)  # 9: nobody's kind
    records["side"] = choose.integers(0, 4, count)  # 3: a side without a name
    records["state"] = choose.integers(0, 6, count)
    return records


def risk_records(count: int, seed: int) -> np.ndarray:
    """Records of a risk ring."""
    choose = np.random.default_rng(seed)
    records = empty(RISK, count)
    for name in ("value", "pnl", "var_99", "es_975"):
        records[name] = choose.integers(-(10**13), 10**13, count)
    _fill_common(records, choose)
    records["portfolio"] = choose.integers(0, 5, count)
    return records


def _fill_common(records: np.ndarray, choose: np.random.Generator) -> None:
    count = len(records)
    records["sequence"] = np.arange(1, count + 1)
    records["cause"] = np.arange(count) // 2
    records["time_ns"] = START_NS + np.cumsum(choose.integers(0, 10**9, count))
    records["instrument"] = choose.integers(-1, 7, count)
    records["index"] = np.arange(count) % 2


def naive_row(kind: str, record: bytes) -> tuple:
    """What one record must read as, straight from its bytes."""
    cause, when, a, b, c, d, instrument = struct.unpack_from("<6qi", record, 0)[:7]
    sequence = struct.unpack_from("<q", record, 56)[0]
    if kind == "risk":
        portfolio, index = struct.unpack_from("<HB", record, 52)
        tail: tuple = (portfolio, *(money / 10_000 for money in (a, b, c, d)))
    else:
        _, side, index, state = record[52:56]
        scale = SCALES[instrument % 4]
        side_name = {0: "bid", 1: "ask", 2: "none"}.get(side, str(side))
        names = ("unknown", "trading", "halted", "paused", "quoting")
        state_name = dict(enumerate(names)).get(state, str(state))
        quotes = (a / scale if a else None, c, b / scale if b else None, d, state_name)
        tail = {
            "top": quotes,
            "status": quotes,
            "level": (side_name, a / scale, b, c),
            "trade": (side_name, a / scale, b, c, d),
        }[kind]
    return (sequence, cause, index, when, f"stock-{instrument}", *tail)


def naive_rows(rings: dict[str, np.ndarray], kinds: list[str]) -> dict[str, list[tuple]]:
    """All rows of each kind, record by record."""
    rows: dict[str, list[tuple]] = {kind: [] for kind in kinds}
    for ring, records in rings.items():
        content = records.tobytes()
        for at in range(0, len(content), 64):
            record = content[at : at + 64]
            number = record[52]
            known = number in list(Book)
            kind = "risk" if ring == "risk" else Book(number).name.lower() if known else ""
            if kind in kinds:
                rows[kind].append(naive_row(kind, record))
    return rows


def parquet_rows(folder: Path, kinds: list[str]) -> dict[str, list[tuple]]:
    """All rows of each kind as DuckDB reads them, in the order of the file names."""
    rows = {}
    for kind in kinds:
        table = TABLES[kind]
        files = [str(path) for path in sorted((folder / table.name).glob("*.parquet"))]
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        columns = names.replace('"time"', "epoch_ns(time)")
        query = f"SELECT {columns} FROM read_parquet(?)"
        rows[kind] = duckdb.execute(query, [files]).fetchall() if files else []
    return rows


def json_rows(path: Path, kinds: list[str]) -> dict[str, list[tuple]]:
    """All rows of each kind as Python's own json reads them."""
    rows: dict[str, list[tuple]] = {kind: [] for kind in kinds}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        whole, fraction = row["time"].rstrip("Z").split(".")
        seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
        row["time"] = int(seconds) * 10**9 + int(fraction)
        assert row["ring"] == ("risk" if row["kind"] == "risk" else "book")
        rows[row["kind"]].append(tuple(row[c.name] for c in TABLES[row["kind"]].columns))
    return rows
