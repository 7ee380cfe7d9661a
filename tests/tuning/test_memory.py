"""Memory is locked, or the outcome says how much and why not."""

import json
import os
import resource
import subprocess
import sys

import pytest

from tuning.memory import Limit, limits, locked_bytes

LOCK = """
import json, mmap, os, resource, sys
from tuning.memory import lock_all, locked_bytes, unlock_all
user, limit = map(int, sys.argv[1:])
if limit:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
if user:
    os.setuid(user)
outcome = lock_all()
before = locked_bytes()
later = mmap.mmap(-1, 1 << 24)
grown = locked_bytes() - before
unlock_all()
print(json.dumps([outcome.granted, outcome.got, outcome.why, before, grown, locked_bytes()]))
"""


def lock(user: int = 0, limit: int = 0) -> list:
    """Lock all memory in a process of its own: granted, got, why, bytes, growth, bytes after."""
    command = [sys.executable, "-c", LOCK, str(user), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_lock_all_says_what_is_locked():
    granted, got, why, locked, grown, after = lock()
    assert after == 0
    if granted:
        assert why == ""
        assert got == f"{locked} bytes now and all that comes"
        assert locked > 1 << 20
        assert grown >= 1 << 24
    else:
        assert got == f"{locked} bytes now"
        assert "LimitMEMLOCK=infinity" in why


def test_an_unprivileged_user_under_a_small_limit_is_told():
    nobody = 65534 if os.getuid() == 0 else 0
    granted, got, why, locked, grown, _ = lock(nobody, 1 << 16)
    assert (granted, got, locked, grown) == (False, "0 bytes now", 0, 0)
    assert why.startswith("ENOMEM")
    assert "the limit is 65536 bytes: set LimitMEMLOCK=infinity or grant CAP_IPC_LOCK" in why


def test_under_a_wide_limit_only_what_there_is_now_is_locked():
    """Else a later allocation beyond the limit would fail in the middle of the day."""
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if os.getuid() != 0 or 0 <= hard < 1 << 30:
        pytest.skip(f"the limit of locked memory is {hard} bytes and cannot be widened here")
    granted, _, why, locked, grown, _ = lock(65534, 1 << 30)
    assert (granted, grown) == (False, 0)
    assert locked > 1 << 20
    assert "the limit is 1073741824 bytes" in why


def test_limits_are_those_of_the_kernel():
    found = limits()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found["open files"] == Limit(soft, hard)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    assert found["core file"] == Limit(*(None if value < 0 else value for value in (soft, hard)))
    assert {"locked memory", "real-time priority", "file size"} <= set(found)


HELD = """
import sys
from tuning.memory import lock_all, locked_bytes
lock_all()
print(locked_bytes(), flush=True)
sys.stdin.read()
"""


def test_what_another_process_has_locked_is_seen_from_outside():
    command = [sys.executable, "-c", HELD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as held:
        told = int(held.stdout.readline())
        assert locked_bytes(held.pid) >= told
        assert (told > 0) == (locked_bytes(held.pid) > 0)
        held.communicate()
    assert locked_bytes(held.pid) == 0  # gone
