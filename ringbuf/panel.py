"""A stage's panel: what it shows of itself in shared memory, and the words it is told.

    +--------+--------------------------+------------------------------
    | STATUS | counters, one block each | histograms, one by name
    +--------+--------------------------+------------------------------

The stage writes its panel and never talks to those who read it. The one word that others write
is `command`. The text of the segment names the counters, the histograms and the equations that
the counters must obey, so `status`, `top` and an exporter need to know nothing of the stage.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from ringbuf import memory
from ringbuf.atomics import load_acquire, store_release
from ringbuf.clock import CLOCK
from ringbuf.histogram import HISTOGRAM, Summary
from ringbuf.host import start_time
from ringbuf.memory import WRITER as WRITER_ROLE
from ringbuf.memory import Segment
from ringbuf.record import describe, from_description, offset, record

KIND = "panel"
GRAIN = 128  # blocks start on lines of their own


class Life(IntEnum):
    """What a stage is doing."""

    ABSENT = 0
    STARTING = 1
    READY = 2  # could run, and is held until all others are ready
    RUNNING = 3
    DRAINING = 4  # told to stop: takes nothing new, hands on what it has
    FINISHED = 5  # has handed on everything and left
    FAILED = 6
    HELD = 7  # ended because it was told to; its neighbours wait for it


class Command(IntEnum):
    """What a stage is told."""

    RUN = 0
    STOP = 1
    HOLD = 2  # get ready, but do not begin
    # What the supervisor does with the stage, which itself knows nothing of it.
    PAUSE = 3  # end it; its neighbours wait until it is told to run again
    EMPTY = 4  # the same, once it has read what its rings hold
    RESTART = 5  # end it and start it again


OUTCOME_BYTES = 2048
OUTCOME_TEXTS = (300, 100, 40, 0)  # letters of a text, where all of them would not fit

STATUS = record(
    [
        ("life", "i8"),
        ("pid", "i8"),
        ("start_time", "i8"),
        ("heartbeat_ns", "i8"),  # CLOCK_MONOTONIC of the last look up from work
        ("started_ns", "i8"),  # wall clock
        ("ready_ns", "i8"),  # wall clock
        ("turns", "i8"),
        ("idle_turns", "i8"),  # turns that found nothing to do
        ("starts", "i8"),  # 1, and one more for each restart
        ("core", "i8"),  # where it really runs; -1: anywhere
        ("node", "i8"),
        ("rss_bytes", "i8"),  # resident memory when it left; while it lives, ask the kernel
        ("wait", "S16"),
        ("message", "S256"),  # why it failed
        ("clock", CLOCK),
        ("outcomes", f"S{OUTCOME_BYTES}"),  # JSON: what was asked of the host and what was got
    ]
)
COMMAND = record([("command", "i8"), ("spare", "i8", (15,))])
LIFE = offset(STATUS, "life")
HEARTBEAT = offset(STATUS, "heartbeat_ns")

Equation = tuple[Sequence[str], Sequence[str]]
Outcome = tuple[str, str, str]  # asked, got, why they differ (empty where they do not)


def _aligned(size: int) -> int:
    return -(-size // GRAIN) * GRAIN


def panel_text(
    counters: Mapping[str, np.dtype], histograms: Sequence[str], equations: Sequence[Equation]
) -> str:
    """What a panel says of itself: its blocks with their places, and its equations.

    An equation is two lists of "block.field" names whose sums must be equal at rest.
    """
    place = _aligned(STATUS.itemsize) + _aligned(COMMAND.itemsize)
    blocks: dict[str, dict] = {}
    for name, dtype in counters.items():
        blocks[name] = {"at": place, **describe(dtype)}
        place += _aligned(dtype.itemsize)
    places = {}
    for name in histograms:
        places[name] = place
        place += _aligned(HISTOGRAM.itemsize)
    return json.dumps(
        {"counters": blocks, "histograms": places, "equations": equations, "size": place}
    )


def create_panel(pipeline: str, stage: str, text: str) -> Segment:
    """Make a stage's panel from its text."""
    return memory.create(pipeline, f"panel.{stage}", KIND, json.loads(text)["size"], text)


