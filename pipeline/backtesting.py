"""`corelane backtest`: the value at risk that a pipeline told, against what was then made.

Everything is read from the journal of the risk ring, which a running pipeline may be writing.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.table import Table
from rich.text import Text

from pipeline import console, past
from pipeline.journals import moment, open_log
from pipeline.listing import printable
from pipeline.portfolios import CONVENTION
from pipeline.selection import choice
from pipeline.stressing import money
from ringbuf.journal import JournalError, JournalReader
from workers import backtests
from workers.kernels.scenarios import THOUSAND, VAR_LEVEL
from workers.periods import Cut, Period, Periods
from workers.records import MONEY_SCALE, RISK, Kept

READ = 1 << 18  # records read at a time
LEVEL = VAR_LEVEL / THOUSAND
PROBABILITY = (THOUSAND - VAR_LEVEL) / THOUSAND  # of an exception, were the model right


class PeriodShown(msgspec.Struct):
    """A period, in currency."""

    begins: str  # UTC
    told: float | None  # value at risk, told before it; None: none was told
    profit: float
    lowest: float  # the least that it had made at any time
    exception: bool
    over: bool  # False: it is still going on, and in none of the tests


class Ratio(msgspec.Struct):
    """A likelihood ratio test."""

    statistic: float
    p_value: float


class Backtest(msgspec.Struct):
    """A portfolio's periods, and what the tests say of those that are over."""

    portfolio: str
    convention: str
    periods: list[PeriodShown]
    tested: int
    exceptions: int
    expected: float
    kupiec: Ratio | None  # None: no period is over yet
    independence: Ratio | None  # None: fewer than two are
    coverage: Ratio | None
    light: str  # the Basel traffic light: green, yellow or red; empty: no period is over


class Reading:
    """The periods of portfolios, as far as their journal has been read."""

    def __init__(self, folder: Path, portfolio: str | None, cut: Cut) -> None:
        cut.check()
        named = past.read_run(folder).config["risk"]["portfolios"]
        self.names = [printable(each["name"]) for each in named]
        if not self.names:
            raise JournalError(f"{folder}: this pipeline had no portfolios; give it some")
        if portfolio is not None and portfolio not in self.names:
            raise JournalError(
                f"{folder} has no portfolio {portfolio!r}; {choice(portfolio, self.names)}"
            )
        wanted = self.names if portfolio is None else [portfolio]
        self.periods = {name: Periods(cut) for name in wanted}
        self.folder, self.next = folder, 0

    def read_on(self) -> None:
        """Take the records that have come since."""
        with closing(open_log(self.folder, "risk")) as log:
            self.next = max(self.next, log.first)
            for records in self._slices(log):
                risks = records[records["kind"] == Kept.RISK].view(RISK)
                for name, periods in self.periods.items():
                    mine = risks[risks["portfolio"] == self.names.index(name)]
                    periods.add(mine["time_ns"], mine["pnl"], mine["var_99"])

    def _slices(self, log: JournalReader) -> Iterator[np.ndarray]:
        while len(records := log.read(self.next, READ)):
            self.next += len(records)
            yield records

    def told(self) -> list[Backtest]:
        """What there is to say of each portfolio."""
        return [tested(name, periods.all()) for name, periods in self.periods.items()]


def tested(name: str, periods: Sequence[Period]) -> Backtest:
    """Hold what was told against what was made."""
    held = [period for period in periods if period.is_over and period.told is not None]
    hits = np.array([period.is_exception for period in held], np.int64)
    days, count = len(hits), int(hits.sum())
    pairs = backtests.transitions(hits) if days > 1 else None
    return Backtest(
        portfolio=name,
        convention=CONVENTION,
        periods=[_shown(period) for period in periods],
        tested=days,
        exceptions=count,
        expected=days * PROBABILITY,
        kupiec=Ratio(*backtests.kupiec(days, count, PROBABILITY)) if days else None,
        independence=Ratio(*backtests.independence(pairs)) if pairs else None,
        coverage=Ratio(*backtests.conditional_coverage(days, count, PROBABILITY, pairs))
        if pairs
        else None,
        light=backtests.traffic_light(count, days, LEVEL).zone if days else "",
    )


def _shown(period: Period) -> PeriodShown:
    return PeriodShown(
        begins=moment(period.begins_ns),
        told=None if period.told is None else period.told / MONEY_SCALE,
        profit=period.profit / MONEY_SCALE,
        lowest=period.lowest / MONEY_SCALE,
        exception=period.is_exception,
        over=period.is_over,
    )


def show(
    folder: Path, portfolio: str | None, cut: Cut, last: int, every: float | None, as_json: bool
) -> None:
    """Print it, every so many seconds if asked to; the last few periods of each portfolio."""
    reading = Reading(folder, portfolio, cut)
    with suppress(KeyboardInterrupt):
        while True:
            reading.read_on()
            for each in reading.told():
                if as_json:
                    click.echo(msgspec.json.encode(each))
                else:
                    print_one(each, last)
            if every is None:
                break
            time.sleep(every)


def print_one(told: Backtest, last: int) -> None:
    """A portfolio's table and verdict."""
    console.out.print(period_table(told, last))
    console.out.print(verdict(told), markup=False, soft_wrap=True)
    console.out.print()


def period_table(told: Backtest, last: int) -> Table:
    """The newest periods, the one that goes on at the end."""
    made = console.table(f"{told.portfolio}: profits and VaR 99 %",
                         ">begins (UTC)", ">VaR told", ">profit", ">lowest", "what")  # fmt: skip
    for period in told.periods[-last:] if last else []:
        what = Text("exception", style="red") if period.exception else Text("")
        if period.told is None:
            what = Text("none was told right before")
        if not period.over:
            what.append(" so far")
        var = "" if period.told is None else f"{period.told:,.2f}"
        made.add_row(
            period.begins[:16].replace("T", " "), var, money(period.profit), money(period.lowest),
            what,
        )  # fmt: skip
    return made


def verdict(told: Backtest) -> str:
    """The tests in words."""
    if not told.tested or told.kupiec is None:
        return "no period is over that value at risk was told for: nothing to test yet"
    text = (
        f"VaR 99 % ({told.convention}): {told.exceptions:,} exceptions in {told.tested:,} periods, "
        f"{told.expected:.2f} expected: "
        f"{told.light} (Basel traffic light); Kupiec {_test(told.kupiec)}"
    )
    if told.independence and told.coverage:
        text += f", independence {_test(told.independence)}, both {_test(told.coverage)}"
    return text


def _test(found: Ratio) -> str:
    return f"{found.statistic:.3f} (p {found.p_value:.3f})"
