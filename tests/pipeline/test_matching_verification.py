"""`corelane verify matching`: flows through the real stages, and what it makes of bad ones."""

import gzip
import json

import numpy as np
import pytest

from pipeline.matching_verification import Desk
from tests.data import data_file
from tests.pipeline.running import Ran, corelane, lines
from tests.workers.test_order_flow import flow, header
from workers.records import LEVEL, TOP, Book, Side, empty

SCENARIO = "orders_{}_s23_n20000.bin"
ROWS = [(0, number % 2, 0, 5 + number, number + 1, 100 + number % 7) for number in range(60)]
ROWS += [(1, 0, 0, 0, 3, 0), (1, 0, 0, 0, 3, 0), (2, 1, 0, 9, 59, 104), (0, 0, 1, 500, 200, 200)]


def digest_of(ran: Ran) -> str:
    (line,) = [line for line in lines(ran.out) if line.startswith("sha256 ")]
    return line.split()[1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small flow, and what is said of it."""
    path = tmp_path_factory.mktemp("flow") / "small.bin"
    path.write_bytes(header(len(ROWS)) + flow(*ROWS))
    return path, corelane("verify", "matching", path)


@pytest.mark.parametrize("name", ["static", "flash-crash"])
def test_the_public_flows_give_the_reports_that_others_give(name):
    wanted = json.loads(data_file("matching/consensus.json").read_text())["scenarios"]
    path = data_file(f"matching/{SCENARIO.format(name)}.gz")
    ran = corelane("verify", "matching", path, "--expect", wanted[SCENARIO.format(name)]["sha256"])
    assert lines(ran.out)[-1] == "the same as expected"
    assert f"matching {path.name}: " in ran.out
    tops = next(line for line in lines(ran.out) if line.startswith("best prices: ")).split()
    assert tops[2] == tops[4] != "0"


def test_a_flow_is_summed_up(good):
    path, ran = good
    assert lines(ran.out)[0].startswith(f"matching {path.name}: 64 messages, ")
    assert len(digest_of(ran)) == 64
    assert "expected" not in ran.out + ran.err


def test_what_is_expected_decides(good):
    path, ran = good
    digest = digest_of(ran)
    same = corelane("verify", "matching", path, "--expect", digest.upper())
    assert lines(same.out)[-1] == "the same as expected"
    other = corelane("verify", "matching", path, "--expect", "0" * 64, code=1)
    assert digest_of(other) == digest
    assert f"expected {'0' * 64}" in other.err


def test_damaged_flows_say_so_and_fail(good, tmp_path):
    path, _ = good
    whole = path.read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[:-50])
    ran = corelane("verify", "matching", tmp_path / "cut.bin", code=1)
    assert "cut.bin: ends 2 messages before its header says" in ran.err
    assert "62 messages" in ran.out
    (tmp_path / "odd.bin.gz").write_bytes(gzip.compress(whole[:416] + b"\x09" + whole[417:]))
    ran = corelane("verify", "matching", tmp_path / "odd.bin.gz", code=1)
    assert "message 11 is of an unknown kind" in ran.err


def test_what_is_no_flow_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"x" * 100)
    for name in ("x.bin", "none.bin"):
        ran = corelane("verify", "matching", tmp_path / name, code=None)
        assert ran.code in (1, 2)
        assert name in ran.err


def level(side: Side, price: int, quantity: int) -> np.ndarray:
    made = empty(LEVEL, 1)
    made["kind"], made["side"], made["price"], made["quantity"] = Book.LEVEL, side, price, quantity
    return made.view(TOP)


def top(bid: int, bid_quantity: int, ask: int, ask_quantity: int) -> np.ndarray:
    made = empty(TOP, 1)
    made["kind"], made["bid"], made["bid_quantity"] = Book.TOP, bid, bid_quantity
    made["ask"], made["ask_quantity"], made["cause"] = ask, ask_quantity, 7
    return made


def test_best_prices_are_held_against_the_levels():
    desk = Desk()
    shown = [level(Side.BID, 9, 5), level(Side.ASK, 11, 4), level(Side.BID, 8, 2), top(9, 5, 11, 4)]
    shown += [level(Side.BID, 9, 0), top(8, 2, 11, 4), level(Side.ASK, 11, 0), top(8, 2, 0, 0)]
    desk.records(np.concatenate(shown))
    assert (desk.tops, desk.wrong, desk.first_fault) == (3, 0, "")
    assert dict(desk.counts) == {"level": 5, "top": 3}
    desk.records(np.concatenate([top(9, 5, 0, 0), level(Side.ASK, 8, 1), top(8, 2, 8, 1)]))
    assert (desk.tops, desk.wrong) == (5, 2)
    assert desk.first_fault == "after event 7: (9, 5, 0, 0), but the levels say (8, 2, 0, 0)"
