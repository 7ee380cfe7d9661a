import re
from functools import cache

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding

from ringbuf import atomics, board, histogram, lossy, park, poller, ring
from ringbuf.atomics import (
    at,
    bit_length,
    copy_words,
    cycles,
    fence_acquire,
    fence_release,
    load_acquire,
    load_relaxed,
    pause,
    prefetch_read,
    prefetch_write,
    store_relaxed,
    store_release,
)
from ringbuf.jit import compiled
from ringbuf.record import record

WORDS = st.integers(-(2**63), 2**63 - 1)
ADDRESS = numba.types.int64
NESTED = record(
    [
        ("count", "i8"),
        ("small", "i2", (3,)),
        ("grid", "i8", (2, 4)),
        ("rate", "f8"),
        ("parts", record([("a", "i4"), ("b", "i8")]), (3,)),
    ]
)
needs_compiler = pytest.mark.skipif(not compiled(), reason="shows what the compiler emits")


@cache
def both(function):
    """A function as plain Python, and compiled where the compiler is on."""
    flags = {"error_model": "numpy"}
    return [function, numba.njit(**flags)(function)] if compiled() else [function]


def emitted(function, *types):
    """The optimised LLVM text of a function, freshly compiled."""
    function = numba.njit(error_model="numpy")(getattr(function, "py_func", function))
    function.compile(types)
    return function.inspect_llvm(function.signatures[0])


def move(target, source):
    store_release(target, load_acquire(source))
    store_relaxed(target + 8, load_relaxed(source + 8))


def fence():
    fence_release()
    fence_acquire()


def hints(address):
    prefetch_read(address)
    prefetch_write(address)
    pause()


def stamp():
    return cycles()


def bits(value):
    return bit_length(value)


def copy(target, source, words):
    copy_words(target, source, words)


def store_nested(address, place):
    """Stores that numba's inliner, asked for by an overload, once took for dead."""
    at(address, NESTED).grid[1][place] += 5
    at(address, NESTED).small[place] = 3
    at(address, NESTED).parts[place].b = 9
    whole = at(address, NESTED)
    whole.grid[0][place] -= 1
    whole.count += 1
    whole.rate = 0.5
    whole.parts[place].a += 2


