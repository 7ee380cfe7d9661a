"""The kernels against numbers that others published or computed, where their convention is ours."""

import csv
import gzip
import json

import numpy as np
import pytest

from tests.data import data_file
from workers.kernels import position_block, positions, scenarios
from workers.kernels.position_block import Limits
from workers.records import empty
from workers.scenarios import load, to_fixed

LINE = np.dtype("V64")
EXPOSURE = 10**11  # cents: a return of 1 stays below PROFIT_LIMIT, money is rounded to 1e-13
RETURN_ERROR = 2**-25 + 1e-13  # fixed point is off by half of 2^-24 at most, a mean of them too
SAME_VAR = {"quantile_type1", "valueAtRisk", "VaR_Hist", "quantile method=inverted_cdf"}
SAME_ES = {"CVaR_Hist"}


def rows(name):
    path = data_file(f"risk/{name}")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as text:
        return list(csv.DictReader(text))


def sp500():
    return np.array([float(row["ret"]) for row in rows("sp500_daily.csv") if row["ret"]])


def measured(returns, var_level, es_level):
    """Value at risk and expected shortfall of one exposure, as fractions of it."""
    count = len(returns)
    size = scenarios.bytes_needed(count, var_level, es_level)
    distribution = empty(LINE, size // 64)
    address = distribution.ctypes.data
    changes = np.ascontiguousarray(to_fixed(returns))
    scenarios.create(address, count, var_level, es_level)
    scenarios.move(address, changes.ctypes.data, EXPOSURE)
    header = distribution.view(np.uint8)[: scenarios.DISTRIBUTION.itemsize]
    header = header.view(scenarios.DISTRIBUTION)[0]
    scale = EXPOSURE * scenarios.EXPOSURE_UNIT
    return int(header.value_at_risk) / scale, int(header.shortfall) / scale, int(header.worst)


def references(wanted, measure):
    found = [
        row
        for name in ("var_es_R_sp500.csv", "var_es_py_sp500.csv")
        for row in rows(name)
        if row["method"] in wanted and row["measure"] == measure
    ]
    assert len(found) >= 6, "the reference files lost their rows"
    return found


def window_of(row):
    """The returns and the level, in thousandths, of a reference row."""
    return sp500()[-int(row["window"]) :], round(float(row["alpha"]) * 1000)


def tail_is_whole(row):
    returns, level = window_of(row)
    return len(returns) * (1000 - level) % 1000 == 0


def test_value_at_risk_agrees_with_r_quantlib_riskfolio_and_numpy():
    compared = [row for row in references(SAME_VAR, "VaR") if not tail_is_whole(row)]
    assert len(compared) == 28
    for row in compared:
        returns, level = window_of(row)
        answer = measured(returns, level, level)[0]
        assert answer == pytest.approx(float(row["value"]), abs=RETURN_ERROR), row


def test_value_at_risk_of_a_whole_tail_is_one_rank_worse_than_that_of_floating_point():
    """They compute 1 - 0.99 > 0.01, and step over the edge of the tail; k is exact here."""
    compared = [row for row in references(SAME_VAR, "VaR") if tail_is_whole(row)]
    assert len(compared) == 20
    for row in compared:
        returns, level = window_of(row)
        rank = len(returns) * (1000 - level) // 1000
        ranked = np.sort(returns)
        assert float(row["value"]) == pytest.approx(-ranked[rank], abs=1e-15), row
        answer = measured(returns, level, level)[0]
        assert answer == pytest.approx(-ranked[rank - 1], abs=RETURN_ERROR), row


def test_expected_shortfall_agrees_with_riskfolio():
    for row in references(SAME_ES, "ES"):
        returns, level = window_of(row)
        answer = measured(returns, level, level)[1]
        assert answer == pytest.approx(float(row["value"]), abs=RETURN_ERROR), row


def test_other_conventions_are_not_ours():
    """Should the two ever agree here, the test above would not tell conventions apart."""
    answer = measured(sp500()[-250:], 990, 990)
    others = [*references({"quantile_type7"}, "VaR"), *references({"expectedShortfall"}, "ES")]
    for row in others:
        if (row["window"], row["alpha"]) == ("250", "0.99"):
            ours = answer[0] if row["measure"] == "VaR" else answer[1]
            assert abs(ours - float(row["value"])) > 1e-4


def test_a_portfolio_marked_to_market_gives_the_same_as_its_returns():
    returns = sp500()[-1000:]
    limits = Limits(1, 1, 1, 1000)
    state = empty(LINE, position_block.bytes_needed(limits) // 64)
    address = state.ctypes.data
    position_block.create(address, limits)
    positions.hold(address, 0, 0, 10**6, 0, 10_000, to_fixed(returns))
    for mid in (2_400_000, 2_500_000):
        positions.mark(address, 0, mid - 100, mid + 100)
    worth = positions.value(address, 0)
    assert worth == 250 * 10**6 * 10_000
    var, shortfall, worst = measured(returns, 990, 975)
    assert positions.var_99(address, 0) / worth == pytest.approx(var, abs=1e-12)
    assert positions.es_975(address, 0) / worth == pytest.approx(shortfall, abs=1e-12)
    assert positions.worst_scenario(address, 0) == worst == int(np.argmin(returns))


def test_historical_simulation_of_an_open_source_engine():
    """Its quantiles are type 1 too; its shortfall follows another definition."""
    profits = np.array([float(row["All"]) for row in rows("ore_histsim_pnl.csv")])
    theirs = next(row for row in rows("ore_histsim_var.csv") if row["RiskClass"] == "All")
    exposure = 10_000_000.0
    for level, column in ((990, "Quantile_0.010000"), (950, "Quantile_0.050000")):
        var, _, worst = measured(profits / exposure, level, level)
        assert var == pytest.approx(-float(theirs[column]) / exposure, abs=RETURN_ERROR)
        assert worst == int(np.argmin(profits))


def published(identity):
    cases = json.loads(data_file("risk/risk_published.json").read_text())
    return next(case for case in cases if case["id"] == identity)


def test_ranked_losses_of_the_textbook():
    """Hull's 500 days: the fifth worst loss, and the mean of the five worst."""
    case = published("HS1")
    count, losses = case["inputs"]["n"], case["inputs"]["worst_losses_k"]
    profits = np.linspace(-100, 400, count)
    numbers = np.array(case["inputs"]["scenario_no"]) - 1
    rest = np.setdiff1d(np.arange(count), numbers)
    profits[rest] = np.linspace(-losses[-1] + 1, 400, len(rest))
    profits[numbers] = -np.array(losses)
    exposure = 10_000.0
    var, shortfall, worst = measured(profits / exposure, 990, 990)
    tolerance = case["tol"] + exposure * RETURN_ERROR
    assert var * exposure == pytest.approx(case["expected"]["VaR"], abs=tolerance)
    assert shortfall * exposure == pytest.approx(case["expected"]["ES"], abs=tolerance)
    assert worst == numbers[0]


@pytest.mark.parametrize("identity", ["DI1", "DI3"])
def test_the_atom_at_the_edge_of_the_tail_is_split(identity):
    case = published(identity)
    level = round(case["inputs"]["conf"] * 1000)
    counts = [round(1000 * chance) for chance in case["inputs"]["probs"]]
    losses = np.repeat(case["inputs"]["losses"], counts)
    exposure = 16.0
    var, shortfall, _ = measured(-losses / exposure, level, level)
    assert var * exposure == pytest.approx(case["expected"]["VaR"], abs=case["tol"])
    assert shortfall * exposure == pytest.approx(case["expected"]["ES"], abs=case["tol"])


def test_returns_of_a_file_are_read_as_they_are(tmp_path):
    returns = sp500()
    path = tmp_path / "sp500.csv.gz"
    with gzip.open(path, "wt") as text:
        text.write("date,SPX\n")
        text.writelines(f"{number},{value!r}\n" for number, value in enumerate(returns.tolist()))
    assert load(path).returns[:, 0].tolist() == returns.tolist()
