"""Arbitration the obvious way: one dict of what has come, and a walk along the numbers."""

from collections import Counter


class Arbiter:
    """What `workers.kernels.arbiter` does, with nothing to be fast and no bound on anything."""

    def __init__(self, first: int, window: int, timeout: int, asks: bool, tries: int) -> None:
        self.next = self.known = self.seen = first
        self.window, self.timeout, self.asks, self.tries = window, timeout, asks, tries
        self.known_at = 0
        self.waiting: dict[int, tuple[bytes, int]] = {}
        self.out: list[tuple[int, bytes] | tuple[str, int, int]] = []
        self.requests: list[tuple[int, int]] = []
        self.given_up: set[int] = set()
        self.counts: Counter = Counter()
        self.gap: tuple[int, int] | None = None  # first missing, one past the last
        self.tried = self.due = self.counted_to = 0

    def message(self, line, number: int, data: bytes, now: int, answers: bool = False) -> None:
        """One message of a line."""
        if number < self.next or number in self.waiting:
            late = number in self.given_up and number >= self.next - self.window
            late = late and number + self.window not in self.waiting  # what holds its slot
            self.given_up.discard(number)
            self.counts["late" if late else "duplicates"] += 1
            if not late:
                self.counts["duplicates", line] += 1
            return
        if number > self.known:
            self.known, self.known_at = number, now
        while not self.asks and number - self.next >= self.window:
            if self.gap is None or self.gap[1] <= self.next:
                self.look()
            self.gap = (self.gap[0], min(self.gap[1], number))
            self.give_up()
        if number - self.next >= self.window:
            self.counts["beyond"] += 1
            if number >= self.known:
                self.known_at = now
        else:
            self.waiting[number] = (data, now)
            self.counts["won", line] += 1
            if answers or number < self.seen:
                self.counts["recovered" if answers else "out_of_order"] += 1
            if self.gap and number != self.next and number < self.gap[1]:
                self.gap = (self.gap[0], number)
        self.seen, self.known = max(self.seen, number + 1), max(self.known, number + 1)
        self.release()

    def heartbeat(self, number: int, now: int) -> None:
        """All messages before a number exist."""
        if number > self.known:
            self.known, self.known_at = number, now

    def release(self) -> None:
        """Put out what is next."""
        while self.next in self.waiting:
            self.out.append((self.next, self.waiting.pop(self.next)[0]))
            self.next += 1

    def look(self) -> None:
        """Where the gap at the next number ends, and since when it is known."""
        later = [n for n in self.waiting if n < self.next + self.window]
        end = min(later, default=self.known)
        self.gap = (self.next, end)
        since = self.waiting[end][1] if later else self.known_at
        self.tried, self.due = 0, since + self.timeout

    def tend(self, now: int) -> None:
        """Ask for what is missing, or give it up, if it is time."""
        while self.next < self.known:
            if self.gap is None or self.gap[1] <= self.next:
                self.look()
            elif self.gap[0] != self.next:
                self.gap = (self.next, self.gap[1])
                if self.tried:
                    self.tried, self.due = 0, now
            if now < self.due:
                return
            self.count_gap()
            if self.asks and self.tried < self.tries:
                self.requests.append(self.gap)
                self.due = now + self.timeout * 2 ** min(self.tried, 6)
                self.tried += 1
                return
            self.give_up()

    def count_gap(self) -> None:
        """A stretch of messages counts as one gap, however often it is looked at."""
        if self.gap[1] > self.counted_to:
            self.counts["gaps"] += self.next > self.counted_to
            self.counted_to = self.gap[1]

    def give_up(self) -> None:
        """Go on behind the gap."""
        if self.gap is None or self.gap[1] <= self.next:
            self.look()
        self.count_gap()
        end = self.gap[1]
        self.counts["lost"] += end - self.next
        self.out.append(("gap", self.next, end))
        self.given_up |= set(range(self.next, end))
        self.next, self.gap = end, None
        self.release()
