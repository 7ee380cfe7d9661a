"""Pipelines of tests: small configurations of their own, run through the real command."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec
import psutil

from pipeline.config import Config
from pipeline.report import Report
from pipeline.toml import write_config
from ringbuf import memory
from ringbuf.memory import SegmentError
from ringbuf.panel import Life, Panel
from workers.feeds.synthetic import SyntheticOptions, symbols

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "pipeline"]
NUMBERS = itertools.count()
PATIENT = {"ready_s": 300.0, "hang_s": 200.0, "drain_s": 200.0, "backoff_s": 0.05}
LIMIT_S = 400  # for anything that a test waits for: machines that test are busy
TOGETHER = [["ingest", "book", "risk", "publisher"]]  # one process: quicker to start than four
DAY = {"kind": "synthetic", "messages": 20_000, "symbols": 8, "seed": 3}


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    report: Report | None

    def stage(self, name: str):
        assert self.report is not None
        found = self.report.stage(name)
        assert found is not None, name
        return found


class Running:
    """A `corelane run` that goes on, and what its panels show."""

    def __init__(self, name: str, config: Path, process: subprocess.Popen) -> None:
        self.name, self.config, self.process = name, config, process
        self.report_path = config.with_suffix(".report.json")

    def panel(self, stage: str) -> Panel:
        return Panel(self.name, stage)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something to be so; an error where the pipeline ends before."""
        limit = time.monotonic() + LIMIT_S
        while not is_so(happened):
            assert time.monotonic() < limit, f"never: {what}"
            assert self.process.poll() is None, f"ended before: {what}: {self.end().err}"
            time.sleep(0.01)

    def until_received(self, stage: str, count: int) -> None:
        """Wait until a stage has taken so many records and all stages run."""
        block = {"publisher": "publisher", "book": "book", "risk": "risk"}[stage]

        def happened() -> bool:
            panel = self.panel(stage)
            received = int(panel.counters[block]["received"])
            life = panel.life
            panel.close()
            return life is Life.RUNNING and received >= count

        self.until(happened, f"{stage} received {count}")

    def pid(self, stage: str) -> int:
        panel = self.panel(stage)
        number = int(panel.status["pid"])
        panel.close()
        return number

    def starts(self, stage: str) -> int:
        panel = self.panel(stage)
        number = int(panel.status["starts"])
        panel.close()
        return number

    def kill(self, stage: str, number: int = signal.SIGKILL) -> None:
        pid = self.pid(stage)
        assert pid > 0, stage  # 0 would be our own process group
        os.kill(pid, number)

    def restart(self, stage: str) -> None:
        """Kill a stage and wait until it has begun again."""
        starts = self.starts(stage)
        self.kill(stage)
        self.until(lambda: self.starts(stage) > starts, f"{stage} is back")

    def end(self, *signals: int) -> Ran:
        """Send signals to the supervisor, then wait for its end."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.2)
        out, err = self.process.communicate(timeout=LIMIT_S)
        return Ran(self.process.returncode, out, err, read_report(self.report_path))


def is_so(happened: Callable[[], bool]) -> bool:
    """What a look says; False where there is nothing to look at yet."""
    try:
        return happened()
    except SegmentError:
        return False


class Place:
    """A folder and a pipeline name of one test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"test-{os.getpid()}-{next(NUMBERS)}"
        self.started: list[subprocess.Popen] = []

    def write(self, file: str = "config.toml", **tables) -> Path:
        """A configuration file: a short made-up day, patient limits, and what is given."""
        tables = {"name": self.name, "feeds": [DAY], "supervision": PATIENT} | tables
        tables["supervision"] = PATIENT | tables["supervision"]
        path = self.folder / file
        write_config(msgspec.convert(tables, Config), path)
        return path

    def history(self, folder: str = "history", **options) -> dict:
        """A Parquet sink in this place."""
        return {"sinks": [{"kind": "parquet", "path": str(self.folder / folder), **options}]}

    def start(self, config: Path, *options: str) -> Running:
        """Start `corelane run` and let it go on."""
        report = config.with_suffix(".report.json")
        report.unlink(missing_ok=True)
        command = [*COMMAND, "run", str(config), "--report", str(report), *options]
        running = Running(self.name, config, spawn(command))
        self.started.append(running.process)
        return running

    def run(self, config: Path, *options: str, code: int = 0) -> Ran:
        """`corelane run` to its end; its exit code is as expected and nothing is left behind."""
        ran = self.start(config, *options).end()
        assert ran.code == code, (ran.code, ran.out, ran.err)
        assert "Traceback" not in ran.err, ran.err
        self.check_clean()
        return ran

    def processes(self) -> list[int]:
        """Living processes that work on a configuration in this place."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            words = process.info["cmdline"] or []
            mine = any(str(self.folder) in word for word in words)
            if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["pid"])
        return found

    def check_clean(self) -> None:
        """Nothing of this pipeline is in shared memory, and no process of it lives."""
        limit = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < limit:
            time.sleep(0.01)
        assert not left, left
        assert memory.names(self.name) == []

    def close(self) -> None:
        """End what a failed test has left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for name in memory.names(self.name):
            memory.unlink(name)


def spawn(command: list[str], **environment: str) -> subprocess.Popen:
    """Start a command in the project's root, its output kept."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env={**WIDE, **environment}
    )


WIDE = {**os.environ, "COLUMNS": "400"}  # so that no line of a table is folded


def corelane(*words: str | Path, code: int | None = 0) -> Ran:
    """Any command of `corelane` to its end."""
    process = spawn([*COMMAND, *map(str, words)])
    out, err = process.communicate(timeout=LIMIT_S)
    assert code in (None, process.returncode), (process.returncode, out, err)
    assert "Traceback" not in err, err
    return Ran(process.returncode, out, err, None)


def read_report(path: Path) -> Report | None:
    if not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=Report)


def portfolios(options: dict | None = None, held: int = 4) -> dict:
    """Risk options: two portfolios, one above the other, over the first symbols of a day."""
    day = msgspec.convert(options or DAY, SyntheticOptions)
    names = symbols(day)[:held]
    long = {name: {"quantity": 100, "price": 100.0} for name in names}
    short = {name: {"quantity": -50, "price": 100.0} for name in names[:2]}
    return {
        "portfolios": [
            {"name": "long", "positions": long, "limits": {"value": 40_000.0, "loss": 1_000.0}},
            {"name": "short", "parent": "long", "positions": short},
        ],
        "scenarios": {"kind": "synthetic", "days": 120},
    }


def rows(folder: Path, table: str) -> list[tuple]:
    """All rows of a table of a Parquet history, in order of sequence."""
    if not list((folder / table).glob("*.parquet")):
        return []
    query = f"SELECT * FROM '{folder}/{table}/*.parquet' ORDER BY sequence"
    with duckdb.connect(":memory:") as database:
        return database.execute(query).fetchall()


def tables(folder: Path) -> dict[str, list[tuple]]:
    """Every table of a Parquet history."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return {name: rows(folder, name) for name in names}


def lines(text: str) -> list[str]:
    """The lines of a text that say something."""
    return [line for line in text.splitlines() if line.strip()]


def as_json(ran: Ran) -> dict:
    """What a command printed as JSON."""
    return json.loads(ran.out)
