"""What came of a wish to the kernel: many are granted in part, or only to the privileged."""

import ctypes
import errno
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What was asked, what is in force now, and why that differs (empty where it does not)."""

    asked: str
    got: str
    why: str = ""

    @property
    def granted(self) -> bool:
        """Whether all that was asked is in force."""
        return not self.why


LIBC = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments) -> tuple[int, int]:
    """Call into the C library: (result, errno); errno is 0 where the call went well."""
    ctypes.set_errno(0)
    result = function(*arguments)
    return result, ctypes.get_errno() if result < 0 else 0


def reason(number: int) -> str:
    """An errno in words, its name first."""
    return f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
