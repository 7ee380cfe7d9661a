"""Deaths by the million, and nobody behind the stage notices."""

import json
import os
import re
import subprocess
import sys

import pytest

from ringbuf.jit import compiled
from tests.crashes.main import ROWS

CRASHES = 5_000_000
MASK = 2**64 - 1
FACTOR = 0xD6E8FEB86659FD93

# Plain Python: a few stories twice, and one with a wrong idea of what must come out.
PROGRAM = """
import ctypes, json
from tests.crashes.plain import copies, interrupt
from tests.crashes.worlds import pattern_of

def played(stage, seed, quota, spoil=-1):
    made = copies()
    pattern = pattern_of(stage, 40)
    world = made["worlds"].World(pattern, (16, 4))
    interrupt(made["simulator"], world)
    mine = world.record
    if spoil >= 0:
        ctypes.c_int64.from_address(mine.reference + 8 * spoil).value ^= 1
    made["simulator"].play_one(world.address, seed, quota)
    return [world.verdict, mine.crashes, mine.lives, mine.chance, mine.known_out, mine.outputs]

print(json.dumps({
    "same": [played("toy", seed, 200) for seed in (1, 2, 1)],
    "real": [played(stage, 3, 60) for stage in ("book", "risk", "marks")],
    "spoilt": played("toy", 1, 200, spoil=5 * 8 + 3),
}))
"""
# The toy's outputs, as numbers: nothing is killed here.
OUTPUTS = """
import json
import numpy as np
from tests.crashes.worlds import pattern_of
pattern = pattern_of("toy", 60)
print(json.dumps([block.view(np.int64).reshape(-1, 8).tolist()
                  for block in (pattern.inputs, pattern.outputs)] + [pattern.given_after.tolist()]))
"""


def said(program: str):
    """What a process of plain Python, whose stores count, says."""
    environment = {**os.environ, "CORELANE_TICKS": "1", "NUMBA_DISABLE_JIT": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(ran.stdout)


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="a story takes a thousand times as long")
def test_millions_of_deaths_lose_double_reorder_and_tear_nothing():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.crashes.main", str(CRASHES)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = [line.strip("| ").split(" | ") for line in ran.stdout.splitlines()[2:] if "->" in line]
    assert [row[0] for row in rows] == [row.stage for row in ROWS]
    for row in rows:
        _, _, stories, deaths, _, *wrong, _ = row
        assert int(stories.replace(",", "")) >= 8
        assert int(deaths.replace(",", "")) > 20_000
        assert wrong == ["0"] * 6, row
    total = re.search(r"^([\d,]+) deaths in \d+ s: all held$", ran.stdout, re.MULTILINE)
    assert total
    assert int(total[1].replace(",", "")) >= CRASHES


def test_the_same_seed_is_the_same_story_and_a_wrong_reference_shows():
    seen = said(PROGRAM)
    first, other, again = seen["same"]
    assert first == again != other
    for verdict, crashes, _, _, known, outputs in (*seen["same"], *seen["real"]):
        assert verdict == ""
        assert crashes >= 60
        assert known == outputs > 20
    assert seen["spoilt"][0] in ("torn", "replica")


def fold(one: int, other: int) -> int:
    mixed = (one ^ other) & MASK
    return (mixed ^ mixed >> 32) * FACTOR & MASK


def test_the_toy_gives_what_a_simple_program_gives():
    inputs, outputs, given = said(OUTPUTS)
    state, wanted, after = [0, 0, 0, 0], [], [0]
    for number, words in enumerate(inputs):
        state[0] = fold(state[0], words[0] ^ state[3])
        state[1] = fold(state[1], state[0] ^ words[2])
        state[2] = fold(state[2], state[1])
        state[3] ^= state[2]
        for index in range(state[0] >> 20 & 3):
            made = [number + 1, index, *state, fold(state[3], index), len(wanted) + 1]
            wanted.append([(word + 2**63) % 2**64 - 2**63 for word in made])
        after.append(len(wanted))
    assert outputs == wanted
    assert given == after
    assert {after[n + 1] - after[n] for n in range(len(inputs))} == {0, 1, 2, 3}
