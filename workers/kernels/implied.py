"""The volatility that a price implies, or why there is none.

A price is first brought to the out-of-the-money option of the same strike: there it is all time
value. Of P, its price, or of C = L - P where P is above half of its bound L, this is solved for
the deviation s = volatility x sqrt(T):

    H(ln s) = ln(-ln(V / L)) = the same of the price,   V = P or C.

Far from the money ln P falls like -1 / s^2, near its bound ln C like -s^2, so H is close to a
straight line in ln s however small the price, and Halley's method (third order) needs a handful of
steps. The root is bracketed all the while: a step that leaves the bracket is replaced by its
geometric middle, so there is an end, and it is the root. P and C keep their relative accuracy to
where they underflow (`black_scholes.shaped`), so the answer is as good as the price allows: a
price with a relative error of e gives a volatility with one of e x price / (volatility x vega),
and of an option in the money only what is above its intrinsic value tells anything.
"""

import math
from enum import IntEnum
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.black_scholes import discounted_forward, moneyness, refusals, shaped
from workers.kernels.normal import exp, exp_pair, log, log_ratio
from workers.kernels.option_chains import LANES, OPTIONS, OPTIONS_SIZE

LOWEST, HIGHEST = 1e-290, 100.0  # of s: below there is no price, above no price but the bound
STEPS = 200  # the bracket's middle alone would need 70 or so
CLOSE = 4e-16  # a relative step of s so small changes nothing
NEARLY = 1e-10  # from here on a step that is not half of the last one is rounding
MARGIN = 2.0**-50  # of S and K: how far below its intrinsic value rounding may put a price
SMALLEST_RATIO = 1e-290  # two numbers' logarithms are taken apart where one is smaller


class Found(IntEnum):
    """What came of it; the volatility is NaN unless it is SOLVED or has NO_TIME_VALUE."""

    SOLVED = 0
    REFUSED = 1  # an input is no number, or none that an option can have
    BELOW_INTRINSIC = 2  # worth less than at no volatility: arbitrage
    ABOVE_BOUND = 3  # at least what it would be worth at infinite volatility
    NO_TIME = 4  # expiry is 0: every volatility gives the intrinsic value
    NO_TIME_VALUE = 5  # just the intrinsic value: volatility 0, or one too small to be seen
    NO_UNCERTAINTY = 6  # spot or strike is 0: every volatility gives the same price
    NOT_SOLVED = 7  # no convergence: would be a defect of this module


class Implied(NamedTuple):
    """A volatility a year, and a code of `Found`."""

    code: int
    volatility: float


@kernel
def implied(kind, price, spot, strike, rate, dividend, expiry):
    """The volatility at which an option has this price; inputs as in `black_scholes`."""
    code = reason(kind, price, spot, strike, rate, dividend, expiry)
    if code != 0:
        return Implied(code, math.nan)
    discount = exp(-rate * expiry)
    factor, carry = exp_pair((rate - dividend) * expiry)
    growth = discount * factor
    asset, cash = spot * growth, strike * discount
    x = moneyness(spot, strike) + (rate - dividend) * expiry
    time_value = price
    if kind * x > 0.0:
        forward = discounted_forward(spot - strike, growth, cash * carry, asset, cash)
        time_value = price - kind * forward
    code, deviation = solved(x, asset, cash, time_value, kind * x > 0.0)
    return Implied(code, deviation / math.sqrt(expiry))


@kernel
def implied_all(options, blocks):
    """Of OPTIONS x blocks: from `price` to `volatility`, with the codes in `flag`."""
    for block in range(blocks):
        row = at(options + block * OPTIONS_SIZE, OPTIONS)
        for lane in range(LANES):
            found = implied(
                float(row.kind[lane]),
                float(row.price[lane]),
                float(row.spot[lane]),
                float(row.strike[lane]),
                float(row.rate[lane]),
                float(row.dividend[lane]),
                float(row.expiry[lane]),
            )
            row.flag[lane] = found.code
            row.volatility[lane] = found.volatility


