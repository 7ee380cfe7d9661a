"""Redundant lines into one stream: a naive twin, hand-made cases, real FAST lines of MOEX."""

import ctypes
import gzip
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.data import data_file
from tests.naive import arbiter as naive
from tests.naive import fast
from workers.kernels import arbiter as kernels
from workers.kernels.arbiter import ARBITER, ASK, GIVEN_UP, OVERRUN, Limits
from workers.records import lined

EXAMPLES = 200 if compiled() else 40
COUNTS = ("duplicates", "late", "beyond", "gaps", "lost", "recovered", "out_of_order")


class Lines:
    """The kernel with its memory; what comes out of it is noted as the twin does."""

    def __init__(self, first=1, lines=2, **options) -> None:
        self.limits = Limits(lines=lines, **options)
        self.memory = lined(kernels.bytes_needed(self.limits))
        self.at = self.memory.ctypes.data
        kernels.create(self.at, self.limits)
        kernels.line_view(self.at, lines).answers = 1
        kernels.begin(self.at, first)
        self.header = at(self.at, ARBITER)
        self.out: list = []
        self.requests: list = []

    def message(self, line, number, data, now):
        raw = np.frombuffer(data or b"\0", np.uint8)
        kernels.measure_lag(self.at, line, number, 1, now)
        kernels.heard(self.at, line, number, 1, now)
        while True:
            verdict = kernels.offer(self.at, line, number, raw.ctypes.data, len(data), now)
            if verdict != OVERRUN:
                break
            self.lose(kernels.give_up)
        if verdict == kernels.NEXT:
            self.out.append((number, data))
        self.release()
        return verdict

    def heartbeat(self, number, now):
        kernels.heard(self.at, 0, number, 0, now)

    def lose(self, how, *arguments):
        before = int(self.header.next)
        verdict = how(self.at, *arguments)
        if verdict is None or verdict == GIVEN_UP:
            self.out.append(("gap", before, int(self.header.next)))
        self.release()
        return verdict

    def release(self):
        while True:
            number = int(self.header.next)
            frame = kernels.ready(self.at)
            if not frame:
                break
            size = kernels.frame_length(frame)
            self.out.append((number, ctypes.string_at(frame + 2, size - 2)))

    def ask(self, now):
        verdict = self.lose(kernels.tend, now)
        while verdict == GIVEN_UP:
            verdict = self.lose(kernels.tend, now)
        if verdict == ASK:
            self.requests.append((int(self.header.next), int(self.header.gap_end)))

    def counts(self):
        return {name: int(self.header[name]) for name in COUNTS}

    def line(self, number):
        return kernels.line_view(self.at, number)


def text(number: int) -> bytes:
    """A message's bytes, of a length of its own."""
    return (b"%d." % number) * (1 + number % 5)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("mmmmmmhtt"),
        st.integers(0, 2),  # the line; 2: answers
        st.integers(1, 40),
        st.integers(0, 12),  # time that passes before
    ),
    max_size=80,
)


@settings(max_examples=EXAMPLES)
@given(STEPS, st.booleans(), st.sampled_from([4, 16, 64]), st.integers(0, 3), st.integers(1, 9))
def test_any_order_of_anything_as_the_twin_has_it(steps, asks, window, tries, timeout):
    tries = max(tries, 1)
    options = {"window": window, "timeout_ns": timeout, "asks": asks, "tries": tries}
    lines = Lines(**options)
    twin = naive.Arbiter(1, window, timeout, asks, tries)
    now = 0
    for what, line, number, passed in steps:
        now += passed
        if what == "m":
            lines.message(line, number, text(number), now)
            twin.message(line, number, text(number), now, answers=line == 2)
        elif what == "h":
            lines.heartbeat(number, now)
            twin.heartbeat(number, now)
        else:
            lines.ask(now)
            twin.tend(now)
        assert lines.out == twin.out
    assert lines.requests == twin.requests
    assert lines.counts() == {name: twin.counts[name] for name in COUNTS}
    for line in range(3):
        assert lines.line(line).duplicates == twin.counts["duplicates", line]
        assert lines.line(line).won == twin.counts["won", line]
    assert [number for number, *_ in lines.out if number != "gap"] == sorted(
        {number for number, *_ in lines.out if number != "gap"}
    )


