"""The rules of ingest: which event breaks which, what follows, and what a configuration may say."""

import msgspec
import numpy as np
import pytest

from ringbuf.atomics import at
from workers.records import EVENT, Event, Flag, empty
from workers.rules import (
    COUNTS,
    DROP,
    FLAG,
    HALT,
    LAW,
    NAMES,
    QUALITY,
    Rule,
    Rules,
    changes_book,
    judge,
    lay_down,
    remember,
)

SECOND = 10**9


class Court:
    """The rules of a configuration over one instrument."""

    def __init__(self, tick=0, lot=0, reference=0, **options):
        self.law, self.quality = empty(LAW, 1), empty(QUALITY, 1)
        self.counts, self.place = empty(COUNTS, 1), empty(EVENT, 1)
        lay_down(at(self.law.ctypes.data, LAW), Rules(**options), 1_000, 10_000)
        self.quality["tick"], self.quality["lot"] = tick, lot
        self.quality["reference"] = reference

    def judge(self, kind, newest_ns=0, now_ns=0, flags=0, **fields) -> int:
        event = self.place[0]
        event["kind"], event["flags"] = kind, flags
        for name, value in {"price": 100, "quantity": 10, "time_ns": SECOND, **fields}.items():
            event[name] = value
        addresses = (self.law.ctypes.data, self.quality.ctypes.data, self.counts.ctypes.data)
        view = at(self.place.ctypes.data, EVENT)
        return int(judge(*addresses, view, np.int64(newest_ns), np.int64(now_ns)))

    @property
    def broken(self) -> dict[str, int]:
        return {name: int(self.counts[0][name]) for name in NAMES if self.counts[0][name]}


@pytest.mark.parametrize(
    ("kind", "fields", "rule"),
    [
        (Event.ADD, {"quantity": 0}, "bad_quantity"),
        (Event.MODIFY, {"quantity": 0}, "bad_quantity"),
        (Event.SET, {"quantity": -1}, "bad_quantity"),
        (Event.TRADE, {"quantity": 1_001}, "bad_quantity"),
        (Event.SET, {"price": 0}, "bad_price"),
        (Event.REPLACE, {"price": 10_001}, "bad_price"),
        (Event.MODIFY, {"price": -5}, "bad_price"),
    ],
)
def test_what_no_book_could_take_is_dropped_whatever_the_effect(kind, fields, rule):
    for effect, bits in (("drop", DROP), ("halt", DROP | HALT)):
        court = Court(**{rule: effect})
        assert court.judge(kind, **fields) == bits
        assert court.broken == {rule: 1}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Event.SET, {"quantity": 0}),
        (Event.DELETE, {"quantity": 0, "price": 0}),
        (Event.EXECUTE, {"price": 0}),
        (Event.STATUS, {"price": 0, "quantity": -9}),
        (Event.CLEAR, {"price": 0, "quantity": 0}),
        (Event.DIRECTORY, {"price": -1, "quantity": 1 << 50}),
    ],
)
def test_fields_that_mean_nothing_break_no_rule(kind, fields):
    court = Court(tick=7, lot=7, reference=1, band_percent=1.0, age_ms=1.0, off_lot="drop")
    assert court.judge(kind, **fields) == 0 or kind == Event.SET
    assert not {"bad_quantity", "bad_price"} & {*court.broken}


@pytest.mark.parametrize("effect", ["pass", "flag", "drop", "halt"])
def test_each_effect_of_each_rule(effect):
    bits = {"pass": 0, "flag": FLAG, "drop": DROP, "halt": FLAG | HALT}[effect]
    cases = {
        "off_tick": ({"tick": 7}, {}),
        "off_lot": ({"lot": 7}, {}),
        "price_band": ({"reference": 10_000, "band_percent": 10.0}, {}),
        "out_of_order": ({"tolerance_ms": 1.0}, {"newest_ns": SECOND + 1_000_001}),
        "old": ({"age_ms": 5.0}, {"now_ns": SECOND + 5_000_001}),
    }
    for rule, (settings, seen) in cases.items():
        court = Court(**settings, **{rule: effect})
        assert court.judge(Event.ADD, **seen) == bits
        assert court.broken == ({} if effect == "pass" else {rule: 1})
    assert {*cases, "bad_quantity", "bad_price"} == {rule.name.lower() for rule in Rule}


