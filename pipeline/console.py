"""Reports as tables for a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.plan import Plan
from pipeline.report import HOPS, Balance, Report, StageReport
from ringbuf.ring import bytes_needed

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def table(title: str, *columns: str) -> Table:
    """A plain table; columns that start with '>' are right-aligned."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column[:1] == ">" else "left")
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
    """What lies on each ring, and how far its readers are."""
    made = table(
        "rings", "ring", ">capacity", ">written", ">high water", ">gated", "readers (lag)", "end"
    )
    for ring in report.rings:
        made.add_row(
            ring.name,
            f"{ring.capacity:,}",
            f"{ring.written:,}",
            f"{ring.high_water:,}",
            f"{ring.gated:,}",
            ", ".join(f"{reader.name} ({reader.lag:,})" for reader in ring.readers),
            "closed" if ring.closed else "open",
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
        "portfolios (historical, k-th worst, split atom)",
        "portfolio", ">value", ">P&L", ">VaR 99 %", ">ES 97.5 %", ">scenarios", ">unmarked",
    )  # fmt: skip
    for row in report.portfolios:
        money = (f"{value:,.2f}" for value in (row.value, row.pnl, row.var_99, row.es_975))
        made.add_row(row.name, *money, f"{row.scenarios:,}", str(row.unvalued))
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
    memory = table("shared memory", "kind", "name", ">rows", ">bytes", "gating readers")
    for part in plan.segments:
        size = bytes_needed(part.capacity, part.record_size) if part.kind == "ring" else part.size
        memory.add_row(
            part.kind, part.name, f"{part.capacity:,}", f"{size:,}", ", ".join(part.readers)
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
