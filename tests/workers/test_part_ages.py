"""Part files go when they are too old, whole, and nothing that they held comes back."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from tests.naive.publisher import parquet
from tests.naive.stored_rows import RUN, book_records
from workers.sinks.parquet_file import ParquetOptions
from workers.sinks.part_ages import DAY_S, remove_old


def make_old(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "history" / "tops").iterdir())


def test_old_parts_go_and_what_they_held_is_not_asked_for_again(tmp_path):
    records = book_records(300, 3)
    sink = parquet(tmp_path, rows_per_file=100, keep_days=2.0)
    sink.open(RUN)
    sink.put("book", records[:100])
    sink.put("book", records[100:200])
    first, second = parts(tmp_path)
    for path in (tmp_path / "history").glob(f"*/{first}"):
        make_old(path, 3)
    for path in (tmp_path / "history").glob(f"*/{second}"):
        make_old(path, 1)
    sink.put("book", records[200:])
    left = parts(tmp_path)
    assert first not in left
    assert second in left
    assert len(left) == 2
    sink.close()
    again = parquet(tmp_path, rows_per_file=100, keep_days=2.0)
    again.open(RUN)
    assert again.resume("book") == 300
    again.close()


def test_only_part_files_of_the_ring_go(tmp_path):
    table = tmp_path / "tops"
    table.mkdir()
    names = ["book-1-2.parquet", "risk-1-2.parquet", "mine.parquet", "book.spool"]
    for name in names:
        (table / name).touch()
        make_old(table / name, 9)
    assert remove_old(tmp_path, "book", None) == 0
    assert remove_old(tmp_path, "book", 10.0) == 0
    assert remove_old(tmp_path, "book", 8.0) == 1
    assert sorted(path.name for path in table.iterdir()) == sorted(names[1:])


@pytest.mark.parametrize("days", [0, -1.0, 1e9])
def test_a_time_that_is_none_is_refused(days):
    with pytest.raises(msgspec.ValidationError, match=r"keep_days = .*: give more than 0"):
        msgspec.convert({"kind": "parquet", "path": "x", "keep_days": days}, ParquetOptions)
