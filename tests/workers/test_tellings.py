"""What lines tell of positions is held as the twin holds it, in whatever order instruments come."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.risk_stage import NaiveRisk
from tests.workers.joined import joint
from tests.workers.test_contracts import Whole, held
from tests.workers.test_risk import DAYS, standings_of
from tests.workers.test_risk_check import faults_of
from workers.contracts import CurrencyOptions, InstrumentOptions
from workers.instruments import INSTRUMENT
from workers.kernels.risk_check import RiskFault
from workers.records import (
    EXECUTION,
    HOLDING,
    LIMIT,
    MONEY_SCALE,
    NAMED,
    POSITION_RECORD,
    RISK,
    TOP,
    Kept,
    Measure,
    Side,
    Standing,
    Telling,
    empty,
)
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import LimitOptions, Portfolio, RiskOptions

EXAMPLES = 60 if compiled() else 30
FINE = 10**8  # price units in one of currency, where only lines tell of an instrument
NAMES = {
    0: ("AAA", 10_000), 1: ("EURUSD", 100_000), 2: ("BBB", 100), 3: ("AAA", 100),
    4: ("AAA", FINE), 5: ("BBB", FINE), 6: ("EURUSD", FINE), 7: ("NONE", FINE), 8: ("CCC", FINE),
}  # fmt: skip
TOLD_OF = frozenset(range(4, 9))
A, EURUSD, B, A_ELSEWHERE, A_TOLD, B_TOLD, EURUSD_TOLD, NONE_TOLD, C_TOLD = range(9)


def tree(conflate_ms: int = 0, **more) -> RiskOptions:
    limits = LimitOptions(var_99=100.0, value=90_000.0, loss=20.0, warn=0.5)
    portfolios = [
        Portfolio(name="firm", limits=limits),
        Portfolio(name="desk", parent="firm", accounts=[0], positions=held(AAA=(100, 99.5))),
        Portfolio(name="book", parent="desk", positions=held(BBB=(-4, 20.0), CCC=(1, 1.0))),
        Portfolio(name="other", limits=limits, positions=held(EURUSD=(10, 1.1))),
    ]
    return RiskOptions(
        portfolios=[msgspec.structs.replace(each, **more) for each in portfolios],
        scenarios=DAYS, conflate_ms=conflate_ms, lines=True,
        instruments={
            "AAA": InstrumentOptions(currency="EUR"),
            "BBB": InstrumentOptions(kind="future", currency="EUR", multiplier=2.5),
        },
        currencies={"EUR": CurrencyOptions(symbol="EURUSD")},
    )  # fmt: skip


def top(instrument: int, price: float, pause: int = 1) -> tuple:
    units = round(price * NAMES[instrument][1])
    return Kind.TOP, instrument, units, units, Side.NONE, 0, 0, pause


def told(portfolio: int, instrument: int, lots: int, price: float, state=Telling.POSITION) -> tuple:
    side = Side.BID if lots >= 0 else Side.ASK
    units = round(price * NAMES[instrument][1])
    return Kind.HOLDING, instrument, units, abs(lots), side, portfolio, state, 1


STEPS = st.one_of(
    st.builds(
        top, st.integers(0, 3), st.sampled_from([0.0, 0.99, 1.25, 1.31]), st.sampled_from([0, 1, 3])
    ),
    st.builds(
        told, st.integers(0, 3), st.integers(0, 8), st.integers(-40, 40),
        st.sampled_from([0.0, 0.01, 1.15, 2.01]), st.sampled_from(Telling),
    ),
    st.tuples(
        st.just(Kind.EXECUTION), st.integers(0, 3), st.sampled_from([1, 333, 99_001]),
        st.integers(1, 40), st.sampled_from([Side.BID, Side.ASK]), st.integers(0, 1), st.just(1),
        st.sampled_from([0, 1]),
    ),
)  # fmt: skip


def records_of(stream) -> np.ndarray:
    """Tops, executions and what is told, as they lie on the book ring, numbered."""
    records = empty(TOP, len(stream))
    for number, (kind, instrument, first, second, side, owner, state, _) in enumerate(stream):
        row = records[number : number + 1]
        if kind == Kind.TOP:
            row["bid"], row["ask"] = first, second
        elif kind == Kind.EXECUTION:
            row = row.view(EXECUTION)
            row["account"] = owner
        else:
            row = row.view(HOLDING)
            row["portfolio"] = owner
        if kind != Kind.TOP:
            row["price"], row["quantity"], row["side"], row["state"] = first, second, side, state
        row["kind"], row["instrument"], row["sequence"] = kind, instrument, number + 1
    records["time_ns"] = np.cumsum([step[-1] for step in stream], dtype=np.int64) * 500_000
    return records


def stage_of(at, options: RiskOptions) -> Risk:
    for number, (symbol, scale) in NAMES.items():
        row = np.zeros(1, INSTRUMENT)
        row["symbol"], row["price_scale"] = symbol.encode(), scale
        row["matched"] = NAMED * (number in TOLD_OF)
        at.boards["instruments"].put(number, row)
    stage = Risk(options, len(NAMES), at.links)
    stage.open()
    return stage


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    stream=st.lists(STEPS, max_size=40),
    options=st.sampled_from([tree(), tree(accounting="fifo", lots=2), tree(1)]),
)
def test_the_stage_holds_what_the_twin_holds(stream, options):
    records = records_of(stream)
    twin = NaiveRisk(options, NAMES, TOLD_OF)
    for record in records:
        twin.take(record)
    with joint(Risk) as at:
        stage = stage_of(at, options)
        assert at.sources["book"].push(records) == len(stream)
        stage.turn(0)
        said = at.took("risk")
        assert said.tobytes() == b"".join(twin.records)
        assert at.balanced()
        counters = at.counters("risk")
        assert counters["astray"] + counters["unbooked"] == sum(twin.missed.values())
        count = counters["executions"] + counters["holdings"]
        assert count == np.count_nonzero(said["kind"] == Kept.POSITION)
        live = ("live_unknown", "live_ok", "live_warned", "live_breached")
        standings = np.bincount(standings_of(at, options), minlength=4).tolist()
        assert [counters[name] for name in live] == standings
        whole = Whole(stage)
        assert {faults_of(whole, each) for each in range(4)} == {RiskFault.NONE}


PLAIN = RiskOptions(
    portfolios=[
        Portfolio(name="firm", limits=LimitOptions(value=1e6)),
        Portfolio(name="desk", parent="firm"),
    ],
    scenarios=DAYS, lines=True,
)  # fmt: skip
HELD = msgspec.structs.replace(
    PLAIN, portfolios=[PLAIN.portfolios[0], Portfolio(name="desk", positions=held(AAA=(1, 5.0)))]
)


def run(options: RiskOptions, *steps) -> tuple[np.ndarray, dict[str, int], str]:
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of(steps))
        stage.turn(0)
        assert at.balanced()
        message = at.links.panel.status["message"].decode()
        return at.took("risk"), at.counters("risk"), message


def test_a_position_is_set_and_a_trade_comes_to_it():
    said, counters, _ = run(
        HELD,
        told(1, A_TOLD, 100, 10.0), top(A, 12.0), told(1, A_TOLD, -50, 13.0, Telling.TRADE),
        told(1, A_TOLD, -7, 12.5), told(1, A_TOLD, 0, 0.0),
    )  # fmt: skip
    mine = said[said["kind"] == Kept.POSITION].view(POSITION_RECORD)
    assert mine["cause"].tolist() == [1, 3, 4, 5]
    assert mine["quantity"].tolist() == [100, 50, -7, 0]
    cost = [1000, 500, -87.5, 0]
    assert mine["cost"].tolist() == [round(each * MONEY_SCALE) for each in cost]
    assert mine["realised"].tolist() == [0] + [150 * MONEY_SCALE] * 3
    assert mine["amount"].tolist() == [1000 * 0, -650 * MONEY_SCALE, 0, 0]
    assert set(mine["instrument"]) == {A_TOLD}
    risk = said[said["kind"] == Kept.RISK].view(RISK)
    assert risk["value"].tolist() == [each * MONEY_SCALE for each in (0, 1200, 600, -84, 0)]
    assert risk["pnl"].tolist() == [round(each * MONEY_SCALE) for each in (0, 200, 250, 153.5, 150)]
    assert (counters["holdings"], counters["marks"], counters["not_held"]) == (4, 1, 0)


def test_what_is_told_before_anybody_has_a_price_waits_for_one_and_is_in_doubt():
    desk = msgspec.structs.replace(HELD.portfolios[1], limits=LimitOptions(value=1e6))
    options = msgspec.structs.replace(HELD, portfolios=[desk])
    said, _, _ = run(options, told(0, A_TOLD, 100, 10.0), top(A_ELSEWHERE, 12.0), top(A, 99.0))
    limits = said[said["kind"] == Kept.LIMIT].view(LIMIT)
    assert [(int(row["cause"]), int(row["after"])) for row in limits] == [(2, Standing.OK)]
    assert limits["measure"].tolist() == [Measure.VALUE]
    assert limits["measured"].tolist() == [1200 * MONEY_SCALE]  # and the second source counts not


def test_what_has_no_scenarios_is_in_no_position():
    said, counters, message = run(PLAIN, told(1, NONE_TOLD, 1, 1.0), told(1, A_TOLD, 1, 1.0))
    assert (counters["astray"], counters["holdings"]) == (2, 0)
    assert "are in no position: there are no scenarios for it" in message
    assert not (said["kind"] == Kept.POSITION).any()


def test_what_is_beyond_every_bound_is_in_no_position():
    _, counters, _ = run(HELD, told(1, A_TOLD, 1 << 56, 1e6), told(1, A_TOLD, 1 << 40, 1e9))
    assert (counters["unbooked"], counters["holdings"]) == (2, 0)


def test_a_log_of_more_portfolios_than_there_are():
    _, counters, _ = run(HELD, told(2, A_TOLD, 1, 1.0), told(-1, A_TOLD, 1, 1.0), top(A, 1.0))
    assert (counters["not_ours"], counters["marks"]) == (2, 1)


def test_lines_are_passed_by_where_none_are_wanted():
    options = msgspec.structs.replace(HELD, lines=False)
    _, counters, _ = run(options, told(1, A_TOLD, 1, 1.0), top(A, 1.0))
    assert (counters["passed_by"], counters["marks"]) == (1, 1)


@pytest.mark.parametrize("first", [A, A_ELSEWHERE])
def test_it_is_of_what_is_held_already(first):
    said, _, _ = run(HELD, top(first, 12.0), told(1, A_TOLD, 5, 1.0, Telling.TRADE))
    (mine,) = said[said["kind"] == Kept.POSITION].view(POSITION_RECORD)
    assert (int(mine["quantity"]), int(mine["cost"])) == (6, 10 * MONEY_SCALE)
