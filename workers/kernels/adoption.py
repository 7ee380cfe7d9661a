"""A row of positions goes over to another instrument, whose marks it is to have.

What is told of a position may come before anybody who has a book of its instrument. It is held in
a row of its own until then, which has no mark; costs are money, so they stay what they are.
"""

from ringbuf.atomics import at
from workers.kernels import currencies, positions
from workers.kernels.currencies import CURRENCY, DIVISOR_MAX, FOREIGN
from workers.kernels.option_block import NONE, OPTION, first_on, option_of
from workers.kernels.position_block import (
    HELD,
    POSITION,
    ROW,
    ROW_SIZE,
    STATE,
    abroad_of,
    check_range,
    held_of,
    options_of,
    position_of,
)
from workers.kernels.positions import Contract

LOWEST_MARK = 1  # below any


def share(address: int, row: int, instrument: int) -> None:
    """Have an instrument, whose positions nobody holds, mean a row from here on."""
    at(address + int(at(address, STATE).rows_at) + instrument * ROW_SIZE, ROW).row = row


def adopt(address: int, row: int, instrument: int, price_scale: int, contract: Contract) -> None:
    """Have a row without a mark be this instrument's; PositionRefused where its scale cannot be.

    A position whose smallest value in the new units is beyond the bounds stays held, and is stuck
    at the first mark.
    """
    header, held = at(address, STATE), at(held_of(address, row), HELD)
    assert held.mark == 0
    returns = positions.returns_at(address, row)
    terms = positions.terms_of(header, price_scale, returns, contract)
    abroad = int(abroad_of(address))
    if abroad and (number := int(at(currencies.foreign_of(abroad, row), FOREIGN).rates)):
        check_range("price_scale of a rate", price_scale, 1, DIVISOR_MAX // 2)
        at(currencies.currency_at(abroad, number), CURRENCY).divisor = 2 * price_scale
    held.instrument = instrument
    held.multiplier, held.divisor = terms.multiplier, terms.divisor
    held.reach = positions.reach_of(terms)
    for portfolio in range(int(header.portfolios)):
        position = at(position_of(address, row, portfolio), POSITION)
        if position.highest_mark:
            lots = int(position.quantity)
            highest = positions.highest_mark(lots, terms.multiplier, int(held.reach))
            position.highest_mark = max(int(highest), LOWEST_MARK)
    options = int(options_of(address))
    number = int(first_on(options, row))
    while number != NONE:
        option = at(option_of(options, number), OPTION)
        option.per_unit, number = 2 * price_scale, int(option.next)
    share(address, row, instrument)
