"""Named shared memory: created whole or not at all, recognised before it is trusted.

    +--------+-----------+----------------------+-----------------------------
    | HEADER | text      | (zeros to page end)  | payload: ring, board, panel
    +--------+-----------+----------------------+-----------------------------
      0        1024                               PAYLOAD

The header says what lies behind it; the text is JSON that describes the payload's records, so a
monitor reads a segment with no help from the code that wrote it. A segment is filled in under a
temporary name, every page of it backed, and only then linked to its real name: nobody ever sees
half of one, and a full /dev/shm is an error here, never a SIGBUS later.

Whoever works on a segment holds a lock on one byte of it (a role). The kernel drops the lock when
the process dies, however it dies, so "is its owner alive" has an answer with no guessing. The
header notes who took a role last, for people: a process id can be used again, a lock cannot.

A segment's file is in /dev/shm, or on a hugetlbfs (ringbuf/pages.py); a name is looked for in both.
"""

import errno
import fcntl
import json
import mmap
import os
import stat
import time
from collections.abc import Callable

import numpy as np

from ringbuf import files, pages
from ringbuf.files import (
    LOCKS,
    NAME,
    PLAINLY,
    PREFIX,
    SegmentError,
    SegmentExists,
    alive,
    full_name,
    lock,
    names,
    place,
    remove_dead_drafts,
    roles_held,
    unlink,
)
from ringbuf.host import boot_id, start_time
from ringbuf.record import layout_hash, record

FOLDER = pages.SHARED  # where segments are, unless huge pages take them elsewhere
MAGIC = 0x454E414C45524F43  # "CORELANE" in memory
VERSION = 2
TEXT = 1024  # where the text starts
PAYLOAD = 8192  # where the payload starts: whole pages
OWNER, WRITER, READER = 0, 1, 2  # lock bytes; reader n holds READER + n
HOLDERS = 18  # roles whose last holder is noted: owner, writer, 16 readers

HEADER = record(
    [
        ("magic", "i8"),
        ("version", "i4"),
        ("text_length", "i4"),
        ("size", "i8"),  # bytes of the whole segment
        ("layout", "i8"),  # hash of the text
        ("capacity", "i8"),  # records
        ("record_size", "i8"),  # bytes
        ("created_ns", "i8"),  # wall clock
        ("pid", "i8"),  # of the creator
        ("start_time", "i8"),  # of the creator, clock ticks since boot
        ("boot", "S40"),
        ("kind", "S16"),  # "ring", "board", "panel"
        ("huge", "i8"),  # 1: huge pages were asked for
        ("why", "S320"),  # they are not all huge; empty: they are, or were not asked for
        ("holders", [("pid", "i8"), ("start_time", "i8")], (HOLDERS,)),  # by role; 0: never held
    ]
)
assert HEADER.itemsize <= TEXT


class Segment:
    """A mapped segment; `address` is where its payload starts in this process."""

    file = -1

    def __init__(self, name: str, file: int, writable: bool) -> None:
        self.name, self.file, self.writable = name, file, writable
        self.holder = 0  # the process that took a role here
        size = os.fstat(file).st_size
        if size < PAYLOAD:
            raise SegmentError(f"segment {name}: {size} bytes is no segment of ours; remove it")
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        flags = mmap.MAP_SHARED | (0 if files.is_aside() else mmap.MAP_POPULATE)
        self.map = mmap.mmap(file, size, flags=flags, prot=protection)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.header = self.bytes[: HEADER.itemsize].view(HEADER)[0]
        self.address = self.bytes.ctypes.data + PAYLOAD

    @property
    def payload(self) -> np.ndarray:
        """The payload as bytes, shape (size - PAYLOAD,)."""
        return self.bytes[PAYLOAD:]

    @property
    def page_sizes(self) -> dict[int, int]:
        """What pages this mapping is made of, measured: page size -> bytes."""
        return pages.sizes(self.bytes.ctypes.data)

    @property
    def text(self) -> dict:
        """What the segment says of its own records."""
        return json.loads(self.raw_text)

    @property
    def raw_text(self) -> str:
        length = int(self.header["text_length"])
        return bytes(self.bytes[TEXT : TEXT + length]).decode(errors="replace")

    def hold(self, role: int, who: str) -> None:
        """Take a role until close() or death; refused while a living process has it."""
        try:
            fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, lock(fcntl.F_WRLCK, role, 1))
        except OSError as failure:
            if failure.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise SegmentError(
                f"segment {self.name}: another living process is its {who} already; "
                "stop that one first"
            ) from None
        self.holder = os.getpid()
        if role < HOLDERS:
            self.header["holders"][role] = self.holder, start_time(self.holder)

    def drop(self, role: int) -> None:
        """Give a role back."""
        fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, lock(fcntl.F_UNLCK, role, 1))

    def close(self) -> None:
        """Give up all roles. The memory stays mapped while views of it live.

        The mapping has the file open too, so closing ours would not end a lock. A forked child
        shares its parent's locks, and must leave them alone.
        """
        if self.file >= 0:
            if self.holder == os.getpid():
                fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, lock(fcntl.F_UNLCK, 0, LOCKS))
            os.close(self.file)
            self.file = -1

    def __del__(self) -> None:
        self.close()


