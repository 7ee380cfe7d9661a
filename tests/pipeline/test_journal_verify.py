"""`corelane journal verify`: it finds every damage, says where, and takes nothing else for one."""

import threading

import numpy as np
import pytest

from pipeline.journal_verify import check
from pipeline.journals import listing
from ringbuf import snapshot
from ringbuf.journal import Journal, JournalReader
from ringbuf.journal_files import RECORDS, path_of
from tests.pipeline.logs import BYTES, IN_SEGMENT, answers, corelane, events, whole_run, write
from workers.records import EVENTS_RING


@pytest.fixture
def folder(tmp_path):
    return whole_run(tmp_path / "journal")


def change(path, at: int, content: bytes) -> None:
    """Overwrite some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flip(path, at: int, bit: int = 0) -> None:
    """Turn one bit of a file over."""
    change(path, at, bytes([path.read_bytes()[at] ^ 1 << bit]))


def at_byte(sequence: int) -> int:
    """Where a record lies in its file."""
    return RECORDS + 64 * ((sequence - 1) % IN_SEGMENT)


def test_whole_journals_are_whole(folder):
    blocks = {"some": np.arange(9000, dtype="i8").view(np.uint8)}
    snapshot.save(folder / "snapshots", {"events": 200}, "shape", blocks)
    ran = corelane("journal", "verify", folder)
    assert ran.exit_code == 0, ran.output
    digests = {log.ring: log.digest for log in listing(folder).rings}
    for ring, digest in digests.items():
        (line,) = [line for line in ran.output.splitlines() if line.startswith(ring)]
        assert digest in line
        assert line.endswith("whole")
    found = check(folder, "book")
    assert (found.first, found.last, found.segments, found.torn) == (1, 420, 5, 0)
    assert found.bytes == 420 * 64
    assert corelane("journal", "verify", folder, "--ring", "risk").exit_code == 0


@pytest.mark.parametrize("byte", range(64))
def test_no_bit_of_a_record_may_turn_over(folder, byte):
    path = path_of(folder / "events", 101)
    flip(path, at_byte(150) + byte, byte % 8)
    ran = corelane("journal", "verify", folder)
    assert ran.exit_code == 1
    text = " ".join(ran.output.split())
    assert f"journal {path}: record 150, at byte {at_byte(150)}, is damaged; put a copy" in text
    assert "records 1 to 149 hold, and can be exported and replayed (--to 149)" in text
    assert check(folder, "events").last == 149
    assert not check(folder, "book").damage


@pytest.mark.parametrize("byte", [*range(0, 168, 7), 512, 600])
def test_no_byte_of_a_header_may_change(folder, byte):
    path = path_of(folder / "events", 101)
    flip(path, byte)
    found = check(folder, "events")
    assert found.damage.startswith(f"journal {path}: ")
    assert found.last == 100


def test_files_must_follow_one_another(folder, tmp_path):
    write(tmp_path / "other", "events", events(251)[1:])
    path, other = path_of(folder / "events", 101), path_of(tmp_path / "other" / "events", 101)
    mine = path.read_bytes()
    path.write_bytes(other.read_bytes())
    assert "does not follow record 100" in check(folder, "events").damage
    path.write_bytes(path_of(folder / "events", 201).read_bytes())
    assert "starts with record 201" in check(folder, "events").damage
    path.write_bytes(path_of(folder / "book", 101).read_bytes())
    assert "is that of ring 'book'" in check(folder, "events").damage
    path.write_bytes(mine[: at_byte(180) + 3])
    assert f"record 180, at byte {at_byte(180)}, is damaged" in check(folder, "events").damage
    path.unlink()
    found = check(folder, "events")
    assert f"{path.name} with the records 101 to 200 is missing" in found.damage
    assert found.last == 100


def test_a_log_may_begin_later(folder):
    path_of(folder / "events", 1).unlink()
    found = check(folder, "events")
    assert (found.first, found.last, found.damage) == (101, 250, "")


@pytest.mark.parametrize("left", [*range(1, 64), 64 * 20 + 1])
def test_what_a_crash_tore_off_is_no_damage(tmp_path, left):
    """The rest of the file is zeros, as a power cut leaves it."""
    folder = write(tmp_path, "events", events(250), synced=220)
    path, end = path_of(folder, 201), at_byte(250) + 64
    change(path, end - 64 * 21 + left, bytes(64 * 21 - left))
    found = check(tmp_path, "events")
    whole = 229 + left // 64
    assert (found.last, found.damage) == (whole, "")
    content = path.read_bytes()[at_byte(whole + 1) :].rstrip(b"\0")
    assert found.torn == len(content)
    ran = corelane("journal", "verify", tmp_path)
    assert ran.exit_code == 0
    assert (f"{found.torn} bytes behind record {whole}" in ran.output) == (found.torn > 0)
    again = Journal(folder, "events", EVENTS_RING, BYTES)
    assert again.written == whole, "the next start sees the same"
    again.close()
    assert check(tmp_path, "events").torn == 0


def test_what_had_been_on_the_disk_is_not_torn_off(tmp_path):
    folder = write(tmp_path, "events", events(250), synced=220)
    flip(path_of(folder, 201), at_byte(220))
    assert f"record 220, at byte {at_byte(220)}" in check(tmp_path, "events").damage


def test_a_file_that_was_just_being_made_is_no_damage(tmp_path):
    folder = write(tmp_path, "events", events(200))
    path_of(folder, 201).write_bytes(bytes(BYTES))
    found = check(tmp_path, "events")
    assert (found.last, found.damage) == (200, "")
    assert "was being made in a crash" in corelane("journal", "verify", tmp_path).output
    change(path_of(folder, 201), at_byte(230), b"x")
    assert "header is damaged" in check(tmp_path, "events").damage


def test_answers_come_in_order(tmp_path):
    made = answers(300)
    made["cause"][180:] -= 2
    write(tmp_path, "events", events(250))
    folder = write(tmp_path, "book", made)
    found = check(tmp_path, "book")
    assert found.last == 180
    where = f"journal {path_of(folder, 101)}: record 181, at byte {at_byte(181)}, answers 89, "
    assert found.damage.startswith(where)
    assert corelane("journal", "verify", tmp_path).exit_code == 1


def test_answers_to_what_a_power_cut_took_are_told(folder):
    log = Journal(folder / "events", "events", EVENTS_RING, BYTES)
    log.cut(190)
    log.close()
    found = check(folder, "book")
    assert (found.damage, found.last, found.cause) == ("", 420, 210)
    ran = corelane("journal", "verify", folder)
    assert ran.exit_code == 0
    assert "answers records of events up to 210, which ends at 190" in " ".join(ran.output.split())


def test_a_damaged_snapshot_is_found(folder):
    blocks = {"some": np.arange(9000, dtype="i8").view(np.uint8)}
    path = snapshot.save(folder / "snapshots", {"events": 200}, "shape", blocks)
    flip(path, path.stat().st_size - 100)
    ran = corelane("journal", "verify", folder)
    assert ran.exit_code == 1
    assert f"{path.name}" in ran.output
    assert "remove it" in ran.output
    assert corelane("journal", "verify", folder, "--ring", "events").exit_code == 0


def test_what_cannot_be_read_is_told(tmp_path, folder):
    path = path_of(folder / "events", 101)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in check(folder, "events").damage


def test_a_journal_is_verified_while_it_is_written_and_cut_short(tmp_path):
    """Its writer appends, begins files and removes the oldest ones all the time."""
    folder = write(tmp_path, "events", events(250))
    done = threading.Event()

    def append() -> None:
        log = Journal(folder, "events", EVENTS_RING, BYTES)
        for _ in range(600):
            log.append_records(events(17))
            log.retain(log.written, 5 * BYTES)
        log.close()
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    seen = []
    while not done.is_set():
        found = check(tmp_path, "events")
        assert found.damage == ""
        seen.append((found.first, found.last))
    thread.join()
    assert seen == sorted(seen)
    assert check(tmp_path, "events").last == JournalReader(folder).last == 250 + 17 * 600
