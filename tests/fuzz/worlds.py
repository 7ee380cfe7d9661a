"""The parsers of bytes in a row, each with its pool and its naive twin."""

import mmap
import re

import numpy as np

from tests.fuzz import pools
from tests.fuzz.mutate import BODIES, MODES
from tests.fuzz.oracle import ALL, Judge, bits
from tests.fuzz.streams import CAPTURED, DBN, ITCH, LOBSTER, World
from tests.naive import dbn as naive_dbn
from tests.naive import itch as naive_itch
from tests.naive import lobster as naive_lobster
from workers.feeds.captures import capture_state
from workers.feeds.dbn import prepared
from workers.feeds.dbn_metadata import parse
from workers.kernels.dbn_records import SCHEMAS
from workers.kernels.dbn_state import CODE, EARLIEST, INSTRUMENT, LATEST, LEVEL, NAME, Memory
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch_frames import ITCH_STATE, PREFIX, SIZES, prepare
from workers.kernels.lobster import PRICE_DUMMY, READER, SECONDS_MAX, SIZE_MAX
from workers.records import Event, empty

DAY_NS = 86_400 * 10**9
MIDNIGHT = 20_000 * DAY_NS
NUMBERS = ("order", "other", "price", "quantity")
TUPLE = ["time_ns", "instrument", "kind", "side", "flags", *NUMBERS]
# What of ITCH speaks of an order, and not of an instrument whose symbol it carries.
BY_ORDER = bits(Event.EXECUTE, Event.EXECUTE_AT, Event.CANCEL, Event.DELETE, Event.REPLACE,
                Event.BREAK, Event.SYSTEM)  # fmt: skip
ANNOUNCED = ALL & ~bits(Event.SYSTEM)


class ItchWorld(World):
    """Files of ITCH, whose lengths count or not."""

    def __init__(self, by_type: bool) -> None:
        counters, state = empty(FEED_COUNTERS, 1), empty(ITCH_STATE, 1)
        prepare(state[0], counters.ctypes.data, MIDNIGHT, by_type)
        sizes = np.zeros(256, np.int64)
        for letter, size in SIZES.items():
            sizes[ord(letter)] = PREFIX + size
        judge = Judge(ALL & ~BY_ORDER, strict=False)
        judge.span(MIDNIGHT, MIDNIGHT + DAY_NS)
        super().__init__(
            ITCH, pools.itch_pool(by_type), state, counters, judge, 200, 1 << 16, 700, sizes
        )
        self.by_type = by_type

    def differs(self, seed: int) -> str:
        """What the naive twin has otherwise."""
        if seed % MODES > BODIES or self.by_type:
            return ""
        expected, counts = naive_itch.events(naive_itch.frames(self.data), MIDNIGHT)
        found = self.collect()[TUPLE].tolist()
        same = found == expected and all(self.count(n) == count for n, count in counts.items())
        return "" if same else "the twin has other events"


class DbnWorld(World):
    """Records of a version and a schema. Memory that is touched is given back after each stream."""

    def __init__(self, version: int, schema: int, kinds: list[int], **told) -> None:
        counters = empty(FEED_COUNTERS, 1)
        days = [("AA", [(20231114, 20231115, "5"), (20231115, 20231116, "6")])]
        head = naive_dbn.metadata(version, schema, mappings=days, **told)
        self.head, self.twin = head, version == 2
        self.memory: Memory = prepared(parse(version, head[8:]), counters.ctypes.data)
        self._areas = []
        for name, layout in (
            ("names", NAME), ("codes", CODE), ("instruments", INSTRUMENT), ("levels", LEVEL)
        ):  # fmt: skip
            size = len(getattr(self.memory, name)) * layout.itemsize
            area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            block = np.frombuffer(area, np.uint8)
            self._areas.append((area, block))
            self.memory.state[f"{name}_at"] = block.ctypes.data
        judge = Judge(ANNOUNCED, strict=True, unsigned=True)
        judge.span(EARLIEST, LATEST)
        sizes = self.memory.state[0]["sizes"].copy()
        pool = pools.dbn_pool(kinds, version, **told)
        super().__init__(DBN, pool, self.memory.state, counters, judge, 500, 1 << 18, 9_300, sizes)

    def reset(self) -> None:
        """The parser as it is at the start of a file."""
        super().reset()
        for area, _ in self._areas:
            area.madvise(mmap.MADV_DONTNEED)

    def differs(self, seed: int) -> str:
        """What the naive twin has otherwise."""
        if seed % MODES > BODIES or not self.twin or len(self.data) > 1 << 16:
            return ""
        twin = naive_dbn.Twin(self.head + self.data)
        found = self.collect()[TUPLE].tolist()
        same = found == twin.events
        same &= all(self.count(name) == count for name, count in twin.counts.items())
        return "" if same else "the twin has other events"


