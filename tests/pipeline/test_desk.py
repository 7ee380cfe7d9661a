"""Orders of clients through whole pipelines: what comes out, however it is laid out or killed."""

import hashlib
import json

import numpy as np
import pytest

from pipeline import plan, runs
from pipeline.config import STAGES, load
from tests.pipeline import logs, wishes
from tests.pipeline.running import TOGETHER, Place, corelane, lines, tables
from tuning import topology

ACCOUNTS = [
    {"name": "maker", "max_quantity": 200, "max_position": 400, "reduce_when_off": True},
    {"name": "taker", "credit": 5_000_000, "collar_percent": 20.0, "var_max": 60.0},
    {"name": "slow", "messages": 3, "window_ms": 5000},
    {"name": "free", "max_value": 100_000},
    {"name": "house"},
    {"name": "measured", "var_max": 40.0},
]
MATCHING = {
    "instruments": 4, "accounts": ACCOUNTS, "band_percent": 5.0, "on_band": "pause",
    "auction_ms": 2000.0,
}  # fmt: skip
BOOK = {"orders": 4096, "levels": 1024, "publish_levels": True, "matching": MATCHING}
RISK = {"scenarios": {"kind": "synthetic", "symbols": ["ACME", "FLOW"]}}  # BETA has none
KINDS = ["top", "level", "trade", "status", "accepted", "rejected", "fill", "canceled",
         "replaced", "triggered", "auction"]  # fmt: skip
TABLES = {
    "tops", "levels", "trades", "statuses", "accepted", "rejected", "fills", "canceled",
    "replaced", "triggered", "auctions",
}  # fmt: skip
LAYOUTS = {
    "one process": {"processes": [[*STAGES]]},
    "small rings, other waits": {
        "rings": {"events": 128, "book": 128, "risk": 128},
        "stages": {name: {"wait": "yield"} for name in ("ingest", "book", "publisher")},
    },
}
ORDER, ACME = wishes.order, wishes.ACME


