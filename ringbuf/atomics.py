"""Words and records at raw addresses: acquire loads, release stores, fences, pauses, the clock.

Kernels hand int64 addresses to one another, never arrays: an array handed between compiled
functions costs reference counts (measured: up to four times the whole kernel). `at(address,
DTYPE)` gives the record that lies there; nothing checks the address, so only ring, board and pool
code computes one. The plain bodies are the meaning, and what runs when the compiler is off; the
overloads are what the compiler emits. Everything is an LLVM instruction or intrinsic: inline
assembly would abort the process. The overloads must not say inline="always": numba's own inliner
then takes stores into nested arrays (`at(a, D).counts[i] += 1`) for dead and drops them, silently.

With CORELANE_TICKS=1 each store is preceded by a tick, at which a test may have it all end. Without
it there is nothing of that in the machine code.
"""

import ctypes
import mmap
import platform
import time

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ringbuf.host import steady_counter
from ringbuf.jit import TICKS

_I64 = ir.IntType(64)
_LIBC = ctypes.CDLL(None)
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}  # the system call's number
_FUTEX_WAKE = 1
BUDGET = 1 << 36  # address of the stores left: fixed, as machine code that is kept on disk names it
_MAP_FIXED_NOREPLACE = 0x100000
_PAUSE = {"x86_64": "llvm.x86.sse2.pause", "aarch64": "llvm.aarch64.hint"}


class Killed(Exception):
    """The budget of stores has run out: whoever runs is to be gone here, as if killed."""


def _map_budget():
    _LIBC.mmap.restype, where = ctypes.c_void_p, ctypes.c_void_p(BUDGET)
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    size, rights = ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE
    if _LIBC.mmap(where, size, rights, kind, -1, ctypes.c_long(0)) != BUDGET:
        raise OSError(f"CORELANE_TICKS=1: cannot have memory at {BUDGET:#x}")


if TICKS:
    _map_budget()


def tick():
    """Count one store; Killed when it is the last one's turn. A budget of 0 never ends."""
    budget = ctypes.c_int64.from_address(BUDGET)
    budget.value -= 1
    if budget.value == 0:
        raise Killed


def at(address, dtype):
    """The record of `dtype` that lies at an address: a view, not a copy."""
    return np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(int(address)), dtype)[0]


def load_acquire(address):
    """Read the int64 at an address; nothing after this line may be read earlier."""
    return ctypes.c_int64.from_address(int(address)).value


def store_release(address, value):
    """Write the int64 at an address; nothing before this line may be written later."""
    if TICKS:
        tick()
    ctypes.c_int64.from_address(int(address)).value = value


def load_relaxed(address):
    """Read the int64 at an address whole, in no particular order with others."""
    return ctypes.c_int64.from_address(int(address)).value


def store_relaxed(address, value):
    """Write the int64 at an address whole, in no particular order with others."""
    if TICKS:
        tick()
    ctypes.c_int64.from_address(int(address)).value = value


def fence_release():
    """Nothing written after this line may show before what was read or written before it."""


def fence_acquire():
    """Nothing read after this line may be read before what was read before it."""


def fence_full():
    """What was written before this line shows before anything after it is read."""


def futex_wake(address):
    """Wake a thread that sleeps in the kernel on the int32 at an address (futex(2), shared)."""
    number, action = _FUTEX[platform.machine()], ctypes.c_long(_FUTEX_WAKE)
    _LIBC.syscall(ctypes.c_long(number), ctypes.c_void_p(int(address)), action, ctypes.c_long(1))


def pause():
    """Tell the core that this is a spin loop."""


def prefetch_read(address):
    """Ask for the cache line at an address, to read it soon."""


def prefetch_write(address):
    """Ask for the cache line at an address, to write it soon."""


def cycles():
    """The cycle counter: invariant TSC on x86-64, the virtual counter on aarch64.

    Where it is not steady (and in plain Python) this is CLOCK_MONOTONIC in nanoseconds.
    """
    return time.monotonic_ns()


def bit_length(value):
    """How many bits a value from 0 up takes: 0 for 0, 11 for 1024."""
    return int(value).bit_length()


def copy_words(target, source, words):
    """Copy int64 words that another process may be rewriting: whole words, no order."""
    for word in range(words):
        store_relaxed(target + 8 * word, load_relaxed(source + 8 * word))


def _pointer(builder, address):
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def _at(typing_context, address, dtype):
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(dtype.dtype))

    return dtype.dtype(types.int64, dtype), codegen


def _loader(ordering):
    @intrinsic
    def load(typing_context, address):
        def codegen(context, builder, signature, args):
            return builder.load_atomic(_pointer(builder, args[0]), ordering, 8)

        return types.int64(types.int64), codegen

    return load


