"""Prices and Greeks of European options: Black and Scholes 1973, Merton 1973, Black 1976.

A call is worth S e^(-qT) N(d1) - K e^(-rT) N(d2), a put K e^(-rT) N(-d2) - S e^(-qT) N(-d1), with
d1, d2 = ln(F / K) / s +- s / 2, F = S e^((r-q)T) and s = volatility x sqrt(T). Black-76 is the case
q = r with the futures price for S (its rho, at a constant futures price, is -T x price).

Units: T in years; rates and volatility per year, as fractions (0.2 is 20 %); rates are
continuously compounded. Every Greek is the plain derivative:
- delta dV/dS, gamma d2V/dS2, vega dV/dvolatility (per 1.00, not per 1 %), rho dV/dr (per 1.00),
  dividend_rho dV/dq, vanna d2V/dS dvolatility, volga d2V/dvolatility2;
- theta -dV/dT and charm -d2V/dS dT, a year: what a year of waiting would add at today's pace.

How the digits are kept. The textbook's difference of two products loses them all where an option
is short, quiet or far out of the money. Both products of the out-of-the-money option have the
density in common: S e^(-qT) phi(d1) = K e^(-rT) phi(d2) = g, so that option is worth
g (M(near) - M(far)) with Mills' ratio M, near, far = |ln(F / K)| / s -+ s / 2, and the divided
difference of M has no cancellation (`normal.mills_pair`). Where near < -1/4 the textbook's
difference is harmless and is used. The in-the-money option adds S e^(-qT) - K e^(-rT), as
(S - K) e^(-qT) + K e^(-rT) (e^((r-q)T) - 1). ln(S / K) does not round the quotient.

Corners are right limits, without a branch: s = 0 (T or volatility 0), S = 0 and K = 0 give the
intrinsic value of the forward, discounted, with delta 0 or +-e^(-qT), and no gamma, vega, vanna,
volga. At the kink itself, F = K and s = 0, d1 = d2 = 0: delta is half of e^(-qT), gamma infinite,
theta infinite where T = 0 and volatility > 0; charm likewise where r is not q.

Refused inputs give NaN in every measure and a flag that names all reasons, as bits: never a 0.
"""

import math
from enum import IntEnum
from typing import NamedTuple

from ringbuf.arithmetic import fma
from ringbuf.jit import formula, kernel
from workers.kernels.normal import (
    LOWEST,
    ROOT_2PI,
    exp,
    exp_pair,
    log_ratio,
    mills_pair,
    pdf,
)

CALL, PUT = 1.0, -1.0
LEAST, MOST = 1e-30, 1e30  # of a spot or strike that is not 0
MOST_EXPONENT = 100.0  # of |rate| x T: e^100 is enough for anybody's bond
MOST_YEARS, MOST_VOLATILITY = 1e4, 1e4
TINY = 1e-290  # divided by in place of 0
FAR = 1e8  # standard deviations: further out nothing changes
OUTSIDE = 1e300  # |ln(S / K)| where one of them is 0
INFINITE = 1e250  # a Greek beyond it is one that was divided by TINY


class Refused(IntEnum):
    """Why an option has no value: bits of a flag."""

    KIND = 1  # neither CALL nor PUT
    SPOT = 2  # negative, infinite, NaN, or not 0 and beyond LEAST to MOST; so the strike
    STRIKE = 4
    RATE = 8  # infinite, NaN, or |rate| T beyond MOST_EXPONENT; so the dividend yield
    DIVIDEND = 16
    EXPIRY = 32  # negative, NaN or beyond MOST_YEARS
    VOLATILITY = 64  # negative, NaN or beyond MOST_VOLATILITY


class Measures(NamedTuple):
    """What is known of one option; all NaN where the flag is not 0."""

    flag: int
    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float
    dividend_rho: float
    vanna: float
    volga: float
    charm: float


