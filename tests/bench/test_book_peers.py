import pytest

from bench import book_peers, peer_books
from bench.harness import BenchError, Options


def test_ours_comes_to_what_the_events_leave_whichever_way_it_is_called():
    result = book_peers.run(Options(short=True))
    assert result.variants == [book_peers.OURS, book_peers.CALLED, *peer_books.installed()]
    for variant in (book_peers.OURS, book_peers.CALLED):
        assert result.median(variant, "ns") > 0
        assert result.median(variant, "one p50") <= result.median(variant, "one max")


def test_a_book_that_differs_is_refused():
    stream = book_peers.Stream(400)
    levels = stream.left[0]
    stream.check("one", 0, levels, levels[0])
    with pytest.raises(BenchError, match="two: the book differs"):
        stream.check("two", 0, levels[1:], levels[0])
    with pytest.raises(BenchError, match="three: the book differs"):
        stream.check("three", 0, None, (levels[0][0], levels[0][1] + 1))
