"""Real processes are killed by the hundred, and nobody outside notices.

The long campaign is `python -m tests.kills.main`.
"""

from pathlib import Path

import pytest

from ringbuf.board import Board
from ringbuf.jit import compiled
from ringbuf.journal_files import RECORDS, listed, path_of
from ringbuf.journal_reader import JournalError
from tests.kills import line as lines
from tests.kills.killer import Killer
from tests.kills.load import LAST_ORDER, day, events_of, resting
from tests.kills.main import main
from tests.kills.rounds import Round, play
from tests.kills.verdict import judge, plainly

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not compiled(), reason="it takes a thousand times as long to come back"),
]
KILLS, SPARE = 1_000, 50  # of the last some may find that everybody has ended
EXECS = 3
SHARE = 0.25  # of the kills find something half done
KEPT = 100  # a place on the book ring


@pytest.fixture(scope="module")
def block():
    return day()


def check(made: Round, kills: int) -> None:
    assert not made.wrong, made
    assert made.kills >= kills
    assert made.in_windows >= SHARE * kills
    assert all(count > 0 for count in made.counts.values())


def test_a_thousand_kills_go_unnoticed(block):
    made = play(block, 1, KILLS + SPARE, EXECS)
    check(made, KILLS)
    assert made.execs == EXECS
    assert all(fate.kills > KILLS // 20 for fate in made.fates.values()), made.fates
    assert made.fates["book"].found["published"] > 0
    assert made.fates["journal"].found["unreleased"] > 0
    assert made.fates["snapshot"].found["saving"] > 0


def test_what_comes_out_is_what_plain_python_makes_of_the_log(block):
    made = play(block, 2, 52, rate=1_500, durability="sync", oracle=plainly)
    check(made, 48)


def test_a_round_of_the_log_leaves_nothing_behind_and_no_two_are_alike(block):
    two = events_of(block, 1, 2 * len(block))
    assert resting(two) == {}
    assert two["sequence"].tolist() == [*range(1, 2 * len(block) + 1)]
    halves = two[: len(block)], two[len(block) :]
    first, second = (set(half["order"][half["kind"] <= LAST_ORDER]) for half in halves)
    assert not first & second


@pytest.fixture(scope="module")
def left(block, tmp_path_factory):
    """A line that has come to its end, after some kills, and whose verdict is good."""
    line = lines.Line(tmp_path_factory.mktemp("line"), block, 20_000, 1 << 20)
    killer = Killer(line, 3)
    try:
        line.warm()
        killer.campaign(20, 0)
        yield line
    finally:
        killer.close()
        line.close()


def told(line) -> dict[str, int]:
    counts, wrong = judge(line, line.written("events"))
    assert counts["book"] > KEPT
    return dict(wrong)


def test_a_verdict_is_good_where_nothing_is_wrong(left):
    assert told(left) == {}


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda kept: kept.__setitem__(KEPT, 0), {"lost": 1}),
        (lambda kept: kept.__setitem__(KEPT, kept[KEPT - 1]), {"doubled": 1}),
        (lambda kept: kept.__setitem__(KEPT, kept[KEPT + 1]), {"reordered": 1}),
        (lambda kept: kept.__setitem__(KEPT, kept[KEPT] ^ 1), {"torn": 1}),
    ],
    ids=["lost", "doubled", "reordered", "torn"],
)
def test_a_record_that_came_out_otherwise_is_told(left, spoil, wrong):
    kept = left.kept["book"]
    before = kept[KEPT]
    spoil(kept)
    try:
        assert told(left) == wrong
    finally:
        kept[KEPT] = before


def test_a_record_too_many_is_told(left):
    kept, place = left.kept["risk"], left.written("risk") + 1
    kept[place] = 1
    try:
        with pytest.raises(AssertionError, match="too many"):
            judge(left, left.written("events"))
    finally:
        kept[place] = 0


def test_a_counter_that_is_off_is_told(left):
    counters = left.panels["risk"].counters["risk"]
    counters["received"] += 1
    try:
        with pytest.raises(AssertionError, match="risk"):
            judge(left, left.written("events"))
    finally:
        counters["received"] -= 1


def test_a_board_that_differs_is_told(left):
    board = Board(left.name, "portfolios", writable=True)
    board.all()
    board.segment.payload[8] ^= 1
    try:
        with pytest.raises(AssertionError, match="portfolios"):
            judge(left, left.written("events"))
    finally:
        board.segment.payload[8] ^= 1
        board.close()


def test_a_journal_that_has_another_record_is_told(left):
    folder: Path = left.journal / "book"
    path = path_of(folder, listed(folder)[0])
    place = RECORDS + 64 * KEPT + 3
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    try:
        with pytest.raises((AssertionError, JournalError)):  # lost, or damaged
            assert told(left) == {}
    finally:
        path.write_bytes(content)


def test_the_campaign_prints_its_table(capsys):
    assert main(["25", "0"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n| ") == len(lines.ACTORS)
    assert "none lost, doubled, reordered or torn" in out
