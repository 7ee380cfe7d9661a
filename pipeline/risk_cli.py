"""Commands about risk: of a running pipeline, and of holdings in a file."""

from datetime import datetime
from pathlib import Path

import click

FILE = click.Path(path_type=Path)
AIMS = ("delta", "delta-gamma", "delta-vega", "delta-gamma-vega", "variance")


@click.command()
@click.argument("book", metavar="BOOK.toml", type=FILE)
@click.option("--grid", is_flag=True, help="Profits by price and volatility.")
@click.option("--moves", metavar="PERCENTS", help="The grid's returns: --moves=-20,0,20.")
@click.option(
    "--points", metavar="POINTS", help="The grid's shifts of volatility: --points=-5,0,5."
)
@click.option("--by-beta", is_flag=True, help="The grid's returns are the market's: times beta.")
@click.option("--crisis", "crises", multiple=True, metavar="NAME", help="One crisis, or all.")
@click.option("--parallel", is_flag=True, help="Crises: far expiries' volatility moves as much.")
@click.option("--reverse", "loss", type=float, metavar="LOSS", help="What would lose so much?")
@click.option("--ladder", "greeks", is_flag=True, help="Greeks by expiry and strike.")
@click.option("--pipeline", metavar="NAME", help="Prices: the mids of a running pipeline's books.")
@click.option("--every", type=click.FloatRange(0.1), help="Again so often, seconds, until Ctrl-C.")
def stress(
    book: Path,
    grid: bool,
    moves: str | None,
    points: str | None,
    by_beta: bool,
    crises: tuple[str, ...],
    parallel: bool,
    loss: float | None,
    greeks: bool,
    pipeline: str | None,
    every: float | None,
) -> None:
    """Revalue the positions of a TOML file under grids, crises and its own shocks.

    Without options: grid, Greeks, all crises and the file's shocks. docs/stress.md has the file's
    keys and units; the least is

    \b
    [underlyings.ACME]
    price = 100.0
    [[positions]]
    kind = "equity"            # future, option
    underlying = "ACME"
    quantity = 500
    """
    from pipeline import stressing

    gridded = grid or by_beta or moves is not None or points is not None
    wanted = stressing.Wanted(
        gridded, moves, points, by_beta, crises, parallel, loss, greeks, pipeline, every
    )
    stressing.show(book, wanted)


@click.command()
@click.argument("book", metavar="BOOK.toml", type=FILE)
@click.option("--aim", type=click.Choice(AIMS), default="delta", show_default=True)
@click.option("--returns", type=FILE, help="variance: a CSV of daily returns, one column each.")
def hedge(book: Path, aim: str, returns: Path | None) -> None:
    """Say which of a TOML file's [[hedges]] to trade, in whole lots, and what that does.

    Neutral Greeks at the least cost, or the least variance. Nothing is sent anywhere.
    """
    from pipeline import console, stressing
    from pipeline.holdings import load
    from workers.revaluation import Valued

    valued = Valued(load(book), str(book))
    if aim == stressing.VARIANCE:
        parts = stressing.variance_parts(valued, returns)
    else:
        parts = stressing.hedge_parts(valued, aim)
    console.out.print(stressing.headline(valued), markup=False)
    for part in parts:
        console.out.print(part)


@click.command()
@click.argument("before", metavar="BEFORE.toml", type=FILE)
@click.argument("after", metavar="AFTER.toml", type=FILE)
def explain(before: Path, after: Path) -> None:
    """Say where the profit between two states of the same positions came from.

    Both files have the same positions in the same order; prices, volatilities, rates, dividends
    and expiries may differ. The parts and what is unexplained add up to the full revaluation.
    """
    from pipeline import console, stressing
    from pipeline.holdings import load

    console.out.print(stressing.explain_table(load(before), load(after)))


@click.command()
@click.argument("portfolio", required=False)
@click.option("--pipeline", help="Which of those that run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a portfolio.")
def risk(portfolio: str | None, pipeline: str | None, as_json: bool) -> None:
    """Show the portfolios of a running pipeline: value, P&L, VaR, ES and limits.

    With a PORTFOLIO also its positions with all below it, what each adds to VaR and ES, and how
    much of each limit is used.
    """
    from pipeline import risk_board

    risk_board.show(pipeline, portfolio, as_json)


@click.command()
@click.argument("folder", metavar="JOURNAL", type=FILE)
@click.argument("portfolio", required=False)
@click.option("--period", default=86_400, show_default=True, help="Seconds; a day, or a part.")
@click.option("--roll", type=click.DateTime(["%H:%M"]), help="When a day begins, HH:MM in UTC.")
@click.option(
    "--day", default=86_400, show_default=True, help="Seconds of trading that a day's VaR is for."
)
@click.option(
    "--last", type=click.IntRange(0), default=10, show_default=True, help="Periods shown."
)
@click.option("--every", type=click.FloatRange(0.1), help="Again so often, seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a portfolio, all periods.")
def backtest(
    folder: Path,
    portfolio: str | None,
    period: int,
    roll: datetime | None,
    day: int,
    last: int,
    every: float | None,
    as_json: bool,
) -> None:
    """Hold the value at risk that a pipeline told against what was made in the next period.

    JOURNAL is what journal.path names; the pipeline may be running: the period that goes on is
    shown as far as it is. Of the others come the tests of Kupiec and Christoffersen and the Basel
    traffic light. Profits are those of the portfolio as it was traded.
    """
    from pipeline import backtesting
    from workers.periods import Cut

    at = 0 if roll is None else roll.hour * 3600 + roll.minute * 60
    backtesting.show(folder, portfolio, Cut(period, at, day), last, every, as_json)
