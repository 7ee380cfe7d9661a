"""What a pipeline says of itself at one moment, as plain data: for status, summaries and files."""

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

from pipeline.footing import Footing, footing
from pipeline.launch import RUN
from pipeline.portfolios import NO_LIMITS, limits_text
from pipeline.rings import RingReport, ring_report
from ringbuf import memory
from ringbuf.board import Board
from ringbuf.panel import Panel
from ringbuf.share import KIND as RING
from workers.instruments import Names, Unit, units
from workers.records import MONEY_SCALE
from workers.sinks.tables import GROUPS

# Histograms by what they measure, in the order of the flow: (stage, histogram, what is shown).
HOPS = (
    ("book", "hop", "ingest → book"),
    ("risk", "hop", "book → risk"),
    ("publisher", "book_hop", "book → publisher"),
    ("publisher", "risk_hop", "risk → publisher"),
    ("publisher", "book_age", "end to end, book records"),
    ("publisher", "risk_age", "end to end, risk records"),
)


class Balance(msgspec.Struct):
    """One equation that counters must obey when nothing is on its way."""

    left: str
    right: str
    left_sum: int
    right_sum: int

    @property
    def holds(self) -> bool:
        return self.left_sum == self.right_sum


class StageReport(msgspec.Struct):
    """One stage."""

    name: str
    life: str
    pid: int
    core: int
    node: int
    wait: str
    starts: int
    ready_s: float  # from the start of its process to its first turn
    running_s: float  # from then to its last sign of life
    rss_bytes: int
    turns: int
    idle_turns: int
    counters: dict[str, dict[str, int]]
    latency_ns: dict[str, dict[str, float]]
    balance: list[Balance]
    message: str


class PortfolioReport(msgspec.Struct):
    """One portfolio, in currency."""

    name: str
    value: float
    pnl: float
    var_99: float
    es_975: float
    realised: float
    unvalued: int
    scenarios: int
    parent: str = ""
    limits: str = NO_LIMITS  # how it stands to them


class Report(msgspec.Struct):
    """A pipeline."""

    pipeline: str
    run_id: str
    ready_s: float | None
    stages: list[StageReport]
    rings: list[RingReport]
    portfolios: list[PortfolioReport]
    balance: list[Balance]  # between stages: what one published, the next received
    lost: dict[str, int]  # "ring -> reader": records that a dead stage never took
    footing: Footing = msgspec.field(default_factory=Footing)

    def stage(self, name: str) -> StageReport | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    @property
    def balanced(self) -> bool:
        """True when every equation holds and nothing was lost."""
        equations = [*self.balance, *(item for stage in self.stages for item in stage.balance)]
        return all(item.holds for item in equations) and not any(self.lost.values())


def parts(pipeline: str) -> dict:
    """The names of a running pipeline's stages, rings and boards."""
    segment = memory.attach(pipeline, RUN, RUN)
    try:
        return segment.text
    finally:
        segment.close()


def collect(
    pipeline: str, ready_s: float | None = None, lost: dict[str, int] | None = None
) -> Report:
    """Read everything that a pipeline shows."""
    run = parts(pipeline)
    stages = [_stage(pipeline, name) for name, _, _ in run["stages"]]
    rings = [_ring(pipeline, name) for name in run["rings"]]
    return Report(
        pipeline=pipeline,
        run_id=run["run_id"],
        ready_s=ready_s,
        stages=stages,
        rings=rings,
        portfolios=_portfolios(pipeline) if "portfolios" in run["boards"] else [],
        balance=_between(stages, rings),
        lost=lost or {},
        footing=footing(pipeline),
    )


def _stage(pipeline: str, name: str) -> StageReport:
    panel = Panel(pipeline, name)
    status = panel.status
    pid = int(status["pid"])
    ready = (int(status["ready_ns"]) - int(status["started_ns"])) / 1e9
    report = StageReport(
        name=name,
        life=panel.life.name.lower(),
        pid=pid,
        core=int(status["core"]),
        node=int(status["node"]),
        wait=status["wait"].decode(),
        starts=int(status["starts"]),
        ready_s=round(max(ready, 0.0), 3),
        running_s=_running_s(status),
        rss_bytes=rss_of(pid) or int(status["rss_bytes"]),
        turns=int(status["turns"]),
        idle_turns=int(status["idle_turns"]),
        counters={block: _counts(record) for block, record in panel.counters.items()},
        latency_ns={name: panel.summary(name).as_dict() for name in panel.histograms},
        balance=[
            Balance(" + ".join(left), " + ".join(right), left_sum, right_sum)
            for (left, right), left_sum, right_sum in panel.balance()
        ],
        message=bytes(status["message"]).decode(errors="replace"),
    )
    panel.close()
    return report


def _running_s(status) -> float:
    """From the start of a stage's first turn to its last sign of life."""
    beat_ns = int(status["heartbeat_ns"]) + time.time_ns() - time.monotonic_ns()
    ready_ns = int(status["ready_ns"])
    return round(max(beat_ns - ready_ns, 0) / 1e9, 3) if ready_ns else 0.0


def _counts(record) -> dict[str, int]:
    """The scalar counters of a block, and the used entries of its arrays by index."""
    counts = {}
    for name in record.dtype.names:
        value = record[name]
        if value.ndim == 0:
            counts[name] = int(value)
        else:
            for index in value.nonzero()[0]:
                counts[f"{name}[{_shown(int(index))}]"] = int(value[index])
    return counts


