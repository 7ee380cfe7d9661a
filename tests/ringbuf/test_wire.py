"""Big-endian numbers at any address: as `int.from_bytes` has them, compiled or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import wire
from ringbuf.jit import kernel

LOADS = {
    "load_u8": (1, "big", False),
    "load_u16": (2, "big", False),
    "load_u32": (4, "big", False),
    "load_u48": (6, "big", False),
    "load_i64": (8, "big", True),
    "load_word": (8, "little", True),
}


@kernel
def load_all(address, found):
    """Each load from one address, into six int64 words."""
    wire.store_word(found, wire.load_u8(address))
    wire.store_word(found + 8, wire.load_u16(address))
    wire.store_word(found + 16, wire.load_u32(address))
    wire.store_word(found + 24, wire.load_u48(address))
    wire.store_word(found + 32, wire.load_i64(address))
    wire.store_word(found + 40, wire.load_word(address))


@kernel
def store_all(address, value):
    """Each store of one value, 8 bytes apart."""
    wire.store_u8(address, value)
    wire.store_u16(address + 8, value)
    wire.store_u32(address + 16, value)
    wire.store_u48(address + 24, value)
    wire.store_i64(address + 32, value)
    wire.store_word(address + 40, value)


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=8), st.integers(0, 7))
def test_loads(data, shift):
    raw, found = np.zeros(16, np.uint8), np.zeros(6, "<i8")
    raw[shift : shift + 8] = np.frombuffer(data, np.uint8)
    load_all(raw.ctypes.data + shift, found.ctypes.data)
    assert found.tolist() == [
        int.from_bytes(data[:size], order, signed=signed) for size, order, signed in LOADS.values()
    ]


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 7))
def test_stores(value, shift):
    raw = np.zeros(64, np.uint8)
    store_all(raw.ctypes.data + shift, value % 256)
    for place, (size, order, _) in enumerate(LOADS.values()):
        start = shift + 8 * place
        expected = (value % 256).to_bytes(size, order).ljust(8, b"\0")
        assert raw[start : start + 8].tobytes() == expected
    gaps = raw.copy()
    store_all(raw.ctypes.data + shift, value)
    low = value.to_bytes(8, "big")
    for place, (size, order, _) in enumerate(LOADS.values()):
        start = shift + 8 * place
        expected = low[8 - size :] if order == "big" else low[::-1]
        assert raw[start : start + size].tobytes() == expected
        assert (raw[start + size : start + 8] == gaps[start + size : start + 8]).all()


@pytest.mark.parametrize("value", [-1, -(2**63), 2**63 - 1])
def test_signed_numbers_keep_their_sign(value):
    raw, found = np.zeros(48, np.uint8), np.zeros(6, "<i8")
    store_all(raw.ctypes.data, value)
    load_all(raw.ctypes.data + 32, found.ctypes.data)
    assert found[4] == value
    load_all(raw.ctypes.data + 40, found.ctypes.data)
    assert found[5] == value
