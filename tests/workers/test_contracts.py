"""Multipliers and currencies through the whole stage, exactly as the twin has them."""

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.risk_stage import NaiveRisk
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_executions import records_of
from tests.workers.test_risk import DAYS, standings_of
from tests.workers.test_risk_check import faults_of
from workers import contracts
from workers.contracts import CurrencyOptions, InstrumentOptions, returns_abroad
from workers.kernels.position_block import Limits
from workers.kernels.positions import Contract
from workers.kernels.risk_check import RiskFault
from workers.records import MONEY_SCALE, POSITION_RECORD, RISK, Kept, Side
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import (
    CsvScenarios,
    LimitOptions,
    Portfolio,
    Position,
    RiskOptions,
    load_scenarios,
)
from workers.scenarios import ScenarioError

EXAMPLES = 60 if compiled() else 15
SYMBOLS = ["AAA", "BBB", "CCC", "EURUSD", "NONE"]
INSTRUMENTS = {
    "AAA": InstrumentOptions(currency="EUR"),
    "BBB": InstrumentOptions(currency="GBP", multiplier=0.01),  # quoted in pence
    "CCC": InstrumentOptions(kind="future", currency="EUR", multiplier=50),
}
CURRENCIES = {"EUR": CurrencyOptions(symbol="EURUSD"), "GBP": CurrencyOptions(rate=1.27)}
ONE = 1 << 24


def held(**positions: tuple) -> dict[str, Position]:
    return {
        name: Position(quantity=q, price=p, rate=rate[0] if rate else None)
        for name, (q, p, *rate) in positions.items()
    }


def tree(conflate_ms: int, **more) -> RiskOptions:
    limits = LimitOptions(var_99=100.0, value=90_000.0, loss=20.0, warn=0.5)
    portfolios = [
        Portfolio(name="firm", limits=limits, accounts=[6]),
        Portfolio(
            name="desk", parent="firm", accounts=[0, 3],
            positions=held(AAA=(100, 99.5), BBB=(-40, 2_000.0, 1.31), CCC=(-2, 98.0)),
        ),
        Portfolio(name="book", parent="desk", positions=held(AAA=(-30, 98.0, 1.05))),
        Portfolio(
            name="other", parent="firm", accounts=[1], limits=limits,
            positions=held(CCC=(1, 99.0), EURUSD=(10, 1.1)),
        ),
        Portfolio(name="alone", positions=held(AAA=(1, 99.0))),
    ]  # fmt: skip
    return RiskOptions(
        portfolios=[msgspec.structs.replace(each, **more) for each in portfolios],
        scenarios=DAYS, conflate_ms=conflate_ms, instruments=INSTRUMENTS, currencies=CURRENCIES,
    )  # fmt: skip


# kind, instrument, bid or price, ask or quantity, side, account, pause in half milliseconds
TOPS = st.tuples(
    st.just(Kind.TOP), st.integers(0, 4), st.sampled_from([0, 990_000, 995_000]),
    st.sampled_from([0, 990_201, 1_010_000]), st.just(0), st.just(0), st.sampled_from([0, 1, 3]),
)  # fmt: skip
RATES = st.tuples(
    st.just(Kind.TOP), st.just(3), st.sampled_from([10_500, 10_801, 11_003]),
    st.sampled_from([10_803, 11_005]), st.just(0), st.just(0), st.sampled_from([0, 1]),
)  # fmt: skip
TRADES = st.tuples(
    st.just(Kind.EXECUTION), st.integers(0, 4), st.sampled_from([1, 333, 990_001, 1_000_000]),
    st.integers(1, 40), st.sampled_from([Side.BID, Side.ASK]), st.integers(0, 7),
    st.sampled_from([0, 0, 1]),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    stream=st.lists(st.one_of(TOPS, RATES, TRADES), max_size=40),
    options=st.sampled_from(
        [tree(0), tree(0, accounting="fifo", lots=2), tree(1), tree(1, accounting="fifo")]
    ),
)
def test_the_stage_says_what_the_twin_says(stream, options):
    records = records_of(stream)
    twin = NaiveRisk(options, {number: (symbol, 10_000) for number, symbol in enumerate(SYMBOLS)})
    for record in records:
        twin.take(record)
    with joint(Risk) as at:
        stage = stage_of(at, options)
        assert at.sources["book"].push(records) == len(stream)
        stage.turn(0)
        told = at.took("risk")
        assert told.tobytes() == b"".join(twin.records)
        assert at.balanced()
        counters = at.counters("risk")
        assert counters["astray"] + counters["unbooked"] == sum(twin.missed.values())
        at.sources["book"].close()
        assert len(turn_until_finished(stage, at, "risk")["risk"]) == 0
        twin.end()
        rows = at.links.boards["portfolios"].all()[: len(options.portfolios)]
        assert [int(row["value"]) for row in rows if row["cause"]] == [
            twin.risk.value(number) for number, row in enumerate(rows) if row["cause"]
        ]
        live = ("live_unknown", "live_ok", "live_warned", "live_breached")
        standings = np.bincount(standings_of(at, options), minlength=4).tolist()
        counters = at.counters("risk")
        assert [counters[name] for name in live] == standings
        state = Whole(stage)
        assert {faults_of(state, each) for each in range(len(rows))} == {RiskFault.NONE}


