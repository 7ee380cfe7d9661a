"""A journal as files: their names, what stands at their start, how one appears whole.

    folder/00000000000000000001.log     segments, by the sequence of their first record
    folder/00000000000001048513.log
    folder/spare.tmp                    the next one, zeroed and on the disk already

    +--------+-------------+------+---------+--------------------------------------
    | HEADER | layout text | MARK | (zeros) | records[capacity], zeros behind the last
    +--------+-------------+------+---------+--------------------------------------
      0        512           3584             4096

The text is packed where it is too long for its place (version PACKED).

The MARK says how far a segment was on the disk when somebody last looked: what is missing before
it was damaged, what is missing behind it was torn off by a crash.
"""

import contextlib
import errno
import hashlib
import os
import threading
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf.record import layout_hash, layout_text, record

Layouts = dict[str, tuple[int, np.dtype]]
MAGIC = 0x4C414E52554F4A43  # "CJOURNAL" in the file
VERSION, PACKED = 1, 2
TEXT, MARK_AT, RECORDS = 512, 3584, 4096  # bytes from the start of a segment
SUFFIX = ".log"
DIGITS = 20  # of the sequence in a name
SPARE = "spare.tmp"
CHUNK = 1 << 20  # bytes written or looked at in one go
ZEROS = bytes(CHUNK)

HEADER = record(
    [
        ("magic", "i8"),
        ("version", "i4"),
        ("text_length", "i4"),
        ("first", "i8"),  # sequence of the first record
        ("chain", "i8"),  # the chain value before it
        ("capacity", "i8"),  # records
        ("record_size", "i8"),  # bytes
        ("layout", "i8"),  # hash of the text
        ("created_ns", "i8"),  # wall clock
        ("ring", "S32"),
        ("owner", "S64"),
        ("checksum", "i8"),  # of the header, this field zero, and the text
    ]
)
MARK = record([("sequence", "i8"), ("checksum", "i8")])
assert HEADER.itemsize <= TEXT


class JournalError(RuntimeError):
    """A journal that cannot be written or must not be believed: what, where, how to mend it."""


class JournalFull(JournalError):
    """There is no room. Nothing was counted as written; try again when some has been made."""


class HeadDamaged(JournalError):
    """What stands at the start of a segment is not whole."""


_FULL = {
    errno.ENOSPC: "free some space; what was written before is whole",
    errno.EDQUOT: "raise the quota or free some space; what was written before is whole",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f); what was written before is whole",
}
_MENDS = {
    errno.EACCES: "give this user the right to write there, or choose another path",
    errno.EPERM: "give this user the right to write there, or choose another path",
    errno.EROFS: "the file system is read-only: choose another path",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EEXIST: "a file is in the way: move it or choose another path",
    errno.ENOENT: "is a journal kept there? look at the path",
}


def refusal(path: Path, failure: OSError) -> JournalError:
    """The user's words for an error of the operating system."""
    number = failure.errno or 0
    what = f"journal {path}: {failure.strerror or failure}"
    if number in _FULL:
        return JournalFull(f"{what}; {_FULL[number]}")
    return JournalError(
        f"{what}; {_MENDS.get(number, 'look at the disk (dmesg), then start again')}"
    )


class Head(NamedTuple):
    """What a segment says of itself."""

    first: int
    chain: int
    capacity: int
    size: int  # bytes of a record
    text: str
    ring: str
    owner: str
    created_ns: int

    @property
    def end(self) -> int:
        """The first sequence behind it."""
        return self.first + self.capacity


def path_of(folder: Path, first: int) -> Path:
    """The file of the segment that starts with a sequence."""
    return folder / f"{first:0{DIGITS}d}{SUFFIX}"


def listed(folder: Path) -> list[int]:
    """The first sequence of every segment in a folder, in order."""
    try:
        names = os.listdir(folder)
    except OSError as failure:
        raise refusal(folder, failure) from None
    stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    return sorted(int(stem) for stem in stems if len(stem) == DIGITS and stem.isdigit())


def place(head: Head, sequence: int) -> int:
    """Where a record lies in its segment, in bytes."""
    return RECORDS + (sequence - head.first) * head.size


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def head_bytes(head: Head) -> bytes:
    """The start of a segment, RECORDS bytes, its mark not set."""
    text, version = head.text.encode(), VERSION
    if TEXT + len(text) > MARK_AT:
        text, version = zlib.compress(text, 9), PACKED
    assert TEXT + len(text) <= MARK_AT, f"layouts of {len(text)} bytes"
    line = np.zeros(1, HEADER)
    line["magic"], line["version"], line["text_length"] = MAGIC, version, len(text)
    line["first"], line["chain"], line["capacity"] = head.first, head.chain, head.capacity
    line["record_size"], line["layout"] = head.size, layout_hash(head.text)
    line["created_ns"], line["ring"] = head.created_ns, head.ring.encode()
    line["owner"] = head.owner.encode()
    line["checksum"] = _digest(line.tobytes() + text)
    return line.tobytes().ljust(TEXT, b"\0") + text.ljust(RECORDS - TEXT, b"\0")


