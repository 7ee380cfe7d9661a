"""Captured messages of exchanges, line by line: what came, and when.

1723161253937085768 {"stream":...}                      the recorder's clock: ns, us, ms or s
1618678133.2949052: {"event":...}                       seconds
1430438404518 order_created {"price":...}               a Bitstamp log
wss://ws.kraken.com <-> 1618678132.3858151              a connection begins
wss://ws.kraken.com <- 1618678132.8: {...}              what was sent: left out
https://api.kraken.com/0/public -> 1618678132.3: {...}  an answer of a REST service
"""

import ctypes

from workers.feeds.bytes_in import ByteSource, open_bytes

CHUNK = 1 << 18  # bytes split into lines at once
LINE_MAX = 1 << 26  # a longer line is skipped
NS_DIGITS = 19  # of a time in ns, from 2001 on
LATEST_NS = 4_102_444_800 * 10**9  # the year 2100
DIGITS = (10, 13, 16, 19)  # of a time in s, ms, us, ns
JOINED, SENT, ANSWERED = b"<->", b"<-", b"->"


# When it arrived, in ns; its text; the address of the REST service that answered so, None for any
# other message. Without a text: a connection begins (None), or why it has ended.
Message = tuple[int, bytes | None, str | None]
BROKEN, SILENT = "broken", "silent"


class Capture:
    """The messages of a capture file, plain or packed."""

    live = False

    def __init__(self, path: str) -> None:
        self.source: ByteSource = open_bytes(path)
        self.finished = False
        self.bytes = self.skipped = self.bad = 0  # bytes read, those of no message, bad lines
        self._rest = b""  # a line whose end is not there yet
        self._arrived = 0

    @property
    def trouble(self) -> str:
        """Why the file broke off; empty while all is well."""
        return self.source.trouble

    def batch(self) -> list[Message]:
        """The next messages; none where a stretch holds none, or nothing is left."""
        if self.finished:
            return []
        address, length, final = self.source.window()
        size = min(length, CHUNK)
        data = ctypes.string_at(address, size)
        self.source.consume(size)
        self.bytes += size
        self.finished = final and size == length
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        if self.finished:
            self._last_line(lines)
        elif len(self._rest) > LINE_MAX:
            self._skip(self._rest)
            self._rest = b""
        read = self.message
        return [message for line in lines if line and (message := read(line))]

    def _last_line(self, lines: list[bytes]) -> None:
        """A line at the end of a whole file needs no line feed; of a broken one it is no line."""
        if self.source.trouble:
            self.skipped += len(self._rest)
        else:
            lines.append(self._rest)
        self._rest = b""

    def message(self, line: bytes) -> Message | None:
        """What a line holds; None for one that is no message."""
        head, _, text = line.partition(b" ")
        arrived = time_ns(head)
        if arrived is not None and text:
            self._arrived = arrived
            return arrived, text, None
        if head[:1] in (b"{", b"["):
            return self._arrived, line, None
        if b"://" in head:
            return self._noted(head, text)
        if head and not head.endswith(b":"):  # such as `configuration: ...`
            self._skip(line)
        return None

    def _noted(self, address: bytes, text: bytes) -> Message | None:
        """A line about a connection, or an answer."""
        mark, _, rest = text.partition(b" ")
        head, _, answer = rest.partition(b" ")
        arrived = time_ns(head)
        if arrived is None:
            return None
        self._arrived = arrived
        if mark == JOINED:
            return arrived, None, None
        if mark == ANSWERED and answer:
            return arrived, answer, address.decode(errors="replace")
        return None

    def _skip(self, line: bytes) -> None:
        self.bad += 1
        self.skipped += len(line)

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return self.source.progress()

    def close(self) -> None:
        """Close the file."""
        self.source.close()
        self.finished = True


def time_ns(text: bytes) -> int | None:
    """Nanoseconds since 1970 of a count of s, ms, us or ns, with or without a fraction.

    None for what is none of these, or behind the year 2100.
    """
    whole, _, fraction = text.removesuffix(b":").partition(b".")
    digits = whole + fraction
    if len(whole) not in DIGITS or not digits.isdigit():
        return None
    found = int(digits.ljust(NS_DIGITS, b"0")[:NS_DIGITS])
    return found if found < LATEST_NS else None
