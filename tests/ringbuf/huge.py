"""Huge pages for tests: a hugetlbfs with pages in its pool, or a tmpfs that gives transparent ones.

Both need root (CAP_SYS_ADMIN) and are undone afterwards; where they cannot be had a test skips.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringbuf import pages

NR = pages.POOL / "nr_hugepages"


@contextlib.contextmanager
def mounted(folder: Path, kind: str, options: str) -> Iterator[Path]:
    """A file system of a test's own."""
    folder.mkdir()
    command = ["mount", "-t", kind, "-o", options, "none", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a {kind} here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def reserved(count: int) -> Iterator[None]:
    """So many more huge pages in the kernel's pool."""
    before = pages.pool()[0]
    try:
        NR.write_text(str(before + count))
    except OSError as refusal:
        pytest.skip(f"cannot reserve huge pages here: {refusal}")
    try:
        if pages.pool()[1] < count:
            pytest.skip("this host has no memory in pieces of 2 MiB to spare")
        yield
    finally:
        NR.write_text(str(before))


@contextlib.contextmanager
def hugetlbfs(folder: Path, count: int = 16, options: str = "pagesize=2M") -> Iterator[Path]:
    """A hugetlbfs with `count` more pages in the pool."""
    with mounted(folder, "hugetlbfs", options), reserved(count):
        yield folder
