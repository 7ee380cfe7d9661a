"""Records cut into periods, against an oracle that looks at one record after the other."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.periods import DAY_S, SECOND_NS, Cut, Period, Periods
from workers.quantiles import MeasureError

HOUR = 3600


def naive(records, cut):
    """(number of the period, opening P&L, VaR told, last P&L, lowest) of each, in order."""
    found, newest = [], None
    for time_ns, pnl, var in records:
        number = (time_ns // SECOND_NS - cut.roll_s) // cut.period_s
        newest = number if newest is None else max(newest, number)
        if found and found[-1][0] == newest:
            found[-1][1:] = [pnl, var, min(found[-1][3], pnl)]
        else:
            found.append([newest, pnl, var, pnl])
    return found


@given(
    st.lists(st.tuples(st.integers(0, 6 * HOUR), st.integers(-99, 99), st.integers(0, 50)),
             max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
    st.sampled_from([600, HOUR, DAY_S]),
    st.integers(0, HOUR),
)  # fmt: skip
def test_slices_of_any_size_give_what_single_records_give(records, cuts, period_s, roll_s):
    cut = Cut(period_s, roll_s)
    made, places = Periods(cut), sorted({0, *cuts, len(records)})
    table = np.array([(s * SECOND_NS, pnl, var) for s, pnl, var in records], np.int64).reshape(
        -1, 3
    )
    for first, end in pairwise(places):
        made.add(*table[first:end].T)
    assert made.ends == naive(table.tolist(), cut)


def test_what_was_told_at_the_end_of_a_day_is_held_against_the_next():
    periods = Periods(Cut())
    days = np.array([0, 0, 1, 1, 1, 4]) * DAY_S * SECOND_NS + 7
    periods.add(days, np.array([0, 10, 60, -80, 5, -200]), np.array([1, 50, 2, 2, 90, 3]))
    assert periods.all() == [
        Period(DAY_S * SECOND_NS, 50, -5, -90, True),
        Period(4 * DAY_S * SECOND_NS, 90, -205, -205, False),  # a weekend is no hole
    ]
    assert [period.is_exception for period in periods.all()] == [False, True]


def test_a_shorter_period_has_its_part_of_a_day_and_no_hole_before_it():
    periods = Periods(Cut(HOUR, day_s=4 * HOUR))
    hours = np.array([0, 1, 3, 4]) * HOUR * SECOND_NS
    periods.add(hours, np.array([0, -60, -400, -400]), np.array([100, 100, 100, 100]))
    told = [(period.told, period.profit, period.is_exception) for period in periods.all()]
    assert told == [(50, -60, True), (None, -340, False), (50, 0, False)]


@pytest.mark.parametrize(
    ("cut", "what"),
    [
        (Cut(0), "period: 0 seconds; give 1 to 86,400"),
        (Cut(7), "period: a day has no whole number of 7 seconds"),
        (Cut(roll_s=DAY_S), "roll: 86400 seconds; give 0 to 86,399"),
        (Cut(day_s=0), "day: 0 seconds"),
    ],
)
def test_what_cuts_nothing_is_refused(cut, what):
    with pytest.raises(MeasureError, match=what):
        Periods(cut)
