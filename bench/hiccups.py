"""The jitter meter: how much time each core loses to whatever else runs, below and beside us.

A core spins on the cycle counter; two readings further apart than a microsecond are a gap: an
interrupt, another process, the hypervisor. A latency can be no better than what this shows.
"""

import os
from collections.abc import Sequence

import numpy as np

from bench.harness import (
    Actor,
    Bench,
    Core,
    Metrics,
    Options,
    Result,
    actors,
    cores,
    run_rounds,
    together,
)
from ringbuf.atomics import at, cycles
from ringbuf.clock import CLOCK, calibrate
from ringbuf.jit import kernel
from ringbuf.record import record

LIMITS_NS = (1_000, 10_000, 100_000, 1_000_000)
NAMES = (">1us /s", ">10us /s", ">100us /s", ">1ms /s")  # gaps a second
WATCH_S, WATCH_SHORT_S = 0.5, 0.05
ROUNDS = 6
GAPS = record(
    [
        ("limits", "i8", (len(LIMITS_NS),)),  # cycles
        ("counts", "i8", (len(LIMITS_NS),)),  # gaps longer than each limit
        ("lost", "i8"),  # cycles in gaps longer than the first limit
        ("longest", "i8"),  # cycles
        ("whole", "i8"),  # cycles watched
    ]
)


@kernel
def watch(gaps, duration):
    """Spin for so many cycles and note every gap."""
    noted = at(gaps, GAPS)
    begun = before = cycles()
    while before - begun < duration:
        now = cycles()
        gap = now - before
        if gap > noted.limits[0]:
            note_gap(gaps, gap)
        before = now
    noted.whole += before - begun


@kernel
def note_gap(gaps, gap):
    """Count one gap under every limit that it exceeds."""
    noted = at(gaps, GAPS)
    for number in range(len(LIMITS_NS)):
        noted.counts[number] += gap > noted.limits[number]
    noted.lost += gap
    noted.longest = max(noted.longest, gap)


def meter(seconds: float) -> Metrics:
    """Watch the core that this runs on; gaps a second, share of time lost, longest gap."""
    clock, gaps = np.zeros(1, CLOCK), np.zeros(1, GAPS)
    calibrate(clock[0])
    ns_per_cycle = float(clock["ns_per_cycle"][0])
    gaps["limits"][0] = [int(limit / ns_per_cycle) for limit in LIMITS_NS]
    watch(gaps.ctypes.data, int(seconds * 1e9 / ns_per_cycle))
    whole = int(gaps["whole"][0])
    watched_s = whole * ns_per_cycle / 1e9
    rates = gaps["counts"][0] / watched_s
    return {
        **{name: float(rate) for name, rate in zip(NAMES, rates, strict=True)},
        "lost %": 100.0 * int(gaps["lost"][0]) / whole,
        "longest us": int(gaps["longest"][0]) * ns_per_cycle / 1e3,
    }


def meter_all(crew: Sequence[Actor], places: Sequence[Core], seconds: float) -> dict[str, Metrics]:
    """Watch several cores at once: "core n" -> metrics."""
    answers = together(*((actor, meter, (seconds,)) for actor in crew))
    return {f"core {place.number}": answer for place, answer in zip(places, answers, strict=True)}


def merged(passes: Sequence[dict[str, Metrics]]) -> dict[str, Metrics]:
    """Several passes of the meter as one: means, and the longest gap of all."""
    return {
        core: {
            metric: max(values) if metric == "longest us" else sum(values) / len(values)
            for metric in metrics
            for values in [[one[core][metric] for one in passes]]
        }
        for core, metrics in passes[0].items()
    }


def run(options: Options) -> Result:
    """Watch every core that this process may use, all at once."""
    seconds = WATCH_SHORT_S if options.short else WATCH_S
    result = Result("hiccups", BENCH.what, "", "lost %", better="less")
    places = [place for place in cores(core_count()) if not place.shared]
    with actors(places) as crew:
        passes: list[dict[str, Metrics]] = []
        variants = {
            f"core {place.number}": lambda name=f"core {place.number}": passes[-1][name]
            for place in places
        }
        run_rounds(
            result,
            variants,
            options.rounds_of(ROUNDS),
            before=lambda: passes.append(meter_all(crew, places, seconds)),
        )
    return result


def core_count() -> int:
    """How many whole cores this process may use."""
    return len(os.sched_getaffinity(0))


BENCH = Bench("hiccups", "what each core loses to interrupts, neighbours and the hypervisor", run)
