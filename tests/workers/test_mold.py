"""MoldUDP64 packets to events: against naive twins, at page ends, and where sessions change."""

import ctypes
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import arbiter as twins
from tests.naive import itch, mold
from tests.workers.guarded import Guarded
from tests.workers.test_itch import as_tuples, plain_messages
from workers.feeds.feed import EQUATIONS, FEED_COUNTERS
from workers.kernels import arbiter, itch_frames, mold_events
from workers.kernels import mold as kernels
from workers.kernels.arbiter import Limits
from workers.records import EVENT, Doubt, Event, Side, empty, lined

EXAMPLES = 150 if compiled() else 20
MS = 10**6
OTHER = b"SESSION  2"


class Mold:
    """The kernels with all their memory, fed packet by packet."""

    def __init__(self, late=False, renew=False, limit=64, midnight=0, **limits) -> None:
        self.limits = Limits(**{"window": 64, "timeout_ns": 20 * MS, **limits})
        self.counters, self.itch = empty(FEED_COUNTERS, 1), empty(itch_frames.ITCH_STATE, 1)
        itch_frames.prepare(self.itch[0], self.counters.ctypes.data, midnight, by_type=False)
        self.itch["exact"] = 1
        self.memory = lined(arbiter.bytes_needed(self.limits))
        self.arbiter = self.memory.ctypes.data
        arbiter.create(self.arbiter, self.limits)
        arbiter.line_view(self.arbiter, self.limits.lines).answers = 1
        self.batch, self.block = np.zeros(64, kernels.PACKET), empty(kernels.MOLD, 1)
        self.state, self.at = self.block[0], self.block.ctypes.data
        for name, value in {
            "counters": self.counters.ctypes.data, "itch": self.itch.ctypes.data,
            "arbiter": self.arbiter, "batch": self.batch.ctypes.data, "sweep": kernels.SWEPT,
            "renew": renew, "from_start": not late, "dated": 1,
        }.items():  # fmt: skip
            self.state[name] = value
        self.out, self.limit = empty(EVENT, limit), limit
        self.events: list[np.ndarray] = []
        self.requests: list[tuple[int, int]] = []

    def put(self, packets: list[tuple[int, bytes]], now: int) -> None:
        """Read (line, bytes) as one batch."""
        held = [ctypes.create_string_buffer(data, len(data) or 1) for _, data in packets]
        for place, (line, data) in enumerate(packets):
            self.batch[place] = (ctypes.addressof(held[place]), len(data), line, now)
        self.put_batch(len(packets), now)

    def put_batch(self, count: int, now: int) -> None:
        self.state["packet"], self.state["packets"] = 0, count
        while self.run(now) == self.limit:
            pass

    def run(self, now: int, limit: int = 0) -> int:
        """One call; its events are kept, and requests noted."""
        written = mold_events.receive(self.at, now, self.out.ctypes.data, limit or self.limit)
        self.events.append(self.out[:written].copy())
        if self.state["asking"]:
            self.state["asking"] = 0
            _, number, count = mold.HEADER.unpack(self.state["request"].tobytes()[:20])
            self.requests.append((number, count))
        assert balanced(self.counters[0])
        return written

    def tuples(self) -> list[tuple]:
        return as_tuples(np.concatenate(self.events)) if self.events else []

    def count(self, name: str) -> int:
        return int(self.counters[0][name])


def balanced(counters) -> bool:
    """Whether the equations of a feed hold."""
    return all(
        sum(counters[name] for name in left) == sum(counters[name] for name in right)
        for left, right in EQUATIONS
    )


def split(messages: list[bytes], draw: random.Random, most: int = 9) -> list[tuple[int, list]]:
    """Messages in packets of 1 to `most`, with the number of each packet's first."""
    found, place = [], 0
    while place < len(messages):
        size = draw.randrange(1, most + 1)
        found.append((place + 1, messages[place : place + size]))
        place += size
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 64])
def test_one_line_in_order_is_the_file(limit):
    some = plain_messages(1, 120)
    feed = Mold(limit=limit)
    for number, part in split(some, random.Random(1)):
        feed.put([(0, mold.packet(number, part))], number)
    assert feed.tuples() == itch.events(some)[0]
    assert feed.count("bytes") == sum(map(len, some)) + 2 * len(some)
    assert (feed.count("lost"), feed.count("duplicates"), feed.requests) == (0, 0, [])


