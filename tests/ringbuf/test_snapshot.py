"""Snapshots against plain bytes; whatever is damaged, cut or killed, only whole ones are loaded."""

import contextlib
import fcntl
import mmap
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import snapshot_files
from ringbuf.jit import compiled
from ringbuf.snapshot import Snapshot, SnapshotError, listed, newest, prune, save
from ringbuf.snapshot_files import DRAFT, PAGE, SLICE, VERSION, digest_of
from tests.naive import snapshot as naive
from tests.ringbuf.segments import dying, fork, in_child, kill

EXAMPLES = 100 if compiled() else 20
KILLS = int(os.environ.get("CORELANE_KILLS") or (150 if compiled() else 30))
STEP = 1 if compiled() else 23  # between the bytes that are damaged
SHAPE = "limits: 10"


@pytest.fixture
def folder():
    """A folder in memory: nobody waits for a disk."""
    made = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


def sparse(size, places):
    """A block that is zero but for some bytes."""
    block = np.zeros(size, np.uint8)
    for place, value in places:
        block[place % size] = value
    return block


def of(number, pages=2):
    """Blocks that tell which snapshot they belong to; half of their pages are zero."""
    block = np.zeros(2 * pages * PAGE - 8, np.uint8)
    block[::PAGE][::2] = number % 251 + 1
    block[-8:] = np.array([number]).view(np.uint8)
    return {"books": block, "names": np.full(24, number % 251 + 1, np.uint8)}


def save_number(folder, number, pages=2, shape=SHAPE):
    return save(folder, {"events": number, "book": 2 * number}, shape, of(number, pages))


def loaded(snapshot):
    """The blocks of a snapshot."""
    blocks = {}
    for name in snapshot.names:
        blocks[name] = np.zeros(snapshot.size_of(name), np.uint8)
        snapshot.load(name, blocks[name])
    return blocks


def same(some, others):
    return list(some) == list(others) and all((some[name] == others[name]).all() for name in some)


