"""A running pipeline on a terminal, again and again: `corelane top`.

Attaches once, read-only, and never stands in anybody's way.
"""

import os
import time
from collections import deque
from contextlib import closing

import numpy as np
import psutil
from rich.console import Console
from rich.live import Live

from pipeline import console
from pipeline.launch import RUN
from pipeline.listing import printable
from pipeline.portfolios import indented, limits_text
from pipeline.report import HOPS, best_of, best_over_venues
from pipeline.rings import ring_report
from pipeline.screen import (
    Health,
    Look,
    PortfolioLook,
    StageLook,
    health,
    is_over,
    is_trouble,
    screen,
)
from ringbuf import memory
from ringbuf.board import Board
from ringbuf.host import start_time
from ringbuf.memory import SegmentError
from ringbuf.panel import Panel
from ringbuf.share import KIND as RING
from workers.instruments import Names
from workers.records import MONEY_SCALE

EVERY_MIN_S = 0.05
MEMORY_S = 5.0  # health is judged by what has happened in so many seconds
WIDTH = 100  # columns where there is no terminal to ask
INSTRUMENTS = 8  # rows of best prices
PORTFOLIOS = 6
NICE = 10  # a look may come late; the stages of a busy host may not


def watch(pipeline: str, every: float = 0.5, times: int | None = None) -> None:
    """Show a pipeline every so many seconds until it ends, Ctrl-C, or `times` looks are done.

    On a terminal one screen is redrawn; elsewhere each look is printed below the one before.
    """
    os.nice(NICE)
    out = Console(highlight=False, width=None if console.out.is_terminal else WIDTH)
    live = Live(console=out, screen=True, auto_refresh=False) if out.is_terminal else None
    with closing(Monitor(pipeline)) as monitor:
        try:
            if live:
                live.start()
            _watch(monitor, max(every, EVERY_MIN_S), times, out, live)
        except KeyboardInterrupt:
            return
        finally:
            if live:
                live.stop()
        _say_farewell(monitor, out if live else None)


def _watch(
    monitor: "Monitor", every: float, times: int | None, out: Console, live: Live | None
) -> None:
    due = time.monotonic()
    while times is None or times > 0:
        due = max(due + every, time.monotonic())
        monitor.look_again(due)
        if live:
            live.update(monitor.screen, refresh=True)
        else:
            out.print(monitor.screen)
        if monitor.over:
            return
        times = None if times is None else times - 1


def _say_farewell(monitor: "Monitor", out: Console | None) -> None:
    """Leave the last look on the terminal, and say how the pipeline ended."""
    if out:
        out.print(monitor.screen)
    if monitor.over:
        failed = monitor.health.level == "failed"
        why = f": {monitor.health.reasons[0]}" if failed else ""
        text = f"{monitor.pipeline} has {'failed' if failed else 'ended'}{why}"
        console.err.print(text, markup=False, style="red" if failed else "", soft_wrap=True)