ODDITIES = [b"", b"Z" + bytes(30), b"A", b"D" + bytes(19), b"I" * 900]


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from([1, 3, 64]))
def test_lossy_lines_as_the_twins_have_them(seed, asks, late, limit):
    draw = random.Random(seed)
    some = plain_messages(seed, 60)
    for _ in range(draw.randrange(4)):
        some.insert(draw.randrange(len(some)), draw.choice(ODDITIES[: 4 if asks else 5]))
    feed = Mold(late=late, limit=limit, asks=asks, tries=2, message=1000)
    packets = split(some, draw)
    first = draw.choice([0, 0, 3])
    start = packets[first][0] if late else 1
    twin = twins.Arbiter(start, 64, 20 * MS, asks, 2)
    doubt = Doubt.NO_SNAPSHOT if late and start > 1 else 0
    flow = [
        (place + draw.random() * draw.choice([0, 3]), line, *packets[place])
        for place in range(first + 1, len(packets))
        for line in (0, 1)
        for _ in range(draw.choice([0, 1, 1, 1, 2]))
    ]
    flow = [(0, 0, *packets[first]), *sorted(flow, key=lambda item: item[0])]
    served = draw.random() < 0.7
    for step, (_, line, number, part) in enumerate(flow):
        now = step * 5 * MS
        feed.put([(line, mold.packet(number, part))], now)
        for place, message in enumerate(part):
            twin.message(line, number + place, message, now)
        twin.tend(now)
        for begin, count in feed.requests if served else []:
            answer = some[begin - 1 : begin - 1 + min(count, 5)]
            feed.put([(2, mold.packet(begin, answer))], now)
            for place, message in enumerate(answer):
                twin.message(2, begin + place, message, now, answers=True)
            twin.tend(now)
        feed.requests.clear()
    feed.put([(0, mold.packet(len(some) + 1, mold.END))], 10**12)
    twin.heartbeat(len(some) + 1, 10**12)
    for more in range(40):
        now = 10**12 + more * 10**9
        feed.put([], now)
        twin.tend(now)
    expected = mold.Events(doubt=doubt)
    for number, *rest in twin.out:
        expected.gap() if number == "gap" else expected.message(*rest)
    assert feed.tuples() == expected.found
    for name in ("duplicates", "gaps", "lost", "recovered", "out_of_order"):
        assert feed.count(name) == twin.counts[name], name
    assert feed.state["ended"] == 1


@settings(max_examples=EXAMPLES)
@given(st.lists(st.binary(max_size=80) | st.tuples(
    st.integers(0, 1 << 64 - 1), st.lists(st.binary(max_size=12), max_size=3),
    st.integers(-3, 3), st.integers(0, 40), st.integers(0, 255),
), max_size=12))  # fmt: skip
def test_packets_are_taken_or_refused_as_the_twin_does(parts):
    guard, feed = Guarded(), Mold(late=True)
    good = bad = skipped = 0
    for part in parts:
        data = part if isinstance(part, bytes) else damaged(*part)
        feed.batch[0] = (guard.place(data), len(data), 0, 0)
        before = int(arbiter.line_view(feed.arbiter, 0).refused)
        feed.put_batch(1, 0)
        refused = int(arbiter.line_view(feed.arbiter, 0).refused) > before
        parsed = mold.parse(data)
        if parsed is None:
            assert refused
        bad += refused
        skipped += len(data) * refused
        good += not refused
    assert arbiter.line_view(feed.arbiter, 0).packets == good
    assert feed.state["malformed"] + feed.state["foreign"] == bad
    assert feed.count("skipped_bytes") >= skipped
    assert feed.count("bytes") >= skipped
    guard.close()


