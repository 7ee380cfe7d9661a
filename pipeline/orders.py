"""What people tell a running pipeline to do with one of its stages."""

import sys
import time

from pipeline import runs
from pipeline.report import parts
from pipeline.shape import near
from ringbuf import memory
from ringbuf.memory import OWNER
from ringbuf.panel import Command, Life, Panel

PATIENCE_S = 60.0  # for the supervisor to do it
SAID = {
    Command.PAUSE: "has ended, its neighbours wait; corelane restart has it go on",
    Command.EMPTY: "has ended, its neighbours wait; corelane restart has it go on",
    Command.RESTART: "runs again",
}
GOING = (Life.READY, Life.RUNNING, Life.DRAINING, Life.FINISHED)


class OrderRefused(Exception):
    """An order that is not carried out: why, and how to mend it."""


def is_stage(word: str | None) -> bool:
    """Whether a word names a stage of some running pipeline."""
    return any(word in _stages(pipeline) for pipeline in runs.running())


def _stages(pipeline: str) -> list[str]:
    return [name for name, *_ in parts(pipeline)["stages"]]


def give(stage: str, pipeline: str | None, order: Command) -> None:
    """Have a stage ended or started again, and wait until that is done."""
    name = runs.the_one(pipeline)
    if stage not in _stages(name):
        raise OrderRefused(f"{name} has no stage {stage!r}; {near(stage, _stages(name))}")
    if OWNER not in memory.roles_held(memory.full_name(name, "run")):
        raise OrderRefused(
            f"{name} runs without a supervisor; tell systemd instead (systemctl restart "
            f"corelane@{stage})"
        )
    panel = Panel(name, stage, command=True)
    before = int(panel.status["starts"])
    panel.tell(order)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not _done(panel, order, before):
        time.sleep(0.01)
        if panel.told is not order and (why := bytes(panel.status["message"]).decode()):
            panel.close()
            raise OrderRefused(f"{stage}: {why}")
    done = _done(panel, order, before)
    panel.close()
    if not done:
        raise OrderRefused(f"{stage} did not obey within {PATIENCE_S:g} s; see corelane status")
    print(f"{name}: {stage} {SAID[order]}", file=sys.stderr)


def _done(panel: Panel, order: Command, before: int) -> bool:
    if order is Command.RESTART:
        return int(panel.status["starts"]) > before and panel.life in GOING
    return panel.life is Life.HELD
