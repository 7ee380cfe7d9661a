"""Cycles into nanoseconds: one calibration a pipeline, shared by all of its processes."""

import time
from functools import cache

import numpy as np

from ringbuf.atomics import cycles
from ringbuf.host import steady_counter
from ringbuf.jit import compiled, kernel
from ringbuf.record import record

CALIBRATION_S = 0.05

CLOCK = record(
    [
        ("base_cycles", "i8"),  # the counter at the moment of calibration
        ("base_ns", "i8"),  # wall clock, nanoseconds since the Unix epoch, at that moment
        ("ns_per_cycle", "f8"),
        ("steady", "i8"),  # 1: cycle counter; 0: the system's monotonic clock
    ]
)


@kernel
def now():
    """The counter, for code outside of kernels."""
    return cycles()


@kernel
def elapsed_ns(since, until, ns_per_cycle):
    """Nanoseconds between two counter values; 0 where the cores disagree by a little."""
    return max(int((until - since) * ns_per_cycle), 0)


@kernel
def wall_ns(clock, at_cycles):
    """Nanoseconds since the Unix epoch at a counter value; clock is a CLOCK record."""
    return clock.base_ns + int((at_cycles - clock.base_cycles) * clock.ns_per_cycle)


def _reading() -> tuple[int, int]:
    """The counter and CLOCK_MONOTONIC at one moment: the tightest of a few attempts."""
    best = None
    for _ in range(20):
        before = time.monotonic_ns()
        counter = now()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, counter, (before + after) // 2)
    assert best is not None
    return best[1], best[2]


@cache
def rate() -> float:
    """Nanoseconds per cycle, measured once a process."""
    clock = np.zeros(1, CLOCK)[0]
    calibrate(clock)
    return float(clock["ns_per_cycle"])


def calibrate(clock, seconds: float = CALIBRATION_S) -> None:
    """Measure the counter against CLOCK_MONOTONIC and write a CLOCK record."""
    clock.steady = int(compiled() and steady_counter())
    counter, nanoseconds = _reading()
    clock.base_cycles = counter
    clock.base_ns = time.time_ns() - (time.monotonic_ns() - nanoseconds)
    clock.ns_per_cycle = 1.0
    if clock.steady:
        time.sleep(seconds)
        later, later_ns = _reading()
        clock.ns_per_cycle = (later_ns - nanoseconds) / (later - counter)
