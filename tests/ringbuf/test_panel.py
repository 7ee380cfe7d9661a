import json
import os
import signal
import time

import numpy as np
import pytest

from ringbuf import histogram, panel
from ringbuf.atomics import at
from ringbuf.host import start_time
from ringbuf.memory import SegmentError
from ringbuf.panel import Command, Life, Panel, create_panel, panel_text
from ringbuf.record import record
from tests.ringbuf.segments import dying

TAKEN = record([("read", "i8"), ("applied", "i8"), ("refused", "i8", (3,))])
GIVEN = record([("written", "i8")])
EQUATIONS = [
    (["taken.read"], ["taken.applied", "taken.refused"]),
    (["taken.applied"], ["given.written"]),
]
TEXT = panel_text({"taken": TAKEN, "given": GIVEN}, ["hop", "age"], EQUATIONS)


@pytest.fixture
def stage(pipeline):
    create_panel(pipeline, "book", TEXT).close()
    return pipeline, "book"


def test_blocks_have_lines_of_their_own():
    text = json.loads(TEXT)
    places = [block["at"] for block in text["counters"].values()] + [*text["histograms"].values()]
    sizes = [TAKEN.itemsize, GIVEN.itemsize, *(2 * [histogram.HISTOGRAM.itemsize])]
    assert places == sorted(places)
    assert all(place % panel.GRAIN == 0 for place in places)
    ends = [place + size for place, size in zip(places, sizes, strict=True)]
    assert all(end <= start for end, start in zip(ends, [*places[1:], text["size"]], strict=True))
    command = panel._aligned(panel.STATUS.itemsize)
    assert command + panel.COMMAND.itemsize <= places[0]


def test_what_the_stage_counts_others_read_with_no_code_of_its(stage):
    own = Panel(*stage, own=True)
    look = Panel(*stage)
    counters = at(own.counter_addresses["taken"], TAKEN)
    counters.read = 12
    counters.applied = 7
    counters.refused[:] = [1, 1, 3]
    assert {name: block.dtype for name, block in look.counters.items()} == {
        "taken": TAKEN,
        "given": GIVEN,
    }
    assert [look.value(name) for name in ("taken.read", "taken.refused")] == [12, 5]
    for value in (10, 20, 30):
        histogram.note(own.histogram_addresses["age"], value)
    assert look.summary("age").percentile(50) == 20
    assert look.summary("hop").count == 0


def test_the_equations_come_with_both_sums(stage):
    own = Panel(*stage, own=True)
    own.counters["taken"]["read"] = 12
    own.counters["taken"]["applied"] = 7
    own.counters["taken"]["refused"] = [1, 1, 3]
    own.counters["given"]["written"] = 6
    balance = Panel(*stage).balance()
    assert [(left, right) for _, left, right in balance] == [(12, 12), (7, 6)]
    assert [tuple(equation) for equation, *_ in balance] == EQUATIONS


def test_a_stage_lives_through_its_states_and_others_see_it(stage):
    own, look = Panel(*stage, own=True), Panel(*stage)
    assert look.life == Life.ABSENT
    before = time.time_ns()
    own.enter()
    assert look.life == Life.STARTING
    assert (int(look.status["pid"]), int(look.status["starts"])) == (os.getpid(), 1)
    assert int(look.status["start_time"]) == start_time(os.getpid())
    assert before <= int(look.status["started_ns"]) <= time.time_ns()
    for life in Life:
        own.live(life)
        assert look.life == life
    beaten = int(look.status["heartbeat_ns"])
    own.beat()
    assert beaten < int(look.status["heartbeat_ns"]) <= time.monotonic_ns()


def test_every_restart_is_counted_and_clears_the_message(stage):
    def start_and_die():
        own = Panel(*stage, own=True)
        own.enter()
        assert own.status["message"] == b""
        own.fail(ValueError("broken " + 300 * "x"))
        os.kill(os.getpid(), signal.SIGKILL)

    look = Panel(*stage)
    for starts in range(1, 4):
        assert dying(start_and_die) == -signal.SIGKILL
        assert int(look.status["starts"]) == starts
        assert look.life == Life.FAILED
        assert look.status["message"].decode().startswith("ValueError: broken xxx")
        assert len(look.status["message"]) == 256


def test_commands_reach_the_stage(stage):
    own, told = Panel(*stage, own=True), Panel(*stage, command=True)
    assert own.told == Command.RUN
    told.tell(Command.STOP)
    assert own.told == Panel(*stage).told == Command.STOP
    told.tell(Command.RUN)
    assert own.told == Command.RUN


def test_a_panel_has_one_owner_and_any_number_that_give_commands(stage):
    own = Panel(*stage, own=True)
    with pytest.raises(SegmentError, match="its owner already"):
        Panel(*stage, own=True)
    for _ in range(3):
        Panel(*stage, command=True).tell(Command.STOP)
    own.close()
    Panel(*stage, own=True).close()


@pytest.mark.parametrize(
    "act",
    [
        lambda look: look.tell(Command.STOP),
        lambda look: look.live(Life.RUNNING),
        lambda look: look.beat(),
        lambda look: look.enter(),
    ],
)
def test_a_look_cannot_write(stage, act):
    with pytest.raises((AssertionError, ValueError)):
        act(Panel(*stage))


def test_a_panel_that_does_not_exist(pipeline):
    with pytest.raises(SegmentError, match=r"panel\.book: does not exist"):
        Panel(pipeline, "book")


def test_the_clock_travels_in_the_panel(stage):
    own, look = Panel(*stage, own=True), Panel(*stage)
    own.status["clock"]["ns_per_cycle"] = 0.385
    assert float(look.status["clock"]["ns_per_cycle"]) == 0.385
    assert np.shares_memory(look.status["clock"], look.segment.bytes)


def test_outcomes_are_shown_as_they_are_noted(stage):
    own, look = Panel(*stage, own=True), Panel(*stage)
    assert look.outcomes == []
    own.note([("core 1", "core 1", ""), ("bind 7", "default", "EINVAL: kein „Knoten“")])
    assert look.outcomes == [
        ("core 1", "core 1", ""),
        ("bind 7", "default", "EINVAL: kein „Knoten“"),
    ]
    own.note([])
    assert look.outcomes == []


@pytest.mark.parametrize(("letter", "count"), [("x", 6), ("ä", 6), ('"', 6), ("x", 40)])
def test_outcomes_that_are_too_long_are_cut(stage, letter, count):
    own, look = Panel(*stage, own=True), Panel(*stage)
    own.note([(letter * 1000, f"{letter}got", "")] * count)
    shown = look.outcomes
    assert len(shown) == count
    assert shown == [(letter * len(shown[0][0]), shown[0][1], "")] * count
    assert look.life is Life.ABSENT  # nothing beside it was written
    assert len(shown[0][0]) < 1000