def _storer(ordering):
    @intrinsic
    def store(typing_context, address, value):
        def codegen(context, builder, signature, args):
            builder.store_atomic(args[1], _pointer(builder, args[0]), ordering, 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return store


def _fencer(ordering):
    @intrinsic
    def fence(typing_context):
        def codegen(context, builder, signature, args):
            builder.fence(ordering)
            return context.get_dummy_value()

        return types.void(), codegen

    return fence


def _prefetcher(write):
    @intrinsic
    def prefetch(typing_context, address):
        def codegen(context, builder, signature, args):
            i32 = ir.IntType(32)
            byte = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), (byte, i32, i32, i32))
            function = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
            hints = (ir.Constant(i32, value) for value in (int(write), 3, 1))
            builder.call(function, (builder.inttoptr(args[0], byte), *hints))
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    return prefetch


@intrinsic
def _futex_wake(typing_context, address):
    """A plain system call: compiled code that went through ctypes could not be kept on disk."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_I64, (_I64,), var_arg=True)
        call = cgutils.get_or_insert_function(builder.module, kind, "syscall")
        numbers = (_FUTEX[platform.machine()], _FUTEX_WAKE, 1)
        number, action, count = (ir.Constant(_I64, value) for value in numbers)
        builder.call(call, (number, args[0], action, count))
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _pause(typing_context):
    def codegen(context, builder, signature, args):
        name = _PAUSE.get(platform.machine())
        if name == "llvm.aarch64.hint":
            kind = ir.FunctionType(ir.VoidType(), (ir.IntType(32),))
            hint = builder.module.declare_intrinsic(name, (), kind)
            builder.call(hint, (ir.Constant(ir.IntType(32), 1),))
        elif name:
            kind = ir.FunctionType(ir.VoidType(), ())
            builder.call(builder.module.declare_intrinsic(name, (), kind), ())
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _cycle_counter(typing_context):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_I64, ())
        counter = builder.module.declare_intrinsic("llvm.readcyclecounter", (), kind)
        return builder.call(counter, ())

    return types.int64(), codegen


@intrinsic
def _system_clock(typing_context):
    """clock_gettime(CLOCK_MONOTONIC), through the C library that the process has loaded."""

    def codegen(context, builder, signature, args):
        i32 = ir.IntType(32)
        kind = ir.FunctionType(i32, (i32, _I64.as_pointer()))
        call = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        words = cgutils.alloca_once(builder, _I64, size=2)
        builder.call(call, (ir.Constant(i32, time.CLOCK_MONOTONIC), words))
        seconds = builder.load(words)
        nanoseconds = builder.load(builder.gep(words, (ir.Constant(i32, 1),)))
        return builder.add(builder.mul(seconds, ir.Constant(_I64, 10**9)), nanoseconds)

    return types.int64(), codegen


@intrinsic
def _bit_length(typing_context, value):
    def codegen(context, builder, signature, args):
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(_I64, 64), zeros)

    return types.int64(types.int64), codegen


_load_acquire, _load_relaxed = _loader("acquire"), _loader("monotonic")
_store_release, _store_relaxed = _storer("release"), _storer("monotonic")
_fence_release, _fence_acquire = _fencer("release"), _fencer("acquire")
_fence_full = _fencer("seq_cst")
_prefetch_read, _prefetch_write = _prefetcher(False), _prefetcher(True)


@overload(tick)
def _overload_tick():
    def count_down():
        left = _load_relaxed(BUDGET) - 1
        _store_relaxed(BUDGET, left)
        if left == 0:
            raise Killed

    return count_down


def _ticked(store):
    """What a store is compiled as."""
    if not TICKS:
        return lambda address, value: store(address, value)

    def count_and_store(address, value):
        tick()
        store(address, value)

    return count_and_store


@overload(at)
def _overload_at(address, dtype):
    return lambda address, dtype: _at(address, dtype)


@overload(load_acquire)
def _overload_load_acquire(address):
    return lambda address: _load_acquire(address)


@overload(load_relaxed)
def _overload_load_relaxed(address):
    return lambda address: _load_relaxed(address)


@overload(store_release)
def _overload_store_release(address, value):
    return _ticked(_store_release)


@overload(store_relaxed)
def _overload_store_relaxed(address, value):
    return _ticked(_store_relaxed)


@overload(fence_release)
def _overload_fence_release():
    return lambda: _fence_release()


@overload(fence_acquire)
def _overload_fence_acquire():
    return lambda: _fence_acquire()


@overload(fence_full)
def _overload_fence_full():
    return lambda: _fence_full()


@overload(futex_wake)
def _overload_futex_wake(address):
    return lambda address: _futex_wake(address)


@overload(pause)
def _overload_pause():
    return lambda: _pause()


@overload(prefetch_read)
def _overload_prefetch_read(address):
    return lambda address: _prefetch_read(address)


@overload(prefetch_write)
def _overload_prefetch_write(address):
    return lambda address: _prefetch_write(address)


@overload(cycles)
def _overload_cycles():
    if steady_counter():
        return lambda: _cycle_counter()
    return lambda: _system_clock()


@overload(bit_length)
def _overload_bit_length(value):
    return lambda value: _bit_length(value)


@overload(copy_words)
def _overload_copy_words(target, source, words):
    store = store_relaxed if TICKS else _store_relaxed

    def copy(target, source, words):
        for word in range(words):
            store(target + 8 * word, _load_relaxed(source + 8 * word))

    return copy
