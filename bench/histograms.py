"""What it costs to note a latency: nanoseconds a value, beside the pip library's."""

import time

import numpy as np
from hdrh.histogram import HdrHistogram

from bench.harness import Bench, BenchError, Metrics, Options, Result, actors, cores, run_rounds
from ringbuf.atomics import load_relaxed
from ringbuf.histogram import DIGITS, HIGHEST_NS, empty, note
from ringbuf.jit import kernel

VALUES, VALUES_SHORT = 5_000_000, 100_000
LIBRARY_EVERY = 50  # the library takes so few of the values: it is hundreds of times slower
ROUNDS = 9
MEDIAN_NS, SPREAD = 300.0, 1.0  # of the latencies noted: log-normal, most between 40 and 2,200


@kernel
def note_all(histogram, values, count):
    """Note every value."""
    for number in range(count):
        note(histogram, load_relaxed(values + 8 * number))


@kernel
def add_all(values, count):
    """The same loop with nothing noted: what is to be taken off."""
    total = 0
    for number in range(count):
        total += load_relaxed(values + 8 * number)
    return total


def latencies(count: int) -> np.ndarray:
    """Values to note, in ns, always the same."""
    drawn = np.random.default_rng(1).lognormal(np.log(MEDIAN_NS), SPREAD, count)
    return drawn.astype(np.int64)


def measure(count: int) -> dict[str, Metrics]:
    """Nanoseconds a value: the kernel's, the empty loop's, the library's."""
    values = latencies(count)
    address, histogram = values.ctypes.data, empty()
    note_all(histogram.ctypes.data, address, 0)  # compiled from here on
    add_all(address, 0)
    begun = time.perf_counter_ns()
    note_all(histogram.ctypes.data, address, count)
    noted = time.perf_counter_ns()
    total = add_all(address, count)
    added = time.perf_counter_ns()
    found = int(histogram["count"][0]), int(histogram["total"][0])
    if found != (count, total):
        raise BenchError(f"the histogram has (count, total) {found}, not {(count, total)}")
    return {
        "note": {"ns": (noted - begun) / count},
        "empty loop": {"ns": (added - noted) / count},
        "hdrhistogram (pip)": {"ns": library(values[::LIBRARY_EVERY].tolist())},
    }


def library(values: list[int]) -> float:
    """Nanoseconds a value of HdrHistogram.record_value."""
    histogram = HdrHistogram(1, HIGHEST_NS, DIGITS)
    begun = time.perf_counter_ns()
    for value in values:
        histogram.record_value(value)
    return (time.perf_counter_ns() - begun) / len(values)


def run(options: Options) -> Result:
    """Measure in a pinned process, all three in every round."""
    count = options.scaled(VALUES, VALUES_SHORT)
    result = Result("histograms", BENCH.what, "ns a value", "ns", better="less")
    latest: dict[str, Metrics] = {}
    with actors(cores(1)) as (actor,):

        def measure_there() -> None:
            actor.start(measure, count)
            latest.update(actor.result())

        names = "note", "empty loop", "hdrhistogram (pip)"
        variants = {name: lambda name=name: latest[name] for name in names}
        run_rounds(result, variants, options.rounds_of(ROUNDS), before=measure_there)
    result.pairs = {"note": "hdrhistogram (pip)"}
    return result


BENCH = Bench("histograms", "what it costs to note a latency in shared memory", run)
