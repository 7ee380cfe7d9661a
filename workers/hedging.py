"""Which hedges to trade, in whole lots: delta, gamma and vega neutral, at the least cost.

What is to be hedged and what each lot of a hedge has are vectors of exposures: delta, gamma and
vega on each underlying. With lots x (whole, below 0 for sold) what is left is target + lots x
hedges, so a hedge has the opposite sign of what it hedges. Two integer programs (HiGHS, Huangfu
and Hall 2018) find x:

1. the least excess of |what is left|, in money: delta at a move of the price by 1 %, gamma at the
   same move, vega at one point. Excess is what is beyond half of what the finest lot has, for less
   could be had only by large trades against each other; or beyond the `within` asked for, where
   there must be none;
2. among all x with no more excess than that, the least cost, and of equal costs the fewest lots.

No Greek that is hedged becomes larger than it was, but for half of the finest lot. Where no x keeps
what was asked for, the error says which limits stand in the way, one at a time.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack, identity

from workers.holdings import UNITS_MAX, Hedge, Holdings, described
from workers.ladders import PERCENT, POINT
from workers.quantiles import MeasureError
from workers.revaluation import Valued, greeks

AIMS = {
    "delta": ("delta",),
    "delta-gamma": ("delta", "gamma"),
    "delta-vega": ("delta", "vega"),
    "delta-gamma-vega": ("delta", "gamma", "vega"),
}
LOTS_MAX = 10**9
SECONDS_MAX = 5.0  # of one program
FAILED = 4  # scipy's status of a solver in trouble
DUST, DUST_BESIDE = 1e-12, 1e-9
GAP = 1e-6  # relative: nearer to the least than this a program need not come
FEWEST = 1e-6  # of the least cost: what one lot more counts, so that of equal costs the fewer win


class Exposure(NamedTuple):
    """One thing to be hedged."""

    greek: str
    underlying: str
    target: float  # of the holdings, in its own unit
    hedges: np.ndarray  # float64 [hedges]: of one lot of each
    scale: float  # money that one unit of it is worth
    within: float | None  # what may be left


class Tradable(NamedTuple):
    """What may be traded."""

    names: Sequence[str]
    costs: np.ndarray  # float64 [hedges]: money a lot
    low: np.ndarray  # float64 [hedges]: lots
    high: np.ndarray
    budget: float | None


class Advice(NamedTuple):
    """Lots to trade, and what they do."""

    lots: np.ndarray  # int64 [hedges]
    cost: float
    exposures: Sequence[Exposure]
    left: np.ndarray  # float64 [exposures]
    gap: float  # money: the excess may be so much above the least there is; 0: it is the least
    cost_gap: float  # and the cost above the least for this excess

    @property
    def before(self) -> np.ndarray:
        """The exposures without a hedge: float64 [exposures]."""
        return np.array([one.target for one in self.exposures])


class Solved(NamedTuple):
    """What a program found."""

    lots: np.ndarray  # int64 [hedges]
    gap: float  # in the unit of what was to be the least


class NoHedge(MeasureError):
    """There is no hedge that keeps all limits; which of them stand in the way."""


def lot_of(hedge: Hedge, holdings: Holdings) -> Valued:
    """One lot of a hedge at today's market."""
    return Valued(msgspec.structs.replace(holdings, positions=[hedge.instrument]))


def tradable(holdings: Holdings) -> Tradable:
    """The hedges of holdings."""
    hedges = holdings.hedges
    if not hedges:
        raise MeasureError("hedges: there are none; give [[hedges]], each with one lot")
    most = np.array([LOTS_MAX if one.most is None else one.most for one in hedges], np.float64)
    long_only = np.array([one.long_only for one in hedges])
    return Tradable(
        [described(one.instrument) for one in hedges],
        np.array([one.cost for one in hedges], np.float64),
        np.where(long_only, 0.0, -most),
        most,
        holdings.hedging.budget,
    )


