"""What a journal does about damage: found and named, never believed, and nothing else is lost."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from ringbuf import journal_files as files
from ringbuf.jit import compiled
from ringbuf.journal import Journal, JournalError, JournalFull, JournalReader
from ringbuf.journal_files import MARK_AT, RECORDS, path_of
from tests.ringbuf import damage
from tests.ringbuf.damage import RIGHT, run_cuts, run_images
from tests.ringbuf.powercut import first_fault
from tests.ringbuf.test_journal import LAYOUTS, SMALL, bodies_of, die, records, small_journal

IMAGES, CUTS = (1_000_000, 100_000) if compiled() else (64, 8)
POWER_CUTS = range(120) if compiled() else range(4)
needs_compiler = pytest.mark.skipif(not compiled(), reason="too much for plain Python")


def test_only_what_was_written_is_taken_for_whole():
    wrong, *kinds, lost = run_images(RIGHT, 1, IMAGES)
    assert wrong == 0
    assert min(kinds) == IMAGES // 8
    assert IMAGES / 3 < lost < IMAGES


@needs_compiler
@pytest.mark.parametrize("mutant", damage.OF_IMAGES)
def test_a_wrong_chain_is_caught_by_damaged_images(mutant):
    assert run_images(mutant.value, 1, 100_000)[0] > 0


def test_power_cuts_lose_nothing_acknowledged():
    wrong, through, lost, begun = run_cuts(RIGHT, 1, CUTS)
    assert wrong == 0
    assert through > 0
    assert begun > CUTS / 20 or not compiled()
    assert lost > CUTS or not compiled()


@needs_compiler
@pytest.mark.parametrize("mutant", damage.OF_CUTS)
def test_a_wrong_protocol_is_caught_by_power_cuts(mutant):
    assert run_cuts(mutant.value, 1, 50_000)[0] > 0


def test_the_campaign_prints_what_it_found(capsys):
    if compiled():
        assert damage.main(["80000", "5000"]) == 0
        printed = capsys.readouterr().out
        assert "| judged wrongly | 0 |" in printed
        assert "5,000 cuts" in printed
        assert "| late_wipe | cuts |" in printed


def test_the_code_itself_survives_power_cuts():
    assert first_fault(POWER_CUTS) == (-1, "")


class NoSyncBeforeRotation(Journal):
    def _rotate(self):
        self._begin()


class NoSync(Journal):
    def _flush(self):
        pass


class MarkBeforeSync(Journal):
    def sync(self):
        if self.durable < self.written:
            self.durable = self.written
            self._mark()
            self._flush()


class NoWipe(Journal):
    def _end_here(self):
        with patch.object(files, "wipe", lambda *_: None):
            super()._end_here()


class LateWipe(Journal):
    def _end_here(self):
        with patch.object(self, "_flush", lambda: None):
            super()._end_here()


class NameBeforeHead(Journal):
    def _begin(self):
        with patch.object(os, "fdatasync", lambda _: None):
            super()._begin()


class NameNotSynced(Journal):
    def _begin(self):
        fsync = os.fsync
        with patch.object(os, "fsync", lambda file: file == self.folder_file or fsync(file)):
            super()._begin()


class MarkNotLowered(Journal):
    def cut(self, sequence):
        with patch.object(files, "mark_bytes", lambda _: b""):
            super().cut(sequence)


@needs_compiler
@pytest.mark.parametrize(
    "mutant",
    [
        NoSyncBeforeRotation, NoSync, MarkBeforeSync, NoWipe, LateWipe, NameBeforeHead,
        NameNotSynced, MarkNotLowered,
    ],
)  # fmt: skip
def test_wrong_code_does_not(mutant):
    assert first_fault(range(300), mutant)[0] >= 0


@pytest.fixture
def memory():
    """A folder in memory: where thousands of journals are opened, syncs must cost nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def crashed(folder, count, capacity=120):
    """A journal whose process has died with nothing synced; its one file, and what is in it."""
    journal = small_journal(folder, capacity)
    journal.append_records(records(SMALL, 1, count))
    die(journal)
    path = path_of(folder, 1)
    return path, path.read_bytes()


