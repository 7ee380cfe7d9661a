"""Segments as files: their names and folders, how one appears whole, and who has locked it.

A file is filled under a draft's name, every page of it backed, and then linked to its own. Locks
are on open file descriptions: the kernel drops them when the process dies, however it dies.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
from pathlib import Path

import posix_ipc

from ringbuf import pages
from ringbuf.host import start_time

PREFIX = "corelane"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
LOCKS = 64  # bytes of a file that can be locked, one for each role
PLAINLY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no links; a pipe must not make us wait


class SegmentError(RuntimeError):
    """A segment that cannot be made or must not be used; the message says why and what to do."""


class SegmentExists(SegmentError):
    """The name is taken."""


def full_name(pipeline: str, part: str) -> str:
    """The name of a pipeline's segment, as it stands in /dev/shm."""
    return f"{PREFIX}.{pipeline}.{part}"


def lock(kind: int, start: int, length: int) -> bytes:
    """What fcntl(2) takes to lock, free or ask for some bytes of a file."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def find(name: str) -> Path | None:
    """The file of a segment, in the first folder that has it."""
    for folder in pages.folders():
        path = folder / name
        if os.path.lexists(path):
            return path
    return None


def place(name: str) -> Path:
    """Where a segment's file is, or would be."""
    return find(name) or pages.SHARED / name


def roles_held(name: str) -> list[int]:
    """The roles on a segment that living processes have, in order."""
    try:
        file = os.open(place(name), os.O_RDONLY | PLAINLY)
    except OSError:
        return []
    try:
        return [role for role in range(LOCKS) if _locked(file, role, 1)]
    finally:
        os.close(file)


def alive(name: str) -> bool:
    """True while a living process holds a role on the segment."""
    try:
        file = os.open(place(name), os.O_RDONLY | PLAINLY)
    except OSError:
        return False
    try:
        return _locked(file, 0, LOCKS)
    finally:
        os.close(file)


def _locked(file: int, start: int, length: int) -> bool:
    """Whether another has a lock within these bytes."""
    found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, lock(fcntl.F_WRLCK, start, length))
    return struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK


def names(pipeline: str = "") -> list[str]:
    """The segments that exist, of one pipeline or of all."""
    start = f"{PREFIX}.{pipeline}." if pipeline else f"{PREFIX}."
    found = {path.name for folder in pages.folders() for path in folder.iterdir()}
    return sorted(name for name in found if name.startswith(start))


def unlink(name: str) -> None:
    """Remove a segment's name; processes that have it mapped keep their memory."""
    for folder in pages.folders():
        try:
            os.unlink(folder / name)
        except FileNotFoundError:
            continue
        except OSError as failure:  # a folder, or another user's
            raise SegmentError(
                f"segment {name}: cannot be removed ({failure.strerror}); look at {folder / name}"
            ) from None


def remove_dead_drafts() -> int:
    """Remove half-made segments whose maker has died; how many there were."""
    removed = 0
    for folder in pages.folders():
        for path in folder.glob(f"{PREFIX}-draft.*"):
            _, pid, since, *_ = [*path.name.split("."), "", ""]
            if not (pid.isdigit() and since == str(start_time(int(pid)))):
                with contextlib.suppress(OSError):  # gone already, or another user's
                    path.unlink()
                    removed += 1
    return removed


def draft(name: str, part: str, size: int) -> tuple[Path, int, list[str]]:
    """A file of a name that nobody looks for, all of it backed, and why it is on no hugetlbfs."""
    made = f"{PREFIX}-draft.{os.getpid()}.{start_time(os.getpid())}.{part}"
    reasons = []
    if pages.asked():
        reasons = [pages.no_mount()]
        for folder in pages.huge_folders():
            try:
                return folder / made, _backed(folder / made, size, pages.HUGE), []
            except OSError as failure:
                reasons.append(pages.refusal(folder, size, failure))
    page = pages.HUGE if reasons and pages.may_be_transparent() else pages.SMALL
    try:
        return pages.SHARED / made, _backed(pages.SHARED / made, size, page), reasons
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.ENOMEM):
            raise
        room = os.statvfs(pages.SHARED)
        raise SegmentError(
            f"segment {name}: {pages.round_up(size, page):,} bytes do not fit, {pages.SHARED} has "
            f"{room.f_bavail * room.f_frsize:,} free; make rings or books smaller in the "
            "configuration, or the file system larger (mount -o remount,size=…)"
        ) from None


def _backed(path: Path, size: int, page: int) -> int:
    """A new private file of whole pages, every one backed now, while an error can be reported."""
    path.unlink(missing_ok=True)
    if path.parent == Path("/dev/shm"):  # noqa: S108
        file = posix_ipc.SharedMemory(f"/{path.name}", posix_ipc.O_CREX, mode=0o600).fd
    else:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
        os.posix_fallocate(file, 0, pages.round_up(size, page))
    except BaseException:
        os.close(file)
        path.unlink()
        raise
    return file


def link(draft: Path, name: str) -> None:
    """Give a segment its name, unless one of that name is in any of the folders."""
    folder = os.open(pages.SHARED, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # one at a time: two could link in two folders
        if find(name) is None:
            os.link(draft, draft.parent / name)
            return
    finally:
        os.close(folder)
    raise SegmentExists(f"segment {name}: exists already")
