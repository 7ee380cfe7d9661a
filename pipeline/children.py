"""Processes of a pipeline: forked from one that has the program loaded, and, once all run, machine
code and state, too, which is many times as fast; or started with the command that everybody uses.

    supervisor --- zygote ~~~ (forks twice) ~~> spare ... becomes a stage when told its names

The *zygote* is a process of its own: a fork takes everything along that its process has open and
mapped, and the supervisor has a lot. It keeps one *spare* ready. Its grandchildren become
children of the supervisor (a subreaper), which so sees them end and is seen to end by them.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.launch import PARENT
from tuning.affinity import adopt_orphans, go_first

CHANNEL = "CORELANE_CHANNEL"  # the descriptor on which a zygote is asked
ANSWER_S = 2.0  # for a zygote to fork; then the long way is taken
LOAD_S = 20.0  # for a zygote to load the program, when a pipeline starts
LOOK_S = 0.1  # between two looks whether somebody wants all to end
ANOTHER, WARM = b"another", b"warm"  # what a zygote is asked for

Become = Callable[[list[str]], None]
CodeOf = Callable[[Exception], int | None]


class Process(Protocol):
    """What a supervisor needs of a process that it started."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; its exit code, or minus the signal that killed it."""

    def kill(self) -> None:
        """Kill it, unless it has been waited for."""


class Forked:
    """A child that was not started by this process, but has become its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None

    def wait(self) -> int:
        """Wait for its end; its exit code, or minus the signal that killed it."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def kill(self) -> None:
        """Kill it, unless it has been waited for."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


@dataclass
class Child:
    """One process of the pipeline."""

    names: list[str]
    process: Process
    started: float  # CLOCK_MONOTONIC
    pidfd: int
    deaths: list[float] = field(default_factory=list)
    done: bool = False
    again_at: float = 0.0  # when it is started again, CLOCK_MONOTONIC; 0: it is not
    asked: bool = False  # its end was asked for, and is no failure
    marks: dict[str, int] = field(default_factory=dict)  # by ring: what it is still to read

    @property
    def lives(self) -> bool:
        """Whether there is a process now."""
        return not self.done and not self.again_at


def start(names: list[str], config_path: Path) -> subprocess.Popen:
    """Start the process of some stages with the command that everybody uses."""
    return _spawn(["stage", *names, "--config", str(config_path)], {})


def _spawn(words: list[str], more: dict[str, str], keep: tuple[int, ...] = ()) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipeline", *words]
    environment = {**os.environ, PARENT: str(os.getpid()), **more}
    return subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=keep)


class Zygote:
    """The supervisor's hold on the process that stages are forked from, and on its spare."""

    def __init__(self, config_path: Path) -> None:
        adopt_orphans()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        more = {CHANNEL: str(theirs.fileno())}
        words = ["zygote", "--config", str(config_path)]
        self.process = _spawn(words, more, (theirs.fileno(),))
        theirs.close()
        self.channel = ours
        self.spare: tuple[int, socket.socket] | None = None
        self.is_warm = False  # only spares that have everything loaded will do
        self.served = False  # there was such a spare once

    def await_spare(self, hurries: Callable[[], bool]) -> None:
        """Wait for its first spare, as long as that may take, or until somebody is in a hurry."""
        until = time.monotonic() + LOAD_S
        while not (self.spare or hurries() or self.process.poll() is not None):
            self.look(LOOK_S)
            if time.monotonic() > until:
                return

    def keep_warm(self) -> None:
        """Have it load everything, once; spares from before that are let go."""
        if not self.is_warm:
            self.is_warm, self.served = True, False
            self._dismiss()
            with suppress(OSError):
                self.channel.send(WARM)
        self.look()

    @property
    def is_lost(self) -> bool:
        """Whether it was ready once and has died since."""
        return self.served and self.process.poll() is not None

    def become(self, names: list[str]) -> Forked | None:
        """Have the spare become some stages, and ask for the next; None where there is none."""
        self.look(ANSWER_S if self.spare is None and self.process.poll() is None else 0)
        if self.spare is None:
            return None
        (pid, told), self.spare = self.spare, None
        child: Forked | None = Forked(pid)
        try:
            told.send(" ".join(names).encode())
        except OSError:  # it has died just now
            Forked(pid).wait()
            child = None
        told.close()
        with suppress(OSError):
            self.channel.send(ANOTHER)
        return child

    def look(self, seconds: float = 0) -> None:
        """See whether a spare is ready."""
        while self.spare is None and select.select([self.channel], [], [], seconds)[0]:
            try:
                text, files, _, _ = socket.recv_fds(self.channel, 64, 1)
                pid, is_warm = map(int, text.split())
            except (OSError, ValueError):  # it has died
                return
            self.spare = pid, socket.socket(fileno=files[0])
            if self.is_warm and not is_warm:
                self._dismiss()
            else:
                self.served = True

    def _dismiss(self) -> None:
        """Let the spare go."""
        if self.spare:
            (pid, told), self.spare = self.spare, None
            told.close()  # which ends it
            Forked(pid).wait()

    def close(self) -> None:
        """End it, and its spare."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.look()  # there may be one that nobody has seen yet
        self.channel.close()
        self._dismiss()


def serve(become: Become, warm: Callable[[], None], code_of: CodeOf) -> None:
    """Be a zygote: keep a spare ready until the supervisor hangs up.

    become: called in the new process with the names of its stages; warm: loads everything, when
    the supervisor asks for that; code_of: the exit code for an error that needs no trace, since the
    panel tells it.
    """
    channel = socket.socket(fileno=int(os.environ[CHANNEL]))
    channel.set_inheritable(False)
    is_warm = False
    with suppress(OSError):
        while True:
            child = os.fork()
            if child == 0:
                _between(channel, is_warm, become, code_of)
            os.waitpid(child, 0)
            asked = channel.recv(64)
            if not asked:
                return
            if asked == WARM:
                warm()
                is_warm = True


def _between(channel: socket.socket, is_warm: bool, become: Become, code_of: CodeOf) -> None:
    """Fork once more and end at once, so that the spare becomes a child of the supervisor."""
    if os.fork() == 0:
        _be_spare(channel, is_warm, become, code_of)
    os._exit(0)


def _be_spare(channel: socket.socket, is_warm: bool, become: Become, code_of: CodeOf) -> None:
    """Offer oneself to the supervisor as soon as it is the parent, then become some stages when
    told their names; never returns."""
    parent, until = int(os.environ[PARENT]), time.monotonic() + ANSWER_S
    while os.getppid() != parent and time.monotonic() < until:
        os.sched_yield()
    os.setsid()  # like one that was started by the command, so that cores are shared out alike
    if is_warm:
        go_first()  # as soon as it is told what to become, others wait for it
    theirs, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with suppress(OSError):
        text = f"{os.getpid()} {int(is_warm)}"
        socket.send_fds(channel, [text.encode()], [theirs.fileno()])
    channel.close()
    theirs.close()
    code = 0
    try:
        names = told.recv(1024).decode().split()
        told.close()
        if names:
            become(names)  # which ends at once where the supervisor has died
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException as error:
        refused = code_of(error) if isinstance(error, Exception) else 1
        if refused is None:
            traceback.print_exc()
        code = refused or 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
