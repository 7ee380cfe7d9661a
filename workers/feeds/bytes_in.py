"""A file's bytes as stretches at raw addresses: plain ones mapped, packed ones unpacked on the way.

A source is asked for a `window()`, which names bytes not yet done with, and told by `consume()`
how many of them are. Bytes left over lie at the start of the next window, more behind them.
"""

import bz2
import lzma
import mmap
import os
import stat
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from workers.feeds.feed import FeedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WINDOW = 1 << 20  # bytes of the longest window: bounds what one decode call looks at
LOW = 1 << 16  # a stream is read on when fewer bytes than this are left of a window
READ = 1 << 16  # packed bytes read at once
GZIP = b"\x1f\x8b"
GZIP_WINDOW_BITS = 31  # zlib: expect a gzip header and trailer
PACKED = {b"PK\x03\x04": ("zip", "unzip")}  # that we do not unpack


class Packing(NamedTuple):
    """How one kind of packed file is unpacked: bz2's and lzma's interface."""

    name: str
    suffix: str
    unpacker: Callable[[], Any]
    errors: tuple[type[Exception], ...]


ZSTD = Packing("zstd", ".zst", zstd.ZstdDecompressor, (zstd.ZstdError,))
XZ = Packing("xz", ".xz", lzma.LZMADecompressor, (lzma.LZMAError,))
BZIP2 = Packing("bzip2", ".bz2", bz2.BZ2Decompressor, (OSError, ValueError))
PACKINGS = {b"\x28\xb5\x2f\xfd": ZSTD, b"BZh": BZIP2, b"\xfd7zXZ": XZ}
# A zstd frame that is to be skipped may stand first; its first byte is any from here on.
SKIPPED = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))
PACKINGS |= dict.fromkeys(SKIPPED, ZSTD)


class ByteSource(Protocol):
    """Bytes in order, a window at a time."""

    trouble: str  # why the source broke off; empty while all is well

    def window(self) -> tuple[int, int, bool]:
        """Address and length of the bytes at hand, and whether nothing follows them."""

    def consume(self, count: int) -> None:
        """The first `count` bytes of the window are done with."""

    def progress(self) -> float:
        """How much of the file is consumed, 0 to 1."""

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""


class MappedFile:
    """A plain file, mapped: its bytes are read where the page cache has them."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.trouble = ""
        self._path, self._descriptor, self._position = path, descriptor, 0
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self._map.madvise(mmap.MADV_SEQUENTIAL)
        self._bytes: np.ndarray | None = np.frombuffer(self._map, np.uint8)
        self._address, self._size = self._bytes.ctypes.data, self._bytes.size

    def window(self) -> tuple[int, int, bool]:
        """The next bytes; what was cut off the file since it was opened counts as missing.

        Reading a mapped page that the file no longer has would end the process, so the size is
        asked for each time.
        """
        size = min(self._size, os.fstat(self._descriptor).st_size)
        if size < self._size and not self.trouble:
            self.trouble = f"{self._path}: shrank from {self._size} to {size} bytes while read"
        rest = max(size - self._position, 0)
        return self._address + self._position, min(rest, WINDOW), rest <= WINDOW

    def consume(self, count: int) -> None:
        """Go on behind the first `count` bytes of the window."""
        self._position += count

    def progress(self) -> float:
        """Bytes consumed of those the file had."""
        return self._position / self._size

    def close(self) -> None:
        """Unmap and close the file."""
        if self._bytes is not None:
            self._bytes = None
            self._map.close()
            os.close(self._descriptor)


class UnpackedFile:
    """A packed file, unpacked into one buffer as it is read.

    A file that is cut off or damaged ends where the damage lies: all that can be unpacked before
    it comes, and `trouble` says what happened.
    """

    def __init__(self, path: Path, descriptor: int, room: int = WINDOW) -> None:
        self.trouble = ""
        self._path, self._descriptor = path, descriptor
        self._size = os.fstat(descriptor).st_size
        self._buffer = bytearray(room)
        self._view = np.frombuffer(self._buffer, np.uint8)
        self._address = self._view.ctypes.data
        self._start, self._end = 0, 0  # of the unpacked bytes not consumed, in the buffer
        self._low = min(LOW, room // 2)
        self._taken, self._ended, self._open = 0, False, True
        self._packed = b""  # bytes taken from the file that wait

    def window(self) -> tuple[int, int, bool]:
        """The unpacked bytes at hand, after reading on where few are left."""
        if self._end - self._start < self._low and not self._ended:
            self._refill()
        return self._address + self._start, self._end - self._start, self._ended

    def consume(self, count: int) -> None:
        """Go on behind the first `count` bytes of the window."""
        self._start += count

    def progress(self) -> float:
        """Packed bytes read, less those waiting, of those the file has."""
        return min((self._taken - len(self._packed)) / max(self._size, 1), 1.0)

    def close(self) -> None:
        """Close the file."""
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def _refill(self) -> None:
        """Move what is left to the buffer's start and unpack behind it until it is full."""
        left = self._end - self._start
        self._buffer[:left] = self._buffer[self._start : self._end]
        self._start, self._end = 0, left
        while self._end < len(self._buffer) and not self._ended:
            self._put(self._unpack(len(self._buffer) - self._end))

    def _put(self, data: bytes) -> None:
        self._buffer[self._end : self._end + len(data)] = data
        self._end += len(data)

    def _unpack(self, room: int) -> bytes:
        raise NotImplementedError


