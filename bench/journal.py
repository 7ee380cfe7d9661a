"""What the journal costs: appending, committing to the disk, and reading it all again.

Each beside the same bytes moved plainly: copied and written with no chain, synced, read with
nothing checked. The files are in the system's folder for temporary ones ($TMPDIR).
"""

import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from bench.harness import (
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    actors,
    cores,
    run_rounds,
)
from ringbuf import ring
from ringbuf.chain import copy_lines
from ringbuf.jit import kernel
from ringbuf.journal import BATCH, Journal, JournalReader
from ringbuf.journal_files import RECORDS, make_spare
from ringbuf.record import slot_record
from ringbuf.ring import arrived, slot

NOTE = slot_record([("value", "i8", (7,))])
LAYOUTS = {"note": (-1, NOTE)}
SEGMENT = 64 << 20  # bytes
ONE_SEGMENT, ONE_SEGMENT_SHORT = 900_000, 20_000  # records appended in a round
COMMIT, COMMITS, COMMITS_SHORT = 1024, 400, 10
LOG, LOG_SHORT = 10_000_000, 50_000  # records read
CHUNK = 65_536  # of them at a time
ROUNDS, ROUNDS_OF_READING = 9, 3


class Source:
    """A ring with one reader, and records to put on it."""

    def __init__(self) -> None:
        self.payload = np.zeros(ring.bytes_needed(BATCH, NOTE.itemsize), np.uint8)
        ring.lines(self.payload)[1][0]["policy"] = 1
        geometry = (self.payload.ctypes.data, BATCH, NOTE.itemsize)
        self.writer, self.reader = ring.writer_of(*geometry), ring.reader_of(*geometry, 0)
        self.records = np.zeros(BATCH, NOTE)
        self.records["value"] = np.random.default_rng(1).integers(0, 2**60, (BATCH, 7))

    def push(self, count: int) -> int:
        """Put records on the ring, after giving the last ones back; the first one's sequence."""
        first = int(ring.next_free(self.writer))
        ring.release(self.reader, first - 1)
        if ring.push(self.writer, self.records.ctypes.data, count, 0) != count:
            raise BenchError("the ring has no room for a batch")
        return first


class Plain:
    """A file of the same length that is written with no chain."""

    def __init__(self, path: Path) -> None:
        make_spare(path, SEGMENT)
        self.file = os.open(path, os.O_RDWR)
        self.buffer = np.zeros(BATCH * NOTE.itemsize, np.uint8)
        self.at = RECORDS

    def append(self, reader: ring.Reader, first: int, limit: int) -> None:
        """Copy records and write them."""
        count = int(gather(reader, first, limit, self.buffer.ctypes.data))
        content = self.buffer.data[: count * NOTE.itemsize]
        if os.pwrite(self.file, content, self.at) != len(content):
            raise BenchError("the disk is full")
        self.at += len(content)

    def sync(self) -> None:
        """Have it on the disk."""
        os.fdatasync(self.file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.file)


@kernel
def gather(reader, first, limit, target):
    """Copy the records of a ring that have arrived; how many."""
    count = 0
    while count < limit and arrived(reader, first + count):
        copy_lines(target, slot(reader, first + count), reader.size)
        target += reader.size
        count += 1
    return count


