"""A pipeline for Prometheus: `corelane metrics`, in a process of its own.

Everything is read from shared memory when Prometheus asks; no stage knows of it. While no pipeline
of the name runs `corelane_up` is 0, and the next run is found by itself.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pipeline.launch import RUN
from pipeline.monitor import stage_look
from pipeline.rings import RingReport, ring_report
from ringbuf import memory
from ringbuf.board import Board
from ringbuf.files import NAME, SegmentError, alive, full_name, names, place
from ringbuf.histogram import Summary
from ringbuf.panel import Life, Panel
from ringbuf.share import KIND as RING
from workers.kernels.option_values import Greek
from workers.records import MONEY_SCALE
from workers.sinks.tables import MEASURES

NICE = 10  # an answer may come late; the stages of a busy host may not
# 100 ns to 10 s, in steps of 1, 2, 5.
BOUNDS_NS = [step * 10**power for power in range(2, 10) for step in (1, 2, 5)] + [10**10]
# Counters that begin so say how it is, and may fall.
NOW = ("live", "peak", "pending", "truncated", "waiting")
PORTFOLIOS = "portfolios"
# By field of its row: of a portfolio with all that is below it.
MONEY = {
    "value": ("value", "Market value, currency."),
    "notional": ("gross_value", "Sum of its positions' values without their signs, currency."),
    "pnl": ("pnl", "Value less what was paid, currency."),
    "var_99": ("var_99", "Value at risk at 99 %, a loss is positive, currency."),
    "es_975": ("es_975", "Expected shortfall at 97.5 %, a loss is positive, currency."),
}
COUNTS = {
    "unvalued": ("unmarked_positions", "Positions that wait for their first mark."),
    "stuck": ("stuck_positions", "Positions that keep an old value because of a bound."),
}
GREEKS = {
    Greek.DELTA: "What 1 % up makes, currency.",
    Greek.GAMMA: "By how much delta grows for each 1 %, currency.",
    Greek.VEGA: "What one point of volatility makes, currency.",
    Greek.THETA: "What a day of 365 makes, currency.",
    Greek.RHO: "What 0.01 % on rates makes, currency.",
}
NUMBERED = re.compile(r"(?P<block>[a-z]+)(?P<number>\d+)")  # feed0, sink1


class Families:
    """Metric families by name, made when their first sample comes. Every name has one help text."""

    def __init__(self) -> None:
        self.made: dict[str, Metric] = {}

    def counter(self, name: str, text: str, value: float, **labels: str) -> None:
        """A sample of what only grows."""
        self._of(CounterMetricFamily, name, text, labels).add_metric([*labels.values()], value)

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        """A sample of what goes up and down."""
        self._of(GaugeMetricFamily, name, text, labels).add_metric([*labels.values()], value)

    def histogram(self, name: str, text: str, summary: Summary, **labels: str) -> None:
        """A histogram of ns, in seconds."""
        made = self._of(HistogramMetricFamily, name, text, labels)
        buckets = [(repr(bound / 1e9), summary.up_to(bound)) for bound in BOUNDS_NS]
        buckets.append(("+Inf", summary.count))
        made.add_metric([*labels.values()], buckets, summary.total / 1e9)

    def _of(self, kind, name: str, text: str, labels: dict[str, str]):
        if name not in self.made:
            self.made[name] = kind(f"corelane_{name}", text, labels=[*labels])
        return self.made[name]


class Attached:
    """The shared memory of one run, open for reading."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.panels: dict[str, Panel] = {}
        self.rings: dict[str, memory.Segment] = {}
        self.portfolios: Board | None = None
        self.run = memory.attach(pipeline, RUN, RUN)
        try:
            text = self.run.text
            for name, *_ in text["stages"]:
                self.panels[name] = Panel(pipeline, name)
            for name in text["rings"]:
                self.rings[name] = memory.attach(pipeline, name, RING)
            if PORTFOLIOS in text["boards"]:
                self.portfolios = Board(pipeline, PORTFOLIOS)
        except SegmentError:
            self.close()
            raise

    @property
    def lives(self) -> bool:
        """True while the run's memory has its name and some process works on it."""
        if os.fstat(self.run.file).st_nlink == 0:
            return False
        return any(alive(name) for name in names(self.pipeline))

    def close(self) -> None:
        """Let go of everything."""
        for panel in self.panels.values():
            panel.close()
        if self.portfolios:
            self.portfolios.close()
        for segment in (self.run, *self.rings.values()):
            segment.close()


