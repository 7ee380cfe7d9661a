"""Of an instrument's marks only the newest of an interval is taken, when the interval is over."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive.risk_stage import NaiveRisk
from tests.workers.joined import joint, turn_until_finished
from tests.workers.test_risk import (
    DAYS,
    OPTIONS,
    SYMBOLS,
    TIMED,
    TREE,
    holding,
    records_of,
    stage_of,
    standings_of,
)
from workers.kernels import position_block, positions, waiting
from workers.kernels.position_block import PRICE_LIMIT
from workers.records import LIMIT, MONEY_SCALE, TOP, Kept, Mark, Measure, Standing, empty, lined
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import LimitOptions, Portfolio, RiskOptions

EXAMPLES = 60 if compiled() else 8
MS = 1_000_000
CONFLATED = [msgspec.structs.replace(each, conflate_ms=1) for each in (OPTIONS, TREE)]


def timed(stream) -> np.ndarray:
    """Records of tops that come so many half milliseconds one after the other."""
    records = records_of([each[:-1] for each in stream])
    records["time_ns"] = np.cumsum([pause for *_, pause in stream]) * MS // 2
    records["sequence"] = np.arange(1, len(stream) + 1)
    return records


def twin_of(options: RiskOptions, records: np.ndarray) -> NaiveRisk:
    """What the twin of whole pipelines says of some records."""
    twin = NaiveRisk(options, {number: (symbol, 10_000) for number, symbol in enumerate(SYMBOLS)})
    for top in records:
        twin.take(top)
    return twin


def fates_of(records: np.ndarray, interval_ns: int) -> Counter:
    """What becomes of each record, by hand; all that waits at the end is still waiting."""
    fates, stands, waits, latest = Counter(), {}, {}, None
    for top in records:
        instrument, bid, ask = (int(top[name]) for name in ("instrument", "bid", "ask"))
        interval, mark = int(top["time_ns"]) // interval_ns, bid + ask
        if latest is None or interval > latest:
            fates["marks"] += len(waits)
            stands, waits, latest = stands | waits, {}, interval
        if top["kind"] != Kind.TOP:
            fates["passed_by"] += 1
        elif SYMBOLS[instrument] == "NONE":
            fates["not_held"] += 1
        elif bid <= 0 or ask <= 0:
            fates["one_sided"] += 1
        elif waits.get(instrument, stands.get(instrument)) == mark:
            fates["unchanged"] += 1
        elif max(bid, ask) > PRICE_LIMIT:
            fates["refused"] += 1
        else:
            fates["skipped"] += instrument in waits
            waits[instrument] = mark
            if stands.get(instrument) == mark:  # the one that stands has come back
                del waits[instrument]
                fates["unchanged"] += 1
    fates["waiting"] = len(waits)
    return fates


@settings(max_examples=EXAMPLES, deadline=None)
@given(stream=st.lists(TIMED, max_size=40), options=st.sampled_from(CONFLATED))
def test_the_newest_of_each_interval_is_taken_when_it_is_over(stream, options):
    records = timed(stream)
    twin, fates = twin_of(options, records), fates_of(records, MS)
    with joint(Risk) as at:
        stage = stage_of(at, options)
        assert at.sources["book"].push(records) == len(stream)
        stage.turn(0)
        told = at.took("risk")
        assert told.tobytes() == b"".join(twin.records)
        counters = at.counters("risk")
        assert {name: counters[name] for name in fates} == fates
        assert (counters["received"], counters["published"]) == (len(stream), len(told))
        assert at.balanced()
        at.sources["book"].close()
        assert len(turn_until_finished(stage, at, "risk")["risk"]) == 0
        twin.end()
        counters = at.counters("risk")
        assert (counters["marks"], counters["waiting"]) == (fates["marks"] + fates["waiting"], 0)
        assert counters["published"] == len(told)
        assert at.balanced()
        standings = np.bincount(standings_of(at, options), minlength=4).tolist()
        live = ("live_unknown", "live_ok", "live_warned", "live_breached")
        assert [counters[name] for name in live] == standings
        rows = at.links.boards["portfolios"].all()[: len(options.portfolios)]
        for number, row in enumerate(rows):
            figures = ("value", "pnl", "var_99", "es_975", "notional")
            assert [row[name] for name in figures] == [
                getattr(twin.risk, name)(number) for name in figures
            ]
            stands = {measure: twin.standings.get((number, measure), 0) for measure in Measure}
            assert row["standing"].tolist() == [stands[measure] for measure in Measure]


def top(instrument: int, mid: float, milliseconds: float, **more) -> tuple:
    return instrument, round(mid * 10_000), milliseconds, more


def tops_of(*tops) -> np.ndarray:
    """TOP records at a time each, of a mid in currency."""
    records = empty(TOP, len(tops))
    for record, (instrument, price, milliseconds, more) in zip(records, tops, strict=True):
        record["kind"], record["instrument"] = Kind.TOP, instrument
        record["bid"] = record["ask"] = price
        record["time_ns"] = round(milliseconds * MS)
        for name, value in more.items():
            record[name] = value
    return records


HELD = RiskOptions(
    portfolios=[
        Portfolio(name="both", positions=holding(AAA=(100, 90.0), BBB=(10, 20.0))),
        Portfolio(name="one", positions=holding(BBB=(1, 20.0))),
        Portfolio(
            name="three", positions=holding(CCC=(1, 1.0)), limits=LimitOptions(value=5.0, loss=9.0)
        ),
    ],
    scenarios=DAYS,
    conflate_ms=10,
)


def said(records: np.ndarray) -> list[tuple]:
    names = ("cause", "time_ns", "instrument", "portfolio", "index", "value")
    return [tuple(int(record[name]) for name in names) for record in records]


def test_an_interval_by_hand():
    stream = tops_of(
        top(0, 100.0, 0), top(1, 20.0, 1), top(0, 101.0, 5), top(0, 102.0, 9.5),
        top(3, 7.0, 10),  # nobody holds it, and yet it is the first of the next interval
        top(1, 21.0, 11), top(0, 102.0, 12),
        top(1, 22.0, 31, kind=Kind.LEVEL),
        top(1, 23.0, 32), top(0, 1.0, 33, state=Mark.STALE),
    )  # fmt: skip
    with joint(Risk) as at:
        stage = stage_of(at, HELD)
        at.sources["book"].push(stream)
        stage.turn(0)
        # The newest of the first interval is the fourth, of AAA; "one" holds BBB alone.
        assert said(at.took("risk")) == [
            (5, 10 * MS, 0, 0, 0, (100 * 102 + 10 * 20) * MONEY_SCALE),
            (5, 10 * MS, 1, 1, 1, 20 * MONEY_SCALE),
            (8, 31 * MS, 1, 0, 0, (100 * 102 + 10 * 21) * MONEY_SCALE),
            (8, 31 * MS, 1, 1, 1, 21 * MONEY_SCALE),
        ]
        counters = at.counters("risk")
        names = ("marks", "skipped", "unchanged", "waiting", "not_held", "untrusted", "passed_by")
        assert [counters[name] for name in names] == [3, 2, 1, 1, 1, 1, 1]
        assert at.balanced()


def test_the_mark_that_stands_comes_back_before_another_was_taken():
    stream = tops_of(top(0, 100.0, 0), top(0, 101.0, 15), top(0, 100.0, 16), top(1, 5.0, 25))
    with joint(Risk) as at:
        stage = stage_of(at, HELD)
        at.sources["book"].push(stream)
        stage.turn(0)
        assert [row[0] for row in said(at.took("risk"))] == [2]  # and nothing at 25 ms
        counters = at.counters("risk")
        names = ("marks", "skipped", "unchanged", "waiting")
        assert [counters[name] for name in names] == [1, 1, 1, 1]


def test_a_clock_that_is_set_back_closes_no_interval():
    stream = tops_of(
        top(0, 100.0, 50), top(0, 101.0, 3), top(0, 102.0, 49), top(0, 103.0, 59), top(0, 1.0, 60)
    )
    with joint(Risk) as at:
        stage = stage_of(at, HELD)
        at.sources["book"].push(stream)
        stage.turn(0)
        (told,) = said(at.took("risk"))
        assert told == (5, 60 * MS, 0, 0, 0, 100 * 103 * MONEY_SCALE)
        assert at.counters("risk")["skipped"] == 3


def test_limits_are_judged_once_an_interval_and_at_the_end_on_the_board():
    stream = tops_of(top(2, 1.0, 0), top(2, 9.0, 5), top(2, 4.5, 9), top(2, 6.0, 10))
    with joint(Risk) as at:
        stage = stage_of(at, HELD)
        at.sources["book"].push(stream)
        stage.turn(0)
        told = at.took("risk")
        assert told["kind"].tolist() == [Kept.RISK, Kept.LIMIT, Kept.LIMIT]
        changes = told[1:].view(LIMIT)
        assert changes["index"].tolist() == [1, 2]
        assert changes["cause"].tolist() == [4, 4]
        assert changes["after"].tolist() == [Standing.WARN, Standing.OK]
        at.sources["book"].close()
        assert len(turn_until_finished(stage, at, "risk")["risk"]) == 0
        row = at.links.boards["portfolios"].all()[2]
        assert (int(row["value"]), int(row["cause"])) == (6 * MONEY_SCALE, 4)
        assert int(row["time_ns"]) == 10 * MS
        assert row["standing"].tolist() == [0, 0, Standing.BREACH, Standing.OK, *[0] * 5]
        counters = at.counters("risk")
        assert (counters["breaches"], counters["live_breached"], counters["published"]) == (1, 1, 3)


def test_a_boundary_gives_no_more_than_there_is_room_for():
    """Two portfolios in an interval of two marks, and room for three more: all or nothing."""
    stream = tops_of(*(top(n % 2, 50 + n, 10 * (n // 2)) for n in range(200)))
    with joint(Risk, capacity=128) as at:
        stage = stage_of(at, HELD)
        taken, given = 0, 0
        rest = stream
        while given < 2 * 99:
            pushed = at.sources["book"].push(np.ascontiguousarray(rest))
            rest = rest[pushed:]
            taken += stage.turn(0)
            records = at.took("risk")
            given += len(records)
            assert records["index"].tolist() == [0, 1] * (len(records) // 2)
        assert (taken, given) == (200, 198)
        assert at.counters("risk")["waiting"] == 2


def test_nothing_waits_where_every_mark_is_taken():
    with joint(Risk) as at:
        stage = stage_of(at, msgspec.structs.replace(HELD, conflate_ms=0))
        at.sources["book"].push(tops_of(top(0, 100.0, 0), top(0, 101.0, 5)))
        stage.turn(0)
        assert [row[0] for row in said(at.took("risk"))] == [1, 2]
        assert at.counters("risk")["skipped"] == at.counters("risk")["waiting"] == 0


@pytest.mark.parametrize("most", [-1, 86_400_001])
def test_what_is_no_interval_is_refused(most):
    with pytest.raises(ValueError, match=f"conflate_ms = {most}: give 1 to 86400000"):
        RiskOptions(conflate_ms=most)


def test_marks_wait_row_by_row():
    limits = position_block.Limits(instruments=4, portfolios=2, held=2, scenarios=1)
    memory = lined(position_block.bytes_needed(limits)), lined(waiting.bytes_needed(2))
    book, waits = (block.ctypes.data for block in memory)
    position_block.create(book, limits)
    returns = np.zeros(1, np.int32)
    positions.hold(book, 0, 3, 5, 0, 1, returns)
    positions.hold(book, 1, 1, 2, 0, 1, returns)
    tops = tops_of(top(3, 1.0, 0), top(1, 2.0, 1), top(3, 3.0, 2), top(3, 3.0, 3), top(1, 2.0, 4))
    tops["sequence"] = np.arange(1, 6)
    fates = [waiting.keep(waits, book, each) for each in tops]
    assert fates == [waiting.FIRST, waiting.FIRST, waiting.NEWER, waiting.UNCHANGED,
                     waiting.UNCHANGED]  # fmt: skip
    assert waiting.newest(waits, book, 0) == waits
    assert waiting.newest(waits, book, 1) == waits + TOP.itemsize
    assert waiting.take(waits, book) == 2
    assert positions.value(book, 0) == 5 * 30_000 * MONEY_SCALE
    waiting.clear(waits, book)
    assert waiting.take(waits, book) == waiting.newest(waits, book, 0) == 0
    (high,) = tops_of(top(3, 1.0, 9, bid=PRICE_LIMIT + 1))
    assert waiting.keep(waits, book, high) == waiting.REFUSED
    assert waiting.keep(waits, book, tops[2]) == waiting.UNCHANGED
    assert waiting.keep(waits, book, tops[0]) == waiting.FIRST
    assert waiting.keep(waits, book, tops[2]) == waiting.BACK
    assert waiting.take(waits, book) == 0
