"""DBN the obvious way: `struct`, a format per record type, books as dictionaries."""

import datetime as dt
import struct
from collections import namedtuple

from workers.records import Doubt, Event, Flag, Side, State

HEADER = struct.Struct("<BBHIQ")
Header = namedtuple("Header", "length rtype publisher instrument ts_event")
FIELDS = {
    0xA0: ("QqIBBccQiI", "order price size flags channel action side ts_recv delta sequence"),
    0x00: ("qIccBBQiI", "price size action side flags depth ts_recv delta sequence"),
    0x12: ("QHHHccc7x", "ts_recv action reason event trading quoting short"),
}
FIELDS[0x01] = FIELDS[0x0A] = FIELDS[0x00]
FORMATS = {kind: struct.Struct("<" + codes) for kind, (codes, _) in FIELDS.items()}
NAMES = {kind: names.split() for kind, (_, names) in FIELDS.items()}
PAIR = struct.Struct("<qqIIII")
LEVELS = {0x01: 1, 0x0A: 10}
PLAIN = {0xA0: 56, 0x00: 48, 0x01: 80, 0x0A: 368, 0x12: 40, 0x14: 112}
PLAIN |= dict.fromkeys((0x11, 0x20, 0x21, 0x22, 0x23, 0x24), 56)
PLAIN |= dict.fromkeys((0xB1, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4), 80)
# By version: definition, its symbol at, error and system, mapping, statistics, bytes of a symbol.
VERSIONS = {1: (360, 200, 80, 80, 64, 22), 2: (400, 200, 320, 176, 64, 71)}
VERSIONS[3] = (520, 238, 320, 176, 80, 71)
UNDEF_PRICE, UNDEF_SIZE, UNDEF_TIME = 2**63 - 1, 2**32 - 1, 2**64 - 1
LAST, TOB, SNAPSHOT, MAYBE_BAD = 128, 64, 32, 4
SIDES = {b"B": Side.BID, b"A": Side.ASK}
HIT = {b"B": Side.ASK, b"A": Side.BID}
STATES = {
    1: State.QUOTING, 2: State.QUOTING, 3: State.QUOTING, 4: State.QUOTING, 5: State.QUOTING,
    6: State.QUOTING, 7: State.TRADING, 8: State.HALTED, 9: State.PAUSED, 10: State.HALTED,
    12: State.HALTED, 13: State.HALTED, 15: State.HALTED,
}  # fmt: skip
RANKS = {0x00: 1, 0x01: 2, 0x0A: 3, 0xA0: 4}
DAY = 86_400 * 10**9


def sizes(version: int) -> dict[int, int]:
    definition, _, system, mapping, statistics, _ = VERSIONS[version]
    return PLAIN | {
        0x13: definition, 0x15: system, 0x17: system, 0x16: mapping, 0x18: statistics
    }  # fmt: skip


def metadata(version=3, schema=0, mappings=(), kinds=(1, 0), ts_out=False) -> bytes:
    """The metadata of a stream; mappings: (symbol, [(first day, day after the last, other)])."""
    size = VERSIONS[version][-1]

    def text(value: str) -> bytes:
        return value.encode().ljust(size, b"\0")

    body = b"TEST.SET".ljust(16, b"\0") + struct.pack("<HQQQ", schema, 0, UNDEF_TIME, 0)
    body += bytes(8) if version == 1 else b""
    body += struct.pack("<BBB", *kinds, ts_out)
    body += bytes(47) if version == 1 else struct.pack("<H", size) + bytes(53)
    body += struct.pack("<IIIII", 0, 0, 0, 0, len(mappings))
    for symbol, intervals in mappings:
        body += text(symbol) + struct.pack("<I", len(intervals))
        for first, after, other in intervals:
            body += struct.pack("<II", first, after) + text(other)
    body += bytes(-len(body) % 8)
    return b"DBN" + struct.pack("<BI", version, len(body)) + body


