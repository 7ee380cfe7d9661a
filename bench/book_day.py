"""A whole day on one core: 30 million ITCH 5.0 messages of 8,500 symbols to full order books.

As book.py, over so much that no cache holds it: a million orders rest at once. The file lies in
memory for everybody. Ours goes through each kind of price-level index; all must come to the same
books as the C program that keeps totals only. The file takes 1 GB of the temporary folder while
the benchmark runs, and as much memory in each process.
"""

import shutil
import tempfile
from functools import partial

from bench import c_program
from bench.book import AHEAD, C_TOTALS, DAYS, DECODED, SHORT, TINY, Contest, Size
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    run_rounds,
)
from ringbuf.atomics import at
from ringbuf.jit import compiled
from workers.kernels import levels, orders
from workers.kernels.levels import Index
from workers.kernels.orderbook import BOOK

DAY = Size(30_000_000, 8_500, 1_500_000)
MESSAGE_BYTES = 32  # of the file, at most, on average
KINDS = (Index.SORTED, Index.TREE, Index.LADDER)
ROUNDS = 5
BUDGET_S = 600.0


def memory(path: str) -> Metrics:
    """Bytes for each order at the peak of the pass before: its own, and the pools of levels."""
    day = DAYS[path]
    header = at(day.book, BOOK)
    peak, limits = int(header.peak_orders), day.limits
    own = orders.bytes_needed(peak)
    pools = levels.bytes_needed(
        int(header.peak_levels), limits.instruments, limits.kind, limits.ticks
    )
    return {"bytes an order": own / peak, "levels, bytes an order": pools / peak}


class Whole(Contest):
    """The variants over the whole day."""

    def kept(self, actor: Actor, kind: Index) -> Metrics:
        """A pass that keeps the books, and what memory they took."""
        found = self.ours(actor, AHEAD, kind)
        actor.start(memory, str(self.path))
        return found | actor.result()

    def variants(self, actor: Actor, core: int) -> dict[str, Variant]:
        """Decoding alone, books of each kind, C."""
        found = super().variants(actor, core)
        books = {name_of(kind): partial(self.kept, actor, kind) for kind in KINDS}
        decoding: dict[str, Variant] = {"decode": partial(self.ours, actor, DECODED)}
        totals = {name: found[f"{name}, {self.size.name}"] for name in c_names()}
        return decoding | books | totals


def name_of(kind: Index) -> str:
    """What the books of a kind are called."""
    return f"decode + book, {kind.name.lower()}"


def c_names() -> list[str]:
    """The C program, where there is one."""
    return [C_TOTALS] if c_program.available() else []


def check_room(folder: str, size: Size) -> None:
    """BenchError where the file would not fit."""
    needed, free = size.messages * MESSAGE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise BenchError(
            f"{folder}: {free >> 20} MiB free, the day takes {needed >> 20}; "
            "set TMPDIR to a folder with more room"
        )


def run(options: Options) -> Result:
    """All variants in turns: ours in one pinned process, C on the same core."""
    result = Result("book_day", BENCH.what, "ns a message", "ns", better="less")
    size = DAY
    if options.short:
        size = SHORT if compiled() else TINY
    (place,) = cores(1)
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder, actors([place]) as (actor,):
        check_room(folder, size)
        variants = Whole(size, folder).variants(actor, place.number)
        run_rounds(result, variants, options.rounds_of(ROUNDS), budget_s=BUDGET_S)
    compare(result, size)
    return result


def compare(result: Result, size: Size) -> None:
    """Say what is held against what, and what memory an order takes."""
    ours = name_of(Index.SORTED)
    result.pairs = dict.fromkeys(map(name_of, KINDS[1:]), ours)
    if c_program.available():
        result.pairs[ours] = C_TOTALS
    result.notes.append(f"{size.messages:,} messages, {size.symbols:,} symbols, on one core")
    for kind in KINDS:
        own, pools = (
            result.median(name_of(kind), metric)
            for metric in ("bytes an order", "levels, bytes an order")
        )
        result.notes.append(
            f"{kind.name.lower()}: {own:.0f} bytes for each order at the peak, record and index; "
            f"{pools:.0f} more in the pools of levels and sides"
        )
    if not c_program.available():
        result.notes.append(c_program.NO_COMPILER)


BENCH = Bench("book_day", "a whole day of ITCH bytes to order books on one core", run)
