"""One portfolio's profit in every scenario, with its exact value at risk and expected shortfall.

    address -> | DISTRIBUTION | RANK x kept: the tail, worst first | i8 x scenarios: the vector |

Everything is an integer. A profit is counted in exposure units (1/100 currency) x 2^-24: an
exposure times a return in fixed point (`RETURN_SCALE`), so adding and taking away leave no drift
and the vector equals a full recomputation bit for bit after any sequence of moves.

Conventions, for n scenarios, a level c in thousandths and profits x(1) <= x(2) <= ... <= x(n):
- value at risk = -x(k), k = ceil(n (1000 - c) / 1000): the k-th worst, no interpolation. That is
  R's quantile type 1, numpy's inverted_cdf, QuantLib's and riskfolio-lib's value at risk, save
  that k is exact: where n (1 - c) is whole, those who compute 1 - 0.99 in floating point get a
  little more than 0.01 and print the next loss, x(k + 1). Of 500 days ours is the 5th worst.
- expected shortfall = -(x(1) + ... + x(m) + f x(m+1)) / (m + f), m + f = n (1000 - c) / 1000
  with m whole and 0 <= f < 1: the mean of the worst (1000 - c) thousandths of the probability
  with the atom at its edge split (Acerbi and Tasche 2002, Rockafellar and Uryasev 2002).
- a loss is positive; money units; one rounding of the exact fraction, halves to even.
- of equal profits the lower scenario number ranks as the worse.

The tracked tail: only the worst scenarios and a few in reserve are kept in order. A move adds to
the whole vector and counts what falls below a threshold near the tail's end. Where the tail holds
just as many below it, and enough, no other scenario can be among the worst: the tail is complete
and is put in order again. Otherwise it is gathered anew.
"""

import ctypes

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.records import MONEY_SCALE

VAR_LEVEL = 990  # thousandths: value at risk 99 %
ES_LEVEL = 975  # thousandths: expected shortfall 97.5 %
THOUSAND = 1000
RETURN_BITS = 24
RETURN_SCALE = 1 << RETURN_BITS  # a return of 1.0, that is 100 %, in fixed point
EXPOSURE_UNIT = 100  # money units in one unit of exposure: a cent
MONEY_FACTOR, MONEY_BITS = 25, 22  # EXPOSURE_UNIT / RETURN_SCALE in lowest terms: 25 / 2^22
MONEY_MASK = (1 << MONEY_BITS) - 1
PROFIT_LIMIT = 1 << 61  # no profit may reach it: the difference of two still fits
MAX_SCENARIOS = 65_536
TAIL_LIMIT = 1 << 22  # scenarios x thousandths in the tail: keeps the sums of `shortfall_of` whole
RESERVE = 16  # scenarios tracked beyond those that the measures need
WATCHED, FULL = 8, 12  # of the reserve: below the next threshold, and at least after a rebuild
ABOVE_ALL = (1 << 63) - 1
GAPS = (301, 132, 57, 23, 10, 4, 1)  # Ciura's gaps for Shell's sort

DISTRIBUTION = record(
    [
        ("scenarios", "i8"),
        ("vector", "i8"),  # bytes from here to the vector
        ("kept", "i8"),  # room in the tail
        ("full", "i8"),  # tracked at least, where no ties forbid it, after a rebuild
        ("watched", "i8"),  # the rank whose profit becomes the next threshold
        ("needed", "i8"),  # ranks that the measures read
        ("var_rank", "i8"),  # k
        ("tail_weight", "i8"),  # n (1000 - c): the tail's size in thousandths of a scenario
        ("tracked", "i8"),  # how many the tail holds now
        ("threshold", "i8"),
        ("value_at_risk", "i8"),  # money units, a loss is positive
        ("shortfall", "i8"),
        ("worst", "i8"),  # the scenario of the lowest profit
        ("rebuilds", "i8"),
        ("moves", "i8"),
        ("spare", "i8"),
    ]
)
RANK = record([("profit", "i8"), ("scenario", "i8")])
# Views over what lies at an address; only the first `scenarios` entries are there.
VECTOR = record([("profit", "i8", (MAX_SCENARIOS,))])
RETURNS = record([("change", "i4", (MAX_SCENARIOS,))])

