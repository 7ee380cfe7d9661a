"""A few thousand options of the campaign, and that it finds what is wrong."""

import numpy as np
import pytest

from ringbuf.jit import compiled
from tests.workers import option_campaign
from tests.workers.option_campaign import Tally, campaign, main

COUNT = 4_000 if compiled() else 192


def test_all_laws_hold():
    tally = campaign(COUNT, seed=7)
    assert len(tally.lines) > 45
    assert sum(line.looked_at for line in tally.lines.values()) > 30 * COUNT
    failed = {name: line for name, line in tally.lines.items() if line.failed}
    assert not failed


@pytest.mark.parametrize("name", ["price", "delta", "gamma", "vega", "theta", "rho"])
def test_a_measure_that_is_a_little_off_is_found(name, monkeypatch):
    """One part in a million of one measure; of what is compared exactly, in one option."""
    right = option_campaign.measured

    def wrong(columns):
        found = right(columns)
        found[name] = found[name] * 1.0001
        return found

    monkeypatch.setattr(option_campaign, "measured", wrong)
    tally = campaign(64, seed=7)
    assert tally.lines[f"QuantLib: {name}"].failed
    assert tally.lines[f"60 digits: {name}"].failed
    assert tally.lines[f"tick = all inputs: {name}"].failed


def test_a_nan_is_a_failure():
    tally = Tally()
    tally.note("law", np.array([0.0, np.nan]), 1.0)
    tally.hold("law", np.array([True, False]))
    assert tally.lines["law"][:2] == (4, 2)


def test_the_command_prints_a_line_for_each_check(capsys):
    assert main(["64", "3"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split()[0] == "check"
    assert len(told) > 45
