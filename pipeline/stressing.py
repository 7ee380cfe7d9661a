"""`corelane stress`, `hedge` and `explain`: what is printed of holdings."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from pipeline import console, runs
from pipeline.holdings import load
from pipeline.listing import printable
from pipeline.live_prices import priced
from workers import covariance, hedging, least_variance, scenarios, stress
from workers.explain import CAUSES, explained
from workers.holdings import Holdings, described
from workers.ladders import COLUMNS, POINT, in_money, ladder
from workers.quantiles import MeasureError
from workers.revaluation import Shocks, Valued, profits_each
from workers.reverse import Broken, breaking, directions

RETURNS = (-20.0, -10.0, -5.0, -2.0, 0.0, 2.0, 5.0, 10.0, 20.0)  # %
POINTS = (-10.0, -5.0, 0.0, 5.0, 10.0, 25.0)
UNITS = {"%": 100.0, "points": 100.0, "sd": 1.0, "times": 1.0}  # of a size of 1
GREEK_UNITS = {"delta": "units", "gamma": "units / price", "vega": "per 1.00"}
VARIANCE = "variance"


class Wanted(NamedTuple):
    """What is to be shown of holdings; nothing named: all."""

    grid: bool = False
    moves: str | None = None
    points: str | None = None
    by_beta: bool = False
    crises: tuple[str, ...] = ()
    parallel: bool = False
    loss: float | None = None
    greeks: bool = False
    pipeline: str | None = None  # whose books say the prices
    every: float | None = None  # seconds, until Ctrl-C or until the pipeline has ended


def show(book: Path, wanted: Wanted) -> None:
    """Print it, every so many seconds if asked to; the file is read anew each time."""
    with suppress(KeyboardInterrupt):
        while True:
            holdings = load(book)
            if wanted.pipeline is not None:
                holdings = _priced(holdings, runs.the_one(wanted.pipeline))
            show_once(Valued(holdings, str(book)), wanted)
            if wanted.every is None:
                break
            time.sleep(wanted.every)
            if wanted.pipeline is not None and wanted.pipeline not in runs.running():
                console.out.print(f"pipeline {wanted.pipeline!r} has ended", markup=False)
                break
            console.out.print()


def _priced(holdings: Holdings, pipeline: str) -> Holdings:
    """At the pipeline's prices, with a line on what has none there."""
    found = priced(holdings, pipeline)
    time_text = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    console.out.print(f"{time_text} UTC, prices of pipeline {pipeline!r}", markup=False)
    for symbol, why in found.left.items():
        price = f"{holdings.underlyings[symbol].price:g} of the file"
        console.out.print(f"{printable(symbol)} at {price}: {why}", markup=False, style="yellow")
    return found.holdings


def show_once(valued: Valued, wanted: Wanted) -> None:
    """Print what is wanted of holdings at one state of the market."""
    console.out.print(headline(valued), markup=False)
    rows = numbers(wanted.moves, "--moves") if wanted.moves else list(RETURNS)
    columns = numbers(wanted.points, "--points") if wanted.points else list(POINTS)
    everything = not (wanted.grid or wanted.crises or wanted.loss is not None or wanted.greeks)
    if wanted.grid or everything:
        console.out.print(grid_table(valued, rows, columns, wanted.by_beta))
    if wanted.greeks or everything:
        console.out.print(ladder_table(valued))
    if wanted.crises or everything:
        named = wanted.crises if "all" not in wanted.crises else ()
        console.out.print(crisis_table(valued, named or tuple(stress.crises()), wanted.parallel))
    if everything and valued.holdings.shocks:
        console.out.print(moves_table(valued))
    if wanted.loss is not None:
        console.out.print(reverse_table(valued, wanted.loss))


def numbers(text: str, what: str) -> list[float]:
    """Numbers with commas between them; MeasureError names the one that is none."""
    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise MeasureError(
                f"{what}: {part.strip()!r} is no number; give some, such as -10,0,10"
            ) from None
    return found


