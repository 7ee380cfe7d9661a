"""Return scenarios: read from a file, checked, or made up from a seed; and put in fixed point.

A file is CSV, optionally gzip (`.gz`). Its first line names the symbols; a first column called
`date` labels the rows and is otherwise not used. Each further line is one scenario: the simple
return of every symbol over the horizon, as a fraction: 0.01 is one per cent up.

    date,AAPL,MSFT
    2012-06-20,0.0119,-0.0026
"""

import csv
import gzip
import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workers.kernels.scenarios import MAX_SCENARIOS, RETURN_SCALE

MIN_SCENARIOS = 100  # with fewer, the worst 1 % would be less than one scenario
LOWEST_RETURN = -1.0  # a simple return below it would leave less than nothing
HIGHEST_RETURN = 127.0  # what fits in fixed point, with room to round
DATE_COLUMN = "date"

UNIFORMS = 12  # their sum has variance 1 when each is spread over 1: close to normal
UNIFORM_BITS = 16
MARKET_SIGMA = RETURN_SCALE // 100  # 1 % a day
OWN_SIGMA = RETURN_SCALE * 3 // 200  # 1.5 % a day
STRESSED_ONE_IN = 32  # so many days move STRESS times as much: the fat tails
STRESS = 3


class ScenarioError(ValueError):
    """A scenario file or matrix that cannot be used: where, what was found, how to mend it."""


class Scenarios(NamedTuple):
    """Simple returns per scenario: float64 [days, symbols], a fraction; -0.02 is 2 % down."""

    symbols: tuple[str, ...]
    returns: np.ndarray

    def row(self, symbol: str) -> np.ndarray:
        """One symbol's returns in fixed point, int32 [days]; ScenarioError where it has none."""
        check_wanted("scenarios", self.symbols, [symbol])
        return to_fixed(self.returns[:, self.symbols.index(symbol)])


def load(path: str | Path, wanted: Iterable[str] = ()) -> Scenarios:
    """Read a scenario file; ScenarioError names file, row, column, what and mend.

    All columns are read and checked; each symbol that is `wanted` must be among them.
    """
    path = Path(path)
    try:
        with open_text(path) as text:
            return parse(str(path), csv.reader(text, strict=True), wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(f"{path}: cannot be read ({error}): check path and contents") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path}: is no CSV text ({error}): write it as UTF-8 CSV") from None


def open_text(path: Path):
    """The file as text, unpacked where its name says so."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def parse(name: str, lines: Iterator[list[str]], wanted: Iterable[str]) -> Scenarios:
    """The scenarios in CSV lines; `name` stands for the file in errors."""
    header = [field.strip() for field in next(lines, [])]
    dated = bool(header) and header[0].lower() == DATE_COLUMN
    symbols = check_symbols(name, header[dated:])
    if not symbols:
        raise ScenarioError(f"{name}, row 1: no symbols: name one column per symbol")
    check_wanted(f"{name}, row 1", symbols, wanted)
    rows, dates = [], set()
    for number, fields in enumerate(lines, start=2):
        where = f"{name}, row {number}"
        if len(fields) != len(header):
            raise ScenarioError(
                f"{where}: {len(fields)} fields for {len(header)} columns: give each symbol one"
            )
        if dated and fields[0] in dates:
            raise ScenarioError(f"{where}, column date: {fields[0]} again: keep one row a day")
        dates.update(fields[:dated])
        values = zip(symbols, fields[dated:], strict=True)
        rows.append([parse_return(f"{where}, column {symbol}", text) for symbol, text in values])
    check_count(name, len(rows))
    return Scenarios(symbols, np.array(rows, np.float64))


def check_symbols(name: str, symbols: list[str]) -> tuple[str, ...]:
    """The header's symbols; refuses blank ones and doubles."""
    for index, symbol in enumerate(symbols):
        if not symbol:
            raise ScenarioError(f"{name}, row 1: symbol {index + 1} is blank: name it")
        if symbol in symbols[:index]:
            raise ScenarioError(f"{name}, row 1: symbol {symbol} twice: keep one column")
    return tuple(symbols)


