"""What it costs ordinary Python to put a record into a ring, beside the queues Python has.

The records exist already; nobody reads the ring, so the writer never waits. Queues are emptied
between the timed spells. Put means: the call returned, which for multiprocessing.Queue is before
the record has left the process.
"""

import importlib.util
import multiprocessing
import time
from collections.abc import Callable

import numpy as np

from bench import traffic
from bench.harness import Bench, BenchError, Metrics, Options, Result, actors, cores, run_rounds
from bench.peer_python import ABSENT, packed
from ringbuf.share import Observer, RingWriter
from ringbuf.views import push_kept

CAPACITY = 8192
CALLS, CALLS_SHORT = 20_000, 500
SPELL = 500  # puts between two timings: what any queue has room for
ARRAY = 1_000  # records in an array
ROUNDS = 9
ONE, MANY, BARE = "push(1 record)", f"push(array of {ARRAY:,})", "the compiled call alone"


def timed(calls: int, call: Callable[..., object], *arguments: object) -> float:
    """Nanoseconds a call, the loop among them."""
    numbers = range(calls)
    begun = time.perf_counter_ns()
    for _ in numbers:
        call(*arguments)
    return (time.perf_counter_ns() - begun) / calls


def ours(calls: int) -> dict[str, Metrics]:
    """Nanoseconds a record of our calls; what was pushed is read back and compared."""
    with traffic.Rings(CAPACITY, there=0) as rings:
        writer = RingWriter(rings.pipeline, "there", traffic.LAYOUTS)
        one, many = np.zeros(1, traffic.TRAFFIC), np.zeros(ARRAY, traffic.TRAFFIC)
        one["words"] = np.arange(traffic.WORDS)
        many["words"] = np.arange(ARRAY)[:, None] + np.arange(traffic.WORDS)
        arrays = max(calls * 10 // ARRAY, 1)
        found = {
            ONE: {"ns": timed(calls, writer.push, one)},
            BARE: {"ns": timed(calls, push_kept, writer.parcel_at, 0)},
            MANY: {"ns": timed(arrays, writer.push, many) / ARRAY},
        }
        observer = Observer(rings.pipeline, "there")
        check(observer.latest(ARRAY), many, int(observer.writer["written"]), 2 * calls, arrays)
        observer.close()
        writer.close()
    return found


def check(kept: np.ndarray, sent: np.ndarray, written: int, singles: int, arrays: int) -> None:
    """Refuse a run that lost records or spoilt them."""
    if written != singles + arrays * ARRAY or (kept["words"] != sent["words"]).any():
        raise BenchError(f"the ring has {written} records, or others than were pushed")


def queue(make: Callable, calls: int) -> Metrics:
    """Nanoseconds a put of one queue; every record is taken out again and compared."""
    waiting, message = make(), packed(1, 1)
    spent, spells = 0.0, max(calls // SPELL, 1)
    for _ in range(spells):
        spent += timed(SPELL, waiting.put, message)
        if any(waiting.get() != message for _ in range(SPELL)):
            raise BenchError("a queue gave back another record than was put in")
    waiting.close()
    return {"ns": spent / spells}


def measure(calls: int) -> dict[str, Metrics]:
    """Everybody, one after another, in the process that this runs in."""
    found = ours(calls)
    if importlib.util.find_spec("faster_fifo"):
        import faster_fifo

        found["faster-fifo put"] = queue(lambda: faster_fifo.Queue(1 << 20), calls)
    found["multiprocessing.Queue put"] = queue(multiprocessing.Queue, calls)
    return found


def run(options: Options) -> Result:
    """Measure in a pinned process, all of them in every round."""
    calls = options.scaled(CALLS, CALLS_SHORT)
    result = Result("edge", BENCH.what, "ns a record", "ns", better="less")
    latest: dict[str, Metrics] = {}
    with actors(cores(1)) as (actor,):

        def measure_there() -> None:
            actor.start(measure, calls)
            latest.update(actor.result())

        measure_there()
        names = list(latest)
        variants = {name: lambda name=name: latest[name] for name in names}
        run_rounds(result, variants, options.rounds_of(ROUNDS), before=measure_there)
    result.pairs = {ONE: BARE}
    result.pairs |= {name: ONE for name in names if name.endswith("put")}
    if "faster-fifo put" not in names:
        result.notes.append(f"faster-fifo: {ABSENT}")
    return result


BENCH = Bench("edge", "what a push from ordinary Python costs, a record", run)
