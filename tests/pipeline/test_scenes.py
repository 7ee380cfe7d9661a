"""Whatever happens to a pipeline, what it leaves is what it leaves when nothing happens."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from tests.pipeline.faults import can_mount
from tests.pipeline.player import NO_FAULTS, Player, loads, name_of, struck
from tests.pipeline.reference import must_agree, reference
from tests.pipeline.running import Place
from tests.pipeline.scenes import files, make_up, read

MADE_UP = (6,)  # seeds: of orders
TRIES = 3


def expected(scene) -> Counter:
    """How many faults of each kind a scene has."""
    count = Counter(name_of(fault) for life in scene.lives for fault in life.faults)
    count["/dev/shm full"] = sum(bool(life.shared_mb) for life in scene.lives)
    names = {"tear": "torn", "strange": "another layout", "lost": "snapshot damaged"}
    for life in scene.lives:
        for damage in life.before:
            count[names[damage.__struct_config__.tag]] += 1
    return +count


def played(scene, place) -> Counter:
    """What happened in a scene; anew where the machine was too slow for all of it to happen."""
    if scene.mounts and not can_mount():
        pytest.skip("it mounts small file systems, which takes root")
    for number in range(TRIES):
        folder = place.folder / f"try{number}"
        folder.mkdir()
        there = Place(folder)
        try:
            count = Player(scene, there).play()
        finally:
            there.close()
        if not count["too late"]:
            break
    return count


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_whatever_happens_the_same_comes_out(place, path):
    scene = read(path)
    count = played(scene, place)
    assert count["runs"] == len(scene.lives)
    assert {name: count[name] for name in count if name not in NO_FAULTS} == expected(scene)
    assert not count["too late"]


def test_there_is_enough_in_the_files():
    total = sum((expected(read(path)) for path in files()), Counter())
    assert struck(total) >= 50
    assert len(total) >= 20, total


@pytest.mark.parametrize("seed", MADE_UP)
def test_a_made_up_scene_ends_the_same(place, seed):
    assert struck(played(make_up(seed, "day", 0.3), place)) > 0


def test_a_seed_always_makes_up_the_same_scene():
    made = [msgspec.json.encode(make_up(seed)) for seed in (*range(40), *range(40))]
    assert made[:40] == made[40:]
    assert len(set(made)) == 40


@pytest.mark.parametrize("ring", ["events", "book", "risk"])
def test_one_byte_that_differs_is_found(ring):
    wanted = reference(loads()["day"])
    records = bytearray(wanted.rings[ring])
    records[64 * 100 + 8] ^= 1
    with pytest.raises(AssertionError, match=f"{ring}: record 101 is another"):
        must_agree(replace(wanted, rings=wanted.rings | {ring: bytes(records)}), wanted)


@pytest.mark.parametrize("what", ["rows", "lines"])
def test_a_row_that_is_there_twice_is_found(what):
    wanted = reference(loads()["day"])
    stored = getattr(wanted, what)
    name = next(iter(stored))
    doubled = stored | {name: [*stored[name], stored[name][-1]]}
    with pytest.raises(AssertionError, match=f"{name}: how many"):
        must_agree(replace(wanted, **{what: doubled}), wanted)