def offsets(count):
    """The last 4 KiB that are written, byte by byte; a few of them in plain Python."""
    end = RECORDS + count * SMALL.itemsize
    return range(end - 4096, end, 1 if compiled() else 131)


def test_a_tail_torn_at_any_byte_is_cut_off(memory):
    path, content = crashed(memory, 100)
    for offset in offsets(100):
        path.write_bytes(content[:offset])
        left = (offset - RECORDS) // SMALL.itemsize
        reader = JournalReader(memory)
        assert reader.last == left
        journal = small_journal(memory)
        assert journal.written == journal.durable == left
        assert len(path.read_bytes()) == len(content), "whole again"
        die(journal)
    assert path.read_bytes().rstrip(b"\0")[RECORDS:] == content[RECORDS:offset][: left * 64]


def test_a_byte_damaged_anywhere_is_found(memory):
    """Behind what is known to be on the disk it is a torn end; before, it is damage, and named."""
    path, content = crashed(memory, 100)
    bodies = bodies_of(records(SMALL, 1, 100))
    for offset in offsets(100):
        hurt = bytearray(content)
        hurt[offset] ^= 1 << offset % 8
        left = (offset - RECORDS) // SMALL.itemsize
        path.write_bytes(hurt)
        assert bodies_of(JournalReader(memory).read(1, 200)) == bodies[:left]
        journal = small_journal(memory)
        assert (journal.written, journal.durable) == (left, left)
        die(journal)
        hurt[MARK_AT : MARK_AT + 16] = files.mark_bytes(100)
        path.write_bytes(hurt)
        named = rf"{path.name}: record {left + 1}, at byte {RECORDS + left * 64}, is damaged; put"
        with pytest.raises(JournalError, match=named):
            small_journal(memory)
        reader = JournalReader(memory)
        assert bodies_of(reader.read(1, 200)) == bodies[:left]
        with pytest.raises(JournalError, match=named):
            reader.read(left + 1, 200)
        with pytest.raises(JournalError, match=named):
            reader.chain_at(left + 1)


def test_a_header_damaged_anywhere_is_refused(memory):
    path, content = crashed(memory, 10)
    used = files.TEXT + len(files.read_head(path, content).text)
    for offset in range(0, used, 1 if compiled() else 31):
        hurt = bytearray(content)
        hurt[offset] ^= 1 << offset % 8
        path.write_bytes(hurt)
        for begin in (small_journal, JournalReader):
            if not files.HEADER.itemsize <= offset < files.TEXT:  # nothing is kept there
                with pytest.raises(JournalError, match=r"header is damaged|format version"):
                    begin(memory)
    assert path.read_bytes() == hurt, "left as it was"


def four_segments(folder):
    journal = small_journal(folder, 10)
    journal.append_records(records(SMALL, 1, 35))
    journal.close()
    return [path for path, *_ in journal.segments]


def test_a_segment_that_a_crash_left_without_its_head_is_made_anew(tmp_path):
    journal = small_journal(tmp_path, 10)
    journal.append_records(records(SMALL, 1, 30))
    die(journal)
    path = path_of(tmp_path, 31)
    for content in (b"", bytes(100), b"\xff" * 700 + bytes(4000), bytes(RECORDS + 640)):
        path.write_bytes(content)
        journal = small_journal(tmp_path, 10)
        assert journal.written == 30
        assert not path.exists()
        journal.append_records(records(SMALL, 31, 1))
        die(journal)
        assert len(JournalReader(tmp_path).read(1, 99)) == 31
    path_of(tmp_path, 1).write_bytes(b"")
    for other in (11, 21, 31):
        path_of(tmp_path, other).unlink()
    journal = small_journal(tmp_path, 10)
    assert journal.written == 0
    journal.close()


