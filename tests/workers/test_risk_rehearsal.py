"""A rehearsal calls what the stage calls later, and leaves nothing behind."""

import numpy as np
import pytest

from workers import risk_rehearsal
from workers.kernels import option_positions, position_block, positions


@pytest.mark.parametrize("days", [[], [100]])
def test_each_kind_of_book_is_held_and_marked_twice(monkeypatch, days):
    limits = position_block.Limits(instruments=9, portfolios=3, held=2, scenarios=100)
    seen = []
    hold = positions.hold

    def watched(address, *terms):
        hold(address, *terms)
        seen.append((len(terms[-1]), terms[2]))

    monkeypatch.setattr(positions, "hold", watched)
    risk_rehearsal.rehearse(limits, [np.zeros(count, np.int32) for count in days])
    assert seen == [(count, quantity) for count in (*days, 1) for quantity in (1, 2)]


def test_options_are_held_where_there_are_any(monkeypatch):
    limits = position_block.Limits(9, 3, 2, 50, options=7)
    marked = []
    mark = option_positions.mark

    def watched(address, instrument, time_ns):
        mark(address, instrument, time_ns)
        marked.append(positions.value(address, 0))

    monkeypatch.setattr(option_positions, "mark", watched)
    risk_rehearsal.rehearse(limits, [np.zeros(50, np.int32)])
    assert len(marked) == 4