class GzipFile(UnpackedFile):
    """A gzip file of one member or many."""

    def __init__(self, path: Path, descriptor: int, room: int = WINDOW) -> None:
        super().__init__(path, descriptor, room)
        self._unpacker = zlib.decompressobj(GZIP_WINDOW_BITS)

    def _unpack(self, room: int) -> bytes:
        """At most `room` more bytes; none where only a header or the end was read."""
        if not self._packed:
            self._packed = os.read(self._descriptor, READ)
            self._taken += len(self._packed)
        if not self._packed:
            return self._end_of_file(room)
        if self._unpacker.eof:
            self._next_member()
            return b""
        before = self._unpacker.copy()
        try:
            data = self._unpacker.decompress(self._packed, room)
        except zlib.error as error:
            return self._salvage(before, room, error)
        self._packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        return data

    def _end_of_file(self, room: int) -> bytes:
        """What the unpacker still holds; then the end, in time or too early."""
        data = b"" if self._unpacker.eof else self._unpacker.decompress(b"", room)
        if not data:
            self._ended = True
            if not self._unpacker.eof:
                self.trouble = f"{self._path}: the gzip data are cut off after {self._taken} bytes"
        return data

    def _next_member(self) -> None:
        """Another gzip member may follow; zeros after the last one are padding."""
        self._packed = self._packed.lstrip(b"\0")
        if self._packed:
            self._unpacker = zlib.decompressobj(GZIP_WINDOW_BITS)

    def _salvage(self, unpacker, room: int, error: zlib.error) -> bytes:
        """Unpack byte by byte up to the damage, and end there."""
        at = self._taken - len(self._packed)
        self.trouble = f"{self._path}: the gzip data are damaged near byte {at} ({error})"
        self._ended = True
        data = bytearray()
        with suppress(zlib.error):
            for place in range(len(self._packed)):
                data += unpacker.decompress(self._packed[place : place + 1], room - len(data) or 1)
        self._packed = b""
        return bytes(data[:room])


