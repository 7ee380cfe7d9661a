import mmap
import os
import random
import stat
import time

import numpy as np
import pytest

from ringbuf import files, memory
from ringbuf.host import boot_id, start_time
from ringbuf.memory import (
    FOLDER,
    HEADER,
    PAYLOAD,
    TEXT,
    SegmentError,
    SegmentExists,
    alive,
    attach,
    create,
)
from ringbuf.record import layout_hash, offset
from tests.ringbuf.segments import dying, fork, kill, wait

SIZE = 3 * mmap.PAGESIZE
LAYOUT = '{"thing":{"kind":-1,"size":64,"fields":[]}}'
RACERS, RACES = 5, 10
DEATHS = 40


@pytest.fixture
def segment(pipeline):
    made = create(pipeline, "part", "ring", SIZE, LAYOUT, capacity=128, record_size=64)
    yield made
    made.close()


def path_of(segment):
    return FOLDER / segment.name


def drafts():
    return [path.name for path in FOLDER.glob(f"corelane-draft.{os.getpid()}.*")]


def patch(segment, field, value):
    """Write into the header of a segment behind its back."""
    name, form = offset(HEADER, field), HEADER.fields[field][0]
    with path_of(segment).open("r+b") as file:
        file.seek(name)
        file.write(np.array(value, form).tobytes())


def test_a_segment_is_private_zeroed_and_recognised(pipeline, segment):
    state = path_of(segment).stat()
    assert stat.S_IMODE(state.st_mode) == 0o600
    assert state.st_size == PAYLOAD + SIZE
    assert not segment.payload.any()
    found = attach(pipeline, "part", "ring", LAYOUT)
    assert found.raw_text == LAYOUT
    assert found.text["thing"]["size"] == 64
    header = found.header
    assert (int(header["capacity"]), int(header["record_size"])) == (128, 64)
    assert (int(header["pid"]), int(header["start_time"])) == (
        os.getpid(),
        start_time(os.getpid()),
    )
    assert header["boot"].decode() == boot_id()
    assert abs(int(header["created_ns"]) - time.time_ns()) < 60e9
    assert drafts() == []


def test_it_is_private_under_any_umask(pipeline):
    before = os.umask(0)
    try:
        made = create(pipeline, "open", "ring", SIZE, LAYOUT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path_of(made).stat().st_mode) == 0o600


def test_every_page_is_backed_before_first_use(segment):
    assert path_of(segment).stat().st_blocks * 512 >= PAYLOAD + SIZE


