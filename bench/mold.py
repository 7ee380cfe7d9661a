"""MoldUDP64: what is received from this host without loss, and what taking packets apart costs.

`received`: a process sends a made-up day over 127.0.0.1 at a given rate, on one line or the same
on two, while another runs the feed; messages a second, and how many were lost. `taken apart`: the
same packets in memory, through the parser, the arbiter and the ITCH decoder, nanoseconds a message.
"""

import ctypes
import socket
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    actors,
    cores,
    run_rounds,
)
from workers.feeds.moldudp64 import MoldFeed, MoldOptions
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.ingest import STAGED
from workers.kernels.datagrams import IOVEC, MMSGHDR
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.mold import PACKET
from workers.kernels.mold_events import receive
from workers.records import EVENT, empty

PAYLOAD = 1_400  # bytes of a packet, at most
HEADER = 20
SESSION = b"BENCHMARK "
MESSAGES, SHORT = 2_000_000, 20_000
SYMBOLS = 500
BURST = 16  # packets sent by one call
END_TIMES, END_PAUSE_S = 10, 0.005  # ends of session sent, as they may be lost too
PATIENCE_S = 20.0
RATES = {"1 M/s": 1e6, "2 M/s": 2e6, "as fast as it goes": 0.0}
ROUNDS = 5
LIBC = ctypes.CDLL(None, use_errno=True)


