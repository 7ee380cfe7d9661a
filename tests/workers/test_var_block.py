"""What accounts' values at risk are made of: scenarios by symbol, rows by announcement."""

import math

import numpy as np
import pytest

from ringbuf.atomics import at
from tests.workers.books import Block
from tests.workers.matches import drawn_returns
from workers.feeds.lobster import symbol_bytes
from workers.kernels import position_block, positions, var_block
from workers.kernels.position_block import HELD, STATE

RETURNS = drawn_returns(("BBB", "AAA", "A" * 24), 20)
ACCOUNTS, RULES = 3, 5


def words(symbol: str) -> list[int]:
    return np.frombuffer(symbol_bytes(symbol), np.int64).tolist()


@pytest.fixture
def block() -> Block:
    made = Block(var_block.bytes_needed(ACCOUNTS, RULES, RETURNS))
    var_block.create(made.address, ACCOUNTS, RULES, RETURNS)
    return made


def test_symbols_are_found_as_events_spell_them(block):
    found = [var_block.symbol_number(block.address, *words(name)) for name in sorted(RETURNS)]
    assert found == [0, 1, 2]
    for unknown in ("A", "AAAA", "BBB2"):
        assert var_block.symbol_number(block.address, *words(unknown)) == -1
    assert var_block.symbol_number(block.address, 0, 0, 0) == -1


@pytest.mark.parametrize("scale", [1, 3, 100, 10_000, 10**9 + 7])
def test_a_row_has_the_terms_that_a_position_would_be_held_with(block, scale):
    number = var_block.symbol_number(block.address, *words("BBB"))
    var_block.open_row(block.address, 4, number, 2 * scale)
    state = var_block.positions_of(block.address)
    assert position_block.row_of(state, 4) == 0
    assert position_block.row_of(state, 3) == -1
    terms = positions.terms_of(at(state, STATE), scale, RETURNS["BBB"], positions.SHARE)
    held = at(position_block.held_of(state, 0), HELD)
    assert (held.multiplier, held.divisor, held.weight) == terms[:3]
    assert held.reach == positions.reach_of(terms)
    assert (positions.returns_at(state, 0) == RETURNS["BBB"]).all()
    var_block.open_row(block.address, 1, number, 2)
    assert position_block.row_of(state, 1) == 1


def test_parts_do_not_overlap():
    places = var_block.layout(ACCOUNTS, RULES, var_block.usable(RETURNS))
    starts = [*places.values()]
    assert starts == sorted(starts)
    assert all(start % 64 == 0 for start in starts)
    assert places["end"] == var_block.bytes_needed(ACCOUNTS, RULES, RETURNS)


def test_accounts_without_such_limits_need_no_memory():
    assert var_block.bytes_needed(0, RULES, {}) == 0
    var_block.create(0, 0, RULES, {})  # and nothing is touched


def test_symbols_that_no_event_can_spell_are_left_out():
    odd = {"Ä": RETURNS["AAA"], "A" * 25: RETURNS["AAA"]}
    assert [*var_block.usable({**odd, "B": RETURNS["BBB"]})] == [symbol_bytes("B")]
    with pytest.raises(ValueError, match="no scenarios"):
        var_block.bytes_needed(1, RULES, odd)


@pytest.mark.parametrize("pair", [(10_000, 200), (1, 7), (10_000, 2 * 10**15), (12, 18)])
def test_the_greatest_common_divisor(pair):
    assert var_block.greatest_common(*pair) == math.gcd(*pair)