def damaged(number, messages, longer, place, byte):
    """A packet with a byte changed and some bytes more or less."""
    data = bytearray(mold.packet(number & (1 << 64) - 1, messages))
    if place < len(data):
        data[place] ^= byte
    return bytes(data[: len(data) + longer]) if longer < 0 else bytes(data) + bytes(longer)


def test_every_cut_of_a_packet_is_refused_at_a_page_end():
    guard, feed = Guarded(), Mold()
    some = plain_messages(2, 12)
    whole = mold.packet(1, some)
    for end in range(len(whole)):
        feed.batch[0] = (guard.place(whole[:end]), end, 0, 0)
        feed.put_batch(1, 0)
    assert (feed.count("bad_frames"), feed.count("messages")) == (len(whole), 0)
    feed.batch[0] = (guard.place(whole), len(whole), 0, 0)
    feed.put_batch(1, 0)
    assert feed.tuples() == itch.events(some)[0]
    guard.close()


def test_a_number_far_ahead_is_no_number():
    feed, some = Mold(), plain_messages(3, 5)
    feed.put([(0, mold.packet(1, some))], 0)
    for number in (1 << 40, (1 << 63) - 1):
        feed.put([(0, mold.packet(number, some)), (0, mold.packet(number, 0))], 0)
    feed.put([], 10**15)
    assert feed.tuples() == itch.events(some)[0]
    assert (feed.count("bad_frames"), feed.count("lost"), feed.state["malformed"]) == (4, 0, 4)


def test_what_is_no_itch_is_stepped_over_and_costs_nothing_else():
    some = plain_messages(4, 6)
    feed = Mold()
    feed.put([(0, mold.packet(1, [*ODDITIES, *some, *ODDITIES]))], 0)
    assert feed.tuples() == itch.events(some)[0]
    assert (feed.count("unknown"), feed.count("bad_frames")) == (4, 6)
    assert feed.count("skipped_bytes") == 2 * sum(len(odd) + 2 for odd in ODDITIES)


def test_another_session_is_refused_and_counted():
    feed, some = Mold(), plain_messages(5, 9)
    feed.put([(0, mold.packet(1, some[:5]))], 0)
    feed.put([(1, mold.packet(1, some, OTHER)), (0, mold.packet(6, some[5:]))], 0)
    assert feed.tuples() == itch.events(some)[0]
    assert (feed.state["foreign"], feed.count("bad_frames")) == (1, 1)
    assert arbiter.line_view(feed.arbiter, 1).refused == 1


def test_a_new_session_starts_anew_where_that_is_wanted():
    feed, some = Mold(renew=True), plain_messages(6, 8)
    feed.put([(0, mold.packet(1, some))], 0)
    feed.put([(0, mold.packet(len(some) + 3, mold.END))], 0)
    feed.put([(0, mold.packet(1, some, OTHER)), (1, mold.packet(1, some))], MS)
    found = feed.tuples()
    first = itch.events(some)[0]
    codes = sorted({event[1] for event in first})
    assert found[: len(first)] == first
    made = [(event[1], event[2], event[4]) for event in found[len(first) : -len(first)]]
    gap = [(code, Event.STALE, Doubt.GAP) for code in codes]
    clear = [(code, Event.CLEAR, 0) for code in codes]
    assert made == gap + clear + [(code, Event.FRESH, 0) for code in codes]
    assert found[-len(first) :] == first
    assert (feed.count("connects"), feed.count("lost")) == (2, 2)
    assert feed.state["foreign"] == 1  # the line that lags behind


def test_a_late_join_doubts_every_instrument():
    feed, some = Mold(late=True), plain_messages(7, 20)
    feed.put([(0, mold.packet(100, some))], 0)
    found = feed.tuples()
    kinds = [event[2] for event in found[:6]]
    assert kinds == [Event.DIRECTORY, Event.STALE] * 3
    assert all(e[4] == Doubt.NO_SNAPSHOT for e in found if e[2] == Event.STALE)
    assert [e for e in found if e[2] != Event.STALE] == itch.events(some)[0]


