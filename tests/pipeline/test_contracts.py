"""Multipliers, currencies and rates that will not do are told, one line each."""

import pytest

from pipeline.portfolios import portfolio_faults
from workers.contracts import CurrencyOptions, InstrumentOptions
from workers.risk_options import Portfolio, Position, RiskOptions

NAN, INF = float("nan"), float("inf")
EUR = {"EUR": CurrencyOptions(symbol="EURUSD")}
IN_EURO = {"ABC": InstrumentOptions(currency="EUR")}


def faults(instruments=None, currencies=EUR, rate: float | None = None) -> list[str]:
    position = Position(quantity=1, price=1.0, rate=rate)
    return portfolio_faults(
        RiskOptions(
            portfolios=[Portfolio(name="p", positions={"ABC": position})],
            instruments=IN_EURO if instruments is None else instruments, currencies=currencies,
        ),
        128,
    )  # fmt: skip


def test_what_is_right_is_not_told():
    assert faults() == []
    assert faults(rate=1.08) == []
    assert faults(currencies={"EUR": CurrencyOptions(rate=1.08)}) == []
    assert faults({"ABC": InstrumentOptions(kind="future", multiplier=0.05, currency="USD")}) == []


@pytest.mark.parametrize(
    ("currency", "where", "what"),
    [
        ({}, "EUR", "neither a symbol nor a rate; give symbol, an instrument whose price is USD"),
        ({"symbol": "EURUSD", "rate": 1.1}, "EUR", "both a symbol and a rate; give the one"),
        ({"rate": 0.0}, "EUR.rate", "0.0 is no rate; give more than 0"),
        ({"rate": -1.0}, "EUR.rate", "-1.0 is no rate"),
        ({"rate": NAN}, "EUR.rate", "nan is no rate"),
        ({"rate": 1e-10}, "EUR.rate", "1e-10 is no rate; give more than 0, at most 1,000,000, wi"),
        ({"symbol": "ABC"}, "EUR.symbol", "ABC is in EUR (risk.instruments); a rate has to be in"),
    ],
)
def test_one_line_for_what_is_no_rate(currency, where, what):
    (line,) = faults(currencies={"EUR": CurrencyOptions(**currency)})
    assert line.startswith(f"risk.currencies.{where}: {what}")


def test_a_currency_is_none_of_the_others():
    (line,) = faults(currencies={**EUR, "USD": CurrencyOptions(rate=1.0)})
    assert line.startswith("risk.currencies.USD: USD is the base currency (risk.currency)")
    (line,) = faults(currencies={**EUR, "CHF": CurrencyOptions(symbol="EURUSD")})
    assert line.startswith("risk.currencies.CHF.symbol: EURUSD is the rate of EUR already")
    (line,) = faults(currencies=EUR | {f"X{n}": CurrencyOptions(rate=1.0) for n in range(255)})
    assert line == "risk.currencies: 256 of them; give at most 255"


@pytest.mark.parametrize("multiplier", [0.0, -50.0, INF, 1e10, 1e-7])
def test_one_line_for_what_is_no_multiplier(multiplier):
    line, *_ = faults({"XYZ": InstrumentOptions(multiplier=multiplier)})
    assert line.startswith(f"risk.instruments.XYZ.multiplier: {multiplier} is no multiplier; give")


def test_a_currency_that_is_not_there():
    (line,) = faults({"ABC": InstrumentOptions(currency="ERU")})
    assert line.startswith("risk.instruments.ABC.currency: there is no currency 'ERU'; did you")
    assert "[risk.currencies.ERU]" in line


@pytest.mark.parametrize(
    ("instrument", "rate", "what"),
    [
        (InstrumentOptions(), 1.1, "ABC is in the base currency; leave the rate out"),
        (InstrumentOptions(kind="future", currency="EUR"), 1.1, "ABC is a future, which gains by"),
        (InstrumentOptions(currency="EUR"), 0.0, "0.0 is no rate"),
        (InstrumentOptions(currency="EUR"), INF, "inf is no rate"),
    ],
)
def test_a_rate_that_was_paid_makes_sense(instrument, rate, what):
    (line,) = faults({"ABC": instrument}, rate=rate)
    assert line.startswith(f"risk.portfolios[0].positions.ABC.rate: {what}")


def test_an_amount_counts_the_multiplier():
    portfolio = Portfolio(name="p", positions={"ABC": Position(quantity=10**9, price=500.0)})
    assert not portfolio_faults(RiskOptions(portfolios=[portfolio]), 128)
    many = {"ABC": InstrumentOptions(multiplier=50)}
    (line,) = portfolio_faults(RiskOptions(portfolios=[portfolio], instruments=many), 128)
    assert "give at most 1,000,000,000,000 altogether" in line
