"""What somebody holds: equities, futures and European options on underlyings, with today's market.

The file that people keep is TOML; `Holdings` is its shape. Money is in one currency. Rates, yields
and volatilities are per year and fractions (0.2 is 20 %), rates continuously compounded; expiries
are in years from now. A position's units are quantity x multiplier, below 0 for what was sold.

A future is worth what has been made of it since it was at 0: units x S e^((rate - dividend) T), so
differences are profits. `dividend` is whatever the underlying yields: its carry is rate - dividend;
with dividend = rate the price of the underlying is that of a future (Black 1976).
"""

import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from workers.kernels.black_scholes import CALL, LEAST, MOST, MOST_EXPONENT, MOST_YEARS, PUT
from workers.kernels.black_scholes import MOST_VOLATILITY as VOLATILITY_MAX
from workers.quantiles import MeasureError

UNITS_MAX = 1e15  # of a position
BETA_MAX = 100.0
COUNT_MAX = 1_000_000  # positions
MARKET = "market"  # the factor of every underlying's `beta`
DAYS = 365.0  # of a year


class HoldingsError(MeasureError):
    """Holdings that cannot be measured: one line for each problem, with its place and the mend."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.problems = problems


class Underlying(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What positions are on, and how it moves with others."""

    price: float
    volatility: float | None = None  # of its returns: for moves in standard deviations
    sector: str = ""
    beta: float = 1.0  # its return for a return of 1 of the market
    factors: dict[str, float] = {}  # its return for a return of 1 of any other factor
    volatility_beta: float = 1.0  # points of its options' volatility for one of the market's


class Equity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, tag="equity",
             tag_field="kind"):  # fmt: skip
    """Shares, or anything that moves as its underlying does."""

    underlying: str
    quantity: float
    name: str = ""
    multiplier: float = 1.0


class Future(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, tag="future",
             tag_field="kind"):  # fmt: skip
    """A future or forward whose profits are not discounted."""

    underlying: str
    quantity: float
    name: str = ""
    multiplier: float = 1.0
    expiry: float = 0.0
    rate: float = 0.0
    dividend: float = 0.0


class Option(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, tag="option",
             tag_field="kind"):  # fmt: skip
    """A European option (Black and Scholes 1973, Merton 1973)."""

    underlying: str
    type: Literal["call", "put"]
    strike: float
    expiry: float
    volatility: float  # implied
    quantity: float
    name: str = ""
    multiplier: float = 1.0
    rate: float = 0.0
    dividend: float = 0.0


Position = Equity | Future | Option


