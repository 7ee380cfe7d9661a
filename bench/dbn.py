"""DBN records to events, nanoseconds a record, beside Databento's own decoder called from Python.

A made-up day of orders lies in memory, or the bytes of a file that CORELANE_DBN names. Ours
writes EVENT records, as many at a time as ingest stages; theirs makes a Python object a record,
which is what a Python program has of it. Both must come to the same number of records and the
same sum of all quantities that were added.
"""

import importlib.util
import os
import struct
import time
from functools import partial

import numpy as np

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
from workers.feeds.bytes_in import ByteSource, open_bytes
from workers.feeds.dbn import prepared
from workers.feeds.dbn_metadata import parse, take
from workers.ingest import STAGED
from workers.kernels.dbn import decode
from workers.kernels.dbn_records import MBO, ORDER
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Event, empty

RECORDS, RECORDS_SHORT = 500_000, 20_000
ROUNDS = 7
PEER = "databento_dbn"
ABSENT = f'{PEER} is not installed: pip install "corelane[peers]"'
OURS, THEIRS = "events", f"{PEER} objects"
HEAD = 8  # bytes before the metadata proper
PRICE, TICK, START_NS = 4_800 * 10**9, 250_000_000, 1_700_000_000 * 10**9


def metadata_bytes() -> bytes:
    """Metadata of version 3 that name nothing: orders follow."""
    body = b"BENCH".ljust(16, b"\0") + struct.pack("<HQQQ", 0, START_NS, (1 << 64) - 1, 0)
    body += struct.pack("<BBBH", 1, 0, 0, 71) + bytes(53) + bytes(20)
    body += bytes(-len(body) % 8)
    return b"DBN" + struct.pack("<BI", 3, len(body)) + body


def made_up(count: int) -> bytes:
    """A clearing, then orders that come, shrink and change, in the shares that ES has of them."""
    draw = np.random.default_rng(1)
    rows = np.zeros(count, ORDER)
    rows["length"], rows["rtype"], rows["publisher"] = ORDER.itemsize // 4, MBO, 1
    rows["instrument"], rows["bits"] = 17_077, 128
    rows["ts_event"] = START_NS + np.arange(count) * 1_000
    rows["ts_recv"] = rows["ts_event"] + 500
    actions = np.frombuffer(b"ACMTF", "u1")
    rows["action"] = draw.choice(actions, count, p=[0.4, 0.3, 0.15, 0.05, 0.1])
    rows["side"] = draw.choice(np.frombuffer(b"AB", "u1"), count)
    rows["order"], rows["quantity"] = draw.integers(1, 1 << 40, count), draw.integers(1, 50, count)
    rows["price"] = PRICE + TICK * draw.integers(-200, 200, count)
    rows["action"][0] = ord("R")
    return metadata_bytes() + rows.tobytes()


def day(count: int) -> bytes:
    """The bytes to decode: of the file that the user names, or made up."""
    path = os.environ.get("CORELANE_DBN")
    if not path:
        return made_up(count)
    source: ByteSource = open_bytes(path)
    data = take(source, 1 << 31)
    source.close()
    return data


DAYS: dict[int, bytes] = {}  # of the process that measures


def load(count: int) -> None:
    """Have the bytes ready, with the kernels compiled."""
    DAYS[count] = day(count)
    ours(count, 0)


def passes(name: str, count: int) -> tuple[Metrics, tuple[int, int]]:
    """As many passes of a variant as take `count` records or more; their mean, and what came."""
    metrics, found = VARIANTS[name](count)
    spent = [metrics["ns"]]
    while len(spent) * found[0] < count:
        metrics, again = VARIANTS[name](count)
        if again != found:
            raise BenchError(f"{name}: two passes came to {found} and {again}")
        spent.append(metrics["ns"])
    return {"ns": sum(spent) / len(spent)}, found


def ours(count: int, share: int = 1) -> tuple[Metrics, tuple[int, int]]:
    """One pass of the kernel over all records, or none; ns a record, and what came of it."""
    data = DAYS[count]
    length = HEAD + int.from_bytes(data[4:8], "little")
    counters, events = empty(FEED_COUNTERS, 1), empty(EVENT, STAGED)
    memory = prepared(parse(data[3], data[HEAD:length]), counters.ctypes.data)
    raw = np.frombuffer(data, np.uint8)[length:]
    size, position, added, spent = len(raw) * share, 0, 0, 0
    memory.state[0]["final"] = 1
    while True:
        begun = time.perf_counter_ns()
        begin = raw.ctypes.data + position
        found = decode(memory.address, begin, size - position, events.ctypes.data, STAGED)
        spent += time.perf_counter_ns() - begun
        position += int(memory.state[0]["consumed"])
        some = events[:found]
        added += int(some["quantity"][some["kind"] == Event.ADD].sum())
        if position == size:
            break
    records = int(counters[0]["messages"])
    return {"ns": spent / max(records, 1)}, (records, added)


def theirs(count: int) -> tuple[Metrics, tuple[int, int]]:
    """One pass of Databento's decoder; ns a record, and what came of it."""
    import databento_dbn

    data = DAYS[count]
    decoder = databento_dbn.DBNDecoder(upgrade_policy=databento_dbn.VersionUpgradePolicy.AS_IS)
    begun = time.perf_counter_ns()
    decoder.write(data)
    found = decoder.decode()[1:]
    spent = time.perf_counter_ns() - begun
    added = sum(record.size for record in found if str(record.action) == "A")
    return {"ns": spent / len(found)}, (len(found), added)


VARIANTS = {OURS: ours, THEIRS: theirs}


class Contest:
    """Both over the same bytes; each pass must come to what the first one came to."""

    def __init__(self, actor: Actor, count: int) -> None:
        self.actor, self.count = actor, count
        self.found: tuple[int, int] | None = None
        actor.start(load, count)
        actor.result()

    def variants(self) -> dict[str, Variant]:
        """Ours, and theirs where it is installed."""
        names = VARIANTS if available() else [OURS]
        return {name: partial(self.measure, name) for name in names}

    def measure(self, name: str) -> Metrics:
        """A round of a variant."""
        self.actor.start(passes, name, self.count)
        metrics, found = self.actor.result()
        self.agree(found, name)
        return metrics

    def agree(self, found: tuple[int, int], who: str) -> None:
        """Refuse what differs from what came before, or is nothing."""
        if self.found is None:
            self.found = found
        if found != self.found or not all(found):
            raise BenchError(f"{who}: (records, quantity added) {found}, not {self.found}")


def available() -> bool:
    """Whether the peer is installed."""
    return importlib.util.find_spec(PEER) is not None


def run(options: Options) -> Result:
    """Both in turns in one pinned process."""
    result = Result("dbn", BENCH.what, "ns a record", "ns", better="less")
    count = options.scaled(RECORDS, RECORDS_SHORT)
    (place,) = cores(1)
    with actors([place]) as (actor,):
        run_rounds(result, Contest(actor, count).variants(), options.rounds_of(ROUNDS))
    if available():
        result.pairs[OURS] = THEIRS
        result.notes.append(f"{1 / result.ratio(OURS, THEIRS):.1f} times as fast as {PEER}")
    else:
        result.notes.append(ABSENT)
    return result


BENCH = Bench("dbn", "DBN records of orders to events, beside Databento's own decoder", run)
