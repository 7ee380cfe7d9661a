"""DBN streams made up by tests, and the decoder under test, fed by hand."""

import numpy as np

from tests.naive import dbn as naive
from workers.feeds.dbn import prepared
from workers.feeds.dbn_metadata import read_metadata
from workers.feeds.feed import EQUATIONS, FEED_COUNTERS
from workers.kernels import dbn
from workers.records import EVENT, Event, empty

TIME = 1_700_000_000 * 10**9


NUMBERS = ("order", "other", "price", "quantity")


class Decoder:
    """The kernel with its state, fed by hand."""

    def __init__(self, data: bytes, decimals=None, look=True):
        self.counters = empty(FEED_COUNTERS, 1)
        self.metadata = read_metadata(Bytes(data), "test")
        self.rest = data[naive.parse_metadata(data)[-1] :]
        self.memory = prepared(self.metadata, self.counters.ctypes.data, decimals)
        self.state = self.memory.state[0]
        raw = np.frombuffer(self.rest or b"\0", np.uint8)
        if look:
            dbn.look_ahead(self.memory.address, raw.ctypes.data, len(self.rest))

    def decode(self, data: bytes, final: bool, limit: int) -> tuple[np.ndarray, int]:
        """Events of one stretch, and the bytes consumed."""
        raw, out = np.frombuffer(data or b"\0", np.uint8), empty(EVENT, limit)
        self.state["final"] = final
        written = dbn.decode(
            self.memory.address, raw.ctypes.data, len(data), out.ctypes.data, limit
        )
        return out[:written], int(self.state["consumed"])

    def count(self, name: str) -> int:
        return int(self.counters[0][name])


class Bytes:
    """Bytes in memory as a source."""

    trouble = ""

    def __init__(self, data: bytes):
        self.raw, self.place = np.frombuffer(data or b"\0", np.uint8), 0
        self.size = len(data)

    def window(self):
        return self.raw.ctypes.data + self.place, self.size - self.place, True

    def consume(self, count: int) -> None:
        self.place += count


def run(data: bytes, sizes=None, limit=64, damaged=None, **options) -> tuple[np.ndarray, Decoder]:
    """Decode a stream whose records are handed over in stretches that grow by the given sizes."""
    decoder, events = Decoder(data, **options), []
    records = decoder.rest if damaged is None else damaged
    start = end = 0
    sizes = iter(sizes or [])
    while True:
        end = min(end + next(sizes, len(records)), len(records))
        while True:
            found, consumed = decoder.decode(records[start:end], end == len(records), limit)
            start += consumed
            events.append(found)
            assert balanced(decoder.counters[0]) or decoder.state["waiting"]
            if not len(found) and not consumed:
                break
        if end == len(records):
            assert balanced(decoder.counters[0])
            assert decoder.count("bytes") == len(records)
            return np.concatenate(events), decoder


def balanced(counters) -> bool:
    """Whether the equations of a feed hold."""
    sums = all(
        sum(counters[name] for name in left) == sum(counters[name] for name in right)
        for left, right in EQUATIONS
    )
    return bool(sums and counters["types"].sum() == counters["messages"])


def as_tuples(events: np.ndarray) -> list[tuple]:
    """Events as the twin writes them."""
    return events[["time_ns", "instrument", "kind", "side", "flags", *NUMBERS]].tolist()


def kinds(events: np.ndarray) -> list[str]:
    return [Event(kind).name for kind in events["kind"]]


def agree(data: bytes, **options) -> tuple[np.ndarray, Decoder]:
    """Decode, and hold it against the twin."""
    events, decoder = run(data, **options)
    twin = naive.Twin(data)
    assert as_tuples(events) == twin.events
    assert {name: decoder.count(name) for name in twin.counts} == twin.counts
    assert decoder.count("skipped_bytes") == decoder.count("truncated") == 0
    return events, decoder


def stream(*messages: bytes, **told) -> bytes:
    return naive.metadata(**{"schema": 0xFFFF, **told}) + b"".join(messages)


def mbo(action: str, order=1, price=100 * 10**9, size=5, flags=naive.LAST, side="B", **more):
    more = {"ts_event": TIME, "ts_recv": TIME, **more}
    return naive.record(
        0xA0, order=order, price=price, size=size, flags=flags,
        action=action.encode(), side=side.encode(), **more,
    )  # fmt: skip


def mbp(levels, action="A", rtype=0x0A, flags=naive.LAST, **more):
    more = {"ts_event": TIME, "ts_recv": TIME, "side": b"B", "price": 10**9, "size": 1, **more}
    return naive.record(rtype, action=action.encode(), flags=flags, levels=levels, **more)


def pair(bid, ask, sizes=(1, 1), counts=(1, 1)):
    return (bid * 10**9, ask * 10**9, *sizes, *counts)
