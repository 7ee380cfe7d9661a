"""Options in live portfolios: how they are written in a configuration, and what of it will not do.

    [[risk.portfolios.options]]
    underlying = "ACME"              # a symbol of the market data
    type = "call"                    # put
    strike = 105.0
    expires = 2026-12-18T21:00:00Z   # with an offset; in event time
    volatility = 0.27                # implied, a year
    rate = 0.03                      # rate and dividend a year, continuously compounded
    dividend = 0.0
    quantity = -40                   # below 0: sold
    multiplier = 100
    price = 3.15                     # paid, or received, a unit

European options (Black and Scholes 1973, Merton 1973) in the currency of the portfolio.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from ringbuf.atomics import at
from workers.kernels import option_positions
from workers.kernels.black_scholes import CALL, LEAST, MOST, PUT
from workers.kernels.black_scholes import MOST_VOLATILITY as VOLATILITY_MAX
from workers.kernels.option_block import NONE, OPTION, option_of
from workers.kernels.option_positions import Held
from workers.kernels.option_values import TERMS
from workers.kernels.position_block import options_of
from workers.records import MONEY_SCALE

UNITS_MAX = 1e15  # of one option
RATE_MAX = 10.0  # a year
COST_MAX = 10**12  # currency, of one option
NAME_BYTES = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 2115  # times are 64-bit numbers of nanoseconds, and half of that is enough
MICROSECOND_NS = 1_000


class OptionPosition(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a portfolio holds of a European option."""

    underlying: str
    type: Literal["call", "put"]
    strike: float
    expires: datetime
    volatility: float
    quantity: int  # below 0: sold
    price: float  # paid or received, currency a unit
    rate: float = 0.0
    dividend: float = 0.0
    multiplier: float = 1.0
    name: str = ""


def faults(where: str, option: OptionPosition) -> list[str]:
    """Everything that is wrong with an option and that types do not say: path, what, mend."""
    found = []
    if not option.underlying:
        found.append(f"{where}.underlying: is empty; give a symbol of the market data")
    if option.expires.tzinfo is None:
        found.append(
            f"{where}.expires: {option.expires.isoformat()} has no offset; give one, as "
            f"{option.expires.isoformat()}Z"
        )
    elif not EPOCH < option.expires < datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC):
        found.append(
            f"{where}.expires: {option.expires.isoformat()} is out of range; give a time from "
            f"1970 to {LAST_YEAR}"
        )
    found += _within(f"{where}.strike", option.strike, LEAST, MOST)
    found += _within(f"{where}.volatility", option.volatility, 0, VOLATILITY_MAX)
    found += _within(f"{where}.rate", option.rate, -RATE_MAX, RATE_MAX)
    found += _within(f"{where}.dividend", option.dividend, -RATE_MAX, RATE_MAX)
    found += _within(f"{where}.multiplier", option.multiplier, 1 / UNITS_MAX, UNITS_MAX)
    found += _within(f"{where}.price", option.price, 0, COST_MAX)
    units = option.quantity * option.multiplier
    if option.quantity == 0:
        found.append(f"{where}.quantity: 0 is nothing; give another number, or leave it out")
    elif abs(units) > UNITS_MAX:
        found.append(
            f"{where}.quantity: {option.quantity} times the multiplier is too much; give at most "
            f"{UNITS_MAX:g} altogether"
        )
    elif abs(units * option.price) > COST_MAX:
        found.append(
            f"{where}: {option.quantity} at {option.price} is no amount; give at most "
            f"{COST_MAX:,} altogether"
        )
    if len(option.name.encode()) > NAME_BYTES:
        found.append(f"{where}.name: {option.name!r} is too long; give at most {NAME_BYTES} bytes")
    return found


def _within(where: str, value: float, low: float, high: float) -> list[str]:
    """One line where a value is NaN or not between two others."""
    if low <= value <= high:
        return []
    return [f"{where}: {value} is out of range; give {low:g} to {high:g}"]


def described(option: OptionPosition) -> str:
    """An option in a few words, by its name where it has one."""
    words = f"{option.underlying} {option.strike:g} {option.type} {option.expires:%Y-%m-%d}"
    return option.name or words


def stuck_text(book: int, held: Sequence[tuple[str, list[OptionPosition]]]) -> str:
    """Which option keeps an old value, the first of them; "": none does.

    book: address of the block of positions; held: name and options of each portfolio.
    """
    number = int(option_positions.first_stuck(book))
    if number == NONE:
        return ""
    address = option_of(options_of(book), number)
    name, options = held[int(at(address, OPTION).portfolio)]
    terms = at(address, TERMS)
    mine = next(
        each
        for each in options
        if all(terms[field] == getattr(held_of(each), field) for field in TERMS.names or ())
    )
    return (
        f"option {described(mine)!r} of portfolio {name!r} has no value within the bounds and "
        "keeps its last one; look at its terms and at the mark of what it is on"
    )


def expires_ns(option: OptionPosition) -> int:
    """When it expires, ns since the epoch; exact."""
    return (option.expires - EPOCH) // timedelta(microseconds=1) * MICROSECOND_NS


def held_of(option: OptionPosition) -> Held:
    """The option as kernels take it."""
    units = option.quantity * option.multiplier
    return Held(
        kind=CALL if option.type == "call" else PUT,
        strike=option.strike,
        rate=option.rate,
        dividend=option.dividend,
        volatility=option.volatility,
        expires_ns=expires_ns(option),
        units=units,
        cost=round(units * option.price * MONEY_SCALE),
    )
