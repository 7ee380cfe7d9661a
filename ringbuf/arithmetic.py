"""Floating-point arithmetic that Python has no word for: a fused multiply-add, and bits.

`fma` rounds once, on every machine the same: where kernels say it themselves the compiler has no
choice to make, so a number comes out with the same bits in a vector, alone, and as plain Python.
The plain bodies are the meaning, and what runs when the compiler is off.
"""

import ctypes
import ctypes.util
import struct

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

_F64, _I64 = ir.DoubleType(), ir.IntType(64)
_LIBM = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
_LIBM.fma.argtypes, _LIBM.fma.restype = [ctypes.c_double] * 3, ctypes.c_double


def fma(factor, other, term):
    """factor x other + term of float64, rounded once (IEEE 754-2008, 5.4.1)."""
    return _LIBM.fma(factor, other, term)


def bits_of(value):
    """The bits of a float64 as int64."""
    return struct.unpack("<q", struct.pack("<d", value))[0]


def from_bits(bits):
    """The float64 of these bits, an int64."""
    return struct.unpack("<d", struct.pack("<q", bits))[0]


@intrinsic
def _fma(typing_context, factor, other, term):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_F64, (_F64, _F64, _F64))
        return builder.call(builder.module.declare_intrinsic("llvm.fma", (_F64,), kind), args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@intrinsic
def _bits_of(typing_context, value):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], _I64)

    return types.int64(types.float64), codegen


@intrinsic
def _from_bits(typing_context, bits):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], _F64)

    return types.float64(types.int64), codegen


@overload(fma)
def _overload_fma(factor, other, term):
    return lambda factor, other, term: _fma(factor, other, term)


@overload(bits_of)
def _overload_bits_of(value):
    return lambda value: _bits_of(value)


@overload(from_bits)
def _overload_from_bits(bits):
    return lambda bits: _from_bits(bits)