def exposures(valued: Valued, aim: str) -> list[Exposure]:
    """What an aim wants hedged, on each underlying that has any position or hedge."""
    holdings = valued.holdings
    if aim not in AIMS:
        raise MeasureError(f"aim {aim!r}: is not known; use one of {', '.join(AIMS)}")
    mine = greeks(valued)
    owners = np.array([valued.number[one.underlying] for one in valued.positions])
    lots = [greeks(lot_of(hedge, holdings))[0] for hedge in holdings.hedges]
    hedge_owners = np.array([valued.number[one.instrument.underlying] for one in holdings.hedges])
    found = []
    for number, name in enumerate(valued.names):
        percent = float(valued.spots[number]) * PERCENT
        scales = {"delta": percent, "gamma": percent**2 / 2, "vega": POINT}
        for greek in AIMS[aim]:
            target = float(mine[greek][owners == number].sum())
            each = np.array([lot[greek] for lot in lots]) * (hedge_owners == number)
            if target or each.any():
                within = holdings.hedging.within.get(greek)  # type: ignore[call-overload]
                found.append(Exposure(greek, name, target, each, scales[greek], within))
    return found


def advise(valued: Valued, aim: str = "delta") -> Advice:
    """The hedge of holdings for an aim."""
    return hedged(exposures(valued, aim), tradable(valued.holdings))


def hedged(wanted: Sequence[Exposure], of: Tradable) -> Advice:
    """Lots that leave the least excess of all exposures, and among those the cheapest."""
    check(wanted, of)
    wanted = [without_dust(one) for one in wanted]
    first = solve(wanted, of, excess_weights(wanted, of), risk(wanted) / money_of(wanted))
    if first is None and is_kept(wanted):  # by less than the solver can tell
        first = Solved(np.zeros(len(of.names), np.int64), risk(wanted) / money_of(wanted))
    if first is None:
        raise NoHedge("no hedge keeps all limits: " + "; ".join(obstacles(wanted, of)))
    lots, cost = first.lots, float(of.costs @ abs(first.lots))
    weights = cost_weights(wanted, of)
    at_first = float(weights[: len(of.names)] @ abs(lots))
    second = solve(wanted, of, weights, at_first, excess(wanted, lots))
    cost_gap = cost
    if second is not None and float(of.costs @ abs(second.lots)) <= cost:
        lots, cost = second.lots, float(of.costs @ abs(second.lots))
        cost_gap = min(second.gap * cost_scale(of), cost)
    return Advice(
        lots, cost, wanted, remaining(wanted, lots), first.gap * money_of(wanted), cost_gap
    )


def check(wanted: Sequence[Exposure], of: Tradable) -> None:
    """Refuse exposures that are no numbers, and holdings with nothing to hedge."""
    if not wanted:
        raise MeasureError("nothing to hedge: the holdings have none of these Greeks")
    for one in wanted:
        values = np.array([one.target, one.scale, *one.hedges])
        if not np.isfinite(values).all() or not (abs(values) <= UNITS_MAX).all():
            raise MeasureError(
                f"{one.greek} of {one.underlying}: {one.target} with {one.hedges} a lot: is no "
                "number to hedge (an option at its strike and its expiry has an infinite gamma)"
            )
        if one.hedges.shape != (len(of.names),):
            raise MeasureError(
                f"{one.greek} of {one.underlying}: {len(one.hedges)} hedges, not {len(of.names)}"
            )


def without_dust(one: Exposure) -> Exposure:
    """An exposure without numbers that are nothing beside 1, or beside another lot's."""
    least = max(DUST, DUST_BESIDE * float(abs(one.hedges).max(initial=0.0)))
    hedges = np.where(abs(one.hedges) < least, 0.0, one.hedges)
    return one._replace(target=0.0 if abs(one.target) < DUST else one.target, hedges=hedges)


