"""Two venues through a real pipeline: measures, bars, and the best over both of them."""

import gzip
import itertools
import json

import numpy as np
import pytest

from pipeline.config import load
from pipeline.plan import LAYOUTS
from ringbuf.jit import compiled
from ringbuf.journal import JournalReader
from tests.data import data_file
from tests.naive.consolidated import Quote
from tests.naive.pipeline import NaiveVenues, answers, must_be_alike
from tests.pipeline.running import TOGETHER, Place, corelane, rows, tables
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.records import CONSOLIDATED, EVENT, TOP, Book, Event, Mark, State

DAYS = [
    {"kind": "synthetic", "messages": count, "symbols": 3, "seed": 3} for count in (4_000, 3_000)
]
COMMON = symbols(SyntheticOptions(messages=4_000, symbols=3, seed=3))
BIG = 1 << 24  # more records than any of these runs has
KINDS = ["top", "quote", "flow", "bar", "bar_flow", "consolidated"]
EVERYTHING = {
    "measures": {"sample_ms": 1000},
    "bars": [{"seconds": 60.0}, {"trades": 10}, {"volume": 1_000_000_000}],
}


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


def logs_of(folder) -> tuple[np.ndarray, np.ndarray]:
    """All events of a run, and all records of its book ring."""
    found = []
    for ring in ("events", "book"):
        log = JournalReader(folder / ring, LAYOUTS[ring])
        found.append(log.read(1, BIG))
        log.close()
    return found[0].view(EVENT), found[1].view(TOP)


def best_of_tops(events: np.ndarray, book: np.ndarray, groups: dict) -> list[tuple]:
    """What consolidated records must follow from the tops on the ring: cause, and what they say."""
    venues, told = NaiveVenues(groups), []
    announced = events[events["kind"] == Event.DIRECTORY]
    tops = book[np.isin(book["kind"], (Book.TOP, Book.STATUS, Book.CLEARED))]
    merged = [*((int(event["sequence"]), 0, event) for event in announced)]
    merged += [(int(top["cause"]), 1 + int(top["index"]), top) for top in tops]
    for cause, place, record in sorted(merged, key=lambda item: item[:2]):
        if place == 0:
            venues.announce(record)
            continue
        state = int(record["state"])
        stopped = state % Mark.PARTIAL in (State.HALTED, State.PAUSED)
        bad = stopped or state & (Mark.STALE | Mark.BARRED)
        quote = Quote(*(int(record[name]) for name in Quote._fields))
        for best in venues.on_top(int(record["instrument"]), None if bad else quote):
            told.append((cause, *(best[name] for name in BEST)))
    return told


BEST = ("instrument", "bid", "bid_quantity", "ask", "ask_quantity", "venues", "state")


def consolidated_of(book: np.ndarray) -> list[tuple]:
    """What the consolidated records say."""
    found = book[book["kind"] == Book.CONSOLIDATED].view(CONSOLIDATED)
    return list(zip(*(found[name].tolist() for name in ("cause", *BEST)), strict=True))


def test_two_feeds_are_two_venues(place):
    groups = {
        name: {"venues": [f"feed0:{name}", f"feed1:{name}"], "price_decimals": 6} for name in COMMON
    }
    journal, lines = place.folder / "journal", place.folder / "lines.jsonl"
    path = place.write(
        feeds=DAYS,
        ingest={"instruments": 16},
        book={"orders": 1 << 14, "levels": 1 << 12, **EVERYTHING},
        consolidated=groups,
        publisher={
            "sinks": [
                {"kind": "parquet", "path": str(place.folder / "history"), "kinds": KINDS},
                {"kind": "jsonl", "path": str(lines), "kinds": KINDS},
            ]
        },
        journal={"path": str(journal), "segment_mb": 1, "snapshot_s": 0.2},
        processes=[*TOGETHER, ["journal", "snapshot"]],
    )
    ran = place.run(path)
    assert ran.report is not None
    assert ran.report.balanced
    events, book = logs_of(journal)
    config = load(path)
    naive = answers(events, config.book, config.risk, 16, config.consolidated)
    must_be_alike(book.tobytes(), naive["book"])
    told = consolidated_of(book)
    assert told == best_of_tops(events, book, config.consolidated)
    assert {record[-2] for record in told} >= {0x00, 0x11, 0x01, 0x10}  # each is best at times
    kept = tables(place.folder / "history")
    for kind in Book:
        if kind.name.lower() in KINDS:
            table = {"consolidated": "consolidated"}.get(kind.name.lower(), f"{kind.name.lower()}s")
            assert len(kept[table]) == (book["kind"] == kind).sum() > 0
    best = [json.loads(line) for line in lines.read_text().splitlines() if '"consolid' in line[:22]]
    assert [(row["cause"], round((row["bid"] or 0) * 10**6)) for row in best] == [
        (cause, bid) for cause, _, bid, *_ in told
    ]
    assert {row["symbol"] for row in best} == {*COMMON}
    shown = corelane("journal", "tail", journal, "book", "--kind", "consolidated", "--last", "5")
    assert set(shown.out.split()) & {*COMMON}


@pytest.mark.compiled
def test_spot_and_futures_of_a_real_day(place):
    """The best of both captures of an exchange is that of the tops of their books."""
    feeds = []
    for number, market in enumerate(("spot", "usdm")):
        path = place.folder / f"{number}.capture"
        with gzip.open(data_file(f"crypto/binance_{market}__btcusdt_20240808.gz")) as whole:
            path.write_bytes(b"".join(itertools.islice(whole, 6_000)))
        feeds.append({"kind": "binance", "path": str(path), "symbols": ["BTCUSDT"]})
    journal = place.folder / "journal"
    path = place.write(
        feeds=feeds,
        ingest={"instruments": 16},
        book=EVERYTHING,
        consolidated={"BTC": {"venues": ["feed0:BTCUSDT", "feed1:BTCUSDT"]}},
        publisher=place.history(kinds=["consolidated", "trade"]),
        journal={"path": str(journal)},
        processes=[*TOGETHER, ["journal", "snapshot"]],
    )
    ran = place.run(path)
    assert ran.stage("book").counters["book"]["venues_refused"] == 0
    events, book = logs_of(journal)
    told = consolidated_of(book)
    assert told == best_of_tops(events, book, load(path).consolidated)
    assert len(told) > 500
    fresh = [record for record in told if record[-1] % 16 == 2]
    assert len(fresh) > 500  # both venues count from their snapshots on
    assert all(50_000 < record[2] / 10**8 < 70_000 for record in fresh)
    traded = rows(place.folder / "history", "trades")
    assert 0 < min(row[7] for row in traded) < 0.01  # bitcoins, not lots
    assert compiled()
