"""An exchange on 127.0.0.1: real sockets, played by a script, with faults at wanted places."""

import http.server
import json
import threading
import time
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.naive.levels import Books
from tests.workers.exchanges import balanced
from workers.feeds.live_feed import LiveFeed
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, Event, Flag, empty

PATIENCE_S = 60.0


class Exchange:
    """Plays `messages` in their order, whoever listens; faults: place -> what happens there.

    A fault is a function of this exchange and the connection. Where it returns False the message
    is lost, and where the connection ends the script goes on with whoever comes next. `greet`
    makes what a new connection, or a new subscription, is sent first.
    """

    def __init__(self, messages: list[bytes], faults=None, greet: Callable | None = None) -> None:
        self.messages, self.faults, self.greet = messages, faults or {}, greet
        self.place = 0  # messages that were played, lost ones among them
        self.sent = 0  # the last one that was sent as it is
        self.heard: list[bytes] = []
        self.connections = 0
        self.snapshot: Callable[[], bytes] | None = None
        self.steady: Callable[[], bool] = lambda: False  # whether the next fault may come
        self.asked = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = serve(self._play, "127.0.0.1", 0, compression=None)
        self._rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._rest.daemon_threads = True
        self._threads = [
            threading.Thread(target=server.serve_forever, daemon=True)
            for server in (self._server, self._rest)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/stream"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self._rest.server_port}/depth"

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._rest.shutdown()
        self._rest.server_close()
        for thread in self._threads:
            thread.join()

    def _handler(self):
        exchange = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with exchange._lock:
                    exchange.asked += 1
                    body = exchange.snapshot() if exchange.snapshot else b""
                self.send_response(200 if body else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def _play(self, socket: ServerConnection) -> None:
        self.connections += 1
        try:
            self._hear(socket, PATIENCE_S)
            while not self._ended.is_set():
                self._hear(socket, 0)
                with self._lock:
                    wait = self.place in self.faults and not self.steady()
                    if self.place < len(self.messages) and not wait:
                        self._step(socket)
                        continue
                time.sleep(0.002)
        except (ConnectionClosed, TimeoutError):
            pass

    def _hear(self, socket: ServerConnection, patience: float) -> None:
        """Take what the other side says, and answer with what the books are."""
        try:
            while True:
                self.heard.append(socket.recv(timeout=patience, decode=False))
                patience = 0
                if self.greet and b'"subscribe"' in self.heard[-1]:
                    with self._lock:
                        for text in self.greet(self):
                            socket.send(text, text=True)
        except TimeoutError:
            if patience:
                raise

    def _step(self, socket: ServerConnection) -> None:
        """Play one message, or what happens in its place."""
        place = self.place
        self.place += 1
        fault = self.faults.pop(place, None)
        if fault is None or fault(self, socket) is not False:
            socket.send(self.messages[place], text=True)
            self.sent = place


def drop(exchange: Exchange, socket: ServerConnection) -> bool:
    """The connection breaks without a word, and some messages with it."""
    socket.socket.shutdown(2)
    exchange.place += 3
    return False


def lose(exchange: Exchange, socket: ServerConnection) -> bool:
    """One message never comes."""
    return False


def garble(exchange: Exchange, socket: ServerConnection) -> None:
    """Some garbage comes before the message."""
    socket.send(b'{"stream":"x","da', text=True)
    socket.send(b"\xff\x00\xff", text=False)


def spoil(exchange: Exchange, socket: ServerConnection) -> bool:
    """A message comes with a price that is none."""
    text = exchange.messages[exchange.place - 1]
    socket.send(text.replace(b'[["', b'[["x', 1), text=True)
    return False


class Listener:
    """A live feed, and the books that its events come to."""

    def __init__(self, options, resync: bool = False) -> None:
        self.counters = empty(FEED_COUNTERS, 1)
        self.feed = LiveFeed(options, self.counters.ctypes.data)
        self.books, self.kinds, self.last = Books(), [], 0
        self.reasons: set[int] = set()
        self._resync = resync  # where a checksum is wrong
        self._buffer = empty(EVENT, 256)
        self.feed.open()

    def poll(self) -> None:
        """Take in what there is now."""
        count = self.feed.fill(self._buffer.ctypes.data, len(self._buffer))
        for event in self._buffer[:count].tolist():
            failed = self.books.failed
            self.books.fold(event)
            self.kinds.append(Event(event[7]).name)
            if event[7] == Event.STALE:
                self.reasons.add(event[10])
            if event[7] == Event.SET and not event[10] & Flag.PART:
                self.last = max(self.last, event[3])
            if self.books.failed > failed and self._resync:
                self.feed.resync(event[6])
        assert balanced(self.counters[0])
        if not count:
            time.sleep(0.001)

    def until(self, reached: Callable[[], bool]) -> None:
        """Go on until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < deadline, (self.feed.trouble, self.kinds[-10:])
            self.poll()

    def count(self, name: str) -> int:
        """One of the counters."""
        return int(self.counters[name][0])


def levels_text(side: dict, scales: tuple[int, int], tail: tuple = ()) -> list:
    """A side of a book as strings."""
    books = Books()
    return [
        [*(books.text(number, scale) for number, scale in zip(level, scales, strict=True)), *tail]
        for level in side.items()
    ]


def dumps(value) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()