def parse_metadata(data: bytes) -> tuple[int, int, bool, list, int]:
    """Version, schema, ts_out, (id, from, to, symbol)s, and where the records begin."""
    version, length = struct.unpack_from("<BI", data, 3)
    size, place = VERSIONS[version][-1], 8 + 16
    (schema,) = struct.unpack_from("<H", data, place)
    place += 2 + (32 if version == 1 else 24)
    kind_in, kind_out, ts_out = data[place : place + 3]
    place += 3 + (47 if version == 1 else 2 + 53) + 4
    for _ in range(3):
        place += 4 + size * struct.unpack_from("<I", data, place)[0]
    (count,) = struct.unpack_from("<I", data, place)
    place, found = place + 4, []
    for _ in range(count):
        symbol = data[place : place + size].split(b"\0")[0].decode()
        (intervals,) = struct.unpack_from("<I", data, place + size)
        place += size + 4
        for _ in range(intervals):
            first, after = (_day(n) for n in struct.unpack_from("<II", data, place))
            other = data[place + 8 : place + 8 + size].split(b"\0")[0].decode()
            place += 8 + size
            if kind_out == 0:
                found.append((int(other), first, after, symbol))
            elif kind_in == 0:
                found.append((int(symbol), first, after, other))
    return version, schema, bool(ts_out), found, 8 + length


def _day(number: int) -> int:
    return (dt.date.fromisoformat(str(number)) - dt.date(1970, 1, 1)).days * DAY


