"""Whole arrays of options: prices, Greeks and implied volatilities, for notebooks and reports.

What a kernel wants in blocks is laid out here from arrays, or single numbers, of any shapes that
numpy can broadcast. Units, corners and refusals are those of `workers.kernels.black_scholes`: a
refused option has NaN everywhere and a flag that says why; nothing is raised for it.

    found = options.measures(CALL, 100.0, strikes, 0.05, 0.01, 0.5, 0.2)
    found["delta"], found["flag"]
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from workers.kernels import american as trees
from workers.kernels import implied, option_chains
from workers.kernels.option_chains import FIRST_ORDER, INPUTS, LANES, OPTIONS, SECOND_ORDER
from workers.records import empty

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Laid:
    """Options in blocks, how many there are, and the shape that they came in."""

    blocks: np.ndarray  # OPTIONS [blocks]
    count: int
    shape: tuple[int, ...]

    def column(self, name: str) -> np.ndarray:
        """One column of all options, in their shape."""
        return self.blocks[name].reshape(-1)[: self.count].reshape(self.shape)


def lay_out(columns: Mapping[str, ArrayLike]) -> Laid:
    """Blocks of these columns, each an array or a number; other columns are 0."""
    given = np.broadcast_arrays(*(np.asarray(values, np.float64) for values in columns.values()))
    count, shape = given[0].size, given[0].shape
    laid = Laid(empty(OPTIONS, max(-(-count // LANES), 1)), count, shape)
    lanes = np.zeros(laid.blocks.size * LANES)
    for name, values in zip(columns, given, strict=True):
        lanes[:count] = values.reshape(-1)
        laid.blocks[name] = lanes.reshape(laid.blocks.size, LANES)
    return laid


def measures(
    kind: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    rate: ArrayLike,
    dividend: ArrayLike,
    expiry: ArrayLike,
    volatility: ArrayLike,
) -> Arrays:
    """Flag (int64), price and Greeks (float64) of European options, by name."""
    values = kind, spot, strike, rate, dividend, expiry, volatility
    laid = lay_out(dict(zip(INPUTS, values, strict=True)))
    option_chains.measure_all(laid.blocks.ctypes.data, laid.blocks.size)
    return {name: laid.column(name) for name in ("flag", *FIRST_ORDER, *SECOND_ORDER)}


def implied_volatilities(
    kind: ArrayLike,
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    rate: ArrayLike,
    dividend: ArrayLike,
    expiry: ArrayLike,
) -> Arrays:
    """Code (int64, of `implied.Found`) and volatility (float64) of European prices."""
    names = ("kind", "price", *INPUTS[1:-1])
    values = kind, price, spot, strike, rate, dividend, expiry
    laid = lay_out(dict(zip(names, values, strict=True)))
    implied.implied_all(laid.blocks.ctypes.data, laid.blocks.size)
    return {"code": laid.column("flag"), "volatility": laid.column("volatility")}


def american_measures(
    kind: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    rate: ArrayLike,
    dividend: ArrayLike,
    expiry: ArrayLike,
    volatility: ArrayLike,
    steps: int = trees.STEPS,
) -> Arrays:
    """Flag, price and first-order Greeks of American options; half a millisecond each or so."""
    values = kind, spot, strike, rate, dividend, expiry, volatility
    laid = lay_out(dict(zip(INPUTS, values, strict=True)))
    tree, rows = empty(trees.TREE, 1), (laid.column(name).reshape(-1) for name in INPUTS)
    inputs = zip(*(row.tolist() for row in rows), strict=True)
    found = [trees.american(tree.ctypes.data, *option, steps) for option in inputs]
    names = trees.American._fields
    columns = np.array(found, np.float64).reshape(laid.count, len(names)).T
    arrays = {name: row.reshape(laid.shape) for name, row in zip(names, columns, strict=True)}
    return arrays | {"flag": arrays["flag"].astype(np.int64)}
