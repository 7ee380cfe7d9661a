"""MoldUDP64 the obvious way: packets from messages, and what a feed has to make of messages."""

import struct

from tests.naive import itch
from workers.records import Doubt, Event, Flag, Side

HEADER = struct.Struct(">10sQH")
SESSION = b"000010059B"
END = 0xFFFF


def packet(number: int, messages: list[bytes] | int, session: bytes = SESSION) -> bytes:
    """A packet of messages; of a count alone: a request, heartbeat (0) or end of session."""
    if isinstance(messages, int):
        return HEADER.pack(session, number, messages)
    return HEADER.pack(session, number, len(messages)) + b"".join(map(itch.frame, messages))


def parse(data: bytes) -> tuple[bytes, int, int, list[bytes]] | None:
    """Session, number, count and messages of a packet; None where it is none."""
    if len(data) < HEADER.size:
        return None
    session, number, count = HEADER.unpack_from(data)
    if not 1 <= number < 1 << 63 or not all(32 <= byte <= 126 for byte in session):
        return None
    rest, found = data[HEADER.size :], []
    for _ in range(0 if count == END else count):
        size = int.from_bytes(rest[:2], "big")
        if len(rest) < 2 + size:
            return None
        found.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    return None if rest else (session, number, count, found)


class Events:
    """The events of a stream in order, with gaps in it, as tuples like those of `naive.itch`."""

    def __init__(self, midnight: int = 0, doubt: int = 0) -> None:
        self.midnight, self.doubt = midnight, doubt
        self.announced: set[int] = set()
        self.found: list[tuple] = []

    def message(self, message: bytes) -> None:
        """One message; what is none of ITCH gives nothing."""
        letter = chr(message[0]) if message else ""
        if letter not in itch.FORMATS or itch.FORMATS[letter].size != len(message):
            return
        for event in itch.events([message], self.midnight)[0]:
            code, inferred = event[1], event[4] == Flag.INFERRED
            if event[2] == Event.DIRECTORY:
                if inferred and code in self.announced:
                    continue
                self.found.append(event)
                if self.doubt and code not in self.announced:
                    self.made_up(code, Event.STALE, self.doubt)
                self.announced.add(code)
            else:
                self.found.append(event)

    def gap(self) -> None:
        """Messages are lost: nothing is certain any more."""
        self.doubt = Doubt.GAP
        for code in sorted(self.announced):
            self.made_up(code, Event.STALE, Doubt.GAP)

    def made_up(self, code: int, kind: int, flags: int = 0) -> None:
        """An event that no message gave, at the time of the last one."""
        time = self.found[-1][0] if self.found else 0
        self.found.append((time, code, kind, Side.NONE, flags, 0, 0, 0, 0))