def plain(text: str) -> Text:
    """A name from a file, as a cell that neither steers a terminal nor has a style."""
    return Text(printable(text))


def signed(value: float) -> str:
    """A move with its sign."""
    return f"{value:+g}" if value else "0"


def money(value: float) -> Text:
    """An amount with two decimals; a loss in red."""
    shown = f"{value:,.2f}"
    return Text("0.00" if shown == "-0.00" else shown, style="red" if value < 0 else "")


def headline(valued: Valued) -> str:
    """What is held, in a line."""
    value = float(in_money(valued)[:, COLUMNS.index("value")].sum())
    name = printable(valued.holdings.name or "holdings")
    count = len(valued.positions)
    return f"{name}: {count:,} positions on {len(valued.names):,} underlyings, worth {value:,.2f}"


def grid_table(valued: Valued, returns: list[float], points: list[float], by_beta: bool) -> Table:
    """Profits by return (rows, %) and shift of volatility (columns, points)."""
    found = stress.grid(valued, [r / 100 for r in returns], [p * POINT for p in points], by_beta)
    whose = "market" if by_beta else "price"
    made = console.table(
        f"profit by {whose} and volatility",
        f">{whose}",
        *(f">{signed(point)} pt" for point in points),
    )
    for moved, row in zip(returns, found.profits, strict=True):
        made.add_row(f"{signed(moved)} %", *map(money, row.tolist()))
    return made


def crisis_table(valued: Valued, names: Sequence[str], parallel: bool) -> Table:
    """What the holdings would have made in crises."""
    shocks = stress.of_crises(valued, list(names), parallel)
    made = console.table("crises", "crisis", ">index", ">volatility", ">profit", "worst position",
                         ">its profit", "what")  # fmt: skip
    for name, row in zip(names, shocked(valued, shocks), strict=True):
        crisis = stress.check_crisis(name)
        fallen = f"{100 * crisis.market_return:+.2f} %"
        points = f"{crisis.shift / POINT:+.2f} {crisis.volatility_index}"
        made.add_row(name, fallen, points, *row, crisis.title)
    return made


def moves_table(valued: Valued) -> Table:
    """What the holdings make under the file's own shocks."""
    shocks = stress.of_moves(valued, valued.holdings.shocks)
    made = console.table("own shocks", "shock", ">profit", "worst position", ">its profit")
    for name, row in zip(valued.holdings.shocks, shocked(valued, shocks), strict=True):
        made.add_row(plain(name), *row)
    return made


def shocked(valued: Valued, shocks: Shocks) -> Iterator[tuple[Text, Text, Text]]:
    """The profit of each shock, and the position that loses most."""
    for row in profits_each(valued, shocks):
        worst = int(np.argmin(row))
        name = plain(described(valued.positions[worst]))
        yield money(float(row.sum())), name, money(float(row[worst]))


def reverse_table(valued: Valued, loss: float) -> Table:
    """The smallest move along each direction that loses so much."""
    made = console.table(f"smallest moves that lose {loss:,.2f}", "direction", ">move",
                         ">looked to", ">worst there", ">at")  # fmt: skip
    for direction in directions(valued, valued.holdings.shocks):
        made.add_row(*broken_cells(breaking(valued, direction, loss)))
    return made


def broken_cells(found: Broken) -> list[Text]:
    """One answer as cells."""
    unit, factor = found.direction.unit, UNITS[found.direction.unit]

    def size(value: float) -> str:
        return f"{value * factor:,.4g} {unit}"

    shown = Text("none", style="green") if found.size is None else Text(size(found.size))
    name = plain(found.direction.name)
    bound, at = Text(size(found.bound)), Text(size(found.worst_at))
    return [name, shown, bound, money(found.worst), at]