@pytest.mark.parametrize("size", [0, 1, mmap.PAGESIZE, mmap.PAGESIZE + 1])
def test_sizes_are_whole_pages(pipeline, size):
    made = create(pipeline, "sized", "ring", size, LAYOUT)
    pages = -(-size // mmap.PAGESIZE)
    assert len(made.payload) == pages * mmap.PAGESIZE


def test_what_one_writes_another_process_sees(pipeline, segment):
    def write():
        attach(pipeline, "part", "ring", writable=True).payload[100] = 42

    looker = attach(pipeline, "part", "ring")
    assert dying(write) == 0
    assert looker.payload[100] == 42


def test_a_look_cannot_write(pipeline, segment):
    looker = attach(pipeline, "part", "ring")
    with pytest.raises(ValueError, match="read-only"):
        looker.payload[0] = 1


def test_the_payload_is_filled_before_anybody_sees_it(pipeline):
    def fill(draft):
        assert not path_of(draft).exists()
        draft.payload[:3] = 7

    create(pipeline, "filled", "ring", SIZE, LAYOUT, fill=fill)
    assert attach(pipeline, "filled", "ring").payload[:4].tolist() == [7, 7, 7, 0]


def test_a_creator_that_fails_leaves_nothing(pipeline):
    def fail(draft):
        raise KeyError("half way")

    with pytest.raises(KeyError):
        create(pipeline, "failed", "ring", SIZE, LAYOUT, fill=fail)
    assert memory.names(pipeline) == []
    assert drafts() == []


def test_a_taken_name_is_refused_and_the_segment_left_alone(pipeline, segment):
    segment.payload[0] = 9
    with pytest.raises(SegmentExists, match=r"part: exists already"):
        create(pipeline, "part", "ring", SIZE, LAYOUT)
    assert attach(pipeline, "part", "ring").payload[0] == 9
    assert drafts() == []


def test_of_racing_creators_exactly_one_wins(pipeline):
    def race(begin, part):
        os.close(begin[1])
        os.read(begin[0], 1)  # returns when the parent closes its end
        try:
            create(pipeline, part, "ring", SIZE, LAYOUT)
        except SegmentExists:
            os._exit(17)

    for number in range(RACES):
        begin = os.pipe()
        racers = [fork(lambda: race(begin, f"race{number}")) for _ in range(RACERS)]  # noqa: B023
        for end in begin:
            os.close(end)
        assert sorted(map(wait, racers)) == [0] + [17] * (RACERS - 1)
        attach(pipeline, f"race{number}", "ring", LAYOUT).close()


def test_a_creator_killed_anywhere_leaves_a_whole_segment_or_none(pipeline):
    def make():
        create(
            pipeline, "victim", "ring", 256 * mmap.PAGESIZE, LAYOUT,
            fill=lambda draft: draft.payload.fill(1),
        )  # fmt: skip
        time.sleep(10)

    chance, whole, absent = random.Random(1), 0, 0
    while min(whole, absent) < DEATHS // 3 or whole + absent < DEATHS:
        child = fork(make)
        time.sleep(chance.uniform(0, 0.004))
        kill(child)
        memory.remove_dead_drafts()
        assert not list(FOLDER.glob(f"corelane-draft.{child}.*"))
        if not memory.names(pipeline):
            absent += 1
            continue
        found = attach(pipeline, "victim", "ring", LAYOUT)
        assert found.payload.all()
        whole += 1
        found.close()
        memory.unlink(found.name)


def test_drafts_of_the_dead_are_removed_and_those_of_the_living_stay():
    gone = fork(lambda: None)
    wait(gone)
    mine = os.getpid(), start_time(os.getpid())
    dead = FOLDER / f"corelane-draft.{gone}.5.x"
    living = FOLDER / "corelane-draft.{}.{}.x".format(*mine)
    namesake = FOLDER / f"corelane-draft.{mine[0]}.{mine[1] - 1}.x"  # our id, used before us
    strange = FOLDER / f"corelane-draft.me{mine[0]}.x"
    paths = (dead, living, namesake, strange)
    try:
        for path in paths:
            path.touch()
        assert memory.remove_dead_drafts() >= 3
        assert [path.exists() for path in paths] == [False, True, False, False]
    finally:
        living.unlink()


def test_a_full_file_system_is_an_error_that_leaves_nothing(pipeline):
    room = os.statvfs(FOLDER)
    size = 2 * room.f_blocks * room.f_frsize
    with pytest.raises(SegmentError, match=r"bytes do not fit, /dev/shm has [\d,]+ free; make"):
        create(pipeline, "vast", "ring", size, LAYOUT)
    assert memory.names(pipeline) == []
    assert drafts() == []
    assert os.statvfs(FOLDER).f_bfree > 0


def test_an_absent_segment_is_refused():
    with pytest.raises(SegmentError, match="does not exist; is a pipeline named 'nobody' running"):
        attach("nobody", "part", "ring")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("magic", 1, "is not a segment of Corelane"),
        ("version", 99, "has layout version 99, this program reads 2"),
        ("size", 1 << 40, "was cut from 1099511627776 to 20480 bytes"),
        ("boot", b"another-boot", "is left from an earlier boot"),
        ("boot", b"\xff" * 40, "is left from an earlier boot"),
        ("kind", b"board", "holds a board, not a ring"),
        ("kind", b"\xff\xfe", "not a ring"),
        ("layout", 12345, "has a damaged description"),
        ("text_length", -5, "has a damaged header"),
        ("text_length", 2**31 - 1, "has a damaged header"),
        ("text_length", 3, "has a damaged description"),
        ("capacity", 1 << 40, "has a damaged header"),
        ("record_size", -64, "has a damaged header"),
    ],
)
def test_a_header_that_says_otherwise_is_refused(pipeline, segment, field, value, reason):
    attach(pipeline, "part", "ring", LAYOUT).close()
    patch(segment, field, value)
    with pytest.raises(SegmentError, match=reason):
        attach(pipeline, "part", "ring", LAYOUT)


def test_a_damaged_description_is_refused_at_every_byte(pipeline, segment):
    for place in range(len(LAYOUT)):
        for bit in (1, 128):
            segment.bytes[TEXT + place] ^= bit
            with pytest.raises(SegmentError, match="damaged description"):
                attach(pipeline, "part", "ring")
            segment.bytes[TEXT + place] ^= bit
    attach(pipeline, "part", "ring").close()


def test_records_of_another_layout_are_refused_unless_any_will_do(pipeline, segment):
    other = LAYOUT.replace("64", "128")
    assert layout_hash(other) != layout_hash(LAYOUT)
    with pytest.raises(SegmentError, match="another layout than this program's; restart"):
        attach(pipeline, "part", "ring", other)
    attach(pipeline, "part", "ring").close()


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (0, "0 bytes is no segment of ours"),
        (PAYLOAD - 1, "8191 bytes is no segment of ours"),
        (PAYLOAD + mmap.PAGESIZE, f"was cut from {PAYLOAD + SIZE} to {PAYLOAD + mmap.PAGESIZE}"),
    ],
)
def test_a_truncated_segment_is_refused(pipeline, segment, length, reason):
    os.truncate(path_of(segment), length)
    with pytest.raises(SegmentError, match=reason):
        attach(pipeline, "part", "ring")


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 3 * PAYLOAD])
def test_a_foreign_file_is_refused(pipeline, content):
    path = FOLDER / memory.full_name(pipeline, "alien")
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SegmentError, match=r"no segment of ours|not a segment of Corelane"):
        attach(pipeline, "alien", "ring")


