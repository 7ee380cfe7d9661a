"""Ground truth: real market files through real processes, against the exchange's own books."""

import gzip
import re

import pytest

from tests.data import data_file
from tests.pipeline.running import corelane, lines

DAY = "AAPL_2012-06-21_34200000_57600000"
MESSAGES, BOOK = f"lobster/{DAY}_message_10.csv", f"lobster/{DAY}_orderbook_10.csv"
FIRST_BOOK = f"lobster/{DAY}_orderbook_1.csv.gz"
LINE = re.compile(r"(lobster|itch) (\S+) matched (\d+) of (\d+), undecidable (\d+)")
COUNTS = "A 4997 D 1745 E 198 F 3 H 3 P 5000 R 3 S 6 U 12 X 45"


def verdict(ran) -> tuple:
    """Source, symbol, matched, total, undecidable of the one line that says so."""
    (found,) = [match for line in lines(ran.out) if (match := LINE.fullmatch(line))]
    source, symbol, *numbers = found.groups()
    return source, symbol, *map(int, numbers)


def test_ten_levels_of_a_lobster_day():
    ran = corelane("verify", "lobster", data_file(MESSAGES), data_file(BOOK))
    assert ran.out == "lobster AAPL matched 998 of 998, undecidable 318\n"


@pytest.mark.parametrize(("row", "column"), [(3, 1), (500, 2), (997, 0)])
def test_a_truth_with_one_wrong_number_is_not_matched(tmp_path, row, column):
    rows = data_file(BOOK).read_text().splitlines()
    fields = rows[row].split(",")
    fields[column] = str(int(fields[column]) + 100)
    rows[row] = ",".join(fields)
    wrong = tmp_path / data_file(BOOK).name
    wrong.write_text("\n".join(rows) + "\n")
    ran = corelane("verify", "lobster", data_file(MESSAGES), wrong, code=1)
    source, symbol, matched, total, _ = verdict(ran)
    assert (source, symbol, total) == ("lobster", "AAPL", 998)
    assert matched < 998
    assert f"first fault: row {row + 1}: " in ran.err


def test_a_lobster_day_whose_book_does_not_go_with_it_row_by_row():
    messages = data_file("lobster/AAPL_2012-06-21_34200000_37800000_message_50.csv.gz")
    ran = corelane("verify", "lobster", messages, data_file(FIRST_BOOK))
    source, symbol, matched, total, undecidable = verdict(ran)
    assert (source, symbol) == ("lobster", "AAPL")
    assert matched == total
    assert matched + undecidable == 23_440
    assert undecidable < 50
    assert "presumed gone" in ran.err


def test_an_hour_of_itch():
    file = data_file("itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz")
    ran = corelane("verify", "itch", file, "--orderbook", data_file(FIRST_BOOK))
    assert lines(ran.out)[-1] == "itch AAPL matched 23440 of 23440, undecidable 0"


def test_an_hour_of_itch_that_lacks_an_order_is_not_matched(tmp_path):
    file = data_file("itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz")
    content = gzip.decompress(file.read_bytes())
    executed = content.index(b"\x00\x1fE")
    order = content[executed + 13 : executed + 21]
    added = content.index(order) - 13
    assert content[added : added + 3] == b"\x00\x24A"
    lacking = tmp_path / "AAPL_20120621.itch50"
    lacking.write_bytes(content[:added] + content[added + 38 :])
    ran = corelane("verify", "itch", lacking, "--orderbook", data_file(FIRST_BOOK), code=1)
    _, _, matched, total, _ = verdict(ran)
    assert matched < total


def test_counts_by_type_of_an_itch_file():
    file = data_file("itch/ex20101224_lenfixed.itch50.gz")
    ran = corelane("verify", "itch", file)
    assert ran.out == f"itch {file.name}: 12012 messages: {COUNTS}\n"


def test_an_itch_file_with_zeros_for_lengths():
    file = data_file("itch/ex20101224.TEST_ITCH_50.gz")
    strict = corelane("verify", "itch", file, code=1)
    assert "no message was recognised" in strict.err.replace("\n", " ")
    assert "lengths = by-type" in strict.err
    loose = corelane("verify", "itch", file, "--by-type")
    assert loose.out == f"itch {file.name}: 12012 messages: {COUNTS}\n"


def test_files_that_are_not_there(tmp_path):
    none = tmp_path / "AAPL_2012-06-21_message_1.csv"
    book = tmp_path / "AAPL_2012-06-21_orderbook_1.csv"
    book.write_text("1,1,1,1\n")
    for words in (("lobster", none, book), ("lobster", none, none), ("itch", none)):
        ran = corelane("verify", *words, code=None)
        assert ran.code in (1, 2)
        assert "cannot be opened" in ran.err
        assert ran.out == ""
