"""What may happen to a pipeline: each fault as data, and how it is done to a real one."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import psutil
import pytest

from pipeline import orders
from pipeline.launch import RUN
from pipeline.plan import LAYOUTS
from ringbuf import journal_files, memory
from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.memory import SegmentError
from ringbuf.panel import Command, Life, Panel
from ringbuf.record import record
from ringbuf.share import Observer
from tests.pipeline.pacer import FAR, Pacer, send
from tests.pipeline.reference import RINGS
from tests.pipeline.running import LIMIT_S, Place, Running, corelane

LOOK_S = 0.0005  # between two looks at whether something has come about
SECTOR = 512  # bytes that a disk writes whole or not at all
EDGE = 4096  # bytes at the end of a journal that a torn write may have touched
MORE = 1024  # events that come while a fault happens
STAGES = ["ingest", "book", "risk", "publisher", "journal", "snapshot"]
ENDS_ALL = {"supervisor", "everything"}
ORDERS = {"stop": Command.PAUSE, "drain": Command.EMPTY, "restart": Command.RESTART}
ANOTHER = {"event": (-1, record([("time_ns", "i8"), ("more", "i8", 6), ("sequence", "i8")]))}

At = float | tuple[float, float]  # a share of all events, or between two, drawn from the seed


class Over(Exception):
    """The pipeline was through before a fault could happen."""


class Fault(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", kw_only=True):
    """Something that happens while a pipeline runs, once a share of all events is written."""

    at: At

    @property
    def last(self) -> bool:
        """Whether the pipeline is gone then."""
        return False


class Kill(Fault, tag="kill"):
    """SIGKILL to all of these at once: stages, "zygote", "supervisor", "everything".

    anytime: also those that are just finding their way back.
    """

    who: list[str]
    anytime: bool = False

    @property
    def last(self) -> bool:
        return bool(ENDS_ALL.intersection(self.who))


class Early(Fault, tag="early", kw_only=True):
    """SIGKILL to everything some seconds after the start, wherever it is then."""

    seconds: At
    at: At = 0.0

    @property
    def last(self) -> bool:
        return True


class Stop(Fault, tag="stop"):
    """SIGSTOP, and SIGCONT after some seconds."""

    who: list[str]
    seconds: float


class Hang(Fault, tag="hang"):
    """SIGSTOP without end: the supervisor must notice."""

    who: str


class Crash(Fault, tag="crash"):
    """The host dies: what was not made durable is gone, in whole sectors, and so is all memory."""

    @property
    def last(self) -> bool:
        return True


class Fill(Fault, tag="fill"):
    """The journal's disk is full until its stage has noticed; `who` is killed meanwhile."""

    who: list[str] = []


class Order(Fault, tag="order"):
    """`corelane stop|drain|restart STAGE`; one that was ended is restarted after some seconds.

    typed: it is restarted by a command, not in this process; its neighbours wait so long.
    """

    who: str
    order: Literal["stop", "drain", "restart"]
    seconds: float = 0.2
    typed: bool = False


class Spoil(Fault, tag="spoil"):
    """Snapshots on disk are damaged: the newest or all of them; `who` is killed then."""

    which: Literal["newest", "all"]
    who: list[str] = []


AnyFault = Kill | Early | Stop | Hang | Crash | Fill | Order | Spoil


class Tear(msgspec.Struct, forbid_unknown_fields=True, tag="tear", tag_field="do", kw_only=True):
    """The ends of journals are damaged, `cuts` times on copies, and once for good.

    cuts: how many places of the last 4 KiB, drawn; 0: every one.
    """

    rings: list[str] = msgspec.field(default_factory=lambda: list(RINGS))
    cuts: int = 1


class Strange(
    msgspec.Struct, forbid_unknown_fields=True, tag="strange", tag_field="do", kw_only=True
):
    """A journal has records of another layout during the next life, and is put back after it."""

    ring: str = "events"


class Lost(msgspec.Struct, forbid_unknown_fields=True, tag="lost", tag_field="do", kw_only=True):
    """Snapshots are damaged between two lives."""

    which: Literal["newest", "all"]


AnyDamage = Tear | Strange | Lost


