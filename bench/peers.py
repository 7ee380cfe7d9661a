"""The ring beside what else carries records between processes on one host.

Aeron IPC and LMAX Disruptor in Java, a C program of the ring's own protocol, and what Python can
call: iceoryx2, pyzmq, faster-fifo, multiprocessing.Queue. Everybody carries 64-byte records of
eight words, writes and reads all of them, and is refused when the sums come out wrong. All variants
of a table run in turns, pinned: the writer to one core, its readers to the next ones.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bench import c_program, jitter, latency, peer_java, peer_python, throughput, traffic
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Core,
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
from bench.peer_python import OURS

CAPACITY = throughput.CAPACITY
RECORDS, RECORDS_SHORT = 2_000_000, 20_000  # of compiled peers
BATCHED, BATCHED_SHORT = 320_000, 3_200  # of Python, 64 in a message
SINGLE, SINGLE_SHORT = 20_000, 500  # of Python, one in a message
WARM = 0.1  # of the records, before the clock starts
TRIPS, TRIPS_SHORT = 200_000, 2_000
TRIPS_PYTHON, TRIPS_PYTHON_SHORT = 3_000, 100
ROUNDS = 7
BUDGET_S = 75.0  # a table
METER_S, METER_SHORT_S = 0.1, 0.02
TAILS = ("p50", "p99", "p99.9", "max")
LARGE = 65_536  # slots: more than a core's own cache holds
# What a JVM peer calls it: Aeron's records in a message and messages in a poll; the Disruptor's
# records published at once and slots.
BATCHES = {
    "Aeron": ("Aeron", "1,256"),
    "Aeron, 1 a poll": ("Aeron", "1,1"),
    "Aeron, 64 in a message": ("Aeron", "64,256"),
    "Disruptor": ("Disruptor", f"64,{CAPACITY}"),
    "Disruptor, single": ("Disruptor", f"1,{CAPACITY}"),
    f"Disruptor, {LARGE:,} slots": ("Disruptor", f"64,{LARGE}"),
}
MODES = {"Aeron": "1,256", "Disruptor": f"1,{CAPACITY}"}  # one record at a time
AERON_NOTE = (
    "Aeron: media driver embedded, its one thread backing off; on two cores it takes time from "
    "writer and reader"
)


@dataclass
class Crew:
    """Who takes part in a table: pinned processes, JVMs, and what to say of those missing."""

    places: list[Core]
    actors: list[Actor]
    machines: dict[str, peer_java.Machine]
    python: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def cores(self) -> list[int]:
        """The writer's core, then each reader's."""
        return [place.number for place in self.places]


@contextlib.contextmanager
def crew_of(places: list[Core]) -> Iterator[Crew]:
    """Start everybody who is there; the JVMs are ended and the processes closed in the end."""
    notes = peer_python.notes()
    if not c_program.available():
        notes.append(c_program.NO_COMPILER)
    absent = peer_java.absent()
    if absent:
        notes.append(absent)
    with contextlib.ExitStack() as stack:
        numbers = [place.number for place in places]
        machines = {
            peer: stack.enter_context(peer_java.Machine(peer, numbers))
            for peer in ([] if absent else peer_java.MAINS)
        }
        given = peer_python.inherited(any(place.shared for place in places))
        pinned = stack.enter_context(actors(places, given))
        yield Crew(places, pinned, machines, peer_python.installed(), notes)


@contextlib.contextmanager
def lanes(crew: Crew, peer: str, back: bool = False) -> Iterator[None]:
    """Open a Python peer's ends in all processes: readers first, as not all can wait for them."""
    writer, *readers = crew.actors
    back_readers = {"back": 1} if back else {}
    with traffic.Rings(CAPACITY, there=len(readers), **back_readers) as rings:
        run = rings.pipeline
        takers = [
            (reader, peer_python.open_taker, (peer, run, "there", number))
            for number, reader in enumerate(readers)
        ]
        together(*takers)
        if back:
            together((writer, peer_python.open_taker, (peer, run, "back", 0)))
            together((readers[0], peer_python.open_sender, (peer, run, "back", 1)))
        together((writer, peer_python.open_sender, (peer, run, "there", len(readers))))
        yield
        together(*((actor, peer_python.close_ends, ()) for actor in crew.actors))


def python_rate(crew: Crew, peer: str, records: int, batch: int) -> Metrics:
    """M records/s of the slowest reader, from Python on both ends."""
    writer, *readers = crew.actors
    with lanes(crew, peer):
        warm = int(records * WARM)
        takers = [(reader, peer_python.take_all, (warm, records)) for reader in readers]
        *rates, _ = together(*takers, (writer, peer_python.send_all, (records, batch)))
    return {"rate": min(rates) / 1e6}


def java_rate(crew: Crew, peer: str, mode: str, records: int) -> Metrics:
    """M records/s of the slowest reader, in a JVM."""
    machine = crew.machines[peer]
    rates = peer_java.throughput(machine, mode, records, int(records * WARM), crew.cores)
    return {"rate": min(rates) / 1e6}


def ring_rate(crew: Crew, records: int, stamped: bool, **sizes: int) -> Metrics:
    """M records/s of the slowest reader, in compiled kernels."""
    readers = len(crew.actors) - 1
    return throughput.ring_run(crew.actors, crew.places, readers, records, stamped, **sizes)


