"""Exchanges' JSON through their parsers: as it is, hurt, made up anew around damage, out of order.

Whatever comes: no error, the counters balance, events are such as may be and of announced
instruments, an array of levels gives what json and decimal read in it, or nothing. From valid
messages nothing is refused and every checksum fits; where some are lost, doubled or swapped, a
book that is not in doubt is the right one, as far as the venue numbers its messages.
"""

import json
import random
from functools import lru_cache

import numpy as np

from tests.fuzz.flows import LOTS, PRICES, VENUES, Flow
from tests.fuzz.oracle import ALL, Judge, balanced, bits, wrong_events
from tests.naive import levels as naive
from tests.naive.levels import Books
from tests.workers.json_fuzz import damaged
from workers.feeds.outbox import Outbox
from workers.feeds.venue import Venue
from workers.feeds.venues import VENUES as PARSERS
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Event, empty

GOOD, BYTES, VALUES, ARRAYS, SHUFFLED, NOISE = range(6)
MODES = 6
MESSAGES = 200
NUMBERED = {"binance", "futures", "okx"}
CHECKED = {"kraken", "okx"}
SHARES = (0.02, 0.2, 0.7)
LATEST = (1 << 63) - 1
SHAPES = {"binance": "plain", "futures": "plain", "kraken": "timed", "okx": "counted",
          "coinbase": "sided"}  # fmt: skip
NAMES = {"b", "a", "bids", "asks", "as", "bs", "changes"}  # of arrays of levels
ODD = [None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30,
       1.5, 1e308, -0.0, "", "x", "0", "-1", "1e5", "9" * 10, "9" * 19, "9" * 30, "9999999999.9",
       "0.00000001", "0." + "0" * 30 + "1", "nan", "\u0661", "\0", '"', "z" * 300, [], {}, [[]],
       [["1", "1"]], {"a": []}, [[[[[[[[[[]]]]]]]]]], "2023-11-14T22:13:20Z", "buy", "sell",
       "BTC-USD", "XBT/USD", "N/A", "A" * 24, "A" * 25]  # fmt: skip
PIECES = ['"', "[", "]", ",", ".", "-", "0", "9" * 20, "e9", " ", "\\u0030", "1", "r", "null"]
ASSORTED = b'{}[]",:0123456789.-eE truefalsnu\\'


