"""Exponential, logarithm and the normal distribution, without a branch: loops of them vectorise.

Each is a polynomial with explicit fused multiply-adds, so LLVM makes packed instructions of a loop
that calls them, and a number comes out with the same bits there, alone and as plain Python.

The lower tail of the normal distribution is N(-y) = phi(y) M(y), where phi is the density and M is
Mills' ratio. M falls like 1/y, so (y + SHIFT) M(y) is a smooth function of
t = (y - CENTRE) / (y + SHIFT), which takes the whole of y >= LOWEST to -1 <= t < 1: one polynomial
for all of the tail, and a relative error that does not grow on the way out. The usual
(1 + erf(x / sqrt 2)) / 2 has no correct digit left at x = -8.3.

How the coefficients were fitted, with 60 digits: the function at Chebyshev's points, the
interpolating series, then powers, each rounded once to float64. Truncation, relative:
- MILLS: (y + 5.5) M(y), 24 coefficients in t: 7.7e-17; its slope, which prices need: 5e-16.
- EXP: (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, 10 coefficients in r: 1.3e-17 of e^r.
- LOG: (2 atanh(f) / f - 2) / f^2 on f^2 <= 0.0401, 8 coefficients in f^2: 5e-19 of the logarithm.
"""

import numpy as np

from ringbuf.arithmetic import bits_of, fma, from_bits
from ringbuf.jit import formula, kernel

LOG2_E = 1.4426950408889634
LN2, LN2_REST = 0.6931471805599453, 2.3190468138462996e-17
LN2_SHORT, LN2_SHORT_REST = 0.6931471803691238, 1.9082149292705877e-10  # 21 zero bits at its end
ROOT_2PI = 0.3989422804014327  # 1 / sqrt(2 pi)
EXPONENT_BITS = 52  # below a float64's exponent
HALF_EXPONENT = 1 << 51
SCALE = 2046  # 2^n is made of two powers, whose exponents are biased by 1023 each
ROUNDER = 1.5 * 2.0**52 + SCALE  # added to n: the sum's last bits are n + SCALE
SCALE_MASK = 0xFFF
EXP_LIMIT = 800.0  # beyond: 0 and infinity
SMALLEST_NORMAL = 2.0**-1022
LIFT, LIFT_BITS = 2.0**54, 54.0  # of what is smaller than that
HIGHEST_Y = 40.0  # the density is 0 from here on
CENTRE, SHIFT = 5.0, 5.5
SPAN = CENTRE + SHIFT
LOWEST = -0.25  # the least y of Mills' ratio: 0 with room on its other side

MILLS_EVEN = np.array(  # the coefficients of t^22, t^20 ... t^0
    [
        2.344514108856012e-09, -2.6956996314140125e-08, 1.6863061616153972e-07,
        -5.824592019356857e-07, -3.231387528934729e-06, 0.00010442858533222527,
        -0.0014333570483122397, 0.008339487531914882, 0.16532287856884276,
        0.7414738422198126, 1.626189422022794, 2.0244850995108155,
    ]
)  # fmt: skip
MILLS_ODD = np.array(  # of t^23, t^21 ... t^1
    [
        2.003038002831733e-09, -2.3407467175185087e-08, 1.725365023409532e-07,
        -1.1730369953151474e-06, 8.207952898331958e-06, -5.529661105234953e-05,
        0.00025063133847695037, 0.0016482375650555142, -0.051474425574556636,
        -0.3898963437664795, -1.1849109443906538, -1.9400471761713691,
    ]
)  # fmt: skip
EXP = np.array(  # highest power first
    [
        2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06,
        2.4801521295954376e-05, 0.00019841269863053618, 0.0013888888917213717,
        0.008333333333330062, 0.04166666666662413, 0.16666666666666669, 0.5000000000000001,
    ]
)  # fmt: skip
LOG = np.array(
    [
        0.13609030262858499, 0.13209708242059462, 0.15388867805613718, 0.18181737626302938,
        0.2222222304835159, 0.28571428567275936, 0.4000000000000794, 0.6666666666666666,
    ]
)  # fmt: skip
TERMS = len(MILLS_EVEN)

assert len(MILLS_ODD) == TERMS, "the two halves of Mills' polynomial differ in length"
assert LOWEST - CENTRE == -(LOWEST + SHIFT), "the lowest y is not at t = -1"


@formula
def exp(power):
    """e^power, to 1 ulp; 0 below -745.2 and infinite above 709.8; NaN of NaN."""
    rest, low, high = reduced(power)
    return fma(rest, low, low) * high


@formula
def exp_pair(power):
    """(e^power, e^power - 1), the latter to 1.5 ulp near 0 too; power between -700 and 700."""
    rest, low, high = reduced(power)
    scale = low * high
    return fma(rest, scale, scale), fma(rest, scale, scale - 1.0)


@formula
def reduced(power):
    """(e^r - 1, a, b) with e^power = e^r x a x b, |r| <= ln(2) / 2, a and b powers of two.

    Two powers, for 2^-1074 to 2^1024 takes more than one float64 can hold.
    """
    power = -EXP_LIMIT if power < -EXP_LIMIT else power
    power = EXP_LIMIT if power > EXP_LIMIT else power
    rounded = fma(power, LOG2_E, ROUNDER)
    whole = rounded - ROUNDER
    rest = fma(whole, -LN2_REST, fma(whole, -LN2, power))
    sum_ = 0.0
    for index in range(len(EXP)):
        sum_ = fma(sum_, rest, EXP[index])
    scale = bits_of(rounded) & SCALE_MASK
    half = scale >> 1
    low, high = from_bits(half << EXPONENT_BITS), from_bits((scale - half) << EXPONENT_BITS)
    return fma(rest * rest, sum_, rest), low, high


