"""UDP sockets read many packets at a time: recvmmsg into memory that is laid out once.

mmsghdr[i] -> iovec[i] -> room for packet i;  its control bytes: when it came, what was dropped
"""

import ctypes
import os
import socket
import struct
from contextlib import suppress

import numpy as np

from workers.feeds.feed import FeedError
from workers.kernels.datagrams import IOVEC, MMSGHDR

PACKETS = 64  # read by one call
ROOM = 9_216  # bytes of the longest packet: a jumbo frame's
CONTROL = 64  # bytes of control messages of a packet
BUFFER = 1 << 25  # bytes that the kernel is asked to hold for a socket
BUFFER_FORCE, RXQ_OVFL, TIMESTAMP_NS = 33, 40, 35  # SO_RCVBUFFORCE, SO_RXQ_OVFL, SO_TIMESTAMPNS
LIBC = ctypes.CDLL(None, use_errno=True)


class Packets:
    """A non-blocking UDP socket, and memory for the packets that one call reads."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.buffer = _enlarge(opened)
        for option in (RXQ_OVFL, TIMESTAMP_NS):
            with suppress(OSError):  # metrics are poorer without
                opened.setsockopt(socket.SOL_SOCKET, option, 1)
        opened.setblocking(False)
        self._room = np.zeros((PACKETS, ROOM), np.uint8)
        self._control = np.zeros((PACKETS, CONTROL), np.uint8)
        self._iovecs = np.zeros(PACKETS, IOVEC)
        self._iovecs["start"] = self._room.ctypes.data + np.arange(PACKETS) * ROOM
        self._iovecs["length"] = ROOM
        self.headers = np.zeros(PACKETS, MMSGHDR)
        self.headers["iovec"] = self._iovecs.ctypes.data + np.arange(PACKETS) * IOVEC.itemsize
        self.headers["iovecs"] = 1
        self.headers["control"] = self._control.ctypes.data + np.arange(PACKETS) * CONTROL
        self.headers["control_length"] = CONTROL
        self.address = self.headers.ctypes.data
        self._call = LIBC.recvmmsg
        self._arguments = (
            ctypes.c_int(opened.fileno()),
            ctypes.c_void_p(self.address),
            ctypes.c_uint(PACKETS),
            ctypes.c_int(socket.MSG_DONTWAIT),
            ctypes.c_void_p(None),
        )

    def read(self) -> int:
        """How many packets came; those of the call before are gone."""
        return max(self._call(*self._arguments), 0)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.socket.close()


def _enlarge(opened: socket.socket) -> int:
    """Have the kernel hold as much as it lets us; how many bytes that are."""
    for option in (BUFFER_FORCE, socket.SO_RCVBUF):
        try:
            opened.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            break
        except OSError:  # to force it takes a privilege
            continue
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def endpoint(text: str, what: str) -> tuple[str, int]:
    """Address and port of "239.1.1.1:26400"; ValueError for anything else."""
    host, _, port = text.rpartition(":")
    parts = [*host.split("."), port]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(numbers) != 5 or len(parts) != 5 or max(numbers[:4]) > 255 or not 0 < numbers[4] < 65536:
        raise ValueError(f"{what} {text!r}: write an IPv4 address and port: 239.1.1.1:26400")
    return ".".join(map(str, numbers[:4])), numbers[4]


def is_group(host: str) -> bool:
    """Whether an IPv4 address is a multicast group."""
    return 224 <= int(host.partition(".")[0]) < 240


def listen(host: str, port: int, interface: str | None) -> Packets:
    """A socket that hears a multicast group, or a unicast address of this host."""
    through = _interface(interface)
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        if is_group(host):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((host, port))
            wanted = socket.inet_aton(host) + through
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
        else:
            opened.bind((host, port))
        return Packets(opened)
    except OSError as error:
        opened.close()
        raise FeedError(
            f"line {host}:{port} cannot be heard ({os.strerror(error.errno or 0)}); is the address "
            "this host's or a multicast group, the port free, and `interface` one that is up?"
        ) from None


def _interface(name: str | None) -> bytes:
    """An interface by its name or address, as it stands behind the group in an ip_mreqn."""
    if name is None:
        return struct.pack("=4si", bytes(4), 0)
    with suppress(OSError):
        return struct.pack("=4si", bytes(4), socket.if_nametoindex(name))
    with suppress(OSError):
        return struct.pack("=4si", socket.inet_aton(name), 0)
    raise FeedError(f"interface {name!r}: there is none of that name or address")


def ask_at(host: str, port: int) -> Packets:
    """A socket that sends requests to a server and hears its answers, nobody else's."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        opened.connect((host, port))
        return Packets(opened)
    except OSError as error:
        opened.close()
        raise FeedError(
            f"request {host}:{port} cannot be reached ({os.strerror(error.errno or 0)})"
        ) from None
