"""The jitter meter: how much time each core loses to whatever else runs, below and beside us.

A core spins on the cycle counter; two readings further apart than FLOOR_NS are a gap: an
interrupt, another process, the hypervisor. A latency can be no better than what this shows. The
kernel's own accounts stand beside it: "neighbours" is how long other processes had the core while
we wanted it, "hypervisor" what the host took from the whole machine's core (in steps of 10 ms).
Gaps that neither explains are interrupts, and a host that does not tell.
"""

import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.harness import (
    PERCENTS,
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
from ringbuf.clock import CLOCK, calibrate, elapsed_ns
from ringbuf.histogram import Summary, empty, highest_of, note
from ringbuf.jit import kernel
from ringbuf.record import record

FLOOR_NS = 100  # two readings are some 10 ns apart
LIMITS_NS = {">1us /s": 1_000, ">10us /s": 10_000, ">100us /s": 100_000, ">1ms /s": 1_000_000}
WATCH_S, WATCH_SHORT_S = 0.5, 0.05
ROUNDS = 6
ROUNDS_ASKED = 2  # where the seconds are given: as many as are never cut short
PIECE_S = 10.0
EXPLAINS = 0.5  # of a tail: so much of it or more, and the tail is the platform's
METER = record(
    [
        ("histogram", "i8"),  # where gaps are noted, ns
        ("floor", "i8"),  # cycles
        ("ns_per_cycle", "f8"),
        ("noting", "i8"),  # cycles spent on noting, which are not watched
    ]
)


@kernel
def watch(meter, duration):
    """Spin for so many cycles and note every gap; how many cycles were watched."""
    mine = at(meter, METER)
    begun = before = cycles()
    while before - begun < duration:
        now = cycles()
        if now - before > mine.floor:
            note(mine.histogram, elapsed_ns(before, now, mine.ns_per_cycle))
            before = cycles()
            mine.noting += before - now
        else:
            before = now
    return before - begun - mine.noting


class Watched(NamedTuple):
    """What one core lost while it was watched."""

    ns: float  # watched
    gaps: Summary  # ns, of those over FLOOR_NS
    neighbours_ns: int  # on the run queue while another process had the core
    hypervisor_ns: int
    preempted: int  # involuntary context switches

    def __add__(self, other: "Watched") -> "Watched":  # type: ignore[override]
        return Watched(*(one + more for one, more in zip(self, other, strict=True)))

    def metrics(self) -> Metrics:
        """Gaps a second over each limit, shares of the time, the longest gap."""
        seconds = max(self.ns, 1.0) / 1e9
        over = {name: self.gaps.count - self.gaps.up_to(ns) for name, ns in LIMITS_NS.items()}
        return {
            **{name: count / seconds for name, count in over.items()},
            "lost %": self.gaps.total / seconds / 1e7,
            "neighbours %": self.neighbours_ns / seconds / 1e7,
            "hypervisor %": self.hypervisor_ns / seconds / 1e7,
            "preempted /s": self.preempted / seconds,
            "longest us": self.gaps.highest / 1e3,
        }


def meter(core: int, seconds: float) -> Watched:
    """Watch the core that this process is pinned to."""
    clock, mine, gaps = np.zeros(1, CLOCK), np.zeros(1, METER), empty()
    calibrate(clock[0])
    ns_per_cycle = float(clock["ns_per_cycle"][0])
    mine["histogram"], mine["ns_per_cycle"] = gaps.ctypes.data, ns_per_cycle
    mine["floor"] = int(FLOOR_NS / ns_per_cycle)
    watch(mine.ctypes.data, 0)
    before = accounts(core)
    watched = watch(mine.ctypes.data, int(seconds * 1e9 / ns_per_cycle))
    neighbours, hypervisor, preempted = np.subtract(accounts(core), before).tolist()
    return Watched(watched * ns_per_cycle, Summary(gaps[0]), neighbours, hypervisor, preempted)


def accounts(core: int) -> tuple[int, int, int]:
    """What the kernel says of this process and core so far: ns waited, ns stolen, preemptions.

    Zeros where the kernel keeps no such account.
    """
    waited = stolen = 0
    schedule = Path("/proc/self/schedstat")
    if schedule.exists():
        waited = int(schedule.read_text().split()[1])
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}" and len(ticks) > 7:
            stolen = int(ticks[7]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return waited, stolen, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def meter_all(crew: Sequence[Actor], places: Sequence[Core], seconds: float) -> dict[str, Watched]:
    """Watch several cores at once: "core n" -> what it lost."""
    work = zip(crew, places, strict=True)
    answers = together(*((actor, meter, (place.number, seconds)) for actor, place in work))
    return {f"core {place.number}": answer for place, answer in zip(places, answers, strict=True)}


def merged(passes: Sequence[Mapping[str, Watched]]) -> dict[str, Watched]:
    """Several passes of the meter as one long one."""
    together_: dict[str, Watched] = {}
    for one in passes:
        for core, watched in one.items():
            together_[core] = together_[core] + watched if core in together_ else watched
    return together_


def hit(longer_ns: float, watched: Iterable[Watched], each_ns: float | None = None) -> float:
    """The expected share of samples that gaps of these cores hold up by so many ns or more.

    each_ns: how long a sample takes where the next one begins when it has ended: a gap, however
    long, then hits one. None: samples are due at times of their own (a fixed rate), so that a gap
    of g ns hits whatever falls due in it, all but the last `longer_ns` of it by that much.
    """
    share = 0.0
    for core in watched:
        used = core.gaps.counts.nonzero()[0]
        lengths, counts = highest_of(used), core.gaps.counts[used]
        long = lengths >= longer_ns
        lengths, counts = lengths[long], counts[long]
        cost = counts * each_ns if each_ns else counts * (lengths - longer_ns)
        share += float(cost.sum()) / max(core.ns, 1.0)
    return share


def covered(
    value_ns: float,
    tail: float,
    usual_ns: float,
    watched: Iterable[Watched],
    each_ns: float | None = None,
) -> bool:
    """True where the platform's own gaps explain a percentile: the tail is not ours to mend.

    value_ns: the percentile; tail: the share of samples beyond it (0.001 for p99.9, 1 / samples
    for the maximum); usual_ns: the median, which takes no gap. The rule: the cores' gaps that are
    at least value_ns - usual_ns long are expected to hit (`hit`) half of that tail or more.
    """
    longer_ns = value_ns - usual_ns
    return longer_ns > FLOOR_NS and hit(longer_ns, watched, each_ns) >= EXPLAINS * tail


def beside(
    result: Result,
    passes: Sequence[Mapping[str, Watched]],
    samples: int,
    one_at_a_time: bool,
) -> None:
    """Put the meter's passes beside a latency table, and mark in it what they explain.

    samples: of each round and variant, for the maximum; one_at_a_time: a sample begins when the
    one before has ended (a round trip), rather than when it is due. The result's unit is ns or us.
    """
    lost = merged(passes)
    result.jitter = {core: watched.metrics() for core, watched in lost.items()}
    result.gaps = {core: watched.gaps.sparse() for core, watched in lost.items()}
    unit = {"ns": 1.0, "us": 1e3}[result.unit]
    one = 1 / samples  # no tail is smaller
    tails = {f"p{percent:g}": max(1 - percent / 100, one) for percent in PERCENTS} | {"max": one}
    for variant in result.variants:
        usual = result.median(variant, "p50") * unit
        each = usual if one_at_a_time else None
        result.platform[variant] = [
            name
            for name, tail in tails.items()
            if name in result.rounds[0][variant]
            and covered(result.median(variant, name) * unit, tail, usual, lost.values(), each)
        ]


def run(options: Options) -> Result:
    """Watch every core that this process may use, all at once."""
    rounds = options.rounds_of(ROUNDS_ASKED if options.seconds else ROUNDS)
    seconds = WATCH_SHORT_S if options.short else WATCH_S
    if options.seconds:
        seconds = options.seconds / rounds
    result = Result("jitter", BENCH.what, "", "lost %", better="less")
    places = [place for place in cores(core_count()) if not place.shared]
    with actors(places) as crew:
        passes: list[dict[str, Watched]] = []
        variants = {
            f"core {place.number}": lambda name=f"core {place.number}": passes[-1][name].metrics()
            for place in places
        }
        run_rounds(result, variants, rounds, lambda: passes.append(long(crew, places, seconds)))
    result.gaps = {core: watched.gaps.sparse() for core, watched in merged(passes).items()}
    return result


def long(crew: Sequence[Actor], places: Sequence[Core], seconds: float) -> dict[str, Watched]:
    """Watch for any time: in pieces, each short enough for an Actor."""
    pieces = max(round(seconds / PIECE_S), 1)
    return merged([meter_all(crew, places, seconds / pieces) for _ in range(pieces)])


def core_count() -> int:
    """How many whole cores this process may use."""
    return len(os.sched_getaffinity(0))


BENCH = Bench("jitter", "what each core loses to interrupts, neighbours and the hypervisor", run)
