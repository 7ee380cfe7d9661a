"""What happens on rings, as actors for the explorer: who writes, who reads, and what must hold.

A story has a topology and a way of waiting. The actors are what the stages' processes do with the
kernels of `ringbuf`, here from copies that run under the explorer.
"""

import types
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from ringbuf import ring as real_ring
from ringbuf.share import Seat, seat_readers
from tests.interleave import (
    Run,
    futex_wait,
    interleave,
    load_relaxed,
    pause,
    plain,
    store_relaxed,
)

RECORDS = 7
CAPACITY = 4
SIZE = 24  # two words and the sequence: the smallest record that can be torn
MODULES = ("ring", "lossy", "park", "views", "poller")
GATE, DROP = real_ring.Policy.GATE, real_ring.Policy.DROP
Changes = dict[str, list[tuple[str, str]]]


class Words:
    """A record whose words are the explorer's, as `at` gives it."""

    def __init__(self, address: int, dtype: np.dtype) -> None:
        vars(self).update(address=address, fields=dtype.fields)

    def __getattr__(self, field: str) -> int:
        return load_relaxed(self.address + self.fields[field][1])

    def __setattr__(self, field: str, value: int) -> None:
        store_relaxed(self.address + self.fields[field][1], int(value))


class Kernels:
    """Copies of the modules of `ringbuf` that work on rings, under the explorer."""

    def __init__(self, changes: Changes | None = None) -> None:
        """changes: by module, what to change in its source."""
        made: dict[str, types.ModuleType] = {}
        for name in MODULES:
            flaws = (changes or {}).get(name, [])
            made[name] = plain(f"ringbuf.{name}", *flaws, using=list(made.values()))
        self.ring, self.lossy = made["ring"], made["lossy"]
        self.park, self.poller = made["park"], made["poller"]
        for module in (self.ring, self.lossy, self.park):
            module.at = Words

    def sleep(self, readers) -> bool:
        """What `Bed.sleep` does, with the explorer's futex."""
        bed = self.park.Bed(readers)
        bed._wait = lambda seconds: futex_wait([r.line + self.ring.PARKED for r in readers], 1)
        return bed.sleep(0)


def word(sequence, place):
    """What a record's words must be."""
    return sequence * 1000 + place


