"""Options of live portfolios: what of them is refused, and what the risk stage says of them."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import live_options as naive
from tests.naive.risk import in_money, value_at_risk
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_risk import DAYS, holding, records_of, stage_of
from workers import live_options
from workers.kernels.black_scholes import CALL, PUT
from workers.live_options import OptionPosition
from workers.records import GREEKS, LIMIT, MONEY_SCALE, Kept, Measure, Standing
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import LimitOptions, Portfolio, RiskOptions, load_scenarios, shape_of

EXAMPLES = 25 if compiled() else 3
SECOND = 10**9
DAY_NS = 86_400 * SECOND
START_NS = 1_700_000_000 * SECOND


def option(**terms) -> OptionPosition:
    good = {
        "underlying": "AAA", "type": "call", "strike": 100.0, "volatility": 0.3, "quantity": 10,
        "expires": datetime(2023, 12, 15, 21, tzinfo=UTC), "price": 5.0, "rate": 0.03,
    }  # fmt: skip
    return OptionPosition(**good | terms)


LIMITS = LimitOptions(delta=500.0, gamma=5.0, vega=1e6, theta=1e6, rho=1e-4, warn=0.5)
TREE = RiskOptions(
    portfolios=[
        Portfolio(name="firm", limits=LIMITS),
        Portfolio(
            name="calls", parent="firm", options=[option(), option(strike=120.0, quantity=-30)]
        ),
        Portfolio(
            name="puts",
            parent="firm",
            positions=holding(BBB=(40, 20.0), AAA=(-100, 99.0)),
            options=[
                option(type="put", strike=95.0, quantity=25, multiplier=2.0),
                option(type="put", underlying="BBB", strike=19.0, quantity=-200, volatility=0.6),
            ],
        ),
        Portfolio(name="plain", positions=holding(AAA=(3, 1.0))),
    ],
    scenarios=DAYS,
)
FAMILY = {0: (0, 1, 2), 1: (1,), 2: (2,), 3: (3,)}


def test_a_good_one_has_no_fault_and_is_what_kernels_take():
    assert live_options.faults("o", option()) == []
    expires = datetime.fromisoformat("2023-12-15T22:00:00.000001+01:00")
    held = live_options.held_of(
        option(type="put", quantity=-3, multiplier=0.5, expires=expires, dividend=0.01)
    )
    assert held.kind == PUT != CALL
    assert (held.strike, held.rate, held.dividend, held.volatility) == (100.0, 0.03, 0.01, 0.3)
    assert (held.units, held.cost) == (-1.5, -75_000)
    assert held.expires_ns == 1_702_674_000 * SECOND + 1_000


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"underlying": ""}, "o.underlying: is empty; give a symbol of the market data"),
        ({"expires": datetime(2023, 12, 15, 21)}, "o.expires: 2023-12-15T21:00:00 has no offset"),
        ({"expires": datetime(1960, 1, 1, tzinfo=UTC)}, "give a time from 1970 to 2115"),
        ({"expires": datetime(2200, 1, 1, tzinfo=UTC)}, "give a time from 1970 to 2115"),
        ({"strike": 0.0}, "o.strike: 0.0 is out of range; give 1e-30 to 1e+30"),
        ({"strike": float("nan")}, "o.strike: nan is out of range"),
        ({"volatility": -0.1}, "o.volatility: -0.1 is out of range; give 0 to 10000"),
        ({"rate": float("inf")}, "o.rate: inf is out of range; give -10 to 10"),
        ({"dividend": -11.0}, "o.dividend: -11.0 is out of range"),
        ({"multiplier": 0.0}, "o.multiplier: 0.0 is out of range"),
        ({"price": -1.0}, "o.price: -1.0 is out of range; give 0 to 1e+12"),
        ({"price": float("nan")}, "o.price: nan is out of range"),
        ({"quantity": 0}, "o.quantity: 0 is nothing; give another number, or leave it out"),
        ({"quantity": 10**10, "multiplier": 1e9}, "is too much; give at most 1e+15 altogether"),
        ({"quantity": 10**12}, "1000000000000 at 5.0 is no amount; give at most 1,000,000,000,000"),
        ({"name": "x" * 65}, "is too long; give at most 64 bytes"),
    ],
)
def test_one_line_for_each_fault(terms, told):
    (line,) = live_options.faults("o", option(**terms))
    assert told in line
    assert line.startswith("o")


def test_the_shape_of_a_state_is_another_with_other_options():
    shapes = {shape_of(TREE)}
    for terms in ({"volatility": 0.31}, {"quantity": 11}, {"type": "put"}, {"name": "x"}):
        changed = Portfolio(name="calls", parent="firm", options=[option(**terms)])
        portfolios = [TREE.portfolios[0], changed, *TREE.portfolios[2:]]
        shapes.add(shape_of(msgspec.structs.replace(TREE, portfolios=portfolios)))
    assert len(shapes) == 5


class Twin:
    """Portfolios from scratch, in plain floats; AAA and BBB are instruments 0 and 1."""

    def __init__(self, options: RiskOptions) -> None:
        self.options, self.returns = options, load_scenarios(options)
        self.marks: dict[str, tuple[float, int]] = {}
        self.settled: dict[tuple[int, int], float] = {}

    def mark(self, symbol: str, mid: float, time_ns: int) -> None:
        self.marks[symbol] = mid, time_ns
        for key, held in self.each():
            if held.underlying == symbol and live_options.expires_ns(held) <= time_ns:
                plain = naive.Option(*live_options.held_of(held))
                self.settled.setdefault(key, naive.value(plain, mid, time_ns))

    def each(self):
        for number, portfolio in enumerate(self.options.portfolios):
            for place, held in enumerate(portfolio.options):
                yield (number, place), held

    def figures(self, number: int):
        """Value, P&L, profits and Greeks of the portfolio and those below it."""
        value, cost = 0.0, 0.0
        profits, greeks = np.zeros(DAYS.days), np.zeros(5)
        for each in FAMILY[number]:
            for symbol, held in self.options.portfolios[each].positions.items():
                if symbol in self.marks:
                    worth = held.quantity * self.marks[symbol][0] * MONEY_SCALE
                    value, cost = value + worth, cost + held.quantity * held.price * MONEY_SCALE
                    profits += round(worth / 100) * self.returns[symbol].astype(float)
                    greeks[0] += worth / 100
        for key, held in self.each():
            if key[0] in FAMILY[number] and held.underlying in self.marks:
                plain = naive.Option(*live_options.held_of(held))
                cost += plain.cost
                mid, time_ns = self.marks[held.underlying]
                if key in self.settled:
                    value += self.settled[key]
                    continue
                value += naive.value(plain, mid, time_ns)
                profits += naive.profits(plain, mid, time_ns, self.returns[held.underlying])
                greeks += naive.in_money(plain, mid, time_ns)
        return value, value - cost, profits, greeks


MARKS = st.tuples(
    st.integers(0, 1), st.sampled_from([900_000, 1_000_001, 1_100_003]), st.integers(0, 12)
)


def marks_of(stream) -> np.ndarray:
    """Tops of AAA and BBB (a fifth of the price), so many days one after the other."""
    mids = [mid if instrument == 0 else mid // 5 for instrument, mid, _ in stream]
    records = records_of(
        [
            (Kind.TOP, one[0], mid // 2, mid - mid // 2)
            for one, mid in zip(stream, mids, strict=True)
        ]
    )
    records["bid"], records["ask"] = records["bid"] * 2, records["ask"] * 2
    records["time_ns"] = START_NS + np.cumsum([days for *_, days in stream]) * DAY_NS
    return records


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(MARKS, min_size=1, max_size=8))
def test_the_stage_says_what_the_textbook_says(stream):
    records, twin = marks_of(stream), Twin(TREE)
    with joint(Risk) as at:
        stage = stage_of(at, TREE)
        for top in records:
            at.sources["book"].push(top.reshape(1))
            stage.turn(0)
            told = at.took("risk")
            if len(told) == 0:
                continue
            symbol = "AB"[top["instrument"]] * 3
            mid = int(top["bid"] + top["ask"]) / (2 * MONEY_SCALE)
            twin.mark(symbol, mid, int(top["time_ns"]))
            assert told["index"].tolist() == [*range(len(told))]
            check_told(told, twin)
        assert at.balanced()
        assert at.counters("risk")["unpriced"] == 0
        assert at.counters("risk")["priced"] > 0


def check_told(told: np.ndarray, twin: Twin) -> None:
    for place, record in enumerate(told):
        if record["kind"] != Kept.RISK:
            continue
        number = int(record["portfolio"])
        value, pnl, profits, greeks = twin.figures(number)
        assert int(record["value"]) == pytest.approx(value, abs=5)
        assert int(record["pnl"]) == pytest.approx(pnl, abs=9)
        var_99 = in_money(value_at_risk([round(profit) for profit in profits.tolist()], 990))
        assert int(record["var_99"]) == pytest.approx(var_99, abs=2)
        if number == 3:
            continue
        behind = told[place + 1 : place + 2].view(GREEKS)[0]
        assert (behind["kind"], behind["portfolio"]) == (Kept.GREEKS, number)
        assert (behind["cause"], behind["time_ns"]) == (record["cause"], record["time_ns"])
        found = [float(behind[name]) for name in ("delta", "gamma", "vega", "theta", "rho")]
        assert found == pytest.approx(greeks.tolist(), rel=1e-6, abs=9)


def test_an_old_mark_settles_what_has_expired():
    options = RiskOptions(
        portfolios=[Portfolio(name="p", options=[option(strike=90.0)])], scenarios=DAYS
    )
    for each in (options, msgspec.structs.replace(options, conflate_ms=1)):
        with joint(Risk) as at:
            stage = stage_of(at, each)
            records = marks_of([(0, 1_000_000, 0), (0, 1_000_000, 1), (0, 1_000_000, 99),
                                (0, 1_000_000, 1), (0, 500_000, 1), (0, 600_000, 1)])  # fmt: skip
            at.sources["book"].push(records)
            stage.turn(0)
            told = at.took("risk")
            told = told[told["kind"] == Kept.RISK]
            wanted = [1, 3, 5, 6] if each is options else [2, 4, 6]
            assert told["cause"].tolist() == wanted
            assert set(told["value"].tolist()[1:]) == {10 * 10 * MONEY_SCALE}
            assert told["value"][0] > 100 * MONEY_SCALE
            assert told["var_99"].tolist()[1:] == [0] * (len(wanted) - 1)
            assert at.counters("risk")["priced"] == 2


def test_a_portfolio_goes_through_limits_of_greeks():
    """Ten calls, deep in the money: 1 % up makes 10.00 at a price of 100."""
    limits = LimitOptions(delta=12.0, vega=1e3, warn=0.9)
    held = option(strike=1e-6, rate=0.0, expires=datetime(2100, 1, 1, tzinfo=UTC))
    options = RiskOptions(
        portfolios=[Portfolio(name="p", options=[held], limits=limits)], scenarios=DAYS
    )
    with joint(Risk) as at:
        stage = stage_of(at, options)
        mids = [1_000_000, 1_100_000, 1_200_010, 1_000_000]
        at.sources["book"].push(marks_of([(0, mid, 1) for mid in mids]))
        stage.turn(0)
        told = at.took("risk")
        changes = told[told["kind"] == Kept.LIMIT].view(LIMIT)
        said = [tuple(map(int, row)) for row in changes[["cause", "measure", "after", "measured"]]]
        assert said == [
            (1, Measure.DELTA, Standing.OK, 100_000),
            (1, Measure.VEGA, Standing.OK, 0),
            (2, Measure.DELTA, Standing.WARN, 110_000),
            (3, Measure.DELTA, Standing.BREACH, 120_001),
            (4, Measure.DELTA, Standing.OK, 100_000),
        ]
        row = at.links.boards["portfolios"].all()[0]
        assert (int(row["options"]), row["greek"].tolist()) == (1, [100_000, 0, 0, 0, 0])
        assert (int(row["unvalued"]), int(row["stuck"])) == (0, 0)


def test_an_option_that_waits_for_its_first_mark_is_counted():
    with joint(Risk) as at:
        stage = stage_of(at, TREE)
        at.sources["book"].push(marks_of([(0, 1_000_000, 0)]))
        stage.turn(0)
        told = at.took("risk")
        rows = at.links.boards["portfolios"].all()[:4]
        assert rows["unvalued"].tolist() == [2, 0, 2, 0]  # BBB itself, and the option on it
        assert (told["kind"] == Kept.LIMIT).sum() == 1  # a breach, rho's: no other is known
        at.sources["book"].push(marks_of([(1, 1_000_000, 0)]))
        at.sources["book"].close()
        turn_until_finished(stage, at, "risk")
        rows = at.links.boards["portfolios"].all()[:4]
        assert rows["unvalued"].tolist() == [0, 0, 0, 0]


def test_an_option_without_a_value_is_named_and_its_limits_are_unknown():
    """Its value would be beyond the bounds where the price is 1e8."""
    limits = LimitOptions(delta=1e9, value=9e8)
    held = [option(), option(strike=1.0, quantity=10**6, price=0.001)]
    options = RiskOptions(
        portfolios=[Portfolio(name="p", options=held, limits=limits)], scenarios=DAYS
    )
    with joint(Risk) as at:
        stage = stage_of(at, options)
        at.sources["book"].push(marks_of([(0, 1_000_000, 1)]))
        stage.turn(0)
        assert at.links.panel.status["message"] == b""
        at.sources["book"].push(marks_of([(0, 10**12, 1)]))
        stage.turn(0)
        told = at.took("risk")
        changes = told[told["kind"] == Kept.LIMIT].view(LIMIT)
        assert changes["after"].tolist() == [Standing.OK] * 2 + [Standing.BREACH, Standing.UNKNOWN]
        assert set(changes["measure"].tolist()) == {Measure.DELTA, Measure.VALUE}
        said = at.links.panel.status["message"].decode()
        assert said.startswith("option 'AAA 1 call 2023-12-15' of portfolio 'p' has no value")
        assert at.counters("risk")["unpriced"] == 1
        assert at.links.boards["portfolios"].all()["stuck"][0] == 1


def test_an_option_is_described_by_its_name_where_it_has_one():
    assert live_options.described(option(name="the hedge")) == "the hedge"
    assert live_options.described(option(type="put")) == "AAA 100 put 2023-12-15"