def is_kept(wanted: Sequence[Exposure]) -> bool:
    """True where no trade is needed to keep what was asked for."""
    return all(one.within is None or abs(one.target) <= one.within for one in wanted)


def free(one: Exposure) -> float:
    """How much of an exposure is no excess."""
    if one.within is not None:
        return one.within
    finest = float(abs(one.hedges[one.hedges != 0]).min(initial=math.inf))
    return finest / 2 if math.isfinite(finest) else 0.0


def allowed(one: Exposure) -> float:
    """How much excess there may be: none where an amount was asked for."""
    return max(abs(one.target) - free(one), 0.0) if one.within is None else 0.0


def remaining(wanted: Sequence[Exposure], lots: np.ndarray) -> np.ndarray:
    """What is left of each exposure: float64 [exposures]."""
    return np.array([one.target + float(one.hedges @ lots) for one in wanted])


def excess(wanted: Sequence[Exposure], lots: np.ndarray) -> float:
    """All excess, in money."""
    left = abs(remaining(wanted, lots))
    each = [one.scale * max(rest - free(one), 0.0) for one, rest in zip(wanted, left, strict=True)]
    return math.fsum(each)


def risk(wanted: Sequence[Exposure]) -> float:
    """All that is to be hedged, in money."""
    return math.fsum(one.scale * abs(one.target) for one in wanted)


def money_of(wanted: Sequence[Exposure]) -> float:
    """What the programs count money in, so that their numbers are near 1."""
    return math.fsum(one.scale * size_of(one) for one in wanted)


def excess_weights(wanted: Sequence[Exposure], of: Tradable) -> np.ndarray:
    """The first program: only excess counts. Variables: bought, sold, excess."""
    money = [one.scale * size_of(one) / money_of(wanted) for one in wanted]
    return np.concatenate([np.zeros(2 * len(of.names)), money])


def cost_scale(of: Tradable) -> float:
    """The cost that the second program counts in: the least that is not 0."""
    return float(of.costs[of.costs > 0].min(initial=math.inf)) if (of.costs > 0).any() else 1.0


def cost_weights(wanted: Sequence[Exposure], of: Tradable) -> np.ndarray:
    """The second program: costs, and where those are equal the number of lots."""
    each = of.costs / cost_scale(of) + FEWEST
    return np.concatenate([each, each, np.zeros(len(wanted))])


def size_of(one: Exposure) -> float:
    """The size of an exposure: what the program counts it in, so that its numbers are near 1."""
    return max(float(abs(one.hedges).max(initial=0.0)), abs(one.target) * 1e-6) or 1.0


def solve(
    wanted: Sequence[Exposure],
    of: Tradable,
    weights: np.ndarray,
    usual: float,
    most: float | None = None,
) -> Solved | None:
    """Lots of the least weighted sum; None where no lots keep the limits.

    Variables are lots bought, lots sold and the excess of each exposure, in its size. `most` is
    how much excess there may be, in money. The program ends within GAP of a `usual` sum: a gap
    relative to a sum near 0 would never end. So a constant is added to what is to be the least.
    """
    count, rows = len(of.names), len(wanted)
    high = np.concatenate(
        [
            np.maximum(of.high, 0),
            np.maximum(-of.low, 0),
            [allowed(one) / size_of(one) for one in wanted],
            [1.0],
        ]
    )
    low = np.zeros_like(high)
    low[-1] = 1.0
    constant = max(usual, GAP)
    for presolve in (True, False):
        found = milp(
            np.concatenate([weights, [constant]]),
            integrality=np.concatenate([np.ones(2 * count), np.zeros(rows + 1)]),
            bounds=Bounds(low, high),
            constraints=limits_of(wanted, of, most),
            options={"mip_rel_gap": GAP, "time_limit": SECONDS_MAX, "presolve": presolve},
        )
        if found.status != FAILED:  # HiGHS fails on some small programs that it made smaller
            break
    if found.x is None:
        if found.status == 2 or is_kept(wanted):
            return None
        raise MeasureError(f"the solver found no hedge in {SECONDS_MAX:g} s: give fewer hedges")
    lots = np.rint(found.x[:count]) - np.rint(found.x[count : 2 * count])
    gap = float(found.fun) - float(found.mip_dual_bound)
    return Solved(lots.astype(np.int64), gap if gap > 2 * GAP * constant else 0.0)


