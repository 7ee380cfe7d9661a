"""Two files of results side by side: of `corelane bench --json`, or of `corelane latency --json`.

What is comparable between two runs is a ratio *within* each of them; values of the same benchmark
are set beside each other all the same, with the range that the rounds' own scatter leaves open.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.harness import PERCENTS, BenchError, Result
from bench.report import SHOWN, short
from pipeline import latency
from ringbuf.histogram import Summary

DRAWS, INSIDE = 2_000, 90  # of the bootstrap; percent of its draws within the range shown
SEED = 1
PERCENTILES = tuple(f"p{percent:g}" for percent in PERCENTS)
FIELDS = ("name", "what", "unit", "headline", "better", "rounds", "pairs")
HOST = tuple(name for name in SHOWN if name != "load")


class Ratio(NamedTuple):
    """B / A, and the range that the scatter of the rounds leaves open; nan where there is none."""

    middle: float
    low: float
    high: float


class File(NamedTuple):
    """A file of results: benchmarks or latencies, and what they were measured on."""

    path: Path
    host: Mapping[str, Any]
    benches: dict[str, Result]
    latencies: dict[str, Summary]


def read(path: Path) -> File:
    """Read either kind of file; BenchError for anything else."""
    try:
        kept = json.loads(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BenchError(f"{path}: is not JSON; `corelane bench --json` writes what is") from None
    if isinstance(kept, dict) and kept.get("kind") == latency.KIND:
        try:
            return File(path, kept.get("host", {}), {}, latency.read(path))
        except latency.LatencyRefused as refused:
            raise BenchError(str(refused)) from None
    try:
        results = [Result(**{name: one[name] for name in FIELDS}) for one in kept["benches"]]
        for result in results:  # a ratio of each: what is damaged shows here
            result.ratios()
            for variant in result.variants:
                result.median(variant, result.headline)
        return File(path, dict(kept["host"]), {one.name: one for one in results}, {})
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise BenchError(
            f"{path}: holds results neither of `corelane bench --json` nor of "
            "`corelane latency --json`"
        ) from None


def compare(first: Path, second: Path, console: Console) -> None:
    """Print what two files have in common; BenchError where that is nothing."""
    one, other = read(first), read(second)
    benches = [name for name in one.benches if name in other.benches]
    histograms = [name for name in one.latencies if name in other.latencies]
    if not benches and not histograms:
        raise BenchError(
            f"{first} and {second} have nothing in common: {_held(one)}, and {_held(other)}"
        )
    console.print(f"A: {first}\nB: {second}", markup=False, highlight=False, soft_wrap=True)
    if warning := hosts(one.host, other.host):
        console.print(warning, style="yellow", markup=False, soft_wrap=True)
    for name in benches:
        console.print(bench_table(one.benches[name], other.benches[name]))
        if one.benches[name].pairs:
            console.print(pairs_table(one.benches[name], other.benches[name]))
    if histograms:
        console.print(latency_table(one.latencies, other.latencies))


def _held(file: File) -> str:
    held = ", ".join([*file.benches, *file.latencies])
    return f"{file.path.name} has {held or 'nothing'}"


def hosts(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between two hosts, and what that means for the figures."""
    differing = [name for name in HOST if one.get(name) != other.get(name)]
    told = [f"{name}: A {one.get(name)}, B {other.get(name)}" for name in differing]
    if told:
        told.append("not the same host: compare ratios within each run, not values")
    loads = [load for load in (one.get("load"), other.get("load")) if isinstance(load, float | int)]
    if max(loads, default=0.0) > 1.0:
        told.append(f"a busy machine (load A {one.get('load')}, B {other.get('load')})")
    return "\n".join(told)


def ratio(one: list[float], other: list[float]) -> Ratio:
    """The ratio of the medians of two series of rounds, with its bootstrap range."""
    if not np.median(one):
        return Ratio(np.nan, np.nan, np.nan)
    draw = np.random.default_rng(SEED).choice
    below = np.median(draw(one, (DRAWS, len(one))), axis=1)
    above = np.median(draw(other, (DRAWS, len(other))), axis=1)
    drawn = above[below != 0] / below[below != 0]
    low, high = np.percentile(drawn, [50 - INSIDE / 2, 50 + INSIDE / 2])
    return Ratio(float(np.median(other) / np.median(one)), float(low), float(high))


def bench_table(one: Result, other: Result) -> Table:
    """The headline and the percentiles of each variant that both have."""
    made = _table(f"{one.name}: {one.what}", "variant", "metric", ">A", ">B", ">B / A", "range")
    made.caption = f"{one.unit or one.headline}; {one.better} is better; range: {INSIDE} % of draws"
    for variant in (name for name in one.variants if name in other.variants):
        wanted = dict.fromkeys([one.headline, *PERCENTILES, "max"])
        shared = one.rounds[0][variant].keys() & other.rounds[0][variant].keys()
        for number, metric in enumerate(name for name in wanted if name in shared):
            found = ratio(one.values(variant, metric), other.values(variant, metric))
            values = one.median(variant, metric), other.median(variant, metric)
            made.add_row("" if number else variant, metric, *map(short, values), *_told(found))
    return made


def pairs_table(one: Result, other: Result) -> Table:
    """The ratios within each run: what one machine says of two variants."""
    made = _table("ratios within each run", "ratio", ">A", ">B", ">B / A")
    ours, theirs = one.ratios(), other.ratios()
    for name in (name for name in ours if name in theirs):
        grown = theirs[name] / ours[name] if ours[name] else np.nan
        made.add_row(name, f"{ours[name]:.3g}", f"{theirs[name]:.3g}", f"{grown:.3f}")
    return made


def latency_table(one: Mapping[str, Summary], other: Mapping[str, Summary]) -> Table:
    """Percentiles of each histogram that both have."""
    made = _table("latency, ns", "histogram", "metric", ">A", ">B", ">B / A")
    for name in (name for name in one if name in other):
        before, after = one[name].as_dict(), other[name].as_dict()
        for number, metric in enumerate(before):
            shown = f"{after[metric] / before[metric]:.3f}" if before[metric] else "-"
            values = (f"{side[metric]:,.0f}" for side in (before, after))
            made.add_row("" if number else name, metric, *values, shown)
    return made


def _table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column[0] == ">" else "left")
    return made


def _told(found: Ratio) -> tuple[str, str]:
    if np.isnan(found.middle):
        return "-", ""
    return f"{found.middle:.3f}", f"{found.low:.3f} - {found.high:.3f}"
