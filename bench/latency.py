"""Round trips between two cores: a record sent, echoed, received; the jitter meter beside it."""

import numpy as np

from bench import c_program, jitter, traffic
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
from ringbuf.clock import CLOCK, calibrate
from ringbuf.share import RingReader, RingWriter

CAPACITY = 8192
TRIPS, TRIPS_SHORT = 200_000, 2_000
ROUNDS = 9
PAUSES = 1  # between two looks, as the stages have it
SPACED = 4  # for comparison
LOOKS = 400_000_000  # in vain, before a side gives up: the other may be compiling for some seconds
METER_S, METER_SHORT_S = 0.1, 0.02


def ask(pipeline: str, warm: int, trips: int, stamped: bool, pauses: int) -> Metrics:
    """The side that asks and measures, in its own process; percentiles in ns."""
    writer = RingWriter(pipeline, "there", traffic.LAYOUTS)
    reader = RingReader(pipeline, "back", traffic.LAYOUTS, traffic.reader_name(0))
    tally, address = traffic.new_tally()
    clock, samples = np.zeros(1, CLOCK), np.zeros(warm + trips, np.int64)
    calibrate(clock[0])
    for last in (warm, warm + trips):
        traffic.call(
            address,
            writer.view,
            reader.view,
            last,
            stamped,
            pauses,
            LOOKS,
            samples.ctypes.data,
        )
    writer.close()
    reader.close()
    finish(tally, warm + trips, "asking side")
    return percentiles(samples[warm:] * float(clock["ns_per_cycle"][0]))


def answer(pipeline: str, last: int, stamped: bool, pauses: int) -> None:
    """The side that echoes, in its own process."""
    reader = RingReader(pipeline, "there", traffic.LAYOUTS, traffic.reader_name(0))
    writer = RingWriter(pipeline, "back", traffic.LAYOUTS)
    tally, address = traffic.new_tally()
    traffic.echo(address, reader.view, writer.view, last, stamped, pauses, LOOKS)
    reader.close()
    writer.close()
    finish(tally, last, "answering side")


def finish(tally: np.ndarray, last: int, who: str) -> None:
    """Refuse a run that got stuck or whose payload came out wrong."""
    if tally["next"][0] <= last:
        raise BenchError(f"{who}: stuck at record {tally['next'][0]} of {last}")
    traffic.check(int(tally["total"][0]), last, who)


def ring_run(
    crew: list[Actor], warm: int, trips: int, stamped: bool, pauses: int, huge: bool = False
) -> Metrics:
    """Round trips over two fresh rings."""
    with traffic.Rings(CAPACITY, huge=huge, there=1, back=1) as rings:
        _, metrics = together(
            (crew[1], answer, (rings.pipeline, warm + trips, stamped, pauses)),
            (crew[0], ask, (rings.pipeline, warm, trips, stamped, pauses)),
        )
    return metrics


def huge_pages() -> bool:
    """Whether rings can be had in huge pages here."""
    with traffic.Rings(CAPACITY, huge=True, there=1, back=1) as rings:
        return rings.huge


def shapes(crew: list[Actor], places: list[Core], warm: int, trips: int) -> dict[str, Variant]:
    """The variants: with and without stamps, polls spaced out, and the C program."""
    numbers = [place.number for place in places]
    variants: dict[str, Variant] = {
        "ring": lambda: ring_run(crew, warm, trips, True, PAUSES),
        "ring, no stamps": lambda: ring_run(crew, warm, trips, False, PAUSES),
        f"ring, {SPACED} pauses a look": lambda: ring_run(crew, warm, trips, True, SPACED),
    }
    if huge_pages():
        variants["ring, huge pages"] = lambda: ring_run(crew, warm, trips, True, PAUSES, True)
    if c_program.available():
        sizes = CAPACITY, trips, warm, PAUSES
        variants["C"] = lambda: c_program.round_trip(*sizes, True, numbers)
        variants["C, no stamps"] = lambda: c_program.round_trip(*sizes, False, numbers)
    return variants


def run(options: Options) -> Result:
    """Interleave the ring and the C program, and a pass of the jitter meter every round."""
    places = cores(2)
    if places[-1].shared:
        raise BenchError("a round trip needs two cores of its own")
    trips = options.scaled(TRIPS, TRIPS_SHORT)
    seconds = METER_SHORT_S if options.short else METER_S
    result = Result("latency", BENCH.what, "ns", "p50", better="less")
    passes: list[dict[str, jitter.Watched]] = []
    with actors(places) as crew:
        variants = shapes(crew, places, max(trips // 20, 1), trips)
        run_rounds(
            result,
            variants,
            options.rounds_of(ROUNDS),
            before=lambda: passes.append(jitter.meter_all(crew, places, seconds)),
        )
    jitter.beside(result, passes, trips, one_at_a_time=True)
    if not huge_pages():
        result.notes.append("no huge pages here: `corelane status` of a run with them says why")
    if "C" in variants:
        result.pairs = {"ring": "C", "ring, no stamps": "C, no stamps"}
    else:
        result.notes.append(c_program.NO_COMPILER)
    return result


BENCH = Bench("latency", "round trip of a record between two cores, beside C of the same", run)
