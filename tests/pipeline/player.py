"""Scenes: a load and what happens to it, as data; whatever does, the same must come out.

A scene is one journal and one or more lives over it: each is a `corelane run`, some faults at
shares of the way, and an end. The last life must finish, and then all that is left on disk must
be what an undisturbed run leaves.
"""

import random
import shutil
import sys
import tomllib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec

from ringbuf import memory
from tests.pipeline.faults import (
    Act,
    AnyDamage,
    AnyFault,
    Crash,
    Early,
    Fill,
    Hang,
    Kill,
    Order,
    Over,
    Spoil,
    Stop,
    Strange,
    Tear,
    drawn,
    make_strange,
    mount,
    spoil,
    strike,
    tear,
    unmount,
)  # fmt: skip
from tests.pipeline.reference import (
    Load,
    merged,
    must_agree,
    outcome,
    reference,
    tables_of,
)  # fmt: skip
from tests.pipeline.running import COMMAND, Place, Ran, Running, spawn

FOLDER = Path(__file__).parent.parent / "scenes"
NO_FAULTS = {"runs", "too late", "torn end"}
DISK_MB = 32  # of a small disk: nine segments and room for snapshots


class Life(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `corelane run`: what is done to the files before, its configuration, faults, its end.

    says: what its errors must say; shared_mb: it sees a /dev/shm of this size only.
    """

    before: list[AnyDamage] = []
    config: dict = {}
    faults: list[AnyFault] = []
    ends: Literal["finished", "failed", "refused"] = "finished"
    says: list[str] = []
    shared_mb: int = 0


class Scene(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A load, and what happens to it. small_disk: the journal lies on a disk of its own."""

    about: str
    lives: list[Life]
    load: str = "day"
    config: dict = {}
    seed: int = 1
    small_disk: bool = False

    @property
    def mounts(self) -> bool:
        """Whether small file systems are mounted for it, which takes root."""
        return self.small_disk or any(life.shared_mb for life in self.lives)


class Player:
    """Plays one scene in a place of its own; `count` is what has happened so far."""

    def __init__(self, scene: Scene, place: Place) -> None:
        self.scene, self.place = scene, place
        self.rng = random.Random(scene.seed)
        self.load = loads()[scene.load]
        self.wanted = reference(self.load)
        self.journal = place.folder / "disk" / "journal"
        self.total = len(self.wanted.rings["events"]) // 64
        self.count: Counter[str] = Counter()
        self.put_back: list[tuple[Path, Path]] = []

    def play(self) -> Counter[str]:
        """Play all lives, then compare all that is left; what happened, and how often."""
        with ExitStack() as last:
            if self.scene.small_disk:
                mount(self.journal.parent, DISK_MB)
                last.callback(unmount, self.journal.parent)
            for number, life in enumerate(self.scene.lives):
                for damage in life.before:
                    self.harm(damage)
                ran = self.live(number, life)
                self.count["runs"] += 1
                self.restore()
            assert ran is not None, "the last life of a scene must finish"
            assert ran.report is not None
            must_agree(outcome(self.place, self.journal, ran.report), self.wanted)
            assert memory.names(self.place.name) == []
        return self.count

    def harm(self, damage: AnyDamage) -> None:
        """Damage files between two lives."""
        if isinstance(damage, Tear):
            for ring in damage.rings:
                wanted = self.wanted.rings[ring]
                self.count["torn end"] += tear(self.journal, ring, damage.cuts, wanted, self.rng)
            self.count["torn"] += 1
        elif isinstance(damage, Strange):
            kept = make_strange(self.journal, damage.ring)
            self.put_back.append((self.journal / damage.ring, kept))
            self.count["another layout"] += 1
        else:
            folder = self.journal / "snapshots"
            self.count["snapshot damaged"] += spoil(folder, damage.which, self.rng) > 0

    def restore(self) -> None:
        """Put back what was put aside."""
        for made, kept in self.put_back:
            shutil.rmtree(made)
            kept.rename(made)
        self.put_back.clear()

    def live(self, number: int, life: Life) -> Ran | None:
        """One life; None where a fault has ended it."""
        tables = merged(tables_of(self.load, self.place, self.journal), self.scene.config)
        tables = merged(tables, life.config)
        path = self.place.write(f"life{number}.toml", **tables)
        if life.shared_mb:
            return self.cramped(path, life)
        running = self.place.start(path)
        act = Act(self.place, running, self.journal, self.rng, tables["ingest"]["rate"])
        try:
            for at, fault in sorted(self.timed(life.faults), key=lambda pair: pair[0]):
                if not isinstance(fault, Early):
                    act.reach(int(at * self.total))
                strike(fault, act)
                self.count[name_of(fault)] += 1
                if fault.last:
                    return None
        except Over as waited:
            self.count["too late"] += 1
            print(f"over before {fault} could happen: {waited}", file=sys.stderr)
        finally:
            act.close()
        return self.ended(running, life, act.kills)

    def timed(self, faults: list[AnyFault]) -> list[tuple[float, AnyFault]]:
        """Faults, and when each happens."""
        return [(drawn(fault.at, self.rng), fault) for fault in faults]

    def ended(self, running: Running, life: Life, kills: Counter[str]) -> Ran | None:
        """Wait for the end that a life must have."""
        ran = running.end()
        assert "Traceback" not in ran.err, ran.err
        code = {"finished": 0, "failed": 1, "refused": 2}[life.ends]
        assert ran.code == code, (ran.code, ran.out[-2000:], ran.err)
        for text in life.says:
            assert text in ran.err, (text, ran.err)
        self.place.check_clean()
        if life.ends != "finished":
            return None
        assert ran.report is not None
        assert ran.report.balanced, ran.out
        for stage in ran.report.stages:
            assert stage.starts > kills[stage.name], (stage.name, stage.starts, kills)
        return ran

    def cramped(self, path: Path, life: Life) -> None:
        """A life that sees a small /dev/shm: refused in one line, and nothing is left there."""
        script = (
            f"mount -t tmpfs -o size={life.shared_mb}m tmpfs /dev/shm && "
            '{ "$@"; code=$?; ls -A /dev/shm; exit $code; }'
        )
        words = ["unshare", "--mount", "sh", "-c", script, "sh", *COMMAND, "run", str(path)]
        process = spawn(words)
        self.place.started.append(process)
        out, err = process.communicate()
        assert process.returncode == 2, (process.returncode, out, err)
        assert out == "", out
        (line,) = err.strip().splitlines()
        assert all(text in line for text in life.says), line
        self.count["/dev/shm full"] += 1


def name_of(fault: AnyFault) -> str:
    """What kind of fault this is, in a table."""
    if isinstance(fault, Kill):
        return f"kill {fault.who[0]}" if len(fault.who) == 1 else "kill several at once"
    if isinstance(fault, Order):
        return f"corelane {fault.order}"
    return _NAMES[type(fault)]


_NAMES: dict[type, str] = {
    Early: "kill everything early",
    Stop: "SIGSTOP, SIGCONT",
    Hang: "hang",
    Crash: "host crash",
    Fill: "disk full",
    Spoil: "snapshot damaged",
}


def struck(count: Counter[str]) -> int:
    """How many faults there were in all; ends torn on copies are not among them."""
    return sum(number for name, number in count.items() if name not in NO_FAULTS)


def loads() -> dict[str, Load]:
    """The loads by name."""
    data = tomllib.loads((FOLDER / "loads.toml").read_text())
    return msgspec.convert(data, dict[str, Load])
