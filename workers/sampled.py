"""Live checks of books: one now and then, between two turns, each instrument in its turn."""

import time

import numpy as np

from ringbuf.panel import Panel
from workers.kernels.book_check import LIMIT, BookFault, check

TOLD = BookFault.NOT_ALL | BookFault.CROSSED  # no faults: too large to see all, and before trading


class Sample:
    """Checks books at most every so many seconds; what is wrong is counted and said."""

    def __init__(self, seconds: float, books: int, panel: Panel) -> None:
        self.seconds, self.books, self.panel = seconds, books, panel
        self._due = time.monotonic() + seconds
        self._last = -1
        check(books, -1, LIMIT)  # compiled before it is needed

    def look(self, causes: np.ndarray) -> None:
        """Check the next book, if it is time. causes: the last event of each instrument."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self.seconds
        alive = np.flatnonzero(causes)
        if not len(alive):
            return
        later = alive[alive > self._last]
        self._last = int(later[0] if len(later) else alive[0])
        counters = self.panel.counters["book"]
        counters["checked"] += 1
        faults = BookFault(int(check(self.books, self._last, LIMIT))) & ~TOLD
        if faults:
            counters["faulty"] += 1
            names = ", ".join(str(fault.name).lower() for fault in BookFault if fault & faults)
            told = f"the book of instrument {self._last} is not whole: {names}; restart book"
            self.panel.status["message"] = told.encode()[:256]