class Panel:
    """A stage's panel, as the stage itself holds it or as others see it."""

    def __init__(self, pipeline: str, stage: str, own: bool = False, command: bool = False) -> None:
        self.stage = stage
        self.segment = memory.attach(pipeline, f"panel.{stage}", KIND, writable=own or command)
        if own:
            self.segment.hold(WRITER_ROLE, "owner")
        text = self.segment.text
        payload = self.segment.payload
        self.status = payload[: STATUS.itemsize].view(STATUS)[0]
        self.command_address = self.segment.address + _aligned(STATUS.itemsize)
        self.counters = {
            name: _block(payload, block["at"], from_description(block))
            for name, block in text["counters"].items()
        }
        self.counter_addresses = {
            name: self.segment.address + block["at"] for name, block in text["counters"].items()
        }
        self.histograms = {
            name: _block(payload, place, HISTOGRAM) for name, place in text["histograms"].items()
        }
        self.histogram_addresses = {
            name: self.segment.address + place for name, place in text["histograms"].items()
        }
        self.equations: list[Equation] = text["equations"]

    def enter(self) -> None:
        """Sign in as the stage's living process."""
        status = self.status
        status["pid"], status["start_time"] = os.getpid(), start_time(os.getpid())
        status["started_ns"], status["starts"] = time.time_ns(), status["starts"] + 1
        status["message"] = b""
        self.beat()
        self.live(Life.STARTING)

    def live(self, life: Life) -> None:
        """Show what the stage is doing now."""
        assert self.segment.writable
        store_release(self.segment.address + LIFE, int(life))

    def fail(self, error: BaseException) -> None:
        """Show why the stage could not go on."""
        self.status["message"] = f"{type(error).__name__}: {error}".encode()[:256]
        self.live(Life.FAILED)

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Show what the stage asked of the host, and what it got; long texts are cut."""
        for length in OUTCOME_TEXTS:
            cut = [[text[:length] for text in outcome] for outcome in outcomes]
            encoded = json.dumps(cut, ensure_ascii=False).encode()
            if len(encoded) <= OUTCOME_BYTES:
                break
        assert len(encoded) <= OUTCOME_BYTES, f"{len(outcomes)} outcomes"
        self.status["outcomes"] = encoded

    @property
    def outcomes(self) -> list[Outcome]:
        """What the stage asked of the host, and what it got."""
        text = bytes(self.status["outcomes"])
        return [(asked, got, why) for asked, got, why in json.loads(text or b"[]")]

    def beat(self) -> None:
        """Show that the stage's process still turns."""
        assert self.segment.writable
        store_release(self.segment.address + HEARTBEAT, time.monotonic_ns())

    @property
    def life(self) -> Life:
        return Life(load_acquire(self.segment.address + LIFE))

    @property
    def told(self) -> Command:
        """The command that stands."""
        return Command(load_acquire(self.command_address))

    def tell(self, command: Command) -> None:
        """Give the stage a command."""
        assert self.segment.writable
        store_release(self.command_address, int(command))

    def summary(self, histogram: str) -> Summary:
        return Summary(self.histograms[histogram])

    def value(self, name: str) -> int:
        """A counter by "block.field"; an array of counters counts as its sum."""
        block, field = name.split(".")
        return int(np.sum(self.counters[block][field]))

    def balance(self) -> list[tuple[Equation, int, int]]:
        """Every equation with the sums of its two sides."""
        return [
            ((left, right), sum(map(self.value, left)), sum(map(self.value, right)))
            for left, right in self.equations
        ]

    def close(self) -> None:
        self.segment.close()


def _block(payload: np.ndarray, place: int, dtype: np.dtype) -> np.ndarray:
    return payload[place : place + dtype.itemsize].view(dtype)[0]
