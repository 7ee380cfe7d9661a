"""Segments as files: their names and folders, how one appears whole, and who has locked it.

A file is filled under a draft's name, every page of it backed, and then linked to its own. Locks
are on open file descriptions: the kernel drops them when the process dies, however it dies.

Segments that are made *aside* have no name in the system: only the process that made them finds
them, and nothing of them is left, whatever becomes of it.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import posix_ipc

from ringbuf import pages
from ringbuf.host import start_time

PREFIX = "corelane"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
LOCKS = 64  # bytes of a file that can be locked, one for each role
PLAINLY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no links; a pipe must not make us wait


_aside: ContextVar[dict[str, int] | None] = ContextVar("aside", default=None)


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


@contextmanager
def aside() -> Iterator[None]:
    """Have the segments that are made meanwhile be found by this process only, and only here."""
    made: dict[str, int] = {}
    token = _aside.set(made)
    try:
        yield
    finally:
        _aside.reset(token)
        for file in made.values():
            os.close(file)


def is_aside() -> bool:
    """Whether segments are made aside now."""
    return _aside.get() is not None


def nameless(name: str, size: int) -> int:
    """A file of no name, of zeros; within aside() it is found by the name given here.

    It gets its memory page by page, like everything that is a process's own.
    """
    made = _aside.get()
    assert made is not None
    assert name not in made, name
    file = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        os.ftruncate(file, size)
        os.fchmod(file, 0o600)
        made[name] = os.dup(file)
    except BaseException:
        os.close(file)
        raise
    return file


def reopen(name: str, flags: int) -> int:
    """Open a segment's file."""
    made = _aside.get()
    if made and name in made:
        return os.open(f"/proc/self/fd/{made[name]}", flags & ~os.O_NOFOLLOW)
    return os.open(place(name), flags)


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
            raise refusal(name, failure) from None
        room = os.statvfs(pages.SHARED)
        raise SegmentError(
            f"segment {name}: {pages.round_up(size, page):,} bytes do not fit, {pages.SHARED} has "
            f"{room.f_bavail * room.f_frsize:,} free; make rings or books smaller in the "
            "configuration, or the file system larger (mount -o remount,size=…)"
        ) from None


def refusal(name: str, failure: OSError) -> SegmentError:
    """The user's words for a file that cannot be made."""
    return SegmentError(
        f"segment {name}: cannot be made in {pages.SHARED} ({failure.strerror or failure}); look "
        "at its mount (findmnt /dev/shm) and at who may write there"
    )


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
    except OSError as failure:
        raise refusal(name, failure) from None
    finally:
        os.close(folder)
    raise SegmentExists(f"segment {name}: exists already")
