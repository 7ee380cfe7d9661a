"""DBN streams that are odd, damaged or nothing of the kind: the twin agrees, or all is counted."""

import ctypes
import mmap
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import dbn as naive
from tests.workers.dbn_streams import TIME, Decoder, agree, mbo, mbp, pair, run, stream
from workers.kernels import dbn, dbn_state
from workers.records import EVENT, empty

EXAMPLES = 150 if compiled() else 10
TIMES = st.sampled_from([TIME, TIME + 5, TIME + 86_400 * 10**9, naive.UNDEF_TIME, 0])
PRICES = st.integers(1, 6).map(lambda n: n * 10**9) | st.sampled_from(
    [naive.UNDEF_PRICE, -(10**9), 0, 10**5, 10**5 + 1, 1 << 62]
)
SIZES = st.integers(0, 9) | st.just(naive.UNDEF_SIZE)
LETTERS = {
    "action": st.sampled_from([bytes([letter]) for letter in b"AACCMMRTFNx"]),
    "side": st.sampled_from([b"B", b"A", b"N", b"?"]),
    "trading": st.sampled_from([b"Y", b"N", b"~"]),
    "quoting": st.sampled_from([b"Y", b"N", b"~"]),
    "short": st.just(b"~"),
}
FLAGS = st.sampled_from([0, 128, 128, 128, 32, 160, 40, 168, 64, 192, 132, 4, 16, 130])
HEADERS = {"publisher": st.sampled_from([1, 1, 2]), "instrument": st.integers(5, 7)}


@st.composite
def messages(draw):
    """A record of any type, now and then with an impossible field."""
    kind = draw(st.sampled_from([0xA0, 0xA0, 0xA0, 0x0A, 0x01, 0x00, 0x12, 0x13, 0x20, 0x17]))
    header = {name: draw(values) for name, values in HEADERS.items()}
    header["ts_event"] = draw(TIMES)
    if kind == 0x13:
        return naive.definition(3, draw(st.sampled_from(["AB", "CD", "E" * 25])), **header)
    if kind in (0x20, 0x17):
        return naive.other(kind, {0x20: 56, 0x17: 320}[kind], **header)
    values = {"ts_recv": draw(TIMES)}
    for name, code in zip(naive.NAMES[kind], naive.FIELDS[kind][0], strict=False):
        if kind == 0x12 and name == "action":
            values[name] = draw(st.integers(0, 17))
        elif code == "c":
            values[name] = draw(LETTERS[name])
    if kind != 0x12:
        values |= {"price": draw(PRICES), "size": draw(SIZES), "flags": draw(FLAGS)}
        values["sequence"] = draw(st.integers(0, 9))
    if kind == 0xA0:
        values["order"] = draw(st.integers(1, 9) | st.just((1 << 64) - 3))
    pairs = st.tuples(PRICES, PRICES, SIZES, SIZES, st.integers(0, 3), st.integers(0, 3))
    levels = draw(st.lists(pairs, max_size=naive.LEVELS.get(kind, 0)))
    return naive.record(kind, levels=levels, **header, **values)


NAMED = [("AA", [(20231114, 20231115, "5"), (20231115, 20231116, "6")]),
         ("BB", [(20231115, 20231117, "5")])]  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(messages(), max_size=25), st.integers(1, 60), st.booleans())
def test_whatever_comes_is_what_the_twin_reads(some, limit, named):
    agree(stream(*some, mappings=NAMED if named else ()), limit=limit)


def believable(seed: int, count: int) -> list[bytes]:
    """A stream of orders and levels that could be real."""
    draw, found = random.Random(seed), [mbo("R"), mbo("R", instrument=8)]
    for number in range(count):
        later = {"ts_event": TIME + number, "ts_recv": TIME + number}
        price, kind = draw.randrange(90, 110) * 10**9, draw.randrange(3)
        if kind == 0:
            found.append(mbo(draw.choice("AAACMTF"), number, price, **later))
        elif kind == 1:
            found.append(mbo("A", number, price, instrument=8, flags=0, **later))
        else:
            found.append(mbp([pair(100, 101 + number % 3)], instrument=9, **later))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_where_stretches_are_cut_changes_nothing(seed):
    draw = random.Random(seed)
    data = stream(*believable(seed, 30))
    damaged = bytearray(Decoder(data).rest)
    for _ in range(3 * (seed > 0)):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    damaged = bytes(damaged[: len(damaged) - seed])
    whole, decoder = run(data, damaged=damaged)
    widths = [1, 2, 3, 7, 41, 100, 367] if compiled() else [7, 100]
    cuts = [[width] * (len(damaged) // width + 1) for width in widths]
    for sizes in cuts:
        limit = draw.randrange(1, 90)
        events, pieces = run(data, sizes, damaged=damaged, limit=limit)
        assert events.tobytes() == whole.tobytes()
        assert pieces.counters.tobytes() == decoder.counters.tobytes()


@pytest.mark.parametrize("seed", range(60 if compiled() else 6))
def test_one_broken_record_costs_one_record_and_all_books_their_trust(seed):
    draw, some = random.Random(seed), believable(seed, 40)
    number = draw.randrange(4, len(some))
    broken = bytearray(b"".join(some))
    place = sum(map(len, some[:number])) + draw.randrange(2)
    broken[place] ^= draw.randrange(1, 256)
    data = stream(*some, schema=0 if seed % 2 else 0xFFFF)
    _, decoder = run(data, damaged=bytes(broken))
    if seed % 2 == 0 and decoder.count("bad_frames"):
        lost = len(some) - decoder.count("messages")
        assert lost <= 1
        assert decoder.count("gaps") == decoder.count("bad_frames") >= 1
        instruments = decoder.memory.instruments[: decoder.state["codes"]]
        assert all(row["doubt"] for row in instruments if row["rank"] == dbn_state.ORDERS)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=6)), max_size=8),
    st.integers(0, 1 << 20),
    st.integers(1, 70),
)
def test_damage_anywhere_is_counted(seed, wounds, end, limit):
    data = stream(*believable(seed, 30), schema=0xFFFF)
    damaged = bytearray(Decoder(data).rest)
    for place, patch in wounds:
        damaged[place % len(damaged) : place % len(damaged) + len(patch) // 2] = patch
    run(data, damaged=bytes(damaged[: end % len(damaged)]), limit=limit)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([1, 2, 3]), st.sampled_from([0, 2, 0xFFFF]))
def test_noise_is_counted(noise, version, schema):
    run(naive.metadata(version, schema), damaged=noise)


def test_nothing_is_read_behind_the_end():
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 2 * page)
    raw = np.frombuffer(area, np.uint8)
    start = raw.ctypes.data
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + page), page, 0) == 0
    records = b"".join([*believable(3, 12), naive.definition(3, "X" * 71), naive.mapping(3, "Y")])
    out = empty(EVENT, 64)
    for end in range(0, len(records), 5 if compiled() else 41):
        raw[page - end : page] = np.frombuffer(records[:end], np.uint8)
        for final in (0, 1):
            decoder = Decoder(naive.metadata(3, 0xFFFF), look=False)
            decoder.state["final"] = final
            at = start + page - end
            dbn.look_ahead(decoder.memory.address, at, end)
            dbn.decode(decoder.memory.address, at, end, out.ctypes.data, 64)
            assert decoder.count("bytes") == decoder.state["consumed"]
    assert libc.mprotect(ctypes.c_void_p(start + page), page, 3) == 0
