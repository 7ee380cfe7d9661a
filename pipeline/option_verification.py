"""`corelane verify options`: our prices and Greeks beside those that others printed or computed.

Two forms of CSV file, told apart by their columns; both have id, type, S, K, q, r, T and vol.
- Published values, one a row: model, measure, value, tol and, maybe, note and a closed form of
  many digits. A row passes within its own tolerance: `1e-4` (absolute), `1e-13 rel`, `0.1%`, or
  `1e-8 rel of max(1,|v|)`.
- A grid of exact values, a column for each measure: a value passes within 1e-11 of itself, where
  below 1e-12 of the spot within 1e-11 of that.

Models: bsm; black76 (S is the futures price, an empty q is r; its rho holds that price constant);
black76_undiscounted (rates play no part). Values are those of `black_scholes`: a year, a whole
unit of volatility or rate, unless the measure's name or the note says per day or per 1 %.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from pipeline import console
from workers.kernels.black_scholes import CALL, PUT, Measures, Refused, measure

INPUTS = ("S", "K", "r", "q", "T", "vol")  # in the kernel's order
COMMON = ("id", "type", *INPUTS)
PUBLISHED = ("model", "measure", "value", "tol")
CLOSED_FORM = "value_50digit_closed_form"
KINDS = {"call": CALL, "c": CALL, "put": PUT, "p": PUT}
MODELS = ("bsm", "black76", "black76_undiscounted")
GRID_TOLERANCE, GRID_FLOOR = 1e-11, 1e-12  # relative; and of the spot, where a value is smaller
NOTHING = 1e-300  # what two values may differ by where a relative tolerance is of 0
DAYS, PERCENT = 365.0, 100.0
COLUMN_OF = {
    Refused.KIND: "type", Refused.SPOT: "S", Refused.STRIKE: "K", Refused.RATE: "r",
    Refused.DIVIDEND: "q", Refused.EXPIRY: "T", Refused.VOLATILITY: "vol",
}  # fmt: skip
ALIASES = {
    "value": "price", "npv": "price", "lambda": "elasticity", "omega": "elasticity",
    "vomma": "volga", "phi": "dividend_rho", "dual_delta": "strike_sensitivity",
    "vega_per_1pct": "vega_per_percent", "rho_per_1pct": "rho_per_percent",
}  # fmt: skip
NAMES = r"(?:dividend_rho|theta|vega|rho)"
NOTED = re.compile(
    rf"(?<!\w)({NAMES}(?:\s*(?:/|,|and)\s*{NAMES})*)\s*"
    r"(per\s+(?:calendar\s+)?day|/\s*365|per\s+(?:1\s?%|0\.01|percent|point)|/\s*100)(?![.\d])"
)
TOLERANCE = re.compile(
    r"([0-9.]+(?:e[-+]?\d+)?)\s*(%?)\s*"
    r"(abs\w*|rel\w*)?\s*(of\s+max\(\s*1(?:\.0)?\s*,\s*\|v\|\s*\))?"
)


class OptionFileError(ValueError):
    """A file of option values that cannot be used: where, what was found, how to mend it."""


class Option(NamedTuple):
    """One row's option, and the model it belongs to."""

    model: str
    kind: float
    spot: float
    strike: float
    rate: float
    dividend: float
    expiry: float
    volatility: float

    @property
    def measures(self) -> Measures:
        """Of the kernel, for the rates that the model means."""
        return measure(*self[1:])


class Check(NamedTuple):
    """One value of theirs and ours, and by how much they may differ."""

    where: str
    name: str
    measure: str
    theirs: float
    ours: float
    allowed: float
    exact: float | None  # the closed form, where the file has one

    @property
    def passed(self) -> bool:
        """Whether ours is within the tolerance; a NaN is not."""
        return self.ours == self.theirs or abs(self.ours - self.theirs) <= self.allowed


def elasticity(option: Option, found: Measures) -> float:
    """The relative change of the price for one of the spot."""
    return found.delta * option.spot / found.price if found.price else math.nan


def strike_sensitivity(option: Option, found: Measures) -> float:
    """dV/dK, from Euler's theorem: V = S dV/dS + K dV/dK."""
    return (found.price - option.spot * found.delta) / option.strike if option.strike else math.nan


