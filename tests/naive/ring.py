"""A ring as a list: everything ever written, and how far each reader has released."""


class Ring:
    """What a ring of `capacity` records with some gating readers must do."""

    def __init__(self, capacity: int, readers: int) -> None:
        self.capacity = capacity
        self.written: list = []
        self.positions = [0] * readers
        self.closed = False

    def room(self, want: int) -> int:
        """How many records may be written now."""
        waiting = len(self.written) - min(self.positions, default=len(self.written))
        return min(want, self.capacity - waiting)

    def push(self, records: list) -> int:
        """Write as many as there is room for; how many."""
        count = self.room(len(records))
        self.written += records[:count]
        return count

    def waiting(self, reader: int, limit: int) -> list:
        """The records that a reader may take."""
        return self.written[self.positions[reader] :][:limit]

    def release(self, reader: int, count: int) -> None:
        """The reader is done with its next `count` records."""
        self.positions[reader] += count

    def ended(self, reader: int) -> bool:
        """True when the reader has everything that will ever come."""
        return self.closed and self.positions[reader] == len(self.written)

    def newest(self, count: int) -> list:
        """The newest records, at most a ring of them."""
        count = min(count, self.capacity)
        return self.written[max(len(self.written) - count, 0) :]