RANKS, RANK_SIZE = DISTRIBUTION.itemsize, RANK.itemsize

assert EXPOSURE_UNIT << MONEY_BITS == MONEY_FACTOR * RETURN_SCALE, (
    "the factor is not in lowest terms"
)
assert MONEY_SCALE == THOUSAND * 10, "a unit of exposure is no cent"
assert 0 < WATCHED < FULL < RESERVE, "the reserve is out of order"


def needed(scenarios: int, var_level: int = VAR_LEVEL, es_level: int = ES_LEVEL) -> int:
    """How many of the worst scenarios the two measures read."""
    return max(-(-scenarios * (THOUSAND - level) // THOUSAND) for level in (var_level, es_level))


def bytes_needed(scenarios: int, var_level: int = VAR_LEVEL, es_level: int = ES_LEVEL) -> int:
    """The size of one distribution, whole cache lines."""
    kept = min(scenarios, needed(scenarios, var_level, es_level) + RESERVE)
    return whole_lines(RANKS + kept * RANK_SIZE) + whole_lines(8 * scenarios)


def whole_lines(size: int) -> int:
    """A size rounded up to cache lines."""
    return -(-size // LINE) * LINE


def create(
    address: int, scenarios: int, var_level: int = VAR_LEVEL, es_level: int = ES_LEVEL
) -> None:
    """Lay out a distribution with no profit anywhere; levels in thousandths below 1000."""
    assert 0 < scenarios <= MAX_SCENARIOS, scenarios
    assert 0 < min(var_level, es_level) <= max(var_level, es_level) < THOUSAND
    assert scenarios * (THOUSAND - es_level) <= TAIL_LIMIT, "the tail is too long to be summed"
    ctypes.memset(address, 0, bytes_needed(scenarios, var_level, es_level))
    header = at(address, DISTRIBUTION)
    header.scenarios = scenarios
    header.needed = needed(scenarios, var_level, es_level)
    header.kept = min(scenarios, header.needed + RESERVE)
    header.full = min(scenarios, header.needed + FULL)
    header.watched = header.needed + WATCHED
    header.vector = whole_lines(RANKS + int(header.kept) * RANK_SIZE)
    header.var_rank = -(-scenarios * (THOUSAND - var_level) // THOUSAND)
    header.tail_weight = scenarios * (THOUSAND - es_level)
    rebuild(address)
    header.rebuilds = 0
    watch(address)


def profits(address: int) -> np.ndarray:
    """A copy of the vector: int64 [scenarios], exposure units x 2^-24."""
    header = at(address, DISTRIBUTION)
    return at(vector_of(address), VECTOR).profit[: int(header.scenarios)].copy()


@kernel
def move(distribution, returns, delta):
    """An exposure grew by `delta` units: move every profit by delta x return, measure again.

    The caller sees to it that no |profit| reaches PROFIT_LIMIT.
    """
    header = at(distribution, DISTRIBUTION)
    vector = vector_of(distribution)
    follow(distribution, shift(vector, returns, header.scenarios, delta, header.threshold))


@kernel
def move_by(distribution, changes):
    """Every profit moves by a change of its own, i8 [scenarios] at an address; measure again."""
    header = at(distribution, DISTRIBUTION)
    vector = vector_of(distribution)
    follow(distribution, shift_by(vector, changes, header.scenarios, header.threshold))


@kernel
def follow(distribution, below):
    """Have tail and measures be those of a vector that moved, with so many below the threshold."""
    header = at(distribution, DISTRIBUTION)
    if below < header.needed or refresh(distribution) != below:
        rebuild(distribution)
        header.rebuilds += 1
    else:
        sort(distribution + RANKS, header.tracked, 1)
    header.moves += 1
    watch(distribution)
    measure(distribution)


@kernel
def shift(vector, returns, scenarios, delta, threshold):
    """Add delta x return to every profit; return how many are below the threshold then."""
    profit = at(vector, VECTOR).profit
    change = at(returns, RETURNS).change
    below = 0
    for scenario in range(scenarios):
        moved = profit[scenario] + delta * int(change[scenario])
        profit[scenario] = moved
        below += moved < threshold
    return below


@kernel
def shift_by(vector, changes, scenarios, threshold):
    """Add its change to every profit; return how many are below the threshold then."""
    profit, change = at(vector, VECTOR).profit, at(changes, VECTOR).profit
    below = 0
    for scenario in range(scenarios):
        moved = profit[scenario] + change[scenario]
        profit[scenario] = moved
        below += moved < threshold
    return below


@kernel
def refresh(distribution):
    """Copy the tail's profits from the vector; return how many are below the threshold."""
    header = at(distribution, DISTRIBUTION)
    profit = at(vector_of(distribution), VECTOR).profit
    threshold, below = header.threshold, 0
    for index in range(header.tracked):
        rank = at(rank_of(distribution, index), RANK)
        now = profit[rank.scenario]
        rank.profit = now
        below += now < threshold
    return below


@kernel
def rebuild(distribution):
    """Gather the tail from the whole vector and put it in order."""
    gather(distribution, split(distribution))
    tracked = at(distribution, DISTRIBUTION).tracked
    for gap in GAPS:
        sort(distribution + RANKS, tracked, gap)


@kernel
def split(distribution):
    """A profit with `full` to `kept` scenarios below it; where ties forbid that, the tied profit.

    Bisection by counting: at most 63 rounds whatever the profits are, and each round vectorises.
    """
    header = at(distribution, DISTRIBUTION)
    if header.kept == header.scenarios:
        return ABOVE_ALL
    vector, scenarios = vector_of(distribution), header.scenarios
    low, high = lowest(vector, scenarios), highest(vector, scenarios) + 1
    while high - low > 1:
        middle = low + (high - low) // 2
        below = count_below(vector, scenarios, middle)
        if below < header.full:
            low = middle
        elif below > header.kept:
            high = middle
        else:
            return middle
    return low


@kernel
def lowest(vector, scenarios):
    """The lowest profit."""
    profit = at(vector, VECTOR).profit
    found = profit[0]
    for scenario in range(scenarios):
        found = min(found, profit[scenario])
    return found


@kernel
def highest(vector, scenarios):
    """The highest profit."""
    profit = at(vector, VECTOR).profit
    found = profit[0]
    for scenario in range(scenarios):
        found = max(found, profit[scenario])
    return found


@kernel
def count_below(vector, scenarios, bound):
    """How many profits are below a bound."""
    profit = at(vector, VECTOR).profit
    below = 0
    for scenario in range(scenarios):
        below += profit[scenario] < bound
    return below


@kernel
def gather(distribution, bound):
    """Fill the tail with what is below the bound; where that is too little, with equals."""
    header = at(distribution, DISTRIBUTION)
    header.tracked = 0
    for scenario in range(header.scenarios):
        if at(vector_of(distribution), VECTOR).profit[scenario] < bound:
            track(distribution, scenario)
    if header.tracked >= header.full:
        return
    for scenario in range(header.scenarios):
        if header.tracked == header.kept:
            break
        if at(vector_of(distribution), VECTOR).profit[scenario] == bound:
            track(distribution, scenario)


@kernel
def track(distribution, scenario):
    """Append a scenario to the tail, which has room."""
    header = at(distribution, DISTRIBUTION)
    rank = at(rank_of(distribution, header.tracked), RANK)
    rank.profit = at(vector_of(distribution), VECTOR).profit[scenario]
    rank.scenario = scenario
    header.tracked += 1


@kernel
def sort(ranks, count, gap):
    """Insertion sort of every gap-th rank by profit, then scenario; fast where little moved."""
    for index in range(gap, count):
        rank = at(ranks + index * RANK_SIZE, RANK)
        profit, scenario = rank.profit, rank.scenario
        hole = index
        while hole >= gap and is_after(ranks + (hole - gap) * RANK_SIZE, profit, scenario):
            copy_rank(ranks + hole * RANK_SIZE, ranks + (hole - gap) * RANK_SIZE)
            hole -= gap
        if hole != index:
            rank = at(ranks + hole * RANK_SIZE, RANK)
            rank.profit, rank.scenario = profit, scenario


@kernel
def is_after(address, profit, scenario):
    """Whether the rank at an address belongs behind this profit of this scenario."""
    rank = at(address, RANK)
    return rank.profit > profit or (rank.profit == profit and rank.scenario > scenario)


@kernel
def copy_rank(target, source):
    """Overwrite one rank by another."""
    taken = at(source, RANK)
    place = at(target, RANK)
    place.profit, place.scenario = taken.profit, taken.scenario


@kernel
def watch(distribution):
    """Set the threshold of the next move amid the reserve; above all where all are tracked."""
    header = at(distribution, DISTRIBUTION)
    if header.kept == header.scenarios:
        header.threshold = ABOVE_ALL
    else:
        header.threshold = at(rank_of(distribution, header.watched), RANK).profit


@kernel
def measure(distribution):
    """Read value at risk, expected shortfall and the worst scenario off the ordered tail."""
    header = at(distribution, DISTRIBUTION)
    last = at(rank_of(distribution, header.var_rank - 1), RANK)
    header.value_at_risk = -money(last.profit >> MONEY_BITS, last.profit & MONEY_MASK, 1)
    header.shortfall = shortfall_of(distribution)
    header.worst = at(rank_of(distribution, 0), RANK).scenario


@kernel
def shortfall_of(distribution):
    """The tail's mean loss in money; profits are summed in two halves, for one would overflow."""
    weight = at(distribution, DISTRIBUTION).tail_weight
    whole = weight // THOUSAND
    high, low = 0, 0
    for index in range(whole):
        profit = at(rank_of(distribution, index), RANK).profit
        high += profit >> MONEY_BITS
        low += profit & MONEY_MASK
    high, low, part = high * THOUSAND, low * THOUSAND, weight - whole * THOUSAND
    if part > 0:
        profit = at(rank_of(distribution, whole), RANK).profit
        high += part * (profit >> MONEY_BITS)
        low += part * (profit & MONEY_MASK)
    return -money(high, low, weight)


@kernel
def vector_of(distribution):
    """Address of the profits."""
    return distribution + int(at(distribution, DISTRIBUTION).vector)


@kernel
def rank_of(distribution, index):
    """Address of a rank of the tail."""
    return distribution + RANKS + int(index) * RANK_SIZE


@kernel
def money(high, low, count):
    """(high x 2^22 + low) / count profit units in money units: nearest, halves to even."""
    high += low >> MONEY_BITS
    low &= MONEY_MASK
    whole = high // count
    rest = (((high - whole * count) << MONEY_BITS) + low) * MONEY_FACTOR
    divisor = count << MONEY_BITS
    quotient = rest // divisor
    return rounded(whole * MONEY_FACTOR + quotient, rest - quotient * divisor, divisor)


@kernel
def rounded(quotient, rest, divisor):
    """quotient + rest / divisor to the nearest integer, halves to even; 0 <= rest < divisor."""
    if 2 * rest > divisor or (2 * rest == divisor and quotient & 1):
        return quotient + 1
    return quotient


@kernel
def nearest(dividend, divisor):
    """dividend / divisor to the nearest integer, halves to even; the divisor is positive."""
    quotient = dividend // divisor
    return rounded(quotient, dividend - quotient * divisor, divisor)