def test_rules_end_where_they_say():
    court = Court(reference=10_000, band_percent=10.0, tolerance_ms=1.0, age_ms=5.0, tick=10)
    fields = {"newest_ns": SECOND + 1_000_000, "now_ns": SECOND + 5_000_000}
    assert court.judge(Event.ADD, price=9_000, **fields) == 0
    assert court.judge(Event.ADD, price=8_990, **fields) == FLAG
    assert court.broken == {"price_band": 1}


def test_the_band_follows_the_trades_that_are_believed():
    court = Court(band_percent=10.0, price_band="drop")
    assert court.judge(Event.ADD, price=5) == 0  # nothing traded yet
    assert court.judge(Event.TRADE, price=5_000) == 0
    assert court.judge(Event.TRADE, price=9_000) == DROP
    assert court.judge(Event.ADD, price=5_400) == 0
    assert court.judge(Event.SET, price=9_000) == DROP
    assert court.judge(Event.SET, price=9_000, quantity=0) == 0  # it may leave


def test_a_snapshot_is_older_than_the_rules_of_time_ask():
    court = Court(age_ms=1.0)
    assert court.judge(Event.SET, 1 << 60, 1 << 60, flags=int(Flag.SNAPSHOT)) == 0
    assert court.judge(Event.SET, 1 << 60, 1 << 60) == FLAG
    assert court.broken == {"out_of_order": 1, "old": 1}


def test_what_the_log_says_of_an_instrument_is_remembered():
    quality, event = empty(QUALITY, 1), empty(EVENT, 1)
    for kind, doubtful, halted in (
        (Event.STALE, 1, 1),
        (Event.ADD, 1, 1),
        (Event.STATUS, 1, 0),
        (Event.FRESH, 0, 0),
    ):
        quality["halted"] |= kind != Event.FRESH and kind == Event.STALE
        event["kind"] = kind
        remember(quality.ctypes.data, at(event.ctypes.data, EVENT))
        assert (quality["doubtful"][0], quality["halted"][0]) == (doubtful, halted)


def test_terms_set_tick_lot_and_reference():
    court = Court(band_percent=10.0, off_lot="flag")
    terms, view = court.place, at(court.place.ctypes.data, EVENT)
    terms["kind"], terms["order"], terms["other"], terms["price"] = Event.TERMS, 25, 10, 5_000
    remember(court.quality.ctypes.data, view)
    assert court.judge(Event.ADD, price=5_025, quantity=20) == 0
    assert court.judge(Event.ADD, price=5_030, quantity=25) == FLAG
    assert court.judge(Event.ADD, price=6_000, quantity=20) == FLAG
    assert court.broken == {"off_tick": 1, "off_lot": 1, "price_band": 1}
    terms["kind"], terms["price"] = Event.TERMS, 0
    remember(court.quality.ctypes.data, view)
    assert court.quality["reference"][0] == 5_000


def test_which_events_a_book_would_miss():
    event = empty(EVENT, 1)
    missed = []
    for kind in Event:
        event["kind"] = kind
        if changes_book(at(event.ctypes.data, EVENT)):
            missed.append(kind)
    assert missed == [*range(Event.ADD, Event.TRADE), Event.SET, Event.MODIFY]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bad_price": "flag"}, "bad_price"),
        ({"off_tick": "ignore"}, "off_tick"),
        ({"band_percent": 0}, "band_percent = 0"),
        ({"age_ms": -1.0}, "age_ms = -1.0"),
        ({"tolerance_ms": -0.5}, "tolerance_ms = -0.5"),
        ({"of_tick": "flag"}, "of_tick"),
    ],
)
def test_rules_that_cannot_be_are_refused(options, told):
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(options, Rules)
