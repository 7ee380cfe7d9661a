"""The models beside the code they are of, and a few of their searches."""

import re
from pathlib import Path

import pytest

from tests.model.check import (
    FLAWED,
    HERE,
    SOUND,
    Case,
    executions_of,
    is_weak,
    missing,
    result_of,
    search,
    verdict,
)

CHEAP = [
    Case("ring", "RECORDS=3 KILLS=0"),
    Case("park", "RECORDS=2 KILLS=0"),
    Case("lossy", "RECORDS=3 KILLS=0"),
    Case("recovery", "RECORDS=3 KILLS=1 SINKS=1"),
    Case("weak_ring", "RECORDS=3 CAPACITY=2 SWITCHES=1"),
]
QUICK = {
    ("ring", "RECOVER_TAKES_CLAIMED"),
    ("park", "NO_WAKER_FENCE"),
    ("lossy", "SKIP_WITHOUT_NOTE"),
    ("recovery", "SNAPSHOT_AHEAD"),
    ("weak_lossy", "SECOND_LOOK_WITHOUT_FENCE"),
    ("weak_barrier", "POLICY_RELAXED"),
}


def skip_without_tools(case):
    if lacking := missing(is_weak(case.model)):
        pytest.skip(f"needs {' and '.join(lacking)}: `make model` installs what it needs")


@pytest.mark.parametrize("case", CHEAP, ids=str)
def test_the_protocol_holds(case):
    skip_without_tools(case)
    result = search(case)
    assert verdict(case, result) == (True, "holds")
    assert result.states + result.executions > 1000


@pytest.mark.parametrize(
    "case", [case for case in FLAWED if (case.model, case.flaw) in QUICK], ids=str
)
def test_a_flaw_is_found(case):
    skip_without_tools(case)
    assert verdict(case, search(case)) == (True, "found")


def test_every_flaw_stands_in_its_model_and_every_model_is_searched():
    files = {path.stem: path for kind in ("*.pml", "*.cpp") for path in Path(HERE).glob(kind)}
    models = set(files) - {"memory"}
    for case in FLAWED:
        assert re.search(rf"\b{case.flaw}\b", files[case.model].read_text())
    assert {case.model for case in SOUND} == {case.model for case in FLAWED} == models
    searched = {case.model for case in SOUND if case.cycles}
    assert searched == {model for model in models if not is_weak(model)}


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


def test_a_test_of_weak_memory_that_says_nothing_proves_nothing():
    case = next(case for case in SOUND if is_weak(case.model))
    flawed = next(case for case in FLAWED if is_weak(case.model))
    holds, race = "120 executions: holds\n", "3 executions: DATA RACE\n"
    assert verdict(case, executions_of(holds, 1.0)) == (True, "holds")
    assert executions_of(holds, 1.0).executions == 120
    assert not verdict(case, executions_of(race, 1.0))[0]
    assert verdict(flawed, executions_of(race, 1.0)) == (True, "found")
    for text in ("", holds, "3 executions: LIVELOCK\n"):
        assert not verdict(flawed, executions_of(text, 1.0))[0]
    assert not verdict(case, executions_of("", 1.0))[0]
