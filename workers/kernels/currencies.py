"""Instruments in other currencies: their rates, and what of their positions is kept in their own.

    address -> | ABROAD | FOREIGN x rows | CURRENCY x currencies + 1 | OWN x rows x portfolios
               | COUNT x currencies + 1 x portfolios |

A part of the block of positions (position_block.py), there only where it has currencies. They are
numbered from 1; 0 is the base currency, in which all figures are told. A rate is base currency for
a unit of the other, rate / divisor: the mark of an instrument in half price units, or fixed.

An amount is converted exactly and rounded once, to the nearest with halves to even.
"""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels.scenarios import rounded, whole_lines

CURRENCIES_MAX = 255
DIVISOR_MAX = 1 << 31  # its square still fits
CONVERTED_MAX = float(1 << 60)

ABROAD = record(
    [
        ("currencies", "i8"),
        ("portfolios", "i8"),
        ("foreign_at", "i8"),  # bytes from here
        ("currencies_at", "i8"),
        ("own_at", "i8"),
        ("counts_at", "i8"),
    ]
)
FOREIGN = record(
    [
        ("currency", "i4"),  # of the row's instrument, 0: the base currency
        ("rates", "i4"),  # the currency whose rate its mark is, 0: none
        ("future", "i8"),  # 1: what it is worth is not held in its currency, only what it brings
    ]
)
CURRENCY = record([("rate", "i8"), ("divisor", "i8")])  # 0: no rate yet
OWN = record(
    [
        ("cost", "i8"),  # in the instrument's currency
        ("realised", "i8"),  # of a future, money units of the base currency
        ("kept", "i8"),  # 1: the cost is kept in the base currency from here on
    ]
)
COUNT = record([("positions", "i8")])  # in a currency, of a portfolio with all below it
FOREIGN_SIZE, CURRENCY_SIZE = FOREIGN.itemsize, CURRENCY.itemsize
OWN_SIZE, COUNT_SIZE = OWN.itemsize, COUNT.itemsize


def layout(currencies: int, held: int, portfolios: int) -> dict[str, int]:
    """Offsets of the pools, and the size of the whole; 0 where there are no currencies."""
    if currencies == 0:
        return {"bytes": 0}
    sizes = {
        "foreign_at": FOREIGN_SIZE * held,
        "currencies_at": CURRENCY_SIZE * (currencies + 1),
        "own_at": OWN_SIZE * held * portfolios,
        "counts_at": COUNT_SIZE * (currencies + 1) * portfolios,
    }
    offsets, end = {}, whole_lines(ABROAD.itemsize)
    for name, size in sizes.items():
        offsets[name] = end
        end += whole_lines(size)
    return {"bytes": end, **offsets}


def create(address: int, currencies: int, held: int, portfolios: int) -> None:
    """Lay out currencies without rates in zeroed memory."""
    abroad = at(address, ABROAD)
    abroad.currencies, abroad.portfolios = currencies, portfolios
    for name, offset in layout(currencies, held, portfolios).items():
        if name != "bytes":
            setattr(abroad, name, offset)


@kernel
def foreign_of(abroad, row):
    """Address of what is special about a row's instrument."""
    return abroad + int(at(abroad, ABROAD).foreign_at) + row * FOREIGN_SIZE


@kernel
def currency_at(abroad, number):
    """Address of a currency."""
    return abroad + int(at(abroad, ABROAD).currencies_at) + int(number) * CURRENCY_SIZE


@kernel
def own_of(abroad, row, portfolio):
    """Address of what a position keeps in its own currency."""
    header = at(abroad, ABROAD)
    index = row * header.portfolios + int(portfolio)
    return abroad + int(header.own_at + index * OWN_SIZE)


@kernel
def count_of(abroad, number, portfolio):
    """Address of how many positions a portfolio and those below it have in a currency."""
    header = at(abroad, ABROAD)
    index = int(number) * header.portfolios + int(portfolio)
    return abroad + int(header.counts_at + index * COUNT_SIZE)


