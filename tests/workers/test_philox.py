"""Philox against its authors' known answers and numpy's, compiled and as plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import data_file
from workers.kernels import philox

WORD = st.integers(0, 2**32 - 1)
WIDE = st.integers(0, 2**64 - 1)


def halves(word):
    return word >> 32, word & 0xFFFFFFFF


def known_answers(name):
    for line in data_file("risk/philox_kat.txt").read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            yield int(words[1]), [int(word, 16) for word in words[2:]]


def test_known_answers_of_32_bits():
    cases = list(known_answers("philox4x32"))
    assert {rounds for rounds, _ in cases} == {7, 10}
    for rounds, words in cases:
        assert list(philox.philox_4x32(*words[:6], rounds)) == words[6:]


def test_known_answers_of_64_bits():
    cases = list(known_answers("philox4x64"))
    assert {rounds for rounds, _ in cases} == {7, 10}
    for rounds, words in cases:
        pairs = [halves(word) for word in words]
        found = philox.philox_4x64(tuple(pairs[:4]), tuple(pairs[4:6]), rounds)
        assert list(found) == pairs[6:]


@settings(max_examples=60)
@given(st.lists(WIDE, min_size=4, max_size=4), st.lists(WIDE, min_size=2, max_size=2))
def test_64_bits_are_numpys(counter, key):
    """numpy counts up before it answers, so ours is one ahead of what it is given."""
    whole = sum(word << 64 * place for place, word in enumerate(counter))
    before = [(whole - 1) % 2**256 >> 64 * place & (2**64 - 1) for place in range(4)]
    theirs = np.random.Philox(
        counter=np.array(before, np.uint64), key=np.array(key, np.uint64)
    ).random_raw(4)
    ours = philox.philox_4x64(
        tuple(halves(word) for word in counter), tuple(halves(word) for word in key), 10
    )
    assert [high << 32 | low for high, low in ours] == theirs.tolist()


@given(WIDE, WIDE)
def test_products_and_sums_are_exact(a, b):
    found = philox.multiply(*halves(a), *halves(b))
    assert sum(half << 32 * place for place, half in enumerate(reversed(found))) == a * b
    high, low = philox.add(*halves(a), *halves(b))
    assert high << 32 | low == (a + b) % 2**64


@given(WORD, WORD, st.integers(0, 2**62), WORD)
def test_a_block_has_the_name_that_it_is_asked_by(seed, portfolio, path, number):
    wanted = philox.philox_4x32(
        number, portfolio, path % 2**32, path >> 32, seed % 2**32, seed >> 32, 10
    )
    assert philox.block(seed, portfolio, path, number) == wanted


@pytest.mark.parametrize("place", range(4))
def test_names_that_differ_in_one_part_share_nothing(place):
    names = [[5, 6, 7, 8] for _ in range(200)]
    for step, name in enumerate(names):
        name[place] += step
    words = [word for name in names for word in philox.block(*name)]
    assert len(set(words)) > 795  # of 800: two may meet by chance
