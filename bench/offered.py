"""Latency at an offered load: records sent when they are due, whether or not the last has arrived.

Latency counts from when a record was *due*, over all records: a writer held up by its reader, or
by the host, is late for every record that falls due meanwhile, and all of that is shown (no
coordinated omission). Compiled peers send one record at a time; from Python a message carries
whatever is due, as the interpreter cannot do more than some 200,000 messages a second.
"""

import time
from functools import partial

import numpy as np

from bench import c_program, jitter, peer_java, peer_python, peers, traffic
from bench.harness import (
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    percentiles,
    together,
)
from bench.latency import LOOKS, finish
from bench.peers import Crew
from ringbuf import clock, ring
from ringbuf.atomics import at, cycles, pause, store_relaxed
from ringbuf.jit import kernel
from ringbuf.share import RingReader, RingWriter

RATES, RATES_SHORT = (100_000, 1_000_000), (2_000, 20_000)  # records a second
SECONDS, SECONDS_SHORT = 0.5, 0.05
WARM = 0.1  # of the records, not noted
LEAD_NS = 20_000_000  # from the start of both sides until the first record is due
GIVE_UP_NS = 250_000_000  # so late, a peer in Python cannot hold the rate
ROUNDS = 5


@kernel
def due(start, period, sequence):
    """When a record is due, in cycles; period: cycles, a float."""
    return start + int((sequence - 1) * period)


@kernel
def keep_up(tally, writer, last, stamped, start, period, looks):
    """Send each record when it is due; ends early after `looks` looks at a full ring."""
    mine = at(tally, traffic.TALLY)
    sequence, full = mine.next, 0
    while sequence <= last and full < looks:
        when = due(start, period, sequence)
        while cycles() < when:
            pause()
        if ring.room(writer, sequence, 1) < 1:
            pause()
            full += 1
            continue
        traffic.fill(ring.claim(writer, sequence), sequence)
        if stamped:
            ring.publish(writer, sequence, when, cycles())
        else:
            traffic.unstamped(writer, sequence)
        sequence += 1
        full = 0
    mine.next = sequence


@kernel
def arrivals(tally, reader, last, stamped, start, period, late, looks):
    """Read records, note the cycles since each was due; ends early after `looks` in vain."""
    mine = at(tally, traffic.TALLY)
    sequence, total = mine.next, mine.total
    while sequence <= last and traffic.await_one(reader, sequence, 1, looks):
        total += traffic.take_one(reader, sequence, stamped)
        store_relaxed(late + 8 * (sequence - 1), cycles() - due(start, period, sequence))
        sequence += 1
    mine.next, mine.total = sequence, total


def send(pipeline: str, last: int, stamped: bool, start: int, period: float) -> None:
    """The writer's whole run, in its own process."""
    writer = RingWriter(pipeline, "there", traffic.LAYOUTS)
    tally, address = traffic.new_tally()
    keep_up(address, writer.view, last, stamped, start, period, LOOKS)
    writer.close()
    if tally["next"][0] <= last:
        raise BenchError(f"writer: stuck at record {tally['next'][0]} of {last}")


def take(pipeline: str, last: int, stamped: bool, start: int, period: float) -> np.ndarray:
    """The reader's whole run, in its own process; cycles that each record was late."""
    reader = RingReader(pipeline, "there", traffic.LAYOUTS, traffic.reader_name(0))
    tally, address = traffic.new_tally()
    late = np.zeros(last, np.int64)
    arrivals(address, reader.view, last, stamped, start, period, late.ctypes.data, LOOKS)
    reader.close()
    finish(tally, last, "reader")
    return late


def shown(found: Metrics, held: float = 100.0) -> Metrics:
    """A row of the table; held: how much of the load was taken, in percent."""
    return {**peers.tails(found), "held %": held}


class Load:
    """So many records at a rate; the first of them are not noted."""

    def __init__(self, rate: int, seconds: float) -> None:
        self.rate, self.records = rate, int(rate * seconds)
        self.warm = int(self.records * WARM)
        self.last = self.warm + self.records

    def ring(self, crew: Crew, stamped: bool) -> Metrics:
        """Ours, in compiled kernels."""
        ns_per_cycle = clock.rate()
        period = 1e9 / self.rate / ns_per_cycle
        with traffic.Rings(peers.CAPACITY, there=1) as rings:
            start = clock.now() + int(LEAD_NS / ns_per_cycle)
            words = rings.pipeline, self.last, stamped, start, period
            late, _ = together((crew.actors[1], take, words), (crew.actors[0], send, words))
        return shown(percentiles(late[self.warm :] * ns_per_cycle))

    def c(self, crew: Crew) -> Metrics:
        """The C program of the same protocol."""
        sizes = peers.CAPACITY, self.records, self.warm, self.rate
        return shown(c_program.offered(*sizes, False, crew.cores))

    def java(self, crew: Crew, peer: str) -> Metrics:
        """A peer in a JVM."""
        words = peers.MODES[peer], self.records, self.warm, self.rate, crew.cores
        return shown(peer_java.offered(crew.machines[peer], *words))

    def python(self, crew: Crew, peer: str) -> Metrics:
        """A peer called from Python; what is due goes in one message."""
        period = 1e9 / self.rate
        with peers.lanes(crew, peer):
            start = time.monotonic_ns() + LEAD_NS
            late, sent = together(
                (crew.actors[1], peer_python.arrivals, (start, period)),
                (crew.actors[0], peer_python.keep_up, (self.last, start, period, GIVE_UP_NS)),
            )
        if len(late) != sent:
            raise BenchError(f"{peer}: {sent} records were sent, {len(late)} arrived")
        noted = late[min(self.warm, len(late) - 1) :]
        return shown(percentiles(noted), 100.0 * sent / self.last)

    def variants(self, crew: Crew) -> dict[str, Variant]:
        """Everybody under this load."""
        found: dict[str, Variant] = {
            "ring": lambda: self.ring(crew, False),
            "ring, with stamps": lambda: self.ring(crew, True),
        }
        if c_program.available():
            found["C"] = lambda: self.c(crew)
        for peer in crew.machines:
            found[peer] = partial(self.java, crew, peer)
        for peer in crew.python:
            found[peer] = partial(self.python, crew, peer)
        return found


def table(rate: int, options: Options) -> Result:
    """One rate: everybody's latencies, the jitter meter beside them."""
    load = Load(rate, SECONDS_SHORT if options.short else SECONDS)
    name, what = f"offered {rate:,}/s", f"latency from when a record was due, {rate:,} a second"
    result = Result(name, what, "ns", "p50", better="less")
    places = peers.two_cores()
    passes: list[dict[str, jitter.Watched]] = []
    seconds = peers.METER_SHORT_S if options.short else peers.METER_S
    with peers.crew_of(places) as crew:
        peers.measured(
            result,
            crew,
            load.variants(crew),
            options if options.rounds or options.short else Options(rounds=ROUNDS),
            before=lambda: passes.append(jitter.meter_all(crew.actors, places, seconds)),
        )
    jitter.beside(result, passes, load.records, one_at_a_time=False)
    for variant in result.variants:
        held = result.median(variant, "held %")
        if held < 100:
            result.notes.append(
                f"{variant}: cannot hold {rate:,}/s; {GIVE_UP_NS / 1e6:.0f} ms late after "
                f"{held:.0f} % of the records, its latencies are those of overload"
            )
    return result


def run(options: Options) -> list[Result]:
    """A table for each rate."""
    return [table(rate, options) for rate in (RATES_SHORT if options.short else RATES)]


BENCH = Bench("offered", "latency at a fixed rate, counted from when records were due", run)
