"""Records a second through a ring: one to three gating readers, an observer looking on."""

import time

from bench import c_program, traffic
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Core,
    Metrics,
    Options,
    Result,
    Variant,
    Work,
    actors,
    cores,
    run_rounds,
    together,
)
from ringbuf.share import Observer, RingReader, RingWriter
from ringbuf.views import keep

CAPACITY = 8192
RECORDS, RECORDS_SHORT = 2_000_000, 20_000
ROUNDS = 9
LOOK_EVERY_S = 0.001  # a monitor's pace; each look copies what the ring holds


def send(pipeline: str, last: int, stamped: bool, shared: bool, batch: int) -> None:
    """The writer's whole run, in its own process."""
    writer = RingWriter(pipeline, "there", traffic.LAYOUTS)
    _tally, address = traffic.new_tally()
    looks = traffic.looks_of(shared)
    traffic.until_done(
        last,
        lambda: traffic.produce(address, writer.view, last, stamped, looks, batch),
        shared,
    )
    writer.close()


def take(pipeline: str, number: int, last: int, stamped: bool, shared: bool) -> Metrics:
    """A reader's whole run, in its own process; the clock starts after WARM records."""
    reader = RingReader(pipeline, "there", traffic.LAYOUTS, traffic.reader_name(number))
    tally, address = traffic.new_tally()
    looks = traffic.looks_of(shared)
    kept = keep(reader.view)
    view, seconds = kept.ctypes.data, 0.0
    for until in (traffic.WARM, last):
        begun = time.perf_counter()
        traffic.until_done(
            until,
            lambda until=until: traffic.consume_kept(address, view, until, stamped, looks),
            shared,
        )
        seconds = time.perf_counter() - begun
    reader.close()
    traffic.check(int(tally["total"][0]), last, f"reader {number}")
    if tally["late"][0]:
        raise BenchError(f"reader {number}: {tally['late'][0]} records without a stamp")
    return {"rate": (last - traffic.WARM) / seconds}


def watch(pipeline: str, last: int) -> Metrics:
    """An observer's whole run: look every millisecond until the last record has been seen."""
    observer = Observer(pipeline, "there")
    first, seen = observer.next, 0
    while observer.next <= last:
        records = observer.poll()
        seen += len(records)
        words, sequences = records["words"], records["sequence"]
        if (words[:, 0] != sequences).any() or (words[:, -1] != sequences + 6).any():
            raise BenchError("the observer was given a torn record")
        if len(records) < 4096:
            time.sleep(LOOK_EVERY_S)
    missed = observer.missed
    observer.close()
    if seen + missed != observer.next - first:
        raise BenchError(f"the observer saw {seen}, missed {missed} from {first} to {last}")
    return {"seen": seen}


def ring_run(
    crew: list[Actor],
    places: list[Core],
    readers: int,
    records: int,
    stamped: bool,
    watched: bool = False,
    batch: int = traffic.BATCH,
    capacity: int = CAPACITY,
) -> Metrics:
    """One run over a fresh ring; M records/s of the slowest reader."""
    with traffic.Rings(capacity, there=readers) as rings:
        name = rings.pipeline
        work: list[Work] = [
            (crew[1 + number], take, (name, number, records, stamped, places[readers].shared))
            for number in range(readers)
        ]
        if watched:
            work.append((crew[-1], watch, (name, records)))
        work.append((crew[0], send, (name, records, stamped, places[0].shared, batch)))
        answers = together(*work)
    metrics = {"rate": min(answer["rate"] for answer in answers[:readers]) / 1e6}
    if watched:  # an observer that got no time on its core would prove nothing
        metrics["seen %"] = 100.0 * answers[readers]["seen"] / records
    return metrics


def c_run(
    places: list[Core],
    records: int,
    stamped: bool,
    batch: int = traffic.BATCH,
    capacity: int = CAPACITY,
) -> Metrics:
    """The same by the C program."""
    looks = traffic.looks_of(any(place.shared for place in places))
    numbers = [place.number for place in places]
    rates = c_program.throughput(capacity, records, traffic.WARM, stamped, looks, numbers, batch)
    return {"rate": min(rates) / 1e6}


def run(options: Options) -> Result:
    """Interleave the ring and the C program over all shapes."""
    records = options.scaled(RECORDS, RECORDS_SHORT) + traffic.WARM
    result = Result("throughput", BENCH.what, "M records/s", "rate")
    two, three, four = cores(2), cores(3), cores(4)
    with actors(four) as crew:
        pair = crew[:1] + crew[1:2] + crew[-1:]
        variants: dict[str, Variant] = {
            "1→1": lambda: ring_run(pair, two, 1, records, True),
            "1→1 no stamps": lambda: ring_run(pair, two, 1, records, False),
            "1→1 observed": lambda: ring_run(pair, two, 1, records, True, watched=True),
            "1→2": lambda: ring_run(crew, three, 2, records, True),
            "1→3": lambda: ring_run(crew, four, 3, records, True),
        }
        result.pairs["1→1 observed"] = "1→1"
        if c_program.available():
            variants["C 1→1"] = lambda: c_run(two, records, True)
            variants["C 1→1 no stamps"] = lambda: c_run(two, records, False)
            variants["C 1→2"] = lambda: c_run(three, records, True)
            variants["C 1→3"] = lambda: c_run(four, records, True)
            for shape in ("1→1", "1→1 no stamps", "1→2", "1→3"):
                result.pairs[shape] = f"C {shape}"
        else:
            result.notes.append(c_program.NO_COMPILER)
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    if four[-1].shared:
        result.notes.append("1→2, 1→3: readers share a core, and give way when they wait")
    return result


BENCH = Bench("throughput", "records a second through a ring, beside C of the same protocol", run)
