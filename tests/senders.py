"""A venue on this host, in a process of its own: sends packets over UDP, answers requests."""

import multiprocessing
import select
import socket
import time
from typing import NamedTuple

from tests.naive import mold

ANSWER_BYTES = 1_400


class Play(NamedTuple):
    """What to send, and how to answer.

    packets: (line, bytes, seconds to wait before); messages: the whole session, number 1 first;
    deaf: so many requests are lost; knows: numbers that the server can give.
    """

    lines: list[tuple[str, int]]
    packets: list[tuple[int, bytes, float]]
    messages: list[bytes] = []
    deaf: int = 0
    knows: range | None = None


class Server:
    """Answers requests by one packet each, of as many messages as fit."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.play, self.asked = Play([], []), 0

    def answer(self) -> None:
        """Take what requests there are."""
        while True:
            try:
                data, where = self.socket.recvfrom(2048)
            except BlockingIOError:
                return
            self.asked += 1
            parsed = mold.HEADER.unpack(data)
            if self.asked > self.play.deaf and parsed[0] == mold.SESSION:
                self.send(where, *parsed[1:])

    def send(self, where, number: int, count: int) -> None:
        """Messages from a number on."""
        known = self.play.knows or range(1, len(self.play.messages) + 1)
        found, size = [], mold.HEADER.size
        for wanted in range(number, number + count):
            if wanted not in known:
                break
            message = self.play.messages[wanted - 1]
            size += 2 + len(message)
            if size > ANSWER_BYTES:
                break
            found.append(message)
        if found:
            self.socket.sendto(mold.packet(number, found), where)


def run(pipe) -> None:
    """The process: one Play after another, requests answered all the while."""
    server = Server()
    lines = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    pipe.send(server.socket.getsockname()[1])
    while True:
        ready, _, _ = select.select([pipe, server.socket], [], [])
        if server.socket in ready:
            server.answer()
        if pipe in ready:
            try:
                play = pipe.recv()
            except (EOFError, ConnectionError):
                return
            server.play, server.asked = play, 0
            for line, data, wait in play.packets:
                if wait:
                    time.sleep(wait)
                lines[line].sendto(data, play.lines[line])
                server.answer()
            pipe.send("sent")


class Sender:
    """The process, to be told what to play."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.server_port = self.pipe.recv()

    def play(self, play: Play) -> None:
        """Begin; `done` says when all of it is sent."""
        self.pipe.send(play)

    def done(self) -> bool:
        """Whether all is sent by now."""
        return self.pipe.poll() and self.pipe.recv() == "sent"

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody uses now."""
    opened = []
    for _ in range(count):
        opened.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened[-1].bind((host, 0))
    ports = [one.getsockname()[1] for one in opened]
    for one in opened:
        one.close()
    return ports
