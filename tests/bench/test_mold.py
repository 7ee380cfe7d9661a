"""The MoldUDP64 and ITCH benchmarks: what they send is the day, and every message is accounted."""

import numpy as np
import pytest

from bench import itch_parse, mold
from bench.harness import BenchError, Options, cores
from ringbuf.jit import compiled
from tests.naive import itch
from tests.naive import mold as naive
from workers.feeds.synthetic import SyntheticOptions, write_file

MESSAGES = 1_500 if compiled() else 400


@pytest.fixture
def day(tmp_path):
    path = tmp_path / "day.itch"
    write_file(SyntheticOptions(messages=MESSAGES, symbols=20), path)
    return path


def test_packets_carry_the_whole_day_in_order(day):
    data = day.read_bytes()
    raw, places, count = mold.packed(data)
    messages, number = [], 1
    for start, size in places:
        packet = raw[start : start + size].tobytes()
        assert size <= mold.PAYLOAD
        session, first, _, some = naive.parse(packet)
        assert (session, first) == (mold.SESSION, number)
        messages += some
        number += len(some)
    assert messages == itch.frames(data)
    assert count == len(messages) == MESSAGES


@pytest.mark.parametrize("lines", [1, 2])
def test_taking_apart_gives_every_message(day, lines):
    mold.load(str(day))
    assert mold.take_apart(str(day), lines)["ns"] > 0


def test_a_message_too_few_is_noticed(day):
    mold.load(str(day))
    held = mold.HELD[str(day)]
    held.places = np.delete(held.places, 1, axis=0)
    with pytest.raises(BenchError, match="not all messages"):
        mold.take_apart(str(day), 1)


@pytest.mark.skipif(cores(2)[-1].shared or not compiled(), reason="needs two cores, and speed")
def test_what_is_sent_is_received():
    over, apart = mold.run(Options(short=True, rounds=1))
    assert len(over.variants) == 2 * len(mold.RATES)
    for variant in over.variants:
        assert over.median(variant, "M/s") > 0
        assert over.median(variant, "lost %") < 100
    assert apart.median("2 lines", "ns") > 0


def test_the_decoder_alone_reads_the_day_both_ways(day):
    itch_parse.load(str(day))
    for exact in (False, True):
        assert itch_parse.measure(str(day), exact)["M/s"] > 0
    found = itch_parse.DAYS[str(day)].counters[0]
    assert found["messages"] == MESSAGES
    assert found["skipped_bytes"] == 0
