"""Kills the actors of a line at random moments, starts them again, and keeps the time."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from ringbuf.panel import Command, Life
from ringbuf.snapshot_files import DRAFT
from tests.kills.line import ACTORS, SEEN, STAGES, Line
from tests.kills.windows import WINDOWS, WRITES, Windows
from tuning.affinity import set_timer_slack

LOOK_S = 0.0005  # between two looks at what has come out
GLANCE_S = 0.00005  # between two looks at one that is aimed at
AIM_S = (0.1, 5.0)  # to wait until a victim has something half done; and where few had so far
AFTER_S = 0.00003  # and goes on for so long, at most, before it is held
AIMED = 0.6  # the part of the kills that wait for it
SHARE = 0.27  # of all kills that find something half done
LIMIT_S = 300.0  # for anything that must happen: machines that test are busy
PAUSES_S = (0.0004, 0.004, 0.04)  # the longest pauses between two kills; one is drawn
WEIGHTS = {"book": 5, "risk": 4, "journal": 4, "sink": 3, "source": 3, "snapshot": 2}
REST_S = 0.2  # the events of this time come after the last kills but those
TAIL = 25  # one kill of so many falls while the rings are ending


@dataclass
class Fate:
    """What befell an actor. gaps_s: from a kill to its next output, whoever else was dead then."""

    pid: int = 0
    kills: int = 0
    execs: int = 0
    found: Counter = field(default_factory=Counter)
    gaps_s: list[float] = field(default_factory=list)
    exec_gaps_s: list[float] = field(default_factory=list)
    killed: float = 0.0  # when, CLOCK_MONOTONIC; 0: it has come back since
    before: int = 0  # outputs until then
    by_exec: bool = False  # how it was begun last

    @property
    def in_windows(self) -> int:
        """Kills that fell where something was half done."""
        return sum(self.found[window] for window in WINDOWS)


class Killer:
    """A line's actors, and what became of them."""

    def __init__(self, line: Line, seed: int) -> None:
        self.line, self.chance = line, random.Random(seed)
        self.windows = Windows(line)
        self.fates = {actor: Fate() for actor in ACTORS}
        self.ended: set[str] = set()

    def campaign(self, kills: int, execs: int) -> float:
        """Kill so often, have all come to their ends, and return how long it took."""
        began = time.monotonic()
        set_timer_slack(1)
        for actor in ACTORS:
            self.fates[actor].pid = self.line.begin(actor)
        self._until(lambda: self.line.position("risk", "tap") > 0, "something has come out")
        tail = kills // TAIL
        while self.kills < kills - tail:
            assert not self.ended, f"the log was too short; {self.ended} have ended"
            self._strike(self.kills * execs // max(kills - tail, 1) >= self.execs < execs)
        rest = int(self.line.rate * REST_S)
        self.line.words[0] = min(self.line.words[0], self.line.written("events") + rest)
        while self.kills < kills and len(self.ended) < len(ACTORS) - 1:
            self._strike(False)
        self._finish()
        return time.monotonic() - began

    @property
    def kills(self) -> int:
        return sum(fate.kills for fate in self.fates.values())

    @property
    def in_windows(self) -> int:
        return sum(fate.in_windows for fate in self.fates.values())

    @property
    def execs(self) -> int:
        return sum(fate.execs for fate in self.fates.values())

    def _strike(self, exec_one: bool) -> None:
        """Kill somebody after a while, or several, and start them again."""
        chance = self.chance
        self._pause(chance.uniform(0, chance.choice(PAUSES_S)))
        victims = self._victims()
        few = self.in_windows < SHARE * self.kills
        for victim in victims[:1]:
            if victim not in STAGES:
                self._until_active(victim, time.monotonic() + AIM_S[0])
            elif few or chance.random() < AIMED:
                self._aim(victim, AIM_S[few])
        for victim in victims:
            self._kill(victim)
        if chance.random() < 0.1:
            self._pause(chance.uniform(0, 0.02))  # the others meet that it is not there
        chosen = [victim for victim in victims if victim in STAGES][: int(exec_one)]
        for victim in victims:
            self._begin(victim, victim in chosen)

    def _victims(self) -> list[str]:
        """One of those that live, by weight; two of them now and then, or all."""
        self._reap()
        able = [actor for actor in ACTORS if actor not in self.ended and not self._young(actor)]
        drawn = self.chance.random()
        if drawn < 0.04:
            return self.chance.sample(able, len(able))
        weights = [WEIGHTS[actor] for actor in able]
        count = 2 if drawn < 0.2 else 1
        return [*dict.fromkeys(self.chance.choices(able, weights, k=count))] if able else []

    def _young(self, actor: str) -> bool:
        """Whether an actor was started by a command and is still loading; few die so early."""
        fate = self.fates[actor]
        if not fate.by_exec or self.chance.random() < 0.01:
            return False
        panel = self.line.panels[actor]
        loading = int(panel.status["pid"]) != fate.pid or panel.life < Life.RUNNING
        return loading or (fate.killed > 0 and self.chance.random() < 0.95)

    def _reap(self) -> None:
        """See who has ended."""
        for actor, fate in self.fates.items():
            if actor not in self.ended:
                pid, status = os.waitpid(fate.pid, os.WNOHANG)
                if pid:
                    self._ended(actor, status)

    def _aim(self, actor: str, patience_s: float) -> None:
        """Hold an actor while something of its is half done, if that comes about soon.

        It is stopped wherever it is and looked at, and goes on where there is nothing to see.
        """
        fate, until = self.fates[actor], time.monotonic() + patience_s
        while time.monotonic() < until:
            self._until_active(actor, until)
            self._spin(self.chance.uniform(0, AFTER_S))
            os.kill(fate.pid, signal.SIGSTOP)
            status = os.waitpid(fate.pid, os.WUNTRACED)[1]
            if not os.WIFSTOPPED(status):
                return self._ended(actor, status)
            if self.windows.half_done(actor):
                return None
            os.kill(fate.pid, signal.SIGCONT)
            self._look()
        return None

    def _spin(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass

    def _until_active(self, actor: str, until: float) -> None:
        """Wait until an actor does something, a saver until it has begun to save."""
        before = self._outputs(actor)
        draft = self.line.journal / "snapshots" / DRAFT
        while time.monotonic() < until:
            if draft.exists() if actor == "snapshot" else self._outputs(actor) != before:
                return
            time.sleep(GLANCE_S)

    def _ended(self, actor: str, status: int) -> None:
        """Note that an actor ended; nobody may, but behind the end of what it reads."""
        code = os.waitstatus_to_exitcode(status)
        assert code == 0, f"{actor} ended by itself: {code}"
        self.ended.add(actor)

    def _kill(self, actor: str) -> None:
        fate = self.fates[actor]
        if actor in self.ended:
            return
        os.kill(fate.pid, signal.SIGKILL)
        now = time.monotonic()
        status = os.waitpid(fate.pid, 0)[1]
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            self._ended(actor, status)
            return
        fate.kills += 1
        fate.found[self.windows.of(actor)] += 1
        fate.killed, fate.before = now, self._outputs(actor, dead=True)

    def _begin(self, actor: str, by_exec: bool) -> None:
        if actor in self.ended:
            return
        fate = self.fates[actor]
        fate.by_exec = by_exec
        fate.execs += by_exec
        fate.pid = self.line.exec(actor) if by_exec else self.line.begin(actor)

    def _outputs(self, actor: str, dead: bool = False) -> int:
        """How much an actor has given so far; dead: what it did not tell of included."""
        line = self.line
        if actor in WRITES:
            told = line.written(WRITES[actor])
            return max(told, int(line.slots[WRITES[actor]]["sequence"].max())) if dead else told
        if actor == "sink":
            return sum(line.position(name, "tap") for name in SEEN)
        counters = line.panels[actor].counters
        if actor == "snapshot":
            return int(counters["snapshot"]["received"])
        return sum(int(counters[name]["records"]) for name in line.rings)

    def _look(self) -> None:
        """Keep the time of who has given something again."""
        for actor, fate in self.fates.items():
            if fate.killed and self._outputs(actor) > fate.before:
                gaps = fate.exec_gaps_s if fate.by_exec else fate.gaps_s
                gaps.append(time.monotonic() - fate.killed)
                fate.killed = 0.0

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._look()
            time.sleep(min(LOOK_S, left))

    def _until(self, happened, what: str) -> None:
        until = time.monotonic() + LIMIT_S
        while not happened():
            assert time.monotonic() < until, f"never: {what}"
            self._reap()
            self._pause(0.001)

    def _finish(self) -> None:
        """Nobody is killed any more; all must come to their ends by themselves."""
        others = {*ACTORS} - {"snapshot"}
        self._until(lambda: others <= self.ended, f"the end; there are {self.ended}")
        self.line.panels["snapshot"].tell(Command.STOP)  # it has no ring that could end
        self._until(lambda: "snapshot" in self.ended, "its end")

    def close(self) -> None:
        """Kill what a failure has left."""
        for actor, fate in self.fates.items():
            if fate.pid and actor not in self.ended:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(fate.pid, signal.SIGKILL)
                    os.waitpid(fate.pid, 0)
