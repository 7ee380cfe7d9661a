"""Latency histograms in shared memory: HDR layout, three significant digits, 1 ns to over 60 s.

The bucket of a value is found as HdrHistogram finds it (2,048 sub-buckets, lowest value 1), so
the counts can be handed to that library as they are and come out as its .hgrm text.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ringbuf.atomics import at, bit_length
from ringbuf.jit import kernel
from ringbuf.record import record

HALF_BITS = 10
HALF = 1 << HALF_BITS
HIGHEST_NS = 60_000_000_000
BUCKETS = 27
DIGITS = 3
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)

HISTOGRAM = record(
    [
        ("count", "i8"),
        ("highest", "i8"),  # ns
        ("clipped", "i8"),  # values over HIGHEST_NS or below 0, counted as those
        ("total", "i8"),  # ns, of all values
        ("counts", "i8", (BUCKETS * HALF,)),
    ]
)


@kernel
def note(histogram, value):
    """Count one value in ns; histogram is the address of a HISTOGRAM record."""
    record_ = at(histogram, HISTOGRAM)
    if value > HIGHEST_NS:
        value = HIGHEST_NS
        record_.clipped += 1
    elif value < 0:
        value = 0
        record_.clipped += 1
    record_.count += 1
    record_.total += value
    record_.highest = max(record_.highest, value)
    record_.counts[bucket(value)] += 1


@kernel
def bucket(value):
    """The index of a value's bucket: HdrHistogram's countsIndexFor."""
    shift = max(bit_length(value) - HALF_BITS - 1, 0)
    return (shift << HALF_BITS) + (value >> shift)


def highest_of(indices: np.ndarray) -> np.ndarray:
    """The highest value, in ns, that each bucket stands for."""
    shift = np.maximum(indices // HALF - 1, 0)
    lowest = (indices - shift * HALF) << shift
    return lowest + (1 << shift) - 1


class Summary:
    """A histogram at one moment, or several added together; values in ns."""

    def __init__(self, *histograms: np.ndarray) -> None:
        self.counts = np.zeros(BUCKETS * HALF, np.int64)
        self.highest = self.clipped = self.total = 0
        for histogram in histograms:
            self.counts += histogram["counts"]
            self.highest = max(self.highest, int(histogram["highest"]))
            self.clipped += int(histogram["clipped"])
            self.total += int(histogram["total"])
        self.count = int(self.counts.sum())

    def percentile(self, percent: float) -> int:
        """The value that `percent` of all values do not exceed; 0 where there is none."""
        if not self.count:
            return 0
        rank = max(int(np.ceil(percent / 100 * self.count - 1e-9)), 1)
        index = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(int(highest_of(np.array([index]))[0]), self.highest)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def up_to(self, value: int) -> int:
        """How many values are at most so many ns, to three digits."""
        shift = max(int(value).bit_length() - HALF_BITS - 1, 0)
        return int(self.counts[: (shift << HALF_BITS) + (int(value) >> shift) + 1].sum())

    def __add__(self, other: "Summary") -> "Summary":
        """Both together, as if all values had been counted in one."""
        both = Summary()
        both.counts = self.counts + other.counts
        both.count, both.total = self.count + other.count, self.total + other.total
        both.highest = max(self.highest, other.highest)
        both.clipped = self.clipped + other.clipped
        return both

    def __sub__(self, earlier: "Summary") -> "Summary":
        """What was counted since an earlier moment. `highest` stays that of all time."""
        since = Summary()
        since.counts = self.counts - earlier.counts
        since.count, since.total = self.count - earlier.count, self.total - earlier.total
        since.highest, since.clipped = self.highest, self.clipped - earlier.clipped
        return since

    def as_dict(self) -> dict[str, float]:
        """Percentiles by name, in ns, with count, mean and maximum."""
        named = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        return {"count": self.count, "mean": round(self.mean, 1), **named, "max": self.highest}

    def sparse(self) -> dict[str, Any]:
        """All that is known, as plain data: what `from_sparse` makes the same histogram of.

        buckets: [index, count] of every bucket that is not empty; a bucket's value is
        `highest_of` its index.
        """
        used = np.flatnonzero(self.counts)
        return {
            "total": self.total,
            "highest": self.highest,
            "clipped": self.clipped,
            "buckets": np.column_stack((used, self.counts[used])).tolist(),
        }

    @classmethod
    def from_sparse(cls, kept: Mapping[str, Any]) -> "Summary":
        """The histogram that `sparse` was called on; ValueError for what no histogram can say."""
        made = cls()
        buckets = np.array(kept["buckets"], np.int64).reshape(-1, 2)
        index, count = buckets[:, 0], buckets[:, 1]
        if (index < 0).any() or (index >= len(made.counts)).any() or (count < 1).any():
            raise ValueError(f"buckets are [0 to {len(made.counts) - 1}, 1 or more]")
        np.add.at(made.counts, index, count)
        made.count = int(made.counts.sum())
        made.total, made.highest = int(kept["total"]), int(kept["highest"])
        made.clipped = int(kept["clipped"])
        return made

    def hgrm(self) -> str:
        """The percentile distribution as HdrHistogram prints it, values in ns."""
        import io

        from hdrh.histogram import HdrHistogram

        library = HdrHistogram(1, HIGHEST_NS, DIGITS)
        for index in np.flatnonzero(self.counts):
            value = int(highest_of(np.array([index]))[0])
            library.record_value(min(value, HIGHEST_NS), int(self.counts[index]))
        out = io.BytesIO()
        library.output_percentile_distribution(out, 1.0)
        return out.getvalue().decode()


def empty() -> np.ndarray:
    """One zeroed histogram outside shared memory."""
    return np.zeros(1, HISTOGRAM)
