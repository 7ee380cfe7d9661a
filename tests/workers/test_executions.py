"""Executions of accounts become positions, by average cost or FIFO, exactly as the twin has it."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.naive.risk_stage import NaiveRisk
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_risk import DAYS, SYMBOLS, TREE, holding, stage_of, standings_of
from workers.executions import ledger_of, owner_of
from workers.kernels.ledger import LEDGER
from workers.kernels.position_block import is_above, row_of
from workers.orders import Liquidity
from workers.records import (
    EXECUTION,
    LIMIT,
    MONEY_SCALE,
    POSITION_RECORD,
    RISK,
    TOP,
    Kept,
    Measure,
    Side,
    Standing,
    empty,
)
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import (
    CsvScenarios,
    LimitOptions,
    Portfolio,
    RiskOptions,
    load_scenarios,
    owners_of,
    records_most,
)

EXAMPLES = 60 if compiled() else 12
MS = 1_000_000


def with_accounts(conflate_ms: int, **more) -> RiskOptions:
    """The tree of risk's tests, some of whose portfolios trade."""
    accounts = {"book": [0, 3], "desk": [1], "alone": [5], "firm": [6]}
    return RiskOptions(
        portfolios=[
            msgspec.structs.replace(p, accounts=accounts.get(p.name, []), **more)
            for p in TREE.portfolios
        ],
        scenarios=DAYS,
        conflate_ms=conflate_ms,
    )


TRADING = [
    with_accounts(0),
    with_accounts(0, accounting="fifo", lots=2),
    with_accounts(1, accounting="fifo"),
    with_accounts(1),
]
# kind, instrument, bid or price, ask or quantity, side, account, pause in half milliseconds
STEPS = st.one_of(
    st.tuples(
        st.just(Kind.TOP), st.integers(0, 3), st.sampled_from([0, 990_000, 995_000]),
        st.sampled_from([0, 990_200, 1_010_000]), st.just(0), st.just(0),
        st.sampled_from([0, 1, 3]),
    ),
    st.tuples(
        st.just(Kind.EXECUTION), st.integers(0, 3), st.sampled_from([1, 333, 990_001, 1_000_000]),
        st.integers(1, 40), st.sampled_from([Side.BID, Side.ASK]), st.integers(0, 7),
        st.sampled_from([0, 0, 1, 3]),
    ),
)  # fmt: skip


def records_of(stream) -> np.ndarray:
    """Tops and executions as they lie on the book ring, numbered."""
    records = empty(TOP, len(stream))
    for number, (kind, instrument, first, second, side, account, _) in enumerate(stream):
        row = records[number : number + 1]
        if kind == Kind.EXECUTION:
            row = row.view(EXECUTION)
            row["price"], row["quantity"], row["account"] = first, second, account
            row["side"], row["state"], row["order"] = side, Liquidity.TAKER, number
        else:
            row["bid"], row["ask"] = first, second
        row["kind"], row["instrument"], row["sequence"] = kind, instrument, number + 1
    records["time_ns"] = np.cumsum([step[-1] for step in stream]) * MS // 2
    return records


def twin_of(options: RiskOptions, records: np.ndarray) -> NaiveRisk:
    twin = NaiveRisk(options, {number: (symbol, 10_000) for number, symbol in enumerate(SYMBOLS)})
    for record in records:
        twin.take(record)
    return twin


@settings(max_examples=EXAMPLES, deadline=None)
@given(stream=st.lists(STEPS, max_size=40), options=st.sampled_from(TRADING))
def test_the_stage_books_what_the_twin_books(stream, options):
    records = records_of(stream)
    twin = twin_of(options, records)
    with joint(Risk) as at_:
        stage = stage_of(at_, options)
        assert at_.sources["book"].push(records) == len(stream)
        stage.turn(0)
        told = at_.took("risk")
        assert told.tobytes() == b"".join(twin.records)
        assert at_.balanced()
        counters = at_.counters("risk")
        assert counters["published"] == len(told)
        traded = records[records["kind"] == Kind.EXECUTION].view(EXECUTION)
        names = ("executions", "not_ours", "astray", "unbooked")
        assert sum(counters[name] for name in names) == len(traded)
        assert counters["executions"] == np.count_nonzero(told["kind"] == Kept.POSITION)
        assert counters["astray"] == sum(twin.missed.values())
        assert counters["merged"] == sum(mine.merged for mine in twin.ledgers.values())
        at_.sources["book"].close()
        assert len(turn_until_finished(stage, at_, "risk")["risk"]) == 0
        rows = at_.links.boards["portfolios"].all()[: len(options.portfolios)]
        assert [int(row["realised"]) for row in rows] == [
            twin.realised(number) for number in range(len(rows))
        ]
        standings = np.bincount(standings_of(at_, options), minlength=4).tolist()
        live = ("live_unknown", "live_ok", "live_warned", "live_breached")
        counters = at_.counters("risk")
        assert [counters[name] for name in live] == standings


