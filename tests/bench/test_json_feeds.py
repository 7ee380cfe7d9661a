"""The benchmark of exchanges' JSON: all ways see the same messages, and ours leaves none out."""

import pytest

from bench import json_feeds
from bench.harness import BenchError
from bench.json_feeds import DECODED, OURS, PLAIN, STREAMS, decimals, load, measure
from ringbuf.jit import compiled

COUNT = 500 if compiled() else 50


@pytest.mark.parametrize("name", sorted(json_feeds.MADE_UP))
def test_made_up_messages_are_all_good(name):
    assert load(name, "", COUNT) == COUNT
    stream = STREAMS[name]
    events = stream.events()
    counters = stream.counters[0]
    assert events >= COUNT
    assert stream.decoded() == COUNT
    assert stream.plain() >= 2 * COUNT
    for what in ("gaps", "bad_values", "bad_frames", "unknown", "ignored"):
        assert counters[what] == 0
    for what in (OURS, DECODED, PLAIN):
        assert measure(name, what)["messages/s"] > 0


def test_decimals_are_made_of_numbers_in_arrays_only():
    value = {"b": [["61737.63", "0.5"], ["x", "1"]], "e": "5", "t": [1, [["2"]]]}
    assert decimals(value) == 4


def test_messages_that_give_nothing_are_no_bench(tmp_path):
    (tmp_path / "capture").write_bytes(b"1700000000.5: {}\n" * 10)
    with pytest.raises(BenchError, match="hardly a message"):
        load("Kraken", str(tmp_path / "capture"), 10)