class Shape(NamedTuple):
    """One option without its kind: what call and put have in common, and the cheaper of them."""

    otm_price: float
    otm_kind: float  # CALL or PUT: which of the two is out of the money
    asset_chance: float  # N(+-d1) of that one
    cash_chance: float  # N(+-d2)
    asset_rest: float  # 1 - N(+-d1), the other one's, with all of its digits
    cash_rest: float
    density: float  # g = S e^(-qT) phi(d1)
    asset_density: float  # phi(d1)


@kernel
def measure(kind, spot, strike, rate, dividend, expiry, volatility):
    """Measures of one option; kind is CALL or PUT, all are float64."""
    return measures(kind, spot, strike, rate, dividend, expiry, volatility)


@formula
def measures(kind, spot, strike, rate, dividend, expiry, volatility):
    """The same, inside a loop."""
    flag = refusals(kind, spot, strike, rate, dividend, expiry, volatility)
    spot, strike = (1.0, 1.0) if flag else (spot, strike)
    expiry, volatility = (0.0, 0.0) if flag else (expiry, volatility)
    root = math.sqrt(expiry)
    deviation = volatility * root
    per_deviation = 1.0 / (TINY if deviation < TINY else deviation)
    discount = exp(-rate * expiry)
    growth, carry = exp_pair((rate - dividend) * expiry)
    yield_ = discount * growth  # e^(-qT)
    asset, cash = spot * yield_, strike * discount
    product = asset * cash
    inverse = 1.0 / (TINY if product < TINY else product)
    x = moneyness(spot, strike) + (rate - dividend) * expiry
    shape = shaped(x, deviation, per_deviation, asset, cash, cash * inverse, asset * inverse)
    forward = discounted_forward(spot - strike, yield_, cash * carry, asset, cash)
    other = 0.0 if kind == shape.otm_kind else kind
    asset_chance = shape.asset_chance if other == 0.0 else shape.asset_rest
    cash_chance = shape.cash_chance if other == 0.0 else shape.cash_rest
    signed = clamped(x * per_deviation)
    first, second = signed + 0.5 * deviation, signed - 0.5 * deviation  # d1, d2
    slope = yield_ * shape.asset_density
    pace = volatility / (2.0 * (TINY if root < TINY else root))
    earned = forward_income(spot, strike, rate, dividend, discount, carry, growth)
    income = dividend * asset * shape.asset_chance - rate * cash * shape.cash_chance
    theta = fma(other, earned, fma(shape.otm_kind, income, -shape.density * pace))
    gamma = slope * per_deviation / (LEAST if spot < LEAST else spot)
    vega = shape.density * root
    ratio = fma(signed, per_deviation, -0.5) * root  # d2 / volatility, finite where that is 0
    years = TINY if expiry < TINY else expiry
    decay = slope * fma(rate - dividend, per_deviation, -0.5 * second / years)
    return Measures(
        flag,
        kept(fma(other, forward, shape.otm_price), flag),
        kept(kind * yield_ * asset_chance, flag),
        kept(unbounded(gamma), flag),
        kept(vega, flag),
        kept(unbounded(theta), flag),
        kept(kind * expiry * cash * cash_chance, flag),
        kept(-kind * expiry * asset * asset_chance, flag),
        kept(-slope * ratio, flag),
        kept(vega * first * ratio, flag),
        kept(unbounded(kind * dividend * yield_ * asset_chance - decay), flag),
    )


@formula
def refusals(kind, spot, strike, rate, dividend, expiry, volatility):
    """Every reason not to price, as bits of `Refused`; 0 where there is none. NaN is refused."""
    flag = 0 if (kind == CALL) | (kind == PUT) else 1
    flag |= 0 if (spot == 0.0) | ((spot >= LEAST) & (spot <= MOST)) else 2
    flag |= 0 if (strike == 0.0) | ((strike >= LEAST) & (strike <= MOST)) else 4
    flag |= 8 if (not abs(rate) <= MOST) | (abs(rate * expiry) > MOST_EXPONENT) else 0
    flag |= 16 if (not abs(dividend) <= MOST) | (abs(dividend * expiry) > MOST_EXPONENT) else 0
    flag |= 0 if (expiry >= 0.0) & (expiry <= MOST_YEARS) else 32
    flag |= 0 if (volatility >= 0.0) & (volatility <= MOST_VOLATILITY) else 64
    return flag