class Line:
    """One ring in memory of its own, with its readers' seats, and its writer."""

    def __init__(self, kernels: Kernels, seats: list[Seat], batch: int, quiet: bool) -> None:
        """quiet: the writer falls silent after each batch, until everybody has read it.

        Then nothing that comes later makes up for a wake-up that was lost.
        """
        self.ring, self.batch, self.quiet = kernels.ring, batch, quiet
        self.memory = np.zeros(self.ring.bytes_needed(CAPACITY, SIZE) // 8, np.int64)
        self.base = self.memory.ctypes.data
        self.writer, self.readers = self.ring.lines(self.memory.view(np.uint8))
        seat_readers(self.writer, self.readers, seats)
        self.published = 0

    def reader(self, number: int):
        after = int(self.readers[number]["after"])
        return self.ring.reader_of(self.base, CAPACITY, SIZE, number, after)

    def write(self, life: int) -> None:
        ring = self.ring
        writer = ring.writer_of(self.base, CAPACITY, SIZE)
        sent = ring.recover(writer)
        assert sent == self.published
        while sent < RECORDS:
            space = ring.room(writer, sent + 1, self.batch)
            for _ in range(min(space, RECORDS - sent)):
                self._write_one(writer, sent + 1)
                sent += 1
            ring.advance(writer, sent)
            while self.quiet and any(
                r["policy"] > 0 and r["position"] < sent for r in self.readers
            ):
                pause()
        ring.close(writer)

    def _write_one(self, writer, sequence: int) -> None:
        address = self.ring.claim(writer, sequence)
        for reader in self.readers:
            if reader["policy"] == GATE:
                assert sequence - CAPACITY <= reader["position"]
        for place in range(2):
            store_relaxed(address + 8 * place, word(sequence, place))
        self.ring.publish(writer, sequence, sequence * 10, sequence * 10 + 1)
        self.published = sequence

    def check(self, reader, sequence: int) -> None:
        """A record and its stamp, where a reader finds them."""
        self.check_words(self.ring.slot(reader, sequence), sequence)
        times = self.ring.at(self.ring.stamp(reader, sequence), self.ring.STAMP)
        assert (times.born, times.sent) == (sequence * 10, sequence * 10 + 1)

    def check_words(self, address: int, sequence: int) -> None:
        words = [load_relaxed(address), load_relaxed(address + 8)]
        assert words == [word(sequence, 0), word(sequence, 1)]


class Story:
    """One way for rings to be used. Each seed also chooses batches, and who is killed when."""

    seats: list[Seat]
    mortal: int | None = None  # a reader that does not come back once it was killed

    def __init__(self, kernels: Kernels, parks: bool, seed: int) -> None:
        self.kernels, self.ring, self.parks = kernels, kernels.ring, parks
        seats = [seat._replace(parks=parks) for seat in self.seats]
        quiet = seed // 4 % 2 == 1
        self.line = Line(kernels, seats, 1 + seed % 3, quiet)
        self.pending = 1 + seed // 3 % 2  # records that a reader releases together
        self.got = [0] * len(seats)
        self.retired = False

    def actors(self) -> list[Callable[[int], None]]:
        return [self.line.write, *(self.read(number) for number in range(len(self.seats)))]

    def read(self, number: int) -> Callable[[int], None]:
        """A gating reader, to its end."""

        def actor(life: int) -> None:
            ring = self.ring
            if life and number == self.mortal:
                self.retired = True
                ring.retire(self.line.base, number)
                return
            reader = self.line.reader(number)
            self.take_over(reader, number)
            sequence = ring.next_unread(reader)
            assert sequence - 1 <= self.got[number] <= sequence - 1 + self.pending
            while not ring.ended(reader, sequence):
                if ring.awaited(reader, sequence):
                    self._read_one(reader, number, sequence)
                    sequence += 1
                elif sequence > ring.next_unread(reader):
                    ring.release(reader, sequence - 1)
                else:
                    self.wait([reader])
                if sequence >= ring.next_unread(reader) + self.pending:
                    ring.release(reader, sequence - 1)
            ring.release(reader, sequence - 1)
            ring.retire(self.line.base, number)

        return actor

    def take_over(self, reader, number: int) -> None:
        """Put right what one that died here may have left half done, as RingReader does."""
        self.kernels.park.rise(reader)
        if self.line.readers[number]["policy"] == DROP:
            self.kernels.lossy.settle(reader)
        if self.line.readers[number]["watched"]:
            self.ring.rouse(reader.writer)

    def _read_one(self, reader, number: int, sequence: int) -> None:
        after = int(self.line.readers[number]["after"])
        assert after == 0 or int(self.line.readers[after - 1]["position"]) >= sequence
        assert sequence <= self.got[number] + 1
        self.line.check(reader, sequence)
        self.got[number] = max(self.got[number], sequence)

    def wait(self, readers) -> None:
        if self.parks:
            self.kernels.sleep(readers)
        else:
            pause()

    def play(self, seed: int, crashes: dict[int, int], reorder: bool) -> Run:
        run = interleave(seed, *self.actors(), crashes=crashes, reorder=reorder)
        self.check_end()
        return run

    def check_end(self) -> None:
        assert int(self.line.writer["written"]) == RECORDS
        assert int(self.line.writer["high_water"]) <= CAPACITY
        assert self.line.writer["closed"] == RECORDS + 1
        for number, got in enumerate(self.got):
            if not (self.retired and number == self.mortal):
                assert got == self.final(number)

    def final(self, number: int) -> int:
        """The last record that a reader must have read."""
        return RECORDS


class Pair(Story):
    """Two gating readers, and an observer that nobody waits for."""

    seats = [Seat("first"), Seat("second")]

    def __init__(self, kernels: Kernels, parks: bool, seed: int) -> None:
        super().__init__(kernels, parks, seed)
        self.observed = self.missed = 0

    def actors(self) -> list[Callable[[int], None]]:
        return [*super().actors(), self.observe]

    def observe(self, life: int) -> None:
        lossy, reader = self.kernels.lossy, self.line.reader(0)
        copies = np.zeros(2 * SIZE // 8, np.int64)
        sequence = 1
        self.observed = self.missed = 0
        while not self.ring.ended(reader, sequence):
            count = lossy.observe(reader, sequence, copies.ctypes.data, 2)
            for place in range(max(count, 0)):
                self.line.check_words(copies.ctypes.data + place * SIZE, sequence + place)
            self.observed += max(count, 0)
            if count < 0:
                count = lossy.rejoin_at(reader, sequence) - sequence
                self.missed += count
            sequence += count

    def check_end(self) -> None:
        super().check_end()
        assert self.observed + self.missed == RECORDS


class Retired(Story):
    """Two gating readers; the second stays dead once it was killed, and is retired."""

    seats = [Seat("first"), Seat("second")]
    mortal = 1


class Barrier(Story):
    """The second reader reads only what the first has released; a third stands beside them."""

    seats = [Seat("first"), Seat("second", after="first"), Seat("third")]


class BrokenBarrier(Barrier):
    """The first reader stays dead once it was killed, and is retired: the second must end."""

    mortal = 0

    def final(self, number: int) -> int:
        if self.retired and number == 1:
            return int(self.line.readers[0]["position"])
        return RECORDS


class Drop(Story):
    """One gating reader, and one that drops what it is too slow for."""

    seats = [Seat("first"), Seat("second", policy=DROP)]

    def __init__(self, kernels: Kernels, parks: bool, seed: int) -> None:
        super().__init__(kernels, parks, seed)
        self.gated = seed // 2 % 2 == 1  # alone the writer laps more often
        self.line.readers[0]["policy"] = GATE if self.gated else 0
        self.done: set[int] = set()  # released
        self.leaving = 0  # being released: who was killed then may have done so, or not

    def actors(self) -> list[Callable[[int], None]]:
        return [self.line.write, self.drop, *([self.read(0)] if self.gated else [])]

    def drop(self, life: int) -> None:
        ring, shared = self.ring, self.line.reader(1)
        if self.leaving and self.line.readers[1]["position"] >= self.leaving:
            self.done.add(self.leaving)
        slots = np.zeros(CAPACITY * SIZE, np.uint8)
        stamps = np.zeros(CAPACITY, ring.STAMP)
        private = shared._replace(slots=slots.ctypes.data, stamps=stamps.ctypes.data)
        self.take_over(shared, 1)
        while True:
            self.kernels.lossy.mirror(shared, private, 2)
            sequence = ring.next_unread(private)
            if ring.awaited(private, sequence):
                self.line.check(private, sequence)
                self.leaving = sequence
                ring.release(private, sequence)
                self.done.add(sequence)
                self.leaving = 0
            elif ring.ended(private, sequence):
                return
            else:
                self.wait([shared])

    def check_end(self) -> None:
        super().check_end()
        assert self.line.readers[1]["position"] == RECORDS
        assert self.line.readers[1]["missed"] == RECORDS - len(self.done)

    def final(self, number: int) -> int:
        return RECORDS if self.gated and number == 0 else 0


class Merge(Story):
    """Two writers, each with a ring of its own, and one reader that polls both."""

    seats = [Seat("merger")]

    def __init__(self, kernels: Kernels, parks: bool, seed: int) -> None:
        super().__init__(kernels, parks, seed)
        seats = [seat._replace(parks=parks) for seat in self.seats]
        self.lines = [self.line, Line(kernels, seats, 1 + seed // 2 % 3, False)]
        self.merged = [0, 0]

    def actors(self) -> list[Callable[[int], None]]:
        return [self.lines[0].write, self.lines[1].write, self.merge]

    def merge(self, life: int) -> None:
        kernels, poller = self.kernels, self.kernels.poller
        readers = [line.reader(0) for line in self.lines]
        for reader, merged in zip(readers, self.merged, strict=True):
            kernels.park.rise(reader)
            assert merged - 1 <= self.ring.next_unread(reader) - 1 <= merged
        seats = [types.SimpleNamespace(view=reader) for reader in readers]
        address = (merger := poller.Poller(seats)).address
        while not merger.ended:
            number = poller.poll(address)
            if number < 0:
                self.wait(readers)
                continue
            reader = readers[number]
            sequence = self.ring.next_unread(reader)
            assert self.merged[number] <= sequence <= self.merged[number] + 1
            self.lines[number].check(reader, sequence)
            self.merged[number] = sequence
            self.ring.release(reader, sequence)

    def check_end(self) -> None:
        self.got = [RECORDS]
        super().check_end()
        assert self.merged == [RECORDS, RECORDS]


TOPOLOGIES = {
    "two readers and an observer": Pair,
    "a reader that stays dead": Retired,
    "a barrier": Barrier,
    "a barrier whose first stays dead": BrokenBarrier,
    "one that drops": Drop,
    "two writers merged": Merge,
}
WAITS = {"spin": False, "park": True}


def crashes_of(seed: int) -> dict[int, int]:
    """One seed of three has no crash, one has one and one has two, of any actors at any steps."""
    crashes = [(seed // 3 % 4, 1 + seed * 37 % 200), (seed // 5 % 4, 1 + seed * 59 % 90)]
    return dict(crashes[: seed % 3])


def tell(
    kernels: Kernels, topology: str, wait: str, seeds, figures: Counter | None = None
) -> Iterator[Run]:
    """Play a story for each seed; even ones on a strong memory, odd ones on a weak one."""
    for seed in seeds:
        story = TOPOLOGIES[topology](kernels, WAITS[wait], seed)
        run = story.play(seed, crashes_of(seed // 2), reorder=bool(seed % 2))
        if figures is not None:
            figures["gated"] += int(story.line.writer["gated"])
            figures["wakes"] += int(story.line.writer["wakes"])
            figures["missed"] += sum(int(line["missed"]) for line in story.line.readers)
            figures["retired"] += story.retired
            figures["killed"] += run.kills
        yield run
