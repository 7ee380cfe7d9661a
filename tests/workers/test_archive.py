"""What leaves a journal for the archive: every byte of it, and nothing before it is there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.journal_files import RECORDS, path_of
from ringbuf.record import fields_of
from workers import archive
from workers.archive import Archivist, Stopped, leaving, restored, segment_of
from workers.records import BOOK_RING, EVENTS_RING, GREEKS, RISK_RING, TOP, Kept, empty
from workers.records import Book as Kind
from workers.sinks.sink import SinkError

RINGS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
IN_SEGMENT = 100  # records
BYTES = RECORDS + 64 * IN_SEGMENT


def answers(count: int, layouts=BOOK_RING) -> np.ndarray:
    """Records of every kind that a stage gives, all bytes in use that have a name."""
    noise = np.random.default_rng(7).integers(0, 256, (count, 64), np.uint8)
    records = empty(TOP, count)
    whole = records.view(np.uint8).reshape(count, 64)
    whole[:] = noise
    records["kind"] = np.resize([kind for kind, _ in layouts.values()], count)
    for kind, layout in layouts.values():
        named = np.zeros(64, bool)
        for format_, start in fields_of(layout).values():
            named[start : start + format_.itemsize] = True
        whole[np.ix_(records["kind"] == kind, ~named)] = 0
    return records


def made(folder: Path, ring: str, count: int) -> Path:
    """A journal of a ring with so many records."""
    layouts = RINGS[ring]
    records = answers(count, BOOK_RING if ring == "events" else layouts)
    records = records.view(next(iter(layouts.values()))[1])
    if ring == "risk":  # a Greek is a number
        greeks = records.view(GREEKS)
        told = greeks["kind"] == Kept.GREEKS
        for name in ("theta", "rho"):
            greeks[name][told] = np.where(np.isfinite(greeks[name]), greeks[name], 0.1)[told]
    log = Journal(folder / ring, ring, layouts, BYTES)
    log.append_records(records)
    log.sync()
    log.close()
    return folder / ring


def whole(folder: Path) -> np.ndarray:
    log = JournalReader(folder)
    return log.read(log.first, log.last)


@pytest.mark.parametrize("ring", RINGS)
def test_every_byte_of_a_segment_comes_back(tmp_path, ring):
    folder = made(tmp_path, ring, 350)
    segment = segment_of(folder, 101, 201)
    target = archive.file_of(tmp_path / "kept", segment)
    assert archive.write(segment, target) == IN_SEGMENT
    back = np.concatenate(list(restored(target)))
    assert back.tobytes() == whole(folder)[100:200].tobytes()
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_it_comes_back_from_several_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SLICE", 33)
    folder = made(tmp_path, "book", 250)
    target = tmp_path / "file.parquet"
    archive.write(segment_of(folder, 1, 101), target)
    back = list(restored(target))
    assert [len(part) for part in back] == [33, 33, 33, 1]
    assert np.concatenate(back).tobytes() == whole(folder)[:100].tobytes()


def test_its_columns_are_the_fields_of_the_records(tmp_path):
    folder = made(tmp_path, "book", 250)
    target = tmp_path / "file.parquet"
    archive.write(segment_of(folder, 1, 101), target)
    names = {name for _, layout in BOOK_RING.values() for name in layout.names}
    with duckdb.connect() as database:
        found = {row[0] for row in database.execute(f"DESCRIBE FROM '{target}'").fetchall()}
        assert found == names
        query = f"SELECT DISTINCT bid IS NULL, orders IS NULL, match IS NULL FROM '{target}'"
        for kind, lacks in {
            Kind.TOP: (False, True, True),
            Kind.LEVEL: (True, False, True),
            Kind.TRADE: (True, True, False),
            Kind.STATUS: (False, True, True),
        }.items():
            assert database.execute(f"{query} WHERE kind = {int(kind)}").fetchall() == [lacks]


def test_what_leaves_next_is_what_is_archived(tmp_path):
    folder = made(tmp_path, "events", 5 * IN_SEGMENT + 1)  # six files
    assert [each.first for each in leaving(folder, 4 * BYTES)] == [1, 101, 201]
    assert [each.first for each in leaving(folder, 6 * BYTES)] == [1]
    assert leaving(folder, 7 * BYTES) == []
    assert len(leaving(folder, 0)) == 5, "never the one that is being written"


def test_what_is_too_old_leaves_however_small_it_is(tmp_path):
    folder = made(tmp_path, "events", 3 * IN_SEGMENT + 1)
    assert leaving(folder, 1 << 40, 50.0) == []
    for first, age in ((101, 100), (201, 10)):
        os.utime(path_of(folder, first), (time.time() - age,) * 2)
    assert leaving(folder, 1 << 40, 50.0) == [], "never a file before an older one"
    os.utime(path_of(folder, 1), (time.time() - 51,) * 2)
    assert [each.first for each in leaving(folder, 1 << 40, 50.0)] == [1, 101]
    assert Archivist(tmp_path, tmp_path / "kept", 1 << 40, 50.0).work() == 2


def test_a_journal_removes_only_what_is_in_the_archive(tmp_path):
    folder, kept = made(tmp_path, "events", 5 * IN_SEGMENT + 1), tmp_path / "kept"
    log = Journal(folder, "events", EVENTS_RING, BYTES)

    def retain() -> int:
        return log.retain(1000, BYTES, lambda *span: archive.has(kept, folder, *span))

    assert retain() == 0
    for first in (101, 1):  # the second alone lets nothing go
        assert retain() == 0
        segment = segment_of(folder, first, first + IN_SEGMENT)
        archive.write(segment, archive.file_of(kept, segment))
    assert retain() == 2
    assert log.first == 201
    log.close()


def test_an_archive_of_another_log_is_no_archive(tmp_path):
    folder, kept = made(tmp_path, "book", 250), tmp_path / "kept"
    segment = segment_of(folder, 1, 101)
    archive.write(segment, archive.file_of(kept, segment))
    assert archive.has(kept, folder, 1, 101)
    other = Journal(tmp_path / "other" / "book", "book", BOOK_RING, BYTES)
    other.append_records(answers(250)[::-1].copy())
    other.close()
    assert not archive.has(kept, tmp_path / "other" / "book", 1, 101)


def test_the_archivist_takes_all_rings_and_nothing_twice(tmp_path):
    for ring in RINGS:
        made(tmp_path / "log", ring, 350)
    archivist = Archivist(tmp_path / "log", tmp_path / "kept", 2 * BYTES)
    assert archivist.work() == 3 * 3
    assert archivist.work() == 0
    assert len(list((tmp_path / "kept").glob("*/*.parquet"))) == 9


def test_what_is_left_half_done_is_done_again(tmp_path):
    made(tmp_path / "log", "events", 350)
    archivist = Archivist(tmp_path / "log", tmp_path / "kept", 0)
    archivist.close()
    with pytest.raises(Stopped):
        archivist.work()
    assert not list((tmp_path / "kept").rglob("*.parquet*"))
    assert Archivist(tmp_path / "log", tmp_path / "kept", 0).work() == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from workers import archive
from workers.sinks import sliced

left = int(sys.argv[3])

def step(run, *arguments):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(*arguments)

archive.SLICE = 40
for name in ("add", "_run", "finish"):
    run = getattr(sliced.SlicedFile, name)
    setattr(sliced.SlicedFile, name, lambda *some, run=run: step(run, *some))
settle = sliced.settle
sliced.settle = lambda *some: (step(settle, *some), step(lambda: None))
archive.Archivist(Path(sys.argv[1]), Path(sys.argv[2]), 0).work()
"""


