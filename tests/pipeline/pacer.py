"""Keeps a source to its pace, whatever holds it up."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from ringbuf.share import Observer

LOOK_S = 0.0005
BURST = 256  # events
BREATH = 1000  # looks, of which a source that must not go on has one in which it may: it lives
FAR = 1 << 60


class Pacer:
    """A thread that stops the process of a source for moments when it is too fast.

    A source that was held up makes up for it as fast as it can, as it should: a load with faults
    that take their time would be over before the last of them. rate: events a second; pid: the
    process of the source, 0: none that runs now; `limit`: the last event that may come for now.
    """

    def __init__(self, pipeline: str, rate: float, pid: Callable[[], int]) -> None:
        self.pipeline, self.rate, self.pid = pipeline, rate, pid
        self.lock = threading.Lock()  # who has it may signal
        self.over, self.limit = False, FAR
        self.stopped = 0  # the process that is stopped
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with closing(Observer(self.pipeline, "events")) as log:
            written, then, credit = int(log.writer["written"]), time.monotonic(), float(BURST)
            looks = 0
            while not self.over:
                time.sleep(LOOK_S)
                new, now = int(log.writer["written"]), time.monotonic()
                credit = min(credit + self.rate * (now - then), BURST) - (new - written)
                written, then = new, now
                looks += 1
                with self.lock:
                    self._signal(credit < 0 or (new >= self.limit and looks % BREATH > 0))

    def _signal(self, too_fast: bool) -> None:
        pid = self.pid() if too_fast else 0
        if pid != self.stopped:
            self._let_go()  # also one that was through just when it was stopped
            send(pid, signal.SIGSTOP)
            self.stopped = pid

    def _let_go(self) -> None:
        send(self.stopped, signal.SIGCONT)
        self.stopped = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the source alone meanwhile: somebody else stops processes."""
        with self.lock:
            self._let_go()
            yield

    def close(self) -> None:
        """Let the source go as it likes."""
        self.over = True
        self.thread.join()
        self._let_go()


def send(pid: int, number: int) -> None:
    """A signal to a process; nothing where there is none (0), or where it has gone."""
    with suppress(ProcessLookupError):
        if pid:
            os.kill(pid, number)