class Whole:
    """A stage's positions, as the tests of checks take them."""

    def __init__(self, stage: Risk) -> None:
        self.memory, self.address = stage.book, stage.book.ctypes.data
        self.limits = Limits(1, 1, 1, DAYS.days)


def stage_of(at, options: RiskOptions, symbols=SYMBOLS) -> Risk:
    at.name_instruments(symbols)
    stage = Risk(options, len(symbols), at.links)
    stage.open()
    return stage


def top(instrument: int, mid: float) -> tuple:
    return Kind.TOP, instrument, round(mid * 10_000), round(mid * 10_000), 0, 0, 1


def traded(account: int, instrument: int, quantity: int, price: float) -> tuple:
    side = Side.BID if quantity > 0 else Side.ASK
    return Kind.EXECUTION, instrument, round(price * 10_000), abs(quantity), side, account, 1


def run(options: RiskOptions, *steps) -> tuple[np.ndarray, dict[str, int]]:
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of(steps))
        stage.turn(0)
        assert at.balanced()
        return at.took("risk"), at.counters("risk")


def one(symbol: str, quantity: int, price: float, *rate: float, **more) -> RiskOptions:
    positions = held(**{symbol: (quantity, price, *rate)})
    return RiskOptions(
        portfolios=[Portfolio(name="p", positions=positions, **more)],
        scenarios=DAYS, instruments=INSTRUMENTS, currencies=CURRENCIES,
    )  # fmt: skip


def test_a_rate_revalues_all_that_is_in_its_currency_with_one_record():
    told, counters = run(one("AAA", 100, 9.0), top(0, 10.0), top(3, 1.1), top(3, 1.2), top(3, 1.2))
    assert told["cause"].tolist() == [1, 2, 3]
    assert told["value"].tolist() == [0, 1_100 * MONEY_SCALE, 1_200 * MONEY_SCALE]
    assert told["pnl"].tolist() == [0, 110 * MONEY_SCALE, 210 * MONEY_SCALE]
    assert (counters["marks"], counters["unchanged"], counters["not_held"]) == (3, 1, 0)


def test_a_cost_with_its_rate_says_what_was_gained_since():
    told, _ = run(one("AAA", 100, 9.0, 1.05), top(0, 10.0), top(3, 1.1))
    assert told["pnl"].tolist() == [0, (1_100 - 945) * MONEY_SCALE]


def test_a_fixed_rate_and_pence():
    told, _ = run(one("BBB", 100, 2_000.0), top(1, 2_100.0))
    assert told["value"].tolist() == [2_667 * MONEY_SCALE]  # 2,100 pounds at 1.27
    assert told["pnl"].tolist() == [127 * MONEY_SCALE]


