"""Captures of UDP packets: read from pcap and pcapng files, and written as pcap."""

import ctypes
import os
import struct

import numpy as np

from workers.feeds.bytes_in import open_bytes
from workers.feeds.feed import FeedError
from workers.kernels.capture import (
    CAPTURE,
    FILE_HEADER,
    IP_LEAST,
    MAGIC_NS,
    MAGIC_US,
    RAW,
    RECORD_HEADER,
    SECTION,
    UDP_HEADER,
    append,
    packets,
)

MAGICS = {
    struct.pack(order, magic) for order in ("<I", ">I") for magic in (MAGIC_US, MAGIC_NS, SECTION)
}
NS_HEADER = struct.pack(">IHHIIII", MAGIC_NS, 2, 4, 0, 0, 1 << 18, RAW)
AROUND = RECORD_HEADER + IP_LEAST + UDP_HEADER  # bytes of a record around a packet


def key(endpoint: tuple[str, int]) -> int:
    """Address and port as the kernels compare them."""
    host, port = endpoint
    return int.from_bytes(bytes(map(int, host.split(".")))) << 16 | port


def capture_state(lines: list[tuple[str, int]], answers: tuple[str, int] | None) -> np.ndarray:
    """A CAPTURE record that knows the lines by their destinations, and who answers requests."""
    state = np.zeros(1, CAPTURE)
    state["lines"], state["answers"] = len(lines), len(lines)
    state["keys"][0, : len(lines)] = [key(line) for line in lines]
    state["answers_key"] = key(answers) if answers else 0
    return state


class CaptureFile:
    """A capture, plain or gzip, that gives batches of PACKET records."""

    def __init__(self, path: str, state: np.ndarray) -> None:
        self.path, self.state = path, state[0]
        self._state_at = state.ctypes.data
        self._keep = state
        self._source = open_bytes(path)
        self.ended = False
        self.left_over = 0  # bytes at the end that make no whole record
        address, length, _ = self._source.window()
        if length < FILE_HEADER or ctypes.string_at(address, 4) not in MAGICS:
            self._source.close()
            raise FeedError(f"{path}: is no capture; give a pcap or pcapng file, plain or gzip")

    @property
    def trouble(self) -> str:
        """What is wrong with the file as a whole; empty while all is well."""
        if self._source.trouble or not self.left_over:
            return self._source.trouble
        if self.state["broken"]:
            return f"{self.path}: is damaged; the last {self.left_over} bytes read make no sense"
        return f"{self.path}: is cut off inside its last packet"

    def read(self, batch: int, limit: int) -> int:
        """Find at most `limit` packets; those of the call before are gone."""
        while not self.ended:
            address, length, final = self._source.window()
            found = int(packets(self._state_at, address, length, batch, limit))
            consumed = int(self.state["consumed"])
            self._source.consume(consumed)
            if found:
                return found
            if self.state["broken"] or (final and (consumed == length or consumed == 0)):
                self.ended = True
                self.left_over = length - consumed + int(self.state["skip"])
        return 0

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return 1.0 if self.ended else self._source.progress()

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class Recorder:
    """Appends the packets of batches to a pcap file with nanoseconds."""

    def __init__(self, path: str, state: np.ndarray, room: int, count: int) -> None:
        self._state, self._path = state, path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            start = os.pread(self._file, FILE_HEADER, 0)
            if not start:
                os.write(self._file, NS_HEADER)
        except OSError as error:
            raise FeedError(f"record {path}: cannot be written ({error.strerror})") from None
        if start and start != NS_HEADER:
            self.close()
            raise FeedError(f"record {path}: is there and was not recorded here; name another")
        self._buffer = np.zeros(count * (room + AROUND), np.uint8)

    def write(self, batch: int, count: int) -> str:
        """Append packets; why that was not possible, or nothing."""
        size = append(self._state.ctypes.data, batch, count, self._buffer.ctypes.data)
        try:
            os.write(self._file, self._buffer[:size].data)
        except OSError as error:
            return f"record {self._path}: cannot be written ({error.strerror})"
        return ""

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
