"""Streams of frames made from good ones: whole, varied, hurt, cut, spliced, repeated, swapped.

A pool holds good frames, and for each of their bytes the bits that may have any value without the
frame being any worse. `stream` writes so many frames one behind another. A stream has one of the
MODES: from frames that are all good to bytes that never were any. Where a frame is hurt its form
tells which bytes are its length, so that it can be made right again around the damage.
"""

from typing import NamedTuple

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import (
    load_u8,
    load_word,
    store_i64,
    store_u8,
    store_u16,
    store_u32,
)
from tests.fuzz.pages import block
from workers.kernels.arbiter import copy_bytes

FUZZ = record(
    [
        ("random", "i8"),  # xorshift, 32 bits, never 0
        ("pool", "i8"),  # address of the frames, one behind another
        ("masks", "i8"),  # address of as many bytes: the bits that are free
        ("starts", "i8"),  # address of int64s: where each frame begins, and where the last ends
        ("count", "i8"),
        ("form", "i8"),
        ("letters", "i8"),  # address of what text is made of
        ("letter_count", "i8"),  # 0: it is no text
        ("mode", "i8"),
        ("wanted", "i8"),  # frames of a stream
        ("made", "i8"),
        ("next", "i8"),  # frame of the pool
    ]
)
# How frames tell their length.
BARE, ITCH, DBN, LINE, PCAP_LITTLE, PCAP_BIG, BLOCK_LITTLE, BLOCK_BIG = range(8)
HEADS = (0, 3, 2, 0, 16, 16, 8, 8)  # bytes that come before a frame's body
UNITS = (1, 1, 4, 1, 1, 1, 4, 4)  # a frame has a multiple of so many bytes
# Of 256 frames so many are hurt, in so many of the ways of `hurt`; the last mode is pure noise.
GOOD, BODIES, NOISE = 0, 1, 5
HURT = (0, 64, 8, 64, 256, 256)
WAYS = (1, 2, 10, 10, 10, 10)
MODES = len(HURT)
FRAME_MAX = 1 << 10
ROOM = 4 * FRAME_MAX  # that one turn of `stream` may take
NOISE_MAX = 64  # bytes of noise at once
RESIZED = 8  # units by which a frame is made longer or shorter, at most
EXTREMES = (0, 1, -1, 1 << 62, -(1 << 63), (1 << 63) - 1, 0x7FFFFFFF, 0xFFFFFFFF)


class Pool(NamedTuple):
    """Frames, their free bits, their form, and what text is made of."""

    frames: list[bytes]
    masks: list[bytes]
    form: int = BARE
    letters: bytes = b""


class Maker:
    """A FUZZ record with its pool."""

    def __init__(self, pool: Pool) -> None:
        assert [*map(len, pool.frames)] == [*map(len, pool.masks)]
        assert 0 < max(map(len, pool.frames)) <= FRAME_MAX
        starts = np.cumsum([0, *map(len, pool.frames)], dtype=np.int64)
        self._kept = [block(b"".join(part)) for part in (pool.frames, pool.masks, [pool.letters])]
        self._kept.append(starts)
        self._record = np.zeros(1, FUZZ)
        self.state = self._record[0]
        self.address = self._record.ctypes.data
        for name, part in zip(("pool", "masks", "letters", "starts"), self._kept, strict=True):
            self.state[name] = part.ctypes.data
        self.state["count"], self.state["form"] = len(pool.frames), pool.form
        self.state["letter_count"] = len(pool.letters)

    def begin(self, seed: int, mode: int, frames: int) -> None:
        """Get ready to write a stream."""
        state = self.state
        state["random"] = (seed * 2_654_435_761 + 12_345) % 0xFFFFFFFF + 1
        state["mode"], state["wanted"], state["next"] = mode, frames, 0
        for _ in range(4):  # neighbours begin alike
            draw(self.address, 2)


