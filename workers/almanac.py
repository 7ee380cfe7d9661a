"""What ingest itself has to say in the log: ends of days, phases of trading, terms of instruments.

When an event is behind the end of a day, this goes into the log before it:

    CLEAR      of every instrument, at the time of the roll: its orders are dead
    FRESH      of those whose books were doubted, but by venues that trade through the night
    SYSTEM     flags = `D`, order = the date as yyyymmdd: the day begins with its first event
    DIRECTORY  of every instrument, with Flag.SNAPSHOT: it has the number that it had; then
    TERMS      where they are known,
    STATUS     what its phase is, UNKNOWN where no phases are known,
    STALE      where the venue trades through the night: its book has yet to be shown

so that the stretch of the log from one SYSTEM `D` to the next is whole by itself. All this follows
from the events and the configuration, so the log is the same whenever it is made.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from workers.instruments import SYMBOL_BYTES
from workers.merge import NEVER, OURS
from workers.records import EVENT, LOT_DECIMALS, MATCHED, Doubt, Event, Flag, Side, State, empty
from workers.reference import Entry, Reference, ReferenceOptions, load, units
from workers.sessions import DayOptions, Days, Period, Schedule

NEW_DAY = ord("D")  # flags of the SYSTEM event
SOON = 1  # a boundary that the first event with a time is behind
NO_SCHEDULE = -1


class Setting(NamedTuple):
    """The parts of a configuration that decide what ingest has to say."""

    day: DayOptions | None = None
    reference: ReferenceOptions | None = None
    portfolios: tuple[str, ...] = ()  # that lines may tell of


class Almanac:
    """Keeps the day and the phases, as of an event time that only grows."""

    def __init__(self, setting: Setting, instruments: int) -> None:
        self.days = Days(setting.day) if setting.day else None
        self.ends = setting.day is not None and setting.day.end == "venue"
        self.reference = load(setting.reference.path) if setting.reference else Reference()
        self.date = 0  # yyyymmdd; 0: no day has begun
        self.troubles: list[str] = []
        self.schedules: list[Schedule] = []
        self.states: list[Period] = []  # of each schedule, as of the last turn
        self.schedule_of = np.full(instruments, NO_SCHEDULE)
        self.day_end = self.now = 0

    @property
    def boundary(self) -> int:
        """An event of this time or later has something come before it."""
        ends = [state.end for state in self.states]
        ends += [max(self.day_end, SOON)] if self.days is not None else []
        return min(ends, default=NEVER)

    def learn(self, instrument: int, entry: Entry) -> None:
        """Have an instrument follow the phases of its entry."""
        schedule = self.reference.schedule(entry)
        if schedule is None:
            return
        if schedule not in self.schedules:
            self.schedules.append(schedule)
            self.states.append(Period(State.UNKNOWN, 0, 0))
        self.schedule_of[instrument] = self.schedules.index(schedule)

    def introduce(
        self, instrument: int, terms: tuple[int, int, int] | None, time_ns: int
    ) -> np.ndarray:
        """What is to be said behind the first announcement of an instrument: EVENTs."""
        parts = []
        if terms is not None and any(terms):
            parts.append(_events(Event.TERMS, [instrument], time_ns))
            parts[-1]["order"], parts[-1]["other"], parts[-1]["price"] = terms
        number = self.schedule_of[instrument]
        if number != NO_SCHEDULE:
            if not self.states[number].end:
                self.states[number] = self.schedules[number].at(max(time_ns, self.now))
            parts.append(_events(Event.STATUS, [instrument], time_ns))
            parts[-1]["flags"] = self.states[number].value
        return _joined(parts)

    def night(self, numbers: Iterable[int], known: np.ndarray, time_ns: int) -> np.ndarray:
        """The end of a day of some instruments: EVENTs. known: what the merge knows, KNOWN."""
        cleared = _events(Event.CLEAR, numbers, time_ns)
        whole = (known["quality"]["doubtful"] != 0) & (known["shown"] == 0)
        numbers = cleared["instrument"]
        fresh = _events(Event.FRESH, numbers[whole[numbers]], time_ns)
        return _by_instrument([cleared, fresh])

    def turn(self, time_ns: int, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
        """What is to be said before an event of a time: EVENTs.

        rows: the instruments there are, INSTRUMENT; known: what the merge knows of them, KNOWN.
        """
        self.now = max(self.now, time_ns)
        parts, moved = [], self._move(time_ns)
        if self.days is not None and time_ns >= self.day_end:
            day = self.days.at(time_ns)
            self.day_end = day.end
            if day.value != self.date:
                every = range(len(rows))
                parts += [self.night(every, known, day.begin), self._begin(day.value, time_ns)]
                parts.append(self.anew(every, rows, known, time_ns))
                moved = []
        parts += [self.phases(number, self.states[number].begin) for number in moved]
        return _joined(parts)

    def phases(self, schedule: int, time_ns: int) -> np.ndarray:
        """What the state of all instruments of a schedule is: EVENTs."""
        mine = np.flatnonzero(self.schedule_of == schedule)
        told = _events(Event.STATUS, mine, time_ns)
        told["flags"] = self.states[schedule].value
        return told

    def all_phases(self, time_ns: int) -> np.ndarray:
        """What the state of all instruments with phases is: EVENTs."""
        return _joined([self.phases(number, time_ns) for number in range(len(self.states))])

    def resume(self, date: int, time_ns: int) -> None:
        """Have it be this day, and the phases as of a time that the log has come to."""
        self.date = date
        self.states = [schedule.at(time_ns) for schedule in self.schedules]

    def _move(self, time_ns: int) -> list[int]:
        """Have the schedules be as of a time; those whose state is another now, by their begin."""
        moved = []
        for number, schedule in enumerate(self.schedules):
            before = self.states[number]
            if time_ns >= before.end:
                self.states[number] = schedule.at(time_ns)
                if self.states[number].value != before.value:
                    moved.append(number)
        return sorted(moved, key=lambda number: self.states[number].begin)

    def _begin(self, date: int, time_ns: int) -> np.ndarray:
        self.date = date
        begun = _events(Event.SYSTEM, [-1], time_ns)
        begun["flags"], begun["order"] = NEW_DAY, date
        return begun

    def anew(self, numbers: Iterable[int], rows, known: np.ndarray, time_ns: int) -> np.ndarray:
        """Instruments announced again, with all that is known of each: EVENTs."""
        announced = _events(Event.DIRECTORY, numbers, time_ns)
        numbers = announced["instrument"]
        fill_in(announced, rows[numbers])
        quality, shown = known["quality"][numbers], known["shown"][numbers]
        terms = _events(Event.TERMS, numbers, time_ns)
        terms["order"], terms["other"] = quality["tick"], quality["lot"]
        terms["price"] = quality["reference"]
        some = (terms["order"] != 0) | (terms["other"] != 0) | (terms["price"] != 0)
        status = _events(Event.STATUS, numbers, time_ns)
        states = np.array([*(state.value for state in self.states), State.UNKNOWN])
        status["flags"] = states[self.schedule_of[numbers]]
        stale = _events(Event.STALE, numbers[shown != 0], time_ns)
        stale["flags"] = Doubt.NO_SNAPSHOT
        return _by_instrument([announced, terms[some], status, stale])

    def terms_of(self, entry: Entry, row: np.ndarray) -> tuple[int, int, int] | None:
        """Tick, lot size and reference price of an entry in an instrument's units.

        None, and a trouble, where one of them is no whole number of units.
        """
        price_scale, lot_scale = int(row["price_scale"]), int(row["lot_scale"])
        found = []
        for name, scale in (("tick", price_scale), ("lot", lot_scale), ("price", price_scale)):
            value = getattr(entry, name)
            whole = units(value, scale)
            if whole is None:
                self.troubles.append(
                    f"{self.reference.path}: {entry.symbol}: {name} = {value} is no whole number "
                    f"of 1/{scale}, in which its feed counts; correct it, it is left out"
                )
                return None
            found.append(whole)
        tick, lot, price = found
        return tick, lot, price


def fill_in(events: np.ndarray, rows: np.ndarray) -> None:
    """Have DIRECTORY events announce what rows of the instrument table say; both shape (n,)."""
    symbols = np.frombuffer(rows["symbol"].tobytes(), np.uint8).reshape(-1, SYMBOL_BYTES).copy()
    symbols[symbols == 0] = ord(" ")
    events["order"], events["other"], events["price"] = symbols.view(np.int64).T
    events["quantity"], events["source"] = rows["price_scale"], rows["source"]
    decimals = np.rint(np.log10(np.maximum(rows["lot_scale"], 1))).astype(np.uint8)
    matched = rows["matched"].astype(np.uint8) * np.uint8(MATCHED)
    events["flags"] = decimals << LOT_DECIMALS | matched | Flag.SNAPSHOT


def _events(kind: Event, numbers, time_ns: int) -> np.ndarray:
    """An EVENT of one kind for each instrument."""
    numbers = np.fromiter(numbers, np.int32)
    events = empty(EVENT, len(numbers))
    events["kind"], events["instrument"], events["time_ns"] = kind, numbers, time_ns
    events["source"], events["side"] = OURS, Side.NONE
    return events


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    events = empty(EVENT, sum(map(len, parts)))
    if parts:
        events[:] = np.concatenate(parts)
    return events


def _by_instrument(parts: list[np.ndarray]) -> np.ndarray:
    """All that is said of one instrument before anything of the next."""
    events = _joined(parts)
    events[:] = events[np.argsort(events["instrument"], kind="stable")]
    return events
