"""The book stage with orders of clients: what matching says, in full rings and in any pieces."""

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.matching import Asked, Matching
from tests.workers.joined import Joint, joint, turn_until_finished
from tests.workers.match_fuzz import INSTRUMENTS, Drawn, live_orders
from tests.workers.matches import columns, events_of
from workers.book import Book, BookOptions, outputs_max
from workers.enriched import BarOptions, MeasureOptions
from workers.keeper import REPORTS
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.matched import AccountOptions, MatchingOptions, announceable
from workers.orders import Reject, Tif
from workers.records import BAR, LEVEL, MATCHED, REPORT, TOP, Event, State
from workers.records import Book as Kind
from workers.risk_options import CsvScenarios, RiskOptions, SyntheticScenarios
from workers.scenarios import ScenarioError

EXAMPLES = 40 if compiled() else 6
REQUESTS = 300 if compiled() else 60
ACCOUNTS = [
    AccountOptions(max_quantity=150, collar_percent=20.0),
    AccountOptions(),
    AccountOptions(var_max=5.0, max_position=1000),
    AccountOptions(executions=True),
]
MATCHING = MatchingOptions(instruments=2, accounts=ACCOUNTS, band_percent=5.0, auction_ms=0.001)
RISK = RiskOptions(scenarios=SyntheticScenarios(days=100, symbols=["AAA", "BBB"]))
OPTIONS = BookOptions(orders=400, levels=200, publish_levels=True, matching=MATCHING)
REPORTED = {*range(Kind.ACCEPTED, Kind.AUCTION + 1), int(Kind.TRADE), int(Kind.EXECUTION)}


def settings_of(options: BookOptions) -> Settings:
    """What the stage lays its engine out for."""
    found = Book(options, INSTRUMENTS, None).settings
    return found._replace(returns=announceable(RISK)) if found.measured() else found


def stream_of(seed: int, options: BookOptions = OPTIONS, count: int = REQUESTS) -> list[Asked]:
    """Requests of all kinds, some of them about orders that are there."""
    drawn = Drawn(random.Random(seed))
    drawn.settings = settings_of(options)
    naive, asked = Matching(drawn.settings), drawn.start()
    drawn.live = lambda: live_orders(naive)
    for one in asked:
        answer(naive, one)
    while len(asked) < count:
        for one in drawn.next():
            answer(naive, one)
            asked.append(one)
    return asked


def answer(naive: Matching, asked: Asked) -> list[tuple]:
    """What the twin says; what is not for matching never gets there."""
    return [] if asked.kind in (Event.ADD, Event.STALE) else naive.apply(asked)


def run(at: Joint, asked: list[Asked], options: BookOptions = OPTIONS, piece: int = 16):
    """Have a stage take requests through a ring that is emptied only when nothing moves."""
    stage = Book(options, INSTRUMENTS, at.links, risk=RISK)
    stage.open()
    events, parts = events_of(asked), []
    for place in range(0, len(events), piece):
        some = events[place : place + piece]
        assert at.sources["events"].push(some) == len(some)
        taken = 0
        while taken < len(some):
            work = stage.turn(0)
            taken += work
            if not work:
                parts.append(at.took("book"))
    at.sources["events"].close()
    parts.append(turn_until_finished(stage, at, "book")["book"])
    stage.close()
    return np.concatenate(parts)


def told_of(asked: list[Asked], options: BookOptions = OPTIONS) -> list[list[tuple]]:
    """What the twin says of each request."""
    naive = Matching(settings_of(options))
    return [answer(naive, one) for one in asked]


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32), piece=st.sampled_from([1, 7, 60]))
def test_reports_are_those_of_the_twin(seed, piece):
    asked = stream_of(seed)
    with joint(Book, capacity=128, rows=INSTRUMENTS) as at:
        records = run(at, asked, piece=piece)
        counters = at.counters("book")
        assert at.balanced()
    reported = records[np.isin(records["kind"], [*REPORTED])]
    wanted = [row for rows in told_of(asked) for row in rows if row[0] in REPORTED]
    assert columns(reported.view(REPORT)) == wanted
    assert [counters[name] for name in REPORTS] == [
        np.count_nonzero(records["kind"] == kind) for kind in range(Kind.ACCEPTED, Kind.AUCTION + 1)
    ]
    refused = records[records["kind"] == Kind.REJECTED].view(REPORT)["left"]
    assert [counters[f"rejected_{reason.name.lower()}"] for reason in Reject] == [
        np.count_nonzero(refused & int(reason)) for reason in Reject
    ]
    assert counters["executions"] == np.count_nonzero(records["kind"] == Kind.EXECUTION)
    follow_levels(records)


