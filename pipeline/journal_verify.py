"""Whether journals and snapshots still say what was written: `corelane journal verify`."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from pipeline import console, past
from pipeline.journals import check_ring, ring_names
from ringbuf import journal_files as files
from ringbuf import snapshot
from ringbuf.chain import ROOT, verify
from ringbuf.journal import JournalError, JournalReader
from ringbuf.journal_files import Head, path_of, place
from ringbuf.record import LINE, from_description
from ringbuf.snapshot import Snapshot, SnapshotError
from workers.archive import digest
from workers.book import Book
from workers.risk import Risk
from workers.snapshots import FOLDER as SNAPSHOTS

STEP = 1 << 18  # bytes read and checked in one go: they stay in the core's cache
PATIENCE_S = 2.0  # for a log that is being written to reach what has been answered already
ASKED = {Book.WRITES[0]: Book.READS[0], Risk.WRITES[0]: Risk.READS[0]}  # what a ring answers


@dataclass
class Checked:
    """What was found of one ring."""

    ring: str
    first: int = 0
    last: int = 0  # the last record that holds
    chain: int = ROOT
    segments: int = 0
    bytes: int = 0  # of records
    seconds: float = 0.0
    cause: int = 0  # the last one that was answered
    torn: int = 0  # bytes behind the last record that are none
    note: str = ""
    damage: str = ""  # what, where, how to mend

    @property
    def verdict(self) -> str:
        """What holds, in words."""
        if self.damage:
            return "damaged" if self.last < self.first else f"whole up to {self.last:,}"
        return "whole" if self.last >= self.first else "empty"


def check(folder: Path, ring: str) -> Checked:
    """Check every record of a ring's journal, up to the first damage."""
    verify(0, LINE, 1, 0, ROOT)  # compiled before it is timed
    found, began = Checked(ring), time.monotonic()
    try:
        _walk(folder / ring, found)
        if ring in ASKED and found.cause and (folder / ASKED[ring]).is_dir():
            _check_end(folder / ASKED[ring], found)
    except JournalError as error:
        found.damage = str(error)
    except OSError as failure:
        found.damage = str(files.refusal(folder / ring, failure))
    found.seconds = time.monotonic() - began
    return found


