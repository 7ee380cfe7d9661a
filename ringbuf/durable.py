"""Files that are there whole or not at all, whatever dies meanwhile, and words for what goes wrong.

A file is filled under a name that nobody looks for, brought to the disk, and then given its own;
so is the name. OSError where that fails.
"""

import ctypes
import errno
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_SYNC_FILE_RANGE_WRITE = 2

# How a user mends an error of the operating system.
MENDS = {
    errno.ENOSPC: "free some space; what was stored before is whole",
    errno.EDQUOT: "raise the quota or free some space; what was stored before is whole",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f); what was stored before is whole",
    errno.EACCES: "give this user access to it, or choose another path",
    errno.EPERM: "give this user access to it, or choose another path",
    errno.EROFS: "the file system is read-only: choose another path",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EEXIST: "a file is in the way: move it or choose another path",
    errno.EISDIR: "a folder is in the way: choose another path",
}


def make_folder(folder: Path) -> None:
    """Make a folder for this user only, and those above it, durably, where they do not exist."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(temporary: Path, path: Path) -> None:
    """Give a written file its name, durably: after a crash it is there whole, or not at all."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put a small file in the place of another in one step."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    settle(temporary, path)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write every byte."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def start_writing(descriptor: int, place: int, length: int) -> None:
    """Have the kernel begin to bring some bytes of a file to the disk; nothing is waited for.

    Without, all of a large file goes at its fsync, and holds up whoever else needs the disk.
    """
    start, size = ctypes.c_int64(place), ctypes.c_int64(length)
    _LIBC.sync_file_range(descriptor, start, size, _SYNC_FILE_RANGE_WRITE)  # only a hint