def test_doubt_is_told_before_another_session_begins():
    feed, some = Mold(late=True, renew=True), plain_messages(7, 20)
    feed.put([(0, mold.packet(100, some[:1]))], 0)  # it announces, and nothing follows
    feed.put([(0, mold.packet(1, some, OTHER))], MS)
    found = feed.tuples()
    told = [(event[2], event[4]) for event in found[:4]]
    assert told[0][0] == Event.DIRECTORY
    assert told[1:] == [(Event.STALE, Doubt.NO_SNAPSHOT), (Event.CLEAR, 0), (Event.FRESH, 0)]
    assert found[4:] == itch.events(some)[0]


@pytest.mark.parametrize("limit", [1, 2, 5, 64])
def test_going_on_from_any_position_gives_the_same_log(limit):
    some = [m for m in plain_messages(8, 40) if m[:1] != b"R"]  # announced by their first order
    packets = [mold.packet(number, part) for number, part in split(some, random.Random(2))]
    whole, at_position = Mold(limit=limit), []
    log, room = [], empty(EVENT, 1)
    for data in packets:
        held = ctypes.create_string_buffer(data, len(data))
        whole.batch[0] = (ctypes.addressof(held), len(data), 0, 0)
        whole.state["packet"], whole.state["packets"] = 0, 1
        more = True
        while more:
            more = whole.run(0, limit) == limit
            log = whole.tuples()
            assert mold_events.position(whole.at, room.ctypes.data) == 1
            at_position.append((len(log), int(room[0]["order"]), int(room[0]["other"])))
    assert log == itch.events(some)[0]
    for place, number, session in at_position[:: 1 if compiled() else 9]:
        for skip in (0, 3):
            if place + skip > len(log):
                continue
            again = Mold(limit=limit, asks=True)
            again.state["resume"], again.state["resume_session"] = number, session
            again.state["skip"] = skip
            for event in log[:place]:
                again.itch[0]["announced"][event[1]] |= event[2] == Event.DIRECTORY
            again.put([(0, mold.packet(len(some) + 1, 0))], 0)
            again.put([], 100 * MS)
            left = len(some) + 1 - number
            assert again.requests == ([(number, left)] if left else [])
            again.put([(2, data) for data in packets[:64]], 0)
            assert again.tuples() == log[place + skip :]


@pytest.mark.parametrize(("session", "first"), [("same", 5), ("any", 5), ("other", 1)])
def test_a_position_holds_for_its_session_only(session, first):
    some, room = plain_messages(9, 12), empty(EVENT, 1)
    before = Mold()
    before.put([(0, mold.packet(1, some[:4]))], 0)
    assert mold_events.position(before.at, room.ctypes.data) == 1
    assert room[0]["order"] == 5
    number = {"same": int(room[0]["other"]), "any": 0, "other": int(room[0]["other"]) ^ 1}[session]
    again = Mold()
    again.state["resume"], again.state["resume_session"] = room[0]["order"], number
    again.state["skip"], again.state["resume_doubt"] = 2, Doubt.GAP
    again.itch[0]["announced"][[1, 2]] = session == "other"
    again.put([(0, mold.packet(1, some))], 0)
    given = [event for event in again.tuples() if event[2] != Event.STALE]
    if first == 1:
        made = [event[1:5] for event in given[:4]]
        cleared = [(code, Event.CLEAR, Side.NONE, 0) for code in (1, 2)]
        assert made == cleared + [(code, Event.FRESH, Side.NONE, 0) for code in (1, 2)]
        assert given[4:] == again.tuples()[4:] == itch.events(some)[0]
        return
    stream = mold.Events()
    for message in some[4:]:
        stream.message(message)
    stale = [event for event in again.tuples() if event[2] == Event.STALE]
    assert given == stream.found[2:]
    assert {event[4] for event in stale} <= {Doubt.GAP}
    assert {event[1] for event in stale} == {e[1] for e in given if e[2] == Event.DIRECTORY}


def test_damage_of_all_kinds_is_survived_and_accounted():
    from tests.workers.fuzz_mold import campaign

    frames = 20_000 if compiled() else 2_000
    assert campaign(frames, seed=7) >= frames