class Move(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A stress of one's own. Returns are simple: -0.1 is 10 % down.

    Of an underlying counts what is said of itself; else of its sector; else the sum over the
    factors, `market` among them, of beta x return.
    """

    underlyings: dict[str, float] = {}
    sectors: dict[str, float] = {}
    factors: dict[str, float] = {}
    volatility: float = 0.0  # added to each option's, times its underlying's volatility_beta
    volatilities: dict[str, float] = {}  # added to the options' of an underlying, in its place
    volatility_ratio: float = 1.0  # before that; 1.5: half as much again
    rate: float = 0.0  # added to each rate
    days: float = 0.0  # that pass, of 365


class Hedge(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Something that may be traded against the holdings, in whole lots."""

    instrument: Position  # its quantity: what one lot has
    cost: float = 0.0  # money, to trade one lot, either way
    most: int | None = None  # lots, either way
    long_only: bool = False


class Hedging(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What a hedge may cost and must reach."""

    budget: float | None = None  # of all costs
    # Greek -> how much of it may be left on any underlying, in its unit; left out: the least.
    within: dict[Literal["delta", "gamma", "vega"], float] = {}


class Holdings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Underlyings, positions on them, and what may be asked about both."""

    underlyings: dict[str, Underlying]
    positions: list[Position]
    name: str = ""
    shocks: dict[str, Move] = {}
    correlations: dict[str, dict[str, float]] = {}
    hedges: list[Hedge] = []
    hedging: Hedging = msgspec.field(default_factory=Hedging)


def faults(holdings: Holdings) -> list[str]:
    """Everything that is wrong with holdings and that types do not say: path, what, mend."""
    found = [*_underlying_faults(holdings)]
    if not 0 < len(holdings.positions) <= COUNT_MAX:
        found.append(f"positions: {len(holdings.positions)} of them; give 1 to {COUNT_MAX:,}")
    for number, position in enumerate(holdings.positions):
        found += _position_faults(f"positions[{number}]", position, holdings)
    for name, move in holdings.shocks.items():
        found += _move_faults(f"shocks.{name}", move, holdings)
    for number, hedge in enumerate(holdings.hedges):
        where = f"hedges[{number}]"
        found += _position_faults(f"{where}.instrument", hedge.instrument, holdings)
        found += _within(f"{where}.cost", hedge.cost, 0, UNITS_MAX)
        found += _within(f"{where}.most", hedge.most or 0, 0, 2**31)
    found += _within("hedging.budget", holdings.hedging.budget or 0.0, 0, UNITS_MAX)
    for greek, allowed in holdings.hedging.within.items():
        found += _within(f"hedging.within.{greek}", allowed, 0, UNITS_MAX)
    return [*found, *_correlation_faults(holdings)]


def check(holdings: Holdings, source: str = "holdings") -> None:
    """Refuse holdings with faults."""
    found = faults(holdings)
    if found:
        raise HoldingsError(source, found)


def _within(where: str, value: float, low: float, high: float) -> list[str]:
    """One line where a value is NaN or not between two others."""
    if low <= value <= high:
        return []
    return [f"{where}: {value} is out of range; give {low:g} to {high:g}"]


def _known(where: str, names: object, known: object) -> list[str]:
    """A line for each name that is none of those known."""
    listed = ", ".join(sorted(known)) or "none"  # type: ignore[call-overload]
    return [
        f"{where}: {name!r} is not there; known: {listed}"
        for name in names  # type: ignore[attr-defined]
        if name not in known  # type: ignore[operator]
    ]


def _underlying_faults(holdings: Holdings) -> Iterator[str]:
    if not holdings.underlyings:
        yield "underlyings: there are none; give a table [underlyings.NAME] with its price"
    for name, underlying in holdings.underlyings.items():
        where = f"underlyings.{name}"
        yield from _within(f"{where}.price", underlying.price, LEAST, MOST)
        yield from _within(f"{where}.volatility", underlying.volatility or 0.0, 0, VOLATILITY_MAX)
        betas = {"beta": underlying.beta, "volatility_beta": underlying.volatility_beta}
        betas |= {f"factors.{factor}": beta for factor, beta in underlying.factors.items()}
        for key, beta in betas.items():
            yield from _within(f"{where}.{key}", beta, -BETA_MAX, BETA_MAX)
        if MARKET in underlying.factors:
            yield f"{where}.factors.{MARKET}: stands in {where}.beta; give it there"


def _position_faults(where: str, position: Position, holdings: Holdings) -> Iterator[str]:
    yield from _known(f"{where}.underlying", [position.underlying], holdings.underlyings)
    yield from _within(f"{where}.quantity", position.quantity, -UNITS_MAX, UNITS_MAX)
    yield from _within(f"{where}.multiplier", position.multiplier, 1 / UNITS_MAX, UNITS_MAX)
    if isinstance(position, Equity):
        return
    yield from _within(f"{where}.expiry", position.expiry, 0, MOST_YEARS)
    most = MOST_EXPONENT / max(position.expiry, 1.0)
    for key in ("rate", "dividend"):
        yield from _within(f"{where}.{key}", getattr(position, key), -most, most)
    if isinstance(position, Option):
        yield from _within(f"{where}.strike", position.strike, LEAST, MOST)
        yield from _within(f"{where}.volatility", position.volatility, 0, VOLATILITY_MAX)


def _move_faults(where: str, move: Move, holdings: Holdings) -> Iterator[str]:
    each = holdings.underlyings.values()
    known = {
        "underlyings": set(holdings.underlyings),
        "volatilities": set(holdings.underlyings),
        "sectors": {one.sector for one in each if one.sector},
        "factors": {MARKET, *(factor for one in each for factor in one.factors)},
    }
    for table, names in known.items():
        values: dict[str, float] = getattr(move, table)
        yield from _known(f"{where}.{table}", values, names)
        low = -VOLATILITY_MAX if table == "volatilities" else -math.inf
        low = -1.0 if table in ("underlyings", "sectors") else low
        for name, value in values.items():
            yield from _within(f"{where}.{table}.{name}", value, max(low, -BETA_MAX), BETA_MAX)
    yield from _within(f"{where}.volatility", move.volatility, -BETA_MAX, BETA_MAX)
    yield from _within(f"{where}.volatility_ratio", move.volatility_ratio, 0, BETA_MAX)
    yield from _within(f"{where}.rate", move.rate, -1, 1)
    yield from _within(f"{where}.days", move.days, 0, MOST_YEARS * DAYS)


def _correlation_faults(holdings: Holdings) -> Iterator[str]:
    yield from _known("correlations", holdings.correlations, holdings.underlyings)
    for name, others in holdings.correlations.items():
        where = f"correlations.{name}"
        yield from _known(where, others, holdings.underlyings)
        for other, value in others.items():
            yield from _within(f"{where}.{other}", value, -1, 1)
            if holdings.correlations.get(other, {}).get(name, value) != value:
                yield f"{where}.{other}: is another than the other way round; give it once"


def kind_of(option: Option) -> float:
    """What the kernels call a call, or a put."""
    return CALL if option.type == "call" else PUT


def described(position: Position) -> str:
    """A position in a few words, by its name where it has one."""
    if position.name:
        return position.name
    if isinstance(position, Option):
        words = f"{position.underlying} {position.strike:g} {position.type}"
        return f"{words} {position.expiry * DAYS:.0f}d"
    if isinstance(position, Future):
        return f"{position.underlying} future {position.expiry * DAYS:.0f}d"
    return position.underlying
