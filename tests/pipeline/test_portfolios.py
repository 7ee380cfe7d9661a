"""Portfolios that form no trees are told, one line each; trees are shown from the top."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.portfolios import indented, limits_text, portfolio_faults, tree
from workers.contracts import CurrencyOptions, InstrumentOptions
from workers.live_options import OptionPosition
from workers.portfolio_board import PORTFOLIO_ROW
from workers.records import Standing
from workers.risk_options import LimitOptions, Portfolio, Position, RiskOptions

HELD = {"ABC": Position(quantity=1, price=1.0)}


def options(*parents: tuple[str, str | None]) -> RiskOptions:
    return RiskOptions(
        portfolios=[Portfolio(name=name, parent=parent, positions=HELD) for name, parent in parents]
    )


@pytest.mark.parametrize(
    ("portfolios", "where", "what"),
    [
        ([("a", "b")], "risk.portfolios[0].parent", "there is no portfolio 'b'"),
        ([("desk", None), ("a", "dsk")], "risk.portfolios[1].parent", "did you mean 'desk'?"),
        ([("a", "a")], "risk.portfolios[0].parent", "'a' below 'a': a circle"),
        ([("x", "a"), ("a", "b"), ("b", "a")], "[1].parent", "'a' below 'b' below 'a': a circle"),
        ([("a", None), ("a", "a")], "risk.portfolios", "'a' stands there twice"),
    ],
)
def test_one_line_for_what_is_no_tree(portfolios, where, what):
    (line,) = portfolio_faults(options(*portfolios), 128)
    assert where in line
    assert what in line


def test_a_parent_needs_no_positions_of_its_own_and_others_do():
    book = Portfolio(name="book", parent="desk", positions=HELD)
    assert not portfolio_faults(RiskOptions(portfolios=[Portfolio(name="desk"), book]), 128)
    (line,) = portfolio_faults(RiskOptions(portfolios=[Portfolio(name="desk")]), 128)
    assert line.startswith("risk.portfolios[0].positions: 'desk' has none")


@pytest.mark.parametrize(
    ("limits", "where", "what"),
    [
        ({"var_99": 0.0}, "limits.var_99", "0.0 is no limit; give more than 0"),
        ({"loss": -5.0}, "limits.loss", "-5.0 is no limit"),
        ({"value": float("nan")}, "limits.value", "nan is no limit"),
        ({"es_975": 1e13}, "limits.es_975", "at most 1,000,000,000,000"),
        ({"var_99": 1.0, "warn": 0.0}, "limits.warn", "0.0 is no share"),
        ({"var_99": 1.0, "warn": float("nan")}, "limits.warn", "nan is no share"),
        ({"var_99": 1.0, "warn": 1.01}, "limits.warn", "give more than 0, at most 1"),
    ],
)
def test_one_line_for_what_is_no_limit(limits, where, what):
    portfolio = Portfolio(name="p", positions=HELD, limits=LimitOptions(**limits))
    (line,) = portfolio_faults(RiskOptions(portfolios=[portfolio]), 128)
    assert line.startswith(f"risk.portfolios[0].{where}: ")
    assert what in line


def test_limits_need_room_on_the_ring():
    limits = LimitOptions(var_99=1.0, es_975=1.0, value=1.0, loss=1.0)
    names = [f"p{number}" for number in range(26)]
    found = [Portfolio(name=name, positions=HELD, limits=limits) for name in names]
    assert not portfolio_faults(RiskOptions(portfolios=found[:25]), 128)
    (line,) = portfolio_faults(RiskOptions(portfolios=found), 128)
    assert line == "risk.portfolios: 26 of them with 104 limits; give at most 128 altogether"


def test_options_are_in_the_base_currency():
    held = OptionPosition(
        underlying="ABC", type="put", strike=1.0, volatility=0.2, quantity=1, price=1.0,
        expires=datetime(2030, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    options = RiskOptions(
        portfolios=[Portfolio(name="p", options=[held])],
        currencies={"EUR": CurrencyOptions(rate=1.1)},
        instruments={"ABC": InstrumentOptions(currency="EUR")},
    )
    (line,) = portfolio_faults(options, 128)
    assert line.startswith("risk.portfolios[0].options[0].underlying: ABC is in EUR (risk.inst")
    options.instruments["ABC"].currency = None
    assert not portfolio_faults(options, 128)


def test_greeks_need_room_on_the_ring():
    held = OptionPosition(
        underlying="ABC", type="put", strike=1.0, volatility=0.2, quantity=1, price=1.0,
        expires=datetime(2030, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    found = [Portfolio(name=f"p{number}", options=[held]) for number in range(64)]
    assert not portfolio_faults(RiskOptions(portfolios=found), 128)
    found.append(Portfolio(name="above"))
    found[0].parent = "above"
    (line,) = portfolio_faults(RiskOptions(portfolios=found), 128)
    assert line.startswith("risk.portfolios: a mark can give 130 records: one of each portfolio, ")
    found[-1].options = [held] * 4_096
    (line,) = portfolio_faults(RiskOptions(portfolios=found), 256)
    assert line == "risk.portfolios: 4,160 options; give at most 4,096 altogether"


@pytest.mark.parametrize(
    ("accounts", "what"),
    [
        (([-1], []), "[0].accounts: -1 is no account; give 0 to 1048575"),
        (([1 << 20], []), "[0].accounts: 1048576 is no account"),
        (([0, 3], [3]), "[1].accounts: account 3 is one of 'p0' already; name it once"),
        (([0, 0], []), "[0].accounts: account 0 is one of 'p0' already"),
    ],
)
def test_one_line_for_accounts_that_cannot_be(accounts, what):
    portfolios = [
        Portfolio(name=f"p{number}", positions=HELD, accounts=some)
        for number, some in enumerate(accounts)
    ]
    (line,) = portfolio_faults(RiskOptions(portfolios=portfolios), 128)
    assert line.startswith(f"risk.portfolios{what}")


@pytest.mark.parametrize("lots", [0, 4097])
def test_one_line_for_what_is_no_number_of_lots(lots):
    portfolio = Portfolio(name="p", positions=HELD, accounts=[0], lots=lots)
    (line,) = portfolio_faults(RiskOptions(portfolios=[portfolio]), 128)
    assert line == f"risk.portfolios[0].lots: {lots}; give 1 to 4,096"


def test_accounts_are_positions_enough_and_need_room_on_the_ring():
    trading = [Portfolio(name=f"p{number}", accounts=[number]) for number in range(64)]
    assert not portfolio_faults(RiskOptions(portfolios=trading), 128)
    (line,) = portfolio_faults(RiskOptions(portfolios=trading, conflate_ms=5), 128)
    assert line.startswith("risk.portfolios: an execution can give 129 records; give fewer")


def test_more_than_the_ring_holds():
    many = options(*((f"p{number}", None) for number in range(129)))
    (line,) = portfolio_faults(many, 128)
    assert line == "risk.portfolios: 129 of them; give at most 128"
    assert not portfolio_faults(many, 256)


def test_a_tree_is_shown_from_the_top():
    names = ["book", "firm", "alone", "desk", "hedge"]
    shown = indented(names, [3, -1, -1, 1, 3])
    assert shown == [(1, "firm"), (3, "  desk"), (0, "    book"), (4, "    hedge"), (2, "alone")]


@given(st.lists(st.integers(-1, 20), max_size=20))
def test_each_portfolio_is_shown_once_behind_its_parent(drawn):
    parents = [min(parent, number - 1) for number, parent in enumerate(drawn)]
    shown = [number for number, _ in tree(parents)]
    assert sorted(shown) == [*range(len(parents))]
    assert all(p < 0 or shown.index(p) < shown.index(n) for n, p in enumerate(parents))


def test_how_a_portfolio_stands_to_its_limits_the_worst_first():
    row = np.zeros(1, PORTFOLIO_ROW)[0]
    assert limits_text(row) == "-"
    row["limit"][:4] = (5, 0, 5, 5)
    row["standing"][:4] = (Standing.WARN, Standing.BREACH, Standing.BREACH, Standing.OK)
    assert limits_text(row) == "breach value, warn var_99"
    row["standing"][:] = Standing.OK
    assert limits_text(row) == "ok"
    row["standing"][3] = Standing.UNKNOWN
    assert limits_text(row) == "unknown loss"
