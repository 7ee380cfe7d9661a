"""Price levels under test: a block of them with a kind of index, and what they should hold."""

from ringbuf.atomics import at
from tests.workers.books import Block
from workers.kernels import levels
from workers.kernels.levels import LEVEL, LEVELS, SIDE, Index

KINDS = list(Index)
TICKS = 64


class Indexed(Block):
    """Levels over some instruments, and beside them the obvious: a set of prices a side."""

    def __init__(self, kind: int, limit: int, instruments: int = 1, ticks: int = TICKS):
        self.settings = (kind, limit, instruments, ticks)
        super().__init__(levels.bytes_needed(limit, instruments, kind, ticks))
        levels.create(self.address, limit, instruments, kind, ticks)
        self.limit, self.naive = limit, {owner: set() for owner in range(2 * instruments)}
        self.header = at(self.address, LEVELS)

    def side(self, owner: int):
        return at(levels.side_at(self.address, owner), SIDE)

    def toggle(self, owner: int, price: int) -> int:
        """Close the level at a price, or open one; its number, as it was or is."""
        number = levels.find(self.address, owner, price)
        assert bool(number) == (price in self.naive[owner])
        if number:
            levels.close(self.address, number)
            self.naive[owner].remove(price)
        elif sum(map(len, self.naive.values())) == self.limit:
            assert levels.find_or_open(self.address, owner, price) == 0
        else:
            number = levels.find_or_open(self.address, owner, price)
            assert number == levels.find_or_open(self.address, owner, price) > 0
            self.naive[owner].add(price)
        return int(number)

    def prices(self, owner: int) -> list[int]:
        """Prices from the best, one level leading to the next."""
        found, number = [], int(self.side(owner).best)
        while number:
            found.append(int(at(levels.level_at(self.address, number), LEVEL).price))
            number = levels.worse(self.address, number)
        return found

    def by_depth(self, owner: int) -> list[int]:
        """Prices from the best, each asked for by its depth."""
        numbers = [
            levels.nth(self.address, owner, depth) for depth in range(self.side(owner).count)
        ]
        return [int(at(levels.level_at(self.address, number), LEVEL).price) for number in numbers]

    def audit(self) -> None:
        """Every side is whole and holds what it should; nothing of the arena is lost."""
        entries = levels.unused_entries(self.address)
        for owner, prices in self.naive.items():
            assert levels.sound(self.address, owner), owner
            assert self.prices(owner) == sorted(prices, reverse=owner % 2 == 0)
            assert self.side(owner).count == len(prices)
            entries += levels.held(self.address, owner)
        taken = self.header.arena_fresh - self.header.arena_at
        assert entries * levels.ENTRY_BYTES == taken

    def copy(self) -> "Indexed":
        """The same bytes elsewhere."""
        other = Indexed(*self.settings)
        other.words[:] = self.words
        other.naive = {owner: set(prices) for owner, prices in self.naive.items()}
        return other