def check_wanted(where: str, symbols: tuple[str, ...], wanted: Iterable[str]) -> None:
    """Refuse scenarios without a symbol that is wanted."""
    known = set(symbols)
    for symbol in wanted:
        if symbol not in known:
            shown = ", ".join(symbols[:8]) + ", …" * (len(symbols) > 8)
            raise ScenarioError(
                f"{where}: no returns for {symbol}: add a column, or do not hold it "
                f"(there are {shown})"
            )


def parse_return(where: str, text: str) -> float:
    """One return; refuses blanks, text, NaN, infinities and what no simple return can be."""
    try:
        value = float("" if "_" in text else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        found = repr(text) if text.strip() else "nothing"
        raise ScenarioError(f"{where}: {found} is no number: fill the gap or drop the whole row")
    if not LOWEST_RETURN <= value <= HIGHEST_RETURN:
        raise ScenarioError(
            f"{where}: a return of {text.strip()}: give fractions (0.01 is 1 %), not prices"
        )
    return value


def check_count(name: str, count: int) -> None:
    """Refuse too few scenarios for the measures, and more than a kernel takes."""
    if count < MIN_SCENARIOS:
        raise ScenarioError(
            f"{name}: {count} scenarios: give at least {MIN_SCENARIOS}, for with fewer the "
            "worst 1 % is less than one scenario and value at risk 99 % is only the worst of all"
        )
    if count > MAX_SCENARIOS:
        raise ScenarioError(f"{name}: {count} scenarios: give at most {MAX_SCENARIOS}")


def to_fixed(returns: np.ndarray) -> np.ndarray:
    """Returns as int32 in 1/RETURN_SCALE (2^-24), to the nearest, halves to even; same shape.

    ScenarioError where one is NaN or outside -1 to 127. The error is at most 3e-8 of the exposure.
    """
    values = np.asarray(returns, np.float64)
    bad = ~((values >= LOWEST_RETURN) & (values <= HIGHEST_RETURN))
    if bad.any():
        place = tuple(int(axis[0]) for axis in np.nonzero(bad))
        raise ScenarioError(
            f"return {values[place]} at {place}: give numbers from {LOWEST_RETURN:g} to "
            f"{HIGHEST_RETURN:g}, as fractions"
        )
    return np.rint(values * RETURN_SCALE).astype(np.int32)


def synthetic(symbols: tuple[str, ...] | list[str], days: int, seed: int) -> Scenarios:
    """Made-up returns: one market factor and a part of their own, both with fat tails.

    return = beta x market + own, with market sigma 1 %, own sigma 1.5 %, beta 0.5 to 1.5, and a
    threefold move on one day in 32 (annual volatility some 30 %, excess kurtosis some 2). Made
    of integers from a counter-based generator (Philox 4x64-10, Salmon et al. 2011), so the same
    seed gives the same bits on every machine; a symbol's column does not depend on the others.
    """
    named = check_symbols("synthetic scenarios", list(symbols))
    check_count("synthetic scenarios", days)
    market = shocks(generator(seed, "market"), days, MARKET_SIGMA)
    columns = np.zeros((days, len(named)), np.int64)
    for index, symbol in enumerate(named):
        source = generator(seed, f"symbol {symbol}")
        beta_percent = 50 + int(source.random_raw() % 101)
        own = shocks(source, days, OWN_SIGMA)
        columns[:, index] = beta_percent * market // 100 + own
    return Scenarios(named, columns / RETURN_SCALE)


def generator(seed: int, purpose: str) -> np.random.Philox:
    """The stream of numbers of a purpose: its key is a digest of seed and purpose."""
    digest = hashlib.blake2b(f"{seed} {purpose}".encode(), digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(digest, "little"))


def shocks(source: np.random.Philox, days: int, sigma: int) -> np.ndarray:
    """Fat-tailed moves in fixed point, int64 [days], of a standard deviation on quiet days."""
    raw = source.random_raw(days * UNIFORMS).reshape(days, UNIFORMS) >> np.uint64(64 - UNIFORM_BITS)
    centred = raw.sum(axis=1).astype(np.int64) - (UNIFORMS << UNIFORM_BITS) // 2
    stressed = source.random_raw(days) % np.uint64(STRESSED_ONE_IN) == 0
    return centred * np.where(stressed, STRESS, 1) * sigma >> UNIFORM_BITS
