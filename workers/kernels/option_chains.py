"""Many options at once: from raw inputs, and again on every tick of what they are on.

    address -> | OPTIONS x blocks |    a block: LANES options, a column for each input and measure
    address -> | CHAIN x blocks |      the same options of one underlying, ready for ticks

Inputs, units, corners and refusals are those of `black_scholes`. In a block every column is an
array of fixed size at a fixed place, so the compiler sees that none overlaps another and makes
packed instructions of the loop over the lanes; the measures have the same bits as `measure`'s,
for the loop runs the same formulas. The last block's lanes beyond the last option hold whatever
`empty` left there: kind 0, which is refused.

A tick moves the spot only, so `prepare` works out all else once: ln K in two parts (the spot's
logarithm is taken in two parts as well, once a tick), the discounts and their inverses, 1 / s. What
remains is one exponential an option. Measures of a tick differ from `measure`'s in the last bits.
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
    TINY,
    Refused,
    discounted_forward,
    measures,
    refusals,
    shaped,
    unbounded,
)
from workers.kernels.normal import exp, exp_pair, log_parts

LANES = 64
INPUTS = ("kind", "spot", "strike", "rate", "dividend", "expiry", "volatility")
FIRST_ORDER = ("price", "delta", "gamma", "vega", "theta", "rho")
SECOND_ORDER = ("dividend_rho", "vanna", "volga", "charm")
CONSTANTS = (
    "strike_now", "log_strike", "drift", "deviation", "per_deviation", "yield_", "growth", "cash",
    "per_cash", "carry", "earned", "earned_rest", "paid", "paid_rest", "root", "pace", "side",
    "earning", "paying", "years_paid",
)  # fmt: skip


def columns(names):
    """A column of LANES float64 for each name."""
    return [(name, "f8", (LANES,)) for name in names]


OPTIONS = record(
    [*columns(INPUTS), ("flag", "i8", (LANES,)), *columns(FIRST_ORDER), *columns(SECOND_ORDER)]
)
CHAIN = record([*columns(CONSTANTS), ("flag", "i8", (LANES,)), *columns(FIRST_ORDER)])
OPTIONS_SIZE, CHAIN_SIZE = OPTIONS.itemsize, CHAIN.itemsize


@kernel
def price_all(options, blocks):
    """Fill flag, price and the first-order Greeks of every option of OPTIONS x blocks."""
    for block in range(blocks):
        price_block(options + block * OPTIONS_SIZE)


@kernel
def measure_all(options, blocks):
    """The same, and the second-order Greeks."""
    for block in range(blocks):
        measure_block(options + block * OPTIONS_SIZE)


@kernel
def prepare_all(options, chain, blocks):
    """Work out of OPTIONS x blocks what CHAIN x blocks needs for its ticks."""
    for block in range(blocks):
        prepare_block(options + block * OPTIONS_SIZE, chain + block * CHAIN_SIZE)


@kernel
def reprice_all(chain, blocks, spot):
    """The underlying is at `spot`: fill price and first-order Greeks of CHAIN x blocks.

    Returns Refused.SPOT where there can be no such spot, and all measures are NaN then; else 0.
    """
    good = (spot == 0.0) or (LEAST <= spot <= MOST)
    log_spot, log_rest = (-OUTSIDE, 0.0) if spot == 0.0 else log_parts(spot if good else 1.0)
    if not good:
        spot = log_spot = math.nan
    per_spot = 1.0 / (LEAST if spot == 0.0 else spot)
    for block in range(blocks):
        reprice_block(chain + block * CHAIN_SIZE, spot, per_spot, log_spot, log_rest)
    return 0 if good else 2


@kernel
def price_block(address):
    """Flag, price and first-order Greeks of one block."""
    block = at(address, OPTIONS)
    for lane in range(LANES):
        found = measures(
            float(block.kind[lane]),
            float(block.spot[lane]),
            float(block.strike[lane]),
            float(block.rate[lane]),
            float(block.dividend[lane]),
            float(block.expiry[lane]),
            float(block.volatility[lane]),
        )
        block.flag[lane] = found.flag
        block.price[lane] = found.price
        block.delta[lane] = found.delta
        block.gamma[lane] = found.gamma
        block.vega[lane] = found.vega
        block.theta[lane] = found.theta
        block.rho[lane] = found.rho


@kernel
def measure_block(address):
    """All measures of one block."""
    block = at(address, OPTIONS)
    for lane in range(LANES):
        found = measures(
            float(block.kind[lane]),
            float(block.spot[lane]),
            float(block.strike[lane]),
            float(block.rate[lane]),
            float(block.dividend[lane]),
            float(block.expiry[lane]),
            float(block.volatility[lane]),
        )
        block.flag[lane] = found.flag
        block.price[lane] = found.price
        block.delta[lane] = found.delta
        block.gamma[lane] = found.gamma
        block.vega[lane] = found.vega
        block.theta[lane] = found.theta
        block.rho[lane] = found.rho
        block.dividend_rho[lane] = found.dividend_rho
        block.vanna[lane] = found.vanna
        block.volga[lane] = found.volga
        block.charm[lane] = found.charm


@kernel
def prepare_block(source, target):
    """The constants of one block of options; NaN where an option is refused, but for its spot."""
    options, chain = at(source, OPTIONS), at(target, CHAIN)
    for lane in range(LANES):
        kind, strike = float(options.kind[lane]), float(options.strike[lane])
        rate, dividend = float(options.rate[lane]), float(options.dividend[lane])
        expiry, volatility = float(options.expiry[lane]), float(options.volatility[lane])
        flag = refusals(kind, 1.0, strike, rate, dividend, expiry, volatility)
        chain.flag[lane] = flag
        if flag:
            kind, strike, rate, dividend, expiry, volatility = refused()
        chain.strike_now[lane], chain.side[lane] = strike, kind
        chain.earning[lane], chain.paying[lane] = dividend, rate
        prepare_time(target, lane, 0.0 if flag else expiry, volatility)
        prepare_money(target, lane, rate, dividend, expiry, strike)


@formula
def refused():
    """Constants of an option without a value: whatever is made of them is NaN."""
    return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan


@kernel
def prepare_time(target, lane, expiry, volatility):
    """What depends on time and volatility."""
    chain = at(target, CHAIN)
    root = math.sqrt(expiry)
    deviation = volatility * root
    chain.root[lane], chain.deviation[lane] = root, deviation
    chain.per_deviation[lane] = 1.0 / (TINY if deviation < TINY else deviation)
    chain.pace[lane] = volatility / (2.0 * (TINY if root < TINY else root))


@kernel
def prepare_money(target, lane, rate, dividend, expiry, strike):
    """What depends on the strike and on rates."""
    chain = at(target, CHAIN)
    log_strike, rest = (-OUTSIDE, 0.0) if strike == 0.0 else log_parts(strike)
    drift = (rate - dividend) * expiry
    discount = exp(-rate * expiry)
    growth, carry = exp_pair(drift)
    yield_, cash = discount * growth, strike * discount
    chain.log_strike[lane], chain.drift[lane] = log_strike, drift - rest
    chain.yield_[lane], chain.growth[lane] = yield_, 1.0 / yield_
    chain.cash[lane], chain.per_cash[lane] = cash, 1.0 / (TINY if cash < TINY else cash)
    chain.carry[lane] = cash * carry
    chain.years_paid[lane] = expiry * cash
    chain.earned[lane], chain.earned_rest[lane] = product(dividend, 1.0, -dividend * expiry)
    chain.paid[lane], chain.paid_rest[lane] = product(rate, strike, -rate * expiry)


@formula
def product(rate, amount, power):
    """rate x amount x e^power as a sum of two float64; small powers are exact to 1e-16 of them."""
    factor, gain = exp_pair(power)
    rest = gain - (factor - 1.0)
    first = rate * amount
    whole = first * factor
    lost = fma(first, factor, -whole) + factor * fma(rate, amount, -first)
    return whole, fma(first, rest, lost)


@kernel
def reprice_block(address, spot, per_spot, log_spot, log_rest):
    """Price and first-order Greeks of one block at a spot, given as 1 / S and ln S, too."""
    block = at(address, CHAIN)
    for lane in range(LANES):
        kind, strike = float(block.side[lane]), float(block.strike_now[lane])
        yield_, cash = float(block.yield_[lane]), float(block.cash[lane])
        deviation, per_deviation = float(block.deviation[lane]), float(block.per_deviation[lane])
        asset, per_asset = spot * yield_, per_spot * float(block.growth[lane])
        per_cash = float(block.per_cash[lane])
        x = (log_spot - float(block.log_strike[lane])) + (log_rest + float(block.drift[lane]))
        shape = shaped(x, deviation, per_deviation, asset, cash, per_asset, per_cash)
        other = 0.0 if kind == shape.otm_kind else kind
        asset_chance = shape.asset_chance if other == 0.0 else shape.asset_rest
        cash_chance = shape.cash_chance if other == 0.0 else shape.cash_rest
        carried = float(block.carry[lane])
        forward = discounted_forward(spot - strike, yield_, carried, asset, cash)
        block.price[lane] = fma(other, forward, shape.otm_price)
        block.delta[lane] = kind * yield_ * asset_chance
        block.gamma[lane] = unbounded(yield_ * shape.asset_density * per_deviation * per_spot)
        block.vega[lane] = shape.density * block.root[lane]
        earned = fma(spot, block.earned[lane], -block.paid[lane])
        earned += fma(spot, block.earned_rest[lane], -block.paid_rest[lane])
        income = block.earning[lane] * asset * shape.asset_chance
        income -= block.paying[lane] * cash * shape.cash_chance
        decay = fma(shape.otm_kind, income, -shape.density * block.pace[lane])
        block.theta[lane] = unbounded(fma(other, earned, decay))
        block.rho[lane] = kind * block.years_paid[lane] * cash_chance


assert Refused.SPOT == 2, "reprice_all tells another reason than it means"
