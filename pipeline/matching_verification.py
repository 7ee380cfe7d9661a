"""`corelane verify matching`: an order flow through the real book stage, and what came of it."""

import tempfile
from collections import defaultdict
from pathlib import Path

import click
import numpy as np

from pipeline import console, plan, runs
from pipeline.config import Config, load
from pipeline.matching_reports import digest, report_lines
from pipeline.report import Report
from pipeline.toml import write_config
from tuning import topology
from workers.book import BookOptions
from workers.feeds.order_flow import FlowOptions
from workers.matched import MatchingOptions
from workers.records import LEVEL, Book, Side

REPORTS = (Book.ACCEPTED, Book.REJECTED, Book.FILL, Book.CANCELED, Book.REPLACED)


class Desk:
    """What comes by on the book ring: reports, and whether tops and levels say the same."""

    def __init__(self) -> None:
        self.reports: list[np.ndarray] = []
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.tops = self.wrong = 0
        self.first_fault = ""
        self.counts: defaultdict[str, int] = defaultdict(int)

    def records(self, records: np.ndarray) -> None:
        """Take a slice of the ring."""
        self.reports.append(records[np.isin(records["kind"], REPORTS)].copy())
        for kind, count in zip(*np.unique(records["kind"], return_counts=True), strict=True):
            self.counts[Book(kind).name.lower()] += int(count)
        shown = records[np.isin(records["kind"], (Book.LEVEL, Book.TOP))]
        fields = (shown["kind"], shown["side"], shown.view(LEVEL)["price"], shown["bid_quantity"])
        for row, place in zip(shown, zip(*(f.tolist() for f in fields), strict=True), strict=True):
            if place[0] == Book.LEVEL:
                self._level(row.view(LEVEL))
            else:
                self._top(row)

    def _level(self, row: np.record) -> None:
        side, price, quantity = int(row["side"]), int(row["price"]), int(row["quantity"])
        if quantity:
            self.levels[side][price] = quantity
        else:
            self.levels[side].pop(price, None)

    def _top(self, row: np.record) -> None:
        """Best prices must be those of the levels that were told, and uncrossed."""
        bids, asks = self.levels[Side.BID], self.levels[Side.ASK]
        bid, ask = max(bids, default=0), min(asks, default=0)
        told = tuple(int(row[name]) for name in ("bid", "bid_quantity", "ask", "ask_quantity"))
        wanted = (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
        self.tops += 1
        if told != wanted or (ask and bid >= ask):
            self.wrong += 1
            self.first_fault = self.first_fault or (
                f"after event {row['cause']}: {told}, but the levels say {wanted}"
            )


def run(path: Path, desk: Desk) -> Report:
    """Run a flow through ingest and book, in processes of their own, and tap the book ring."""
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
        config_path = Path(folder) / "verify.toml"
        name = f"verify-{Path(folder).name.removeprefix('corelane-').lower()}"
        book = BookOptions(publish_levels=True, matching=MatchingOptions(instruments=1))
        config = Config(name=name, feeds=[FlowOptions(path=str(path.absolute()))], book=book)
        write_config(config, config_path)
        config = load(config_path)
        made = plan.make(config, topology.read(), ("book",))
        taps = {"book": desk.records}
        return runs.supervise(config, made, config_path, quiet=True, taps=taps).report


def verify(path: Path, expected: str | None) -> bool:
    """Print the digest of a flow's reports; True where it is the one expected, and all adds up."""
    desk = Desk()
    report = run(path, desk)
    ingest = report.stage("ingest")
    assert ingest is not None
    whole = not ingest.message and not ingest.counters["feed0"]["bad_frames"]
    if ingest.message:
        console.err.print(ingest.message, markup=False, style="red")
    if not report.balanced:
        console.err.print("the counters of the run do not balance", style="red")
    lines = report_lines(np.concatenate(desk.reports)) if desk.reports else []
    found = digest(lines)
    messages = ingest.counters["feed0"]["messages"]
    trades = desk.counts["fill"] // 2
    click.echo(
        f"matching {path.name}: {messages:,} messages, {len(lines):,} reports, {trades:,} trades"
    )
    click.echo(f"best prices: {desk.tops - desk.wrong:,} of {desk.tops:,} as the levels say")
    if desk.first_fault:
        console.err.print(f"first fault: {desk.first_fault}", markup=False, style="red")
    click.echo(f"sha256 {found}")
    same = expected is None or found == expected.lower()
    if not same:
        console.err.print(f"expected {expected}", markup=False, style="red")
    elif expected:
        click.echo("the same as expected")
    return same and whole and report.balanced and not desk.wrong and messages > 0
