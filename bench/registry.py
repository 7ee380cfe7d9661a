"""The benchmarks by name, and how some or all of them are run, shown and kept.

A new one is a file with a BENCH in it, and a line in BENCHES.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import (
    book,
    book_day,
    book_peers,
    book_rings,
    dbn,
    edge,
    flow,
    gate,
    histograms,
    itch_parse,
    jitter,
    journal,
    journey,
    json_feeds,
    latency,
    match_peers,
    mold,
    monte_carlo,
    offered,
    options,
    parked,
    peers,
    recovery,
    report,
    risk,
    throughput,
)
from bench.harness import Bench, BenchError, Options, Result, host

BENCHES: dict[str, Bench] = {
    bench.name: bench
    for bench in (
        throughput.BENCH,
        latency.BENCH,
        parked.BENCH,
        jitter.BENCH,
        histograms.BENCH,
        book.BENCH,
        book_day.BENCH,
        book_rings.BENCH,
        book_peers.BENCH,
        match_peers.BENCH,
        dbn.BENCH,
        itch_parse.BENCH,
        mold.BENCH,
        json_feeds.BENCH,
        journey.BENCH,
        flow.BENCH,
        journal.BENCH,
        recovery.BENCH,
        peers.BENCH,
        offered.BENCH,
        options.BENCH,
        risk.BENCH,
        monte_carlo.BENCH,
        gate.BENCH,
        edge.BENCH,
    )
}


def chosen(names: Sequence[str]) -> list[Bench]:
    """The benchmarks of those names, or all where none is named."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise BenchError(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return [BENCHES[name] for name in names or BENCHES]


def run_benches(
    names: Sequence[str] = (),
    json_path: str | Path | None = None,
    plot_path: str | Path | None = None,
    options: Options | None = None,
    console: Console | None = None,
) -> list[Result]:
    """Run benchmarks one after another and print a table of each; keep JSON and a picture if asked.

    Raises BenchError for an unknown name, a wrong payload, or a machine that cannot do it.
    """
    benches = chosen(names)
    if plot_path:
        report.check_plot(plot_path)
    console = console or Console()
    about = host()
    report.show_host(about, console)
    results = []
    for bench in benches:
        console.print(f"\n[bold]{bench.name}[/]: {bench.what}")
        found = bench.run(options or Options())
        for result in found if isinstance(found, list) else [found]:
            if result.name != bench.name:
                console.print(f"\n[bold]{result.name}[/]: {result.what}")
            report.show(result, console)
            results.append(result)
    if json_path:
        Path(json_path).write_text(as_json(about, results))
    if plot_path:
        report.plot(results, about, plot_path)
    return results


def as_json(about: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The host and the results, a line each, so that two of them can be told apart by eye."""
    lines = (json.dumps(result.as_dict(), ensure_ascii=False) for result in results)
    told = json.dumps(about, ensure_ascii=False)
    return '{"host": ' + told + ',\n"benches": [\n' + ",\n".join(lines) + "\n]}\n"