class Monitor:
    """Everything that a pipeline shows, opened once and looked at often."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.run = memory.attach(pipeline, RUN, RUN)
        text = self.run.text
        self.run_id = text["run_id"]
        self.panels = {name: Panel(pipeline, name) for name, *_ in text["stages"]}
        self.rings = {name: memory.attach(pipeline, name, RING) for name in text["rings"]}
        self.boards = {name: Board(pipeline, name) for name in text["boards"]}
        self.names = Names(self.boards["instruments"])
        self.earlier = self.now = self.look()
        self.past = deque([self.now])
        self.health = Health("ok", [])

    def look_again(self, due: float) -> None:
        """Look once more when the monotonic clock shows `due`."""
        time.sleep(max(due - time.monotonic(), 0))
        self.earlier, self.now = self.now, self.look()
        while len(self.past) > 1 and self.now.at_s - self.past[1].at_s > MEMORY_S:
            self.past.popleft()
        self.health = health(self.past[0], self.now)
        self.past.append(self.now._replace(hops={}))  # histograms are large

    @property
    def screen(self):
        """What the last two looks say."""
        return screen(self.earlier, self.now, self.health)

    @property
    def over(self) -> bool:
        """True when the pipeline has removed its memory, or nobody works on it any more."""
        return os.fstat(self.run.file).st_nlink == 0 or is_over(self.now)

    def look(self) -> Look:
        """Read everything once."""
        return Look(
            pipeline=self.pipeline,
            run_id=self.run_id,
            up_s=time.time() - int(self.run.header["created_ns"]) / 1e9,
            at_s=time.monotonic(),
            stages={name: stage_look(panel) for name, panel in self.panels.items()},
            rings={name: ring_report(name, segment) for name, segment in self.rings.items()},
            hops={
                shown: self.panels[stage].summary(histogram)
                for stage, histogram, shown in HOPS
                if stage in self.panels
            },
            prices=self._prices(),
            over_venues=self._over_venues(),
            portfolios=self._portfolios(),
        )

    def _prices(self) -> list[dict]:
        """Best prices of the instruments that traded most, in currency."""
        board = self.boards["depth"]
        rows = board.segment.payload[: board.rows * board.size].view(board.dtype)
        moved = np.flatnonzero(rows["cause"])
        most = moved[np.argsort(-rows["volume"][moved], kind="stable")][:INSTRUMENTS]
        return [best for best in map(self._best, most.tolist()) if best]

    def _best(self, number: int) -> dict:
        """Best bid and ask of one instrument; nothing where its row is not whole."""
        try:
            row = self.boards["depth"].row(number)[0]
            unit = self.names.unit(number)
        except SegmentError:
            return {}
        return {"symbol": printable(unit.symbol), **best_of(row, unit)}

    def _over_venues(self) -> list[dict]:
        """The best over several venues of the first groups of the configuration."""
        board = self.boards.get("consolidated")
        if board is None:
            return []
        try:
            rows = [board.row(number)[0] for number in range(min(board.rows, INSTRUMENTS))]
            return [best_over_venues(row, self.names) for row in rows if row["name"]]
        except SegmentError:
            return []

    def _portfolios(self) -> list[PortfolioLook]:
        board = self.boards.get("portfolios")
        if board is None:
            return []
        try:
            rows = board.all()
        except SegmentError:
            return []
        named = [row for row in rows if row["name"]]
        names = [printable(row["name"].decode(errors="replace")) for row in named]
        parents = [int(row["parent"]) for row in named]
        return [
            PortfolioLook(
                name=name,
                **{
                    field: int(named[number][field]) / MONEY_SCALE
                    for field in ("value", "pnl", "var_99", "es_975")
                },
                unvalued=int(named[number]["unvalued"]),
                limits=limits_text(named[number]),
            )
            for number, name in indented(names, parents)[:PORTFOLIOS]
        ]

    def close(self) -> None:
        """Let go of everything."""
        for panel in self.panels.values():
            panel.close()
        for board in self.boards.values():
            board.close()
        for segment in (self.run, *self.rings.values()):
            segment.close()


def stage_look(panel: Panel) -> StageLook:
    """A stage as its panel and the kernel show it."""
    status = panel.status
    pid = int(status["pid"])
    alive = bool(pid) and start_time(pid) == int(status["start_time"])
    rss_bytes, cpu_s, ran_on = _process(pid) if alive else (int(status["rss_bytes"]), 0.0, -1)
    counts = counters(panel)
    own = {name: counts.get(f"{panel.stage}.{name}") for name in ("received", "published")}
    stored = sum(count for name, count in counts.items() if name.endswith(".written"))
    beat_ns = int(status["heartbeat_ns"])
    silent_ns = max(time.monotonic_ns() - beat_ns, 0) if beat_ns else 0  # it has not begun to
    return StageLook(
        life=panel.life,
        pid=pid,
        alive=alive,
        beat_age_s=silent_ns / 1e9,
        taken=own["received"] or 0,
        given=stored if own["published"] is None else own["published"],
        turns=int(status["turns"]),
        troubles={name: count for name, count in counts.items() if is_trouble(name)},
        rss_bytes=rss_bytes,
        cpu_s=cpu_s,
        core=int(status["core"]),
        ran_on=ran_on,
        starts=int(status["starts"]),
        message=printable(bytes(status["message"]).decode(errors="replace")),
    )


def _process(pid: int) -> tuple[int, float, int]:
    """Resident bytes, seconds of CPU and last core of a process; zeros once it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return process.memory_info().rss, times.user + times.system, process.cpu_num()
    except psutil.Error:
        return 0, 0.0, -1


def counters(panel: Panel) -> dict[str, int]:
    """The counters of a stage by "block.counter"; arrays of them are left out."""
    return {
        f"{block}.{name}": int(record[name])
        for block, record in panel.counters.items()
        for name in record.dtype.names or ()
        if record[name].ndim == 0
    }
