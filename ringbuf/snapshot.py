"""Snapshots: the state of stages as of one record, in a file that is whole or is not used.

A block is a piece of memory by name. Pages of it that are zero are not kept: most of a book that
has room for a million orders is. What a snapshot was made for, its `shape`, is a text: the state
of another one is of no use. `positions` say how far each ring had got; the first gives the name.

A file gets its name once all of it is on the disk. So the newest one is whole, unless the disk
itself has failed; then the one before is used.
"""

import base64
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringbuf.chain import ROOT
from ringbuf.durable import make_folder, start_writing, sync_folder, write_all
from ringbuf.snapshot_files import (
    DRAFT,
    HEADER,
    MAGIC,
    PAGE,
    SLICE,
    VERSION,
    SnapshotError,
    SnapshotGone,
    damaged,
    digest_of,
    fill,
    head_sum,
    name_of,
    open_file,
    paths,
    refusal,
)

LOOKS = 10  # at a folder whose files go while we read them


class Listed(NamedTuple):
    """A snapshot in a folder. fault: why it cannot be used; empty where nothing is wrong."""

    path: Path
    positions: dict[str, int]
    size: int  # bytes
    created_ns: int  # wall clock
    shape: str
    fault: str


class Block(NamedTuple):
    """What a snapshot has of a piece of memory."""

    size: int  # bytes it had
    kept: np.ndarray  # numbers of the pages that are not zero, in order
    place: int  # of the first of them in the file, bytes
    checksum: int


def no_pause() -> None:
    """Go on at once."""


def save(
    folder: Path,
    positions: Mapping[str, int],
    shape: str,
    blocks: Mapping[str, np.ndarray],
    pause: Callable[[], None] = no_pause,
) -> Path:
    """Write a snapshot, named by the first of its positions, durably.

    blocks: bytes by name, shape (size,), which must stay as they are meanwhile. pause: called
    between slices, so that others get at the disk. After a SnapshotError nothing has changed.
    """
    path = Path(folder) / name_of(positions)
    described = {"positions": dict(positions), "shape": shape, "created_ns": time.time_ns()}
    draft = path.with_name(DRAFT)
    try:
        make_folder(path.parent)
        with _alone(path.parent):
            try:
                _write(draft, described, blocks, pause)
                draft.replace(path)
                sync_folder(path.parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
                raise
    except OSError as failure:
        raise refusal(path, failure) from None
    return path


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that saves here."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotError(
                f"snapshots {folder}: another process is saving here; stop it first"
            ) from None
        yield
    finally:
        os.close(file)


def _write(draft: Path, described: dict, blocks: Mapping[str, np.ndarray], pause) -> None:
    """Fill a file, durably; what one that was killed has left of it goes first."""
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(draft, flags, 0o600)
    try:
        os.lseek(file, PAGE, os.SEEK_SET)
        table = [_write_block(file, name, block, pause) for name, block in blocks.items()]
        text = json.dumps({**described, "blocks": table}).encode()
        head = np.zeros(1, HEADER)
        head["magic"], head["version"] = MAGIC, VERSION
        head["text_at"] = os.lseek(file, 0, os.SEEK_CUR)
        head["checksum"] = head_sum(head.tobytes().ljust(PAGE, b"\0"), text)
        write_all(file, text)
        os.lseek(file, 0, os.SEEK_SET)
        write_all(file, head.tobytes().ljust(PAGE, b"\0"))
        os.fsync(file)
    finally:
        os.close(file)