def packed(data: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    """A file's frames in packets: their bytes, (offset, length) of each, and how many messages."""
    out, places = bytearray(), []
    position, number = 0, 1
    while position < len(data):
        begin, count = position, 0
        while position < len(data):
            size = 2 + int.from_bytes(data[position : position + 2], "big")
            if position + size - begin > PAYLOAD - HEADER:
                break
            position += size
            count += 1
        places.append((len(out), HEADER + position - begin))
        out += SESSION + number.to_bytes(8, "big") + count.to_bytes(2, "big")
        out += data[begin:position]
        number += count
    return np.frombuffer(bytes(out), np.uint8), np.array(places), number - 1


class Packets:
    """A day's packets in memory."""

    def __init__(self, path: str) -> None:
        self.raw, self.places, self.messages = packed(Path(path).read_bytes())


HELD: dict[str, Packets] = {}  # of each process
FEEDS: dict[str, MoldFeed] = {}
COUNTERS = np.zeros(1, FEED_COUNTERS)


def load(path: str) -> int:
    """Have a day's packets ready in this process; how many messages they carry."""
    HELD[path] = Packets(path)
    return HELD[path].messages


def take_apart(path: str, lines: int) -> Metrics:
    """All packets in memory, each once a line, through a feed's kernels."""
    held = HELD[path]
    counters = np.zeros(1, FEED_COUNTERS)
    names = [f"127.0.0.1:{port}" for port in range(7, 7 + lines)]
    feed = MoldFeed(MoldOptions(lines=names), counters.ctypes.data)
    batch = np.zeros(len(held.places) * lines, PACKET)
    for line in range(lines):
        batch["address"][line::lines] = held.raw.ctypes.data + held.places[:, 0]
        batch["length"][line::lines], batch["line"][line::lines] = held.places[:, 1], line
    feed.hand_over(batch)
    out = empty(EVENT, STAGED)
    target = out.ctypes.data
    receive(feed.address, 0, target, 0)
    begun = time.perf_counter_ns()
    while receive(feed.address, 0, target, STAGED) == STAGED:
        pass
    took = time.perf_counter_ns() - begun
    if counters[0]["messages"] != held.messages or counters[0]["lost"]:
        raise BenchError("not all messages came out")
    return {"ns": took / held.messages, "M/s": held.messages / took * 1e3}


def open_feed(lines: int) -> list[int]:
    """Open a live feed in this process; the ports that it hears."""
    ports = []
    for _ in range(lines):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    COUNTERS.view(np.uint8).fill(0)
    names = [f"127.0.0.1:{port}" for port in ports]
    FEEDS["live"] = MoldFeed(MoldOptions(lines=names), COUNTERS.ctypes.data)
    FEEDS["live"].open()
    return ports


def hear(messages: int) -> Metrics:
    """Fill until the session is over."""
    feed, out = FEEDS.pop("live"), empty(EVENT, STAGED)
    target, begun, ended = out.ctypes.data, 0, 0
    give_up = time.monotonic() + PATIENCE_S
    while not feed.finished:
        if feed.fill(target, STAGED):
            ended = time.perf_counter_ns()
            begun = begun or ended
        elif time.monotonic() > give_up:
            break
    feed.close()
    came = int(COUNTERS[0]["messages"])
    if came + int(COUNTERS[0]["lost"]) != messages:
        raise BenchError(f"of {messages} messages {came} came, and the others were not missed")
    return {
        "M/s": came / max(ended - begun, 1) * 1e3,
        "lost %": 100 * (messages - came) / messages,
    }


def send(path: str, ports: list[int], rate: float) -> None:
    """Send all packets to all ports, so many messages a second; 0: as fast as it goes."""
    held = HELD[path]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
    for one, port in zip(sockets, ports, strict=True):
        one.connect(("127.0.0.1", port))
    iovecs, headers = np.zeros(len(held.places), IOVEC), np.zeros(len(held.places), MMSGHDR)
    iovecs["start"] = held.raw.ctypes.data + held.places[:, 0]
    iovecs["length"] = held.places[:, 1]
    headers["iovec"] = iovecs.ctypes.data + np.arange(len(iovecs)) * IOVEC.itemsize
    headers["iovecs"] = 1
    interval_ns = 1e9 / rate * held.messages / len(headers) if rate else 0.0
    begun = time.perf_counter_ns()
    for place in range(0, len(headers), BURST):
        count = min(BURST, len(headers) - place)
        while time.perf_counter_ns() < begun + place * interval_ns:
            pass
        for one in sockets:
            where = headers.ctypes.data + place * MMSGHDR.itemsize
            LIBC.sendmmsg(one.fileno(), ctypes.c_void_p(where), ctypes.c_uint(count), 0)
    end = SESSION + (held.messages + 1).to_bytes(8, "big") + b"\xff\xff"
    for _ in range(END_TIMES):
        time.sleep(END_PAUSE_S)
        for one in sockets:
            try:
                one.send(end)
            except OSError:  # the other side has heard it and is gone
                break
    for one in sockets:
        one.close()


def received(sender: Actor, hearer: Actor, path: str, lines: int, rate: float) -> Metrics:
    """One session over the loopback."""
    hearer.start(open_feed, lines)
    ports = hearer.result()
    hearer.start(hear, HELD[path].messages)
    sender.start(send, path, ports, rate)
    sender.result()
    return hearer.result()


def apart(actor: Actor, path: str, lines: int) -> Metrics:
    """A pass in the pinned process."""
    actor.start(take_apart, path, lines)
    return actor.result()


def run(options: Options) -> list[Result]:
    """The receive rates, and what taking apart costs."""
    over = Result("mold", BENCH.what, "", "M/s")
    parse = Result("mold apart", "packets to events from memory", "ns a message", "ns", "less")
    rounds = options.rounds_of(ROUNDS)
    with (
        tempfile.TemporaryDirectory(prefix="corelane-") as folder,
        actors(cores(2)) as (sender, hearer),
    ):
        path = str(Path(folder) / "day.itch")
        count = max(options.scaled(MESSAGES, SHORT), 2 * SYMBOLS + 200)
        write_file(SyntheticOptions(messages=count, symbols=SYMBOLS), path)
        for actor in (sender, hearer):
            actor.start(load, path)
            actor.result()
        load(path)
        run_rounds(
            over,
            {
                f"{lines} line{'s' * (lines > 1)}, {name}": partial(
                    received, sender, hearer, path, lines, rate
                )
                for name, rate in RATES.items()
                for lines in (1, 2)
            },
            rounds,
        )
        run_rounds(
            parse,
            {f"{lines} lines": partial(apart, hearer, path, lines) for lines in (1, 2)},
            rounds,
        )
    carried = len(HELD[path].places)
    over.notes.append(f"{HELD[path].messages / carried:.1f} messages a packet")
    parse.notes.append("ns for each message of the stream, however many lines bring it")
    return [over, parse]


BENCH = Bench("mold", "MoldUDP64 over 127.0.0.1 to events", run)
