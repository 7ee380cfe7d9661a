"""Every latency of a running pipeline: percentiles, `.hgrm` files, and JSON that loses nothing."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from pipeline.console import nanoseconds, table
from pipeline.report import HOPS, parts
from ringbuf.histogram import Summary
from ringbuf.panel import Panel

KIND = "corelane latency"  # what tells our JSON from other JSON
SHOWN = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
WHAT = {f"{stage}.{histogram}": shown for stage, histogram, shown in HOPS}
# What several processes measure of one thing: (name, what it is, which histograms are added up).
TOGETHER = (
    ("all.hop", "one hand-over, any ring", ("book.hop", "risk.hop", "publisher.book_hop",
                                            "publisher.risk_hop")),
    ("all.age", "end to end, all records", ("publisher.book_age", "publisher.risk_age")),
)  # fmt: skip


class LatencyRefused(RuntimeError):
    """What was asked for cannot be shown or kept; the message says why."""


class Kept(msgspec.Struct):
    """The latencies of a pipeline as JSON: `buckets` are those of `Summary.sparse`."""

    kind: str
    pipeline: str
    run_id: str
    taken: str
    host: dict[str, Any]
    histograms: dict[str, dict[str, Any]]  # "stage.histogram" -> what, percentiles in ns, buckets


def collect(pipeline: str, stage: str | None = None) -> dict[str, Summary]:
    """The histograms of all stages by "stage.histogram", or of one, and what they come to together.

    LatencyRefused where the pipeline has no such stage.
    """
    names = [name for name, *_ in parts(pipeline)["stages"]]
    if stage is not None and stage not in names:
        raise LatencyRefused(f"{pipeline} has no stage {stage!r}; it has {', '.join(names)}")
    found: dict[str, Summary] = {}
    for name in [stage] if stage else names:
        panel = Panel(pipeline, name)
        found |= {f"{name}.{histogram}": panel.summary(histogram) for histogram in panel.histograms}
        panel.close()
    return found if stage else found | together(found)


def together(found: Mapping[str, Summary]) -> dict[str, Summary]:
    """What several stages measure of one thing, as one."""
    return {
        name: sum((found[one] for one in members if one in found), Summary())
        for name, _, members in TOGETHER
        if any(one in found for one in members)
    }


def what(name: str) -> str:
    """What a histogram measures, for people."""
    return WHAT.get(name) or next((text for one, text, _ in TOGETHER if one == name), name)


def shown(found: Mapping[str, Summary]) -> Table:
    """The percentiles as a table."""
    made = table("latency", "histogram", "what", ">count", *(f">{name}" for name in SHOWN))
    for name, summary in found.items():
        row = summary.as_dict()
        values = (nanoseconds(row[one]) if summary.count else "-" for one in SHOWN)
        meaning = what(name)
        made.add_row(name, meaning if meaning != name else "", f"{summary.count:,}", *values)
    return made


def check(folder: Path | None, file: Path | None) -> None:
    """LatencyRefused, before anything is measured, where the results could not be kept."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        if file is not None:
            file.open("a").close()
    except OSError as error:
        raise LatencyRefused(
            f"latencies cannot be kept in {error.filename}: {error.strerror}"
        ) from None


def keep(
    pipeline: str,
    found: Mapping[str, Summary],
    folder: Path | None,
    file: Path | None,
    host: Mapping[str, Any],
) -> None:
    """Write `<histogram>.hgrm` files into a folder, and everything as JSON into a file."""
    check(folder, file)
    if folder is not None:
        for name, summary in found.items():
            (folder / f"{name}.hgrm").write_text(summary.hgrm())
    if file is not None:
        kept = Kept(
            kind=KIND,
            pipeline=pipeline,
            run_id=parts(pipeline)["run_id"],
            taken=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            host=dict(host),
            histograms={
                name: {"what": what(name), "unit": "ns", **summary.as_dict(), **summary.sparse()}
                for name, summary in found.items()
            },
        )
        file.write_bytes(msgspec.json.encode(kept) + b"\n")


def read(file: Path) -> dict[str, Summary]:
    """The histograms of a JSON file that `keep` has written; LatencyRefused for any other."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=Kept)
        if kept.kind != KIND:
            raise ValueError(f"its kind is {kept.kind!r}")
        return {name: Summary.from_sparse(one) for name, one in kept.histograms.items()}
    except OSError as error:
        raise LatencyRefused(f"{file}: {error.strerror}") from None
    except (
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:  # msgspec's errors are ValueErrors
        raise LatencyRefused(
            f"{file}: holds no latencies of `corelane latency --json`: {error}"
        ) from None
