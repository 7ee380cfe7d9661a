"""What ingest knew of its instruments and of the day when it died, from the log that it made."""

import numpy as np

from workers import merge
from workers.almanac import NEW_DAY
from workers.ingest import Ingest
from workers.merge import KNOWN, OURS
from workers.records import EVENT, Event, Flag, Mark, empty

TRADES = (Event.TRADE, Event.EXECUTE_AT)


def is_ours(events: np.ndarray) -> np.ndarray:
    """Which events no feed has said, but the almanac; shape (n,)."""
    again = (events["kind"] == Event.DIRECTORY) & (events["flags"] & Flag.SNAPSHOT != 0)
    return again | (events["source"] == OURS)


class Relearned:
    """Notes the log from its beginning (`first`), and has a stage know what it says."""

    def __init__(self, instruments: int, first: int) -> None:
        self.known = np.zeros(instruments, KNOWN)
        self.announced = np.full(instruments, first > 1)
        self.count = 0  # events that are ours
        self.date = self.begun = 0  # the last day, and where it begins
        self.heard = 0  # the last event that is not ours
        self.last_ns = 0
        self.last = empty(EVENT, 1)[0]

    def note(self, events: np.ndarray) -> None:
        """Take in the next events of the log, at least one."""
        ours, kinds = is_ours(events), events["kind"]
        self.count += int(np.count_nonzero(ours))
        (theirs,) = np.nonzero(~ours)
        if len(theirs):
            self.heard = int(events["sequence"][theirs[-1]])
        days = events[ours & (kinds == Event.SYSTEM) & (events["flags"] == NEW_DAY)]
        if len(days):
            self.date, self.begun = int(days[-1]["order"]), int(days[-1]["sequence"])
        self.last_ns = max(self.last_ns, int(events["time_ns"].max()))
        self.last = events[-1].copy()
        self._note_known(events[(events["instrument"] >= 0)])

    def _note_known(self, events: np.ndarray) -> None:
        """The rules' view of each instrument; of several events the last one counts."""
        kinds, flags, numbers = events["kind"], events["flags"], events["instrument"]
        quality = self.known["quality"]
        terms = kinds == Event.TERMS
        quality["tick"][numbers[terms]] = events["order"][terms]
        quality["lot"][numbers[terms]] = events["other"][terms]
        priced = (np.isin(kinds, TRADES) | terms) & (events["price"] > 0)
        quality["reference"][numbers[priced]] = events["price"][priced]
        doubts = (kinds == Event.STALE) | (kinds == Event.FRESH)
        quality["doubtful"][numbers[doubts]] = kinds[doubts] == Event.STALE
        halts = (kinds == Event.STATUS) | (kinds == Event.FRESH)
        barred = (kinds == Event.STATUS) & (flags & Mark.BARRED != 0)
        quality["halted"][numbers[halts]] = barred[halts]
        shown = (kinds == Event.CLEAR) & (flags & Flag.SNAPSHOT != 0)
        self.known["shown"][numbers[shown]] = 1
        self.announced[numbers[kinds == Event.DIRECTORY]] = True

    def teach(self, stage: Ingest) -> None:
        """Have a stage that is open, and knows the numbers of its instruments, know the rest."""
        almanac = stage.almanac
        stage.known()[:] = self.known
        merge.at(stage.state_at, merge.MERGE).last_ns = self.last_ns
        named = sorted((one, number, symbol) for (number, _, symbol), one in stage.numbers.items())
        for one, number, symbol in named:
            entry = almanac.reference.find(number, stage.kinds[number], symbol)
            if entry is not None and not stage.source(number).exempt:
                almanac.learn(one, entry)
        stage.fresh |= {one for one, *_ in named if not self.announced[one]}
        almanac.resume(self.date, self.last_ns)
        self._finish(stage)

    def _finish(self, stage: Ingest) -> None:
        """Have the stage say what it was about to say."""
        almanac, last = stage.almanac, self.last
        rows = stage.board.all()[: len(stage.numbers)]
        kind, one = last["kind"], int(last["instrument"])
        if self.begun > self.heard:
            stage.say(almanac.anew(range(len(rows)), rows, self.known, self.last_ns))
        elif kind == Event.DIRECTORY and not is_ours(last.reshape(1))[0]:
            stage.fresh.add(one)
            stage.introduce(int(last["source"]), one, last)
        elif last["source"] == OURS and kind in (Event.TERMS, Event.STATUS):
            stage.say(almanac.all_phases(self.last_ns))
        else:
            stage.say(empty(EVENT, 0))