def _walk(folder: Path, found: Checked) -> None:
    """From segment to segment, each checked against the one before."""
    before: Head | None = None
    while True:
        first, before = _next(folder, before)
        if not first:
            return
        try:
            file = os.open(path_of(folder, first), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # the oldest go while we look
            before = None
            continue
        try:
            head = _head(folder, first, file, before, found)
            if head is None:
                return
            if before is None:
                found.first, found.last, found.chain = first, first - 1, head.chain
                found.segments = found.bytes = 0
            found.segments += 1
            _records(folder, file, head, found)
        finally:
            os.close(file)
        if found.last + 1 < head.end:
            return
        before = head


def _next(folder: Path, before: Head | None) -> tuple[int, Head | None]:
    """The first record of the segment behind another, and that one; 0 where it is the last.

    Where both are removed meanwhile the walk begins anew with the oldest that is left.
    """
    firsts = files.listed(folder)
    if not firsts:
        raise JournalError(f"journal {folder}: has no segments; is this the right folder?")
    if before is None or firsts[0] > before.end:
        return firsts[0], None
    later = [first for first in firsts if first > before.first]
    if later and later[0] != before.end:
        raise files.gap(folder, before.end, later[0])
    return (later[0] if later else 0), before


def _head(folder: Path, first: int, file: int, before: Head | None, found: Checked) -> Head | None:
    """What a segment says of itself, if it follows the one before; None: it never was begun."""
    path = path_of(folder, first)
    content = os.pread(file, files.RECORDS, 0)
    try:
        head = files.read_head(path, content)
    except files.HeadDamaged:
        if before is None or files.listed(folder)[-1] != first or not files.is_empty(path):
            raise
        found.note = f"{path.name} was being made in a crash; the next start removes it"
        return None
    wrong = ""
    if head.first != first:
        wrong = f"starts with record {head.first}"
    elif head.ring != folder.name:
        wrong = f"is that of ring {head.ring!r}"
    elif before is not None and head.text != before.text:
        wrong = "has records of another layout than the one before"
    elif head.chain != (found.chain if before is not None else head.chain):
        wrong = f"does not follow record {found.last}: it, or the file before, is of another log"
    elif first == 1 and head.chain != ROOT:
        wrong = "does not begin as every log does"
    if wrong:
        raise JournalError(f"journal {path}: {wrong}; put a copy of the file in its place")
    return head


def _records(folder: Path, file: int, head: Head, found: Checked) -> None:
    """Check the records of a segment; stops where the log ends."""
    path = path_of(folder, head.first)
    buffer = np.zeros(STEP // head.size * head.size, np.uint8)
    dtype = from_description(next(iter(json.loads(head.text).values())))
    sequence, chain, tries = head.first, head.chain, 0
    while sequence < head.end:
        want = min(len(buffer), (head.end - sequence) * head.size)
        have = os.preadv(file, [buffer[:want].data], place(head, sequence)) // head.size
        count, chain = verify(buffer.ctypes.data, head.size, sequence, have, chain)
        records = buffer[: int(count) * head.size].view(dtype)
        if "cause" in (dtype.names or ()):
            _check_order(path, head, sequence, records["cause"], found)
        sequence += int(count)
        found.last, found.chain = sequence - 1, int(chain)
        found.bytes += records.nbytes
        if count * head.size < want:
            # One that is being written is looked at again: it may have been filled meanwhile.
            tries = 0 if count else tries + 1
            if files.listed(folder)[-1] == head.first:
                _check_tail(path, file, head, found)
                return
            if tries > 1:
                raise files.damage(path, head, sequence)


def _check_order(path: Path, head: Head, first: int, causes: np.ndarray, found: Checked) -> None:
    """Answers come in the order of what they answer."""
    if not len(causes):
        return
    back = np.flatnonzero(np.diff(causes, prepend=found.cause) < 0)
    if len(back):
        sequence, number = first + int(back[0]), int(causes[back[0]])
        found.last = sequence - 1
        raise JournalError(
            f"journal {path}: record {sequence}, at byte {place(head, sequence)}, answers "
            f"{number}, but one before it answers a later one. It lies there as it was written: "
            "keep the folder, replay it (corelane replay), and tell those who made this program"
        )
    found.cause = int(causes[-1])


def _check_tail(path: Path, file: int, head: Head, found: Checked) -> None:
    """What stands behind the last whole record was torn off, unless it had been on the disk."""
    if found.last < files.read_mark(os.pread(file, files.RECORDS, 0)):
        raise files.damage(path, head, found.last + 1)
    rest = 0
    at, end = place(head, found.last + 1), os.fstat(file).st_size
    while at < end:
        content = os.pread(file, min(files.CHUNK, end - at), at)
        if not content:
            break
        used = len(content.rstrip(b"\0"))
        rest = at + used - place(head, found.last + 1) if used else rest
        at += len(content)
    found.torn = rest


def _check_end(folder: Path, found: Checked) -> None:
    """Nothing may be answered that is not in the log, but for what a crash has left."""
    until = time.monotonic() + PATIENCE_S
    with closing(JournalReader(folder)) as log:
        while found.cause > log.last:
            if time.monotonic() > until:
                found.note = (
                    f"answers records of {folder.name} up to {found.cause:,}, which ends at "
                    f"{log.last:,}: lost in a power cut; the next start gives the answers anew"
                )
                return
            time.sleep(0.05)


def check_snapshots(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Name and size of each snapshot, and what is wrong with it."""
    for item in snapshot.listed(folder / SNAPSHOTS):
        fault = item.fault
        try:
            if not fault:
                Snapshot(item.path)
        except SnapshotError as error:
            fault = str(error)
        if item.path.exists():  # else a newer one has taken its place meanwhile
            yield item.path.name, item.size, fault


def verify_all(folder: Path, ring: str | None) -> bool:
    """`corelane journal verify`: print what holds; False where something is damaged."""
    past.read_run(folder)
    rings = [check_ring(folder, ring)] if ring else ring_names(folder)
    made = console.table(
        "journals", "ring", ">first", ">last", ">segments", ">MB", ">GB/s", "digest", "holds",
    )  # fmt: skip
    checked = [check(folder, name) for name in rings]
    for each in checked:
        made.add_row(
            each.ring,
            f"{each.first:,}",
            f"{each.last:,}",
            f"{each.segments:,}",
            f"{each.bytes / 1e6:,.1f}",
            f"{each.bytes / 1e9 / max(each.seconds, 1e-9):.2f}",
            digest(each.chain),
            Text(each.verdict, style="red" if each.damage else "green"),
        )
    console.out.print(made)
    snapshots = [] if ring else list(check_snapshots(folder))
    if snapshots:
        shown = console.table("snapshots", "file", ">MB", "holds")
        for name, size, fault in snapshots:
            verdict = Text("damaged" if fault else "whole", style="red" if fault else "green")
            shown.add_row(name, f"{size / 1e6:,.1f}", verdict)
        console.out.print(shown)
    for each in checked:
        _say(each)
    for _, _, fault in snapshots:
        if fault:
            console.out.print(fault, style="red", markup=False, soft_wrap=True)
    return not any(each.damage for each in checked) and not any(fault for *_, fault in snapshots)


def _say(checked: Checked) -> None:
    """Print what else is to be said of a ring."""
    ring = checked.ring
    if checked.torn:
        console.out.print(
            f"{ring}: {checked.torn:,} bytes behind record {checked.last:,} are no whole record: "
            "torn in a crash, or just being written. Nothing to mend: the next start wipes them",
            soft_wrap=True,
        )
    if checked.note:
        console.out.print(f"{ring}: {checked.note}", markup=False, soft_wrap=True)
    if checked.damage:
        console.out.print(checked.damage, style="red", markup=False, soft_wrap=True)
        if checked.last >= checked.first:
            console.out.print(
                f"{ring}: records {checked.first:,} to {checked.last:,} hold, and can be exported "
                f"and replayed (--to {checked.last})",
                soft_wrap=True,
            )