@kernel
def reason(kind, price, spot, strike, rate, dividend, expiry):
    """Why there can be no answer, before the price is looked at in earnest; 0 where there may."""
    if refusals(kind, spot, strike, rate, dividend, expiry, 0.0) != 0:
        return 1
    if not abs(price) < math.inf:
        return 1
    if expiry == 0.0:
        return 4
    if spot == 0.0 or strike == 0.0:
        return 6
    return 0


@kernel
def solved(x, asset, cash, time_value, in_the_money):
    """(code, s) of an out-of-the-money option worth `time_value`; NaN where there is no s.

    What was taken off the price of an option in the money is rounded: a little less than nothing
    is nothing.
    """
    bound = asset if x <= 0.0 else cash
    margin = MARGIN * max(asset, cash) if in_the_money else 0.0
    if time_value < -margin:
        return 2, math.nan
    if time_value >= bound:
        return 3, math.nan
    if time_value <= 0.0:
        return 5, 0.0
    upper = time_value > 0.5 * bound
    target = bound - time_value if upper else time_value
    wanted = log_of(target, bound)
    return bracketed(x, asset, cash, upper, wanted, first_guess(x, upper, wanted))


@kernel
def log_of(part, whole):
    """ln(part / whole), also where the part is below what a float64 holds with all its digits."""
    if part < SMALLEST_RATIO:
        return log(part) - log(whole)
    return log_ratio(part, whole)


@kernel
def first_guess(x, upper, wanted):
    """An s to begin with, from what H comes to at its two ends."""
    reach = math.sqrt(-2.0 * wanted)
    if upper:
        return reach + math.sqrt(reach * reach + 2.0 * abs(x))
    return min(max(abs(x) / reach + exp(wanted) * 2.5, LOWEST), HIGHEST)


@kernel
def bracketed(x, asset, cash, upper, wanted, deviation):
    """(code, s) where ln(V / L) is `wanted`, from a first guess of s."""
    bound = asset if x <= 0.0 else cash
    goal = log(-wanted)
    low, high, last = LOWEST, HIGHEST, math.inf
    for _ in range(STEPS):
        value, slope, bend = looked_at(x, asset, cash, upper, bound, deviation)
        if (value > wanted) == upper:
            low = deviation
        else:
            high = deviation
        step = math.nan
        if -math.inf < value < 0.0 and slope != 0.0:
            off = log(-value) - goal
            first = slope / value
            second = (bend - slope * first) / value
            step = -2.0 * off * first / (2.0 * first * first - off * second)
            if abs(step) <= CLOSE or (abs(step) < NEARLY and abs(step) > 0.5 * last):
                return 0, deviation + deviation * step
            last = abs(step)
        moved = deviation * exp(step)
        inside = low < moved < high
        deviation = moved if inside else math.sqrt(low) * math.sqrt(high)
        if not inside:
            last = math.inf
            if high <= low * (1.0 + CLOSE):
                return (5, 0.0) if high <= LOWEST * 2.0 else (0, deviation)
    return 7, math.nan


@kernel
def looked_at(x, asset, cash, upper, bound, deviation):
    """ln(V / L) at s, and its first and second derivative by ln s."""
    shape = shaped(x, deviation, 1.0 / deviation, asset, cash, 1.0 / asset, 1.0 / cash)
    is_call = x <= 0.0
    rest = shape.asset_rest if is_call else shape.cash_rest
    far = cash * shape.cash_chance if is_call else asset * shape.asset_chance
    part = bound * rest + far if upper else shape.otm_price
    if part <= 0.0:
        return -math.inf, 0.0, 0.0
    slope = deviation * (shape.density / part)
    if upper:
        slope = -slope
    ratio = abs(x) / deviation
    product = (ratio - 0.5 * deviation) * (ratio + 0.5 * deviation)  # d1 x d2
    return log_of(part, bound), slope, slope * (1.0 + product - slope)