class Act:
    """One life of a pipeline while it goes on, and what is done to it."""

    def __init__(
        self, place: Place, running: Running, journal: Path, rng: random.Random, rate: float
    ) -> None:
        self.place, self.running, self.journal, self.rng = place, running, journal, rng
        self.rate = rate  # events a second
        self.pacer: Pacer | None = None
        self.panels: dict[str, Panel] = {}
        self.kills: Counter[str] = Counter()
        self.killed: set[int] = set()
        self.starts: Counter[str] = Counter()  # of those that were killed, when they were

    def begun(self) -> bool:
        """Whether the memory that is there is that of this life."""
        segment = memory.attach(self.place.name, RUN, RUN)
        pid = int(segment.header["pid"])
        segment.close()
        return pid == self.running.process.pid

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something to be so; an error where the pipeline ends before."""
        limit = time.monotonic() + LIMIT_S
        while not _is_so(happened):
            if (code := self.running.process.poll()) is not None:
                if code == 0:
                    raise Over(what)
                raise AssertionError(f"ended ({code}) before: {what}: {self.running.end().err}")
            assert time.monotonic() < limit, f"never: {what}"
            time.sleep(LOOK_S)

    def panel(self, stage: str) -> Panel:
        """A stage's panel, which lasts for this life."""
        if stage not in self.panels:
            self.panels[stage] = Panel(self.place.name, stage)
        return self.panels[stage]

    def reach(self, events: int) -> None:
        """Wait until so many events are written; from now on the source keeps its pace.

        It stops a little later, until the next event that is to be reached: no fault is too late.
        """
        if self.pacer is None:
            self.until(self.begun, "its memory is there")
            self.until(lambda: self.panel("ingest").life >= Life.RUNNING, "ingest runs")
            self.pacer = Pacer(self.place.name, self.rate, self._source)
        self.pacer.limit = events + MORE
        with closing(Observer(self.place.name, "events")) as log:
            self.until(lambda: int(log.writer["written"]) >= events, f"event {events}")

    def _source(self) -> int:
        """The process of the source, if it runs."""
        return self.pid("ingest") if self.panel("ingest").life is Life.RUNNING else 0

    def flow(self) -> None:
        """Let all events come."""
        if self.pacer:
            self.pacer.limit = FAR

    def unpaced(self) -> AbstractContextManager[None]:
        """While a fault stops processes nobody else does."""
        return self.pacer.held() if self.pacer else nullcontext()

    def runs(self, stage: str) -> None:
        """Wait until a stage runs; one that was killed shows for a while that it does."""

        def so() -> bool:
            return self.panel(stage).life is Life.RUNNING and self.pid(stage) > 0

        self.until(so, f"{stage} runs")

    def pid(self, who: str) -> int:
        """The process of a stage, or of the zygote, or of the supervisor; 0: none now."""
        boss = self.running.process.pid
        if who == "supervisor":
            return boss
        if who == "zygote":
            stages = {int(self.panel(name).status["pid"]) for name in STAGES}
            left = [pid for pid in _zygotes(boss) if pid not in stages | self.killed]
            return left[0] if len(left) > 1 else 0  # one that has a spare: another comes after it
        status = self.panel(who).status
        pid = int(status["pid"])
        counted = int(status["starts"]) > self.starts[who]
        return pid if counted and pid not in self.killed and _parent(pid) == boss else 0

    def close(self) -> None:
        """Let everything go."""
        if self.pacer:
            self.pacer.close()
            self.pacer = None
        for panel in self.panels.values():
            panel.close()
        self.panels.clear()

    def signal(self, who: list[str], number: int, anytime: bool = False) -> None:
        """A signal to several at once, all of which live."""
        pids: dict[str, int] = {}

        def found() -> bool:
            pids.update({name: self.pid(name) for name in who})
            return all(pids.values())

        for name in who:
            if not anytime and name not in ("zygote", "supervisor"):
                self.runs(name)
        self.until(found, f"{who} live")
        if number == signal.SIGKILL:
            self.kills.update(who)
            self.killed.update(pids.values())
            for name in set(STAGES).intersection(who):
                self.starts[name] = int(self.panel(name).status["starts"])
        for pid in set(pids.values()):
            send(pid, number)

    def kill_everything(self) -> None:
        """All processes at once, in any order."""
        boss = self.running.process.pid
        processes = [psutil.Process(boss), *_children(boss)]
        self.rng.shuffle(processes)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def wait_for_the_end(self) -> None:
        """Until no process is left; the supervisor is dead."""
        self.running.process.communicate(timeout=LIMIT_S)
        limit = time.monotonic() + LIMIT_S
        while left := [name for name in memory.names(self.place.name) if memory.alive(name)]:
            assert time.monotonic() < limit, left
            time.sleep(LOOK_S)


def drawn(number: At, rng: random.Random) -> float:
    """A number, or one between two."""
    return number if isinstance(number, int | float) else rng.uniform(*number)


def strike(fault: AnyFault, act: Act) -> None:
    """Have a fault happen."""
    _HOW[type(fault)](fault, act)


def _kill(fault: Kill, act: Act) -> None:
    if "everything" in fault.who:
        act.kill_everything()
    else:
        act.signal(fault.who, signal.SIGKILL, fault.anytime)
    if fault.last:
        act.wait_for_the_end()


def _early(fault: Early, act: Act) -> None:
    time.sleep(drawn(fault.seconds, act.rng))
    act.kill_everything()
    act.wait_for_the_end()


