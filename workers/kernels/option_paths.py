"""One option at many spots at once: a lane for each path, for simulations.

    address -> | PATHS |  LANES paths: spots as they are and in logarithms, and what options make

The spots' logarithms are taken once for all options of an underlying. What remains for each option
and path is one exponential and two Mills' ratios, the price alone; formulas, corners and refusals
are `option_chains`', whose constants are used, and so are the short loops that hand columns on.
"""

import math

from ringbuf.arithmetic import fma
from ringbuf.atomics import at
from ringbuf.jit import formula, kernel
from ringbuf.record import record
from workers.kernels.black_scholes import (
    LEAST,
    MOST,
    OUTSIDE,
    composed,
    discounted_forward,
    folded,
    reach,
)
from workers.kernels.normal import SHIFT, exp, log_parts, mills_apart, pdf
from workers.kernels.option_chains import CHAIN, CHAIN_SIZE, LANES, columns

PATHS = record(
    columns(
        ["spot", "log_spot", "log_rest", "x", "near", "far", "density", "first", "second", "fall"]
    )
)


@kernel
def add_options(chain, units, spot, shocks, factor, now, work, profits):
    """Add what options of one underlying make on each path, each priced anew.

    chain: address of CHAIN, an option a lane; units: float64 [options]; shocks: float64 [factors,
    paths], logarithmic returns of the spot in row `factor`; now: what the options are worth at the
    spot; work: address of PATHS; profits: float64 [paths]. NaN where an option has no value.
    """
    paths = shocks.shape[1]
    for first in range(0, paths, LANES):
        count = min(LANES, paths - first)
        take_spots(work, spot, shocks, factor, first, count)
        for lane in range(count):
            profits[first + lane] -= now
        for option in range(units.shape[0]):
            constants = chain + option // LANES * CHAIN_SIZE
            price(work, constants, option % LANES)
            add(work, units[option], profits[first : first + count])


@kernel
def take_spots(work, spot, shocks, factor, first, count):
    """Put the spots of some paths into the lanes; lanes beyond are at the spot of now."""
    paths = at(work, PATHS)
    for lane in range(LANES):
        paths.x[lane] = 0.0
    for lane in range(count):
        paths.x[lane] = shocks[factor, first + lane]
    for lane in range(LANES):
        here = spot * exp(float(paths.x[lane]))
        good = LEAST <= here <= MOST
        log_spot, log_rest = log_parts(here if good else 1.0)
        log_spot = -OUTSIDE if here == 0.0 else log_spot
        good = good or here == 0.0
        paths.log_spot[lane] = log_spot if good else math.nan
        paths.log_rest[lane] = 0.0 if here == 0.0 else log_rest
        paths.spot[lane] = here if good else math.nan


@kernel
def price(work, chain, option):
    """Price one option at all spots of the lanes: in `fall`."""
    weigh(work, chain, option)
    divide(work)
    compose(work, chain, option)


@kernel
def add(work, units, profits):
    """Add units x price to the profits of the paths in the lanes."""
    paths = at(work, PATHS)
    for lane in range(profits.shape[0]):
        profits[lane] += units * paths.fall[lane]


@formula
def weigh(work, chain, option):
    """First ln(F / K), the density and the division that Mills' ratios need."""
    paths, block = at(work, PATHS), at(chain, CHAIN)
    log_strike, drift = float(block.log_strike[option]), float(block.drift[option])
    deviation, per_deviation = float(block.deviation[option]), float(block.per_deviation[option])
    for lane in range(LANES):
        x = (float(paths.log_spot[lane]) - log_strike) + (float(paths.log_rest[lane]) + drift)
        near, far = reach(x, deviation, per_deviation)
        paths.x[lane], paths.density[lane] = x, pdf(near)
        paths.near[lane], paths.far[lane] = near, far
        paths.first[lane] = 1.0 / ((folded(near) + SHIFT) * (far + SHIFT))


@formula
def divide(work):
    """Then Mills' ratios."""
    paths = at(work, PATHS)
    for lane in range(LANES):
        near, far = float(paths.near[lane]), float(paths.far[lane])
        first, second, fall = mills_apart(folded(near), far, float(paths.first[lane]))
        paths.first[lane], paths.second[lane], paths.fall[lane] = first, second, fall


@formula
def compose(work, chain, option):
    """The prices."""
    paths, block = at(work, PATHS), at(chain, CHAIN)
    kind, strike = float(block.side[option]), float(block.strike_now[option])
    yield_, cash = float(block.yield_[option]), float(block.cash[option])
    deviation, carried = float(block.deviation[option]), float(block.carry[option])
    for lane in range(LANES):
        spot = float(paths.spot[lane])
        asset = spot * yield_
        shape = composed(
            float(paths.x[lane]),
            float(paths.near[lane]),
            deviation,
            float(paths.density[lane]),
            float(paths.first[lane]),
            float(paths.second[lane]),
            float(paths.fall[lane]),
            asset,
            cash,
        )
        other = 0.0 if kind == shape.otm_kind else kind
        forward = discounted_forward(spot - strike, yield_, carried, asset, cash)
        paths.fall[lane] = fma(other, forward, shape.otm_price)