def write(total: int, batch: int, sync: bool) -> dict[str, Metrics]:
    """Append a total of records to both in turns, batch by batch; nanoseconds and microseconds."""
    spent: dict[str, list[int]] = {"journal": [], "plain copy": []}
    with tempfile.TemporaryDirectory(prefix="corelane-bench-") as name:
        source, folder = Source(), Path(name)
        journal = Journal(folder / "journal", "notes", LAYOUTS, SEGMENT)
        with closing(journal) as journal, closing(Plain(folder / "plain")) as plain:
            journal.append(source.reader, 0)
            gather(source.reader, 1, 0, plain.buffer.ctypes.data)
            journal.spare.wait()  # nothing else is to keep the disk busy
            for number in range(total // batch):
                first = source.push(batch)
                order = ("journal", "plain copy") if number % 2 else ("plain copy", "journal")
                for variant in order:
                    begun = time.perf_counter_ns()
                    if variant == "journal":
                        journal.append(source.reader, batch)
                        if sync:
                            journal.sync()
                    else:
                        plain.append(source.reader, first, batch)
                        if sync:
                            plain.sync()
                    spent[variant].append(time.perf_counter_ns() - begun)
            if journal.written != total // batch * batch:
                raise BenchError(f"the journal has {journal.written} records of {total}")
    return {variant: _told(np.array(times), batch) for variant, times in spent.items()}


def _told(times: np.ndarray, batch: int) -> Metrics:
    return {
        "ns": float(np.median(times) / batch),
        "mean ns": float(times.mean() / batch),
        "p50": float(np.percentile(times, 50) / 1e3),
        "p99": float(np.percentile(times, 99) / 1e3),
        "max": float(times.max() / 1e3),
    }


def make_log(folder: str, total: int) -> int:
    """Write a journal to be read; its chain value."""
    with closing(Journal(Path(folder), "notes", LAYOUTS, SEGMENT)) as journal:
        source = Source()
        while journal.written < total:
            source.push(min(BATCH, total - journal.written))
            journal.append(source.reader, BATCH)
        journal.sync()
        return journal.chain


def read_log(folder: str, total: int, chain: int, cold: bool, checked: bool) -> Metrics:
    """Read a whole journal into memory, chunk by chunk; seconds, and nanoseconds a record."""
    target = np.zeros(CHUNK, NOTE)
    with closing(JournalReader(Path(folder))) as reader:
        segments = reader.segments()
        for path, *_ in segments if cold else ():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        begun = time.perf_counter()
        if checked:
            last = 0
            while last < total:
                last += reader.read_into(last + 1, CHUNK, target.ctypes.data)
        else:
            read_plainly(segments, target)
        seconds = time.perf_counter() - begun
        if checked and reader.chain != chain:
            raise BenchError("the journal was not read as it was written")
    return {"s": seconds, "ns": seconds * 1e9 / total}


def read_plainly(segments: list[tuple[Path, int, int]], target: np.ndarray) -> None:
    """Read files in the same pieces, with nothing checked."""
    view = target.view(np.uint8).data
    for path, _, count in segments:
        left = count * NOTE.itemsize
        with path.open("rb", buffering=0) as file:
            file.seek(RECORDS)
            while left:
                left -= file.readinto(view[:left])


def run_writing(options: Options, actor) -> list[Result]:
    """Append in batches, then commit small ones."""
    total = options.scaled(ONE_SEGMENT, ONE_SEGMENT_SHORT) // BATCH * BATCH or BATCH
    commits = options.scaled(COMMITS, COMMITS_SHORT) * COMMIT
    results = []
    for name, what, arguments, headline in (
        ("append", f"records appended in batches of {BATCH:,}", (total, BATCH, False), "ns"),
        ("commit", f"{COMMIT:,} records appended and synced", (commits, COMMIT, True), "p50"),
    ):
        result = Result(f"journal {name}", what, "ns a record, us a call", headline, better="less")
        latest: dict[str, Metrics] = {}

        def measure_there(arguments=arguments, latest=latest) -> None:
            actor.start(write, *arguments)
            latest.update(actor.result())

        names = "journal", "plain copy"
        variants = {name: lambda name=name, latest=latest: latest[name] for name in names}
        run_rounds(result, variants, options.rounds_of(ROUNDS), before=measure_there)
        result.pairs = {"journal": "plain copy"}
        results.append(result)
    return results


def run_reading(options: Options, actor) -> Result:
    """Read a journal, from the disk and from memory, checked and not."""
    total = options.scaled(LOG, LOG_SHORT)
    what = f"{total:,} records read from the disk (cold) or memory (warm)"
    result = Result("journal read", what, "s in all, ns a record", "s", better="less")
    with tempfile.TemporaryDirectory(prefix="corelane-bench-") as folder:
        actor.start(make_log, folder, total)
        chain = actor.result()

        def variant(cold: bool, checked: bool):
            def measure() -> Metrics:
                actor.start(read_log, folder, total, chain, cold, checked)
                return actor.result()

            return measure

        variants = {
            "verified, cold": variant(True, True),
            "plain, cold": variant(True, False),
            "verified, warm": variant(False, True),
            "plain, warm": variant(False, False),
        }
        run_rounds(result, variants, options.rounds_of(ROUNDS_OF_READING))
    result.pairs = {"verified, cold": "plain, cold", "verified, warm": "plain, warm"}
    return result


def run(options: Options) -> list[Result]:
    """Measure in a pinned process."""
    with actors(cores(1)) as (actor,):
        return [*run_writing(options, actor), run_reading(options, actor)]


BENCH = Bench("journal", "what it costs to keep every record on disk, and to read it again", run)
