"""NASDAQ MoldUDP64: ITCH 5.0 from redundant lines, live over UDP, or out of a capture."""

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

import msgspec
import numpy as np

from ringbuf.atomics import at
from workers.feeds.captures import CaptureFile, Recorder, capture_state
from workers.feeds.datagrams import CONTROL, PACKETS, ROOM, Packets, ask_at, endpoint, listen
from workers.feeds.feed import FeedError
from workers.feeds.itch import midnight_ns
from workers.kernels import arbiter as arbiters
from workers.kernels.arbiter import ARBITER, LINES_MAX, Limits
from workers.kernels.datagrams import gather
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.itch_frames import ITCH_STATE, prepare
from workers.kernels.mold import MOLD, PACKET, SWEPT
from workers.kernels.mold_events import finish, position, receive
from workers.records import EVENT, empty, lined

WINDOW_MIN, WINDOW_MAX = 1 << 6, 1 << 22
ROUNDS = 8  # batches read in one fill at most
SESSION_BYTES = 10
SIZE = EVENT.itemsize


class MoldOptions(
    msgspec.Struct, tag="moldudp64", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which lines to hear or which capture to read, and what to do about gaps."""

    lines: list[str] = []  # "239.1.1.1:26400": groups, or addresses of this host
    interface: str | None = None  # by name or address, for groups; None: as the host routes them
    request: str | None = None  # "10.1.1.1:26500": the server that is asked for what is missing
    pcap: str | None = None  # read this capture in place of sockets; no lines: whatever is in it
    record: str | None = None  # append what comes to this file, as pcap
    session: str | None = None  # ten characters; None: the first that comes
    sessions: Literal["one", "many"] = "one"  # many: another session may follow, and starts anew
    from_start: bool | None = None  # ask for all of the session; None: where there is a server
    window: int = 1 << 16  # messages that may wait for earlier ones, a power of two
    timeout_ms: float = 20.0  # a message that no line has brought for so long is missing
    tries: int = 5  # requests without an answer before it is given up
    date: str | None = None  # 2012-06-21; None: the day (UTC) on which the session is joined

    def __post_init__(self) -> None:
        for line in self.lines:
            endpoint(line, "line")
        if self.request is not None:
            endpoint(self.request, "request")
        if self.date is not None:
            midnight_ns(self.date)
        self._check_source()
        if self.session is not None and not _is_session(self.session):
            raise ValueError(f"session {self.session!r}: write its ten characters, spaces included")
        if self.window & (self.window - 1) or not WINDOW_MIN <= self.window <= WINDOW_MAX:
            raise ValueError(f"window: a power of two from {WINDOW_MIN} to {WINDOW_MAX}")
        if not 0 < self.timeout_ms <= 60_000:
            raise ValueError("timeout_ms: from above 0 to 60,000")
        if not 1 <= self.tries <= 100:
            raise ValueError("tries: from 1 to 100")

    def _check_source(self) -> None:
        if len(self.lines) >= LINES_MAX or len(set(self.lines)) < len(self.lines):
            raise ValueError(f"lines: at most {LINES_MAX - 1}, each of them once")
        if self.pcap is None and not self.lines:
            raise ValueError("moldudp64: name the lines to hear, or the pcap to read")
        if self.pcap is not None and (self.record is not None or self.interface is not None):
            raise ValueError("moldudp64: record and interface are for live lines, not for a pcap")
        if self.from_start and self.request is None:
            raise ValueError("from_start: needs a server to ask; name it in `request`")


class MoldFeed:
    """Redundant lines as one stream of ITCH events; see `Feed` for what its events hold.

    Live, each fill that went on ends with a POSITION event: all events before it, and none after,
    are of messages before its `order`. `rejoin` goes on from one.
    """

    def __init__(self, options: MoldOptions, counters: int) -> None:
        self.live = options.pcap is None
        self.finished = False
        self.trouble = ""
        self._options, self._counters = options, counters
        self._sockets: list[Packets] = []
        self._capture: CaptureFile | None = None
        self._recorder: Recorder | None = None
        self._told = 0  # the number that the last POSITION named
        self._lay_out()

    def _lay_out(self) -> None:
        options = self._options
        count = len(options.lines) or LINES_MAX - 1
        limits = Limits(
            window=options.window,
            lines=count,
            timeout_ns=int(options.timeout_ms * 1e6),
            asks=options.request is not None,
            tries=options.tries,
        )
        self._itch, self._memory = empty(ITCH_STATE, 1), lined(arbiters.bytes_needed(limits))
        self._arbiter_at = self._memory.ctypes.data
        arbiters.create(self._arbiter_at, limits)
        self._batch = np.zeros(PACKETS * (count + 1), PACKET)
        self._block = empty(MOLD, 1)
        header = self._header = self._block[0]
        self.address = self._block.ctypes.data  # of the MOLD record
        header["counters"], header["itch"] = self._counters, self._itch.ctypes.data
        header["arbiter"], header["batch"] = self._arbiter_at, self._batch.ctypes.data
        header["sweep"], header["timed"] = SWEPT, not self.live
        header["renew"] = options.sessions == "many"
        wanted = options.from_start
        header["from_start"] = options.request is not None if wanted is None else wanted
        if options.session is not None:
            raw = options.session.encode()
            header["session"] = int.from_bytes(raw[:8], "little", signed=True)
            header["session_end"] = int.from_bytes(raw[8:], "big")
            header["fixed"] = 1
        prepare(self._itch[0], self._counters, 0, by_type=False)
        self._itch["exact"] = 1
        if options.date is not None:
            self._itch["midnight_ns"], header["dated"] = midnight_ns(options.date), 1

    def open(self) -> None:
        """Open the sockets or the capture; FeedError where that cannot be."""
        options = self._options
        ends = [endpoint(line, "line") for line in options.lines]
        server = endpoint(options.request, "request") if options.request else None
        self._ends = capture_state(ends, server)
        answers = len(ends) or LINES_MAX - 1
        self._ends["answers"], self._ends["open"] = answers, not ends
        arbiters.line_view(self._arbiter_at, answers).answers = 1
        if options.pcap is not None:
            self._capture = CaptureFile(options.pcap, self._ends)
            return
        try:
            for end in ends:
                self._sockets.append(listen(*end, options.interface))
            if server:
                self._sockets.append(ask_at(*server))
            if options.record is not None:
                self._recorder = Recorder(options.record, self._ends, ROOM, len(self._batch))
        except FeedError:
            self.close()
            raise
        self._clock_base = time.time_ns() - time.monotonic_ns()
        self._compile()

    def _compile(self) -> None:
        """Have the kernels compiled before the first packet comes."""
        receive(self.address, 0, 0, 0)
        gather(self.address, 0, 0, 0, ROOM, CONTROL, 0)
        position(self.address, 0)
        if self._recorder is not None:
            self._recorder.write(self._batch.ctypes.data, 0)

    def hand_over(self, batch: np.ndarray) -> None:
        """Read PACKET records that somebody else has filled, next."""
        self._batch = batch
        self._header["batch"], self._header["packet"] = batch.ctypes.data, 0
        self._header["packets"] = len(batch)

    def rejoin(
        self, sequence: int, session: int, skip: int, announced: Iterable[int] = (), doubt: int = 0
    ) -> None:
        """Go on where a POSITION event said, before the first `fill`.

        sequence, session: its `order` and `other` (0: whichever session is on); skip: how many
        events that messages gave (not STALE, FRESH, CLEAR, POSITION) lie behind it in the log;
        announced: codes of instruments announced before it; doubt: the Doubt of the last STALE
        event, 0 for none. Where the lines are in another session by now, the books of those
        instruments are cleared, and it is read as if nothing had been before.
        """
        header = self._header
        header["resume"], header["resume_session"], header["skip"] = sequence, session, skip
        header["resume_doubt"] = doubt
        for code in announced:
            self._itch[0]["announced"][code] = 1

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events, without waiting for any."""
        if self.finished or limit == 0:
            return 0
        if self._capture is not None:
            return self._fill_from(self._capture, target, limit)
        now_ns = time.monotonic_ns() + self._clock_base
        room = limit - 1 if limit > 1 else limit  # one for the POSITION
        written = 0
        for _ in range(ROUNDS):
            came = self._read(now_ns) if self._idle() else 1
            written += receive(self.address, now_ns, target + written * SIZE, room - written)
            if self._header["asking"]:
                self._ask()
            if not came or written == room:
                break
        reached = int(at(self._arbiter_at, ARBITER).next)
        if reached != self._told and written < limit:
            if position(self.address, target + written * SIZE):
                self._told = int(at(target + written * SIZE, EVENT).order)
                written += 1
        self.finished = self._over()
        return written

    def _idle(self) -> bool:
        """Whether nothing points into what was read last."""
        header = self._header
        return bool(
            header["packet"] == header["packets"]
            and header["messages"] == 0
            and header["stretch_bytes"] == 0
        )

    def _over(self) -> bool:
        """Whether the session has ended and all of it is out."""
        header, arbiter = self._header, at(self._arbiter_at, ARBITER)
        return bool(
            header["ended"]
            and not header["renew"]
            and arbiter.next >= arbiter.known
            and header["sweep"] == SWEPT
            and self._idle()
        )

    def _read(self, now_ns: int) -> int:
        """Read from all sockets; how many packets came."""
        header = self._header
        header["packets"] = header["packet"] = 0
        for line, source in enumerate(self._sockets):
            count = source.read()
            if count:
                gather(self.address, source.address, count, line, ROOM, CONTROL, now_ns)
        count = int(header["packets"])
        if count and self._recorder is not None:
            self.trouble = self._recorder.write(self._batch.ctypes.data, count) or self.trouble
        return count

    def _ask(self) -> None:
        """Send the request that lies ready; a full or refusing socket is as good as a lost one."""
        self._header["asking"] = 0
        with suppress(OSError):
            self._sockets[-1].socket.send(self._header["request"][:20].tobytes())

    def _fill_from(self, capture: CaptureFile, target: int, limit: int) -> int:
        header = self._header
        written = 0
        while written < limit and not self.finished:
            ended = False
            if self._idle():
                header["packet"] = 0
                header["packets"] = capture.read(self._batch.ctypes.data, len(self._batch))
                ended = capture.ended and header["packets"] == 0
            room = limit - written
            found = receive(self.address, 0, target + written * SIZE, room)
            written += found
            if ended and found < room and not finish(self.address):
                self._finish(capture)
        return int(written)

    def _finish(self, capture: CaptureFile) -> None:
        """Say what the capture was, now that all of it is read."""
        self.finished = True
        counters = at(self._counters, FEED_COUNTERS)
        if capture.trouble:
            counters.truncated = 1
            self.trouble = capture.trouble
        elif not self._header["joined"]:
            state = capture.state
            self.trouble = (
                f"{self._options.pcap}: {state['frames']} frames, {state['packets']} UDP packets "
                "of the lines, none of them MoldUDP64 of the session; is it another protocol?"
            )

    @property
    def lines(self) -> list[dict]:
        """What each line has brought, by its name, the answers to requests last."""
        names = self._options.lines or [f"line {n}" for n in range(int(self._ends["lines"][0]))]
        places = [*range(len(names)), int(self._ends["answers"][0])]
        found = []
        for name, place in zip([*names, "answers"], places, strict=True):
            line = arbiters.line_view(self._arbiter_at, place)
            found.append({"line": name, **{field: int(line[field]) for field in line.dtype.names}})
        return found

    @property
    def arbiter(self) -> dict[str, int]:
        """The arbiter's numbers."""
        header = at(self._arbiter_at, ARBITER)
        return {field: int(header[field]) for field in header.dtype.names}

    def resync(self, code: int) -> None:
        """Nothing to do: ITCH shows no book anew."""

    def progress(self) -> float:
        """How much of a capture is read, 0 to 1; nan for live lines."""
        return self._capture.progress() if self._capture else math.nan

    def close(self) -> None:
        """Close sockets and files."""
        for source in self._sockets:
            source.close()
        for file in (self._capture, self._recorder):
            if file is not None:
                file.close()
        self.finished = True


def _is_session(text: str) -> bool:
    """Whether a text is ten printable ASCII characters."""
    return len(text) == SESSION_BYTES and text.isascii() and text.isprintable()
