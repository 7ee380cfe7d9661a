"""`corelane risk` shows what the board has: trees, limits, and what they rest on."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import risk_board
from pipeline.cli import main
from ringbuf import memory
from ringbuf.board import Board, create_board
from tests.pipeline.desks import Desk
from workers.portfolio_board import PORTFOLIO_ROW
from workers.position_board import POSITION_ROW
from workers.records import Measure, Standing

FIRM = {"name": b"firm", "parent": -1, "value": 10_000_000, "pnl": -1_234_500, "var_99": 20_000,
        "es_975": 30_000, "notional": 30_000_000, "realised": 75_000, "cause": 42,
        "time_ns": 1_700_000_000 * 10**9,
        "scenarios": 1000, "worst_scenario": 7}  # fmt: skip
BOOK = {"name": b"book", "parent": 2, "unvalued": 3, "stuck": 1, "scenarios": 1000}
DESK = {"name": b"desk", "parent": 0, "value": 5_000, "scenarios": 1000}
ALONE = {"name": b"alone", "parent": -1, "scenarios": 1000}
GREEKS = (12_345_600, -20_000, 30_000, -40_100, 500)  # the desk's
# Of the desk's Desk: AAPL has four digits, MSFT two.
POSITIONS = [
    {"portfolio": 0, "symbol": b"AAPL", "mark": 2_000_100, "var_part": 30_000, "es_part": 20_000},
    {"portfolio": 0, "symbol": b"MSFT", "instrument": 1, "mark": 0, "var_part": 0, "es_part": 0},
    {"portfolio": 0, "symbol": b"ZZZ", "instrument": -1},
    {"portfolio": 1, "symbol": b"AAPL", "mark": 2_000_100, "quantity": 30, "value": 30_001_500,
     "cost": 30_000_000, "var_part": 70_000},
    {"portfolio": 2, "symbol": b"AAPL", "mark": 2_000_100, "quantity": -10, "value": -10_000_500,
     "cost": -9_000_000, "var_part": -10_000},
    {"portfolio": 2, "symbol": b"ZZZ", "instrument": -1, "quantity": 0},
    {"portfolio": 3, "symbol": b"MSFT", "instrument": 1, "quantity": 7, "mark": 40_001,
     "value": 14_000_350},
]  # fmt: skip


@pytest.fixture
def desk(monkeypatch):
    made = Desk()
    memory.unlink(next(name for name in memory.names(made.name) if "portfolios" in name))
    create_board(made.name, "portfolios", "portfolio", PORTFOLIO_ROW, 4).close()
    board = Board(made.name, "portfolios", writable=True)
    for number, fields in enumerate((FIRM, BOOK, DESK, ALONE)):
        row = np.zeros(1, PORTFOLIO_ROW)
        for name, value in fields.items():
            row[name] = value
        if number == 0:
            row["limit"][0, Measure.LOSS], row["standing"][0, Measure.LOSS] = 1_000_000, 3
            row["limit"][0, Measure.VAR_99], row["standing"][0, Measure.VAR_99] = 40_000, 1
        if number == 2:
            row["options"], row["greek"][0] = 3, GREEKS
            row["limit"][0, Measure.GAMMA], row["standing"][0, Measure.GAMMA] = 30_000, 1
        board.put(number, row)
    board.close()
    create_board(made.name, "positions", "position", POSITION_ROW, len(POSITIONS)).close()
    board = Board(made.name, "positions", writable=True)
    for number, fields in enumerate(POSITIONS):
        row = np.zeros(1, POSITION_ROW)
        for name, value in fields.items():
            row[name] = value
        board.put(number, row)
    board.close()
    monkeypatch.setattr(risk_board.console.out, "width", 80)
    monkeypatch.setattr(risk_board.runs, "the_one", lambda name: made.name)
    yield made
    made.unlink()


def told(*words, code=0):
    result = CliRunner().invoke(main, ["risk", *words])
    assert result.exit_code == code, result.output
    return result.output


def test_the_tree_with_figures_and_standings(desk):
    shown = [line for line in told().splitlines() if "1,000 scenarios" not in line]
    rows = [next(line for line in shown if name in line) for name in ("firm", "desk", "book")]
    assert [
        line.index(name) for line, name in zip(rows, ("firm", "desk", "book"), strict=True)
    ] == [rows[0].index("firm") + 2 * depth for depth in range(3)]
    for text in ("1,000.00", "-123.45", "2.00", "3.00", "breach loss"):
        assert text in rows[0]
    assert rows[2].split()[-3:] == ["3", "1", "-"]


def test_one_portfolio_with_all_below_it_and_its_limits(desk):
    shown = told("firm")
    assert "alone" not in shown
    (line,) = (line for line in shown.splitlines() if "123.4%" in line)
    for text in ("loss", "breach", "123.45", "100.00"):
        assert text in line
    assert "50.0%" in shown
    for text in ("gross value 3,000.00", "realised 7.50", "scenario 7 of", "as of record 42, 2023"):
        assert text in shown
    shown = told("desk")
    assert "book" in shown
    assert "firm" not in shown


def test_the_positions_of_all_below_and_what_each_adds(desk):
    aapl, msft, zzz = json.loads(told("firm", "--json").splitlines()[0])["positions"]
    assert aapl == {"symbol": "AAPL", "quantity": 20, "price": 100.005, "value": 2000.1,
                    "pnl": -99.9, "var_part": 3.0, "es_part": 2.0}  # fmt: skip
    assert (msft["symbol"], msft["price"], msft["pnl"]) == ("MSFT", None, None)
    assert (zzz["symbol"], zzz["price"], zzz["quantity"]) == ("ZZZ", None, 0)
    shown = told("alone")
    assert "AAPL" not in shown
    (line,) = (line for line in shown.splitlines() if "MSFT" in line)
    for text in ("7", "200.005", "1,400.04"):
        assert text in line


def test_json_lines_hold_it_all(desk):
    firm, middle, book, alone = map(json.loads, told("--json").splitlines())
    assert (firm["sequence"], firm["worst_scenario"], firm["parent"]) == (42, 7, None)
    assert firm["time"].startswith("2023-11-14T22:13:20")
    breach = {"measure": "loss", "standing": Standing.BREACH.name.lower()}
    assert firm["limits"][1] == breach | {"measured": 123.45, "limit": 100.0}
    assert (middle["parent"], middle["depth"]) == ("firm", 1)
    assert (book["parent"], book["unmarked"], book["stuck"]) == ("desk", 3, 1)
    assert (alone["time"], alone["standing"], alone["limits"]) == (None, "-", [])
    assert (alone["options"], alone["greeks"]) == (0, None)
    assert middle["options"] == 3
    assert middle["greeks"] == {"delta": 1234.56, "gamma": -2.0, "vega": 3.0, "theta": -4.01,
                                "rho": 0.05}  # fmt: skip
    (gamma,) = middle["limits"]
    assert (gamma["measure"], gamma["measured"], gamma["limit"]) == ("gamma", 2.0, 3.0)


def test_greeks_of_those_that_hold_options(desk):
    shown = told("desk")
    (line,) = (line for line in shown.splitlines() if "1,234.56" in line)
    assert line.split() == ["desk", "3", "1,234.56", "-2.00", "3.00", "-4.01", "0.05"]
    assert "Greeks" not in told("alone")


def test_a_portfolio_that_is_not_there_is_refused(desk):
    assert "no portfolio 'frm'; did you mean 'firm'?" in told("frm", code=2)


def test_a_pipeline_without_portfolios_is_told(desk, monkeypatch):
    monkeypatch.setattr(risk_board, "parts", lambda name: {"boards": ["depth"]})
    assert "has no portfolios; give it [[risk.portfolios]]" in told(code=2)
