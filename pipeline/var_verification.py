"""`corelane verify var`: measures that other libraries printed, each by its own convention.

Two forms of files are read, by their header:

    series,window,alpha,method,lib,measure,value        one number a row: VaR, ES or sigma
    Portfolio,RiskClass,RiskType,Quantile_p,...         Open Source Risk Engine's own report

with the returns they are of: `date,close,ret`, or the engine's P&L vectors, a column for each
risk class.
"""

import csv
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from pipeline import console
from workers import conventions, weighted
from workers.quantiles import MeasureError, exact
from workers.scenarios import open_text

COLUMNS = ("series", "window", "alpha", "method", "lib", "measure", "value")
ENGINE_COLUMNS = ("Portfolio", "RiskClass", "RiskType")
ENGINE_VALUE = re.compile(r"(Quantile|ExpectedShortfall)_(0\.\d+)")
VERSION = re.compile(r"\s+\d+(\.\d+)*(?=\s|$)")  # of a library, in its name
EWMA = re.compile(r"EWMA zero-mean lambda=(0\.\d+) (seed=r0\^2|normalised weights) final sigma")
STARTS = {"seed=r0^2": weighted.FIRST_SQUARE, "normalised weights": weighted.NORMALISED}
# A library without its version, and its method: the name of the convention.
METHODS = {
    **{("R stats::quantile", f"quantile_type{kind}"): f"R type {kind}" for kind in range(1, 10)},
    **{
        ("R PerformanceAnalytics", kind): f"PerformanceAnalytics {kind}"
        for kind in ("historical", "gaussian", "modified")
    },
    **{("numpy", f"quantile method={m}"): f"numpy {m}" for m in conventions.NUMPY_METHODS},
    ("QuantLib RiskStatistics", "valueAtRisk"): "QuantLib",
    ("QuantLib RiskStatistics", "expectedShortfall"): "QuantLib",
    ("empyrical-reloaded", "value_at_risk (percentile)"): "empyrical",
    ("empyrical-reloaded", "conditional_value_at_risk"): "empyrical",
    ("riskfolio-lib", "VaR_Hist"): "riskfolio",
    ("riskfolio-lib", "CVaR_Hist"): "riskfolio",
    ("scipy", "student-t MLE fit"): "scipy t",
}
# Relative. Order statistics are numbers of the series, or two mixed: 1e-12 is for the digits that
# were printed. Moments and powers are sums in another order than ours. The simplex search for
# Student's t stops up to 0.7 % before the best fit; but it only compares, so it stops at the same
# place again, to far below a millionth.
TOLERANCE, SUMMED, FITTED, PRINTED = 1e-12, 1e-10, 1e-6, 1e-6
TOLERANCES = {
    "PerformanceAnalytics gaussian": SUMMED,
    "PerformanceAnalytics modified": SUMMED,
    "scipy t": FITTED,
}


class Row(NamedTuple):
    """A number to be held against ours."""

    where: str  # in the file, and what it is of
    method: str  # as the file has it: for people
    theirs: float
    ours: Callable[[], float] | None  # None: a method that we do not know
    tolerance: float  # relative, or absolute where `absolute`
    absolute: bool = False


class Verdict(NamedTuple):
    """One row compared."""

    row: Row
    error: float  # in the kind of the row's tolerance; infinite where there is no answer
    fault: str  # blank: passed


def verify(path: Path, returns_path: Path) -> bool:
    """Print what was compared; True where something was and all of it agrees."""
    verdicts = [compare(row) for row in read(path, returns_path)]
    for verdict in verdicts:
        if verdict.fault:
            console.err.print(
                f"  {verdict.row.where}: {verdict.fault}", markup=False, style="red", soft_wrap=True
            )
    methods: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        methods.setdefault(verdict.row.method, []).append(verdict)
    for method, found in methods.items():
        click.echo(f"  {method}: {summed_up(found)}")
    failed = sum(bool(verdict.fault) for verdict in verdicts)
    unknown = [method for method, found in methods.items() if found[0].row.ours is None]
    if unknown:
        click.echo(f"unknown methods: {', '.join(unknown)}")
    click.echo(
        f"var {path.name}: {len(verdicts)} rows, {len(verdicts) - failed} passed, {failed} failed"
    )
    return bool(verdicts) and not failed


