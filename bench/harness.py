"""How every benchmark measures: pinned processes, variants in turns, medians of ratios by round.

A round runs each variant once, in an order that turns from round to round. Two variants are
compared by the ratio of their values *within* a round, and the median of those ratios is the
result: what the rest of the machine does then touches both alike.
"""

import contextlib
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ringbuf.jit import compiled

PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99)
BUDGET_S = 20.0  # no further round is begun after so long
ROUNDS_MIN = 2
ANSWER_S = 60.0  # how long a pinned process may take over one piece of work

Metrics = dict[str, float]
Variant = Callable[[], Metrics]


class BenchError(RuntimeError):
    """A benchmark that cannot be run, or whose payload came out wrong."""


@dataclass(frozen=True)
class Options:
    """How long to measure. Short mode is for tests: the numbers mean little, the checks all run."""

    short: bool = False
    rounds: int = 0  # 0: the benchmark's own number
    seconds: float = 0.0  # that the jitter meter watches in all; 0: its own number

    def rounds_of(self, usual: int) -> int:
        """How many rounds to run where a benchmark usually runs `usual`."""
        return self.rounds or (2 if self.short else usual)

    def scaled(self, count: int, short: int) -> int:
        """`count` of something, or `short` of it in short mode, a hundredth uncompiled."""
        if not self.short:
            return count
        return short if compiled() else max(short // 100, 1)


@dataclass
class Result:
    """What a benchmark measured: metrics of every variant in every round.

    better is "more" or "less"; headline is the metric that ratios are taken of; base is a variant
    that is held against every other, in all of its metrics.
    """

    name: str
    what: str
    unit: str
    headline: str
    better: str = "more"
    rounds: list[dict[str, Metrics]] = field(default_factory=list)
    pairs: dict[str, str] = field(default_factory=dict)  # variant -> what it is held against
    base: str = ""
    jitter: dict[str, Metrics] = field(default_factory=dict)  # core -> the jitter meter's
    gaps: dict[str, dict] = field(default_factory=dict)  # core -> their histogram, sparse, ns
    platform: dict[str, list[str]] = field(default_factory=dict)  # variant -> percentiles not ours
    notes: list[str] = field(default_factory=list)

    @property
    def variants(self) -> list[str]:
        """The names of all variants, in the order in which they were given."""
        return list(self.rounds[0]) if self.rounds else []

    def values(self, variant: str, metric: str) -> list[float]:
        """One metric of one variant in every round."""
        return [row[variant][metric] for row in self.rounds]

    def median(self, variant: str, metric: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.values(variant, metric))

    def ratio(self, variant: str, other: str, metric: str = "") -> float:
        """The median, over the rounds, of variant / other."""
        metric = metric or self.headline
        pairs = zip(self.values(variant, metric), self.values(other, metric), strict=True)
        return statistics.median(one / against for one, against in pairs if against)

    def ratios(self) -> dict[str, float]:
        """Every variant that is held against another: "variant / other" -> ratio."""
        return {
            f"{variant} / {other}": round(self.ratio(variant, other), 3)
            for variant, other in self.pairs.items()
        }

    def base_ratios(self) -> dict[str, Metrics]:
        """Where there is a base: other variant -> metric -> base / other."""
        if not self.base:
            return {}
        return {
            other: {
                metric: float(f"{self.ratio(self.base, other, metric):.4g}")
                for metric in metrics
                if metric in self.rounds[0][self.base] and any(self.values(other, metric))
            }
            for other, metrics in self.rounds[0].items()
            if other != self.base
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        medians = {
            variant: {metric: self.median(variant, metric) for metric in self.rounds[0][variant]}
            for variant in self.variants
        }
        ratios = {"ratios": self.ratios(), "base_ratios": self.base_ratios()}
        return {**asdict(self), "medians": medians, **ratios}


def run_rounds(
    result: Result,
    variants: Mapping[str, Variant],
    rounds: int,
    before: Callable[[], None] = lambda: None,
    budget_s: float = BUDGET_S,
) -> Result:
    """Run every variant once a round, starting each round with another one; `before` each round.

    On a machine so busy that time runs out there are fewer rounds, never fewer than two.
    """
    names = list(variants)
    give_up = time.monotonic() + budget_s
    for number in range(rounds):
        if number >= ROUNDS_MIN and time.monotonic() > give_up:
            result.notes.append(f"the machine is busy: {number} rounds in place of {rounds}")
            break
        before()
        turned = names[number % len(names) :] + names[: number % len(names)]
        measured = {name: variants[name]() for name in turned}
        result.rounds.append({name: measured[name] for name in names})
    return result


def percentiles(samples: np.ndarray) -> Metrics:
    """p50 to p99.99 and the maximum of some samples, in their unit."""
    values = np.percentile(samples, PERCENTS, method="higher")
    named = {f"p{percent:g}": float(value) for percent, value in zip(PERCENTS, values, strict=True)}
    return {**named, "max": float(samples.max())}


class Core(NamedTuple):
    """Where a process of a benchmark runs; on a shared core it must give way when it waits."""

    number: int
    shared: bool


def cores(wanted: int) -> list[Core]:
    """Cores to pin to: whole ones first, the last ones, so that core 0 keeps the interrupts.

    Where there are too few, the last of them is shared by the processes that remain.
    """
    allowed = sorted(os.sched_getaffinity(0))
    whole = [core for core in allowed if core == min({core, *_siblings(core)} & set(allowed))]
    chosen = whole[-wanted:]
    spare = wanted - len(chosen)
    single = [Core(number, False) for number in chosen]
    if spare:
        single[-1] = Core(chosen[-1], True)
    return single + [single[-1]] * spare


def _siblings(core: int) -> list[int]:
    """The first and the last hardware thread of a core, as far as the host tells."""
    listed = _read(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    return [int(part) for part in listed.replace("-", ",").split(",") if part]


INHERITED: dict[str, Any] = {}  # in an Actor: what it was given at its start


class Actor:
    """A process pinned to a core that does what it is told, one function after another.

    inherited: what can only be handed over at the start (queues); there as INHERITED.
    """

    def __init__(self, core: int, inherited: Mapping[str, Any] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        given = dict(inherited or {})
        self.process = context.Process(target=_act, args=(theirs, core, given), daemon=True)
        self.process.start()
        theirs.close()

    def start(self, function: Callable, *arguments: Any) -> None:
        """Have a module's function called there."""
        self.pipe.send((function, arguments))

    def result(self) -> Any:
        """What the function returned; its failure is raised here."""
        if not self.pipe.poll(ANSWER_S):
            raise BenchError(f"a pinned process gave no answer within {ANSWER_S:.0f} s")
        try:
            done, value = self.pipe.recv()
        except EOFError:
            raise BenchError(f"a pinned process died: exit code {self.process.exitcode}") from None
        if not done:
            raise BenchError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(1.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _act(pipe, core: int, inherited: dict[str, Any]) -> None:
    os.sched_setaffinity(0, {core})
    INHERITED.update(inherited)
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, ConnectionError):
            return
        try:
            answer = (True, function(*arguments))
        except Exception as failure:
            answer = (False, f"{type(failure).__name__}: {failure}")
        pipe.send(answer)


@contextlib.contextmanager
def actors(places: Iterable[Core], inherited: Mapping[str, Any] | None = None):
    """One Actor a place, started together; closed at the end."""
    started = [Actor(place.number, inherited) for place in places]
    try:
        yield started
    finally:
        for actor in started:
            actor.close()


Work = tuple[Actor, Callable[..., Any], tuple]


def together(*work: Work) -> list[Any]:
    """Start all of (actor, function, arguments), in that order, then wait for all results."""
    for actor, function, arguments in work:
        actor.start(function, *arguments)
    return [actor.result() for actor, _, _ in work]


def host() -> dict[str, Any]:
    """What the numbers were measured on."""
    import llvmlite
    import numba

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": "virtual" if " hypervisor " in _read("/proc/cpuinfo") else "bare metal",
        "kernel": platform.release(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "none",
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "isolated": _read("/sys/devices/system/cpu/isolated") or "none",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "compiled": compiled(),
        "taken": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Bench:
    """One benchmark: a name, one line on what it measures, and how to run it: a table or more."""

    name: str
    what: str
    run: Callable[[Options], Result | list[Result]]
