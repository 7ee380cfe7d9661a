"""Many writers, one reader: a ring for each writer, polled in turns.

Writers share nothing, so none waits for another and one that dies in the middle of a record holds
nobody up. No ring is passed over: after a ring was served it is the last to be looked at.

    address -> | POLLER | READER_VIEW x count |
"""

from collections.abc import Sequence

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.ring import awaited, ended, next_unread
from ringbuf.share import RingReader
from ringbuf.views import READER_VIEW, keep, reader_at

POLLER = record(
    [
        ("count", "i8"),  # rings
        ("turn", "i8"),  # the ring that is looked at first
    ]
)
VIEWS_AT, VIEW_SIZE = POLLER.itemsize, READER_VIEW.itemsize


@kernel
def poll(poller):
    """The number of the next ring that has a record, in turns; -1 where none has."""
    header = at(poller, POLLER)
    for step in range(header.count):
        number = (header.turn + step) % header.count
        reader = reader_at(poller + VIEWS_AT + number * VIEW_SIZE)
        if awaited(reader, next_unread(reader)):
            header.turn = number + 1
            return number
    return -1


@kernel
def all_ended(poller):
    """True when nothing will come on any ring."""
    for number in range(at(poller, POLLER).count):
        reader = reader_at(poller + VIEWS_AT + number * VIEW_SIZE)
        if not ended(reader, next_unread(reader)):
            return False
    return True


class Poller:
    """Several readers as one. `address` is what kernels take."""

    def __init__(self, readers: Sequence[RingReader]) -> None:
        self.readers = tuple(readers)
        self.memory = np.zeros(VIEWS_AT + len(self.readers) * VIEW_SIZE, np.uint8)
        self.address = self.memory.ctypes.data
        self.memory[: POLLER.itemsize].view(POLLER)["count"] = len(self.readers)
        views = keep(*(reader.view for reader in self.readers))
        self.memory[VIEWS_AT:] = views.view(np.uint8)

    def take(self, dtype: np.dtype, limit: int) -> tuple[RingReader | None, np.ndarray]:
        """The next ring in turn that has records, and up to `limit` of them, in place.

        (None, none) where no ring has any. Release them to that reader before the next call.
        """
        for reader in self.readers:
            reader.refresh()
        number = int(poll(self.address))
        if number < 0:
            return None, np.zeros(0, dtype)
        return self.readers[number], self.readers[number].take(dtype, limit)

    @property
    def ended(self) -> bool:
        """True when every writer is done and everything has been read."""
        return bool(all_ended(self.address))
