"""Peers that are called from Python, on both ends: each a few lines that send and take words.

A message is one record, or a batch of them one after another. The caller's Python builds it and
adds it up in either case, as a program of these libraries would; so does "ring, from Python",
which is ours under the same conditions.
"""

import ctypes
import importlib.util
import multiprocessing
import os
import struct
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from bench import harness, traffic
from ringbuf.share import RingReader, RingWriter

WORDS = traffic.WORDS + 1
RECORD = struct.Struct(f"{WORDS}q")
BATCH = 64  # records in a message
MESSAGES = 1024  # that may wait
LANES = ("there", "back")
READERS = 3
ABSENT = 'not installed: pip install "corelane[peers]"'
# Row r, word w: what is added to a batch's first sequence.
STEPS = np.arange(BATCH)[:, None] + np.array([*range(traffic.WORDS), 0])


class Sender(Protocol):
    """The writing end of a lane."""

    def send(self, first: int, count: int) -> None:
        """Send records first … first + count - 1 to every reader."""

    def close(self) -> None: ...


class Taker(Protocol):
    """A reading end of a lane."""

    def take(self) -> Sequence[int]:
        """Wait for the next message: its words, WORDS to a record."""

    def close(self) -> None: ...


def packed(first: int, count: int) -> bytes:
    """A message of one record, or of a batch."""
    if count == 1:
        return RECORD.pack(*range(first, first + traffic.WORDS), first)
    return (STEPS[:count] + first).tobytes()


def words_of(message: bytes) -> Sequence[int]:
    """The words of a message: a tuple of a single record's, an array of a batch's."""
    if len(message) == RECORD.size:
        return RECORD.unpack(message)
    return np.frombuffer(message, np.int64)


def added_up(words: Sequence[int]) -> int:
    """The sum of a message's words."""
    return int(words.sum()) if isinstance(words, np.ndarray) else sum(words)


class QueueSender:
    """Queues have no broadcast: one for each reader, and each is given every message."""

    def __init__(self, peer: str, run: str, lane: str, readers: int) -> None:
        self.queues = harness.INHERITED[peer][lane][:readers]

    def send(self, first: int, count: int) -> None:
        message = packed(first, count)
        for queue in self.queues:
            queue.put(message)

    def close(self) -> None:
        """The queues stay for the next run."""


class QueueTaker:
    """One reader's queue."""

    def __init__(self, peer: str, run: str, lane: str, number: int) -> None:
        self.queue = harness.INHERITED[peer][lane][number]

    def take(self) -> Sequence[int]:
        return words_of(self.queue.get())

    def close(self) -> None:
        """The queue stays for the next run."""


def _address(run: str, lane: str, number: int) -> str:
    return f"ipc://@{run}-{lane}-{number}"  # a name that goes with its socket, and no file


class ZmqSender:
    """PUSH, one socket for each reader: PUB would lose what a slow reader has no room for."""

    def __init__(self, peer: str, run: str, lane: str, readers: int) -> None:
        import zmq

        self.context = zmq.Context()
        self.sockets = [self.context.socket(zmq.PUSH) for _ in range(readers)]
        for number, socket in enumerate(self.sockets):
            socket.setsockopt(zmq.SNDHWM, MESSAGES)
            socket.connect(_address(run, lane, number))

    def send(self, first: int, count: int) -> None:
        message = packed(first, count)
        for socket in self.sockets:
            socket.send(message)

    def close(self) -> None:
        self.context.destroy(linger=5000)


class ZmqTaker:
    """PULL."""

    def __init__(self, peer: str, run: str, lane: str, number: int) -> None:
        import zmq

        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PULL)
        self.socket.setsockopt(zmq.RCVHWM, MESSAGES)
        self.socket.bind(_address(run, lane, number))

    def take(self) -> Sequence[int]:
        return words_of(self.socket.recv())

    def close(self) -> None:
        self.context.destroy(linger=0)