def summed_up(found: list[Verdict]) -> str:
    """How the rows of one method ended."""
    passed = sum(not verdict.fault for verdict in found)
    row = found[0].row
    if row.ours is None:
        return f"{passed} of {len(found)}, unknown"
    kind = "absolute" if row.absolute else "relative"
    worst = max(verdict.error for verdict in found)
    return f"{passed} of {len(found)}, worst {kind} error {worst:.2g}, tolerance {row.tolerance:g}"


def compare(row: Row) -> Verdict:
    """Compute our number and hold theirs against it."""
    if row.ours is None:
        return Verdict(row, math.inf, f"{row.method}: a method that is not known here")
    try:
        ours = row.ours()
    except MeasureError as error:
        return Verdict(row, math.inf, f"{row.method}: {error}")
    off = abs(ours - row.theirs)
    if not row.absolute and off:
        off = off / abs(row.theirs) if row.theirs else math.inf
    if off <= row.tolerance:
        return Verdict(row, off, "")
    return Verdict(row, off, f"{row.method}: {ours!r}, not {row.theirs!r} (off by {off:.2g})")


def read(path: Path, returns_path: Path) -> list[Row]:
    """The rows of a file of either form; MeasureError names file, row, column, what and mend."""
    header, lines = table(path)
    if header[: len(ENGINE_COLUMNS)] == list(ENGINE_COLUMNS):
        return engine_rows(path, header, lines, returns_path)
    if sorted(header) != sorted(COLUMNS):
        raise MeasureError(
            f"{path}, row 1: columns {','.join(header)}: give {','.join(COLUMNS)}, or a report of "
            f"Open Source Risk Engine ({','.join(ENGINE_COLUMNS)},Quantile_...)"
        )
    returns = daily_returns(returns_path)
    rows, series = [], set()
    for number, fields in enumerate(lines, start=2):
        row = dict(zip(header, fields, strict=True))
        series.add(row["series"])
        rows.append(library_row(f"{path}, row {number}", row, returns))
    if len(series) > 1:
        raise MeasureError(
            f"{path}, column series: {', '.join(sorted(series))}: one series a file, for the "
            "returns are those of one"
        )
    return rows


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file, all of the same length."""
    try:
        with open_text(path) as text:
            lines = list(csv.reader(text, strict=True))
    except (OSError, EOFError, zlib.error) as error:
        raise MeasureError(f"{path}: cannot be read ({error}): check path and contents") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise MeasureError(f"{path}: is no CSV text ({error}): write it as UTF-8 CSV") from None
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 2:
        raise MeasureError(f"{path}: no rows: give a header and at least one row")
    header = [name.strip() for name in lines[0]]
    if len(set(header)) != len(header):
        raise MeasureError(f"{path}, row 1: a column twice in {','.join(header)}: keep one")
    for number, fields in enumerate(lines[1:], start=2):
        if len(fields) != len(header):
            raise MeasureError(
                f"{path}, row {number}: {len(fields)} fields for {len(header)} columns: mend it"
            )
    return header, lines[1:]


def number_of(where: str, text: str) -> float:
    """A finite number; MeasureError where it is none."""
    try:
        value = float("" if "_" in text else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        found = repr(text) if text.strip() else "nothing"
        raise MeasureError(f"{where}: {found} is no number: mend it or drop the row")
    return value


def column_of(path: Path, name: str, blank_start: bool = False) -> np.ndarray:
    """A column of numbers; the first may be blank (a return needs a day before)."""
    header, lines = table(path)
    if name not in header:
        raise MeasureError(f"{path}, row 1: no column {name} in {','.join(header)}: add it")
    place = header.index(name)
    texts = [fields[place] for fields in lines]
    start = int(blank_start and not texts[0].strip())
    if start == len(texts):
        raise MeasureError(f"{path}, column {name}: no numbers: give at least one")
    return np.array(
        [
            number_of(f"{path}, row {number}, column {name}", text)
            for number, text in enumerate(texts[start:], start=2 + start)
        ]
    )


def daily_returns(path: Path) -> np.ndarray:
    """The column `ret`."""
    return column_of(path, "ret", blank_start=True)


def library_row(where: str, row: dict[str, str], returns: np.ndarray) -> Row:
    """A row of the first form."""
    window = number_of(f"{where}, column window", row["window"])
    if window != int(window) or not 0 < window <= len(returns):
        raise MeasureError(
            f"{where}, column window: {row['window']}: give 1 to {len(returns)}, the returns there "
            "are"
        )
    last = returns[len(returns) - int(window) :]
    theirs = number_of(f"{where}, column value", row["value"])
    method = f"{row['lib']}, {row['method']}, {row['measure']}"
    told = f"{where}: {row['series']}, {int(window)} returns, {row['alpha'] or 'no level'}"
    if row["measure"] == "sigma":
        return Row(told, method, theirs, sigma_of(row["method"], last), SUMMED)
    level = level_of(f"{where}, column alpha", row["alpha"])
    name = METHODS.get((VERSION.sub("", row["lib"]), row["method"]), "")
    tolerance = TOLERANCES.get(name, TOLERANCE)
    return Row(told, method, theirs, measure_of(name, row["measure"], last, level), tolerance)


def level_of(where: str, text: str) -> str:
    """A level as it is written; MeasureError where it is none."""
    try:
        exact(text)
    except MeasureError as error:
        raise MeasureError(f"{where}: {error}") from None
    return text


def sigma_of(method: str, returns: np.ndarray) -> Callable[[], float] | None:
    """The volatility that a method's name asks for."""
    found = EWMA.fullmatch(method)
    if not found:
        return None
    decay, start = found.groups()
    return lambda: weighted.ewma_sigma(returns, float(decay), STARTS[start])


