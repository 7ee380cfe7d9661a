"""Private memory becomes zeros again without touching what never was."""

import ctypes
import mmap
import resource

import numpy as np
import pytest

from ringbuf.pages import clear

PAGE = mmap.PAGESIZE


@pytest.mark.parametrize("start", [0, 64, PAGE - 64, PAGE, PAGE + 8])
@pytest.mark.parametrize("size", [0, 8, 64, PAGE - 8, PAGE, PAGE + 64, 3 * PAGE, 5 * PAGE + 8])
def test_only_the_block_becomes_zeros(start, size):
    memory = np.full(8 * PAGE, 7, np.uint8)
    memory = memory[-memory.ctypes.data % PAGE :][: 7 * PAGE]
    clear(memory[start : start + size])
    assert not memory[start : start + size].any()
    assert (memory[:start] == 7).all()
    assert (memory[start + size :] == 7).all()


def test_what_is_locked_becomes_zeros_too():
    with mmap.mmap(-1, 4 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = b"\7" * len(memory)
        whole = np.frombuffer(memory, np.uint8)
        libc = ctypes.CDLL(None)
        assert libc.mlock(ctypes.c_void_p(whole.ctypes.data), ctypes.c_size_t(4 * PAGE)) == 0
        with pytest.raises(OSError):
            memory.madvise(mmap.MADV_DONTNEED)  # the kernel keeps such pages
        clear(whole[100:])  # not the whole of the first page
        assert not whole[100:].any()
        assert (whole[:100] == 7).all()
        del whole


def test_pages_that_were_never_touched_stay_so():
    block = np.zeros(1 << 28, np.uint8)
    block[:: 1 << 24] = 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    clear(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 1_000
    assert not block[:: 1 << 24].any()
