"""A histogram as the values themselves."""

import math

HIGHEST_NS = 60_000_000_000


class Histogram:
    """All values ever counted, those out of range as the nearest end of it."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.clipped = 0

    def note(self, value: int) -> None:
        kept = min(max(value, 0), HIGHEST_NS)
        self.clipped += kept != value
        self.values.append(kept)

    def percentile(self, percent: float) -> int:
        """The smallest value that `percent` of all values do not exceed; 0 where there is none."""
        if not self.values:
            return 0
        rank = max(math.ceil(percent / 100 * len(self.values) - 1e-9), 1)
        return sorted(self.values)[rank - 1]
