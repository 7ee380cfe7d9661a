"""What positions make under many shocks: every option priced anew, no sensitivities.

    for each scenario:  profits[scenario, group] += units x (price then - price now)

Arrays, float64 unless said: spots, scales, shifts [scenarios, underlyings], of the shocked market:
price, what volatilities are multiplied by and what is added to them then; rates [scenarios], added
to every rate; years [scenarios] that have passed; fades [scenarios]: years to expiry from which
on a shift of volatility shrinks by sqrt(fade / T), 0 for never. owner, group int64 [positions]: the
underlying, and the column of profits. Volatility stays above or at 0, an expiry too.

A spot or volatility that cannot be gives a profit of NaN.
"""

import math

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.option_chains import LANES, OPTIONS, OPTIONS_SIZE, price_block


@kernel
def add_options(
    options, work, count, owner, group, units, spots, scales, shifts, rates, years, fades, profits
):
    """Add the profits of `count` options: OPTIONS x blocks as they are now, with their prices.

    `work` is the address of one more block.
    """
    for scenario in range(spots.shape[0]):
        for first in range(0, count, LANES):
            now = options + first // LANES * OPTIONS_SIZE
            lanes = min(LANES, count - first)
            for lane in range(lanes):
                held = owner[first + lane]
                shock_lane(
                    now,
                    work,
                    lane,
                    spots[scenario, held],
                    scales[scenario, held],
                    shifts[scenario, held],
                    rates[scenario],
                    years[scenario],
                    fades[scenario],
                )
            price_block(work)
            gather(now, work, first, lanes, group, units, scenario, profits)


@kernel
def shock_lane(now, work, lane, spot, scale, shift, rate, passed, fade):
    """Put one option into the work block, as the shocked market has it."""
    source, target = at(now, OPTIONS), at(work, OPTIONS)
    expiry = float(source.expiry[lane])
    if 0.0 < fade < expiry:
        shift *= math.sqrt(fade / expiry)
    volatility = source.volatility[lane] * scale + shift
    left = expiry - passed
    target.kind[lane] = source.kind[lane]
    target.spot[lane] = spot
    target.strike[lane] = source.strike[lane]
    target.rate[lane] = source.rate[lane] + rate
    target.dividend[lane] = source.dividend[lane]
    target.expiry[lane] = 0.0 if left < 0.0 else left
    target.volatility[lane] = 0.0 if volatility < 0.0 else volatility


@kernel
def gather(now, work, first, lanes, group, units, scenario, profits):
    """Add what the options of one block have made."""
    before, after = at(now, OPTIONS), at(work, OPTIONS)
    for lane in range(lanes):
        made = after.price[lane] - before.price[lane]
        profits[scenario, group[first + lane]] += units[first + lane] * made


@kernel
def add_forwards(owner, group, units, carry, expiry, now, spots, rates, years, profits):
    """Add the profits of equities and futures: units x S e^(carry T), now [underlyings] their S.

    carry is rate - dividend; what has no expiry has T = 0.
    """
    for scenario in range(spots.shape[0]):
        for place in range(owner.shape[0]):
            held = owner[place]
            left = max(expiry[place] - years[scenario], 0.0)
            before = now[held] * math.exp(carry[place] * expiry[place])
            after = spots[scenario, held] * math.exp((carry[place] + rates[scenario]) * left)
            profits[scenario, group[place]] += units[place] * (after - before)
