"""MoldUDP64 packets of three lines, through arbiter and decoder, each at the edge of a page.

Messages come from the pool of ITCH frames, hurt as the mode says; a packet is made of them, its
count right for what is in it, and then the packet itself may be hurt. Whatever comes: a packet is
taken if it is whole and of the session, and else refused; every number is gone once, waits, or
was said to be lost; the counters balance; and events are such as may be.
"""

from collections import Counter

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import offset, record
from ringbuf.wire import load_i64, load_u8, load_u16, store_i64, store_u8, store_u16
from tests.fuzz import pools
from tests.fuzz.mutate import BODIES, FUZZ, GOOD, MODES, Maker, change, digest, draw, stream
from tests.fuzz.oracle import ALL, Judge, balanced, wrong_events
from tests.fuzz.pages import Area
from tests.fuzz.worlds import BY_ORDER, DAY_NS, TUPLE
from tests.naive import arbiter as twins
from tests.naive import mold as naive
from workers.kernels import arbiter as arbiters
from workers.kernels import mold
from workers.kernels.arbiter import ARBITER, Limits, copy_bytes, line_at
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch_frames import ITCH_STATE, SIZES, prepare
from workers.kernels.mold import MOLD, PACKET, PACKET_SIZE
from workers.kernels.mold_events import receive
from workers.records import EVENT, Doubt, Event, empty

LINES, BATCH, WINDOW = 3, 3, 64  # the last line is that of the answers
TIMEOUT_NS = 1000
LIMIT_MAX = 64
PACKET_MAX = 1 << 14
MESSAGES_MAX = 12  # asked for; swapped and doubled ones make it more
CALLS_MAX = 200_000  # for one batch
LOG = record([("line", "i8"), ("size", "i8"), ("now_ns", "i8"), ("last", "i8")])
LOG_SIZE = LOG.itemsize
HALL = record(
    [
        ("fuzz", "i8"),  # addresses
        ("judge", "i8"),
        ("mold", "i8"),
        ("itch", "i8"),
        ("arbiter", "i8"),
        ("counters", "i8"),
        ("batch", "i8"),
        ("scratch", "i8"),
        ("session", "i8"),
        ("begins", "i8", (BATCH,)),  # of the memory where packets lie
        ("ends", "i8", (BATCH,)),
        ("out_end", "i8"),
        ("log", "i8"),  # where packets are noted; 0: nowhere
        ("logged", "i8"),
        ("keep", "i8"),  # where events are noted
        ("limit", "i8"),
        ("batches", "i8"),
        ("now_ns", "i8"),
        ("frames", "i8"),
        ("events", "i8"),
        ("digest", "i8"),
        ("wrong", "i8"),
    ]
)
VERDICTS = (
    "", "wrote outside", "endless", "bad event", "unbalanced", "events miscounted",
    "not read to its end", "bad packet taken", "good packet refused", "packets miscounted",
    "numbers miscounted", "bytes miscounted", "window overrun",
)  # fmt: skip
(WROTE, ENDLESS, BAD_EVENT, UNBALANCED, EVENTS, UNREAD, BAD_TAKEN, GOOD_REFUSED, PACKETS, NUMBERS,
 BYTES, OVERRUN) = range(1, len(VERDICTS))  # fmt: skip
EVENT_SIZE, SESSION_AT = EVENT.itemsize, offset(MOLD, "session")
FINE = 0
SIZE_OF = tuple(SIZES.get(chr(letter), 0) for letter in range(256))


