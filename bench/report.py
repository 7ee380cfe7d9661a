"""Results for the eye: tables on the terminal, bars and percentile curves in a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness import PERCENTS, BenchError, Metrics, Result

SHOWN = ("cpu", "cores", "machine", "kernel", "governor", "isolated", "load", "python", "numba")
PLOT_ENDINGS = (".png", ".svg", ".pdf")
BUSY_LOAD = 1.0
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
    if result.jitter:
        console.print(_jitter_table(result.jitter))
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)


def _table(result: Result) -> Table:
    metrics = metric_names(result)
    table = Table(caption=_caption(result), caption_justify="left")
    table.add_column("")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    alone = len(metrics) <= FEW_METRICS
    if alone:
        table.add_column("lowest - highest", no_wrap=True)
    for variant in result.variants:
        row = [_number(result, variant, metric) for metric in metrics]
        if alone:
            spread = result.values(variant, result.headline)
            row.append(f"{_short(min(spread))} - {_short(max(spread))}")
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
    return _short(result.median(variant, metric))


def _short(value: float) -> str:
    """Three or four telling digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _jitter_table(jitter: Mapping[str, Metrics]) -> Table:
    table = Table(caption="the cores' own jitter over the same rounds", caption_justify="left")
    table.add_column("")
    for metric in next(iter(jitter.values())):
        table.add_column(metric, justify="right")
    for core, metrics in jitter.items():
        table.add_row(core, *(_short(value) for value in metrics.values()))
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
    names = [f"p{percent:g}" for percent in PERCENTS]
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