def ladder_table(valued: Valued) -> Table:
    """Greeks by underlying, expiry and strike, in money."""
    made = console.table(
        "Greeks in money: delta, gamma of 1 %; vega of 1 point; theta of a day; rho of 0.01 %",
        "underlying", "expiry", "strike", ">positions", *(f">{name}" for name in COLUMNS),
    )  # fmt: skip
    for rung in ladder(valued):
        cells = (money(getattr(rung, name)) for name in COLUMNS)
        made.add_row(
            plain(rung.underlying), rung.expiry, rung.strike, f"{rung.positions:,}", *cells
        )
    sums = in_money(valued).sum(axis=0).tolist()
    made.add_row("all", "", "", f"{len(valued.positions):,}", *map(money, sums))
    return made


def lots_table(valued: Valued, lots: np.ndarray, costs: np.ndarray) -> Table:
    """What to trade."""
    made = console.table("to trade", "do", ">lots", "instrument", ">cost")
    for hedge, count, cost in zip(valued.holdings.hedges, lots.tolist(), costs, strict=True):
        if count:
            name = plain(described(hedge.instrument))
            made.add_row("buy" if count > 0 else "sell", f"{abs(count):,}", name,
                         money(abs(count) * cost))  # fmt: skip
    if not made.row_count:
        made.add_row("nothing", "", "", "")
    return made


def hedge_parts(valued: Valued, aim: str) -> list[Table | str]:
    """What is printed of neutral Greeks."""
    advice = hedging.advise(valued, aim)
    made = console.table("exposures", "underlying", "Greek", ">before", ">after", "unit",
                         ">allowed")  # fmt: skip
    for one, left in zip(advice.exposures, advice.left.tolist(), strict=True):
        made.add_row(
            plain(one.underlying),
            one.greek,
            f"{one.target:,.4f}",
            f"{left:,.4f}",
            GREEK_UNITS[one.greek],
            "" if one.within is None else f"{one.within:,g}",
        )
    costs = np.array([hedge.cost for hedge in valued.holdings.hedges])
    told: list[Table | str] = [lots_table(valued, advice.lots, costs), made]
    told.append(f"cost {advice.cost:,.2f}")
    if advice.gap or advice.cost_gap:
        told.append(
            f"the solver ran out of time: what is left may be {advice.gap:,.2f} above the least, "
            f"the cost {advice.cost_gap:,.2f}"
        )
    return told


def variance_parts(valued: Valued, returns: Path | None) -> list[Table | str]:
    """What is printed of a hedge of least variance."""
    matrix = matrix_of(valued.holdings, valued, returns)
    found = least_variance.advise(valued, matrix)
    costs = np.array([hedge.cost for hedge in valued.holdings.hedges])
    made = console.table("exposures in money", "underlying", ">after")
    for name, exposure in zip(valued.names, found.exposures.tolist(), strict=True):
        made.add_row(plain(name), money(exposure))
    deviations = f"{found.before:,.2f} before, {found.after:,.2f} after"
    return [
        lots_table(valued, found.lots, costs),
        made,
        f"standard deviation of a day {deviations}; the least there is {found.least:,.2f}",
        f"cost {found.cost:,.2f}; covariance {found.salvaged}",
    ]


def matrix_of(holdings: Holdings, valued: Valued, returns: Path | None) -> np.ndarray:
    """The covariance of a day's returns: of a file of them, or as the holdings name it."""
    if returns is None:
        return least_variance.daily_covariance(holdings, valued)
    found = scenarios.load(returns, valued.names)
    columns = [found.symbols.index(name) for name in valued.names]
    return covariance.covariance(found.returns[:, columns])


def explain_table(before: Holdings, after: Holdings) -> Table:
    """Where the profit of each position came from."""
    found = explained(before, after)
    made = console.table("profit by cause", "position", ">profit", *(f">{one}" for one in CAUSES),
                         ">unexplained")  # fmt: skip
    for place, position in enumerate(before.positions):
        parts = (float(part[place]) for part in found.parts.values())
        cells = [float(found.profits[place]), *parts, float(found.unexplained[place])]
        made.add_row(plain(described(position)), *map(money, cells))
    made.add_row("all", *map(money, found.sums().values()))
    return made