def create(
    pipeline: str,
    part: str,
    kind: str,
    size: int,
    text: str,
    capacity: int = 0,
    record_size: int = 0,
    fill: Callable[[Segment], None] | None = None,
) -> Segment:
    """Make a segment with `size` bytes of zeroed payload, all of it backed by memory.

    fill: writes what the payload starts with, before anybody can see the segment. Its pages are
    huge ones where pages.huge_pages() asks for them and the host has them; else the header says
    why they are not.
    """
    name = full_name(pipeline, part)
    encoded = text.encode()
    assert TEXT + len(encoded) <= PAYLOAD, f"{name}: description of {len(encoded)} bytes"
    if files.is_aside():
        segment = Segment(name, files.nameless(name, PAYLOAD + size), writable=True)
        _describe(segment, kind, encoded, (capacity, record_size), [])
        if fill is not None:
            fill(segment)
        return segment
    draft, file, reasons = files.draft(name, part, PAYLOAD + size)
    try:
        segment = Segment(name, file, writable=True)  # which closes the file from here on
        if reasons:
            reasons.append(pages.make_transparent(segment.map))
        _describe(segment, kind, encoded, (capacity, record_size), reasons)
        if fill is not None:
            fill(segment)
        files.link(draft, name)
    finally:
        os.unlink(draft)
    return segment


def _describe(
    segment: Segment, kind: str, encoded: bytes, geometry: tuple[int, int], reasons: list[str]
) -> None:
    """Fill the header in: geometry is capacity and record size."""
    segment.bytes[TEXT : TEXT + len(encoded)] = np.frombuffer(encoded, np.uint8)
    header = segment.header
    header["version"], header["text_length"] = VERSION, len(encoded)
    header["size"], header["layout"] = len(segment.bytes), layout_hash(encoded.decode())
    header["capacity"], header["record_size"] = geometry
    header["created_ns"] = time.time_ns()
    header["pid"], header["start_time"] = os.getpid(), start_time(os.getpid())
    header["boot"], header["kind"], header["magic"] = boot_id().encode(), kind.encode(), MAGIC
    header["huge"] = pages.asked()
    if pages.asked() and set(segment.page_sizes) != {pages.HUGE}:
        header["why"] = "; ".join(filter(None, reasons)).encode()[: HEADER["why"].itemsize]


def attach(
    pipeline: str, part: str, kind: str, text: str | None = None, writable: bool = False
) -> Segment:
    """Map an existing segment after checking that it is what the caller takes it for.

    With `text`, its records must be laid out exactly so; without, any layout of the kind will do.
    """
    name = full_name(pipeline, part)
    try:
        file = files.reopen(name, PLAINLY | (os.O_RDWR if writable else os.O_RDONLY))
    except FileNotFoundError:
        raise SegmentError(
            f"segment {name}: does not exist; is a pipeline named {pipeline!r} running? "
            "(corelane segments ls)"
        ) from None
    except PermissionError:
        raise SegmentError(f"segment {name}: belongs to another user") from None
    except OSError as failure:  # a link, a folder, a socket
        raise SegmentError(
            f"segment {name}: is no plain file ({failure.strerror}); remove it"
        ) from None
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode) or mode & 0o022:
        os.close(file)
        raise SegmentError(
            f"segment {name}: is no plain file, or others may write to it "
            f"({stat.filemode(mode)}); remove it"
        )
    segment = Segment(name, file, writable)
    reason = fault(segment, kind, text)
    if reason:
        segment.close()
        raise SegmentError(f"segment {name}: {reason}")
    return segment


def fault(segment: Segment, kind: str, text: str | None) -> str:
    """Why a segment must not be used, or the empty string."""
    header = segment.header
    if header["magic"] != MAGIC:
        return "is not a segment of Corelane; remove it"
    if header["version"] != VERSION:
        return f"has layout version {header['version']}, this program reads {VERSION}"
    if header["size"] != len(segment.bytes):
        return f"was cut from {header['size']} to {len(segment.bytes)} bytes; remove it"
    if header["boot"] != boot_id().encode():
        return "is left from an earlier boot; remove it (corelane segments rm)"
    if header["kind"] != kind.encode():
        return f"holds a {header['kind'].decode(errors='replace')}, not a {kind}"
    if not 0 <= header["text_length"] <= PAYLOAD - TEXT:
        return "has a damaged header; remove it"
    if header["layout"] != layout_hash(segment.raw_text):
        return "has a damaged description; remove it"
    if not 0 <= int(header["capacity"]) * int(header["record_size"]) <= len(segment.payload):
        return "has a damaged header; remove it"
    if text is not None and header["layout"] != layout_hash(text):
        return "has records of another layout than this program's; restart the pipeline"
    return ""


def look(name: str) -> Segment:
    """Map a segment, read-only, whatever it holds: ask fault() before believing it."""
    try:
        file = os.open(place(name), os.O_RDONLY | PLAINLY)
    except OSError as failure:
        raise SegmentError(f"segment {name}: {failure.strerror}") from None
    try:
        return Segment(name, file, writable=False)
    except (OSError, ValueError) as failure:  # a pipe, a folder
        os.close(file)
        raise SegmentError(f"segment {name}: is no plain file ({failure})") from None


__all__ = [
    "FOLDER",
    "LOCKS",
    "NAME",
    "OWNER",
    "PREFIX",
    "READER",
    "WRITER",
    "Segment",
    "SegmentError",
    "SegmentExists",
    "alive",
    "attach",
    "create",
    "fault",
    "full_name",
    "look",
    "names",
    "remove_dead_drafts",
    "roles_held",
    "unlink",
]