@pytest.mark.parametrize("step", range(1, 14))
def test_killed_at_any_step_it_leaves_no_half_file(tmp_path, step):
    folder = made(tmp_path / "log", "events", 350)
    command = [sys.executable, "-c", KILLED, tmp_path / "log", tmp_path / "kept", str(step)]
    root = Path(archive.__file__).parent.parent
    here = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run(command, cwd=root, env=here, check=False)
    assert killed.returncode == -signal.SIGKILL
    for path in (tmp_path / "kept").rglob("[0-9]*.parquet"):
        first = int(path.name[:20])
        assert np.concatenate(list(restored(path)))["sequence"][0] == first
    Archivist(tmp_path / "log", tmp_path / "kept", 0).work()
    files = sorted((tmp_path / "kept" / "events").iterdir())
    assert [path.suffix for path in files] == 3 * [".parquet"], "and nothing half done is left"
    back = np.concatenate([part for path in files for part in restored(path)])
    assert back.tobytes() == whole(folder)[:300].tobytes()


def test_a_damaged_segment_is_not_archived(tmp_path):
    folder = made(tmp_path / "log", "events", 250)
    path = path_of(folder, 1)
    content = bytearray(path.read_bytes())
    content[RECORDS + 64 * 70 + 5] ^= 1
    path.write_bytes(content)
    segment = segment_of(folder, 1, 101)
    with pytest.raises(JournalError, match=f"record 71, at byte {RECORDS + 64 * 70}"):
        archive.write(segment, archive.file_of(tmp_path / "kept", segment))
    archivist = Archivist(tmp_path / "log", tmp_path / "kept", 0)
    archivist.look()
    archivist._thread.join()
    assert archivist.failed == 1
    assert "record 71" in archivist.trouble
    assert not archive.has(tmp_path / "kept", folder, 1, 101)


def test_what_reads_back_as_something_else_is_not_archived(tmp_path):
    folder = made(tmp_path / "log", "book", 250)
    segment = segment_of(folder, 1, 101)
    wrong = segment._replace(chain=segment.chain ^ 1)
    with pytest.raises(SinkError, match="reads back as something else"):
        archive.write(wrong, tmp_path / "kept" / "file.parquet")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="is a file"):
        Archivist(tmp_path, tmp_path / "file" / "kept", 0)


def test_trouble_is_told_and_tried_again(tmp_path):
    made(tmp_path / "log", "events", 350)
    archivist = Archivist(tmp_path / "log", tmp_path / "kept", 0)
    (tmp_path / "kept" / "events").write_text("in the way")
    archivist.look()
    archivist.close()
    assert archivist.failed == 1
    assert archivist.trouble.startswith(f"archive: journal {tmp_path / 'kept' / 'events'}: ")
    (tmp_path / "kept" / "events").unlink()
    archivist = Archivist(tmp_path / "log", tmp_path / "kept", 0)
    assert (archivist.work(), archivist.trouble) == (3, "")