def test_a_head_that_is_lost_is_not_taken_for_a_crash_while_there_are_records(tmp_path):
    last = four_segments(tmp_path)[-1]
    last.write_bytes(bytes(RECORDS) + last.read_bytes()[RECORDS:])
    with pytest.raises(JournalError, match="its header is damaged; put a copy"):
        small_journal(tmp_path)


def test_a_segment_that_is_missing_is_named(tmp_path):
    paths = four_segments(tmp_path)
    content = paths[2].read_bytes()
    for hurt in (None, content[:-64]):
        paths[2].unlink()
        if hurt:
            paths[2].write_bytes(hurt)
        missing = "with the records 21 to 30 is" if hurt is None else "with the records 30 to 30 is"
        with pytest.raises(JournalError, match=missing):
            small_journal(tmp_path, 10)
        paths[2].write_bytes(content)
    paths[2].unlink()
    reader = JournalReader(tmp_path)
    assert len(reader.read(1, 20)) == 20
    with pytest.raises(JournalError, match=f"{paths[2].name} with the records 21 to 30"):
        reader.read(21, 10)
    assert len(reader.read(31, 10)) == 5


def test_damage_in_the_middle_is_named_with_its_place(tmp_path):
    paths = four_segments(tmp_path)
    hurt = bytearray(paths[1].read_bytes())
    hurt[RECORDS + 3 * 64 + 5] ^= 4
    paths[1].write_bytes(hurt)
    reader = JournalReader(tmp_path)
    assert len(reader.read(1, 35)) == 13
    with pytest.raises(JournalError, match=f"{paths[1].name}: record 14, at byte 4288, is damaged"):
        reader.read(14, 1)
    assert len(reader.read(16, 99)) == 20
    small_journal(tmp_path, 10).close()  # only the last segment is looked at


def test_a_segment_of_another_journal_in_its_place_is_refused(tmp_path):
    paths = four_segments(tmp_path / "one")
    other = small_journal(tmp_path / "two", 10)
    other.append_records(records(SMALL, 1, 35, salt=1))
    other.close()
    for place in (2, 3):
        shutil.copytree(tmp_path / "one", tmp_path / "mixed")
        shutil.copy(tmp_path / "two" / paths[place].name, tmp_path / "mixed")
        if place == 3:
            with pytest.raises(JournalError, match="is not the one before"):
                small_journal(tmp_path / "mixed", 10)
        reader = JournalReader(tmp_path / "mixed")
        assert len(reader.read(1, 40)) == 10 * place
        with pytest.raises(JournalError, match=f"{paths[place].name}: record {10 * place + 1}"):
            reader.read(10 * place + 1, 1)
        shutil.rmtree(tmp_path / "mixed")
    shutil.copy(paths[1], paths[3])
    with pytest.raises(JournalError, match="starts with record 11; give it the name"):
        small_journal(tmp_path / "one", 10)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.call(command):
        pytest.skip("mounting takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_counts_nothing_and_passes(small_disk):
    """Two segments of 20 KiB fit, with the next one; the fourth does not."""
    journal = small_journal(small_disk / "events", 256)
    assert journal.append_records(records(SMALL, 1, 1000)) == 3 * 256
    assert (journal.written, journal.durable) == (768, 768)
    chain = journal.chain
    for _ in range(3):
        with pytest.raises(JournalFull, match=r"No space left.*free some space"):
            journal.append_records(records(SMALL, 769, 10))
    assert (journal.written, journal.chain) == (768, chain)
    assert len(JournalReader(small_disk / "events").read(1, 2000)) == 768
    assert journal.retain(257, 0) == 1
    assert journal.append_records(records(SMALL, 769, 10)) == 10
    journal.sync()
    die(journal)
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    journal = small_journal(small_disk / "events", 256)
    assert journal.written == 778
    journal.close()
    with pytest.raises(JournalFull, match="free some space"):
        small_journal(small_disk / "book", 256)


def test_a_batch_that_only_fits_in_part_is_not_counted(tmp_path):
    """The system takes less than it was given, then nothing."""
    journal = small_journal(tmp_path)
    real = os.pwrite

    def short(file, content, at):
        if len(content) <= 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, content[:100], at)

    with patch.object(os, "pwrite", short), pytest.raises(JournalFull):
        journal.append_records(records(SMALL, 1, 5))
    assert journal.written == 0
    with patch.object(os, "pwrite", lambda file, content, at: real(file, content[:7], at)):
        assert journal.append_records(records(SMALL, 1, 5, salt=3)) == 5
    assert bodies_of(JournalReader(tmp_path).read(1, 9)) == bodies_of(records(SMALL, 1, 5, salt=3))
    journal.close()