def read_head(path: Path, content: bytes) -> Head:
    """What the start of a segment says; JournalError where it is not whole."""
    damaged = f"journal {path}: its header is damaged; put a copy of the file in its place"
    if len(content) < RECORDS:
        raise HeadDamaged(damaged)
    line = np.frombuffer(content, HEADER, 1).copy()
    if line["magic"][0] != MAGIC:
        raise HeadDamaged(damaged)
    version = int(line["version"][0])
    if version not in (VERSION, PACKED):
        raise JournalError(
            f"journal {path}: has format version {version}, this program reads {VERSION} and "
            f"{PACKED}; read it with the program that wrote it"
        )
    length, checksum = int(line["text_length"][0]), int(line["checksum"][0])
    text = content[TEXT : TEXT + max(length, 0)]
    line["checksum"] = 0
    if not 0 <= length <= MARK_AT - TEXT or checksum != _digest(line.tobytes() + text):
        raise HeadDamaged(damaged)
    if version == PACKED:
        text = zlib.decompress(text)
    first, chain, capacity, size, created_ns = (
        int(line[name][0]) for name in ("first", "chain", "capacity", "record_size", "created_ns")
    )
    ring, owner = (line[name][0].decode(errors="replace") for name in ("ring", "owner"))
    return Head(first, chain, capacity, size, text.decode(), ring, owner, created_ns)


def mark_bytes(sequence: int) -> bytes:
    """A MARK; all its bytes lie in one sector of the disk."""
    return np.array([(sequence, _digest(sequence.to_bytes(8, "little")))], MARK).tobytes()


def read_mark(content: bytes) -> int:
    """The sequence up to which a segment is known to be on the disk, 0 where nothing is known."""
    sequence = int(np.frombuffer(content, MARK, 1, MARK_AT)["sequence"][0])
    whole = content[MARK_AT : MARK_AT + MARK.itemsize] == mark_bytes(max(sequence, 0))
    return sequence if whole else 0


def damage(path: Path, head: Head, sequence: int) -> JournalError:
    """A record was whole once, and is not any more."""
    return JournalError(
        f"journal {path}: record {sequence}, at byte {place(head, sequence)}, is damaged; put a "
        "copy of the file in its place"
    )


def misnamed(path: Path, head: Head) -> JournalError:
    """A segment does not start with the record that its name says."""
    return JournalError(
        f"journal {path}: starts with record {head.first}; give it the name "
        f"{path_of(path.parent, head.first).name}, if it belongs here"
    )


def gap(folder: Path, end: int, first: int) -> JournalError:
    """Files do not follow one another: `end` should come, `first` does."""
    return JournalError(
        f"journal {folder}: {path_of(folder, end).name} with the records {end} to {first - 1} is "
        "missing or was cut short; put a copy of it in its place"
    )


def start_of(path: Path) -> bytes:
    """What stands before the records of a segment."""
    with path.open("rb") as file:
        return file.read(RECORDS)


def is_empty(path: Path) -> bool:
    """Whether a segment has nothing but zeros where records would be."""
    with path.open("rb") as file:
        file.seek(RECORDS)
        while content := file.read(CHUNK):
            if content.strip(b"\0"):
                return False
    return True


def make_folder(folder: Path) -> int:
    """The folder's descriptor; it is made where it does not exist, durably."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in missing:
            sync_folder(path.parent)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as failure:
        raise refusal(folder, failure) from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, content: bytes | memoryview, at: int) -> None:
    """Write every byte, or raise OSError."""
    done = os.pwrite(file, content, at)
    while done < len(content):  # cut short by a signal, or by a disk that is nearly full
        done += os.pwrite(file, content[done:], at + done)


def remove(folder: Path, folder_file: int, first: int) -> None:
    """Remove a segment, durably."""
    path_of(folder, first).unlink()
    os.fsync(folder_file)


def make_spare(path: Path, length: int) -> None:
    """A file of zeros, on the disk already, that is to become a segment.

    Written and not only allocated: a commit into it then changes nothing but its data, which
    halves the time that it takes.
    """
    file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, length)
        for at in range(0, length, CHUNK):
            write_all(file, memoryview(ZEROS)[: length - at], at)
        os.fsync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def write_again(file: int, start: int, end: int) -> None:
    """Have the system write some bytes again that it has and the disk may not.

    Where a sync has failed it may have dropped them from what it still has to write.
    """
    while start < end:
        content = os.pread(file, min(CHUNK, end - start), start)
        write_all(file, content, start)
        start += len(content)


def wipe(file: int, start: int, end: int) -> None:
    """Make the bytes from start to end zeros, as far as they are not; the file ends there."""
    for at in range(start, end, CHUNK):
        length = min(CHUNK, end - at)
        if os.pread(file, length, at) != ZEROS[:length]:
            write_all(file, memoryview(ZEROS)[:length], at)
    if os.fstat(file).st_size != end:
        os.ftruncate(file, end)


def new_head(layouts: Layouts, ring: str, owner: str, segment_bytes: int) -> Head:
    """The head of a journal's segments, but for where they start."""
    (size,) = {dtype.itemsize for _, dtype in layouts.values()}
    assert size % 64 == 0, size
    capacity = (segment_bytes - RECORDS) // size
    if capacity < 1:
        raise JournalError(
            f"journal of ring {ring}: segments of {segment_bytes} bytes hold no record; make them "
            f"{RECORDS + size} bytes or larger"
        )
    return Head(0, 0, capacity, size, layout_text(layouts), ring, owner, time.time_ns())


class Spare:
    """The segment that comes next, made ready meanwhile by a thread of its own."""

    def __init__(self, folder: Path, length: int) -> None:
        self.path, self.length = folder / SPARE, length
        self.thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to make it."""
        if self.thread is None and not self.path.exists():
            self.thread = threading.Thread(target=self._try, name="spare", daemon=True)
            self.thread.start()

    def _try(self) -> None:
        with contextlib.suppress(OSError):  # wait() tries again, and says what is wrong
            make_spare(self.path, self.length)

    def wait(self) -> None:
        """Have it; OSError where it cannot be made."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if not self.path.exists():
            make_spare(self.path, self.length)

    def discard(self) -> None:
        """Make no more of it."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
