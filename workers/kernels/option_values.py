"""What one option is worth at a mark, what it makes in every scenario, and its Greeks in money.

    work -> | FRESH | i8 x scenarios: profits | CHAIN | PATHS x blocks: the scenarios' spots |

All is found by full revaluation, in the units of positions.py and scenarios.py: value in money
units, profits in cents x 2^-24, each rounded once, halves to even, so that a sold option is worth
exactly the negative of a bought one. The price of now comes out of the same lanes as those of the
scenarios, so a return of 0 makes exactly nothing.

Scenario s has the underlying at S (1 + return[s]); volatility, rates and time stay. Greeks are
those of docs/stress.md: delta what 1 % up makes, gamma by how much that grows for each 1 %, vega
of one point of volatility, theta of a day of 365, rho of 0.01 %.

What has no value, or one beyond the bounds, is told as such: nothing of FRESH counts then.
"""

import math
from enum import IntEnum

from ringbuf.atomics import at
from ringbuf.jit import formula, kernel
from ringbuf.record import record
from workers.kernels import option_paths
from workers.kernels.black_scholes import CALL, LEAST, MOST, OUTSIDE, measure, refusals
from workers.kernels.normal import log_parts
from workers.kernels.option_chains import (
    CHAIN,
    CHAIN_SIZE,
    LANES,
    prepare_money,
    prepare_time,
)
from workers.kernels.option_paths import PATHS
from workers.kernels.scenarios import (
    EXPOSURE_UNIT,
    PROFIT_LIMIT,
    RETURN_SCALE,
    RETURNS,
    VECTOR,
    whole_lines,
)
from workers.records import MONEY_SCALE


class Greek(IntEnum):
    """Places of the Greeks."""

    DELTA = 0
    GAMMA = 1
    VEGA = 2
    THETA = 3
    RHO = 4


GREEKS = len(Greek)
DELTA, GAMMA, VEGA, THETA, RHO = map(int, Greek)  # plain numbers, as kernels take them
YEAR_NS = 365 * 86_400 * 10**9
DAYS = 365.0
PERCENT, POINT, BASIS = 0.01, 0.01, 1e-4
VALUE_LIMIT = 1 << 56  # money units: of one option's value
GREEK_LIMIT = 1 << 50  # money units: those of 4,096 options and the exposures fit into a word
WHOLE = 2.0**52  # floats from here on have no fractions
TIME_LIMIT = 1 << 62  # ns

TERMS = record(
    [
        ("kind", "f8"),  # CALL or PUT
        ("strike", "f8"),
        ("rate", "f8"),
        ("dividend", "f8"),
        ("volatility", "f8"),
        ("units", "f8"),  # quantity x multiplier, below 0: sold
        ("expires_ns", "i8"),
    ]
)
FRESH = record(
    [
        ("value", "i8"),  # money units
        ("largest", "i8"),  # of the profits without their signs
        ("greek", "i8", (GREEKS,)),  # money units
    ]
)
PROFITS_AT = whole_lines(FRESH.itemsize)
PATHS_SIZE = PATHS.itemsize


def work_bytes(scenarios: int) -> int:
    """The size of the memory to value an option in."""
    blocks = scenarios // LANES + 1
    return paths_at(scenarios) + whole_lines(blocks * PATHS_SIZE)


@kernel
def chain_at(scenarios):
    """Bytes from the work's address to the constants of the option in hand."""
    return PROFITS_AT + (8 * int(scenarios) + 63) // 64 * 64


@kernel
def paths_at(scenarios):
    """Bytes from the work's address to the scenarios' spots."""
    return chain_at(scenarios) + (CHAIN_SIZE + 63) // 64 * 64


@kernel
def years_left(terms, time_ns):
    """Time to expiry in years of 365 days; 0.0 from expiry on. A time below 0 counts as 0."""
    left = at(terms, TERMS).expires_ns - min(max(int(time_ns), 0), TIME_LIMIT)
    return float(left) / float(YEAR_NS) if left > 0 else 0.0


