"""The models beside the code they are of, and a few of their searches."""

import re
from pathlib import Path

import pytest

from tests.model.check import FLAWED, HERE, SOUND, Case, missing, result_of, search, verdict

needs_spin = pytest.mark.skipif(
    bool(missing()), reason=f"needs {' and '.join(missing())}: `make model` installs what it needs"
)
CHEAP = [
    Case("ring", "RECORDS=3 KILLS=0"),
    Case("park", "RECORDS=2 KILLS=0"),
    Case("lossy", "RECORDS=3 KILLS=0"),
]
FOUND = {"RECOVER_TAKES_CLAIMED", "NO_WAKER_FENCE", "SKIP_WITHOUT_NOTE"}


@needs_spin
@pytest.mark.parametrize("case", CHEAP, ids=str)
def test_the_protocol_holds(case):
    result = search(case)
    assert verdict(case, result) == (True, "holds")
    assert result.states > 1000


@needs_spin
@pytest.mark.parametrize("case", [case for case in FLAWED if case.flaw in FOUND], ids=str)
def test_a_flaw_is_found(case):
    assert verdict(case, search(case)) == (True, "found")


def test_every_flaw_stands_in_its_model_and_every_model_is_searched():
    for case in FLAWED:
        assert re.search(rf"\b{case.flaw}\b", (HERE / f"{case.model}.pml").read_text())
    models = {path.stem for path in Path(HERE).glob("*.pml")} - {"memory"}
    assert {case.model for case in SOUND} == {case.model for case in FLAWED} == models
    assert {case.model for case in SOUND if case.cycles} == models


def test_a_search_that_did_not_end_proves_nothing():
    case, flawed = SOUND[0], FLAWED[0]
    done = "depth reached 9, errors: 0\n 12 states, stored\n 1.5e+06 transitions (=\n"
    cut = "Warning: Search not completed\n" + done
    assert verdict(case, result_of(done, 1.0)) == (True, "holds")
    assert result_of(done, 1.0)[:3] == (12, 1_500_000, 9)
    assert not verdict(flawed, result_of(done, 1.0))[0]
    for text in ("", cut, "error: max search depth too small\n" + done):
        assert not verdict(case, result_of(text, 1.0))[0]
        assert not verdict(flawed, result_of(text, 1.0))[0]
