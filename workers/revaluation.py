"""Holdings as arrays, and their profits and Greeks: each option priced anew under every shock.

    valued = Valued(holdings)
    profits(valued, shocks)       float64 [scenarios, underlyings]
    greeks(valued)                a row for each position

Shocks move prices by simple returns, volatilities by a factor and a shift, rates by a shift, and
let days pass. Nothing is approximated, and nothing is left out: a position without a value under a
shock is a MeasureError that names both.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workers.holdings import DAYS, Holdings, Option, Position, check, described, kind_of
from workers.kernels import revaluation as kernels
from workers.kernels.black_scholes import Refused
from workers.kernels.option_chains import INPUTS, LANES, OPTIONS, measure_all
from workers.quantiles import MeasureError
from workers.records import empty

GREEKS = (
    "value", "delta", "gamma", "vega", "theta", "rho", "dividend_rho", "vanna", "volga", "charm",
)  # fmt: skip


class Shocks(NamedTuple):
    """Scenarios of a shocked market: float64, a row each; columns are underlyings in order."""

    names: Sequence[str]
    returns: np.ndarray  # [scenarios, underlyings]: -0.1 is 10 % down
    ratios: np.ndarray  # [scenarios, underlyings]: volatilities are multiplied by
    shifts: np.ndarray  # [scenarios, underlyings]: and this is added; 0.1 is ten points
    rates: np.ndarray  # [scenarios]: added to every rate
    days: np.ndarray  # [scenarios]: that pass
    fades: np.ndarray  # [scenarios]: days to expiry from which shifts shrink; 0: never


class Options(NamedTuple):
    """The options of holdings for the kernels."""

    blocks: np.ndarray  # OPTIONS, with the prices and Greeks of now
    owner: np.ndarray  # int64 [options]: whose
    place: np.ndarray  # int64 [options]: among all positions
    units: np.ndarray  # float64 [options]


class Forwards(NamedTuple):
    """Equities and futures for the kernels: arrays of one length."""

    owner: np.ndarray
    place: np.ndarray
    units: np.ndarray
    carry: np.ndarray  # rate - dividend
    expiry: np.ndarray


class Valued:
    """Holdings at today's market, as arrays."""

    def __init__(self, holdings: Holdings, source: str = "holdings") -> None:
        check(holdings, source)
        self.holdings = holdings
        self.names = tuple(holdings.underlyings)
        self.positions: Sequence[Position] = holdings.positions
        self.spots = np.array([each.price for each in holdings.underlyings.values()])
        self.number = {name: number for number, name in enumerate(self.names)}
        self.options = self._options()
        self.forwards = self._forwards()

    def _where(self, wanted: bool) -> np.ndarray:
        """The places of options, or of all else, among the positions: int64."""
        return np.array(
            [n for n, each in enumerate(self.positions) if isinstance(each, Option) == wanted],
            np.int64,
        )

    def _owners(self, place: np.ndarray) -> np.ndarray:
        numbers = [self.number[self.positions[at].underlying] for at in place]
        return np.array(numbers, np.int64)

    def _options(self) -> Options:
        place = self._where(True)
        owner = self._owners(place)
        held = [each for each in self.positions if isinstance(each, Option)]
        columns = {name: np.array([getattr(each, name) for each in held], np.float64)
                   for name in INPUTS[2:]}  # fmt: skip
        columns["kind"] = np.array([kind_of(each) for each in held], np.float64)
        columns["spot"] = self.spots[owner]
        blocks = empty(OPTIONS, max(-(-len(held) // LANES), 1))
        for name, values in columns.items():
            lanes = np.zeros(blocks.size * LANES)
            lanes[: len(held)] = values
            blocks[name] = lanes.reshape(blocks.size, LANES)
        measure_all(blocks.ctypes.data, blocks.size)
        made = Options(blocks, owner, place, units_of(held))
        for at, flag in enumerate(blocks["flag"].reshape(-1)[: len(held)]):
            if flag:
                raise MeasureError(f"{described(held[at])}: has no value: {reasons(flag)}")
        return made

    def _forwards(self) -> Forwards:
        place = self._where(False)
        held = [self.positions[at] for at in place]
        carry = [getattr(one, "rate", 0.0) - getattr(one, "dividend", 0.0) for one in held]
        expiry = [getattr(one, "expiry", 0.0) for one in held]
        owner = self._owners(place)
        return Forwards(owner, place, units_of(held), np.array(carry), np.array(expiry))


def units_of(positions: Sequence[Position]) -> np.ndarray:
    """What each position has of its instrument, float64."""
    return np.array([each.quantity * each.multiplier for each in positions], np.float64)


def reasons(flag: int) -> str:
    """Why the kernel refuses an option."""
    return ", ".join(reason.name.lower() for reason in Refused if flag & reason) + ": mend it"


def quiet(valued: Valued, names: Sequence[str]) -> Shocks:
    """Scenarios in which nothing moves, to be filled."""
    count, width = len(names), len(valued.names)
    return Shocks(
        names,
        np.zeros((count, width)),
        np.ones((count, width)),
        np.zeros((count, width)),
        np.zeros(count),
        np.zeros(count),
        np.zeros(count),
    )


def profits(valued: Valued, shocks: Shocks) -> np.ndarray:
    """What each underlying's positions make under each shock: [scenarios, underlyings]."""
    options, forwards = valued.options.owner, valued.forwards.owner
    return _made(valued, shocks, options, forwards, len(valued.names))


def profits_each(valued: Valued, shocks: Shocks) -> np.ndarray:
    """What each position makes under each shock: [scenarios, positions]."""
    options, forwards = valued.options.place, valued.forwards.place
    return _made(valued, shocks, options, forwards, len(valued.positions))


def totals(valued: Valued, shocks: Shocks) -> np.ndarray:
    """What all positions make together under each shock: [scenarios]."""
    none, few = np.zeros_like(valued.options.owner), np.zeros_like(valued.forwards.owner)
    return _made(valued, shocks, none, few, 1)[:, 0]


def _made(
    valued: Valued, shocks: Shocks, options: np.ndarray, forwards: np.ndarray, groups: int
) -> np.ndarray:
    """Profits by group: [scenarios, groups]; MeasureError where one is no number."""
    check_shocks(valued, shocks)
    made = _added(valued, shocks, options, forwards, groups)
    bad = np.argwhere(~np.isfinite(made))
    if len(bad):
        raise MeasureError(_lost(valued, shocks, int(bad[0, 0])))
    return made


def _added(
    valued: Valued, shocks: Shocks, options: np.ndarray, forwards: np.ndarray, groups: int
) -> np.ndarray:
    """The same as the kernels leave it: NaN where there is no value."""
    spots = valued.spots * (1 + shocks.returns)
    made = np.zeros((len(shocks.names), groups))
    years = shocks.days / DAYS
    held, work = valued.options, empty(OPTIONS, 1)
    kernels.add_options(
        held.blocks.ctypes.data, work.ctypes.data, len(held.owner), held.owner, options,
        held.units, spots, shocks.ratios, shocks.shifts, shocks.rates, years,
        shocks.fades / DAYS, made,
    )  # fmt: skip
    rest = valued.forwards
    kernels.add_forwards(
        rest.owner, forwards, rest.units, rest.carry, rest.expiry, valued.spots, spots,
        shocks.rates, years, made,
    )  # fmt: skip
    return made


def check_shocks(valued: Valued, shocks: Shocks) -> None:
    """Refuse shocks of another shape, that are no numbers, or that leave less than nothing."""
    count, width = len(shocks.names), len(valued.names)
    for field in shocks._fields[1:]:
        values = getattr(shocks, field)
        shape = (count, width) if field in ("returns", "ratios", "shifts") else (count,)
        if values.shape != shape:
            raise MeasureError(f"shocks.{field}: shape {values.shape}: give {shape}")
        low = {"returns": -1.0, "ratios": 0.0, "days": 0.0, "fades": 0.0}.get(field, -math.inf)
        bad = np.argwhere(~(np.isfinite(values) & (values >= low)))
        if len(bad):
            row = int(bad[0, 0])
            whose = f" of {valued.names[bad[0, 1]]}" if values.ndim == 2 else ""
            at_least = f" of at least {low:g}" if low > -math.inf else ""
            raise MeasureError(
                f"shock {shocks.names[row]!r}: {values[tuple(bad[0])]} in {field}{whose}: give a "
                f"finite number{at_least}"
            )


def _lost(valued: Valued, shocks: Shocks, row: int) -> str:
    """Which position has no value under a shock."""
    one = Shocks(shocks.names[row : row + 1], *(np.asarray(v)[row : row + 1] for v in shocks[1:]))
    each = _added(valued, one, valued.options.place, valued.forwards.place, len(valued.positions))
    lost = np.flatnonzero(~np.isfinite(each[0]))
    whose = described(valued.positions[int(lost[0])]) if len(lost) else "the sum"
    return (
        f"shock {one.names[0]!r}: {whose} has no value then: its price, volatility or rate is out "
        "of range: give a smaller shock"
    )


def greeks(valued: Valued) -> np.ndarray:
    """Value and Greeks of every position, times its units: records [positions] of GREEKS.

    Plain derivatives: delta and gamma to the price, vega per 1.00 of volatility, theta a year.
    """
    made = np.zeros(len(valued.positions), [(name, "f8") for name in GREEKS])
    held, rest = valued.options, valued.forwards
    for name in GREEKS:
        column = held.blocks["price" if name == "value" else name].reshape(-1)
        made[name][held.place] = column[: len(held.place)] * held.units
    growth = np.exp(rest.carry * rest.expiry)
    value = rest.units * valued.spots[rest.owner] * growth
    made["value"][rest.place] = value
    made["delta"][rest.place] = rest.units * growth
    made["theta"][rest.place] = -rest.carry * value
    made["rho"][rest.place] = rest.expiry * value
    made["dividend_rho"][rest.place] = -rest.expiry * value
    made["charm"][rest.place] = -rest.carry * rest.units * growth
    return made
