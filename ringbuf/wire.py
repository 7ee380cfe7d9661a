"""Big-endian numbers at raw addresses, aligned or not: how exchanges write them."""

import ctypes

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload


def load_u8(address):
    """The byte at an address."""
    return ctypes.c_uint8.from_address(address).value


def load_u16(address):
    """The big-endian 16-bit number at an address."""
    return int.from_bytes(ctypes.string_at(address, 2), "big")


def load_u32(address):
    """The big-endian 32-bit number at an address."""
    return int.from_bytes(ctypes.string_at(address, 4), "big")


def load_u48(address):
    """The big-endian 48-bit number at an address."""
    return int.from_bytes(ctypes.string_at(address, 6), "big")


def load_i64(address):
    """The big-endian 64-bit number at an address; one that needs all 64 bits comes negative."""
    return int.from_bytes(ctypes.string_at(address, 8), "big", signed=True)


def load_word(address):
    """Eight bytes as they lie in memory, as a little-endian signed number."""
    return int.from_bytes(ctypes.string_at(address, 8), "little", signed=True)


def store_u8(address, value):
    """Write a byte."""
    ctypes.c_uint8.from_address(address).value = value


def store_u16(address, value):
    """Write a big-endian 16-bit number."""
    ctypes.memmove(address, (int(value) & 0xFFFF).to_bytes(2, "big"), 2)


def store_u32(address, value):
    """Write a big-endian 32-bit number."""
    ctypes.memmove(address, (int(value) & 0xFFFFFFFF).to_bytes(4, "big"), 4)


def store_u48(address, value):
    """Write a big-endian 48-bit number."""
    ctypes.memmove(address, (int(value) & 0xFFFFFFFFFFFF).to_bytes(6, "big"), 6)


def store_i64(address, value):
    """Write a big-endian 64-bit number."""
    ctypes.memmove(address, int(value).to_bytes(8, "big", signed=True), 8)


def store_word(address, value):
    """Write eight bytes as a little-endian signed number gives them."""
    ctypes.memmove(address, int(value).to_bytes(8, "little", signed=True), 8)


def _loader(bits, swap):
    kind = ir.IntType(bits)

    @intrinsic
    def load(typing_context, address):
        def codegen(context, builder, signature, args):
            value = builder.load(builder.inttoptr(args[0], kind.as_pointer()), align=1)
            value = builder.bswap(value) if swap else value
            return builder.zext(value, ir.IntType(64)) if bits < 64 else value

        return types.int64(types.int64), codegen

    return load


def _storer(bits, swap):
    kind = ir.IntType(bits)

    @intrinsic
    def store(typing_context, address, value):
        def codegen(context, builder, signature, args):
            number = builder.trunc(args[1], kind) if bits < 64 else args[1]
            number = builder.bswap(number) if swap else number
            builder.store(number, builder.inttoptr(args[0], kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return store


_load8, _load16, _load32, _load64 = (_loader(bits, bits > 8) for bits in (8, 16, 32, 64))
_store8, _store16, _store32, _store64 = (_storer(bits, bits > 8) for bits in (8, 16, 32, 64))
_load_word, _store_word = _loader(64, False), _storer(64, False)


@overload(load_u8)
def _overload_load_u8(address):
    def call(address):
        return _load8(address)

    return call


@overload(load_u16)
def _overload_load_u16(address):
    def call(address):
        return _load16(address)

    return call


@overload(load_u32)
def _overload_load_u32(address):
    def call(address):
        return _load32(address)

    return call


@overload(load_u48)
def _overload_load_u48(address):
    def call(address):
        return (_load16(address) << 32) | _load32(address + 2)

    return call


@overload(load_i64)
def _overload_load_i64(address):
    def call(address):
        return _load64(address)

    return call


@overload(load_word)
def _overload_load_word(address):
    def call(address):
        return _load_word(address)

    return call


@overload(store_u8)
def _overload_store_u8(address, value):
    def call(address, value):
        return _store8(address, value)

    return call


@overload(store_u16)
def _overload_store_u16(address, value):
    def call(address, value):
        return _store16(address, value)

    return call


@overload(store_u32)
def _overload_store_u32(address, value):
    def call(address, value):
        return _store32(address, value)

    return call


@overload(store_u48)
def _overload_store_u48(address, value):
    def store(address, value):
        _store16(address, value >> 32)
        _store32(address + 2, value)

    return store


@overload(store_i64)
def _overload_store_i64(address, value):
    def call(address, value):
        return _store64(address, value)

    return call


@overload(store_word)
def _overload_store_word(address, value):
    def call(address, value):
        return _store_word(address, value)

    return call
