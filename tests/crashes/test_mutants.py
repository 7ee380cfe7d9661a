"""Each flaw that is put into the protocol is found by killing; what is no flaw is not."""

import json
import os
import subprocess
import sys

import pytest

from tests.crashes.mutants import CANARY, CONTROL, CRASHES, FLAWS

ENVIRONMENT = {**os.environ, "CORELANE_TICKS": "1", "NUMBA_DISABLE_JIT": "1"}


@pytest.fixture(scope="module")
def found():
    """What became of every search, by the flaw's name; and the exit code of them all."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.crashes.mutants"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines, ran.stderr
    return {line["name"]: line for line in lines}, ran.returncode


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found(found, flaw):
    assert found[0][flaw]["verdict"] not in ("", "broken")


def test_the_canary_is_found_by_who_looks_at_what_the_sink_has_got(found):
    assert found[0][CANARY]["verdict"] == "torn"


def test_where_there_is_no_flaw_none_is_found(found):
    control = found[0][CONTROL]
    assert not control["verdict"]
    assert control["crashes"] >= CRASHES


def test_all_were_looked_for(found):
    searches, code = found
    assert set(searches) == {CANARY, CONTROL, *FLAWS}
    assert len(FLAWS) > 35
    assert code == 0


SILENT = """
from tests.crashes import mutants
mutants.WORLDS = (((4, 4), 30, 1),)
raise SystemExit(mutants.main(["canary"]))
"""


def test_a_canary_that_is_not_found_fails_the_search():
    """One death is too few: nobody looked long enough, and that must not pass for success."""
    program = SILENT.replace('"canary"', '"journal that comes back"')
    ran = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=False)
    assert ran.returncode == 1
