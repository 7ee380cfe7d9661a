"""The supervisor: starts the stages of a plan, watches over them, and leaves nothing behind."""

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline import ends, launch
from pipeline.children import Child, Zygote, start
from pipeline.config import Config
from pipeline.footing import footing
from pipeline.plan import LAYOUTS, TAP, Plan
from pipeline.report import Report, collect
from ringbuf.memory import OWNER
from ringbuf.panel import Command, Life, Panel
from ringbuf.share import RingReader
from tuning.affinity import go_first

POLL_S = 0.05
PATIENCE_S = 4.0  # a start that takes longer is explained
TAP_SLICE = 4096
NOT_READY = (Life.ABSENT, Life.STARTING)
TURNING = (Life.RUNNING, Life.DRAINING)
OURS = {Command.PAUSE, Command.EMPTY, Command.RESTART}
BACKOFF_MAX_S = 10.0
NEVER = float("inf")
ENDED = (Life.FINISHED, Life.FAILED)
LATE = "not ready in time; raise the limit if this machine is slow"


class PipelineFailed(RuntimeError):
    """The pipeline could not be started or kept running; the message says which stage and why.

    `report` is what could still be read of it.
    """

    def __init__(self, why: str, report: Report) -> None:
        super().__init__(why)
        self.report = report