def follow_levels(records: np.ndarray) -> None:
    """Tops must be the best of the levels that were told, when an event is over."""
    levels = defaultdict(lambda: ({}, {}))
    tops: dict[int, tuple] = {}
    for cause in np.unique(records["cause"]):
        for row in records[records["cause"] == cause]:
            instrument = int(row["instrument"])
            if row["kind"] == Kind.LEVEL:
                side, level = levels[instrument][row["side"]], row.view(LEVEL)
                side[int(level["price"])] = int(level["quantity"])
            elif row["kind"] in (Kind.TOP, Kind.STATUS):
                names = ("bid", "bid_quantity", "ask", "ask_quantity")
                tops[instrument] = tuple(int(row[name]) for name in names)
        for instrument, sides in levels.items():
            bids, asks = ({p: q for p, q in side.items() if q} for side in sides)
            bid, ask = max(bids, default=0), min(asks, default=0)
            best = (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
            assert tops.get(instrument, (0, 0, 0, 0)) == best, (cause, instrument)


def order(number: int, side: int, price: int, quantity: int, **more) -> Asked:
    return Asked(Event.ORDER, number, 0, price, quantity, side=side, **more)


SWEEP = [
    Asked(Event.DIRECTORY, instrument=0, flags=MATCHED),
    *(order(n, 1, 100 + n % 7, 10) for n in range(1, 301)),
    order(1000, 0, 110, 2995, flags=Tif.IOC),
    order(1001, 0, 90, 1),
]
BARE = BookOptions(orders=400, levels=200, publish_levels=True, matching=MatchingOptions())


def test_an_order_that_trades_with_hundreds_needs_no_room_for_all_of_it():
    with joint(Book, capacity=128, rows=INSTRUMENTS) as at:
        records = run(at, SWEEP, BARE)
        assert at.balanced()
    fills = records[records["kind"] == Kind.FILL]
    assert len(fills) == 2 * 300
    assert len({*fills["cause"].tolist()}) == 1
    assert (fills["index"][-10:] == 255).all()
    assert records["sequence"].tolist() == list(range(1, len(records) + 1))
    assert columns(records[np.isin(records["kind"], [*REPORTED])].view(REPORT)) == [
        row for rows in told_of(SWEEP, BARE) for row in rows
    ]
    follow_levels(records)


def test_without_matching_orders_are_of_no_kind_that_is_known():
    with joint(Book, rows=INSTRUMENTS) as at:
        records = run(at, SWEEP, BookOptions(orders=400, levels=200))
        assert len(records) == 0
        assert at.counters("book")["bad_kind"] == len(SWEEP) - 1
        assert at.balanced()


def test_a_venue_cannot_change_a_book_that_is_ours():
    asked = [
        *SWEEP[:3],
        Asked(Event.ADD, 7, 0, 99, 5),
        Asked(Event.DELETE, 1),
        Asked(Event.ADD, 7, 0, 99, 5, instrument=1),
    ]
    with joint(Book, rows=INSTRUMENTS) as at:
        records = run(at, asked, BARE)
        assert at.counters("book")["bad_kind"] == 2
        assert at.counters("book")["applied"] == 1
    tops = records[records["kind"] == Kind.TOP]
    assert tops["instrument"].tolist() == [0, 1]


def test_measures_and_bars_know_what_was_matched():
    more = BookOptions(
        orders=400, levels=200, matching=MatchingOptions(), measures=MeasureOptions(),
        bars=[BarOptions(trades=100)],
    )  # fmt: skip
    with joint(Book, capacity=512, rows=INSTRUMENTS) as at:
        records = run(at, SWEEP, more)
        assert at.balanced()
    assert np.count_nonzero(records["kind"] == Kind.FLOW) == 300
    bars = records[records["kind"] == Kind.BAR].view(BAR)
    assert len(bars) == 3
    assert bars["low"].min() == 100
    assert bars["high"].max() == 106


def test_a_halt_and_an_auction_show_in_the_state():
    asked = [
        SWEEP[0],
        Asked(Event.STATUS, flags=State.QUOTING),
        order(1, 0, 105, 10),
        order(2, 1, 100, 4),
        Asked(Event.STATUS, flags=State.TRADING),
    ]
    with joint(Book, rows=INSTRUMENTS) as at:
        records = run(at, asked, BARE)
        assert at.counters("book")["crossed"] == 0
        assert at.counters("book")["crossed_early"] == 1
    kinds = [int(kind) for kind in records["kind"] if kind != Kind.LEVEL]
    assert kinds[0] == Kind.STATUS
    assert kinds[-6:] == [
        Kind.STATUS, Kind.AUCTION, Kind.TRADE, Kind.FILL, Kind.FILL, Kind.TOP,
    ]  # fmt: skip
    last = records[-1].view(TOP)
    assert (last["bid"], last["bid_quantity"], last["ask"]) == (105, 6, 0)


def test_the_most_records_of_a_step_are_bounded():
    everything = BookOptions(
        matching=MATCHING, measures=MeasureOptions(), bars=[BarOptions(trades=n) for n in (1, 2, 3)]
    )
    assert outputs_max(OPTIONS, 0) < 64
    assert outputs_max(everything, 3) < 128


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_quantity": 0}, "max_quantity = 0"),
        ({"collar_percent": -1.0}, "collar_percent"),
        ({"window_ms": 0}, "window_ms"),
        ({"var_max": 0.0}, "var_max = 0.0: give more than 0"),
        ({"var_max": -1.0}, "var_max"),
        ({"var_max": float("nan")}, "var_max"),
        ({"var_max": 1e13}, "var_max"),
    ],
)
def test_accounts_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        AccountOptions(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"instruments": 0}, "instruments"),
        ({"band_percent": 100.0}, "band_percent"),
        ({"on_band": "stop"}, "on_band"),
        ({"auction_ms": 0.0}, "auction_ms"),
    ],
)
def test_matching_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        MatchingOptions(**options)