@formula
def moneyness(spot, strike):
    """ln(S / K); +-OUTSIDE where one is 0, and 0 where both are."""
    inside = log_ratio(spot if spot > 0.0 else 1.0, strike if strike > 0.0 else 1.0)
    outside = (OUTSIDE if spot > 0.0 else 0.0) - (OUTSIDE if strike > 0.0 else 0.0)
    return inside if (spot > 0.0) & (strike > 0.0) else outside


@formula
def clamped(deviations):
    """At most FAR deviations from the forward: infinity is no number to go on with."""
    deviations = -FAR if deviations < -FAR else deviations
    return FAR if deviations > FAR else deviations


@formula
def shaped(x, deviation, per_deviation, asset, cash, per_asset, per_cash):
    """The out-of-the-money option of ln(F / K) = x, s and 1 / s, S e^(-qT) and K e^(-rT), and 1 /
    those.

    Its leading part is the one with the greater probability, N(-near): of a call the asset.
    """
    is_call = x <= 0.0
    lead = asset if is_call else cash
    per_other = per_cash if is_call else per_asset
    distance = clamped(abs(x) * per_deviation)
    near, far = distance - 0.5 * deviation, distance + 0.5 * deviation
    reflected = near < LOWEST
    density = pdf(near)
    first, second, fall = mills_pair(-near if reflected else near, far)
    total = lead * density
    tail = density * first
    near_chance = 1.0 - tail if reflected else tail
    near_rest = tail if reflected else 1.0 - tail
    far_density = total * per_other
    price = lead * near_chance - total * second if reflected else total * (deviation * fall)
    far_chance = far_density * second
    return Shape(
        price,
        CALL if is_call else PUT,
        near_chance if is_call else far_chance,
        far_chance if is_call else near_chance,
        near_rest if is_call else 1.0 - far_chance,
        1.0 - far_chance if is_call else near_rest,
        total,
        density if is_call else far_density,
    )


@formula
def discounted_forward(gap, yield_, carried, asset, cash):
    """S e^(-qT) - K e^(-rT) of S - K and K e^(-rT) (e^((r-q)T) - 1): whichever way rounds less."""
    moved = gap * yield_
    better = abs(moved) + abs(carried) < asset + cash
    return fma(gap, yield_, carried) if better else asset - cash


@formula
def forward_income(spot, strike, rate, dividend, discount, carry, growth):
    """q S e^(-qT) - r K e^(-rT): what an option deep in the money has for its theta.

    Rounded products first would leave of it only what two nearly equal numbers differ by.
    """
    earned, product = dividend * spot, rate * strike
    lost = fma(rate, strike, -product)
    gap = fma(dividend, spot, -product) - lost
    better = abs(gap) + abs(earned * carry) < abs(earned * growth) + abs(product)
    return discount * (fma(earned, carry, gap) if better else fma(earned, growth, -product))


@formula
def kept(value, flag):
    """The value, or NaN where the option was refused."""
    return math.nan if flag else value


@formula
def unbounded(value):
    """A Greek, infinite where it was divided by TINY in place of 0."""
    value = math.inf if value > INFINITE else value
    return -math.inf if value < -INFINITE else value


assert math.isclose(ROOT_2PI, 1 / math.sqrt(2 * math.pi)), "the density's constant is off"
assert list(Refused) == [1, 2, 4, 8, 16, 32, 64], "the bits of refusals are out of order"
