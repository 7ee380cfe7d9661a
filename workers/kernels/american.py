"""American options, by a binomial tree of Leisen and Reimer (1996) with Richardson's extrapolation.

The tree's strike lies in the middle of its last nodes (an odd number of steps), with probabilities
by Peizer and Pratt's second inversion of the normal distribution: European prices converge like
1 / n^2, American ones like 1 / n and smoothly, so two trees, of n and 2 n + 1 steps, tell most of
what is left. Against a spectral solution (Andersen, Lake and Offengenden 2016) prices with 401
steps are off by 1e-7 of the strike in the median of random options, 4e-5 at worst.

- Where holding on never costs anything, a call with q <= 0 <= r, a put with r <= 0 <= q, the price
  and all Greeks are the European ones, exactly.
- delta and gamma come of the first two levels of nodes, extrapolated as well; theta of Black and
  Scholes' equation, r V - (r - q) S delta - volatility^2 S^2 gamma / 2, while it is better to hold
  on, 0 where it is better to exercise; vega and rho of central differences of prices (volatility
  +- 1 % of itself, rates +- 0.0001).
- Without time it is the intrinsic value; without uncertainty, or more than some n deviations from
  the money, the best time to exercise is worked out with the spot on its forward curve.
- Inputs, units and refusals are those of `black_scholes`.
"""

import math
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels.black_scholes import measure, refusals
from workers.kernels.normal import exp, log

STEPS = 401  # of the smaller tree
MOST_STEPS = 2_047  # of the larger one
BUMP, RATE_BUMP = 0.01, 1e-4  # of the volatility, relative; of rates
SURE = 30.0  # (d1 or d2)^2 / steps from where on a probability is 0 or 1

TREE = record([("values", "f8", (MOST_STEPS + 1,)), ("powers", "f8", (MOST_STEPS + 1,))])


class American(NamedTuple):
    """What is known of one option; all NaN where the flag (`Refused`) is not 0."""

    flag: int
    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


class Node(NamedTuple):
    """A price with its first two derivatives by the spot."""

    price: float
    delta: float
    gamma: float


@kernel
def american(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps):
    """Price and Greeks of one option; `tree` is the address of a TREE, `steps` odd, to 1,023."""
    assert steps % 2 == 1, "the steps are even"
    assert 3 <= steps <= MOST_STEPS // 2, "too many steps, or too few"
    flag = refusals(kind, spot, strike, rate, dividend, expiry, volatility)
    if flag != 0:
        return American(flag, *blank())
    same = measure(kind, spot, strike, rate, dividend, expiry, volatility)
    if never_early(kind, rate, dividend):
        return American(0, same.price, same.delta, same.gamma, same.vega, same.theta, same.rho)
    found = extrapolated(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps)
    if found.price <= kind * (spot - strike):
        return American(0, kind * (spot - strike), kind, 0.0, 0.0, 0.0, 0.0)
    vega = vega_of(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps)
    rho = rho_of(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps)
    bend = 0.5 * volatility * volatility * spot * spot * found.gamma
    price = max(found.price, same.price)  # the right to exercise early is worth something
    theta = rate * price - (rate - dividend) * spot * found.delta - bend
    return American(0, price, found.delta, found.gamma, vega, theta, rho)


@kernel
def blank():
    """The measures of what is refused."""
    return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan


@kernel
def never_early(kind, rate, dividend):
    """Whether exercise before expiry can never pay: nothing is earned by having what one gets."""
    if kind > 0.0:
        return dividend <= 0.0 <= rate
    return rate <= 0.0 <= dividend


@kernel
def vega_of(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps):
    """By a central difference; one-sided where the volatility is 0."""
    width = BUMP * volatility if volatility > 0.0 else 0.0
    if width == 0.0:
        return 0.0
    up, down = volatility + width, volatility - width
    high = extrapolated(tree, kind, spot, strike, rate, dividend, expiry, up, steps)
    low = extrapolated(tree, kind, spot, strike, rate, dividend, expiry, down, steps)
    return (high.price - low.price) / (2.0 * width)


@kernel
def rho_of(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps):
    """By a central difference."""
    up, down = rate + RATE_BUMP, rate - RATE_BUMP
    high = extrapolated(tree, kind, spot, strike, up, dividend, expiry, volatility, steps)
    low = extrapolated(tree, kind, spot, strike, down, dividend, expiry, volatility, steps)
    return (high.price - low.price) / (2.0 * RATE_BUMP)


