"""`corelane demo`: a whole day through the real pipeline, and a summary to look at."""

import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline import console, launch, plan, runs
from pipeline.config import Config, ConfigError, load
from pipeline.peek import first_prices
from pipeline.report import best_prices, save
from pipeline.toml import write_config
from ringbuf.panel import Panel
from tuning import topology
from workers.feeds.itch import ItchOptions
from workers.feeds.lobster import LobsterOptions
from workers.feeds.lobster_book import parse_name
from workers.feeds.registry import FeedOptions
from workers.feeds.synthetic import SyntheticOptions, opening_prices, symbols
from workers.kernels.orderbook import Outcome
from workers.publish import PublisherOptions
from workers.risk_options import Portfolio, Position, RiskOptions
from workers.sinks.parquet_file import ParquetOptions

MESSAGES, SYMBOLS = 2_000_000, 200
HELD = 12  # instruments in the demo portfolios
PRICE_SCALE = 10_000
COMMENT = "Written by `corelane demo`. Change it and try: corelane run demo/demo.toml"
MESSAGE_FILE = re.compile(r"(?P<head>.+)_message_(?P<levels>\d+)\.csv(\.gz)?$")


@dataclass(frozen=True)
class Choice:
    """What the demo is asked to show."""

    messages: int | None
    symbols: int | None
    seed: int
    lobster: Path | None
    itch: Path | None
    folder: Path
    name: str = "demo"  # of the pipeline


def run(choice: Choice) -> None:
    """Write a configuration, run it, and print what came of it."""
    with launch.only_one(choice.name):
        launch.check_free(choice.name)  # before the files of one that runs are touched
    folder = choice.folder
    folder.mkdir(parents=True, exist_ok=True)
    history = folder / "history"
    _clear(history)
    config_path = folder / "demo.toml"
    write_config(_config(choice, history), config_path, COMMENT)
    config = load(config_path)
    made = plan.make(config, topology.read())
    for note in made.notes:
        console.err.print(note, markup=False, style="dim")
    prices: list[dict] = []
    with _progress() as progress:
        bar = progress.add_task("", total=1.0)
        watch = _Watch(config, progress, bar)
        result = runs.supervise(
            config,
            made,
            config_path,
            every=watch,
            at_end=lambda name: prices.extend(best_prices(name)),
        )
        progress.update(bar, completed=1.0)
    save(result.report, folder / "report.json")
    _summary(result, prices, history, config_path)


def _clear(history: Path) -> None:
    """Make room for the history of this run; only what a run has made is removed."""
    if history.exists():
        if not (history / "run.json").exists():
            raise ConfigError(str(history), ["is no history of a demo; name another --folder"])
        shutil.rmtree(history)


def _progress() -> Progress:
    return Progress(
        BarColumn(40),
        TextColumn("{task.percentage:3.0f} %  {task.description}"),
        TimeElapsedColumn(),
        console=console.err,
        transient=True,
    )


class _Watch:
    """Moves the progress bar by what the panels show."""

    def __init__(self, config: Config, progress: Progress, bar) -> None:
        self.progress, self.bar = progress, bar
        feeds = config.feeds
        self.total = sum(f.messages for f in feeds if isinstance(f, SyntheticOptions)) or None
        self.began = time.monotonic()

    def __call__(self, panels: dict[str, Panel]) -> None:
        feeds = [block for name, block in panels["ingest"].counters.items() if name[:4] == "feed"]
        done = sum(int(block["messages"]) for block in feeds)
        if not done:
            self.began = time.monotonic()
        speed = done / max(time.monotonic() - self.began, 1e-9)
        text = f"{done:,} messages, {speed:,.0f}/s"
        share = done / self.total if self.total else None
        total = 1.0 if share else None
        self.progress.update(self.bar, completed=share, total=total, description=text)


def _config(choice: Choice, history: Path) -> Config:
    feeds, positions = _sources(choice)
    return Config(
        name=choice.name,
        feeds=feeds,
        risk=RiskOptions(portfolios=_portfolios(positions)),
        publisher=PublisherOptions(sinks=[ParquetOptions(path=str(history))]),
    )