def _stop(fault: Stop, act: Act) -> None:
    with act.unpaced():
        act.signal(fault.who, signal.SIGSTOP)
        time.sleep(fault.seconds)
        act.signal(fault.who, signal.SIGCONT, anytime=True)


def _hang(fault: Hang, act: Act) -> None:
    starts = int(act.panel(fault.who).status["starts"])
    with act.unpaced():
        act.signal([fault.who], signal.SIGSTOP)
        act.until(lambda: int(act.panel(fault.who).status["starts"]) > starts, "it is restarted")
    act.kills[fault.who] += 1


def _crash(_fault: Crash, act: Act) -> None:
    panel = act.panel("journal")
    act.kill_everything()
    act.wait_for_the_end()
    durable = {ring: int(panel.counters[ring]["durable"]) for ring in RINGS}
    shown = _shown(act.place.name)
    act.close()
    for name in memory.names(act.place.name):
        memory.unlink(name)
    on_disk = {ring: lose(act.journal / ring, durable[ring], act.rng) for ring in RINGS}
    if bytes(act.running.config.read_bytes()).find(b'durability = "sync"') > 0:
        assert shown <= on_disk["events"], "an answer was seen whose question a power cut undid"
    lose_lines(act.place.folder / "lines.jsonl", act.rng)
    for spool in (act.place.folder / "history").glob("*.spool"):
        os.truncate(spool, act.rng.randint(0, spool.stat().st_size))


def _shown(pipeline: str) -> int:
    """The last event that some record of the book ring answers."""
    with closing(Observer(pipeline, "book")) as ring:
        newest = ring.latest(1)
    return int(newest["cause"][0]) if len(newest) else 0


