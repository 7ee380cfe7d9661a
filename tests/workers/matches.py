"""An engine in memory of the test's own, and everything that it says."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from tests.workers.books import Block
from workers.kernels import engine as block
from workers.kernels import matching, orderbook
from workers.kernels.engine import Settings
from workers.records import EVENT, REPORT, empty

EVENT_BYTES, REPORT_BYTES = EVENT.itemsize, REPORT.itemsize
WORDS = 8


@kernel
def run(engine, books, events, count, target, room):
    """Fold in events; write all that they give, as the stage would; return how many records."""
    written = 0
    for number in range(count):
        event = at(events + EVENT_BYTES * number, EVENT)
        matching.begin(engine, books, event)
        index = 0
        while matching.busy(engine):
            given = matching.step(engine, books)
            if written + given > room:
                return -1
            for output in range(given):
                report = at(target + REPORT_BYTES * written, REPORT)
                copy(target + REPORT_BYTES * written, block.output_at(engine, output))
                report.cause, report.time_ns, report.index = event.sequence, event.time_ns, 0
                written += 1
                index += 1
    return written


WORD = np.dtype((np.record, [("value", "i8")]))


@kernel
def copy(target, source):
    """Copy a record but its sequence."""
    for word in range(WORDS - 1):
        at(target + 8 * word, WORD).value = at(source + 8 * word, WORD).value


class Desk:
    """Books and an engine over them."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.limits = block.books_limits(settings)
        self.books = Block(orderbook.bytes_needed(self.limits))
        self.engine = Block(block.bytes_needed(settings))
        orderbook.create(self.books.address, self.limits)
        block.create(self.engine.address, self.books.address, settings)
        self.sequence = 0

    def run(self, events: np.ndarray, room: int = 0) -> np.ndarray:
        """Fold in events; all records that they gave."""
        room = room or 64 + 8 * len(events)
        target = empty(REPORT, room)
        events["sequence"] = np.arange(self.sequence, self.sequence + len(events))
        self.sequence += len(events)
        count = run(
            self.engine.address,
            self.books.address,
            events.ctypes.data,
            len(events),
            target.ctypes.data,
            room,
        )
        assert count >= 0
        return target[:count]