def test_the_first_copy_wins_and_the_second_is_counted():
    lines = Lines()
    lines.message(0, 1, b"one", 0)
    lines.message(1, 1, b"ONE", 0)
    lines.message(1, 2, b"two", 0)
    lines.message(0, 2, b"TWO", 0)
    assert lines.out == [(1, b"one"), (2, b"two")]
    assert [lines.line(n).duplicates for n in (0, 1)] == [1, 1]
    assert [lines.line(n).won for n in (0, 1)] == [1, 1]


def test_what_both_lines_miss_is_asked_for_again_and_again_then_lost():
    lines = Lines(timeout_ns=10, asks=True, tries=3)
    lines.message(0, 1, b"one", 0)
    lines.message(0, 4, b"four", 5)
    for now in range(15, 200):
        lines.ask(now)
    assert lines.requests == [(2, 4)] * 3  # at 15, 25, 45; given up at 85
    assert lines.out == [(1, b"one"), ("gap", 2, 4), (4, b"four")]
    assert lines.counts() == dict.fromkeys(COUNTS, 0) | {"gaps": 1, "lost": 2}
    lines.message(1, 3, b"three", 201)
    lines.message(0, 3, b"three", 202)
    assert (lines.counts()["late"], lines.counts()["duplicates"]) == (1, 1)


def test_an_answer_in_pieces_is_asked_on_at_once():
    lines = Lines(timeout_ns=10, asks=True, tries=1)
    lines.message(0, 1, b"one", 0)
    lines.message(0, 5, b"five", 0)
    lines.ask(10)
    lines.message(2, 2, b"two", 11)
    lines.ask(11)
    lines.message(2, 3, b"three", 12)
    lines.message(2, 4, b"four", 12)
    lines.ask(100)
    assert lines.requests == [(2, 5), (3, 5)]
    assert [number for number, _ in lines.out] == [1, 2, 3, 4, 5]
    assert lines.counts() == dict.fromkeys(COUNTS, 0) | {"gaps": 1, "recovered": 3}


def test_silence_is_broken_by_a_heartbeat_that_tells_of_more():
    lines = Lines(timeout_ns=10)
    lines.message(0, 1, b"one", 0)
    lines.ask(1000)
    assert lines.out == [(1, b"one")]
    lines.heartbeat(4, 1000)
    lines.ask(1009)
    assert lines.out == [(1, b"one")]
    lines.ask(1010)
    assert lines.out == [(1, b"one"), ("gap", 2, 4)]


def test_a_full_window_gives_the_gap_up_where_nobody_can_be_asked():
    lines = Lines(window=4, timeout_ns=10**9)
    for number in (1, 3, 4, 5, 6):
        lines.message(0, number, text(number), 0)
    assert lines.out == [(1, text(1)), ("gap", 2, 3), *((n, text(n)) for n in (3, 4, 5, 6))]


def test_a_message_too_long_for_its_slot_waits_for_nobody_but_passes_in_its_turn():
    lines = Lines(message=8, timeout_ns=10, asks=True, tries=5)
    lines.message(0, 2, b"x" * 20, 0)
    lines.message(0, 1, b"x" * 5000, 0)
    lines.ask(10)
    assert lines.requests == [(2, 3)]
    lines.message(2, 2, b"x" * 20, 11)
    assert lines.out == [(1, b"x" * 5000), (2, b"x" * 20)]
    assert (lines.header.oversize, lines.counts()["lost"]) == (1, 0)