def rho(option: Option, found: Measures) -> float:
    """dV/dr; of a futures option at a constant futures price."""
    return -option.expiry * found.price if option.model == "black76" else found.rho


DERIVED: dict[str, Callable[[Option, Measures], float]] = {
    "elasticity": elasticity,
    "strike_sensitivity": strike_sensitivity,
    "rho": rho,
    "theta_per_day": lambda _, found: found.theta / DAYS,
    "vega_per_percent": lambda _, found: found.vega / PERCENT,
    "rho_per_percent": lambda option, found: rho(option, found) / PERCENT,
}
KNOWN = (*Measures._fields[1:], *(name for name in DERIVED if name != "rho"))


def verify(path: Path) -> bool:
    """Print what was compared; True where every value is within its tolerance."""
    checks = list(compare(path))
    failed = [check for check in checks if not check.passed]
    rows = len({check.where for check in checks})
    click.echo(
        f"options {path.name}: {rows:,} rows, {len(checks):,} values, {len(failed):,} failed"
    )
    for check in failed:
        console.err.print(
            f"{check.name} {check.measure}: theirs {check.theirs!r}, ours {check.ours!r}, "
            f"allowed {check.allowed:.3g}",
            markup=False, style="red", soft_wrap=True,
        )  # fmt: skip
    for line in summary(checks):
        click.echo(line)
    return not failed


