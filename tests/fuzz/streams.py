"""Parsers of bytes in a row: ITCH files, DBN, LOBSTER lines, captures; stretch by stretch.

`play` has a stream written, hands it over in stretches that grow at their end, each right before
(or from right behind) a page that nobody may touch, and judges each call: no more is consumed or
written than there is, each call gets on or waits for more, waits for no more than a few frames,
the counters balance, and every event is one that may be. The room for events lies right before
such a page too.
"""

import ctypes

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8
from tests.fuzz.mutate import FUZZ, GOOD, MODES, Maker, Pool, change, digest, draw, stream
from tests.fuzz.oracle import Judge, balanced, wrong_events
from tests.fuzz.pages import Area, block
from workers.kernels import capture, dbn, itch, lobster
from workers.kernels.arbiter import copy_bytes
from workers.kernels.capture import CAPTURE
from workers.kernels.dbn_state import DBN_STATE
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch_frames import ITCH_STATE
from workers.kernels.lobster import READER
from workers.kernels.mold import PACKET
from workers.records import EVENT, empty

WORLD = record(
    [
        ("fuzz", "i8"),  # addresses
        ("judge", "i8"),
        ("state", "i8"),  # of the parser
        ("counters", "i8"),
        ("sizes", "i8"),  # of int64s: bytes of a frame by its type; 0: lines
        ("scratch", "i8"),  # where streams are written
        ("room", "i8"),
        ("begin", "i8"),  # of the bytes handed over
        ("end", "i8"),
        ("out_end", "i8"),  # of the room for events
        ("parser", "i8"),
        ("prologue", "i8"),  # address of what every stream begins with
        ("prologue_size", "i8"),
        ("patience", "i8"),  # bytes that may wait for more
        ("size", "i8"),  # of the stream
        ("stretch", "i8"),  # bytes that it grows by, at most; 0: all at once
        ("limit", "i8"),  # events of one call, at most
        ("front", "i8"),  # 1: what is handed over begins right behind the page before
        ("events", "i8"),  # written so far
        ("digest", "i8"),  # of them
        ("log", "i8"),  # where to copy them; 0: nowhere
        ("calls", "i8"),
        ("wrong", "i8"),  # what was wrong with an event
    ]
)
WORD = record([("value", "i8")])
ITCH, DBN, LOBSTER, CAPTURED = range(4)
FINE = 0
VERDICTS = (
    "", "consumed outside", "wrote outside", "stuck", "endless", "waits too long", "unbalanced",
    "bad event", "bytes left", "bytes miscounted", "events miscounted", "good frames refused",
    "lines miscounted", "packet outside", "frames miscounted",
)  # fmt: skip
(OUTSIDE, WROTE, STUCK, ENDLESS, IMPATIENT, UNBALANCED, BAD_EVENT, LEFT, BYTES, EVENTS, REFUSED,
 LINES, PACKET_OUTSIDE, FRAMES) = range(1, len(VERDICTS))  # fmt: skip
LIMIT_MAX = 64
LONG_LINE = 4_000  # lines near to what the parser waits for
EVENT_SIZE, PACKET_SIZE = EVENT.itemsize, PACKET.itemsize