class VenueWorld:
    """One venue's parser."""

    def __init__(self, name: str) -> None:
        self.name, self.sent = name, 0
        self.counters = empty(FEED_COUNTERS, 1)
        self._room = empty(EVENT, 4096)
        bound = ALL & ~bits(Event.SYSTEM)
        self.judge = Judge(bound, strict=True, unsigned=True, loose=True)
        self.judge.span(0, LATEST)

    @property
    def made(self) -> int:
        """Messages that the last stream had."""
        return self.sent

    def again(self) -> str:
        """Nothing to do: messages are not cut."""
        return ""

    def differs(self, seed: int) -> str:
        """Nothing to do: truths are looked at all the time."""
        return ""

    def play(self, seed: int, count: int = 0) -> str:
        """What was wrong with a stream of messages; empty where nothing was."""
        flow = flow_of(self.name, seed // 60)
        draw, mode = random.Random(seed), seed % MODES
        self.counters.view(np.uint8)[:] = 0
        self.judge.begin()
        self.box = Outbox(self.counters.ctypes.data)
        self.venue: Venue = PARSERS[type(flow.options)](flow.options, self.box)
        self.books = Books() if mode in (GOOD, SHUFFLED) else None
        self.now, self.sent = 1_700_000_000 * 10**9, 0
        messages = flow.messages[: count or len(flow.messages)]
        if mode == SHUFFLED:
            messages = shuffled(messages, draw)
        share = draw.choice(SHARES)
        for number, text in enumerate(messages):
            verdict = self._one(text, mode, share if number else 0.0, draw)
            if verdict:
                return f"{verdict} at {number}"
        self.venue.end()
        return self._collected() or self._settled(mode, flow, len(messages))

    def _one(self, text: bytes, mode: int, share: float, draw: random.Random) -> str:
        """Hand a message over; what was wrong."""
        hurt = draw.random() < share
        if mode == ARRAYS and hurt and self.name in SHAPES:
            changed, wanted = other_array(text, SHAPES[self.name], draw)
            if changed:
                return self._hand(changed, wanted, draw)
        elif mode == BYTES and hurt:
            text = damaged(text, draw)
        elif mode == VALUES and hurt:
            text = revalued(text, draw)
        elif mode == NOISE and hurt:
            size = draw.randrange(80)
            text = draw.randbytes(size) if size % 2 else bytes(draw.choices(ASSORTED, k=size))
        return self._hand(text, None, draw)

    def _hand(self, text: bytes, wanted: tuple | None, draw: random.Random) -> str:
        """Have a message read; what was wrong. wanted: how many levels it has, or that it has no
        right ones.
        """
        self.now += 1_000_000
        self.sent += 1
        book = self.venue.by_code[0] if self.venue.by_code else None
        trusted, before = book is not None and book.snapshots and not book.doubt, self.box.count
        try:
            self.venue.take((self.now, text, None))
        except Exception as error:  # whatever it is, it is a finding
            return f"{type(error).__name__}: {error}: {text[:300]!r}"
        if wanted is not None:
            kinds = self._kinds(before)
            if not wanted[0] and int(Event.SET) in kinds:
                return f"bad levels taken: {text[:300]!r}"
            if wanted[0] and trusted and wanted[1] > kinds.count(int(Event.SET)):
                return f"good levels refused: {text[:300]!r}"
        if self.box.count > 100 or draw.random() < 0.1:
            return self._collected()
        return ""

    def _kinds(self, before: int) -> list[int]:
        """Kinds of the events written from a place on."""
        count = self.box.count - before
        if not count:
            return []
        return self.box._events["kind"][before : before + count].tolist()

    def _collected(self) -> str:
        """Take the events that wait; what was wrong."""
        while True:
            count = self.box.hand_out(self._room.ctypes.data, len(self._room))
            found = wrong_events(self.judge.address, self._room.ctypes.data, count)
            if found:
                events = self._room[:count].tolist()
                return f"bad event {found} in {events[-3:]}"
            if not balanced(self.counters.ctypes.data):
                return "unbalanced"
            for event in self._room[:count].tolist() if self.books else ():
                self.books.fold(event)
            if not self.box.count:
                return ""

    def _settled(self, mode: int, flow: Flow, count: int) -> str:
        """What was wrong in the end."""
        counts, books = self.counters[0], self.books
        if books is None:
            return ""
        if books.wrong:
            return f"orders: {books.wrong[:3]}"
        if mode == GOOD:
            bad = ("bad_frames", "bad_values", "unknown", "gaps", "duplicates", "skipped_bytes")
            if any(counts[name] for name in bad) or counts["messages"] != count:
                return "good messages refused"
            if books.failed or (self.name in CHECKED and not books.passed):
                return "checksums"
            whole = count == len(flow.messages)
            return "" if not whole or books.sides[0] == flow.sides else "another book"
        if self.name in NUMBERED and books.doubts.get(0, 1) == 0:
            return "" if books.sides[0] == flow.sides else "a wrong book is trusted"
        return ""


@lru_cache(64)
def flow_of(name: str, number: int) -> Flow:
    """The messages that some seeds begin from."""
    return VENUES[name](number).flow(MESSAGES)


def shuffled(messages: list[bytes], draw: random.Random) -> list[bytes]:
    """Some lost, doubled, swapped; the first and the last of the book stay."""
    found, share = [messages[0]], draw.choice((0.005, 0.05))
    for text in messages[1:-1]:
        kind = draw.random() / share
        if kind < 1:
            continue
        found.append(text)
        if kind < 2:
            found.append(draw.choice(found[1:]))
        elif kind < 3 and len(found) > 2:
            found[-1], found[-2] = found[-2], found[-1]
    return [*found, messages[-1]]


def parted(text: bytes) -> tuple[bytes, object]:
    """What stands before the JSON of a message, and its value; None where it is none."""
    head, brace, tail = (b"", text[:1], text[1:])
    if text[:1] not in (b"{", b"["):
        head, brace, tail = text.partition(b"{")
    try:
        return head, json.loads(brace + tail)
    except ValueError:
        return head, None


def revalued(text: bytes, draw: random.Random) -> bytes:
    """Valid JSON of another value somewhere, or with something left out or twice."""
    head, value = parted(text)
    for _ in range(draw.randint(1, 2)):
        node = value
        for _ in range(draw.randrange(8)):
            keys = list(node) if isinstance(node, dict) else range(len(node or ()))
            if not keys:
                break
            key = draw.choice(keys)
            inner = node[key]
            if not isinstance(inner, dict | list) or draw.random() < 0.15:
                alter(node, key, draw)
                break
            node = inner
    return head + json.dumps(value, separators=(",", ":")).encode()


def alter(node, key, draw: random.Random) -> None:
    """Change one part of an object or array."""
    kind, inner = draw.randrange(5), node[key]
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node.insert(key, inner)
    elif kind == 2 and isinstance(inner, str) and inner:
        place = draw.randrange(len(inner))
        node[key] = inner[:place] + draw.choice("0123456789.-e ") + inner[place + 1 :]
    elif kind == 3 and isinstance(inner, str | int):
        node[key] = str(inner) if isinstance(inner, int) else int(inner) if digits(inner) else inner
    else:
        node[key] = draw.choice(ODD)


def digits(text: str) -> bool:
    """Whether a text is a plain number."""
    return text.isascii() and text.isdigit()


def other_array(text: bytes, shape: str, draw: random.Random) -> tuple[bytes, tuple | None]:
    """A message with damage inside one array of levels, which stays JSON; whether what it has
    then are levels, and how many.
    """
    places = [
        (text.find(b'"%s":[' % name.encode()), name)
        for name in NAMES
        if b'"%s":[[' % name.encode() in text
    ]
    if not places:
        return b"", None
    at, name = draw.choice(sorted(places))
    begin = at + len(name) + 3
    end = text.index(b"]]", begin) + 2
    array = text[begin:end].decode()
    for _ in range(draw.randint(1, 2)):
        place = draw.randrange(1, len(array))
        cut = draw.choice((0, 0, 1, 1, 3))
        array = array[:place] + draw.choice(PIECES) + array[place + cut :]
    try:
        whole = json.loads(array)
    except ValueError:
        return b"", None
    if not isinstance(whole, list):
        return b"", None
    levels = naive.parse(array.encode(), shape, PRICES, LOTS)
    wanted = (levels is not None, len(levels or ()))
    return text[:begin] + array.encode() + text[end:], wanted
