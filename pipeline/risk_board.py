"""`corelane risk`: portfolios as a running pipeline's board has them, and what they rest on."""

from collections.abc import Sequence
from contextlib import closing

import click
import msgspec
import numpy as np
from rich.table import Table

from pipeline import console, runs
from pipeline.listing import printable
from pipeline.portfolios import CONVENTION, INDENT, limits_text, tree
from pipeline.report import parts
from pipeline.selection import choice
from ringbuf.board import Board
from workers.kernels.option_values import Greek
from workers.records import MONEY_SCALE, Measure
from workers.sinks.tables import MEASURES, STANDINGS
from workers.sinks.values import times


class RiskRefused(Exception):
    """Portfolios that cannot be shown: what was asked for, and what there is."""


class LimitShown(msgspec.Struct):
    """A limit, in currency, and what is held against it."""

    measure: str
    standing: str
    measured: float
    limit: float


class PositionShown(msgspec.Struct):
    """What a portfolio with all below it holds of an instrument, and what that adds to its risk.

    All but the quantity with the options on it.
    """

    symbol: str
    quantity: int  # lots
    price: float | None  # the mark, in currency; None: there is none yet
    value: float
    pnl: float | None
    var_part: float  # the parts of all positions add up to the portfolio's figure
    es_part: float


class GreeksShown(msgspec.Struct):
    """What moves a portfolio that holds options, in currency."""

    delta: float  # what 1 % up makes
    gamma: float  # by how much that grows for each 1 %
    vega: float  # what one point of volatility makes
    theta: float  # a day of 365
    rho: float  # 0.01 % on rates


class PortfolioShown(msgspec.Struct):
    """A portfolio with all below it, in currency."""

    name: str
    parent: str | None
    depth: int
    value: float
    gross: float
    pnl: float
    realised: float
    var_99: float
    es_975: float
    unmarked: int  # positions without a mark
    stuck: int  # positions that keep an old value because a bound was reached
    limits: list[LimitShown]
    standing: str  # to all of them, the worst first
    worst_scenario: int  # from 0
    scenarios: int
    sequence: int  # of the book record whose mark moved it last; 0: none has
    time: str | None  # of that record
    convention: str
    options: int  # that it holds, expired ones too
    greeks: GreeksShown | None  # None: it holds no options
    positions: list[PositionShown]


def read(pipeline: str, portfolio: str | None = None) -> list[PortfolioShown]:
    """All portfolios from the top, or one with its positions, and all below it."""
    if "portfolios" not in parts(pipeline)["boards"]:
        raise RiskRefused(f"pipeline {pipeline!r} has no portfolios; give it [[risk.portfolios]]")
    with closing(Board(pipeline, "portfolios")) as board:
        rows = board.all()
    names = [printable(row["name"].decode(errors="replace")) for row in rows]
    shown = [_shown(rows, names, number, depth) for number, depth in tree(rows["parent"].tolist())]
    if portfolio is None:
        return shown
    if portfolio not in names:
        text = f"pipeline {pipeline!r} has no portfolio {portfolio!r}; {choice(portfolio, names)}"
        raise RiskRefused(text)
    first = next(place for place, each in enumerate(shown) if each.name == portfolio)
    below = [each.depth > shown[first].depth for each in shown[first + 1 :]]
    family = shown[first : first + 1 + [*below, False].index(False)]
    numbers = [names.index(each.name) for each in family]
    family[0].positions = positions(pipeline, numbers)
    return family


def positions(pipeline: str, family: Sequence[int]) -> list[PositionShown]:
    """What a portfolio, the first, and all below it hold, by what it adds to ES, most first."""
    with closing(Board(pipeline, "positions")) as board:
        rows = board.all()
    with closing(Board(pipeline, "instruments")) as board:
        scales = board.all()["price_scale"]
    found = []
    below = rows[np.isin(rows["portfolio"], family) & (rows["symbol"] != b"")]
    for top in below[below["portfolio"] == family[0]]:
        same = "instrument" if top["instrument"] >= 0 else "symbol"  # two sources may share that
        held = below[below[same] == top[same]]
        marked = int(top["mark"]) > 0
        price = int(top["mark"]) / (2 * int(scales[top["instrument"]])) if marked else None
        sums = {name: int(held[name].sum()) for name in ("quantity", "value", "cost")}
        found.append(
            PositionShown(
                symbol=printable(top["symbol"].decode(errors="replace")),
                quantity=sums["quantity"],
                price=price,
                value=sums["value"] / MONEY_SCALE,
                pnl=(sums["value"] - sums["cost"]) / MONEY_SCALE if marked else None,
                var_part=int(top["var_part"]) / MONEY_SCALE,
                es_part=int(top["es_part"]) / MONEY_SCALE,
            )
        )
    return sorted(found, key=lambda each: (-each.es_part, each.symbol))


