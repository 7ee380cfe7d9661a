"""What a load must come to: an undisturbed run of it, agreed with by the plain-Python stages."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from pipeline.config import load
from pipeline.plan import LAYOUTS
from pipeline.report import Report
from ringbuf.journal import JournalReader
from tests.naive.pipeline import answers
from tests.pipeline.running import Place, portfolios, tables
from workers.feeds.synthetic import SyntheticOptions, symbols

KINDS = ["top", "level", "trade", "status", "risk"]
RINGS = ("events", "book", "risk")
TOGETHER = [["ingest", "book", "risk", "publisher"], ["journal", "snapshot"]]
COUNTED = {"ingest": "ingest", "book": "book", "risk": "risk"}  # stages whose counters go on
LOCAL = {"full"}  # counters of what became of one process
BIG = 1 << 20  # more records than any load has
PATIENT = {
    "ready_s": 300.0,
    "hang_s": 200.0,
    "drain_s": 200.0,
    "restarts": 1_000_000,
    "restart_window_s": 0.5,  # so that waiting before a restart never becomes long
    "backoff_s": 0.001,
}


class Load(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A made-up day, and how many of its symbols are held."""

    messages: int
    symbols: int
    seed: int
    rate: float  # events a second
    held: int = 4
    days: int = 100


@dataclass
class Outcome:
    """All that a run has left behind, as far as it must be the same each time."""

    rings: dict[str, bytes]  # all records; of events apart from when they arrived
    chains: dict[str, int]  # the values that stand for the journals of book and risk
    rows: dict[str, list[tuple]]  # Parquet
    lines: dict[str, list[str]]  # JSON lines, by ring, in the order of the file
    counters: dict[str, dict[str, int]]
    portfolios: list


def tables_of(load: Load, place: Place, folder: Path) -> dict:
    """A configuration with everything: portfolios, two sinks, a journal in a folder."""
    day = {"messages": load.messages, "symbols": load.symbols, "seed": load.seed}
    held = symbols(SyntheticOptions(**day))
    risk = portfolios(day, min(load.held, len(held)))
    risk["scenarios"] = {"kind": "synthetic", "days": load.days}
    history = {"path": str(place.folder / "history"), "kinds": KINDS, "rows_per_file": 7000}
    lines = {"path": str(place.folder / "lines.jsonl"), "kinds": KINDS}
    return {
        "feeds": [{"kind": "synthetic", **day}],
        "rings": {"events": 512, "book": 1024, "risk": 256},  # nobody gets far ahead of another
        "ingest": {"instruments": 64, "rate": load.rate},
        "book": {"orders": 8192, "levels": 4096, "publish_levels": True},
        "risk": risk,
        "publisher": {
            "sinks": [{"kind": "jsonl", **lines}, {"kind": "parquet", **history}],
            "flush_s": 0.2,
        },
        "journal": {"path": str(folder), "segment_mb": 1, "snapshot_s": 0.3},
        "supervision": PATIENT,
    }


def merged(tables: dict, more: dict) -> dict:
    """Tables with others laid over them."""
    both = dict(tables)
    for name, value in more.items():
        old = both.get(name)
        deeper = isinstance(old, dict) and isinstance(value, dict)
        both[name] = merged(old, value) if deeper else value
    return both


def outcome(place: Place, journal: Path, report: Report) -> Outcome:
    """What a run that is through has left, all of it read anew."""
    rings, chains = {}, {}
    for ring in RINGS:
        log = JournalReader(journal / ring, LAYOUTS[ring])
        records = log.read(1, BIG)
        assert len(records) == log.last, (ring, len(records), log.last)
        if ring == "events":
            records["arrived_ns"] = 0
        else:
            chains[ring] = int(log.chain_at(log.last))
        rings[ring] = records.tobytes()
        log.close()
    lines: dict[str, list[str]] = {"book": [], "risk": []}
    for line in (place.folder / "lines.jsonl").read_text().splitlines():
        lines[json.loads(line)["ring"]].append(line)
    counters = {}
    for name, block in COUNTED.items():
        stage = report.stage(name)
        assert stage is not None
        counted = stage.counters[block]
        counters[name] = {key: n for key, n in counted.items() if key not in LOCAL}
    history = tables(place.folder / "history")
    return Outcome(rings, chains, history, lines, counters, report.portfolios)


def must_agree(found: Outcome, wanted: Outcome) -> None:
    """Fail, saying where, unless two outcomes are the same."""
    for ring in RINGS:
        mine, theirs = found.rings[ring], wanted.rings[ring]
        assert len(mine) == len(theirs), f"{ring}: {len(mine) // 64} of {len(theirs) // 64} records"
        if mine != theirs:
            pair = [np.frombuffer(part, np.uint8).reshape(-1, 64) for part in (mine, theirs)]
            first = int(np.flatnonzero((pair[0] != pair[1]).any(axis=1))[0])
            raise AssertionError(f"{ring}: record {first + 1} is another")
    assert found.chains == wanted.chains
    for mine, theirs, what in (
        (found.rows, wanted.rows, "Parquet"),
        (found.lines, wanted.lines, "JSON lines"),
    ):
        assert mine.keys() == theirs.keys(), (what, mine.keys())
        for name, content in theirs.items():
            assert len(mine[name]) == len(content), f"{what} {name}: how many"
            assert mine[name] == content, f"{what} {name}: differs"
    assert found.counters == wanted.counters
    assert found.portfolios == wanted.portfolios


@contextmanager
def place_of_its_own() -> Iterator[Place]:
    """A place for a run, with nothing left of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
        place = Place(Path(folder))
        try:
            yield place
        finally:
            place.close()


@cache
def reference(load_: Load) -> Outcome:
    """What a load comes to where nothing happens; the plain-Python stages must say the same."""
    with place_of_its_own() as place:
        journal = place.folder / "journal"
        tables_ = merged(tables_of(load_, place, journal), {"processes": TOGETHER})
        del tables_["ingest"]["rate"]
        path = place.write(**tables_)
        ran = place.run(path)
        assert ran.report is not None
        assert ran.report.balanced
        wanted = outcome(place, journal, ran.report)
        config = load(path)
    events = np.frombuffer(wanted.rings["events"], LAYOUTS["events"]["event"][1])
    naive = answers(events, config.book, config.risk, config.ingest.instruments)
    for ring, records in naive.items():
        assert wanted.rings[ring] == records, f"{ring}: the plain-Python stages say something else"
    return wanted
