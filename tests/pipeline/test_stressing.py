"""`corelane stress`, `hedge`, `explain`: what is printed, and what is said of bad input."""

import io
import math
import re

import numpy as np
import pytest
from rich.console import Console

from pipeline import risk_cli, stressing
from pipeline.holdings import load, parse
from tests.data import ROOT
from tests.pipeline.running import corelane, lines
from workers.explain import later
from workers.hedging import AIMS
from workers.holdings import HoldingsError
from workers.quantiles import MeasureError
from workers.revaluation import Valued
from workers.stress import crises, grid

DESK = ROOT / "docs" / "examples" / "desk.toml"
LEAST = """
[underlyings.ACME]
price = 100
[[positions]]
kind = "equity"
underlying = "ACME"
quantity = 500
"""
OPTION = """
[[positions]]
kind = "option"
type = "call"
underlying = "ACME"
strike = 100
expiry = 0.5
volatility = 0.2
quantity = -3
"""


@pytest.fixture(scope="module")
def valued():
    return Valued(load(DESK))


def shown(*parts):
    """What a wide terminal would have."""
    console = Console(width=250, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return lines(console.export_text())


def written(folder, text, name="book.toml"):
    path = folder / name
    path.write_text(text)
    return path


def test_the_grid_has_every_cell_and_nothing_in_the_middle(valued):
    told = shown(stressing.grid_table(valued, [-10.0, 0.0, 10.0], [-5.0, 0.0], False))
    assert told[-4].split() == ["price", "-5", "pt", "0", "pt"]
    found = grid(valued, [-0.1, 0.0, 0.1], [-0.05, 0.0]).profits
    for line, row in zip(told[-3:], found.tolist(), strict=True):
        assert line.split()[-2:] == [f"{value:,.2f}" for value in row]
    assert told[-2].split()[-1] == "0.00"
    beta = shown(stressing.grid_table(valued, [-10.0], [0.0], True))
    assert beta[-1] != told[-3]


def test_crises_own_shocks_and_ladder(valued):
    told = shown(stressing.crisis_table(valued, tuple(crises()), False))
    assert [line.split()[0] for line in told[2:]] == list(crises())
    (monday,) = [line for line in told if line.startswith("1987-10-19")]
    assert monday.split()[1:5] == ["-20.47", "%", "+113.82", "VXO"]
    own = shown(stressing.moves_table(valued))
    assert [line.split()[0] for line in own[2:]] == ["tech-rout", "oil-crash"]
    rungs = shown(stressing.ladder_table(valued))
    assert rungs[-1].split()[:2] == ["all", "5"]
    totals = [float(cell.replace(",", "")) for cell in rungs[-1].split()[2:]]
    cells = [[float(cell.replace(",", "")) for cell in line.split()[-6:]] for line in rungs[2:-1]]
    assert np.array(cells).sum(axis=0) == pytest.approx(totals, abs=0.03)


def test_reverse_says_where_and_where_not():
    text = LEAST.replace("price = 100", "price = 100\nvolatility = 0.2")
    told = shown(stressing.reverse_table(Valued(parse(text)), 5_000.0))
    moves = {line.split("  ")[0]: line for line in told[2:]}
    assert re.search(r"market down +10 % +100 % +-50,000.00 +100 %", moves["market down"])
    assert " none " in moves["market up"]
    deviation = 0.1 / (0.2 / math.sqrt(252))
    assert f"{deviation:.4g} sd" in moves["all down together"]


def test_hedges_in_tables(valued):
    told = shown(*stressing.hedge_parts(valued, "delta"))
    assert told[0].strip() == "to trade"
    assert any(line.split()[:2] == ["sell", "621"] for line in told)
    assert any(line.split()[:2] == ["ACME", "delta"] for line in told)
    assert told[-1].startswith("cost ")
    quiet = shown(*stressing.variance_parts(valued, None))
    before, after, least = (
        float(number.replace(",", "")) for number in re.findall(r"[\d,]+\.\d\d", quiet[-2])
    )
    assert least <= after < 0.1 * before
    assert quiet[-1].endswith("covariance positive semi-definite as given")


def test_least_variance_over_a_file_of_returns(tmp_path, valued):
    draw = np.random.default_rng(3)
    rows = "\n".join(f"{a:.6f},{b:.6f}" for a, b in draw.normal(0, 0.01, (120, 2)))
    path = written(tmp_path, f"ZETA,ACME\n{rows}\n", "returns.csv")
    matrix = stressing.matrix_of(valued.holdings, valued, path)
    assert matrix.shape == (2, 2)
    assert np.sqrt(np.diag(matrix)) == pytest.approx(0.01, rel=0.2)
    bare = Valued(parse(DESK.read_text().replace("[correlations.ACME]\nZETA = 0.45", "")))
    with pytest.raises(MeasureError, match="there is none of ACME and ZETA"):
        stressing.variance_parts(bare, None)


def test_names_from_a_file_are_only_names():
    text = LEAST.replace("ACME", "A[bold]B\\u001b").replace("underlyings.A", 'underlyings."A')
    text = text.replace("B\\u001b]\n", 'B\\u001b"]\n', 1)
    told = shown(stressing.ladder_table(Valued(parse(text))))
    assert told[2].startswith("A[bold]B?")


def test_numbers():
    assert stressing.numbers("-5, 0,1e1", "--moves") == [-5.0, 0.0, 10.0]
    with pytest.raises(MeasureError, match="--moves: 'x' is no number; give some, such as"):
        stressing.numbers("1,x", "--moves")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "is not TOML"),
        ("", "underlyings: is missing; give a table"),
        (LEAST.replace("price = 100", ""), "underlyings.ACME.price: is missing; give a number"),
        (LEAST.replace("price = 100", "price = nan"), "underlyings.ACME.price: nan is out of"),
        (LEAST.replace("price", "prize"), "underlyings.ACME.prize: unknown key; did you mean"),
        (LEAST.replace("500", '"500"'), "positions[0].quantity: expected a number, found '500'"),
        (LEAST.replace('"equity"', '"equities"'), "positions[0].kind: no such kind 'equities'"),
        (LEAST + OPTION.replace('"call"', '"cal"'), "positions[1].type: 'cal' is none of its"),
        (LEAST + OPTION.replace("strike", "strik"), "positions[1].strike: is missing"),
        (LEAST + OPTION.replace("0.5", "-0.5"), "positions[1].expiry: -0.5 is out of range"),
        (LEAST + "[hedging]\nwithin = {theta = 1}", "theta"),
        (LEAST + "[shocks.x]\nsectors = {tech = -2}", "shocks.x.sectors: 'tech' is not there"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(HoldingsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(HoldingsError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HoldingsError, match="is not text in UTF-8"):
        load(path)


def test_the_command_line_knows_every_aim():
    """They are written there once more, so that --help starts without the solver."""
    assert (*AIMS, stressing.VARIANCE) == risk_cli.AIMS


def test_explained_parts_are_shown_with_their_sum(valued):
    holdings = valued.holdings
    told = shown(stressing.explain_table(holdings, later(holdings, 5.0)))
    rows = [[float(cell.replace(",", "")) for cell in line.split()[-11:]] for line in told[2:]]
    assert len(rows) == len(holdings.positions) + 1
    for row in rows:
        assert sum(row[1:]) == pytest.approx(row[0], abs=0.06)
    assert np.array(rows[:-1]).sum(axis=0) == pytest.approx(rows[-1], abs=0.06)


def test_the_commands(tmp_path):
    """Through the real command line: what is chosen is shown, a refusal is one line and code 2."""
    path = written(tmp_path, LEAST)
    told = lines(corelane("stress", path, "--moves=-10,0", "--points=0").out)
    assert told[0] == "holdings: 1 positions on 1 underlyings, worth 50,000.00"
    assert [line.split()[-1] for line in told[-2:]] == ["-5,000.00", "0.00"]
    assert not any("crises" in line for line in told)
    ran = corelane("stress", path, "--crisis", "1929", code=2)
    assert lines(ran.err)[0].startswith("corelane: crisis '1929': is not known; there are 1987-10")
    ran = corelane("hedge", path, code=2)
    assert ran.err == "corelane: hedges: there are none; give [[hedges]], each with one lot\n"
    after = written(tmp_path, LEAST.replace("price = 100", "price = 90"), "after.toml")
    told = lines(corelane("explain", path, after).out)
    assert told[-1].split()[:3] == ["all", "-5,000.00", "-5,000.00"]
