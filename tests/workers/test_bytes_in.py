"""Byte sources: every byte of a file once, in order; damage ends it with one clear sentence."""

import bz2
import ctypes
import gzip
import lzma
import os
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.feeds.bytes_in import (
    BZIP2,
    SKIPPED,
    WINDOW,
    XZ,
    ZSTD,
    GzipFile,
    PackedFile,
    open_bytes,
    zstd,
)
from workers.feeds.feed import FeedError

PACKERS = {
    ZSTD: lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    XZ: lambda data: lzma.compress(data, preset=0),
    BZIP2: lambda data: bz2.compress(data, 1),
}


def read_all(source, seed: int = 0, stride: int = 1 << 30) -> bytes:
    """All bytes, some of each window at a time."""
    draw, parts = random.Random(seed), []
    while True:
        address, length, final = source.window()
        taken = min(draw.randrange(length + 1) if not final else length, stride)
        parts.append(ctypes.string_at(address, taken))
        source.consume(taken)
        if final and taken == length:
            return b"".join(parts)


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [1, 1000, WINDOW, WINDOW + 1, 3 * WINDOW + 17])
@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, 1), *PACKERS.values()])
def test_all_bytes_come_once_and_in_order(tmp_path, size, pack):
    path, data = tmp_path / "file", noise(size)
    path.write_bytes(pack(data))
    source = open_bytes(path)
    assert source.progress() == 0.0
    assert read_all(source) == data
    assert source.progress() == 1.0
    assert source.trouble == ""
    source.close()
    source.close()


def test_members_behind_one_another_and_padding(tmp_path):
    path, data = tmp_path / "file.gz", noise(50_000)
    pieces = [data[start : start + 9_000] for start in range(0, len(data), 9_000)]
    path.write_bytes(b"".join(map(gzip.compress, pieces)) + bytes(512))
    source = open_bytes(path)
    assert read_all(source) == data
    assert source.trouble == ""
    source.close()


@pytest.mark.parametrize("packing", PACKERS)
def test_frames_behind_one_another_and_padding(tmp_path, packing):
    path, data = tmp_path / f"file{packing.suffix}", noise(50_000)
    pieces = [data[start : start + 9_000] for start in range(0, len(data), 9_000)]
    path.write_bytes(b"".join(map(PACKERS[packing], pieces)) + bytes(512))
    source = open_bytes(path)
    assert read_all(source) == data
    assert source.trouble == ""
    assert source.progress() == 1.0
    source.close()


def test_zstd_frames_that_are_to_be_skipped(tmp_path):
    path, data = tmp_path / "file.zst", noise(1_000)
    notes = [magic + (5).to_bytes(4, "little") + b"a note"[:5] for magic in SKIPPED]
    path.write_bytes(notes[0] + zstd.compress(data) + b"".join(notes) + zstd.compress(data))
    source = open_bytes(path)
    assert read_all(source) == 2 * data
    assert not source.trouble
    source.close()


@pytest.mark.parametrize("pack", [gzip.compress, *PACKERS.values()])
def test_what_packs_a_thousandfold(tmp_path, pack):
    path, data = tmp_path / "file", bytes(5 * WINDOW)
    path.write_bytes(pack(data))
    source = open_bytes(path)
    assert read_all(source) == data
    source.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20_000), st.integers(2, 3_000), st.integers(0, 9))