def _write_block(file: int, name: str, block: np.ndarray, pause) -> dict:
    """Write the pages of a block that are not zero; what the description says of it."""
    assert _is_plain(block), name
    whole = block[: len(block) // PAGE * PAGE].reshape(-1, PAGE)
    rest = block[whole.size :]
    kept = np.flatnonzero(np.append(whole.view(np.int64).any(axis=1), rest.any()))
    buffer, total = np.empty((SLICE, PAGE), np.uint8), ROOT
    for start in range(0, len(kept), SLICE):
        places = kept[start : start + SLICE]
        pages, full = buffer[: len(places)], places[places < len(whole)]
        np.take(whole, full, axis=0, out=pages[: len(full)], mode="clip")
        if len(full) < len(places):
            pages[-1] = 0
            pages[-1, : len(rest)] = rest
        total = digest_of(pages, total)
        write_all(file, pages.reshape(-1).data)
        start_writing(file, os.lseek(file, 0, os.SEEK_CUR) - pages.size, pages.size)
        pause()
    used = np.zeros(_pages(len(block)), bool)
    used[kept] = True
    bits = base64.b64encode(np.packbits(used).tobytes()).decode()
    return {"name": name, "size": len(block), "used": bits, "checksum": total}


def _is_plain(block: np.ndarray) -> bool:
    return block.dtype == np.uint8 and block.ndim == 1 and block.flags.c_contiguous


def _pages(size: int) -> int:
    """How many pages some bytes take."""
    return -(-size // PAGE)


class Snapshot:
    """A whole snapshot, open: it can be loaded from even when its file is removed meanwhile.

    `positions` and `shape` are as they were saved. SnapshotError where the file must not be used:
    it is damaged, or made for another shape than the one given. check: look at all blocks now; who
    is in a hurry leaves that to load(), which looks at each.
    """

    file = -1

    def __init__(
        self,
        path: Path,
        shape: str | None = None,
        pause: Callable[[], None] = no_pause,
        check: bool = True,
    ) -> None:
        self.path = path
        self.file, self.bytes, described = open_file(path)
        self.positions: dict[str, int] = described["positions"]
        self.shape: str = described["shape"]
        if shape not in (None, self.shape):
            raise SnapshotError(
                f"snapshot {path}: was made for other limits, options or layouts than these; "
                "remove it, or go back to what it was made for"
            )
        self.blocks: dict[str, Block] = {}
        place = PAGE
        for entry in described["blocks"]:
            bits = np.frombuffer(base64.b64decode(entry["used"]), np.uint8)
            kept = np.flatnonzero(np.unpackbits(bits, count=_pages(entry["size"])))
            self.blocks[entry["name"]] = Block(entry["size"], kept, place, entry["checksum"])
            place += len(kept) * PAGE
        for block in self.blocks.values() if check else ():
            for _ in self._slices(block):
                pause()

    @property
    def names(self) -> list[str]:
        """The blocks that it has."""
        return list(self.blocks)

    def size_of(self, name: str) -> int:
        """How many bytes a block had."""
        return self._block(name).size

    def load(self, name: str, into: np.ndarray) -> None:
        """Put a block back into zeroed bytes of the very size it had.

        SnapshotError where the file can no longer be read; what is in `into` is of no use then.
        """
        block = self._block(name)
        assert _is_plain(into), name
        if block.size != len(into):
            raise SnapshotError(
                f"snapshot {self.path}: block {name!r} has {block.size} bytes, {len(into)} are "
                "wanted; remove it"
            )
        whole = into[: block.size // PAGE * PAGE].reshape(-1, PAGE)
        rest = into[whole.size :]
        for places, pages in self._slices(block, whole):
            full = places[places < len(whole)]
            whole[full] = pages[: len(full)]
            if len(full) < len(places):
                rest[:] = pages[-1, : len(rest)]

    def _block(self, name: str) -> Block:
        if name not in self.blocks:
            raise SnapshotError(f"snapshot {self.path}: has no block {name!r}; remove it")
        return self.blocks[name]

    def _slices(
        self, block: Block, whole: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The kept pages of a block with their numbers; SnapshotError at the end, if damaged.

        whole: where they are to go, shape (pages, PAGE). Those that lie there in one piece are read
        to their places at once, and come without numbers.
        """
        buffer, total = np.empty((SLICE, PAGE), np.uint8), ROOT
        for start in range(0, len(block.kept), SLICE):
            places = block.kept[start : start + SLICE]
            pages, first, last = buffer[: len(places)], int(places[0]), int(places[-1])
            if whole is not None and last < len(whole) and last - first < len(places):
                pages, places = whole[first : last + 1], places[:0]
            fill(self.file, self.path, pages.reshape(-1), block.place + start * PAGE)
            total = digest_of(pages, total)
            yield places, pages
        if total != block.checksum:
            raise damaged(self.path)

    def close(self) -> None:
        """Let go of the file."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def __del__(self) -> None:
        self.close()


def newest(
    folder: Path, shape: str, most: int | None = None, check: bool = True
) -> tuple[Snapshot | None, list[str]]:
    """The newest whole snapshot of a shape, and why newer ones were passed over.

    most: the largest first position that will do; check: as for a Snapshot. SnapshotError where
    the folder cannot be read.
    """
    passed: list[str] = []
    for _ in range(LOOKS):
        passed.clear()
        for path in reversed(paths(folder)):
            if most is not None and int(path.stem) > most:
                continue
            try:
                return Snapshot(path, shape, check=check), passed
            except SnapshotGone:
                break  # then there are newer ones
            except SnapshotError as error:
                passed.append(str(error))
        else:
            break
    return None, passed


def listed(folder: Path) -> list[Listed]:
    """The snapshots in a folder, the oldest first; only their descriptions are checked."""
    found = []
    for path in paths(folder):
        try:
            file, size, described = open_file(path)
        except SnapshotGone:
            continue
        except SnapshotError as error:
            size = path.lstat().st_size if os.path.lexists(path) else 0
            found.append(Listed(path, {}, size, 0, "", str(error)))
            continue
        os.close(file)
        positions, created, shape = (described[key] for key in ("positions", "created_ns", "shape"))
        found.append(Listed(path, positions, size, created, shape, ""))
    return found


def prune(
    folder: Path, keep: int, shape: str | None = None, pause: Callable[[], None] = no_pause
) -> int:
    """Remove all that are older than the newest `keep` whole ones; how many went.

    shape: those of another one do not count as whole. Those that are damaged go when they are old.
    """
    assert keep > 0
    gone = 0
    for path in reversed(paths(folder)):
        try:
            if keep:
                Snapshot(path, shape, pause).close()
                keep -= 1
            else:
                path.unlink(missing_ok=True)
                gone += 1
        except SnapshotError:
            continue
        except OSError as failure:
            raise refusal(path, failure) from None
    return gone
