import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.workers.books import Block
from workers.kernels import orders

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
near_ids = st.integers(-9, 40)
any_ids = st.integers(INT64_MIN, INT64_MAX)
keys = st.tuples(st.sampled_from([0, 1, 2, (1 << 24) - 1]), st.one_of(near_ids, near_ids, any_ids))


def pool_of(limit):
    block = Block(orders.bytes_needed(limit))
    orders.create(block.address, limit)
    return block


def insert(pool, instrument, order, quantity=1):
    tag = orders.tag_of(instrument, order)
    slot = orders.seek(pool, tag, instrument, order)
    return orders.claim(pool, slot, tag, instrument, order, quantity)


def erase(pool, instrument, order):
    orders.release(pool, orders.seek(pool, orders.tag_of(instrument, order), instrument, order))


@settings(max_examples=100 if compiled() else 25, deadline=None)
@given(st.integers(1, 20), st.lists(keys, max_size=120))
def test_the_index_finds_what_a_dict_would(limit, stream):
    block, naive = pool_of(limit), {}
    pool = block.address
    for key in stream:
        if key in naive:
            assert orders.find(pool, *key) == naive.pop(key)
            erase(pool, *key)
        elif len(naive) < limit:
            assert not orders.full(pool)
            naive[key] = insert(pool, *key)
        else:
            assert orders.full(pool)
        assert orders.occupied(pool) == len(naive)
        assert len(set(naive.values())) == len(naive)
        assert all(orders.find(pool, *known) == number for known, number in naive.items())
        assert orders.find(pool, *key) == naive.get(key, 0)


def test_the_record_given_back_last_is_used_first():
    block = pool_of(4)
    numbers = [insert(block.address, 0, order) for order in range(4)]
    erase(block.address, 0, 1)
    erase(block.address, 0, 3)
    assert orders.unused(block.address) == 2
    assert insert(block.address, 0, 9) == numbers[3]
    assert insert(block.address, 0, 8) == numbers[1]
    assert orders.full(block.address)


def test_a_gap_is_closed_across_the_end_of_the_index():
    block = pool_of(4)
    home = [order for order in range(4000) if orders.tag_of(0, order) & 7 == 7][:4]
    numbers = [insert(block.address, 0, order) for order in home]
    erase(block.address, 0, home[0])
    assert [orders.find(block.address, 0, order) for order in home] == [0, *numbers[1:]]
    assert orders.occupied(block.address) == 3


@pytest.mark.parametrize("order", [0, -1, 5, INT64_MIN, INT64_MAX, 1 << 40])
def test_tags_fit_31_bits_and_keep_neighbours_together(order):
    tag = orders.tag_of(3, order)
    assert 0 <= tag < 1 << 31
    first = order & ~7
    lines = {orders.tag_of(3, first + step) >> 3 for step in range(8)}
    assert lines == {tag >> 3}


def test_strided_ids_do_not_pile_up():
    for stride in (1, 8, 1 << 10, 1 << 31, 1 << 33, 1 << 45):
        lines = {(orders.tag_of(0, stride * step) & 8191) >> 3 for step in range(2000)}
        assert len(lines) > (200 if stride == 1 else 700), stride


@given(st.integers(1, orders.ORDERS_MAX))
def test_half_of_the_index_is_always_empty(limit):
    slots = orders.index_slots(limit)
    assert slots & (slots - 1) == 0
    assert 2 * limit <= slots <= max(8, 4 * limit)
