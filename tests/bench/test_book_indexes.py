import numpy as np
import pytest

from bench.book_indexes import DEEP_LEVELS, KINDS, Flow, day_of, deep_of
from bench.harness import BenchError
from workers.records import Event


def test_all_kinds_come_to_the_same_books(tmp_path):
    for events, symbols in ((day_of(3, 600, tmp_path), 3), (deep_of(600), 0)):
        flow = Flow(events, symbols, 1 << 11)
        for kind in KINDS:
            found = flow.run(kind)
            assert found["ns"] > 0
            assert found["bytes an order"] > 48
        assert flow.digest


def test_a_deep_book_keeps_its_depth_while_orders_come_and_go():
    events = deep_of(1001)
    deleted = events["order"][events["kind"] == Event.DELETE]
    added = events["order"][events["kind"] == Event.ADD]
    assert len(deleted) > 300
    assert len(np.unique(deleted)) == len(deleted)
    assert np.isin(deleted, added).all()
    assert len(np.unique(events["price"][events["kind"] == Event.ADD])) == 2 * min(
        DEEP_LEVELS, 1001 // 16
    )


def test_books_that_differ_are_refused(tmp_path):
    flow = Flow(deep_of(200), 0, 1 << 9)
    flow.run("sorted")
    flow.digest ^= 1
    with pytest.raises(BenchError, match="the books differ"):
        flow.run("tree")


def test_events_that_are_refused_prove_nothing():
    events = deep_of(200)
    events["price"][-1] = 0
    with pytest.raises(BenchError, match="1 events refused"):
        Flow(events, 0, 1 << 9).run("sorted")
