"""A zygote whose stages do what their name says, for tests: `python -m tests.pipeline.served`."""

import os
import signal
import sys
import time

from pipeline.children import serve


class Refused(Exception):
    """An error that the panel tells."""


LOADED: list[int] = []


def become(names: list[str]) -> None:
    """Be a stage of this name."""
    match names:
        case ["well"]:
            return
        case ["exit", code]:
            sys.exit(int(code))
        case ["refused"]:
            raise Refused
        case ["broken"]:
            raise ZeroDivisionError("of these tests")
        case ["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["sleeping"]:
            time.sleep(600)
        case ["loaded", times]:
            sys.exit(0 if len(LOADED) == int(times) else 9)
        case ["child-of", parent]:
            sys.exit(0 if os.getppid() == int(parent) else 9)


if __name__ == "__main__":
    serve(become, lambda: LOADED.append(1), lambda error: 2 if isinstance(error, Refused) else None)