@kernel
def spread(work, returns, scenarios, spot):
    """Put the spots of all scenarios into lanes; what is left of the last block is at now's."""
    change = at(returns, RETURNS).change
    paths = work + paths_at(scenarios)
    for block in range(int(scenarios) // LANES + 1):
        lanes = at(paths + block * PATHS_SIZE, PATHS)
        first = block * LANES
        count = min(LANES, int(scenarios) - first)
        for lane in range(LANES):
            lanes.x[lane] = 1.0
        for lane in range(count):
            grown = float(RETURN_SCALE + int(change[first + lane]))
            lanes.x[lane] = grown / float(RETURN_SCALE)
        place_lanes(paths + block * PATHS_SIZE, spot)


@kernel
def place_lanes(address, spot):
    """The spots of one block, and their logarithms; NaN where there can be no such spot."""
    lanes = at(address, PATHS)
    for lane in range(LANES):
        here = spot * float(lanes.x[lane])
        good = (here >= LEAST) & (here <= MOST)
        log_spot, log_rest = log_parts(here if good else 1.0)
        is_nothing = here == 0.0
        log_spot = -OUTSIDE if is_nothing else log_spot
        lanes.log_spot[lane] = log_spot if good | is_nothing else math.nan
        lanes.log_rest[lane] = 0.0 if is_nothing else log_rest
        lanes.spot[lane] = here if good | is_nothing else math.nan


@kernel
def value(work, terms, scenarios, spot, years):
    """Value an option, whose scenarios are `spread`, at a spot; False where it has no value."""
    if years == 0.0:
        return settle(work, terms, scenarios, spot)
    held = at(terms, TERMS)
    kind, strike, volatility = float(held.kind), float(held.strike), float(held.volatility)
    rate, dividend = float(held.rate), float(held.dividend)
    if refusals(kind, spot, strike, rate, dividend, years, volatility) != 0:
        return False
    constants = work + chain_at(scenarios)
    chain = at(constants, CHAIN)
    chain.flag[0], chain.strike_now[0], chain.side[0] = 0, strike, kind
    prepare_time(constants, 0, years, volatility)
    prepare_money(constants, 0, rate, dividend, years, strike)
    paths = work + paths_at(scenarios)
    for block in range(int(scenarios) // LANES + 1):
        option_paths.price(paths + block * PATHS_SIZE, constants, 0)
    found = measure(kind, spot, strike, rate, dividend, years, volatility)
    return gain(work, scenarios, float(held.units)) and measured(
        work, float(held.units), spot, found
    )


@kernel
def settle(work, terms, scenarios, spot):
    """Value an option at what it pays: nothing moves that any more."""
    held, fresh = at(terms, TERMS), at(work, FRESH)
    gap = spot - float(held.strike) if held.kind == CALL else float(held.strike) - spot
    worth = float(held.units) * max(gap, 0.0) * float(MONEY_SCALE)
    if not abs(worth) < float(VALUE_LIMIT):
        return False
    fresh.value, fresh.largest = int(nearest(worth)), 0
    for greek in range(GREEKS):
        fresh.greek[greek] = 0
    profit = at(work + PROFITS_AT, VECTOR).profit
    for scenario in range(scenarios):
        profit[scenario] = 0
    return True


@kernel
def gain(work, scenarios, units):
    """The value and the profits, of prices in the lanes; False where one is beyond the bounds."""
    fresh, paths = at(work, FRESH), work + paths_at(scenarios)
    count = int(scenarios)
    now = float(at(paths + count // LANES * PATHS_SIZE, PATHS).fall[count % LANES])
    worth = now * units * float(MONEY_SCALE)
    if not abs(worth) < float(VALUE_LIMIT):
        return False
    fresh.value = int(nearest(worth))
    factor, outside = units * float(EXPOSURE_UNIT * RETURN_SCALE), 0
    for block in range(count // LANES + 1):
        outside += gain_lanes(paths + block * PATHS_SIZE, now, factor)
    if outside > 0:
        return False
    fresh.largest = 0
    for block in range(count // LANES + 1):
        first = block * LANES
        most = collect(
            paths + block * PATHS_SIZE, work + PROFITS_AT + 8 * first, min(LANES, count - first)
        )
        fresh.largest = max(fresh.largest, most)
    return True


@kernel
def gain_lanes(address, now, factor):
    """Profits of one block as whole floats, in `x`; how many are no number or too large."""
    lanes = at(address, PATHS)
    outside = 0
    for lane in range(LANES):
        made = (float(lanes.fall[lane]) - now) * factor
        outside += 0 if abs(made) < float(PROFIT_LIMIT) else 1
        lanes.x[lane] = nearest(made)
    return outside


@kernel
def collect(address, target, count):
    """Copy profits of one block to i8 [count]; the largest without its sign."""
    lanes, profit = at(address, PATHS), at(target, VECTOR).profit
    most = 0
    for lane in range(count):
        made = int(lanes.x[lane])
        profit[lane] = made
        most = max(most, abs(made))
    return most


@formula
def nearest(number):
    """A float rounded to a whole one, halves to even."""
    size = abs(number)
    whole = (size + WHOLE) - WHOLE if size < WHOLE else size
    return -whole if number < 0.0 else whole


@kernel
def measured(work, units, spot, found):
    """Greeks of `black_scholes.measure` in money; False where one is beyond the bounds."""
    money = units * float(MONEY_SCALE)
    percent = spot * PERCENT
    good = put(work, DELTA, found.delta * percent * money)
    good &= put(work, GAMMA, found.gamma * percent * percent * money)
    good &= put(work, VEGA, found.vega * POINT * money)
    good &= put(work, THETA, found.theta / DAYS * money)
    good &= put(work, RHO, found.rho * BASIS * money)
    return good


@kernel
def put(work, greek, amount):
    """Enter a Greek; False where it is no number or too large."""
    if not abs(amount) < float(GREEK_LIMIT):
        return False
    at(work, FRESH).greek[greek] = int(nearest(amount))
    return True
