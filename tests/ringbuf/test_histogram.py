import json

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import histogram
from ringbuf.histogram import HIGHEST_NS, PERCENTILES, Summary, empty
from ringbuf.jit import compiled
from tests.naive.histogram import Histogram

EXAMPLES = 100 if compiled() else 30
IN_RANGE = st.one_of(
    st.integers(0, 5000),
    st.integers(0, 36).flatmap(lambda bits: st.integers((1 << bits) // 2, 1 << bits)),
).map(lambda value: min(value, HIGHEST_NS))
ANY = st.one_of(IN_RANGE, st.integers(-(2**62), 2**62))
LIBRARY = HdrHistogram(1, HIGHEST_NS, histogram.DIGITS)


def noted(values):
    made = empty()
    for value in values:
        histogram.note(made.ctypes.data, value)
    return made


@given(IN_RANGE)
@settings(max_examples=500, deadline=None)
def test_the_bucket_is_that_of_hdrhistogram(value):
    bucket = int(histogram.bucket(value))
    assert bucket == LIBRARY._counts_index_for(value)
    highest = int(histogram.highest_of(np.array([bucket]))[0])
    assert highest == LIBRARY.get_highest_equivalent_value(value)
    assert value <= highest <= value * 1.001


def test_buckets_go_up_one_by_one():
    last = int(histogram.bucket(HIGHEST_NS))
    assert last < len(empty()["counts"][0])
    highest = histogram.highest_of(np.arange(last + 1))
    assert highest[0] == 0
    assert (np.diff(highest) > 0).all()
    for index in range(0, last, 97):
        assert histogram.bucket(int(highest[index])) == index
        assert histogram.bucket(int(highest[index]) + 1) == index + 1


@given(st.lists(ANY, max_size=60))
@settings(max_examples=EXAMPLES, deadline=None)
def test_percentiles_are_those_of_the_sorted_values_to_three_digits(values):
    made, naive = noted(values), Histogram()
    for value in values:
        naive.note(value)
    summary = Summary(made[0])
    assert summary.count == int(made["count"][0]) == len(values)
    assert summary.clipped == naive.clipped
    assert summary.highest == max(naive.values, default=0)
    assert summary.mean == pytest.approx(np.mean(naive.values) if values else 0, rel=1e-9)
    for percent in (0.0, *PERCENTILES, 100.0):
        exact = naive.percentile(percent)
        assert exact <= summary.percentile(percent) <= exact * 1.001


def test_many_values_agree_with_the_library():
    values = np.random.default_rng(3).lognormal(6, 2, 20_000 if compiled() else 1500).astype(int)
    made = noted(values.tolist())
    library = HdrHistogram(1, HIGHEST_NS, 3)
    for value in values.tolist():
        library.record_value(value)
    for percent in (1, 25, *PERCENTILES):
        ours = Summary(made[0]).percentile(percent)
        assert ours == min(library.get_value_at_percentile(percent), values.max())


@given(st.lists(st.lists(IN_RANGE, max_size=30), max_size=4))
@settings(max_examples=EXAMPLES, deadline=None)
def test_several_added_together_are_one_of_all_values(parts):
    together = Summary(*(noted(part)[0] for part in parts))
    whole = Summary(noted([value for part in parts for value in part])[0])
    assert together.as_dict() == whole.as_dict()
    assert (together.counts == whole.counts).all()
    assert together.total == whole.total


@given(st.lists(ANY, max_size=30), st.lists(ANY, max_size=30))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_sum_is_that_of_both_and_a_difference_takes_it_apart(some, more):
    one, other = Summary(noted(some)[0]), Summary(noted(more)[0])
    both = one + other
    assert both.sparse() == Summary(noted(some + more)[0]).sparse()
    assert both.count == len(some) + len(more)
    assert ((both - other).counts == one.counts).all()
    assert ((both - other).count, (both - other).total) == (one.count, one.total)


@given(st.lists(ANY, max_size=60))
@settings(max_examples=EXAMPLES, deadline=None)
def test_plain_data_loses_nothing(values):
    summary = Summary(noted(values)[0])
    kept = json.loads(json.dumps(summary.sparse()))
    back = Summary.from_sparse(kept)
    assert back.sparse() == kept == summary.sparse()
    assert (back.counts == summary.counts).all()
    assert back.as_dict() == summary.as_dict()
    assert sum(count for _, count in kept["buckets"]) == len(values)


@pytest.mark.parametrize(
    "buckets", [[[-1, 1]], [[10**6, 1]], [[3, 0]], [[3, -1]], [[1, 2, 3]], [["a", 1]]]
)
def test_what_no_histogram_can_say_is_refused(buckets):
    with pytest.raises(ValueError):
        Summary.from_sparse({"buckets": buckets, "total": 0, "highest": 0, "clipped": 0})


@given(st.lists(IN_RANGE, max_size=60), IN_RANGE)
@settings(max_examples=EXAMPLES, deadline=None)
def test_how_many_are_at_most_so_much_to_three_digits(values, limit):
    found = Summary(noted(values)[0]).up_to(limit)
    assert sum(value <= limit for value in values) <= found
    assert found <= sum(value <= limit * 1.001 for value in values)


def test_what_was_counted_since():
    made = noted([10, 20, 2 * HIGHEST_NS])
    earlier = Summary(made[0])
    for value in (30, 40, 50):
        histogram.note(made.ctypes.data, value)
    since = Summary(made[0]) - earlier
    assert (since.count, since.total, since.mean, since.clipped) == (3, 120, 40.0, 0)
    assert [since.percentile(percent) for percent in (10, 50, 99)] == [30, 40, 50]


@pytest.mark.parametrize(
    ("value", "kept"), [(HIGHEST_NS + 1, HIGHEST_NS), (2**62, HIGHEST_NS), (-1, 0), (-(2**62), 0)]
)
def test_a_value_out_of_range_is_clipped_and_counted(value, kept):
    made = noted([value])
    assert (int(made["clipped"][0]), int(made["total"][0])) == (1, kept)
    assert Summary(made[0]).percentile(50) == kept
    assert int(made["counts"].sum()) == 1


def test_an_empty_histogram():
    assert Summary(empty()[0]).as_dict() == {
        "count": 0, "mean": 0.0, "p50": 0, "p90": 0, "p99": 0, "p99.9": 0, "p99.99": 0, "max": 0,
    }  # fmt: skip
    assert Summary().percentile(99) == 0


def test_the_printed_distribution_reads_back():
    values = [1, 5, 700, 700, 123_456, 7_000_000, HIGHEST_NS]
    lines = Summary(noted(values)[0]).hgrm().splitlines()
    rows = [line.split() for line in lines if line.strip() and line.split()[0][0].isdigit()]
    assert float(rows[0][0]) == 1
    assert float(rows[-1][0]) == pytest.approx(HIGHEST_NS, rel=0.001)
    assert int(rows[-1][2]) == len(values)
    exact = sorted(values)
    for value, _, count, *_ in rows:
        assert exact[int(count) - 1] <= float(value) <= exact[int(count) - 1] * 1.001
    (footer,) = (line for line in lines if "TotalCount  " in line)
    assert float(footer.split()[-1].rstrip("]")) == len(values)
