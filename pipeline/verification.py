"""`corelane verify`: real files through real processes and rings, against the exchange's truth."""

import tempfile
from pathlib import Path

import click
import numpy as np

from pipeline import console, plan, runs
from pipeline.config import Config, load
from pipeline.report import Report
from pipeline.toml import write_config
from pipeline.truth import RowTruth, StateTruth, Verdict
from tuning import topology
from workers.book import BookOptions
from workers.feeds.itch import ItchOptions
from workers.feeds.lobster import LobsterOptions
from workers.feeds.lobster_book import parse_name, read_book, rows_belong
from workers.feeds.registry import FeedOptions
from workers.records import EVENT, TOP, Event

NO_EVENTS, NO_RECORDS = np.zeros(0, EVENT), np.zeros(0, TOP)


def replay(
    feed: FeedOptions, truth: RowTruth | StateTruth | None, symbol: str | None = None
) -> Report:
    """Run one feed through ingest and book, in processes of their own, and tap both rings."""
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
        path = Path(folder) / "verify.toml"
        name = f"verify-{Path(folder).name.removeprefix('corelane-').lower()}"
        write_config(Config(name=name, feeds=[feed], book=BookOptions(publish_levels=True)), path)
        config = load(path)
        taps = ("events", "book") if truth else ()
        made = plan.make(config, topology.read(), taps)
        chosen = _Chosen(truth, symbol)
        feeders = {"events": chosen.events, "book": chosen.records} if truth else {}
        return runs.supervise(config, made, path, quiet=True, taps=feeders).report


class _Chosen:
    """Hands a truth the records of one instrument: the named one, or all there are."""

    def __init__(self, truth: RowTruth | StateTruth | None, symbol: str | None) -> None:
        self.truth, self.symbol = truth, symbol
        self.instrument: int | None = None
        self.waiting: list[np.ndarray] = []

    def events(self, events: np.ndarray) -> None:
        """Take a slice of the log; the instrument is known from its announcement on."""
        assert self.truth is not None
        if self.symbol is not None and self.instrument is None:
            self._find(events)
            if self.instrument is None:
                return
        self.truth.feed(self._mine(events.copy()), NO_RECORDS)
        for records in self.waiting:
            self.truth.feed(NO_EVENTS, self._mine(records))
        self.waiting.clear()

    def records(self, records: np.ndarray) -> None:
        """Take a slice of the book ring."""
        assert self.truth is not None
        if self.symbol is not None and self.instrument is None:
            self.waiting.append(records.copy())
        else:
            self.truth.feed(NO_EVENTS, self._mine(records.copy()))

    def _find(self, events: np.ndarray) -> None:
        for event in events[events["kind"] == Event.DIRECTORY]:
            if event.tobytes()[16:40].decode("ascii", "replace").strip() == self.symbol:
                self.instrument = int(event["instrument"])
                return

    def _mine(self, records: np.ndarray) -> np.ndarray:
        if self.instrument is None:
            return records
        return records[records["instrument"] == self.instrument]


def lobster(messages: Path, orderbook: Path) -> bool:
    """Print how a LOBSTER day matches its order book file; True when all that can be known does."""
    book = read_book(orderbook)
    symbol = parse_name(messages).symbol or parse_name(orderbook).symbol
    feed = LobsterOptions(path=str(messages), orderbook=str(orderbook), symbol=symbol)
    truth = RowTruth(book) if rows_belong(messages, orderbook, book) else StateTruth(book)
    report = replay(feed, truth)
    return _say(truth.result(), "lobster", symbol or messages.name, report)


def itch(file: Path, orderbook: Path | None, by_type: bool) -> bool:
    """Print the counts per message type of an ITCH file, and how its best prices match a truth."""
    feed = ItchOptions(path=str(file), lengths="by-type" if by_type else "strict")
    truth, symbol = None, None
    if orderbook:
        truth, symbol = StateTruth(read_book(orderbook)), parse_name(orderbook).symbol
    report = replay(feed, truth, symbol)
    stage = report.stage("ingest")
    assert stage is not None
    counts = stage.counters["feed0"]
    types = {name[6:-1]: n for name, n in counts.items() if name.startswith("types[")}
    bad = {name: counts[name] for name in _BAD if counts[name]}
    line = " ".join(f"{name} {n}" for name, n in sorted(types.items()))
    click.echo(f"itch {file.name}: {counts['messages']} messages: {line}")
    for name, n in bad.items():
        console.err.print(f"itch {file.name}: {name} {n}", markup=False)
    if stage.message:
        console.err.print(f"itch {file.name}: {stage.message}", markup=False, style="red")
    whole = bool(counts["messages"]) and not bad and report.balanced
    if truth is None:
        return whole
    return _say(truth.result(), "itch", symbol or file.name, report) and whole


_BAD = ("bad_frames", "bad_values", "unknown", "truncated")


def _say(verdict: Verdict, source: str, symbol: str, report: Report) -> bool:
    """Print the verdict's one line on stdout, and what explains it on stderr."""
    click.echo(verdict.line(source, symbol))
    for what, count in verdict.notes.items():
        if count:
            console.err.print(f"  {what}: {count:,}", markup=False, style="dim")
    if verdict.first_fault:
        console.err.print(f"  first fault: {verdict.first_fault}", markup=False, style="red")
    if not report.balanced:
        console.err.print("  the counters of the run do not balance", style="red")
    return verdict.holds and report.balanced