@kernel
def currency_of(abroad, row):
    """The currency of a row's instrument; abroad 0: there is but the base currency."""
    if abroad == 0:
        return 0
    return int(at(foreign_of(abroad, row), FOREIGN).currency)


@kernel
def has_rate(abroad, row):
    """Whether what a row's instrument is worth can be told in the base currency."""
    number = currency_of(abroad, row)
    return number == 0 or at(currency_at(abroad, number), CURRENCY).rate > 0


@kernel
def is_kept(abroad, row, portfolio):
    """Whether a position's cost, and its ledger, are in the base currency."""
    return currency_of(abroad, row) == 0 or at(own_of(abroad, row, portfolio), OWN).kept > 0


@kernel
def in_base(abroad, row, amount):
    """An amount in an instrument's currency in the base currency, and whether that can be told:
    0 and False without a rate, or where it is 2^60 or more.
    """
    number = currency_of(abroad, row)
    if number == 0:
        return int(amount), True
    currency = at(currency_at(abroad, number), CURRENCY)
    size, rate, divisor = abs(int(amount)), int(currency.rate), int(currency.divisor)
    if rate == 0 or float(size) * float(rate) >= CONVERTED_MAX * float(divisor):
        return 0, False
    found = converted(size, rate, divisor)
    return (found if amount >= 0 else -found), True


@kernel
def converted(amount, rate, divisor):
    """amount x rate / divisor, to the nearest with halves to even; nothing is below 0.

    The amount and the rate are split at the divisor, so that only what is left of both has to be
    multiplied: below DIVISOR_MAX squared. The whole must be below 2^61.
    """
    whole, rate_whole = amount // divisor, rate // divisor
    rest, rate_rest = amount - whole * divisor, rate - rate_whole * divisor
    product = rest * rate_rest
    quotient = product // divisor
    return rounded(
        whole * rate + rest * rate_whole + quotient, product - quotient * divisor, divisor
    )


def fix(abroad: int, number: int, rate: int, divisor: int) -> None:
    """Have a currency's rate be fixed, and known: base currency for a unit of it."""
    assert 0 < number <= at(abroad, ABROAD).currencies, number
    assert rate >= 0 < divisor <= DIVISOR_MAX, (rate, divisor)
    currency = at(currency_at(abroad, number), CURRENCY)
    currency.rate, currency.divisor = rate, divisor


def describe(abroad: int, row: int, currency: int, future: bool) -> None:
    """Say in which currency a row's instrument is."""
    if abroad:
        foreign = at(foreign_of(abroad, row), FOREIGN)
        foreign.currency, foreign.future = currency, future


def described(abroad: int, row: int) -> tuple[int, bool]:
    """(currency, whether it is a future) of a row's instrument."""
    if not abroad:
        return 0, False
    foreign = at(foreign_of(abroad, row), FOREIGN)
    return int(foreign.currency), bool(foreign.future)


def owned(abroad: int, row: int, portfolio: int) -> np.record:
    """What a position keeps in its own currency; where there are none, nothing that lasts."""
    return at(own_of(abroad, row, portfolio), OWN) if abroad else np.zeros(1, OWN)[0]


def number_of(abroad: int) -> int:
    """How many currencies there are beside the base currency."""
    return int(at(abroad, ABROAD).currencies) if abroad else 0


def join(abroad: int, row: int, portfolio: int) -> None:
    """A portfolio, or one below it, has one more position in a row's currency."""
    if abroad:
        number = currency_of(abroad, row)
        at(count_of(abroad, number, portfolio), COUNT).positions += 1


@kernel
def is_concerned(abroad, row, portfolio):
    """Whether a portfolio, or one below it, has positions in the currency whose rate a row is."""
    if abroad == 0:
        return False
    number = int(at(foreign_of(abroad, row), FOREIGN).rates)
    return number > 0 and at(count_of(abroad, number, portfolio), COUNT).positions > 0