def test_a_limit_on_file_sizes_is_like_a_full_disk(tmp_path):
    script = f"""
import resource, sys
from pathlib import Path
from ringbuf.journal import JournalFull
from tests.ringbuf.test_journal import small_journal
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, {resource.RLIM_INFINITY}))
try:
    small_journal(Path({str(tmp_path)!r}), 1000)
except JournalFull as failure:
    print(failure)
resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY}, {resource.RLIM_INFINITY}))
print(small_journal(Path({str(tmp_path)!r}), 1000).written)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    told, written = done.stdout.splitlines()
    assert "raise the limit on file sizes (ulimit -f)" in told, done
    assert written == "0"


def under_strace(folder, call, when):
    """Write and sync three times with a call failing; what was printed."""
    script = f"""
from pathlib import Path
from ringbuf.journal import JournalError
from tests.ringbuf.test_journal import SMALL, records, small_journal
try:
    journal = small_journal(Path({str(folder)!r}), 50)
    print("open", flush=True)
    for number in range(4):
        try:
            journal.append_records(records(SMALL, journal.written + 1, 5))
            journal.sync()
            print("synced", journal.durable)
        except JournalError as failure:
            print(failure)
    journal.close()
except JournalError as failure:
    print(failure)
"""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:error=EIO:when={when}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if "ptrace" in done.stderr:
        pytest.skip("nobody may be traced here")
    return done.stdout.splitlines()


def test_the_first_sync_that_fails_is_final(tmp_path):
    """The next one would succeed, with the pages that were not written thrown away."""
    printed = under_strace(tmp_path, "fdatasync", "3")
    assert printed[:2] == ["open", "synced 5"]
    assert len(printed) == 5
    for line in printed[2:]:
        assert line.endswith("Input/output error; look at the disk (dmesg), then start again")
    journal = small_journal(tmp_path)
    assert journal.written >= 5
    journal.close()


@pytest.mark.parametrize("call", ["fsync", "pwrite64", "fallocate", "rename", "flock"])
def test_a_start_that_fails_leaves_nothing_behind(tmp_path, call):
    printed = under_strace(tmp_path / "journal", call, "1+")
    assert len(printed) == 1, printed
    assert "Input/output error" in printed[0]
    assert "look at the disk" in printed[0]
    assert [path.name for path in (tmp_path / "journal").glob("*.tmp")] == []
    journal = small_journal(tmp_path / "journal")
    assert journal.append_records(records(SMALL, 1, 5)) == 5
    journal.close()


def test_what_failed_stays_refused(tmp_path):
    journal = small_journal(tmp_path)
    journal.append_records(np.zeros(3, LAYOUTS["small"][1]))
    broken = patch.object(os, "fdatasync", side_effect=OSError(errno.EIO, "Input/output error"))
    with broken, pytest.raises(JournalError, match="look at the disk"):
        journal.sync()
    for refused in (
        journal.sync,
        lambda: journal.append_records(records(SMALL, 4, 1)),
        lambda: journal.cut(1),
        lambda: journal.retain(1, 1),
    ):
        with pytest.raises(JournalError, match="look at the disk"):
            refused()
    assert journal.durable == 0
    journal.close()
