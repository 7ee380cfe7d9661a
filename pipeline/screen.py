"""Two looks at a pipeline into what a person wants to know: rates, health, one screen of tables.

Pure: the same looks give the same screen, and nothing here opens or reads anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.console import beat as ring_beat
from pipeline.console import nanoseconds, policy, prices, table
from pipeline.listing import printable
from pipeline.rings import RingReport
from ringbuf.histogram import Summary
from ringbuf.panel import Life

BEAT_MAX_S = 2.0  # a heartbeat older than this is a worry
FULL_SHARE_MAX = 0.5  # of the time: full for longer means that its readers are behind
PERCENTILES = (50.0, 99.0, 99.9, 100.0)
BAR = 8  # characters of an occupancy bar
REASONS = 4  # lines of the header that say what is wrong, at most
AT_WORK = (Life.RUNNING, Life.DRAINING)
TO_COME = (Life.ABSENT, Life.STARTING, Life.READY)
LIVES = {Life.RUNNING: "green", Life.FAILED: "bold red", Life.FINISHED: "cyan"}
LEVELS = {"ok": "bold green", "degraded": "bold yellow", "failed": "bold red"}
# Words in the names of counters that count what should not be.
TROUBLE = {"bad", "unknown", "duplicate", "over", "lost", "refused", "saturated", "truncated"}


class StageLook(NamedTuple):
    """One stage at one moment. Counts are those since its pipeline began."""

    life: Life
    pid: int
    alive: bool
    beat_age_s: float
    taken: int  # records in
    given: int  # records out
    turns: int
    troubles: Mapping[str, int]  # counters of what was refused, damaged or unknown
    rss_bytes: int
    cpu_s: float
    core: int  # that it was told to run on; -1: any
    ran_on: int  # where it ran last; -1: not known
    starts: int
    message: str


class PortfolioLook(NamedTuple):
    """One portfolio at one moment, in currency."""

    name: str
    value: float
    pnl: float
    var_99: float
    es_975: float
    unvalued: int
    limits: str  # how it stands to them


class Look(NamedTuple):
    """A whole pipeline at one moment."""

    pipeline: str
    run_id: str
    up_s: float
    at_s: float  # monotonic
    stages: Mapping[str, StageLook]
    rings: Mapping[str, RingReport]
    hops: Mapping[str, Summary]
    prices: Sequence[dict]
    portfolios: Sequence[PortfolioLook]
    over_venues: Sequence[dict] = ()


class Health(NamedTuple):
    """How a pipeline fares, and why."""

    level: str  # ok, degraded, failed
    reasons: list[str]


def is_trouble(counter: str) -> bool:
    """True where "block.counter" counts what should not be: "bad_price", "orders_full"."""
    name = counter.partition(".")[2]
    return name.endswith("_full") or not TROUBLE.isdisjoint(name.split("_"))


def per_second(earlier: float, now: float, seconds: float) -> float:
    """How fast a count grew; 0 where it began anew."""
    return max(now - earlier, 0) / seconds if seconds > 0 else 0.0


def is_over(look: Look) -> bool:
    """True when nothing can come any more: every stage has finished, failed or died."""
    ends = (Life.FINISHED, Life.FAILED)
    return all(
        stage.life in ends or (stage.pid and not stage.alive) for stage in look.stages.values()
    )


def health(earlier: Look, now: Look) -> Health:
    """Judge a pipeline by what it is, and by what has happened since an earlier look."""
    failures = list(_failures(now))
    if failures:
        return Health("failed", failures)
    if is_over(now):
        return Health("ok", [])
    worries = [*_silences(now), *_restarts(earlier, now), *_troubles(earlier, now)]
    worries += _full_rings(earlier, now)
    if worries:
        return Health("degraded", worries)
    late = [name for name, stage in now.stages.items() if stage.life in TO_COME]
    return Health("ok", [f"waiting for {', '.join(late)} to get ready"] if late else [])


def _failures(look: Look) -> Iterator[str]:
    for name, stage in look.stages.items():
        if stage.life is Life.FAILED:
            yield f"{name} failed: {stage.message or 'no reason given'}"
        elif stage.pid and not stage.alive and stage.life is not Life.FINISHED:
            why = f": {stage.message}" if stage.message else ""
            yield f"{name}: its process {stage.pid} is gone{why}"


def _restarts(earlier: Look, now: Look) -> Iterator[str]:
    for name, stage in now.stages.items():
        if stage.starts > max(earlier.stages[name].starts, 1):
            yield f"{name} died and was started again"


def _silences(look: Look) -> Iterator[str]:
    for name, stage in look.stages.items():
        if stage.life in AT_WORK and stage.beat_age_s > BEAT_MAX_S:
            yield f"{name}: no heartbeat for {stage.beat_age_s:.1f} s"


def _troubles(earlier: Look, now: Look) -> Iterator[str]:
    for name, stage in now.stages.items():
        before = earlier.stages[name].troubles
        for counter, count in stage.troubles.items():
            grown = count - before.get(counter, 0)
            if grown > 0:
                yield f"{counter} grew by {grown:,} to {count:,}"


def _full_rings(earlier: Look, now: Look) -> Iterator[str]:
    for name, ring in now.rings.items():
        share = full_share(earlier, now, name)
        gating = [reader for reader in ring.readers if reader.policy == "gate"]
        if share > FULL_SHARE_MAX and gating:
            slowest = max(gating, key=lambda reader: reader.lag)
            yield f"ring {name} was full for {share:.0%} of the time: {slowest.name} is behind"


def full_share(earlier: Look, now: Look, ring: str) -> float:
    """The share of the time between two looks that a ring's writer found no room."""
    before, after = earlier.rings[ring], now.rings[ring]
    return min(per_second(before.full_s, after.full_s, now.at_s - earlier.at_s), 1.0)


