"""Views of rings that are kept in memory: a call from Python then hands over one address.

Unpacking a view's fields costs a call from Python about twice what the call itself does.
"""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.ring import Reader, Writer, push

READER_VIEW = record([(name, "i8") for name in Reader._fields])
PARCEL = record(
    [
        *((name, "i8") for name in Writer._fields),
        ("source", "i8"),  # address of the records to be pushed
        ("count", "i8"),
    ]
)


@kernel
def reader_at(address):
    """The reader's view that is kept at an address."""
    kept = at(address, READER_VIEW)
    size = kept["size"]  # as an attribute it would be numpy's own
    return Reader(kept.line, kept.slots, kept.stamps, kept.mask, size, kept.writer, kept.after)


@kernel
def push_kept(parcel, born):
    """ring.push() of what a PARCEL record says; its address."""
    kept = at(parcel, PARCEL)
    writer = Writer(kept.line, kept.slots, kept.stamps, kept.mask, kept["size"])
    return push(writer, kept.source, kept.count, born)


def keep(*readers: Reader) -> np.ndarray:
    """Views, one behind the other in memory."""
    return np.array([tuple(reader) for reader in readers], READER_VIEW)
