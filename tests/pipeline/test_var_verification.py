"""`corelane verify var`: numbers of other libraries, on their series and on one of our own."""

import csv
import math
from fractions import Fraction

import numpy as np
import pytest
import QuantLib
from scipy import stats

from pipeline import var_verification
from tests.data import data_file
from tests.naive import quantiles as naive
from tests.pipeline.running import corelane, lines
from workers.quantiles import NUMPY_METHODS, MeasureError

LEVELS = (0.95, 0.975, 0.99)
WINDOWS = (250, 333, 700)


def write(path, header, rows):
    with path.open("w", newline="") as text:
        csv.writer(text).writerows([header, *rows])
    return path


def library_rows(returns, window):
    """What libraries say of the last `window` returns of a series, none of it by our code."""
    last = returns[-window:]
    exact = [Fraction(value) for value in last.tolist()]
    quantlib = QuantLib.RiskStatistics()
    for value in last.tolist():
        quantlib.add(value)
    fit = stats.t.fit(last)
    for level in LEVELS:
        tail = 1 - level
        for method in NUMPY_METHODS:
            value = -np.quantile(last, tail, method=method)
            yield level, f"quantile method={method}", "numpy 2.4", "VaR", value
        for kind in range(1, 10):
            if kind > 3 or 2 * window * round(1000 * level) % 1000:  # else R's rounding decides
                value = -float(naive.quantile(exact, 1 - Fraction(str(level)), kind))
                yield level, f"quantile_type{kind}", "R stats::quantile", "VaR", value
        lib = "QuantLib 1.44 RiskStatistics"
        yield level, "valueAtRisk", lib, "VaR", quantlib.valueAtRisk(level)
        yield level, "expectedShortfall", lib, "ES", quantlib.expectedShortfall(level)
        edge = np.quantile(last, tail)
        lib = "R PerformanceAnalytics 2.1.0"
        yield level, "historical", lib, "VaR", -edge
        yield level, "historical", lib, "ES", -last[last < edge].mean()
        z, mean, sigma = stats.norm.ppf(tail), last.mean(), last.std()
        yield level, "gaussian", lib, "VaR", -mean - z * sigma
        yield level, "gaussian", lib, "ES", -mean + stats.norm.pdf(z) / tail * sigma
        skew, kurtosis = stats.skew(last), stats.kurtosis(last)
        h = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24
        h -= (2 * z**3 - 5 * z) * skew**2 / 36
        yield level, "modified", lib, "VaR", -mean - h * sigma
        lib = "riskfolio-lib 7.4.0"
        ranked, index = np.sort(last), math.ceil(tail * window) - 1
        yield level, "VaR_Hist", lib, "VaR", -ranked[index]
        beyond = (ranked[:index] - ranked[index]).sum()
        yield level, "CVaR_Hist", lib, "ES", -ranked[index] - beyond / (tail * window)
        lib = "scipy 1.17"
        yield level, "student-t MLE fit", lib, "VaR", -stats.t.ppf(tail, *fit)
    for decay in (0.94, 0.97):
        weights = decay ** np.arange(window - 1, -1, -1.0)
        value = math.sqrt(np.average(last**2, weights=weights))
        name = f"EWMA zero-mean lambda={decay} normalised weights final sigma"
        yield "", name, "pandas ewm(adjust=True)", "sigma", value
        weights[0] /= 1 - decay
        value = math.sqrt(np.sum(last**2 * weights) * (1 - decay))
        name = f"EWMA zero-mean lambda={decay} seed=r0^2 final sigma"
        yield "", name, "pandas ewm(adjust=False)", "sigma", value


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A series that is in no file of ours, its returns file and what libraries say of it."""
    folder = tmp_path_factory.mktemp("var")
    returns = np.random.default_rng(77).standard_t(3, 701) / 90
    closes = 100 * np.cumprod(np.concatenate([[1], 1 + returns]))
    days = [("d0", closes[0], "")]
    moves = zip(closes[1:], returns.tolist(), strict=True)
    days += [(f"d{n}", close, repr(change)) for n, (close, change) in enumerate(moves, 1)]
    source = write(folder / "other_daily.csv", ("date", "close", "ret"), days)
    rows = [
        ("other", window, level, method, lib, measure, repr(float(value)))
        for window in WINDOWS
        for level, method, lib, measure, value in library_rows(returns, window)
    ]
    return source, write(folder / "var_es_other.csv", var_verification.COLUMNS, rows), rows


def test_every_number_of_r_is_met():
    path, returns = data_file("risk/var_es_R_sp500.csv"), data_file("risk/sp500_daily.csv")
    ran = corelane("verify", "var", path, "--returns", returns)
    assert lines(ran.out)[-1] == f"var {path.name}: 180 rows, 180 passed, 0 failed"
    assert not ran.err


def test_a_wrong_number_is_exit_code_1(another, tmp_path):
    returns, _, rows = another
    path = write(tmp_path / "one.csv", var_verification.COLUMNS, [(*rows[0][:6], 0.5)])
    ran = corelane("verify", "var", path, "--returns", returns, code=1)
    assert lines(ran.out)[-1] == "var one.csv: 1 rows, 0 passed, 1 failed"
    assert len(lines(ran.err)) == 1


@pytest.mark.parametrize(
    ("name", "returns", "count"),
    [
        ("var_es_py_sp500.csv", "sp500_daily.csv", 268),  # of five Python libraries
        ("ore_histsim_var.csv", "ore_histsim_pnl.csv", 16),  # of a risk engine
    ],
)
def test_every_number_of_the_others_is_met(name, returns, count, capsys):
    assert var_verification.verify(data_file(f"risk/{name}"), data_file(f"risk/{returns}"))
    said = capsys.readouterr()
    assert lines(said.out)[-1] == f"var {name}: {count} rows, {count} passed, 0 failed"
    assert not said.err


def test_a_series_that_is_in_no_file(another, capsys):
    returns, path, rows = another
    assert var_verification.verify(path, returns), capsys.readouterr().err
    out = lines(capsys.readouterr().out)
    assert out[-1] == f"var {path.name}: {len(rows)} rows, {len(rows)} passed, 0 failed"
    assert len(rows) > 280
    assert any("numpy 2.4, quantile method=hazen, VaR: 9 of 9, worst" in line for line in out)


@pytest.mark.parametrize("off", [1e-6, 0.01])
def test_every_wrong_row_is_listed(another, tmp_path, capsys, off):
    returns, _, rows = another
    wrong = [list(row) for row in rows]
    for place in (3, 100):
        wrong[place][6] = repr(float(wrong[place][6]) * (1 + off))
    path = write(tmp_path / "wrong.csv", var_verification.COLUMNS, wrong)
    assert not var_verification.verify(path, returns)
    said = capsys.readouterr()
    assert lines(said.out)[-1].endswith(f"{len(rows) - 2} passed, 2 failed")
    faults = lines(said.err)
    assert len(faults) == 2
    assert f"{path}, row 5: other, 250 returns, 0.95: numpy 2.4, quantile method=" in faults[0]
    assert f"(off by {off / (1 + off):.2g})" in faults[0]
    assert f"{path}, row 102: " in faults[1]


def test_numbers_of_another_window_do_not_pass(another, tmp_path, capsys):
    """A day late, only the tails that have not changed agree; no moment does."""
    _, path, rows = another
    with another[0].open() as text:
        days = list(csv.reader(text))
    shorter = write(tmp_path / "shorter.csv", days[0], [days[1], *days[1:-1]][1:])
    rows = [row for row in rows if row[1] < 700]
    path = write(tmp_path / "less.csv", var_verification.COLUMNS, rows)
    assert not var_verification.verify(path, shorter)
    out = capsys.readouterr().out
    for method in ("gaussian, VaR", "modified, VaR", "final sigma, sigma"):
        told = next(line for line in lines(out) if method in line)
        assert f"{method}: 0 of " in told


def test_methods_that_are_not_known_are_named_and_fail(another, tmp_path, capsys):
    returns, _, rows = another
    odd = [
        ("other", 250, 0.99, "quantile_type10", "R stats::quantile", "VaR", 0.01),
        ("other", 250, 0.99, "VaR_Hist", "riskfolio-lib 9", "CVaR", 0.01),
        ("other", 250, "", "EWMA with a mean", "pandas", "sigma", 0.01),
        ("other", 250, 0.99, "quantile_type7", "R stats::quantile", "ES", 0.01),
    ]
    path = write(tmp_path / "odd.csv", var_verification.COLUMNS, [*rows[:5], *odd])
    assert not var_verification.verify(path, returns)
    said = capsys.readouterr()
    out = lines(said.out)
    assert out[-1] == "var odd.csv: 9 rows, 5 passed, 4 failed"
    assert out[-2].startswith("unknown methods: R stats::quantile, quantile_type10, VaR, ")
    assert "EWMA with a mean" in out[-2]
    assert "riskfolio-lib 9, VaR_Hist, CVaR: 0 of 1, unknown" in said.out
    assert "row 7: other, 250 returns, 0.99: R stats::quantile" in said.err


def test_a_row_that_has_no_answer_fails(another, tmp_path, capsys):
    rows = [("other", 1, 0.99, "expectedShortfall", "QuantLib 1.44 RiskStatistics", "ES", 0.01)]
    path = write(tmp_path / "none.csv", var_verification.COLUMNS, rows)
    assert not var_verification.verify(path, another[0])
    assert "no return lies beyond" in capsys.readouterr().err


ROW = ("x", "3", "0.99", "quantile_type7", "R stats::quantile", "VaR", "0.1")


def replaced(column, text):
    at = var_verification.COLUMNS.index(column)
    return [(*ROW[:at], text, *ROW[at + 1 :])]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], "no rows"),
        ([ROW[:6]], "row 2: 6 fields for 7 columns"),
        (replaced("window", "4"), "row 2, column window: 4: give 1 to 3"),
        (replaced("window", "0"), "row 2, column window: 0: give 1 to 3"),
        (replaced("window", "1.5"), r"column window: 1\.5: give 1 to 3"),
        (replaced("window", "all"), "column window: 'all' is no number"),
        (replaced("alpha", "1.0"), r"row 2, column alpha: level 1\.0: give a number between"),
        (replaced("alpha", ""), "row 2, column alpha: level : give"),
        (replaced("value", "NA"), "row 2, column value: 'NA' is no number"),
        (replaced("value", "nan"), "row 2, column value: 'nan' is no number"),
        ([ROW, *replaced("series", "y")], "column series: x, y: one series a file"),
    ],
)
def test_files_that_cannot_be_used_say_where(tmp_path, rows, found):
    days = [("a", ""), ("b", "0.1"), ("c", "-0.1"), ("d", "0.2")]
    returns = write(tmp_path / "r.csv", ("date", "ret"), days)
    path = write(tmp_path / "v.csv", var_verification.COLUMNS, rows)
    with pytest.raises(MeasureError, match=found):
        var_verification.read(path, returns)


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ([("a", "0.1"), ("b", ""), ("c", "0.1")], "row 3, column ret: nothing is no number"),
        ([("a", "0.1"), ("b", "inf")], "row 3, column ret: 'inf' is no number"),
        ([("a", "")], "column ret: no numbers"),
    ],
)
def test_returns_with_a_gap_say_where(tmp_path, days, found):
    returns = write(tmp_path / "r.csv", ("date", "ret"), days)
    path = write(tmp_path / "v.csv", var_verification.COLUMNS, [ROW])
    with pytest.raises(MeasureError, match=found):
        var_verification.read(path, returns)


def test_what_is_no_file_is_refused(tmp_path):
    good = write(tmp_path / "r.csv", ("date", "ret"), [("a", "0.1")])
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "packed.csv.gz").write_bytes(b"no gzip")
    write(tmp_path / "twice.csv", ("ret", "ret"), [("1", "2")])
    for name in ("none.csv", "bytes.csv", "packed.csv.gz", "twice.csv", "r.csv"):
        with pytest.raises(MeasureError, match=name):
            var_verification.read(tmp_path / name, good)
    rows = write(tmp_path / "v.csv", var_verification.COLUMNS, [ROW])
    ran = corelane("verify", "var", rows, "--returns", rows, code=2)
    assert "no column ret in series,window" in ran.err
    assert len(lines(ran.err)) == 1


def test_a_report_of_the_engine_that_does_not_go_with_its_vectors(tmp_path):
    header = (*var_verification.ENGINE_COLUMNS, "Quantile_0.010000", "ExpectedShortfall_0.010000")
    profits = write(tmp_path / "p.csv", ("day", "FX"), [(n, n - 50) for n in range(200)])
    report = write(tmp_path / "v.csv", header, [("All", "FX", "All", "-49.0", "-49.5")])
    assert var_verification.verify(report, profits)
    report = write(tmp_path / "v.csv", header, [("All", "FX", "All", "-48.0", "-49.5")])
    assert not var_verification.verify(report, profits)
    report = write(tmp_path / "v.csv", header, [("All", "Equity", "All", "-49.0", "-49.5")])
    with pytest.raises(MeasureError, match="no column Equity in day,FX"):
        var_verification.read(report, profits)
    odd = write(tmp_path / "o.csv", (*header[:3], "Quantile_99"), [("All", "FX", "All", "1")])
    with pytest.raises(MeasureError, match="column Quantile_99"):
        var_verification.read(odd, profits)
