"""Starting while the system refuses a call: one clear message, and nothing left behind.

strace has the n-th call of a kind fail. Where it is not installed the tests say so and skip.
CORELANE_SYSCALLS=all tries many more of them.
"""

import os
import shutil
import subprocess

import pytest

from ringbuf.jit import compiled
from tests.pipeline.running import COMMAND, LIMIT_S, ROOT, TOGETHER, WIDE, Place

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
    pytest.mark.skipif(not compiled(), reason="compiled kernels start more quickly"),
]
DAY = {"kind": "synthetic", "messages": 10_000, "symbols": 3, "seed": 5}
# In the supervisor: it makes the memory and the journal's files.
MAKING = [
    ("fallocate", "ENOSPC", (1, 4)),
    ("link", "EIO", (1,)),
    ("fchmod", "EPERM", (1,)),
    ("fdatasync", "EIO", (1,)),
    ("pwrite64", "ENOSPC", (1,)),
    ("rename", "EACCES", (1,)),
    ("mkdir", "EROFS", (1,)),
]
# In the stages: they write, and give the disk what they wrote.
WORKING = [("fdatasync", "EIO"), ("pwrite64", "EIO")]
CASES = [
    (call, error, number)
    for call, error, numbers in MAKING
    for number in (range(1, 12) if os.environ.get("CORELANE_SYSCALLS") else numbers)
]


def configure(place: Place):
    """A short day with a journal."""
    return place.write(
        feeds=[DAY],
        processes=[[*TOGETHER[0], "journal", "snapshot"]],
        journal={"path": str(place.folder / "journal"), "segment_mb": 1, "durability": "sync"},
        ingest={"rate": 20_000.0},
        publisher=place.history(),
    )


def start(place: Place, inject: str, follow: bool) -> tuple[int, str]:
    """Run a pipeline with a journal under strace; its exit code and what it said."""
    path = configure(place)
    command = ["strace", "-qq", *["-f"] * follow, "-o", "/dev/null", "-e", f"inject={inject}"]
    done = subprocess.run(
        [*command, *COMMAND, "run", str(path)],
        cwd=ROOT, env=WIDE, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(("call", "error", "number"), CASES)
def test_a_call_that_fails_while_everything_is_made(place, call, error, number):
    code, said = start(place, f"{call}:error={error}:when={number}", follow=False)
    assert "Traceback" not in said, said
    assert code == 0 or "corelane: " in said, (code, said)
    place.check_clean()
    if call == "fdatasync":  # what is left of the files is no hindrance
        place.run(configure(place))


@pytest.mark.parametrize(("call", "error"), WORKING)
def test_a_disk_that_fails_while_the_stages_work(place, call, error):
    code, said = start(place, f"{call}:error={error}:when=25+", follow=True)
    assert "Traceback" not in said, said
    assert code == 1, said
    assert "journal" in said or "history" in said, said
    place.check_clean()
