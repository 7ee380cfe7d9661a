"""Reports as tables for a terminal."""

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.footing import page_text
from pipeline.plan import Plan
from pipeline.portfolios import CONVENTION, indented
from pipeline.report import HOPS, Balance, Report, StageReport
from pipeline.rings import ReaderReport, RingReport
from ringbuf.ring import Policy, bytes_needed
from ringbuf.share import Seat

TEXT_MIN = 8  # columns of text on a narrow terminal: folded, never squeezed to nothing
WIDTH = 140  # columns where there is neither a terminal nor COLUMNS to ask

out = Console(
    highlight=False,
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH,
)
err = Console(stderr=True, highlight=False)


def table(title: str, *columns: str) -> Table:
    """A plain table; columns that start with '>' are numbers: right-aligned, never folded."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        number = column[:1] == ">"
        made.add_column(
            column.lstrip(">"),
            justify="right" if number else "left",
            no_wrap=number,
            min_width=None if number else min(len(column), TEXT_MIN),
        )
    return made


def nanoseconds(value: float) -> str:
    """A duration in the unit that a person would choose."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            shown = value / size
            return f"{shown:,.3g} {unit}" if shown < 1000 else f"{shown:,.0f} {unit}"
    return f"{value:.0f} ns"


def latencies(report: Report, title: str = "latency") -> Table:
    """The histogram of each hop and from end to end."""
    made = table(title, "hop", ">count", ">p50", ">p90", ">p99", ">p99.9", ">max")
    for stage_name, histogram, shown in HOPS:
        stage = report.stage(stage_name)
        row = stage.latency_ns.get(histogram) if stage else None
        if row and row["count"]:
            values = (nanoseconds(row[name]) for name in ("p50", "p90", "p99", "p99.9", "max"))
            made.add_row(shown, f"{int(row['count']):,}", *values)
    return made


def stages(report: Report) -> Table:
    """What each stage is, where, and how it fares."""
    made = table(
        f"pipeline {report.pipeline}, run {report.run_id}",
        "stage", "life", ">pid", ">core", ">node", "wait", ">starts", ">ready s", ">RSS MB",
        ">turns", ">idle %",
    )  # fmt: skip
    for stage in report.stages:
        idle = 100 * stage.idle_turns / stage.turns if stage.turns else 0.0
        made.add_row(
            stage.name,
            Text(stage.life, style={"failed": "red", "running": "green"}.get(stage.life, "")),
            str(stage.pid),
            "any" if stage.core < 0 else str(stage.core),
            "-" if stage.node < 0 else str(stage.node),
            stage.wait,
            str(stage.starts),
            f"{stage.ready_s:.2f}",
            f"{stage.rss_bytes / 1e6:,.0f}",
            f"{stage.turns:,}",
            f"{idle:.0f}",
        )
    return made


def rings(report: Report) -> Table:
    """What went over each ring, and how long its writer found no room."""
    made = table("rings", "ring", ">capacity", ">written", ">high water", ">gated", ">full",
                 ">wakes", "writer", ">pid", ">beat", "end")  # fmt: skip
    for ring in report.rings:
        made.add_row(
            ring.name,
            f"{ring.capacity:,}",
            f"{ring.written:,}",
            f"{ring.high_water:,}",
            f"{ring.gated:,}",
            _share(report, ring.writer, ring.full_s),
            f"{ring.wakes:,}",
            ring.writer,
            str(ring.pid or "-"),
            beat(ring),
            "closed" if ring.closed else "open",
        )
    return made


def readers(report: Report) -> Table:
    """How far each reader of each ring is, what it missed, and how long it found nothing."""
    made = table("readers", "ring", "reader", "lag policy", ">read", ">lag", ">missed", ">empty",
                 ">pid", ">beat")  # fmt: skip
    for ring in report.rings:
        for reader in ring.readers:
            made.add_row(
                ring.name,
                reader.name,
                policy(reader),
                f"{reader.read:,}",
                f"{reader.lag:,}",
                Text(f"{reader.missed:,}", style="yellow" if reader.missed else ""),
                _share(report, reader.name, reader.empty_s),
                str(reader.pid or "-"),
                beat(reader),
            )
    return made


def policy(reader: ReaderReport) -> str:
    """What lagging behind means for a reader, and whom it comes after."""
    if reader.policy == "replay" or reader.replayed:
        where = ", reading the journal" if reader.behind else ""
        return f"{reader.policy} ({reader.replayed:,} from the journal{where})"
    return f"{reader.policy} after {reader.after}" if reader.after else reader.policy


def beat(end: RingReport | ReaderReport) -> str:
    """How long ago who is at an end of a ring last gave a sign of life."""
    if not end.pid:
        return "-"
    return f"{end.beat_age_s:,.1f} s" if end.alive else "gone"


def _share(report: Report, stage: str, seconds: float) -> str:
    """A time as a share of that for which a stage has run."""
    found = report.stage(stage)
    if found is None or not found.running_s:
        return f"{seconds:,.1f} s"
    return f"{min(seconds / found.running_s, 1):.0%}"


