"""What the risk stage counts: each fate of a mark once, and limits by how they are stood to."""

import numpy as np
import pytest

from workers.kernels import position_block, positions, risk_limits, waiting
from workers.records import Measure, Standing, lined
from workers.risk_counters import COUNTERS, FATES, count_kept, recount, restand


def counters() -> tuple[np.ndarray, int]:
    """Counters that are all 0, and where they lie."""
    made = np.zeros(1, COUNTERS)
    return made, made.ctypes.data


@pytest.mark.parametrize("fate", range(5))
def test_every_mark_that_is_kept_is_in_the_balance_once(fate):
    made, address = counters()
    count_kept(address, fate)
    assert sum(int(made[name][0]) for name in FATES) == 1
    assert fate != waiting.BACK or made["waiting"][0] == -1  # the one that waited is skipped


def test_a_limit_is_counted_by_how_it_is_stood_to():
    made, address = counters()
    made["live_unknown"] = 1
    for before, after in ((0, 2), (2, 3), (3, 2), (2, 1)):
        recount(address, before, after)
    live = ("live_unknown", "live_ok", "live_warned", "live_breached")
    assert [int(made[name][0]) for name in live] == [0, 1, 0, 0]
    assert (int(made["warnings"][0]), int(made["breaches"][0])) == (2, 1)


def test_a_portfolio_is_judged_by_the_limits_that_it_has():
    made, address = counters()
    made["live_unknown"] = 1
    limits = position_block.Limits(instruments=1, portfolios=1, held=1, scenarios=1)
    memory = lined(position_block.bytes_needed(limits))
    book = memory.ctypes.data
    position_block.create(book, limits)
    positions.hold(book, 0, 0, 1, 0, 1, np.zeros(1, np.int32))
    positions.mark(book, 0, 5, 5)
    risk_limits.limit(book, 0, Measure.VALUE, 40_000, 30_000)
    assert not restand(book, address, 0, int(Measure.LOSS), 0)
    assert restand(book, address, 0, int(Measure.VALUE), 0)
    assert not restand(book, address, 0, int(Measure.VALUE), 0)
    assert risk_limits.standing_of(book, 0, int(Measure.VALUE)) == Standing.BREACH
    assert (int(made["live_unknown"][0]), int(made["live_breached"][0])) == (0, 1)
