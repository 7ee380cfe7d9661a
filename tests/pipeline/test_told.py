"""What lines tell of positions is held through whole processes, whatever is killed on the way."""

import json

import numpy as np

from pipeline.config import load
from pipeline.plan import LAYOUTS
from ringbuf.journal import JournalReader
from tests.naive.pipeline import names_of
from tests.naive.risk_stage import NaiveRisk
from tests.pipeline import wishes
from tests.pipeline.running import corelane, lines, tables
from workers.records import NAMED, TOP, Book, Event, Kept

RISK = {
    "portfolios": [
        {"name": "firm", "limits": {"value": 20_000.0, "loss": 500.0}},
        {"name": "desk", "parent": "firm", "accounts": [0], "accounting": "fifo", "lots": 4},
        {"name": "book", "parent": "firm", "positions": {
            "ACME": {"quantity": 3, "price": 10.0}, "FLOW": {"quantity": 100, "price": 19.5}}},
    ],
    "lines": True,
    "instruments": {"FLOW": {"currency": "EUR", "multiplier": 2.5}},
    "currencies": {"EUR": {"symbol": "ACME"}},
    "scenarios": {"kind": "synthetic", "days": 120},
}  # fmt: skip
KINDS = ["holding", "execution", "risk", "limit", "position"]


def tell(second: int, portfolio: str, symbol: str, quantity: int, price: float, do="position"):
    wish = {"do": do, "portfolio": portfolio, "symbol": symbol, "quantity": quantity}
    return f"{wishes.BEGIN_S + second} {json.dumps(wish | {'price': price})}\n"


def test_kills_lose_and_double_nothing_that_was_told(place):
    wanted = [*wishes.LISTED, *wishes.BEFORE, *wishes.traffic(330, seed=8)]
    path = wishes.write(place.folder / "orders.jsonl", wanted)
    told = [tell(-5, "desk", "FLOW", 7, 19.0), tell(-5, "book", "ACME", 5, 9.5)]
    told += [tell(-4, "nobody", "ACME", 5, 9.5), tell(-4, "desk", "GONE", 1, 1.0)]
    for second in range(0, 330, 7):
        told.append(tell(second, "desk", "FLOW", 3 - second % 5 or 9, 20.01, "trade"))
        told.append(tell(second, "book", "FLOW", second - 150, 20.5))
    (place.folder / "told.jsonl").write_text("".join(told))
    folder = place.folder / "journal"
    config = place.write(
        feeds=[{"kind": "orders", "path": str(place.folder / "told.jsonl")},
               {"kind": "orders", "path": str(path)}],
        book={"orders": 4096, "levels": 1024,
              "matching": {"accounts": [{"name": "a", "executions": True}] * 7}},
        risk=RISK, publisher=place.history(kinds=KINDS), ingest={"rate": 50.0},
        rings={"events": 256, "book": 256, "risk": 256},
        journal={"path": str(folder), "snapshot_s": 0.4}, supervision={"restarts": 10},
    )  # fmt: skip
    running = place.start(config)
    for count, stage in ((30, "ingest"), (60, "risk"), (90, "book"), (120, "risk")):  # of hundreds
        running.until_received("risk", count)
        running.restart(stage)
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    events, book, risk = (
        JournalReader(folder / ring, LAYOUTS[ring]).read(1, 1 << 20)
        for ring in ("events", "book", "risk")
    )
    announced = events[(events["kind"] == Event.DIRECTORY) & (events["flags"] == NAMED)]
    named = frozenset(announced["instrument"].tolist())
    assert len(named) == 3
    twin = NaiveRisk(load(config).risk, names_of(events), named)
    for record in book.view(TOP):
        twin.take(record)
    assert risk.tobytes() == b"".join(twin.records)
    count = np.count_nonzero(book["kind"] == Book.HOLDING)
    assert count == len(told) - 1
    counters = ran.stage("risk").counters["risk"]
    assert (counters["holdings"], counters["astray"]) == (count - 2, 1)
    assert counters["unbooked"] == 1  # a trade in euro, before the first rate
    assert ran.stage("ingest").counters["feed0"]["bad_values"] == 1
    booked = np.count_nonzero(risk["kind"] == Kept.POSITION)
    assert booked == counters["holdings"] + counters["executions"]
    stored = tables(place.folder / "history")
    assert len(stored["holdings"]) == count
    assert len(stored["positions"]) == booked
    said = corelane("replay", folder).out
    for ring in ("book", "risk"):
        line = next(line for line in lines(said) if line.startswith(f"{ring}:"))
        assert "the same as in the run" in line
