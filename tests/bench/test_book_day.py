import pytest

from bench import book_day, c_program
from bench.book import Size
from bench.harness import BenchError, Options
from ringbuf.jit import compiled

SIZE = Size(2_000, 20, 1_500) if compiled() else Size(300, 6, 300)


def test_all_kinds_come_to_the_books_of_the_c_program(monkeypatch):
    monkeypatch.setattr(book_day, "SHORT", SIZE)
    monkeypatch.setattr(book_day, "TINY", SIZE)
    result = book_day.run(Options(short=True))
    kinds = [book_day.name_of(kind) for kind in book_day.KINDS]
    assert result.variants == ["decode", *kinds, *book_day.c_names()]
    assert len(result.pairs) == len(kinds) - 1 + c_program.available()
    for kind in kinds:
        assert result.median(kind, "ns") > 0
        assert 48 <= result.median(kind, "bytes an order") < 80
        assert result.median(kind, "levels, bytes an order") > 0
    assert any("bytes for each order" in note for note in result.notes)


def test_a_folder_without_room_is_refused(tmp_path):
    with pytest.raises(BenchError, match="set TMPDIR"):
        book_day.check_room(str(tmp_path), Size(1 << 50, 1, 1))
