"""What a live MoldUDP64 feed is put through: plays by seed, and what must come of them."""

import random
import time

import numpy as np

from tests.naive import mold
from tests.senders import Play, Sender
from workers.feeds.feed import EQUATIONS, FEED_COUNTERS
from workers.feeds.moldudp64 import MoldFeed, MoldOptions
from workers.records import EVENT, Event, empty

PATIENCE_S = 60.0  # no measure: a feed that hangs must not hang the tests


class Heard:
    """All that a feed gave until its session was over."""

    def __init__(self, options: MoldOptions, limit: int = 512) -> None:
        self.limit = limit
        self.counters = empty(FEED_COUNTERS, 1)
        self.feed = MoldFeed(options, self.counters.ctypes.data)
        self.out, self.parts = empty(EVENT, limit), []
        self.feed.open()

    def fill(self) -> int:
        count = self.feed.fill(self.out.ctypes.data, self.limit)
        self.parts.append(self.out[:count].copy())
        counts = self.counters[0]
        for left, right in EQUATIONS:
            assert sum(counts[name] for name in left) == sum(counts[name] for name in right)
        return count

    def until(self, over) -> None:
        """Fill until something holds."""
        give_up = time.monotonic() + PATIENCE_S
        while not over():
            assert time.monotonic() < give_up, (self.feed.lines, self.feed.arbiter)
            if not self.fill():
                time.sleep(0.0002)

    def to_the_end(self) -> "Heard":
        self.until(lambda: self.feed.finished)
        self.feed.close()
        return self

    @property
    def events(self) -> np.ndarray:
        return np.concatenate(self.parts)

    def count(self, name: str) -> int:
        return int(self.counters[0][name])

    def unspoilt(self) -> bool:
        """Whether this host itself dropped nothing."""
        return not any(line["dropped"] for line in self.feed.lines)


def plan(messages, seed, loss=0.0, twice=0.0, swap=0, start=0, pause=0.0, ending=True):
    """Packets of both lines by seed, as a Play has them, and the numbers that they carry."""
    draw = random.Random(seed)
    parts, place = [], start
    while place < len(messages):
        size = draw.randrange(1, 12)
        parts.append((place + 1, messages[place : place + size]))
        place += size
    sent, had = [], set(range(1, start + 1))
    for order, (number, part) in enumerate(parts):
        for line in (0, 1):
            lost = draw.random() < loss and order > 0
            for _ in range(0 if lost else 1 + (draw.random() < twice)):
                at = order + draw.random() * (swap if order > 0 else 0.1)
                sent.append((at, line, mold.packet(number, part)))
                had |= set(range(number, number + len(part)))
    packets = [(line, data, pause) for _, line, data in sorted(sent)]
    if ending:
        packets.insert(len(packets) // 2, (1, mold.packet(start + 1, 0), 0.0))
        packets += [(line, mold.packet(len(messages) + 1, mold.END), 0.0) for line in (0, 1)]
    return packets, had


def expected(messages, had, start=0, doubt=0) -> list[tuple]:
    """The events of the messages that were had, STALE where some are missing."""
    stream, missed = mold.Events(doubt=doubt), False
    for number, message in enumerate(messages[start:], start + 1):
        if number not in had:
            missed = True
            continue
        if missed:
            stream.gap()
        missed = False
        stream.message(message)
    if missed:
        stream.gap()
    return stream.found


def without_positions(events: np.ndarray) -> list[tuple]:
    """Events as the twins write them."""
    some = events[events["kind"] != Event.POSITION]
    fields = ["time_ns", "instrument", "kind", "side", "flags", "order", "other", "price"]
    return some[[*fields, "quantity"]].tolist()


def hear(sender: Sender, lines, messages, packets, served=None, late=False, limit=512, **options):
    """A feed opened, a play played, the feed heard to its end."""
    play = Play(lines, packets, messages, **(served or {}))
    request = f"127.0.0.1:{sender.server_port}" if served is not None else None
    heard = Heard(
        MoldOptions(
            lines=[f"{host}:{port}" for host, port in lines],
            request=request,
            from_start=None if late else request is not None,
            date="1970-01-01",
            **options,
        ),
        limit,
    )
    sender.play(play)
    heard.to_the_end()
    while not sender.done():
        time.sleep(0.001)
    return heard