class Supervisor:
    """Runs one pipeline from start to end in this process and its children.

    `taps`: ring name -> function that gets every slice of it, in order; the plan must have been
    made with these taps. `every`: called about 20 times a second with the panels.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        config_path: Path,
        *,
        taps: dict[str, Callable[[np.ndarray], None]] | None = None,
        every: Callable[[dict[str, Panel]], None] | None = None,
        say: Callable[[str], None] = lambda line: None,
        at_end: Callable[[str], None] | None = None,
    ) -> None:
        self.config, self.plan, self.config_path = config, plan, config_path
        self.say, self.every = say, every or (lambda panels: None)
        self.at_end = at_end or (lambda pipeline: None)
        self.taps = taps or {}
        self.children: list[Child] = []
        self.panels: dict[str, Panel] = {}
        self.tap_readers: dict[str, RingReader] = {}
        self.stop_asked = 0
        self.stopping_since = 0.0
        self.failure = ""
        self.zygote: Zygote | None = None
        self.ready_s = self.seconds = float("nan")

    def run(self) -> Report:
        """Start everything, wait for the end, clear up; PipelineFailed when a stage failed."""
        with launch.only_one(self.plan.pipeline):
            self.segment, cleared = launch.prepare(self.config, self.plan)
            if cleared:
                self.say(f"removed {cleared} segments that a run of this name left when it died")
            self.segment.hold(OWNER, "supervisor")
        signals = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._open()
            self.panels["ingest"].tell(Command.HOLD)
            began = time.monotonic()
            if self.config.supervision.start == "fork":
                self.zygote = Zygote(self.config_path)
                self.zygote.await_spare(lambda: self.stop_asked > 0)
            for group in self.plan.processes:
                self.children.append(self._start([stage.name for stage in group]))
            self._await_ready()
            if not self.stopping_since:
                self.panels["ingest"].tell(Command.RUN)
            ready = time.monotonic()
            self.ready_s = ready - began
            self.say(f"ready in {self.ready_s:.2f} s")
            for warning in footing(self.plan.pipeline).warnings:
                self.say(f"warning: {warning}")
            while not all(child.done for child in self.children):
                self._step()
            self._drain_taps()
            self.seconds = time.monotonic() - ready
            report = collect(self.plan.pipeline, self.ready_s)
            report.lost = ends.left_over(report)
            self.at_end(self.plan.pipeline)
        finally:
            for number, handler in signals.items():
                signal.signal(number, handler)
            self._kill_all()
            self._close()
            launch.remove(self.plan.pipeline)
        if self.failure:
            raise PipelineFailed(self.failure, report)
        return report

    def stop(self) -> None:
        """Ask for an orderly end: the sources stop, the rest hands on what it has."""
        if not self.stopping_since:
            self.stopping_since = time.monotonic()
            for child in self.children:  # who is held hands on what it has, too
                if child.again_at == NEVER:
                    child.again_at = self.stopping_since
            self.panels["ingest"].tell(Command.STOP)

    def _on_signal(self, _number, _frame) -> None:
        self.stop_asked += 1

    def _open(self) -> None:
        name = self.plan.pipeline
        self.panels = {
            stage.name: Panel(name, stage.name, command=True) for stage in self.plan.stages
        }
        self.tap_readers = {
            ring_name: RingReader(name, ring_name, LAYOUTS[ring_name], TAP)
            for ring_name in self.taps
        }

    def _close(self) -> None:
        self._end_zygote()
        for panel in self.panels.values():
            panel.close()
        for reader in self.tap_readers.values():
            reader.close()
        self.segment.close()

    def _start(self, names: list[str]) -> Child:
        """Start the process of some stages, the quick way where that is open."""
        forked = self.zygote.become(names) if self.zygote else None
        process = forked or start(names, self.config_path)
        return Child(names, process, time.monotonic(), os.pidfd_open(process.pid))

    def _keep_zygote(self) -> None:
        """Once all stages run, have one ready with everything loaded, where any may start again."""
        if self.config.supervision.start != "fork" or self.stopping_since:
            return
        if self.plan.journal is not None:
            self.zygote = self.zygote or Zygote(self.config_path)
            self.zygote.keep_warm()
        # One that never got ready is not tried again: stages start anew.
        if self.zygote and (self.plan.journal is None or self.zygote.is_lost):
            self._end_zygote()

    def _end_zygote(self) -> None:
        if self.zygote:
            self.zygote.close()
            self.zygote = None

    def _await_ready(self) -> None:
        """Until every stage runs (or has finished already, or has failed)."""
        # The source is held until those behind it can follow: no record waits for a compiler.
        began, told = time.monotonic(), False
        while not self.failure and any(panel.life in NOT_READY for panel in self.panels.values()):
            if not told and time.monotonic() - began > PATIENCE_S:
                self.say("compiling the kernels: once for this version on this machine")
                told = True
            self._step()

    def _step(self) -> None:
        """One look at everything."""
        if self.stop_asked > 1:
            self._fail("stopped at once, at the second signal")
            self._end_now()
        elif self.stop_asked:
            self.stop()
        taken = self._take_taps()
        self._watch(0.0 if taken else POLL_S)
        self._obey()
        self._start_again()
        if self.ready_s > 0:
            self._keep_zygote()
        self._check_hangs()
        self._end_those_behind()
        if self.stopping_since:
            self._check_drain()
        self.every(self.panels)

    def _take_taps(self) -> int:
        taken = 0
        for name, reader in self.tap_readers.items():
            (dtype,) = {layout for _, layout in list(LAYOUTS[name].values())[:1]}
            records = reader.take(dtype, TAP_SLICE)
            if len(records):
                self.taps[name](records)
                taken += len(records)
                reader.release(int(records["sequence"][-1]))
        return taken

    def _drain_taps(self) -> None:
        while self._take_taps():
            pass

    def _watch(self, seconds: float) -> None:
        """Wait a moment for a process to end, and see to those that did."""
        living = {c.pidfd: c for c in self.children if not c.done and not c.again_at}
        if not living:
            time.sleep(seconds)
            return
        poll = select.poll()
        for pidfd in living:
            poll.register(pidfd, select.POLLIN)
        for pidfd, _ in poll.poll(seconds * 1000):
            self._ended(living[pidfd])

    def _ended(self, child: Child) -> None:
        code = child.process.wait()
        os.close(child.pidfd)
        if child.asked:
            child.asked, child.again_at = False, child.again_at or NEVER
            return
        child.done = True
        if code == 0 and all(self.panels[name].life is Life.FINISHED for name in child.names):
            return
        why = self._reason(child, code)
        if self._may_restart(child):
            delay = self._delay(child)
            self.say(
                f"{' + '.join(child.names)}: {why}; started again"
                + (f" in {delay:.1f} s" if delay else "")
            )
            child.done, child.again_at = False, time.monotonic() + delay
            self._start_again()
            return
        self._fail(f"{' + '.join(child.names)}: {why}")
        self._retire(child, why)

    def _obey(self) -> None:
        """Do what people have told the supervisor to do with single stages."""
        for child in self.children:
            told = {name: self.panels[name].told for name in child.names}
            if self.failure or self.stopping_since or not {*told.values()} & OURS:
                continue
            if not all(self.plan.stage(name).restart for name in child.names):
                self._answer(child, "cannot go on after an end; give the pipeline a [journal]")
            elif Command.RESTART in told.values():
                self._end(child, Life.ABSENT, time.monotonic())
            elif child.lives and (Command.PAUSE in told.values() or self._is_empty(child)):
                self._end(child, Life.HELD, NEVER)

    def _end(self, child: Child, life: Life, again_at: float) -> None:
        """End a process because somebody asked for it, and note when it is started again."""
        if child.lives:
            child.asked = True
            child.process.kill()
            self._ended(child)
        if not child.done:
            child.again_at = again_at
            self._answer(child, "")
            for name in child.names:
                self.panels[name].live(life)
        self.say(f"{' + '.join(child.names)}: {life.name.lower()}, as told")

    def _is_empty(self, child: Child) -> bool:
        """Whether a process has read what its rings held when it was told to."""
        if not child.marks:
            child.marks = ends.written(self.plan)
        return ends.have_read(self.plan, child.names, child.marks)

    def _answer(self, child: Child, message: str) -> None:
        for name in child.names:
            self.panels[name].status["message"] = message.encode()
            self.panels[name].tell(Command.RUN)

    def _delay(self, child: Child) -> float:
        """How long to wait before a start: not at all at first, then ever longer."""
        times = len(child.deaths) - 2
        return (
            min(self.config.supervision.backoff_s * 2**times, BACKOFF_MAX_S) if times >= 0 else 0.0
        )

    def _start_again(self) -> None:
        """Start the processes again whose time has come."""
        now = time.monotonic()
        for place, child in enumerate(self.children):
            if child.again_at and now >= child.again_at:
                for name in child.names:
                    self.panels[name].live(Life.ABSENT)
                again = self._start(child.names)
                go_first(again.process.pid)  # others wait for it, until it is back
                again.deaths = child.deaths
                self.children[place] = again

    def _reason(self, child: Child, code: int) -> str:
        for name in child.names:
            message = bytes(self.panels[name].status["message"]).decode(errors="replace")
            if message:
                return message
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def _may_restart(self, child: Child) -> bool:
        """True while the restart budget of a process whose stages can go on lasts."""
        limits = self.config.supervision
        if self.failure or not all(self.plan.stage(name).restart for name in child.names):
            return False
        if not all(self.panels[name].status["ready_ns"] for name in child.names):
            return False  # what kept it from getting ready will do so again
        journal = self.panels.get("journal")
        if "journal" in child.names and journal and journal.life is Life.FAILED:
            return False  # the disk failed: nobody knows what it has, and trying again hides that
        now = time.monotonic()
        child.deaths = [t for t in child.deaths if now - t < limits.restart_window_s] + [now]
        return len(child.deaths) <= limits.restarts

    def _fail(self, why: str) -> None:
        """Note the first failure and bring the rest to an orderly end."""
        if not self.failure:
            self.failure = why
            self.say(f"failed: {why}")
        self.stop()

    def _retire(self, child: Child, why: str) -> None:
        """Let neighbours of dead stages finish: nobody waits for these, nothing comes from them."""
        rings = {part.name for part in self.plan.segments_of("ring")}
        for name in child.names:
            panel, stage = self.panels[name], self.plan.stage(name)
            if panel.life is not Life.FINISHED:
                panel.status["message"] = why.encode()[:256]
                panel.live(Life.FAILED)
            for part in rings.intersection(stage.reads):
                ends.retire(self.plan.pipeline, part, name)
            for part in stage.writes:
                ends.close(self.plan.pipeline, part)

    def _check_hangs(self) -> None:
        """Kill a stage that does not get ready, or whose heart has stopped beating."""
        limits = self.config.supervision
        now = time.monotonic()
        for child in self.children:
            for name in () if child.done or child.again_at else child.names:
                panel = self.panels[name]
                silent = now - int(panel.status["heartbeat_ns"]) / 1e9
                if panel.life in NOT_READY and now - child.started > limits.ready_s:
                    self._kill(child, panel, f"{LATE} (supervision.ready_s = {limits.ready_s:g})")
                elif panel.life in TURNING and silent > limits.hang_s:
                    text = f"hung: no heartbeat for {silent:.1f} s (supervision.hang_s)"
                    self._kill(child, panel, text)

    def _kill(self, child: Child, panel: Panel, why: str) -> None:
        panel.status["message"] = why.encode()
        child.process.kill()

    def _end_those_behind(self) -> None:
        """Have who follows the files, and sees no end in them, end once all others have."""
        last = self.panels.get("snapshot")
        others = [panel.life for name, panel in self.panels.items() if name != "snapshot"]
        if last and last.told is not Command.STOP and all(life in ENDED for life in others):
            last.tell(Command.STOP)

    def _check_drain(self) -> None:
        """Give up on a drain that takes too long."""
        if time.monotonic() - self.stopping_since > self.config.supervision.drain_s:
            late = [n for child in self.children if not child.done for n in child.names]
            if late:
                self._fail(
                    f"{', '.join(late)} did not drain within "
                    f"{self.config.supervision.drain_s:g} s (supervision.drain_s)"
                )
                self._end_now()

    def _end_now(self) -> None:
        """Kill what still runs, and leave its rings so that what they hold can be counted."""
        killed = [child for child in self.children if not child.done]
        self._kill_all()
        for child in killed:
            self._retire(child, "killed: " + self.failure)

    def _kill_all(self) -> None:
        for child in self.children:
            if not child.done and not child.again_at:
                child.process.kill()
                child.process.wait()
                os.close(child.pidfd)
            child.done = True
