"""Live checks of portfolios: one now and then, between two turns, each in its turn."""

import time

import numpy as np

from ringbuf.atomics import at
from ringbuf.panel import Panel
from workers.kernels import scenarios
from workers.kernels.position_block import STATE, distribution_of
from workers.kernels.risk_check import RiskFault, bytes_aside, check
from workers.kernels.scenarios import DISTRIBUTION
from workers.records import lined


class RiskSample:
    """Checks portfolios at most every so many seconds; what differs is counted and said."""

    def __init__(self, seconds: float, book: int, names: list[str], panel: Panel) -> None:
        """book: address of the block of positions; names: of its portfolios, in their order."""
        self.seconds, self.book, self.names, self.panel = seconds, book, names, panel
        count = int(at(book, STATE).scenarios)
        self.aside = lined(bytes_aside(count))
        scenarios.create(self.aside.ctypes.data, count)
        self._due = time.monotonic() + seconds
        self._next = 0
        check(book, 0, self.aside.ctypes.data)  # compiled before it is needed

    def look(self) -> None:
        """Check the next portfolio that was marked, if it is time."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self.seconds
        moved = [int(at(distribution_of(self.book, each), DISTRIBUTION).moves) for each in self.all]
        marked = np.flatnonzero(moved)
        if not len(marked):
            return
        later = marked[marked >= self._next]
        portfolio = int(later[0] if len(later) else marked[0])
        self._next = portfolio + 1
        counters = self.panel.counters["risk"]
        counters["checked"] += 1
        faults = RiskFault(int(check(self.book, portfolio, self.aside.ctypes.data)))
        if faults:
            counters["faulty"] += 1
            what = ", ".join(str(fault.name).lower() for fault in RiskFault if fault & faults)
            name = self.names[portfolio]
            told = f"portfolio {name!r} is not what its positions make: {what}; restart risk"
            self.panel.status["message"] = told.encode()[:256]

    @property
    def all(self) -> range:
        """The numbers of all portfolios."""
        return range(len(self.names))
