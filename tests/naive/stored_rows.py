"""What a history must hold, told record by record, and what it does hold, read back plainly."""

import json
import struct
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np

from tests.naive.pipeline import FLOATS
from workers.instruments import Unit
from workers.records import LIMIT, RISK, TOP, Book, empty
from workers.sinks.sink import Run
from workers.sinks.tables import TABLES

KINDS = ["top", "level", "trade", "status", "risk", "limit"]
KINDS += ["quote", "flow", "bar", "bar_flow", "consolidated", "depth"]
SCALES = (10_000, 100, 1_000_000_000, 64)
LOTS = (1, 100_000_000, 1, 10)
RUN = Run(
    "monday",
    lambda number: Unit(f"stock-{number}", SCALES[number % 4], LOTS[number % 4]),
    lambda number: Unit(f"group-{number}", 10**8, 1000),
)
KIND_NUMBERS = (1, 1, 1, 2, 2, 3, 4, 6, 7, 8, 9, 10, 18)
MARKS = ((16, "locked"), (32, "crossed"), (128, "stale"))
START_NS = 1_340_285_400_000_000_000


def book_records(count: int, seed: int) -> np.ndarray:
    """Records of a book ring, all kinds mixed."""
    choose = np.random.default_rng(seed)
    records = empty(TOP, count)
    for name in ("bid", "ask", "bid_quantity", "ask_quantity"):
        records[name] = choose.integers(0, 4, count) * choose.integers(0, 10**12, count)
    _fill_common(records, choose)
    records["kind"] = choose.choice([*KIND_NUMBERS, 99], count)  # 99: nobody's kind
    for kind, (layout, names) in FLOATS.items():
        rows = records.view(layout)
        for name in names:
            rows[name][rows["kind"] == kind] = choose.normal(0, 1e6, count)[rows["kind"] == kind]
    venues = records["kind"] == Book.CONSOLIDATED
    records["side"] = choose.integers(0, 4, count)  # 3: a side without a name
    records["state"] = choose.integers(0, 6, count)
    records["side"][venues] = choose.integers(0, 256, count)[venues]
    records["state"][venues] = choose.integers(0, 256, count)[venues]
    return records


def risk_records(count: int, seed: int) -> np.ndarray:
    """Records of a risk ring."""
    choose = np.random.default_rng(seed)
    records = empty(RISK, count)
    for name in ("value", "pnl", "var_99", "es_975"):
        records[name] = choose.integers(-(10**13), 10**13, count)
    _fill_common(records, choose)
    records["portfolio"] = choose.integers(0, 5, count)
    records["kind"] = choose.choice([1, 1, 2, 77], count)  # 77: nobody's kind
    limits = records.view(LIMIT)
    for name, most in (("doubtful", 9), ("measure", 4), ("before", 4), ("after", 5)):
        limits[name][limits["kind"] == 2] = choose.integers(0, most, count)[limits["kind"] == 2]
    limits["spare"][limits["kind"] == 2] = 0
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
    if kind == "limit":
        index, portfolio = struct.unpack_from("<BH", record, 53)
        measure, before, after = struct.unpack_from("<3H", record, 40)
        standings = ("unknown", "ok", "warn", "breach", "4")
        what = ("var_99", "es_975", "value", "loss")[measure]
        money = a / 10_000, b / 10_000
        tail: tuple = (portfolio, what, standings[before], standings[after], *money, c)
    elif kind == "risk":
        index, portfolio = struct.unpack_from("<BH", record, 53)
        tail = (portfolio, *(money / 10_000 for money in (a, b, c, d)))
    else:
        _, side, index, state = record[52:56]
        scale, lots = SCALES[instrument % 4], LOTS[instrument % 4]
        if kind == "consolidated":
            scale, lots = 10**8, 1000
        e, f, g, h = struct.unpack_from("<4d", record, 16)
        side_name = {0: "bid", 1: "ask", 2: "none"}.get(side, str(side))
        names = ("unknown", "trading", "halted", "paused", "quoting")
        state_name = dict(enumerate(names)).get(state, str(state))
        best = (a / scale if a else None, c / lots, b / scale if b else None, d / lots)
        marks = [mark for bit, mark in MARKS if state & bit]
        bidder, asker = [None if place == 15 else place for place in divmod(side, 16)]
        prices = [price / scale for price in (a, b, c, d)]
        tail = {
            "top": (*best, state_name),
            "status": (*best, state_name),
            "level": (side_name, a / scale, b / lots, c),
            "depth": (side_name, a / scale if a else None, b / lots, c, d, state_name),
            "trade": (side_name, a / scale, b / lots, c, d),
            "quote": (a / scale / 2 if a else None, b / scale, g / scale, h, state_name),
            "flow": (e / scale, c / lots, d, f),
            "bar": (side, *prices, state_name),
            "bar_flow": (a, f / scale, c / lots, d),
            "consolidated": (*best, bidder, asker, state % 16, " ".join(marks) or "ok"),
        }[kind]
    whose = "group" if kind == "consolidated" else "stock"
    return (sequence, cause, index, when, f"{whose}-{instrument}", *tail)


def naive_rows(rings: dict[str, np.ndarray], kinds: list[str]) -> dict[str, list[tuple]]:
    """All rows of each kind, record by record."""
    rows: dict[str, list[tuple]] = {kind: [] for kind in kinds}
    for ring, records in rings.items():
        content = records.tobytes()
        for at in range(0, len(content), 64):
            record = content[at : at + 64]
            number = record[52]
            known = number in list(Book)
            of_risk = {1: "risk", 2: "limit"}.get(record[52], "")
            kind = of_risk if ring == "risk" else Book(number).name.lower() if known else ""
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
        columns = names.replace('"time"', "epoch_ns(time)").replace('"start"', "epoch_ns(start)")
        query = f"SELECT {columns} FROM read_parquet(?)"
        rows[kind] = duckdb.execute(query, [files]).fetchall() if files else []
    return rows


def json_rows(path: Path, kinds: list[str]) -> dict[str, list[tuple]]:
    """All rows of each kind as Python's own json reads them."""
    rows: dict[str, list[tuple]] = {kind: [] for kind in kinds}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        for name in {"time", "start"} & row.keys():
            whole, fraction = row[name].rstrip("Z").split(".")
            seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
            row[name] = round(seconds) * 10**9 + int(fraction)
        assert row["ring"] == ("risk" if row["kind"] in ("risk", "limit") else "book")
        rows[row["kind"]].append(tuple(row[c.name] for c in TABLES[row["kind"]].columns))
    return rows