def test_a_future_is_sold_at_a_profit_in_its_currency_at_the_rate_of_then():
    told, _ = run(
        one("CCC", 2, 10.0, accounts=[5]),
        top(3, 1.1), top(2, 11.0), traded(5, 2, -1, 12.0), top(3, 1.2),
    )  # fmt: skip
    mine = told[told["kind"] == Kept.POSITION].view(POSITION_RECORD)
    assert mine["realised"].tolist() == [110 * MONEY_SCALE]  # 50 x 2.00 euro
    assert mine["cost"].tolist() == [550 * MONEY_SCALE]
    assert mine["amount"].tolist() == [-660 * MONEY_SCALE]
    risk = told[told["kind"] == Kept.RISK].view(RISK)
    assert risk["value"].tolist()[-2:] == [605 * MONEY_SCALE, 660 * MONEY_SCALE]
    assert risk["pnl"].tolist()[-2:] == [165 * MONEY_SCALE, 170 * MONEY_SCALE]


def test_an_execution_before_the_first_rate_is_in_no_position():
    told, counters = run(
        one("AAA", 100, 9.0, accounts=[5]),
        traded(5, 0, 10, 12.0), top(3, 1.1), top(0, 10.0), traded(5, 0, 10, 12.0),
    )  # fmt: skip
    assert (counters["unbooked"], counters["executions"]) == (1, 1)
    (mine,) = told[told["kind"] == Kept.POSITION].view(POSITION_RECORD)
    assert int(mine["cost"]) == (990 + 132) * MONEY_SCALE


def test_returns_are_those_in_the_base_currency():
    plain = load_scenarios(RiskOptions(portfolios=tree(0).portfolios, scenarios=DAYS))
    found = load_scenarios(tree(0))
    rate = load_scenarios(tree(0))["EURUSD"].tolist()
    assert found["BBB"].tolist() == plain["BBB"].tolist()
    for symbol, is_future in (("AAA", False), ("CCC", True)):
        for one_, other, fixed in zip(plain[symbol].tolist(), rate, found[symbol], strict=True):
            exact = Fraction(one_ * other, ONE) + one_ + (0 if is_future else other)
            assert fixed == round(exact - one_ - other) + one_ + other


@given(
    own=st.lists(st.integers(-ONE, ONE), min_size=1, max_size=9), future=st.booleans(),
    other=st.integers(-ONE, ONE) | st.just(ONE // 2),
)  # fmt: skip
def test_a_product_of_returns_is_rounded_once(own, future, other):
    found = returns_abroad(np.array(own, np.int32), np.full(len(own), other, np.int32), future, "A")
    exact = [one_ + (0 if future else other) + round(Fraction(one_ * other, ONE)) for one_ in own]
    assert found.tolist() == exact
    assert found.dtype == np.int32


def test_returns_that_do_not_fit_are_refused():
    large = np.array([100 * ONE], np.int32)
    with pytest.raises(ScenarioError, match="returns of AAA with those of its currency"):
        returns_abroad(large, large, False, "AAA")


def test_a_rate_without_scenarios_is_refused(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("AAA\n" + "0.01\n" * 100)
    options = msgspec.structs.replace(one("AAA", 1, 1.0), scenarios=CsvScenarios(path=str(path)))
    with pytest.raises(ScenarioError, match="no returns for EURUSD: add a column"):
        load_scenarios(options)


@pytest.mark.parametrize(("number", "exact"), [(50.0, (50, 1)), (0.1, (1, 10)), (2.5, (5, 2))])
def test_a_number_is_what_is_written(number, exact):
    assert contracts.ratio(number) == exact


def test_what_a_lot_is():
    known = [contracts.contract_of(name, INSTRUMENTS, CURRENCIES) for name in SYMBOLS[:4]]
    special = [Contract(1, 1, 1), Contract(1, 100, 2), Contract(50, 1, 1, True)]
    assert known == [*special, Contract()]
    assert contracts.quotes_of(CURRENCIES) == {"EURUSD": 1}
    assert contracts.fixed_rates(CURRENCIES) == {2: (127, 100)}
