"""Multipliers and currencies of a configuration: what of them will not do."""

import math
from fractions import Fraction

from pipeline.shape import near
from workers.contracts import PLAIN, CurrencyOptions, InstrumentOptions, ratio
from workers.kernels.currencies import CURRENCIES_MAX, DIVISOR_MAX
from workers.risk_options import RiskOptions

MULTIPLIER_MAX = 10**9
MULTIPLIER_OVER = 10**6  # as many decimals
RATE_MAX = 10**6
RATE_OVER = 10**9
assert RATE_OVER < DIVISOR_MAX


def contract_faults(options: RiskOptions) -> list[str]:
    """Everything wrong with [risk.instruments] and [risk.currencies], and where they are used."""
    problems: list[str] = []
    if len(options.currencies) > CURRENCIES_MAX:
        problems.append(
            f"risk.currencies: {len(options.currencies)} of them; give at most {CURRENCIES_MAX}"
        )
    for name, currency in options.currencies.items():
        problems += _currency_faults(options, name, currency)
    for symbol, instrument in options.instruments.items():
        problems += _instrument_faults(options, f"risk.instruments.{symbol}", instrument)
    for number, portfolio in enumerate(options.portfolios):
        for symbol, position in portfolio.positions.items():
            where = f"risk.portfolios[{number}].positions.{symbol}.rate"
            if position.rate is not None:
                problems += _paid_faults(options, where, symbol, position.rate)
    return problems


def _currency_faults(options: RiskOptions, name: str, currency: CurrencyOptions) -> list[str]:
    where = f"risk.currencies.{name}"
    if name == options.currency:
        return [f"{where}: {name} is the base currency (risk.currency); leave it out"]
    if currency.symbol is not None and currency.rate is not None:
        return [f"{where}: both a symbol and a rate; give the one that is to count"]
    if currency.symbol is None and currency.rate is None:
        what = f"an instrument whose price is {options.currency} for one {name}"
        return [f"{where}: neither a symbol nor a rate; give symbol, {what}, or a fixed rate"]
    if currency.rate is not None:
        return _rate_faults(f"{where}.rate", currency.rate)
    all_of = options.currencies.items()
    first = next(other for other, each in all_of if each.symbol == currency.symbol)
    if first != name:
        mend = "give each currency an instrument of its own"
        return [f"{where}.symbol: {currency.symbol} is the rate of {first} already; {mend}"]
    quoted = options.instruments.get(currency.symbol or "", PLAIN).currency
    if quoted not in (None, options.currency):
        what = f"{currency.symbol} is in {quoted} (risk.instruments)"
        return [f"{where}.symbol: {what}; a rate has to be in {options.currency}"]
    return []


def _instrument_faults(
    options: RiskOptions, where: str, instrument: InstrumentOptions
) -> list[str]:
    problems = []
    if not _is_written(instrument.multiplier, MULTIPLIER_MAX, MULTIPLIER_OVER):
        problems.append(
            f"{where}.multiplier: {instrument.multiplier} is no multiplier; give more than 0, at "
            f"most {MULTIPLIER_MAX:,}, with at most 6 decimals"
        )
    known = {options.currency, *options.currencies}
    if instrument.currency is not None and instrument.currency not in known:
        problems.append(
            f"{where}.currency: there is no currency {instrument.currency!r}; "
            f"{near(instrument.currency, known)}, or give it [risk.currencies."
            f"{instrument.currency}]"
        )
    return problems


def _paid_faults(options: RiskOptions, where: str, symbol: str, rate: float) -> list[str]:
    instrument = options.instruments.get(symbol, PLAIN)
    if instrument.currency in (None, options.currency):
        return [f"{where}: {symbol} is in the base currency; leave the rate out"]
    if instrument.kind == "future":
        return [f"{where}: {symbol} is a future, which gains by its price alone; leave it out"]
    return _rate_faults(where, rate)


def _rate_faults(where: str, rate: float) -> list[str]:
    if _is_written(rate, RATE_MAX, RATE_OVER):
        return []
    return [f"{where}: {rate} is no rate; give more than 0, at most {RATE_MAX:,}, with 9 decimals"]


def _is_written(number: float, most: int, over: int) -> bool:
    """Whether a number is above 0, not too large, and of few decimals as it is written."""
    if not math.isfinite(number) or not 0 < number <= most:
        return False
    return over % Fraction(*ratio(number)).denominator == 0