def compare(path: Path) -> Iterator[Check]:
    """Every value of a file beside ours; OptionFileError names row, column, what and mend."""
    count = 0
    for where, row, published in rows_of(path):
        count += 1
        if published:
            yield published_check(where, row)
        else:
            yield from grid_checks(where, row)
    if not count:
        raise OptionFileError(f"{path}: no rows below the header: there is nothing to verify")


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, str], bool]]:
    """Each row by column, where it stands, and whether its file is one of published values."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text, strict=True)
            header = [field.strip() for field in next(lines, [])]
            published = is_published(path, header)
            for fields in lines:
                where = f"{path}, row {lines.line_num}"
                if len(fields) != len(header):
                    raise OptionFileError(
                        f"{where}: {len(fields)} fields for {len(header)} columns: "
                        "give each column one, in quotes where it has a comma"
                    )
                yield where, dict(zip(header, map(str.strip, fields), strict=True)), published
    except OSError as error:
        raise OptionFileError(f"{path}: cannot be read ({error.strerror}): check path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionFileError(f"{path}: is no CSV text ({error}): write it as UTF-8 CSV") from None


def is_published(path: Path, header: list[str]) -> bool:
    """Which of the two forms a header is of; refuses what is neither, and columns there twice."""
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise OptionFileError(f"{path}, row 1: column {twice[0]} twice: keep one")
    published = "measure" in header or "value" in header
    missing = [name for name in (*COMMON, *(PUBLISHED if published else ())) if name not in header]
    if not missing and not published and not set(KNOWN) & set(header):
        missing = ["price"]
    if missing:
        raise OptionFileError(
            f"{path}, row 1: no column {', '.join(missing)}: a file of published values has "
            f"{', '.join((*COMMON, *PUBLISHED))}; a grid has a column for each measure instead"
        )
    return published


def published_check(where: str, row: dict[str, str]) -> Check:
    """The one value of a row."""
    option = option_of(where, row, row["model"].lower())
    name = ALIASES.get(row["measure"].lower(), row["measure"].lower())
    if name not in KNOWN or (option.model != "bsm" and name == "dividend_rho"):
        raise OptionFileError(
            f"{where}, column measure: {row['measure']!r} is none that {option.model} has: "
            f"give one of {', '.join(KNOWN)}"
        )
    theirs = number(where, row, "value")
    closed = number(where, row, CLOSED_FORM) if row.get(CLOSED_FORM) else None
    ours = value_of(where, option, name) / divisor(name, row.get("note", ""))
    allowed = tolerance(where, row["tol"], theirs)
    return Check(where, row["id"], name, theirs, ours, allowed, closed)


def grid_checks(where: str, row: dict[str, str]) -> Iterator[Check]:
    """Each measure that the file has a column of."""
    option = option_of(where, row, row.get("model", "").lower() or "bsm")
    for name in KNOWN:
        if name in row:
            theirs = number(where, row, name)
            allowed = GRID_TOLERANCE * max(abs(theirs), GRID_FLOOR * option.spot)
            ours = value_of(where, option, name)
            yield Check(where, row["id"], name, theirs, ours, allowed, theirs)


def option_of(where: str, row: dict[str, str], model: str) -> Option:
    """The option of a row; refuses words and numbers that are none."""
    if model not in MODELS:
        raise OptionFileError(
            f"{where}, column model: {row['model']!r} is unknown: give one of {', '.join(MODELS)}"
        )
    kind = KINDS.get(row["type"].lower())
    if kind is None:
        raise OptionFileError(f"{where}, column type: {row['type']!r}: give call or put")
    futures = model != "bsm"
    numbers = {name: number(where, row, name) for name in INPUTS if not (futures and name == "q")}
    if futures:
        numbers["q"] = number(where, row, "q") if row["q"] else numbers["r"]
    if model == "black76_undiscounted":
        numbers["r"] = numbers["q"] = 0.0
    return Option(model, kind, *(numbers[name] for name in INPUTS))


def number(where: str, row: dict[str, str], column: str) -> float:
    """A finite number of a row; one too small for a float64 is 0."""
    text = row[column]
    try:
        value = float("" if "_" in text else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        found = repr(text) if text else "nothing"
        raise OptionFileError(f"{where}, column {column}: {found} is no number: give a finite one")
    return value


def value_of(where: str, option: Option, name: str) -> float:
    """Our value of a measure; refuses options that the kernel refuses."""
    found = option.measures
    if found.flag:
        reason = next(reason for reason in Refused if found.flag & reason)
        raise OptionFileError(
            f"{where}, column {COLUMN_OF[reason]}: no option has such a number: spots, strikes, "
            "times and volatilities are not negative, rates are fractions a year"
        )
    derived = DERIVED.get(name)
    return derived(option, found) if derived else getattr(found, name)


def divisor(name: str, note: str) -> float:
    """What a value of ours is to be divided by where the note names another unit."""
    for names, unit in NOTED.findall(note.lower()):
        if name in re.findall(NAMES, names):
            return DAYS if "day" in unit or "365" in unit else PERCENT
    return 1.0


def tolerance(where: str, text: str, value: float) -> float:
    """A tolerance in words, as an absolute one of this value."""
    found = TOLERANCE.fullmatch(text.lower())
    try:
        size = float(found[1]) if found else math.nan
    except ValueError:
        size = math.nan
    if not found or not math.isfinite(size):
        raise OptionFileError(
            f"{where}, column tol: {text!r} is no tolerance: "
            "write 1e-4, 1e-13 rel, 0.1% or 1e-8 rel of max(1,|v|)"
        )
    size /= PERCENT if found[2] else 1.0
    if found[4]:
        return size * max(1.0, abs(value))
    relative = found[2] or (found[3] or "").startswith("rel")
    return max(size * abs(value), NOTHING) if relative else size


def summary(checks: list[Check]) -> Iterator[str]:
    """A line for each measure: how many values, and the worst relative errors."""
    by_measure: defaultdict[str, list[Check]] = defaultdict(list)
    for check in checks:
        by_measure[check.measure].append(check)
    yield f"{'measure':<20}{'values':>8}{'failed':>8}{'worst relative error':>22}{'of exact':>10}"
    for name, some in by_measure.items():
        failed = sum(not check.passed for check in some)
        told = worst([(check.ours, check.theirs) for check in some])
        exact = worst([(check.ours, check.exact) for check in some if check.exact is not None])
        yield f"{name:<20}{len(some):>8,}{failed:>8,}{told:>22}{exact:>10}"


def worst(pairs: list[tuple[float, float]]) -> str:
    """The worst relative error of ours from theirs; of a 0, or what is as good as one, there is
    none."""
    errors = [abs(ours - theirs) / abs(theirs) for ours, theirs in pairs if abs(theirs) > NOTHING]
    return f"{max(errors):.1e}" if errors else "-"
