"""The board of positions shows what each portfolio holds, and what it adds to its risk."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_contributions import expected
from tests.workers.test_risk import (
    DAYS,
    OPTIONS,
    SYMBOLS,
    TOPS,
    TREE,
    Twin,
    holding,
    records_of,
    stage_of,
)
from workers import position_board
from workers.position_board import POSITION_ROW, PositionBoard, rows_of
from workers.records import MONEY_SCALE, lined
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import Portfolio, RiskOptions

EXAMPLES = 60 if compiled() else 10


def shown_by(at, options: RiskOptions) -> np.ndarray:
    return at.links.boards["positions"].all()[: len(rows_of(options))]


def wanted(twin: Twin, number: int, symbol: str) -> tuple[int, ...]:
    """instrument, quantity, cost, value, mark and both parts of a row, by the twin."""
    instrument = SYMBOLS.index(symbol)
    risk, position = twin.risk, twin.options.portfolios[number].positions.get(symbol)
    mark = twin.marks.get(instrument, 0)
    quantity, price = (position.quantity, position.price) if position else (0, 0)
    cost = round(quantity * price * MONEY_SCALE)
    return (
        instrument, quantity, cost, round(Fraction(quantity * mark, 2)), mark,
        *expected(risk, number)[instrument],
    )  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(stream=st.lists(TOPS, max_size=30), options=st.sampled_from([OPTIONS, TREE]))
def test_every_row_is_the_twins_once_there_is_nothing_to_read(stream, options):
    twin = Twin(options)
    moved = {n: cause for cause, top in enumerate(stream, 1) for n, *_ in twin.take(*top)}
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of(stream))
        at.sources["book"].close()
        turn_until_finished(stage, at, "risk")
        for row, (number, symbol) in zip(shown_by(at, options), rows_of(options), strict=True):
            assert row["cause"] == moved.get(number, 0)
            assert (row["portfolio"], row["symbol"].decode()) == (number, symbol)
            met = symbol in SYMBOLS and SYMBOLS.index(symbol) in twin.risk.scales
            if number in moved and met:
                names = ("instrument", "quantity", "cost", "value", "mark", "var_part", "es_part")
                assert tuple(int(row[name]) for name in names) == wanted(twin, number, symbol)
            else:
                assert row["mark"] == row["quantity"] == row["value"] == 0
            if not met:
                assert row["instrument"] == -1


def test_a_backlog_does_not_wait_for_the_board(monkeypatch):
    """More rows than are written in one go, while there is always something to read."""
    few = 5
    monkeypatch.setattr(position_board, "SHOW_MOST", few)
    portfolios = [
        Portfolio(name=f"p{number}", positions=holding(AAA=(number + 1, 1.0), BBB=(1, 1.0)))
        for number in range(few)
    ]
    options = RiskOptions(portfolios=portfolios, scenarios=DAYS)
    marks = [(Kind.TOP, number % 2, 10_000 + number, 10_000 + number) for number in range(100)]
    with joint(Risk, capacity=1024) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of(marks))
        stage.turn(0)
        rows = shown_by(at, options)
        assert len(rows) == 2 * few
        assert rows["cause"].tolist() == [100] * len(rows)
        assert rows["mark"].tolist() == [2 * 10_098, 2 * 10_099] * few


@pytest.mark.skipif(compiled(), reason="what is patched is part of the machine code")
def test_under_a_backlog_one_portfolio_after_the_other_has_its_turn(monkeypatch):
    monkeypatch.setattr(position_board, "SHOW_EVERY", 1)
    monkeypatch.setattr(position_board, "awaited", lambda reader, sequence: True)
    with joint(Risk) as at:
        stage = stage_of(at, TREE)
        for cause in range(1, 6):  # each moves the first four of six portfolios
            at.sources["book"].push(records_of([(Kind.TOP, 0, 990_000, 990_000 + 2 * cause)]))
            stage.turn(0)
        causes = {int(row["portfolio"]): int(row["cause"]) for row in shown_by(at, TREE)}
        assert [causes[number] for number in range(4)] == [5, 2, 3, 4]


def test_marks_that_wait_when_the_ring_ends_are_shown():
    options = RiskOptions(
        portfolios=[Portfolio(name="p", positions=holding(AAA=(3, 1.0)))],
        scenarios=DAYS,
        conflate_ms=1000,
    )
    with joint(Risk) as at:
        stage = stage_of(at, options)
        marks = [(Kind.TOP, 0, 10_000 + number, 10_000 + number) for number in range(4)]
        at.sources["book"].push(records_of(marks))
        stage.turn(0)
        assert shown_by(at, options)["cause"].tolist() == [0]
        at.sources["book"].close()
        turn_until_finished(stage, at, "risk")
        (row,) = shown_by(at, options)
        assert (row["cause"], row["mark"], row["value"]) == (4, 2 * 10_003, 3 * 10_003)


def test_spare_rows_are_for_what_is_traded_as_many_as_there_are(monkeypatch):
    monkeypatch.setattr(position_board, "SPARE", 2)
    options = RiskOptions(
        portfolios=[
            Portfolio(name="firm"),
            Portfolio(name="book", parent="firm", accounts=[0], positions=holding(AAA=(1, 1.0))),
            Portfolio(name="other", parent="firm", positions=holding(BBB=(1, 1.0))),
        ],
        scenarios=DAYS,
    )
    assert rows_of(options) == [
        *((0, symbol) for symbol in ("AAA", "BBB", "", "")),
        *((1, symbol) for symbol in ("AAA", "", "")),
        (2, "BBB"),
    ]
    board = PositionBoard(options, held=4)
    rows = lined(len(board.seats) * POSITION_ROW.itemsize)
    board.bind(rows.ctypes.data, 0)
    board.seat("AAA", 0)
    for row, symbol in ((0, "AAA"), (1, "CCC"), (2, "DDD"), (1, "CCC"), (3, "EEE")):
        board.add(1, symbol, row)
    assert board.places.tolist() == [0, -1, -1, -1, 0, 1, 2, -1]
    symbols = rows.view(POSITION_ROW)["symbol"].tolist()
    assert symbols == [b"", b"", b"", b"", b"", b"CCC", b"DDD", b""]
