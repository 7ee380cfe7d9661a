"""What it costs to sleep: round trips to a reader that spins, then parks; and what idling costs.

The asking side spins. While calls follow each other closely the answering side never gets to
sleep; a call that comes a millisecond later finds it asleep, or backing off.
"""

import time

import numpy as np

from bench import jitter, traffic
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    percentiles,
    run_rounds,
    together,
)
from ringbuf import ring
from ringbuf.atomics import cycles, store_relaxed
from ringbuf.clock import rate
from ringbuf.jit import kernel
from ringbuf.park import Bed
from ringbuf.share import RingReader, RingWriter
from workers.hop import wait_for
from workers.stage import Waiter

CAPACITY = 8192
TRIPS, TRIPS_SHORT = 100_000, 1_000
CALLS, CALLS_SHORT = 500, 20
APART_S = 0.001
ROUNDS = 5
LOOKS = 400_000_000
IDLE_S, IDLE_SHORT_S = 1.0, 0.1
METER_S, METER_SHORT_S = 0.1, 0.02
APART = ", 1 ms apart"
WAITS = ("spin", "park", "backoff")


@kernel
def hand_over(writer, sequence):
    """Send a record as a stage does: a sleeper is woken."""
    traffic.send_one(writer, sequence, True)
    ring.advance(writer, sequence)


@kernel
def call(writer, reader, first, last, looks, trips):
    """Send records and wait for the echo of each; the cycles that took go to `trips`."""
    for sequence in range(first, last + 1):
        begun = cycles()
        hand_over(writer, sequence)
        if not traffic.await_one(reader, sequence, 1, looks):
            return sequence
        traffic.take_one(reader, sequence, True)
        store_relaxed(trips + 8 * (sequence - 1), cycles() - begun)
        ring.release(reader, sequence)
    return last + 1


@kernel
def echo(reader, writer, last, patience):
    """Answer what comes, with `patience` empty looks before giving up; how many were answered."""
    first = sequence = ring.next_unread(reader)
    while sequence <= last:
        patience = wait_for(reader, sequence, patience)
        if patience == 0:
            break
        traffic.take_one(reader, sequence, True)
        ring.release(reader, sequence)
        hand_over(writer, sequence)
        sequence += 1
    return sequence - first


def ask(pipeline: str, trips: int, apart_s: float) -> Metrics:
    """The side that asks and measures, in its own process; percentiles in ns."""
    writer = RingWriter(pipeline, "there", traffic.LAYOUTS)
    reader = RingReader(pipeline, "back", traffic.LAYOUTS, traffic.reader_name(0))
    warm = max(trips // 20, 1)
    samples = np.zeros(warm + trips, np.int64)
    step = 1 if apart_s else warm
    done = 0
    while done < warm + trips:
        last = min(done + step, warm + trips)
        address = samples.ctypes.data
        if call(writer.view, reader.view, done + 1, last, LOOKS, address) <= last:
            raise BenchError(f"asking side: no answer to a record after {done}")
        done, step = last, step if apart_s else trips
        time.sleep(apart_s)
    writer.close()
    reader.close()
    return percentiles(samples[warm:] * rate())


def answer(pipeline: str, trips: int, wait: str) -> None:
    """The side that echoes, in its own process."""
    reader = RingReader(pipeline, "there", traffic.LAYOUTS, traffic.reader_name(0))
    writer = RingWriter(pipeline, "back", traffic.LAYOUTS)
    waiter = Waiter(wait)
    if wait == "park":
        waiter.bed = Bed([reader.shared])
    left = trips + max(trips // 20, 1)
    while left:
        work = int(echo(reader.view, writer.view, trips + max(trips // 20, 1), waiter.patience))
        left -= work
        if left:
            waiter.after(work)
    reader.close()
    writer.close()


def trips_run(crew: list[Actor], trips: int, apart_s: float, wait: str) -> Metrics:
    """Round trips over two fresh rings."""
    with traffic.Rings(CAPACITY, wait == "park", there=1, back=1) as rings:
        _, metrics = together(
            (crew[1], answer, (rings.pipeline, trips, wait)),
            (crew[0], ask, (rings.pipeline, trips, apart_s)),
        )
    return metrics


def idle(pipeline: str, seconds: float, wait: str) -> Metrics:
    """Wait on a ring on which nothing comes; how much of a core that takes."""
    reader = RingReader(pipeline, "there", traffic.LAYOUTS, traffic.reader_name(0))
    waiter = Waiter(wait)
    if wait == "park":
        waiter.bed = Bed([reader.shared])
        waiter.bed.warm()
    wait_for(reader.view, 1, 0)
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        waiter.after(int(wait_for(reader.view, 1, waiter.patience)))
    used, took = time.process_time() - used, time.monotonic() - began
    reader.close()
    return {"cpu %": 100.0 * used / took}


def idle_run(crew: list[Actor], seconds: float, wait: str) -> Metrics:
    """Idling of one process on a fresh ring."""
    with traffic.Rings(CAPACITY, wait == "park", there=1) as rings:
        (metrics,) = together((crew[1], idle, (rings.pipeline, seconds, wait)))
    return metrics


def trips_of(crew: list[Actor], trips: int, apart_s: float, wait: str) -> Variant:
    """The round trips of one way to wait."""
    return lambda: trips_run(crew, trips, apart_s, wait)


def idling_of(crew: list[Actor], seconds: float, wait: str) -> Variant:
    """The idling of one way to wait."""
    return lambda: idle_run(crew, seconds, wait)


def run(options: Options) -> list[Result]:
    """Interleave the ways to wait: close calls, calls apart, and nothing to do."""
    places = cores(2)
    if places[-1].shared:
        raise BenchError("a round trip needs two cores of its own")
    trips, calls = options.scaled(TRIPS, TRIPS_SHORT), options.scaled(CALLS, CALLS_SHORT)
    seconds = METER_SHORT_S if options.short else METER_S
    idle_s = IDLE_SHORT_S if options.short else IDLE_S
    result = Result("parked", BENCH.what, "ns", "p50", better="less")
    idling = Result("parked: idle", "CPU of a reader with nothing to read", "", "cpu %", "less")
    passes: list[dict[str, jitter.Watched]] = []
    with actors(places) as crew:
        variants = {name: trips_of(crew, trips, 0.0, name) for name in WAITS}
        for wait in WAITS:
            variants[wait + APART] = trips_of(crew, calls, APART_S, wait)
        waiting = {name: idling_of(crew, idle_s, name) for name in WAITS}
        run_rounds(
            result,
            variants,
            options.rounds_of(ROUNDS),
            before=lambda: passes.append(jitter.meter_all(crew, places, seconds)),
        )
        run_rounds(idling, waiting, options.rounds_of(ROUNDS))
    jitter.beside(result, passes, trips, one_at_a_time=True)
    result.pairs = {"park": "spin", "park" + APART: "backoff" + APART}
    return [result, idling]


BENCH = Bench("parked", "round trips to a reader that spins, then sleeps until it is woken", run)