@pytest.mark.parametrize("writable", [False, True])
def test_a_link_a_folder_and_a_pipe_are_refused(pipeline, segment, writable):
    def alien(make):
        path = FOLDER / memory.full_name(pipeline, "alien")
        make(path)
        try:
            with pytest.raises(SegmentError, match="is no plain file"):
                attach(pipeline, "alien", "ring", writable=writable)
        finally:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    alien(lambda path: path.symlink_to(path_of(segment)))
    alien(lambda path: path.mkdir())
    alien(os.mkfifo)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_segment_that_others_may_write_is_refused(pipeline, segment, mode):
    path_of(segment).chmod(mode)
    with pytest.raises(SegmentError, match="others may write to it"):
        attach(pipeline, "part", "ring")


def test_a_look_takes_what_it_finds(pipeline, segment):
    patch(segment, "version", 99)
    found = memory.look(segment.name)
    assert "layout version 99" in memory.fault(found, "ring", None)
    assert not found.writable
    path = FOLDER / memory.full_name(pipeline, "alien")
    os.mkfifo(path)
    with pytest.raises(SegmentError, match=r"alien: .*"):
        memory.look(path.name)
    memory.unlink(path.name)
    with pytest.raises(SegmentError, match="alien: No such file"):
        memory.look(path.name)


def test_a_folder_with_a_segments_name_is_told_of_when_it_is_in_the_way(pipeline):
    path = FOLDER / memory.full_name(pipeline, "folder")
    path.mkdir()
    try:
        with pytest.raises(SegmentError, match=rf"cannot be removed \(.*\); look at {path}"):
            memory.unlink(path.name)
    finally:
        path.rmdir()


def test_names_lists_a_pipelines_segments_and_unlink_removes_them(pipeline, segment):
    other = create(pipeline + "x", "part", "ring", SIZE, LAYOUT)
    try:
        create(pipeline, "another", "ring", SIZE, LAYOUT)
        assert memory.names(pipeline) == [
            memory.full_name(pipeline, part) for part in ("another", "part")
        ]
        assert {segment.name, other.name} <= set(memory.names())
    finally:
        memory.unlink(other.name)
    memory.unlink(segment.name)
    memory.unlink(segment.name)
    assert memory.names(pipeline) == [memory.full_name(pipeline, "another")]
    assert not alive(segment.name)
    segment.payload[5] = 1  # whoever has it mapped keeps it
    assert segment.payload[5] == 1


def test_what_is_made_aside_is_found_by_its_maker_only_while_it_is_aside(pipeline):
    with files.aside():
        assert files.is_aside()
        made = create(pipeline, "part", "ring", SIZE, LAYOUT, capacity=128, record_size=64)
        found = attach(pipeline, "part", "ring", LAYOUT, writable=True)
        found.payload[7] = 9
        assert made.payload[7] == 9
        assert int(found.header["capacity"]) == 128
        assert memory.names(pipeline) == []
        found.hold(memory.WRITER, "writer")
        other = attach(pipeline, "part", "ring", LAYOUT, writable=True)
        with pytest.raises(SegmentError, match="writer"):  # roles are the same there
            other.hold(memory.WRITER, "writer")
    assert not files.is_aside()
    with pytest.raises(SegmentError, match="does not exist"):
        attach(pipeline, "part", "ring", LAYOUT)
    found.payload[8] = 10  # and those who have it go on using it
    assert made.payload[8] == 10
    assert drafts() == []
    for segment in (made, found, other):
        segment.close()


def test_a_name_may_be_made_aside_again_and_beside_a_real_one(pipeline, segment):
    segment.payload[0] = 1
    for value in (2, 3):
        with files.aside():
            made = create(pipeline, "part", "ring", SIZE, LAYOUT, capacity=128, record_size=64)
            assert not made.payload.any()
            attach(pipeline, "part", "ring", writable=True).payload[0] = value
            assert made.payload[0] == value
    assert attach(pipeline, "part", "ring").payload[0] == 1


def test_what_was_not_made_aside_is_still_found_from_there(pipeline, segment):
    segment.payload[0] = 5
    with files.aside():
        assert attach(pipeline, "part", "ring").payload[0] == 5


def test_a_child_that_is_killed_leaves_nothing_of_what_it_made_aside(pipeline):
    def task():
        with files.aside():
            create(pipeline, "part", "ring", SIZE, LAYOUT, capacity=128, record_size=64)
            os.kill(os.getpid(), 9)

    assert dying(task) == -9
    assert memory.names(pipeline) == []
    assert drafts() == []


def test_a_failure_while_filling_aside_goes_through(pipeline):
    def fill(_):
        raise RuntimeError("no")

    with files.aside(), pytest.raises(RuntimeError, match="no"):
        create(pipeline, "part", "ring", SIZE, LAYOUT, 128, 64, fill)
    assert not files.is_aside()
