"""What the sink keeps of each record: 64 bits of all that is in it, whatever its place."""

import numpy as np

from ringbuf.atomics import store_relaxed
from ringbuf.chain import ROOT, link
from ringbuf.jit import kernel
from ringbuf.ring import arrived, next_unread, release, slot
from workers.hop import is_time_to_let_go


@kernel
def keep(reader, digests, limit):
    """Keep a digest of each record by its place, then let go of it; how many there were."""
    first = sequence = next_unread(reader)
    while sequence - first < limit and arrived(reader, sequence):
        digest = link(ROOT, 0, slot(reader, sequence), reader.size)
        store_relaxed(digests + 8 * sequence, digest)
        if is_time_to_let_go(sequence):
            release(reader, sequence)
        sequence += 1
    release(reader, sequence - 1)
    return sequence - first


@kernel
def digest(records, size, count, target):
    """The digests of records that lie one behind the other, as the sink keeps them."""
    for number in range(count):
        store_relaxed(target + 8 * number, link(ROOT, 0, records, size))
        records += size


def digests_of(records: np.ndarray) -> np.ndarray:
    """The digests of some records."""
    found = np.zeros(len(records), np.int64)
    records = np.ascontiguousarray(records)
    digest(records.ctypes.data, records.itemsize, len(records), found.ctypes.data)
    return found
