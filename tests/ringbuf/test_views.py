"""A kept view is the view, field by field; pushing through one is pushing."""

import numpy as np

from ringbuf.record import slot_record
from ringbuf.ring import Reader, Writer
from ringbuf.share import RingReader, RingWriter, create_ring
from ringbuf.views import keep, push_to, reader_at, writer_at

RECORD = slot_record([("value", "i8")])
LAYOUTS = {"record": (-1, RECORD)}


def test_what_is_kept_comes_back():
    writer, reader = Writer(1, 2, 3, 127, 64), Reader(5, 6, 7, 255, 128, 8, 9)
    kept, others = keep(writer, writer._replace(line=10)), keep(reader)
    size = kept.itemsize
    assert tuple(writer_at(kept.ctypes.data)) == tuple(writer)
    assert tuple(writer_at(kept.ctypes.data + size)) == (10, 2, 3, 127, 64)
    assert tuple(reader_at(others.ctypes.data)) == tuple(reader)


def test_pushing_through_a_kept_view(pipeline):
    create_ring(pipeline, "there", LAYOUTS, 128, ["reader"]).close()
    writer, reader = (
        RingWriter(pipeline, "there", LAYOUTS),
        RingReader(pipeline, "there", LAYOUTS, "reader"),
    )
    records = np.zeros(5, RECORD)
    records["value"] = np.arange(5)
    assert push_to(writer.kept.ctypes.data, records.ctypes.data, 5, 0) == 5
    assert reader.take(RECORD, 9)["value"].tolist() == [0, 1, 2, 3, 4]