class PacketWorld:
    """Lines, arbiter and decoder, all in memory that ends where nobody may go on."""

    def __init__(self) -> None:
        self.batches = 30
        self.maker = Maker(pools.itch_pool(False))
        self.judge = Judge(ALL & ~BY_ORDER, strict=False)
        self.judge.span(0, DAY_NS)
        self.counters, self._itch = empty(FEED_COUNTERS, 1), empty(ITCH_STATE, 1)
        prepare(self._itch[0], self.counters.ctypes.data, 0, by_type=False)
        self._itch["exact"] = 1
        self._fresh = self._itch.copy()
        self.limits = Limits(window=WINDOW, timeout_ns=TIMEOUT_NS, tries=2)
        size = arbiters.bytes_needed(self.limits)
        self._arbiter, self._areas = Area(size), [Area(PACKET_MAX) for _ in range(BATCH)]
        self.arbiter = self._arbiter.end - size
        self._out, self._scratch = Area(LIMIT_MAX * EVENT_SIZE), np.zeros(1 << 16, np.uint8)
        self._session = np.frombuffer(naive.SESSION, np.uint8)
        self._batch, self._mold = np.zeros(BATCH, PACKET), empty(MOLD, 1)
        self._record = np.zeros(1, HALL)
        self.state, self.address = self._record[0], self._record.ctypes.data
        for name, value in {
            "fuzz": self.maker.address, "judge": self.judge.address, "arbiter": self.arbiter,
            "mold": self._mold.ctypes.data, "itch": self._itch.ctypes.data,
            "counters": self.counters.ctypes.data, "batch": self._batch.ctypes.data,
            "scratch": self._scratch.ctypes.data, "session": self._session.ctypes.data,
            "out_end": self._out.end, "begins": [area.begin for area in self._areas],
            "ends": [area.end for area in self._areas],
        }.items():  # fmt: skip
            self.state[name] = value

    def reset(self, seed: int) -> None:
        """A feed that has heard nothing."""
        self.counters.view(np.uint8)[:] = 0
        self._arbiter.bytes[:] = 0
        self._itch[:] = self._fresh
        self._mold.view(np.uint8)[:] = 0
        self.asks, self.late, self.renew = seed >> 1 & 1, seed >> 2 & 1, seed % 7 == 0
        arbiters.create(self.arbiter, self.limits._replace(asks=bool(self.asks)))
        arbiters.line_view(self.arbiter, LINES - 1).answers = 1
        for name, value in {
            "counters": self.counters.ctypes.data, "itch": self._itch.ctypes.data,
            "arbiter": self.arbiter, "batch": self._batch.ctypes.data, "sweep": mold.SWEPT,
            "renew": self.renew, "from_start": not self.late, "dated": 1,
        }.items():  # fmt: skip
            self._mold[0][name] = value

    def play(self, seed: int, batches: int = 0) -> str:
        """What was wrong with a stream of packets; empty where nothing was."""
        self.reset(seed)
        self.judge.begin()
        self.maker.begin(seed, seed % MODES, 0)
        self.state["limit"] = (1, 7, LIMIT_MAX)[seed % 3]
        self.state["batches"] = batches or self.batches
        verdict = VERDICTS[play(self.address)]
        return f"{verdict} {self.state['wrong'] or ''}".strip()

    def again(self) -> str:
        """Nothing to do: packets are not cut."""
        return ""

    @property
    def made(self) -> int:
        """Frames that the packets held."""
        return int(self.state["frames"])

    def differs(self, seed: int) -> str:
        """What the naive twins have otherwise, of packets that are good; STALE events may come
        a little later here, where what was written before filled the room.
        """
        if seed % MODES != GOOD or self.renew:
            return ""
        log, events = np.zeros(1 << 20, np.uint8), empty(EVENT, 1 << 16)
        self.state["log"], self.state["keep"] = log.ctypes.data, events.ctypes.data
        verdict = self.play(seed)
        self.state["log"] = self.state["keep"] = 0
        assert not verdict, verdict
        twin, expected = self._twins(log)
        found = events[: int(self.state["events"])][TUPLE].tolist()
        found, wanted = parted(found), parted(expected.found)
        if self._itch[0]["untold"]:  # told with the next message, and there is none
            wanted[1][expected.found[-1]] -= 1
        names = ("duplicates", "gaps", "lost", "recovered", "out_of_order")
        same = found[1] == wanted[1] and all(
            int(self.counters[name][0]) == twin.counts[name] for name in names
        )
        return "" if same and found[0] == wanted[0] else "the twins have other events"

    def _twins(self, log: np.ndarray) -> tuple[twins.Arbiter, naive.Events]:
        """What the twins make of the packets that were noted."""
        twin, doubt, place, session = None, 0, 0, b""
        for _ in range(int(self.state["logged"])):
            line, size, now, last = log[place : place + LOG_SIZE].view(LOG)[0].tolist()
            data = log[place + LOG_SIZE : place + LOG_SIZE + size].tobytes()
            place += LOG_SIZE + -(-size // 8) * 8
            packet = naive.parse(data)
            session = session or (packet[0] if packet else b"")
            if packet and packet[0] == session:
                _, number, _, messages = packet
                if twin is None:
                    doubt = Doubt.NO_SNAPSHOT if self.late and number > 1 else 0
                    first = number if self.late else 1
                    twin = twins.Arbiter(first, WINDOW, TIMEOUT_NS, bool(self.asks), 2)
                twin.heartbeat(number, now)
                for step, message in enumerate(messages):
                    twin.message(line, number + step, message, now, answers=line == LINES - 1)
            if last and twin:
                twin.tend(now)
        assert twin is not None
        expected = naive.Events(doubt=doubt)
        for number, *rest in twin.out:
            expected.gap() if number == "gap" else expected.message(*rest)
        return twin, expected


def parted(events: list[tuple]) -> tuple[list[tuple], Counter]:
    """All but the STALE ones in their order; how often each of those comes."""
    stale = [event for event in events if event[2] == Event.STALE]
    return [event for event in events if event[2] != Event.STALE], Counter(stale)


@kernel
def play(hall):
    """Batches of packets, one after another; what was wrong."""
    header = at(hall, HALL)
    header.events = header.digest = header.wrong = header.frames = header.now_ns = 0
    header.logged = 0
    log = int(header.log)
    for _ in range(header.batches):
        header.now_ns += 1 + draw(int(header.fuzz), 2 * TIMEOUT_NS)
        count = 1 + draw(int(header.fuzz), BATCH)
        log, taken, refused = lay_out(hall, count, log)
        before_taken, before_refused = told_of(hall)
        verdict = put_through(hall, count)
        if verdict != FINE:
            return verdict
        now_taken, now_refused = told_of(hall)
        now_taken -= before_taken
        now_refused -= before_refused
        if now_taken + now_refused != count:
            return PACKETS
        if now_refused < refused:
            return BAD_TAKEN
        if now_taken < taken:
            return GOOD_REFUSED
    return settled(hall)


@kernel
def told_of(hall):
    """How many packets were taken and refused so far."""
    taken = refused = 0
    for line in range(LINES):
        record_ = line_at(int(at(hall, HALL).arbiter), line)
        taken += int(record_.packets)
        refused += int(record_.refused)
    return taken, refused


@kernel
def lay_out(hall, count, log):
    """Make a batch; how many of its packets must be taken, and how many refused."""
    header = at(hall, HALL)
    fuzz, taken, refused = int(header.fuzz), 0, 0
    for number in range(count):
        scratch = int(header.scratch)
        size = packet(hall, scratch)
        start = int(header.ends[number]) - size
        if draw(fuzz, 2) == 0:
            start = int(header.begins[number])
        copy_bytes(start, scratch, size)
        entry = at(int(header.batch) + number * PACKET_SIZE, PACKET)
        entry.address, entry.length, entry.line = start, size, draw(fuzz, LINES)
        entry.arrived_ns = header.now_ns
        whole = is_packet(scratch, size)
        refused += not whole
        taken += whole and must_be_taken(hall, scratch)
        if log > 0:
            note = at(log, LOG)
            note.line, note.size, note.now_ns = entry.line, size, header.now_ns
            note.last = number + 1 == count
            copy_bytes(log + LOG_SIZE, scratch, size)
            log += LOG_SIZE + (size + 7) // 8 * 8
            header.logged += 1
    at(int(header.mold), MOLD).packet, at(int(header.mold), MOLD).packets = 0, count
    return log, taken, refused


@kernel
def packet(hall, target):
    """Write a packet; its bytes."""
    header = at(hall, HALL)
    fuzz, body = int(header.fuzz), target + mold.HEADER
    mode = int(at(fuzz, FUZZ).mode)
    at(fuzz, FUZZ).wanted = draw(fuzz, MESSAGES_MAX)
    size = stream(fuzz, body, PACKET_MAX - 4096)
    header.frames += at(fuzz, FUZZ).made
    count, whole = frames_in(body, size)
    if draw(fuzz, 2) == 0 or mode <= BODIES:
        size = whole
    else:
        count = int(at(fuzz, FUZZ).made)
    if count == 0 and draw(fuzz, 8) == 0:
        count = mold.END
    number = max(int(at(int(header.arbiter), ARBITER).next) + draw(fuzz, 120) - 40, 1)
    if draw(fuzz, 2) == 0:
        number = max(int(at(int(header.arbiter), ARBITER).next), 1)
    copy_bytes(target, int(header.session), 10)
    if draw(fuzz, 64) == 0:
        store_u8(target + 9, 65 + draw(fuzz, 2))
    store_i64(target + mold.SEQUENCE, number)
    store_u16(target + mold.COUNT, count)
    size += mold.HEADER
    if mode > BODIES and draw(fuzz, 4) == 0:
        size = damaged(fuzz, target, size)
    return size


@kernel
def damaged(fuzz, target, size):
    """Hurt a packet itself; its bytes then."""
    way = draw(fuzz, 4)
    if way == 0:
        return draw(fuzz, size + 1)
    if way == 1:
        for _ in range(1 + draw(fuzz, 9)):
            store_u8(target + size, draw(fuzz, 256))
            size += 1
        return size
    change(fuzz, target, 0, mold.HEADER if way == 2 else size)
    return size


@kernel
def frames_in(body, size):
    """How many whole frames lie one behind another, and their bytes."""
    count = place = 0
    while size - place >= 2 and place + 2 + load_u16(body + place) <= size:
        place += 2 + load_u16(body + place)
        count += 1
    return count, place


@kernel
def is_packet(address, size):
    """Whether bytes are a packet by what the specification says."""
    if size < 20 or load_i64(address + 10) < 1:
        return False
    for place in range(10):
        if not 32 <= load_u8(address + place) <= 126:
            return False
    count, said = 0, load_u16(address + 18)
    if said != 0xFFFF:
        count = said
    found, length = frames_in(address + 20, size - 20)
    return found == count and length == size - 20


@kernel
def must_be_taken(hall, address):
    """Whether a packet is of the one session there is, and its number one to be believed."""
    header = at(hall, HALL)
    state = at(int(header.mold), MOLD)
    if state.renew or not state.joined:
        return False
    for place in range(10):
        if load_u8(address + place) != load_u8(int(header.mold) + SESSION_AT + place):
            return False
    return load_i64(address + 10) < at(int(header.arbiter), ARBITER).next + 100_000


@kernel
def put_through(hall, count):
    """Have a batch read; what was wrong."""
    header = at(hall, HALL)
    limit, state = int(header.limit), at(int(header.mold), MOLD)
    target = int(header.out_end) - limit * EVENT_SIZE
    for _ in range(CALLS_MAX):
        written = receive(int(header.mold), int(header.now_ns), target, limit)
        if not 0 <= written <= limit:
            return WROTE
        header.wrong = wrong_events(int(header.judge), target, written)
        if header.wrong:
            return BAD_EVENT
        if not balanced(int(header.counters)):
            return UNBALANCED
        if header.keep:
            copy_bytes(int(header.keep + header.events * EVENT_SIZE), target, written * EVENT_SIZE)
        header.events += written
        header.digest = digest(int(header.digest), target, written * EVENT_SIZE)
        if at(int(header.counters), FEED_COUNTERS).events != header.events:
            return EVENTS
        state.asking = 0
        if written < limit:
            left = state.messages > 0 or state.stretch_bytes > 0
            return UNREAD if state.packet != count or left else FINE
    return ENDLESS


@kernel
def settled(hall):
    """Whether every number is gone once or waits, and every byte counts."""
    header = at(hall, HALL)
    arbiter, state = at(int(header.arbiter), ARBITER), at(int(header.mold), MOLD)
    if not 0 <= arbiter.kept <= arbiter.window or arbiter.next > arbiter.known:
        return OVERRUN
    brought = won = 0
    for line in range(LINES):
        record_ = line_at(int(header.arbiter), line)
        brought += int(record_.messages)
        won += int(record_.won)
    if brought != won + arbiter.duplicates + arbiter.late + arbiter.beyond:
        return NUMBERS
    counters = at(int(header.counters), FEED_COUNTERS)
    bad = counters.bad_frames - state.malformed - state.foreign
    if counters.messages + counters.unknown + bad != won - arbiter.kept:
        return NUMBERS
    total = 0
    for letter in range(256):
        total += int(counters.types[letter]) * (2 + SIZE_OF[letter])
    return FINE if total + counters.skipped_bytes == counters.bytes else BYTES
