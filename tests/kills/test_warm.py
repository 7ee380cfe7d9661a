"""A stage that is forked loads and compiles nothing: all of it was done before the fork."""

import os
import signal
import time

import pytest

from ringbuf.jit import compiled
from ringbuf.panel import Life
from tests.kills.line import STAGES, Line
from tests.kills.load import day
from tests.pipeline.running import LIMIT_S

if compiled():
    from numba.core.dispatcher import Dispatcher

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not compiled(), reason="nothing is compiled"),
]


def until(happened) -> None:
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_forked_stage_loads_no_kernel(tmp_path, monkeypatch):
    line = Line(tmp_path, day(), 20_000, 200_000)
    note, load = tmp_path / "loaded", Dispatcher.compile

    def tell(self, signature):
        with note.open("a") as file:
            file.write(f"{self.py_func.__module__}.{self.py_func.__name__}\n")
        return load(self, signature)

    living: dict[str, int] = {}
    try:
        line.warm()
        monkeypatch.setattr(Dispatcher, "compile", tell)
        for actor in ("source", "sink", *STAGES):
            living[actor] = line.begin(actor)
        for _ in range(2):  # the second time there is a past to come back from
            until(lambda: line.position("risk", "tap") > 0)
            before = line.position("risk", "tap")
            until(lambda before=before: line.position("risk", "tap") > before + 100)
            for actor in STAGES:
                os.kill(living[actor], signal.SIGKILL)
                os.waitpid(living[actor], 0)
                living[actor] = line.begin(actor)
                until(lambda actor=actor: line.panels[actor].life is Life.RUNNING)
        assert not note.exists(), note.read_text()
    finally:
        for pid in living.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        line.close()
