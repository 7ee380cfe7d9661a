"""The ends of rings, seen to by one who is neither their writer nor their reader."""

import pytest

from pipeline import ends, launch, plan
from pipeline.config import load
from pipeline.report import collect
from ringbuf.ring import claim, slot
from ringbuf.share import RingReader, RingWriter
from tests.pipeline.desks import records
from tests.pipeline.running import portfolios
from tuning import topology


@pytest.fixture
def made(place):
    """The plan of a pipeline whose memory is there, and no process."""
    config = load(place.write(risk=portfolios(), publisher=place.history(), rings={"book": 128}))
    planned = plan.make(config, topology.read())
    launch.create(planned).close()
    yield planned
    launch.remove(place.name)


def writer_of(made) -> RingWriter:
    return RingWriter(made.pipeline, "book", plan.LAYOUTS["book"])


def reader_of(made, name: str) -> RingReader:
    return RingReader(made.pipeline, "book", plan.LAYOUTS["book"], name)


def read(reader: RingReader) -> list[int]:
    seen = []
    while len(taken := reader.take(plan.LAYOUTS["book"]["top"][1], 1000)):
        seen += taken["sequence"].tolist()
        reader.release(seen[-1])
    return seen


def test_nobody_waits_for_a_reader_that_is_retired(made):
    writer = writer_of(made)
    assert writer.push(records("top", 200)) == 128
    assert read(reader_of(made, "risk")) == list(range(1, 129))
    assert writer.push(records("top", 1)) == 0
    ends.retire(made.pipeline, "book", "nobody")
    assert writer.push(records("top", 1)) == 0
    ends.retire(made.pipeline, "book", "publisher")
    assert writer.push(records("top", 50)) == 50


def test_a_ring_is_closed_behind_the_last_whole_record(made):
    """Also where the writer died before it could note what it had published."""
    writer, reader = writer_of(made), reader_of(made, "risk")
    writer.push(records("top", 30))
    writer.line["written"] = 20
    claim(writer.view, 31)
    writer.segment.close()
    assert not reader.ended
    ends.close(made.pipeline, "book")
    assert not reader.ended
    assert read(reader) == list(range(1, 31))
    assert reader.ended
    assert slot(reader.view, 31) > 0


def test_whether_some_stages_have_read_what_there_was(made):
    writer = writer_of(made)
    assert ends.have_read(made, ["risk", "publisher"], ends.written(made))
    writer.push(records("top", 10))
    marks = ends.written(made)
    assert marks["book"] == 10
    assert marks["events"] == marks["risk"] == 0
    assert not ends.have_read(made, ["risk"], marks)
    assert ends.have_read(made, ["book", "ingest"], marks)  # they read another ring
    read(reader_of(made, "risk"))
    writer.push(records("top", 10))  # what came later is not asked for
    assert ends.have_read(made, ["risk"], marks)
    assert not ends.have_read(made, ["risk", "publisher"], marks)
    assert not ends.have_read(made, ["risk"], ends.written(made))


def test_what_is_left_over_is_told_by_its_way(made):
    writer = writer_of(made)
    writer.push(records("top", 10))
    reader_of(made, "risk").release(4)
    left = ends.left_over(collect(made.pipeline))
    assert left == {"book -> risk": 6, "book -> publisher": 10}
