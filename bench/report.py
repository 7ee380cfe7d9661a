"""Results for the eye: tables on the terminal, bars and percentile curves in a picture."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness import PERCENTS, BenchError, Metrics, Result
from ringbuf.histogram import Summary

SHOWN = ("cpu", "cores", "machine", "kernel", "governor", "isolated", "load", "python", "numba")
PLOT_ENDINGS = (".png", ".svg", ".pdf")
BUSY_LOAD = 1.0
MARK = "°"  # of a percentile that the platform's own gaps explain
DECADES = [step * 10**power for power in range(2, 10) for step in (1, 3)]  # ns
MANY_METRICS = 7
FEW_METRICS = 2  # with no more than so many, there is room for the range over the rounds


def show_host(about: Mapping[str, Any], console: Console) -> None:
    """One line on the machine; a warning where it is busy, or the compiler off."""
    told = (f"{name} {about[name]}" for name in SHOWN if about[name] != "none")
    console.print(", ".join(told), highlight=False)
    if about["load"] > BUSY_LOAD:
        console.print("[yellow]the machine is busy: trust the ratios, not the numbers[/]")
    if not about["compiled"]:
        console.print("[yellow]the compiler is off: the numbers mean nothing[/]")


def show(result: Result, console: Console) -> None:
    """A table of medians over the rounds; ratios, jitter and notes below."""
    console.print(_table(result))
    for pair, ratio in result.ratios().items():
        console.print(f"{result.headline}: [bold]{ratio:.3g}[/] = {pair}", highlight=False)
    if result.base:
        console.print(_base_table(result))
    if any(result.platform.values()):
        console.print(f"{MARK} the platform's: the cores' own gaps explain this tail")
    if result.jitter:
        console.print(_jitter_table(result.jitter))
    if result.gaps:
        console.print(_gaps_table(result.gaps))
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)


def _table(result: Result) -> Table:
    metrics = metric_names(result)
    table = Table(caption=_caption(result), caption_justify="left")
    table.add_column("", no_wrap=True)
    if len(metrics) > MANY_METRICS:  # too many for a line: a column for each variant instead
        for variant in result.variants:
            table.add_column(variant, justify="right", no_wrap=True)
        for metric in metrics:
            table.add_row(
                metric, *(_number(result, variant, metric) for variant in result.variants)
            )
        return table
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    alone = len(metrics) <= FEW_METRICS
    if alone:
        table.add_column("lowest - highest", no_wrap=True)
    for variant in result.variants:
        row = [_number(result, variant, metric) for metric in metrics]
        if alone:
            spread = result.values(variant, result.headline)
            row.append(f"{short(min(spread))} - {short(max(spread))}")
        table.add_row(variant, *row)
    return table


def metric_names(result: Result) -> list[str]:
    """All metrics that any variant has, in their order."""
    named = [metric for variant in result.rounds[0].values() for metric in variant]
    return list(dict.fromkeys(named))


def _caption(result: Result) -> str:
    unit = f"{result.unit}; " if result.unit else ""
    return f"{unit}medians of {len(result.rounds)} rounds; {result.better} is better"


def _number(result: Result, variant: str, metric: str) -> str:
    if metric not in result.rounds[0][variant]:
        return ""
    mark = MARK if metric in result.platform.get(variant, ()) else ""
    return mark + short(result.median(variant, metric))


def short(value: float) -> str:
    """Three or four telling digits; of a very small value at least one."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.01 or not value else f"{value:.1g}"


def _base_table(result: Result) -> Table:
    caption = f"{result.base} / each: medians of the ratios by round"
    table = Table(caption=caption, caption_justify="left")
    table.add_column("")
    metrics = [name for name in metric_names(result) if name in result.rounds[0][result.base]]
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for other, ratios in result.base_ratios().items():
        shown = (f"{ratios[name]:.3g}" if name in ratios else "" for name in metrics)
        table.add_row(other, *shown)
    return table


def _jitter_table(jitter: Mapping[str, Metrics]) -> Table:
    caption = (
        "the cores' own jitter in the same interval; lost: in gaps over 100 ns; neighbours, "
        "hypervisor: what the kernel knows of it, as other processes' and as the host's"
    )
    table = Table(caption=caption, caption_justify="left")
    table.add_column("", no_wrap=True)
    for core in jitter:
        table.add_column(core, justify="right")
    for metric in next(iter(jitter.values())):
        table.add_row(metric, *(short(of_core[metric]) for of_core in jitter.values()))
    return table


def _gaps_table(gaps: Mapping[str, Mapping[str, Any]]) -> Table:
    """The histogram of the gaps: how many of each length, on each core."""
    table = Table(caption="gaps by length", caption_justify="left")
    table.add_column("ns")
    lengths = {core: Summary.from_sparse(sparse) for core, sparse in gaps.items()}
    for core in lengths:
        table.add_column(core, justify="right")
    highest = max(summary.highest for summary in lengths.values())
    for low, high in pairwise(DECADES):
        if low <= highest:
            counts = (one.up_to(high) - one.up_to(low) for one in lengths.values())
            table.add_row(f"{low:,} - {high:,}", *(f"{count:,}" for count in counts))
    return table


def check_plot(path: str | Path) -> None:
    """Refuse, before anything is measured, a picture that could not be made."""
    if Path(path).suffix not in PLOT_ENDINGS:
        raise BenchError(f"a plot ends in {', '.join(PLOT_ENDINGS)}; {path} does not")
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise BenchError("a plot needs matplotlib: pip install 'corelane[plot]'") from None


def plot(results: list[Result], about: Mapping[str, Any], path: str | Path) -> None:
    """One panel a benchmark: percentile curves where there are percentiles, else bars."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for result, panel in zip(results, panels, strict=True):
        panel.set_title(f"{result.name}: {result.what}", loc="left", fontsize=11)
        (_curves if "p99" in metric_names(result) else _bars)(result, panel)
        panel.spines[["top", "right"]].set_visible(False)
    named = ", ".join(f"{about[name]}" for name in ("cpu", "kernel", "taken"))
    figure.supxlabel(named, fontsize=8, color="0.4")
    figure.savefig(path, dpi=150)


def _curves(result: Result, panel) -> None:
    kept = metric_names(result)
    names = [name for name in (f"p{percent:g}" for percent in PERCENTS) if name in kept]
    for variant in result.variants:
        medians = [result.median(variant, name) for name in names]
        style = "--" if variant in result.pairs.values() else "-"
        panel.plot(range(len(names)), medians, style, marker="o", markersize=4, label=variant)
    panel.set_yscale("log")
    panel.set_xticks(range(len(names)), names)
    panel.set_ylabel(result.unit)
    panel.grid(axis="y", which="both", alpha=0.25)
    panel.legend(frameon=False, fontsize=9)


def _bars(result: Result, panel) -> None:
    variants = result.variants[::-1]
    spreads = [result.values(variant, result.headline) for variant in variants]
    medians = [result.median(variant, result.headline) for variant in variants]
    reach = [
        [middle - min(spread) for middle, spread in zip(medians, spreads, strict=True)],
        [max(spread) - middle for middle, spread in zip(medians, spreads, strict=True)],
    ]
    held_against = set(result.pairs.values()) - set(result.pairs)
    colors = ["0.7" if variant in held_against else "C0" for variant in variants]
    panel.barh(variants, medians, xerr=reach, color=colors, error_kw={"ecolor": "0.3", "lw": 1})
    panel.set_xlabel(result.unit or result.headline)
    panel.grid(axis="x", alpha=0.25)
