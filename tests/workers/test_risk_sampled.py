"""Live checks of portfolios: each in its turn, and what is not whole is counted and told."""

import msgspec
import pytest

from ringbuf.atomics import at
from tests.workers.joined import joint
from tests.workers.test_risk import OPTIONS, records_of, stage_of
from workers import risk_sampled
from workers.kernels.position_block import PORTFOLIO, portfolio_of
from workers.records import Book as Kind
from workers.risk import Risk
from workers.risk_options import shape_of

OFTEN = msgspec.structs.replace(OPTIONS, check_s=1e-9)
MARK = [(Kind.TOP, 1, 990_000, 990_200)]  # moves the first and the second of three


def test_every_portfolio_that_was_marked_gets_its_turn(monkeypatch):
    seen = []
    monkeypatch.setattr(risk_sampled, "check", lambda _, number, aside: seen.append(number) or 0)
    with joint(Risk) as at_:
        stage = stage_of(at_, OFTEN)
        stage.turn(0)
        at_.sources["book"].push(records_of(MARK))
        for _ in range(5):
            stage.turn(0)
        assert seen[-5:] == [0, 1, 0, 1, 0]
        assert (at_.counters("risk")["checked"], at_.counters("risk")["faulty"]) == (5, 0)


def test_a_portfolio_that_is_not_whole_is_counted_and_told():
    with joint(Risk) as at_:
        stage = stage_of(at_, OFTEN)
        at_.sources["book"].push(records_of(MARK))
        stage.turn(0)
        assert at_.counters("risk")["faulty"] == 0
        at(portfolio_of(stage.book.ctypes.data, 1), PORTFOLIO).value += 1
        stage.turn(0)
        stage.turn(0)
        assert at_.counters("risk")["faulty"] == 1
        message = bytes(at_.links.panel.status["message"]).decode()
        assert message.startswith("portfolio 'one' is not what its positions make: sums; restart")


@pytest.mark.parametrize("seconds", [None, 3600.0])
def test_nothing_is_looked_at_before_its_time(seconds):
    with joint(Risk) as at_:
        stage = stage_of(at_, msgspec.structs.replace(OPTIONS, check_s=seconds))
        at_.sources["book"].push(records_of(MARK))
        stage.turn(0)
        assert at_.counters("risk")["checked"] == 0


def test_snapshots_serve_however_often_is_checked():
    assert shape_of(OFTEN) == shape_of(OPTIONS)
    assert shape_of(OFTEN) != shape_of(msgspec.structs.replace(OPTIONS, conflate_ms=5))
