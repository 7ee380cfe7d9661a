"""Views of rings that are kept in memory: a call from Python then hands over one address.

Unpacking a view's fields costs a call from Python about twice what the call itself does.
"""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.ring import Reader, Writer, push

WRITER_VIEW = record([(name, "i8") for name in Writer._fields])
READER_VIEW = record([(name, "i8") for name in Reader._fields])


@kernel
def writer_at(address):
    """The writer's view that is kept at an address."""
    kept = at(address, WRITER_VIEW)
    size = kept["size"]  # as an attribute it would be numpy's own
    return Writer(kept.line, kept.slots, kept.stamps, kept.mask, size)


@kernel
def reader_at(address):
    """The reader's view that is kept at an address."""
    kept = at(address, READER_VIEW)
    size = kept["size"]
    return Reader(kept.line, kept.slots, kept.stamps, kept.mask, size, kept.writer, kept.after)


@kernel
def push_to(kept, source, count, born):
    """ring.push() on the writer whose view is kept at an address."""
    return push(writer_at(kept), source, count, born)


def keep(*views: Writer | Reader) -> np.ndarray:
    """Views of one kind, one behind the other in memory."""
    dtype = WRITER_VIEW if isinstance(views[0], Writer) else READER_VIEW
    return np.array([tuple(view) for view in views], dtype)