def execution(account: int, instrument: int, side: Side, quantity: int, price: float) -> tuple:
    return Kind.EXECUTION, instrument, round(price * 10_000), quantity, side, account, 1


def top(instrument: int, mid: float) -> tuple:
    return Kind.TOP, instrument, round(mid * 10_000), round(mid * 10_000), 0, 0, 1


BUY, SELL = Side.BID, Side.ASK
TWO = [
    Portfolio(name="desk", limits=LimitOptions(value=1e6, loss=300.0)),
    Portfolio(name="book", parent="desk", accounts=[2], positions=holding(AAA=(100, 10.0))),
]


def run(options: RiskOptions, *steps) -> tuple[np.ndarray, dict[str, int], np.ndarray, str]:
    """What is told of some steps, what is counted, the board, and the message."""
    with joint(Risk) as at_:
        stage = stage_of(at_, options)
        at_.sources["book"].push(records_of(steps))
        stage.turn(0)
        assert at_.balanced()
        board = at_.links.boards["portfolios"].all()
        message = at_.links.panel.status["message"].decode()
        return at_.took("risk"), at_.counters("risk"), board, message


@pytest.mark.parametrize(
    ("accounting", "cost", "realised"), [("average", 550.0, 300.0), ("fifo", 600.0, 350.0)]
)
def test_a_sale_by_hand(accounting, cost, realised):
    portfolios = [TWO[0], msgspec.structs.replace(TWO[1], accounting=accounting)]
    told, counters, board, message = run(
        RiskOptions(portfolios=portfolios, scenarios=DAYS),
        top(0, 13.0),
        execution(2, 0, BUY, 100, 12.0),
        execution(9, 0, BUY, 100, 12.0),  # somebody else
        execution(2, 0, SELL, 150, 13.0),
    )
    mine = told[told["kind"] == Kept.POSITION].view(POSITION_RECORD)
    assert mine["cause"].tolist() == [2, 4]
    assert mine["quantity"].tolist() == [200, 50]
    assert mine["cost"].tolist() == [2200 * MONEY_SCALE, cost * MONEY_SCALE]
    assert mine["realised"].tolist() == [0, realised * MONEY_SCALE]
    assert mine["amount"].tolist() == [1200 * MONEY_SCALE, -1950 * MONEY_SCALE]
    assert mine["index"].tolist() == [0, 0]
    risk = told[told["kind"] == Kept.RISK].view(RISK)
    # 200 at 13 that cost 2,200; after the sale 650 and 1,950 received: 400 in any case.
    assert risk["pnl"][-4:].tolist() == [400 * MONEY_SCALE] * 4
    assert risk["value"][-2:].tolist() == [650 * MONEY_SCALE] * 2
    assert risk["portfolio"][-2:].tolist() == [0, 1]
    assert (counters["executions"], counters["not_ours"]) == (2, 1)
    assert board["realised"][:2].tolist() == [realised * MONEY_SCALE] * 2
    assert message == ""


def test_what_nobody_held_is_held_from_its_execution_on():
    options = RiskOptions(
        portfolios=[*TWO, Portfolio(name="other", positions=holding(BBB=(1, 20.0)))],
        scenarios=DAYS,
    )
    told, _, board, _ = run(options, top(0, 10.0), execution(2, 1, SELL, 10, 20.0), top(1, 19.0))
    limits = told[told["kind"] == Kept.LIMIT].view(LIMIT)
    after = [(int(row["cause"]), int(row["after"])) for row in limits]
    assert after[:2] == [(1, Standing.OK)] * 2
    assert after[2:4] == [(2, Standing.UNKNOWN)] * 2  # no mark of BBB yet
    assert after[4:] == [(3, Standing.OK)] * 2
    assert board["pnl"][:3].tolist() == [10 * MONEY_SCALE, 10 * MONEY_SCALE, -1 * MONEY_SCALE]


def test_an_execution_without_scenarios_is_told_and_never_ok_again():
    told, counters, board, message = run(
        RiskOptions(portfolios=TWO, scenarios=DAYS),
        top(0, 10.0), execution(2, 3, BUY, 10, 20.0), top(3, 20.0), top(0, 10.5),
    )  # fmt: skip
    assert (counters["astray"], counters["executions"]) == (1, 0)
    assert counters["not_held"] == 1
    assert message.startswith("executions in NONE are in no position: there are no scenarios")
    assert board["unvalued"][:2].tolist() == [1, 1]
    limited = board["standing"][0][[Measure.VALUE, Measure.LOSS]].tolist()
    assert limited == [Standing.UNKNOWN] * 2
    assert told["cause"].tolist().count(2) == 2 + 2  # both portfolios, and both limits of one