class PackedFile(UnpackedFile):
    """A file of zstd, xz or bzip2: one frame behind another.

    These unpackers cannot be copied, and one that fails keeps back what it had before. So a frame
    that turns out damaged is unpacked once more, the piece that failed byte by byte.
    """

    def __init__(self, path: Path, descriptor: int, packing: Packing, room: int = WINDOW) -> None:
        super().__init__(path, descriptor, room)
        self._packing, self._unpacker = packing, packing.unpacker()
        self._frame, self._given = 0, 0  # where the frame starts; bytes that it has given so far
        self._piece = 0  # where what was last handed to the unpacker starts
        self._careful, self._skip = self._size, 0  # single bytes from here on; bytes given before

    def _unpack(self, room: int) -> bytes:
        """At most `room` more bytes; none where it took input only, or a frame ended."""
        if self._unpacker.eof:
            self._next_frame()
            return b""
        piece = self._read() if self._unpacker.needs_input else b""
        if not piece and self._unpacker.needs_input:
            self._end_of_file()
            return b""
        try:
            data = self._unpacker.decompress(piece, room)
        except self._packing.errors as error:
            self._salvage(error)
            return b""
        self._given += len(data)
        known = min(self._skip, len(data))
        self._skip -= known
        return data[known:]

    def _read(self) -> bytes:
        """The next packed bytes: only one where damage is near."""
        place = self._piece = self._taken - len(self._packed)
        if place >= self._careful:
            self._taken, self._packed = place + 1, b""
            return os.pread(self._descriptor, 1, place)
        if not self._packed:
            self._packed = os.pread(self._descriptor, READ, place)
            self._taken += len(self._packed)
        size = min(len(self._packed), self._careful - place)
        piece, self._packed = self._packed[:size], self._packed[size:]
        return piece

    def _next_frame(self) -> None:
        """Another frame may follow; zeros between them are padding."""
        self._packed = (self._unpacker.unused_data + self._packed).lstrip(b"\0")
        if not self._packed:
            self._packed = os.pread(self._descriptor, READ, self._taken)
            self._taken += len(self._packed)
            self._ended = not self._packed
            self._packed = self._packed.lstrip(b"\0")
        if self._packed:
            self._frame, self._given = self._taken - len(self._packed), 0
            self._unpacker = self._packing.unpacker()

    def _end_of_file(self) -> None:
        """The end, in the middle of a frame."""
        self._ended = True
        if not self.trouble:
            self.trouble = (
                f"{self._path}: the {self._packing.name} data are cut off after {self._size} bytes"
            )

    def _salvage(self, error: Exception) -> None:
        """Begin the frame anew, with care where it failed; end there if it was with care."""
        if self._piece >= self._careful:
            self._ended = True
            return
        self.trouble = (
            f"{self._path}: the {self._packing.name} data are damaged near byte {self._piece} "
            f"({error})"
        )
        self._careful, self._skip, self._given = self._piece, self._given, 0
        self._taken, self._packed = self._frame, b""
        self._unpacker = self._packing.unpacker()


def open_bytes(path: str | Path) -> ByteSource:
    """A source of a file's bytes, packed or plain by its content; FeedError where there is none."""
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FeedError(
            f"{path}: cannot be opened ({error.strerror}); give the path of a file you may read"
        ) from None
    try:
        head = _check(path, descriptor)
        if head.startswith(GZIP):
            return GzipFile(path, descriptor)
        for magic, packing in PACKINGS.items():
            if head.startswith(magic):
                return PackedFile(path, descriptor, packing)
        return MappedFile(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check(path: Path, descriptor: int) -> bytes:
    """The first bytes of a file that can be read; FeedError for any other."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise FeedError(f"{path}: is {kind}; give the path of a file")
    head = os.pread(descriptor, 8, 0)
    if not head:
        raise FeedError(f"{path}: is empty; was it copied whole?")
    for magic, (name, command) in PACKED.items():
        if head.startswith(magic):
            raise FeedError(f"{path}: is packed with {name}; unpack it first: {command} {path}")
    named = {".gz": "gzip"} | {packing.suffix: packing.name for packing in PACKINGS.values()}
    if path.suffix in named and not head.startswith((GZIP, *PACKINGS)):
        raise FeedError(
            f"{path}: is named {path.suffix} but holds no {named[path.suffix]} data; "
            "rename it or copy it again"
        )
    return head