def rates(crew: Crew, options: Options, singles: bool) -> dict[str, Variant]:
    """Everybody's throughput; singles: also one record at a time."""
    records = options.scaled(RECORDS, RECORDS_SHORT)
    own = records + traffic.WARM
    variants: dict[str, Variant] = {
        "ring": lambda: ring_rate(crew, own, False),
        "ring, with stamps": lambda: ring_rate(crew, own, True),
    }
    large = f"{LARGE:,} slots"
    if singles:
        variants["ring, single"] = lambda: ring_rate(crew, own, False, batch=1)
        variants[f"ring, {large}"] = lambda: ring_rate(crew, own, False, capacity=LARGE)
    if c_program.available():
        variants["C"] = lambda: throughput.c_run(crew.places, own, False)
        if singles:
            variants["C, single"] = lambda: throughput.c_run(crew.places, own, False, batch=1)
            variants[f"C, {large}"] = lambda: throughput.c_run(
                crew.places, own, False, capacity=LARGE
            )
    for name, (peer, mode) in BATCHES.items():
        if peer in crew.machines and (singles or name == peer):
            variants[name] = partial(java_rate, crew, peer, mode, records)
    batched = options.scaled(BATCHED, BATCHED_SHORT)
    for peer in crew.python:
        variants[peer] = partial(python_rate, crew, peer, batched, peer_python.BATCH)
        if singles:
            few = options.scaled(SINGLE, SINGLE_SHORT)
            variants[f"{peer}, single"] = partial(python_rate, crew, peer, few, 1)
    return variants


def tails(found: Metrics) -> Metrics:
    """The percentiles that are shown of a latency."""
    return {name: found[name] for name in TAILS}


def python_trips(crew: Crew, peer: str, trips: int) -> Metrics:
    """Round trips of single records, from Python on both ends."""
    asking, answering = crew.actors
    warm = int(trips * WARM)
    with lanes(crew, peer, back=True):
        _, samples = together(
            (answering, peer_python.echo, (warm + trips,)),
            (asking, peer_python.call, (warm + trips,)),
        )
    return tails(percentiles(samples[warm:]))


def trips(crew: Crew, options: Options) -> dict[str, Variant]:
    """Everybody's round trips."""
    count = options.scaled(TRIPS, TRIPS_SHORT)
    warm = int(count * WARM)
    sizes = CAPACITY, count, warm, latency.PAUSES

    def ring_trips(stamped: bool) -> Metrics:
        return tails(latency.ring_run(crew.actors, warm, count, stamped, latency.PAUSES))

    def java_trips(peer: str) -> Metrics:
        words = MODES[peer], count, warm, crew.cores
        return tails(peer_java.round_trip(crew.machines[peer], *words))

    variants: dict[str, Variant] = {
        "ring": lambda: ring_trips(False),
        "ring, with stamps": lambda: ring_trips(True),
    }
    if c_program.available():
        variants["C"] = lambda: tails(c_program.round_trip(*sizes, False, crew.cores))
    for peer in crew.machines:
        variants[peer] = partial(java_trips, peer)
    for peer in crew.python:
        few = options.scaled(TRIPS_PYTHON, TRIPS_PYTHON_SHORT)
        variants[peer] = partial(python_trips, crew, peer, few)
    return variants


def measured(
    result: Result,
    crew: Crew,
    variants: dict[str, Variant],
    options: Options,
    before: Callable[[], None] = lambda: None,
) -> Result:
    """Run a table: each variant once for nothing (a JVM compiles while it runs), then in turns."""
    if not options.short:
        for variant in variants.values():
            variant()
    result.base = "ring"
    result.notes += crew.notes
    if "Aeron" in variants:
        result.notes.append(AERON_NOTE)
    rounds = options.rounds_of(ROUNDS)
    return run_rounds(result, variants, rounds, before, budget_s=BUDGET_S)


def rate_table(readers: int, options: Options) -> Result:
    """Throughput to so many readers."""
    name = f"peers 1→{readers}"
    result = Result(name, f"records a second to {readers}, all words read", "M records/s", "rate")
    with crew_of(cores(1 + readers)) as crew:
        measured(result, crew, rates(crew, options, singles=readers == 1), options)
    if "C" in result.variants:
        result.pairs = {"ring": "C"}
    if readers > 1 and crew.places[-1].shared:
        result.notes.append("readers share a core, and give way when they wait")
    if readers > 1:
        result.notes.append("queues and pyzmq have no lossless broadcast: sent once for each")
    result.notes.append(f"from Python: {peer_python.BATCH} records in a message, or one (single)")
    return result


def trip_table(options: Options) -> Result:
    """Round trips, the jitter meter beside them."""
    places = two_cores()
    result = Result("peers round trip", "a record there and back", "ns", "p50", better="less")
    passes: list[dict[str, jitter.Watched]] = []
    seconds = METER_SHORT_S if options.short else METER_S
    with crew_of(places) as crew:

        def before() -> None:
            passes.append(jitter.meter_all(crew.actors, places, seconds))

        measured(result, crew, trips(crew, options), options, before)
    jitter.beside(result, passes, options.scaled(TRIPS, TRIPS_SHORT), one_at_a_time=True)
    if OURS in result.variants:
        result.pairs = {OURS: "ring"}
    return result


def two_cores() -> list[Core]:
    """A core for the writer and one for the reader; refused where they would be the same."""
    places = cores(2)
    if places[-1].shared:
        raise BenchError("latency beside peers needs two cores of its own")
    return places


def run(options: Options) -> list[Result]:
    """Throughput 1→1 and 1→3, and round trips."""
    return [rate_table(1, options), rate_table(3, options), trip_table(options)]


BENCH = Bench("peers", "the ring beside Aeron, Disruptor, iceoryx2 and what else there is", run)