def memory(report: Report) -> Table:
    """What pages each segment lies in, on which node, and what was asked for."""
    made = table("memory", "segment", ">bytes", "pages", "node", "asked", "why not")
    before = ""
    for part in report.footing.segments:
        asked = ["huge pages"] * part.huge_asked
        asked += [f"node {part.node_asked}"] * (part.node_asked is not None)
        made.add_row(
            part.name,
            f"{part.bytes:,}",
            page_text(part.pages),
            part.lies_on,
            ", ".join(asked) or "-",
            Text("the same" if part.why and part.why == before else part.why, style="yellow"),
        )
        before = part.why
    return made


def processes(report: Report) -> Table:
    """What the process of each stage asked of the host, and what it got."""
    made = table("processes", "stage", "clock", ">locked MB", "got", "refused")
    for stage in report.footing.stages:
        refused = [f"{wish.asked}: {wish.why}" for wish in stage.wishes if wish.why]
        made.add_row(
            stage.name,
            stage.clock,
            f"{stage.locked_bytes / 1e6:,.0f}",
            ", ".join(wish.got for wish in stage.wishes) or "-",
            Text("; ".join(refused), style="yellow"),
        )
    return made


def counters(report: Report) -> Table:
    """Every counter that is not zero."""
    made = table("counters", "stage", "counter", ">value")
    for stage in report.stages:
        for block, values in stage.counters.items():
            for name, value in values.items():
                if value:
                    made.add_row(stage.name, f"{block}.{name}", f"{value:,}")
    return made


def balances(report: Report) -> Table:
    """The sums of ins and outs, of each stage and between stages."""
    made = table("balance", "left", ">", "", ">", "right")
    for stage in report.stages:
        for item in stage.balance:
            made.add_row(*_balance(item))
    for item in report.balance:
        made.add_row(*_balance(item))
    for where, count in report.lost.items():
        made.add_row(where, f"{count:,}", Text("lost", style="red"), "", "a stage died")
    return made


def _balance(item: Balance) -> tuple:
    sign = Text("=", style="green") if item.holds else Text("≠", style="red")
    return item.left, f"{item.left_sum:,}", sign, f"{item.right_sum:,}", item.right


def portfolios(report: Report) -> Table:
    """Value, P&L, VaR and ES of each portfolio."""
    made = table(
        f"portfolios ({CONVENTION})",
        "portfolio", ">value", ">P&L", ">realised", ">VaR 99 %", ">ES 97.5 %", ">scenarios",
        ">unmarked", "limits",
    )  # fmt: skip
    names = [row.name for row in report.portfolios]
    parents = [names.index(row.parent) if row.parent else -1 for row in report.portfolios]
    for number, name in indented(names, parents):
        row = report.portfolios[number]
        money = (
            f"{value:,.2f}" for value in (row.value, row.pnl, row.realised, row.var_99, row.es_975)
        )
        made.add_row(name, *money, f"{row.scenarios:,}", str(row.unvalued), row.limits)
    return made


def prices(rows: list[dict]) -> Table:
    """Best bid and ask."""
    made = table(
        "best prices", "symbol", ">bid qty", ">bid", ">ask", ">ask qty", ">last", ">volume"
    )
    for row in rows:
        made.add_row(
            row["symbol"],
            f"{row['bid_quantity']:,}",
            f"{row['bid']:,.2f}",
            f"{row['ask']:,.2f}",
            f"{row['ask_quantity']:,}",
            f"{row['traded']:,.2f}",
            f"{row['volume']:,}",
        )
    return made


def plan_tables(plan: Plan) -> list[Table]:
    """The plan: processes, rings, and why."""
    where = table(f"plan of {plan.pipeline}", "process", "stage", ">core", ">node", "wait",
                  "on death", "reads", "writes")  # fmt: skip
    for stage in plan.stages:
        where.add_row(
            str(stage.process),
            stage.name,
            "any" if stage.core is None else str(stage.core),
            "-" if stage.node is None else str(stage.node),
            stage.wait,
            "restart" if stage.restart else "stop",
            ", ".join(stage.reads),
            ", ".join(stage.writes),
        )
    memory = table("shared memory", "kind", "name", ">rows", ">bytes", "readers")
    for part in plan.segments:
        size = bytes_needed(part.capacity, part.record_size) if part.kind == "ring" else part.size
        memory.add_row(
            part.kind,
            part.name,
            f"{part.capacity:,}",
            f"{size:,}",
            ", ".join(map(seat_text, part.readers)),
        )
    return [where, memory]


def rate(report: Report, seconds: float) -> str:
    """How many messages a second went through."""
    stage = report.stage("ingest")
    count = messages(stage) if stage else 0
    return f"{count:,} messages in {seconds:.2f} s: {count / max(seconds, 1e-9):,.0f} messages/s"


def messages(ingest: StageReport) -> int:
    """Messages that the feeds have read."""
    return sum(
        block["messages"] for name, block in ingest.counters.items() if name.startswith("feed")
    )


def seat_text(seat: Seat) -> str:
    """A reader, and what is special about it."""
    marks = ["drops"] * (seat.policy is Policy.DROP)
    marks += [f"after {seat.after}"] * bool(seat.after) + ["sleeps"] * seat.parks
    return f"{seat.name} ({', '.join(marks)})" if marks else seat.name