def test_small_rooms(tmp_path_factory, size, room, seed):
    data = noise(size // 2, seed) + b"again and " * (size // 20)
    path = tmp_path_factory.getbasetemp() / "small.gz"
    path.write_bytes(gzip.compress(data))
    source = GzipFile(path, os.open(path, os.O_RDONLY), room)
    assert read_all(source, seed) == data
    assert not source.trouble
    source.close()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 20_000),
    st.integers(2, 3_000),
    st.integers(0, 9),
    st.sampled_from(list(PACKERS)),
)
def test_small_rooms_of_other_packings(tmp_path_factory, size, room, seed, packing):
    data = noise(size // 2, seed) + b"again and " * (size // 20)
    path = tmp_path_factory.getbasetemp() / "small.packed"
    path.write_bytes(PACKERS[packing](data))
    source = PackedFile(path, os.open(path, os.O_RDONLY), packing, room)
    assert read_all(source, seed) == data
    assert not source.trouble
    source.close()


def unpacked(packing, packed: bytes) -> bytes:
    """What comes out byte after byte until it fails."""
    unpacker, found = packing.unpacker(), b""
    try:
        for byte in packed:
            if unpacker.eof:
                found += unpacker.unused_data
                unpacker = packing.unpacker()
            found += unpacker.decompress(bytes([byte]))
    except packing.errors:
        pass
    return found


@settings(max_examples=90, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 9), st.sampled_from(list(PACKERS))
)
def test_other_packings_cut_off_or_damaged_anywhere(tmp_path_factory, place, change, seed, packing):
    data = noise(3_000, seed) + b"".join(b"%d," % (number * number) for number in range(3_000))
    first = PACKERS[packing](data[:2_000])
    packed = bytearray(first + PACKERS[packing](data[2_000:]))
    place = 6 + place % (len(packed) - 6)
    if change:
        packed[place] ^= change
    else:
        del packed[place:]
    path = tmp_path_factory.getbasetemp() / "hurt.packed"
    path.write_bytes(bytes(packed))
    source = open_bytes(path)
    found = read_all(source, seed)
    assert found == unpacked(packing, bytes(packed))
    if len(packed) != len(first) and found != data:
        assert "damaged" in source.trouble or "cut off" in source.trouble
    source.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 9))
def test_cut_off_anywhere(tmp_path_factory, end, seed):
    data = noise(3_000, seed) + b"again and " * 500
    packed = gzip.compress(data)
    end = 2 + end % (len(packed) - 2)
    path = tmp_path_factory.getbasetemp() / "cut.gz"
    path.write_bytes(packed[:end])
    source = open_bytes(path)
    found = read_all(source, seed)
    expected = zlib.decompressobj(31).decompress(packed[:end])
    assert found == expected == data[: len(found)]
    assert "cut off" in source.trouble
    source.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255), st.integers(0, 9))
def test_damaged_anywhere(tmp_path_factory, place, change, seed):
    data = b"".join(b"%d," % (number * number) for number in range(3_000))
    packed = bytearray(gzip.compress(data))
    place = 10 + place % (len(packed) - 10)
    packed[place] ^= change
    path = tmp_path_factory.getbasetemp() / "hurt.gz"
    path.write_bytes(bytes(packed))
    source = open_bytes(path)
    found = read_all(source, seed)
    assert source.trouble
    before = zlib.decompressobj(31).decompress(bytes(packed[:place]))
    assert found.startswith(before)
    assert data.startswith(before)
    source.close()


def test_a_file_that_shrinks_ends_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(noise(3 * WINDOW))
    source = open_bytes(path)
    source.consume(source.window()[1])
    os.truncate(path, WINDOW + 10)
    _, length, final = source.window()
    assert (length, final) == (10, True)
    assert "shrank" in source.trouble
    source.close()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "is empty"),
        ("day.zip", b"PK\x03\x04....", "unpack it first: unzip"),
        ("day.zst", b"plain text", "holds no zstd data"),
        ("day.xz", b"plain text", "holds no xz data"),
        ("day.bz2", b"plain text", "holds no bzip2 data"),
        ("day.gz", b"plain text", "holds no gzip data"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FeedError, match=message):
        open_bytes(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FeedError, match="cannot be opened"):
        open_bytes(tmp_path / "none")
    with pytest.raises(FeedError, match="is a folder"):
        open_bytes(tmp_path)
    with pytest.raises(FeedError, match="no regular file"):
        open_bytes("/dev/null")
