"""A live WebSocket service as a source of messages: a thread that listens, and joins again.

The thread takes messages down with the time and puts them in a queue, which `batch` empties without
ever waiting. A connection that breaks, or says nothing for too long, is made anew after a pause
that doubles with each failure, by chance up to half as long; every new one is announced in the
queue, so that the books know of the gap. Where the queue is full nothing more is read from the
socket: the venue then ends the connection, and nothing is lost unseen.
"""

import asyncio
import http.client
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from workers.feeds.feed import FeedError
from workers.feeds.lines import BROKEN, SILENT, Message

QUEUE_MAX = 1 << 17  # messages that wait
BATCH_MAX = 1 << 12  # handed over at once
MESSAGE_MAX = 1 << 26  # bytes
FULL_S, OPEN_S, WATCH_S, ALIVE_S = 0.005, 10.0, 0.25, 20.0
PAUSE_S, PAUSE_MAX_S = 0.25, 60.0
STEADY_S = 30.0  # a connection that lasted so long was no failure
ANSWER_S = 10.0  # that a REST service may take
END_S = 5.0
_QUIET = logging.getLogger("corelane.websocket")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def pause(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait before another attempt after so many failures in a row."""
    longest = min(PAUSE_S * 2.0 ** min(failures, 20), PAUSE_MAX_S)
    return longest * (0.5 + chance() / 2)


class WebSocketSource:
    """Messages of a live service, in the order they came."""

    live = True

    def __init__(
        self, url: str, greeting: list[bytes], silence: float, record: str | None = None,
        alive: bytes | None = None,
    ) -> None:  # fmt: skip
        self._broken = self._refused = ""  # why there is no connection, or no answer
        self._url, self._greeting, self._silence = url, greeting, silence
        self._alive = alive
        self._queue: deque[Message] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._heard = 0.0
        self._why = BROKEN  # what ended the last connection
        self._record = self._open_record(record) if record else None
        self._thread = threading.Thread(target=self._run, name="websocket", daemon=True)

    @staticmethod
    def _open_record(path: str):
        try:
            return Path(path).open("ab")
        except OSError as error:
            raise FeedError(
                f"record = {path}: cannot be written ({error.strerror}); give a file in a folder "
                "that you may write to"
            ) from None

    @property
    def trouble(self) -> str:
        """Why there is no connection now, or no answer; empty while all is well."""
        return self._broken or self._refused

    def start(self) -> None:
        """Begin to connect."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def batch(self) -> list[Message]:
        """The next messages; none where none is there now."""
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]

    def send(self, texts: list[bytes]) -> None:
        """Send messages over the connection there is, if any."""
        self._errand(self._send(texts))

    def fetch(self, url: str, wrapped: Callable[[bytes], bytes]) -> None:
        """Ask a REST service, and queue its answer, wrapped, as a message."""
        self._errand(self._fetch(url, wrapped))

    def close(self) -> None:
        """End the connection and the thread."""
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(END_S)
        if self._record:
            self._record.close()

    def _errand(self, work) -> None:
        assert self._loop, "start() comes first"
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # it has ended
            work.close()

    def _run(self) -> None:
        loop = self._loop
        assert loop
        try:
            loop.run_until_complete(self._stay_joined())
        finally:
            loop.close()

    async def _stay_joined(self) -> None:
        """Connect until the end, again and again."""
        failures = 0
        ended = asyncio.ensure_future(self._ended.wait())
        while not ended.done():
            begun = time.monotonic()
            listening = asyncio.ensure_future(self._listen())
            await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            (outcome,) = await asyncio.gather(listening, return_exceptions=True)
            if self._socket:
                self._socket = None
                self._queue.append((time.time_ns(), None, self._why))
            if ended.done():
                break
            self._broken = f"{self._url}: {outcome or 'the connection ended'}"
            failures = 1 if time.monotonic() - begun > STEADY_S else failures + 1
            await asyncio.wait({ended}, timeout=pause(failures - 1))
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _listen(self) -> None:
        """One connection, until it breaks or falls silent."""
        async with connect(
            self._url, open_timeout=OPEN_S, ping_interval=ALIVE_S, ping_timeout=ALIVE_S,
            close_timeout=1, max_size=MESSAGE_MAX, logger=_QUIET, compression=None,
        ) as socket:  # fmt: skip
            self._why = BROKEN
            self._socket, self._heard, self._broken = socket, time.monotonic(), ""
            now = time.time_ns()
            self._put((now, None, None), f"{self._url} <-> {now / 10**9:.6f}\n".encode())
            watching = asyncio.ensure_future(self._watch(socket))
            try:
                for text in self._greeting:
                    await socket.send(text, text=True)
                while True:
                    text = await socket.recv(decode=False)
                    self._heard = time.monotonic()
                    self._take(text)
                    while len(self._queue) >= QUEUE_MAX:
                        await asyncio.sleep(FULL_S)
            finally:
                watching.cancel()

    async def _watch(self, socket: ClientConnection) -> None:
        """End a connection that says nothing; say that this side is alive."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(min(WATCH_S, self._silence / 4))
            now = time.monotonic()
            if now - self._heard > self._silence:
                self._why = SILENT
                await socket.close(reason="silence")
                return
            if self._alive and now - last > ALIVE_S:
                last = now
                await socket.send(self._alive, text=True)

    def _take(self, text: bytes) -> None:
        now = time.time_ns()
        line = b"%d %s\n" % (now, text.replace(b"\n", b" ")) if self._record else b""
        self._put((now, text, None), line)

    def _put(self, message: Message, line: bytes) -> None:
        """Queue a message, and note it down where that is wished."""
        if self._record:
            self._record.write(line)
        self._queue.append(message)

    async def _send(self, texts: list[bytes]) -> None:
        if self._socket:
            try:
                for text in texts:
                    await self._socket.send(text, text=True)
            except WebSocketException:
                return  # a new connection begins with the greeting

    async def _fetch(self, url: str, wrapped: Callable[[bytes], bytes]) -> None:
        try:
            answer = await asyncio.to_thread(get, url)
        except (OSError, http.client.HTTPException) as error:
            self._refused = f"{url}: {error}"
        else:
            self._refused = ""
            self._take(wrapped(answer))


def get(url: str) -> bytes:
    """The body that a GET gives; OSError or HTTPException where there is none."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ANSWER_S)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"status {response.status}")
        return response.read(MESSAGE_MAX)
    finally:
        connection.close()