def test_limits_of_an_account_reach_the_kernel_under_their_names():
    limits = AccountOptions(
        max_quantity=1, max_value=2, max_position=3, credit=4, collar_percent=5.0, messages=6,
        window_ms=7, reduce_when_off=True, executions=True, var_max=8.5,
    ).limits()  # fmt: skip
    assert limits == AccountLimits(
        1, 2, 500, 3, 4, 6, 7_000_000, reduce_when_off=True, executions=1, var_max=85_000
    )
    assert AccountOptions().limits() == AccountLimits()


def test_scenarios_for_nothing_that_can_be_announced_are_refused(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("A name that is much too long\n" + "0.01\n" * 100)
    risk = RiskOptions(scenarios=CsvScenarios(path=str(path)))
    with pytest.raises(ScenarioError, match="name the symbols"):
        announceable(risk)
    with joint(Book, rows=INSTRUMENTS) as at:
        stage = Book(OPTIONS, INSTRUMENTS, at.links, risk=risk)
        with pytest.raises(ScenarioError, match="no symbol of 1 to 24"):
            stage.open()


def test_scenarios_are_loaded_only_where_an_account_needs_them():
    with joint(Book, rows=INSTRUMENTS) as at:
        missing = RiskOptions(scenarios=CsvScenarios(path="nowhere.csv"))
        Book(BARE, INSTRUMENTS, at.links, risk=missing).open()
        with pytest.raises(ScenarioError, match="nowhere"):
            Book(OPTIONS, INSTRUMENTS, at.links, risk=missing).open()