class World:
    """One parser with a pool, between pages that nobody may touch."""

    def __init__(
        self, parser: int, pool: Pool, state: np.ndarray, counters: np.ndarray, judge: Judge,
        frames: int, room: int, patience: int, sizes: np.ndarray | None = None,
        prologue: bytes = b"",
    ) -> None:  # fmt: skip
        self.frames, self.maker, self.judge = frames, Maker(pool), judge
        self.parser_state, self.counters = state, counters
        self._first = bytearray(state.tobytes())
        self._state_at = state.ctypes.data
        self._first_at = np.frombuffer(self._first, np.uint8).ctypes.data
        self._area, self._out = Area(room), Area(LIMIT_MAX * EVENT_SIZE)
        self._scratch = np.zeros(room + 4096, np.uint8)
        self._kept = block(prologue), sizes
        self._record = np.zeros(1, WORLD)
        self.state, self.address = self._record[0], self._record.ctypes.data
        for name, value in {
            "fuzz": self.maker.address, "judge": judge.address, "state": state.ctypes.data,
            "counters": counters.ctypes.data, "sizes": 0 if sizes is None else sizes.ctypes.data,
            "scratch": self._scratch.ctypes.data, "room": room, "begin": self._area.begin,
            "end": self._area.end, "out_end": self._out.end, "parser": parser,
            "patience": patience, "prologue": self._kept[0].ctypes.data,
            "prologue_size": len(prologue),
        }.items():  # fmt: skip
            self.state[name] = value

    def reset(self) -> None:
        """The parser as it is at the start of a file."""
        ctypes.memmove(self._state_at, self._first_at, len(self._first))

    def begin(self, seed: int, frames: int = 0) -> None:
        """Write the stream of a seed, and have the parser ready for it."""
        self.counters.view(np.uint8)[:] = 0
        self.judge.begin()
        self.maker.begin(seed, seed % MODES, frames or self.frames)
        self.reset()
        write(self.address)

    def play(self, seed: int, frames: int = 0) -> str:
        """What was wrong with a stream; empty where nothing was."""
        self.begin(seed, frames)
        verdict = VERDICTS[feed(self.address)]
        return f"{verdict} {self.state['wrong'] or ''}".strip()

    def again(self) -> str:
        """The same stream in one piece: whether that makes a difference."""
        before = self.told()
        self.counters.view(np.uint8)[:] = 0
        self.judge.begin()
        self.reset()
        self.state["stretch"], self.state["limit"] = 0, LIMIT_MAX
        verdict = VERDICTS[feed(self.address)]
        same = before == self.told()
        return verdict or ("" if same else "cuts make a difference")

    def told(self) -> tuple:
        """What came of the stream."""
        return int(self.state["digest"]), int(self.state["events"]), self.counters.tobytes()

    def collect(self) -> np.ndarray:
        """The events of the stream, read in one piece."""
        events = empty(EVENT, 4 * LIMIT_MAX + 40 * self.made)
        self.state["log"] = events.ctypes.data
        verdict = self.again()
        self.state["log"] = 0
        assert not verdict, verdict
        return events[: int(self.state["events"])]

    @property
    def data(self) -> bytes:
        """The stream."""
        return self._scratch[: int(self.state["size"])].tobytes()

    @property
    def made(self) -> int:
        """Frames in it."""
        return int(self.maker.state["made"])

    def count(self, name: str) -> int:
        """One of the counters."""
        return int(self.counters[name][0])


@kernel
def write(world):
    """Write a stream, and draw how it is handed over."""
    header = at(world, WORLD)
    fuzz, target, before = int(header.fuzz), int(header.scratch), int(header.prologue_size)
    copy_bytes(target, int(header.prologue), before)
    if before > 0 and at(fuzz, FUZZ).mode != GOOD and draw(fuzz, 8) == 0:
        change(fuzz, target, 0, before)
    header.size = before + stream(fuzz, target + before, int(header.room) - before)
    header.stretch = (0, 0, 40, 1000)[draw(fuzz, 4)]
    header.limit = (1, 7, LIMIT_MAX, LIMIT_MAX)[draw(fuzz, 4)]
    header.front = draw(fuzz, 2)


@kernel
def feed(world):
    """Hand a stream over, stretch by stretch; what was wrong."""
    header = at(world, WORLD)
    header.events = header.digest = header.calls = header.wrong = 0
    fuzz, size, stretch = int(header.fuzz), int(header.size), int(header.stretch)
    start = end = 0
    if header.parser == DBN:
        dbn.look_ahead(int(header.state), place(world, 0, min(size, 1 << 16)), min(size, 1 << 16))
    while True:
        end = size if stretch == 0 else min(size, end + 1 + draw(fuzz, stretch))
        verdict, start = hand_over(world, start, end, end == size)
        if verdict != FINE:
            return verdict
        if end == size:
            return settled(world, start)
        if end - start > header.patience + stretch:
            return IMPATIENT


@kernel
def place(world, start, end):
    """Put some of the stream where nothing else can be read; its address."""
    header = at(world, WORLD)
    address = int(header.begin) if header.front else int(header.end) - (end - start)
    copy_bytes(address, int(header.scratch) + start, end - start)
    return address


@kernel
def hand_over(world, start, end, final):
    """Have one stretch read until no more can be; what was wrong, and how far it came."""
    header = at(world, WORLD)
    fuzz, address = int(header.fuzz), place(world, start, end)
    itemsize = PACKET_SIZE if header.parser == CAPTURED else EVENT_SIZE
    while True:
        limit = 1 + draw(fuzz, int(header.limit))
        if header.limit == LIMIT_MAX:
            limit = LIMIT_MAX
        target = int(header.out_end) - limit * itemsize
        written, consumed = step(world, address, end - start, final, target, limit)
        header.calls += 1
        verdict = judged(world, address, end - start, target, limit, written, consumed)
        if verdict != FINE:
            return verdict, start
        start += consumed
        address += consumed
        if written == 0 and consumed == 0:
            return FINE, start
        if header.calls > 8 * header.size + 100_000:
            return ENDLESS, start


