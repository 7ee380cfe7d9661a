import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.record import (
    LINE,
    describe,
    from_description,
    layout_hash,
    layout_text,
    offset,
    record,
    slot_record,
)

FORMATS = ["<i8", "<i4", "<i2", "i1", "<f8", "<u4", "S5", "S16"]
SHAPES = [(), (1,), (3,), (2, 2)]
FIELDS = st.lists(st.tuples(st.sampled_from(FORMATS), st.sampled_from(SHAPES)), min_size=1).map(
    lambda kinds: [(f"field{place}", *kind) for place, kind in enumerate(kinds)]
)


@given(FIELDS)
@settings(deadline=None)
def test_a_slot_is_whole_lines_with_the_sequence_last(fields):
    dtype = slot_record(fields)
    body = np.dtype(fields, align=True)
    assert dtype.itemsize % LINE == 0
    assert dtype.itemsize - LINE < body.itemsize + 8 <= dtype.itemsize
    assert offset(dtype, "sequence") == dtype.itemsize - 8
    assert dtype["sequence"] == np.dtype("<i8")
    for name in body.names:
        assert offset(dtype, name) == offset(body, name)
        assert dtype[name] == body[name]


@given(FIELDS)
@settings(deadline=None)
def test_a_description_gives_the_layout_back(fields):
    for dtype in (slot_record(fields), record(fields)):
        assert from_description(describe(dtype)) == dtype


def test_elements_have_attributes_and_arrays_are_plain():
    things = np.zeros(3, record([("price", "i8"), ("levels", "i8", (4,))]))
    thing = things[1]
    thing.price = 7
    thing.levels[2] += 5
    assert things["price"].tolist() == [0, 7, 0]
    assert things["levels"][1].tolist() == [0, 0, 5, 0]
    assert type(things) is np.ndarray


def test_a_full_line_and_one_byte_more():
    assert slot_record([("body", "S56")]).itemsize == 64
    assert slot_record([("body", "S57")]).itemsize == 128


def test_the_hash_knows_names_kinds_types_and_places():
    base = [("price", "i8"), ("side", "i4")]
    texts = [
        layout_text({"trade": (1, slot_record(base))}),
        layout_text({"quote": (1, slot_record(base))}),
        layout_text({"trade": (2, slot_record(base))}),
        layout_text({"trade": (1, slot_record(base[::-1]))}),
        layout_text({"trade": (1, slot_record([("price", "u8"), ("side", "i4")]))}),
        layout_text({"trade": (1, slot_record([("price", "i8"), ("side", "i2")]))}),
        layout_text({"trade": (1, slot_record([("cost", "i8"), ("side", "i4")]))}),
        layout_text({"trade": (1, slot_record([*base, ("more", "S60")]))}),
    ]
    hashes = [layout_hash(text) for text in texts]
    assert len(set(hashes)) == len(texts)
    assert all(0 <= number < 1 << 63 for number in hashes)
    assert layout_hash(texts[0]) == layout_hash(layout_text({"trade": (1, slot_record(base))}))
