"""Stores that count down a budget where a test asks for it, and leave no trace where none does."""

import json
import os
import re
import subprocess
import sys
import types

import numba
import pytest

from ringbuf import atomics, jit, ring
from ringbuf.jit import compiled

# Kills a writer at each of its stores in turn: how many it made in each of its lives.
PROGRAM = """
import json
import numpy as np
from ringbuf import ring
from ringbuf.atomics import BUDGET, Killed, load_relaxed
from tests.crashes.layout import put

memory, record = np.zeros(ring.bytes_needed(4, 64) // 8, np.int64), np.arange(8)
writer = ring.writer_of(memory.ctypes.data, 4, 64)
seen = []
for budget in [*range(1, 12), 0]:
    memory[:] = 0
    put(BUDGET, budget)
    try:
        ring.push(writer, record.ctypes.data, 1, 5)
        died = False
    except Killed:
        died = True
    left = load_relaxed(BUDGET)
    put(BUDGET, 0)
    slots = memory[-32:].reshape(4, 8)
    seen.append((budget, died, left, slots[1].tolist(), int(ring.recover(writer))))
print(json.dumps(seen))
"""
WRITER = numba.types.NamedUniTuple(numba.types.int64, 5, ring.Writer)
READER = numba.types.NamedUniTuple(numba.types.int64, 7, ring.Reader)
NAMES = re.compile(r"_ZN[\w.$@]+|\.L[\w.$]+")


@pytest.mark.parametrize("plain", ["0", "1"])
def test_a_writer_dies_at_the_store_that_is_told(plain):
    if plain == "0" and not compiled():
        pytest.skip("machine code is not made")
    environment = {**os.environ, "CORELANE_TICKS": "1", "NUMBA_DISABLE_JIT": plain}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *lives, last = json.loads(ran.stdout)
    # The mark, seven words, the sequence, the writer's note: ten stores.
    for budget, died, left, slot, written in lives:
        assert died == (budget <= 10)
        assert left == max(budget - 10, 0) if not died else left == 0
        copied = max(min(budget - 2, 7), 0)
        mark = 0 if budget < 2 else -1 if budget < 10 else 1
        assert slot == [*range(copied), *[0] * (7 - copied), mark]
        assert written == (budget >= 10)
    assert last == [0, False, -10, [*range(7), 1], 1]


def emitted(function, signature):
    """The optimised LLVM text of a function, and its machine instructions, without names."""
    made = numba.njit(error_model="numpy")(function)
    made.compile(signature)
    lines = made.inspect_asm(made.signatures[0]).splitlines()
    code = [NAMES.sub("name", line) for line in lines if re.match(r"\t[a-z]", line)]
    return made.inspect_llvm(made.signatures[0]), code


@pytest.mark.skipif(not compiled(), reason="shows what the compiler emits")
@pytest.mark.parametrize("name", ["publish", "claim", "advance", "release", "close"])
def test_without_it_the_code_is_that_of_bare_stores(name):
    assert not jit.TICKS
    kernel = getattr(ring, name).py_func
    bare = {"store_release": atomics._store_release, "store_relaxed": atomics._store_relaxed}
    same = types.FunctionType(kernel.__code__, {**kernel.__globals__, **bare}, name)
    view = READER if name == "release" else WRITER
    signature = (view, *[numba.types.int64] * (kernel.__code__.co_argcount - 1))
    (text, code), (_, wanted) = emitted(kernel, signature), emitted(same, signature)
    assert len(code) > 10
    assert code == wanted
    assert str(atomics.BUDGET) not in text
    assert "Killed" not in text


@pytest.mark.skipif(not compiled(), reason="shows what the compiler emits")
def test_without_it_nothing_of_it_is_in_what_copies():
    push = ring.push.py_func
    text, code = emitted(push, (WRITER, *[numba.types.int64] * 3))
    assert str(atomics.BUDGET) not in text
    assert not any(hex(atomics.BUDGET) in line or str(atomics.BUDGET) in line for line in code)


@pytest.mark.skipif(not compiled(), reason="shows what the compiler emits")
def test_machine_code_with_it_is_kept_apart():
    program = "from ringbuf.jit import source_digest; print(source_digest('ringbuf.ring'))"
    with_ticks = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CORELANE_TICKS": "1"}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert len(with_ticks) == 16
    assert with_ticks != jit.source_digest("ringbuf.ring")
