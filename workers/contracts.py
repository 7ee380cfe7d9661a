"""What a lot of an instrument is worth for each unit of price, and in which currency that is.

Everything is worth lots x price x multiplier, in its own currency. A share is held: it gains by its
price and by its currency's rate. Of a future only what it gains counts: its value is told as what
its price stands for, and its rate plays a part only in what its price brings.
"""

from fractions import Fraction
from typing import Literal

import msgspec
import numpy as np

from workers.kernels.positions import Contract
from workers.kernels.scenarios import RETURN_BITS
from workers.scenarios import ScenarioError

INT32 = np.iinfo(np.int32)


class InstrumentOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is special about an instrument."""

    kind: Literal["equity", "future"] = "equity"
    multiplier: float = 1.0  # currency that a lot is worth for each unit of price
    currency: str | None = None  # None: the base currency


class CurrencyOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a currency's rate is from, base currency for a unit of it: one of both."""

    symbol: str | None = None  # an instrument, whose mid is the rate
    rate: float | None = None  # or fixed


Instruments = dict[str, InstrumentOptions]
Currencies = dict[str, CurrencyOptions]
PLAIN = InstrumentOptions()


def ratio(number: float) -> tuple[int, int]:
    """A number as it is written, in lowest terms: 0.1 is 1 / 10."""
    exact = Fraction(str(number))
    return exact.numerator, exact.denominator


def contract_of(symbol: str, instruments: Instruments, currencies: Currencies) -> Contract:
    """What a lot of a symbol is; currencies are numbered from 1 in their order."""
    mine = instruments.get(symbol, PLAIN)
    numbers = {name: number for number, name in enumerate(currencies, 1)}
    currency = numbers.get(mine.currency, 0) if mine.currency else 0
    return Contract(*ratio(mine.multiplier), currency, mine.kind == "future")


def quotes_of(currencies: Currencies) -> dict[str, int]:
    """Symbols whose marks are rates, and the number of the currency."""
    numbered = enumerate(currencies.values(), 1)
    return {each.symbol: number for number, each in numbered if each.symbol}


def fixed_rates(currencies: Currencies) -> dict[int, tuple[int, int]]:
    """Rates that stay what they are, in lowest terms, by the currency's number."""
    rates = ((number, each.rate) for number, each in enumerate(currencies.values(), 1))
    return {number: ratio(rate) for number, rate in rates if rate is not None}


def returns_abroad(own: np.ndarray, rate: np.ndarray, future: bool, symbol: str) -> np.ndarray:
    """Returns in the base currency: (1 + r)(1 + f) - 1, of a future r (1 + f); all int32 in 2^-24.

    own, rate: of the instrument in its currency, and of the currency's rate. The product is rounded
    to the nearest, halves to even. ScenarioError where one is too large for fixed point.
    """
    one, other = own.astype(np.int64), rate.astype(np.int64)
    product = one * other
    nearest, rest = product >> RETURN_BITS, product & ((1 << RETURN_BITS) - 1)
    half = 1 << (RETURN_BITS - 1)
    nearest += (rest > half) | ((rest == half) & (nearest & 1 == 1))
    found = one + nearest + (0 if future else other)
    if len(found) and not INT32.min <= found.min() <= found.max() <= INT32.max:
        raise ScenarioError(
            f"returns of {symbol} with those of its currency: {found.max() / (1 << RETURN_BITS):g} "
            "is too large; give fractions (0.01 is 1 %)"
        )
    return found.astype(np.int32)
