import os
import signal

import numpy as np
import pytest

from ringbuf import board, memory
from ringbuf.board import Board, create_board
from ringbuf.memory import SegmentError
from ringbuf.record import slot_record
from tests.interleave import interleave, load_relaxed, plain, store_relaxed
from tests.ringbuf.segments import dying, in_child

QUOTE = slot_record([("bid", "i8"), ("ask", "i8"), ("sizes", "i4", (4,))])
SIZE = 24  # two words and the version: the smallest row that can be torn
WRITES = 5
SEEDS = 400


@pytest.fixture
def quotes(pipeline):
    return create_board(pipeline, "tops", "quote", QUOTE, 3)


def quote(bid):
    value = np.zeros(1, QUOTE)
    value["bid"], value["ask"], value["sizes"] = bid, bid + 1, bid % 1000
    return value


def test_rows_start_as_zeros_and_keep_what_was_put(pipeline, quotes):
    writer, reader = Board(pipeline, "tops", writable=True), Board(pipeline, "tops")
    assert reader.dtype == QUOTE
    assert reader.all().tobytes() == bytes(3 * QUOTE.itemsize)
    for number in (2, 0):
        writer.put(number, quote(100 + number))
    rows = reader.all()
    assert rows["bid"].tolist() == [100, 0, 102]
    assert rows["ask"].tolist() == [101, 0, 103]
    assert rows["sizes"].tolist() == [[100] * 4, [0] * 4, [102] * 4]


def test_the_version_is_twice_the_number_of_writes(pipeline, quotes):
    writer = Board(pipeline, "tops", writable=True)
    for times in range(1, 6):
        writer.put(1, quote(times))
        assert int(writer.row(1)["sequence"][0]) == 2 * times


def test_a_row_is_a_copy(pipeline, quotes):
    writer = Board(pipeline, "tops", writable=True)
    before = writer.row(0)
    writer.put(0, quote(5))
    assert before["bid"][0] == 0


def test_only_one_process_writes(pipeline, quotes):
    writer = Board(pipeline, "tops", writable=True)
    with pytest.raises(SegmentError, match="its writer already"):
        Board(pipeline, "tops", writable=True)
    writer.close()
    Board(pipeline, "tops", writable=True).close()


def test_a_look_cannot_write(pipeline, quotes):
    with pytest.raises(AssertionError):
        Board(pipeline, "tops").put(0, quote(1))


@pytest.mark.parametrize("number", [-1, 3])
def test_a_row_that_is_not_there_is_refused(pipeline, quotes, number):
    with pytest.raises(AssertionError):
        Board(pipeline, "tops").row(number)


def test_a_row_left_half_written_is_an_error_until_its_writer_is_back(pipeline, quotes):
    def die_in_mid_row():
        writer = Board(pipeline, "tops", writable=True)
        board.begin(writer.address, writer.size)
        os.kill(os.getpid(), signal.SIGKILL)

    assert dying(die_in_mid_row) == -signal.SIGKILL
    reader = Board(pipeline, "tops")
    with pytest.raises(SegmentError, match=r"row 0 stayed half written; its writer has died"):
        reader.row(0)
    assert reader.row(1)["bid"][0] == 0
    writer = Board(pipeline, "tops", writable=True)
    writer.put(0, quote(9))
    assert reader.row(0).tobytes() == writer.row(0).tobytes()
    assert (int(reader.row(0)["bid"][0]), int(reader.row(0)["sequence"][0])) == (9, 2)


def test_rows_are_whole_while_another_process_writes_them(pipeline, quotes):
    def write_for_ever():
        writer = Board(pipeline, "tops", writable=True)
        bid = 0
        while True:
            bid += 1
            writer.put(bid % 3, quote(bid))

    reader = Board(pipeline, "tops")
    seen = set()
    with in_child(write_for_ever):
        while len(seen) < 300:
            rows = reader.all()
            for row in rows:
                expected = quote(int(row["bid"])) if row["bid"] else np.zeros(1, QUOTE)
                assert row["ask"] == expected["ask"][0]
                assert row["sizes"].tolist() == expected["sizes"][0].tolist()
            seen.update(rows["bid"].tolist())