def screen(earlier: Look, now: Look, state: Health) -> RenderableType:
    """One screen: how the pipeline fares now, and what has happened since an earlier look."""
    parts: list[RenderableType] = [header(now, state)]
    parts += [part(earlier, now) for part in (stages, rings, readers)]
    if any(summary.count for summary in now.hops.values()):
        parts.append(hops(earlier, now))
    if now.portfolios:
        parts.append(portfolios(now.portfolios))
    if now.prices:
        parts.append(prices(list(now.prices)))
    if now.over_venues:
        parts.append(over_venues(now.over_venues))
    return Group(*(piece for part in parts for piece in (part, Text())))


def header(look: Look, state: Health) -> Text:
    """Name, age and health."""
    line = Text(look.pipeline, style="bold", no_wrap=True, overflow="ellipsis")
    line.append(f"   run {look.run_id}   up {duration(look.up_s)}   ", style="not bold")
    line.append(f"● {state.level}", style=LEVELS[state.level])
    for reason in state.reasons[:REASONS]:
        line.append(f"\n  {reason}", style="not bold")
    if len(state.reasons) > REASONS:
        line.append(f"\n  and {len(state.reasons) - REASONS} more", style="not bold")
    return line


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def stages(earlier: Look, now: Look) -> Table:
    """What each stage does and what it costs."""
    made = table(
        "", "stage", "life", ">beat", ">in/s", ">out/s", ">refused", ">CPU %",
        ">RSS MB", ">core", ">ran on", ">starts",
    )  # fmt: skip
    made.title = None
    seconds = now.at_s - earlier.at_s
    for name, stage in now.stages.items():
        before = earlier.stages[name]
        old = stage.life in AT_WORK and stage.beat_age_s > BEAT_MAX_S
        astray = stage.core >= 0 <= stage.ran_on != stage.core
        troubles = sum(stage.troubles.values())
        made.add_row(
            name,
            Text(stage.life.name.lower(), style=LIVES.get(stage.life, "")),
            Text(beat(stage), style="red" if old else ""),
            f"{per_second(before.taken, stage.taken, seconds):,.0f}",
            f"{per_second(before.given, stage.given, seconds):,.0f}",
            Text(f"{troubles:,}", style="yellow" if troubles else ""),
            f"{100 * per_second(before.cpu_s, stage.cpu_s, seconds):.0f}",
            f"{stage.rss_bytes / 1e6:,.0f}",
            "any" if stage.core < 0 else str(stage.core),
            Text("-" if stage.ran_on < 0 else str(stage.ran_on), style="red" if astray else ""),
            str(stage.starts),
        )
    return made


def beat(stage: StageLook) -> str:
    """How long ago a stage last looked up."""
    return f"{stage.beat_age_s:,.1f} s" if stage.life in AT_WORK else "-"