def test_an_execution_beyond_every_bound_is_in_no_position():
    told, counters, board, _ = run(
        RiskOptions(portfolios=TWO, scenarios=DAYS),
        top(0, 10.0), execution(2, 0, BUY, 1 << 40, 1e8), execution(2, 0, BUY, 0, 1.0),
    )  # fmt: skip
    assert counters["unbooked"] == 2
    assert not (told["kind"] == Kept.POSITION).any()
    assert board["unvalued"][:2].tolist() == [2, 2]


def test_a_file_of_returns_says_what_may_be_traded(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("AAA,BBB,CCC\n" + "0.01,-0.02,0.5\n" * 100)
    options = RiskOptions(portfolios=TWO, scenarios=CsvScenarios(path=str(path)))
    assert sorted(load_scenarios(options)) == ["AAA", "BBB", "CCC"]
    nobody = [TWO[0], msgspec.structs.replace(TWO[1], accounts=[])]
    assert [*load_scenarios(msgspec.structs.replace(options, portfolios=nobody))] == ["AAA"]
    _, counters, _, _ = run(options, execution(2, 2, BUY, 10, 20.0), top(2, 21.0))
    assert (counters["executions"], counters["marks"]) == (1, 1)


def test_nobody_has_accounts():
    _, counters, _, _ = run(TREE, execution(0, 0, BUY, 10, 20.0))
    assert (counters["passed_by"], counters["not_ours"]) == (1, 0)


def test_whose_accounts_are_and_how_much_may_be_told():
    assert owners_of(TRADING[0]) == [1, 2, -1, 1, -1, 4, 0]
    assert owners_of(TREE) == []
    most = records_most(TREE)
    assert records_most(msgspec.structs.replace(TREE, conflate_ms=5)) == most
    assert [records_most(options) for options in TRADING] == [1 + most, 1 + most] + [
        1 + 2 * most
    ] * 2


def test_ledgers_and_owners_have_their_places():
    with joint(Risk) as at_:
        stage = stage_of(at_, TRADING[1])
        assert [int(owner_of(stage.desk_at, n)) for n in (-1, 0, 2, 6, 7)] == [-1, 1, -1, 0, -1]
        at_.sources["book"].push(records_of([execution(5, 1, BUY, 10, 20.0)]))
        stage.turn(0)
        row = row_of(stage.book.ctypes.data, 1)
        mine = at(ledger_of(stage.desk_at, row, 4), LEDGER)
        assert (int(mine.quantity), int(mine.room), int(mine.lots)) == (10, 2, 1)
        above = [bool(is_above(stage.book.ctypes.data, each, 1)) for each in range(6)]
        assert above == [True, True, True, False, False, False]


def test_what_is_traded_elsewhere_has_rows_of_the_board_of_its_own_through_a_new_start():
    """The symbol is held in the first source that has it, and an account trades it in another."""
    steps = [top(2, 10.0), execution(2, 0, BUY, 10, 20.0), top(0, 21.0), top(2, 11.0)]
    with joint(Risk) as at_:
        at_.name_instruments(["AAA", "BBB", "AAA"])
        stage = Risk(RiskOptions(portfolios=TWO, scenarios=DAYS), 3, at_.links)
        stage.open()
        at_.sources["book"].push(records_of(steps))
        stage.turn(0)
        before = stage.shown.places.copy()
        stage.bind(at_.links)
        assert stage.shown.places.tolist() == before.tolist()
        shown = at_.links.boards["positions"].all()
        shown = shown[shown["symbol"] != b""]
        names = ["portfolio", "instrument", "quantity", "mark"]
        assert shown[names].tolist() == [
            (0, 2, 0, 220_000),  # desk: nothing itself
            (0, 0, 0, 420_000),
            (1, 2, 100, 220_000),
            (1, 0, 10, 420_000),
        ]
        counters = at_.counters("risk")
        assert (counters["marks"], counters["executions"]) == (3, 1)
        told = at_.took("risk")
        (mine,) = told[told["kind"] == Kept.POSITION].view(POSITION_RECORD)
        assert (int(mine["instrument"]), int(mine["quantity"])) == (0, 10)
        value = int(told[told["kind"] == Kept.RISK].view(RISK)["value"][-1])
        assert value == (100 * 11 + 10 * 21) * MONEY_SCALE


def test_a_third_source_of_a_symbol_finds_no_room_and_says_so():
    steps = [top(0, 10.0), execution(2, 1, BUY, 10, 20.0), execution(2, 2, BUY, 10, 20.0)]
    with joint(Risk) as at_:
        at_.name_instruments(["AAA"] * 3)
        stage = Risk(RiskOptions(portfolios=TWO, scenarios=DAYS), 3, at_.links)
        stage.open()
        at_.sources["book"].push(records_of(steps))
        stage.turn(0)
        counters = at_.counters("risk")
        assert (counters["executions"], counters["astray"]) == (1, 1)
        assert b"there is no room for it; let no more" in at_.links.panel.status["message"]