class PipelineCollector(Collector):
    """What prometheus-client asks at every scrape."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.attached: Attached | None = None
        self.lock = threading.Lock()  # scrapes come in threads of their own

    def collect(self) -> Iterable[Metric]:
        """Look at the run that there is, if any."""
        with self.lock:
            families = Families()
            run = self._attach()
            what = "1 while a pipeline of this name runs."
            families.gauge("up", what, run is not None, pipeline=self.pipeline)
            if run:
                _tell_run(families, run)
            return list(families.made.values())

    def _attach(self) -> Attached | None:
        if self.attached and not self.attached.lives:
            self.close()
        if self.attached is None:
            with suppress(SegmentError):
                self.attached = Attached(self.pipeline)
                if not self.attached.lives:
                    self.close()
        return self.attached

    def close(self) -> None:
        """Let go of the run."""
        if self.attached:
            self.attached.close()
            self.attached = None


def _tell_run(families: Families, run: Attached) -> None:
    labels = {"pipeline": run.pipeline}
    run_id = run.run.text["run_id"]
    families.gauge("run_info", "1; the label tells runs apart.", 1, **labels, run=run_id)
    created_s = int(run.run.header["created_ns"]) / 1e9
    families.gauge("start_time_seconds", "When the run began, Unix time.", created_s, **labels)
    for name, panel in run.panels.items():
        _tell_stage(families, panel, {**labels, "stage": name})
    for name, segment in run.rings.items():
        _tell_ring(families, ring_report(name, segment), {**labels, "ring": name})
    if run.portfolios:
        for number in range(run.portfolios.rows):
            with suppress(SegmentError):  # its writer died in the middle of it, and comes again
                _tell_portfolio(families, run.portfolios.row(number)[0], labels)
    for name in names(run.pipeline):
        with suppress(OSError):
            size = place(name).stat().st_size
            part = name.removeprefix(full_name(run.pipeline, ""))
            families.gauge("segment_bytes", "Shared memory.", size, **labels, segment=part)


def _tell_portfolio(families: Families, row: np.record, labels: dict[str, str]) -> None:
    labels = {**labels, "portfolio": row["name"].decode(errors="replace")}
    if not labels["portfolio"]:
        return
    for field, (name, text) in MONEY.items():
        families.gauge(f"portfolio_{name}", text, int(row[field]) / MONEY_SCALE, **labels)
    for field, (name, text) in COUNTS.items():
        families.gauge(f"portfolio_{name}", text, int(row[field]), **labels)
    if row["options"]:
        what = "Options that it holds, expired ones too."
        families.gauge("portfolio_options", what, int(row["options"]), **labels)
        for greek, text in GREEKS.items():
            amount = int(row["greek"][greek]) / MONEY_SCALE
            families.gauge(f"portfolio_{greek.name.lower()}", text, amount, **labels)
    what = "Event time of the record that moved it last, Unix time."
    families.gauge("portfolio_event_time_seconds", what, int(row["time_ns"]) / 1e9, **labels)
    for measure, most in enumerate(row["limit"].tolist()):
        if most:
            of = {**labels, "measure": MEASURES[measure]}
            families.gauge("portfolio_limit", "A limit, currency.", most / MONEY_SCALE, **of)
            what = "0: not measured whole, 1: ok, 2: warned, 3: breached."
            standing = int(row["standing"][measure])
            families.gauge("portfolio_limit_standing", what, standing, **of)


def _tell_stage(families: Families, panel: Panel, labels: dict[str, str]) -> None:
    look, status = stage_look(panel), panel.status
    for life in Life:
        state = life.name.lower()
        what = "1 for the state that the stage is in."
        families.gauge("stage_state", what, look.life is life, **labels, state=state)
    gauge, counter = families.gauge, families.counter
    gauge("stage_alive", "1 while the stage's process is there.", look.alive, **labels)
    what = "Since the stage last looked up from its work."
    gauge("stage_heartbeat_age_seconds", what, look.beat_age_s, **labels)
    what = "Memory of the stage's process; stages that share a process all show it."
    gauge("stage_resident_memory_bytes", what, look.rss_bytes, **labels)
    what = "CPU of the stage's process; stages that share a process all show it."
    counter("stage_cpu_seconds", what, look.cpu_s, **labels)
    counter("stage_restarts", "How often it was started again.", max(look.starts - 1, 0), **labels)
    counter("stage_turns", "Turns, idle ones too.", int(status["turns"]), **labels)
    idle = int(status["idle_turns"])
    counter("stage_idle_turns", "Turns that found nothing to do.", idle, **labels)
    for block, values in panel.counters.items():
        _tell_counters(families, block, values, labels)
    for name in panel.histograms:
        _tell_latency(families, panel.summary(name), {**labels, "histogram": name})


def _tell_counters(
    families: Families, block: str, values: np.ndarray, labels: dict[str, str]
) -> None:
    """A metric for each counter; what there are several of is told apart by a label: feed, sink."""
    if numbered := NUMBERED.fullmatch(block):
        block = numbered["block"]
        labels = {**labels, block: numbered["number"]}
    for name in values.dtype.names or ():
        what = f"Counter {name.replace('_', ' ')} of the stage's {block} block."
        tell = families.gauge if name.startswith(NOW) else families.counter
        if values[name].ndim == 0:
            tell(f"{block}_{name}", what, int(values[name]), **labels)
            continue
        for index in values[name].nonzero()[0].tolist():
            shown = chr(index) if chr(index).isalnum() and index < 128 else str(index)
            tell(f"{block}_{name}", what, int(values[name][index]), **labels, index=shown)


def _tell_latency(families: Families, summary: Summary, labels: dict[str, str]) -> None:
    what = (
        "hop: since the stage before let go of a record; age: since what caused it came in, "
        "or was due."
    )
    families.histogram("latency_seconds", what, summary, **labels)
    longest = summary.highest / 1e9
    families.gauge("latency_max_seconds", "The longest so far.", longest, **labels)
    what = "Latencies out of the histogram's range, counted as its ends."
    families.counter("latency_clipped", what, summary.clipped, **labels)


def _tell_ring(families: Families, ring: RingReport, labels: dict[str, str]) -> None:
    gauge, counter = families.gauge, families.counter
    counter("ring_written", "Records published.", ring.written, **labels)
    gauge("ring_capacity_records", "Room for so many records.", ring.capacity, **labels)
    gauge("ring_closed", "1 once nothing will follow.", ring.closed, **labels)
    counter("ring_gated", "Times that the writer found no room.", ring.gated, **labels)
    what = "The most records that ever waited for the slowest reader."
    gauge("ring_high_water_records", what, ring.high_water, **labels)
    counter("ring_full_seconds", "Time that the writer had no room.", ring.full_s, **labels)
    counter("ring_wakes", "Sleeping readers that the writer woke.", ring.wakes, **labels)
    gauge("ring_writer_process", "Process id of the writer.", ring.pid, **labels)
    what = "Since the writer's last sign of life."
    gauge("ring_writer_heartbeat_age_seconds", what, ring.beat_age_s, **labels)
    for reader in ring.readers:
        seat = {**labels, "reader": reader.name}
        what = "1; what lagging behind means for the reader, and whom it comes after."
        info = {"policy": reader.policy, "after": reader.after}
        gauge("ring_reader_info", what, 1, **seat, **info)
        counter("ring_reader_read", "Records read.", reader.read, **seat)
        counter("ring_reader_missed", "Records lost on the reader.", reader.missed, **seat)
        what = "Records read from the journal, since the ring had overwritten them."
        counter("ring_reader_replayed", what, reader.replayed, **seat)
        gauge("ring_reader_behind", "1 while it reads the journal.", reader.behind, **seat)
        gauge("ring_reader_lag_records", "Records still to be read.", reader.lag, **seat)
        what = "Time that there was nothing to read."
        counter("ring_reader_empty_seconds", what, reader.empty_s, **seat)
        gauge("ring_reader_asleep", "1 while it sleeps.", reader.asleep, **seat)
        gauge("ring_reader_process", "Process id of the reader.", reader.pid, **seat)
        what = "Since the reader's last sign of life."
        gauge("ring_reader_heartbeat_age_seconds", what, reader.beat_age_s, **seat)


def once(pipeline: str) -> str:
    """What a scrape would get now."""
    collector = PipelineCollector(_checked(pipeline))
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        return generate_latest(registry).decode()
    finally:
        collector.close()


@contextmanager
def serving(pipeline: str, host: str, port: int) -> Iterator[int]:
    """Answer scrapes meanwhile, over HTTP; gives the port: one that is free where 0 is asked for.

    SegmentError where the name is none, or the address cannot be had.
    """
    collector = PipelineCollector(_checked(pipeline))
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SegmentError(
            f"metrics cannot be served on {host} port {port}: {error.strerror or error}; "
            "give another --host or --port"
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        collector.close()


def _checked(pipeline: str) -> str:
    """A name that a pipeline can have: any other would wait for a run that never comes."""
    if not NAME.fullmatch(pipeline):
        raise SegmentError(f"{pipeline!r} cannot be a pipeline's name: {NAME.pattern}")
    return pipeline
