"""Segments in huge pages, on the real kernel: got, measured, refused, fallen back from."""

import mmap
import os
import time
from pathlib import Path

import pytest

from ringbuf import files, memory, pages
from ringbuf.memory import OWNER, WRITER, SegmentError, SegmentExists, alive, attach, create
from ringbuf.pages import HUGE, SMALL, huge_pages
from tests.ringbuf.huge import hugetlbfs, mounted
from tests.ringbuf.segments import dying, fork, in_child, kill, wait

SIZE = 3 * HUGE // 2
RACES = 20


@pytest.fixture
def huge(tmp_path):
    with hugetlbfs(tmp_path / "huge pages") as folder:  # a space is written \040 in /proc/mounts
        assert folder in pages.huge_folders()
        yield folder


@pytest.fixture
def no_hugetlbfs(monkeypatch):
    monkeypatch.setattr(pages, "huge_folders", list)


def huge_segment(pipeline, part="part", **options):
    with huge_pages(True):
        return create(pipeline, part, "ring", SIZE, "{}", **options)


def where(segment) -> Path:
    found = files.find(segment.name)
    assert found is not None
    return found


def test_pages_are_small_unless_asked(pipeline):
    segment = create(pipeline, "part", "ring", SIZE, "{}")
    assert where(segment).parent == pages.SHARED
    assert segment.page_sizes == {SMALL: memory.PAYLOAD + SIZE}
    assert (int(segment.header["huge"]), bytes(segment.header["why"])) == (0, b"")


def test_a_wish_ends_with_its_block():
    with huge_pages(True):
        assert pages.asked()
        with huge_pages(False):
            assert not pages.asked()
        assert pages.asked()
    assert not pages.asked()


def test_a_segment_in_huge_pages_is_found_like_any_other(pipeline, huge):
    free = pages.pool()[1]
    segment = huge_segment(pipeline, fill=lambda draft: draft.payload.fill(7))
    assert where(segment).parent in pages.huge_folders()
    assert segment.page_sizes == {HUGE: 2 * HUGE}
    assert pages.pool()[1] == free - 2
    assert (int(segment.header["huge"]), bytes(segment.header["why"])) == (1, b"")
    assert int(segment.header["size"]) == 2 * HUGE
    assert where(segment).stat().st_mode & 0o777 == 0o600
    assert memory.names(pipeline) == [segment.name]
    found = attach(pipeline, "part", "ring", "{}", writable=True)
    assert found.payload.all()
    assert found.page_sizes == {HUGE: 2 * HUGE}
    assert memory.look(segment.name).page_sizes == {HUGE: 2 * HUGE}
    found.hold(WRITER, "writer")
    assert alive(segment.name)
    with pytest.raises(SegmentError, match="another living process is its writer already"):
        segment.hold(WRITER, "writer")
    found.close()
    assert not alive(segment.name)
    memory.unlink(segment.name)
    assert memory.names(pipeline) == []


def test_a_role_is_free_when_its_holder_is_killed(pipeline, huge):
    def hold(ready):
        theirs = attach(pipeline, "part", "ring", writable=True)
        theirs.hold(OWNER, "owner")
        os.write(ready, b"!")
        time.sleep(60)

    segment = huge_segment(pipeline)
    listen, ready = os.pipe()
    with in_child(lambda: hold(ready)) as child:
        os.read(listen, 1)
        assert memory.roles_held(segment.name) == [OWNER]
    assert memory.roles_held(segment.name) == []
    assert int(segment.header["holders"]["pid"][OWNER]) == child
    os.close(listen)
    os.close(ready)


def test_huge_memory_is_given_back_by_a_creator_that_was_killed(pipeline, huge):
    def make(ready):
        huge_segment(pipeline, fill=lambda draft: (os.write(ready, b"!"), time.sleep(60)))

    free = pages.pool()[1]
    listen, ready = os.pipe()
    child = fork(lambda: make(ready))
    os.read(listen, 1)
    assert pages.pool()[1] == free - 2
    kill(child)
    assert memory.names(pipeline) == []
    assert memory.remove_dead_drafts() >= 1
    assert not list(huge.iterdir())
    assert pages.pool()[1] == free
    os.close(listen)
    os.close(ready)


def test_a_name_is_taken_in_all_folders(pipeline, huge):
    segment = huge_segment(pipeline)
    with pytest.raises(SegmentExists):
        create(pipeline, "part", "ring", SIZE, "{}")
    memory.unlink(segment.name)
    create(pipeline, "part", "ring", SIZE, "{}")
    with pytest.raises(SegmentExists):
        huge_segment(pipeline)
    assert not list(huge.iterdir())


def test_of_creators_that_race_in_two_folders_one_wins(pipeline, huge):
    def race(begin, asked, part):
        os.close(begin[1])
        os.read(begin[0], 1)  # returns when the parent closes its end
        try:
            with huge_pages(asked):
                create(pipeline, part, "ring", 4096, "{}").close()
        except SegmentExists:
            os._exit(17)

    for number in range(RACES):
        begin = os.pipe()
        part = f"race{number}"
        racers = [fork(lambda n=n: race(begin, n % 2, part)) for n in range(4)]  # noqa: B023
        for end in begin:
            os.close(end)
        assert sorted(map(wait, racers)) == [0, 17, 17, 17]
        found = [folder for folder in pages.folders() for path in folder.glob(f"*.{part}")]
        assert len(found) == 1
        memory.unlink(memory.full_name(pipeline, part))


