"""Files that are there whole or not at all."""

import os
import socket
import stat
import threading

import pytest

from ringbuf.durable import (
    make_folder,
    replace_file,
    settle,
    start_writing,
    sync_folder,
    write_all,
)


def test_a_file_takes_the_place_of_another(tmp_path):
    path = tmp_path / "cursor"
    for content in (b"first", b"second"):
        replace_file(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["cursor"]


def test_a_file_gets_its_name(tmp_path):
    (tmp_path / "draft").write_bytes(b"content")
    settle(tmp_path / "draft", tmp_path / "name")
    assert os.listdir(tmp_path) == ["name"]
    with pytest.raises(FileNotFoundError):
        settle(tmp_path / "draft", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"content"


def test_folders_are_made_for_this_user_only(tmp_path):
    tmp_path.chmod(0o755)
    for _ in range(2):
        make_folder(tmp_path / "some" / "more")
    assert stat.S_IMODE((tmp_path / "some" / "more").stat().st_mode) == 0o700
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "other")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "more")


def test_every_byte_is_written():
    """A socket takes less than it is given."""
    content, taken = os.urandom(3_000_000), []
    here, there = socket.socketpair()

    def take():
        while part := there.recv(1 << 16):
            taken.append(part)

    thread = threading.Thread(target=take)
    thread.start()
    write_all(here.fileno(), content)
    here.close()
    thread.join()
    there.close()
    assert b"".join(taken) == content


def test_to_start_writing_changes_nothing(tmp_path):
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        content = os.urandom(100_000)
        write_all(file.fileno(), content)
        start_writing(file.fileno(), 0, 50_000)
        start_writing(file.fileno(), 4096, 10**9)
        assert os.pread(file.fileno(), 200_000, 0) == content
