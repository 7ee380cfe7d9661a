"""C11 programs of the same work, compiled on the spot: what the machine allows."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.harness import BenchError
from ringbuf.jit import safe_cache_root
from ringbuf.ring import RELEASE_EVERY

SOURCE = Path(__file__).with_name("limit.c")  # the ring's protocol
BOOK_SOURCE = Path(__file__).with_name("limit_book.c")  # ITCH bytes to price levels
GATE_SOURCE = Path(__file__).with_name("limit_gate.c")  # orders and limits to verdicts
OPTION_SOURCE = Path(__file__).with_name("options_libmvec.c")  # prices and Greeks
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra")
WIDEST = ("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()
FAST = ("-ffast-math", *WIDEST)  # the widest vectors, and libmvec's functions in them
COMPILER = "gcc"
NO_COMPILER = "no gcc on this machine: the C program is left out, ratios to it are missing"
ANSWER_S = 60.0


def available() -> bool:
    """True where the program can be compiled."""
    return shutil.which(COMPILER) is not None


@cache
def built(source: Path = SOURCE, more: tuple[str, ...] = ()) -> Path:
    """A compiled program, kept by a digest of its source, the compiler and its flags."""
    if not available():
        raise BenchError(NO_COMPILER)
    version = subprocess.run([COMPILER, "--version"], capture_output=True, check=True).stdout
    parts = source.read_bytes(), version, repr(FLAGS + more).encode(), _processor()
    digest = hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()
    program = safe_cache_root() / f"bench.{source.stem}-{digest}"
    if not program.exists():
        draft = program.with_name(f"{program.name}.{os.getpid()}")
        command = [COMPILER, *FLAGS, *more, "-o", str(draft), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{' '.join(command)} failed:\n{done.stderr}")
        draft.rename(program)
    return program


def _processor() -> bytes:
    """What -march=native depends on."""
    lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")


def _answer(
    words: Sequence[object], source: Path = SOURCE, more: tuple[str, ...] = ()
) -> dict[str, Any]:
    command = [str(built(source, more)), *(str(word) for word in words)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(command)}: no answer within {ANSWER_S:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    if not answer.pop("verified"):
        raise BenchError(f"{' '.join(command)}: the payload came out wrong")
    return answer


def throughput(
    capacity: int,
    records: int,
    warm: int,
    stamped: bool,
    looks: int,
    cores: Sequence[int],
    batch: int = RELEASE_EVERY,
) -> list[float]:
    """Records a second of each reader; cores: the writer's, then each reader's."""
    readers = len(cores) - 1
    words = "throughput", capacity, records, warm, readers, int(stamped), looks, batch, *cores
    return _answer(words)["rates"]


def round_trip(
    capacity: int, trips: int, warm: int, pauses: int, stamped: bool, cores: Sequence[int]
) -> dict[str, float]:
    """Percentiles of a round trip between two cores, in ns."""
    return _answer(("roundtrip", capacity, trips, warm, pauses, int(stamped), 1, *cores))


def offered(
    capacity: int, records: int, warm: int, rate: int, stamped: bool, cores: Sequence[int]
) -> dict[str, float]:
    """Percentiles of the time from when a record was due to its arrival, in ns."""
    return _answer(("offered", capacity, records, warm, rate, int(stamped), 1, *cores))


def books(itch: Path, slots: int, sample_every: int, core: int) -> dict[str, Any]:
    """ns a message over an ITCH file, percentiles of single ones, and what the books came to."""
    return _answer((itch, slots, sample_every, core), BOOK_SOURCE)


def gate(inputs: Path, passes: int, sample_every: int, core: int) -> dict[str, float]:
    """ns an order in the median pass, and percentiles of single ones, over rows in a file."""
    return _answer((inputs, passes, sample_every, core), GATE_SOURCE)


def options(inputs: Path, passes: int, core: int) -> dict[str, float]:
    """ns an option from all inputs ("raw") and on a tick, over columns in a file."""
    return _answer((inputs, passes, core), OPTION_SOURCE, FAST)