class Story:
    """One row, its writer, who may be killed, and two readers."""

    def __init__(self, rows):
        self.rows, rows.TRIES = rows, 3
        self.memory = np.zeros(SIZE // 8, np.int64)
        self.row = self.memory.ctypes.data
        self.finished = self.begun = self.seen = 0
        self.read_after_end = [0, 0]

    def write(self, life):
        while self.finished < WRITES:
            value = self.finished + 1
            self.rows.begin(self.row, SIZE)
            self.begun = value
            store_relaxed(self.row, value)
            store_relaxed(self.row + 8, value * 1000)
            self.rows.finish(self.row, SIZE)
            self.finished = value

    def read(self, number):
        def actor(life):
            copy = np.zeros(SIZE // 8, np.int64)
            last = 0
            while last < WRITES:
                if self.rows.read(self.row, SIZE, copy.ctypes.data):
                    words = range(copy.ctypes.data, copy.ctypes.data + SIZE, 8)
                    value, thousandfold, version = map(load_relaxed, words)
                    assert thousandfold == 1000 * value, "torn"
                    assert version == 2 * value
                    assert last <= value
                    last = value
                    self.seen += 1

        return actor

    def play(self, seed, reorder):
        crashes = {} if seed % 3 == 0 else {0: 1 + seed % 20}
        interleave(seed, self.write, self.read(0), self.read(1), crashes=crashes, reorder=reorder)
        assert load_relaxed(self.row + SIZE - 8) == 2 * WRITES


def explore(rows):
    seen = 0
    for seed in range(SEEDS):
        for reorder in (False, True):
            story = Story(rows)
            story.play(seed, reorder)
            seen += story.seen
    return seen


def test_no_order_shows_a_torn_row():
    assert explore(plain("ringbuf.board")) > 3 * SEEDS


FLAWS = {
    "not marked": [("load_relaxed(row + size - 8) | 1)", "load_relaxed(row + size - 8))")],
    "marked with no fence": [("    fence_release()\n", "")],
    "a killed writer's mark turned round": [("- 8) | 1)", "- 8) + 1)")],
    "shown with no order": [("store_release(row + size - 8", "store_relaxed(row + size - 8")],
    "read while marked": [("if version & 1 == 0", "if True")],
    "not looked at again": [("if load_relaxed(row + size - 8) == version", "if True")],
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_the_protocol_is_found(flaw):
    with pytest.raises(AssertionError):
        explore(plain("ringbuf.board", *FLAWS[flaw]))


def test_another_kind_of_segment_is_no_board(pipeline):
    memory.create(pipeline, "tops", "ring", 64, "{}")
    with pytest.raises(SegmentError, match="holds a ring, not a board"):
        Board(pipeline, "tops")


def test_the_rows_of_a_board_that_nobody_else_sees_are_shown_on_another(pipeline, quotes):
    """All that were ever written; the others stay, and one left half written is mended."""
    create_board(pipeline, "aside", "quote", QUOTE, 3).close()
    aside, shown = Board(pipeline, "aside", writable=True), Board(pipeline, "tops", writable=True)
    for number in range(3):
        shown.put(number, quote(100 + number))
    aside.put(0, quote(7))
    aside.put(1, quote(8))
    aside.put(1, quote(9))
    board.begin(shown.address + shown.size, shown.size)  # whoever wrote row 1 died here
    board.renew(aside.address, shown.address, 3, shown.size)
    rows = shown.all()
    assert rows["bid"].tolist() == [7, 9, 102]
    assert rows["sizes"].tolist() == [[7] * 4, [9] * 4, [102] * 4]
    assert rows["sequence"].tolist() == [4, 4, 2]  # even again, and later than before
