"""What tests of shared memory need: children to kill, and names that are removed afterwards."""

import contextlib
import os
import signal
import sys
import traceback


def fork(task) -> int:
    """Run a task in a child; its exit status is 0 where the task returns."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(child: int) -> int:
    """The exit status of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int) -> None:
    """End a child at whatever instruction it is."""
    os.kill(child, signal.SIGKILL)
    assert wait(child) in (0, -signal.SIGKILL)


def dying(task) -> int:
    """Run a task in a child to its end; how it ended."""
    return wait(fork(task))


@contextlib.contextmanager
def in_child(task):
    """A child that runs a task until the block is left."""
    child = fork(task)
    try:
        yield child
    finally:
        kill(child)
