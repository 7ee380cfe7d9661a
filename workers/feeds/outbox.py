"""Events that wait to be handed to ingest, and what is to be counted when they are."""

import ctypes
import struct

import numpy as np

from ringbuf.atomics import at
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Event, Side, empty

SIZE = EVENT.itemsize
ROOM = 4096  # events, to begin with
LAYOUT = struct.Struct("<6qi4Bq")  # an EVENT, field by field
FIELDS = ("time_ns", "arrived_ns", "order", "other", "price", "quantity", "instrument", "kind",
          "side", "source", "flags", "sequence")  # fmt: skip
COUNTED = ("ignored", "bad_values", "unknown", "bad_frames", "skipped_bytes", "truncated",
           "duplicates", "gaps", "resyncs", "connects", "bytes")  # fmt: skip
DIRECTORY, NO_SIDE = int(Event.DIRECTORY), int(Side.NONE)
assert LAYOUT.size == SIZE
assert EVENT.names == FIELDS


class Outbox:
    """Events in their order; grows as far as the longest message needs.

    Counts are kept here while a call of `fill` lasts, and put into the shared record at its end,
    so that its equation holds whenever somebody looks: an event is counted when it is handed out,
    as announced, as what a message gave, or as a further one.
    """

    def __init__(self, counters: int) -> None:
        self.count = 0  # events that wait
        self._events = empty(EVENT, 0)
        self.announced = self.told = self.further = 0  # what those are
        self.tally = dict.fromkeys(COUNTED, 0)  # of FEED_COUNTERS, to be added
        self._counters = counters
        self._given = 0  # of the events that wait, handed out already
        self._make_room(ROOM)

    def _make_room(self, room: int) -> None:
        events = empty(EVENT, room)
        if self.count:
            events[: self.count] = self._events[: self.count]
        self._events, self._bytes = events, events.view(np.uint8).data
        self.address, self.room = events.ctypes.data, room

    def grow(self) -> None:
        """Have twice the room."""
        self._make_room(2 * self.room)

    @property
    def target(self) -> int:
        """Address of the next event."""
        return self.address + self.count * SIZE

    @property
    def left(self) -> int:
        """How many events fit in."""
        return self.room - self.count

    def put(
        self, kind, code, time_ns, order=0, other=0, price=0, quantity=0, side=NO_SIDE, flags=0
    ) -> None:
        """Add one event."""
        if self.count == self.room:
            self.grow()
        LAYOUT.pack_into(
            self._bytes, self.count * SIZE, time_ns, 0, order, other, price, quantity, code,
            kind, side, 0, flags, 0,
        )  # fmt: skip
        self.count += 1
        self.announced += kind == DIRECTORY

    def hand_out(self, target: int, limit: int) -> int:
        """Copy at most `limit` events to an address, and count all that is to be counted."""
        if not self.count and not any(self.tally.values()):
            return 0
        count = min(self.count - self._given, limit)
        ctypes.memmove(target, self.address + self._given * SIZE, count * SIZE)
        self._given += count
        if self._given == self.count:
            self._given = self.count = 0
        counters = at(self._counters, FEED_COUNTERS)
        announced = min(self.announced, count)
        told = min(self.told, count - announced)
        further = count - announced - told
        self.announced -= announced
        self.told -= told
        self.further -= further
        counters.announced += announced
        counters.further += further
        counters.events += count
        counters.messages += told + self.tally["ignored"] + self.tally["bad_values"]
        for name, number in self.tally.items():
            if number:
                counters[name] += number
                self.tally[name] = 0
        return count