def test_a_pool_that_is_too_small_is_fallen_back_from_before_use(pipeline, huge):
    total, free = pages.pool()
    need = free + 2
    with huge_pages(True):
        segment = create(pipeline, "part", "ring", (need - 1) * HUGE, "{}")
    assert where(segment).parent == pages.SHARED
    assert segment.page_sizes == {SMALL: memory.PAYLOAD + (need - 1) * HUGE}
    why = segment.header["why"].decode()
    assert f"{free} of {total} huge pages free (sysctl vm.nr_hugepages={total + 2})" in why
    assert "mount -o remount,huge=advise" in why
    segment.payload.fill(1)  # every page of it is there
    assert not list(huge.iterdir())
    assert pages.pool() == (total, free)


def test_a_mount_that_is_full_is_told_from_a_pool_that_is_empty(pipeline, tmp_path):
    with hugetlbfs(tmp_path / "one", options="pagesize=2M,size=2M") as folder:
        if pages.huge_folders() != [folder]:
            pytest.skip("this host has another hugetlbfs, which takes the segment")
        segment = huge_segment(pipeline)
        assert f"{folder} is full" in segment.header["why"].decode()
        memory.unlink(segment.name)


def test_a_mount_that_we_may_not_write_to(pipeline, huge):
    def try_it():
        os.setgid(65534)
        os.setuid(65534)
        segment = huge_segment(pipeline)
        assert "Permission denied" in segment.header["why"].decode(), segment.header["why"]
        assert segment.page_sizes.keys() == {SMALL}

    huge.chmod(0o755)
    for folder in (huge.parent, *huge.parents[1:4]):
        folder.chmod(0o755)
    assert dying(try_it) == 0


@pytest.mark.usefixtures("no_hugetlbfs")
def test_with_neither_way_pages_are_small_and_the_header_says_why(pipeline):
    if pages.may_be_transparent():
        pytest.skip("here /dev/shm has transparent huge pages")
    segment = huge_segment(pipeline)
    assert segment.page_sizes == {SMALL: memory.PAYLOAD + SIZE}
    assert segment.header["why"].decode() == (
        "no hugetlbfs (mount -t hugetlbfs none /dev/hugepages); "
        "/dev/shm without huge= (mount -o remount,huge=advise /dev/shm)"
    )


@pytest.mark.usefixtures("no_hugetlbfs")
@pytest.mark.parametrize("option", ["advise", "within_size", "always"])
def test_transparent_huge_pages_where_the_mount_has_them(pipeline, tmp_path, monkeypatch, option):
    with mounted(tmp_path / "shm", "tmpfs", f"huge={option}") as folder:
        monkeypatch.setattr(pages, "SHARED", folder)
        assert pages.may_be_transparent()
        segment = huge_segment(pipeline, fill=lambda draft: draft.payload.fill(9))
        assert segment.page_sizes == {HUGE: 2 * HUGE}
        assert bytes(segment.header["why"]) == b""
        found = attach(pipeline, "part", "ring", "{}")
        assert found.page_sizes == {HUGE: 2 * HUGE}
        assert found.payload.all()
        segment.close()
        found.close()
        memory.unlink(segment.name)


@pytest.mark.usefixtures("no_hugetlbfs")
def test_a_mount_without_them_keeps_small_pages(pipeline, tmp_path, monkeypatch):
    with mounted(tmp_path / "shm", "tmpfs", "huge=never") as folder:
        monkeypatch.setattr(pages, "SHARED", folder)
        assert not pages.may_be_transparent()
        segment = huge_segment(pipeline)
        assert segment.page_sizes.keys() == {SMALL}
        assert f"mount -o remount,huge=advise {folder}" in segment.header["why"].decode()
        memory.unlink(segment.name)


def test_a_full_shared_memory_is_one_clear_error(pipeline, tmp_path, monkeypatch):
    """Never a SIGBUS: whatever was made can be written to its last byte."""
    with mounted(tmp_path / "shm", "tmpfs", "size=4M") as folder:
        monkeypatch.setattr(pages, "SHARED", folder)
        first = create(pipeline, "first", "ring", HUGE, "{}")
        with pytest.raises(SegmentError, match=r"second: .* bytes do not fit, .* free; make rings"):
            create(pipeline, "second", "ring", HUGE, "{}")
        first.payload.fill(1)
        assert [path.name for path in folder.iterdir()] == [first.name]
        memory.unlink(first.name)


def test_a_segment_of_a_hugetlbfs_that_went_is_no_segment(pipeline, tmp_path):
    with hugetlbfs(tmp_path / "going"):
        segment = huge_segment(pipeline)
        if not where(segment).is_relative_to(tmp_path):
            memory.unlink(segment.name)
            pytest.skip("this host has another hugetlbfs, which took the segment")
    assert memory.names(pipeline) == []
    with pytest.raises(SegmentError, match="does not exist"):
        attach(pipeline, "part", "ring")
    segment.payload.fill(1)  # whoever has it mapped keeps it


def test_only_a_mapping_has_pages():
    assert pages.sizes(0) == {}
    assert mmap.PAGESIZE == SMALL


def test_sizes_are_whole_pages():
    assert [pages.round_up(size, HUGE) for size in (1, HUGE, HUGE + 1)] == [HUGE, HUGE, 2 * HUGE]


def test_a_host_without_a_pool_has_no_pages(monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "POOL", tmp_path)
    assert pages.pool() == (0, 0)
    failure = OSError(28, os.strerror(28))
    assert pages.refusal(tmp_path, SIZE, failure) == (
        "0 of 0 huge pages free (sysctl vm.nr_hugepages=2)"
    )
