import numpy as np

from bench import book_rings
from bench.book import Size
from bench.harness import Options
from ringbuf import memory
from ringbuf.jit import compiled

SIZE = Size(2_000, 20, 1 << 10) if compiled() else Size(300, 6, 1 << 9)


def test_everything_comes_through_the_rings_at_full_speed_and_under_a_pace(monkeypatch):
    monkeypatch.setattr(book_rings, "SHORT", SIZE)
    monkeypatch.setattr(book_rings, "TINY", SIZE)
    full, paced = book_rings.run(Options(short=True, rounds=1))
    for variant in full.variants:
        assert full.median(variant, "rate") > 0
        assert 0 < full.median(variant, "out") < 3
        ages = [paced.median(variant, name) for name in book_rings.PERCENTS]
        assert ages == sorted(ages)
        assert np.isfinite(paced.median(variant, "of rate"))


def test_no_memory_is_left_behind():
    with book_rings.joined(128, 4) as name:
        assert memory.names(name)
    assert not memory.names(name)
