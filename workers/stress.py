"""Stress tests: grids of price and volatility, crises of history, moves of one's own.

All of them are shocks for `workers.revaluation`, which prices every option anew. They are sudden:
no time passes, unless a move of one's own says so.

A crisis moves the market's index and the volatility of its options. Each underlying returns beta x
the index' return, and loses no more than all it is worth; its options' volatility rises by
volatility_beta x the rise of the volatility index, in points. Such an index is of options of 30
days: what is longer moves by sqrt(30 days / T) of that, as if volatility came back to its mean.
"""

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from workers.holdings import MARKET, Move
from workers.quantiles import MeasureError
from workers.revaluation import Shocks, Valued, quiet, totals

CRISES = Path(__file__).with_name("crises.toml")
INDEX_DAYS = 30.0  # to expiry of the options behind a volatility index
POINT = 0.01  # of volatility
CELLS_MAX = 10_000  # of a grid


class Crisis(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Two closes of the market, and of its volatility in points."""

    title: str
    first: date = msgspec.field(name="from")
    last: date = msgspec.field(name="to")
    index: tuple[float, float]
    volatility: tuple[float, float]
    volatility_index: str

    @property
    def market_return(self) -> float:
        """Of the index; -0.1 is 10 % down."""
        return self.index[1] / self.index[0] - 1

    @property
    def shift(self) -> float:
        """Of volatility; 0.1 is ten points up."""
        return (self.volatility[1] - self.volatility[0]) * POINT


class Grid(NamedTuple):
    """Profits for each return of all underlyings and each shift of all volatilities."""

    returns: np.ndarray  # [rows]
    shifts: np.ndarray  # [columns]
    profits: np.ndarray  # [rows, columns]


@cache
def crises() -> dict[str, Crisis]:
    """The crises by name, in the order of time."""
    return msgspec.convert(tomllib.loads(CRISES.read_text()), dict[str, Crisis])


def check_crisis(name: str) -> Crisis:
    """A crisis by name; MeasureError lists all where there is none of it."""
    found = crises().get(name)
    if found is None:
        raise MeasureError(f"crisis {name!r}: is not known; there are {', '.join(crises())}")
    return found


def betas(valued: Valued, factor: str = MARKET) -> np.ndarray:
    """Each underlying's return for a return of 1 of a factor: [underlyings]."""
    each = valued.holdings.underlyings.values()
    if factor == MARKET:
        return np.array([one.beta for one in each])
    return np.array([one.factors.get(factor, 0.0) for one in each])


def volatility_betas(valued: Valued) -> np.ndarray:
    """Points of each underlying's options for one of the market's: [underlyings]."""
    return np.array([one.volatility_beta for one in valued.holdings.underlyings.values()])


def fallen(returns: np.ndarray) -> np.ndarray:
    """Returns as betas make them, none below -1: nothing is worth less than nothing."""
    return np.maximum(returns, -1.0)


def of_crises(valued: Valued, names: list[str], parallel: bool = False) -> Shocks:
    """Crises by name. Parallel: all expiries' volatilities move alike, far ones too."""
    shocks = quiet(valued, names)
    for row, name in enumerate(names):
        crisis = check_crisis(name)
        shocks.returns[row] = fallen(betas(valued) * crisis.market_return)
        shocks.shifts[row] = volatility_betas(valued) * crisis.shift
        shocks.fades[row] = 0.0 if parallel else INDEX_DAYS
    return shocks


def of_moves(valued: Valued, moves: dict[str, Move]) -> Shocks:
    """Moves of one's own by name."""
    shocks = quiet(valued, list(moves))
    for row, (name, move) in enumerate(moves.items()):
        shocks.returns[row] = returns_of(valued, move)
        own = [move.volatilities.get(underlying) for underlying in valued.names]
        common = move.volatility * volatility_betas(valued)
        shocks.shifts[row] = [
            both if one is None else one for one, both in zip(own, common, strict=True)
        ]
        shocks.ratios[row] = move.volatility_ratio
        shocks.rates[row], shocks.days[row] = move.rate, move.days
        if (shocks.returns[row] < -1).any():
            raise MeasureError(f"shock {name!r}: takes more than all: give returns of at least -1")
    return shocks


def returns_of(valued: Valued, move: Move) -> np.ndarray:
    """Each underlying's return: its own, else its sector's, else that of its factors."""
    found = sum(
        (betas(valued, factor) * value for factor, value in move.factors.items()),
        np.zeros(len(valued.names)),
    )
    found = fallen(found)
    for number, (name, underlying) in enumerate(valued.holdings.underlyings.items()):
        found[number] = move.sectors.get(underlying.sector, found[number])
        found[number] = move.underlyings.get(name, found[number])
    return found


def grid(valued: Valued, returns: list[float], shifts: list[float], by_beta: bool = False) -> Grid:
    """All underlyings return the same, or beta x that; all volatilities shift by the same.

    Returns and shifts are fractions. A volatility does not fall below 0.
    """
    rows, columns = np.array(returns, np.float64), np.array(shifts, np.float64)
    if not 0 < rows.size * columns.size <= CELLS_MAX:
        raise MeasureError(
            f"grid: {rows.size} returns x {columns.size} shifts: give 1 to {CELLS_MAX:,} cells"
        )
    names = [f"price {r:+.2%}, volatility {s / POINT:+g}" for r in returns for s in shifts]
    shocks = quiet(valued, names)
    moved = np.repeat(rows, columns.size)[:, None]
    shocks.returns[:] = fallen(moved * betas(valued)) if by_beta else moved
    shocks.shifts[:] = np.tile(columns, rows.size)[:, None]
    made = totals(valued, shocks)
    return Grid(rows, columns, made.reshape(rows.size, columns.size))
