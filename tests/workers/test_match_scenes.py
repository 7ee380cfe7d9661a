"""Each scene of tests/scenes/matching is played, and has to say what stands in it."""

from pathlib import Path

import pytest

from tests.workers.match_scenes import played

SCENES = sorted((Path(__file__).parent.parent / "scenes" / "matching").glob("*.txt"))


@pytest.mark.parametrize("path", SCENES, ids=[path.stem for path in SCENES])
def test_scene(path):
    text = path.read_text()
    assert played(text) == text


def test_there_are_scenes_of_every_rule():
    assert len(SCENES) >= 18
