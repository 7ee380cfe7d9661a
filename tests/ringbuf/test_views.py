"""A kept view is the view, field by field; a parcel is pushed as it says."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.record import slot_record
from ringbuf.ring import STAMP, Reader, stamp
from ringbuf.share import RingReader, RingWriter, create_ring
from ringbuf.views import PARCEL, keep, push_kept, reader_at

RECORD = slot_record([("value", "i8")])
LAYOUTS = {"record": (-1, RECORD)}


def test_what_is_kept_comes_back():
    first = Reader(5, 6, 7, 255, 128, 8, 9)
    second = first._replace(line=10)
    kept = keep(first, second)
    assert tuple(reader_at(kept.ctypes.data)) == tuple(first)
    assert tuple(reader_at(kept.ctypes.data + kept.itemsize)) == tuple(second)


def test_a_parcel_is_pushed_as_it_says(pipeline):
    create_ring(pipeline, "there", LAYOUTS, 128, ["reader"]).close()
    writer = RingWriter(pipeline, "there", LAYOUTS)
    reader = RingReader(pipeline, "there", LAYOUTS, "reader")
    records = np.zeros(5, RECORD)
    records["value"] = np.arange(5)
    parcel = np.array((*writer.view, records.ctypes.data, 3), PARCEL)
    assert push_kept(parcel.ctypes.data, 77) == 3
    assert reader.take(RECORD, 9)["value"].tolist() == [0, 1, 2]
    assert int(at(int(stamp(reader.view, 3)), STAMP).born) == 77