def record(rtype, publisher=1, instrument=7, ts_event=10**18, levels=(), **values) -> bytes:
    """A record of orders, levels, trades or states; what is not named is 0."""
    codes = zip(NAMES[rtype], FIELDS[rtype][0], strict=False)
    given = [values.pop(name, b"N" if code == "c" else 0) for name, code in codes]
    assert not values, values
    body = FORMATS[rtype].pack(*given)
    missing = [(UNDEF_PRICE, UNDEF_PRICE, 0, 0, 0, 0)] * (LEVELS.get(rtype, 0) - len(levels))
    body += b"".join(PAIR.pack(*pair) for pair in [*levels, *missing])
    return HEADER.pack((16 + len(body)) // 4, rtype, publisher, instrument, ts_event) + body


def other(rtype, size, body=b"", publisher=1, instrument=7, ts_event=10**18) -> bytes:
    """A record of any type, its body given and filled up with zeros."""
    head = HEADER.pack(size // 4, rtype, publisher, instrument, ts_event)
    return head + body.ljust(size - 16, b"\0")


def definition(version, symbol, tick=10**7, action=b"A", **header) -> bytes:
    size, place, *_ = VERSIONS[version]
    body = bytearray(struct.pack("<Qq", 10**18, tick).ljust(size - 16, b"\0"))
    body[place - 16 : place - 16 + len(symbol)] = symbol.encode()
    at = {1: 349, 2: 382, 3: 493}[version] - 16
    body[at : at + 1] = action
    return other(0x13, size, bytes(body), **header)


def mapping(version, symbol, **header) -> bytes:
    size = VERSIONS[version][-1]
    texts = b"asked".ljust(size, b"\0"), symbol.encode().ljust(size, b"\0")
    body = b"".join(texts) if version == 1 else b"\1" + texts[0] + b"\1" + texts[1]
    return other(0x16, VERSIONS[version][3], body, **header)


def records(data: bytes) -> list[bytes]:
    """The records of a well-formed stream."""
    found, place = [], parse_metadata(data)[-1]
    while place < len(data):
        size = 4 * data[place]
        found.append(data[place : place + size])
        place += size
    return found


def decode(message: bytes) -> dict:
    """The fields of a record, as far as its type is of interest."""
    fields = Header(*HEADER.unpack_from(message))._asdict()
    kind = fields["rtype"]
    if kind in FORMATS:
        values = FORMATS[kind].unpack_from(message, 16)
        fields |= dict(zip(NAMES[kind], values, strict=True))
    fields["levels"] = [PAIR.unpack_from(message, 48 + 32 * n) for n in range(LEVELS.get(kind, 0))]
    return fields


class Instrument:
    """What one instrument's records have come to."""

    def __init__(self, code: int, symbol: str, unit: int) -> None:
        self.code, self.symbol, self.unit = code, symbol, unit
        self.rank = self.doubt = 0
        self.known = self.open = self.snapping = self.tainted = False
        self.snapshot_ns = None
        self.levels = {Side.BID: {}, Side.ASK: {}}


class Twin:
    """The events of the well-formed records of a stream, as tuples, and counts.

    Prices have four decimals where that is enough for all of an instrument's, nine otherwise.
    """

    def __init__(self, data: bytes) -> None:
        version, schema, _, self.names, _ = parse_metadata(data)
        self.symbol_at, self.sampled = VERSIONS[version][1], schema == 3
        self.instruments: dict[tuple, Instrument] = {}
        self.codes, self.reached = 0, {}
        self.home = self.began = None
        self.events: list[tuple] = []
        names = ("messages", "announced", "further", "events", "ignored", "bad_values")
        self.counts = dict.fromkeys(names, 0)
        self.messages = records(data)
        self.finest: dict[int, int] = {}
        for message in self.messages:
            m = decode(message)
            if m["rtype"] == 0x13:
                m["ts_recv"], m["price"] = struct.unpack_from("<Qq", message, 16)
            prices = [m.get("price", UNDEF_PRICE), *(p for pair in m["levels"] for p in pair[:2])]
            needed = max(map(self.decimals, prices))
            self.finest[m["instrument"]] = max(self.finest.get(m["instrument"], 0), needed)
        for message in self.messages:
            self.read(message)

    @staticmethod
    def decimals(price: int) -> int:
        return 0 if price == UNDEF_PRICE else len(f"{abs(price):010d}"[-9:].rstrip("0"))

    def read(self, message: bytes) -> None:
        """One record: its events, marked as parts of one where more of it follows, and counts."""
        m = decode(message)
        self.made, self.new = [], 0
        kind = m["rtype"]
        if kind in RANKS:
            verdict, last = self.market(m)
        elif kind == 0x12:
            verdict, last = self.status(m), None
        elif kind == 0x13:
            verdict, last = self.define(m, message), None
        else:
            verdict, last = "ignored", None
        if last is not None and verdict != "unseen":
            self.finish(last)
        verdict = "ignored" if verdict == "unseen" else verdict
        self.events += [tuple(event) for event in self.made]
        self.counts["messages"] += 1
        self.counts["announced"] += self.new
        self.counts["events"] += len(self.made)
        self.counts["further"] += len(self.made) - self.new - (verdict == "written")
        if verdict != "written":
            self.counts[verdict] += 1

    def put(self, kind, side=Side.NONE, flags=0, order=0, other=0, price=0, quantity=0) -> None:
        self.made.append(
            [self.time, self.one.code, kind, side, flags, order, other, price, quantity]
        )

    def finish(self, last: bool) -> None:
        for number, event in enumerate(self.made):
            part = event[2] <= Event.BREAK or event[2] in (Event.SET, Event.CLEAR, Event.MODIFY)
            part = part and (number + 1 < len(self.made) or not last)
            event[4] |= Flag.PART if part else 0
            self.one.open = part
        if last and self.one.open:
            self.announce()
            self.one.open = False

    def times(self, m: dict) -> int | None:
        """Set the event's time; the time that counts for names, or None where there is none."""
        able = [
            t for t in (m["ts_event"], m["ts_recv"]) if 946_684_800 <= t / 10**9 < 4_102_444_800
        ]
        if not able:
            return None
        self.time = able[-1] if m["rtype"] == 0xA0 and m["flags"] & SNAPSHOT else able[0]
        return able[-1]

    def find(self, m: dict, index: int, given: str = "") -> None:
        """The record's instrument, announced if it is new."""
        publisher, identity = m["publisher"], m["instrument"]
        self.home = publisher if self.home is None else self.home
        index = self.reached[publisher, identity] = max(
            index, self.reached.get((publisher, identity), 0)
        )  # names never go back
        spans = sorted(span for span in self.names if span[0] == identity)
        started = [span for span in spans if span[1] <= index] or spans[:1]
        found = self.instruments.get((publisher, identity))
        symbol = started[-1][3] if started else "" if found else given
        tail = "" if publisher == self.home else f"@{publisher}"
        if len(symbol) + (6 if tail else 0) > 24:
            symbol = ""
        symbol = (symbol or f"#{identity}") + tail
        if found and (found.symbol == symbol or "#" in symbol):
            self.one = found
            return
        unit = 10**5 if self.finest[identity] <= 4 else 1
        self.one = self.instruments[publisher, identity] = Instrument(self.codes, symbol, unit)
        self.codes += 1
        self.announce()
        self.new += 1
        earlier = started and any(
            span[3] == started[-1][3] and span[1] < started[-1][1] and span[0] != identity
            for span in self.names
        )
        if found or earlier:
            self.put(Event.CLEAR)

    def announce(self) -> None:
        """A DIRECTORY event."""
        words = struct.unpack("<3q", self.one.symbol.encode().ljust(24))
        flags = Flag.INFERRED if "#" in self.one.symbol else 0
        self.put(Event.DIRECTORY, Side.NONE, flags, *words, 10**9 // self.one.unit)

    def units(self, price: int) -> int:
        """A price in the instrument's units; 0 where no event can hold it."""
        good = 0 < price < UNDEF_PRICE and price % self.one.unit == 0
        return price // self.one.unit if good else 0

    def doubt(self, why: int) -> None:
        if self.one.doubt:
            self.one.tainted = True
        else:
            self.one.doubt = why
            self.put(Event.STALE, flags=why)

    def trust(self) -> None:
        if self.one.doubt:
            self.one.doubt = 0
            self.put(Event.FRESH)

    def status(self, m: dict) -> str:
        trading, quoting = m["trading"] == b"Y", m["quoting"] == b"Y"
        state = STATES.get(m["action"], State.UNKNOWN)
        if state == State.UNKNOWN and trading:
            state = State.TRADING
        elif state == State.UNKNOWN and m["trading"] == b"N" and quoting:
            state = State.QUOTING
        index = self.times(m)
        if m["action"] > 15 or index is None:
            return "bad_values"
        if state == State.UNKNOWN:
            return "ignored"
        self.find(m, index)
        self.put(Event.STATUS, flags=state)
        self.finish(False)
        return "written"

    def define(self, m: dict, message: bytes) -> str:
        at = {200: 382 if len(message) == 400 else 349, 238: 493}[self.symbol_at]
        if message[at : at + 1] == b"D":
            return "ignored"
        (m["ts_recv"],) = struct.unpack_from("<Q", message, 16)
        index = self.times(m)
        if index is None:
            return "bad_values"
        self.find(m, index, message[self.symbol_at :].split(b"\0")[0].decode())
        if self.new:
            self.new = 0
        else:
            self.announce()
        tick = self.units(struct.unpack_from("<q", message, 24)[0])
        if tick:
            self.put(Event.TERMS, order=tick)
        self.finish(False)
        return "written"

    def market(self, m: dict) -> tuple[str, bool]:
        """Orders, levels, trades."""
        kind, index = m["rtype"], self.times(m)
        if kind == 0 and m["action"] != b"T":
            return "unseen", False
        if index is None:
            return "bad_values", False
        self.find(m, index)
        if RANKS[kind] < self.one.rank:
            return "unseen", False
        if RANKS[kind] > self.one.rank > 1:
            self.one.levels = {Side.BID: {}, Side.ASK: {}}
            self.put(Event.CLEAR)
        self.one.rank = RANKS[kind]
        last = bool(m["flags"] & LAST) or kind == 0 or (kind != 0xA0 and self.sampled)
        if kind == 0xA0:
            return self.order(m), last
        return (self.deal(m) if kind == 0 else self.quote(m)), last

    def deal(self, m: dict) -> str:
        price = self.units(m["price"])
        if not price or m["size"] in (0, UNDEF_SIZE):
            return "bad_values"
        side = HIT.get(m["side"], Side.NONE)
        self.put(Event.TRADE, side, 0, 0, m["sequence"], price, m["size"])
        return "written"

    def quote(self, m: dict) -> str:
        """All levels anew: what differs from the ones before."""
        good, now = True, {}
        for side, (price_at, size_at, count_at) in enumerate(((0, 2, 4), (1, 3, 5))):
            now[side] = {}
            for pair in m["levels"]:
                price, size = pair[price_at], pair[size_at]
                if price == UNDEF_PRICE or size == 0:
                    continue
                price = self.units(price)
                worst = list(now[side])[-1:]
                behind = not worst or (price > worst[0] if side else price < worst[0])
                if price and size != UNDEF_SIZE and behind:
                    now[side][price] = (size, pair[count_at])
                else:
                    good = False
        tainted = bool(m["flags"] & MAYBE_BAD)
        if tainted or not good:
            self.doubt(Doubt.VENUE if good else Doubt.VALUE)
        before = len(self.made)
        for side in (Side.BID, Side.ASK):
            self.levels(side, now[side], m["sequence"])
        verdict = "ignored" if good else "bad_values"
        verdict = self.deal(m) if m["action"] == b"T" else verdict
        verdict = "written" if len(self.made) > before else verdict
        if good and not tainted:
            self.trust()
        return verdict

    def levels(self, side: int, now: dict, sequence: int) -> None:
        before, self.one.levels[side] = self.one.levels[side], now
        for price in sorted(before | now, reverse=side == Side.BID):
            if before.get(price) != now.get(price):
                size, count = now.get(price, (0, 0))
                self.put(Event.SET, side, 0, count, sequence, price, size)

    def order(self, m: dict) -> str:
        """One action on orders, with what a snapshot and doubt call for around it."""
        one, flags, action = self.one, m["flags"], m["action"]
        snapshot, clearing = bool(flags & SNAPSHOT), action == b"R"
        if not one.known:
            one.known = True
            whole = snapshot or clearing
            self.began = ("whole" if whole else "amid") if self.began is None else self.began
            alone = self.began == "whole" and action == b"A"
            if not (whole or alone or flags & TOB):
                self.doubt(Doubt.NO_SNAPSHOT)
        if flags & MAYBE_BAD:
            self.doubt(Doubt.VENUE)
        if one.snapping and not snapshot:
            self.end_snapshot(flags)
        fresh = not one.snapping and one.snapshot_ns != self.time
        if snapshot and (clearing or fresh):
            if not one.doubt:
                self.doubt(Doubt.NO_SNAPSHOT)
            one.snapping, one.tainted, one.snapshot_ns = True, False, self.time
            if not clearing:
                self.put(Event.CLEAR, flags=Flag.SNAPSHOT)
        verdict = self.act(m)
        if verdict == "bad_values" and action != b"T":
            self.doubt(Doubt.VALUE)
        if snapshot and flags & LAST:
            self.end_snapshot(flags)
        return verdict

    def end_snapshot(self, flags: int) -> None:
        whole = self.one.snapping and not self.one.tainted
        self.one.snapping = False
        if whole and not flags & MAYBE_BAD:
            self.trust()

    def act(self, m: dict) -> str:
        action, flags, size = m["action"], m["flags"], m["size"]
        side, shown = SIDES.get(m["side"], Side.NONE), Flag.SNAPSHOT if flags & SNAPSHOT else 0
        number = m["order"] - (1 << 64 if m["order"] >> 63 else 0)
        if action in b"FN":
            return "ignored"
        if action == b"T":
            return self.deal(m)
        if action == b"R":
            self.one.levels = {Side.BID: {}, Side.ASK: {}}
            self.put(Event.CLEAR, flags=shown)
            if not flags & (SNAPSHOT | MAYBE_BAD):
                self.trust()
            return "written"
        if flags & 16:
            return "bad_values"
        if flags & TOB:
            return self.top(m, side) if action == b"A" else "bad_values"
        price = self.units(m["price"])
        if size == UNDEF_SIZE or action not in b"ACM":
            return "bad_values"
        if action == b"C" and size:
            self.put(Event.CANCEL, side, shown, number, 0, 0, size)
        elif action == b"M" and not size:
            self.put(Event.DELETE, side, shown, number)
        elif action in b"AM" and size and price and side != Side.NONE:
            kind = Event.ADD if action == b"A" else Event.MODIFY
            self.put(kind, side, shown, number, 0, price, size)
        else:
            return "bad_values"
        return "written"

    def top(self, m: dict, side: int) -> str:
        """An order that stands for all of a side."""
        price, size, before = m["price"], m["size"], len(self.made)
        if side == Side.NONE:
            return "bad_values"
        now = {}
        if price != UNDEF_PRICE and size:
            if not self.units(price) or size == UNDEF_SIZE:
                return "bad_values"
            now = {self.units(price): (size, 0)}
        self.levels(side, now, m["sequence"])
        return "written" if len(self.made) > before else "ignored"
