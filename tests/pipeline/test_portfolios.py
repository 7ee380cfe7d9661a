"""Portfolios that form no trees are told, one line each; trees are shown from the top."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.portfolios import indented, portfolio_faults, tree
from workers.risk_options import Portfolio, Position, RiskOptions

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
