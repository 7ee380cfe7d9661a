"""The risk stage says what risk from scratch would say, on every mark that moves a position."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.risk import Risk as Naive
from tests.naive.risk_stage import NaiveRisk, parents_by_name
from tests.workers.joined import joint, turn_until_finished
from workers.kernels.position_block import PRICE_LIMIT
from workers.records import LIMIT, MONEY_SCALE, RISK, TOP, Kept, Measure, Standing, empty
from workers.records import Book as Kind
from workers.risk import CONVENTION, Risk
from workers.risk_options import (
    CsvScenarios,
    LimitOptions,
    Portfolio,
    Position,
    RiskOptions,
    SyntheticScenarios,
    all_scenarios,
    load_scenarios,
    symbols_of,
)
from workers.scenarios import ScenarioError

SYMBOLS = ["AAA", "BBB", "CCC", "NONE"]  # nobody holds the last
DAYS = SyntheticScenarios(days=100, seed=3)
EXAMPLES = 60 if compiled() else 10


def holding(**positions: tuple[int, float]) -> dict[str, Position]:
    return {name: Position(quantity=q, price=p) for name, (q, p) in positions.items()}


OPTIONS = RiskOptions(
    portfolios=[
        Portfolio(name="both", positions=holding(AAA=(100, 99.5), BBB=(-40, 20.0))),
        Portfolio(name="one", positions=holding(BBB=(7, 20.0), CCC=(1, 1.0))),
        Portfolio(name="elsewhere", positions=holding(ZZZ=(5, 5.0))),
    ],
    scenarios=DAYS,
)
LOW = LimitOptions(var_99=100.0, es_975=150.0, value=9_000.0, loss=20.0, warn=0.5)
HIGH = LimitOptions(es_975=1e6, value=11_000.0, loss=1.0)
TREE = RiskOptions(
    portfolios=[
        Portfolio(name="firm", limits=LOW),
        Portfolio(name="book", parent="desk", positions=holding(AAA=(100, 99.5), BBB=(-40, 20.0))),
        Portfolio(name="desk", parent="firm", limits=HIGH, positions=holding(AAA=(-30, 98.0))),
        Portfolio(name="hedge", parent="desk", positions=holding(AAA=(-70, 99.0))),
        Portfolio(name="alone", positions=holding(CCC=(1, 1.0), ZZZ=(5, 5.0))),
        Portfolio(name="other", parent="firm", positions=holding(ZZZ=(5, 5.0), BBB=(1, 2.0))),
    ],
    scenarios=DAYS,
)

TOPS = st.tuples(
    st.sampled_from([Kind.TOP, Kind.TOP, Kind.TOP, Kind.LEVEL, Kind.TRADE, Kind.STATUS]),
    st.integers(0, 3),
    st.sampled_from([0, 990_000, 990_100, 5, 1 << 61]),
    st.sampled_from([0, 990_200, 990_300, 9]),
)
# A top, and how many half milliseconds it comes after the one before it.
TIMED = st.builds(
    lambda top, pause: (*top, pause), TOPS, st.sampled_from([0, 0, 0, 1, 1, 2, 5, -3])
)


def records_of(stream) -> np.ndarray:
    records = empty(TOP, len(stream))
    for number, (record, values) in enumerate(zip(records, stream, strict=True)):
        record["kind"], record["instrument"], record["bid"], record["ask"] = map(int, values)
        record["time_ns"] = 1000 + number
    return records


class Twin:
    """The same portfolios, computed from scratch for every answer."""

    def __init__(self, options: RiskOptions) -> None:
        self.options = options
        self.returns = load_scenarios(options)
        self.risk = Naive(len(options.portfolios), DAYS.days, parents_by_name(options))
        self.marks: dict[int, int] = {}
        self.counts = dict.fromkeys(
            ("marks", "unchanged", "not_held", "one_sided", "refused", "passed_by"), 0
        )

    def hold(self, instrument: int) -> None:
        """Positions join when their instrument is first met."""
        symbol = SYMBOLS[instrument]
        for number, portfolio in enumerate(self.options.portfolios):
            position = portfolio.positions.get(symbol)
            if position and instrument not in self.risk.portfolios[number]:
                cost = round(position.quantity * position.price * MONEY_SCALE)
                row = self.returns[symbol]
                self.risk.hold(number, instrument, position.quantity, cost, 10_000, row)

    def take(self, kind, instrument, bid, ask) -> list[tuple]:
        """What goes out for a record: (portfolio, value, pnl, var, shortfall)."""
        fate = self.fate(kind, instrument, bid, ask)
        self.counts[fate] += 1
        if fate != "marks":
            return []
        self.marks[instrument] = bid + ask
        assert self.risk.mark(instrument, bid, ask)
        numbers = range(len(self.options.portfolios))
        return [self.answer(n) for n in numbers if self.risk.is_concerned(n, instrument)]

    def unvalued(self, number: int) -> int:
        """Positions without a mark, of instruments that were never met too."""
        family = [self.options.portfolios[each] for each in self.risk.family(number)]
        marked = {SYMBOLS[instrument] for instrument in self.marks}
        return sum(symbol not in marked for each in family for symbol in each.positions)

    def fate(self, kind, instrument, bid, ask) -> str:
        if kind != Kind.TOP:
            return "passed_by"
        self.hold(instrument)
        if SYMBOLS[instrument] == "NONE":
            return "not_held"
        if bid <= 0 or ask <= 0:
            return "one_sided"
        if self.marks.get(instrument) == bid + ask:
            return "unchanged"
        return "refused" if max(bid, ask) > PRICE_LIMIT else "marks"

    def answer(self, number: int) -> tuple:
        risk = self.risk
        return (
            number, risk.value(number), risk.pnl(number), risk.var_99(number), risk.es_975(number),
        )  # fmt: skip


def all_records(options: RiskOptions, stream) -> bytes:
    """What the twin of whole pipelines puts on the risk ring, limits included."""
    names = {number: (symbol, 10_000) for number, symbol in enumerate(SYMBOLS)}
    desk = NaiveRisk(options, names)
    for number, top in enumerate(records_of(stream), 1):
        top["sequence"] = number
        desk.take(top)
    return b"".join(desk.records)


def standings_of(at, options: RiskOptions) -> list[int]:
    """How every limit is stood to, by the board."""
    rows = at.links.boards["portfolios"].all()[: len(options.portfolios)]
    return [int(row["standing"][m]) for row in rows for m in Measure if row["limit"][m]]


def stage_of(at, options=OPTIONS) -> Risk:
    at.name_instruments(SYMBOLS)
    stage = Risk(options, len(SYMBOLS), at.links)
    stage.open()
    return stage


@settings(max_examples=EXAMPLES, deadline=None)
@given(stream=st.lists(TOPS, max_size=30), options=st.sampled_from([OPTIONS, TREE]))
def test_the_stage_says_what_risk_from_scratch_says(stream, options):
    twin = Twin(options)
    expected = [(n, *answer) for n, top in enumerate(stream, 1) for answer in twin.take(*top)]
    with joint(Risk) as at:
        stage = stage_of(at, options)
        assert at.sources["book"].push(records_of(stream)) == len(stream)
        at.sources["book"].close()
        records = turn_until_finished(stage, at, "risk")["risk"]
        names = ("cause", "portfolio", "value", "pnl", "var_99", "es_975")
        of_risk = records[records["kind"] == CONVENTION]
        said = list(zip(*(of_risk[name].tolist() for name in names), strict=True))
        assert said == expected
        assert records.tobytes() == all_records(options, stream)
        counters = at.counters("risk")
        assert {name: counters[name] for name in twin.counts} == twin.counts
        assert counters["received"] == len(stream)
        assert counters["published"] == len(records)
        assert at.balanced()
        assert (records["time_ns"] == 999 + records["cause"]).all()
        standings = np.bincount(standings_of(at, options), minlength=4).tolist()
        live = ("live_unknown", "live_ok", "live_warned", "live_breached")
        assert [counters[name] for name in live] == standings
        rows = at.links.boards["portfolios"].all()[: len(options.portfolios)]
        for portfolio, row in enumerate(rows):
            mine = of_risk[of_risk["portfolio"] == portfolio]
            assert row["name"].decode() == options.portfolios[portfolio].name
            assert row["parent"] == twin.risk.parents[portfolio]
            assert row["unvalued"] == twin.unvalued(portfolio)
            for last in mine[-1:]:
                assert all(row[name] == last[name] for name in ("value", "pnl", "var_99", "es_975"))
        stage.close()
        assert at.targets["risk"].ended


def test_a_mark_by_hand():
    options = RiskOptions(
        portfolios=[Portfolio(name="p", positions=holding(AAA=(100, 99.5)))], scenarios=DAYS
    )
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of([(Kind.TOP, 0, 1_000_000, 1_000_200)]))
        stage.turn(0)
        (record,) = at.took("risk")
        assert int(record["value"]) == 100 * 1_000_100  # 10,001.00 in money units
        assert int(record["pnl"]) == 100 * (1_000_100 - 995_000)
        returns = sorted(load_scenarios(options)["AAA"].tolist())
        worst = Fraction(-returns[0], 1 << 24) * 100 * Fraction(1_000_100)  # the first of 100
        assert int(record["var_99"]) == pytest.approx(float(worst), rel=1e-6)
        tail = Fraction(-(returns[0] + returns[1]) * 2 - returns[2], 5) / (1 << 24)
        assert int(record["es_975"]) == pytest.approx(float(tail * 100_010_000), rel=1e-6)
        assert record["sequence"] == 1


def test_a_mark_goes_up_the_tree():
    with joint(Risk) as at:
        stage = stage_of(at, TREE)
        at.sources["book"].push(records_of([(Kind.TOP, 0, 990_000, 990_200)]))
        stage.turn(0)
        records = at.took("risk")
        assert records["index"].tolist() == [*range(len(records))]
        records = records[records["kind"] == CONVENTION]
        firm, book, desk, hedge = 0, 1, 2, 3
        assert records["portfolio"].tolist() == [firm, book, desk, hedge]
        assert set(records["cause"]) == {1}
        assert records["value"].tolist() == [0, 100 * 990_100, 0, -70 * 990_100]
        assert records["var_99"][[0, 2]].tolist() == [0, 0]  # 100 - 30 - 70: nothing can be lost
        costs = [100 * 995_000, -30 * 980_000, -70 * 990_000]
        assert records["pnl"].tolist() == [-sum(costs), 100 * 990_100 - costs[0], -sum(costs),
                                           -70 * 990_100 - costs[2]]  # fmt: skip


def test_a_portfolio_goes_through_its_limits():
    """100 held at 99.50: loss limit 100.00, warned beyond 50.00; gross limit 10,000.00."""
    limits = LimitOptions(value=10_000.0, loss=100.0, warn=0.5)
    options = RiskOptions(
        portfolios=[
            Portfolio(name="p", limits=limits, positions=holding(AAA=(100, 99.5), BBB=(0, 0.0)))
        ],
        scenarios=DAYS,
    )
    marks = [(0, 995_000), (1, 10_000), (0, 990_000), (0, 989_999), (0, 985_000), (0, 984_999)]
    marks += [(0, 999_999), (0, 1_000_001)]
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(records_of([(Kind.TOP, number, mid, mid) for number, mid in marks]))
        stage.turn(0)
        records = at.took("risk")
        changes = records[records["kind"] == Kept.LIMIT].view(LIMIT)
        unknown, ok, warn, breach = Standing
        said = [tuple(map(int, row)) for row in changes[["cause", "measure", "before", "after"]]]
        assert said == [
            # The first mark leaves BBB unmarked: unknown, as before, and nothing to tell.
            (2, Measure.VALUE, unknown, warn),
            (2, Measure.LOSS, unknown, ok),
            (4, Measure.LOSS, ok, warn),  # 50.01; at 50.00 exactly it was not yet
            (6, Measure.LOSS, warn, breach),  # 100.01
            (7, Measure.LOSS, breach, ok),
            (8, Measure.VALUE, warn, breach),  # 10,000.01
        ]
        assert changes["measured"][-1] == 100 * 1_000_001
        assert changes["limit"][-1] == 10_000 * MONEY_SCALE
        assert set(changes["doubtful"]) == {0}
        counters = at.counters("risk")
        assert (counters["warnings"], counters["breaches"]) == (2, 2)
        assert (counters["live_breached"], counters["live_ok"]) == (1, 1)
        assert counters["published"] == len(records) == 8 + 6


def test_a_breach_is_one_though_positions_are_not_marked_yet():
    limits = LimitOptions(value=1.0)
    portfolio = Portfolio(
        name="p", limits=limits, positions=holding(AAA=(100, 1.0), BBB=(1, 1.0), ZZZ=(1, 1.0))
    )
    with joint(Risk) as at:
        stage = stage_of(at, RiskOptions(portfolios=[portfolio], scenarios=DAYS))
        at.sources["book"].push(records_of([(Kind.TOP, 0, 10_000, 10_000)]))
        stage.turn(0)
        _, change = at.took("risk").view(LIMIT)
        assert (int(change["before"]), int(change["after"])) == (Standing.UNKNOWN, Standing.BREACH)
        assert int(change["doubtful"]) == 2
        assert (int(change["index"]), int(change["kind"])) == (1, Kept.LIMIT)


def test_a_full_ring_behind_holds_the_stage_back():
    stream = [(Kind.TOP, 1, 1_000 + 2 * n, 1_001 + 2 * n) for n in range(100)]
    with joint(Risk, capacity=128) as at:
        stage = stage_of(at)
        assert at.sources["book"].push(records_of(stream)) == 100
        assert stage.turn(0) == 63  # two portfolios hold it, and there must be room for three
        assert stage.turn(0) == 0
        assert at.counters("risk")["full"] == 2
        assert len(at.took("risk")) == 126
        assert stage.turn(0) == 37
        records = at.took("risk")
        assert records["cause"].tolist() == [n for n in range(64, 101) for _ in range(2)]
        assert records["index"].tolist() == [0, 1] * 37


def test_a_symbol_of_two_sources_is_held_once():
    with joint(Risk) as at:
        at.name_instruments(["AAA", "BBB", "AAA"])
        stage = Risk(OPTIONS, 3, at.links)
        stage.open()
        tops = [(Kind.TOP, 2, 990_000, 990_200), (Kind.TOP, 0, 500_000, 500_200)]
        at.sources["book"].push(records_of(tops))
        stage.turn(0)
        (record,) = at.took("risk")
        assert (int(record["cause"]), int(record["value"])) == (1, 100 * 990_100)
        assert at.counters("risk")["not_held"] == 1


def test_scenarios_from_a_file_and_none_for_a_symbol(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("AAA,BBB,CCC,ZZZ\n" + "0.01,-0.02,0.5,0\n" * 100)
    options = RiskOptions(portfolios=OPTIONS.portfolios, scenarios=CsvScenarios(path=str(path)))
    returns = load_scenarios(options)
    assert sorted(returns) == symbols_of(options) == ["AAA", "BBB", "CCC", "ZZZ"]
    assert set(returns["CCC"]) == {1 << 23}
    assert sorted(all_scenarios(RiskOptions(scenarios=options.scenarios))) == [*returns]
    path.write_text("AAA,CCC\n" + "0.01,-0.02\n" * 100)
    with joint(Risk) as at, pytest.raises(ScenarioError, match="no returns for BBB"):
        stage_of(at, options)


def test_no_portfolio_at_all():
    with joint(Risk) as at:
        stage = stage_of(at, RiskOptions())
        at.sources["book"].push(records_of([(Kind.TOP, 0, 10, 12)]))
        at.sources["book"].close()
        records = turn_until_finished(stage, at, "risk")["risk"]
        assert len(records) == 0
        assert records.dtype.itemsize == RISK.itemsize
        assert at.counters("risk")["not_held"] == 1


def test_made_up_scenarios_are_there_for_what_is_held_and_for_what_is_named():
    named = SyntheticScenarios(days=100, symbols=["ZZZ", "AAA"])
    options = RiskOptions(portfolios=OPTIONS.portfolios, scenarios=named)
    found = all_scenarios(options)
    assert [*found] == ["AAA", "BBB", "CCC", "ZZZ"]
    alone = all_scenarios(RiskOptions(scenarios=named))
    assert [*alone] == ["AAA", "ZZZ"]
    assert (alone["ZZZ"] == found["ZZZ"]).all()
    assert sorted(load_scenarios(options)) == symbols_of(options)
