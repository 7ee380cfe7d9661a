"""Days and phases by local clocks: every instant lies in exactly one, whatever the clocks do."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.records import State
from workers.sessions import NS, DayOptions, Days, Phase, Schedule, overlap, seconds_of

ZONES = ["UTC", "America/New_York", "Europe/Zurich", "Pacific/Apia", "Australia/Lord_Howe"]
TIMES = st.integers(-(2**62), 2**63 - 1)
CLOCKS = st.integers(0, 86_399).map(lambda s: f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}")


def at(zone: str, *parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()) * NS


@given(time_ns=TIMES, roll=CLOCKS, zone=st.sampled_from(ZONES))
def test_every_instant_is_in_one_day_and_days_follow_one_another(time_ns, roll, zone):
    days = Days(DayOptions(roll=roll, zone=zone))
    day = days.at(time_ns)
    assert day.begin <= time_ns < day.end
    assert days.at(day.begin) == days.at(day.end - 1) == day
    assert days.at(day.end).value > day.value
    assert days.at(day.end).begin == day.end


@pytest.mark.parametrize(
    ("roll", "zone", "moment", "date"),
    [
        ("00:00", "UTC", at("UTC", 2026, 11, 20, 23, 59, 59), 20261120),
        ("00:00", "UTC", at("UTC", 2026, 11, 21), 20261121),
        ("02:00", "UTC", at("UTC", 2026, 11, 21, 1, 59), 20261120),
        ("17:00", "America/Chicago", at("America/Chicago", 2026, 11, 22, 17), 20261123),
        ("17:00", "America/Chicago", at("America/Chicago", 2026, 11, 23, 16, 59), 20261123),
        ("00:00", "America/New_York", at("UTC", 2026, 11, 20, 4), 20261119),
    ],
)
def test_a_day_has_the_date_that_people_give_it(roll, zone, moment, date):
    assert Days(DayOptions(roll=roll, zone=zone)).at(moment).value == date


def test_days_are_shorter_and_longer_where_clocks_move():
    days = Days(DayOptions(zone="America/New_York"))
    hours = [
        (day.end - day.begin) // (3600 * NS)
        for day in (days.at(at("UTC", 2026, *date, 12)) for date in ((3, 8), (11, 1), (11, 2)))
    ]
    assert hours == [23, 25, 24]


PHASES = (
    Phase(begin="07:00", end="09:30", name="pre-open"),
    Phase(begin="09:30", end="16:00", name="continuous"),
    Phase(begin="22:00", end="01:00", name="pause"),
)


@pytest.mark.parametrize(
    ("clock", "state"),
    [
        ((6, 59), State.HALTED),
        ((7, 0), State.QUOTING),
        ((9, 30), State.TRADING),
        ((15, 59), State.TRADING),
        ((16, 0), State.HALTED),
        ((23, 0), State.PAUSED),
        ((0, 59), State.PAUSED),
        ((1, 0), State.HALTED),
    ],
)
@pytest.mark.parametrize("date", [(2026, 7, 1), (2026, 12, 1), (2026, 3, 8), (2026, 11, 1)])
def test_a_phase_goes_by_the_local_clock(date, clock, state):
    schedule = Schedule(PHASES, "America/New_York")
    assert schedule.at(at("America/New_York", *date, *clock)).value == state


@given(time_ns=TIMES, zone=st.sampled_from(ZONES))
def test_a_state_holds_until_its_end(time_ns, zone):
    schedule = Schedule(PHASES, zone)
    period = schedule.at(time_ns)
    assert period.begin <= time_ns < period.end
    assert schedule.at(period.begin) == schedule.at(period.end - 1) == period
    assert schedule.at(period.end).begin == period.end


@pytest.mark.parametrize("text", ["", "9:30", "09:60", "24:01", "09:30:60", "x", "٠٩:٣٠", "-1:00"])
def test_what_is_no_time_of_day(text):
    with pytest.raises(ValueError, match="no time of day"):
        seconds_of(text)


def test_clocks_and_zones_are_checked():
    assert seconds_of("24:00") == 86_400
    with pytest.raises(ValueError, match="no time zone 'Mars'"):
        DayOptions(zone="Mars")
    with pytest.raises(ValueError, match="give 00:00"):
        DayOptions(roll="24:00")
    with pytest.raises(ValueError, match="no part of a day"):
        Phase(begin="09:00", end="09:00", name="closed")


def test_phases_that_overlap_are_named():
    late = Phase(begin="15:00", end="17:00", name="auction")
    night = Phase(begin="23:00", end="08:00", name="closed")
    assert overlap([*PHASES[:2]]) == ""
    assert "continuous (09:30 to 16:00) and auction (15:00 to 17:00)" in overlap(
        [*PHASES[:2], late]
    )
    assert "closed (23:00 to 08:00) and pre-open" in overlap([PHASES[0], night])