def _sources(choice: Choice) -> tuple[list[FeedOptions], dict[str, float]]:
    """The feeds to run, and a price for each instrument that the portfolios may hold."""
    if choice.lobster:
        return _lobster(choice.lobster)
    if choice.itch:
        options: FeedOptions = ItchOptions(path=str(choice.itch))
        return [options], first_prices(options, HELD)
    options = SyntheticOptions(
        messages=choice.messages or MESSAGES, symbols=choice.symbols or SYMBOLS, seed=choice.seed
    )
    prices = (price / PRICE_SCALE for price in opening_prices(options))
    opening = dict(zip(symbols(options), prices, strict=True))
    return [options], dict(list(opening.items())[:HELD])


def _lobster(folder: Path) -> tuple[list[FeedOptions], dict[str, float]]:
    """One message file of each symbol in a folder, one with an order book file if there is one."""
    chosen: dict[str, LobsterOptions] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found, symbol = MESSAGE_FILE.match(path.name), parse_name(path).symbol
        if found and symbol:
            books = sorted(folder.glob(f"{found['head']}_orderbook_{found['levels']}.csv*"))
            option = LobsterOptions(path=str(path), orderbook=str(books[0]) if books else None)
            if symbol not in chosen or (books and not chosen[symbol].orderbook):
                chosen[symbol] = option
    if not chosen:
        raise ConfigError(str(folder), ["no LOBSTER message files (SYMBOL_…_message_N.csv) here"])
    positions: dict[str, float] = {}
    for option in chosen.values():
        positions |= first_prices(LobsterOptions(path=option.path), 1)
    return list(chosen.values()), positions


def _portfolios(prices: dict[str, float]) -> list[Portfolio]:
    """A long book over all instruments, and a hedged one: long and short in turn."""
    rounded = {symbol: round(price, 4) for symbol, price in prices.items()}
    held = {
        symbol: Position(quantity=100 * (1 + number % 5), price=price)
        for number, (symbol, price) in enumerate(rounded.items())
    }
    hedged = {
        symbol: Position(quantity=100 if number % 2 else -100, price=price)
        for number, (symbol, price) in enumerate(rounded.items())
    }
    both = [Portfolio(name="long", positions=held), Portfolio(name="hedged", positions=hedged)]
    return both if prices else []


def _summary(result: runs.Result, prices: list[dict], history: Path, config_path: Path) -> None:
    report, show = result.report, console.out.print
    show(f"[bold]{console.rate(report, result.seconds)}[/bold], ready in {report.ready_s:.2f} s")
    show()
    show(console.latencies(report, "latency at full speed: most of it is waiting in full rings"))
    show()
    show(console.prices(prices))
    show()
    if report.portfolios:
        show(console.portfolios(report))
        show()
    book = report.stage("book")
    assert book is not None
    refused = {name.name.lower() for name in Outcome if name > Outcome.IGNORED}
    bad = sum(n for name, n in book.counters["book"].items() if name in refused)
    state = "every record accounted for" if report.balanced else "RECORDS MISSING: see balances"
    show(f"{state}; {bad:,} events refused by the book", markup=False)
    show(f"history: {history}  (Parquet)   report: {history.parent / 'report.json'}", markup=False)
    show(f"configuration: {config_path}", markup=False)
    show("look at it:", markup=False)
    query = (
        "SELECT symbol, count(*) AS trades, sum(quantity) AS volume, "
        "round(sum(price * quantity) / sum(quantity), 4) AS vwap "
        f'FROM "{history}/trades/*.parquet" GROUP BY symbol ORDER BY volume DESC LIMIT 5'
    )
    python = os.path.relpath(sys.executable)
    command = f"""  {python} -c 'import duckdb; duckdb.sql(\'\'\'{query}\'\'\').show()'"""
    show(command.replace("'''", '"' * 3), markup=False, soft_wrap=True)
