"""Run actors that share memory in every order that a seed can think of.

The kernels run as plain Python, in a private copy of their module (`plain`) whose memory words
are ours: before each load, store and fence the seed decides who goes on. With `reorder` stores
also show late and in any order that a weakly ordered machine may choose: a store waits in its
actor's buffer until the seed lets it out, behind a fence or in front of a release store only when
everything before it is out; a full fence or a futex call lets all of them out. Loads are never
reordered. Any actor may be killed at any step, in its sleep too, and starts again, as a process
that is restarted does. A sleep on a futex has no time limit: a sleeper whom nobody wakes is
reported. The same seed is the same run.
"""

import contextlib
import ctypes
import importlib.util
import os
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numba

STEPS_MAX = 50_000
FLUSH = 0.3  # how likely a step lets one waiting store out
PRIMITIVES = (
    "load_acquire",
    "load_relaxed",
    "store_release",
    "store_relaxed",
    "fence_release",
    "fence_acquire",
    "fence_full",
    "futex_wake",
    "copy_words",
    "pause",
)


class Crash(BaseException):
    """An actor is killed here."""


class Stuck(AssertionError):
    """The actors went on for ever."""


def plain(
    name: str, *changes: tuple[str, str], using: Sequence[types.ModuleType] = ()
) -> types.ModuleType:
    """A private, uncompiled copy of a module, its memory under the explorer.

    changes: (text, other text) pairs to make in its source, to see whether the flaw is found.
    using: copies of other modules, in place of which it is to import from these.
    """
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    for old, new in changes:
        assert old in source, f"{name} no longer says {old!r}"
        source = source.replace(old, new)
    module = types.ModuleType(name)
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = 1
    try:
        exec(compile(source, spec.origin, "exec"), module.__dict__)
    finally:
        numba.config.DISABLE_JIT = before
    for primitive in PRIMITIVES:
        if hasattr(module, primitive):
            setattr(module, primitive, getattr(sys.modules[__name__], primitive))
    for copy in using:
        original = vars(importlib.import_module(copy.__name__))
        for key, value in vars(module).items():
            if not key.startswith("__") and original.get(key) is value:
                setattr(module, key, vars(copy)[key])
    return module


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Threads that hand on to one another do so several times as fast where they share a core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[os.getpid() % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Run:
    """One run of some actors, in one order."""

    def __init__(
        self,
        seed: int,
        actors: Sequence[Callable[[int], None]],
        crashes: Mapping[int, int],
        reorder: bool,
    ) -> None:
        self.chance = random.Random(seed)
        self.stay = self.chance.choice((0.0, 0.5, 0.8, 0.95))
        self.actors, self.crashes, self.reorder = actors, dict(crashes), reorder
        self.waiting: list[list[tuple[str, int, int]]] = [[] for _ in actors]
        self.batons = [threading.Lock() for _ in actors]
        self.done = threading.Lock()
        self.alive = list(range(len(actors)))
        self.asleep: dict[int, tuple[int, ...]] = {}  # actor -> the futexes it sleeps on
        self.kills = 0
        self.running = 0
        self.steps = [0] * len(actors)
        self.order: list[int] = []
        self.failures: list[BaseException] = []

    def go(self) -> None:
        """Run all actors to their ends; raises what the first of them raised."""
        for lock in (*self.batons, self.done):
            lock.acquire()
        threads = [threading.Thread(target=self._live, args=(n,)) for n in self.alive]
        with one_core():
            for thread in threads:
                thread.start()
            self._pass_on()
            self.done.acquire()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _live(self, me: int) -> None:
        self.batons[me].acquire()
        life = 0
        while life >= 0 and not self.failures:
            try:
                self.actors[me](life)
                life = -1
            except Crash:
                life += 1
                self.kills += 1
            except BaseException as failure:
                self.failures.append(failure)
            self._flush(me)
        self.alive.remove(me)
        self._pass_on()

    def _pass_on(self) -> None:
        if not self.alive and self.asleep:
            if not self.failures:
                self.failures.append(Stuck(f"asleep for ever: {sorted(self.asleep)}"))
            self.alive += sorted(self.asleep)  # to end
            self.asleep.clear()
        if not self.alive:
            self.done.release()
            return
        self.running = self.chance.choice(self.alive)
        self.batons[self.running].release()

    def step(self) -> int:
        """A place where others may go on first, or this actor may be killed; says who it is."""
        me = self.running
        self._let_others(me)
        if self.failures:
            raise Crash
        self.order.append(me)
        self.steps[me] += 1
        if len(self.order) > STEPS_MAX:
            raise Stuck(f"no end after {STEPS_MAX} steps: {self.steps}")
        if self.reorder and self.chance.random() < FLUSH:
            self._flush_one(self.chance.randrange(len(self.actors)))
        if self.crashes.get(me) == self.steps[me]:
            raise Crash
        return me

    def _let_others(self, me: int) -> None:
        if self.chance.random() >= self.stay:
            self._pass_on()
            self.batons[me].acquire()

    def sleep(self, addresses: Sequence[int], value: int) -> None:
        """futex(2): sleep while all these words say `value`, until somebody wakes one of them."""
        me = self.step()
        self._flush(me)
        if self.crashes.get(me) == self.steps[me] + 1:
            self._let_others(me)
            self.steps[me] += 1
            raise Crash
        if all(_word(address).value & 0xFFFFFFFF == value for address in addresses):
            self.asleep[me] = tuple(addresses)
            self.alive.remove(me)
            self._pass_on()
            self.batons[me].acquire()
            self.step()

    def wake(self, address: int) -> None:
        """futex(2): wake one who sleeps on a word."""
        me = self.step()
        self._flush(me)
        sleepers = [who for who, words in self.asleep.items() if address in words]
        if sleepers:
            who = self.chance.choice(sleepers)
            del self.asleep[who]
            self.alive.append(who)

    def fence(self) -> None:
        """Go on when all that the running actor has stored is out."""
        self._flush(self.step())

    def load(self, address: int) -> int:
        """A word as the running actor sees it: its own stores first."""
        me = self.step()
        for kind, where, value in reversed(self.waiting[me]):
            if where == address and kind != "fence":
                return value
        return _word(address).value

    def store(self, kind: str, address: int, value: int) -> None:
        me = self.step()
        if self.reorder:
            self.waiting[me].append((kind, address, value))
        elif kind != "fence":
            _word(address).value = value

    def _flush_one(self, who: int) -> bool:
        """Let one store of an actor out, any that may go first."""
        waiting = self.waiting[who]
        while waiting and waiting[0][0] == "fence":
            waiting.pop(0)
        free, seen = [], set()
        for place, (kind, address, _) in enumerate(waiting):
            if kind == "fence":
                break
            if address not in seen and (kind == "relaxed" or place == 0):
                free.append(place)
            seen.add(address)
        if free:
            _, address, value = waiting.pop(self.chance.choice(free))
            _word(address).value = value
        return bool(free)

    def _flush(self, who: int) -> None:
        while self.waiting[who]:
            self._let_others(who)
            self._flush_one(who)


current: Run | None = None


def interleave(
    seed: int,
    *actors: Callable[[int], None],
    crashes: Mapping[int, int] | None = None,
    reorder: bool = False,
) -> Run:
    """Run the actors in the order that a seed chooses; what they raise is raised here.

    actors: each is called with the number of its life, 0 at first, one more after each crash.
    crashes: actor -> at which of its steps it is killed.
    """
    global current  # noqa: PLW0603
    current = Run(seed, actors, crashes or {}, reorder)
    try:
        current.go()
        return current
    except BaseException as failure:
        failure.add_note(f"seed {seed}, crashes {crashes}, reorder {reorder}")
        raise
    finally:
        current = None


def _word(address: int) -> ctypes.c_int64:
    return ctypes.c_int64.from_address(int(address))


def load_acquire(address):
    return current.load(address) if current else _word(address).value


def load_relaxed(address):
    return current.load(address) if current else _word(address).value


def store_release(address, value):
    if current:
        current.store("release", address, value)
    else:
        _word(address).value = value


def store_relaxed(address, value):
    if current:
        current.store("relaxed", address, value)
    else:
        _word(address).value = value


def fence_release():
    if current:
        current.store("fence", 0, 0)


def fence_acquire():
    if current:
        current.step()


def fence_full():
    if current:
        current.fence()


def futex_wake(address):
    if current:
        current.wake(address)


def futex_wait(addresses, value):
    if current:
        current.sleep(addresses, value)


def pause():
    if current:
        current.step()


def copy_words(target, source, words):
    for word in range(words):
        store_relaxed(target + 8 * word, load_relaxed(source + 8 * word))