def _shown(index: int) -> str:
    return chr(index) if chr(index).isalnum() and index < 128 else str(index)


def rss_of(pid: int) -> int:
    """Resident bytes of a process, 0 where it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss if pid else 0
    except psutil.Error:
        return 0


def _ring(pipeline: str, name: str) -> RingReport:
    segment = memory.attach(pipeline, name, RING)
    try:
        return ring_report(name, segment)
    finally:
        segment.close()


def _portfolios(pipeline: str) -> list[PortfolioReport]:
    board = Board(pipeline, "portfolios")
    rows = board.all()
    board.close()
    return [
        PortfolioReport(
            name=row["name"].decode(),
            value=int(row["value"]) / MONEY_SCALE,
            pnl=int(row["pnl"]) / MONEY_SCALE,
            var_99=int(row["var_99"]) / MONEY_SCALE,
            es_975=int(row["es_975"]) / MONEY_SCALE,
            realised=int(row["realised"]) / MONEY_SCALE,
            unvalued=int(row["unvalued"]),
            scenarios=int(row["scenarios"]),
            parent=rows[row["parent"]]["name"].decode() if row["parent"] >= 0 else "",
            limits=limits_text(row),
        )
        for row in rows
        if row["name"]
    ]


# Which counter of which stage counts what goes onto a ring, and what comes off it.
_PUBLISHED = {"events": ("ingest", "ingest"), "book": ("book", "book"), "risk": ("risk", "risk")}
_RECEIVED = {
    ("events", "book"): ("book", "received"),
    ("book", "risk"): ("risk", "received"),
    ("book", "publisher"): ("publisher", "book"),
    ("risk", "publisher"): ("publisher", "risk"),
}


def _between(stages: list[StageReport], rings: list[RingReport]) -> list[Balance]:
    """What each writer counted, what lies on its ring, and what each reader counted."""
    by_name = {stage.name: stage for stage in stages}
    equations = []
    for ring in rings:
        stage, block = _PUBLISHED[ring.name]
        published = by_name[stage].counters[block]["published"]
        left = f"{stage}.published"
        equations.append(Balance(left, f"ring {ring.name}", published, ring.written))
        for reader in ring.readers:
            if (ring.name, reader.name) in _RECEIVED:
                block, field = _RECEIVED[ring.name, reader.name]
                received = by_name[reader.name].counters[block][field] + reader.missed
                right = f"{reader.name}.{field}" + " + missed" * bool(reader.missed)
                equations.append(Balance(f"ring {ring.name}", right, ring.written, received))
    return equations


def best_prices(
    pipeline: str, symbols: list[str] | None = None, limit: int = 10
) -> list[dict[str, Any]]:
    """Best bid and ask of some instruments (the most traded ones by default), in currency; and
    quantities, in units."""
    names_board, depth_board = Board(pipeline, "instruments"), Board(pipeline, "depth")
    names = Names(names_board)
    numbered = names.all()
    rows: list[dict[str, Any]] = []
    for symbol, number in numbered.items():
        if symbols and symbol not in symbols:
            continue
        rows.append({"symbol": symbol, **best_of(depth_board.row(number)[0], names.unit(number))})
    names_board.close()
    depth_board.close()
    return sorted(rows, key=lambda row: row["volume"], reverse=True)[:limit]


def best_of(row: np.ndarray, unit: Unit) -> dict[str, Any]:
    """The best prices and the last trade of a DEPTH row, in currency and units."""
    return {
        **_best_levels(row, unit),
        "traded": int(row["traded_price"]) / unit.price_scale,
        "volume": units(int(row["volume"]), unit.lot_scale),
    }


def _best_levels(row: np.ndarray, unit: Unit) -> dict[str, Any]:
    return {
        "bid": int(row["bid_price"][0]) / unit.price_scale,
        "bid_quantity": units(int(row["bid_quantity"][0]), unit.lot_scale),
        "ask": int(row["ask_price"][0]) / unit.price_scale,
        "ask_quantity": units(int(row["ask_quantity"][0]), unit.lot_scale),
    }


def best_over_venues(row: np.ndarray, names: Names) -> dict[str, Any]:
    """The best bid and ask of a CONSOLIDATED_DEPTH row, whose they are, and what is the matter."""
    scales = int(row["price_scale"]), 10 ** int(row["lot_decimals"])
    unit = Unit(bytes(row["name"]).decode(), *scales)
    venues = row["venues"].tolist()
    counting = [number for bit, number in enumerate(venues) if row["counting"] >> bit & 1]
    return {
        "name": unit.symbol,
        **_best_levels(row, unit),
        "bid_venue": _venue(int(row["bid_venue"]), names),
        "ask_venue": _venue(int(row["ask_venue"]), names),
        "counting": [_venue(number, names) for number in counting],
        "left_out": [
            _venue(number, names) for number in venues if number >= 0 and number not in counting
        ],
        "state": GROUPS[int(row["state"]) & 255],
    }


def _venue(instrument: int, names: Names) -> str:
    """A venue as the configuration names it; empty for none."""
    if instrument < 0:
        return ""
    unit = names.unit(instrument)
    return f"feed{unit.source}:{unit.symbol}"


def save(report: Report, path: Path) -> None:
    """Write a report as JSON, readable by people."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
