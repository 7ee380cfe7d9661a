"""The block in which accounts have their value at risk, a part of the engine's.

    address -> | VAR | SYMBOL x symbols | i4 x scenarios x symbols: returns
               | SEEN x (rules + 1) x portfolios
               | positions (position_block.py): their instruments are the engine's rules |

Each account that has a limit of value at risk is a portfolio of its own. The returns of all symbols
that there are scenarios for lie ready; an instrument gets its row of the positions when it is
announced. What a portfolio's distribution counts of a rule is noted in SEEN; var_limit.py has it
catch up. Offsets only: the block may be copied.
"""

from collections.abc import Mapping

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import position_block
from workers.kernels.position_block import (
    HELD,
    PRODUCT_LIMIT,
    ROW,
    ROW_SIZE,
    SMALLEST_WEIGHT,
    STATE,
    Limits,
)
from workers.kernels.scenarios import EXPOSURE_UNIT, RETURNS, whole_lines
from workers.kernels.what_if import product
from workers.records import MONEY_SCALE

SYMBOL_BYTES = 24  # of a DIRECTORY event, filled up with blanks

VAR = record(
    [
        ("symbols", "i8"),
        ("symbols_at", "i8"),  # bytes from here, like the next ones
        ("returns_at", "i8"),
        ("returns_size", "i8"),  # bytes of one symbol's
        ("seen_at", "i8"),
        ("rules", "i8"),
        ("positions_at", "i8"),
        ("spare", "i8"),
    ]
)
SYMBOL = record([("words", "i8", (3,)), ("weight", "i8")])
SEEN = record(
    [
        ("quantity", "i8"),  # lots that the distribution counts
        ("mark", "i8"),  # and what they are marked at, half price units
    ]
)
SYMBOL_SIZE, SEEN_SIZE = SYMBOL.itemsize, SEEN.itemsize
assert SYMBOL["words"].itemsize == SYMBOL_BYTES


def usable(returns: Mapping[str, np.ndarray]) -> dict[bytes, np.ndarray]:
    """The returns that an instrument can be announced for, by symbol as an event holds it."""
    return {
        symbol.encode().ljust(SYMBOL_BYTES): row
        for symbol, row in sorted(returns.items())
        if symbol.isascii() and len(symbol) <= SYMBOL_BYTES
    }


def limits_of(accounts: int, rules: int, returns: Mapping[bytes, np.ndarray]) -> Limits:
    """What the positions must have room for; an instrument may be announced by two sources."""
    count = len(next(iter(returns.values())))
    held = min(rules, 2 * len(returns))
    return Limits(rules + 1, accounts, held, count)


def layout(accounts: int, rules: int, returns: Mapping[bytes, np.ndarray]) -> dict[str, int]:
    """Where each part starts; `end` is the block's size."""
    limits = limits_of(accounts, rules, returns)
    sizes = {
        "symbols_at": SYMBOL_SIZE * len(returns),
        "returns_at": whole_lines(4 * limits.scenarios) * len(returns),
        "seen_at": SEEN_SIZE * (rules + 1) * accounts,
        "positions_at": position_block.bytes_needed(limits),
    }
    place, places = whole_lines(VAR.itemsize), {}
    for name, size in sizes.items():
        places[name] = place
        place += whole_lines(size)
    return {**places, "end": place}


def bytes_needed(accounts: int, rules: int, returns: Mapping[str, np.ndarray]) -> int:
    """The block's size, 0 where no account has such a limit; ValueError without any scenarios.

    returns: int32 [scenarios] of each symbol, in fixed point (workers.scenarios.to_fixed).
    """
    if accounts == 0:
        return 0
    if not (found := usable(returns)):
        raise ValueError("accounts are held to a value at risk, and there are no scenarios")
    return layout(accounts, rules, found)["end"]


def create(address: int, accounts: int, rules: int, returns: Mapping[str, np.ndarray]) -> None:
    """Lay the block over zeroed memory of `bytes_needed` bytes; nothing where these are 0."""
    if accounts == 0:
        return
    rows = usable(returns)
    limits, var = limits_of(accounts, rules, rows), at(address, VAR)
    for name, place in layout(accounts, rules, rows).items():
        if name != "end":
            var[name] = place
    var.symbols, var.rules = len(rows), rules
    var.returns_size = whole_lines(4 * limits.scenarios)
    for number, (spelled, row) in enumerate(rows.items()):
        symbol = at(symbol_of(address, number), SYMBOL)
        symbol.words[:] = np.frombuffer(spelled, np.int64)
        symbol.weight = max(SMALLEST_WEIGHT, int(np.abs(row.astype(np.int64)).max()))
        at(returns_of(address, number), RETURNS).change[: limits.scenarios] = row
    position_block.create(address + int(var.positions_at), limits)


@kernel
def symbol_of(block, number):
    """The address of a SYMBOL."""
    return block + int(at(block, VAR).symbols_at) + SYMBOL_SIZE * int(number)


@kernel
def returns_of(block, number):
    """The address of the returns of a symbol."""
    var = at(block, VAR)
    return block + int(var.returns_at) + int(var.returns_size) * int(number)


@kernel
def seen_of(block, portfolio, rule):
    """The address of what a portfolio's distribution counts of a rule."""
    var = at(block, VAR)
    place = int(portfolio) * (int(var.rules) + 1) + int(rule)
    return block + int(var.seen_at) + SEEN_SIZE * place


@kernel
def positions_of(block):
    """The address of the positions."""
    return block + int(at(block, VAR).positions_at)


@kernel
def symbol_number(block, first, second, third):
    """The number of the symbol that an event spells in three words, -1: no scenarios for it."""
    for number in range(at(block, VAR).symbols):
        words = at(symbol_of(block, number), SYMBOL).words
        if words[0] == first and words[1] == second and words[2] == third:
            return number
    return -1


@kernel
def open_row(block, rule, number, divisor):
    """Give a rule the next row of the positions, with the returns of a symbol.

    divisor: half price units x lots in so much are one unit of currency.
    """
    state = positions_of(block)
    header = at(state, STATE)
    row = int(header.rows)
    common = greatest_common(MONEY_SCALE, divisor)
    held = at(position_block.held_of(state, row), HELD)
    held.instrument, held.weight = rule, at(symbol_of(block, number), SYMBOL).weight
    held.multiplier, held.divisor = MONEY_SCALE // common, divisor // common
    most = product((PRODUCT_LIMIT // held.weight - 1) * EXPOSURE_UNIT, held.divisor)
    held.reach = min(PRODUCT_LIMIT, most)  # as positions.reach_of has it
    target = at(position_block.returns_of(state, row), RETURNS).change
    source = at(returns_of(block, number), RETURNS).change
    for scenario in range(header.scenarios):
        target[scenario] = source[scenario]
    at(state + int(header.rows_at) + int(rule) * ROW_SIZE, ROW).row = row
    header.rows = row + 1


@kernel
def greatest_common(one, other):
    """The greatest common divisor of two positive numbers (Euclid)."""
    one, other = int(one), int(other)
    while other > 0:
        one, other = other, one % other
    return one
