"""Books of options for Monte Carlo: what holdings make on each path of their underlyings' prices.

    book = option_books.exact(Valued(holdings))                   # each option priced on each path
    book = option_books.interpolated(Valued(holdings), reach=0.6) # a curve for each underlying
    monte_carlo.measure(covariance, book, 0.99)

Shocks are logarithmic returns of the underlyings, in the order in which the holdings name them;
volatilities, rates and time stay. `interpolated` puts what all positions in an underlying make
together on a grid of log returns, with values and slopes, and reads between them by cubic Hermite
polynomials: the error falls with the fourth power of the distance between points. Where expiries
are so near that the curve has kinks between points (an option that expires at once has one at its
strike) the error is of the second power only: compare with `exact`.
"""

from typing import NamedTuple

import numpy as np

from workers.kernels import monte_carlo as kernels
from workers.kernels import option_chains as chains
from workers.kernels import option_paths
from workers.kernels.option_chains import FIRST_ORDER, INPUTS, LANES
from workers.kernels.option_paths import PATHS
from workers.monte_carlo import Book, check_factors
from workers.options import lay_out
from workers.quantiles import MeasureError
from workers.records import empty
from workers.revaluation import Valued

POINTS = 65
POINTS_MAX = 1 << 16


class Held(NamedTuple):
    """What is held of one underlying."""

    spot: float
    chain: np.ndarray  # CHAIN [blocks]
    units: np.ndarray  # float64 [options]
    forward: float  # what equities and futures together gain per unit of price


class Curve(NamedTuple):
    """Profits by log return, on an even grid: values and slopes per step, float64 [points]."""

    low: float
    step: float
    values: np.ndarray
    slopes: np.ndarray


def exact(valued: Valued) -> Book:
    """A book that prices every option on every path."""
    held = split(valued)
    worth = [worth_of(each, each.spot)[0] for each in held]

    def book(shocks: np.ndarray) -> np.ndarray:
        check_factors(shocks, len(held))
        work, profits = empty(PATHS, 1), np.zeros(shocks.shape[1])
        for factor, each in enumerate(held):
            option_paths.add_options(
                each.chain.ctypes.data, each.units, each.spot, shocks, factor, worth[factor],
                work.ctypes.data, profits,
            )  # fmt: skip
            profits += each.forward * each.spot * np.expm1(shocks[factor])
        return profits

    return book


def interpolated(valued: Valued, reach: float, points: int = POINTS) -> Book:
    """A book by curves over log returns from -reach to reach; beyond, options are priced."""
    if not 0 < reach <= 10 or not 2 <= points <= POINTS_MAX:
        raise MeasureError(
            f"a grid of {points} points to {reach}: give 2 to {POINTS_MAX} points, and a log "
            "return above 0, at most 10"
        )
    held, priced = split(valued), exact(valued)
    curves = [curve_of(each, reach, points) for each in held]

    def book(shocks: np.ndarray) -> np.ndarray:
        check_factors(shocks, len(held))
        profits, outside = np.zeros(shocks.shape[1]), 0
        for factor, curve in enumerate(curves):
            outside += kernels.add_curve(shocks, factor, *curve, profits)
        if outside:
            far = np.flatnonzero((np.abs(shocks) > reach).any(axis=0))
            profits[far] = priced(np.ascontiguousarray(shocks[:, far]))
        return profits

    return book


def split(valued: Valued) -> list[Held]:
    """What is held, by underlying."""
    options, rest = valued.options, valued.forwards
    found = []
    for number, spot in enumerate(valued.spots.tolist()):
        mine = np.flatnonzero(options.owner == number)
        columns = {name: options.blocks[name].reshape(-1)[mine] for name in INPUTS}
        laid = lay_out(columns).blocks if len(mine) else empty(chains.OPTIONS, 1)
        chain = empty(chains.CHAIN, laid.size)
        chains.prepare_all(laid.ctypes.data, chain.ctypes.data, laid.size)
        growth = np.exp(rest.carry * rest.expiry) * rest.units
        forward = float(growth[rest.owner == number].sum())
        found.append(Held(spot, chain, np.ascontiguousarray(options.units[mine]), forward))
    return found


def worth_of(held: Held, spot: float) -> tuple[float, float]:
    """What the options are worth at a spot, and their delta."""
    chains.reprice_all(held.chain.ctypes.data, held.chain.size, spot)
    value, delta = (held.chain[name].reshape(-1)[: len(held.units)] for name in FIRST_ORDER[:2])
    return float(held.units @ value), float(held.units @ delta)


def curve_of(held: Held, reach: float, points: int) -> Curve:
    """The curve of one underlying."""
    step = 2 * reach / (points - 1)
    moves = np.linspace(-reach, reach, points)
    spots = held.spot * np.exp(moves)
    worth = np.array([worth_of(held, spot) for spot in spots.tolist()])
    now = worth_of(held, held.spot)[0]
    values = worth[:, 0] - now + held.forward * (spots - held.spot)
    slopes = (worth[:, 1] + held.forward) * spots * step
    return Curve(-reach, step, np.ascontiguousarray(values), np.ascontiguousarray(slopes))


assert FIRST_ORDER[:2] == ("price", "delta"), "worth_of takes other measures"
assert LANES > 1