def limits_of(wanted: Sequence[Exposure], of: Tradable, most: float | None) -> list:
    """The rows of a program: excess of both signs, the budget, all excess."""
    rows = len(wanted)
    sizes = np.array([size_of(one) for one in wanted])
    table = csr_array(np.array([one.hedges for one in wanted]) / sizes[:, None])
    target = np.array([one.target for one in wanted]) / sizes
    spare = np.array([free(one) for one in wanted]) / sizes
    beside, last = identity(rows), csr_array((rows, 1))
    found = [  # target + Hx <= spare + excess, and of the other sign
        LinearConstraint(hstack([table, -table, -beside, last]), ub=spare - target),
        LinearConstraint(hstack([-table, table, -beside, last]), ub=spare + target),
    ]
    if of.budget is not None:
        spent = np.concatenate([of.costs, of.costs, np.zeros(rows + 1)])
        found.append(LinearConstraint(spent[None, :], ub=of.budget))
    if most is not None:
        money = np.concatenate([excess_weights(wanted, of), [0.0]])
        unit = max(most / money_of(wanted), GAP)
        found.append(LinearConstraint(money[None, :] / unit, ub=most / money_of(wanted) / unit))
    return found


def obstacles(wanted: Sequence[Exposure], of: Tradable) -> list[str]:
    """Each limit without which there would be a hedge; and how near one can come."""
    weights = excess_weights(wanted, of)
    usual = risk(wanted) / money_of(wanted)
    told = []
    if of.budget is not None and solve(wanted, of._replace(budget=None), weights, usual):
        told.append(f"the budget of {of.budget:g} is too small")
    for place, name in enumerate(of.names):
        low, high = of.low.copy(), of.high.copy()
        low[place], high[place] = -LOTS_MAX, LOTS_MAX
        bound = of.low[place] > -LOTS_MAX or of.high[place] < LOTS_MAX
        if bound and solve(wanted, of._replace(low=low, high=high), weights, usual):
            told.append(f"{name} is limited to {of.low[place]:g} to {of.high[place]:g} lots")
    for place, one in enumerate(wanted):
        if one.within is not None:
            others = [*wanted[:place], *wanted[place + 1 :]]
            told += nearest(others, of, [one])
    told = told or nearest([one for one in wanted if one.within is None], of, wanted)
    return told or [
        f"{one.greek} of {one.underlying} is not to be had within {one.within:g}"
        for one in wanted
        if one.within is not None
    ]


def nearest(kept: Sequence[Exposure], of: Tradable, wished: Sequence[Exposure]) -> list[str]:
    """How near those wished for come, where only those kept must keep their limits."""
    asked = [one for one in wished if one.within is not None]
    eased = [  # what is beyond `within` is excess, as much as it takes
        one._replace(within=None, scale=1 / size_of(one)) for one in asked
    ]
    found = solve([*kept, *eased], of, ease(kept, eased, of), 1.0)
    if found is None:
        return []
    told = []
    for one, rest in zip(asked, abs(remaining(asked, found.lots)), strict=True):
        if one.within is not None and rest > one.within:
            whose = f"{one.greek} of {one.underlying}"
            told.append(f"{whose} comes to {rest:.6g}, not within {one.within:g}")
    return told


def ease(kept: Sequence[Exposure], eased: Sequence[Exposure], of: Tradable) -> np.ndarray:
    """Weights of a program in which only those eased count."""
    weights = excess_weights([*kept, *eased], of)
    weights[2 * len(of.names) : 2 * len(of.names) + len(kept)] = 0.0
    return weights