@kernel
def extrapolated(tree, kind, spot, strike, rate, dividend, expiry, volatility, steps):
    """What two trees say of one with no end of steps; never less than exercise brings."""
    deviation = volatility * math.sqrt(expiry)
    intrinsic = max(kind * (spot - strike), 0.0)
    if (
        spot == 0.0
        or strike == 0.0
        or is_sure(spot, strike, rate, dividend, expiry, deviation, steps)
    ):
        best, slope = foreseen(kind, spot, strike, rate, dividend, expiry)
        return Node(best, slope, 0.0)
    small = grown(tree, kind, spot, strike, rate, dividend, expiry, deviation, steps)
    more = 2 * steps + 1
    large = grown(tree, kind, spot, strike, rate, dividend, expiry, deviation, more)
    part = steps / (more - steps)
    price = large.price + (large.price - small.price) * part
    delta = large.delta + (large.delta - small.delta) * part
    gamma = large.gamma + (large.gamma - small.gamma) * part
    return Node(max(price, intrinsic), delta, gamma)


@kernel
def is_sure(spot, strike, rate, dividend, expiry, deviation, steps):
    """Whether all paths end on one side of the strike, as far as a float64 can tell."""
    if deviation == 0.0:
        return True
    distance = abs(log(spot / strike) + (rate - dividend) * expiry) / deviation + 0.5 * deviation
    return distance * distance > SURE * steps


@kernel
def foreseen(kind, spot, strike, rate, dividend, expiry):
    """(price, delta): the best that exercise at some time brings, the spot on its forward curve.

    f(t) = kind (S e^(-qt) - K e^(-rt)) has one place where it is level, where q S e^(-qt) = r K
    e^(-rt); it is best there, now, or at the end.
    """
    best, slope = 0.0, 0.0
    income, cost = dividend * spot, rate * strike
    level = 0.0
    if rate != dividend and income != 0.0 and cost / income > 0.0:
        level = min(max(log(cost / income) / (rate - dividend), 0.0), expiry)
    for time in (0.0, level, expiry):
        value = at_time(kind, spot, strike, rate, dividend, time)
        if value > best:
            best, slope = value, kind * exp(-dividend * time)
    return best, slope


@kernel
def at_time(kind, spot, strike, rate, dividend, time):
    """Exercise at a time, in today's money."""
    return kind * (spot * exp(-dividend * time) - strike * exp(-rate * time))


@kernel
def grown(tree, kind, spot, strike, rate, dividend, expiry, deviation, steps):
    """A tree of so many steps, from its last nodes back to its first."""
    nodes = at(tree, TREE)
    step = expiry / steps
    carried = (log(spot / strike) + (rate - dividend) * expiry) / deviation
    growth = exp((rate - dividend) * step)
    chance = chance_of(carried - 0.5 * deviation, steps)
    share = chance_of(carried + 0.5 * deviation, steps)
    up, down = growth * share / chance, growth * (1.0 - share) / (1.0 - chance)
    discount = exp(-rate * step)
    rise, fall = discount * chance, discount * (1.0 - chance)
    power, ratio = 1.0, up / down
    lowest = spot * down**steps
    for node in range(steps + 1):
        nodes.powers[node] = power
        nodes.values[node] = max(kind * (lowest * power - strike), 0.0)
        power *= ratio
    for level in range(steps - 1, 1, -1):
        fold(tree, level, spot * down**level, kind, strike, rise, fall)
    low, middle, high = nodes.values[0], nodes.values[1], nodes.values[2]
    below, above = spot * down * (up - down), spot * up * (up - down)
    first, second = (middle - low) / below, (high - middle) / above
    gamma = (second - first) / (0.5 * spot * (up * up - down * down))
    fold(tree, 1, spot * down, kind, strike, rise, fall)
    delta = (nodes.values[1] - nodes.values[0]) / (spot * (up - down))
    fold(tree, 0, spot, kind, strike, rise, fall)
    return Node(nodes.values[0], delta, gamma)


@kernel
def fold(tree, level, lowest, kind, strike, rise, fall):
    """One level of nodes from the next one: hold on, or exercise where that is better."""
    nodes = at(tree, TREE)
    for node in range(level + 1):
        held = rise * nodes.values[node + 1] + fall * nodes.values[node]
        exercised = kind * (lowest * nodes.powers[node] - strike)
        nodes.values[node] = max(held, exercised)


@kernel
def chance_of(deviations, steps):
    """Peizer and Pratt's inversion, method 2: p of a binomial sum of so many steps, an odd number,
    that exceeds its half with the normal distribution's probability."""
    scaled = deviations / (steps + 1.0 / 3.0 + 0.1 / (steps + 1.0))
    root = math.sqrt(1.0 - exp(-scaled * scaled * (steps + 1.0 / 6.0)))
    return 0.5 + 0.5 * math.copysign(root, deviations)