@given(st.lists(WORDS, min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_words_are_moved_whole(values):
    source = np.array(values, np.int64)
    for function in both(move):
        target = np.zeros(2, np.int64)
        function(target.ctypes.data, source.ctypes.data)
        assert target.tolist() == values


@given(st.lists(WORDS, max_size=20), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_a_copy_is_as_long_as_it_is_told(values, words):
    words = min(words, len(values))
    source = np.array([*values, 0], np.int64)
    for function in both(copy):
        target = np.full(len(source), 7, np.int64)
        function(target.ctypes.data, source.ctypes.data, words)
        assert target.tolist() == values[:words] + [7] * (len(source) - words)


@given(st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_bit_length_is_pythons(value):
    assert [function(value) for function in both(bits)] == [value.bit_length()] * len(both(bits))


@pytest.mark.parametrize("value", [0, 1, 2, 3, 1024, 2**62, 2**63 - 1])
def test_bit_length_at_the_edges(value):
    for function in both(bits):
        assert function(value) == value.bit_length()


@pytest.mark.parametrize("place", range(3))
def test_stores_into_nested_arrays_arrive(place):
    for function in both(store_nested):
        memory = np.zeros(1, NESTED)
        for _ in range(2):
            function(memory.ctypes.data, place)
        expected = np.zeros(1, NESTED)
        expected["grid"][0][1][place] = 10
        expected["grid"][0][0][place] = -2
        expected["small"][0][place] = 3
        expected["parts"][0][place] = (4, 9)
        expected["count"], expected["rate"] = 2, 0.5
        assert memory.tobytes() == expected.tobytes()


def test_a_record_at_an_address_is_a_view():
    memory = np.zeros(1, NESTED)
    seen = at(memory.ctypes.data, NESTED)
    memory["count"] = 4
    assert seen.count == 4
    seen.count = 5
    assert memory["count"][0] == 5


def test_addresses_may_be_numpy_integers():
    memory = np.zeros(1, np.int64)
    address = np.int64(memory.ctypes.data)
    store_release(address, np.int64(6))
    assert load_acquire(address) == load_relaxed(address) == 6


def test_hints_and_fences_change_nothing():
    memory = np.arange(8)
    for function in both(hints):
        function(memory.ctypes.data)
    for function in both(fence):
        function()
    assert memory.tolist() == list(range(8))


def test_the_counter_goes_up():
    for function in both(stamp):
        readings = [function() for _ in range(100)]
        assert readings == sorted(readings)
        assert readings[0] < readings[-1]


@needs_compiler
def test_loads_and_stores_have_their_order():
    text = emitted(move, ADDRESS, ADDRESS)
    for order in (
        r"load atomic i64, .* acquire, align 8",
        r"load atomic i64, .* monotonic, align 8",
        r"store atomic i64 .* release, align 8",
        r"store atomic i64 .* monotonic, align 8",
    ):
        assert len(re.findall(order, text)) >= 1, order
    text = emitted(fence)
    assert text.index("fence release") < text.index("fence acquire")


@needs_compiler
def test_hints_are_instructions():
    text = emitted(hints, ADDRESS)
    assert len(re.findall(r"call void @llvm\.prefetch", text)) >= 2
    if atomics.platform.machine() == "x86_64":
        assert "call void @llvm.x86.sse2.pause" in text
    assert "llvm.ctlz.i64" in emitted(bits, ADDRESS)


WRITER = numba.typeof(ring.writer_of(0, 128, 64))
READER = numba.typeof(ring.reader_of(0, 128, 64, 0))
KERNELS = {
    "push": (ring.push, (WRITER, ADDRESS, ADDRESS, ADDRESS)),
    "room": (ring.room, (WRITER, ADDRESS, ADDRESS)),
    "claim": (ring.claim, (WRITER, ADDRESS)),
    "publish": (ring.publish, (WRITER, ADDRESS, ADDRESS, ADDRESS)),
    "recover": (ring.recover, (WRITER,)),
    "arrived": (ring.arrived, (READER, ADDRESS)),
    "release": (ring.release, (READER, ADDRESS)),
    "observe": (lossy.observe, (READER, ADDRESS, ADDRESS, ADDRESS)),
    "advance": (ring.advance, (WRITER, ADDRESS)),
    "wake": (ring.wake, (ADDRESS,)),
    "ended": (ring.ended, (READER, ADDRESS)),
    "retire": (ring.retire, (ADDRESS, ADDRESS)),
    "rouse": (ring.rouse, (ADDRESS,)),
    "settle": (lossy.settle, (READER,)),
    "lie_down": (park.lie_down, (READER,)),
    "poll": (poller.poll, (ADDRESS,)),
    "mirror": (lossy.mirror, (READER, READER, ADDRESS)),
    "begin": (board.begin, (ADDRESS, ADDRESS)),
    "finish": (board.finish, (ADDRESS, ADDRESS)),
    "read": (board.read, (ADDRESS, ADDRESS, ADDRESS)),
    "note": (histogram.note, (ADDRESS, ADDRESS)),
}


@needs_compiler
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_count_no_references_and_allocate_nothing(name):
    function, types = KERNELS[name]
    text = emitted(function, *types)
    bodies = re.findall(r"define [^\n]*@_ZN7ringbuf.*?\n}\n", text, re.DOTALL)
    assert bodies
    for body in bodies:
        assert not re.search(r"NRT_(incref|decref|Allocate|MemInfo)", body)


ON_ARM = {
    "publish": ["stlr"],
    "claim": ["dmb"],
    "arrived": ["ldar|ldapr"],
    "release": ["stlr"],
    "observe": ["ldar|ldapr", "dmb"],
    "advance": ["stlr"],
    "wake": [r"dmb\tish(?!\w)"],
    "ended": ["ldar|ldapr"],
    "retire": ["stlr"],
    "settle": ["stlr"],
    "lie_down": [r"dmb\tish(?!\w)", "ldar|ldapr"],
    "poll": ["ldar|ldapr"],
    "mirror": ["ldar|ldapr", r"dmb\tishld"],
    "begin": ["dmb"],
    "finish": ["stlr"],
    "read": ["ldar|ldapr", "dmb"],
}


@needs_compiler
@pytest.mark.parametrize("name", ON_ARM)
def test_a_weakly_ordered_machine_gets_its_barriers(name):
    """The same kernels as machine code of aarch64, where orders are instructions."""
    function, types = KERNELS[name]
    assembly = on_arm(emitted(function, *types))
    for instruction in ON_ARM[name]:
        assert re.search(rf"\t({instruction})(?!\w)", assembly), (instruction, assembly)


def on_arm(text):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    text = re.sub(r"target (triple|datalayout) = .*\n", "", text)
    text = re.sub(r'"(target-cpu|target-features|probe-stack)"="[^"]*"', "", text)
    text = text.replace("@llvm.x86.sse2.pause", "@pause_of_another_machine")
    machine = binding.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine()
    return machine.emit_assembly(binding.parse_assembly(text))
