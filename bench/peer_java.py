"""The JVM peers, Aeron IPC and LMAX Disruptor: built once by Maven, driven by lines of text.

Sources and the versions of both libraries are in bench/java; what is built goes to the cache
folder. A JVM runs until it is closed, so that its compiler has seen the loops that are measured;
its threads pin themselves to cores as they are told.
"""

import contextlib
import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench import traffic
from bench.harness import ANSWER_S, BenchError
from ringbuf.jit import safe_cache_root

SOURCES = Path(__file__).with_name("java")
TOOLS = ("java", "mvn", "taskset")
MAINS = {"Aeron": "AeronPeer", "Disruptor": "DisruptorPeer"}
BUILD_S = 300.0
FLAGS = (
    *("-server", "-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC"),
    *("-XX:-UsePerfData", "-XX:+UnlockDiagnosticVMOptions", "-XX:GuaranteedSafepointInterval=0"),
    *("--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED"),
    *("--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED"),
    *("-Dagrona.disable.bounds.checks=true", "-Daeron.pre.touch.mapped.memory=true"),
)


def absent() -> str:
    """What is missing to run these peers, for a note; the empty string where they can run."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"no {', no '.join(missing)} on this machine: Aeron and Disruptor are left out"
    try:
        built()
    except BenchError as failure:
        return f"Aeron and Disruptor are left out: {failure}"
    return ""


@cache
def built(sources: Path = SOURCES) -> Path:
    """The folder with the compiled peers and their libraries, named by a digest of the sources."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(sources.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = safe_cache_root() / f"bench.peers-{digest.hexdigest()}"
    if folder.exists():
        return folder
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    pom = sources / "pom.xml"
    command = ["mvn", "-q", "-B", "-f", str(pom), f"-Dpeers.target={draft}", "compile"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_S)
        if done.returncode:
            raise BenchError(f"mvn could not build them: {_reason(done.stdout + done.stderr)}")
        with contextlib.suppress(OSError):  # somebody else was first
            draft.rename(folder)
    except subprocess.TimeoutExpired:
        raise BenchError(f"mvn did not build them within {BUILD_S:.0f} s") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _reason(printed: str) -> str:
    lines = [line.partition("]")[2].strip() for line in printed.splitlines() if "ERROR" in line]
    return next((line for line in lines if line), "it does not say why")


class Machine:
    """A JVM with one of the peers, on the cores given; closed by close() or `with`."""

    def __init__(self, peer: str, cores: Sequence[int]) -> None:
        self.peer = peer
        self.folder = tempfile.TemporaryDirectory(prefix="corelane-peer-", dir="/dev/shm")
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 closed with the machine
        shared = f"-Dpeers.folder={self.folder.name}/aeron"
        paths = f"{built()}/classes:{built()}/lib/*"
        pinned = "taskset", "-c", ",".join(str(core) for core in sorted(set(cores)))
        self.process = subprocess.Popen(
            [*pinned, "java", *FLAGS, shared, "-cp", paths, MAINS[peer]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def ask(self, last: int, *words: object) -> dict[str, Any]:
        """Run one command (see bench/java/Runs.java) of records 1 … last, and check the sums."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says more
            self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            raise BenchError(f"{self.peer}: no answer within {ANSWER_S:.0f} s to {words}")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise BenchError(f"{self.peer}: {words} failed: {self._last_words()}")
        answer = json.loads(line)
        for total in answer.pop("totals"):
            traffic.check(total, last, self.peer)
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        told = self.errors.read().decode(errors="replace").strip()
        return told[:2000] or f"exit code {self.process.returncode}"

    def close(self) -> None:
        """End the JVM."""
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()
        self.folder.cleanup()


def throughput(
    machine: Machine, mode: str, records: int, warm: int, cores: Sequence[int]
) -> list[float]:
    """Records a second of each reader; cores: the writer's, then each reader's."""
    words = "throughput", mode, len(cores) - 1, records, warm, *cores
    return machine.ask(records, *words)["rates"]


def round_trip(
    machine: Machine, mode: str, trips: int, warm: int, cores: Sequence[int]
) -> dict[str, float]:
    """Percentiles of a round trip between two threads, in ns; two clock readings among them."""
    return machine.ask(trips + warm, "roundtrip", mode, trips, warm, *cores)


def offered(
    machine: Machine, mode: str, records: int, warm: int, rate: int, cores: Sequence[int]
) -> dict[str, float]:
    """Percentiles of the time from when a record was due to its arrival, in ns."""
    return machine.ask(records + warm, "offered", mode, records, warm, rate, *cores)