def _service(run: str, lane: str) -> tuple[Any, Any]:
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    builder = node.service_builder(iceoryx2.ServiceName.new(f"{run}-{lane}"))
    service = (
        builder.publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        .max_subscribers(READERS)
        .subscriber_max_buffer_size(MESSAGES)
        .enable_safe_overflow(False)
        .open_or_create()
    )
    return node, service


class IceoryxSender:
    """A publisher that waits for its slowest subscriber; samples are loaned and filled in place."""

    def __init__(self, peer: str, run: str, lane: str, readers: int) -> None:
        import iceoryx2

        self.node, self.service = _service(run, lane)
        self.publisher = (
            self.service.publisher_builder()
            .initial_max_slice_len(BATCH * RECORD.size)
            .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )

    def send(self, first: int, count: int) -> None:
        message = packed(first, count)
        sample = self.publisher.loan_slice_uninit(len(message))
        ctypes.memmove(sample.payload_ptr, message, len(message))
        sample.assume_init().send()

    def close(self) -> None:
        self.publisher.delete()


class IceoryxTaker:
    """A subscriber that polls."""

    def __init__(self, peer: str, run: str, lane: str, number: int) -> None:
        self.node, self.service = _service(run, lane)
        self.subscriber = self.service.subscriber_builder().create()

    def take(self) -> Sequence[int]:
        sample = self.subscriber.receive()
        while sample is None:
            if harness.INHERITED["shared"]:
                os.sched_yield()
            sample = self.subscriber.receive()
        words = words_of(bytes(sample.payload().as_memory_view()))
        sample.delete()
        return words

    def close(self) -> None:
        self.subscriber.delete()


class RingSender:
    """Ours, by RingWriter.push."""

    def __init__(self, peer: str, run: str, lane: str, readers: int) -> None:
        self.writer = RingWriter(run, lane, traffic.LAYOUTS)

    def send(self, first: int, count: int) -> None:
        records = np.frombuffer(packed(first, count), traffic.TRAFFIC)
        while count := len(records):
            records = records[self.writer.push(records) :]
            if len(records) == count and harness.INHERITED["shared"]:
                os.sched_yield()

    def close(self) -> None:
        self.writer.close()


class RingTaker:
    """Ours, by RingReader.take."""

    def __init__(self, peer: str, run: str, lane: str, number: int) -> None:
        self.reader = RingReader(run, lane, traffic.LAYOUTS, traffic.reader_name(number))
        self.taken = 0

    def take(self) -> Sequence[int]:
        self.reader.release(self.taken)
        records = self.reader.take(traffic.TRAFFIC, MESSAGES)
        while not len(records):
            if harness.INHERITED["shared"]:
                os.sched_yield()
            records = self.reader.take(traffic.TRAFFIC, MESSAGES)
        self.taken += len(records)
        return words_of(records.tobytes())

    def close(self) -> None:
        self.reader.close()


OURS = "ring, from Python"
PEERS: dict[str, tuple[str, type, type]] = {  # the package it takes, its two ends
    OURS: ("ringbuf", RingSender, RingTaker),
    "iceoryx2": ("iceoryx2", IceoryxSender, IceoryxTaker),
    "pyzmq": ("zmq", ZmqSender, ZmqTaker),
    "faster-fifo": ("faster_fifo", QueueSender, QueueTaker),
    "multiprocessing.Queue": ("multiprocessing", QueueSender, QueueTaker),
}


def installed() -> list[str]:
    """The peers whose packages are there."""
    return [peer for peer, (package, *_) in PEERS.items() if importlib.util.find_spec(package)]


def notes() -> list[str]:
    """What to say of those that are not."""
    return [f"{peer}: {ABSENT}" for peer in PEERS if peer not in installed()]