def measure_of(
    name: str, measure: str, returns: np.ndarray, level: str
) -> Callable[[], float] | None:
    """The measure of a convention; None where there is none of that name."""
    if name and measure == "VaR":
        return lambda: conventions.value_at_risk(returns, level, name)
    if name and measure == "ES" and conventions.named(name).shortfall:
        return lambda: conventions.expected_shortfall(returns, level, name)
    return None


def engine_rows(
    path: Path, header: list[str], lines: list[list[str]], returns_path: Path
) -> list[Row]:
    """Every quantile and shortfall of the engine's report.

    It prints quantiles of the profit at p, losses below 0, with 6 decimals, and the mean of the
    profits up to each quantile, at p = 0.95 and 0.99 too, where that is no tail of losses.
    """
    rows = []
    for number, fields in enumerate(lines, start=2):
        where, kind = f"{path}, row {number}", fields[1]
        profits = column_of(returns_path, kind)
        for name, text in zip(header[3:], fields[3:], strict=True):
            theirs = number_of(f"{where}, column {name}", text)
            ours = engine_answer(f"{path}, row 1, column {name}", name, profits)
            method = f"Open Source Risk Engine, {name}"
            rows.append(Row(f"{where}: {kind}", method, theirs, ours, PRINTED, absolute=True))
    return rows


def engine_answer(where: str, name: str, profits: np.ndarray) -> Callable[[], float]:
    """What a column of the engine's report asks for."""
    found = ENGINE_VALUE.fullmatch(name)
    if not found:
        raise MeasureError(f"{where}: give Quantile_p or ExpectedShortfall_p, p below 1")
    measure, probability = found.groups()
    level = 1 - exact(level_of(where, probability))
    if measure == "Quantile":
        return lambda: -conventions.value_at_risk(profits, level, "ORE")
    return lambda: -conventions.expected_shortfall(profits, level, "ORE")
