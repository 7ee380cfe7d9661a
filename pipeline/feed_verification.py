"""`corelane verify feed`: a capture through the real pipeline, and all that can be checked."""

import tempfile
from pathlib import Path

import click
import msgspec
import numpy as np

from pipeline import console, plan, runs
from pipeline.config import Config, ConfigError, load
from pipeline.feed_checks import BestPrices, Crossing, Scale, Tally, binance_quotes, of_counters
from pipeline.report import Report
from pipeline.toml import write_config
from tuning import topology
from workers.feeds.registry import FEEDS, FeedOptions
from workers.instruments import announced
from workers.records import LOT_DECIMALS, Book, Event, Mark

FILE_KEYS = {"moldudp64": "pcap"}  # what a feed calls its file, where it is not `path`


def formats() -> dict[str, type]:
    """The feeds that read files, by name."""
    kinds = {str(options.__struct_config__.tag): options for options in FEEDS}
    return {
        name: options
        for name, options in sorted(kinds.items())
        if {FILE_KEYS.get(name, "path")} & {*options.__struct_fields__} and name != "journal"
    }


class Listener:
    """What comes by on both rings."""

    def __init__(self, best: BestPrices | None) -> None:
        self.best, self.crossing = best, Crossing()
        self.scales: dict[int, Scale] = {}
        self.states: dict[int, int] = {}  # State and Mark of each book, as last told

    def events(self, events: np.ndarray) -> None:
        """Take a slice of the log."""
        for event in events[events["kind"] == Event.DIRECTORY]:
            lots = 10 ** (int(event["flags"]) >> LOT_DECIMALS)
            scale = Scale(announced(event), int(event["quantity"]), lots)
            self.scales[int(event["instrument"])] = scale
        if self.best:
            self.best.events(events)

    def records(self, records: np.ndarray) -> None:
        """Take a slice of the book ring."""
        told = records[np.isin(records["kind"], (Book.TOP, Book.STATUS))]
        self.states.update(zip(told["instrument"].tolist(), told["state"].tolist(), strict=True))
        self.crossing.records(records)
        if self.best:
            self.best.records(records)


def verify(kind: str, path: Path) -> bool:
    """Print what was checked of one capture; True where something was and nothing failed."""
    options: FeedOptions = msgspec.convert(
        {"kind": kind, FILE_KEYS.get(kind, "path"): str(path.absolute())}, FeedOptions
    )
    heard = Listener(BestPrices(binance_quotes(path)) if kind == "binance" else None)
    report = run(options, heard)
    counters = {stage.name: stage.counters for stage in report.stages}
    feed = counters["ingest"]["feed0"]
    tallies = of_counters(feed, counters["book"]["book"])
    tallies.append(heard.crossing.result())
    if heard.best:
        tallies.append(heard.best.result(heard.scales))
    for stage in report.stages:
        if stage.message:
            console.err.print(stage.message, markup=False, style="red")
    _explain(kind, path, feed, heard, report)
    return say(kind, path, tallies) and report.balanced


def run(options: FeedOptions, heard: Listener) -> Report:
    """Run one feed through ingest and book, in processes of their own, and tap both rings."""
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder:
        path = Path(folder) / "verify.toml"
        name = f"verify-{Path(folder).name.removeprefix('corelane-').lower()}"
        write_config(Config(name=name, feeds=[options]), path)
        config = load(path)
        made = plan.make(config, topology.read(), ("events", "book"))
        taps = {"events": heard.events, "book": heard.records}
        return runs.supervise(config, made, path, quiet=True, taps=taps).report


def _explain(kind: str, path: Path, feed: dict, heard: Listener, report: Report) -> None:
    """What was met, for people."""
    types = {name[6:-1]: n for name, n in feed.items() if name.startswith("types[")}
    if types:
        line = " ".join(f"{name} {n}" for name, n in sorted(types.items()))
        click.echo(f"{kind} {path.name}: {feed['messages']} messages: {line}")
    names = ("ignored", "unknown", "bad_frames", "bad_values", "truncated", "duplicates", "gaps",
             "lost", "recovered", "out_of_order", "resyncs")  # fmt: skip
    for name in names:
        if feed[name]:
            console.err.print(f"  {name}: {feed[name]:,}", markup=False, style="dim")
    console.err.print(f"  instruments: {len(heard.scales):,}", markup=False, style="dim")
    stale = sorted(number for number, state in heard.states.items() if state & Mark.STALE)
    if stale:
        symbols = ", ".join(heard.scales[number].symbol for number in stale[:5])
        console.err.print(f"  stale at the end: {len(stale):,} ({symbols})", markup=False)
    if not report.balanced:
        console.err.print("  the counters of the run do not balance", style="red")


def say(kind: str, path: Path, tallies: list[Tally]) -> bool:
    """Print each check's line and the sum; True where something passed and nothing failed."""
    for tally in tallies:
        if tally.passed or tally.failed or tally.undecidable:
            click.echo(
                f"  {tally.name}: {tally.passed:,} of {tally.passed + tally.failed:,}"
                + (f", undecidable {tally.undecidable:,}" if tally.undecidable else "")
            )
        if tally.first_fault:
            console.err.print(f"  first fault: {tally.first_fault}", markup=False, style="red")
    passed = sum(tally.passed for tally in tallies)
    failed = sum(tally.failed for tally in tallies)
    undecidable = sum(tally.undecidable for tally in tallies)
    click.echo(
        f"{kind} {path.name}: {passed + failed} checks done, {passed} passed, {failed} failed, "
        f"{undecidable} undecidable"
    )
    return passed > 0 and not failed


def verify_all(kind: str, paths: list[Path]) -> bool:
    """Verify several captures of one format; ConfigError for a format that there is not."""
    known = formats()
    if kind not in known:
        raise ConfigError("verify feed", [f"{kind!r} is no format; use one of {', '.join(known)}"])
    verdicts = [verify(kind, path) for path in paths]  # each is told, whatever the first one is
    return all(verdicts)