def inherited(shared: bool) -> dict[str, Any]:
    """What the pinned processes must be given at their start: queues, and whether to give way."""
    context = multiprocessing.get_context("spawn")
    makers: dict[str, Any] = {"multiprocessing.Queue": lambda: context.Queue(MESSAGES)}
    if "faster-fifo" in installed():
        import faster_fifo

        size = MESSAGES * BATCH * RECORD.size
        makers["faster-fifo"] = lambda: faster_fifo.Queue(size, loads=bytes, dumps=bytes)
    given = {
        peer: {lane: [make() for _ in range(READERS)] for lane in LANES}
        for peer, make in makers.items()
    }
    return {**given, "shared": shared}


ENDS: dict[str, Any] = {}  # in a pinned process: lane -> its open end


def open_sender(peer: str, run: str, lane: str, readers: int) -> None:
    """Open the writing end of a lane here; after all reading ends."""
    ENDS[f"to {lane}"] = PEERS[peer][1](peer, run, lane, readers)


def open_taker(peer: str, run: str, lane: str, number: int) -> None:
    """Open a reading end of a lane here."""
    ENDS[f"from {lane}"] = PEERS[peer][2](peer, run, lane, number)


def close_ends() -> None:
    """Close whatever is open here."""
    for name in list(ENDS):
        ENDS.pop(name).close()


def send_all(last: int, batch: int) -> None:
    """Send records 1 … last."""
    sender = ENDS["to there"]
    for first in range(1, last + 1, batch):
        sender.send(first, min(batch, last + 1 - first))


def take_all(warm: int, last: int) -> float:
    """Take records 1 … last; how many a second after `warm` of them."""
    taker, seen, total, timed, begun = ENDS["from there"], 0, 0, 0, 0.0
    while seen < last:
        words = taker.take()
        seen += len(words) // WORDS
        total += added_up(words)
        if not timed and seen >= warm:
            timed, begun = seen, time.perf_counter()
    seconds = time.perf_counter() - begun
    traffic.check(total, last, "reader")
    return (last - timed) / seconds


def call(last: int) -> np.ndarray:
    """Send a record and await its echo, `last` times; ns of each."""
    sender, taker, total = ENDS["to there"], ENDS["from back"], 0
    samples = np.zeros(last)
    for sequence in range(1, last + 1):
        begun = time.perf_counter_ns()
        sender.send(sequence, 1)
        total += added_up(taker.take())
        samples[sequence - 1] = time.perf_counter_ns() - begun
    traffic.check(total, last, "asking side")
    return samples


def echo(last: int) -> None:
    """Answer each of `last` records with one."""
    sender, taker, total = ENDS["to back"], ENDS["from there"], 0
    for sequence in range(1, last + 1):
        total += added_up(taker.take())
        sender.send(sequence, 1)
    traffic.check(total, last, "answering side")


def keep_up(last: int, start_ns: int, period_ns: float, give_up_ns: int) -> int:
    """Send each record when it is due, or as many as are due in one message; the last one sent.

    Ends when it is late by more than give_up_ns: the peer cannot hold the rate. A record whose
    sequence is 0 says so to the reader.
    """
    sender, sequence = ENDS["to there"], 1
    while sequence <= last:
        due = int((time.monotonic_ns() - start_ns) / period_ns) + 1  # so many by now
        count = min(due, last) + 1 - sequence
        if count > 0:
            if count * period_ns > give_up_ns:
                break
            count = min(count, BATCH)
            sender.send(sequence, count)
            sequence += count
    sender.send(0, 1)
    return sequence - 1


def arrivals(start_ns: int, period_ns: float) -> np.ndarray:
    """Take records until the one that says that no more come; ns each was late."""
    taker, total, ended = ENDS["from there"], 0, False
    times, counts = [], []
    while not ended:
        words = taker.take()
        times.append(time.monotonic_ns())
        ended = words[-WORDS] == 0
        if ended:
            words = words[:-WORDS]
        counts.append(len(words) // WORDS)
        total += added_up(words)
    seen = sum(counts)
    traffic.check(total, seen, "reader")
    return np.repeat(times, counts) - (start_ns + period_ns * np.arange(seen))
