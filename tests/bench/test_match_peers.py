import numpy as np
import pytest

from bench import match_peers
from bench.harness import BenchError, Options
from bench.match_peers import AT_ONCE, CANCEL, FLOW, LIMIT, Market
from workers.records import Side


def flow_of(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), FLOW)


def test_a_flow_trades_by_price_and_time_and_rests_what_is_left():
    flow = flow_of(
        (LIMIT, Side.ASK, 1, 102, 5),
        (LIMIT, Side.ASK, 2, 101, 5),
        (LIMIT, Side.BID, 3, 102, 7),  # trades 5 at 101, 2 at 102
        (AT_ONCE, Side.ASK, 4, 100, 9),  # nobody bids
        (LIMIT, Side.BID, 5, 99, 4),
        (LIMIT, Side.BID, 6, 98, 1),
        (CANCEL, Side.BID, 6, 0, 0),
    )
    _, found = Market(flow).run()
    assert found == {"trades": 2, "traded": 7, "bids": 4, "asks": 3}


def test_a_made_up_flow_cancels_only_what_was_entered_and_only_once():
    flow = match_peers.flow_of(3_000)
    entered = flow["order"][flow["kind"] == LIMIT]
    canceled = flow["order"][flow["kind"] == CANCEL]
    assert len(canceled) > 1_000
    assert len(np.unique(canceled)) == len(canceled)
    assert np.isin(canceled, entered).all()
    assert (flow["price"] > 0).all()


def test_the_benchmark_runs_and_says_who_is_missing(monkeypatch):
    monkeypatch.setattr(match_peers, "MESSAGES_SHORT", 30_000)
    monkeypatch.setattr(match_peers, "absent", lambda: "no java")
    result = match_peers.run(Options(short=True))
    assert result.variants == [match_peers.OURS]
    assert "no java" in result.notes
    assert result.median(match_peers.OURS, "one p50") <= result.median(match_peers.OURS, "one max")


def test_variants_that_disagree_are_refused(tmp_path):
    class Idle:
        """An actor that does nothing."""

        def start(self, *_) -> None:
            """No work."""

        def result(self) -> None:
            """No answer."""

    contest = match_peers.Contest(Idle(), 50, str(tmp_path))
    contest.agree({"trades": 3}, "one")
    contest.agree({"trades": 3}, "two")
    with pytest.raises(BenchError, match="three: "):
        contest.agree({"trades": 4}, "three")