@formula
def log_ratio(dividend, divisor):
    """ln(dividend / divisor) to 2 ulp, also where the two are nearly equal.

    Both from 1e-150 to 1e150. With dividend / 2^k within sqrt(2) or so of the divisor, the
    logarithm is k ln 2 + 2 atanh(f), f = (dividend / 2^k - divisor) / (dividend / 2^k + divisor):
    a difference of near numbers is exact, a quotient first would have been rounded.
    """
    bits = bits_of(dividend)
    exponent = (bits - bits_of(divisor) + HALF_EXPONENT) >> EXPONENT_BITS
    scaled = from_bits(bits - (exponent << EXPONENT_BITS))
    fraction = (scaled - divisor) / (scaled + divisor)
    square = fraction * fraction
    sum_ = 0.0
    for index in range(len(LOG)):
        sum_ = fma(sum_, square, LOG[index])
    twos = float(exponent)
    small = fma(fraction * square, sum_, twos * LN2_SHORT_REST)
    return fma(twos, LN2_SHORT, fma(2.0, fraction, small))


@formula
def log_parts(value):
    """ln(value) as a sum of two float64, to 4e-18; value from 1e-150 to 1e150.

    The difference of two such logarithms is as good as the logarithm of the quotient.
    """
    bits = bits_of(value)
    exponent = (bits - bits_of(1.0) + HALF_EXPONENT) >> EXPONENT_BITS
    scaled = from_bits(bits - (exponent << EXPONENT_BITS))
    above, below = scaled - 1.0, scaled + 1.0
    fraction = above / below
    left_over = fma(-fraction, below, above) - fraction * (scaled - (below - 1.0))
    square = fraction * fraction
    sum_ = 0.0
    for index in range(len(LOG)):
        sum_ = fma(sum_, square, LOG[index])
    twos, double = float(exponent), 2.0 * fraction
    whole = fma(twos, LN2_SHORT, double)
    lost = double - fma(-twos, LN2_SHORT, whole)  # exact: the sum's greater part comes first
    rest = fma(fraction * square, sum_, fma(twos, LN2_SHORT_REST, 2.0 * left_over / below))
    return whole, rest + lost


@formula
def log(value):
    """The natural logarithm, to 2 ulp; -infinity of 0, NaN of NaN and what is negative."""
    lifted = value < SMALLEST_NORMAL
    usable = (value > 0.0) & (value < np.inf)
    whole = (value * LIFT if lifted else value) if usable else 1.0
    found = log_ratio(whole, 1.0) - (LIFT_BITS * LN2 if lifted else 0.0)
    outside = value if value > 0.0 else (-np.inf if value == 0.0 else np.nan)
    return found if usable else outside


@formula
def pdf(value):
    """The normal density, to 3 ulp down to where it underflows; NaN of NaN.

    What the square's rounding loses, up to 1e-13 of the density at 37, is put back.
    """
    value = -HIGHEST_Y if value < -HIGHEST_Y else value
    value = HIGHEST_Y if value > HIGHEST_Y else value
    square = value * value
    lost = fma(value, value, -square)
    rest, low, high = reduced(-0.5 * square)
    scaled = fma(rest, low, low) * ROOT_2PI
    return fma(scaled, -0.5 * lost, scaled) * high


@formula
def mills(y):
    """Mills' ratio N(-y) / phi(y) of y >= LOWEST, to 4 ulp."""
    inverse = 1.0 / (y + SHIFT)
    t = fma(-SPAN, inverse, 1.0)
    square = t * t
    even, odd = 0.0, 0.0
    for index in range(TERMS):
        even = fma(even, square, MILLS_EVEN[index])
        odd = fma(odd, square, MILLS_ODD[index])
    return fma(t, odd, even) * inverse


@formula
def mills_pair(near, far):
    """(M(near), M(far), (M(near) - M(far)) / (far - near)); LOWEST <= near <= far.

    The last has its full relative accuracy however close the two are, so a price can be made of
    it: of a polynomial P, the divided difference (P(t) - P(u)) / (t - u) comes out of Horner's
    scheme beside P(t), with no difference taken, for what P(u) would have cost.
    """
    left, right = near + SHIFT, far + SHIFT
    both = 1.0 / (left * right)
    t, u = fma(-SPAN, right * both, 1.0), fma(-SPAN, left * both, 1.0)
    square, other = t * t, u * u
    even, odd, even_slope, odd_slope = 0.0, 0.0, 0.0, 0.0
    for index in range(TERMS):
        even_slope = fma(even_slope, other, even)
        odd_slope = fma(odd_slope, other, odd)
        even = fma(even, square, MILLS_EVEN[index])
        odd = fma(odd, square, MILLS_ODD[index])
    value = fma(t, odd, even)
    slope = fma(t + u, fma(u, odd_slope, even_slope), odd)
    other_value = fma(SPAN * (far - near) * both, slope, value)
    fall = both * fma(-SPAN * (left * both), slope, value)
    return value * (right * both), other_value * (left * both), fall


@formula
def cdf(value):
    """The normal distribution function; its relative error is below 1e-15 in the lower tail too."""
    y = abs(value)
    tail = pdf(y) * mills(y)
    return 1.0 - tail if value > 0.0 else tail


@kernel
def cdfs(values, found):
    """The distribution function of every value: float64 [n] to float64 [n]."""
    for index in range(values.size):
        found[index] = cdf(values[index])
