"""The simulator as plain Python, with flaws in it if wanted: copies of modules, quick to read from.

Only in a process with CORELANE_TICKS=1 and NUMBA_DISABLE_JIT=1.
"""

import ctypes
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ringbuf import atomics
from ringbuf.record import fields_of

# In the order in which they import one another.
MODULES = (
    "ringbuf.ring", "ringbuf.views", "ringbuf.chain", "workers.hop", "workers.recovery",
    "tests.crashes.layout", "tests.crashes.toy", "tests.crashes.stages", "tests.crashes.actors",
    "tests.crashes.simulator", "tests.crashes.worlds",
)  # fmt: skip
INTEGERS = {(kind, size): getattr(ctypes, f"c_{name}{8 * size}")
            for kind, name in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)}  # fmt: skip
OFTEN = 8  # stores, on average, between two interruptions
TICK = atomics.tick
Changes = Mapping[str, Sequence[tuple[str, str]]]


class Fields:
    """A record's fields by name, in brackets too."""

    def __getitem__(self, name: str):
        return getattr(self, name)


@cache
def shape_of(dtype: np.dtype):
    """A layout as a C type: ten times as quick to read from as numpy's records, with ints of
    Python, which do not overflow.
    """
    if dtype.subdtype:
        base, shape = dtype.subdtype
        return shape_of(base) * int(np.prod(shape))
    if dtype.names is None:
        if dtype.kind == "f":
            return ctypes.c_double
        return INTEGERS.get((dtype.kind, dtype.itemsize)) or ctypes.c_char * dtype.itemsize
    fields, end = [], 0
    for name, (format_, place) in sorted(fields_of(dtype).items(), key=lambda item: item[1][1]):
        if place > end:
            fields.append((f"_{end}", ctypes.c_char * (place - end)))
        fields.append((name, shape_of(format_)))
        end = place + format_.itemsize
    fields.append(("_end", ctypes.c_char * (dtype.itemsize - end)))
    return type("Shape", (Fields, ctypes.Structure), {"_pack_": 1, "_fields_": fields})


SEEN: dict[tuple[int, int], object] = {}


def at(address, dtype):
    """What atomics.at gives, made once for each place."""
    key = address, id(dtype)
    found = SEEN.get(key)
    if found is None:
        found = SEEN[key] = shape_of(dtype).from_address(int(address))
    return found


def copies(changes: Changes | None = None) -> dict[str, types.ModuleType]:
    """Private copies of the simulator's modules and of those it is about, by their last names.

    changes: by module, (text, other text) pairs to make in its source. AssertionError where a
    text is not there exactly once.
    """
    made: dict[str, types.ModuleType] = {}
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text()
        for old, new in (changes or {}).get(name, ()):
            assert source.count(old) == 1, f"{name} has {source.count(old)} times {old!r}"
            source = source.replace(old, new)
        made[name] = module = types.ModuleType(name)
        module.__file__ = spec.origin
        before = {other: sys.modules.get(other) for other in made}
        sys.modules.update(made)  # what it imports are the copies made so far
        try:
            exec(compile(source, spec.origin, "exec"), module.__dict__)
        finally:
            sys.modules.update({k: v for k, v in before.items() if v is not None})
            for other in [k for k, v in before.items() if v is None]:
                del sys.modules[other]
        if getattr(module, "at", None) is atomics.at:
            module.at = at
        if hasattr(module, "copy_lines"):  # what is compiled is not seen by the budget either
            module.copy_lines = ctypes.memmove
    return {name.rpartition(".")[2]: module for name, module in made.items()}


def interrupt(simulator: types.ModuleType, world) -> None:
    """Have another actor act now and then in the middle of one's work, in front of a store.

    simulator: a copy of that module; world: the World that is played in.
    """
    count, mine, running = TICK, world.record, []
    step = vars(simulator)["step"]

    def step_noted(address: int, number: int) -> None:
        running.append(number)
        try:
            step(address, number)
        finally:
            running.pop()

    def tick_shared() -> None:
        left = atomics.load_relaxed(atomics.BUDGET)
        if len(running) == 1 and mine.failure == 0 and simulator.draw(world.address, OFTEN) == 0:
            other = simulator.choose(world.address)
            if other != running[0]:
                step_noted(world.address, other)
                simulator.put(atomics.BUDGET, left)
        count()

    simulator.step = step_noted
    atomics.tick = tick_shared
