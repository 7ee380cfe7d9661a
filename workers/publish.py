"""The publisher stage: book and risk records out to every configured sink, each exactly once."""

import time
from collections.abc import Mapping

import msgspec
import numpy as np

from ringbuf.atomics import at, cycles
from ringbuf.clock import elapsed_ns
from ringbuf.histogram import note
from ringbuf.jit import kernel
from ringbuf.journal import JournalReader
from ringbuf.panel import Equation
from ringbuf.record import record
from ringbuf.ring import NO_TIME, STAMP, next_unread, stamp
from workers.enriched import ConsolidatedOptions
from workers.groups import Groups
from workers.hop import HOP, new_hop
from workers.instruments import Names
from workers.records import BOOK_RING, RISK_RING, TOP
from workers.sinks.registry import SinkOptions, build
from workers.sinks.sink import Run, Sink
from workers.stage import Links, Stage

SLICE = 16_384  # records handed to the sinks at a time, at most

COUNTERS = record(
    [
        ("received", "i8"),
        ("book", "i8"),
        ("risk", "i8"),
    ]
)
SINK_COUNTERS = record(
    [
        ("written", "i8"),
        ("filtered", "i8"),  # of kinds that the sink is not asked to keep
        ("skipped", "i8"),  # stored already, before a restart
        ("conflated", "i8"),  # a newer one of the same interval stands for them
        ("pending", "i8"),  # of an interval that is not over yet
    ]
)

SINK_FIELDS = ("written", "filtered", "skipped", "conflated", "pending")


class PublisherOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where records go, and how long they may stay in the operating system's hands only."""

    sinks: list[SinkOptions] = []
    flush_s: float = 1.0  # between two times that everything is made durable on disk


class Publisher(Stage):
    """Hands slices of the rings to the sinks; a slot is given back once every sink has it."""

    READS = ("book", "risk")
    LOOKS_AT = ("instruments",)
    HISTOGRAMS = ("book_hop", "book_age", "risk_hop", "risk_age")

    def __init__(
        self,
        options: PublisherOptions,
        run_id: str,
        links: Links,
        logs: Mapping[str, JournalReader] | None = None,
        groups: Mapping[str, ConsolidatedOptions] | None = None,
    ) -> None:
        """logs: the journals of the rings, where there are any; groups: as the book has them."""
        self.options, self.links, self.logs = options, links, logs or {}
        self.names = Names(links.boards["instruments"])
        joined = Groups(groups or {}, self.names)
        self.run = Run(id=run_id, unit_of=self.names.unit, group_of=joined.unit)
        self.readers = links.readers
        self.sinks: list[Sink] = [build(sink) for sink in options.sinks]
        self.tally = links.panel.counters["publisher"]

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        """The counter blocks of the panel: the publisher's own and one for each sink."""
        return {"publisher": COUNTERS, **{f"sink{n}": SINK_COUNTERS for n in range(parts)}}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        """What must balance: what came in, and what became of it at every sink."""
        equations: list[Equation] = [(["publisher.received"], ["publisher.book", "publisher.risk"])]
        for n in range(parts):
            out = [f"sink{n}.{field}" for field in SINK_FIELDS]
            equations.append((["publisher.received"], out))
        return equations

    def open(self) -> None:
        """Open the sinks and go on behind the last record that all of them hold."""
        self.memory = np.zeros(2, HOP)
        self.timings = {}
        for number, ring in enumerate(self.READS):
            self.timings[ring] = self.memory.ctypes.data + number * HOP.itemsize
            new_hop(self.timings[ring], self.links.panel, f"{ring}_hop", f"{ring}_age")
        for ring, reader in self.readers.items():
            time_slice(self.timings[ring], reader.view, 1, 0)  # compiled before it is needed
        for sink in self.sinks:
            sink.open(self.run)
        for ring in self.readers:
            self._catch_up(ring)
        self._recount()
        self.flushed = time.monotonic()

    def _catch_up(self, ring: str) -> None:
        """Hand the sinks what a host that died has let them forget: the ring has it no more."""
        forgetful = [sink for sink in self.sinks if sink.resumable]
        first = min([sink.resume(ring) for sink in forgetful], default=0) + 1
        last = int(next_unread(self.readers[ring].shared)) - 1
        log = self.logs.get(ring)
        if log is None or not forgetful or first > last:
            return
        if first < log.first:
            text = f"{ring}: no journal keeps records {first:,} to {log.first - 1:,} (keep_mb)"
            self.links.panel.status["message"] = f"not delivered: {text}".encode()[:256]
            first = log.first
        while first <= last:
            records = log.read(first, min(SLICE, last - first + 1))
            for sink in forgetful:
                sink.put(ring, records)
            first += len(records)
            self.breathe()

    def _recount(self) -> None:
        """Go on counting where the ring says we are: the last slice may come once more."""
        for ring, reader in self.readers.items():
            self.tally[ring] = int(next_unread(reader.view)) - 1 - reader.missed
        self.tally["received"] = self.tally["book"] + self.tally["risk"]
        self.before = []
        for n, sink in enumerate(self.sinks):
            shown = self.links.panel.counters[f"sink{n}"]
            before = {name: int(shown[name]) for name in SINK_FIELDS} | {"pending": 0}
            caught_up = sum(getattr(sink, name) for name in SINK_FIELDS)
            before["skipped"] -= sum(before.values()) + caught_up - int(self.tally["received"])
            self.before.append(before)
        self._count()

    def turn(self, patience: int) -> int:
        """Take a slice of each ring; ends when both have ended."""
        work = sum(self._take(ring) for ring in self.readers)
        if time.monotonic() - self.flushed > self.options.flush_s:
            self._flush()
        if work == 0:
            self.finished = all(reader.ended for reader in self.readers.values())
        return work

    def _take(self, ring: str) -> int:
        """Hand what has arrived on a ring to the sinks, then let the writer have the slots."""
        reader = self.readers[ring]
        records = reader.take(TOP if ring == "book" else RISK_RING["risk"][1], SLICE)
        count = len(records)
        if count:
            first = int(next_unread(reader.view))
            time_slice(self.timings[ring], reader.view, first, count)
            for sink in self.sinks:
                sink.put(ring, records)
            self.tally["received"] += count
            self.tally[ring] += count
            self._count()
            reader.release(first + count - 1)
        return count

    def _count(self) -> None:
        for number, sink in enumerate(self.sinks):
            shown, before = self.links.panel.counters[f"sink{number}"], self.before[number]
            for name in SINK_FIELDS:
                shown[name] = before[name] + getattr(sink, name)

    def _flush(self) -> None:
        for sink in self.sinks:
            sink.flush()
        self.flushed = time.monotonic()

    def close(self) -> None:
        """Make everything durable and finish the files."""
        for sink in self.sinks:
            sink.close()
        self._count()  # what was pending has found its place
        for reader in self.readers.values():
            reader.close()


@kernel
def time_slice(timing, reader, first, count):
    """Put the latency of every record of a slice into the histograms."""
    mine = at(timing, HOP)
    now = cycles()
    for sequence in range(first, first + count):
        times = at(stamp(reader, sequence), STAMP)
        if times.sent != NO_TIME:  # else it comes from the journal, which does not say when
            note(mine.hop, elapsed_ns(times.sent, now, mine.ns_per_cycle))
            note(mine.age, elapsed_ns(times.born, now, mine.ns_per_cycle))


assert all(dtype.itemsize == TOP.itemsize for _, dtype in BOOK_RING.values())