def day() -> list[dict]:
    """Every kind of wish, in three instruments, so that every kind of report comes of it."""
    state = {"do": "state", "symbol": "FLOW"}
    some = wishes.traffic(900, seed=5)
    jump = [
        ORDER(1, 4, "sell", 5, 24, symbol="FLOW"),
        ORDER(2, 4, "buy", 5000, 25, symbol="FLOW"),  # beyond the band: an auction follows
    ]
    reach = [
        ORDER(3, 0, "buy", 5, 10),
        ORDER(4, 0, "sell", 5, 9, stop=10, stp="oldest"),
        ORDER(5, 3, "sell", 2, 10),
        ORDER(6, 0, "buy", 9, 9.5, peg=True),
        ORDER(7, 1, "buy", 9, 20),  # beyond the collar
        ORDER(8, 0, "buy", 201, 9),  # too large
        ORDER(9, 9, "buy", 1, 9),  # no such account
        ORDER(10, 3, "buy", 300, 9.99),  # worth too much
        ORDER(11, 3, "buy", 1, 9, tif="gtd", until=1_800_000_000 * 10**9),
    ]
    measured = [
        ORDER(20, 5, "buy", 30, 20.1, symbol="FLOW"),
        ORDER(21, 5, "buy", 300, 20.1, symbol="FLOW"),  # too much at risk
        ORDER(22, 5, "sell", 10, 21, symbol="FLOW"),
        ORDER(20, 5, "buy", 1, 5, symbol="BETA"),  # nobody knows what that risks
        ORDER(23, 5, "sell", 10, 9),
    ]
    off = [{"do": "switch", "off": True, "account": 3}, ORDER(12, 3, "buy", 1, 9)]
    close = [
        {**state, "state": "trading"},
        {"do": "cancel_all", "symbol": "FLOW", "side": "buy"},
        {**state, "state": "halted"},
        ORDER(13, 0, "buy", 1, 20, symbol="FLOW"),
        {"do": "cancel_all"},
    ]
    return [
        *wishes.LISTED, *some[:300], *reach, *some[300:450], *measured, *some[450:600], *jump,
        *some[600:700], {**state, "state": "trading"}, *some[700:], *off, *close,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """The file of that day."""
    return wishes.write(tmp_path_factory.mktemp("orders") / "orders.jsonl", day())


class Outcome:
    """What came of a run: every record of the book ring, and the history."""

    def __init__(self, place: Place, orders, **layout) -> None:
        sinks = place.history(kinds=KINDS)["sinks"]
        sinks.append({"kind": "jsonl", "path": str(place.folder / "out.jsonl"), "kinds": KINDS})
        feeds = [{"kind": "orders", "path": str(orders)}]
        path = place.write(
            **({"feeds": feeds, "book": BOOK, "risk": RISK, "publisher": {"sinks": sinks}} | layout)
        )
        config, digest = load(path), hashlib.sha256()
        made = plan.make(config, topology.read(), ("book",))

        def take(records: np.ndarray) -> None:
            digest.update(records.tobytes())

        result = runs.supervise(config, made, path, quiet=True, taps={"book": take})
        self.report = result.report
        self.digest = digest.hexdigest()
        self.tables = tables(place.folder / "history")
        self.lines = (place.folder / "out.jsonl").read_bytes()


@pytest.fixture(scope="module")
def first(tmp_path_factory, orders):
    place = Place(tmp_path_factory.mktemp("first"))
    try:
        return Outcome(place, orders)
    finally:
        place.close()


def test_every_kind_of_report_is_in_both_histories(first):
    assert first.report.balanced
    assert set(first.tables) == TABLES
    told = [json.loads(line) for line in first.lines.splitlines()]
    counts = {kind: sum(one["kind"] == kind for one in told) for kind in KINDS}
    assert all(counts.values()), counts
    assert sum(counts.values()) == sum(map(len, first.tables.values()))
    assert counts["fill"] == 2 * counts["trade"]
    block = first.report.stage("book").counters
    assert block["book"]["requests"] > 900
    asked = sum(wish["do"] == "order" for wish in day())
    refused = [one for one in told if one["kind"] == "rejected"]
    reasons = {reason for one in refused for reason in one["reasons"].split()}
    assert counts["accepted"] + len(refused) >= asked
    assert reasons >= {
        "collar", "max_quantity", "unknown_account", "max_notional", "switched_off", "halted",
        "rate", "unknown_order", "var", "var_unknown",
    }  # fmt: skip
    assert {one["auction"] for one in told if one["kind"] == "auction"} == {"indicated", "traded"}
    assert {one["why"] for one in told if one["kind"] == "canceled"} >= {"asked", "ioc", "mass"}
    assert {"maker", "taker", "auction"} == {
        one["liquidity"] for one in told if one["kind"] == "fill"
    }
    assert "paused" in {one["state"] for one in told if one["kind"] == "status"}


def test_prices_and_quantities_are_shown_in_their_units(first):
    told = [json.loads(line) for line in first.lines.splitlines()]
    found = [one for one in told if one["kind"] == "accepted" and one["symbol"] == "ACME"]
    assert [(one["order_id"], one["side"], one["price"], one["left"]) for one in found][:2] == [
        (3, "bid", 10.0, 5), (4, "ask", 9.0, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_orders_give_the_same_bytes(place, first, orders, layout):
    other = Outcome(place, orders, **LAYOUTS[layout])
    assert other.digest == first.digest
    assert other.tables == first.tables
    assert other.lines == first.lines
    assert other.report.balanced


def test_kills_of_the_book_lose_and_double_nothing(place, first, orders):
    folder = place.folder / "journal"
    path = place.write(
        feeds=[{"kind": "orders", "path": str(orders)}],
        book=BOOK,
        risk=RISK,
        publisher=place.history(kinds=KINDS),
        ingest={"rate": 200.0},
        rings={"events": 256, "book": 256, "risk": 256},
        journal={"path": str(folder), "snapshot_s": 0.4},
        supervision={"restarts": 10},
    )
    running = place.start(path)
    for count in (200, 500, 800):
        running.until_received("book", count)
        running.restart("book")
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    assert ran.stage("book").starts >= 4
    assert tables(place.folder / "history") == first.tables
    said = corelane("replay", folder).out
    assert "the same as in the run" in next(line for line in lines(said) if line[:5] == "book:")


GOOD = """
name = "desk"
[[feeds]]
kind = "orders"
path = "orders.jsonl"
"""


BARS = "".join(f"[[book.bars]]\ntrades = {number}\n" for number in range(2, 6))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD, "feeds[0]: brings orders, and nothing here matches them; add [book.matching]"),
        (GOOD.replace("orders", "flow", 1),
         "feeds[0]: brings orders, and nothing here matches them; add [book.matching]"),
        (GOOD + "[book.matching]\n[book.measures]\n" + BARS
         + "[rings]\nbook = 128\n",
         "rings.book: 128 is too small for what one event can give; use 256"),
        (GOOD + "[book.matching]\n[[risk.portfolios]]\nname = 'p'\naccounts = [0]\n",
         "risk.portfolios[0].accounts: there is no account 0; add [[book.matching.accounts]]"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\n[[risk.portfolios]]\nname = 'p'\n"
         "accounts = [0]\n", "nobody tells what account 0 trades; give it executions = true"),
        (GOOD + "[[risk.portfolios]]\nname = 'p'\naccounting = 'lifo'\n",
         "risk.portfolios[0].accounting: 'lifo' is none of its values; did you mean"),
        (GOOD + "[book.matching]\n[rings]\nbook = 32\n", "rings.book: 32 is no size; use 128"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nmax_quantity = 0\n",
         "max_quantity = 0: give 1 to 1152921504606846976, or leave it out"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\ncollar_percent = 0\n",
         "collar_percent = 0.0: give 0.01 to 10000"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nwindow_ms = 0\n",
         "window_ms = 0: give 1 to 86400000"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nmax_qty = 5\n", "max_qty"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nreduce_when_off = 1\n",
         "book.matching.accounts[0].reduce_when_off: expected true or false, found 1"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nvar_max = 0\n",
         "var_max = 0.0: give more than 0, at most 1,000,000,000,000, or leave it out"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\nvar_max = nan\n", "var_max = nan"),
        (GOOD + "[book.matching]\n[[book.matching.accounts]]\n[[book.matching.accounts]]\n"
         "var_max = 5.0\n",
         "book.matching.accounts[1].var_max: there are no scenarios for anything; name symbols in"),
        (GOOD + "[book.matching]\n[risk.scenarios]\nkind = 'synthetic'\nsymbols = ['A', 'A']\n",
         "risk.scenarios.symbols: 'A' stands there twice; name it once"),
        (GOOD + "[book.matching]\n[risk.scenarios]\nkind = 'synthetic'\nsymbols = ['A B']\n",
         "risk.scenarios.symbols: 'A B' is no symbol; give 1 to 24 ASCII characters"),
        (GOOD + "[book.matching]\ninstruments = 0\n", "instruments = 0: give 1 to 65536"),
        (GOOD + "[book.matching]\nband_percent = 100\n", "band_percent = 100.0: give 0.01 to"),
        (GOOD + '[book.matching]\non_band = "stop"\n', "on_band = 'stop': give 'reject' or"),
        (GOOD + "[book.matching]\nauction_ms = 0\n", "auction_ms = 0.0: give 0.001 to 86400000"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_line(tmp_path, text, told):
    path = tmp_path / "config.toml"
    path.write_text(text)
    ran = logs.corelane("config", "check", path)
    assert ran.exit_code == 2
    assert told in ran.output
    assert len(lines(ran.output)) == 1, ran.output


def test_a_file_with_bad_lines_is_read_to_its_end(place):
    bad = [*wishes.LISTED, {"do": "dance"}, ORDER(1, 0, "buy", 1, 9.999), ORDER(2, 0, "buy", 1, 9)]
    path = wishes.write(place.folder / "orders.jsonl", bad)
    book = {"orders": 1024, "matching": {}}
    feeds = [{"kind": "orders", "path": str(path)}]
    ran = place.run(place.write(feeds=feeds, book=book, processes=TOGETHER))
    ingest = ran.stage("ingest")
    assert "message 4: Invalid value 'dance' - at `$.do`" in ingest.message
    assert "the line is left out, like 1 more" in ingest.message
    assert ingest.counters["feed0"]["bad_values"] == 2
    assert ran.stage("book").counters["book"]["requests"] >= 4
