"""The scenes: those kept as files in tests/scenes, and those that a seed makes up.

python -m tests.pipeline.scenes [faults, 2000 unless told] [first seed]

The campaign makes up scenes and plays them until there were so many faults. It prints what has
happened how often, and stops at the first difference with the seed that shows it again.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.pipeline.faults import (
    ORDERS,
    STAGES,
    AnyFault,
    Crash,
    Early,
    Fill,
    Hang,
    Kill,
    Lost,
    Order,
    Spoil,
    Stop,
    Tear,
)  # fmt: skip
from tests.pipeline.player import FOLDER, Life, Player, Scene, struck
from tests.pipeline.reference import TOGETHER
from tests.pipeline.running import Place

FAULTS = 2000
SPAN = (0.03, 0.9)  # of the way, in which faults fall
FILLS = (0.03, 0.6)  # of disks: later everything that is still to come may fit in what is there
LAYOUTS = (
    [],
    TOGETHER,
    [STAGES],
    [["ingest", "risk"], ["book", "publisher"], ["journal", "snapshot"]],
    [["ingest", "book"], ["risk", "publisher", "journal"], ["snapshot"]],
    [["ingest", "snapshot"], ["book", "risk"], ["publisher"], ["journal"]],
)


def read(path: Path) -> Scene:
    """The scene in a file."""
    return msgspec.toml.decode(path.read_bytes(), type=Scene)


def files() -> list[Path]:
    """All scenes that are kept as files."""
    return sorted(path for path in FOLDER.glob("*.toml") if path.name != "loads.toml")


def make_up(seed: int, load: str = "long", share: float = 1.0) -> Scene:
    """The scene of a seed; share: of the faults that it would have."""
    rng = random.Random(seed)
    kind = rng.choices([*KINDS], [weight for weight, _ in KINDS.values()])[0]
    scene = KINDS[kind][1](rng, share)
    return msgspec.structs.replace(scene, about=kind, load=load, seed=seed)


def _some(rng: random.Random, most: float, make: Callable[[], AnyFault]) -> list[AnyFault]:
    return [make() for _ in range(max(int(most), 1))]


def _kill(rng: random.Random) -> Kill:
    """One stage or several, or the zygote, ready or not."""
    who = rng.sample(STAGES, rng.choice([1, 1, 1, 1, 2, 2, 3]))
    if rng.random() < 0.04:
        who = ["zygote"]
    return Kill(at=SPAN, who=who, anytime=rng.random() < 0.4)


def _tables(rng: random.Random) -> dict:
    """How a life is laid out."""
    rings = {name: 1 << rng.randrange(7, 12) for name in ("events", "book", "risk")}
    durability = rng.choice(["none", "async", "async", "sync"])
    return {
        "processes": rng.choice(LAYOUTS),
        "rings": rings | {"risk": max(rings["risk"], 128)},
        "journal": {"durability": durability, "sync_ms": rng.choice([2.0, 20.0, 200.0])},
        "supervision": {"start": rng.choice(["fork", "fork", "fork", "exec"])},
        "ingest": {"rate": rng.choice([3_000.0, 5_000.0])},
    }


def _kills(rng: random.Random, share: float) -> Scene:
    """One life with many deaths."""
    faults = _some(rng, 50 * share, lambda: _kill(rng))
    config = _tables(rng) | {"supervision": {"start": "fork"}}
    return Scene(about="", lives=[Life(config=config, faults=faults)])


def _lives(rng: random.Random, share: float) -> Scene:
    """Several lives, each with some deaths, ended by that of everything or of the host."""
    count, lives = rng.randint(2, 5), []
    for number in range(count):
        start, end = number / count * 0.9, (number + 1) / count * 0.9
        faults = _some(rng, 4 * share, lambda: _kill(rng))
        config = _tables(rng)
        for fault in faults:
            fault.at = (start, end)
            if "zygote" in fault.who and config["supervision"]["start"] == "exec":
                fault.who = ["book"]  # there is none
        ends: list[AnyFault] = [
            Kill(at=end, who=["everything"]),
            Kill(at=end, who=["supervisor"]),
            Crash(at=end),
            Crash(at=end),
        ]
        before = [Tear(cuts=2)] * (rng.random() < 0.4)
        before += [Lost(which=rng.choice(["newest", "all"]))] * (rng.random() < 0.4)
        if rng.random() < 0.3:
            lives.append(Life(config=_tables(rng), faults=[Early(seconds=(0.0, 4.0))]))
        lives.append(
            Life(
                config=config,
                before=before if number else [],
                faults=[*faults, rng.choice(ends)],
            )
        )
    lives.append(Life(config=_tables(rng)))
    return Scene(about="", lives=lives)


def _stops(rng: random.Random, share: float) -> Scene:
    """Stages that stand still, and some that never go on by themselves."""
    faults = _some(
        rng,
        12 * share,
        lambda: Stop(
            at=SPAN,
            who=rng.sample([*STAGES, "supervisor"], rng.choice([1, 1, 2])),
            seconds=rng.choice([0.1, 0.1, 0.3, 1.0, 5.0]),
        ),
    )
    faults += [Hang(at=SPAN, who=rng.choice(STAGES))]
    patience = {"hang_s": rng.choice([3.0, 8.0])}  # some stops are longer than that, others not
    config = {"supervision": patience, "ingest": {"rate": 4_000.0}}
    return Scene(about="", lives=[Life(config=config, faults=faults)])


def _orders(rng: random.Random, share: float) -> Scene:
    """Stages that are ended and restarted by hand, and die in between."""
    faults = _some(
        rng,
        12 * share,
        lambda: Order(at=SPAN, who=rng.choice(STAGES), order=rng.choice([*ORDERS]), seconds=0.1),
    )
    faults += _some(rng, 6 * share, lambda: _kill(rng))
    return Scene(about="", lives=[Life(config={"ingest": {"rate": 4_000.0}}, faults=faults)])


def _disk(rng: random.Random, share: float) -> Scene:
    """A disk that is full again and again, whoever dies then, and snapshots that are damaged."""
    faults = _some(rng, 3, lambda: Fill(at=FILLS, who=rng.choice([[], ["journal"]])))
    faults += _some(
        rng,
        6 * share,
        lambda: Spoil(at=SPAN, which=rng.choice(["newest", "all"]), who=[rng.choice(STAGES[1:4])]),
    )
    faults += _some(rng, 10 * share, lambda: _kill(rng))
    processes = [["ingest"], ["book"], ["risk"], ["publisher"], ["journal"], ["snapshot"]]
    life = Life(config={"processes": processes, "ingest": {"rate": 4_000.0}}, faults=faults)
    return Scene(about="", small_disk=True, lives=[life])


def _torn(rng: random.Random, _share: float) -> Scene:
    """Every byte of the last 4 KiB of every journal."""
    config = {"processes": TOGETHER, "journal": {"durability": "none"}}
    first = Life(config=config, faults=[Kill(at=(0.2, 0.8), who=["everything"])])
    return Scene(about="", lives=[first, Life(config=config, before=[Tear(cuts=0)])])


KINDS: dict[str, tuple[int, Callable[[random.Random, float], Scene]]] = {
    "kills": (8, _kills),
    "lives": (8, _lives),
    "stops": (2, _stops),
    "orders": (2, _orders),
    "full disk, bad snapshots": (2, _disk),
    "torn ends": (1, _torn),
}


def play(scene: Scene) -> Counter[str]:
    """Play a scene in a folder of its own, which stays where it fails."""
    folder = Path(tempfile.mkdtemp(prefix="corelane-scene-"))
    place = Place(folder)
    try:
        count = Player(scene, place).play()
    except BaseException:
        print(f"what is left of it lies in {folder}", file=sys.stderr)
        raise
    finally:
        place.close()
    shutil.rmtree(folder)
    return count


def main(arguments: list[str]) -> int:
    """Play made-up scenes until there were enough faults, and print tables."""
    enough = int(arguments[0] if arguments else FAULTS)
    seed = int(arguments[1] if len(arguments) > 1 else 1)
    kinds: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    while struck(total) < enough:
        scene, began = make_up(seed), time.monotonic()
        try:
            count = play(scene)
        except BaseException:
            print(f"seed {seed}: python -m tests.pipeline.scenes 1 {seed} shows it again")
            raise
        total += count
        mine = kinds.setdefault(scene.about, Counter())
        mine.update(scenes=1, faults=struck(count), runs=count["runs"])
        mine["seconds"] += int(time.monotonic() - began)
        done = f"{struck(total):,} of {enough:,} faults"
        print(f"seed {seed}: {scene.about}: {struck(count)} faults; {done}", file=sys.stderr)
        seed += 1
    columns = ("scenes", "runs", "faults", "seconds")
    print(f"| kind of scene | {' | '.join(columns)} |\n|---|" + "---:|" * len(columns))
    for kind, figures in kinds.items():
        print(f"| {kind} | {' | '.join(f'{figures[name]:,}' for name in columns)} |")
    print("\n| fault | times |\n|---|---:|")
    for name, number in sorted(total.items()):
        print(f"| {name} | {number:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
