"""Prices of holdings from the books of a running pipeline, here of boards that a test filled."""

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import live_prices
from pipeline.cli import main
from pipeline.holdings import parse
from ringbuf.board import Board, create_board
from tests.pipeline.desks import Desk
from workers.depth import DEPTH
from workers.records import Mark, State

FILE = """
[underlyings.AAPL]
price = 1
[underlyings.MSFT]
price = 2
[underlyings.NONE]
price = 3
[[positions]]
kind = "equity"
underlying = "AAPL"
quantity = 10
"""


@pytest.fixture
def desk():
    made = Desk(boards=["depth"])
    create_board(made.name, "depth", "depth", DEPTH, 8).close()
    yield made
    made.unlink()


def put(desk, number, bid, ask, state=State.TRADING):
    row = np.zeros(1, DEPTH)
    row["bid_price"][0, 0], row["ask_price"][0, 0], row["state"] = bid, ask, state
    row["bid_quantity"][0, 0], row["ask_quantity"][0, 0] = int(bid > 0), int(ask > 0)
    board = Board(desk.name, "depth", writable=True)
    board.put(number, row)
    board.close()


def test_the_mid_of_a_good_book_and_a_reason_for_every_other(desk):
    put(desk, 0, 189_9000, 190_1000)
    put(desk, 1, 40_000, 0)
    found = live_prices.priced(parse(FILE), desk.name)
    prices = {name: each.price for name, each in found.holdings.underlyings.items()}
    assert prices == {"AAPL": 190.0, "MSFT": 2.0, "NONE": 3.0}
    assert found.left["MSFT"] == "its book has no two sides"
    assert "has no symbol 'NONE'" in found.left["NONE"]


@pytest.mark.parametrize(
    ("mark", "why"), [(Mark.STALE, "stale"), (Mark.CROSSED, "crossed"), (Mark.BARRED, "halted")]
)
def test_a_book_in_doubt_has_no_price(desk, mark, why):
    put(desk, 0, 189_9000, 190_1000, State.TRADING | mark)
    found = live_prices.priced(parse(FILE), desk.name)
    assert found.holdings.underlyings["AAPL"].price == 1
    assert why in found.left["AAPL"]


def test_holdings_are_stressed_at_them_until_the_pipeline_ends(desk, tmp_path, monkeypatch):
    put(desk, 0, 189_9000, 190_1000)
    book = tmp_path / "book.toml"
    book.write_text(FILE)
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        put(desk, 0, 199_9000, 200_1000)
        if len(looks) == 2:
            desk.unlink()

    monkeypatch.setattr("pipeline.stressing.time.sleep", sleep)
    words = ["stress", str(book), "--moves=-10", "--points=0", "--pipeline", desk.name]
    ran = CliRunner().invoke(main, [*words, "--every", "5"])
    assert ran.exit_code == 0, ran.output
    assert looks == [5, 5]
    lines = [line.split() for line in ran.stdout.splitlines()]
    made = [line for line in lines if line[:2] == ["-10", "%"]]
    assert made == [["-10", "%", "-190.00"], ["-10", "%", "-200.00"]]
    assert "MSFT at 2 of the file: its book has no two sides" in ran.stdout
    assert f"pipeline '{desk.name}' has ended" in ran.stdout


def test_a_pipeline_that_does_not_run_is_refused(tmp_path):
    book = tmp_path / "book.toml"
    book.write_text(FILE)
    ran = CliRunner().invoke(main, ["stress", str(book), "--pipeline", "nobody"])
    assert ran.exit_code == 2
    assert "no pipeline named 'nobody'" in ran.stderr
