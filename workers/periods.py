"""A portfolio's records cut into periods: what was made in each, and what was told before it.

The value at risk that is told at the end of a period is held against the profit of the next one:
from the last record of the one to the last record of the other, so nothing falls in between.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from workers.quantiles import MeasureError

SECOND_NS = 10**9
DAY_S = 86_400  # of a clock that never stops; value at risk is of a day
ROLLS_MOST = DAY_S - 1


class Cut(NamedTuple):
    """Where periods begin: every `period_s` seconds from `roll_s` after midnight, UTC.

    day_s: how long a day of the scenarios is, in seconds of trading. Value at risk of a shorter
    period is that of a day times the square root of its part of it.
    """

    period_s: int = DAY_S
    roll_s: int = 0
    day_s: int = DAY_S

    def check(self) -> None:
        """MeasureError for what cuts nothing."""
        bounds = {"period": (1, DAY_S), "roll": (0, ROLLS_MOST), "day": (1, DAY_S)}
        for (name, (least, most)), given in zip(bounds.items(), self, strict=True):
            if not least <= given <= most:
                raise MeasureError(f"{name}: {given} seconds; give {least} to {most:,}")
        if self.period_s < DAY_S and DAY_S % self.period_s:
            raise MeasureError(
                f"period: a day has no whole number of {self.period_s} seconds; give 3600, 300, ..."
            )

    @property
    def factor(self) -> float:
        """Value at risk of a period for one of a day."""
        return 1.0 if self.period_s == DAY_S else math.sqrt(min(self.period_s / self.day_s, 1.0))

    def begins_ns(self, number: int) -> int:
        """When a period begins, nanoseconds since the epoch."""
        return (number * self.period_s + self.roll_s) * SECOND_NS


class Period(NamedTuple):
    """What a portfolio made in a period; money units."""

    begins_ns: int
    told: int | None  # value at risk, told at the end of the period before; None: none was told
    profit: int  # so far, where the period is not over
    lowest: int  # the least that it had made at any record of it
    is_over: bool

    @property
    def is_exception(self) -> bool:
        """Whether it lost more than was told."""
        return self.told is not None and -self.profit > self.told


class Periods:
    """The periods of one portfolio; records come in the order of the log."""

    def __init__(self, cut: Cut) -> None:
        cut.check()
        self.cut = cut
        # Of each period that has records: its number, the last P&L and VaR told, the lowest P&L.
        self.ends: list[list[int]] = []

    def add(self, times_ns: np.ndarray, pnl: np.ndarray, var: np.ndarray) -> None:
        """Take records, int64 [records] each; a late time counts as the newest so far."""
        if not len(times_ns):
            return
        numbers = (times_ns // SECOND_NS - self.cut.roll_s) // self.cut.period_s
        newest = self.ends[-1][0] if self.ends else int(numbers[0])
        numbers = np.maximum(np.maximum.accumulate(numbers), newest)
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        lowest = np.minimum.reduceat(pnl, starts)
        lasts = np.append(starts[1:], len(numbers)) - 1
        made = zip(numbers[starts], pnl[lasts], var[lasts], lowest, strict=True)
        for end in (list(map(int, each)) for each in made):
            if self.ends and self.ends[-1][0] == end[0]:
                end[3] = min(end[3], self.ends.pop()[3])
            self.ends.append(end)

    def all(self) -> list[Period]:
        """Every period but the first, in order; the last is not over yet.

        The first only tells: what was held before it is not known. So does one behind a hole, where
        periods are shorter than a day: its profit is of more than a period.
        """
        found = []
        for (number_before, opened, told, _), (number, pnl, _, lowest) in pairwise(self.ends):
            follows = number == number_before + 1 or self.cut.period_s == DAY_S
            found.append(
                Period(
                    self.cut.begins_ns(number),
                    round(told * self.cut.factor) if follows else None,
                    pnl - opened,
                    lowest - opened,
                    number != self.ends[-1][0],
                )
            )
        return found