def _shown(rows: np.ndarray, names: list[str], number: int, depth: int) -> PortfolioShown:
    row = rows[number]
    money = {name: int(row[name]) / MONEY_SCALE for name in ("value", "pnl", "var_99", "es_975")}
    gross = int(row["notional"]) / MONEY_SCALE
    held_against = {Measure.VALUE: gross, Measure.LOSS: -money["pnl"]}
    for greek, amount in zip(Greek, row["greek"].tolist(), strict=True):
        held_against[Measure[greek.name]] = abs(amount) / MONEY_SCALE
    return PortfolioShown(
        name=names[number],
        parent=names[row["parent"]] if row["parent"] >= 0 else None,
        depth=depth,
        gross=gross,
        unmarked=int(row["unvalued"]),
        stuck=int(row["stuck"]),
        limits=[
            LimitShown(
                measure=MEASURES[measure],
                standing=STANDINGS[row["standing"][measure]],
                measured=held_against.get(measure, money.get(MEASURES[measure], 0.0)),
                limit=int(row["limit"][measure]) / MONEY_SCALE,
            )
            for measure in Measure
            if row["limit"][measure]
        ],
        standing=limits_text(row),
        worst_scenario=int(row["worst_scenario"]),
        scenarios=int(row["scenarios"]),
        sequence=int(row["cause"]),
        time=times(rows["time_ns"][number : number + 1])[0] if row["cause"] else None,
        convention=CONVENTION,
        options=int(row["options"]),
        greeks=_greeks(row),
        positions=[],
        value=money["value"],
        pnl=money["pnl"],
        realised=int(row["realised"]) / MONEY_SCALE,
        var_99=money["var_99"],
        es_975=money["es_975"],
    )


def _greeks(row: np.record) -> GreeksShown | None:
    """Those of a portfolio that holds options; of others the board has none."""
    if not row["options"]:
        return None
    return GreeksShown(*(amount / MONEY_SCALE for amount in row["greek"].tolist()))


def show(pipeline: str | None, portfolio: str | None, as_json: bool) -> None:
    """Print a table, of a portfolio named its positions and limits too; or a JSON line each."""
    named = runs.the_one(pipeline)
    found = read(named, portfolio)
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(each))
        return
    console.out.print(portfolios(named, found))
    if portfolio is not None:
        console.out.print(basis(found[0]), markup=False, soft_wrap=True)
    if any(each.greeks for each in found):
        console.out.print(greek_table(found))
    if found[0].positions:
        console.out.print(position_table(found[0]))
    if portfolio is not None and found[0].limits:
        console.out.print(limits(found[0]))


def portfolios(pipeline: str, found: list[PortfolioShown]) -> Table:
    """A line for each, names set in by depth."""
    doubtful = any(each.unmarked or each.stuck for each in found)
    made = console.table(
        f"{pipeline}: risk ({CONVENTION}; {found[0].scenarios:,} scenarios)",
        "portfolio", ">value", ">P&L", ">VaR 99 %", ">ES 97.5 %",
        *[">unmarked", ">stuck"] * doubtful, "limits",
    )  # fmt: skip
    for each in found:
        figures = (each.value, each.pnl, each.var_99, each.es_975)
        counts = (each.unmarked, each.stuck) if doubtful else ()
        made.add_row(
            INDENT * (each.depth - found[0].depth) + each.name,
            *(f"{figure:,.2f}" for figure in figures),
            *(f"{count:,}" for count in counts),
            each.standing,
        )
    return made


def greek_table(found: list[PortfolioShown]) -> Table:
    """The Greeks of those that hold options."""
    made = console.table(
        "Greeks (1 % of the price, a point, a day, 0.01 %)", "portfolio", ">options",
        *(f">{greek.name.lower()}" for greek in Greek),
    )  # fmt: skip
    for each in found:
        if each.greeks is not None:
            made.add_row(
                INDENT * (each.depth - found[0].depth) + each.name,
                f"{each.options:,}",
                *(f"{amount:,.2f}" for amount in msgspec.structs.astuple(each.greeks)),
            )
    return made


def basis(found: PortfolioShown) -> str:
    """What its figures rest on."""
    worst = f"worst scenario {found.worst_scenario:,} of {found.scenarios:,}"
    money = f"gross value {found.gross:,.2f}, realised {found.realised:,.2f}"
    if not found.time:
        return f"{money}; no mark yet"
    return f"{money}; {worst}; as of record {found.sequence:,}, {found.time}"


def position_table(found: PortfolioShown) -> Table:
    """What it holds with all below it, and what each adds to its risk."""
    made = console.table(
        f"positions of {found.name}", "symbol", ">quantity", ">mark", ">value", ">P&L",
        ">of VaR 99 %", ">of ES 97.5 %",
    )  # fmt: skip
    for each in found.positions:
        price = "-" if each.price is None else f"{each.price:,.8g}"
        figures = (each.value, each.pnl, each.var_part, each.es_part)
        money = ("-" if figure is None else f"{figure:,.2f}" for figure in figures)
        made.add_row(each.symbol, f"{each.quantity:,}", price, *money)
    return made


def limits(found: PortfolioShown) -> Table:
    """How much of each limit is used."""
    made = console.table(
        f"limits of {found.name}", "limit", "state", ">measured", ">limit", ">used"
    )
    for each in found.limits:
        made.add_row(
            each.measure, each.standing, f"{each.measured:,.2f}", f"{each.limit:,.2f}",
            f"{max(each.measured, 0) / each.limit:.1%}",
        )  # fmt: skip
    return made