@kernel
def draw(fuzz, below):
    """A random number from 0 on."""
    header = at(fuzz, FUZZ)
    value = int(header.random)
    value ^= (value << 13) & 0xFFFFFFFF
    value ^= value >> 17
    value ^= (value << 5) & 0xFFFFFFFF
    header.random = value
    return value % below


@kernel
def stream(fuzz, target, room):
    """Write the frames of a stream one behind another; how many bytes they are."""
    header = at(fuzz, FUZZ)
    header.made = 0
    position = 0
    while header.made < header.wanted and room - position >= ROOM:
        position += some(fuzz, target + position)
    return position


@kernel
def some(fuzz, target):
    """Write the next frame, or two of them; how many bytes."""
    header = at(fuzz, FUZZ)
    mode = int(header.mode)
    header.made += 1
    if mode == NOISE:
        return noise(fuzz, target)
    number = following(fuzz)
    if draw(fuzz, 256) < HURT[mode]:
        return hurt(fuzz, number, target, draw(fuzz, WAYS[mode]))
    kind = draw(fuzz, 16)
    if kind == 0 and header.made < header.wanted:  # the same again
        header.made += 1
        size = put(fuzz, number, target)
        return size + put(fuzz, number, target + size)
    if kind == 1 and header.made < header.wanted:  # the next one goes before it
        header.made += 1
        size = put(fuzz, following(fuzz), target)
        return size + put(fuzz, number, target + size)
    size = put(fuzz, number, target)
    if kind < 8:
        vary(fuzz, number, target, size)
    return size


@kernel
def following(fuzz):
    """The number of the next frame of the pool, now and then any."""
    header = at(fuzz, FUZZ)
    number = int(header.next)
    if draw(fuzz, 32) == 0:
        number = draw(fuzz, int(header.count))
    header.next = (number + 1) % int(header.count)
    return number


@kernel
def begins(fuzz, number):
    """Where a frame lies in the pool."""
    return load_word(int(at(fuzz, FUZZ).starts) + 8 * number)


@kernel
def put(fuzz, number, target):
    """Copy a frame; its bytes."""
    start = begins(fuzz, number)
    size = begins(fuzz, number + 1) - start
    copy_bytes(target, int(at(fuzz, FUZZ).pool) + start, size)
    return size


@kernel
def vary(fuzz, number, target, size):
    """Change some of the bits that are free."""
    masks = int(at(fuzz, FUZZ).masks) + begins(fuzz, number)
    for _ in range(6):
        place = draw(fuzz, size)
        bits = draw(fuzz, 256) & load_u8(masks + place)
        store_u8(target + place, load_u8(target + place) ^ bits)


@kernel
def any_byte(fuzz):
    """A byte, of text mostly one that text is made of."""
    header = at(fuzz, FUZZ)
    letters = int(header.letter_count)
    if letters > 0 and draw(fuzz, 8) > 0:
        return load_u8(int(header.letters) + draw(fuzz, letters))
    return draw(fuzz, 256)


@kernel
def noise(fuzz, target):
    """Write bytes that are nothing; how many."""
    size = 1 + draw(fuzz, NOISE_MAX)
    for place in range(size):
        store_u8(target + place, any_byte(fuzz))
    return size


@kernel
def hurt(fuzz, number, target, way):
    """Write a frame with damage of a kind; its bytes."""
    form = int(at(fuzz, FUZZ).form)
    size, head = put(fuzz, number, target), HEADS[form]
    if way == 0:
        change(fuzz, target, head, size)
    elif way == 1:
        exaggerate(fuzz, target, head, size)
    elif way == 2:  # of another length, and says so
        size = mend(form, target, resize(fuzz, target, size))
    elif way == 3:
        change(fuzz, target, 0, min(head + 2, size))
    elif way == 4:  # anywhere
        change(fuzz, target, 0, size)
    elif way == 5:
        size = draw(fuzz, size)
    elif way < 8:
        size = splice(fuzz, target, size)
        if way == 6:
            size = mend(form, target, size)
    elif way == 8:
        size = noise(fuzz, target)
    else:  # another one's beginning
        other = put(fuzz, following(fuzz), target + size)
        copy_bytes(target, target + size, min(head + 2, size, other))
    return size


