"""The chain: against its plain twin, and what it must find however the damage is made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import ring
from ringbuf.chain import ROOT, link, seal, seal_records, unseal, verify, wrapped
from ringbuf.jit import compiled
from tests.naive import journal as naive

SIZES = (64, 128, 192)
EXAMPLES = 200 if compiled() else 30
EDGES = (0, 1, -1, 2**31, 2**32, -(2**63), 2**63 - 1)
words = st.one_of(st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1))


def signed(value):
    return wrapped(value)


def drawn(size, count, seed=1):
    """Records of noise: shape (count, words), int64."""
    shape = (count, size // 8)
    return np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, shape, np.int64)


def sealed(size, count, first=1, chain=ROOT, seed=1):
    """Sealed records of noise, and the last one's chain value."""
    records = drawn(size, count, seed)
    return records, seal_records(records.ctypes.data, size, first, count, chain)


def accepted(records, first=1, chain=ROOT):
    size = records.shape[1] * 8
    return verify(records.ctypes.data, size, first, len(records), chain)


@settings(max_examples=EXAMPLES)
@given(st.data(), st.sampled_from(SIZES), words, words)
def test_a_link_is_what_the_plain_twin_says(data, size, chain, sequence):
    record = np.array(data.draw(st.lists(words, min_size=size // 8, max_size=size // 8)), np.int64)
    found = link(chain, sequence, record.ctypes.data, size)
    assert found == signed(naive.link(chain % 2**64, sequence, record.tobytes()[:-8]))
    assert -(2**63) <= found < 2**63


def ring_of(size, capacity, records, first):
    """A ring with records on it from a sequence on, and a reader's view of it."""
    payload = np.zeros(ring.bytes_needed(capacity, size), np.uint8)
    ring.lines(payload)[0]["written"] = ring.lines(payload)[0]["gate"] = first - 1
    line = ring.lines(payload)[1][0]
    line["policy"], line["position"] = 1, first - 1
    writer = ring.writer_of(payload.ctypes.data, capacity, size)
    assert ring.push(writer, records.ctypes.data, len(records), 0) == len(records)
    return payload, ring.reader_of(payload.ctypes.data, capacity, size, 0)


@settings(max_examples=EXAMPLES // 4)
@given(st.sampled_from(SIZES), st.integers(0, 20), st.integers(0, 25), st.integers(1, 40), words)
def test_sealing_a_ring_gives_what_the_twin_gives(size, count, limit, first, chain):
    records = drawn(size, count)
    bodies = [record.tobytes()[:-8] for record in records]
    payload, reader = ring_of(size, 32, records, first)
    before = payload.copy()
    target = np.full((limit + 1) * size, 7, np.uint8)
    taken, last = seal(reader, first, limit, target.ctypes.data, chain)
    assert taken == min(count, limit)
    content, value = naive.sealed(chain % 2**64, first, bodies[:taken])
    assert bytes(target[: taken * size]) == content
    assert last == signed(value)
    assert (target[taken * size :] == 7).all(), "written beyond the last"
    assert (payload == before).all(), "a ring is only read"
    assert verify(target.ctypes.data, size, first, taken, chain) == (taken, last)
    unseal(target.ctypes.data, size, first, taken, target.ctypes.data)
    restored = target[: taken * size].view(np.int64).reshape(taken, size // 8)
    assert (restored[:, :-1] == records[:taken, :-1]).all()
    assert restored[:, -1].tolist() == list(range(first, first + taken))


def test_a_reader_behind_another_seals_what_that_one_has_released():
    payload, _ = ring_of(64, 32, drawn(64, 10), 1)
    lines = ring.lines(payload)[1]
    lines[0]["position"], lines[1]["policy"], lines[1]["after"] = 4, 1, 1
    reader = ring.reader_of(payload.ctypes.data, 32, 64, 1, after=1)
    target = np.zeros(10 * 64, np.uint8)
    assert seal(reader, 1, 10, target.ctypes.data, ROOT)[0] == 4


def test_unsealing_elsewhere_leaves_the_source_alone():
    records, _ = sealed(128, 5)
    before, target = records.copy(), np.zeros_like(records)
    unseal(records.ctypes.data, 128, 1, 5, target.ctypes.data)
    assert (records == before).all()
    assert (target[:, :-1] == before[:, :-1]).all()
    assert target[:, -1].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", SIZES)
def test_every_single_bit_is_found(size):
    records, _ = sealed(size, 2)
    content = records.view(np.uint8).reshape(-1)
    for bit in range(0, 2 * size * 8, 1 if compiled() else 37):
        content[bit // 8] ^= 1 << bit % 8
        assert accepted(records)[0] == bit // (size * 8)
        content[bit // 8] ^= 1 << bit % 8
    assert accepted(records)[0] == 2


@pytest.mark.parametrize("size", SIZES)
def test_any_two_words_that_change_places_are_found(size):
    """Also words that differ in one bit only, where sums of products are at their weakest."""
    records, _ = sealed(size, 1)
    for one in range(size // 8 - 1):
        for other in range(one):
            for bit in range(0, 64, 1 if compiled() else 21):
                record = records.copy()
                record[0, other] = record[0, one] ^ wrapped(1 << bit)
                seal_records(record.ctypes.data, size, 1, 1, ROOT)
                record[0, [one, other]] = record[0, [other, one]]
                assert accepted(record)[0] == 0, (one, other, bit)


def test_pairs_of_flipped_bits_are_found():
    records, _ = sealed(64, 1)
    bits = 64 * 7
    for seed in range(20_000 if compiled() else 200):
        one, other = np.random.default_rng(seed).choice(bits, 2, replace=False).tolist()
        for bit in (one, other):
            records[0, bit // 64] ^= wrapped(1 << bit % 64)
        assert accepted(records)[0] == 0, (one, other)
        for bit in (one, other):
            records[0, bit // 64] ^= wrapped(1 << bit % 64)


def flipped(record, bits):
    """A copy of a record with some bits, counted from its start, the other way round."""
    changed = record.copy()
    for bit in bits:
        changed[0, bit // 64] ^= wrapped(1 << bit % 64)
    return changed


@pytest.mark.parametrize("seed", range(20 if compiled() else 1))
def test_flipped_bits_do_not_make_up_for_one_another(seed):
    """The same few bits in several words: sums of products alone have them cancel out."""
    records, _ = sealed(64, 1, seed=seed)
    for words in ((0, 1), (2, 5), (0, 1, 2), (1, 2, 3), (0, 1, 2, 3), (3, 4, 5, 6)):
        for shift in range(-2, 3):
            for bit in range(2, 62):
                alone = [64 * word + bit + shift * (place % 2) for place, word in
                         enumerate(words) if 0 <= bit + shift < 64]  # fmt: skip
                low = [64 * word + bit // 2 + 1 for word in words]
                both = [*low, *(bit + 32 for bit in low)]
                for bits in (alone, both):
                    if bits:
                        assert accepted(flipped(records, bits))[0] == 0, bits


def test_the_same_record_elsewhere_is_another():
    body = drawn(64, 1)
    same = np.repeat(body, 100, axis=0)
    seal_records(same.ctypes.data, 64, 1, 100, ROOT)
    assert len(set(same[:, -1].tolist())) == 100
    assert accepted(same[1:].copy())[0] == 0
    assert accepted(same[1:].copy(), 2, int(same[0, -1]))[0] == 99
    assert accepted(same[1:].copy(), 3, int(same[0, -1]))[0] == 0


def test_zeros_are_no_record():
    for size in SIZES:
        for first in (1, 2, 1000):
            assert accepted(np.zeros((4, size // 8), np.int64), first)[0] == 0


def test_the_value_stands_for_the_whole_log():
    logs = {}
    for changed in range(50):
        records = drawn(64, 50)
        records[changed, 3] += 1
        logs[seal_records(records.ctypes.data, 64, 1, 50, ROOT)] = changed
    assert len(logs) == 50
    one, last = sealed(64, 50)
    parts = drawn(64, 50)
    chain = seal_records(parts.ctypes.data, 64, 1, 20, ROOT)
    chain = seal_records(parts[20:].ctypes.data, 64, 21, 30, chain)
    assert chain == last
    assert (parts == one).all()