def test_the_slower_line_is_timed():
    lines = Lines()
    for number in range(1, 50):
        lines.message(0, number, b"x", 1000 * number)
        lines.message(1, number, b"x", 1000 * number + 30 + number)
    assert (lines.line(1).lag_ns, lines.line(1).lag_max_ns) == (79, 79)
    assert lines.line(0).lag_max_ns == 0


@cache
def micex() -> list[list[tuple[int, bytes]]]:
    """Number and bytes of the messages of lines A and B."""
    known = fast.templates(data_file("fast_ab/templates.xml"))
    found = []
    for line in "ab":
        data = gzip.decompress(data_file(f"fast_ab/increment_{line}.dat.gz").read_bytes())
        found.append([message[:2] for message in fast.messages(data, known)])
    return found


def interleaved(lines, seed: int, swap: int):
    """(line, number, bytes) of all lines, each displaced by at most `swap` places of its line."""
    draw = random.Random(seed)
    keyed = [
        (place + draw.randrange(swap) + draw.random(), line, number, data)
        for line, messages in enumerate(lines)
        for place, (number, data) in enumerate(messages)
    ]
    return [rest for _, *rest in sorted(keyed)]


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="tens of thousands of messages, many times")
def test_real_lines_a_and_b_come_out_whole():
    a, b = micex()
    union, both = dict(b) | dict(a), len({n for n, _ in a} & {n for n, _ in b})
    assert (len(a), len(b), both, len(union)) == (8101, 8088, 8077, 8112)
    orders = [[(0, *m) for m in a] + [(1, *m) for m in b]]
    orders += [interleaved((a, b), seed, swap) for seed, swap in enumerate((1, 8, 500))]
    for order in orders:
        lines = Lines(first=482_727, window=1 << 14, message=500)
        for line, number, data in order:
            lines.message(line, number, data, 0)
        assert lines.out == sorted(union.items())
        assert lines.counts() | {"out_of_order": 0} == dict.fromkeys(COUNTS, 0) | {
            "duplicates": both
        }
        wins = Counter()
        for line, number, _ in order:
            wins[line] += number not in wins
            wins[number] = 1
        assert [lines.line(n).won for n in (0, 1)] == [wins[0], wins[1]]


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="tens of thousands of messages, many times")
@pytest.mark.parametrize("seed", range(2))
def test_real_lines_with_losses_come_out_as_far_as_can_be(seed):
    a, b = micex()
    draw = random.Random(seed)
    cut = [[m for m in line if draw.random() > 0.03] for line in (a[24:], b[:8077])]
    had = dict(cut[1]) | dict(cut[0])
    whole = dict(a[24:])
    order = interleaved(cut, seed, 40)
    first, last = order[0][1], max(had)
    lines = Lines(first=482_751, window=1 << 12, message=500, timeout_ns=200)
    served = Lines(first=482_751, window=1 << 12, message=500, timeout_ns=200, asks=True)
    for now, (line, number, data) in enumerate(order):
        lines.message(line, number, data, now)
        lines.ask(now)
        served.message(line, number, data, now)
        served.ask(now)
        for begin, end in served.requests:  # a server that has everything
            for missing in range(begin, end):
                served.message(2, missing, whole[missing], now)
        served.requests.clear()
    lines.ask(1 << 40)
    missing = [n for n in range(482_751, last) if n not in had]
    assert first in had
    assert missing
    assert [m for m in lines.out if m[0] != "gap"] == sorted(had.items())
    gaps = [n for m in lines.out if m[0] == "gap" for n in range(m[1], m[2])]
    assert gaps == missing
    assert lines.counts()["lost"] == len(missing)
    assert [n for n, _ in served.out] == list(range(482_751, last + 1))
    assert served.out == [(n, whole[n]) for n in range(482_751, last + 1)]
    assert served.counts()["lost"] == 0
    assert served.counts()["recovered"] == len(missing)