@kernel
def change(fuzz, target, begin, end):
    """Replace some bytes, or flip a bit of them."""
    for _ in range(1 + draw(fuzz, 3)):
        if end > begin:
            place = target + begin + draw(fuzz, end - begin)
            byte = any_byte(fuzz)
            if draw(fuzz, 2) == 0:
                byte = load_u8(place) ^ (1 << draw(fuzz, 8))
            store_u8(place, byte)


@kernel
def exaggerate(fuzz, target, begin, end):
    """Write a number at the edge of what fits over some bytes."""
    width = 1 << draw(fuzz, 4)
    if end - begin < width:
        return
    value = EXTREMES[draw(fuzz, len(EXTREMES))]
    store_i64(target + end, value)  # behind the frame, to copy from: there is room
    place = target + begin + draw(fuzz, end - begin - width + 1)
    copy_bytes(place, target + end + (8 - width) * draw(fuzz, 2), width)


@kernel
def resize(fuzz, target, size):
    """Make a frame some bytes longer or shorter; its size then."""
    unit = UNITS[int(at(fuzz, FUZZ).form)]
    change_by = unit * (draw(fuzz, 2 * RESIZED + 1) - RESIZED)
    for place in range(size, size + change_by):
        store_u8(target + place, any_byte(fuzz))
    return max(size + change_by, 0)


@kernel
def splice(fuzz, target, size):
    """Put another frame's end behind this one's beginning; the size then."""
    keep = draw(fuzz, size)
    other = put(fuzz, following(fuzz), target + FRAME_MAX + size)
    skip = draw(fuzz, other)
    left = min(other - skip, FRAME_MAX - keep)
    for place in range(left):
        store_u8(target + keep + place, load_u8(target + FRAME_MAX + size + skip + place))
    return keep + left


@kernel
def mend(form, target, size):
    """Make the lengths in a frame right again; its size."""
    if form == ITCH and size >= 2:
        store_u16(target, size - 2)
    elif form == DBN and size >= 4:
        size -= size % 4
        store_u8(target, size // 4)
    elif form == LINE and size > 0:
        store_u8(target + size - 1, 10)
    elif form in (PCAP_LITTLE, PCAP_BIG) and size >= 16:
        store_number(target + 8, size - 16, form == PCAP_BIG)
        mend_packet(target + 16, size - 16)
    elif form in (BLOCK_LITTLE, BLOCK_BIG) and size >= 32:
        size -= size % 4
        store_number(target + 4, size, form == BLOCK_BIG)
        store_number(target + size - 4, size, form == BLOCK_BIG)
        store_number(target + 20, size - 32, form == BLOCK_BIG)
        mend_packet(target + 28, size - 32)
    return size


@kernel
def mend_packet(ip, size):
    """The same of an IPv4 packet without options, where one lies there bare."""
    if size >= 28 and load_u8(ip) == 0x45:
        store_u16(ip + 2, size)
        store_u16(ip + 24, size - 20)


@kernel
def store_number(target, value, big):
    """Write a 32-bit number, big-endian or not."""
    if big:
        store_u32(target, value)
        return
    for place in range(4):
        store_u8(target + place, (value >> (8 * place)) & 0xFF)


@kernel
def digest(before, address, size):
    """A fingerprint of whole words, going on from another (FNV-1a by words, folded to 63 bits)."""
    value = before
    for place in range(0, size, 8):
        value = ((value ^ (load_word(address + place) & 0x7FFFFFFF)) * 0x01000193) & 0x7FFFFFFFFF
        value ^= (load_word(address + place) >> 32) & 0x7FFFFFFF
    return value