LINE = re.compile(rb"(\d{1,18})(\.\d+)?,(\d{1,18})((?:,-?\d{1,18}){4})")


class LobsterWorld(World):
    """Lines of a message file."""

    def __init__(self) -> None:
        counters, state = empty(FEED_COUNTERS, 1), empty(READER, 1)
        judge = Judge(0, strict=True)  # the feed itself announces
        judge.span(0, SECONDS_MAX * 10**9)
        super().__init__(LOBSTER, pools.lobster_pool(), state, counters, judge, 200, 1 << 16, 4_100)

    def differs(self, seed: int) -> str:
        """What the naive twin has otherwise."""
        lines = [line.rstrip(b"\r\n") for line in self.data.split(b"\n")]
        if max(map(len, lines)) > 4_000:
            return ""
        text = "\n".join(line.decode() if believed(line) else "x" * (line != b"") for line in lines)
        expected = [
            (time, 0, kind, side, flags, order, line, price, size)
            for line, time, kind, order, size, price, side, flags in naive_lobster.decode(text)
        ]
        same = self.collect()[TUPLE].tolist() == expected
        return "" if same else "the twin has other events"


def believed(line: bytes) -> bool:
    """Whether a line is one that the twin can be trusted with."""
    match = LINE.fullmatch(line)
    if not match or int(match[1]) >= SECONDS_MAX:
        return False
    _, size, price, direction = map(int, match[4][1:].split(b","))
    if int(match[3]) == 7:
        return -1 <= price <= 1 and size >= 0 and abs(direction) == 1
    return size <= SIZE_MAX and price < PRICE_DUMMY and str(int(match[3])).encode() == match[3]


class CaptureWorld(World):
    """pcap or pcapng files of a kind of link."""

    def __init__(self, link: str, blocks: bool, order: str) -> None:
        counters = empty(FEED_COUNTERS, 1)
        state = capture_state(pools.LINES, ("10.0.0.9", 18_000))
        head, pool = pools.capture_pool(link, blocks, order)
        super().__init__(
            CAPTURED, pool, state, counters, Judge(0, strict=False), 100, 1 << 16, 33_000,
            prologue=head,
        )  # fmt: skip

    def differs(self, seed: int) -> str:
        """Nothing here: every packet was held against the bytes it lies in."""
        return ""


MARKET = [0xA0, 0xA0, 0xA0, 0x01, 0x0A, 0x00, 0x12]
EVERYTHING = [*MARKET, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x20, 0xC1]
ORDERS_ONLY = SCHEMAS.index(0xA0)
TARGETS = {
    "itch": [lambda: ItchWorld(False), lambda: ItchWorld(True)],
    "dbn": [
        lambda: DbnWorld(2, 0xFFFF, MARKET),
        lambda: DbnWorld(3, 0xFFFF, EVERYTHING),
        lambda: DbnWorld(1, 0xFFFF, EVERYTHING, ts_out=True),
        lambda: DbnWorld(3, ORDERS_ONLY, [0xA0]),
    ],
    "lobster": [LobsterWorld],
    "capture": [
        lambda: CaptureWorld("raw", False, "<"),
        lambda: CaptureWorld("raw", True, ">"),
        lambda: CaptureWorld("two vlans", False, ">"),
        lambda: CaptureWorld("ethernet", True, "<"),
    ],
}
