"""A journal as a list: its chain values computed plainly, its whole prefix found plainly."""

import struct

WORD = 2**64
ROOT = 0x436F72656C616E65
FACTOR = 0xD6E8FEB86659FD93
WEIGHTS = [
    0xE220A8397B1DCDA1, 0x6E789E6AA1B965F3, 0x06C45D1880094545, 0xF88BB8A8724C81E7,
    0x1B39896A51A87499, 0x53CB9F0C747EA2EB, 0x2C829ABE1F4532ED, 0xC584133AC916AB3F,
]  # fmt: skip


def mixed_word(word: int) -> int:
    """A word whose every bit counts for many."""
    word = (word ^ word // 2**32) * FACTOR % WORD
    return word ^ word // 2**32


def link(chain: int, sequence: int, body: bytes) -> int:
    """The chain value of a record; body: all of it but the last 8 bytes. Unsigned numbers."""
    content = body + struct.pack("<q", sequence)
    for start in range(0, len(content), 64):
        words = struct.unpack("<8Q", content[start : start + 64])
        total = sum(mixed_word(w) * weight for w, weight in zip(words, WEIGHTS, strict=True))
        mixed = chain ^ (total % WORD)
        mixed ^= mixed // 2**32
        chain = mixed * FACTOR % WORD
    return chain


def sealed(chain: int, first: int, bodies: list[bytes]) -> tuple[bytes, int]:
    """Records as they lie in a file, from a sequence on, and the last one's chain value."""
    content = b""
    for number, body in enumerate(bodies):
        chain = link(chain, first + number, body)
        content += body + struct.pack("<Q", chain)
    return content, chain


def whole(chain: int, first: int, size: int, content: bytes) -> list[bytes]:
    """The records up to the first that is not what it must be, without their chain values."""
    bodies: list[bytes] = []
    for start in range(0, len(content) - size + 1, size):
        body = content[start : start + size - 8]
        chain = link(chain, first + len(bodies), body)
        if content[start + size - 8 : start + size] != struct.pack("<Q", chain):
            break
        bodies.append(body)
    return bodies


class Journal:
    """What a journal must do: records from 1 on, in segments, the oldest of which may go."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # records of a segment
        self.bodies: list[bytes] = []
        self.durable = 0
        self.segments = 1  # that were ever begun, and not cut off again
        self.removed = 0  # records that retention has taken

    def append(self, bodies: list[bytes]) -> None:
        """Write; a segment that is full is made durable before the next is begun."""
        for body in bodies:
            if len(self.bodies) == self.segments * self.capacity:
                self.segments += 1
                self.durable = len(self.bodies)
            self.bodies.append(body)

    def sync(self) -> None:
        """Make all of it durable."""
        self.durable = len(self.bodies)

    def lose(self, sequence: int) -> None:
        """What is beyond a sequence did not survive; the files did."""
        del self.bodies[sequence:]

    def cut(self, sequence: int) -> None:
        """Drop what is beyond a sequence, durably, and the files that hold nothing else."""
        if sequence < len(self.bodies):
            self.lose(sequence)
            self.segments = max(-(-sequence // self.capacity), self.removed // self.capacity + 1)
        self.sync()

    def read(self, sequence: int, limit: int) -> list[bytes]:
        """Records from a sequence on."""
        return self.bodies[sequence - 1 :][:limit]

    def retain(self, needed: int, keep: int) -> None:
        """Remove segments of records before `needed`, while `keep` segments stay, and the last."""
        oldest = self.removed // self.capacity
        while self.segments - oldest - 1 >= max(keep, 1) and (oldest + 1) * self.capacity < needed:
            oldest += 1
        self.removed = oldest * self.capacity

    def chain_at(self, sequence: int) -> int:
        """The value that stands for all records up to a sequence, unsigned."""
        return sealed(ROOT, 1, self.bodies[:sequence])[1]