def number_of(snapshot):
    """Which one it is, all of it."""
    number = snapshot.positions["events"]
    blocks = loaded(snapshot)
    assert same(blocks, of(number, (len(blocks["books"]) + 8) // PAGE // 2))
    assert snapshot.positions == {"events": number, "book": 2 * number}
    return number


def names(folder):
    return sorted(os.listdir(folder))


blocks_drawn = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.integers(1, 6 * PAGE).flatmap(
        lambda size: st.builds(
            sparse,
            st.just(size),
            st.lists(st.tuples(st.integers(0, 6 * PAGE), st.integers(0, 255)), max_size=5),
        )
    ),
    max_size=4,
)


@settings(max_examples=EXAMPLES)
@given(
    blocks=blocks_drawn,
    positions=st.dictionaries(st.text(max_size=5), st.integers(0, 2**63), min_size=1, max_size=3),
    shape=st.text(max_size=40),
)
def test_what_is_saved_is_loaded(blocks, positions, shape):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        folder = Path(place) / "not" / "there"
        path = save(folder, positions, shape, blocks)
        first = next(iter(positions.values()))
        assert names(folder) == [path.name] == [f"{first:020d}.snapshot"]
        described, plain = naive.read(path)
        assert (described["positions"], described["shape"]) == (positions, shape)
        assert plain == {name: block.tobytes() for name, block in blocks.items()}
        found, passed = newest(folder, shape)
        assert (found.path, found.positions, found.shape, passed) == (path, positions, shape, [])
        assert same(loaded(found), blocks)
        assert list(found.positions) == list(positions)
        assert found.bytes == path.stat().st_size
        (item,) = listed(folder)
        assert item[:3] == (path, positions, found.bytes)
        assert (item.shape, item.fault) == (shape, "")
        assert abs(item.created_ns - time.time_ns()) < 3600 * 10**9
        found.close()


@settings(max_examples=EXAMPLES)
@given(words=st.lists(st.integers(0, 2**64 - 1), max_size=5), before=st.integers(0, 2**64 - 1))
def test_checksums_are_those_of_the_plain_twin(words, before):
    content = np.array([*words, *range(-len(words) % 4)], np.uint64)
    signed = int(np.uint64(before).astype(np.int64))
    assert digest_of(content, signed) % 2**64 == naive.digest(content.tobytes(), before)


def test_blocks_of_many_slices(folder):
    pages = SLICE + 3
    block = np.random.default_rng(1).integers(0, 255, 3 * pages * PAGE // 2, dtype=np.uint8)
    block[PAGE : PAGE * pages // 3] = 0
    pauses = []
    blocks = {"a": block, "b": block[8:80]}
    path = save(folder, {"events": 1}, SHAPE, blocks, lambda: pauses.append(1))
    assert len(pauses) == 3  # two slices and one
    assert path.stat().st_size < 1.2 * pages * PAGE
    assert naive.read(path)[1] == {name: each.tobytes() for name, each in blocks.items()}
    assert same(loaded(Snapshot(path)), blocks)


def test_any_damaged_byte_is_found(folder):
    good, path = save_number(folder, 7, 1), save_number(folder, 8, 1)
    content = path.read_bytes()
    assert 4 * PAGE < len(content) < 5 * PAGE
    chance = random.Random(1)
    with path.open("r+b", buffering=0) as file:
        for place in range(0, len(content), STEP):
            os.pwrite(file.fileno(), bytes([content[place] ^ chance.randint(1, 255)]), place)
            found, (reason,) = newest(folder, SHAPE)
            assert found.path == good
            assert reason.startswith(f"snapshot {path}: ")
            os.pwrite(file.fileno(), content[place : place + 1], place)
    assert number_of(newest(folder, SHAPE)[0]) == 8


def test_who_is_in_a_hurry_meets_damage_while_loading(folder):
    blocks = {f"{name}.state": np.full(2 * PAGE, 7, np.uint8) for name in ("book", "risk")}
    path = save(folder, {"events": 5}, SHAPE, blocks)
    content = bytearray(path.read_bytes())
    content[PAGE + 2 * PAGE + 5] ^= 1  # the second block
    path.write_bytes(content)
    found, passed = newest(folder, SHAPE, check=False)
    assert not passed
    back = np.zeros(2 * PAGE, np.uint8)
    found.load("book.state", back)
    assert (back == 7).all()
    with pytest.raises(SnapshotError, match="is damaged"):
        found.load("risk.state", back)
    nothing, passed = newest(folder, SHAPE)
    assert nothing is None
    assert "is damaged" in passed[0]


def test_any_cut_is_found(folder):
    good, path = save_number(folder, 7, 1), save_number(folder, 8, 1)
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    assert newest(folder, SHAPE)[0].path == good
    with path.open("r+b", buffering=0) as file:
        for length in reversed(range(0, len(content), STEP)):
            os.ftruncate(file.fileno(), length)
            found, (reason,) = newest(folder, SHAPE)
            assert found.path == good
            assert reason == f"snapshot {path}: is damaged or cut short; remove it"
    path.write_bytes(content)
    assert number_of(newest(folder, SHAPE)[0]) == 8


@settings(max_examples=3 * EXAMPLES)
@given(data=st.data())
def test_large_damage_is_found(larger, data):
    """Sectors of zeros, of noise, of another place and of another snapshot."""
    good, path, content, other = larger
    sectors = len(content) // 512
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        to, count = 512 * data.draw(st.integers(0, sectors)), 512 * data.draw(st.integers(1, 16))
        what = data.draw(st.sampled_from(["zeros", "noise", "moved", "other"]))
        start = 512 * data.draw(st.integers(0, sectors))
        source = {"zeros": bytes(count), "noise": random.Random(to).randbytes(count)}.get(what)
        source = source or (content[start:] if what == "moved" else other[to:])[:count]
        damaged[to : to + len(source)] = source
    del damaged[data.draw(st.integers(len(content) // 2, 2 * len(content))) :]
    path.write_bytes(damaged)
    found, passed = newest(path.parent, SHAPE)
    if damaged == content:
        assert number_of(found) == 2
    else:
        assert found.path == good
        assert len(passed) == 1


@pytest.fixture(scope="module")
def larger():
    """A good snapshot, a newer one with its content, and the content of a third."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    pages = 64 if compiled() else 6
    good, path = save_number(folder, 1, pages), save_number(folder, 2, pages)
    third = save_number(folder, 3, pages)
    other = third.read_bytes()
    third.unlink()
    yield good, path, path.read_bytes(), other
    shutil.rmtree(folder)


def test_kills_leave_whole_snapshots(folder):
    """At whatever moment a process dies that saves and prunes, what it had saved is there."""
    done = np.frombuffer(mmap.mmap(-1, 8), np.int64)
    chance, drafts = random.Random(2), 0

    def saves():
        number = int(done[0])
        while True:
            number += 1
            save_number(folder, number, 40)
            done[0] = number
            prune(folder, 2)

    began = time.monotonic()
    save_number(folder, 0, 40)
    span = 2 * (time.monotonic() - began)  # in which to kill: somewhere between one and the next
    for number in range(KILLS):
        before = int(done[0])
        child = fork(saves)
        while done[0] == before:
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
            time.sleep(0.0005)
        time.sleep(chance.random() * span)
        while number % 2 and DRAFT not in names(folder):  # every other one is aimed
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        kill(child)
        drafts += DRAFT in names(folder)
        found, passed = newest(folder, SHAPE)
        assert number_of(found) in (int(done[0]), int(done[0]) + 1)
        assert not passed
        done[0] = found.positions["events"]
    assert drafts
    save_number(folder, int(done[0]) + 1, 40)
    assert DRAFT not in names(folder)


def test_what_was_killed_is_forgotten(folder):
    (folder / DRAFT).write_bytes(b"x" * 40 * PAGE)
    save_number(folder, 1)
    assert len(names(folder)) == 1
    assert number_of(newest(folder, SHAPE)[0]) == 1


def may_trace():
    command = ["strace", "-o", "/dev/null", "true"]
    return shutil.which("strace") and not subprocess.run(command, check=False).returncode


@pytest.mark.skipif(not may_trace(), reason="strace is missing, or not allowed")
def test_a_name_is_given_to_what_is_on_the_disk(folder):
    """Content, name and folder reach the disk in this order."""
    code = f"""from pathlib import Path
from tests.ringbuf.test_snapshot import save_number
save_number(Path({str(folder)!r}), 1)"""
    wanted = "trace=write,fsync,fdatasync,rename,renameat,renameat2"
    trace = ["strace", "-f", "-y", "-e", wanted, sys.executable, "-c", code]
    told = subprocess.run(trace, check=True, capture_output=True, text=True).stderr
    calls = [line for line in told.splitlines() if str(folder) in line]
    ends = [call.split("] ")[-1].split("(")[0] for call in calls]
    assert set(ends[:-3]) == {"write"}
    assert ends[-3:] == ["fsync", "rename", "fsync"]
    assert f"{folder}/{DRAFT}>" in calls[-3]
    assert f"{folder}>" in calls[-1]


def check_full(folder):
    """A snapshot that finds no room leaves no trace, and the one before is as good as ever."""
    before = names(folder)
    with pytest.raises(SnapshotError, match=r"2\.snapshot: .*; what was stored before is whole"):
        save_number(folder, 2, 64)
    assert names(folder) == before
    assert number_of(newest(folder, SHAPE)[0]) == 1


def test_files_may_be_limited(folder):
    path = save_number(folder, 2, 64)
    most = path.stat().st_size
    path.unlink()
    save_number(folder, 1)
    assert most > 60 * PAGE

    def limited():
        for limit in (0, 1, PAGE, *range(2 * PAGE, most, 8 * PAGE), most - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
            check_full(folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert number_of(Snapshot(save_number(folder, 2, 64))) == 2

    assert dying(limited) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_disks_may_be_full(folder):
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(mounted.stderr.decode())
    try:
        save_number(folder, 1)
        check_full(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_others_shapes_are_passed_over(folder):
    save_number(folder, 1)
    path = save_number(folder, 2, shape="limits: 20")
    found, (reason,) = newest(folder, SHAPE)
    assert number_of(found) == 1
    assert reason == (
        f"snapshot {path}: was made for other limits, options or layouts than these; remove it, or "
        "go back to what it was made for"
    )
    assert number_of(newest(folder, "limits: 20")[0]) == 2
    assert newest(folder, "")[0] is None
    assert [item.shape for item in listed(folder)] == [SHAPE, "limits: 20"]


def forged(path, **fields):
    """Change the header of a snapshot, and its checksum with it."""
    content = np.fromfile(path, np.uint8)
    head = content[: snapshot_files.HEADER.itemsize].view(snapshot_files.HEADER)
    for name, value in (fields | {"checksum": 0}).items():
        head[name] = value
    text = content[int(head["text_at"][0]) :].tobytes()
    head["checksum"] = snapshot_files.head_sum(content[:PAGE].tobytes(), text)
    content.tofile(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: forged(path, version=VERSION + 1), "has format version 2, this program rea"),
        (lambda path: forged(path, magic=1), "is no snapshot; remove it"),
        (lambda path: path.write_bytes(b"x" * 9000), "is no snapshot; remove it"),
        (lambda path: path.write_bytes(b""), "is damaged or cut short; remove it"),
        (lambda path: path.write_bytes(b"x"), "is damaged or cut short; remove it"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory; a folder is in the way"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "Illegal seek; look at the disk"),
        (lambda path: path.rename(path.with_name(f"{9:020d}.snapshot")), "is of another position"),
    ],
)
def test_what_is_no_snapshot_of_ours_is_passed_over(folder, change, reason):
    save_number(folder, 1)
    path = save_number(folder, 2)
    change(path)
    found, (told,) = newest(folder, SHAPE)
    assert number_of(found) == 1
    assert told.partition(".snapshot: ")[2].startswith(reason)
    assert [item.fault for item in listed(folder)] == ["", told]
    with pytest.raises(SnapshotError, match=reason):
        Snapshot(path if path.exists() else path.with_name(f"{9:020d}.snapshot"))


def test_other_files_are_left_alone(folder):
    save_number(folder, 1)
    others = ["5.snapshot", "x.snapshot", f"{5:020d}.log", f".{5:020d}.snapshot", "0" * 21]
    for name in others:
        (folder / name).write_bytes(b"")
    assert [item.positions for item in listed(folder)] == [{"events": 1, "book": 2}]
    assert newest(folder, SHAPE)[1] == []
    assert prune(folder, 1) == 0
    assert set(others) < set(names(folder))


def test_folders_may_be_missing_or_none(folder):
    assert newest(folder / "missing", SHAPE) == (None, [])
    assert listed(folder / "missing") == []
    assert prune(folder / "missing", 1) == 0
    (folder / "file").write_bytes(b"")
    for task in (newest, save_number):
        with pytest.raises(SnapshotError, match="a part of the path is a file: choose another"):
            task(folder / "file" / "more", SHAPE if task is newest else 1)


def test_rights_may_be_missing(folder):
    folder.chmod(0o755)
    save_number(folder, 1).chmod(0o644)
    path = save_number(folder, 2)
    path.chmod(0)
    (folder / "closed").mkdir(mode=0)

    def as_somebody():
        if os.geteuid() == 0:
            os.setuid(65534)
        found, (reason,) = newest(folder, SHAPE)
        assert number_of(found) == 1
        assert reason == (
            f"snapshot {path}: Permission denied; give this user access to it, or choose another "
            "path"
        )
        with pytest.raises(SnapshotError, match="closed: Permission denied; give this user access"):
            newest(folder / "closed", SHAPE)
        with pytest.raises(SnapshotError, match=r"3\.snapshot: Permission denied; give this user"):
            save_number(folder / "closed", 3)

    assert dying(as_somebody) == 0


def test_only_what_is_old_enough_will_do(folder):
    for number in (1, 5, 9):
        save_number(folder, number)
    found = [newest(folder, SHAPE, most)[0] for most in (0, 1, 4, 5, 8, 9, 10)]
    assert [each and number_of(each) for each in found] == [None, 1, 1, 5, 5, 9, 9]


def test_the_last_whole_ones_are_kept(folder):
    for number in range(1, 7):
        save_number(folder, number)
    damaged = [folder / f"{number:020d}.snapshot" for number in (4, 6)]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[PAGE + 1] ^= 1  # which the description does not tell
        path.write_bytes(content)
    assert [item.fault for item in listed(folder)] == [""] * 6
    assert prune(folder, 2) == 2
    assert [int(name[:20]) for name in names(folder)] == [3, 4, 5, 6]
    assert number_of(newest(folder, SHAPE)[0]) == 5
    assert prune(folder, 1) == 2
    assert prune(folder, 1) == 0
    assert [int(name[:20]) for name in names(folder)] == [5, 6]


def test_others_shapes_do_not_count_as_kept(folder):
    for number in (8, 9):
        save_number(folder, number, shape="limits: 20")
    for number in (1, 2, 3):
        save_number(folder, number)
    assert prune(folder, 2, SHAPE) == 1
    assert [int(name[:20]) for name in names(folder)] == [2, 3, 8, 9]
    assert prune(folder, 2) == 2
    assert [int(name[:20]) for name in names(folder)] == [8, 9]


def test_a_snapshot_that_is_open_outlives_its_file(folder):
    path = save_number(folder, 1)
    found, _ = newest(folder, SHAPE)
    save_number(folder, 2)
    prune(folder, 1)
    assert not path.exists()
    assert number_of(found) == 1
    with pytest.raises(SnapshotError, match="is not there"):
        Snapshot(path)


def test_there_is_always_a_newest_one(folder):
    """Also while another process saves a newer one and removes the one that was found."""
    save_number(folder, 1)

    def saves():
        for number in range(2, 10**9):
            save_number(folder, number)
            prune(folder, 1)

    with in_child(saves):
        last = 0
        for _ in range(20 * EXAMPLES):
            found, passed = newest(folder, SHAPE)
            assert not passed
            number = number_of(found)
            assert number >= last
            last = number
            for item in listed(folder):
                assert not item.fault
    assert last > 1


def test_damage_after_opening_is_found_when_loading(folder):
    path = save_number(folder, 1)
    found, _ = newest(folder, SHAPE)
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), b"\xff", PAGE + 9)
        with pytest.raises(SnapshotError, match="is damaged or cut short; remove it"):
            loaded(found)
        os.ftruncate(file.fileno(), PAGE + 9)
        with pytest.raises(SnapshotError, match="is damaged or cut short; remove it"):
            loaded(found)


def test_blocks_are_asked_for_by_name_and_size(folder):
    found = Snapshot(save_number(folder, 1))
    with pytest.raises(SnapshotError, match="has no block 'other'"):
        found.load("other", np.zeros(24, np.uint8))
    with pytest.raises(SnapshotError, match="block 'names' has 24 bytes, 32 are wanted"):
        found.load("names", np.zeros(32, np.uint8))


def test_one_process_saves_at_a_time(folder):
    file = os.open(folder, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(SnapshotError, match="another process is saving here; stop it first"):
        save_number(folder, 1)
    os.close(file)
    save_number(folder, 1)


def test_what_is_interrupted_leaves_nothing(folder):
    def interrupt():
        assert DRAFT in names(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(folder, {"events": 1}, SHAPE, of(1), interrupt)
    assert names(folder) == []


def test_positions_may_be_saved_again(folder):
    save(folder, {"events": 3}, "old", of(1))
    path = save(folder, {"events": 3}, SHAPE, of(2))
    assert same(loaded(newest(folder, SHAPE)[0]), of(2))
    assert names(folder) == [path.name]


def test_files_are_closed(folder):
    path = save_number(folder, 1)
    (folder / f"{2:020d}.snapshot").write_bytes(b"x" * 2 * PAGE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Snapshot(path)
        listed(folder)
        prune(folder, 1)
        with contextlib.suppress(SnapshotError):
            Snapshot(path, "other")
    assert len(os.listdir("/proc/self/fd")) == before
