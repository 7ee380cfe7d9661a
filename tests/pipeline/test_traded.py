"""What accounts trade is in the positions of their portfolios, whatever is killed on the way."""

import numpy as np

from pipeline.config import load
from pipeline.plan import LAYOUTS
from ringbuf.journal import JournalReader
from tests.naive.pipeline import names_of
from tests.naive.risk_stage import NaiveRisk
from tests.pipeline import wishes
from tests.pipeline.running import corelane, lines, tables
from workers.records import TOP, Book, Kept

ACCOUNTS = [{"name": f"a{number}", "executions": number != 3} for number in range(5)]
NOTHING = {"quantity": 0, "price": 1.0}
LIMITS = {"value": 20_000.0, "loss": 500.0}
RISK = {
    "portfolios": [
        {"name": "firm", "limits": LIMITS},
        {"name": "makers", "parent": "firm", "accounts": [0], "accounting": "fifo", "lots": 4,
         "positions": {"FLOW": {"quantity": 100, "price": 19.5}}},
        {"name": "takers", "parent": "firm", "accounts": [2], "positions": {"ACME": NOTHING}},
        {"name": "others", "accounts": [4]},
    ],
    "scenarios": {"kind": "synthetic", "days": 120},
}  # fmt: skip
KINDS = ["fill", "execution", "risk", "limit", "position"]


def test_kills_lose_and_double_no_position(place):
    wanted = [*wishes.LISTED, *wishes.traffic(700, seed=8)]
    wanted += wishes.traffic(80, seed=9, symbol="BETA") + wishes.traffic(150, seed=7, first=5000)
    path = wishes.write(place.folder / "orders.jsonl", wanted)
    folder = place.folder / "journal"
    config = place.write(
        feeds=[{"kind": "orders", "path": str(path)}],
        book={"orders": 4096, "levels": 1024, "matching": {"accounts": ACCOUNTS}},
        risk=RISK,
        publisher=place.history(kinds=KINDS),
        ingest={"rate": 300.0},
        rings={"events": 256, "book": 256, "risk": 256},
        journal={"path": str(folder), "snapshot_s": 0.4},
        supervision={"restarts": 10},
    )
    running = place.start(config)
    for stage, count in (("risk", 600), ("book", 500), ("risk", 1500)):
        running.until_received(stage, count)
        running.restart(stage)
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    events, book, risk = (
        JournalReader(folder / ring, LAYOUTS[ring]).read(1, 1 << 20)
        for ring in ("events", "book", "risk")
    )
    options = load(config).risk
    twin = NaiveRisk(options, names_of(events))
    for record in book.view(TOP):
        twin.take(record)
    assert risk.tobytes() == b"".join(twin.records)
    counters = ran.stage("risk").counters["risk"]
    told = np.count_nonzero(book["kind"] == Book.EXECUTION)
    names = ("executions", "not_ours", "astray", "unbooked")
    assert sum(counters[name] for name in names) == told > 100
    assert min(counters[name] for name in names[:3]) > 10
    assert counters["merged"] > 0
    assert counters["executions"] == np.count_nonzero(risk["kind"] == Kept.POSITION)
    shown = [round(row.realised * 10_000) for row in ran.report.portfolios]
    assert shown == [twin.realised(number) for number in range(4)]
    assert shown[0] == shown[1] + shown[2] != 0
    stored = tables(place.folder / "history")
    assert len(stored["executions"]) == told
    assert len(stored["positions"]) == counters["executions"]
    assert "no position: there are no scenarios for it" in ran.stage("risk").message
    said = corelane("replay", folder).out
    for ring in ("book", "risk"):
        line = next(line for line in lines(said) if line.startswith(f"{ring}:"))
        assert "the same as in the run" in line
