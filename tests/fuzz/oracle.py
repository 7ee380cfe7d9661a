"""What must be true of every event, whatever was read."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8
from workers.feeds.feed import EQUATIONS
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Checksum, Doubt, Event, Side, State

assert EQUATIONS == [(("messages", "announced", "further"), ("events", "ignored", "bad_values"))]
CODES = 1 << 16
JUDGE = record(
    [
        ("announced", "i8"),  # address of int64s by code: the stream that announced it last
        ("stream", "i8"),  # which one it is
        ("kinds", "i8"),  # a bit for each that may come
        ("bound", "i8"),  # a bit for each that needs an announced instrument
        ("earliest", "i8"),
        ("latest", "i8"),
        ("strict", "i8"),  # 1: what is added, changed or traded has a price and a quantity
        ("unsigned", "i8"),  # 1: order ids may use all 64 bits
        ("loose", "i8"),  # 1: so may match numbers and checksums
    ]
)
WORD = record([("value", "i8")])
# What is wrong; 0: nothing.
WRONG = ("", "kind", "side", "instrument", "not announced", "time", "order", "other", "price",
         "quantity", "flags", "symbol", "scale", "what ingest fills")  # fmt: skip
(KIND, SIDE, INSTRUMENT, UNANNOUNCED, TIME, ORDER, OTHER, PRICE, QUANTITY, FLAGS, SYMBOL, SCALE,
 FILLED) = range(1, len(WRONG))  # fmt: skip
ADD, EXECUTE, REPLACE, TRADE = (int(Event[n]) for n in ("ADD", "EXECUTE", "REPLACE", "TRADE"))
STATUS, DIRECTORY, SYSTEM = int(Event.STATUS), int(Event.DIRECTORY), int(Event.SYSTEM)
SET, STALE, CHECK, MODIFY = int(Event.SET), int(Event.STALE), int(Event.CHECK), int(Event.MODIFY)
NO_SIDE, DECIMALS_MAX = int(Side.NONE), 15
STATES, DOUBTS, CHECKSUMS = int(max(State)), int(max(Doubt)), int(max(Checksum))
SCALES = tuple(10**decimals for decimals in range(DECIMALS_MAX + 1))
ALL = sum(1 << kind for kind in Event)
FLAGS_MAX = 16  # of the plain kinds: ingest alone says SUSPECT


def bits(*kinds: Event) -> int:
    """A bit for each kind."""
    return sum(1 << kind for kind in kinds)


class Judge:
    """A JUDGE record with its memory."""

    def __init__(self, bound: int, strict: bool, kinds: int = ALL, unsigned: bool = False,
                 loose: bool = False) -> None:  # fmt: skip
        self._announced = np.zeros(CODES, np.int64)
        self._record = np.zeros(1, JUDGE)
        self.state, self.address = self._record[0], self._record.ctypes.data
        self.state["announced"] = self._announced.ctypes.data
        self.state["bound"], self.state["kinds"] = bound, kinds
        self.state["strict"], self.state["unsigned"] = strict, unsigned
        self.state["loose"] = loose
        self.span(0, 1 << 62)

    def span(self, earliest: int, latest: int) -> None:
        """When events may happen, ns since 1970."""
        self.state["earliest"], self.state["latest"] = earliest, latest

    def begin(self) -> None:
        """A stream begins: nothing is announced."""
        self.state["stream"] += 1


@kernel
def wrong_events(judge, target, count):
    """What is wrong with the first of some events that is not as it must be; 0: none."""
    for number in range(count):
        found = wrong(judge, target + number * 64)
        if found:
            return found
    return 0


@kernel
def wrong(judge, address):
    """What is wrong with an event; 0: nothing. A DIRECTORY counts as announced."""
    header, event = at(judge, JUDGE), at(address, EVENT)
    kind, code = int(event.kind), int(event.instrument)
    if kind > 62 or (int(header.kinds) >> kind) & 1 == 0:
        return KIND
    if event.side > NO_SIDE:
        return SIDE
    if code < 0 or code >= 1 << 16:
        return INSTRUMENT
    if event.arrived_ns != 0 or event.sequence != 0 or event.source != 0:
        return FILLED
    place = int(header.announced) + 8 * code
    if kind == DIRECTORY:
        at(place, WORD).value = header.stream
        return wrong_directory(address)
    if (int(header.bound) >> kind) & 1 and at(place, WORD).value != header.stream:
        return UNANNOUNCED
    if not header.earliest <= event.time_ns < header.latest:
        return TIME
    found = wrong_flags(kind, int(event["flags"]))
    return found if found else wrong_numbers(judge, address)


@kernel
def wrong_directory(address):
    """The same of an announcement: a symbol, a scale."""
    event = at(address, EVENT)
    for place in range(24):
        byte = load_u8(address + 16 + place)
        if byte < 32 or byte > 126 or (byte == 32 and place == 0):
            return SYMBOL
    if event["flags"] >> 4 > DECIMALS_MAX or event["flags"] & 15 > 2 or event["flags"] & 1:
        return FLAGS
    for scale in SCALES:
        if event.quantity == scale:
            return 0
    return SCALE


@kernel
def wrong_flags(kind, flags):
    """The same of what stands in the flags."""
    if kind == STATUS:
        return 0 if 1 <= flags <= STATES else FLAGS
    if kind == STALE:
        return 0 if 1 <= flags <= DOUBTS else FLAGS
    if kind == CHECK:
        return 0 if 1 <= flags <= CHECKSUMS else FLAGS
    if kind == SYSTEM:
        return 0
    return 0 if flags < FLAGS_MAX else FLAGS


@kernel
def wrong_numbers(judge, address):
    """The same of order, other, price and quantity."""
    header, event = at(judge, JUDGE), at(address, EVENT)
    kind = int(event.kind)
    if event.order < 0 and not header.unsigned:
        return ORDER
    if kind == CHECK and event.order > 0xFFFFFFFF and not header.loose:
        return ORDER
    if event.other < 0 and not header.loose:
        return OTHER
    if event.price < 0:
        return PRICE
    if event.quantity < 0:
        return QUANTITY
    if kind in (ADD, SET, MODIFY) and event.side == NO_SIDE:
        return SIDE
    if kind == SET and event.price == 0:
        return PRICE
    if header.strict and kind in (ADD, MODIFY, TRADE):
        if event.price == 0:
            return PRICE
        return QUANTITY if event.quantity == 0 else 0
    return 0


@kernel
def balanced(counters):
    """Whether what must balance in a FEED_COUNTERS record does, and nothing is negative."""
    counts = at(counters, FEED_COUNTERS)
    given = counts.messages + counts.announced + counts.further
    least = min(counts.bad_frames, counts.skipped_bytes, counts.further, counts.events)
    return given == counts.events + counts.ignored + counts.bad_values and least >= 0