def lose(folder: Path, durable: int, rng: random.Random) -> int:
    """Take from a journal what a power cut may take; the last record that must still be there."""
    first = journal_files.listed(folder)[-1]
    path = journal_files.path_of(folder, first)
    with closing(JournalReader(folder)) as log:
        written, size = log.last, log.size
    content = bytearray(path.read_bytes())
    durable = max(durable, journal_files.read_mark(content), first - 1)
    place = journal_files.RECORDS + (durable + 1 - first) * size
    end = journal_files.RECORDS + (written + 1 - first) * size
    lost = rng.choice(["the end", "any"])
    cut = rng.randint(place, end) if end > place else end
    for start in range(place // SECTOR * SECTOR, end, SECTOR):
        gone = start >= cut if lost == "the end" else rng.random() < 0.3
        if gone:
            begin = max(start, place)
            content[begin : start + SECTOR] = bytes(start + SECTOR - begin)
    path.write_bytes(content)
    return durable


def lose_lines(path: Path, rng: random.Random) -> None:
    """Take from a file of JSON lines what was not flushed."""
    cursor = path.with_name(path.name + ".cursor")
    if path.exists() and cursor.exists():
        flushed = msgspec.json.decode(cursor.read_bytes())["size"]
        os.truncate(path, rng.randint(min(flushed, path.stat().st_size), path.stat().st_size))


def _fill(fault: Fill, act: Act) -> None:
    act.flow()  # what is still to come must not fit
    before = int(act.panel("journal").counters["events"]["held"])
    filler = act.journal / "filler"
    for spare in act.journal.glob(f"*/{journal_files.SPARE}"):
        spare.unlink(missing_ok=True)
    with filler.open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    panel = act.panel("journal")
    act.until(lambda: int(panel.counters["events"]["held"]) > before, "the disk is found full")
    assert b"No space left" in bytes(panel.status["message"]), bytes(panel.status["message"])
    if fault.who:
        act.signal(fault.who, signal.SIGKILL)
        for name in fault.who:
            starts = act.kills[name]
            act.until(lambda n=name, s=starts: act.panel(n).status["starts"] > s, "it is restarted")
    filler.unlink()


def _order(fault: Order, act: Act) -> None:
    steps = [fault.order] + ["restart"] * (fault.order != "restart")
    act.runs(fault.who)
    for number, step in enumerate(steps):
        if number:
            assert act.panel(fault.who).life is Life.HELD
            time.sleep(fault.seconds)
        if number and fault.typed:
            corelane(step, fault.who, act.place.name)
        else:
            orders.give(fault.who, act.place.name, ORDERS[step])
    act.kills[fault.who] += 1


def _spoil(fault: Spoil, act: Act) -> None:
    folder = act.journal / "snapshots"
    act.until(lambda: bool(list(folder.glob("*.snapshot"))), "there is a snapshot")
    spoil(folder, fault.which, act.rng)
    if fault.who:
        act.signal(fault.who, signal.SIGKILL)


def spoil(folder: Path, which: str, rng: random.Random) -> int:
    """Damage snapshots; how many."""
    found = sorted(folder.glob("*.snapshot"))
    chosen = found[-1:] if which == "newest" else found
    for path in chosen:
        with suppress(FileNotFoundError):  # one that has been replaced by newer ones
            content = bytearray(path.read_bytes())
            if rng.random() < 0.5:
                content = content[: rng.randrange(len(content))]
            else:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
    return len(chosen)


_HOW: dict[type, Callable] = {
    Kill: _kill,
    Early: _early,
    Stop: _stop,
    Hang: _hang,
    Crash: _crash,
    Fill: _fill,
    Order: _order,
    Spoil: _spoil,
}


def tear(journal: Path, ring: str, cuts: int, wanted: bytes, rng: random.Random) -> int:
    """Damage the end of a journal in many ways; how many.

    After each the journal is opened as a pipeline opens it, and must hold what it held up to the
    damage, byte for byte. The last way is left for the next life.
    """
    folder = journal / ring
    first = journal_files.listed(folder)[-1]
    path = journal_files.path_of(folder, first)
    whole = path.read_bytes()
    with closing(JournalReader(folder)) as log:
        written, size = log.last, log.size
    mark = max(journal_files.read_mark(whole), first - 1)
    end = journal_files.RECORDS + (written + 1 - first) * size
    places = range(max(end - EDGE, journal_files.RECORDS), end)
    if not places:
        return 0
    chosen = rng.sample(places, min(cuts, len(places))) if cuts else [*places]
    last_of_all = rng.choice(chosen)
    for place in [*chosen, last_of_all]:
        damaged = _damaged(whole, place, rng)
        padded = np.frombuffer(damaged.ljust(len(whole), b"\0"), np.uint8)
        different = np.flatnonzero(padded != np.frombuffer(whole, np.uint8))
        if not len(different):  # there were zeros already
            continue
        hit = first + (int(different[0]) - journal_files.RECORDS) // size
        path.write_bytes(damaged)
        if hit <= mark:
            _must_refuse(folder, ring, hit)
            path.write_bytes(whole)
            continue
        with closing(Journal(folder, ring, LAYOUTS[ring], len(whole))) as log:
            assert log.written == hit - 1, (ring, place, log.written, hit)
        _must_be(folder, ring, wanted)
        path.write_bytes(damaged if place == last_of_all else whole)
    return len(chosen)


def _damaged(whole: bytes, place: int, rng: random.Random) -> bytes:
    """A file whose writing was torn at a byte, or that has another bit there."""
    if rng.random() < 0.5:
        return whole[:place] + bytes(len(whole) - place) if rng.random() < 0.5 else whole[:place]
    changed = bytearray(whole)
    changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _must_refuse(folder: Path, ring: str, hit: int) -> None:
    """What was durable and is damaged is never taken for torn."""
    with pytest.raises(JournalError, match=f"record {hit}\\b"):
        Journal(folder, ring, LAYOUTS[ring], 1 << 20).close()


def _must_be(folder: Path, ring: str, wanted: bytes) -> None:
    """A journal must hold the first of the records that are wanted."""
    with closing(JournalReader(folder, LAYOUTS[ring])) as log:
        records = log.read(max(log.last - 256, 1), 257) if log.last else np.zeros(0)
    if len(records):
        first = int(records["sequence"][0])
        if ring == "events":
            records["arrived_ns"] = 0
        start = (first - 1) * records.dtype.itemsize
        assert records.tobytes() == wanted[start : start + records.nbytes], ring


def make_strange(journal: Path, ring: str) -> Path:
    """Put a journal of another layout in the place of one; where that is kept meanwhile."""
    kept = journal / f"{ring}.kept"
    (journal / ring).rename(kept)
    with closing(Journal(journal / ring, ring, ANOTHER, 1 << 20)) as log:
        log.append_records(np.zeros(3, next(iter(ANOTHER.values()))[1]))
        log.sync()
    return kept


@cache
def can_mount() -> bool:
    """Whether file systems can be mounted here: tried where nobody else sees it."""
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    return not subprocess.run(words, check=False, capture_output=True).returncode


def mount(folder: Path, megabytes: int) -> None:
    """A small file system in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(words, check=True)


def unmount(folder: Path) -> None:
    """Take it away again, whatever is in it."""
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _zygotes(boss: int) -> list[int]:
    """The zygote, its spare and what was forked from them, the oldest first."""
    found = []
    for child in _children(boss):
        with suppress(psutil.NoSuchProcess):
            if "zygote" in child.cmdline():
                found.append((child.create_time(), child.pid))
    return [pid for _, pid in sorted(found)]


def _parent(pid: int) -> int:
    """The parent of a process that is not dead; 0: there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[1])


def _is_so(happened: Callable[[], bool]) -> bool:
    try:
        return happened()
    except SegmentError:
        return False