def rings(earlier: Look, now: Look) -> Table:
    """How much flows on each ring, how full it is, and who writes it."""
    made = table("", "ring", ">in/s", ">written", "waiting", ">", ">high", ">gated", ">full",
                 "writer", ">pid", ">beat")  # fmt: skip
    made.title = None
    seconds = now.at_s - earlier.at_s
    for name, ring in now.rings.items():
        before, share = earlier.rings[name], min(ring.waiting / ring.capacity, 1.0)
        made.add_row(
            name,
            f"{per_second(before.written, ring.written, seconds):,.0f}",
            f"{ring.written:,}",
            Text(bar(share), style="red" if share > 0.9 else "yellow" if share > 0.5 else "green"),
            f"{share:.0%}",
            f"{ring.high_water:,}",
            f"{ring.gated:,}",
            f"{full_share(earlier, now, name):.0%}",
            ring.writer,
            str(ring.pid or "-"),
            "closed" if ring.closed else ring_beat(ring),
        )
    return made


def readers(earlier: Look, now: Look) -> Table:
    """Who reads what, how far behind, with what losses, and how long it found nothing."""
    made = table("", "reader", "lag policy", ">out/s", ">read", ">lag", ">missed", ">empty",
                 ">pid", ">beat")  # fmt: skip
    made.title = None
    seconds = now.at_s - earlier.at_s
    for name, ring in now.rings.items():
        for before, reader in zip(earlier.rings[name].readers, ring.readers, strict=True):
            empty = min(per_second(before.empty_s, reader.empty_s, seconds), 1.0)
            made.add_row(
                f"{name} → {reader.name}",
                policy(reader),
                f"{per_second(before.read, reader.read, seconds):,.0f}",
                f"{reader.read:,}",
                f"{reader.lag:,}",
                Text(f"{reader.missed:,}", style="yellow" if reader.missed else ""),
                f"{empty:.0%}",
                str(reader.pid or "-"),
                ring_beat(reader),
            )
    return made


def bar(share: float) -> str:
    """A share of one as a bar; anything above nothing shows."""
    eighths = min(max(round(share * BAR * 8), int(share > 0)), BAR * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return filled.ljust(BAR, "░")


def hops(earlier: Look, now: Look) -> Table:
    """Latency of each hop since the earlier look, and since the pipeline began."""
    seconds = now.at_s - earlier.at_s
    names = ("p50", "p99", "p99.9", "max")
    made = table(
        f"latency of the last {seconds:.1f} s │ since the start",
        "hop",
        *(f">{name}" for name in names),
        "│",
        *(f">{name}" for name in names),
    )
    for name, summary in now.hops.items():
        if summary.count:
            recent = summary - earlier.hops[name] if name in earlier.hops else summary
            made.add_row(name, *spread(recent), Text("│", style="dim"), *spread(summary))
    return made


def spread(summary: Summary) -> list[str]:
    """The percentiles that are shown, as durations; the last one is the maximum."""
    if not summary.count:
        return ["-"] * len(PERCENTILES)
    return [nanoseconds(summary.percentile(percent)) for percent in PERCENTILES]


def over_venues(rows: Sequence[dict]) -> Table:
    """The best over several venues, whose they are, and which venues are left out."""
    made = table("best over all venues", "name", ">bid qty", ">bid", ">ask", ">ask qty",
                 "bid of", "ask of", "state", "left out")  # fmt: skip
    for row in rows:
        made.add_row(
            printable(row["name"]),
            f"{row['bid_quantity']:,}",
            f"{row['bid']:,.2f}",
            f"{row['ask']:,.2f}",
            f"{row['ask_quantity']:,}",
            *(printable(row[name]) or "-" for name in ("bid_venue", "ask_venue")),
            Text(row["state"], style="" if row["state"] == "ok" else "yellow"),
            printable(", ".join(row["left_out"])) or "-",
        )
    return made


def portfolios(rows: Sequence[PortfolioLook]) -> Table:
    """Value, P&L and tails of each portfolio."""
    made = table(
        "", "portfolio", ">value", ">P&L", ">VaR 99 %", ">ES 97.5 %", ">unmarked", "limits"
    )
    made.title = None
    for row in rows:
        money = (f"{value:,.2f}" for value in (row.value, row.pnl, row.var_99, row.es_975))
        made.add_row(row.name, *money, f"{row.unvalued:,}", row.limits)
    return made