@kernel
def step(world, address, length, final, target, limit):
    """One call of the parser: what it wrote and consumed."""
    header = at(world, WORLD)
    state, parser = int(header.state), int(header.parser)
    if parser == ITCH:
        at(state, ITCH_STATE).final = final
        written = itch.decode(state, address, length, target, limit)
        return written, int(at(state, ITCH_STATE).consumed)
    if parser == DBN:
        at(state, DBN_STATE).final = final
        written = dbn.decode(state, address, length, target, limit)
        return written, int(at(state, DBN_STATE).consumed)
    if parser == LOBSTER:
        at(state, READER).final = final
        written = lobster.decode(state, address, length, target, limit, int(header.counters))
        return written, int(at(state, READER).consumed)
    written = capture.packets(state, address, length, target, limit)
    return written, int(at(state, CAPTURE).consumed)


@kernel
def judged(world, address, length, target, limit, written, consumed):
    """What was wrong with a call."""
    header = at(world, WORLD)
    if not 0 <= consumed <= length:
        return OUTSIDE
    if not 0 <= written <= limit:
        return WROTE
    if header.log:
        copy_bytes(int(header.log + header.events * EVENT_SIZE), target, written * EVENT_SIZE)
    header.events += written
    if header.parser == CAPTURED:
        return packets_outside(world, address, length, target, written)
    header.digest = digest(int(header.digest), target, written * EVENT_SIZE)
    header.wrong = wrong_events(int(header.judge), target, written)
    if header.wrong:
        return BAD_EVENT
    if not balanced(int(header.counters)):
        return UNBALANCED
    counted = at(int(header.counters), FEED_COUNTERS).events
    if header.parser == DBN:
        state = at(int(header.state), DBN_STATE)
        counted -= state.waiting - state.handed
    return FINE if counted == header.events else EVENTS


@kernel
def packets_outside(world, address, length, target, count):
    """Whether all packets lie in the bytes handed over, and are of lines that there are."""
    header = at(world, WORLD)
    lines = at(int(header.state), CAPTURE).lines
    for number in range(count):
        packet = at(target + number * PACKET_SIZE, PACKET)
        begin = int(packet.address)
        if begin < address or packet.length < 0 or begin + packet.length > address + length:
            return PACKET_OUTSIDE
        if packet.line < 0 or packet.line > lines or packet.arrived_ns < 0:
            return PACKET_OUTSIDE
    return FINE


@kernel
def settled(world, start):
    """What was wrong, now that all is read."""
    header = at(world, WORLD)
    fuzz = at(int(header.fuzz), FUZZ)
    if header.parser == CAPTURED:
        return settled_capture(world, start)
    counters = at(int(header.counters), FEED_COUNTERS)
    if start != header.size:
        return LEFT
    if counters.bytes != header.size:
        return BYTES
    verdict = framed(world)
    if verdict != FINE or fuzz.mode != GOOD:
        return verdict
    bad = counters.bad_frames + counters.bad_values + counters.unknown
    whole = counters.messages == fuzz.made
    good = whole and bad + counters.skipped_bytes + counters.truncated == 0
    return FINE if good else REFUSED


@kernel
def framed(world):
    """Whether each byte is in a message or skipped; of lines: whether each line counts once."""
    header = at(world, WORLD)
    counters = at(int(header.counters), FEED_COUNTERS)
    messages = total = 0
    for kind in range(256):
        count = int(counters.types[kind])
        messages += count
        if count > 0 and header.sizes:
            total += count * at(int(header.sizes) + 8 * kind, WORD).value
    if messages != counters.messages:
        return FRAMES
    if header.sizes:
        return FINE if total + counters.skipped_bytes == header.size else BYTES
    count, longest = lines(int(header.scratch), int(header.size))
    told = counters.messages + counters.unknown + counters.bad_frames
    return FINE if told == count or longest > LONG_LINE else LINES


@kernel
def lines(address, size):
    """How many lines there are that hold anything, and how long the longest is."""
    count = longest = 0
    begun, blank = 0, True
    for place in range(size + 1):
        byte = load_u8(address + place) if place < size else 10
        if byte == 10:
            count += not blank
            longest = max(longest, place - begun)
            begun, blank = place + 1, True
        elif byte != 13:
            blank = False
    return count, longest


@kernel
def settled_capture(world, start):
    """The same of a capture, which ends where its framing breaks, or inside a frame."""
    header = at(world, WORLD)
    fuzz, state = at(int(header.fuzz), FUZZ), at(int(header.state), CAPTURE)
    if state.packets != header.events or state.frames != state.packets + state.others:
        return FRAMES
    if fuzz.mode == GOOD:
        whole = start == header.size and state.frames == fuzz.made
        return FINE if whole and not state.broken else REFUSED
    return FINE
