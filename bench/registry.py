"""The benchmarks by name, and how some or all of them are run, shown and kept.

A new one is a file with a BENCH in it, and a line in BENCHES.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import (
    book,
    edge,
    flow,
    histograms,
    jitter,
    journey,
    latency,
    offered,
    parked,
    peers,
    report,
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
        journey.BENCH,
        flow.BENCH,
        peers.BENCH,
        offered.BENCH,
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
            report.show(result, console)
            results.append(result)
    if json_path:
        kept = {"host": about, "benches": [result.as_dict() for result in results]}
        Path(json_path).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if plot_path:
        report.plot(results, about, plot_path)
    return results
