"""Trading days and phases: local clock times into instants of event time.

An instant counts nanoseconds since the Unix epoch. Where clocks are put forward or back, zoneinfo
decides: a local time that comes twice is the first of the two, one that is left out is read as if
the clock had not been moved yet. Nothing here looks at the time of this host.
"""

import datetime as dt
import itertools
import re
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from workers.records import State

NS = 10**9
DAY_S = 86_400
CLOCK_TEXT = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")
ONE_DAY = dt.timedelta(days=1)

PHASES = {
    "pre-open": State.QUOTING,
    "continuous": State.TRADING,
    "auction": State.QUOTING,
    "pause": State.PAUSED,
    "closed": State.HALTED,
}
PhaseName = Literal["pre-open", "continuous", "auction", "pause", "closed"]


class DayOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """When a day of the log ends.

    roll: local time of day; from noon on, what begins then is the next date's day. end: `venue`
    has all orders be dead as soon as the venue says that its day is over (SYSTEM event `C`).
    """

    roll: str = "00:00"
    zone: str = "UTC"
    end: Literal["roll", "venue"] = "roll"

    def __post_init__(self) -> None:
        zone_of(self.zone)
        if seconds_of(self.roll) == DAY_S:
            raise ValueError(f"roll = {self.roll!r}: give 00:00 instead")


class Phase(
    msgspec.Struct,
    forbid_unknown_fields=True,
    kw_only=True,
    frozen=True,
    rename={"begin": "from", "end": "to", "name": "state"},
):
    """One part of the trading day, by the local clock; it may go on past midnight."""

    begin: str
    end: str
    name: PhaseName

    def __post_init__(self) -> None:
        if self.span[0] == DAY_S or self.span[0] == self.span[1]:
            raise ValueError(f"{self.begin} to {self.end} is no part of a day; give two times")

    @property
    def span(self) -> tuple[int, int]:
        """Seconds after midnight at which it begins and ends."""
        return seconds_of(self.begin), seconds_of(self.end)


def seconds_of(text: str) -> int:
    """Seconds after midnight, up to 24:00; ValueError for what is no time of day."""
    match = CLOCK_TEXT.fullmatch(text)
    if match:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if minutes < 60 and seconds < 60 and total <= DAY_S:
            return total
    raise ValueError(f"{text!r} is no time of day; give HH:MM or HH:MM:SS")


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name; ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name!r}; give one as 'UTC' or 'Europe/Zurich'"
        ) from None


def instant(date: dt.date, seconds: int, zone: ZoneInfo) -> int:
    """When it is so many seconds after midnight of a date, by the clocks of a zone."""
    local = dt.datetime.combine(date, dt.time()) + dt.timedelta(seconds=seconds)
    return int(local.replace(tzinfo=zone).timestamp()) * NS


def near(time_ns: int, zone: ZoneInfo) -> list[dt.date]:
    """The dates about an instant; so many, as a zone that changed sides has left one out."""
    date = dt.datetime.fromtimestamp(time_ns // NS, zone).date()
    return [date + days * ONE_DAY for days in range(-2, 4)]


def number_of(date: dt.date) -> int:
    """A date as yyyymmdd."""
    return date.year * 10_000 + date.month * 100 + date.day


class Period(NamedTuple):
    """What is so from one instant to another: a date as yyyymmdd, or a State."""

    value: int
    begin: int
    end: int


class Days:
    """The days of a log."""

    def __init__(self, options: DayOptions) -> None:
        self.zone, self.roll = zone_of(options.zone), seconds_of(options.roll)

    def at(self, time_ns: int) -> Period:
        """The day of an instant."""
        begins = {date: instant(date, self.roll, self.zone) for date in near(time_ns, self.zone)}
        date = max(date for date, begin in begins.items() if begin <= time_ns)
        named = date if self.roll < DAY_S // 2 else date + ONE_DAY
        end = min(begin for begin in begins.values() if begin > time_ns)
        return Period(number_of(named), begins[date], end)


class Schedule:
    """The phases of every trading day of some instruments; between them they are closed."""

    def __init__(self, phases: tuple[Phase, ...], zone: str) -> None:
        self.phases, self.zone = phases, zone_of(zone)

    def at(self, time_ns: int) -> Period:
        """The State at an instant."""
        marks: dict[int, int] = {}
        spans = [
            (date, *phase.span, PHASES[phase.name])
            for date in near(time_ns, self.zone)
            for phase in self.phases
        ]
        for date, begin, end, _ in spans:
            after = end if end > begin else end + DAY_S
            marks[instant(date, after, self.zone)] = int(State.HALTED)
        for date, begin, _, state in spans:
            marks[instant(date, begin, self.zone)] = int(state)
        last = max(mark for mark in marks if mark <= time_ns)
        return Period(marks[last], last, min(mark for mark in marks if mark > time_ns))


def overlap(phases: list[Phase]) -> str:
    """Two phases that are at the same time, in words; empty where there are none."""
    parts = []
    for phase in phases:
        begin, end = phase.span
        whole = [(begin, end)] if end > begin else [(begin, DAY_S), (0, end)]
        parts += [(*part, phase) for part in whole]
    parts.sort(key=lambda part: part[:2])
    for (_, end, first), (begin, _, second) in itertools.pairwise(parts):
        if begin < end:
            return (
                f"{first.name} ({first.begin} to {first.end}) and {second.name} "
                f"({second.begin} to {second.end}) overlap"
            )
    return ""
