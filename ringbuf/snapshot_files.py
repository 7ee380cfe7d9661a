"""A snapshot as a file: what it is called, what stands where, and whether it can be believed.

    +--------+---------+----------------------------------------------+-------------------
    | HEADER | (zeros) | the blocks' pages that are not zero, in order | description, JSON
    +--------+---------+----------------------------------------------+-------------------
      0                  PAGE                                           text_at

The description says what the state was made for, how far each ring had got, which blocks there
are, which pages of each were kept, and their checksum. The header's checksum covers its page and
the description, so all is covered; that guards against accidents, not against forgery.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ringbuf.atomics import load_relaxed
from ringbuf.chain import fold
from ringbuf.durable import MENDS
from ringbuf.jit import kernel
from ringbuf.record import record

MAGIC = 0x50414E534C524F43  # "CORLSNAP" in the file
VERSION = 1
PAGE = 4096
SLICE = 512  # pages written, or read, in one go; a block's checksum goes from slice to slice
SUFFIX = ".snapshot"
DIGITS = 20  # of the position in a name
DRAFT = ".draft"  # what a file is called while it is written: one process at a time saves
LANES = 4
HEADER = record(
    [
        ("magic", "i8"),
        ("version", "i8"),
        ("text_at", "i8"),  # where the description starts, bytes; it goes to the file's end
        ("checksum", "i8"),  # of the first page, this field zero, and the description
    ]
)


class SnapshotError(RuntimeError):
    """A snapshot that cannot be written or must not be used: what, where, how to mend it."""


class SnapshotGone(SnapshotError):
    """It was removed meanwhile, as a newer one was saved."""


@kernel
def digest(address, words, before):
    """A checksum of words from an address on: in four lanes that do not wait for one another.

    words: a multiple of LANES; before: the checksum of what comes before. One-to-one in that
    and in each word.
    """
    first, second, third, fourth = 1, 2, 3, 4
    end = address + 8 * words
    while address < end:
        first, second = fold(first, load_relaxed(address)), fold(second, load_relaxed(address + 8))
        third = fold(third, load_relaxed(address + 16))
        fourth = fold(fourth, load_relaxed(address + 24))
        address += 8 * LANES
    return fold(fold(fold(fold(fold(before, first), second), third), fourth), words)


def digest_of(content: np.ndarray, before: int) -> int:
    """The checksum of some bytes, a multiple of 8 * LANES."""
    return int(digest(content.ctypes.data, content.nbytes // 8, before))


def head_sum(page: bytes, text: bytes) -> int:
    """The checksum of the first page, its own field zero, and the description."""
    sums = hashlib.blake2b(page, digest_size=8)
    sums.update(text)
    return int.from_bytes(sums.digest(), "little", signed=True)


def refusal(path: Path, failure: OSError) -> SnapshotError:
    """The user's words for an error of the operating system."""
    mend = MENDS.get(failure.errno or 0, "look at the disk (dmesg); the snapshots before are whole")
    return SnapshotError(f"snapshot {path}: {failure.strerror or failure}; {mend}")


def damaged(path: Path) -> SnapshotError:
    """It is not what was written."""
    return SnapshotError(f"snapshot {path}: is damaged or cut short; remove it")


def fill(file: int, path: Path, content: np.ndarray, place: int) -> None:
    """Read bytes from a place on, all that are wanted."""
    done = 0
    while done < len(content):
        try:
            count = os.preadv(file, [content[done:].data], place + done)
        except OSError as failure:
            raise refusal(path, failure) from None
        if not count:
            raise damaged(path)
        done += count


def open_file(path: Path) -> tuple[int, int, dict]:
    """Open a file: its descriptor, its size, and its description, which can be believed."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SnapshotGone(f"snapshot {path}: is not there") from None
    except OSError as failure:
        raise refusal(path, failure) from None
    try:
        return file, *_describe(file, path)
    except BaseException:
        os.close(file)
        raise


def _describe(file: int, path: Path) -> tuple[int, dict]:
    """The size of a file, and its description."""
    size, page = os.fstat(file).st_size, np.zeros(PAGE, np.uint8)
    fill(file, path, page, 0)
    head = page[: HEADER.itemsize].view(HEADER)[0]
    if head["magic"] != MAGIC:
        raise SnapshotError(f"snapshot {path}: is no snapshot; remove it")
    if head["version"] != VERSION:
        raise SnapshotError(
            f"snapshot {path}: has format version {head['version']}, this program reads {VERSION}; "
            "remove it, or read it with the program that wrote it"
        )
    start, checksum = int(head["text_at"]), int(head["checksum"])
    if not PAGE <= start <= size:
        raise damaged(path)
    text = np.zeros(size - start, np.uint8)
    fill(file, path, text, start)
    head["checksum"] = 0
    if head_sum(page.tobytes(), text.tobytes()) != checksum:
        raise damaged(path)
    described = json.loads(text.tobytes())
    name = name_of(described["positions"])
    if path.name != name:
        raise SnapshotError(f"snapshot {path}: is of another position; give it the name {name}")
    return size, described


def name_of(positions: Mapping[str, int]) -> str:
    """What a snapshot of these positions is called."""
    return f"{next(iter(positions.values())):0{DIGITS}d}{SUFFIX}"


def paths(folder: Path) -> list[Path]:
    """The snapshots in a folder, whatever is in them, the oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise refusal(folder, failure) from None
    stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    numbers = sorted(stem for stem in stems if len(stem) == DIGITS and stem.isdecimal())
    return [Path(folder) / f"{number}{SUFFIX}" for number in numbers]
